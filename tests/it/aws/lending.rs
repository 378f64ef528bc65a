//! Restore drills into an RDS instance that is made for them, by the built binary: it is deleted however
//! the drill ends, and nothing is deleted that is not a drill's.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::front::{Fault, Front};
use crate::drill::{DATA, killed_after};
use crate::home::Home;
use crate::lab::{Lot, Rds, Version, WEST, shared_pg15, unique};

/// A database with a snapshot, an RDS, and a door before it.
struct Scene {
    home: Home,
    url: String,
    rds: Rds,
    front: Front,
}

impl Scene {
    fn new() -> Self {
        let server = shared_pg15();
        let db = server.fresh_db("lent");
        server.psql(&db, DATA);
        let url = format!("{}?sslmode=disable", server.url(&db));
        // Its template is the instance that production is at.
        let rds = Rds::alone(WEST, server.port());
        let front = Front::before(rds.port());
        let scene = Self { home: Home::local(&url, ""), url, rds, front };
        scene.write("");
        scene.home.snapshot();
        scene
    }

    /// The configuration, with more for `[drill.rds.rds]`.
    fn write(&self, more: &str) {
        self.write_with("", more);
    }

    /// The same, with more for the database too.
    fn write_with(&self, database: &str, more: &str) {
        let text = format!(
            "{database}[aws.{WEST}]\nendpoint = \"{}\"\n\
             [drill]\nfolder = \"{}\"\n\
             [drill.rds.rds]\nregion = \"{WEST}\"\ntemplate = \"petforce-{WEST}\"\n{more}",
            self.front.endpoint(),
            self.home.folder.path().display(),
        );
        self.home.write(&self.url, &text);
    }

    #[track_caller]
    fn drill(&self, code: i32) -> Value {
        self.home.json(&["drill", "restore", "--into", "rds"], code)["drill"].clone()
    }

    #[track_caller]
    fn nothing_is_left(&self) {
        assert_eq!(self.rds.made.there(), []);
        assert_eq!(self.rds.made.left(), Vec::<std::path::PathBuf>::new());
    }

    /// Kills a drill at its `nth` event.
    fn kill_at(&self, nth: usize) {
        let args = ["drill", "restore", "--json", "--into", "rds"];
        killed_after(&mut self.home.command(&args), nth);
    }
}

fn why(drill: &Value) -> &str {
    drill["failure"]["error"].as_str().unwrap_or_else(|| panic!("it did not fail: {drill}"))
}

#[test]
fn an_instance_is_made_as_its_template_is_and_deleted_after_the_drill() {
    let scene = Scene::new();
    let drill = scene.drill(0);
    assert_eq!(drill["outcome"], "passed", "{drill}");
    assert_eq!(drill["scratch"]["kind"], "instance");
    let place = drill["scratch"]["place"].as_str().unwrap();
    assert!(place.contains("drctl-drill-d") && place.contains(WEST), "{place}");
    assert_eq!(drill["teardown"]["state"], "clean", "{drill}");
    assert!(drill["teardown"]["removed"].to_string().contains("drctl-drill-d"), "{drill}");
    scene.nothing_is_left();

    let asked = scene.rds.made.asked();
    assert_eq!(asked.len(), 1);
    for (name, value) in [
        ("DBInstanceClass", "db.t4g.medium"),
        ("EngineVersion", "15.8"),
        ("AllocatedStorage", "100"),
        ("StorageType", "gp3"),
        ("BackupRetentionPeriod", "0"),
        ("DeletionProtection", "false"),
        ("PubliclyAccessible", "false"),
        ("MultiAZ", "false"),
        ("StorageEncrypted", "true"),
    ] {
        assert_eq!(asked[0][name], value, "{name}");
    }
    assert_eq!(scene.front.count("Action=DeleteDBInstance"), 1);

    // Where the tags do not come with the instance they are asked for.
    scene.rds.made.hide_tags();
    assert_eq!(scene.drill(0)["outcome"], "passed");
    scene.nothing_is_left();
    assert!(scene.front.count("Action=ListTagsForResource") > 1);

    // What is kept stays, says what it costs, and is no stray to the next drill.
    let kept =
        scene.home.json(&["drill", "restore", "--into", "rds", "--keep"], 0)["drill"].clone();
    let reach = kept["teardown"]["reach"].as_str().unwrap();
    assert!(reach.contains("modify-db-instance") && reach.contains("paid for"), "{reach}");
    scene.drill(0);
    let there = scene.rds.made.there();
    assert_eq!(there.len(), 1, "{there:?}");
    let id = kept["id"].as_str().unwrap();
    let tags = scene.rds.made.tags(&there[0].0);
    let tag = |key: &str| tags.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    let doctor = || scene.home.run(&["doctor"], 0).stdout;
    let told = doctor();
    assert!(told.contains("drill.rds.rds\n  warning   RDS instance `drctl-drill-d"), "{told}");
    assert!(
        told.contains("is there and paid for, for ")
            && told.contains(&format!("drctl drill clear {id}")),
        "{told}"
    );
    assert!(told.contains("an instance of PostgreSQL 15 is described for us-west-2"), "{told}");
    assert_eq!((tag("drctl:drill"), tag("drctl:project")), (Some(id), Some("petforce")));
    assert!(tag("drctl:began").is_some() && tag("drctl:keep").is_some(), "{tags:?}");
    scene.home.run(&["drill", "clear", id], 0);
    scene.nothing_is_left();
    let told = doctor();
    assert!(told.contains("ok        no drill has an instance in us-west-2"), "{told}");

    // A template that is not there is told before a drill needs it.
    let file = scene.home.folder.path().join("drctl.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, config.replace("petforce-us-west-2\"", "petforce-gone\"")).unwrap();
    let told = doctor();
    assert!(told.contains("warning   look at the template `petforce-gone` in us-west-2"), "{told}");
}

