//! What goes wrong around a snapshot: a clear error, nothing lost, nothing half done.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use drctl::model::{Event, Manifest, Sink};
use drctl::snapshot::{self, Request};
use drctl::store::fault::{Fault, FaultyStore, Op};
use drctl::store::{Class, FileStore, MemoryStore, ObjectStore};
use serde_json::Value;

use crate::lab::{self, Folder, PgBouncer, PoolMode, Postgres, Ran, Version};
use crate::taking::{self, Recorded, contents, database_now, objects, proven, request};

const SOME: &str = "CREATE TABLE kept AS SELECT i AS id, md5(i::text) AS v \
                    FROM generate_series(1, 3000) i; CREATE TABLE other (n int)";

/// A database with its configuration and two `file://` stores, for the program.
struct Place<'a> {
    server: &'a Postgres,
    db: String,
    home: Folder,
}

impl<'a> Place<'a> {
    fn new(server: &'a Postgres) -> Self {
        let db = server.fresh_db("faults");
        server.psql(&db, SOME);
        let home = lab::folder("faults");
        taking::config_file(&home, server, &db, &["east", "west"], "");
        Self { server, db, home }
    }

    /// Replaces text in the configuration, which must be there.
    fn change(&self, from: &str, to: &str) -> &Self {
        let path = self.home.join("drctl.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        self
    }

    fn add(&self, line: &str) -> &Self {
        self.change("jobs = 2", &format!("jobs = 2\n{line}"))
    }

    fn command(&self) -> Command {
        let mut command = lab::drctl(self.home.path());
        command.args(["snapshot", taking::NAME]).stdin(Stdio::null());
        command
    }

    fn run(&self) -> Ran {
        lab::run(&mut self.command())
    }

    fn json(&self) -> Ran {
        lab::run(self.command().arg("--json"))
    }

    fn store(&self, name: &str) -> FileStore {
        FileStore::new(name, "local", &self.home.join(name))
    }

    /// How many snapshots each store has; all are proven whole.
    async fn snapshots(&self) -> [usize; 2] {
        let (east, west) = (self.store("east"), self.store("west"));
        [proven(&east).await.len(), proven(&west).await.len()]
    }

    /// The run fails with exit code 1, says all of `words`, and no snapshot comes of it.
    #[track_caller]
    fn refused(&self, words: &[&str]) -> Ran {
        let ran = self.run().expect(1);
        says(&ran.stderr, words);
        assert!(ran.stderr.starts_with("Error: "), "{}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{}", ran.stdout);
        for store in ["east", "west"] {
            let text = format!("{:?}", files(&self.home.join(store)));
            assert!(!text.contains("manifest"), "{text}");
        }
        ran
    }
}

fn files(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.map(|e| e.unwrap().path());
    paths.flat_map(|p| if p.is_dir() { files(&p) } else { vec![p] }).collect()
}

#[track_caller]
/// `a|b`: one of them.
fn says(text: &str, words: &[&str]) {
    for word in words {
        let said = word.split('|').any(|word| text.contains(word));
        assert!(said, "`{word}` is not said:\n{text}");
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let place = Place::new(lab::shared_pg15());
    let port = lab::free_port();
    place.change(&format!(":{}/", place.server.port()), &format!(":{port}/"));
    place.refused(&["connect to", &port.to_string(), "refused", "Hint: "]);
    place.change("127.0.0.1", "no-such-host.invalid");
    place.refused(&["no-such-host.invalid", "Hint: "]);
}

#[test]
fn a_wrong_password_is_refused_and_not_shown() {
    let server = Postgres::options(Version::V15).password("right-one").start();
    let place = Place::new(&server);
    place.change("right-one", "wrong-one");
    let ran = place.refused(&["password authentication failed", "Hint: "]);
    assert!(!ran.stderr.contains("wrong-one"), "{}", ran.stderr);
    let ran = place.json().expect(1);
    assert!(!ran.stdout.contains("wrong-one"), "{}", ran.stdout);
}

#[test]
fn a_database_that_is_not_there_is_named() {
    let place = Place::new(lab::shared_pg15());
    place.change(&format!("/{}\"", place.db), "/no_such_database\"");
    place.refused(&["no_such_database", "does not exist"]);
}

#[test]
fn a_pg_dump_older_than_the_server_is_refused() {
    let place = Place::new(lab::shared_pg18());
    let (right, wrong) = (Version::V18.bin_dir(), Version::V15.bin_dir());
    place.change(&right.display().to_string(), &wrong.display().to_string());
    place.refused(&["pg_dump 18 or newer", "15.", "pg_bin"]);
}

#[test]
fn everything_unreadable_is_named_at_once() {
    let place = Place::new(lab::shared_pg15());
    let role = lab::unique("reader");
    place.server.psql(
        &place.db,
        &format!(
            "CREATE ROLE {role} LOGIN; CREATE TABLE secret (n int); CREATE SEQUENCE numbers; \
             CREATE SCHEMA hidden; CREATE TABLE hidden.t (n int); GRANT SELECT ON kept TO {role}; \
             CREATE TABLE rls (n int); ALTER TABLE rls ENABLE ROW LEVEL SECURITY; \
             GRANT SELECT ON rls TO {role}"
        ),
    );
    place.change("//postgres@", &format!("//{role}@"));
    place.refused(&[
        &role,
        "public.other",
        "public.secret",
        "public.numbers",
        "hidden.t",
        "public.rls: row-level security",
        "GRANT SELECT",
        "Hint: ",
    ]);
}

#[test]
fn a_transaction_pooler_is_refused() {
    let place = Place::new(lab::shared_pg15());
    let pooler = PgBouncer::start(place.server, PoolMode::Transaction);
    place.change(&place.server.url(&place.db), &pooler.url(&place.db));
    let ran = place.run().expect(2);
    says(&ran.stderr, &["pooler in transaction mode", "no snapshot can be shared", "Hint: "]);
}

/// Holds locks in an open transaction of `psql` until dropped.
struct Locker {
    session: drctl::postgres::Session,
    pid: String,
}

impl Locker {
    async fn begin(server: &Postgres, db: &str, sql: &str) -> Self {
        let session = taking::session(&server.url(db)).await;
        session.simple("BEGIN").await.unwrap();
        session.simple(sql).await.unwrap();
        let pid = session.row("SELECT pg_backend_pid()").await.unwrap().text(0).unwrap().to_owned();
        Self { session, pid }
    }

    async fn commit(self) {
        self.session.simple("COMMIT").await.unwrap();
    }
}

/// Waits until so many sessions of the database wait for a lock.
async fn waiting(server: &Postgres, db: &str, many: u32) {
    let session = taking::session(&server.url("postgres")).await;
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{db}' AND wait_event_type = 'Lock'"
    );
    let begun = Instant::now();
    while session.row(&sql).await.unwrap().number::<u32>(0).unwrap() < many {
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody waits");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_not_had_names_the_table_and_the_holder() {
    let place = Place::new(lab::shared_pg15());
    place.add("lock_timeout = \"300ms\"");
    let holder = Locker::begin(place.server, &place.db, "ALTER TABLE kept ADD c int").await;
    place.refused(&["public.kept", &format!("pid {}", holder.pid), "300ms", "Hint: "]);
    holder.commit().await;

    // Somebody reads, somebody else wants to alter: whoever comes later waits for both.
    let reader = Locker::begin(place.server, &place.db, "SELECT count(*) FROM kept").await;
    let waiter = taking::session(&place.server.url(&place.db)).await;
    let pid = waiter.row("SELECT pg_backend_pid()").await.unwrap().text(0).unwrap().to_owned();
    let alter = tokio::spawn(async move { waiter.simple("ALTER TABLE kept DROP c").await });
    waiting(place.server, &place.db, 1).await;
    place.refused(&[
        &format!("public.kept: wanted before us by pid {pid}"),
        &format!("it waits for pid {}", reader.pid),
    ]);
    reader.commit().await;
    alter.await.unwrap().unwrap();
    place.run().expect(0);
}

/// Between the locks of a snapshot and its last row, somebody comes to alter a table that it has not
/// read yet, and waits. Were a worker to wait behind them, nobody would ever go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_change_that_waits_stops_no_one_for_ever() {
    let server = lab::shared_pg15();
    let db = server.fresh_db("faults");
    server.psql(&db, SOME);
    server.psql(&db, "INSERT INTO kept SELECT i, md5(i::text) FROM generate_series(1, 40000) i");
    server.psql(&db, "INSERT INTO other SELECT generate_series(1, 20000)");
    let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new("east"));
    let mut request = request(server, &db, &[Arc::clone(&store)]);
    request.config.jobs = 1;
    let alter = Arc::new(std::sync::Mutex::new(None));
    let (for_sink, for_db) = (Arc::clone(&alter), db.clone());
    let sink = Arc::new(AtFirstRows::new(move || {
        let waits = |what: &str| {
            server.psql(
                &for_db,
                &format!(
                    "SELECT count(*) FROM pg_stat_activity \
                 WHERE datname = '{for_db}' AND {what}"
                ),
            ) != "0"
        };
        // pg_dump locks every table as it begins, and gives up when it has waited too long.
        let locked = "pid IN (SELECT l.pid FROM pg_locks l JOIN pg_class c ON c.oid = l.relation \
                      WHERE l.granted AND c.relname = 'other') AND application_name = 'pg_dump'";
        let begun = Instant::now();
        while !waits(locked) && begun.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let db = for_db.clone();
        let alter = move || server.psql(&db, "ALTER TABLE other ADD c int DEFAULT 5");
        *for_sink.lock().unwrap() = Some(std::thread::spawn(alter));
        while !waits("wait_event_type = 'Lock' AND query LIKE 'ALTER%'") {
            std::thread::sleep(Duration::from_millis(10));
        }
    }));
    request.sink = Arc::clone(&sink) as Arc<dyn Sink>;
    let taken = tokio::time::timeout(Duration::from_secs(60), snapshot::take(&request)).await;
    let manifest = taken.expect("all wait for each other").unwrap().manifest;
    says(&sink.said(), &["a schema change of public.other waits"]);
    let other = manifest.tables.iter().find(|t| t.name.name == "other").unwrap();
    assert_eq!((other.rows, other.columns.len()), (20000, 1));
    proven(&*store).await;
    alter.lock().unwrap().take().unwrap().join().unwrap();
    assert_eq!(server.psql(&db, "SELECT min(c) FROM other"), "5");
}

