//! Makes the instance, waits for it, and deletes it.
//!
//! States: Amazon RDS User Guide, "Viewing Amazon RDS DB instance status". The answer of
//! CreateDBInstance comes while the instance is `creating`; it has an endpoint once it is `available`
//! (Amazon RDS API Reference, DBInstance). DescribeDBInstances gives the tags too, as `TagList`, so
//! that what is deleted is known by the same look as that it is there.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_rds::types::DbInstance;
use tokio::time::Instant;

use super::blueprint::{Blueprint, draw};
use super::ownership::{foreign, loan, name, tags};
use super::refusal::advised;
use crate::config::{RdsDrillConfig, Secret};
use crate::drill::{Lender, Loan, Wish};
use crate::error::{Error, Kind, Result};
use crate::model::{DrillId, Level, Sink};
use crate::postgres::Conninfo;
use crate::providers::aws::Clients;
use crate::providers::aws::failure::{Call, code};
use crate::providers::aws::rds::instance::is_stuck;
use crate::providers::aws::waiting::{Asked, Limit, Look, until_by};
use crate::providers::{Failure, FailureClass};

/// How long a deletion may take, beyond what making the instance may: RDS deletes none that it is
/// still making.
const DELETING: Duration = Duration::from_mins(10);

/// Makes instances as one `[drill.rds.NAME]` says.
pub struct RdsLender {
    config: RdsDrillConfig,
    clients: Clients,
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

    fn told(&self, drill: &DrillId) -> String {
        format!("RDS instance `{}` in {}", name(drill), self.config.region)
    }

    /// The instance of that name, where there is one.
    async fn look(&self, id: &str) -> Result<Option<DbInstance>, Failure> {
        let region = &self.config.region;
        let what = format!("look at RDS instance `{id}` in {region}");
        let call = Call::reads("rds:DescribeDBInstances", what);
        let reach = self.clients.at(region).await?;
        let request = reach.rds().describe_db_instances().db_instance_identifier(id);
        match request.send().await {
            Ok(answer) => Ok(answer.db_instances.unwrap_or_default().into_iter().next()),
            Err(e) if is_absent(code(&e)) => Ok(None),
            Err(e) => Err(call.failed(e)),
        }
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

    /// Asks for the instance. Backups are off, so that nothing of it outlives it, and it may be
    /// deleted at any time; all else is the blueprint's.
    async fn create(&self, wish: &Wish, plan: &Blueprint) -> Result<Option<String>, Failure> {
        let call = Call::writes("rds:CreateDBInstance", format!("make {}", self.told(&wish.drill)));
        let groups = Some(plan.security_groups.clone()).filter(|groups| !groups.is_empty());
        let password = wish.password.expose()?;
        let reach = self.clients.at(&self.config.region).await?;
        let answer = reach
            .writing()
            .rds()
            .create_db_instance()
            .db_instance_identifier(name(&wish.drill))
            .engine("postgres")
            .engine_version(&plan.engine_version)
            .db_instance_class(&plan.class)
            .allocated_storage(plan.storage)
            .set_storage_type(plan.storage_type.clone())
            .set_iops(plan.iops)
            .set_storage_throughput(plan.throughput)
            // It will hold what production holds.
            .storage_encrypted(true)
            .set_kms_key_id(plan.kms_key.clone())
            .master_username(&self.config.user)
            .master_user_password(password)
            .set_db_subnet_group_name(plan.subnet_group.clone())
            .set_vpc_security_group_ids(groups)
            .set_db_parameter_group_name(plan.parameter_group.clone())
            .set_port(plan.port)
            .set_ca_certificate_identifier(plan.ca.clone())
            .publicly_accessible(plan.public)
            .multi_az(false)
            .backup_retention_period(0)
            .deletion_protection(false)
            .auto_minor_version_upgrade(false)
            .copy_tags_to_snapshot(false)
            .set_tags(Some(tags(wish)))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(None),
            // An earlier request, whose answer was lost.
            Err(e) if code(&e) == Some("DBInstanceAlreadyExists") => Ok(None),
            Err(e) => {
                let code = code(&e).map(str::to_owned);
                let Failure { class, error } = call.failed(e);
                Err(Failure { class, error: advised(error, code.as_deref()) })
            }
        }
    }

    /// Asks for the deletion. `Some`: RDS will not begin it now, for this reason.
    async fn delete(&self, drill: &DrillId) -> Result<Option<String>, Failure> {
        let call = Call::writes("rds:DeleteDBInstance", format!("delete {}", self.told(drill)));
        let reach = self.clients.at(&self.config.region).await?;
        let answer = reach
            .writing()
            .rds()
            .delete_db_instance()
            .db_instance_identifier(name(drill))
            .skip_final_snapshot(true)
            .delete_automated_backups(true)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(None),
            Err(e) if is_absent(code(&e)) => Ok(None),
            // It is still being made, or being deleted already.
            Err(e) if code(&e) == Some("InvalidDBInstanceState") => {
                Ok(Some(call.failed(e).error.one_line()))
            }
            Err(e) => Err(call.failed(e)),
        }
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

    async fn judge(&self, wish: &Wish) -> Result<()> {
        self.drawn(wish).await?;
        let there = self.look(&name(&wish.drill)).await.map_err(|f| f.error)?;
        match there {
            None => Ok(()),
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
        let heard = Mutex::new(String::new());
        let hear = |why: &str| {
            let mut last = heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if *last != why {
                why.clone_into(&mut last);
                sink.notice(Level::Info, format!("{told}: it waits for {why}"));
            }
        };
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

    async fn take_back(&self, drill: &DrillId) -> Result<Vec<String>> {
        let (told, id) = (self.told(drill), name(drill));
        let limit = Limit {
            end: Instant::now() + self.config.create_timeout + DELETING,
            said: "it is not gone in time",
        };
        // Seen there at all, and seen to be on its way out.
        let seen = Mutex::new((false, false));
        let note = |there: bool, going: bool| {
            *seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = (there, going);
        };
        let deletion = Asked::default();
        let gone = until_by(
            limit,
            &format!("delete {told}"),
            |_| {},
            || async {
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
            },
        )
        .await;
        let (there, going) = *seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
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
        let region = &self.config.region;
        let what = format!("look for instances of drills in {region}");
        let call = Call::reads("rds:DescribeDBInstances", what);
        let reach = self.clients.at(region).await.map_err(|f| f.error)?;
        let mut pages = reach.rds().describe_db_instances().into_paginator().send();
        let mut loans = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| call.failed(e).error)?;
            loans.extend(page.db_instances().iter().filter_map(|f| loan(f, project, region)));
        }
        Ok(loans)
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

/// RDS answers with one or the other name of the error.
fn is_absent(code: Option<&str>) -> bool {
    matches!(code, Some("DBInstanceNotFound" | "DBInstanceNotFoundFault"))
}
