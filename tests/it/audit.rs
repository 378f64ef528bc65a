//! Audits, repairs and keys by the built binary: buckets set up well and badly, reports that are
//! kept, proven and tampered with, damage that is mended.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::home::{Home, Vault};
use crate::lab::{self, Moto, shared_moto_east, shared_moto_west, shared_pg15, tool};

const BLOCK: &str = "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls>\
    <IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy>\
    <RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>";
const HALF_BLOCK: &str = "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls>\
    <IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>false</BlockPublicPolicy>\
    <RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>";
const ENCRYPTION: &str = "<ServerSideEncryptionConfiguration><Rule>\
    <ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm>\
    </ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>";
const VERSIONING: &str =
    "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";

fn bucket(vault: &Vault) -> (&'static Moto, &str) {
    match vault {
        Vault::Bucket { moto, bucket, .. } => (moto, bucket),
        Vault::Dir(_) => panic!("not a bucket"),
    }
}

/// How each check came out, by aspect and store.
fn standing(result: &Value, aspect: &str, store: &str) -> String {
    let checks = result["report"]["checks"].as_array().unwrap();
    let check = checks.iter().find(|c| c["aspect"] == aspect && c["store"] == store);
    check.unwrap_or_else(|| panic!("no {aspect} of {store}"))["standing"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn home_with_rows(name: &str, make: impl FnOnce(&str) -> Home) -> Home {
    let server = shared_pg15();
    let db = server.fresh_db(name);
    server.psql(
        &db,
        "CREATE TABLE t AS SELECT i AS id, md5(i::text) AS body FROM generate_series(1, 20000) i;
         CREATE TABLE u AS SELECT i AS id FROM generate_series(1, 100) i",
    );
    let home = make(&server.url(&db));
    home.snapshot();
    server.psql(&db, "UPDATE t SET body = upper(body) WHERE id % 900 = 0");
    home.snapshot();
    home
}

#[test]
fn buckets_are_compared_with_how_they_should_be_set_up() {
    let home = home_with_rows("audit", |url| {
        let east = Vault::bucket(shared_moto_east());
        let west = Vault::bucket(shared_moto_west());
        Home::with(east, west, url, "part_size = \"1MiB\"")
    });
    let (east, of_east) = bucket(&home.east);
    let (west, of_west) = bucket(&home.west);
    for (what, xml) in
        [("publicAccessBlock", BLOCK), ("encryption", ENCRYPTION), ("versioning", VERSIONING)]
    {
        east.set_up(of_east, what, xml);
    }
    west.set_up(of_west, "publicAccessBlock", HALF_BLOCK);
    let result = home.json(&["audit"], 3);
    for (aspect, of_east, of_west) in [
        ("integrity", "passed", "passed"),
        ("strangers", "passed", "passed"),
        ("public_access", "passed", "failed"),
        // moto answers with an element that S3 does not have: what cannot be read is not known.
        ("versioning", "unverified", "unverified"),
        ("object_lock", "not_applicable", "not_applicable"),
        ("replication", "not_applicable", "not_applicable"),
        ("encryption", "passed", "failed"),
    ] {
        assert_eq!(standing(&result, aspect, "east"), of_east, "{aspect}: {result}");
        assert_eq!(standing(&result, aspect, "west"), of_west, "{aspect}: {result}");
    }
    for (what, xml) in [("publicAccessBlock", BLOCK), ("encryption", ENCRYPTION)] {
        west.set_up(of_west, what, xml);
    }
    let result = home.json(&["audit"], 4);
    let checks = result["report"]["checks"].as_array().unwrap();
    let bad = checks.iter().filter(|c| c["standing"] == "unverified" || c["standing"] == "failed");
    assert!(
        bad.clone().count() == 2 && bad.clone().all(|c| c["aspect"] == "versioning"),
        "{result}"
    );
    // The second look needs no checksum of what the listing shows unchanged.
    let database = &result["report"]["databases"][0];
    assert!(database["vouched_objects"].as_u64().unwrap() > 4, "{database}");
    assert_eq!(database["checked_objects"], database["objects"]);
    // Not drctl's, and it is told where.
    home.west.put("runs/planted.txt", b"hello");
    let result = home.json(&["audit", "--depth", "listing"], 3);
    assert_eq!(standing(&result, "strangers", "west"), "failed");
    assert_eq!(result["report"]["findings"][0]["part"], "runs/planted.txt");
    home.west.delete("runs/planted.txt");
    // A store that is away is unverified in everything.
    let configuration = std::fs::read_to_string(home.folder.join("drctl.toml")).unwrap();
    let away = configuration.replace(&west.endpoint(), "http://127.0.0.1:1");
    std::fs::write(home.folder.join("drctl.toml"), away).unwrap();
    let result = home.json(&["audit"], 4);
    for aspect in ["strangers", "public_access", "encryption", "retention", "integrity"] {
        assert_eq!(standing(&result, aspect, "west"), "unverified", "{aspect}: {result}");
    }
    assert_eq!(result["stored"], serde_json::json!(["east"]));
}

/// Signed by `openssl`'s measure too; every form of the report says the same.
#[test]
fn reports_are_kept_signed_and_proven_and_keys_work_with_openssl() {
    let home = home_with_rows("audit_keys", |url| Home::local(url, "part_size = \"1MiB\""));
    let made = home.json(&["keys", "generate", "--out", "sign.key"], 0);
    let again = home.run(&["keys", "generate", "--out", "sign.key"], 2);
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    let openssl = |args: &[&str]| {
        let mut command = Command::new("openssl");
        lab::run(command.args(args).current_dir(home.folder.path())).expect(0).stdout
    };
    let public = openssl(&["pkey", "-in", "sign.key", "-pubout"]);
    assert_eq!(public, std::fs::read_to_string(home.folder.join("sign.key.pub")).unwrap());
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(home.folder.join("sign.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let path = home.folder.join("drctl.toml");
    let before = std::fs::read_to_string(&path).unwrap();
    let signing = format!(
        "[signing]\nkey = \"file:{0}\"\ntrusted_keys = [\"file:{0}.pub\"]\n",
        home.folder.join("sign.key").display()
    );
    std::fs::write(&path, format!("{before}\n{signing}")).unwrap();
    let shown = home.json(&["keys", "show"], 0);
    assert_eq!(shown["signs"]["fingerprint"], made["fingerprint"]);
    assert_eq!(shown["trusts_itself"], true);
    let trust = home.json(&["keys", "trust", "sign.key.pub"], 0);
    assert_eq!(trust["signed"][0]["signed"], 0);
    // What was taken before is signed by nobody.
    let result = home.json(&["audit"], 4);
    assert!(result["report"]["findings"][0]["detail"].as_str().unwrap().contains("not signed"));
    home.json(&["snapshot", "petforce", "--full"], 0);
    let trust = home.json(&["keys", "trust", "sign.key.pub"], 0);
    assert_eq!(trust["signed"][0]["signed"], 1);

    let list = home.json(&["audit", "list"], 0);
    let id = list["audits"][0]["audit"].as_str().unwrap();
    let key = format!("audits/{id}/report.json");
    let json = home.east.get(&key);
    assert_eq!(home.west.get(&key), json);
    let lines: Vec<&str> = std::str::from_utf8(&json).unwrap().lines().collect();
    assert!(lines.last().unwrap().contains("\"signature\""), "{:?}", lines.last());
    let report: Value = serde_json::from_slice(&json).unwrap();
    for file in report["files"].as_array().unwrap() {
        let bytes = home.east.get(&format!("audits/{id}/{}", file["name"].as_str().unwrap()));
        assert_eq!(drctl::model::Digest::of(&bytes).to_string(), file["sha256"]);
    }
    home.json(&["audit", "show", "latest"], 4);
    let out = home.folder.join("out");
    home.run(&["audit", "report", "latest", "--out", out.to_str().unwrap()], 0);
    let html = std::fs::read_to_string(out.join(format!("{id}.html"))).unwrap();
    assert!(html.contains("<svg") && !html.contains("<script") && !html.contains("http"), "{html}");
    valid(&out.join(format!("{id}.json")));

    // Tampered with in one store, the other one's counts; in both, it is refused.
    let forged = String::from_utf8(json).unwrap().replace("\"unverified\"", "\"passed\"");
    home.east.put(&key, forged.as_bytes());
    home.json(&["audit", "show", id], 4);
    home.west.put(&key, forged.as_bytes());
    let refused = home.json(&["audit", "show", id], 3);
    assert!(refused["error"].as_str().unwrap().contains("its seal says"), "{refused}");
    home.json(&["audit", "show", "a2020"], 2);
}

/// Compared with the published schema, by a program that is not ours.
fn valid(report: &Path) {
    let schema = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/audit.schema.json");
    let validator = tool("AWS").parent().unwrap().join("jsonschema");
    let mut command = Command::new(validator);
    lab::run(command.arg("-i").arg(report).arg(schema)).expect(0);
}

#[test]
fn damage_is_mended_from_the_other_store_after_it_was_shown() {
    let home = home_with_rows("repair", |url| Home::local(url, "part_size = \"1MiB\""));
    home.json(&["repair"], 0);
    let keys = home.east.keys_with("/parts/");
    let (spoilt, lost) = (&keys[0], &keys[1]);
    let mut bad = home.east.get(spoilt);
    bad[20] ^= 1;
    home.east.put(spoilt, &bad);
    home.west.delete(lost);
    let shown = home.run(&["repair", "petforce", "--dry-run"], 3).stdout;
    assert!(shown.contains("2 objects to mend") && shown.contains("public.t"), "{shown}");
    assert_eq!(home.east.get(spoilt), bad);
    let asked = home.run(&["repair", "petforce"], 2);
    assert!(asked.stderr.contains("nobody can be asked here"), "{}", asked.stderr);
    let result = home.json(&["repair", "petforce", "--yes"], 0);
    let mended = &result["databases"][0]["report"]["mended"];
    assert_eq!(mended.as_array().unwrap().len(), 2, "{result}");
    for key in [spoilt, lost] {
        assert_eq!(home.east.get(key), home.west.get(key));
    }
    let aside = home.east.keys_with("quarantine/");
    assert_eq!((aside.len(), home.east.get(&aside[0])), (1, bad));
    home.json(&["audit", "--depth", "content"], 0);
    home.json(&["verify", "--snapshot", "all", "--depth", "content"], 0);
}

/// Where objects are locked, what is mended is a version on top of the damaged one, which stays.
#[test]
fn damage_is_mended_in_buckets_whose_objects_are_locked() {
    let home = home_with_rows("locked", |url| {
        let east = Vault::locked_bucket(shared_moto_east());
        let west = Vault::locked_bucket(shared_moto_west());
        Home::with(east, west, url, "part_size = \"1MiB\"")
    });
    let keys = home.east.keys_with("/parts/");
    let (spoilt, lost) = (&keys[0], &keys[1]);
    let good = home.east.get(spoilt);
    let mut bad = good.clone();
    bad[20] ^= 1;
    home.east.put(spoilt, &bad);
    // A marker: the object itself is locked.
    home.west.delete(lost);
    let mended = home.json(&["repair", "petforce", "--yes"], 0);
    assert_eq!(mended["databases"][0]["report"]["mended"].as_array().unwrap().len(), 2, "{mended}");
    assert_eq!(home.east.get(spoilt), good);
    assert_eq!(home.west.get(lost), home.east.get(lost));
    home.json(&["verify", "--snapshot", "all", "--depth", "content"], 0);
}

#[test]
fn an_audit_with_a_budget_goes_on_where_the_last_one_ended() {
    let home = home_with_rows("budget", |url| Home::local(url, "part_size = \"1MiB\""));
    let never = |result: &Value| {
        let coverage = result["report"]["databases"][0]["coverage"].as_object().unwrap();
        coverage.values().map(|ages| ages["never"].as_u64().unwrap()).sum::<u64>()
    };
    let args = ["audit", "--depth", "content", "--budget", "150kB"];
    let first = home.json(&args, 0);
    let mut left = never(&first);
    assert!(left > 0, "{first}");
    let mut runs = 1;
    while left > 0 {
        let next = never(&home.json(&args, 0));
        assert!(next < left, "{next} of {left} bytes are left");
        left = next;
        runs += 1;
    }
    assert!(runs > 2, "{runs}");
}
