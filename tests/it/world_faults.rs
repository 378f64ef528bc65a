//! Each part of a world breaks as `scripts/lab fail` tells it to, and heals; what DNS answers follows
//! weights and health.

use std::time::Duration;

use crate::lab::{
    Api, EAST, Fault, Part, Region, WEST, World, WorldOptions, request_within, runtime,
};
use crate::waiting::until;

/// What a part of a region says, as a client meets it.
fn meets(region: &Region, part: Part) -> Result<(), std::io::ErrorKind> {
    let patience = Duration::from_millis(700);
    let (way, path) = match part {
        Part::Db => {
            // A question that every server answers at once: whether it would speak TLS (PostgreSQL
            // documentation, 55.2.11).
            let asked = async {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut line = tokio::net::TcpStream::connect(region.db.address()).await?;
                line.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await?;
                line.read_u8().await
            };
            let answer = runtime().block_on(async { tokio::time::timeout(patience, asked).await });
            return match answer {
                Ok(answer) => answer.map(drop).map_err(|e| e.kind()),
                Err(_) => Err(std::io::ErrorKind::TimedOut),
            };
        }
        Part::Aws => (&region.aws, "/moto-api/"),
        Part::App => (&region.web, "/health/live"),
    };
    let asked = request_within(patience, way.address(), "GET", path);
    match runtime().block_on(asked) {
        Ok(answer) if answer.status == 200 => Ok(()),
        Ok(answer) => panic!("{part}: {}", answer.status),
        Err(e) => Err(e.kind()),
    }
}

#[test]
fn each_part_breaks_as_it_is_told_and_heals() {
    use std::io::ErrorKind::{ConnectionRefused, TimedOut};
    let world = World::start(&WorldOptions::default());
    let writer = world.writer("app");
    writer.more(5);
    for part in Part::ALL {
        for (fault, seen) in
            [(Fault::Stop, TimedOut), (Fault::Hang, TimedOut), (Fault::Refuse, ConnectionRefused)]
        {
            assert_eq!(meets(&world.east, part), Ok(()), "{part} before {fault}");
            world.east.fail(part, fault);
            until(&format!("{part} {fault}"), || meets(&world.east, part) == Err(seen));
            world.east.heal(part);
            until(&format!("{part} is well again"), || meets(&world.east, part).is_ok());
        }
    }
    for part in [Part::Db, Part::App] {
        world.east.fail(part, Fault::Kill);
        until(&format!("{part} killed"), || meets(&world.east, part) == Err(ConnectionRefused));
        world.east.heal(part);
        until(&format!("{part} is well again"), || meets(&world.east, part).is_ok());
    }
    writer.more(5);

    // Lag: all of it arrives, and nothing shows. Behind: nothing arrives.
    let (east, west) = (world.east.server(), world.west.server());
    west.catch_up(&east);
    let position = |what: &str| west.psql("postgres", &format!("SELECT pg_last_wal_{what}_lsn()"));
    west.psql("postgres", "SELECT pg_wal_replay_pause()");
    let replayed = position("replay");
    writer.more(5);
    let end = east.psql("postgres", "SELECT pg_current_wal_flush_lsn()");
    let arrived = format!("SELECT pg_last_wal_receive_lsn() >= '{end}'");
    until("it has received", || west.psql("postgres", &arrived) == "t");
    assert_eq!(position("replay"), replayed);
    world.west.heal(Part::Db);
    west.catch_up(&east);
    west.stop_receiving();
    let received = position("receive");
    writer.more(5);
    assert_eq!(position("receive"), received);
    world.west.heal(Part::Db);
    west.catch_up(&east);

    // Route 53's control plane is away, and its answers stay.
    world.fail_route53(Fault::Refuse).unwrap();
    let reached = || std::net::TcpStream::connect(world.route53.address()).is_ok();
    until("nobody reaches it", || !reached());
    assert_eq!(world.answered("app"), Some(EAST));
    world.heal_route53();
    until("it is reached again", reached);

    // Weights are met in their shares.
    let weigh = |set: &str, weight: u8, ip: std::net::Ipv4Addr| {
        let api = Api { port: world.global.port(), region: EAST, service: "route53" };
        api.rest(
            "POST",
            &format!("/2013-04-01/hostedzone/{}/rrset/", world.zone_id),
            &format!(
                "<ChangeResourceRecordSetsRequest><ChangeBatch><Changes><Change>\
                 <Action>UPSERT</Action><ResourceRecordSet><Name>beta.petforce.test.</Name>\
                 <Type>A</Type><SetIdentifier>{set}</SetIdentifier><Weight>{weight}</Weight>\
                 <TTL>1</TTL><ResourceRecords><ResourceRecord><Value>{ip}</Value></ResourceRecord>\
                 </ResourceRecords></ResourceRecordSet></Change></Changes></ChangeBatch>\
                 </ChangeResourceRecordSetsRequest>"
            ),
        );
    };
    weigh("beta-east", 3, world.east.ip);
    weigh("beta-west", 1, world.west.ip);
    until("both regions answer", || world.answered("beta") == Some(WEST));
    let answers: Vec<_> = (0..40).map(|_| world.answered("beta")).collect();
    assert_eq!(answers.iter().filter(|answer| **answer == Some(WEST)).count(), 10);
}
