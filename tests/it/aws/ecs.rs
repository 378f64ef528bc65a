//! `ecs.*` against moto.

use drctl::providers::{FailureClass, Standing};
use serde_json::{Value, json};

use super::bench::{Bench, done, not_done, ok};
use super::front::{Fault, Front};
use crate::lab::{Api, Moto, shared_moto_west, unique};

/// A service of its own at moto, and drctl before it.
pub struct Service {
    pub cluster: String,
    pub front: Front,
    pub bench: Bench,
}

fn ecs(moto: &Moto, action: &str, body: &Value) -> Value {
    let api = Api { port: moto.port(), region: "us-west-2", service: "ecs" };
    api.json(&format!("AmazonEC2ContainerServiceV20141113.{action}"), body)
}

impl Service {
    pub fn of(image: &str, tasks: u32) -> Self {
        let moto = shared_moto_west();
        let cluster = unique("cluster");
        ecs(moto, "CreateCluster", &json!({ "clusterName": cluster }));
        let secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf";
        ecs(
            moto,
            "RegisterTaskDefinition",
            &json!({
                "family": cluster, "networkMode": "awsvpc", "cpu": "2048", "memory": "4096",
                "requiresCompatibilities": ["FARGATE"],
                "containerDefinitions": [{
                    "name": "web", "image": image, "memory": 512,
                    "secrets": [{ "name": "DB", "valueFrom": secret }],
                }],
            }),
        );
        ecs(
            moto,
            "CreateService",
            &json!({
                "cluster": cluster, "serviceName": "web", "taskDefinition": cluster,
                "desiredCount": tasks, "launchType": "FARGATE",
            }),
        );
        let front = Front::before(moto.port());
        let bench = Bench::at(&front.endpoint(), "http://127.0.0.1:9");
        Self { cluster, front, bench }
    }

    pub fn with(&self, more: Value) -> Value {
        let mut with = json!({ "in": "us-west-2", "cluster": self.cluster, "service": "web" });
        with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        with
    }

    fn shown(&self) -> Value {
        let body = json!({ "cluster": self.cluster, "services": ["web"] });
        ecs(shared_moto_west(), "DescribeServices", &body)["services"][0].clone()
    }

    fn desired(&self) -> i64 {
        self.shown()["desiredCount"].as_i64().unwrap()
    }
}

#[tokio::test]
async fn scaling_twice_is_scaling_once_and_goes_back() {
    let service = Service::of("nginx", 1);
    let scale = service.bench.action("ecs.scale", service.with(json!({ "count": 4 })));
    let cx = service.bench.step("scale", 30);
    assert!(not_done(scale.observe(&cx).await).contains('1'));
    let first = ok(scale.apply(&cx).await);
    assert_eq!((&first.facts["from"], &first.facts["to"]), (&json!(1), &json!(4)));
    assert_eq!(service.desired(), 4);
    assert_eq!(done(scale.observe(&cx).await)["from"], 1, "known after a crash too");
    let again = ok(scale.apply(&cx).await);
    assert_eq!(again.facts, first.facts);
    assert_eq!(service.front.count("UpdateService"), 1);

    ok(scale.compensate(&cx).await);
    ok(scale.compensate(&cx).await);
    assert_eq!(service.desired(), 1);
    assert_eq!(service.front.count("UpdateService"), 2);
    // Another run did not scale it and has nothing to undo.
    let mut other = Bench::at(&service.front.endpoint(), "http://127.0.0.1:9");
    other.run.id = "another".into();
    assert!(ok(scale.compensate(&other.step("scale", 30)).await).summary.contains("not scaled"));
}

