//! `route53.swap` and `route53.await_insync` against moto.

use std::sync::OnceLock;

use drctl::providers::{FailureClass, Standing};
use serde_json::{Value, json};

use super::bench::{Bench, done, not_done, ok};
use super::front::{Fault, Front};
use crate::lab::{Api, Moto, unique};

fn global() -> &'static Moto {
    static GLOBAL: OnceLock<Moto> = OnceLock::new();
    GLOBAL.get_or_init(|| Moto::start("aws-global"))
}

fn api() -> Api<'static> {
    Api { port: global().port(), region: "us-east-1", service: "route53" }
}

/// A hosted zone of its own with some records, and drctl before it.
struct Zone {
    id: String,
    front: Front,
    bench: Bench,
}

/// The record sets of the zone from the start: name, more of the set.
const SETS: &[(&str, &str)] = &[
    (
        "app",
        "<TTL>300</TTL><ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord></ResourceRecords>",
    ),
    (
        "www",
        "<AliasTarget><HostedZoneId>Z1EAST</HostedZoneId><DNSName>east.elb.example.</DNSName><EvaluateTargetHealth>false</EvaluateTargetHealth></AliasTarget>",
    ),
    (
        "beta",
        "<SetIdentifier>east</SetIdentifier><Weight>100</Weight><TTL>30</TTL><ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord></ResourceRecords>",
    ),
    (
        "beta",
        "<SetIdentifier>west</SetIdentifier><Weight>0</Weight><TTL>30</TTL><ResourceRecords><ResourceRecord><Value>192.0.2.2</Value></ResourceRecord></ResourceRecords>",
    ),
    (
        "near",
        "<SetIdentifier>near-east</SetIdentifier><Region>us-east-1</Region><TTL>30</TTL><ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord></ResourceRecords>",
    ),
    (
        "pair",
        "<SetIdentifier>pair-east</SetIdentifier><Failover>PRIMARY</Failover><TTL>30</TTL><ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord></ResourceRecords>",
    ),
    (
        "pair",
        "<SetIdentifier>pair-west</SetIdentifier><Failover>SECONDARY</Failover><TTL>30</TTL><ResourceRecords><ResourceRecord><Value>192.0.2.2</Value></ResourceRecord></ResourceRecords>",
    ),
];

impl Zone {
    fn new() -> Self {
        let reference = unique("zone");
        let made = api().rest(
            "POST",
            "/2013-04-01/hostedzone",
            &format!(
                "<CreateHostedZoneRequest><Name>pet.test.</Name>\
                 <CallerReference>{reference}</CallerReference></CreateHostedZoneRequest>"
            ),
        );
        let id = made.split("<Id>/hostedzone/").nth(1).unwrap().split('<').next().unwrap();
        let front = Front::before(global().port());
        let bench = Bench::at("http://127.0.0.1:9", &front.endpoint());
        let zone = Self { id: id.to_owned(), front, bench };
        for (name, set) in SETS {
            zone.upsert(name, set);
        }
        zone
    }

    /// As another person would.
    fn upsert(&self, name: &str, set: &str) {
        upsert(&self.id, name, set);
    }

    /// All the record sets, sorted.
    fn shown(&self) -> Vec<String> {
        let text = api().rest("GET", &format!("/2013-04-01/hostedzone/{}/rrset", self.id), "");
        // With and without its final dot a name is the same.
        let text = text.replace(['\n', ' '], "").replace(".</DNSName>", "</DNSName>");
        let mut sets: Vec<_> =
            text.split("<ResourceRecordSet>").skip(1).map(str::to_owned).collect();
        sets.sort();
        sets
    }

    fn says(&self, name: &str, what: &str) -> bool {
        let name = format!("<Name>{name}.pet.test.</Name>");
        self.shown().iter().any(|set| set.contains(&name) && set.contains(what))
    }

    fn swap(&self, records: Value) -> Box<dyn drctl::providers::DynAction> {
        self.bench.action("route53.swap", json!({ "zone": self.id, "records": records }))
    }
}

fn upsert(zone: &str, name: &str, set: &str) {
    let change = format!(
        "<Change><Action>UPSERT</Action><ResourceRecordSet><Name>{name}.pet.test.</Name>\
         <Type>A</Type>{set}</ResourceRecordSet></Change>"
    );
    api().rest(
        "POST",
        &format!("/2013-04-01/hostedzone/{zone}/rrset/"),
        &format!(
            "<ChangeResourceRecordSetsRequest><ChangeBatch><Changes>{change}</Changes>\
             </ChangeBatch></ChangeResourceRecordSetsRequest>"
        ),
    );
}

