//! Makes the instance, waits for it, and deletes it.
//!
//! States: Amazon RDS User Guide, "Viewing Amazon RDS DB instance status". The answer of
//! CreateDBInstance comes while the instance is `creating`; it has an endpoint once it is `available`
//! (Amazon RDS API Reference, DBInstance). Its tags are looked at each time that it is, before anything
//! is done to it.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_rds::types::DbInstance;
use tokio::time::Instant;

use super::blueprint::{Blueprint, draw};
use super::ownership::{foreign, loan, name};
use crate::config::{RdsDrillConfig, Secret};
use crate::drill::{Lender, Loan, Wish};
use crate::error::{Error, Kind, Result};
use crate::model::{DrillId, Level, Sink};
use crate::postgres::Conninfo;
use crate::providers::aws::Clients;
use crate::providers::aws::rds::instance::is_stuck;
use crate::providers::aws::waiting::{Asked, Limit, Look, until_by};
use crate::providers::{Failure, FailureClass};

/// How long a deletion may take, beyond what making the instance may: RDS may refuse to delete one
/// that it is still making (Amazon RDS API Reference, DeleteDBInstance, InvalidDBInstanceState).
const DELETING: Duration = Duration::from_mins(10);

/// Makes instances as one `[drill.rds.NAME]` says.
pub struct RdsLender {
    pub(super) config: RdsDrillConfig,
    pub(super) clients: Clients,
    /// Instances that the configuration names: they are somebody's, whatever they are called.
    known: Vec<String>,
    /// Whether an instance was asked for, answered or not.
    asked: Asked,
}

impl RdsLender {
    pub fn new(config: RdsDrillConfig, clients: Clients) -> Self {
        let mut known = clients.rds_instances();
        known.extend(config.template.clone());
        Self { config, clients, known, asked: Asked::default() }
    }

    pub(super) fn told(&self, drill: &DrillId) -> String {
        format!("RDS instance `{}` in {}", name(drill), self.config.region)
    }

    async fn drawn(&self, wish: &Wish) -> Result<Blueprint> {
        let Some(template) = &self.config.template else { return draw(&self.config, None, wish) };
        let found = self.look(template).await.map_err(|f| f.error)?;
        let found = found.ok_or_else(|| {
            let what = format!("look at the template `{template}` in {}", self.config.region);
            Error::new(Kind::Usage, what).caused_by("RDS knows no such instance").hint(
                "name one that is there as `template` in [drill.rds.NAME], or none and a `class`",
            )
        })?;
        draw(&self.config, Some(&found), wish)
    }

    fn refused(&self, drill: &DrillId, why: String) -> Failure {
        let what = format!("touch {}", self.told(drill));
        Failure::permanent(Error::new(Kind::Failed, what).caused_by(why).hint(
            "drctl deletes an instance only when its name and its tag are the drill's: look at it, \
             and delete it by hand if it is not needed",
        ))
    }

    /// The way in, once RDS says that it is available.
    fn way_in(&self, found: &DbInstance, password: &Secret) -> Result<Conninfo> {
        let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
        let endpoint = found.endpoint();
        let host = endpoint.and_then(|e| e.address()).unwrap_or_default();
        let port = endpoint.and_then(|e| e.port()).unwrap_or(5432);
        let certificates = self.config.sslrootcert.as_deref().map(Path::display);
        let root = certificates
            .map(|path| format!(" sslrootcert={}", quoted(&path.to_string())))
            .unwrap_or_default();
        Conninfo::parse(&Secret::new(format!(
            "host={} port={port} user={} password={} dbname=postgres connect_timeout=10 \
             sslmode={}{root}",
            quoted(host),
            quoted(&self.config.user),
            quoted(password.expose()?),
            self.config.sslmode,
        )))
    }
}

#[async_trait]
impl Lender for RdsLender {
    fn region(&self) -> &str {
        &self.config.region
    }

    fn instance(&self, drill: &DrillId) -> String {
        name(drill)
    }

    async fn judge(&self, wish: &Wish) -> Result<u32> {
        let plan = self.drawn(wish).await?;
        let there = self.look(&name(&wish.drill)).await.map_err(|f| f.error)?;
        match there {
            None => Ok(plan.major),
            Some(_) => Err(self.refused(&wish.drill, "one of that name is there".into()).error),
        }
    }