/// The master of an instance is no superuser, so it must become a member of owners to make them that.
#[test]
fn tables_have_their_owners_again_on_every_version() {
    let scene = Scene::new();
    let db = scene.url.rsplit('/').next().unwrap().split('?').next().unwrap();
    let [one, two] = ["owner", "owner"].map(unique);
    let server = shared_pg15();
    server.psql(
        db,
        &format!(
            "CREATE ROLE {one}; CREATE ROLE {two}; ALTER TABLE visits OWNER TO {one}; \
             CREATE SCHEMA app AUTHORIZATION {two}; CREATE TABLE app.t (id int PRIMARY KEY); \
             ALTER TABLE app.t OWNER TO {two}; GRANT SELECT ON app.t TO {one}; \
             GRANT CREATE ON SCHEMA public TO {two}"
        ),
    );
    scene.home.snapshot();
    // pg_restore of that version is looked for before anything is made.
    scene.write("engine_version = \"16.4\"\n");
    let told = scene.home.run(&["drill", "restore", "--into", "rds"], 1).stderr;
    assert!(told.contains("pg_restore 16 or newer"), "{told}");
    for (version, programs) in
        [("15.8", Version::V15), ("16.4", Version::V16), ("18.1", Version::V18)]
    {
        let tls = if version == "15.8" { "" } else { "sslmode = \"disable\"\n" };
        let programs = format!("pg_bin = \"{}\"\n", programs.bin_dir().display());
        scene.write_with(&programs, &format!("engine_version = \"{version}\"\n{tls}"));
        let args = ["drill", "restore", "--into", "rds", "--keep"];
        let drill = scene.home.json(&args, 0)["drill"].clone();
        assert_eq!(drill["outcome"], "passed", "{drill}");
        let (name, _) = scene.rds.made.there()[0].clone();
        let restored = name.replace('-', "_");
        let ask = |sql: &str| scene.rds.made.psql(&name, &restored, sql);
        let owners = "SELECT string_agg(tableowner, ' ' ORDER BY tablename) FROM pg_tables \
                      WHERE tablename IN ('t', 'visits')";
        assert_eq!(ask(owners), format!("{two} {one}"), "{version}");
        // What was needed on the way is taken back; what the snapshot has is not.
        let may =
            |role: &str| ask(&format!("SELECT has_schema_privilege('{role}', 'public', 'CREATE')"));
        assert_eq!((may(&one), may(&two)), ("f".into(), "t".into()), "{version}");
        scene.home.run(&["drill", "clear", drill["id"].as_str().unwrap()], 0);
    }
    scene.nothing_is_left();
}