/// A view that is being refreshed, or whatever else nobody reads here, is no reason to wait.
#[tokio::test(flavor = "multi_thread")]
async fn locks_on_what_is_not_read_are_not_waited_for() {
    let place = Place::new(lab::shared_pg15());
    let db = &place.db;
    place.server.psql(db, "CREATE TABLE queue AS SELECT 1 AS n");
    place.add("lock_timeout = \"300ms\"\nexclude_tables = [\"public.queue\"]");
    let holder = Locker::begin(place.server, db, "LOCK TABLE queue").await;
    place.run().expect(0);
    holder.commit().await;
}

/// Begins a snapshot while `sql` holds its locks, lets both go on, and gives the outcome.
async fn while_waiting(sql: &str) -> (Manifest, String) {
    let server = lab::shared_pg15();
    let db = server.fresh_db("faults");
    server.psql(&db, SOME);
    let holder = Locker::begin(server, &db, sql).await;
    let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new("east"));
    let request = request(server, &db, &[Arc::clone(&store)]);
    let let_go = async {
        waiting(server, &db, 1).await;
        holder.commit().await;
    };
    let (taken, ()) = tokio::join!(snapshot::take(&request), let_go);
    let manifest = taken.unwrap_or_else(|e| panic!("{e:?}")).manifest;
    proven(&*store).await;
    let url = server.url(&db);
    assert_eq!(contents(&*store, &manifest).await, database_now(&url, &manifest).await);
    let names: Vec<String> = manifest.tables.iter().map(|t| t.name.name.clone()).collect();
    let names = names.join(" ");
    (manifest, names)
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_may_change_while_a_snapshot_waits_for_them() {
    assert_eq!(while_waiting("DROP TABLE kept").await.1, "other");
    assert_eq!(while_waiting("ALTER TABLE kept RENAME TO later").await.1, "later other");
    let (manifest, _) = while_waiting("ALTER TABLE kept ADD c int DEFAULT 7").await;
    assert_eq!(manifest.tables[0].columns, ["id", "v", "c"]);
    let again = "DROP TABLE kept; CREATE TABLE kept AS SELECT 1 AS one";
    let (manifest, _) = while_waiting(again).await;
    assert_eq!((manifest.tables[0].rows, manifest.tables[0].columns.len()), (1, 1));
    let (manifest, _) = while_waiting("TRUNCATE kept").await;
    assert_eq!(manifest.tables[0].rows, 0);
}

