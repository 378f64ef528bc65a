//! `dns.await_answer` against authorities and caching resolvers, and their faults.

use std::sync::Arc;
use std::time::Duration;

use drctl::error::Kind;
use drctl::providers::{DynAction, FailureClass, Observed, Standing};
use serde_json::{Value, json};

use super::scene::{LONG, Scene};
use crate::lab::{Cache, Dns, Manners, Zone};

const APP: &str = "app.petforce.test";

/// A zone, its server, and two resolvers that have the old answer.
struct World {
    zone: Arc<Zone>,
    authority: Dns,
    caches: [Arc<Cache>; 2],
    resolvers: [Dns; 2],
}

impl World {
    fn new() -> Self {
        let zone = Zone::new();
        zone.set(APP, "A", 60, &["192.0.2.1"]);
        zone.set("petforce.test", "NS", 60, &["ns.petforce.test."]);
        zone.set("ns.petforce.test", "A", 60, &["127.0.0.1"]);
        let caches = [Cache::of(zone.clone()), Cache::of(zone.clone())];
        let resolvers = [Dns::resolver(&caches[0]), Dns::resolver(&caches[1])];
        Self { authority: Dns::authority(&zone), zone, caches, resolvers }
    }

    /// Waits for 192.0.2.2, with `more` laid over.
    fn action(&self, scene: &Scene, more: Value) -> Box<dyn DynAction> {
        let mut with = json!({
            "name": APP,
            "values": ["192.0.2.2"],
            "authoritative": [format!("ns.petforce.test:{}", self.authority.port())],
            "resolvers": self.resolvers.each_ref().map(|dns| dns.address().to_string()),
            "every": "20ms",
        });
        for (name, value) in more.as_object().unwrap() {
            with[name] = value.clone();
        }
        scene.action("dns.await_answer", with)
    }

    fn move_it(&self) {
        self.zone.set(APP, "A", 60, &["192.0.2.2"]);
    }
}

#[tokio::test]
async fn it_waits_until_the_last_resolver_gives_the_new_answer() {
    let (world, scene) = (World::new(), Scene::new(""));
    let action = world.action(&scene, json!({}));
    let label = |n: usize| world.resolvers[n].address().to_string();
    let script = async {
        let all = scene.hear(|w| w.contains("still gives")).await;
        assert!(
            all.contains(&format!("{} still gives 192.0.2.1, for at most 60 s", label(0))),
            "{all}"
        );
        assert!(all.contains("ns.petforce.test (127.0.0.1:"), "{all}");
        world.caches[0].age(Duration::from_secs(15));
        scene.hear(|w| w.contains("for at most 45 s")).await;
        world.move_it();
        // The authority has it at once, and nobody keeps what drctl asks of it.
        let some = scene.hear(|w| !w.contains("ns.petforce.test")).await;
        assert!(some.contains(&label(0)) && some.contains(&label(1)), "{some}");
        world.caches[0].age(Duration::from_secs(45));
        let one = scene.hear(|w| !w.contains(&label(0))).await;
        assert_eq!(one, format!("{} still gives 192.0.2.1, for at most 60 s", label(1)));
        world.caches[1].age(Duration::from_secs(60));
    };
    let cx = scene.cx(LONG);
    let applying = action.apply(&cx);
    let (applied, ()) = tokio::join!(applying, script);
    let applied = applied.unwrap();
    assert_eq!(applied.summary, "3 of 3 servers give 192.0.2.2 for app.petforce.test A");
    assert_eq!(applied.warnings, Vec::<String>::new());
    let answers = applied.facts["answers"].as_array().unwrap();
    assert_eq!(answers.len(), 3);
    for answer in answers {
        assert_eq!(answer["values"], json!(["192.0.2.2"]));
        assert!(answer["new_since"].is_string() && answer["old_until"].is_null(), "{answer}");
    }
    // In the order in which they turned.
    let since = |n: usize| answers[n]["new_since"].as_str().unwrap().to_owned();
    assert!(since(0) <= since(1) && since(1) <= since(2));
    // Applied again, it ends at once; observed, it is done.
    let again = action.apply(&scene.cx(LONG)).await.unwrap();
    assert_eq!(again.summary, applied.summary);
    assert!(matches!(action.observe(&scene.cx(LONG)).await.unwrap(), Observed::Done(_)));
}

