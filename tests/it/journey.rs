//! The whole path as an operator walks it, by the built binary: init, doctor, snapshots into two
//! regions, proof, restores, and a region that goes away and comes back.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use crate::fingerprint::{assert_same, fingerprint};
use crate::home::{Home, Vault};
use crate::lab::{
    self, Folder, Gate, Postgres, Version, folder, shared_moto_east, shared_moto_west, shared_pg15,
    shared_pg16, shared_pg18, unique,
};

/// A password that must never be seen in any output.
const SECRET: &str = "Marker-7f3a!x y'%/@";

#[track_caller]
fn has(value: &Value, fields: &[&str]) {
    for field in fields {
        assert!(!value[field].is_null(), "no `{field}` in {value}");
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("not a number: {value}"))
}

fn change(server: &Postgres, db: &str) {
    server.psql(
        db,
        "UPDATE petforce.appointments SET minutes = minutes + 1 WHERE id % 100 = 7;
         DELETE FROM petforce.measurements WHERE pet_id = 3;
         REFRESH MATERIALIZED VIEW petforce.busy_vets",
    );
}

/// Programs that note their arguments and then become the real ones.
fn recording_programs(server: &Postgres) -> Folder {
    let dir = folder("programs");
    for name in ["pg_dump", "pg_restore"] {
        let script = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$0 $*\" >> '{argv}'\nenv >> '{env}'\nexec '{real}' \"$@\"\n",
            argv = dir.join("argv").display(),
            env = dir.join("env").display(),
            real = server.bin_dir().join(name).display(),
        );
        std::fs::write(dir.join(name), script).unwrap();
        std::fs::set_permissions(dir.join(name), PermissionsExt::from_mode(0o755)).unwrap();
    }
    dir
}

fn whole_path(version: Version) {
    let server = Postgres::options(version).password(SECRET).start();
    server.create_db("clinic");
    server.load_petforce("clinic", 1500);
    server.psql("clinic", "SELECT lo_from_bytea(4711, 'a scan')");
    let programs = recording_programs(&server);
    let east = Vault::bucket(shared_moto_east());
    let west = Vault::bucket(shared_moto_west());
    let more = format!(
        "pg_bin = \"{}\"\n[target.copy]\nurl = \"${{TARGET_URL}}\"",
        programs.path().display()
    );
    let mut home = Home::with(east, west, "${DATABASE_URL}", &more);
    home.env = vec![("DATABASE_URL", server.url("clinic")), ("TARGET_URL", server.url("copy"))];

    let doctor = home.json(&["doctor"], 0);
    has(&doctor, &["findings"]);
    home.run(&["doctor", "petforce"], 0);
    home.json(&["snapshot", "petforce", "--dry-run"], 0);

    let first = home.json(&["snapshot", "petforce"], 0);
    assert_eq!((&first["event"], &first["command"]), (&"result".into(), &"snapshot".into()));
    has(
        &first,
        &[
            "id",
            "generation",
            "database",
            "tables",
            "rows",
            "raw_bytes",
            "stored_bytes",
            "new_bytes",
            "parts",
            "new_parts",
            "seconds",
        ],
    );
    assert_eq!(first["database"], "petforce");
    assert_eq!(first["new_parts"], first["parts"]);
    assert_eq!(first["new_bytes"], first["stored_bytes"]);
    let stores = first["stores"].as_array().unwrap();
    let names: Vec<_> = stores.iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["east", "west"]);
    assert!(stores.iter().all(|s| s["complete"] == true && number(&s["new_bytes"]) > 0));

    change(&server, "clinic");
    let second = home.json(&["snapshot", "petforce"], 0);
    assert_eq!(second["generation"], first["generation"]);
    let (new, all) = (number(&second["new_parts"]), number(&second["parts"]));
    assert!(new == 2 && all == 8, "{new} of {all} parts are new");
    assert!(number(&second["new_bytes"]) * 5 < number(&second["stored_bytes"]), "{second}");
    let (id, earlier) = (second["id"].as_str().unwrap(), first["id"].as_str().unwrap());

    looking_around(&home, earlier, id);
    verifying(&home, number(&second["rows"]));
    restoring(&home, &server, id);

    let pruned = home.json(&["prune", "--dry-run"], 0);
    assert_eq!(pruned["dry_run"], true);
    let kept = &pruned["databases"][0]["stores"][0];
    assert_eq!((kept["remove"].as_array().unwrap().len(), &kept["store"]), (0, &"east".into()));
    home.run(&["prune"], 0);
    let copied = home.json(&["copy", "petforce", "--from", "east", "--to", "west"], 0);
    assert_eq!(copied["objects"], 0);

    mistakes(&mut home, &server);
    secrets_stay(&home, programs.path());
}

