//! Endpoints that take a connection and say nothing, and credentials that are not to be had.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use drctl::providers::aws::{GLOBAL, identity};
use drctl::providers::{FailureClass, Standing};
use serde_json::json;

use super::bench::{Bench, done, ok};
use super::ecs::Service;
use super::front::{Fault, Front};
use crate::lab::shared_moto_west;

/// The attempts' and the connections' limits together, with room for a slow machine.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_black_hole_costs_seconds_and_is_no_answer() {
    // The kernel takes the connections; nobody ever reads from them.
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", hole.local_addr().unwrap());
    let bench = Bench::at(&endpoint, &endpoint);
    let with = json!({ "in": "us-west-2", "cluster": "c", "service": "s", "count": 1 });
    let scale = bench.action("ecs.scale", with);
    let swap = json!({ "name": "a.b", "type": "A", "to": { "values": ["192.0.2.1"], "ttl": 5 } });
    let swap = bench.action("route53.swap", json!({ "zone": "Z1", "records": [swap] }));
    let began = Instant::now();
    let (scaled, swapped, checks) = tokio::join!(
        async { scale.apply(&bench.step("scale", 60)).await.unwrap_err() },
        async { swap.apply(&bench.step("swap", 60)).await.unwrap_err() },
        async { scale.preflight(&bench.step("scale", 60)).await },
    );
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    assert_eq!(scaled.class, FailureClass::Transient, "only looks were sent: {:?}", scaled.error);
    assert_eq!(swapped.class, FailureClass::Transient, "{:?}", swapped.error);
    // Not known is neither fine nor a fault of the service.
    let service = checks.iter().find(|c| c.what.starts_with("service")).unwrap();
    assert_eq!(service.standing, Standing::Unproven, "{checks:#?}");
}

#[tokio::test]
async fn a_change_that_is_never_answered_is_unknown() {
    let service = Service::of("nginx", 1);
    let scale = service.bench.action("ecs.scale", service.with(json!({ "count": 2 })));
    let cx = service.bench.step("scale", 60);
    service.front.next("UpdateService", Fault::Hangs);
    let began = Instant::now();
    let f = scale.apply(&cx).await.unwrap_err();
    assert_eq!(f.class, FailureClass::Unknown, "{:?}", f.error);
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    ok(scale.apply(&cx).await);
    done(scale.observe(&cx).await);
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_transient_even_for_changes() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let bench = Bench::at(&format!("http://{closed}"), "http://127.0.0.1:9");
    let with = json!({ "in": "us-west-2", "cluster": "c", "service": "s", "count": 1 });
    let f = bench.action("ecs.scale", with).apply(&bench.step("s", 30)).await.unwrap_err();
    assert_eq!(f.class, FailureClass::Transient, "{:?}", f.error);
}

#[tokio::test]
async fn who_drctl_is_is_asked_of_the_region_itself() {
    let front = Front::before(shared_moto_west().port());
    let bench = Bench::at(&front.endpoint(), "http://127.0.0.1:9");
    let checks = identity(&bench.world.aws, "us-west-2", Duration::from_secs(900)).await;
    assert_eq!(checks.len(), 1, "{checks:#?}");
    assert_eq!(checks[0].standing, Standing::Ready, "{checks:#?}");
    assert!(checks[0].found.contains("arn:aws"), "{checks:#?}");
    assert_eq!(front.count("Action=GetCallerIdentity"), 1);
    front.next("GetCallerIdentity", Fault::Denies);
    let checks = identity(&bench.world.aws, "us-west-2", Duration::from_secs(900)).await;
    assert_eq!(checks[0].standing, Standing::NotReady, "{checks:#?}");
    assert!(!format!("{checks:?}").contains("Signature"), "no secret is told");
    let global = identity(&bench.world.aws, GLOBAL, Duration::from_secs(900)).await;
    assert_eq!(global[0].standing, Standing::Unproven, "{global:#?}");
}
