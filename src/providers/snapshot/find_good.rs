//! `snapshot.find_good`: from the newest snapshot back to the first that is whole and in which the
//! runbook's own questions have the right answers, seen in a restored copy.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;

use super::restore::{Chosen, Roles, request};
use super::watching::{Relay, aside, watching};
use super::{repeatable, shelf_of};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::integrity::history::Which;
use crate::integrity::shelf::{self, Shelved};
use crate::integrity::verify::{Depth, Sample, Verdict, VerifyRequest, verify};
use crate::model::{Digest, Sink};
use crate::postgres::quote;
use crate::postgres::replication::{bounded, reach};
use crate::providers::counting::counted;
use crate::providers::postgres::{Assertion, Server, ask, limits};
use crate::providers::{
    Action, Applied, Check, Context, Description, Failure, Observed, Plane, Standing, references,
};
use crate::restore::{self, Proof};
use crate::store::ObjectStore;

/// Snapshots that are looked at, where the runbook does not say.
const TRIES: usize = 24;

/// Arguments of `snapshot.find_good`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The database's name in the configuration.
    pub database: String,
    /// The region of the server on which copies are restored to be questioned.
    #[serde(rename = "in")]
    pub region: String,
    /// The questions, with the answers that a good snapshot gives.
    pub checks: Vec<Assertion>,
    /// How closely the stored objects are looked at first: `listing`, `checksums` (default) or
    /// `content`.
    pub depth: Option<String>,
    /// Only snapshots that show a moment before this one, in RFC 3339, or `${steps.ID.FACT}`.
    pub before: Option<String>,
    /// How many snapshots are looked at; default 24.
    pub tries: Option<usize>,
    /// What to do about roles that the server does not have; default: refuse.
    #[serde(default)]
    pub roles: Roles,
}

pub struct FindGood {
    server: Server,
    checks: Vec<Assertion>,
    depth: Depth,
    before: Option<String>,
    tries: usize,
    roles: Roles,
}

impl FindGood {
    pub fn new(with: With, config: &Config) -> Result<Self> {
        let refused = |why: String| {
            Error::new(Kind::Usage, "read the arguments of `snapshot.find_good`").caused_by(why)
        };
        let flaws: Vec<String> = with.checks.iter().filter_map(Assertion::flaw).collect();
        if !flaws.is_empty() || with.checks.is_empty() {
            let why =
                if flaws.is_empty() { "`checks` is empty".to_owned() } else { flaws.join("; ") };
            return Err(refused(why));
        }
        if let Some(text) = with.before.as_ref().filter(|text| !references::is_open(text)) {
            moment(text)?;
        }
        Ok(Self {
            server: Server::find(config, &with.database, &with.region)?,
            checks: with.checks,
            depth: with.depth.map_or(Ok(Depth::Checksums), |text| text.parse())?,
            before: with.before,
            tries: with.tries.unwrap_or(TRIES).max(1),
            roles: with.roles,
        })
    }

    /// The name of the copies; the same after a crash, so that none is left.
    fn scratch(&self, cx: &Context<'_>) -> String {
        let digest = Digest::of(format!("{} {}", cx.run.id, cx.step).as_bytes()).to_string();
        format!("drctl_find_good_{}", &digest[..8])
    }

    async fn candidates(
        &self,
        cx: &Context<'_>,
    ) -> Result<(Vec<Arc<dyn ObjectStore>>, Vec<Shelved>, usize), Failure> {
        let before = match &self.before {
            None => None,
            Some(text) => {
                let text = references::text(text, cx.facts).map_err(Failure::permanent)?;
                Some(moment(&text).map_err(Failure::permanent)?)
            }
        };
        let (stores, shelf) =
            shelf_of(cx.world, &self.server.database).await.map_err(repeatable)?;
        let all = shelf.snapshots.len();
        let mut found: Vec<Shelved> = shelf
            .snapshots
            .into_iter()
            .filter(|s| before.is_none_or(|before| s.taken() < before))
            .collect();
        // Ids tell seconds apart, and no more; one whose manifest tells nothing may be as young as its
        // second's end.
        let moment = |s: &Shelved| match &s.facts {
            Some(facts) => facts.taken,
            None => s.id.began() + TimeDelta::seconds(1),
        };
        found.sort_by_key(|s| std::cmp::Reverse(moment(s)));
        found.truncate(self.tries);
        Ok((stores, found, all))
    }

