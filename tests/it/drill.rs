//! Drills by the built binary: a snapshot is restored on a server of drctl's own or on a staging
//! server, proven, and nothing of it is left, whatever goes wrong on the way.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::home::Home;
use crate::lab::{Postgres, Version, free_port, shared_pg15, shared_pg16, shared_pg18, unique};
use crate::waiting::until;

pub const DATA: &str = "
CREATE TABLE pets (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);
INSERT INTO pets (name) SELECT 'pet ' || i FROM generate_series(1, 3000) i;
CREATE TABLE visits (id int PRIMARY KEY, pet int REFERENCES pets);
INSERT INTO visits SELECT i, i FROM generate_series(1, 3000) i;
";

/// Runs a command and kills it after so many lines of its output.
pub fn killed_after(command: &mut Command, nth: usize) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..nth {
        if lines.next().is_none() {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A home whose database is on `server`, with drills in a folder of its own.
fn home(server: &Postgres, more: &str) -> (Home, String) {
    let db = server.fresh_db("drilled");
    server.psql(&db, DATA);
    let url = format!("{}?sslmode=disable", server.url(&db));
    let home = Home::local(&url, more);
    (home, url)
}

/// For servers whose programs are in no usual place.
fn programs_of(server: &Postgres) -> String {
    format!("pg_bin = \"{}\"\n", server.bin_dir().display())
}

fn drill_table(home: &Home) -> String {
    format!("[drill]\nfolder = \"{}\"\n", home.folder.path().display())
}

/// What is in the folder of drills' servers, and the processes that work there.
fn left_in(folder: &Path) -> Vec<String> {
    let name = |e: std::fs::DirEntry| e.file_name().to_string_lossy().into_owned();
    let entries = std::fs::read_dir(folder).unwrap().flatten().map(name);
    let mut left: Vec<String> = entries.filter(|n| n.starts_with("drctl-d")).collect();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let cwd = std::fs::read_link(entry.path().join("cwd"));
        if cwd
            .is_ok_and(|cwd| cwd.starts_with(folder) && cwd.to_string_lossy().contains("/drctl-d"))
        {
            left.push(format!("process {}", name(entry)));
        }
    }
    left
}

fn standing<'v>(drill: &'v Value, check: &str) -> &'v str {
    let all = drill["checks"].as_array().unwrap();
    let found = all.iter().find(|c| c["name"] == check);
    found.unwrap_or_else(|| panic!("no check {check} in {drill}"))["standing"].as_str().unwrap()
}

#[test]
fn a_drill_restores_proves_reports_and_leaves_nothing() {
    let server = shared_pg15();
    let port = free_port();
    let app = format!(
        "[database.petforce.drill.assert]\nall_pets = \"SELECT count(*) = 3000 FROM pets\"\n\
         [database.petforce.drill.app]\nurl = \"http://127.0.0.1:{port}/\"\n\
         command = [\"sh\", \"-c\", 'psql \"$DATABASE_URL\" -Atqc \"SELECT 1/count(*) FROM pets\" \
         && exec python3 -m http.server {port} --bind 127.0.0.1']\n"
    );
    let (home, url) = home(server, "");
    home.write(&url, &format!("{app}{}", drill_table(&home)));
    assert!(home.run(&["drill", "list"], 0).stdout.contains("no drills yet"));
    let id = home.snapshot();
    let drill = home.json(&["drill", "restore"], 0)["drill"].clone();
    assert_eq!(drill["outcome"], "passed");
    assert_eq!(drill["snapshot"]["id"], id.as_str());
    for check in
        ["rows", "constraints", "indexes", "sequences", "extensions", "statistics", "application"]
    {
        assert_eq!(standing(&drill, check), "passed", "{drill}");
    }
    assert_eq!(standing(&drill, "structures"), "passed", "amcheck is part of Debian's package");
    assert_eq!(standing(&drill, "assertion all_pets"), "passed");
    assert_eq!(drill["objectives"]["rto_kept"], true);
    assert_eq!(left_in(home.folder.path()), Vec::<String>::new());

    let name = drill["id"].as_str().unwrap();
    for vault in [&home.east, &home.west] {
        for entry in ["began.json", "report.html", "report.json", "report.md"] {
            vault.get(&format!("drills/{name}/{entry}"));
        }
    }
    home.run(&["drill", "report", "latest", "--out", "out"], 0);
    let page = std::fs::read_to_string(home.folder.join("out/report.html")).unwrap();
    assert!(page.contains("PASSED") && !page.contains("<script"));
    let listed = home.run(&["drill", "list"], 0).stdout;
    assert!(listed.contains(name) && listed.contains("passed"), "{listed}");
    assert!(home.run(&["drill", "show", &name[..12]], 0).stdout.contains("PASSED"));

    // A page that was changed is not handed out, unless another store has it as it was.
    let key = format!("drills/{name}/report.html");
    home.east.put(&key, b"<p>all is well</p>");
    home.run(&["drill", "report", name, "--out", "again"], 0);
    assert_eq!(std::fs::read_to_string(home.folder.join("again/report.html")).unwrap(), page);
    home.west.put(&key, b"<p>all is well</p>");
    home.run(&["drill", "report", name, "--out", "third"], 3);

    // What the data does not keep fails it.
    let app = app.replace("= 3000", "= 2999");
    home.write(&url, &format!("{app}{}", drill_table(&home)));
    let drill = home.json(&["drill", "restore", "--snapshot", "random"], 1)["drill"].clone();
    assert_eq!(standing(&drill, "assertion all_pets"), "failed");
    assert_eq!(drill["history"].as_array().unwrap().len(), 1);
    assert_eq!(left_in(home.folder.path()), Vec::<String>::new());
}

