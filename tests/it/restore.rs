//! Restores against real servers: what arrives equals what was there, and what cannot arrive whole
//! is never taken for whole.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::Utc;
use drctl::config::{ChangeDetection, DatabaseConfig, Keep, Secret};
use drctl::error::{Kind, Result};
use drctl::integrity::seal::Keys;
use drctl::model::{Event, Level, Manifest, RowFormat, Sink};
use drctl::postgres::Conninfo;
use drctl::restore::{self, Course, Proof, RestoreRequest, Restored, Roles};
use drctl::snapshot;
use drctl::store::{MemoryStore, ObjectStore, keys};

use crate::lab::{Postgres, Version, shared_pg15, shared_pg16, shared_pg18, sql_file, unique};

/// Keeps notices, for tests of what a person is told.
#[derive(Default)]
struct Heard(Mutex<Vec<Event>>);

impl Sink for Heard {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Heard {
    fn warnings(&self) -> Vec<String> {
        let all = self.0.lock().unwrap();
        let warnings = all.iter().filter_map(|e| match e {
            Event::Notice { level: Level::Warning, message } => Some(message.clone()),
            _ => None,
        });
        warnings.collect()
    }
}

fn conninfo(server: &Postgres, db: &str) -> Conninfo {
    Conninfo::parse(&Secret::new(server.url(db))).unwrap()
}

/// Two stores and the snapshots taken into them.
struct World {
    east: Arc<MemoryStore>,
    west: Arc<MemoryStore>,
    heard: Arc<Heard>,
    format: RowFormat,
    part_size: u64,
    random: Mutex<u32>,
}

impl World {
    fn new() -> Self {
        Self {
            east: Arc::new(MemoryStore::new("east")),
            west: Arc::new(MemoryStore::new("west")),
            heard: Arc::default(),
            format: RowFormat::Text,
            part_size: 64 << 10,
            random: Mutex::new(0),
        }
    }

    fn stores(&self) -> Vec<Arc<dyn ObjectStore>> {
        vec![self.east.clone(), self.west.clone()]
    }

    async fn snapshot(&self, server: &Postgres, db: &str) -> Manifest {
        let random = {
            let mut random = self.random.lock().unwrap();
            *random += 1;
            *random
        };
        let config = DatabaseConfig {
            name: "pets".to_owned(),
            url: Secret::new(server.url(db)),
            stores: vec!["east".to_owned(), "west".to_owned()],
            jobs: 2,
            cache_dir: None,
            exclude_schemas: Vec::new(),
            exclude_tables: Vec::new(),
            exclude_table_data: Vec::new(),
            part_size: self.part_size,
            zstd_level: 1,
            change_detection: ChangeDetection::Xmin,
            full_every: Duration::from_secs(7 * 86_400),
            keep: Keep::default(),
            lock_timeout: Duration::from_secs(30),
            deadline: Duration::from_secs(3000),
            profile: None,
            row_format: self.format,
            stable_types: Vec::new(),
            pg_bin: Some(server.bin_dir()),
        };
        let request = snapshot::Request {
            project: "petforce".to_owned(),
            conninfo: conninfo(server, db),
            config,
            stores: self.stores(),
            keys: Keys::default(),
            full: false,
            now: Utc::now(),
            random,
            sink: self.heard.clone(),
        };
        let outcome = snapshot::take(&request).await.unwrap();
        assert!(outcome.stores.iter().all(|s| s.complete), "{:?}", outcome.stores);
        outcome.manifest
    }

