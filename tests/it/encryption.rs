//! Snapshots that are encrypted before they leave the machine: what a store's owner can tell from
//! them, which keys open them, and that all else works without any.

use std::path::PathBuf;
use std::sync::Arc;

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use drctl::config::Secret;
use drctl::integrity::encryption::{Access, Recovery};
use drctl::integrity::history;
use drctl::integrity::seal::Keys;
use drctl::model::Manifest;
use drctl::snapshot;
use drctl::store::{MemoryStore, ObjectStore};
use serde_json::Value;

use crate::home::{Home, Vault};
use crate::lab::{self, Postgres, shared_moto_east, shared_moto_west, shared_pg15};
use crate::taking::{
    NAME, contents_with, database_now_with, objects, proven_with, request as plain_request,
};

/// Keys that encrypt to this identity and open with it.
pub fn keys(identity: &Identity) -> Keys {
    let secret = Secret::new(identity.to_string().expose_secret());
    let recovery = Recovery::of(Some(&secret));
    Keys::default().with_access(Access::new(vec![identity.to_public().into()], recovery))
}

const DATA: &str = "
CREATE TABLE pets AS SELECT i AS id, 'Xanthippe the cat ' || i AS name FROM generate_series(1, 3000) i;
CREATE TABLE twins AS SELECT * FROM pets;
CREATE TABLE chosen (id int, note text DEFAULT 'Xanthippe by default');
SELECT lo_from_bytea(0, 'Xanthippe at large');
";
const NEEDLE: &[u8] = b"Xanthippe";

fn memory(names: &[&str]) -> Vec<Arc<dyn ObjectStore>> {
    names.iter().map(|n| Arc::new(MemoryStore::new(n)) as Arc<dyn ObjectStore>).collect()
}

