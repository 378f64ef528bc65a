//! The ledger over stores that fail, go away and are written by two at once.

use chrono::TimeDelta;

use super::*;
use crate::model::Verdict;
use crate::schedule::standing::Outcome;
use crate::store::MemoryStore;
use crate::store::fault::{Fault, FaultyStore, Op};

fn opener(stores: Vec<Arc<dyn ObjectStore>>) -> Opener {
    Arc::new(move |name| {
        let found = stores.iter().find(|store| store.name() == name).map(Arc::clone);
        Box::pin(async move {
            found.ok_or_else(|| Error::new(Kind::Storage, format!("store `{name}` is away")))
        })
    })
}

fn outcome(minutes: i64) -> Outcome {
    let at = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::minutes(minutes);
    Outcome {
        turn: at,
        began: at,
        ended: at + TimeDelta::seconds(5),
        runner: "r".to_owned(),
        verdict: Verdict::Done,
        exit_code: Some(0),
        summary: "done".to_owned(),
        missed: 0,
    }
}

fn record(minutes: i64) -> Record {
    let mut record = Record { written: outcome(minutes).ended, ..Record::default() };
    record.add(outcome(minutes));
    record
}

#[tokio::test]
async fn a_record_outlives_either_store_and_both_writers_of_one_moment() {
    let west = Arc::new(MemoryStore::new("west"));
    let east = Arc::new(MemoryStore::new("east"));
    let both: Vec<Arc<dyn ObjectStore>> = vec![west.clone(), east.clone()];
    let names = || vec!["west".to_owned(), "east".to_owned()];
    let ledger = StoreLedger::new(names(), opener(both));
    assert_eq!(ledger.read("snapshot.p").await.unwrap(), Record::default());
    let writes = (0..6).map(|minutes| {
        let ledger = &ledger;
        async move { ledger.write("snapshot.p", &record(minutes)).await.unwrap() }
    });
    join_all(writes).await;
    for alone in [west as Arc<dyn ObjectStore>, east] {
        // The other region is gone.
        let ledger = StoreLedger::new(names(), opener(vec![alone]));
        let found = ledger.read("snapshot.p").await.unwrap();
        assert_eq!(found.outcomes.len(), 6);
        assert_eq!(found.last_good, Some(outcome(5)));
        ledger.write("snapshot.p", &record(7)).await.unwrap();
    }
    let ledger = StoreLedger::new(names(), opener(Vec::new()));
    let e = ledger.read("snapshot.p").await.unwrap_err();
    assert!(e.what().contains("no store can be asked"), "{e:?}");
}

#[tokio::test]
async fn a_lease_is_taken_in_the_first_store_that_answers_and_its_holder_is_named() {
    let west = Arc::new(MemoryStore::new("west"));
    let faulty = Arc::new(FaultyStore::new(west.clone()));
    faulty.on(Op::Get, 1, Fault::Fail(Class::Transient));
    let east = Arc::new(MemoryStore::new("east"));
    let names = || vec!["west".to_owned(), "east".to_owned()];
    let stores: Vec<Arc<dyn ObjectStore>> = vec![faulty, east.clone()];
    let ledger = StoreLedger::new(names(), opener(stores));
    let Claimed::Ours(claim) = ledger.claim("job-x", "run x").await.unwrap() else {
        panic!("held by nobody")
    };
    assert!(claim.is_held() && lease::inspect(&*west, "job-x").await.unwrap().is_none());
    let other = StoreLedger::new(vec!["east".to_owned()], opener(vec![east]));
    match other.claim("job-x", "run x").await.unwrap() {
        Claimed::Held { by, left } => {
            assert!(by.contains("run x") && left > Duration::from_secs(30), "{by} {left:?}");
        }
        Claimed::Ours(_) => panic!("taken twice"),
    }
    claim.release().await;
    assert!(matches!(other.claim("job-x", "run x").await.unwrap(), Claimed::Ours(_)));
}

#[tokio::test]
async fn signs_of_life_are_dated_by_the_store_and_end_with_the_runner() {
    let now = Arc::new(Mutex::new(DateTime::<Utc>::UNIX_EPOCH));
    let clock = Arc::clone(&now);
    let west = MemoryStore::with_clock("west", Arc::new(move || *clock.lock().unwrap()));
    let ledger = StoreLedger::new(vec!["west".to_owned()], opener(vec![Arc::new(west)]));
    let me = RunnerStanding {
        name: "one".to_owned(),
        host: "h".to_owned(),
        version: "0".to_owned(),
        started: Utc::now(),
        // A clock that is wrong fools nobody.
        heartbeat: Utc::now(),
        sampled: None,
        silent: false,
    };
    ledger.beat(&me).await.unwrap();
    ledger.beat(&me).await.unwrap();
    ledger.beat(&RunnerStanding { name: "two".to_owned(), ..me.clone() }).await.unwrap();
    ledger.leave("two").await.unwrap();
    let silent = async |seconds: i64| {
        *now.lock().unwrap() = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let all = ledger.runners().await.unwrap();
        all.into_iter().map(|r| (r.name, r.silent)).collect::<Vec<_>>()
    };
    assert_eq!(silent(60).await, [("one".to_owned(), false)]);
    assert_eq!(silent(SILENT + 1).await, [("one".to_owned(), true)]);
    assert_eq!(silent(FORGOTTEN + 1).await, []);
}
