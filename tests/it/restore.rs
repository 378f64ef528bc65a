//! Restores against real servers: what arrives equals what was there, and what cannot arrive whole
//! is never taken for whole.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use chrono::Utc;
use drctl::config::{DatabaseConfig, Profile, Secret};
use drctl::error::{Kind, Result};
use drctl::integrity::encryption::Cipher;
use drctl::integrity::seal::Keys;
use drctl::model::{Event, Kept, Level, Manifest, RowFormat, Sink};
use drctl::postgres::Conninfo;
use drctl::restore::{self, Course, Proof, RestoreRequest, Restored, Roles};
use drctl::snapshot;
use drctl::store::{MemoryStore, ObjectStore, keys};

use tokio::sync::Notify;

use crate::lab::{Postgres, Version, shared_pg15, shared_pg16, shared_pg18, unique};

/// Keeps events, for tests of what a person is told; tells when a moment has come.
#[derive(Default)]
struct Heard(Mutex<Vec<Event>>, Mutex<Option<(Moment, Arc<Notify>)>>);

/// A phase begins, or more of a table is done.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Moment {
    Phase(&'static str),
    Progress,
}

impl Sink for Heard {
    fn emit(&self, event: Event) {
        let awaited = self.1.lock().unwrap().clone();
        let come = match (&event, &awaited) {
            (Event::Phase { name }, Some((Moment::Phase(wanted), _))) => name == wanted,
            (Event::TableProgress { .. }, Some((Moment::Progress, _))) => true,
            _ => false,
        };
        self.0.lock().unwrap().push(event);
        if let (true, Some((_, now))) = (come, awaited) {
            now.notify_one();
        }
    }
}

