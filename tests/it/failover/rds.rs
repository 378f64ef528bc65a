//! A region failover at RDS, by `runbooks/rds/region-failover`: RDS promotes the replica, reboots it,
//! and does so only when no backup runs.

use std::process::Stdio;

use super::{
    FORCED, LEFT, UNCHECKED, drctl, facts, json, lost_only_the_newest, run, serves_west,
    until_under_way,
};
use crate::lab::{Fault, WEST, World, WorldOptions};

#[test]
fn a_replica_at_rds_takes_over_once_its_backup_has_ended() {
    let world = World::start(&WorldOptions { rds: true, ..WorldOptions::default() });
    let writer = world.writer("app");
    writer.more(10);
    run(&world, &[&["snapshot", "petforce"]], 0);
    let ready = json(&world, &[&["preflight"]], 4);
    assert!(!ready.to_string().contains("not_ready"), "{ready}");

    world.lose(&world.east, Fault::Kill);
    world.rds[WEST].back_up(true);
    let mut failover = drctl(&world, &[&["failover"], &FORCED, &UNCHECKED]);
    let failover = failover.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The run waits for the backup, and says so; the replica stays one.
    until_under_way(&world, "promote");
    assert_eq!(world.west.role(), "standby");
    world.rds[WEST].back_up(false);
    let ran = failover.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(LEFT), "{}{told}", String::from_utf8_lossy(&ran.stdout));
    assert!(told.contains("backup"), "nobody was told of the backup: {told}");
    serves_west(&world, &writer, "app");
    lost_only_the_newest(&world, &writer);
    assert_eq!(world.rds[WEST].status(), "available");
    assert_eq!(world.rds[WEST].source(), None, "it is no replica any more");
    assert!(
        facts(&world, "promote")["seconds"].as_f64().unwrap() > 0.5,
        "it went through its states"
    );
    json(&world, &[&["runs", "verify"]], 0);
}