fn looking_around(home: &Home, earlier: &str, id: &str) {
    let list = home.json(&["list"], 0);
    let snapshots = list["snapshots"].as_array().unwrap();
    let ids: Vec<_> = snapshots.iter().map(|s| s["snapshot"]["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [earlier, id]);
    for snapshot in snapshots {
        has(snapshot, &["age_seconds", "database"]);
        for share in snapshot["snapshot"]["shares"].as_array().unwrap() {
            assert_eq!(share["state"], "complete", "{share}");
        }
    }
    let text = home.run(&["list", "petforce"], 0).stdout;
    assert!(text.contains(id) && text.contains("complete  complete"), "{text}");

    let shown = home.json(&["show", id], 0);
    assert_eq!(shown["manifest"]["id"], id);
    let text = home.run(&["show", "latest"], 0).stdout;
    for piece in [id, "petforce.appointments", "1 large object", "east complete, west complete"] {
        assert!(text.contains(piece), "no `{piece}` in {text}");
    }
    home.run(&["show", &id[..id.len() - 2]], 0);
    // A digit was mistyped: the nearest is suggested.
    let typo = format!("{}z", &id[..id.len() - 1]);
    for command in [
        vec!["show", typo.as_str()],
        vec!["verify", "--snapshot", &typo],
        vec!["restore", "petforce", "--to", "copy", "--create", "--snapshot", &typo],
        vec!["copy", "petforce", "--from", "east", "--to", "west", "--snapshot", &typo],
    ] {
        let ran = home.run(&command, 2);
        assert!(ran.stderr.contains(&format!("no snapshot `{typo}`")), "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("the nearest is `{id}`")), "{}", ran.stderr);
        let result = home.json(&command, 2);
        has(&result, &["error", "hint"]);
    }
}

fn verifying(home: &Home, rows: u64) {
    let mut bytes = Vec::new();
    for (depth, said) in [
        ("listing", "is there with its size"),
        ("checksums", "has the checksum that is promised"),
        ("content", "Everything is as promised"),
    ] {
        let result = home.json(&["verify", "petforce", "--depth", depth], 0);
        assert_eq!(result["findings"], serde_json::json!([]), "{result}");
        // Parts, lists, the archive and the manifest, in each store.
        assert_eq!(result["checked_objects"], 2 * (8 + 8 + 1 + 1 + 2), "{result}");
        bytes.push(number(&result["checked_bytes"]));
        let ran = home.run(&["verify", "--depth", depth], 0);
        assert!(ran.stdout.contains(said), "{}", ran.stdout);
    }
    assert!(bytes[0] == bytes[1] && bytes[1] == bytes[2] && bytes[0] > rows, "{bytes:?}");
    let all = ["verify", "--snapshot", "all", "--depth", "content", "--store", "west"];
    home.json(&all, 0);
    let ran = home.run(&["verify", "--depth", "content", "--sample", "10%"], 0);
    assert!(ran.stdout.contains("a sample of 10 %"), "{}", ran.stdout);
}

fn restoring(home: &Home, server: &Postgres, id: &str) {
    let before = fingerprint(server, "clinic");
    let to = ["restore", "petforce", "--to", "copy"];
    let with = |more: &[&'static str]| [&to, more].concat();
    let plan = home.json(&with(&["--create", "--dry-run"]), 0);
    assert_eq!((&plan["snapshot"], &plan["dry_run"]), (&id.into(), &true.into()));
    let done = home.json(&with(&["--create"]), 0);
    assert_eq!((&done["proof"], &done["command"]), (&"equal".into(), &"restore".into()));
    has(&done, &["tables", "rows", "seconds"]);
    assert_same(&before, &fingerprint(server, "copy"));

    // It is there now: not without being told, and never the source itself.
    let ran = home.run(&with(&["--create"]), 2);
    assert!(ran.stderr.contains("is there already"), "{}", ran.stderr);
    let ran = home.run(&to, 2);
    assert!(ran.stderr.contains("is not empty"), "{}", ran.stderr);
    let source = server.url("clinic");
    for mode in ["--create", "--replace"] {
        let ran = home.run(&["restore", "petforce", "--to", &source, mode], 2);
        assert!(ran.stderr.contains("the snapshot was taken of"), "{}", ran.stderr);
    }
    assert_same(&before, &fingerprint(server, "clinic"));

    server.psql("copy", "DROP TABLE petforce.messages");
    let ran = home.run(&with(&["--replace", "--store", "west", "--analyze"]), 0);
    assert!(ran.stdout.contains("row by row EQUAL"), "{}", ran.stdout);
    assert_same(&before, &fingerprint(server, "copy"));

    // One table, by a connection string of its own.
    let one = server.url("one_table");
    let table = "petforce.appointments";
    let done = home.json(&["restore", "petforce", "--to", &one, "--create", "--table", table], 0);
    assert_eq!((&done["proof"], &done["tables"]), (&"equal".into(), &1.into()));
    let tables = "SELECT string_agg(relname, ' ') FROM pg_class WHERE relkind IN ('r', 'm')
                  AND relnamespace = 'petforce'::regnamespace";
    assert_eq!(server.psql("one_table", tables), "appointments");
    let sum = "SELECT count(*), sum(minutes) FROM petforce.appointments";
    assert_eq!(server.psql("one_table", sum), server.psql("clinic", sum));
    let typo = ["--create", "--table", "petforce.apointments"];
    let ran = home.run(&with(&typo), 2);
    assert!(ran.stderr.contains("is `petforce.appointments` meant?"), "{}", ran.stderr);
}

fn mistakes(home: &mut Home, server: &Postgres) {
    let ran = home.run(&["snapshot", "petforse"], 2);
    assert!(ran.stderr.contains("petforce"), "{}", ran.stderr);
    home.json(&["snapshot", "petforse"], 2);
    let ran = home.run(&["verify", "--store", "wset"], 2);
    assert!(ran.stderr.contains("`west`"), "{}", ran.stderr);
    home.json(&["restore", "petforce", "--to", "cpoy"], 2);
    home.run(&["snapshot"], 2);
    home.run(&["verify", "--sample", "0%"], 2);
    let text = home.run(&["completions", "bash"], 0).stdout;
    assert!(text.contains("drctl"));
    home.json(&["completions", "bash"], 0);
    home.json(&["man"], 0);

    // A wrong password is told, and not shown.
    let right = std::mem::take(&mut home.env);
    let wrong = server.url("clinic").replace("Marker-7f3a", "Marker-7f3b");
    home.env = vec![("DATABASE_URL", wrong), ("TARGET_URL", String::new())];
    let ran = home.run(&["snapshot", "petforce"], 1);
    assert!(ran.stderr.contains("password authentication failed"), "{}", ran.stderr);
    home.json(&["snapshot", "petforce"], 1);
    home.json(&["doctor"], 1);
    home.env.clear();
    let ran = home.run(&["snapshot", "petforce"], 2);
    assert!(ran.stderr.contains("DATABASE_URL"), "{}", ran.stderr);
    home.env = right;
}

/// Neither printed nor seen in the list of processes.
fn secrets_stay(home: &Home, programs: &Path) {
    let said = home.said();
    assert!(said.len() > 10_000 && !said.contains("Marker"), "a password was printed");
    let argv = std::fs::read_to_string(programs.join("argv")).unwrap();
    for ran in ["pg_dump --format=custom", "--snapshot=", "--section=post-data"] {
        assert!(argv.contains(ran), "no `{ran}` in {argv}");
    }
    assert!(!argv.contains("Marker"), "a password is among a program's arguments");
    let env = std::fs::read_to_string(programs.join("env")).unwrap();
    assert!(env.contains("Marker") || env.contains("PGPASSFILE"), "how did they log in?");
    for secret in ["AWS_", "DATABASE_URL", "TARGET_URL"] {
        assert!(!env.contains(secret), "{secret} is none of their business");
    }
}

#[test]
fn the_whole_path_on_15() {
    whole_path(Version::V15);
}

#[test]
fn the_whole_path_on_18() {
    whole_path(Version::V18);
}

#[test]
fn a_newcomer_with_two_folders() {
    let server = shared_pg15();
    let db = server.fresh_db("newcomer");
    server.load_petforce(&db, 300);
    let home = folder("newcomer");
    let run = |args: &[&str]| {
        let mut command = lab::drctl(home.path());
        lab::run(command.args(args).env("DATABASE_URL", server.url(&db))).expect(0).stdout
    };
    let said = run(&["init", "--local", "--name", "app"]);
    assert!(said.contains("drctl doctor") && said.contains("drctl snapshot app"), "{said}");
    run(&["doctor"]);
    run(&["snapshot", "app"]);
    let said = run(&["snapshot", "app"]);
    assert!(said.contains("0 of "), "nothing changed, so no part is new: {said}");
    run(&["list"]);
    run(&["verify", "--depth", "content"]);
    let copy = unique("newcomer");
    let said = run(&["restore", "app", "--to", &server.url(&copy), "--create"]);
    assert!(said.contains("row by row EQUAL"), "{said}");
    assert_same(&fingerprint(server, &db), &fingerprint(server, &copy));
    assert!(home.join("drctl-stores/west/drctl.json").is_file());
}

#[test]
fn into_a_newer_major_version() {
    let (old, new) = (shared_pg16(), shared_pg18());
    let db = old.fresh_db("major");
    old.load_petforce(&db, 500);
    let more = format!("pg_bin = \"{}\"", new.bin_dir().display());
    let home = Home::local(&old.url(&db), &more);
    home.snapshot();
    let to = new.url(&db);
    let done = home.json(&["restore", "petforce", "--to", &to, "--create"], 0);
    assert_eq!(done["proof"], "equal");
    assert_same(&fingerprint(old, &db), &fingerprint(new, &db));

    // The other way is refused by name.
    let back = Home::local(&new.url(&db), &more);
    back.snapshot();
    let ran = back.run(&["restore", "petforce", "--to", &old.url("back"), "--create"], 2);
    assert!(ran.stderr.contains("runs PostgreSQL 16"), "{}", ran.stderr);
}

fn gated(moto: &'static lab::Moto) -> (Vault, Gate) {
    let gate = Gate::before(moto.port());
    let mut vault = Vault::bucket(moto);
    if let Vault::Bucket { endpoint, .. } = &mut vault {
        *endpoint = gate.endpoint();
    }
    (vault, gate)
}

/// The states of all snapshots in a store, oldest first.
fn states(list: &Value, store: usize) -> Vec<&str> {
    let all = list["snapshots"].as_array().unwrap().iter();
    all.map(|s| s["snapshot"]["shares"][store]["state"].as_str().unwrap()).collect()
}

#[test]
fn a_region_goes_away_and_comes_back() {
    let server = shared_pg15();
    let db = server.fresh_db("regions");
    server.load_petforce(&db, 300);
    let (east, _east_gate) = gated(shared_moto_east());
    let (west, gate) = gated(shared_moto_west());
    let home = Home::with(east, west, &server.url(&db), "");
    home.snapshot();
    let hour = || {
        change(server, &db);
    };

    hour();
    gate.shut();
    let partial = home.json(&["snapshot", "petforce"], 6);
    let id = partial["id"].as_str().unwrap();
    let complete: Vec<_> =
        partial["stores"].as_array().unwrap().iter().map(|s| &s["complete"]).collect();
    assert_eq!(complete, [true, false]);
    assert!(partial["stores"][1]["error"].is_string(), "{partial}");
    let list = home.json(&["list"], 4);
    assert_eq!(states(&list, 0), ["complete", "complete"]);
    assert_eq!(states(&list, 1), ["unreachable", "unreachable"]);
    // Neither a finding of damage nor an all-clear.
    let verified = home.json(&["verify"], 4);
    assert_eq!(verified["findings"][0]["kind"], "unreadable");
    assert_eq!(verified["findings"][0]["store"], "west");
    gate.open();

    let list = home.json(&["list"], 0);
    assert_eq!(states(&list, 1), ["complete", "missing"]);
    let verified = home.json(&["verify"], 3);
    let missing = &verified["findings"][0];
    assert_eq!((&missing["kind"], &missing["store"]), (&"missing".into(), &"west".into()));
    assert_eq!(missing["snapshot"], id);
    let copy = ["copy", "petforce", "--from", "east", "--to", "west"];
    let planned = home.json(&[&copy[..], &["--dry-run"]].concat(), 0);
    let copied = home.json(&copy, 0);
    assert!(number(&copied["objects"]) > 0);
    assert_eq!(planned["objects"], copied["objects"]);
    let all = ["verify", "--snapshot", "all", "--depth", "content"];
    home.json(&all, 0);

    // Again, and this time the next snapshot fills the gap.
    hour();
    gate.shut();
    let ran = home.run(&["snapshot", "petforce"], 6);
    assert!(ran.stdout.contains("west: NOT complete"), "{}", ran.stdout);
    assert!(ran.stdout.contains("The next snapshot fills the gap"), "{}", ran.stdout);
    gate.open();
    hour();
    let next = home.json(&["snapshot", "petforce"], 0);
    assert_eq!(next["generation"], partial["generation"]);
    home.json(&["verify", "--depth", "content"], 0);
    let list = home.json(&["list"], 0);
    assert_eq!(states(&list, 1), ["complete", "complete", "missing", "complete"]);
    home.json(&all, 3);
    home.json(&[&copy[..], &["--snapshot", "all"]].concat(), 0);
    home.json(&all, 0);

    // No store at all: nothing was done, and that is no success.
    _east_gate.shut();
    gate.shut();
    home.json(&["snapshot", "petforce"], 1);
    home.json(&["list"], 1);
    home.json(&["verify"], 4);
}

#[test]
fn a_restore_does_not_wait_for_the_region_that_is_gone() {
    let server = shared_pg15();
    let db = server.fresh_db("regions");
    server.load_petforce(&db, 300);
    let (east, gate) = gated(shared_moto_east());
    let mut home = Home::with(east, Vault::bucket(shared_moto_west()), &server.url(&db), "");
    home.snapshot();
    // As an operator has it, who set nothing.
    let config = home.folder.join("drctl.toml");
    let text = std::fs::read_to_string(&config).unwrap().replace("patience = \"2s\"\n", "");
    std::fs::write(&config, text).unwrap();
    home.env.clear();
    gate.shut();
    let began = Instant::now();
    let copy = unique("regions");
    let ran = home.run(&["restore", "petforce", "--to", &server.url(&copy), "--create"], 0);
    assert!(ran.stderr.contains("store `east`"), "it is not told: {}", ran.stderr);
    assert!(began.elapsed().as_secs() < 60, "{} s", began.elapsed().as_secs());
    assert_same(&fingerprint(server, &db), &fingerprint(server, &copy));
}
