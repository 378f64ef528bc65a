//! `route53.health_switch` against moto's S3.

use drctl::providers::{FailureClass, Standing};
use serde_json::json;

use super::bench::{Bench, done, not_done, ok};
use super::front::{Fault, Front};
use crate::lab::shared_moto_west;

#[tokio::test]
async fn the_switch_is_put_once_taken_away_and_put_back() {
    let moto = shared_moto_west();
    let bucket = moto.fresh_bucket("switch");
    let bench = Bench::at(&moto.endpoint(), "http://127.0.0.1:9");
    let object = format!("s3://{bucket}/failover/us-west-2");
    let switch = |on: bool| {
        let with = json!({ "in": "us-west-2", "object": object, "on": on });
        bench.action("route53.health_switch", with)
    };
    let (on, off) = (switch(true), switch(false));
    let cx = bench.step("switch", 30);
    done(off.observe(&cx).await);
    assert_eq!(on.preflight(&cx).await[0].standing, Standing::Ready);
    not_done(on.observe(&cx).await);
    ok(on.apply(&cx).await);
    done(on.observe(&cx).await);
    let first = moto.get(&bucket, "failover/us-west-2");
    assert!(ok(on.apply(&cx).await).summary.contains("already"));
    assert_eq!(moto.get(&bucket, "failover/us-west-2"), first);
    // No control plane, and nothing outside the standby region.
    assert!(on.describe().leans_on.iter().all(|l| l.region == "us-west-2"));

    ok(on.compensate(&cx).await);
    assert!(moto.keys(&bucket, "").is_empty());
    moto.put(&bucket, "failover/us-west-2", b"by hand");
    assert_eq!(ok(on.compensate(&cx).await).warnings.len(), 1);
    assert_eq!(moto.get(&bucket, "failover/us-west-2"), b"by hand", "it is not this run's");
    ok(off.apply(&cx).await);
    ok(off.apply(&cx).await);
    done(off.observe(&cx).await);
}

#[tokio::test]
async fn a_switch_whose_answer_is_lost_is_put_once() {
    let moto = shared_moto_west();
    let bucket = moto.fresh_bucket("switch-lost");
    let front = Front::before(moto.port());
    let bench = Bench::at(&front.endpoint(), "http://127.0.0.1:9");
    let object = format!("s3://{bucket}/switch");
    let with = json!({ "in": "us-west-2", "object": object, "on": true });
    let on = bench.action("route53.health_switch", with);
    let cx = bench.step("switch", 30);
    front.next("PUT /", Fault::LosesAnswer);
    // Its store looks what became of it; else the engine does.
    if let Err(lost) = on.apply(&cx).await {
        assert_eq!(lost.class, FailureClass::Unknown, "{:?}", lost.error);
    }
    done(on.observe(&cx).await);
    let first = moto.get(&bucket, "switch");
    ok(on.apply(&cx).await);
    assert_eq!(moto.get(&bucket, "switch"), first);
    ok(on.compensate(&cx).await);
    assert!(moto.keys(&bucket, "").is_empty());
    for _ in 0..9 {
        front.next("PUT /", Fault::Denies);
    }
    let denied = on.apply(&cx).await.unwrap_err();
    assert_ne!(denied.class, FailureClass::Unknown, "{:?}", denied.error);
    not_done(on.observe(&cx).await);
}

#[test]
fn what_is_no_place_is_refused() {
    let bench = Bench::at("http://127.0.0.1:9", "http://127.0.0.1:9");
    for with in [
        json!({ "in": "us-west-2", "on": true }),
        json!({ "in": "us-west-2", "on": true, "object": "https://x/y" }),
        json!({ "in": "us-west-2", "on": true, "object": "s3://bucket" }),
        json!({ "in": "us-east-1", "on": true, "store": "s", "key": "k" }),
    ] {
        assert!(bench.try_action("route53.health_switch", with.clone()).is_err(), "{with}");
    }
}