#[tokio::test]
async fn who_does_not_answer_does_not_count_as_new() {
    let (world, scene) = (World::new(), Scene::new(""));
    world.move_it();
    for (manners, words) in [
        (Manners::Silent, "does not answer"),
        (Manners::ServFail, "answers SERVFAIL"),
        (Manners::Refused, "answers REFUSED"),
    ] {
        world.resolvers[1].behave(manners);
        let told = format!("{} {words}", world.resolvers[1].address());
        let action = world.action(&scene, json!({}));
        let failure = action.apply(&scene.cx(Duration::from_secs(3))).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Transient);
        assert_eq!(failure.error.kind(), Kind::Failed);
        let text = failure.error.one_line();
        assert!(text.ends_with(&told), "{text}");
        assert!(failure.error.advice().unwrap().contains("`need`"), "{:?}", failure.error);
        let Observed::NotDone(why) = action.observe(&scene.cx(LONG)).await.unwrap() else {
            panic!("{manners:?} counted as new");
        };
        assert_eq!(why, told);

        let action = world.action(&scene, json!({ "need": 2 }));
        let applied = action.apply(&scene.cx(LONG)).await.unwrap();
        assert_eq!(applied.warnings, [told]);
        assert_eq!(applied.facts["new"], 2);
    }
}

#[tokio::test]
async fn an_old_answer_stays_an_old_one_until_the_time_is_over() {
    let (world, scene) = (World::new(), Scene::new(""));
    let action = world.action(&scene, json!({}));
    let failure = action.apply(&scene.cx(Duration::from_secs(3))).await.unwrap_err();
    let text = failure.error.one_line();
    assert!(text.starts_with("wait until DNS gives 192.0.2.2 for app.petforce.test A: "), "{text}");
    let left = text.split("still gives 192.0.2.1, for at most ").nth(1).expect(&text);
    let left: u32 = left.split(' ').next().unwrap().parse().expect(&text);
    // What is left of the minute: the asking itself takes some seconds of it.
    assert!((40..=60).contains(&left), "{text}");
    // One old address among new ones is no new answer.
    world.zone.set(APP, "A", 60, &["192.0.2.2", "192.0.2.1"]);
    world.caches.iter().for_each(|cache| cache.age(Duration::from_secs(60)));
    let Observed::NotDone(why) = action.observe(&scene.cx(LONG)).await.unwrap() else {
        panic!("a mixed answer counted as new");
    };
    assert!(why.contains("192.0.2.1, 192.0.2.2"), "{why}");
    world.zone.remove(APP, "A");
    world.caches.iter().for_each(|cache| cache.age(Duration::from_secs(60)));
    let Observed::NotDone(why) = action.observe(&scene.cx(LONG)).await.unwrap() else {
        panic!("no answer counted as new");
    };
    assert!(why.contains("gives no such record"), "{why}");
}

#[tokio::test]
async fn an_answer_too_long_for_udp_is_had_over_tcp() {
    let (world, scene) = (World::new(), Scene::new(""));
    world.move_it();
    world.authority.behave(Manners::Truncates);
    world.resolvers[0].behave(Manners::Truncates);
    let action = world.action(&scene, json!({}));
    let applied = action.apply(&scene.cx(LONG)).await.unwrap();
    assert_eq!(applied.facts["new"], 3);
}

#[tokio::test]
async fn the_new_answer_may_be_what_another_name_has() {
    let (world, scene) = (World::new(), Scene::new(""));
    let elb = "petforce-west.elb.test";
    world.zone.set(elb, "A", 60, &["192.0.2.7", "192.0.2.8"]);
    // An alias, of which the authority gives a part.
    world.zone.set(APP, "A", 60, &["192.0.2.8"]);
    let action = world.action(&scene, json!({ "values": [], "same_as": elb }));
    let applied = action.apply(&scene.cx(LONG)).await.unwrap();
    assert!(
        applied.summary.contains("the addresses of petforce-west.elb.test"),
        "{}",
        applied.summary
    );
    assert_eq!(applied.facts["expected"], json!(["192.0.2.7", "192.0.2.8"]));
    world.zone.set(APP, "A", 60, &["192.0.2.9"]);
    assert!(matches!(action.observe(&scene.cx(LONG)).await.unwrap(), Observed::NotDone(_)));
    // What is not known is never taken for reached.
    let action =
        world.action(&scene, json!({ "values": [], "same_as": "none.elb.test", "need": 1 }));
    let Observed::NotDone(why) = action.observe(&scene.cx(LONG)).await.unwrap() else {
        panic!("an unknown name counted as reached");
    };
    assert!(why.contains("no resolver knows an address of none.elb.test"), "{why}");
}

#[tokio::test]
async fn other_kinds_of_records_are_compared_as_people_write_them() {
    let (world, scene) = (World::new(), Scene::new(""));
    world.zone.set("www.petforce.test", "CNAME", 5, &["West.petforce.test."]);
    world.zone.set("v6.petforce.test", "AAAA", 5, &["2001:db8:0::1"]);
    world.zone.set("txt.petforce.test", "TXT", 5, &["active=us-west-2"]);
    for (name, kind, value) in [
        ("www.petforce.test", "CNAME", "west.PETFORCE.test"),
        ("v6.petforce.test", "AAAA", "2001:DB8::1"),
        ("txt.petforce.test", "TXT", "active=us-west-2"),
    ] {
        let action = world.action(&scene, json!({ "name": name, "type": kind, "values": [value] }));
        let applied = action.apply(&scene.cx(LONG)).await.unwrap();
        assert_eq!(applied.facts["new"], 3, "{kind}");
    }
    // The server knows the alias, and not where it leads.
    let action = world.action(&scene, json!({ "name": "www.petforce.test" }));
    let Observed::NotDone(why) = action.observe(&scene.cx(LONG)).await.unwrap() else { panic!() };
    assert!(why.contains("gives an alias to west.petforce.test"), "{why}");
}