/// Every shape of record at once.
fn all() -> Value {
    let alias = |name: &str, zone: &str| json!({ "alias": { "name": name, "zone": zone } });
    json!([
        { "name": "app.pet.test", "type": "A",
          "from": { "values": ["192.0.2.1"], "ttl": 300 }, "to": { "values": ["192.0.2.2"], "ttl": 30 } },
        { "name": "www.pet.test", "type": "A",
          "from": alias("east.elb.example", "Z1EAST"), "to": alias("west.elb.example", "Z1WEST") },
        { "name": "beta.pet.test", "type": "A", "set_identifier": "east",
          "from": { "weight": 100 }, "to": { "weight": 0 } },
        { "name": "beta.pet.test", "type": "A", "set_identifier": "west",
          "from": { "weight": 0 }, "to": { "weight": 100 } },
        { "name": "near.pet.test", "type": "A", "set_identifier": "near-east",
          "from": { "values": ["192.0.2.1"] }, "to": { "values": ["192.0.2.2"] } },
        { "name": "pair.pet.test", "type": "A", "set_identifier": "pair-east",
          "from": { "values": ["192.0.2.1"] }, "to": { "values": ["192.0.2.9"] } },
        { "name": "new.pet.test", "type": "A", "to": { "values": ["192.0.2.7"], "ttl": 5 } },
    ])
}

#[tokio::test]
async fn records_of_every_shape_are_swapped_once_and_put_back() {
    let zone = Zone::new();
    let before = zone.shown();
    let swap = zone.swap(all());
    let cx = zone.bench.step("swap", 30);
    not_done(swap.observe(&cx).await);
    let applied = ok(swap.apply(&cx).await);
    assert!(applied.facts["change"].as_str().is_some_and(|id| !id.is_empty()), "{applied:?}");
    done(swap.observe(&cx).await);
    assert!(zone.says("app", "<Value>192.0.2.2</Value>"));
    assert!(zone.says("app", "<TTL>30</TTL>"));
    assert!(zone.says("www", "west.elb.example"));
    assert!(zone.says("new", "192.0.2.7"));
    // What was not named stayed.
    assert!(zone.says("near", "<Region>us-east-1</Region>"));
    assert!(zone.says("near", "<Value>192.0.2.2</Value>"));
    assert!(zone.says("pair", "<Failover>PRIMARY</Failover>"));
    assert!(zone.says("beta", "<Value>192.0.2.1</Value>"));
    let after = zone.shown();
    let again = ok(swap.apply(&cx).await);
    assert_eq!(again.facts["change"], Value::Null);
    assert_eq!(zone.front.count("<ChangeBatch>"), 1, "all at once, and once");
    assert_eq!(zone.shown(), after);

    ok(swap.compensate(&cx).await);
    assert_eq!(zone.shown(), before);
    ok(swap.compensate(&cx).await);
    assert_eq!(zone.front.count("<ChangeBatch>"), 2);
}

#[tokio::test]
async fn a_record_that_somebody_else_changed_is_refused_and_nothing_is_written() {
    let zone = Zone::new();
    let theirs = SETS[0].1.replace("192.0.2.1", "198.51.100.5");
    zone.upsert("app", &theirs);
    let before = zone.shown();
    let swap = zone.swap(all());
    let cx = zone.bench.step("swap", 30);
    let refused = swap.apply(&cx).await.unwrap_err();
    assert_eq!(refused.class, FailureClass::Permanent);
    let said = refused.error.one_line();
    assert!(said.contains("app.pet.test A: it says 198.51.100.5, TTL 300 s"), "{said}");
    assert_eq!(zone.shown(), before);
    assert!(not_done(swap.observe(&cx).await).contains("198.51.100.5"));
    let checks = swap.preflight(&cx).await;
    let check = checks.iter().find(|c| c.what.starts_with("record app")).unwrap();
    assert_eq!(check.standing, Standing::NotReady);

    // Likewise on the way back.
    zone.upsert("app", SETS[0].1);
    ok(swap.apply(&cx).await);
    zone.upsert("app", &theirs);
    assert_eq!(swap.compensate(&cx).await.unwrap_err().class, FailureClass::Permanent);
    assert!(zone.says("app", "198.51.100.5"));
}

#[tokio::test]
async fn a_record_that_changes_between_look_and_write_is_not_written_over() {
    let zone = Zone::new();
    let swap = zone.swap(all());
    let (id, theirs) = (zone.id.clone(), SETS[0].1.replace("192.0.2.1", "198.51.100.5"));
    zone.front.meanwhile("<ChangeBatch>", move || upsert(&id, "app", &theirs));
    zone.front.next("<ChangeBatch>", Fault::RefusesBatch);
    let refused = swap.apply(&zone.bench.step("swap", 30)).await.unwrap_err();
    assert_eq!(refused.class, FailureClass::Permanent);
    let said = refused.error.one_line();
    assert!(said.contains("app.pet.test A was changed in the meantime"), "{said}");
    assert!(zone.says("app", "198.51.100.5"), "theirs stays");
    assert_eq!(zone.front.count("<ChangeBatch>"), 1);
    // What was seen is deleted, in the same batch in which the new is made.
    assert_eq!(zone.front.count("<Action>DELETE</Action>"), 1);
    assert_eq!(zone.front.count("<Action>UPSERT</Action>"), 0);
}