/// Whoever may write to the stores and has no key that is trusted cannot make a drill up.
#[test]
fn reports_are_signed_and_one_by_a_stranger_is_refused() {
    let (home, url) = home(shared_pg15(), "");
    let signing_with = |name: &str| {
        let key = home.folder.join(name);
        home.json(&["keys", "generate", "--out", name], 0);
        let table = format!(
            "[signing]\nkey = \"file:{0}\"\ntrusted_keys = [\"file:{0}.pub\"]\n{1}",
            key.display(),
            drill_table(&home)
        );
        home.write(&url, &table);
        home.json(&["snapshot", "petforce", "--full"], 0);
        let drill = home.json(&["drill", "restore"], 0)["drill"].clone();
        drill["id"].as_str().unwrap().to_owned()
    };
    let theirs = signing_with("strange.key");
    let ours = signing_with("sign.key");
    let report = home.east.get(&format!("drills/{ours}/report.json"));
    let report = String::from_utf8(report).unwrap();
    assert!(report.lines().last().unwrap().contains("\"signature\""), "{report}");
    home.run(&["drill", "report", &ours, "--out", "out"], 0);
    let refused = home.json(&["drill", "show", &theirs], 3);
    assert!(refused["error"].as_str().unwrap().contains("sign"), "{refused}");
    let listed = home.run(&["drill", "list"], 4).stdout;
    assert!(listed.contains("none of the trusted keys signed it"), "{listed}");
}

#[test]
fn what_is_damaged_unsigned_too_old_or_too_large_fails_and_leaves_nothing() {
    let server = shared_pg15();
    let (home, url) = home(server, "");
    home.write(&url, &drill_table(&home));
    let id = home.snapshot();
    let clean = || assert_eq!(left_in(home.folder.path()), Vec::<String>::new());

    // The window is over.
    let short = drill_table(&home) + "window = \"1h\"\n";
    home.write(&url, &short);
    assert_eq!(
        home.json(&["drill", "restore", "--snapshot", &id], 0)["drill"]["outcome"],
        "passed"
    );
    home.run(&["drill", "restore", "--snapshot", "20200101T000000Z-000000"], 2);

    // No room for a server: a small disk.
    let disk = crate::lab::folder("disk");
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"])
        .arg(disk.path())
        .status()
        .is_ok_and(|status| status.success());
    if mounted {
        let small = format!("[drill]\nfolder = \"{}\"\n", disk.path().display());
        home.write(&url, &small);
        let drill = home.json(&["drill", "restore"], 1)["drill"].clone();
        let ended = std::process::Command::new("umount").arg(disk.path()).status().unwrap();
        assert!(ended.success());
        let why = drill["failure"]["error"].as_str().unwrap();
        assert!(why.contains("too little room"), "{why}");
    }

    // A key that nobody signed with.
    let key = |name: &str, args: &[&str]| {
        let path = home.folder.join(name);
        let done = std::process::Command::new("openssl").args(args).arg(&path).status().unwrap();
        assert!(done.success());
        path
    };
    let private = key("k.pem", &["genpkey", "-algorithm", "ed25519", "-out"]);
    let public = private.with_extension("pub");
    let private = private.display().to_string();
    key("k.pub", &["pkey", "-in", &private, "-pubout", "-out"]);
    let trust = format!("[signing]\ntrusted_keys = [\"file:{}\"]\n", public.display());
    home.write(&url, &(drill_table(&home) + &trust));
    home.run(&["drill", "restore", "--snapshot", &id], 4);

    // Damage in the store that is asked.
    home.write(&url, &drill_table(&home));
    let part = home.east.keys_with("/parts/")[0].clone();
    let mut bytes = home.east.get(&part);
    bytes[20] ^= 1;
    home.east.put(&part, &bytes);
    let drill = home.json(&["drill", "restore", "--store", "east"], 3)["drill"].clone();
    assert_eq!(drill["outcome"], "different");
    assert_eq!(
        home.json(&["drill", "restore", "--store", "west"], 0)["drill"]["outcome"],
        "passed"
    );
    clean();
}

