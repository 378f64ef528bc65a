//! `rds.*` against the lab's RDS, whose instances are real servers.

use drctl::providers::{FailureClass, Standing};
use serde_json::json;

use super::bench::{Bench, done, not_done, ok};
use super::front::{Fault, Front};
use crate::lab::{EAST, WEST, World, WorldOptions};

/// The world's configuration with a door before the standby region's endpoint.
fn through(world: &World, front: &Front) -> Bench {
    let direct = format!("[aws.{WEST}]\nendpoint = \"{}\"", world.west.aws.endpoint());
    let config = world.config();
    assert!(config.contains(&direct));
    Bench::new(
        &config.replace(&direct, &format!("[aws.{WEST}]\nendpoint = \"{}\"", front.endpoint())),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_checked_promoted_and_waited_for() {
    let world = World::start(&WorldOptions { rds: true, ..WorldOptions::default() });
    let front = Front::before(world.rds[WEST].port());
    let bench = through(&world, &front);
    let with = json!({ "database": "petforce", "in": WEST });
    let check = bench.action("rds.check_replica", with.clone());
    let promote = bench.action("rds.promote_replica", with.clone());
    let wait = bench.action("rds.await_available", with.clone());

    // A standby that has replayed no transaction cannot say how old the last one is.
    world.east.server().psql("petforce", "CREATE TABLE before_the_checks ()");
    world.west.server().catch_up(&world.east.server());
    let checks = promote.preflight(&bench.step("promote", 60)).await;
    let of = |what: &str| checks.iter().find(|c| c.what.starts_with(what)).unwrap();
    assert_eq!(of("RDS instance").standing, Standing::Ready, "{checks:#?}");
    assert_eq!(of("lag").standing, Standing::Ready, "{checks:#?}");
    assert_eq!(of("automated backups").standing, Standing::Ready);
    assert_eq!(of("engine version").standing, Standing::Ready);
    assert_eq!(of("permission").standing, Standing::Unproven);
    done(check.observe(&bench.step("check", 60)).await);
    ok(check.apply(&bench.step("check", 60)).await);
    assert!(not_done(wait.observe(&bench.step("wait", 60)).await).contains("recovery"));

    // A backup is waited for, as long as there is time, and said.
    world.rds[WEST].back_up(true);
    let waited = promote.apply(&bench.step("promote", 2)).await.unwrap_err();
    assert_eq!(waited.class, FailureClass::Transient);
    assert!(waited.error.one_line().contains("backup"), "{:?}", waited.error);
    assert_eq!(front.count("PromoteReadReplica"), 0);
    world.rds[WEST].back_up(false);

    // Denied, throttled, and then carried out with the answer lost.
    front.next("Action=PromoteReadReplica", Fault::Denies);
    let denied = promote.apply(&bench.step("promote", 60)).await.unwrap_err();
    assert_eq!(denied.class, FailureClass::Permanent);
    assert!(denied.error.advice().unwrap().contains("rds:PromoteReadReplica"));
    front.next("Action=PromoteReadReplica", Fault::Throttles);
    front.next("Action=PromoteReadReplica", Fault::LosesAnswer);
    not_done(promote.observe(&bench.step("promote", 60)).await);
    let primary = world.west.server();
    ok(promote.apply(&bench.step("promote", 120)).await);
    done(promote.observe(&bench.step("promote", 60)).await);
    ok(wait.apply(&bench.step("wait", 60)).await);
    done(wait.observe(&bench.step("wait", 60)).await);
    assert_eq!(primary.psql("petforce", "SELECT pg_is_in_recovery()"), "f");
    let timeline = "SELECT timeline_id FROM pg_control_checkpoint()";
    let first = primary.psql("petforce", timeline);

    let asked = front.count("Action=PromoteReadReplica");
    let again = ok(promote.apply(&bench.step("promote", 60)).await);
    assert!(again.summary.contains("no replica"), "{}", again.summary);
    assert_eq!(front.count("Action=PromoteReadReplica"), asked, "nothing is asked twice");
    assert_eq!(primary.psql("petforce", timeline), first);

    let with = json!({ "database": "petforce", "in": WEST, "class": "db.r6g.xlarge" });
    let modify = bench.action("rds.modify_class", with);
    assert!(not_done(modify.observe(&bench.step("class", 60)).await).contains("db.t4g.medium"));
    front.next("Action=ModifyDBInstance", Fault::Denies);
    let denied = modify.apply(&bench.step("class", 60)).await.unwrap_err();
    assert!(denied.error.advice().unwrap().contains("rds:ModifyDBInstance"), "{denied:?}");
    // Throttled it asks again; an answer that is lost is settled by looking.
    front.next("Action=ModifyDBInstance", Fault::Throttles);
    front.next("Action=ModifyDBInstance", Fault::LosesAnswer);
    ok(modify.apply(&bench.step("class", 60)).await);
    done(modify.observe(&bench.step("class", 60)).await);
    ok(modify.apply(&bench.step("class", 60)).await);
    let asked = front.count("Action=ModifyDBInstance");
    assert_eq!(asked, 3, "denied, throttled, and done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_of_something_else_and_a_lost_region_are_told_apart() {
    let world = World::start(&WorldOptions { rds: true, ..WorldOptions::default() });
    let other = format!("petforce-{EAST}");
    let config = world.config().replace(&format!("\"{other}\""), "\"billing\"");
    let bench = Bench::new(&config);
    let with = json!({ "database": "petforce", "in": WEST });
    let promote = bench.action("rds.promote_replica", with.clone());
    let refused = promote.apply(&bench.step("promote", 30)).await.unwrap_err();
    assert_eq!(refused.class, FailureClass::Permanent);
    let said = refused.error.one_line();
    assert!(said.contains("billing") && said.contains(&other), "{said}");

    // The primary region is gone without a sound: only what needs it is not known.
    let bench = Bench::new(&world.config());
    world.lose(&world.east, crate::lab::Fault::Hang);
    let began = std::time::Instant::now();
    let check = bench.action("rds.check_replica", with);
    let checks = check.preflight(&bench.step("check", 60)).await;
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    let version = checks.iter().find(|c| c.what.starts_with("engine version")).unwrap();
    assert_eq!(version.standing, Standing::Unproven, "{checks:#?}");
    assert!(checks.iter().all(|c| c.standing != Standing::NotReady), "{checks:#?}");
}
