//! Stores in which something was damaged: what is wrong is found and placed, a restore never takes
//! it for whole, and the next snapshot is taken all the same.

use drctl::model::Digest;
use serde_json::Value;

use crate::fingerprint::{assert_same, fingerprint};
use crate::home::{Home, Vault};
use crate::lab::{Postgres, shared_moto_east, shared_pg15, unique};

/// Two snapshots: `t` in several parts, then deltas on some of them; `u` does not change.
struct Scene {
    server: &'static Postgres,
    db: String,
    home: Home,
    first: String,
    second: String,
}

fn scene(east: Option<Vault>) -> Scene {
    let server = shared_pg15();
    let db = server.fresh_db("faults");
    server.psql(
        &db,
        "CREATE TABLE t AS SELECT i AS id, md5(i::text) AS body FROM generate_series(1, 40000) i;
         CREATE TABLE u AS SELECT i AS id FROM generate_series(1, 100) i",
    );
    let more = "part_size = \"1MiB\"";
    let home = match east {
        None => Home::local(&server.url(&db), more),
        Some(east) => {
            let west = crate::lab::folder("west");
            let dir = west.path().to_owned();
            // It goes with the test process.
            std::mem::forget(west);
            Home::with(east, Vault::Dir(dir), &server.url(&db), more)
        }
    };
    let first = home.snapshot();
    server.psql(&db, "UPDATE t SET body = upper(body) WHERE id % 500 = 0");
    let second = home.snapshot();
    Scene { server, db, home, first, second }
}

impl Scene {
    fn east(&self) -> &Vault {
        &self.home.east
    }

    /// The key of the manifest of a snapshot.
    fn manifest(&self, id: &str) -> String {
        self.east().keys_with(&format!("{id}/manifest.json")).remove(0)
    }

    fn plain_parts(&self) -> Vec<String> {
        let all = self.east().keys_with("/parts/").into_iter();
        all.filter(|key| !key.contains(".on.")).collect()
    }

    fn lists_of(&self, table: &str, id: &str) -> String {
        let shown = self.home.json(&["show", id], 0);
        let tables = shown["manifest"]["tables"].as_array().unwrap();
        let table = tables.iter().find(|t| t["name"] == table).unwrap();
        self.east().keys_with(table["list"].as_str().unwrap()).remove(0)
    }

    /// Verifies all snapshots in `east`; every finding is about `key`. Gives the findings.
    #[track_caller]
    fn found(&self, depth: &str, code: i32, key: &str) -> Vec<Value> {
        let args = ["verify", "--snapshot", "all", "--store", "east", "--depth", depth];
        let result = self.home.json(&args, code);
        let findings = result["findings"].as_array().unwrap().clone();
        assert!(!findings.is_empty(), "{result}");
        for f in &findings {
            assert_eq!((&f["part"], &f["store"]), (&key.into(), &"east".into()), "{f}");
            assert!(f["detail"].as_str().unwrap().len() > 10, "{f}");
        }
        // The other store is not blamed.
        let args = ["verify", "--snapshot", "all", "--store", "west", "--depth", depth];
        self.home.json(&args, 0);
        findings
    }

    /// Restores the newest snapshot from both stores and compares.
    #[track_caller]
    fn restores_from_the_other(&self, notice: &str) {
        let copy = unique("copy");
        let to = self.server.url(&copy);
        let ran = self.home.run(&["restore", "petforce", "--to", &to, "--create"], 0);
        assert!(ran.stderr.contains(notice), "no `{notice}` in {}", ran.stderr);
        assert!(ran.stdout.contains("row by row EQUAL"), "{}", ran.stdout);
        assert_same(&fingerprint(self.server, &self.db), &fingerprint(self.server, &copy));
    }