/// Keys of objects in which the needle can be seen by whoever has zstd.
async fn seen(store: &dyn ObjectStore) -> Vec<String> {
    let mut found = Vec::new();
    for key in objects(store).await.into_keys() {
        let bytes = store.get(&key).await.unwrap().bytes;
        let undone = drctl::integrity::codec::decompress_document(&bytes, 1 << 30);
        for bytes in [bytes.to_vec(), undone.unwrap_or_default()] {
            if bytes.windows(NEEDLE.len()).any(|window| window == NEEDLE) {
                found.push(key.clone());
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_tells_nothing_of_rows() {
    let server = shared_pg15();
    let db = server.fresh_db("secret");
    server.psql(&db, DATA);
    let open = memory(&["east"]);
    snapshot::take(&plain_request(server, &db, &open)).await.unwrap();
    assert!(seen(&*open[0]).await.len() > 1, "the search would find it");

    let with = keys(&Identity::generate());
    let mut taken: Vec<(Manifest, Vec<Arc<dyn ObjectStore>>)> = Vec::new();
    for _ in 0..2 {
        let stores = memory(&["east", "west"]);
        let mut request = plain_request(server, &db, &stores);
        request.keys = with.clone();
        let outcome = snapshot::take(&request).await.unwrap();
        // Equal tables share their parts, and every store has the same bytes.
        assert_eq!(objects(&*stores[0]).await.len(), objects(&*stores[1]).await.len());
        let now = database_now_with(&server.url(&db), &outcome.manifest, &with).await;
        for store in &stores {
            assert_eq!(seen(&**store).await, Vec::<String>::new());
            assert_eq!(contents_with(&**store, &outcome.manifest, &with).await, now);
        }
        taken.push((outcome.manifest, stores));
    }
    // The same rows under two keys have nothing in common that a store's owner could see.
    let [(one, at_one), (two, at_two)] = &taken[..] else { unreachable!() };
    let objects_of = async |stores: &[Arc<dyn ObjectStore>]| objects(&*stores[0]).await;
    let names = async |stores: &[Arc<dyn ObjectStore>]| -> Vec<String> {
        let all = objects_of(stores).await.into_keys();
        all.filter(|k| k.contains("/parts/")).map(|k| k[k.len() - 80..].to_owned()).collect()
    };
    let (first, second) = (names(at_one).await, names(at_two).await);
    assert!(first.iter().all(|name| name.ends_with(".zst.age") && !second.contains(name)));
    for (a, b) in one.tables.iter().zip(&two.tables) {
        assert_eq!((&a.name, a.rows), (&b.name, b.rows));
        assert!(a.rows == 0 || a.row_digest != b.row_digest, "{}", a.name);
        assert_ne!(a.definition, b.definition, "{}", a.name);
    }
    assert_ne!(one.large_objects.row_digest, two.large_objects.row_digest);
    assert_eq!((one.format, one.kept().ending()), (2, ".age"));
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_go_on_in_one_generation_with_deltas_and_a_machine_of_recipients_alone() {
    let server = shared_pg15();
    let db = server.fresh_db("secret");
    server.psql(&db, DATA);
    let identity = Identity::generate();
    let with = keys(&identity);
    let alone = Access::new(vec![identity.to_public().into()], Recovery::default());
    let stores = memory(&["east", "west"]);
    let cache = lab::folder("cache");
    let mut taken: Vec<Manifest> = Vec::new();
    for hour in 0..4 {
        server.psql(&db, &format!("UPDATE pets SET name = name || '{hour}' WHERE id % 700 = 1"));
        let mut request = plain_request(server, &db, &stores);
        request.keys = Keys::default().with_access(alone.clone());
        request.config.cache_dir = Some(cache.path().to_owned());
        if hour == 2 {
            request.config.change_detection = drctl::config::ChangeDetection::Read;
        }
        taken.push(snapshot::take(&request).await.unwrap().manifest);
    }
    assert!(taken.iter().all(|m| m.generation == taken[0].generation));
    assert!(taken[1..].iter().all(|m| m.totals.new_bytes * 4 < taken[0].totals.new_bytes));
    for store in &stores {
        assert_eq!(proven_with(&**store, &with).await.len(), 4);
        let keys = objects(&**store).await;
        assert!(keys.keys().any(|key| key.contains(".on.") && key.ends_with(".zst.age")));
    }
    let now = database_now_with(&server.url(&db), &taken[3], &with).await;
    assert_eq!(contents_with(&*stores[0], &taken[3], &with).await, now);

    // Without its key the generation cannot go on; what is new is told, and the old stays readable.
    std::fs::remove_dir_all(cache.join(NAME)).unwrap();
    let heard = Arc::new(crate::taking::Recorded::default());
    let mut request = plain_request(server, &db, &stores);
    request.keys = Keys::default().with_access(alone);
    request.config.cache_dir = Some(cache.path().to_owned());
    request.sink = heard.clone();
    let last = snapshot::take(&request).await.unwrap().manifest;
    assert_ne!(last.generation, taken[0].generation);
    assert!(heard.said().contains("key is not in `cache_dir`"), "{}", heard.said());
    assert_eq!(proven_with(&*stores[1], &with).await.len(), 5);

    // With the identity it goes on from the manifest alone.
    let mut request = plain_request(server, &db, &stores);
    request.keys = with.clone();
    let next = snapshot::take(&request).await.unwrap().manifest;
    assert_eq!(next.generation, last.generation);
    assert_eq!(next.encryption, last.encryption);
    // And one that is not encrypted any more begins anew.
    let open = snapshot::take(&plain_request(server, &db, &stores)).await.unwrap().manifest;
    assert_ne!(open.generation, last.generation);
    assert_eq!((open.format, &open.encryption), (1, &None));
}

/// A home with a database of pets, its recovery keys, and what is written in `[encryption]`.
struct Safe {
    home: Home,
    url: String,
    db: String,
}

impl Safe {
    fn new(server: &Postgres) -> Self {
        let db = server.fresh_db("secret");
        server.psql(&db, DATA);
        let url = format!("{}?sslmode=disable", server.url(&db));
        let home = Home::local(&url, "");
        Self { home, url, db }
    }

    /// Makes a recovery key; its file and its recipient.
    fn identity(&self, name: &str) -> (PathBuf, String) {
        let identity = Identity::generate();
        let file = self.home.folder.join(name);
        let text = format!("# recovery\n{}\n", identity.to_string().expose_secret());
        std::fs::write(&file, text).unwrap();
        (file, identity.to_public().to_string())
    }

    /// `more` stands before `[encryption]`, in the database's table.
    fn write(&self, more: &str, recipients: &[&String], identity: Option<&PathBuf>, after: &str) {
        let identity = identity
            .map(|file| format!("identity = \"file:{}\"\n", file.display()))
            .unwrap_or_default();
        let recipients = match recipients {
            [] => String::new(),
            all => format!("recipients = {all:?}\n"),
        };
        let cache = format!("cache_dir = \"{}\"", self.home.folder.join("cache").display());
        let text = format!("{cache}\n{more}\n[encryption]\n{recipients}{identity}{after}\n");
        self.home.write(&self.url, &text);
    }

    fn generation(&self, id: &str) -> String {
        let shown = self.home.json(&["show", id], 0);
        shown["manifest"]["generation"].as_str().unwrap().to_owned()
    }

    fn restore(&self, server: &Postgres, id: &str, code: i32) -> String {
        let copy = lab::unique("opened");
        let to = format!("{}?sslmode=disable", server.url(&copy));
        let args = ["restore", "petforce", "--snapshot", id, "--create", "--to", &to];
        let ran = self.home.run(&args, code);
        if code == 0 {
            assert!(ran.stdout.contains("row by row EQUAL"), "{}", ran.stdout);
            let [was, is] = [&self.db, &copy].map(|db| {
                server.psql(db, "SELECT md5(string_agg(p::text, ',' ORDER BY id)) FROM pets p")
            });
            assert_eq!(was, is);
        }
        ran.stderr
    }

    /// No private key was ever printed.
    fn silent(&self) {
        assert!(!self.home.said().contains("AGE-SECRET-KEY"));
    }
}

#[test]
fn a_recipient_that_is_added_opens_what_is_taken_from_then_on() {
    let server = shared_pg15();
    let safe = Safe::new(server);
    let [(old, of_old), (new, of_new)] = ["old.key", "new.key"].map(|name| safe.identity(name));
    safe.write("", &[&of_old], None, "");
    let before = safe.home.snapshot();
    safe.write("", &[&of_old, &of_new], None, "");
    let ran = safe.home.run(&["snapshot", "petforce"], 0);
    assert!(ran.stderr.contains("the recipients were changed"), "{}", ran.stderr);
    let after = safe.home.snapshot();
    assert_ne!(safe.generation(&before), safe.generation(&after));

    for (file, opens_old) in [(&old, true), (&new, false)] {
        safe.write("", &[&of_old, &of_new], Some(file), "");
        safe.restore(server, &after, 0);
        let said = safe.restore(server, &before, if opens_old { 0 } else { 4 });
        assert!(opens_old || said.contains(&of_old), "it names whose identity is wanted: {said}");
    }
    safe.silent();
}

#[test]
fn without_the_identity_rows_stay_closed_and_all_else_works() {
    let server = shared_pg15();
    let safe = Safe::new(server);
    let ((file, of), (wrong, _)) = (safe.identity("recovery.key"), safe.identity("wrong.key"));
    safe.write("", &[&of], None, "");
    safe.home.snapshot();
    server.psql(&safe.db, "UPDATE pets SET name = name || '!' WHERE id = 7");
    let id = safe.home.snapshot();
    let content = ["verify", "petforce", "--depth", "content"];
    let gone = safe.home.folder.join("gone.key");
    for (identity, why) in [
        (None, "no `identity` is configured"),
        (Some(&wrong), "does not open the snapshot"),
        (Some(&gone), "cannot be read"),
    ] {
        safe.write("", &[&of], identity, "");
        let ran = safe.home.run(&content, 4);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains(why), "{why}: {said}");
        let said = safe.restore(server, &id, 4);
        assert!(said.contains(why) && said.contains("Hint"), "{why}: {said}");
        let said = safe.home.run(&["drill", "restore"], 4);
        let said = format!("{}{}", said.stdout, said.stderr);
        assert!(said.contains(why), "{why}: {said}");
        for depth in ["listing", "checksums"] {
            let all = ["verify", "petforce", "--snapshot", "all", "--depth", depth];
            safe.home.run(&all, 0);
        }
    }
    safe.write("", &[&of], None, "");

    // Repair, copy, audit and prune know what was promised of stored bytes, and need no more.
    let parts = safe.home.east.keys_with("/parts/");
    let mut bad = safe.home.east.get(&parts[0]);
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    safe.home.east.put(&parts[0], &bad);
    let archive = safe.home.east.keys_with("schema.dump.age").remove(0);
    safe.home.east.delete(&archive);
    safe.home.run(&["verify", "petforce", "--snapshot", "all"], 3);
    safe.home.run(&["repair", "petforce", "--yes"], 0);
    safe.home.run(&["verify", "petforce", "--snapshot", "all"], 0);
    for key in safe.home.west.keys().iter().filter(|key| key.starts_with("petforce/")) {
        safe.home.west.delete(key);
    }
    safe.home.run(&["copy", "petforce", "--from", "east", "--to", "west", "--snapshot", "all"], 0);
    let snapshots = |vault: &Vault| -> Vec<String> {
        vault.keys().into_iter().filter(|key| key.starts_with("petforce/g")).collect()
    };
    assert_eq!(snapshots(&safe.home.west), snapshots(&safe.home.east));
    let audit = lab::run(&mut safe.home.command(&["audit", "--json"])).result();
    assert_eq!(audit["report"]["findings"], serde_json::json!([]), "{audit}");
    let checks = audit["report"]["checks"].as_array().unwrap();
    let mut integrity = checks.iter().filter(|c| c["aspect"] == "integrity");
    assert!(integrity.all(|c| c["standing"] == "passed"), "{audit}");
    safe.home.run(&["prune", "petforce", "--dry-run"], 0);
    safe.write("", &[], Some(&file), "");
    safe.home.run(&content, 0);
    safe.restore(server, &id, 0);
    safe.silent();
}

#[test]
fn a_drill_proves_that_the_recovery_key_opens_it_and_signatures_hold() {
    let server = shared_pg15();
    let safe = Safe::new(server);
    let (file, of) = safe.identity("recovery.key");
    safe.home.run(&["keys", "generate", "--out", "sign.key"], 0);
    let key = safe.home.folder.join("sign.key").display().to_string();
    let rest = format!(
        "[signing]\nkey = \"file:{key}\"\ntrusted_keys = [\"file:{key}.pub\"]\n[drill]\nfolder = \"{}\"\n",
        safe.home.folder.path().display()
    );
    safe.write("", &[&of], Some(&file), &rest);
    safe.home.snapshot();
    let drill = safe.home.json(&["drill", "restore"], 0)["drill"].clone();
    assert_eq!(drill["outcome"], "passed");
    let checks = drill["checks"].as_array().unwrap();
    let check = checks.iter().find(|c| c["name"] == "recovery key").unwrap();
    assert_eq!(check["standing"], "passed");
    assert!(check["said"].as_str().unwrap().contains("configured identity"), "{check}");

    // The key that this machine keeps would open it too, and is not asked.
    assert_eq!(glob(&safe.home.folder.join("cache")).len(), 1);
    safe.write("", &[&of], None, &rest);
    let said = safe.home.run(&["drill", "restore"], 4);
    assert!(format!("{}{}", said.stdout, said.stderr).contains("no `identity` is configured"));
    safe.silent();
}

/// The key files below a folder.
fn glob(dir: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => open.push(path),
                path if path.ends_with("generation.key") => found.push(path),
                _ => {}
            }
        }
    }
    found
}

/// What the doctor says of encryption, by severity.
fn diagnosed(safe: &Safe, code: i32) -> Vec<(String, String)> {
    let result = safe.home.json(&["doctor", "petforce"], code);
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let all = result["findings"].as_array().unwrap().iter();
    all.filter(|f| f["subject"] == "encryption")
        .map(|f| (text(&f["severity"]), text(&f["what"])))
        .collect()
}

#[test]
fn the_doctor_tries_the_keys() {
    let server = shared_pg15();
    let safe = Safe::new(server);
    let ((file, of), (wrong, of_wrong)) =
        (safe.identity("recovery.key"), safe.identity("wrong.key"));
    let has = |found: &[(String, String)], severity: &str, piece: &str| {
        assert!(
            found.iter().any(|(s, w)| s == severity && w.contains(piece)),
            "{piece}: {found:#?}"
        );
    };
    safe.write("", &[&of], None, "");
    safe.home.snapshot();
    let found = diagnosed(&safe, 0);
    has(&found, "warning", "one recipient");
    has(&found, "ok", "restores nothing");
    safe.write("", &[&of, &of_wrong], Some(&file), "");
    let found = diagnosed(&safe, 0);
    has(&found, "ok", "2 recipients");
    has(&found, "ok", "a trial key");
    has(&found, "ok", "opens the key of generation");
    has(&found, "warning", "no signature");
    safe.write("", &[&of], Some(&wrong), "");
    has(&diagnosed(&safe, 1), "critical", "cannot be restored from here");
    safe.write("", &[&of, &of_wrong], Some(&wrong), "");
    has(&diagnosed(&safe, 0), "warning", "cannot be restored from here");
    let bare = format!("[encryption]\nrecipients = [\"{of}\"]\n");
    safe.home.write(&safe.url, &bare);
    has(&diagnosed(&safe, 0), "warning", "is a full one");
    safe.silent();
}

#[test]
fn over_s3_too() {
    let server = shared_pg15();
    let db = server.fresh_db("secret");
    server.psql(&db, DATA);
    let url = format!("{}?sslmode=disable", server.url(&db));
    let (east, west) = (Vault::bucket(shared_moto_east()), Vault::bucket(shared_moto_west()));
    let home = Home::with(east, west, &url, "");
    let safe = Safe { home, url, db };
    let (file, of) = safe.identity("recovery.key");
    safe.write("", &[&of], Some(&file), "");
    safe.home.snapshot();
    server.psql(&safe.db, "UPDATE pets SET name = name || '!' WHERE id = 7");
    let id = safe.home.snapshot();
    safe.home.run(&["verify", "petforce", "--snapshot", "all", "--depth", "content"], 0);
    safe.restore(server, &id, 0);
    safe.silent();
}

#[tokio::test]
async fn an_older_program_refuses_the_newer_format() {
    let server = shared_pg15();
    let db = server.fresh_db("secret");
    server.psql(&db, "CREATE TABLE t AS SELECT 1");
    let stores = memory(&["east"]);
    let mut request = plain_request(server, &db, &stores);
    request.keys = keys(&Identity::generate());
    snapshot::take(&request).await.unwrap();
    let place = history::places(&*stores[0], NAME).await.unwrap().remove(0);
    let key = drctl::store::keys::manifest_key(NAME, &place.generation, &place.snapshot);
    let bytes = stores[0].get(&key).await.unwrap().bytes;
    let read = |newest| {
        drctl::integrity::seal::open_document::<Manifest>(&bytes, &Keys::default(), newest)
    };
    assert!(read(2).is_ok());
    let e = read(1).unwrap_err();
    assert_eq!(e.kind(), drctl::error::Kind::Unverified);
    assert!(e.what().contains("format 2; this drctl reads up to format 1"), "{e:?}");
}
