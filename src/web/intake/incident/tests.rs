//! What alerts, in any order and heard by anybody, make of an incident.

use chrono::TimeDelta;

use super::*;
use crate::store::MemoryStore;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_000_000 + seconds, 0).unwrap()
}

fn told(key: &str, firing: bool, seconds: i64) -> Told {
    let labels = BTreeMap::new();
    Told { key: key.to_owned(), firing, at: at(seconds), summary: format!("{key} is down"), labels }
}

async fn hear(store: &MemoryStore, source: &str, told: &Told, epoch: u64) -> Recorded {
    let now = told.at + TimeDelta::seconds(5);
    let runbook = "region-failover";
    let report = Report { source, runbook, forced: true, epoch, told, by: "ops-1", now };
    record(store, &report).await.unwrap()
}

#[tokio::test]
async fn alerts_of_one_trouble_are_one_incident_and_a_repeat_is_nothing_new() {
    let store = MemoryStore::new("west");
    let id = || "region-failover-e3-1".to_owned();
    let down = told("db", true, 0);
    assert_eq!(hear(&store, "prom", &told("x", false, 0), 3).await, Recorded::Nothing);
    assert_eq!(hear(&store, "prom", &down, 3).await, Recorded::Opened(id()));
    assert_eq!(hear(&store, "prom", &down, 3).await, Recorded::Known(id()));
    assert_eq!(hear(&store, "aws", &down, 3).await, Recorded::Joined(id()));
    let all = open(&store).await.unwrap();
    assert_eq!((all.len(), all[0].alerts.len()), (1, 2));
    assert_eq!(all[0].alerts[0].heard, at(5));

    assert_eq!(hear(&store, "prom", &told("db", false, 60), 3).await, Recorded::Joined(id()));
    // What was told before it ended does not begin it again.
    assert_eq!(hear(&store, "prom", &down, 3).await, Recorded::Known(id()));
    assert_eq!(hear(&store, "aws", &told("db", false, 61), 3).await, Recorded::Closed(id()));
    assert!(open(&store).await.unwrap().is_empty());

    // Nor does it open the next one.
    assert_eq!(hear(&store, "prom", &down, 3).await, Recorded::Known(id()));

    let again = Recorded::Opened("region-failover-e3-2".to_owned());
    assert_eq!(hear(&store, "prom", &told("db", true, 90), 3).await, again);
    // Closed by hand while it lasts: what is repeated stays closed, what begins anew does not.
    close(&store, "region-failover-e3-2", "closed by mira: a rehearsal", at(91)).await.unwrap();
    let known = Recorded::Known("region-failover-e3-2".to_owned());
    assert_eq!(hear(&store, "prom", &told("db", true, 90), 3).await, known);
    let anew = Recorded::Opened("region-failover-e3-3".to_owned());
    assert_eq!(hear(&store, "prom", &told("db", true, 92), 3).await, anew);

    let later = Recorded::Opened("region-failover-e4-1".to_owned());
    assert_eq!(hear(&store, "prom", &told("db", true, 95), 4).await, later);
}

#[tokio::test]
async fn a_failover_is_begun_by_one_of_many() {
    let store = MemoryStore::new("west");
    hear(&store, "prom", &told("db", true, 0), 0).await;
    let begun = |by: &str| Begun { at: at(1), by: by.to_owned(), command: "drctl".to_owned() };
    let id = "region-failover-e0-1";
    assert!(claim(&store, id, &begun("one")).await.unwrap());
    assert!(!claim(&store, id, &begun("other")).await.unwrap());
    let incident = read(&store, id).await.unwrap().unwrap();
    assert_eq!(incident.begun.unwrap().by, "one");
}

#[test]
fn an_alert_that_comes_again_counts_from_then() {
    let event = |firing, seconds| Event {
        source: "prom".to_owned(),
        told: told("db", firing, seconds),
        heard: at(seconds + 1),
    };
    // Out of order, as webhooks come.
    let all = standings(vec![event(true, 20), event(false, 10), event(true, 0), event(true, 25)]);
    assert_eq!((all[0].since, all[0].heard, all[0].over), (at(20), at(21), None));
    let all = standings(vec![event(false, 10), event(true, 10)]);
    assert_eq!(all[0].over, Some(at(10)));
}
