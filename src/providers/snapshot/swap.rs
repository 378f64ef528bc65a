//! `snapshot.swap`: a restored database takes the place of the bad one, in one transaction.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::postgres::replication::bounded;
use crate::postgres::{Session, quote, sqlstate};
use crate::providers::postgres::{Server, door, effectful, harmless, limits};
use crate::providers::{
    Action, Applied, Check, Context, Description, Failure, Observed, Plane, Standing, references,
};

/// How often sessions are ended and the names are tried.
const TRIES: usize = 5;

/// Arguments of `snapshot.swap`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The database's name in the configuration: whose place is taken.
    pub database: String,
    /// The region of the server.
    #[serde(rename = "in")]
    pub region: String,
    /// The restored database on that server: its name, or `${steps.ID.name}`.
    pub restored: String,
    /// The name under which the bad copy is kept; default: its own with `_before_` and the time.
    pub keep_as: Option<String>,
}

pub struct Swap {
    server: Server,
    restored: String,
    keep_as: Option<String>,
}

/// The three names.
struct Names {
    place: String,
    restored: String,
    kept: String,
}

/// Which of the three are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Before,
    After,
    Other,
}

impl Swap {
    pub fn new(with: With, config: &Config) -> Result<Self> {
        let server = Server::find(config, &with.database, &with.region)?;
        Ok(Self { server, restored: with.restored, keep_as: with.keep_as })
    }

    fn names(&self, cx: &Context<'_>) -> Result<Names, Failure> {
        let place = self.server.name().map_err(Failure::permanent)?;
        let restored = references::text(&self.restored, cx.facts).map_err(Failure::permanent)?;
        let kept = match &self.keep_as {
            Some(name) => references::text(name, cx.facts).map_err(Failure::permanent)?,
            None => {
                let short: String = place.chars().take(30).collect();
                format!("{short}_before_{}", cx.run.confirmed.format("%Y%m%d_%H%M%S"))
            }
        };
        if restored == place || kept == place || kept == restored {
            let what = format!("swap {}: three different names are needed", self.server.label());
            return Err(Failure::permanent(Error::new(Kind::Usage, what)));
        }
        Ok(Names { place, restored, kept })
    }

    async fn stage(&self, session: &Session, names: &Names) -> Result<Stage> {
        let there = |name: &str| {
            format!(
                "EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = {})",
                quote::literal(name)
            )
        };
        let (place, restored) = (there(&names.place), there(&names.restored));
        let sql = format!("SELECT {place}, {restored}, {}", there(&names.kept));
        let row = session.row(&sql).await?;
        Ok(match (row.truth(0)?, row.truth(1)?, row.truth(2)?) {
            (true, true, false) => Stage::Before,
            (true, false, true) => Stage::After,
            _ => Stage::Other,
        })
    }

    /// Nobody may be in a database that is renamed, and nobody comes back into the bad one.
    async fn rename(
        &self,
        cx: &Context<'_>,
        session: &Session,
        moves: [(&str, &str); 2],
    ) -> Result<(), Failure> {
        let limit = limits(cx).queries.max(Duration::from_secs(8));
        let [(a, to_a), (b, to_b)] = moves.map(|(a, b)| (quote::ident(a), quote::ident(b)));
        let sql = format!(
            "BEGIN; ALTER DATABASE {a} RENAME TO {to_a}; ALTER DATABASE {b} RENAME TO {to_b}; COMMIT"
        );
        let told = |what: String| cx.waits_for(what);
        let mut tried = 0;
        loop {
            for (name, _) in moves {
                let evicting = door::evict(session, name, limit, &told);
                let what = || format!("end the sessions in `{name}`");
                bounded(limit * 2, what, evicting).await.map_err(harmless)?;
            }
            let what = || format!("rename `{}` to `{}`", moves[0].0, moves[0].1);
            let Err(e) = bounded(limit, what, session.simple(&sql)).await else { return Ok(()) };
            let _ = bounded(limit, || "roll back".to_owned(), session.simple("ROLLBACK")).await;
            tried += 1;
            // object_in_use: somebody came in between.
            if sqlstate(&e).as_deref() != Some("55006") || tried >= TRIES {
                return Err(effectful(e.during(what()).hint(
                    "the role needs CREATEDB and ownership of both; look at pg_stat_activity for \
                     who is in them",
                )));
            }
        }
    }

