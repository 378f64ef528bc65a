//! The sampler: both servers of each database, every few seconds, by one runner of all.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::attempt::{ASKING, trouble, within};
use super::plan::Plan;
use super::ports::{Claim, Claimed, Ports};
use super::runner::{Doing, Done};
use super::standing::{ReplicaSeen, ReplicaStanding};
use crate::error::Result;
use crate::model::{Alert, Learned, Severity};

/// The lease of the one who samples.
pub const LEASE: &str = "sampler";
/// How often those who do not sample look at what was sampled.
const READ: Duration = Duration::from_secs(30);
/// Without a sample for so long, people are told.
const PATIENCE: Duration = Duration::from_mins(5);

pub(super) enum Sampled {
    Claimed(Result<Claimed>),
    Seen { database: String, seen: Result<Option<ReplicaSeen>> },
}

pub(super) struct Sampling {
    every: Option<Duration>,
    databases: BTreeMap<String, One>,
    claim: Option<Box<dyn Claim>>,
    claiming: bool,
    claim_at: Duration,
    /// When the last sample of any database was kept here.
    sampled: Option<DateTime<Utc>>,
}

struct One {
    next: Duration,
    asking: bool,
    /// When something was last seen.
    heard: Duration,
    told: Option<bool>,
    seen: Learned<Option<ReplicaSeen>>,
}

impl One {
    fn new(at: Duration) -> Self {
        let seen = Learned::Unknown("it has not been looked at yet".to_owned());
        Self { next: Duration::ZERO, asking: false, heard: at, told: None, seen }
    }
}

impl Sampling {
    pub fn new(plan: &Plan, at: Duration) -> Self {
        Self {
            every: plan.sample_every,
            databases: plan.sampled.iter().map(|name| (name.clone(), One::new(at))).collect(),
            claim: None,
            claiming: false,
            claim_at: Duration::ZERO,
            sampled: None,
        }
    }

    pub fn reload(&mut self, plan: &Plan, at: Duration) {
        self.every = plan.sample_every;
        self.databases.retain(|name, _| plan.sampled.contains(name));
        for name in &plan.sampled {
            self.databases.entry(name.clone()).or_insert_with(|| One::new(at));
        }
    }

    /// What is to be begun now.
    pub fn due(&mut self, ports: &Ports, at: Duration) -> Vec<Doing> {
        let mut due: Vec<Doing> = Vec::new();
        let Some(every) = self.every.filter(|_| !self.databases.is_empty()) else { return due };
        if self.claim.as_ref().is_some_and(|claim| !claim.is_held()) {
            self.claim = None;
        }
        if self.claim.is_none() && !self.claiming && at >= self.claim_at {
            self.claiming = true;
            let ports = ports.clone();
            due.push(Box::pin(async move {
                let claim = ports.ledger.claim(LEASE, "sample the replication");
                let claim = within(&*ports.clock, ASKING, "take the lease of the sampler", claim);
                Done::Sampled(Sampled::Claimed(claim.await))
            }));
        }
        let ours = self.claim.is_some();
        for (database, one) in &mut self.databases {
            if one.asking || at < one.next {
                continue;
            }
            one.asking = true;
            one.next = at + if ours { every } else { READ.max(every) };
            let (ports, database) = (ports.clone(), database.clone());
            due.push(Box::pin(async move {
                let look = async {
                    match ours {
                        true => ports.replicas.sample(&database).await.map(Some),
                        false => ports.replicas.last(&database).await,
                    }
                };
                let seen = within(&*ports.clock, ASKING, "sample the replication", look).await;
                Done::Sampled(Sampled::Seen { database, seen })
            }));
        }
        due
    }

    pub fn take(&mut self, sampled: Sampled, ports: &Ports, at: Duration) {
        match sampled {
            Sampled::Claimed(claimed) => {
                self.claiming = false;
                self.claim_at = at + Duration::from_secs(30);
                match claimed {
                    Ok(Claimed::Ours(claim)) => {
                        self.claim = Some(claim);
                        self.databases.values_mut().for_each(|one| one.next = at);
                    }
                    Ok(Claimed::Held { left, .. }) => {
                        self.claim_at = at + left + Duration::from_secs(1);
                    }
                    Err(e) => trouble(ports, "take the lease of the sampler".to_owned(), &e),
                }
            }
            Sampled::Seen { database, seen } => {
                let ours = self.claim.is_some();
                let Some(one) = self.databases.get_mut(&database) else { return };
                one.asking = false;
                match &seen {
                    Ok(Some(seen)) => {
                        one.heard = at;
                        if ours {
                            self.sampled = Some(seen.at);
                        }
                    }
                    Ok(None) => {}
                    Err(_) => one.next = one.next.max(at + Duration::from_secs(5)),
                }
                one.seen = seen.into();
            }
        }
    }

    /// Databases of which there was no sample for too long, or is one again.
    pub fn alerts(&mut self, at: Duration, now: DateTime<Utc>) -> Vec<Alert> {
        if self.every.is_none() {
            return Vec::new();
        }
        let mut alerts = Vec::new();
        for (database, one) in &mut self.databases {
            let well = at < one.heard + PATIENCE;
            let first = well && one.told.is_none() && one.seen.known().is_some();
            if one.told == Some(well) || (one.told.is_none() && well && !first) {
                continue;
            }
            one.told = Some(well);
            let why = match &one.seen {
                Learned::Unknown(why) => why.clone(),
                Learned::Known(_) => "nobody has kept one".to_owned(),
            };
            alerts.push(Alert {
                key: format!("sampler/{database}"),
                severity: if well { Severity::Info } else { Severity::Warning },
                summary: match well {
                    true => format!("the replication of `{database}` is sampled"),
                    false => format!("the replication of `{database}` has not been sampled lately"),
                },
                detail: match well {
                    true => String::new(),
                    false => format!(
                        "{why}\nwithout samples the loss of a failover cannot be told once the \
                         primary is gone\nnext: `drctl status` looks at both servers"
                    ),
                },
                at: now,
                resolved: well,
            });
        }
        alerts
    }

    pub fn sampled(&self) -> Option<DateTime<Utc>> {
        self.sampled.filter(|_| self.claim.is_some())
    }

    pub fn standing(&self) -> Vec<ReplicaStanding> {
        let one = |(database, one): (&String, &One)| ReplicaStanding {
            database: database.clone(),
            seen: one.seen.clone(),
        };
        self.databases.iter().map(one).collect()
    }

    pub async fn release(&mut self, ports: &Ports) {
        if let Some(claim) = self.claim.take() {
            let release = async {
                claim.release().await;
                Ok(())
            };
            let limit = Duration::from_secs(5);
            let _ = within(&*ports.clock, limit, "release the lease of the sampler", release).await;
        }
    }
}
