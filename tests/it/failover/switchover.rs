//! A move in which nothing is lost: `switchover`.

use super::{UNCHECKED, facts, json, lost_only_the_newest, serves_west};
use crate::lab::{WEST, World, WorldOptions};

/// Once here; `DRCTL_SWITCHOVERS=20` is the long form.
#[test]
fn a_switchover_loses_nothing() {
    let rounds = std::env::var("DRCTL_SWITCHOVERS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    for round in 0..rounds {
        let world = World::start(&WorldOptions::default());
        let writer = world.writer("app");
        writer.more(10);
        let well =
            ["--mode", "graceful", "--confirm", WEST, "--as", "ann", "--reason", "maintenance"];
        json(&world, &[&["run", "switchover"], &well, &UNCHECKED], 0);
        serves_west(&world, &writer, "app");
        assert_eq!(lost_only_the_newest(&world, &writer), 0, "round {round}");
        assert_eq!(facts(&world, "promote")["lost_bytes"], 0);
    }
}
