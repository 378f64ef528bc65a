//! What is written down before a drill changes anything, so that a later one can clear away what a
//! killed one left: in the stores, and in a folder of this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::account::Rehearsal;
use crate::error::{Attempt, Error, Kind, Result};
use crate::model::{Digest, DrillId, Level, Sink};
use crate::store::{Condition, Holder, ObjectStore, keys};

/// The names of a drill's objects.
pub const BEGAN: &str = "began.json";
pub const ROLES: &str = "roles.json";
pub const REPORT: &str = "report.json";
pub const CLEARED: &str = "cleared.json";

/// What a drill uses and must be gone afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Scratch {
    /// A server of drctl's own: its folder, and the machine that it is on.
    Embedded { host: String, folder: PathBuf },
    /// A database on the server of a target.
    Database { target: String, name: String },
    /// A server that a provider makes: by whom, where, and its name there.
    Instance { lender: String, region: String, name: String },
    /// Regions that are broken and mended: their configuration, the machine of the drill, and the run
    /// that moves the service between them.
    Regions { host: String, config: PathBuf, run: String },
}

impl Scratch {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Embedded { .. } => "embedded",
            Self::Database { .. } => "database",
            Self::Instance { .. } => "instance",
            Self::Regions { .. } => "regions",
        }
    }

    /// For people.
    pub fn place(&self) -> String {
        match self {
            Self::Embedded { host, folder } => {
                format!("a server of drctl's own on {host}, in {}", folder.display())
            }
            Self::Database { target, name } => {
                format!("database `{name}` on the server of target `{target}`")
            }
            Self::Instance { region, name, .. } => format!("RDS instance `{name}` in {region}"),
            Self::Regions { config, .. } => format!("the regions of {}", config.display()),
        }
    }
}

/// A drill that began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Began {
    pub id: DrillId,
    pub rehearsal: Rehearsal,
    pub subject: String,
    pub at: DateTime<Utc>,
    pub holder: Holder,
    pub scratch: Scratch,
    /// It stays until somebody clears it away.
    pub keep: bool,
}

/// Roles that a drill made on a server that outlives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    pub names: Vec<String>,
}

/// What was left of a drill was cleared away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleared {
    pub at: DateTime<Utc>,
    pub by: String,
    pub removed: Vec<String>,
}

/// Where records lie.
#[derive(Clone)]
pub struct Records {
    pub stores: Vec<Arc<dyn ObjectStore>>,
    /// The folder of this machine's records.
    pub folder: PathBuf,
    pub sink: Arc<dyn Sink>,
}

impl Records {
    /// Writes the record on this machine and into every store that takes it, before anything else
    /// is done. An error: no store took it.
    pub async fn begin(&self, began: &Began) -> Result<()> {
        let what = || format!("write down that drill {} begins", began.id);
        let bytes = json(began)?;
        std::fs::create_dir_all(&self.folder).attempt(Kind::Failed, what)?;
        write_whole(&self.marker(&began.id), &bytes).attempt(Kind::Failed, what)?;
        self.put(&began.id, BEGAN, bytes).await.map(drop).map_err(|e| e.during(what()))
    }

    /// Puts an object of a drill into every store that takes it, and gives the stores that do not,
    /// with the reason. An error: none takes it.
    pub async fn put(
        &self,
        id: &DrillId,
        entry: &str,
        bytes: Bytes,
    ) -> Result<Vec<(String, String)>> {
        let (key, sha256) = (keys::drill_key(id, entry), Digest::of(&bytes));
        let puts = self.stores.iter().map(async |store| {
            let put = store.put_if(&key, bytes.clone(), sha256, Condition::Absent).await;
            // One that is there already was written by this drill: ids are its own.
            (store.name().to_owned(), put.map(drop))
        });
        let mut refused = Vec::new();
        for (store, put) in futures_util::future::join_all(puts).await {
            if let Err(e) = put {
                refused.push((store, Error::from(e).one_line()));
            }
        }
        if refused.len() < self.stores.len() {
            for (store, why) in &refused {
                let what = format!("store `{store}` does not take `{key}`: {why}");
                self.sink.notice(Level::Warning, what);
            }
            return Ok(refused);
        }
        let whys = refused.into_iter().map(|(_, why)| why).collect::<Vec<_>>().join("; ");
        Err(Error::new(Kind::Storage, format!("put `{key}`: no store takes it")).caused_by(whys))
    }

    /// The file that stands for a drill on this machine.
    fn marker(&self, id: &DrillId) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    /// The drill is over and nothing of it is left here.
    pub fn forget(&self, id: &DrillId) -> Result<()> {
        let path = self.marker(id);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).attempt(Kind::Failed, || format!("remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// The records of this machine; a file that cannot be read is told of and passed over.
    pub fn of_this_machine(&self) -> Vec<Began> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            let read = std::fs::read(&path).ok().and_then(|b| serde_json::from_slice(&b).ok());
            match read {
                Some(began) => found.push(began),
                None => self.sink.notice(
                    Level::Warning,
                    format!("{} cannot be read: a drill may have left something", path.display()),
                ),
            }
        }
        found.sort_by(|a: &Began, b: &Began| a.id.cmp(&b.id));
        found
    }
}

/// A value as JSON, for an object.
pub fn json(value: &impl Serialize) -> Result<Bytes> {
    let bytes = serde_json::to_vec_pretty(value)
        .attempt(Kind::Bug, || "write a record as JSON".to_owned())?;
    Ok(bytes.into())
}

/// A file is there whole or not at all, also after a crash.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    std::fs::File::open(folder)?.sync_all()
}
