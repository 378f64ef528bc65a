//! Taking snapshots through the library, and looking at what lies in the stores afterwards.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use drctl::config::{DatabaseConfig, Secret};
use drctl::integrity::encryption::Cipher;
use drctl::integrity::seal::Keys;
use drctl::integrity::{codec, history, rows};
use drctl::model::{Digest, Event, Manifest, PartName, Sink, TableName};
use drctl::postgres::copy::Selection;
use drctl::postgres::{Conninfo, Session, connect, session_settings};
use drctl::snapshot::Request;
use drctl::store::{ObjectStore, keys};
use futures_util::TryStreamExt as _;

use crate::lab::{Folder, Postgres};

/// The database's name in all configurations here.
pub const NAME: &str = "db";

/// A clock that moves on by a minute with each look, so that ids sort as snapshots were taken.
fn next_minute() -> DateTime<Utc> {
    static MINUTES: AtomicI64 = AtomicI64::new(0);
    let minutes = MINUTES.fetch_add(1, Ordering::Relaxed);
    // Weeks of snapshots must not begin a generation by themselves, see `request`.
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(minutes)
}

/// Keeps every event.
#[derive(Default)]
pub struct Recorded(Mutex<Vec<Event>>);

impl Sink for Recorded {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Recorded {
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    /// All notices and losses, a line each.
    pub fn said(&self) -> String {
        let say = |event| match event {
            Event::Notice { message, .. } => Some(message),
            Event::StoreLost { store, error } => Some(format!("lost {store}: {error}")),
            _ => None,
        };
        self.events().into_iter().filter_map(say).collect::<Vec<_>>().join("\n")
    }
}

pub fn conninfo(url: &str) -> Conninfo {
    Conninfo::parse(&Secret::new(url)).unwrap()
}

pub async fn session(url: &str) -> Session {
    connect(&conninfo(url), "test").await.unwrap_or_else(|e| panic!("{e:?}"))
}

/// A request for a snapshot of a database, with small ranges.
pub fn request(server: &Postgres, db: &str, stores: &[Arc<dyn ObjectStore>]) -> Request {
    let url = &format!("{}?sslmode=disable", server.url(db));
    let names = stores.iter().map(|s| s.name().to_owned()).collect();
    let mut config = DatabaseConfig::new(NAME, Secret::new(url), names);
    config.jobs = 2;
    config.pg_bin = Some(server.bin_dir());
    config.part_size = 64 << 10;
    config.full_every = std::time::Duration::from_hours(24 * 365 * 100);
    let now = next_minute();
    Request {
        project: "test".to_owned(),
        conninfo: conninfo(url),
        config,
        stores: stores.to_vec(),
        keys: Keys::default(),
        full: false,
        random: now.timestamp().unsigned_abs() as u32,
        now,
        sink: Arc::new(Recorded::default()),
    }
}

/// The digest of every object of a store.
pub async fn objects(store: &dyn ObjectStore) -> BTreeMap<String, Digest> {
    let listed: Vec<_> = store.list("").try_collect().await.unwrap();
    let mut all = BTreeMap::new();
    for object in listed {
        let bytes = store.get(&object.key).await.unwrap().bytes;
        assert_eq!(bytes.len() as u64, object.size, "{}", object.key);
        all.insert(object.key, Digest::of(&bytes));
    }
    all
}

/// Every snapshot in the store, each proven whole: its manifest is sealed, every list, part, base
/// and archive that it names is there with the promised digest, and the rows add up.
pub async fn proven(store: &dyn ObjectStore) -> Vec<Manifest> {
    proven_with(store, &Keys::default()).await
}

/// As `proven`, of what these keys open.
pub async fn proven_with(store: &dyn ObjectStore, with: &Keys) -> Vec<Manifest> {
    let objects = objects(store).await;
    let mut manifests = Vec::new();
    for place in history::places(store, NAME).await.unwrap() {
        let manifest = history::read_manifest(store, with, NAME, &place).await;
        let manifest = manifest.unwrap_or_else(|e| panic!("{e:?}"));
        let archive = keys::schema_key(NAME, &manifest.generation, &manifest.id, manifest.kept());
        assert_eq!(objects.get(&archive), Some(&manifest.schema.stored_digest), "{archive}");
        for (name, tally) in contents_with(store, &manifest, with).await {
            let table = manifest.tables.iter().find(|t| t.name == name).unwrap();
            assert_eq!((tally.rows, tally.digest), (table.rows, table.row_digest), "{name}");
        }
        manifests.push(manifest);
    }
    manifests
}

/// The rows of every table, counted and digested from the parts themselves; panics where a part
/// or base is missing or is not what its list promises.
pub async fn contents(store: &dyn ObjectStore, m: &Manifest) -> BTreeMap<TableName, rows::Tally> {
    contents_with(store, m, &Keys::default()).await
}

/// As `contents`, of what these keys open.
pub async fn contents_with(
    store: &dyn ObjectStore,
    m: &Manifest,
    with: &Keys,
) -> BTreeMap<TableName, rows::Tally> {
    let cipher: Cipher = with.cipher(m).unwrap_or_else(|e| panic!("{e:?}"));
    let kept = cipher.kept();
    let mut all = BTreeMap::new();
    for table in &m.tables {
        let list = history::read_list(store, m, table).await.unwrap_or_else(|e| panic!("{e:?}"));
        let key =
            |digest, base| keys::part_key(NAME, &m.generation, PartName { digest, base, kept });
        let mut bases = HashMap::new();
        for base in &list.bases {
            let stored = get(store, &key(base.digest, None)).await;
            let (promised, raw) = (base.stored_digest, base.raw);
            let raw = codec::open_part(&stored, promised, None, raw, base.digest, &cipher);
            bases.insert(base.digest, raw.unwrap_or_else(|e| panic!("base: {e:?}")));
        }
        let mut sum = rows::Tally::default();
        let mut needed = HashSet::new();
        for part in &list.parts {
            let stored = get(store, &key(part.digest, part.base)).await;
            needed.extend(part.base);
            let base = part.base.map(|digest| bases[&digest].as_slice());
            let (promised, digest) = (part.stored_digest, part.digest);
            let raw = codec::open_part(&stored, promised, base, part.raw, digest, &cipher);
            let raw = raw.unwrap_or_else(|e| panic!("part of {}: {e:?}", table.name));
            let tally = rows::tally(m.row_format, &raw, &cipher.rows()).unwrap();
            assert_eq!((tally.rows, tally.digest), (part.rows, part.row_digest));
            sum.add(tally);
        }
        assert_eq!(needed, bases.keys().copied().collect(), "bases of {}", table.name);
        all.insert(table.name.clone(), sum);
    }
    all
}

async fn get(store: &dyn ObjectStore, key: &str) -> bytes::Bytes {
    store.get(key).await.unwrap_or_else(|e| panic!("{key} in {}: {e:?}", store.name())).bytes
}

/// The rows that the database has now, read as the manifest's rows were.
pub async fn database_now(url: &str, m: &Manifest) -> BTreeMap<TableName, rows::Tally> {
    database_now_with(url, m, &Keys::default()).await
}

/// As `database_now`, digested as these keys do.
pub async fn database_now_with(
    url: &str,
    m: &Manifest,
    with: &Keys,
) -> BTreeMap<TableName, rows::Tally> {
    let hash = with.cipher(m).unwrap_or_else(|e| panic!("{e:?}")).rows();
    let session = session(url).await;
    let settings = session_settings::statements(&m.settings, m.source.version_num);
    session.simple(&settings).await.unwrap();
    let mut all = BTreeMap::new();
    for table in &m.tables {
        let selection = Selection {
            table: &table.name,
            columns: &table.columns,
            blocks: None,
            condition: table.condition.as_deref(),
            format: m.row_format,
        };
        let mut copy = session.copy_out(&selection.copy_out(), "rows").await.unwrap();
        let mut bytes = Vec::new();
        while let Some(chunk) = copy.next().await.unwrap() {
            bytes.extend_from_slice(&chunk);
        }
        all.insert(table.name.clone(), rows::tally(m.row_format, &bytes, &hash).unwrap());
    }
    all
}

/// Writes a configuration with `file://` stores in `home`; `more` goes into the database's section.
pub fn config_file(
    home: &Folder,
    server: &Postgres,
    db: &str,
    stores: &[&str],
    more: &str,
) -> PathBuf {
    let mut text = "[project]\nname = \"test\"\n[regions]\nprimary = \"local\"\n".to_owned();
    for store in stores {
        let dir = home.join(store);
        std::fs::create_dir_all(&dir).unwrap();
        text.push_str(&format!(
            "[store.{store}]\nurl = \"file://{}\"\nregion = \"local\"\n",
            dir.display()
        ));
    }
    text.push_str(&format!(
        "[database.{NAME}]\nurl = \"{}\"\nstores = {stores:?}\npg_bin = \"{}\"\njobs = 2\n{more}\n",
        server.url(db),
        server.bin_dir().display()
    ));
    let path = home.join("drctl.toml");
    std::fs::write(&path, text).unwrap();
    path
}