/// Calls a function when the first rows have been stored.
struct AtFirstRows {
    act: std::sync::Mutex<Option<Box<dyn FnOnce() + Send>>>,
    recorded: Recorded,
}

impl AtFirstRows {
    fn new(act: impl FnOnce() + Send + 'static) -> Self {
        Self { act: std::sync::Mutex::new(Some(Box::new(act))), recorded: Recorded::default() }
    }

    fn said(&self) -> String {
        self.recorded.said()
    }
}

impl Sink for AtFirstRows {
    fn emit(&self, event: Event) {
        let first = matches!(event, Event::TableProgress { .. });
        self.recorded.emit(event);
        // Held meanwhile: whoever else has something to tell waits, so the work does not run on to
        // its end while this machine is slow to act.
        let mut waiting = self.act.lock().unwrap();
        if first && let Some(act) = waiting.take() {
            act();
        }
    }
}

/// Breaks the server or its sessions in the middle of reading: the snapshot fails and says why, no
/// manifest appears, and the next one takes up what had arrived.
async fn broken_in_the_middle(act: fn(&Postgres), words: &[&str]) {
    let server = Arc::new(Postgres::start(Version::V15));
    let db = server.fresh_db("faults");
    server.psql(
        &db,
        "CREATE TABLE large AS SELECT i AS id, md5(i::text) || md5((-i)::text) AS v \
         FROM generate_series(1, 500000) i",
    );
    let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new("east"));
    let mut broken = request(&server, &db, &[Arc::clone(&store)]);
    let at = Arc::clone(&server);
    broken.sink = Arc::new(AtFirstRows::new(move || act(&at)));
    let error = snapshot::take(&broken).await.expect_err("a snapshot of a broken server");
    says(&format!("{error:?}"), words);
    assert_eq!(proven(&*store).await.len(), 0);
    let arrived = objects(&*store).await.len();
    assert!(arrived > 0, "it broke before anything had arrived");

    if server.try_psql(&db, "SELECT 1").is_err() {
        server.kill9();
        server.start_again();
    }
    let outcome = snapshot::take(&request(&server, &db, &[Arc::clone(&store)])).await;
    let outcome = outcome.unwrap_or_else(|e| panic!("{e:?}"));
    let manifest = &outcome.manifest;
    assert_eq!(proven(&*store).await.len(), 1);
    let url = server.url(&db);
    assert_eq!(contents(&*store, manifest).await, database_now(&url, manifest).await);
    assert!(outcome.stores[0].new_bytes < manifest.totals.stored_bytes, "{:?}", outcome.stores);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_while_rows_are_read() {
    broken_in_the_middle(Postgres::kill9, &["onnection"]).await;
}

