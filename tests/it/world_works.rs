//! The two-region world: what it is made of works together, and each fault does what it says.

use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::time::Duration;

use crate::lab::{
    Api, EAST, Fault, Flow, Forwarder, SWITCH, WEST, World, WorldOptions, shared_moto_west,
};
use crate::waiting::{SOON, until};

#[test]
fn a_world_serves_and_survives_a_promotion_by_hand() {
    let world = World::start(&WorldOptions { standby_tasks: 1, ..WorldOptions::default() });
    for name in ["app", "www", "beta", "api", "old"] {
        assert_eq!(world.answered(name), Some(EAST), "{name}");
    }
    assert_eq!(world.answered("nothing"), None);
    let writer = world.writer("api");
    writer.more(20);
    assert!(writer.acknowledged().iter().all(|ack| ack.region == EAST));
    until("the standby has a write", || {
        world.west.server().psql("petforce", "SELECT count(*) > 0 FROM petforce.writes") == "t"
    });

    // The switch object moves the failover records, and nothing else.
    world.west.moto().put(SWITCH.0, SWITCH.1, b"");
    until("the switch is noticed", || world.answered("api") == Some(WEST));
    assert_eq!(world.answered("app"), Some(WEST));
    assert_eq!(world.answered("www"), Some(EAST));
    world.west.moto().delete(SWITCH.0, SWITCH.1);
    until("the switch is noticed", || world.answered("api") == Some(EAST));

    world.lose(&world.east, Fault::Kill);
    assert!(TcpStream::connect(world.east.db.address()).is_err());
    world.west.server().promote();
    world.west.moto().put(SWITCH.0, SWITCH.1, b"");
    writer.first_from(WEST, SOON);
    writer.stop();
    // What the primary had acknowledged and never sent is lost, and is the newest that it had.
    let lost = writer.lost(&world.west.server());
    let old: Vec<_> = writer.acknowledged().into_iter().filter(|ack| ack.region == EAST).collect();
    assert_eq!(lost, old[old.len() - lost.len()..].iter().map(|ack| ack.n).collect::<Vec<_>>());

    world.revive(&world.east);
    let recovery = "SELECT pg_is_in_recovery()";
    assert_eq!(world.east.server().psql("postgres", recovery), "f", "it is writable again");
    world.rebuild(&world.east, &world.west);
    assert_eq!(world.east.server().psql("postgres", recovery), "t");
    assert_eq!(writer.lost(&world.east.server()), lost);
}

#[test]
fn each_fault_does_what_it_says() {
    let inner = shared_moto_west();
    let way = Forwarder::before(inner.port(), Ipv4Addr::new(127, 0, 9, 1));
    let answers = || {
        let _inside = crate::lab::runtime().enter();
        crate::lab::runtime().block_on(crate::lab::request_within(
            Duration::from_millis(400),
            way.address(),
            "GET",
            "/moto-api/",
        ))
    };
    let kind = || answers().err().map(|e| e.kind());
    assert_eq!(answers().unwrap().status, 200);
    way.set(Flow::Hang);
    assert_eq!(kind(), Some(std::io::ErrorKind::TimedOut));
    // A connection that hung goes on when the hole closes.
    let asked = std::thread::scope(|s| {
        let waiting = s.spawn(|| {
            crate::lab::runtime().block_on(crate::lab::request_within(
                SOON,
                way.address(),
                "GET",
                "/moto-api/",
            ))
        });
        assert_eq!(kind(), Some(std::io::ErrorKind::TimedOut));
        way.set(Flow::Open);
        waiting.join().unwrap()
    });
    assert_eq!(asked.unwrap().status, 200);
    way.set(Flow::Refuse);
    until("refused", || kind() == Some(std::io::ErrorKind::ConnectionRefused));
    way.set(Flow::Cut);
    until("cut", || {
        matches!(
            kind(),
            Some(std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::InvalidData)
        )
    });
    way.set(Flow::Open);
    until("open", || answers().is_ok());
    assert_eq!(way.address().ip(), IpAddr::from([127, 0, 9, 1]));
}

#[test]
fn rds_goes_through_its_states_and_promotes_the_server() {
    let world = World::start(&WorldOptions { rds: true, ..WorldOptions::default() });
    let rds = |action: &str, id: &str| {
        let parameters = [("DBInstanceIdentifier", id)];
        let port = world.rds[WEST].port();
        Api { port, region: WEST, service: "rds" }.try_query("2014-10-31", action, &parameters)
    };
    let replica = "petforce-us-west-2";
    let shown = || rds("DescribeDBInstances", replica).unwrap();
    assert!(shown().contains("<DBInstanceStatus>available<"), "{}", shown());
    assert!(shown().contains("<ReadReplicaSourceDBInstanceIdentifier>arn:aws:rds:us-east-1:"));
    assert!(rds("DescribeDBInstances", "another").unwrap_err().contains("DBInstanceNotFound"));

    world.rds[WEST].back_up(true);
    let refused = rds("PromoteReadReplica", replica).unwrap_err();
    assert!(refused.contains("InvalidDBInstanceState"), "{refused}");
    world.rds[WEST].back_up(false);

    rds("PromoteReadReplica", replica).unwrap();
    let mut states = vec!["available"];
    until("it is promoted", || {
        let state = world.rds[WEST].status();
        if states.last() != Some(&state) {
            states.push(state);
        }
        states.len() > 1 && state == "available"
    });
    assert_eq!(states, ["available", "modifying", "rebooting", "available"]);
    assert!(!shown().contains("ReadReplicaSource"), "{}", shown());
    assert_eq!(world.west.server().psql("postgres", "SELECT pg_is_in_recovery()"), "f");
    // The rest of the region is still there, by the same way.
    let refused = rds("PromoteReadReplica", replica).unwrap_err();
    assert!(refused.contains("not a read replica"), "{refused}");
    let buckets = crate::lab::runtime().block_on(crate::lab::request_within(
        SOON,
        world.west.aws.address(),
        "GET",
        "/",
    ));
    assert!(buckets.unwrap().text().contains("petforce-dr-usw2"));
}
