//! What a record says, and what a swap would do to it. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv6Addr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a record says. In a runbook a part that is left out is not looked at and not changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Its values: addresses, or a name. Takes the place of an alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<String>>,
    /// Its time to live in seconds; an alias has that of its target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<i64>,
    /// The AWS resource that it stands for, such as a load balancer. Takes the place of values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<Alias>,
    /// Of a weighted record: 0 to 255.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i64>,
    /// Of a failover record: `PRIMARY` or `SECONDARY`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<Role>,
    /// Of a latency record: the AWS region that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Of a multivalue answer record: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multivalue: Option<bool>,
    /// The id of its health check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<String>,
}

/// An AWS resource that a record stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alias {
    /// Its name, such as `web-123.us-west-2.elb.amazonaws.com`.
    pub name: String,
    /// The hosted zone of the resource, which for a load balancer is that of its region.
    pub zone: String,
    /// Whether the record counts as unhealthy when its target is.
    #[serde(default)]
    pub evaluate_target_health: bool,
}

/// The role of a failover record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Role {
    Primary,
    Secondary,
}

impl State {
    /// As it can be compared: names without case and final dot, values without order or doubles.
    pub fn normal(mut self, kind: &str) -> Self {
        if let Some(values) = self.values.take() {
            let values: BTreeSet<_> = values.iter().map(|value| plain(value, kind)).collect();
            self.values = Some(values.into_iter().collect());
        }
        if let Some(alias) = &mut self.alias {
            alias.name = name(&alias.name);
        }
        self
    }

    /// Whether everything that `part` gives is so here. Both are normal.
    pub fn has(&self, part: &Self) -> bool {
        fn so<T: PartialEq>(part: &Option<T>, whole: &Option<T>) -> bool {
            part.is_none() || part == whole
        }
        so(&part.values, &self.values)
            && so(&part.ttl, &self.ttl)
            && so(&part.alias, &self.alias)
            && so(&part.weight, &self.weight)
            && so(&part.failover, &self.failover)
            && so(&part.region, &self.region)
            && so(&part.multivalue, &self.multivalue)
            && so(&part.health_check, &self.health_check)
    }

    /// This with everything that `part` gives.
    pub fn with(&self, part: &Self) -> Self {
        let part = part.clone();
        let mut made = Self {
            values: part.values.or_else(|| self.values.clone()),
            ttl: part.ttl.or(self.ttl),
            alias: part.alias.or_else(|| self.alias.clone()),
            weight: part.weight.or(self.weight),
            failover: part.failover.or(self.failover),
            region: part.region.or_else(|| self.region.clone()),
            multivalue: part.multivalue.or(self.multivalue),
            health_check: part.health_check.or_else(|| self.health_check.clone()),
        };
        // A record has values with a TTL, or an alias without (Route 53 API Reference,
        // ResourceRecordSet).
        if made.values.is_some() && made.alias.is_some() {
            match self.alias {
                Some(_) => made.alias = None,
                None => made.values = None,
            }
        }
        if made.alias.is_some() {
            made.ttl = None;
        }
        made
    }

    /// Whether it belongs to a set of records of one name, told apart by an identifier.
    pub fn is_one_of_several(&self) -> bool {
        self.weight.is_some()
            || self.failover.is_some()
            || self.region.is_some()
            || self.multivalue.is_some()
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.values.as_ref().map(|values| values.join(", ")));
        parts.extend(self.alias.as_ref().map(|alias| {
            let health = if alias.evaluate_target_health { ", with its health" } else { "" };
            format!("an alias of {} (zone {}{health})", alias.name, alias.zone)
        }));
        parts.extend(self.ttl.map(|ttl| format!("TTL {ttl} s")));
        parts.extend(self.weight.map(|weight| format!("weight {weight}")));
        parts.extend(self.failover.map(|role| {
            format!("failover {}", if role == Role::Primary { "PRIMARY" } else { "SECONDARY" })
        }));
        parts.extend(self.region.as_ref().map(|region| format!("latency of {region}")));
        parts.extend(self.multivalue.filter(|on| *on).map(|_| "multivalue".to_owned()));
        parts.extend(self.health_check.as_ref().map(|id| format!("health check {id}")));
        match parts.is_empty() {
            true => f.write_str("nothing"),
            false => f.write_str(&parts.join(", ")),
        }
    }
}

/// A domain name as it is compared. Route 53 gives `*` as `\052` (Developer Guide, "DNS domain name
/// format").
pub fn name(text: &str) -> String {
    text.trim_end_matches('.').replace("\\052", "*").to_lowercase()
}

fn plain(value: &str, kind: &str) -> String {
    match kind {
        "CNAME" | "NS" | "PTR" | "MX" | "SRV" => name(value),
        "AAAA" => value.parse::<Ipv6Addr>().map_or_else(|_| value.to_owned(), |ip| ip.to_string()),
        _ => value.to_owned(),
    }
}

/// What a swap would do to one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It says already what it should.
    Nothing,
    /// It would say this.
    Set(State),
    /// There is none, and there would be this.
    Create(State),
    /// Somebody else changed it: what was found.
    Refused(String),
}

/// From what the record says now (`None`: there is none) to what it should say, if it is as
/// expected (`None`: not there). All are normal.
pub fn diff(current: Option<&State>, to: &State, from: Option<&State>) -> Change {
    match (current, from) {
        (Some(now), _) if now.has(to) => Change::Nothing,
        (Some(now), Some(from)) if now.has(from) => Change::Set(now.with(to)),
        (Some(now), Some(from)) => Change::Refused(format!("it says {now}, not {from}")),
        (Some(now), None) => Change::Refused(format!("it is there already and says {now}")),
        (None, None) => Change::Create(to.clone()),
        (None, Some(from)) => {
            Change::Refused(format!("there is no such record; {from} was expected"))
        }
    }
}

/// The way back from what `diff` did: what the record would say again. `Set` and `Create` are the
/// record to write, `Nothing` where it was not done; a record that was made is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    Nothing,
    Set(State),
    Delete,
    Refused(String),
}

pub fn undo(current: Option<&State>, to: &State, from: Option<&State>) -> Undo {
    let Some(from) = from else {
        return match current {
            None => Undo::Nothing,
            Some(now) if now.has(to) => Undo::Delete,
            Some(now) => Undo::Refused(format!("it says {now}, which this run did not set")),
        };
    };
    match diff(current, from, Some(to)) {
        Change::Nothing => Undo::Nothing,
        Change::Set(state) | Change::Create(state) => Undo::Set(state),
        Change::Refused(why) => Undo::Refused(why),
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