    async fn session(&self, cx: &Context<'_>) -> Result<Session, Failure> {
        // A rename waits five seconds for sessions to leave.
        self.server.outside(limits(cx).connect.max(Duration::from_secs(8))).await.map_err(harmless)
    }

    fn facts(&self, names: &Names) -> Applied {
        Applied::default()
            .fact("database", self.server.database.clone())
            .fact("name", names.place.clone())
            .fact("kept_as", names.kept.clone())
    }

    fn lost(&self, names: &Names) -> Failure {
        let what = format!(
            "swap {}: `{}` and `{}` must be there, and `{}` must not",
            self.server.label(),
            names.place,
            names.restored,
            names.kept
        );
        Failure::permanent(Error::new(Kind::Failed, what).hint("`psql -l` lists what there is"))
    }
}

impl Action for Swap {
    fn describe(&self) -> Description {
        let kept = match &self.keep_as {
            Some(name) => format!("`{name}`"),
            None => "a name with `_before_`".to_owned(),
        };
        Description::changes(format!(
            "put database `{}` in the place of {}, in one transaction",
            self.restored,
            self.server.label()
        ))
        .detail(format!("the database that is there is kept as {kept}, closed to everybody"))
        .detail("sessions in both are ended")
        .leans_on(
            &self.server.region,
            Plane::Data,
            format!("the server of `{}`", self.server.database),
        )
        .compensated_by("the names are changed back, and the database is opened".to_owned())
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        let what = format!("swap in {}", self.server.label());
        let asked = async {
            let session = self.server.outside(limits(cx).connect).await?;
            let sql = "SELECT rolcreatedb OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user";
            let name = self.server.name()?;
            bounded(limits(cx).queries, || what.clone(), async {
                let door = door::look(&session, &name).await?;
                Ok((session.row(sql).await?.truth(0)?, door))
            })
            .await
        };
        vec![match asked.await {
            Ok((true, door)) if door.ours => {
                Check::new(Standing::Ready, &what, "the role may rename databases")
            }
            Ok(_) => Check::new(
                Standing::NotReady,
                &what,
                "the role may not rename it: it needs CREATEDB and its owner's rights",
            ),
            Err(e) => Check::new(Standing::NotReady, &what, e.one_line()),
        }]
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        let names = self.names(cx)?;
        let session = self.session(cx).await?;
        let what = || format!("look at {}", self.server.label());
        let looking = self.stage(&session, &names);
        match bounded(limits(cx).queries, what, looking).await.map_err(harmless)? {
            Stage::After => Ok(Observed::Done(self.facts(&names).facts)),
            Stage::Before => Ok(Observed::NotDone("the names are as before".to_owned())),
            Stage::Other => Err(self.lost(&names)),
        }
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let names = self.names(cx)?;
        let session = self.session(cx).await?;
        let label = self.server.label();
        let limit = limits(cx).queries;
        let stage = bounded(limit, || format!("look at {label}"), self.stage(&session, &names));
        match stage.await.map_err(harmless)? {
            Stage::After => {}
            Stage::Other => return Err(self.lost(&names)),
            Stage::Before => {
                bounded(limit, || format!("close {label}"), async {
                    let door = door::look(&session, &names.place).await?;
                    door::close(&session, &names.place, door).await
                })
                .await
                .map_err(effectful)?;
                let moves = [(&*names.place, &*names.kept), (&*names.restored, &*names.place)];
                self.rename(cx, &session, moves).await?;
            }
        }
        let mut applied = self.facts(&names);
        applied.summary = format!(
            "{label} is the restored database now; the one before is kept as `{}`, closed",
            names.kept
        );
        Ok(applied)
    }

    async fn compensate(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let names = self.names(cx)?;
        let session = self.session(cx).await?;
        let label = self.server.label();
        let limit = limits(cx).queries;
        let stage = bounded(limit, || format!("look at {label}"), self.stage(&session, &names));
        match stage.await.map_err(harmless)? {
            Stage::Before => {}
            Stage::Other => return Err(self.lost(&names)),
            Stage::After => {
                let moves = [(&*names.place, &*names.restored), (&*names.kept, &*names.place)];
                self.rename(cx, &session, moves).await?;
            }
        }
        bounded(limit, || format!("open {label}"), async {
            let door = door::look(&session, &names.place).await?;
            door::open(&session, &names.place, door).await
        })
        .await
        .map_err(effectful)?;
        Ok(Applied::new(format!("{label} is the database that it was, and open")))
    }
}
