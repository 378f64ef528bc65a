//! `snapshot.restore`: a snapshot becomes a new database beside the one that is there.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::watching::{Relay, aside, watching};
use super::{repeatable, shelf_of};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::integrity::encryption::Cipher;
use crate::integrity::shelf;
use crate::model::{Manifest, Silent, Sink};
use crate::postgres::replication::bounded;
use crate::postgres::{Conninfo, quote};
use crate::providers::postgres::{Server, harmless, limits};
use crate::providers::{
    Action, Applied, Check, Context, Description, Failure, Observed, Plane, Standing, World,
    references,
};
use crate::restore::{self, Proof, RestoreRequest, Restored};
use crate::store::ObjectStore;

/// What to do about roles that the server does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Roles {
    /// Refuse before anything is changed.
    #[default]
    Refuse,
    /// Make them, without login.
    Create,
    /// Go on without them.
    Skip,
}

/// Arguments of `snapshot.restore`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The database's name in the configuration: whose snapshot to restore.
    pub database: String,
    /// The region of the server to restore to.
    #[serde(rename = "in")]
    pub region: String,
    /// `latest`, an id, or `${steps.ID.snapshot}`.
    pub snapshot: String,
    /// The name of the new database; it must not be there.
    #[serde(rename = "as")]
    pub name: String,
    /// What to do about roles that the server does not have; default: refuse.
    #[serde(default)]
    pub roles: Roles,
}

pub struct Restore {
    server: Server,
    snapshot: String,
    name: String,
    roles: Roles,
}

/// The manifest to restore and where its objects are read from.
pub struct Chosen {
    pub manifest: Manifest,
    /// What opens its parts.
    pub cipher: Cipher,
    pub stores: Vec<Arc<dyn ObjectStore>>,
}

/// Finds a snapshot by `latest`, its id or the beginning of one.
pub async fn choose(world: &World, database: &str, text: &str) -> Result<Chosen> {
    let (stores, shelf) = shelf_of(world, database).await?;
    let shelved = shelf.resolve(text)?;
    let (_, manifest) = shelf::manifest(&stores, &world.keys, database, shelved).await?;
    Ok(Chosen { cipher: world.keys.cipher(&manifest)?, manifest, stores })
}

/// A restore into database `name` of `server`, which is made for it.
pub fn request(
    world: &World,
    server: &Server,
    name: &str,
    chosen: Chosen,
    roles: Roles,
    sink: Arc<dyn Sink>,
) -> Result<RestoreRequest> {
    let config = world.config.database(&server.database)?;
    Ok(RestoreRequest {
        manifest: chosen.manifest,
        cipher: chosen.cipher,
        stores: chosen.stores,
        target: server.conninfo()?.with_database(name),
        tables: Vec::new(),
        create: true,
        replace: false,
        allow: crate::restore::Allow::default(),
        roles: match roles {
            Roles::Refuse => restore::Roles::Refuse,
            Roles::Create => restore::Roles::Create,
            Roles::Skip => restore::Roles::Skip,
        },
        jobs: config.jobs,
        pg_bin: config.pg_bin.clone(),
        profile: config.profile,
        protected: protected(&world.config),
        analyze: true,
        sink,
    })
}

/// Every configured database on every one of its servers.
fn protected(config: &Config) -> Vec<(String, Conninfo)> {
    let mut all = Vec::new();
    for name in config.database_names() {
        let Ok(database) = config.database(name) else { continue };
        let urls = std::iter::once(&database.url).chain(database.servers.values().map(|s| &s.url));
        // One whose secret is not to be had cannot be reached from here either.
        all.extend(urls.filter_map(|url| Some((name.to_owned(), Conninfo::parse(url).ok()?))));
    }
    all
}

impl Restore {
    pub fn new(with: With, config: &Config) -> Result<Self> {
        let server = Server::find(config, &with.database, &with.region)?;
        let With { snapshot, name, roles, .. } = with;
        if name.is_empty() || name.len() > 63 && !references::is_open(&name) {
            let what = "read the arguments of `snapshot.restore`";
            let why = "`as` must be the name of a database, up to 63 bytes";
            return Err(Error::new(Kind::Usage, what).caused_by(why));
        }
        Ok(Self { server, snapshot, name, roles })
    }

    fn name(&self, cx: &Context<'_>) -> Result<String, Failure> {
        references::text(&self.name, cx.facts).map_err(Failure::permanent)
    }

    async fn chosen(&self, cx: &Context<'_>) -> Result<Chosen, Failure> {
        let text = references::text(&self.snapshot, cx.facts).map_err(Failure::permanent)?;
        choose(cx.world, &self.server.database, &text).await.map_err(repeatable)
    }

    /// Whether the database is there, and if so, the snapshot and nothing else.
    async fn look(
        &self,
        cx: &Context<'_>,
        name: &str,
        chosen: &Chosen,
    ) -> Result<Option<Proof>, Failure> {
        let limit = limits(cx).queries;
        let there = async {
            let session = self.server.session(limit).await?;
            let sql = format!(
                "SELECT count(*) FROM pg_catalog.pg_database WHERE datname = {}",
                quote::literal(name)
            );
            let what = || format!("look for database `{name}`");
            bounded(limit, what, session.row(&sql)).await?.number::<u64>(0)
        };
        if there.await.map_err(harmless)? == 0 {
            return Ok(None);
        }
        let info = self.server.conninfo().map_err(Failure::permanent)?.with_database(name);
        let jobs = cx.world.config.database(&self.server.database).map_or(2, |d| d.jobs);
        let proving =
            restore::prove(&info, &chosen.manifest, &chosen.cipher, jobs, Arc::new(Silent));
        let what = || format!("prove database `{name}`");
        bounded(cx.left().mul_f32(0.9), what, proving).await.map(Some).map_err(harmless)
    }