/// The port of what NS records name is always 53, where nobody of this test listens.
#[tokio::test]
async fn the_zones_servers_are_found_by_its_records() {
    let (world, scene) = (World::new(), Scene::new(""));
    world.move_it();
    let resolvers = world.resolvers.each_ref().map(|dns| dns.address().to_string());
    let with = json!({
        "name": APP, "values": ["192.0.2.2"], "resolvers": resolvers, "need": 2, "every": "20ms",
    });
    let applied = scene.action("dns.await_answer", with).apply(&scene.cx(LONG)).await.unwrap();
    assert_eq!(applied.facts["answers"][0]["server"], "ns.petforce.test (127.0.0.1)");
    assert_eq!(applied.warnings.len(), 1);
    // Where no resolver helps to find them, that is told and counts against it.
    world.resolvers.iter().for_each(|dns| dns.behave(Manners::ServFail));
    let with =
        json!({ "name": APP, "values": ["192.0.2.2"], "resolvers": resolvers, "every": "20ms" });
    let action = scene.action("dns.await_answer", with);
    let failure = action.apply(&scene.cx(Duration::from_millis(800))).await.unwrap_err();
    let text = failure.error.one_line();
    assert!(text.contains("the zone's servers are not known: no resolver helps: "), "{text}");
}

#[tokio::test]
async fn preflight_shows_what_is_answered_now() {
    let (world, scene) = (World::new(), Scene::new(""));
    let checks = world.action(&scene, json!({})).preflight(&scene.cx(LONG)).await;
    let [check] = checks.as_slice() else { panic!("{checks:#?}") };
    assert_eq!(
        (check.standing, check.what.as_str()),
        (Standing::Ready, "app.petforce.test A in DNS")
    );
    assert!(
        check.found.starts_with("192.0.2.1, TTL 60 s, at ns.petforce.test ("),
        "{}",
        check.found
    );

    world.zone.set(APP, "A", 3600, &["192.0.2.1"]);
    world.caches[0].age(Duration::from_secs(60));
    world.resolvers[1].behave(Manners::Silent);
    let checks = world.action(&scene, json!({})).preflight(&scene.cx(LONG)).await;
    let standings: Vec<_> = checks.iter().map(|check| check.standing).collect();
    assert_eq!(standings, [Standing::Unproven, Standing::Warning], "{checks:#?}");
    assert!(checks[1].hint.as_deref().unwrap().contains("lower the TTL"), "{checks:#?}");
}

#[tokio::test]
async fn a_name_that_is_not_there_is_not_ready() {
    let (world, scene) = (World::new(), Scene::new(""));
    let with = json!({ "name": "nowhere.petforce.test" });
    let checks = world.action(&scene, with).preflight(&scene.cx(LONG)).await;
    let lacking: Vec<_> = checks.iter().filter(|c| c.standing == Standing::NotReady).collect();
    assert!(!lacking.is_empty(), "{checks:#?}");
    assert!(lacking[0].found.starts_with("no such record, at "), "{lacking:#?}");
    assert!(checks.iter().all(|c| c.standing != Standing::Ready), "{checks:#?}");
}

#[test]
fn wrong_arguments_are_refused_by_name() {
    let scene = Scene::new("");
    for (with, words) in [
        (json!({ "name": APP }), "one of `values` and `same_as`"),
        (json!({ "name": APP, "values": ["1.2.3.4"], "same_as": "x.test" }), "one of `values`"),
        (json!({ "name": APP, "values": ["::1"] }), "`::1` is not a value of a record of type A"),
        (json!({ "name": "a..b", "values": ["1.2.3.4"] }), "is not a DNS name"),
        (json!({ "name": APP, "values": ["1.2.3.4"], "need": 0 }), "`need` must be at least 1"),
        (
            json!({ "name": APP, "values": ["1.2.3.4"], "resolvers": ["dns.test"] }),
            "must be an address",
        ),
        (json!({ "name": APP, "values": ["1.2.3.4"], "resolvers": [] }), "without `resolvers`"),
        (json!({ "name": APP, "values": ["1.2.3.4"], "resolver": [] }), "unknown field `resolver`"),
    ] {
        let Err(e) = scene.try_action("dns.await_answer", with.clone()) else {
            panic!("{with} was taken");
        };
        assert_eq!(e.kind(), Kind::Usage);
        assert!(e.one_line().contains(words), "{}", e.one_line());
    }
}
