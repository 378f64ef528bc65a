//! `elb.await_healthy` against moto.

use drctl::providers::{FailureClass, Standing};
use serde_json::json;

use super::bench::{Bench, done, not_done, ok};
use crate::lab::{Api, shared_moto_west, unique};

const VERSION: &str = "2015-12-01";

fn inside<'t>(text: &'t str, tag: &str) -> &'t str {
    let (_, rest) = text.split_once(&format!("<{tag}>")).unwrap();
    rest.split_once(&format!("</{tag}>")).unwrap().0
}

#[tokio::test]
async fn targets_are_counted_and_none_is_not_healthy() {
    let moto = shared_moto_west();
    let api = |service| Api { port: moto.port(), region: "us-west-2", service };
    let vpcs = api("ec2").query("2016-11-15", "DescribeVpcs", &[]);
    let elb = api("elasticloadbalancing");
    let name = unique("web").replace('_', "-");
    let made = elb.query(
        VERSION,
        "CreateTargetGroup",
        &[
            ("Name", &name),
            ("Protocol", "HTTP"),
            ("Port", "80"),
            ("VpcId", inside(&vpcs, "vpcId")),
            ("TargetType", "ip"),
        ],
    );
    let arn = inside(&made, "TargetGroupArn");
    let bench = Bench::at(&moto.endpoint(), "http://127.0.0.1:9");
    for group in [arn, &name] {
        let wait =
            bench.action("elb.await_healthy", json!({ "in": "us-west-2", "target_group": group }));
        assert!(not_done(wait.observe(&bench.step("a", 30)).await).contains("0 of 0"));
        let checks = wait.preflight(&bench.step("a", 30)).await;
        assert_eq!(checks[0].standing, Standing::Ready, "nothing runs there before the scale-up");
        let waited = wait.apply(&bench.step("a", 1)).await.unwrap_err();
        assert!(waited.error.one_line().contains("0 of 0 targets healthy"), "{:?}", waited.error);
    }
    elb.query(
        VERSION,
        "RegisterTargets",
        &[
            ("TargetGroupArn", arn),
            ("Targets.member.1.Id", "10.0.0.5"),
            ("Targets.member.1.Port", "80"),
        ],
    );
    let wait =
        bench.action("elb.await_healthy", json!({ "in": "us-west-2", "target_group": name }));
    assert_eq!(ok(wait.apply(&bench.step("a", 30)).await).facts["healthy"], 1);
    assert_eq!(done(wait.observe(&bench.step("a", 30)).await)["healthy"], 1);

    let wrong = json!({ "in": "us-west-2", "target_group": "nothing" });
    let wrong = bench.action("elb.await_healthy", wrong);
    assert_eq!(wrong.apply(&bench.step("a", 5)).await.unwrap_err().class, FailureClass::Permanent);
    assert_eq!(wrong.preflight(&bench.step("a", 5)).await[0].standing, Standing::NotReady);
}