    fn request(&self, manifest: &Manifest, server: &Postgres, db: &str) -> RestoreRequest {
        RestoreRequest {
            manifest: manifest.clone(),
            stores: self.stores(),
            target: conninfo(server, db),
            tables: Vec::new(),
            create: false,
            replace: false,
            roles: Roles::Refuse,
            jobs: 2,
            pg_bin: Some(server.bin_dir()),
            profile: None,
            protected: Vec::new(),
            analyze: false,
            sink: self.heard.clone(),
        }
    }
}

fn equal(done: Result<Restored>) -> Restored {
    let restored = done.unwrap();
    assert_eq!(restored.proof, Proof::Equal);
    restored
}

/// What pg_dump says of a database, its lines sorted, since rows may lie in another order.
fn dump(server: &Postgres, db: &str, by: &Postgres) -> Vec<String> {
    let mut command = server.program("pg_dump");
    let output = match by.version() == server.version() {
        true => command.arg(db).output(),
        false => {
            let mut newer = by.program("pg_dump");
            newer.env("PGHOST", server.socket_dir()).env("PGPORT", server.port().to_string());
            newer.arg(db).output()
        }
    };
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let ours = |l: &&str| {
        // Random tokens, and versions of the server and of pg_dump.
        !l.starts_with("\\restrict")
            && !l.starts_with("\\unrestrict")
            && !l.starts_with("-- Dumped")
    };
    let mut lines: Vec<String> = text.lines().filter(ours).map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The database as pg_dump and pg_restore carry it to another server.
fn by_stock_programs(from: &Postgres, db: &str, to: &Postgres) -> String {
    let folder = crate::lab::folder("stock");
    let name = to.fresh_db("stock");
    let file = folder.join("dump");
    let run = |command: &mut std::process::Command| crate::lab::run(command).expect(0);
    run(from.program("pg_dump").args(["--format=custom", "--file"]).arg(&file).arg(db));
    run(to.program("pg_restore").args(["--dbname", &name]).arg(&file));
    name
}

#[track_caller]
fn assert_same(a: &[String], b: &[String]) {
    if a == b {
        return;
    }
    let (x, y): (BTreeSet<_>, BTreeSet<_>) = (a.iter().collect(), b.iter().collect());
    let lost: Vec<_> = x.difference(&y).take(20).collect();
    let new: Vec<_> = y.difference(&x).take(20).collect();
    panic!("{} and {} lines; only before: {lost:#?}\nonly after: {new:#?}", a.len(), b.len());
}

async fn everything_goes_round(from: &Postgres, to: &Postgres, format: RowFormat) {
    let db = from.fresh_db("everything");
    from.load_everything(&db);
    for role in ["lab_owner", "lab_reader", "lab_writer", "Odd \"Role\""] {
        let quoted = role.replace('"', "\"\"");
        let _ = to.try_psql("postgres", &format!("CREATE ROLE \"{quoted}\""));
    }
    let world = World { format, ..World::new() };
    let manifest = world.snapshot(from, &db).await;
    let name = unique("copy");
    let request = RestoreRequest { create: true, ..world.request(&manifest, to, &name) };
    let plan = restore::plan(&request).await.unwrap();
    assert_eq!((plan.course, plan.refusals.len()), (Course::Create, 0), "{plan:?}");
    let restored = equal(restore::restore(&request).await);
    assert_eq!(restored.database, name);
    assert_eq!(restored.rows, manifest.totals.rows);
    if from.version() == to.version() {
        assert_same(&dump(from, &db, to), &dump(to, &name, to));
    } else {
        // A newer server says some things otherwise (`GRANT ALL` covers more): what stock programs
        // make of it there is the measure.
        let reference = by_stock_programs(from, &db, to);
        assert_same(&dump(to, &reference, to), &dump(to, &name, to));
    }
    let proof = restore::prove(&conninfo(to, &name), &manifest, 2, world.heard.clone()).await;
    assert_eq!(proof.unwrap(), Proof::Equal);
}

#[tokio::test]
async fn everything_on_15() {
    everything_goes_round(shared_pg15(), shared_pg15(), RowFormat::Text).await;
}

#[tokio::test]
async fn everything_on_18() {
    everything_goes_round(shared_pg18(), shared_pg18(), RowFormat::Text).await;
}

#[tokio::test]
async fn everything_from_16_to_18() {
    everything_goes_round(shared_pg16(), shared_pg18(), RowFormat::Text).await;
}

#[tokio::test]
async fn everything_in_binary() {
    everything_goes_round(shared_pg15(), shared_pg15(), RowFormat::Binary).await;
}
