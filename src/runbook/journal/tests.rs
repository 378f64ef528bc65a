//! Journals that were tampered with, that went two ways, and that are read from one copy.

use std::sync::Arc;

use super::*;
use crate::runbook::engine::stage::{Operator, Stage, failover};
use crate::store::MemoryStore;
use crate::store::fault::{Fault, FaultyStore, Op};

const RUN: &str = "r20261124T100000Z-00000a";

struct Told {
    copies: Copies,
    control: MemoryStore,
    local: MemoryStore,
}

/// A run that was carried out to its end.
async fn told() -> Told {
    let (control, local) = (MemoryStore::new("west"), MemoryStore::new("local"));
    let mut ann = Operator::new(&Stage::default(), Arc::new(control.clone()));
    ann.copies.local = Arc::new(local.clone());
    ann.begin(&failover(), RUN).await.unwrap();
    Told { copies: ann.copies.clone(), control, local }
}

async fn flaws(told: &Told) -> Vec<String> {
    let proof = verify(&told.copies, RUN).await.unwrap();
    proof.flaws.iter().map(|(copy, flaw)| format!("{copy}: {flaw}")).collect()
}

async fn bytes(store: &MemoryStore, key: &str) -> String {
    String::from_utf8(store.get(key).await.unwrap().bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn every_changed_missing_or_added_entry_is_found_in_either_copy() {
    let entries = journal_length().await;
    for copy in 0..2 {
        for number in 0..entries {
            let key = entry_key(RUN, number);
            // Changed so that it still reads as an entry.
            let told = told().await;
            assert_eq!(flaws(&told).await, Vec::<String>::new());
            let store = [&told.control, &told.local][copy];
            let text = bytes(store, &key).await;
            store.overwrite(&key, text.replacen("\"at\":\"20", "\"at\":\"19", 1));
            assert!(!flaws(&told).await.is_empty(), "entry {number} changed in copy {copy}");
            store.overwrite(&key, "{}");
            assert!(!flaws(&told).await.is_empty(), "entry {number} spoilt in copy {copy}");
            store.delete(&[key]).await.unwrap();
            assert!(!flaws(&told).await.is_empty(), "entry {number} missing in copy {copy}");
        }
    }
}

async fn journal_length() -> u64 {
    load(&told().await.copies, RUN).await.unwrap().entries.len() as u64
}

/// With the local copy gone too, the seal is what is left.
#[tokio::test]
async fn the_last_entry_is_sealed() {
    let told = told().await;
    let last = journal_length().await - 1;
    let all: Vec<String> = (0..=last).map(|n| entry_key(RUN, n)).collect();
    told.local.delete(&all).await.unwrap();
    told.local.delete(&[plan_key(RUN)]).await.unwrap();
    let proof = verify(&told.copies, RUN).await.unwrap();
    assert!(proof.is_intact() && proof.unproven.is_empty(), "{proof:?}");
    let key = entry_key(RUN, last);
    let text = bytes(&told.control, &key).await;
    told.control.overwrite(&key, text.replace("succeeded", "stopped"));
    assert!(flaws(&told).await.iter().any(|f| f.contains("sealed")));
    told.control.delete(&[key]).await.unwrap();
    assert!(flaws(&told).await.iter().any(|f| f.contains("sealed")));
}

#[tokio::test]
async fn an_added_entry_with_a_good_digest_and_a_changed_plan_are_found() {
    let told = told().await;
    let loaded = load(&told.copies, RUN).await.unwrap();
    let number = loaded.entries.len() as u64;
    let record = Record::StepStarted { step: "swap".to_owned(), attempt: 2 };
    let forged = Entry { number, at: loaded.state.last, fence: 1, previous: loaded.last, record };
    for store in [&told.control, &told.local] {
        store.overwrite(&entry_key(RUN, number), forged.to_bytes().unwrap());
    }
    let found = flaws(&told).await;
    assert!(found.iter().any(|f| f.contains("follows the end")), "{found:?}");
    assert_eq!(load(&told.copies, RUN).await.unwrap_err().kind(), Kind::Damaged);

    let told = self::told().await;
    let plan = bytes(&told.control, &plan_key(RUN)).await;
    told.control.overwrite(&plan_key(RUN), plan.replace("Region failure", "Region holiday"));
    assert!(flaws(&told).await.iter().any(|f| f.contains("the plan was changed")));
    assert_eq!(load(&told.copies, RUN).await.unwrap_err().kind(), Kind::Damaged);
    told.control.overwrite(&format!("{}note.txt", keys::run_prefix(RUN)), "hello");
    assert!(flaws(&told).await.iter().any(|f| f.contains("note.txt was added")));
}

#[tokio::test]
async fn a_local_copy_that_went_another_way_is_set_aside() {
    let told = told().await;
    let last = journal_length().await - 1;
    let control = [entry_key(RUN, last), seal_key(RUN, last)];
    told.control.delete(&control).await.unwrap();
    told.local.delete(&[seal_key(RUN, last)]).await.unwrap();
    // The control store goes on another way than this machine.
    let elsewhere = Arc::new(MemoryStore::new("other"));
    let copies = Copies { local: elsewhere, ..told.copies.clone() };
    let loaded = load(&copies, RUN).await.unwrap();
    let record = Record::RunResumed { operator: "bob on b".to_owned() };
    let entry =
        Entry { number: last, at: loaded.state.last, fence: 2, previous: loaded.last, record };
    told.control.overwrite(&entry_key(RUN, last), entry.to_bytes().unwrap());
    let loaded = load(&told.copies, RUN).await.unwrap();
    assert_eq!(loaded.local_differs, Some(last));
    assert_eq!(loaded.state.operators, ["ann on ops-1", "bob on b"], "the store counts");
    let mut journal = Journal::go_on(told.copies.clone(), &loaded, false).await.unwrap();
    assert!(journal.news()[0].contains("another way"));
    let again = load(&told.copies, RUN).await.unwrap();
    assert_eq!((again.local_differs, again.entries.len()), (None, loaded.entries.len()));
}

#[tokio::test]
async fn runs_are_listed_and_meant_by_their_beginning() {
    let told = told().await;
    let all = list(&told.copies).await.unwrap();
    assert_eq!(all.runs.len(), 1);
    assert!(!all.runs[0].is_open() && !all.runs[0].local_only);
    for given in ["latest", "r2026", RUN] {
        assert_eq!(resolve(&told.copies, given).await.unwrap(), RUN);
    }
    assert_eq!(resolve(&told.copies, "r1999").await.unwrap_err().kind(), Kind::Usage);
    let away = FaultyStore::new(Arc::new(told.control.clone()));
    away.always(Op::List, Fault::Fail(Class::Transient));
    let copies = Copies { control: Arc::new(away), ..told.copies.clone() };
    let all = list(&copies).await.unwrap();
    assert!(all.control_away.is_some() && all.runs[0].local_only);
    assert_eq!(resolve(&copies, "latest").await.unwrap(), RUN);
    assert!(load(&copies, RUN).await.unwrap().control_away.is_some());
}
