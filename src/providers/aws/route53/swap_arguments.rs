//! The arguments of `route53.swap`, and what is wrong with them.

use aws_sdk_route53::types::RrType;
use schemars::JsonSchema;
use serde::Deserialize;

use super::state::{State, name};
use crate::error::{Error, Kind, Result};

/// The arguments of `route53.swap`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The id of the hosted zone.
    pub zone: String,
    /// The records: all are changed at once, or none.
    pub records: Vec<RecordWith>,
}

/// One record.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordWith {
    /// Its domain name.
    pub name: String,
    /// Its type: `A`, `AAAA`, `CNAME` and so on.
    #[serde(rename = "type")]
    pub kind: String,
    /// Of several records with that name and type: which one.
    #[serde(default)]
    pub set_identifier: Option<String>,
    /// What it must say now; without it there must be no such record.
    #[serde(default)]
    pub from: Option<State>,
    /// What it should say.
    pub to: State,
}

/// A record to swap, ready to be compared.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub name: String,
    pub kind: RrType,
    pub set_identifier: Option<String>,
    pub from: Option<State>,
    pub to: State,
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.kind.as_str())?;
        match &self.set_identifier {
            Some(id) => write!(f, " ({id})"),
            None => Ok(()),
        }
    }
}

/// The id of a hosted zone without `/hostedzone/` before it.
pub(super) fn zone(text: &str) -> Result<String> {
    let id = text.strip_prefix("/hostedzone/").unwrap_or(text);
    match !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric()) {
        true => Ok(id.to_owned()),
        false => Err(Error::new(Kind::Usage, format!("`{text}` is no id of a hosted zone"))
            .hint("`aws route53 list-hosted-zones` lists them")),
    }
}

/// Every record, checked.
pub(super) fn wanted(records: Vec<RecordWith>) -> Result<Vec<Wanted>> {
    if records.is_empty() {
        return Err(Error::new(Kind::Usage, "`records` of `route53.swap` is empty"));
    }
    let mut all: Vec<Wanted> = Vec::with_capacity(records.len());
    for record in records {
        let what = format!("{} {}", record.name, record.kind);
        if let Err(why) = check(&record) {
            return Err(Error::new(Kind::Usage, format!("record {what} of `route53.swap`: {why}")));
        }
        let RecordWith { kind, set_identifier, from, to, .. } = record;
        let from = from.map(|from| from.normal(&kind));
        let one = Wanted {
            name: name(&record.name),
            to: to.normal(&kind),
            from,
            kind: RrType::from(kind.as_str()),
            set_identifier,
        };
        if all.iter().any(|a| {
            (&a.name, &a.kind, &a.set_identifier) == (&one.name, &one.kind, &one.set_identifier)
        }) {
            return Err(Error::new(
                Kind::Usage,
                format!("record {one} of `route53.swap` is there twice"),
            ));
        }
        all.push(one);
    }
    Ok(all)
}

fn check(record: &RecordWith) -> Result<(), String> {
    if !RrType::values().contains(&record.kind.as_str()) {
        return Err(format!("there is no type `{}`; types are upper case", record.kind));
    }
    let to = &record.to;
    if *to == State::default() {
        return Err("`to` says nothing".to_owned());
    }
    for (which, state) in [("from", record.from.as_ref()), ("to", Some(to))] {
        let Some(state) = state else { continue };
        if state.values.is_some() && state.alias.is_some() {
            return Err(format!("`{which}` has both values and an alias"));
        }
        if state.values.as_ref().is_some_and(Vec::is_empty) {
            return Err(format!("`values` of `{which}` is empty"));
        }
        if state.alias.is_some() && state.ttl.is_some() {
            return Err(format!("`{which}` has a `ttl`, but an alias has that of its target"));
        }
        if state.weight.is_some_and(|weight| !(0..=255).contains(&weight)) {
            return Err(format!("`weight` of `{which}` must be 0 to 255"));
        }
        if state.ttl.is_some_and(|ttl| !(0..=i64::from(i32::MAX)).contains(&ttl)) {
            return Err(format!("`ttl` of `{which}` must be seconds"));
        }
        if state.is_one_of_several() && record.set_identifier.is_none() {
            return Err("it is one of several with its name: give its `set_identifier`".to_owned());
        }
    }
    match &record.from {
        None if to.values.is_some() && to.ttl.is_none() => {
            Err("a new record with values needs a `ttl`".to_owned())
        }
        None if to.values.is_none() && to.alias.is_none() => {
            Err("a new record needs `values` or an `alias`".to_owned())
        }
        None => Ok(()),
        Some(from) => reversible(from, to),
    }
}

/// What `to` sets, `from` must name: it is checked before, and put back by an abort.
fn reversible(from: &State, to: &State) -> Result<(), String> {
    let target = |state: &State| state.values.is_some() || state.alias.is_some();
    let aliases = (from.alias.is_some(), to.alias.is_some());
    // Between values and an alias a TTL comes or goes.
    if aliases == (true, false) && to.values.is_some() && to.ttl.is_none() {
        return Err("values in the place of an alias need a `ttl` in `to`".to_owned());
    }
    if aliases == (false, true) && from.values.is_some() && from.ttl.is_none() {
        return Err("an alias takes the TTL away: name `ttl` in `from`, so that it can come back"
            .to_owned());
    }
    let missing = [
        ("values` or `alias", target(to) && !target(from)),
        ("ttl", to.ttl.is_some() && from.ttl.is_none() && from.alias.is_none()),
        ("weight", to.weight.is_some() && from.weight.is_none()),
        ("failover", to.failover.is_some() && from.failover.is_none()),
        ("region", to.region.is_some() && from.region.is_none()),
        ("multivalue", to.multivalue.is_some() && from.multivalue.is_none()),
        ("health_check", to.health_check.is_some() && from.health_check.is_none()),
    ];
    match missing.iter().find(|(_, missing)| *missing) {
        Some((part, _)) => Err(format!(
            "`to` sets `{part}`: name what it is now in `from`, so that it is checked and can be put back"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(json: serde_json::Value) -> Result<Vec<Wanted>> {
        wanted(vec![serde_json::from_value(json).unwrap()])
    }

    #[test]
    fn what_cannot_be_checked_or_put_back_is_refused() {
        let refused = |json, why: &str| {
            let e = one(json).unwrap_err();
            assert!(e.what().contains(why), "{}", e.what());
        };
        let with = |from: serde_json::Value, to: serde_json::Value| serde_json::json!({ "name": "app.x", "type": "A", "from": from, "to": to });
        let ip = serde_json::json!({ "values": ["192.0.2.1"] });
        refused(with(serde_json::json!({ "ttl": 5 }), ip.clone()), "`values` or `alias`");
        refused(with(ip.clone(), serde_json::json!({})), "says nothing");
        refused(with(ip.clone(), serde_json::json!({ "ttl": 30 })), "`ttl`");
        refused(with(ip.clone(), serde_json::json!({ "values": [] })), "is empty");
        refused(with(ip.clone(), serde_json::json!({ "weight": 3 })), "set_identifier");
        let alias = serde_json::json!({ "alias": { "name": "lb", "zone": "Z1" } });
        refused(with(ip.clone(), alias.clone()), "takes the TTL away");
        refused(with(alias, ip.clone()), "need a `ttl`");
        refused(serde_json::json!({ "name": "x", "type": "a", "to": {} }), "no type `a`");
        assert!(one(with(ip.clone(), ip)).is_ok());
    }

    #[test]
    fn zones_are_ids() {
        assert_eq!(zone("/hostedzone/Z123").unwrap(), "Z123");
        assert!(zone("example.com").is_err());
    }
}