    /// `Ok(None)`: it is good; `Ok(Some)`: why not.
    async fn try_one(
        &self,
        cx: &Context<'_>,
        stores: &[Arc<dyn ObjectStore>],
        shelved: &Shelved,
        relay: &Arc<Relay>,
    ) -> Result<Option<String>> {
        let database = &self.server.database;
        let sink: Arc<dyn Sink> = Arc::<Relay>::clone(relay);
        let manifest = match shelf::manifest(stores, &cx.world.keys, database, shelved).await {
            Ok((_, manifest)) => manifest,
            Err(e) => return Ok(Some(e.one_line())),
        };
        // Older generations may be encrypted for others.
        let cipher = match cx.world.keys.cipher(&manifest) {
            Ok(cipher) => cipher,
            Err(e) => return Ok(Some(e.one_line())),
        };
        let Some(whole) = self.whole(cx, stores, shelved, &sink).await? else {
            return Ok(Some(format!("no store has it whole at depth {}", self.depth)));
        };
        let name = self.scratch(cx);
        self.drop_scratch(cx, &name).await?;
        // The store that was looked at first; others only for what it may refuse now.
        let mut from = vec![Arc::clone(&whole)];
        from.extend(stores.iter().filter(|s| s.name() != whole.name()).map(Arc::clone));
        let chosen = Chosen { manifest, cipher, stores: from };
        let mut request = request(cx.world, &self.server, &name, chosen, self.roles, sink)?;
        request.analyze = false;
        let restored = match aside(move || async move { restore::restore(&request).await }).await {
            Ok(restored) => restored,
            Err(e) if e.kind() == Kind::Damaged => return Ok(Some(e.one_line())),
            Err(e) => return Err(e),
        };
        if let Proof::Different(differences) = &restored.proof {
            return Ok(Some(format!("{} differences after a restore", differences.len())));
        }
        let info = self.server.conninfo()?.with_database(&name);
        let session = reach(&info, "drctl run", limits(cx).connect).await?;
        let wrong = ask(&session, &self.checks, cx.left().mul_f32(0.5)).await?;
        session.close().await;
        self.drop_scratch(cx, &name).await?;
        Ok((!wrong.is_empty()).then(|| wrong.join("; ")))
    }

    /// The first store that has every object of the snapshot as it should be.
    async fn whole(
        &self,
        cx: &Context<'_>,
        stores: &[Arc<dyn ObjectStore>],
        shelved: &Shelved,
        sink: &Arc<dyn Sink>,
    ) -> Result<Option<Arc<dyn ObjectStore>>> {
        let complete: Vec<&str> = shelved.complete_in().collect();
        for store in stores.iter().filter(|s| complete.contains(&s.name())) {
            let request = VerifyRequest {
                database: self.server.database.clone(),
                stores: vec![Arc::clone(store)],
                which: Which::One(shelved.id.clone()),
                depth: self.depth,
                sample: Sample::ALL,
                jobs: cx.world.config.database(&self.server.database)?.jobs,
                keys: cx.world.keys.clone(),
                sink: Arc::clone(sink),
                now: Utc::now(),
            };
            let report = aside(move || async move { verify(&request).await }).await?;
            let intact = report
                .verdicts
                .iter()
                .any(|v| v.snapshot == shelved.id && v.verdict == Verdict::Intact);
            if intact {
                return Ok(Some(Arc::clone(store)));
            }
        }
        Ok(None)
    }

    async fn drop_scratch(&self, cx: &Context<'_>, name: &str) -> Result<()> {
        let limit = limits(cx).queries.max(Duration::from_secs(10));
        let session = self.server.outside(limit).await?;
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote::ident(name));
        bounded(limit, || format!("drop `{name}`"), session.simple(&sql)).await
    }
}

fn moment(text: &str) -> Result<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).map(|t| t.to_utc()).map_err(|e| {
        Error::new(
            Kind::Usage,
            format!("`before` must be a time such as 2026-11-22T13:45:00Z: {e}"),
        )
    })
}