#[test]
fn one_that_cannot_be_made_or_never_becomes_available_fails_the_drill_and_is_deleted() {
    let scene = Scene::new();
    scene.rds.made.next(Lot::Ends("incompatible-parameters"));
    let drill = scene.drill(1);
    assert!(why(&drill).contains("its status is `incompatible-parameters`"), "{drill}");
    scene.nothing_is_left();

    // RDS deletes none that it is still making, so that is waited for.
    scene.write("create_timeout = \"2s\"\n");
    scene.rds.made.next(Lot::Slow(12));
    let drill = scene.drill(1);
    assert!(why(&drill).contains("`create_timeout` in [drill.rds.NAME] is over"), "{drill}");
    assert!(why(&drill).contains("creating"), "{drill}");
    scene.nothing_is_left();

    // An answer that is lost, and RDS that is too busy: it is asked again, and made once.
    scene.write("");
    scene.rds.made.next(Lot::Well);
    scene.front.next("Action=CreateDBInstance", Fault::Throttles);
    scene.front.next("Action=CreateDBInstance", Fault::LosesAnswer);
    scene.front.next("Action=DeleteDBInstance", Fault::LosesAnswer);
    let before = scene.rds.made.asked().len();
    assert_eq!(scene.drill(0)["outcome"], "passed");
    assert_eq!(scene.rds.made.asked().len(), before + 1);
    scene.nothing_is_left();

    // Nothing is asked of RDS that could not hold the snapshot.
    scene.write("engine_version = \"14.1\"\n");
    let told = scene.home.run(&["drill", "restore", "--into", "rds"], 2).stderr;
    assert!(told.contains("it would run PostgreSQL 14.1"), "{told}");
    scene.write("engine_version = \"15.99\"\n");
    let drill = scene.drill(1);
    assert!(why(&drill).contains("Cannot find version 15.99"), "{drill}");
    let hint = drill["failure"]["hint"].as_str().unwrap();
    assert!(hint.contains("[drill.rds.NAME]"), "{hint}");
    scene.nothing_is_left();
}

#[test]
fn what_aws_refuses_is_told_with_the_permission_that_it_takes() {
    let scene = Scene::new();
    scene.front.next("Action=CreateDBInstance", Fault::Denies);
    let drill = scene.drill(1);
    let hint = drill["failure"]["hint"].as_str().unwrap();
    assert!(hint.contains("rds:CreateDBInstance") && hint.contains("docs/iam"), "{hint}");
    scene.nothing_is_left();

    // One that must not be deleted is left, told of, and deleted by the next drill.
    scene.front.next("Action=DeleteDBInstance", Fault::Denies);
    let drill = scene.drill(0);
    assert_eq!(drill["teardown"]["state"], "left", "{drill}");
    let left = drill["teardown"]["why"].as_str().unwrap();
    assert!(left.contains("delete RDS instance `drctl-drill-d"), "{left}");
    assert_eq!(scene.rds.made.there().len(), 1);
    // As one that somebody protects is.
    let id = scene.rds.made.there()[0].0.clone();
    scene.rds.made.protect(&id, true);
    let told = scene.home.run(&["drill", "restore", "--into", "embedded"], 0);
    assert!(told.stderr.contains("deletion protection"), "{}", told.stderr);
    scene.rds.made.protect(&id, false);
    let told = scene.home.run(&["drill", "restore", "--into", "embedded"], 0);
    assert!(told.stderr.contains(&id), "{}", told.stderr);
    scene.nothing_is_left();

    scene.front.next("Action=DescribeDBInstances", Fault::Denies);
    scene.front.next("Action=DescribeDBInstances", Fault::Denies);
    let told = scene.home.run(&["drill", "restore", "--into", "rds"], 1).stderr;
    assert!(told.contains("rds:DescribeDBInstances"), "{told}");
}

#[test]
fn what_a_killed_drill_left_at_rds_is_deleted_by_the_next_one() {
    let scene = Scene::new();
    let args = ["drill", "restore", "--json", "--into", "rds"];
    let whole = scene.home.run(&args, 0).events().len();
    for nth in (1..whole).step_by((whole / 6).max(1)) {
        scene.kill_at(nth);
        // By any drill of it, whatever that one uses.
        let next = scene.home.run(&["drill", "restore", "--json", "--into", "embedded"], 0);
        let there = scene.rds.made.there();
        assert!(there.is_empty(), "event {nth}: {there:?}: {}", next.stdout);
    }
    scene.nothing_is_left();
}