/// A role of its own on a staging server, that says that it is for drills or does not.
fn staging(server: &Postgres, marked: bool) -> (String, String) {
    let role = unique("driller");
    server.psql("postgres", &format!("CREATE ROLE {role} LOGIN SUPERUSER"));
    if marked {
        server.psql("postgres", &format!("ALTER ROLE {role} SET drctl.drill = 'on'"));
    }
    let url = format!("postgresql://{role}@127.0.0.1:{}/postgres?sslmode=disable", server.port());
    (role, url)
}

fn databases(server: &Postgres) -> String {
    server.psql("postgres", "SELECT datname FROM pg_database WHERE datname LIKE 'drctl_drill%'")
}

#[test]
fn a_staging_server_is_used_and_production_is_refused_whatever_is_configured() {
    let (production, staged) = (shared_pg15(), shared_pg18());
    let (home, url) = home(production, "");
    let db = url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    let owner = unique("owner");
    production.psql(
        &db,
        &format!(
            "CREATE ROLE {owner}; ALTER TABLE visits OWNER TO {owner}; \
             CREATE EXTENSION IF NOT EXISTS adminpack"
        ),
    );
    home.write(&url, &programs_of(staged));
    home.snapshot();
    let (_, good) = staging(staged, true);
    let (_, unmarked) = staging(staged, false);
    let (_, same) = staging(production, true);
    let by_name = same.replace("127.0.0.1", "localhost");
    let target = |url: &str, more: &str| {
        let programs = programs_of(staged);
        format!(
            "{programs}[target.staging]\nurl = \"{url}\"\n[drill]\ntarget = \"staging\"\n{more}"
        )
    };
    for (text, why) in [
        (&same, "both are at 127.0.0.1"),
        (&by_name, "both are at 127.0.0.1"),
        (&unmarked, "does not say that it is meant for drills"),
    ] {
        home.write(&url, &target(text, ""));
        let told = home.run(&["drill", "restore"], 2).stderr;
        assert!(told.contains(why), "{told}");
    }
    assert_eq!((databases(production), databases(staged)), (String::new(), String::new()));

    // The staging server lacks an extension; the list of those that it may lack is explicit.
    home.write(&url, &target(&good, ""));
    let drill = home.json(&["drill", "restore"], 1)["drill"].clone();
    let why = drill["failure"]["error"].as_str().unwrap();
    assert!(why.contains("no extensions adminpack"), "{why}");
    home.write(&url, &target(&good, "without_extensions = [\"adminpack\"]\n"));
    let drill = home.json(&["drill", "restore"], 0)["drill"].clone();
    assert_eq!(standing(&drill, "extensions"), "noted");
    let allowed = drill["allowed"].to_string();
    assert!(allowed.contains("extension adminpack"), "{allowed}");
    assert!(drill["scratch"]["role_stubs"].to_string().contains(&owner), "{drill}");
    let roles = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{owner}'");
    assert_eq!((databases(staged), staged.psql("postgres", &roles)), (String::new(), "0".into()));
}

#[test]
fn a_staging_server_that_is_too_old_fails_the_drill() {
    let programs = programs_of(shared_pg18());
    let (home, url) = home(shared_pg18(), &programs);
    home.snapshot();
    let (_, old) = staging(shared_pg16(), true);
    home.write(&url, &format!("{programs}[target.old]\nurl = \"{old}\"\n"));
    let drill = home.json(&["drill", "restore", "--into", "old"], 1)["drill"].clone();
    let why = drill["failure"]["error"].as_str().unwrap();
    assert!(why.contains("runs PostgreSQL 16"), "{why}");
    assert_eq!(databases(shared_pg16()), "");
}