    /// Restores a snapshot from the damaged store alone; nothing is left behind that looks whole.
    #[track_caller]
    fn does_not_restore(&self, id: &str, code: i32, piece: &str) {
        let copy = unique("copy");
        let to = self.server.url(&copy);
        let args = ["restore", "petforce", "--to", &to, "--create", "--store", "east"];
        let ran = self.home.run(&[&args[..], &["--snapshot", id]].concat(), code);
        assert!(ran.stderr.contains(piece), "no `{piece}` in {}", ran.stderr);
        assert!(ran.stderr.contains("Hint: "), "{}", ran.stderr);
        let there = format!("SELECT count(*) FROM pg_database WHERE datname = '{copy}'");
        assert_eq!(self.server.psql("postgres", &there), "0");
    }
}

fn kinds(findings: &[Value]) -> Vec<&str> {
    findings.iter().map(|f| f["kind"].as_str().unwrap()).collect()
}

/// Of which snapshot and table each finding is.
fn places(findings: &[Value]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut all: Vec<_> =
        findings.iter().map(|f| (text(&f["snapshot"]), text(&f["table"]))).collect();
    all.sort();
    all
}

fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = bytes.len() / 2;
    bytes[at] ^= 0x20;
    bytes
}

/// A manifest of a later format, sealed as it would be.
fn of_the_future(manifest: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(manifest.to_vec()).unwrap();
    let (body, _) = text.trim_end().rsplit_once('\n').unwrap();
    let body = format!("{}\n", body.replacen("\"format\": 1,", "\"format\": 9,", 1));
    assert!(body.contains("\"format\": 9,"), "{}", &body[..100]);
    let digest = Digest::of(body.as_bytes());
    format!("{body}\"seal\":{{\"digest\":\"{digest}\"}}}}\n").into_bytes()
}

/// Puts `bad` in the place of an object, or removes it, and the whole one back afterwards.
fn while_spoilt(scene: &Scene, key: &str, bad: Option<&[u8]>, look: impl FnOnce()) {
    let whole = scene.east().get(key);
    match bad {
        Some(bad) => scene.east().put(key, bad),
        None => scene.east().delete(key),
    }
    look();
    scene.east().put(key, &whole);
}

fn parts(scene: &Scene) {
    let both = |table: &str| {
        [&scene.first, &scene.second].map(|id| (id.clone(), table.to_owned())).to_vec()
    };
    let delta = scene.east().keys_with(".on.").remove(0);
    let base_digest = delta.split(".on.").nth(1).unwrap().trim_end_matches(".zst").to_owned();
    let base = format!("/{base_digest}.zst");
    let base = scene.plain_parts().into_iter().find(|key| key.ends_with(&base)).unwrap();
    let other = scene.plain_parts().into_iter().find(|key| *key != base).unwrap();
    let only_second = vec![(scene.second.clone(), "public.t".to_owned())];
    let bytes = scene.east().get(&delta);

    while_spoilt(scene, &delta, Some(&bytes[..bytes.len() / 2]), || {
        for depth in ["listing", "checksums", "content"] {
            let found = scene.found(depth, 3, &delta);
            assert_eq!((kinds(&found), places(&found)), (vec!["damaged"], only_second.clone()));
        }
        scene.restores_from_the_other("is not intact in store `east`");
    });
    while_spoilt(scene, &delta, Some(&flipped(&bytes)), || {
        for depth in ["checksums", "content"] {
            let found = scene.found(depth, 3, &delta);
            assert_eq!((kinds(&found), places(&found)), (vec!["damaged"], only_second.clone()));
        }
        scene.does_not_restore("latest", 3, &delta);
        scene.restores_from_the_other("store `west` has it");
    });
    // The base serves both snapshots, and the delta rests on it.
    while_spoilt(scene, &base, None, || {
        let found = scene.found("listing", 3, &base);
        assert_eq!((kinds(&found), places(&found)), (vec!["missing"; 2], both("public.t")));
        scene.found("content", 3, &base);
        scene.does_not_restore(&scene.first, 3, &base);
        scene.does_not_restore("latest", 3, &base);
        scene.restores_from_the_other("store `west` has it");
    });
    while_spoilt(scene, &base, Some(&scene.east().get(&other)), || {
        let found = scene.found("content", 3, &base);
        assert_eq!(kinds(&found), ["damaged"; 2]);
        scene.does_not_restore("latest", 3, &base);
    });
    // What the rows were an hour ago.
    while_spoilt(scene, &delta, Some(&scene.east().get(&base)), || {
        assert_eq!(kinds(&scene.found("content", 3, &delta)), ["damaged"]);
        scene.does_not_restore("latest", 3, &delta);
    });
}