#[test]
fn an_instance_that_appears_after_its_drill_was_cleared_away_is_found_by_its_tags() {
    let scene = Scene::new();
    // Killed before RDS has it; then the next one finds the record and nothing at RDS.
    let record = scene.drill(0);
    let id = record["id"].as_str().unwrap();
    let name = format!("drctl-drill-{}", id.to_lowercase());
    let tags = |drill: &str, project: &str, began: &str| {
        [("drctl:drill", drill), ("drctl:project", project), ("drctl:began", began)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
    };
    let now = chrono::Utc::now().to_rfc3339();
    scene.rds.made.tag(&name, &tags(id, "petforce", &now));
    // Not ours: another project's, one without tags, one whose name is not its drill's, and one
    // without a record that may be under way elsewhere.
    let other = "d20260101T000000Z-00000";
    let foreign = |n: u32| format!("drctl-drill-{}{n}", other.to_lowercase());
    scene.rds.made.tag(&foreign(1), &tags(&format!("{other}1"), "billing", &now));
    scene.rds.made.tag(&foreign(2), &[]);
    scene
        .rds
        .made
        .tag("billing-db", &tags(&format!("{other}3"), "petforce", "2026-01-01T00:00:00Z"));
    scene.rds.made.tag(&foreign(4), &tags(&format!("{other}4"), "petforce", &now));
    // And one of a drill whose records are lost with their stores, long ago.
    scene
        .rds
        .made
        .tag(&foreign(5), &tags(&format!("{other}5"), "petforce", "2026-01-01T00:00:00Z"));
    let told = scene.home.run(&["drill", "restore", "--into", "embedded"], 0).stderr;
    assert!(told.contains(&name) && told.contains(&foreign(5)), "{told}");
    assert!(told.contains("may be under way elsewhere"), "{told}");
    let there: Vec<_> = scene.rds.made.there().into_iter().map(|(id, _)| id).collect();
    assert_eq!(there, ["billing-db".to_owned(), foreign(1), foreign(2), foreign(4)]);
}

#[test]
fn an_instance_of_a_like_name_without_the_tag_is_never_deleted() {
    let scene = Scene::new();
    scene.rds.made.next(Lot::Slow(40));
    scene.write("");
    let args = ["drill", "restore", "--json", "--into", "rds"];
    let mut child = scene.home.command(&args).stdout(Stdio::null()).spawn().unwrap();
    let began = std::time::Instant::now();
    while scene.rds.made.there().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "no instance was asked for");
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let (name, _) = scene.rds.made.there()[0].clone();
    let tags = scene.rds.made.tags(&name);
    scene.rds.made.tag(&name, &[]);
    let told = scene.home.run(&["drill", "restore", "--into", "embedded"], 0).stderr;
    assert!(told.contains("it has no tag `drctl:drill`"), "{told}");
    let id = name.strip_prefix("drctl-drill-").unwrap();
    let id = format!("{}{}", &id[..9], id[9..].replace('t', "T").replace('z', "Z"));
    let told = scene.home.run(&["drill", "clear", &id], 1).stderr;
    assert!(told.contains("it has no tag") && told.contains("by hand"), "{told}");
    assert_eq!(scene.rds.made.there().len(), 1);
    assert_eq!(scene.front.count("Action=DeleteDBInstance"), 0);

    // Once it says so itself, it goes.
    scene.rds.made.tag(&name, &tags);
    scene.home.run(&["drill", "clear", &id], 0);
    assert_eq!(scene.rds.made.there(), []);
}

#[test]
fn production_is_refused_even_where_rds_leads_to_it() {
    let scene = Scene::new();
    let before = shared_pg15().psql("postgres", "SELECT count(*) FROM pg_database");
    scene.rds.made.next(Lot::LeadsTo(shared_pg15().port()));
    let drill = scene.drill(1);
    assert!(why(&drill).contains("it is database `petforce`: both are at 127.0.0.1"), "{drill}");
    assert_eq!(shared_pg15().psql("postgres", "SELECT count(*) FROM pg_database"), before);
    scene.nothing_is_left();

    // Nor is a name that leads nowhere, or credentials that production may have.
    scene.rds.made.next(Lot::Well);
    let told = scene.home.run(&["drill", "restore", "--into", "rsd"], 2).stderr;
    assert!(told.contains("rsd") && told.contains("embedded"), "{told}");
    scene.write("user = \"postgres\"\n");
    let told = scene.home.run(&["drill", "restore", "--into", "rds"], 2).stderr;
    assert!(told.contains("not `postgres`"), "{told}");
    scene.nothing_is_left();
}