#[tokio::test]
async fn more_tasks_are_left_unless_the_count_is_exact() {
    let service = Service::of("nginx", 5);
    let cx = service.bench.step("scale", 30);
    let least = service.bench.action("ecs.scale", service.with(json!({ "count": 2 })));
    done(least.observe(&cx).await);
    let exact = service.with(json!({ "count": 2, "exact": true }));
    let exact = service.bench.action("ecs.scale", exact);
    not_done(exact.observe(&cx).await);
    ok(exact.apply(&cx).await);
    assert_eq!(service.desired(), 2);
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_looking() {
    let service = Service::of("nginx", 1);
    let scale = service.bench.action("ecs.scale", service.with(json!({ "count": 3 })));
    let cx = service.bench.step("scale", 30);
    service.front.next("UpdateService", Fault::LosesAnswer);
    let lost = scale.apply(&cx).await.unwrap_err();
    assert_eq!(lost.class, FailureClass::Unknown, "{:?}", lost.error);
    assert_eq!(done(scale.observe(&cx).await)["from"], 1);
    assert_eq!(service.front.count("UpdateService"), 1, "sent once, whatever became of it");
}

#[tokio::test]
async fn refusals_have_their_class_and_name_the_permission() {
    let service = Service::of("nginx", 1);
    let scale = service.bench.action("ecs.scale", service.with(json!({ "count": 3 })));
    let cx = service.bench.step("scale", 30);
    service.front.next("UpdateService", Fault::Throttles);
    assert_eq!(scale.apply(&cx).await.unwrap_err().class, FailureClass::Transient);
    service.front.next("UpdateService", Fault::Breaks);
    assert_eq!(scale.apply(&cx).await.unwrap_err().class, FailureClass::Unknown);
    service.front.next("UpdateService", Fault::Denies);
    let denied = scale.apply(&cx).await.unwrap_err();
    assert_eq!(denied.class, FailureClass::Permanent);
    assert!(denied.error.advice().unwrap().contains("ecs:UpdateService"), "{:?}", denied.error);
    assert_eq!(service.desired(), 1, "none of them was carried out");
    // A look that is throttled once is asked again by itself.
    service.front.next("DescribeServices", Fault::Throttles);
    ok(scale.apply(&cx).await);
    assert_eq!(service.desired(), 3);
}

#[tokio::test]
async fn without_the_right_to_mark_it_scales_and_says_so() {
    let service = Service::of("nginx", 1);
    let scale = service.bench.action("ecs.scale", service.with(json!({ "count": 3 })));
    let cx = service.bench.step("scale", 30);
    service.front.next("TagResource", Fault::Denies);
    let applied = ok(scale.apply(&cx).await);
    assert!(
        applied.warnings[0].contains("ecs:TagResource") || applied.warnings[0].contains("not kept")
    );
    assert_eq!(service.desired(), 3);
}

#[tokio::test]
async fn redeploying_twice_is_redeploying_once_for_each_run() {
    let service = Service::of("nginx", 2);
    let redeploy = service.bench.action("ecs.redeploy", service.with(json!({})));
    let cx = service.bench.step("redeploy", 30);
    let before = service.shown()["deployments"][0]["id"].clone();
    not_done(redeploy.observe(&cx).await);
    let first = ok(redeploy.apply(&cx).await);
    let after = service.shown()["deployments"][0]["id"].clone();
    assert_ne!(before, after);
    assert_eq!(done(redeploy.observe(&cx).await)["deployment"], after);
    assert_eq!(ok(redeploy.apply(&cx).await).facts, first.facts);
    assert_eq!(service.front.count("UpdateService"), 1);

    // Another run does it anew, and an answer that is lost is not a second time.
    let mut other = Bench::at(&service.front.endpoint(), "http://127.0.0.1:9");
    other.run.id = "another".into();
    let cx = other.step("redeploy", 30);
    not_done(redeploy.observe(&cx).await);
    service.front.next("UpdateService", Fault::LosesAnswer);
    assert_eq!(redeploy.apply(&cx).await.unwrap_err().class, FailureClass::Unknown);
    done(redeploy.observe(&cx).await);
    ok(redeploy.apply(&cx).await);
    assert_eq!(service.front.count("UpdateService"), 2);
}

#[tokio::test]
async fn a_steady_service_is_waited_for_and_an_empty_one_is_not_steady() {
    let service = Service::of("nginx", 0);
    let steady = service.bench.action("ecs.await_steady", service.with(json!({ "at_least": 2 })));
    let scale = service.bench.action("ecs.scale", service.with(json!({ "count": 2 })));
    assert!(not_done(steady.observe(&service.bench.step("a", 30)).await).contains("0 tasks"));
    let waited = steady.apply(&service.bench.step("a", 1)).await.unwrap_err();
    assert_eq!(waited.class, FailureClass::Transient);
    assert!(waited.error.one_line().contains("at least 2 needed"), "{:?}", waited.error);
    ok(scale.apply(&service.bench.step("scale", 30)).await);
    let applied = ok(steady.apply(&service.bench.step("a", 30)).await);
    assert_eq!(applied.facts["running"], 2);
    done(steady.observe(&service.bench.step("a", 30)).await);
}

#[tokio::test]
async fn what_is_not_there_is_said_by_name() {
    let service = Service::of("nginx", 1);
    let with =
        json!({ "in": "us-west-2", "cluster": service.cluster, "service": "wbe", "count": 1 });
    let scale = service.bench.action("ecs.scale", with);
    let cx = service.bench.step("scale", 30);
    let missing = scale.apply(&cx).await.unwrap_err();
    assert_eq!(missing.class, FailureClass::Permanent);
    assert!(missing.error.what().contains("`wbe`"), "{:?}", missing.error);
    let checks = scale.preflight(&cx).await;
    assert!(checks.iter().any(|c| c.standing == Standing::NotReady && c.what.contains("wbe")));
}

#[tokio::test]
async fn readiness_sees_images_secrets_and_room() {
    let host = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
    let service = Service::of(&format!("{host}/web:v1"), 1);
    let scale = service.bench.action("ecs.scale", service.with(json!({ "count": 3 })));
    let checks = scale.preflight(&service.bench.step("scale", 30)).await;
    let found = |what: &str| {
        let check = checks.iter().find(|c| c.what.starts_with(what));
        check.unwrap_or_else(|| panic!("no `{what}` in {checks:#?}"))
    };
    assert_eq!(found("service `web`").standing, Standing::Ready);
    assert_eq!(found("permission").standing, Standing::Unproven);
    let image = found("image");
    assert_eq!(image.standing, Standing::NotReady, "it is pulled from the other region");
    assert!(image.found.contains("us-east-1"));
    assert_eq!(found("secret `DB`").standing, Standing::NotReady);
    // moto knows no quotas of Fargate: not known is not fine.
    assert_ne!(found("capacity").standing, Standing::NotReady, "{:?}", found("capacity"));

    let host = "123456789012.dkr.ecr.us-west-2.amazonaws.com";
    let service = Service::of(&format!("{host}/nothing:v1"), 1);
    let scale = service.bench.action("ecs.scale", service.with(json!({ "count": 3 })));
    let checks = scale.preflight(&service.bench.step("scale", 30)).await;
    let image = checks.iter().find(|c| c.what.starts_with("image")).unwrap();
    assert_eq!(image.standing, Standing::NotReady, "{image:?}");
    assert!(image.found.contains("not in ECR"), "{image:?}");
}
