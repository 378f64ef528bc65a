//! The data is wrong, in both regions: `data-corruption` finds the last good snapshot and puts it in
//! the place of the bad database, which is kept.

use std::process::Stdio;

use super::{UNCHECKED, drctl, facts, json, run, until_under_way};
use crate::lab::{EAST, World, WorldOptions};

/// Everything that a table holds, in an order of its own.
fn digest(world: &World, database: &str) -> String {
    let tables = ["owners", "pets", "appointments", "invoices", "events", "messages", "writes"];
    let sums = tables.map(|table| {
        format!("SELECT '{table}', count(*), md5(string_agg(t::text, E'\n' ORDER BY t::text)) FROM petforce.{table} t")
    });
    world.east.server().psql(database, &sums.join(" UNION ALL "))
}

#[test]
fn a_corruption_is_undone_by_the_last_good_snapshot() {
    let world = World::start(&WorldOptions::default());
    let writer = world.writer("app");
    let server = world.east.server();
    writer.more(5);
    run(&world, &[&["snapshot", "petforce"]], 0);
    // What the good snapshot holds: nobody writes meanwhile.
    writer.stop();
    server.psql("petforce", "UPDATE petforce.pets SET notes = 'vaccinated' WHERE id % 3 = 0");
    let good = json(&world, &[&["snapshot", "petforce"]], 0);
    let good = good["id"].as_str().unwrap().to_owned();
    let as_it_was = digest(&world, "petforce");

    // The bug, at a known moment; the business goes on, and two snapshots hold the bad rows too.
    server.psql("petforce", "UPDATE petforce.invoices SET total = -total WHERE id % 7 = 0");
    let corrupt = digest(&world, "petforce");
    assert_ne!(corrupt, as_it_was);
    let writer = world.writer("app");
    writer.more(5);
    run(&world, &[&["snapshot", "petforce"]], 0);
    writer.more(5);
    run(&world, &[&["snapshot", "petforce"]], 0);

    let args: [&[&str]; 3] = [
        &["run", "data-corruption", "--confirm", EAST, "--as", "ann"],
        &["--reason", "invoices are negative"],
        &UNCHECKED,
    ];
    let mut command = drctl(&world, &args);
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until_under_way(&world, "accept");
    // Nothing that clients see has changed, and it is another person who must agree.
    writer.more(5);
    assert_eq!(facts(&world, "find")["snapshot"], good, "the newest good one");
    run(&world, &[&["approve", "latest", "accept", "--as", "ann"]], 2);
    run(&world, &[&["approve", "latest", "accept", "--as", "bob", "--reason", "agreed"]], 0);
    let ran = running.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(ran.status.code(), Some(0), "{told}{}", String::from_utf8_lossy(&ran.stderr));

    let swapped = facts(&world, "swap");
    let kept = swapped["kept_as"].as_str().unwrap();
    let lost = writer.lost(&server);
    let after = writer.acknowledged().len();
    writer.more(5);
    writer.stop();
    // What was written before the swap is in the bad copy, and nowhere else.
    assert!(lost.len() >= 15 && lost.len() <= after, "{} of {after} lost", lost.len());
    server.psql("postgres", &format!("ALTER DATABASE \"{kept}\" ALLOW_CONNECTIONS true"));
    let bad = "SELECT count(*) FROM petforce.invoices WHERE total < 0";
    assert_ne!(server.psql(kept, bad), "0", "the bad copy is kept");
    let there =
        format!("SELECT count(*) FROM petforce.writes WHERE client = '{}'", writer.client());
    assert!(server.psql(kept, &there).parse::<usize>().unwrap() >= lost.len());
    // The rest is the snapshot, row by row, and what clients wrote since.
    server.psql(
        "petforce",
        &format!("DELETE FROM petforce.writes WHERE client = '{}'", writer.client()),
    );
    assert_eq!(digest(&world, "petforce"), as_it_was);
    let scratch =
        "SELECT datname FROM pg_database WHERE datname LIKE 'drctl%' OR datname LIKE '%restored%'";
    assert_eq!(server.psql("postgres", scratch), "", "nothing is left over");
    json(&world, &[&["runs", "verify"]], 0);
}
