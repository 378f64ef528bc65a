//! `route53.swap`: sets records of a hosted zone, if they are as expected.

use aws_sdk_route53::types::ResourceRecordSet;
use serde_json::json;

use super::records::{find, record, state};
use super::state::{Change, Undo, diff, undo};
use super::swap_arguments::{Wanted, With, wanted, zone};
use super::writing::{Rewrite, write};
use super::{leaning, swap_readiness};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::providers::{Action, Applied, Check, Context, Description, Facts, Failure, Observed};

pub(super) struct Swap {
    pub(super) zone: String,
    pub(super) records: Vec<Wanted>,
}

pub(super) fn make(with: With, _: &Config) -> Result<Swap> {
    Ok(Swap { zone: zone(&with.zone)?, records: wanted(with.records)? })
}

/// A record, as it is and what would be done to it.
struct Found<'s> {
    wanted: &'s Wanted,
    current: Option<ResourceRecordSet>,
    change: Change,
}

impl Swap {
    async fn look<'s>(&'s self, cx: &Context<'_>) -> Result<Vec<Found<'s>>, Failure> {
        let mut all = Vec::with_capacity(self.records.len());
        for wanted in &self.records {
            let current = find(cx, &self.zone, wanted).await?;
            let now = current.as_ref().map(state);
            let change = diff(now.as_ref(), &wanted.to, wanted.from.as_ref());
            all.push(Found { wanted, current, change });
        }
        Ok(all)
    }

    fn what(&self) -> String {
        let names: Vec<_> = self.records.iter().map(Wanted::to_string).collect();
        format!("swap {} in zone {}", names.join(", "), self.zone)
    }

    fn facts(&self, change: Option<String>) -> Facts {
        let mut facts = Facts::new();
        facts.insert("zone".into(), self.zone.clone().into());
        facts.insert("change".into(), change.into());
        let records = self.records.iter().map(|wanted| {
            json!({
                "name": wanted.name, "type": wanted.kind.as_str(),
                "set_identifier": wanted.set_identifier,
            })
        });
        facts.insert("records".into(), records.collect());
        facts
    }

    fn refused(&self, why: Vec<String>) -> Failure {
        let error = Error::new(Kind::Failed, self.what()).caused_by(why.join("; ")).hint(
            "somebody else changed it: nothing was written. Find out who, then correct the record \
             or `from` in the runbook",
        );
        Failure::permanent(error)
    }
}

impl Action for Swap {
    fn describe(&self) -> Description {
        let mut description = Description::changes(self.what());
        for wanted in &self.records {
            let from = match &wanted.from {
                Some(from) => format!("from {from}"),
                None => "new".to_owned(),
            };
            description = description.detail(format!("{wanted}: {from} to {}", wanted.to));
        }
        leaning(
            description
                .detail("all records at once or none; one that says something else is refused")
                .compensated_by("the old values are put back where nobody else changed them"),
        )
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        swap_readiness::checks(cx, self).await
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        let open: Vec<_> = self
            .look(cx)
            .await?
            .into_iter()
            .filter_map(|found| match found.change {
                Change::Nothing => None,
                Change::Refused(why) => Some(format!("{}: {why}", found.wanted)),
                Change::Set(_) | Change::Create(_) => {
                    Some(format!("{} is as it was", found.wanted))
                }
            })
            .collect();
        Ok(match open.is_empty() {
            true => Observed::Done(self.facts(None)),
            false => Observed::NotDone(open.join("; ")),
        })
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let (mut all, mut refused) = (Vec::new(), Vec::new());
        for Found { wanted, current, change } in self.look(cx).await? {
            match change {
                Change::Nothing => {}
                Change::Set(to) | Change::Create(to) => {
                    let to = Some(record(wanted, current.as_ref(), &to)?);
                    all.push(Rewrite { wanted, seen: current, to });
                }
                Change::Refused(why) => refused.push(format!("{wanted}: {why}")),
            }
        }
        if !refused.is_empty() {
            return Err(self.refused(refused));
        }
        if all.is_empty() {
            let applied = Applied::new("every record says already what it should");
            return Ok(Applied { facts: self.facts(None), ..applied });
        }
        let count = all.len();
        let id = write(cx, &self.zone, &self.what(), &all).await?;
        let records = if count == 1 { "1 record".to_owned() } else { format!("{count} records") };
        let are = if count == 1 { "is" } else { "are" };
        let summary = format!("{records} of zone {} {are} set, by change {id}", self.zone);
        Ok(Applied { facts: self.facts(Some(id)), ..Applied::new(summary) })
    }

    async fn compensate(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let (mut all, mut refused) = (Vec::new(), Vec::new());
        for wanted in &self.records {
            let current = find(cx, &self.zone, wanted).await?;
            let now = current.as_ref().map(state);
            match (undo(now.as_ref(), &wanted.to, wanted.from.as_ref()), current) {
                (Undo::Set(old), seen) => {
                    let to = Some(record(wanted, seen.as_ref(), &old)?);
                    all.push(Rewrite { wanted, seen, to });
                }
                (Undo::Delete, seen @ Some(_)) => all.push(Rewrite { wanted, seen, to: None }),
                (Undo::Refused(why), _) => refused.push(format!("{wanted}: {why}")),
                (Undo::Nothing | Undo::Delete, _) => {}
            }
        }
        if !refused.is_empty() {
            return Err(self.refused(refused));
        }
        if all.is_empty() {
            return Ok(Applied::new("every record says what it said before"));
        }
        let what = format!("put back what {} changed", cx.step);
        let id = write(cx, &self.zone, &what, &all).await?;
        let summary = format!("the old records of zone {} are back, by change {id}", self.zone);
        Ok(Applied { facts: self.facts(Some(id)), ..Applied::new(summary) })
    }
}
