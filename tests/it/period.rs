//! `drctl report` by the built binary: the figures are those of what happened, the JSON is as its
//! published schema says, and what cannot be read is named.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::home::Home;
use crate::lab::{self, shared_pg15, tool};

/// Compared with the published schema, by a program that is not ours.
fn valid(report: &Path) {
    let schema = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/report.schema.json");
    let validator = tool("AWS").parent().unwrap().join("jsonschema");
    lab::run(Command::new(validator).arg("-i").arg(report).arg(schema)).expect(0);
}

/// The report of the last 90 days, as it is written into a folder.
fn report(home: &Home, code: i32) -> Value {
    home.run(&["report", "--since", "90d", "--out", "out"], code);
    let path = home.folder.join("out/report.json");
    valid(&path);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_report_of_a_period_counts_what_happened() {
    let server = shared_pg15();
    let db = server.fresh_db("period");
    server.psql(&db, "CREATE TABLE t AS SELECT i AS id FROM generate_series(1, 20000) i");
    let url = format!("{}?sslmode=disable", server.url(&db));
    let home = Home::local(&url, "");
    let write = |rows: u32| {
        let text = format!(
            "[database.petforce.drill.assert]\nall = \"SELECT count(*) = {rows} FROM t\"\n\
             [drill]\nfolder = \"{}\"\n",
            home.folder.path().display()
        );
        home.write(&url, &text);
    };
    // Before anything happened nothing is known to be well.
    write(20_000);
    let empty = report(&home, 0);
    assert_eq!(empty["drills"], json!({ "known": [] }), "{empty}");
    assert_eq!(empty["snapshots"][0]["known"]["taken"], 0, "{empty}");

    home.snapshot();
    home.snapshot();
    let passed = home.json(&["drill", "restore"], 0)["drill"].clone();
    write(19_999);
    let failed = home.json(&["drill", "restore"], 1)["drill"].clone();
    let part = home.east.keys_with("/parts/").remove(0);
    let mut bytes = home.east.get(&part);
    bytes[20] ^= 1;
    home.east.put(&part, &bytes);
    let found = home.json(&["audit", "--depth", "content"], 3)["report"].clone();
    home.json(&["repair", "--yes"], 0);
    let mended = home.json(&["audit", "--depth", "content"], 0)["report"].clone();

    let told = report(&home, 0);
    assert_eq!((&told["rto_seconds"], &told["rpo_seconds"]), (&json!(900), &json!(3600)));
    let snapshots = &told["snapshots"][0]["known"];
    assert_eq!(snapshots["database"], "petforce");
    assert_eq!(
        (&snapshots["taken"], &snapshots["everywhere"], &snapshots["missed"]),
        (&json!(2), &json!(2), &json!(0)),
        "{snapshots}"
    );
    let drills = told["drills"]["known"].as_array().unwrap();
    assert_eq!(drills.len(), 2, "{told}");
    for (line, drill) in drills.iter().zip([&passed, &failed]) {
        assert_eq!(line["id"], drill["id"]);
        assert_eq!(line["passed"], drill["outcome"] == "passed");
        assert_eq!(line["recovery_seconds"], drill["objectives"]["recovery_seconds"]);
        assert_eq!(line["rto_kept"], drill["objectives"]["rto_kept"]);
    }
    assert_eq!((&drills[0]["passed"], &drills[1]["passed"]), (&json!(true), &json!(false)));
    let audits = told["audits"]["known"].as_array().unwrap();
    assert_eq!(audits.len(), 2, "{told}");
    for (line, audit) in audits.iter().zip([&found, &mended]) {
        assert_eq!((&line["audit"], &line["standing"]), (&audit["audit"], &audit["standing"]));
        let checked = audit["databases"][0]["checked_bytes"].as_u64().unwrap();
        assert!(checked > 0 && line["checked_bytes"] == checked, "{line}: {audit}");
    }
    // Everything was read, in both stores, by the audit that came last.
    let coverage = told["coverage"].as_array().unwrap();
    let stores: Vec<_> = coverage.iter().map(|c| c["store"].as_str().unwrap()).collect();
    assert_eq!(stores, ["east", "west"]);
    for store in coverage {
        assert_eq!(store["as_of"], mended["began"]);
        assert_eq!(store["read_bytes"], store["bytes"], "{store}");
    }
    // The damage, from the audit that found it to the one that did not.
    let troubles = told["troubles"].as_array().unwrap();
    let damage: Vec<_> = troubles.iter().filter(|t| t["object"] == part.as_str()).collect();
    assert_eq!(damage.len(), 1, "{troubles:#?}");
    assert_eq!((&damage[0]["what"], &damage[0]["store"]), (&json!("damaged"), &json!("east")));
    assert_eq!((&damage[0]["first"], &damage[0]["gone"]), (&found["began"], &mended["began"]));
    assert!(troubles.iter().all(|t| t["ended"] == "gone"), "{troubles:#?}");
    assert_eq!(told["unread"], json!([]));

    let page = home.run(&["report"], 0).stdout;
    assert!(page.contains("1 of 2 passed") && page.contains("2 taken"), "{page}");
    let seal = "head -n -1 out/report.json | sha256sum | cut -c1-64 | xargs -I{} \
                grep -q '\"digest\":\"{}\"' out/report.json";
    lab::run(Command::new("sh").args(["-c", seal]).current_dir(home.folder.path())).expect(0);

    // A drill whose report was changed in every store is named, and counts as nothing.
    let key = format!("drills/{}/report.json", failed["id"].as_str().unwrap());
    for vault in [&home.east, &home.west] {
        let forged = String::from_utf8(vault.get(&key)).unwrap();
        let forged = forged.replace("\"outcome\": \"failed\"", "\"outcome\": \"passed\"");
        vault.put(&key, forged.as_bytes());
    }
    let told = report(&home, 4);
    assert_eq!(told["drills"]["known"].as_array().unwrap().len(), 1, "{told}");
    assert!(told["unread"].to_string().contains(failed["id"].as_str().unwrap()), "{told}");
    // So is a store that is away.
    let path = home.folder.join("drctl.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let gone = "url = \"s3://gone/dr\"\nendpoint = \"http://127.0.0.1:1\"\npath_style = true\n";
    let text = text.replace(&format!("url = \"{}\"\n", home.west.url()), gone);
    std::fs::write(&path, text).unwrap();
    let told = report(&home, 4);
    assert!(told["snapshots"][0]["known"]["unreachable"].to_string().contains("west"), "{told}");
}