fn terminate(server: &Postgres, which: &str) {
    let sql = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name = 'drctl snapshot' AND {which} LIMIT 1"
    );
    let begun = Instant::now();
    while server.psql("postgres", &sql) != "t" {
        assert!(begun.elapsed() < Duration::from_secs(10), "no such session");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_terminated_while_it_reads() {
    // A session that is ended while its client is slow to read says nothing any more
    // (ProcessClientWriteInterrupt in PostgreSQL's postgres.c): it just closes the connection.
    broken_in_the_middle(
        |server| terminate(server, "query LIKE 'COPY%'"),
        &["public.large", "57P01|the connection was lost: the server closed it"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_coordinator_terminated_while_others_read() {
    broken_in_the_middle(
        |server| {
            // The session that began first.
            terminate(
                server,
                "backend_start = (SELECT min(backend_start) FROM pg_stat_activity \
                 WHERE application_name = 'drctl snapshot')",
            );
        },
        &["locks", "57P01", "run the snapshot again"],
    )
    .await;
}

/// A database and two stores in memory that fail on command.
struct TwoStores {
    db: String,
    memory: [MemoryStore; 2],
    faulty: [FaultyStore; 2],
    all: Vec<Arc<dyn ObjectStore>>,
}

impl TwoStores {
    fn new() -> Self {
        let db = lab::shared_pg15().fresh_db("faults");
        lab::shared_pg15().psql(&db, SOME);
        let memory = [MemoryStore::new("east"), MemoryStore::new("west")];
        let faulty = memory.each_ref().map(|m| FaultyStore::new(Arc::new(m.clone())));
        let all = faulty.iter().map(|s| Arc::new(s.clone()) as Arc<dyn ObjectStore>).collect();
        Self { db, memory, faulty, all }
    }

    fn request(&self) -> (Request, Arc<Recorded>) {
        let mut request = request(lab::shared_pg15(), &self.db, &self.all);
        let sink = Arc::new(Recorded::default());
        request.sink = Arc::clone(&sink) as Arc<dyn Sink>;
        (request, sink)
    }

    async fn whole(&self, manifest: &Manifest) {
        let url = lab::shared_pg15().url(&self.db);
        let now = database_now(&url, manifest).await;
        for store in &self.all {
            let newest = proven(&**store).await.pop();
            assert_eq!(newest.map(|m| m.id).as_ref(), Some(&manifest.id), "{}", store.name());
            assert_eq!(contents(&**store, manifest).await, now);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_store_is_told_and_the_next_run_fills_the_gap() {
    let world = TwoStores::new();
    snapshot::take(&world.request().0).await.unwrap();
    // Lost at the start, while parts are put, and just before the manifest.
    for after in [0, 4, 9, 14] {
        for lost in 0..2 {
            let update = format!("UPDATE kept SET v = md5(v || '{after}') WHERE id % 7 = {lost}");
            lab::shared_pg15().psql(&world.db, &update);
            let faulty = &world.faulty[lost];
            let before = objects(&*world.all[lost]).await;
            faulty.lose_after(faulty.total() + after);
            let (request, sink) = world.request();
            let outcome = snapshot::take(&request).await.unwrap_or_else(|e| panic!("{e:?}"));
            faulty.heal();
            let told = &outcome.stores;
            assert!(told[1 - lost].complete && told[1 - lost].error.is_none(), "{told:?}");
            let id = &outcome.manifest.id;
            let here = proven(&*world.all[lost]).await.iter().any(|m| m.id == *id);
            assert_eq!(told[lost].complete, here, "{told:?}");
            if !told[lost].complete {
                says(told[lost].error.as_deref().unwrap(), &["injected"]);
                says(&sink.said(), &[&format!("lost {}", faulty_name(lost))]);
            } else {
                assert!(after > 9, "lost after {after} acts, and complete");
            }
            assert!(before.keys().all(|k| !k.contains(id.as_str())));

            let before = objects(&*world.all[lost]).await;
            let (request, _) = world.request();
            let outcome = snapshot::take(&request).await.unwrap_or_else(|e| panic!("{e:?}"));
            assert!(outcome.stores.iter().all(|s| s.complete), "{:?}", outcome.stores);
            world.whole(&outcome.manifest).await;
            let mut gained = 0;
            for key in objects(&*world.all[lost]).await.keys() {
                if !before.contains_key(key) {
                    let store = &world.all[lost];
                    gained += store.head(key, false).await.unwrap().unwrap().size;
                }
            }
            assert_eq!(outcome.stores[lost].new_bytes, gained);
        }
    }
}

fn faulty_name(which: usize) -> &'static str {
    ["east", "west"][which]
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_store_all_reasons_are_told() {
    let world = TwoStores::new();
    for after in [0, 5] {
        for faulty in &world.faulty {
            faulty.lose_after(faulty.total() + after);
        }
        let error = snapshot::take(&world.request().0).await.expect_err("no store is there");
        assert_eq!(error.kind().exit_code(), 1);
        says(&format!("{error:?}"), &["no store is left", "east: ", "west: ", "injected"]);
        world.faulty.iter().for_each(FaultyStore::heal);
        for store in &world.all {
            assert_eq!(proven(&**store).await.len(), 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_list_of_the_previous_snapshot_stands_in_no_ones_way() {
    let world = TwoStores::new();
    let outcome = snapshot::take(&world.request().0).await.unwrap();
    let list_key = |manifest: &Manifest| {
        let kept = manifest.tables.iter().find(|t| t.name.name == "kept").unwrap();
        drctl::store::keys::list_key(taking::NAME, &manifest.generation, kept.list)
    };
    let key = list_key(&outcome.manifest);
    for store in &world.all {
        store.delete(std::slice::from_ref(&key)).await.unwrap();
    }
    let (request, sink) = world.request();
    let outcome = snapshot::take(&request).await.unwrap_or_else(|e| panic!("{e:?}"));
    says(&sink.said(), &["part list of public.kept", "drctl verify"]);
    // The list is put again under its old name, so that the earlier snapshot is whole as well.
    world.whole(&outcome.manifest).await;

    // One that is there and damaged cannot be put again: a new generation needs nothing of the old.
    let key = list_key(&outcome.manifest);
    let bytes = world.all[1].get(&key).await.unwrap().bytes;
    for memory in &world.memory {
        memory.overwrite(&key, bytes.slice(..bytes.len() - 1));
    }
    let (request, sink) = world.request();
    let next = snapshot::take(&request).await.unwrap_or_else(|e| panic!("{e:?}"));
    for memory in &world.memory {
        memory.overwrite(&key, bytes.clone());
    }
    assert_ne!(next.manifest.generation, outcome.manifest.generation);
    says(&sink.said(), &["part list of public.kept"]);
    world.whole(&next.manifest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_is_no_loss() {
    let world = TwoStores::new();
    for nth in 1..=12 {
        world.faulty[0].on(Op::Put, nth, Fault::FailAfter);
    }
    world.faulty[1].on(Op::Put, 2, Fault::Fail(Class::Permanent));
    // Nothing here retries; the configured stores do.
    let outcome = snapshot::take(&world.request().0).await;
    if let Ok(outcome) = &outcome {
        assert!(outcome.stores.iter().any(|s| !s.complete));
    }
    world.faulty.iter().for_each(FaultyStore::heal);
    let outcome = snapshot::take(&world.request().0).await.unwrap_or_else(|e| panic!("{e:?}"));
    world.whole(&outcome.manifest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_out_of_reach_makes_exit_code_6() {
    let place = Place::new(lab::shared_pg15());
    let west = place.home.join("west");
    std::fs::remove_dir(&west).unwrap();
    std::fs::write(&west, "a file is in the way").unwrap();
    let ran = place.run().expect(6);
    says(&ran.stderr, &["warning: store `west`"]);
    says(&ran.stdout, &["east: complete", "west: NOT complete", "drctl copy"]);
    let ran = place.json().expect(6).result();
    assert_eq!((&ran["ok"], &ran["exit_code"]), (&Value::Bool(false), &6.into()));
    assert_eq!(ran["stores"][1]["complete"], false);

    std::fs::remove_file(&west).unwrap();
    let ran = place.json().expect(0).result();
    assert_eq!(ran["stores"][1]["complete"], true);
    let new = |i: usize| ran["stores"][i]["new_bytes"].as_u64().unwrap();
    assert!(new(1) > new(0), "the gap was filled: {ran}");
    assert_eq!(place.snapshots().await, [3, 1]);

    std::fs::remove_dir_all(&west).unwrap();
    let east = place.home.join("east");
    std::fs::remove_dir_all(&east).unwrap();
    for store in [&east, &west] {
        std::fs::write(store, "a file is in the way").unwrap();
    }
    place.refused(&["no store can be used", "east: ", "west: ", "Hint: "]);
}

/// A file system of its own with little room; gone on drop.
struct Tiny(std::path::PathBuf);

impl Tiny {
    /// `None` where mounting is not allowed.
    fn mount(at: std::path::PathBuf, size: &str) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&at);
        (lab::run(&mut mount).code == 0).then_some(Self(at))
    }

    fn grow(&self, size: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,size={size}")]).arg(&self.0);
        lab::run(&mut mount).expect(0);
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        lab::run(Command::new("umount").arg(&self.0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_costs_one_store_and_no_snapshot() {
    let place = Place::new(lab::shared_pg15());
    place.run().expect(0);
    std::fs::remove_dir_all(place.home.join("west")).unwrap();
    std::fs::create_dir(place.home.join("west")).unwrap();
    let Some(tiny) = Tiny::mount(place.home.join("west"), "40k") else {
        return full_disk_without_mount().await;
    };
    let sql = "INSERT INTO kept SELECT i, md5(i::text) FROM generate_series(3001, 6000) i";
    place.server.psql(&place.db, sql);
    let ran = place.run().expect(6);
    says(&ran.stdout, &["east: complete", "west: NOT complete", "No space left"]);
    assert_eq!(place.snapshots().await, [2, 0]);
    tiny.grow("10m");
    place.run().expect(0);
    assert_eq!(place.snapshots().await, [3, 1]);
}

/// The same with a store that says it is full, where this process may not mount.
async fn full_disk_without_mount() {
    let world = TwoStores::new();
    world.faulty[1].always(Op::Put, Fault::Fail(Class::Permanent));
    let outcome = snapshot::take(&world.request().0).await.unwrap();
    assert!(outcome.stores[0].complete && !outcome.stores[1].complete);
    world.faulty[1].heal();
    let outcome = snapshot::take(&world.request().0).await.unwrap();
    world.whole(&outcome.manifest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_ends_a_snapshot() {
    let place = Place::new(lab::shared_pg15());
    place.add("deadline = \"1s\"\nlock_timeout = \"60s\"");
    let holder = Locker::begin(place.server, &place.db, "LOCK TABLE kept").await;
    let begun = Instant::now();
    place.refused(&["took longer than 1s", "Hint: "]);
    assert!(begun.elapsed() < Duration::from_secs(10));
    holder.commit().await;
    // It leaves no session behind that holds locks.
    waiting(place.server, &place.db, 0).await;
}

#[test]
fn json_is_json_and_the_result_has_all_fields() {
    let place = Place::new(lab::shared_pg15());
    let ran = place.json().expect(0);
    assert!(ran.stderr.is_empty(), "{}", ran.stderr);
    let events = ran.events();
    assert_eq!(events[0]["event"], "started");
    assert!(events.iter().filter(|e| e["event"] == "result").count() == 1);
    let result = ran.result();
    for (field, kind) in [
        ("command", "string"),
        ("ok", "boolean"),
        ("exit_code", "number"),
        ("id", "string"),
        ("generation", "string"),
        ("database", "string"),
        ("stores", "array"),
        ("tables", "number"),
        ("rows", "number"),
        ("raw_bytes", "number"),
        ("stored_bytes", "number"),
        ("new_bytes", "number"),
        ("parts", "number"),
        ("new_parts", "number"),
        ("seconds", "number"),
    ] {
        let is = match &result[field] {
            Value::String(_) => "string",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::Array(_) => "array",
            _ => "nothing",
        };
        assert_eq!(is, kind, "{field} in {result}");
    }
    assert_eq!((&result["rows"], &result["tables"]), (&3000.into(), &2.into()));
    for store in result["stores"].as_array().unwrap() {
        assert!(store["name"].is_string() && store["complete"] == true, "{store}");
        assert!(store["new_bytes"].as_u64().is_some_and(|n| n > 0), "{store}");
    }
    let again = place.json().expect(0).result();
    assert_eq!((&again["new_parts"], &again["generation"]), (&0.into(), &result["generation"]));

    place.change(&format!(":{}/", place.server.port()), &format!(":{}/", lab::free_port()));
    let failed = place.json().expect(1);
    assert!(failed.stderr.is_empty(), "{}", failed.stderr);
    let failed = failed.result();
    assert_eq!((&failed["ok"], &failed["exit_code"]), (&Value::Bool(false), &1.into()));
    says(failed["error"].as_str().unwrap(), &["connect to"]);
    assert!(failed["hint"].is_string(), "{failed}");
}

#[test]
fn without_a_terminal_only_the_summary_is_said() {
    let place = Place::new(lab::shared_pg15());
    let ran = place.run().expect(0);
    assert!(ran.stderr.is_empty(), "{}", ran.stderr);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{}", ran.stdout);
    says(lines[0], &["Snapshot ", "`db`"]);
    says(lines[1], &["2 tables", "3,000 rows"]);
    says(lines[2], &["east: complete"]);
    says(lines[3], &["west: complete"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_snapshot_at_once_is_told_who_takes_the_first() {
    let place = Place::new(lab::shared_pg15());
    place.add("lock_timeout = \"60s\"");
    let holder = Locker::begin(place.server, &place.db, "LOCK TABLE kept").await;
    let piped = Stdio::piped;
    let first = place.command().stdout(piped()).stderr(piped()).spawn().unwrap();
    waiting(place.server, &place.db, 1).await;
    let second = place.run().expect(5);
    says(&second.stderr, &["Error: ", &first.id().to_string(), "take a snapshot of db", "Hint: "]);
    let second = place.json().expect(5).result();
    assert_eq!((&second["ok"], &second["exit_code"]), (&Value::Bool(false), &5.into()));
    assert_eq!(place.snapshots().await, [0, 0]);
    holder.commit().await;
    let first = first.wait_with_output().unwrap();
    assert!(first.status.success(), "{first:?}");
    place.run().expect(0);
    assert_eq!(place.snapshots().await, [2, 2]);
}