#[tokio::test]
async fn where_the_guarded_form_is_not_taken_the_plain_one_is() {
    let zone = Zone::new();
    let swap = zone.swap(all());
    zone.front.next("<ChangeBatch>", Fault::RefusesBatch);
    let cx = zone.bench.step("swap", 30);
    ok(swap.apply(&cx).await);
    assert!(zone.says("app", "192.0.2.2"));
    assert_eq!(zone.front.count("<Action>UPSERT</Action>"), 1);
    // Refused for good it stays refused, with the reason that was given first.
    ok(swap.compensate(&cx).await);
    for _ in 0..2 {
        zone.front.next("<ChangeBatch>", Fault::Denies);
    }
    let denied = swap.apply(&cx).await.unwrap_err();
    assert!(denied.error.advice().unwrap().contains("ChangeResourceRecordSets"), "{denied:?}");
    assert!(zone.says("app", "192.0.2.1"));
}

#[tokio::test]
async fn a_lost_answer_leaves_a_change_that_is_found() {
    let zone = Zone::new();
    let swap = zone.swap(all());
    let cx = zone.bench.step("swap", 30);
    zone.front.next("<ChangeBatch>", Fault::LosesAnswer);
    let lost = swap.apply(&cx).await.unwrap_err();
    assert_eq!(lost.class, FailureClass::Unknown, "{:?}", lost.error);
    done(swap.observe(&cx).await);
    ok(swap.apply(&cx).await);
    assert_eq!(zone.front.count("<ChangeBatch>"), 1);

    zone.front.next("/rrset", Fault::Denies);
    let denied = swap.apply(&cx).await.unwrap_err();
    assert_eq!(denied.class, FailureClass::Permanent);
    let hint = denied.error.advice().unwrap();
    assert!(hint.contains("route53:ListResourceRecordSets"), "{hint}");
}

#[tokio::test]
async fn a_change_is_followed_by_its_id() {
    let mut zone = Zone::new();
    let swap = zone.swap(all());
    let applied = ok(swap.apply(&zone.bench.step("swap", 30)).await);
    let wait = zone.bench.action("route53.await_insync", json!({ "step": "swap" }));
    let unknown = ok(wait.apply(&zone.bench.step("wait", 5)).await);
    assert_eq!(unknown.warnings.len(), 1, "no change was told of: {unknown:?}");
    zone.bench.facts.insert("swap".into(), applied.facts);
    let known = ok(wait.apply(&zone.bench.step("wait", 30)).await);
    assert!(known.warnings.is_empty(), "{known:?}");
    done(wait.observe(&zone.bench.step("wait", 30)).await);
    // After a lost answer there is no id: the records are written again, as they are, to have one.
    let before = zone.shown();
    zone.bench.facts.insert("swap".into(), done(swap.observe(&zone.bench.step("swap", 30)).await));
    not_done(wait.observe(&zone.bench.step("wait", 30)).await);
    let batches = zone.front.count("<ChangeBatch>");
    let again = ok(wait.apply(&zone.bench.step("wait", 30)).await);
    assert!(again.warnings.is_empty(), "{again:?}");
    assert!(zone.front.count("<ChangeBatch>") > batches);
    assert_eq!(zone.shown(), before);
    // Where that cannot be done, it is told and holds nothing up.
    zone.front.next("<ChangeBatch>", Fault::Breaks);
    let broken = ok(wait.apply(&zone.bench.step("wait", 5)).await);
    assert!(broken.warnings[0].contains("is not known"), "{broken:?}");
}

#[tokio::test]
async fn readiness_warns_of_a_long_time_to_live() {
    let zone = Zone::new();
    let swap = zone.swap(all());
    let checks = swap.preflight(&zone.bench.step("swap", 30)).await;
    let of = |what: &str| checks.iter().find(|c| c.what.starts_with(what)).unwrap();
    assert_eq!(of("record app").standing, Standing::Ready, "{checks:#?}");
    assert_eq!(of("TTL of app").standing, Standing::Warning);
    assert_eq!(of("TTL of beta").standing, Standing::Ready);
    assert_eq!(of("record new").standing, Standing::Ready);
    assert_eq!(of("permission").standing, Standing::Unproven);
    assert_eq!(zone.front.count("<ChangeBatch>"), 0, "it only looks");
    let leaning = &swap.describe().leans_on[0];
    assert_eq!((leaning.region.as_str(), leaning.optional), ("us-east-1", false));
}