fn lists_and_archives(scene: &Scene) {
    let list = scene.lists_of("t", &scene.second);
    let bytes = scene.east().get(&list);
    let older = scene.east().get(&scene.lists_of("t", &scene.first));
    for bad in [Some(flipped(&bytes)), Some(bytes[..9].to_vec()), Some(older), None] {
        while_spoilt(scene, &list, bad.as_deref(), || {
            let found = scene.found("content", 3, &list);
            let kind = if bad.is_some() { "damaged" } else { "missing" };
            assert_eq!(kinds(&found), [kind]);
            assert_eq!(places(&found), [(scene.second.clone(), "public.t".to_owned())]);
        });
    }
    while_spoilt(scene, &list, None, || {
        scene.does_not_restore("latest", 3, &list);
        scene.restores_from_the_other("the part list of public.t is not intact");
    });
    let archive = scene.east().keys_with(&format!("{}/schema.dump", scene.second)).remove(0);
    let bytes = scene.east().get(&archive);
    while_spoilt(scene, &archive, Some(&flipped(&bytes)), || {
        for depth in ["checksums", "content"] {
            let found = scene.found(depth, 3, &archive);
            assert_eq!(places(&found), [(scene.second.clone(), "-".to_owned())]);
        }
        scene.does_not_restore("latest", 3, &archive);
        scene.restores_from_the_other("the schema archive is not intact");
    });
}

fn manifests(scene: &Scene) {
    let key = scene.manifest(&scene.second);
    let bytes = scene.east().get(&key);
    let older = scene.east().get(&scene.manifest(&scene.first));
    let state = |expected: &str| {
        let list = scene.home.json(&["list"], 0);
        assert_eq!(list["snapshots"][1]["snapshot"]["shares"][0]["state"], expected);
    };
    for bad in [flipped(&bytes), bytes[..bytes.len() - 40].to_vec(), older, Vec::new()] {
        while_spoilt(scene, &key, Some(&bad), || {
            let found = scene.found("listing", 3, &key);
            assert_eq!(kinds(&found), ["damaged"]);
            assert_eq!(places(&found), [(scene.second.clone(), "-".to_owned())]);
            state("damaged");
            scene.does_not_restore(&scene.second, 3, &key);
        });
    }
    while_spoilt(scene, &key, Some(&flipped(&bytes)), || {
        scene.home.run(&["show", "latest"], 0);
        let copy = unique("copy");
        let to = scene.server.url(&copy);
        // The newest is in the other store, and the rows in this one.
        scene.home.run(&["restore", "petforce", "--to", &to, "--create"], 0);
        // Alone, it has an older one, and says that it is not the newest.
        let args = ["restore", "petforce", "--to", &to, "--replace", "--store", "east"];
        let ran = scene.home.run(&args, 0);
        assert!(ran.stdout.contains(&scene.first), "{}", ran.stdout);
        let told = format!("snapshot {} is newer and is passed over", scene.second);
        assert!(ran.stderr.contains(&told), "{}", ran.stderr);
    });
    while_spoilt(scene, &key, Some(&of_the_future(&bytes)), || {
        let found = scene.found("listing", 4, &key);
        assert_eq!(kinds(&found), ["unreadable"]);
        assert!(found[0]["detail"].as_str().unwrap().contains("format 9"), "{}", found[0]);
        state("unverified");
        scene.does_not_restore(&scene.second, 4, "it is of format 9");
    });
    while_spoilt(scene, &key, None, || {
        let result = scene.home.json(&["verify", "--snapshot", "all"], 3);
        let found = result["findings"].as_array().unwrap().clone();
        let missing: Vec<_> = found.iter().filter(|f| f["kind"] == "missing").collect();
        assert_eq!(missing.len(), 1, "{result}");
        assert_eq!(
            (&missing[0]["part"], &missing[0]["store"]),
            (&key.as_str().into(), &"east".into())
        );
        state("missing");
    });
}