    async fn lend(&self, wish: &Wish, sink: &dyn Sink) -> Result<Conninfo> {
        let plan = self.drawn(wish).await?;
        let limit = Limit {
            end: Instant::now() + self.config.create_timeout,
            said: "`create_timeout` in [drill.rds.NAME] is over",
        };
        let (told, id) = (self.told(&wish.drill), name(&wish.drill));
        let hear = teller(&told, sink);
        let what = format!("wait until {told} is available");
        let made = until_by(limit, &what, hear, || async {
            let Some(found) = self.look(&id).await? else {
                return Ok(Look::NotYet(match self.asked.lately() {
                    true => "RDS to begin with it".to_owned(),
                    false => self.asked.ask(self.create(wish, &plan)).await?,
                }));
            };
            if let Some(why) = foreign(&found, &wish.drill, &self.known) {
                return Err(self.refused(&wish.drill, why));
            }
            match found.db_instance_status().unwrap_or("unknown") {
                "available" | "storage-optimization" => Ok(Look::There(found)),
                status if is_stuck(status) => {
                    let error = Error::new(Kind::Failed, &*what)
                        .caused_by(format!("its status is `{status}`"))
                        .hint("its events at RDS say why; another drill makes another instance");
                    Err(Failure::permanent(error))
                }
                status => Ok(Look::NotYet(format!("RDS: its status is `{status}`"))),
            }
        });
        let found = made.await.map_err(|f| f.error)?;
        self.way_in(&found, &wish.password)
    }

    async fn take_back(&self, drill: &DrillId, sink: &dyn Sink) -> Result<Vec<String>> {
        let (told, id) = (self.told(drill), name(drill));
        let limit = Limit {
            end: Instant::now() + self.config.create_timeout + DELETING,
            said: "it is not gone in time",
        };
        // Seen there at all, and seen to be on its way out.
        let seen = Mutex::new((false, false));
        let note = |there: bool, going: bool| {
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = (there, going);
        };
        let deletion = Asked::default();
        let what = format!("delete {told}");
        let gone = until_by(limit, &what, teller(&told, sink), || async {
            let Some(found) = self.look(&id).await? else {
                return Ok(match self.asked.lately() && !deletion.at_all() {
                    true => Look::NotYet("a sign of what was asked for just now".to_owned()),
                    false => Look::There(()),
                });
            };
            if let Some(why) = foreign(&found, drill, &self.known) {
                return Err(self.refused(drill, why));
            }
            let status = found.db_instance_status().unwrap_or("unknown");
            note(true, status == "deleting");
            if status == "deleting" || deletion.lately() {
                return Ok(Look::NotYet(format!("RDS: its status is `{status}`")));
            }
            Ok(Look::NotYet(deletion.ask(self.delete(drill)).await?))
        })
        .await;
        let (there, going) = *seen.lock().unwrap_or_else(PoisonError::into_inner);
        match gone {
            Ok(()) if there => Ok(vec![told]),
            Ok(()) => Ok(Vec::new()),
            // RDS never turns back from there (Amazon RDS API Reference, DeleteDBInstance).
            Err(f) if going && f.class == FailureClass::Transient => {
                Ok(vec![format!("{told} (its deletion was asked for; it is `deleting`)")])
            }
            Err(f) => Err(f.error),
        }
    }

    async fn loans(&self, project: &str) -> Result<Vec<Loan>> {
        let all = self.all().await.map_err(|f| f.error)?;
        Ok(all.iter().filter_map(|found| loan(found, project, &self.config.region)).collect())
    }

    fn reach(&self, drill: &DrillId, info: &Conninfo) -> String {
        format!(
            "{}: {}; nobody was told its password: set one with `aws rds modify-db-instance \
             --region {} --db-instance-identifier {} --master-user-password …`; it is paid for \
             until it is removed",
            self.told(drill),
            info.host_for_people(),
            self.config.region,
            name(drill),
        )
    }
}

/// Tells what is waited for, each time that it is another thing.
fn teller(told: &str, sink: &dyn Sink) -> impl Fn(&str) {
    let last = Mutex::new(String::new());
    move |why| {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != why {
            why.clone_into(&mut last);
            sink.notice(Level::Info, format!("{told}: it waits for {why}"));
        }
    }
}