/// Drops a restore when the moment comes, as Ctrl-C does; gives whether it came.
async fn cut(request: &RestoreRequest, heard: &Heard, moment: Moment) -> bool {
    let now = Arc::new(Notify::new());
    *heard.1.lock().unwrap() = Some((moment, Arc::clone(&now)));
    let cut = tokio::select! {
        _ = restore::restore(request) => false,
        () = now.notified() => true,
    };
    *heard.1.lock().unwrap() = None;
    cut
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
        let stores = vec!["east".to_owned(), "west".to_owned()];
        let config = DatabaseConfig {
            jobs: 2,
            part_size: self.part_size,
            row_format: self.format,
            pg_bin: Some(server.bin_dir()),
            ..DatabaseConfig::new("pets", Secret::new(server.url(db)), stores)
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
            cipher: Cipher::default(),
            stores: self.stores(),
            target: conninfo(server, db),
            tables: Vec::new(),
            create: false,
            replace: false,
            roles: Roles::Refuse,
            allow: drctl::restore::Allow::default(),
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

async fn everything_goes_round(from: &Postgres, to: &Postgres) {
    let db = from.fresh_db("everything");
    from.load_everything(&db);
    for role in ["lab_owner", "lab_reader", "lab_writer", "Odd \"Role\""] {
        let quoted = role.replace('"', "\"\"");
        let _ = to.try_psql("postgres", &format!("CREATE ROLE \"{quoted}\""));
    }
    let world = World::new();
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
    let proof =
        restore::prove(&conninfo(to, &name), &manifest, &Cipher::default(), 2, world.heard.clone())
            .await;
    assert_eq!(proof.unwrap(), Proof::Equal);
}

#[tokio::test]
async fn everything_on_15() {
    everything_goes_round(shared_pg15(), shared_pg15()).await;
}

#[tokio::test]
async fn everything_on_18() {
    everything_goes_round(shared_pg18(), shared_pg18()).await;
}

#[tokio::test]
async fn everything_from_16_to_18() {
    everything_goes_round(shared_pg16(), shared_pg18()).await;
}

/// A small database of the veterinary service, and its snapshot.
async fn petforce(world: &World, server: &Postgres) -> (String, Manifest) {
    let db = server.fresh_db("petforce");
    server.load_petforce(&db, 3000);
    let manifest = world.snapshot(server, &db).await;
    (db, manifest)
}

fn databases(server: &Postgres) -> String {
    server.psql("postgres", "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database")
}

#[tokio::test]
async fn binary_rows_in_many_parts_and_into_an_empty_database() {
    let server = shared_pg15();
    let world = World { format: RowFormat::Binary, ..World::new() };
    let (db, manifest) = petforce(&world, server).await;
    assert!(manifest.tables.iter().any(|t| t.parts > 3), "one part tries nothing");
    let copy = server.fresh_db("copy");
    let request = world.request(&manifest, server, &copy);
    assert_eq!(restore::plan(&request).await.unwrap().course, Course::InPlace);
    equal(restore::restore(&request).await);
    assert_same(&dump(server, &db, server), &dump(server, &copy, server));
}

#[tokio::test]
async fn deltas_rest_on_their_bases() {
    let server = shared_pg15();
    let world = World { part_size: 1 << 20, ..World::new() };
    let (db, first) = petforce(&world, server).await;
    server.psql(&db, "UPDATE petforce.events SET at = at + interval '1 s' WHERE id % 200 = 0");
    let second = world.snapshot(server, &db).await;
    assert_eq!(second.generation, first.generation);
    let mut deltas = 0;
    for table in &second.tables {
        let list =
            drctl::integrity::history::read_list(&*world.east, &second, table).await.unwrap();
        deltas += list.parts.iter().filter(|p| p.base.is_some()).count();
    }
    assert!(deltas > 0, "no part was stored as a delta");
    let copy = server.fresh_db("copy");
    equal(restore::restore(&world.request(&second, server, &copy)).await);
    assert_same(&dump(server, &db, server), &dump(server, &copy, server));
}

#[tokio::test]
async fn a_target_that_is_not_fit_is_refused_with_every_reason_and_left_alone() {
    let server = shared_pg15();
    let world = World::new();
    let (db, manifest) = petforce(&world, server).await;

    let full = server.fresh_db("full");
    server.psql(&full, "CREATE TABLE mine (id int); INSERT INTO mine VALUES (1)");
    let e = restore::restore(&world.request(&manifest, server, &full)).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Usage);
    assert!(e.what().contains("is not empty: it has table public.mine"), "{e:?}");
    assert_eq!(server.psql(&full, "SELECT count(*) FROM mine"), "1");

    let missing = unique("missing");
    let e = restore::restore(&world.request(&manifest, server, &missing)).await.unwrap_err();
    assert!(e.what().contains("there is no database"), "{e:?}");
    assert_eq!(e.advice(), Some("add --create to make it"));

    let create = RestoreRequest { create: true, ..world.request(&manifest, server, &full) };
    let e = restore::restore(&create).await.unwrap_err();
    assert!(e.what().contains("is there already"), "{e:?}");

    let read_only = server.fresh_db("read_only");
    let set = format!("ALTER DATABASE {read_only} SET default_transaction_read_only = on");
    server.psql("postgres", &set);
    let e = restore::restore(&world.request(&manifest, server, &read_only)).await.unwrap_err();
    assert!(e.what().contains("is read-only"), "{e:?}");

    let latin = unique("latin");
    server.psql(
        "postgres",
        &format!("CREATE DATABASE {latin} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"),
    );
    server.psql(&latin, "CREATE TYPE mine AS ENUM ('a')");
    let e = restore::restore(&world.request(&manifest, server, &latin)).await.unwrap_err();
    assert!(e.what().contains("for 2 reasons"), "{e:?}");
    assert!(e.what().contains("encoding LATIN1") && e.what().contains("public.mine"), "{e:?}");

    for replace in [false, true] {
        let source = RestoreRequest { replace, ..world.request(&manifest, server, &db) };
        let e = restore::restore(&source).await.unwrap_err();
        assert!(e.what().contains("the snapshot was taken of"), "{e:?}");
    }
    let mut protected = world.request(&manifest, server, &full);
    protected.replace = true;
    // By another way to the same server.
    let socket = format!(
        "host={} port={} user=postgres dbname={full}",
        server.socket_dir().display(),
        server.port()
    );
    let socket = Conninfo::parse(&Secret::new(socket)).unwrap();
    protected.protected.push(("production".to_owned(), socket));
    let e = restore::restore(&protected).await.unwrap_err();
    assert!(e.what().contains("the configured database `production`"), "{e:?}");
    assert_eq!(server.psql(&full, "SELECT count(*) FROM mine"), "1");
    assert!(!databases(server).contains(&format!("{full}__drctl")), "{}", databases(server));
}

#[tokio::test]
async fn older_servers_and_standbys_are_refused() {
    let world = World::new();
    let (_, manifest) = petforce(&world, shared_pg16()).await;
    let old = shared_pg15();
    let copy = old.fresh_db("copy");
    let request = RestoreRequest {
        pg_bin: Some(shared_pg16().bin_dir()),
        ..world.request(&manifest, old, &copy)
    };
    let e = restore::restore(&request).await.unwrap_err();
    assert!(e.what().contains("PostgreSQL 15") && e.what().contains("of 16"), "{e:?}");

    let primary = Postgres::start(Version::V16);
    let copy = primary.fresh_db("copy");
    let standby = Postgres::standby_of(&primary);
    standby.catch_up(&primary);
    let e = restore::restore(&world.request(&manifest, &standby, &copy)).await.unwrap_err();
    assert!(e.what().contains("is a standby"), "{e:?}");
}

#[tokio::test]
async fn a_restore_that_was_cut_short_is_not_taken_for_whole_and_can_be_replaced() {
    let server = shared_pg15();
    let world = World::new();
    let (db, manifest) = petforce(&world, server).await;
    let before = dump(server, &db, server);
    let moments = [
        Moment::Phase("rows"),
        Moment::Progress,
        Moment::Phase("proof"),
        Moment::Phase("indexes and constraints"),
        Moment::Phase("materialized views"),
    ];
    for moment in moments {
        // In place: the mark stays, and only a replacement is taken.
        let copy = server.fresh_db("cut");
        let request = world.request(&manifest, server, &copy);
        assert!(cut(&request, &world.heard, moment).await, "{moment:?} did not come");
        let e = restore::restore(&request).await.unwrap_err();
        assert!(e.what().contains("is half restored"), "{e:?}");
        let again = RestoreRequest { replace: true, ..request };
        equal(restore::restore(&again).await);
        assert_same(&before, &dump(server, &copy, server));
        assert!(!databases(server).contains(&format!("{copy}__drctl")), "{}", databases(server));

        // Beside: the wanted name does not appear before the end.
        let name = unique("beside");
        let request = RestoreRequest { create: true, ..world.request(&manifest, server, &name) };
        assert!(cut(&request, &world.heard, moment).await, "{moment:?} did not come");
        let beside = format!("{name}__drctl_restoring");
        assert!(databases(server).contains(&beside), "{}", databases(server));
        assert!(!databases(server).split(' ').any(|d| d == name));
        equal(restore::restore(&request).await);
        assert!(!databases(server).contains(&beside), "{}", databases(server));
        assert_same(&before, &dump(server, &name, server));
    }
}

#[tokio::test]
async fn a_database_that_is_made_gets_the_properties_of_its_source() {
    let server = shared_pg15();
    let db = unique("Odd \"name\"");
    server.create_db(&db);
    let quoted = format!("\"{}\"", db.replace('"', "\"\""));
    let role = unique("property_role");
    server.psql(
        "postgres",
        &format!(
            "CREATE ROLE {role}; ALTER DATABASE {quoted} OWNER TO {role};
             ALTER DATABASE {quoted} SET work_mem = '7MB'; ALTER DATABASE {quoted} CONNECTION LIMIT 9;
             ALTER ROLE {role} IN DATABASE {quoted} SET lock_timeout = '3s';
             REVOKE CONNECT ON DATABASE {quoted} FROM PUBLIC;
             COMMENT ON DATABASE {quoted} IS 'it''s; odd'"
        ),
    );
    let world = World::new();
    let manifest = world.snapshot(server, &db).await;
    let copy = unique("Other \"name\"");
    let request = RestoreRequest { create: true, ..world.request(&manifest, server, &copy) };
    let restored = equal(restore::restore(&request).await);
    assert_eq!(restored.advice.len(), 1, "{:?}", restored.advice);
    let properties = |name: &str| {
        server.psql(
            "postgres",
            &format!(
                "SELECT datdba::regrole, datconnlimit,
                        (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a), shobj_description(d.oid, 'pg_database'),
                        (SELECT array_agg(setrole::regrole || ':' || setconfig::text ORDER BY 1)
                           FROM pg_db_role_setting WHERE setdatabase = d.oid)
                   FROM pg_database d WHERE datname = '{name}'"
            ),
        )
    };
    let (before, after) = (properties(&db), properties(&copy));
    assert!(before.contains("odd") && before.contains("7MB") && before.contains("3s"), "{before}");
    assert_eq!(before, after);
}

#[tokio::test]
async fn replacing_ends_the_sessions_of_the_old_database_and_drops_it() {
    let server = shared_pg15();
    let world = World::new();
    let (db, manifest) = petforce(&world, server).await;
    let copy = server.fresh_db("live");
    server.psql(&copy, "CREATE TABLE old (id int)");
    let mut application = server
        .program("psql")
        .args(["-X", "-d", &copy, "-c", "SELECT pg_sleep(600)"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let request = RestoreRequest { replace: true, ..world.request(&manifest, server, &copy) };
    assert_eq!(restore::plan(&request).await.unwrap().course, Course::Replace);
    let restored = equal(restore::restore(&request).await);
    assert_eq!(restored.database, copy);
    assert!(!application.wait().unwrap().success(), "its session should have been ended");
    assert_same(&dump(server, &db, server), &dump(server, &copy, server));
    assert!(!databases(server).contains(&format!("{copy}__drctl")), "{}", databases(server));
}

#[tokio::test]
async fn two_restores_to_one_name_do_not_meet() {
    let server = shared_pg15();
    let world = World::new();
    let (_, manifest) = petforce(&world, server).await;
    let name = unique("twice");
    let request = || RestoreRequest { create: true, ..world.request(&manifest, server, &name) };
    let (first, second) = (request(), request());
    let (first, second) = tokio::join!(restore::restore(&first), restore::restore(&second));
    let (done, refused) = if first.is_ok() { (first, second) } else { (second, first) };
    equal(done);
    assert_eq!(refused.unwrap_err().kind(), Kind::LeaseHeld);
}

#[tokio::test]
async fn missing_roles_are_named_made_or_passed_over() {
    let source = Postgres::start(Version::V15);
    let db = source.fresh_db("roles");
    source.psql(
        &db,
        "CREATE ROLE keeper; CREATE ROLE \"Odd reader\"; CREATE ROLE unused SUPERUSER;
         CREATE TABLE pets (id int); INSERT INTO pets VALUES (1); ALTER TABLE pets OWNER TO keeper;
         ALTER TABLE pets ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON pets TO \"Odd reader\" USING (true);
         CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT 'GRANT x TO ghost;' $$",
    );
    let world = World::new();
    let manifest = world.snapshot(&source, &db).await;
    let target = Postgres::start(Version::V15);
    let copy = target.fresh_db("roles");

    let request = world.request(&manifest, &target, &copy);
    let plan = restore::plan(&request).await.unwrap();
    assert_eq!(plan.missing_roles, ["Odd reader", "keeper"]);
    let e = restore::restore(&request).await.unwrap_err();
    assert!(e.what().contains("no roles Odd reader, keeper"), "{e:?}");
    assert!(e.advice().unwrap().contains("--roles create"), "{e:?}");

    let skip = RestoreRequest { roles: Roles::Skip, ..world.request(&manifest, &target, &copy) };
    let restored = equal(restore::restore(&skip).await);
    let skipped: Vec<_> = restored.skipped.iter().map(|s| s.what.as_str()).collect();
    assert!(skipped.iter().any(|s| s.starts_with("CREATE POLICY own")), "{skipped:?}");
    assert_eq!(target.psql(&copy, "SELECT rolname FROM pg_class c JOIN pg_roles r ON r.oid = relowner WHERE relname = 'pets'"), "postgres");

    let copy = unique("roles");
    let create = RestoreRequest {
        roles: Roles::Create,
        create: true,
        ..world.request(&manifest, &target, &copy)
    };
    equal(restore::restore(&create).await);
    let made = "SELECT string_agg(rolname, ',' ORDER BY rolname) FROM pg_roles WHERE rolname !~ '^pg_' AND NOT rolcanlogin AND NOT rolsuper";
    assert_eq!(target.psql("postgres", made), "Odd reader,keeper");
    assert_same(&dump(&source, &db, &source), &dump(&target, &copy, &target));
}

#[tokio::test]
async fn missing_extensions_are_named_all_at_once() {
    let source = shared_pg15();
    let db = source.fresh_db("extensions");
    source.psql(&db, "CREATE EXTENSION citext; CREATE EXTENSION hstore");
    let world = World::new();
    let manifest = world.snapshot(source, &db).await;
    let target = shared_pg16();
    let copy = target.fresh_db("extensions");
    let e = restore::restore(&world.request(&manifest, target, &copy)).await.unwrap_err();
    assert!(e.what().contains("no extensions citext, hstore"), "{e:?}");
}

#[tokio::test]
async fn what_one_store_has_damaged_or_lost_comes_from_the_other() {
    let server = shared_pg15();
    let world = World::new();
    let (db, manifest) = petforce(&world, server).await;
    let table = manifest.tables.iter().max_by_key(|t| t.raw_bytes).unwrap();
    let list = drctl::integrity::history::read_list(&*world.east, &manifest, table).await.unwrap();
    let part = |i: usize| {
        keys::part_key(&manifest.database, &manifest.generation, list.parts[i].name(Kept::Open))
    };
    let mut bytes = world.east.get(&part(0)).await.unwrap().bytes.to_vec();
    bytes[20] ^= 1;
    world.east.overwrite(&part(0), bytes);
    let lost = [
        part(1),
        keys::list_key(&manifest.database, &manifest.generation, table.list),
        keys::schema_key(&manifest.database, &manifest.generation, &manifest.id, Kept::Open),
    ];
    world.east.delete(&lost).await.unwrap();

    let copy = server.fresh_db("copy");
    equal(restore::restore(&world.request(&manifest, server, &copy)).await);
    assert_same(&dump(server, &db, server), &dump(server, &copy, server));
    let warnings = world.heard.warnings();
    for key in lost.iter().chain([&part(0)]) {
        let told = |w: &&String| {
            w.contains(key.as_str()) && w.contains("`east`") && w.contains("`west` has it")
        };
        assert_eq!(warnings.iter().filter(told).count(), 1, "{key}: {warnings:#?}");
    }

    // In neither store: named, and nothing is taken for whole.
    world.west.delete(&[part(1)]).await.unwrap();
    let copy = server.fresh_db("copy");
    let e = restore::restore(&world.request(&manifest, server, &copy)).await.unwrap_err();
    let text = e.one_line();
    assert!(text.contains(&format!("part 2 of {} of {}", list.parts.len(), table.name)), "{text}");
    assert!(text.contains("store `east`") && text.contains("store `west`"), "{text}");
    let e = restore::restore(&world.request(&manifest, server, &copy)).await.unwrap_err();
    assert!(e.what().contains("half restored"), "{e:?}");
}

#[tokio::test]
async fn the_proof_finds_every_kind_of_wrong_row() {
    let server = shared_pg15();
    let world = World::new();
    let (db, manifest) = petforce(&world, server).await;
    let copy = server.fresh_db("copy");
    equal(restore::restore(&world.request(&manifest, server, &copy)).await);
    let differs = async || {
        let info = conninfo(server, &copy);
        match restore::prove(&info, &manifest, &Cipher::default(), 2, world.heard.clone())
            .await
            .unwrap()
        {
            Proof::Equal => Vec::new(),
            Proof::Different(all) => all.into_iter().map(|d| d.what).collect::<Vec<_>>(),
        }
    };
    assert!(differs().await.is_empty());
    // Undone again, the proof holds again, wherever the rows lie now.
    for (wrong, right, what) in [
        (
            "UPDATE petforce.pets SET weight_g = weight_g + 1 WHERE id = 7",
            "UPDATE petforce.pets SET weight_g = weight_g - 1 WHERE id = 7",
            "petforce.pets",
        ),
        (
            "INSERT INTO petforce.measurements VALUES (1, '2020-01-01', 1, 1)",
            "DELETE FROM petforce.measurements WHERE taken_at = '2020-01-01'",
            "petforce.measurements",
        ),
        (
            "CREATE TABLE kept AS SELECT * FROM petforce.measurements WHERE pet_id = 5; DELETE FROM petforce.measurements WHERE pet_id = 5",
            "INSERT INTO petforce.measurements TABLE kept; DROP TABLE kept",
            "petforce.measurements",
        ),
        (
            "UPDATE petforce.owners SET phone = '' WHERE id = 1; ALTER TABLE petforce.owners ADD was text; UPDATE petforce.owners SET was = 'x'",
            "",
            "petforce.owners",
        ),
        ("SELECT nextval('petforce.pets_id_seq')", "", "sequence petforce.pets_id_seq"),
        ("SELECT lo_from_bytea(77, 'x')", "", "large objects"),
        ("DROP TABLE petforce.invoices CASCADE", "", "petforce.invoices"),
    ] {
        server.psql(&copy, wrong);
        assert!(differs().await.contains(&what.to_owned()), "{wrong}");
        if !right.is_empty() {
            server.psql(&copy, right);
            assert!(differs().await.is_empty(), "{right}");
        }
    }
    assert_eq!(server.psql(&db, "SELECT count(*) FROM pg_largeobject_metadata"), "0");
}

/// Changes a row when the rows are loaded and not yet proven.
struct Meddler {
    server: &'static Postgres,
    database: String,
}

impl Sink for Meddler {
    fn emit(&self, event: Event) {
        if matches!(event, Event::Phase { name } if name == "proof") {
            self.server
                .psql(&self.database, "UPDATE petforce.pets SET name = 'Rex' WHERE id = 100");
        }
    }
}

#[tokio::test]
async fn a_different_proof_leaves_the_database_under_the_other_name() {
    let server = shared_pg15();
    let world = World::new();
    let (_, manifest) = petforce(&world, server).await;
    let name = unique("wrong");
    let beside = format!("{name}__drctl_restoring");
    let request = RestoreRequest {
        create: true,
        sink: Arc::new(Meddler { server, database: beside.clone() }),
        ..world.request(&manifest, server, &name)
    };
    let restored = restore::restore(&request).await.unwrap();
    let Proof::Different(all) = &restored.proof else { panic!("{restored:?}") };
    assert_eq!(all.iter().map(|d| d.what.as_str()).collect::<Vec<_>>(), ["petforce.pets"]);
    assert_eq!(restored.database, beside);
    assert!(!databases(server).split(' ').any(|d| d == name));
    let comment = format!(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{beside}'"
    );
    assert!(server.psql("postgres", &comment).contains("the proof came out different"));

    // In place, the mark keeps it from being taken for whole.
    let copy = server.fresh_db("wrong");
    let request = RestoreRequest {
        sink: Arc::new(Meddler { server, database: copy.clone() }),
        ..world.request(&manifest, server, &copy)
    };
    let restored = restore::restore(&request).await.unwrap();
    assert_ne!(restored.proof, Proof::Equal);
    let e = restore::restore(&world.request(&manifest, server, &copy)).await.unwrap_err();
    assert!(e.what().contains("the proof came out different"), "{e:?}");
}

#[tokio::test]
async fn some_tables_come_with_what_belongs_to_them() {
    let server = shared_pg15();
    let db = server.fresh_db("some");
    server.psql(
        &db,
        "CREATE SCHEMA app; CREATE TYPE app.kind AS ENUM ('dog', 'cat');
         CREATE TABLE app.owners (id int PRIMARY KEY); INSERT INTO app.owners VALUES (1);
         CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TABLE app.pets (id serial PRIMARY KEY, kind app.kind DEFAULT 'dog', owner int REFERENCES app.owners,
                                code int GENERATED ALWAYS AS IDENTITY);
         CREATE INDEX ON app.pets (kind); COMMENT ON TABLE app.pets IS 'kept';
         CREATE TRIGGER touch BEFORE UPDATE ON app.pets FOR EACH ROW EXECUTE FUNCTION app.touch();
         INSERT INTO app.pets (kind, owner) VALUES ('cat', 1), ('dog', NULL);
         CREATE VIEW app.seen AS SELECT * FROM app.pets;
         CREATE TABLE app.visits (id int, at date) PARTITION BY RANGE (at);
         CREATE TABLE app.visits_1 PARTITION OF app.visits FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
         CREATE TABLE app.visits_2 PARTITION OF app.visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
         INSERT INTO app.visits VALUES (1, '2025-05-05'), (2, '2026-05-05');
         SELECT lo_from_bytea(5, 'x')",
    );
    let world = World::new();
    let manifest = world.snapshot(server, &db).await;
    let some = |tables: &[&str], copy: &str| RestoreRequest {
        tables: tables.iter().map(|t| (*t).to_owned()).collect(),
        ..world.request(&manifest, server, copy)
    };

    let copy = server.fresh_db("some");
    let plan = restore::plan(&some(&["app.pets"], &copy)).await.unwrap();
    assert_eq!(plan.tables.len(), 1);
    assert!(plan.warnings.iter().any(|w| w.contains("pets_owner_fkey")), "{:?}", plan.warnings);
    equal(restore::restore(&some(&["app.pets"], &copy)).await);
    let tables = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'app'::regnamespace AND relkind IN ('r', 'p', 'v')";
    assert_eq!(server.psql(&copy, tables), "pets");
    assert_eq!(
        server.psql(&copy, "SELECT string_agg(kind || ':' || id, ' ' ORDER BY id) FROM app.pets"),
        "cat:1 dog:2"
    );
    assert_eq!(
        server.psql(&copy, "INSERT INTO app.pets DEFAULT VALUES RETURNING id || ' ' || code"),
        "3 3"
    );
    assert_eq!(server.psql(&copy, "SELECT count(*) FROM pg_indexes WHERE tablename = 'pets'"), "2");
    assert_eq!(server.psql(&copy, "SELECT count(*) FROM pg_trigger WHERE tgname = 'touch'"), "1");
    assert_eq!(server.psql(&copy, "SELECT obj_description('app.pets'::regclass)"), "kept");

    let copy = server.fresh_db("some");
    equal(restore::restore(&some(&["app.visits"], &copy)).await);
    assert_eq!(server.psql(&copy, tables), "visits visits_1 visits_2");
    assert_eq!(server.psql(&copy, "SELECT count(*) FROM app.visits"), "2");

    let e = restore::plan(&some(&["app.pet"], &copy)).await.unwrap_err();
    assert_eq!(e.advice(), Some("is `app.pets` meant?"));
}

#[tokio::test]
async fn what_the_provider_has_made_in_a_new_project_is_kept_and_filled() {
    const PROVIDED: &str = "CREATE SCHEMA auth;
        CREATE TABLE auth.users (id int PRIMARY KEY, email text);
        CREATE TABLE auth.identities (user_id int REFERENCES auth.users, body text);
        CREATE FUNCTION auth.grow() RETURNS trigger LANGUAGE plpgsql AS
          'BEGIN NEW.email := ''changed by the provider''; RETURN NEW; END';
        CREATE TRIGGER grow BEFORE INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION auth.grow();";
    let server = shared_pg15();
    let db = server.fresh_db("project");
    server.psql(&db, PROVIDED);
    server.psql(
        &db,
        "CREATE TABLE profiles (id int PRIMARY KEY REFERENCES auth.users);
         CREATE FUNCTION welcome() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER welcome AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION welcome();
         ALTER TABLE auth.users DISABLE TRIGGER grow;
         INSERT INTO auth.users SELECT i, i || '@example.org' FROM generate_series(1, 500) i;
         INSERT INTO auth.identities SELECT i, 'x' FROM generate_series(1, 500) i;
         INSERT INTO profiles SELECT i FROM generate_series(1, 500) i;
         ALTER TABLE auth.users ENABLE TRIGGER grow",
    );
    let world = World::new();
    let manifest = world.snapshot(server, &db).await;
    let project = server.fresh_db("project");
    server.psql(&project, PROVIDED);
    let request = || RestoreRequest {
        profile: Some(Profile::Supabase),
        ..world.request(&manifest, server, &project)
    };
    assert_eq!(restore::plan(&request()).await.unwrap().provided_schemas, ["auth"]);

    server.psql(&project, "INSERT INTO auth.users VALUES (1, 'first')");
    let e = restore::restore(&request()).await.unwrap_err();
    assert!(e.what().contains("have rows already: auth.users"), "{e:?}");
    server.psql(&project, "DELETE FROM auth.users");

    let restored = equal(restore::restore(&request()).await);
    assert!(restored.skipped.iter().any(|s| s.what == "CREATE SCHEMA auth;"), "{restored:?}");
    assert_same(&dump(server, &db, server), &dump(server, &project, server));

    // Without the profile it is a database that is not empty.
    let other = server.fresh_db("project");
    server.psql(&other, PROVIDED);
    let e = restore::restore(&world.request(&manifest, server, &other)).await.unwrap_err();
    assert!(e.what().contains("is not empty: it has schema auth"), "{e:?}");
}
