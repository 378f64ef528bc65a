//! Where drills restore to: what the configuration says, put together with who makes it.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;

use super::{App, random};
use crate::drill::{self, Ground, Grounds, Inquiry, Lender};
use crate::error::Result;
use crate::postgres::Conninfo;
use crate::providers::aws::{Clients, RdsLender};
use crate::snapshot::readiness::Finding;

/// The name by which drctl's own server is asked for.
const EMBEDDED: &str = "embedded";

impl App {
    /// Where to restore to.
    pub(super) fn ground(&self, into: Option<&str>) -> Result<Ground> {
        let drill = &self.config.drill;
        match into.or(drill.target.as_deref()) {
            None | Some(EMBEDDED) => Ok(Ground::Embedded {
                place: drill.folder.clone(),
                user: drill.user.clone(),
                pg_bin: drill.pg_bin.clone(),
            }),
            Some(name) if drill.rds.contains_key(name) => {
                Ok(Ground::Lent { lender: name.to_owned() })
            }
            Some(target) => {
                self.config.target(target).map_err(|e| {
                    match self.config.target_names().any(|name| name == target) {
                        true => e,
                        false => e.hint(self.places()),
                    }
                })?;
                Ok(Ground::Server { target: target.to_owned() })
            }
        }
    }

    /// Where drills of this configuration may restore to, for a hint.
    fn places(&self) -> String {
        let targets = self.config.target_names();
        let all = [EMBEDDED].into_iter().chain(targets);
        let all: Vec<&str> = all.chain(self.config.drill.rds.keys().map(String::as_str)).collect();
        format!("--into takes {}; add a [target.NAME] or a [drill.rds.NAME]", all.join(", "))
    }

    /// How it stands with the servers that drills have made. No step takes longer than `limit`.
    pub async fn drill_findings(&self, limit: Duration) -> Result<Vec<Finding>> {
        let inquiry = Inquiry {
            project: &self.config.project,
            limit,
            timeout: self.config.drill.timeout,
            now: Utc::now(),
            random: random()?,
        };
        Ok(drill::ready(&self.grounds(), &inquiry).await)
    }

    pub(super) fn grounds(&self) -> Grounds {
        let targets = self.config.target_names().filter_map(|name| {
            let info = Conninfo::parse(&self.config.target(name).ok()?.url).ok()?;
            Some((name.to_owned(), info))
        });
        let clients = Clients::new(Arc::clone(&self.config));
        let lenders = self.config.drill.rds.iter().map(|(name, rds)| {
            let lender = RdsLender::new(rds.clone(), clients.clone());
            (name.clone(), Arc::new(lender) as Arc<dyn Lender>)
        });
        Grounds { targets: targets.collect(), lenders: lenders.collect(), regions: self.mending() }
    }
}
