//! The last section of docs/format.md, run as it stands there with stock tools only: a snapshot
//! must be recoverable where no drctl is.

use std::path::PathBuf;
use std::process::Command;

use crate::fingerprint::{assert_same, definitions, fingerprint};
use crate::home::{Home, Vault};
use crate::lab::{
    self, Folder, Moto, Postgres, Ran, folder, shared_moto_east, shared_moto_west, shared_pg15,
    tool, unique,
};

/// The shell lines, with the four variables that they tell the reader to set.
fn recipe(store: &str, target: &str, identity: &str) -> String {
    let doc = include_str!("../../docs/format.md");
    let section = doc.split("## Restoring without drctl").nth(1).unwrap();
    let block = section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let mut set = 0;
    let lines: Vec<String> = block
        .lines()
        .map(|line| {
            let value = match line.split_once('=').map(|(name, _)| name) {
                Some("store") => format!("store='{store}'"),
                Some("database") => "database=petforce".to_owned(),
                Some("target") => format!("target=\"{target}\""),
                Some("identity") => format!("identity='{identity}'"),
                _ => return line.to_owned(),
            };
            set += 1;
            value
        })
        .collect();
    assert_eq!(set, 4, "the variables to set are not these any more");
    lines.join("\n") + "\n"
}

fn follow(store: &str, server: &Postgres, db: &str, endpoint: Option<&str>) -> (Ran, Folder) {
    follow_with("/nowhere", store, server, db, endpoint)
}

/// Runs the recipe with bash, zstd, jq, age, aws and the programs of `server`, and nothing of ours.
fn follow_with(
    identity: &str,
    store: &str,
    server: &Postgres,
    db: &str,
    endpoint: Option<&str>,
) -> (Ran, Folder) {
    let home = folder("recipe");
    let file = home.join("restore.sh");
    std::fs::write(&file, recipe(store, &server.conninfo(db), identity)).unwrap();
    let mut path: Vec<PathBuf> = vec![server.bin_dir()];
    path.extend(["ZSTD", "JQ", "AGE", "AWS"].map(|name| tool(name).parent().unwrap().to_owned()));
    path.extend(["/usr/bin", "/bin"].map(PathBuf::from));
    let mut command = Command::new("bash");
    command.env_clear().env("PATH", std::env::join_paths(path).unwrap());
    command.env("HOME", home.path()).env("TMPDIR", home.path()).current_dir(home.path());
    command.env("LC_ALL", "C.UTF-8").arg(&file);
    if let Some(endpoint) = endpoint {
        command.env("AWS_ENDPOINT_URL", endpoint).env("AWS_DEFAULT_REGION", "us-west-2");
        command.env("AWS_ACCESS_KEY_ID", Moto::ACCESS_KEY);
        command.env("AWS_SECRET_ACCESS_KEY", Moto::SECRET_KEY);
    }
    (lab::run(&mut command), home)
}

/// A busy hour: some rows change all over, some are new, some go.
fn change(server: &Postgres, db: &str, seed: f64) {
    server.psql(
        db,
        &format!(
            "SELECT setseed({seed});
             UPDATE petforce.appointments SET minutes = minutes + 1 WHERE random() < 0.01;
             UPDATE petforce.invoices SET paid_at = now() WHERE random() < 0.01;
             UPDATE petforce.messages SET body = body || '!' WHERE random() < 0.01;
             INSERT INTO petforce.events (at, kind, payload)
               SELECT now(), 'new', jsonb_build_object('n', i) FROM generate_series(1, 50) i;
             DELETE FROM petforce.measurements WHERE random() < 0.01;
             REFRESH MATERIALIZED VIEW petforce.busy_vets;"
        ),
    );
}

#[test]
fn from_a_folder_with_deltas_and_several_snapshots() {
    let server = shared_pg15();
    let db = server.fresh_db("recipe");
    server.load_petforce(&db, 6000);
    let home = Home::local(&server.url(&db), "part_size = \"1MiB\"");
    home.snapshot();
    for seed in [0.1, 0.2] {
        change(server, &db, seed);
        home.snapshot();
    }
    assert!(home.west.keys_with(".on.").len() > 5, "{:#?}", home.west.keys());

    let copy = server.fresh_db("by_hand");
    let store = home.folder.join("west");
    let (ran, left) = follow(store.to_str().unwrap(), server, &copy, None);
    ran.expect(0);
    assert_same(&fingerprint(server, &db), &fingerprint(server, &copy));
    assert_same(&definitions(server, &db), &definitions(server, &copy));
    // It cleans up after itself.
    assert_eq!(std::fs::read_dir(left.path()).unwrap().count(), 1);
}