    fn facts(&self, name: &str, manifest: &Manifest) -> Applied {
        Applied::default()
            .fact("database", self.server.database.clone())
            .fact("region", self.server.region.clone())
            .fact("name", name)
            .fact("snapshot", manifest.id.as_str())
            .fact("taken", manifest.taken.to_rfc3339())
            .fact("rows", manifest.totals.rows)
            .fact("proof", "equal")
    }

    fn stranger(&self, name: &str, manifest: &Manifest) -> Failure {
        let what =
            format!("database `{name}` is there already, and it is not snapshot {}", manifest.id);
        Failure::permanent(
            Error::new(Kind::Failed, what).hint("give `as` a name that is free, or drop it"),
        )
    }
}

impl Action for Restore {
    fn describe(&self) -> Description {
        Description::changes(format!(
            "restore snapshot {} of `{}` beside, as new database `{}` in {}",
            self.snapshot, self.server.database, self.name, self.server.region
        ))
        .detail("every row is read back and proven before it has its name")
        .detail("nothing that is there is touched; a new database that is not wanted stays")
        .leans_on(
            &self.server.region,
            Plane::Data,
            format!("the server of `{}`", self.server.database),
        )
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        let what = format!("restore of `{}` in {}", self.server.database, self.server.region);
        let open = references::is_open(&self.snapshot) || references::is_open(&self.name);
        let text = if open { "latest" } else { &self.snapshot };
        let name = if references::is_open(&self.name) { "drctl_preflight" } else { &self.name };
        let planned = async {
            let chosen = choose(cx.world, &self.server.database, text).await?;
            let sink = Arc::new(Silent);
            let request = request(cx.world, &self.server, name, chosen, self.roles, sink)?;
            restore::plan(&request).await
        };
        match planned.await {
            Err(e) => vec![Check::new(Standing::NotReady, what, e.one_line())],
            Ok(plan) if plan.refusals.is_empty() => {
                let found =
                    format!("{} rows of snapshot {} can be restored", plan.rows, plan.snapshot);
                vec![Check::new(Standing::Ready, what, found)]
            }
            Ok(plan) => {
                let check = |r: restore::Refusal| {
                    Check::new(Standing::NotReady, what.clone(), r.what).hint(r.hint)
                };
                plan.refusals.into_iter().map(check).collect()
            }
        }
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        let name = self.name(cx)?;
        let chosen = self.chosen(cx).await?;
        match self.look(cx, &name, &chosen).await? {
            None => Ok(Observed::NotDone(format!("there is no database `{name}`"))),
            Some(Proof::Equal) => Ok(Observed::Done(self.facts(&name, &chosen.manifest).facts)),
            Some(Proof::Different(_)) => Err(self.stranger(&name, &chosen.manifest)),
        }
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let name = self.name(cx)?;
        let chosen = self.chosen(cx).await?;
        let manifest = chosen.manifest.clone();
        match self.look(cx, &name, &chosen).await? {
            None => {}
            Some(Proof::Equal) => {
                let summary = format!("database `{name}` is snapshot {} already", manifest.id);
                return Ok(Applied { summary, ..self.facts(&name, &manifest) });
            }
            Some(Proof::Different(_)) => return Err(self.stranger(&name, &manifest)),
        }
        let relay = Arc::new(Relay::default());
        let sink: Arc<dyn Sink> = Arc::<Relay>::clone(&relay);
        let request = request(cx.world, &self.server, &name, chosen, self.roles, sink)
            .map_err(Failure::permanent)?;
        let what = format!("the restore of snapshot {} as `{name}`", manifest.id);
        let restoring = aside(move || async move { restore::restore(&request).await });
        let restored = watching(cx, &relay, &what, restoring).await;
        let restored = restored.ok_or_else(|| {
            let what = format!("{what}: the step's time is up");
            Failure::transient(Error::new(Kind::Failed, what).hint("give the step more time"))
        })?;
        self.told(&name, &manifest, restored.map_err(repeatable)?, &relay)
    }
}

impl Restore {
    fn told(
        &self,
        name: &str,
        manifest: &Manifest,
        restored: Restored,
        relay: &Relay,
    ) -> Result<Applied, Failure> {
        if let Proof::Different(differences) = &restored.proof {
            let first = differences.first().map(|d| d.what.clone()).unwrap_or_default();
            let what = format!(
                "restore snapshot {} as `{name}`: {} differences from what was snapshotted, first \
                 {first}",
                manifest.id,
                differences.len()
            );
            return Err(Failure::permanent(Error::new(Kind::Damaged, what).hint(format!(
                "`drctl verify {} --depth content` looks at what is stored; try an older snapshot",
                self.server.database
            ))));
        }
        let mut applied = self.facts(name, manifest);
        applied.summary = format!(
            "snapshot {} is database `{name}`: {} rows, every one proven",
            manifest.id, restored.rows
        );
        for warning in relay.warnings() {
            applied = applied.warning(warning);
        }
        for skipped in &restored.skipped {
            applied =
                applied.warning(format!("left as it is: {}: {}", skipped.what, skipped.reason));
        }
        Ok(applied)
    }
}
