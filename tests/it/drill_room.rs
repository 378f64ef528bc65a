//! A drill whose disk is full half-way.

use std::process::Command;

use crate::home::Home;
use crate::lab::{self, shared_pg15};

/// No file of the scratch server may grow beyond this, as if the disk were full then: room for the
/// 16 MiB of a WAL segment, and too little for the table.
const MOST: u64 = 20 << 20;

#[test]
fn a_disk_that_is_full_half_way_fails_the_drill_and_leaves_nothing() {
    let server = shared_pg15();
    let db = server.fresh_db("full");
    server.psql(
        &db,
        "CREATE TABLE small AS SELECT generate_series(1, 1000) AS n;
         CREATE TABLE wide AS SELECT i, repeat(md5(i::text), 8) AS t FROM generate_series(1, 100000) i;",
    );
    let url = format!("{}?sslmode=disable", server.url(&db));
    let home = Home::local(&url, "");
    home.write(&url, &format!("[drill]\nfolder = \"{}\"\n", home.folder.path().display()));
    home.snapshot();

    let plain = home.command(&["--json", "drill", "restore"]);
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--fsize={MOST}")).arg(plain.get_program()).args(plain.get_args());
    limited.current_dir(plain.get_current_dir().unwrap());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    let drill = lab::run(&mut limited).expect(1).result()["drill"].clone();
    assert_eq!(drill["outcome"], "failed", "{drill}");
    let why = drill["failure"]["error"].as_str().unwrap();
    assert!(why.contains("could not extend file") && why.contains("File too large"), "{why}");
    let left: Vec<_> = std::fs::read_dir(home.folder.path()).unwrap().flatten().collect();
    assert!(
        left.iter().all(|entry| !entry.file_name().to_string_lossy().starts_with("drctl-d")),
        "{left:?}"
    );

    assert_eq!(home.json(&["drill", "restore"], 0)["drill"]["outcome"], "passed");
    // Both are in the history: the one that failed is not forgotten.
    let list = home.run(&["drill", "list"], 0).stdout;
    assert!(list.contains("FAILED") && list.contains("passed"), "{list}");
}