#[test]
fn of_an_encrypted_snapshot_with_the_recovery_key_alone() {
    use age::secrecy::ExposeSecret as _;
    let server = shared_pg15();
    let db = server.fresh_db("recipe");
    server.load_petforce(&db, 3000);
    server.psql(&db, "SELECT lo_from_bytea(0, 'large')");
    let identity = age::x25519::Identity::generate();
    let cache = folder("cache");
    let more = format!(
        "part_size = \"1MiB\"\ncache_dir = \"{}\"\n[encryption]\nrecipients = [\"{}\"]\n",
        cache.path().display(),
        identity.to_public()
    );
    let home = Home::local(&server.url(&db), &more);
    home.snapshot();
    change(server, &db, 0.1);
    home.snapshot();
    assert!(home.west.keys_with(".on.").len() > 2, "{:#?}", home.west.keys());

    let file = home.folder.join("recovery.key");
    std::fs::write(&file, identity.to_string().expose_secret()).unwrap();
    let copy = server.fresh_db("by_hand");
    let store = home.folder.join("west");
    let (file, store) = (file.to_str().unwrap(), store.to_str().unwrap());
    let (ran, left) = follow_with(file, store, server, &copy, None);
    ran.expect(0);
    assert_same(&fingerprint(server, &db), &fingerprint(server, &copy));
    assert_same(&definitions(server, &db), &definitions(server, &copy));
    // No key is left behind.
    assert_eq!(std::fs::read_dir(left.path()).unwrap().count(), 1);

    let other = home.folder.join("other.key");
    let wrong = age::x25519::Identity::generate();
    std::fs::write(&other, wrong.to_string().expose_secret()).unwrap();
    let copy = server.fresh_db("by_hand");
    follow_with(other.to_str().unwrap(), store, server, &copy, None).0.expect(1);
}

#[test]
fn from_a_bucket_with_everything_that_postgresql_has() {
    let server = shared_pg15();
    let db = server.fresh_db("recipe");
    server.load_everything(&db);
    let (east, west) = (Vault::bucket(shared_moto_east()), Vault::bucket(shared_moto_west()));
    let home = Home::with(east, west, &server.url(&db), "");
    home.snapshot();

    let copy = server.fresh_db("by_hand");
    let endpoint = shared_moto_west().endpoint();
    let (ran, _left) = follow(&home.west.url(), server, &copy, Some(&endpoint));
    ran.expect(0);
    assert_same(&fingerprint(server, &db), &fingerprint(server, &copy));
    assert_same(&definitions(server, &db), &definitions(server, &copy));
}

#[test]
fn in_binary_too_and_what_is_damaged_is_not_loaded() {
    let server = shared_pg15();
    let db = server.fresh_db("recipe");
    server.load_petforce(&db, 500);
    let home = Home::local(&server.url(&db), "format = \"binary\"");
    home.snapshot();
    let store = home.folder.join("east");
    let copy = server.fresh_db("by_hand");
    follow(store.to_str().unwrap(), server, &copy, None).0.expect(0);
    assert_same(&fingerprint(server, &db), &fingerprint(server, &copy));

    // Each object in turn: swapped with another, or changed where only its digest can tell.
    let parts = home.east.keys_with("/parts/");
    let manifest = home.east.keys_with("manifest.json").remove(0);
    let list = home.east.keys_with("/lists/").remove(0);
    let archive = home.east.keys_with("schema.dump").remove(0);
    for (key, what) in
        [(&parts[0], "part"), (&list, "list"), (&manifest, "manifest"), (&archive, "schema.dump")]
    {
        let whole = home.east.get(key);
        let bad = match what {
            "part" => home.east.get(&parts[1]),
            "list" => home.east.get(&home.east.keys_with("/lists/")[1]),
            _ => {
                let mut bytes = whole.clone();
                let at = bytes.len() / 2;
                bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
                bytes
            }
        };
        home.east.put(key, &bad);
        let copy = unique("by_hand");
        server.create_db(&copy);
        let ran = follow(store.to_str().unwrap(), server, &copy, None).0.expect(1);
        assert!(ran.stderr.contains("is damaged"), "{what}: {}", ran.stderr);
        home.east.put(key, &whole);
    }
}