impl Action for FindGood {
    fn describe(&self) -> Description {
        let mut description = Description::looks(format!(
            "find the newest snapshot of `{}` that answers {} right",
            self.server.database,
            counted(self.checks.len(), "question")
        ))
        .detail(format!(
            "each is verified ({}), restored into a scratch database in {}, asked, and dropped",
            self.depth, self.server.region
        ))
        .leans_on(
            &self.server.region,
            Plane::Data,
            format!("the server of `{}`", self.server.database),
        );
        for check in &self.checks {
            description = description.detail(check.label());
        }
        description
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        let what = format!("snapshots of `{}` to choose from", self.server.database);
        let (_, shelf) = match shelf_of(cx.world, &self.server.database).await {
            Ok(found) => found,
            Err(e) => return vec![Check::new(Standing::NotReady, what, e.one_line())],
        };
        let whole = shelf.snapshots.iter().filter(|s| s.complete_in().next().is_some()).count();
        let mut checks = vec![match whole {
            0 => Check::new(Standing::NotReady, &what, "there is none")
                .hint(format!("take one with `drctl snapshot {}`", self.server.database)),
            1 => Check::new(Standing::Warning, &what, "there is only one"),
            n => Check::new(Standing::Ready, &what, format!("{n} are complete in some store")),
        }];
        let scratch = format!("scratch databases in {}", self.server.region);
        let sql = "SELECT NOT pg_catalog.pg_is_in_recovery(),
                          (SELECT rolcreatedb OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)";
        let asked = async {
            let session = self.server.session(limits(cx).connect).await?;
            let row = bounded(limits(cx).queries, || scratch.clone(), session.row(sql)).await?;
            Ok::<_, Error>((row.truth(0)?, row.truth(1)?))
        };
        checks.push(match asked.await {
            Err(e) => Check::new(Standing::NotReady, &scratch, e.one_line()),
            Ok((false, _)) => Check::new(
                Standing::NotReady,
                &scratch,
                "its server is a standby, on which nothing can be restored",
            ),
            Ok((true, false)) => {
                Check::new(Standing::NotReady, &scratch, "the role may not make databases")
                    .hint("ALTER ROLE … CREATEDB")
            }
            Ok((true, true)) => Check::new(Standing::Ready, &scratch, "the role may make them"),
        });
        checks
    }

    async fn observe(&self, _: &Context<'_>) -> Result<Observed, Failure> {
        Ok(Observed::NotDone("it is looked for anew each time".to_owned()))
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let (stores, candidates, all) = self.candidates(cx).await?;
        let relay = Arc::new(Relay::default());
        let mut passed: Vec<String> = Vec::new();
        for (i, shelved) in candidates.iter().enumerate() {
            let what = format!("snapshot {} ({} of {})", shelved.id, i + 1, candidates.len());
            let tried: BoxFuture<'_, Result<Option<String>>> =
                Box::pin(self.try_one(cx, &stores, shelved, &relay));
            let tried = watching(cx, &relay, &what, tried).await.ok_or_else(|| {
                let what = format!(
                    "find a good snapshot of `{}`: the step's time is up at {what}; passed over: {}",
                    self.server.database,
                    or_none(&passed)
                );
                Failure::transient(Error::new(Kind::Failed, what).hint("give the step more time"))
            })?;
            match tried.map_err(repeatable)? {
                None => return Ok(found(&self.server.database, shelved, passed, cx.run.confirmed)),
                Some(why) => passed.push(format!("{}: {why}", shelved.id)),
            }
        }
        let what = format!(
            "no good snapshot of `{}` among {} of {all}; passed over: {}",
            self.server.database,
            candidates.len(),
            or_none(&passed)
        );
        Err(Failure::permanent(
            Error::new(Kind::Failed, what).hint("raise `tries`, or look at what the questions ask"),
        ))
    }
}

fn or_none(passed: &[String]) -> String {
    if passed.is_empty() { "none".to_owned() } else { passed.join(" | ") }
}

fn found(
    database: &str,
    shelved: &Shelved,
    passed: Vec<String>,
    confirmed: DateTime<Utc>,
) -> Applied {
    let taken = shelved.taken();
    let loss = (confirmed - taken).num_milliseconds() as f64 / 1000.0;
    let summary = format!(
        "snapshot {} is good: it shows {}, {} newer ones were passed over; what was written after \
         it is lost",
        shelved.id,
        taken.format("%Y-%m-%d %H:%M:%S UTC"),
        passed.len()
    );
    Applied::new(summary)
        .fact("database", database)
        .fact("snapshot", shelved.id.as_str())
        .fact("taken", taken.to_rfc3339())
        .fact("loss_seconds", loss)
        .fact("passed_over", passed)
}