/// After each fault the next snapshot is complete in both stores, and whole but for what is damaged.
fn snapshots_go_on(scene: &Scene) {
    let change = |n: u32| {
        let sql = format!("UPDATE t SET body = body || '{n}' WHERE id % 1000 = {n}");
        scene.server.psql(&scene.db, &sql);
    };
    let latest = |code: i32| {
        scene.home.json(&["verify", "--depth", "content"], code);
    };
    let newest_id = || {
        let list = scene.home.json(&["list"], 0);
        let id = &list["snapshots"].as_array().unwrap().last().unwrap()["snapshot"]["id"];
        id.as_str().unwrap().to_owned()
    };
    for (n, spoil) in [(1, flipped as fn(&[u8]) -> Vec<u8>), (2, of_the_future)] {
        let id = newest_id();
        let key = scene.manifest(&id);
        while_spoilt(scene, &key, Some(&spoil(&scene.east().get(&key))), || {
            change(n);
            let ran = scene.home.run(&["snapshot", "petforce"], 0);
            assert!(ran.stderr.contains(&id), "it is not told: {}", ran.stderr);
            latest(0);
        });
    }
    let list = scene.lists_of("t", &newest_id());
    let whole = scene.east().get(&list);
    scene.east().put(&list, &flipped(&whole));
    change(3);
    let ran = scene.home.run(&["snapshot", "petforce"], 0);
    assert!(ran.stderr.contains("read the part list of public.t"), "{}", ran.stderr);
    latest(0);
    scene.east().put(&list, &whole);

    // A base that is gone from one store is taken from the other; only `--full` leans on none.
    let delta = scene.east().keys_with(".on.").pop().unwrap();
    let digest = delta.split(".on.").nth(1).unwrap();
    let base = scene.plain_parts().into_iter().find(|k| k.ends_with(digest)).unwrap();
    scene.east().delete(&base);
    change(4);
    scene.home.snapshot();
    latest(3);
    let args = ["copy", "petforce", "--from", "west", "--to", "east"];
    scene.home.json(&args, 0);
    latest(0);
    let flipped = flipped(&scene.east().get(&base));
    scene.east().put(&base, &flipped);
    latest(3);
    scene.home.json(&["snapshot", "petforce", "--full"], 0);
    latest(0);
}

fn a_marker_of_the_future(scene: &Scene) {
    let marker = scene.east().get("drctl.json");
    let text = String::from_utf8(marker).unwrap();
    let later = text.replacen("\"format\":1", "\"format\":9", 1).replacen(
        "\"format\": 1",
        "\"format\": 9",
        1,
    );
    assert_ne!(text, later);
    while_spoilt(scene, "drctl.json", Some(later.as_bytes()), || {
        let before = scene.east().keys();
        let ran = scene.home.run(&["snapshot", "petforce"], 6);
        assert!(ran.stderr.contains("format 9"), "{}", ran.stderr);
        let parts =
            |keys: Vec<String>| keys.into_iter().filter(|k| k.starts_with("petforce/")).count();
        assert_eq!(
            parts(before),
            parts(scene.east().keys()),
            "it wrote into a store that it does not know"
        );
    });
}

fn all(east: Option<Vault>) {
    let scene = scene(east);
    parts(&scene);
    lists_and_archives(&scene);
    manifests(&scene);
    snapshots_go_on(&scene);
    a_marker_of_the_future(&scene);
}

#[test]
fn in_a_folder() {
    all(None);
}

#[test]
fn in_a_bucket() {
    all(Some(Vault::bucket(shared_moto_east())));
}