#[test]
fn what_a_killed_drill_left_is_gone_after_the_next_one() {
    let (home, url) = home(shared_pg15(), "");
    let staged = Postgres::start(Version::V16);
    let (_, staging_url) = staging(&staged, true);
    let owner = unique("owner");
    let db = url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    shared_pg15().psql(&db, &format!("CREATE ROLE {owner}; ALTER TABLE visits OWNER TO {owner}"));
    let target = format!("[target.staging]\nurl = \"{staging_url}\"\n");
    home.write(&url, &(programs_of(&staged) + &target + &drill_table(&home)));
    home.snapshot();
    for into in ["embedded", "staging"] {
        let args = ["drill", "restore", "--json", "--into", into];
        let whole = home.run(&args, 0).events().len();
        // Spread over the events of a whole drill; a kill after the last one finds it ended.
        for nth in (1..whole).step_by((whole / 5).max(1)) {
            killed_after(&mut home.command(&args), nth);
            let next = home.run(&args, 0);
            assert_eq!(left_in(home.folder.path()), Vec::<String>::new(), "{into}, event {nth}");
            assert_eq!(databases(&staged), "", "{into}, event {nth}: {}", next.stdout);
            let roles = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{owner}'");
            assert_eq!(staged.psql("postgres", &roles), "0", "{into}, event {nth}");
        }
    }
    let drills = home.json(&["drill", "list", "--limit", "100"], 0)["drills"].clone();
    let open = drills.as_array().unwrap().iter().filter(|d| d["outcome"] == "open").count();
    assert_eq!(open, 0, "{drills}");
    assert!(drills.to_string().contains("broken_off"), "{drills}");
}

#[test]
fn what_a_killed_drill_asked_the_server_for_does_not_come_after_its_clearing() {
    let (home, url) = home(shared_pg15(), "");
    let staged = Postgres::start(Version::V16);
    let (_, staging_url) = staging(&staged, true);
    let target = format!("[target.staging]\nurl = \"{staging_url}\"\n");
    home.write(&url, &(programs_of(&staged) + &target + &drill_table(&home)));
    home.snapshot();
    // CREATE DATABASE waits for whoever keeps its catalog still.
    let lock = "BEGIN; LOCK TABLE pg_database IN SHARE MODE; SELECT pg_sleep(300)";
    let mut holder = staged.program("psql");
    holder.args(["-X", "-q", "-d", "postgres", "-c", lock]).stderr(Stdio::null());
    let mut holder = holder.spawn().unwrap();
    let held = "SELECT count(*) FROM pg_locks WHERE relation = 'pg_database'::regclass AND granted
                   AND mode = 'ShareLock'";
    until("the catalog stands still", || staged.psql("postgres", held) == "1");
    let drill = ["drill", "restore", "--json", "--into", "staging"];
    let mut child = home.command(&drill).stdout(Stdio::null()).spawn().unwrap();
    let making = "SELECT count(*) FROM pg_stat_activity
                   WHERE state = 'active' AND query LIKE 'CREATE DATABASE%drctl_drill_%'";
    until("the drill makes its database", || staged.psql("postgres", making) == "1");
    child.kill().unwrap();
    child.wait().unwrap();
    let id = home.json(&["drill", "list"], 0)["drills"][0]["id"].as_str().unwrap().to_owned();
    home.run(&["drill", "clear", &id], 0);
    let release = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                    WHERE query LIKE 'BEGIN; LOCK%'";
    assert_eq!(staged.psql("postgres", release), "1");
    holder.wait().unwrap();
    until("whatever waited has ended", || staged.psql("postgres", making) == "0");
    assert_eq!(databases(&staged), "");
}

#[test]
fn a_drill_that_is_kept_stays_until_it_is_cleared_away() {
    let (home, url) = home(shared_pg15(), "");
    home.write(&url, &drill_table(&home));
    home.snapshot();
    let kept = home.json(&["drill", "restore", "--keep"], 0)["drill"].clone();
    assert_eq!(kept["teardown"]["state"], "kept");
    // The next one leaves it alone.
    home.json(&["drill", "restore"], 0);
    let folder = left_in(home.folder.path());
    assert!(folder.iter().any(|l| l.contains(kept["id"].as_str().unwrap())), "{folder:?}");
    let id = kept["id"].as_str().unwrap();
    let reach = kept["teardown"]["reach"].as_str().unwrap();
    let asked = std::process::Command::new("sh")
        .args(["-c", &format!("{reach} -Atqc 'SELECT count(*) FROM pets'")])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&asked.stdout).trim(), "3000", "{asked:?}");
    home.run(&["drill", "clear", id], 0);
    assert_eq!(left_in(home.folder.path()), Vec::<String>::new());
}
