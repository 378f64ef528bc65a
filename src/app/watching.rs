//! Looking again and again whether clients of a drill's regions are served.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::{Instant, sleep, timeout};

use super::staging::Staging;
use crate::drill::Served;
use crate::error::{Error, Kind, Result};
use crate::postgres::{Conninfo, connect};
use crate::providers::action::Unheard;
use crate::providers::{self, Arguments, Context, DynAction, Observed, RunFacts, World};
use crate::runbook::plan::Plan;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(500);
/// What one look may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// The looks of one drill.
pub(super) struct Watch<'w> {
    world: &'w World,
    run: &'w RunFacts,
    http: Option<Box<dyn DynAction>>,
    sql: Option<(Conninfo, String)>,
    served: Mutex<Served>,
}

impl<'w> Watch<'w> {
    /// What `[drill.failover]` names; nothing to look at where it names nothing.
    pub fn new(
        staging: &Staging,
        world: &'w World,
        plan: &Plan,
        run: &'w RunFacts,
    ) -> Result<Self> {
        let config = &staging.app.config;
        let http = staging.drill.url.as_ref().map(|url| {
            let mut with = Map::from_iter([
                ("url".to_owned(), Value::from(url.as_str())),
                ("successes".to_owned(), Value::from(1)),
                ("patience".to_owned(), Value::from("2s")),
            ]);
            with.extend(
                staging.drill.resolver.iter().map(|r| ("resolver".to_owned(), r.as_str().into())),
            );
            let kind = providers::find("http.await_ready")
                .ok_or_else(|| Error::new(Kind::Bug, "no action asks an HTTP endpoint"))?;
            kind.build(&Arguments(with), config)
                .map_err(|e| e.during("use `url` of [drill.failover]"))
        });
        let sql = staging.drill.sql.as_ref().map(|sql| {
            let name = match &staging.drill.database {
                Some(name) => name.clone(),
                None => config.database_names().next().unwrap_or_default().to_owned(),
            };
            let servers = &config.database(&name)?.servers;
            let server = servers.get(&plan.to).ok_or_else(|| {
                let what =
                    format!("`sql` in [drill.failover]: `{name}` has no server in {}", plan.to);
                Error::new(Kind::Usage, what).hint(format!(
                    "add [database.{name}.server.{}] in {}",
                    plan.to,
                    config.path.display()
                ))
            })?;
            Ok::<_, Error>((Conninfo::parse(&server.url)?, sql.clone()))
        });
        let (http, sql) = (http.transpose()?, sql.transpose()?);
        Ok(Self { world, run, http, sql, served: Mutex::default() })
    }

    /// Whether there is anything to look at.
    pub fn looks(&self) -> bool {
        self.http.is_some() || self.sql.is_some()
    }

    pub fn served(&self) -> MutexGuard<'_, Served> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks from now on, for as long as it is polled. Times count from `fault`.
    pub async fn go_on(&self, fault: Instant) {
        if !self.looks() {
            return std::future::pending().await;
        }
        loop {
            let look = self.all().await;
            self.served().seen(fault.elapsed().as_secs_f64(), look);
            sleep(EVERY).await;
        }
    }

    /// Whether clients are served where they look, before the fault: `sql` is for afterwards.
    pub async fn before(&self) -> Result<()> {
        let Some(why) = self.ask_http().await.err() else { return Ok(()) };
        let what = "begin a failover drill: clients are not served before the fault either";
        Err(Error::new(Kind::Unverified, what)
            .caused_by(why)
            .hint("nothing was begun; bring the regions of the drill in order first"))
    }

    async fn all(&self) -> Result<(), String> {
        self.ask_http().await?;
        let Some((info, sql)) = &self.sql else { return Ok(()) };
        let asked = async {
            let session = connect(info, "drctl drill").await?;
            let row = session.row(sql).await;
            session.close().await;
            Ok::<_, Error>(row?.get(0) == Some("t"))
        };
        match timeout(PATIENCE, asked).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err("`sql` does not give true".to_owned()),
            Ok(Err(e)) => Err(e.one_line()),
            Err(_) => Err("`sql`: no answer in time".to_owned()),
        }
    }

    async fn ask_http(&self) -> Result<(), String> {
        let Some(action) = &self.http else { return Ok(()) };
        let cx = Context {
            world: self.world,
            run: self.run,
            step: "served",
            facts: &BTreeMap::new(),
            deadline: Instant::now() + PATIENCE,
            progress: &Unheard,
        };
        match action.observe(&cx).await {
            Ok(Observed::Done(_)) => Ok(()),
            Ok(Observed::NotDone(why)) => Err(why),
            Err(failure) => Err(failure.error.one_line()),
        }
    }
}
