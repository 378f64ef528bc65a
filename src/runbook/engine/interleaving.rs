//! Two operators, crashes, lost answers and a returning primary, in random interleavings: never two
//! writable epochs, and no effect twice.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;

use super::opening;
use super::stage::{Operator, Slip, Stage, facts, failover, now, step};
use crate::error::Kind;
use crate::providers::Arguments;
use crate::runbook::journal;
use crate::runbook::plan::Plan;
use crate::runbook::record::Ending;
use crate::store::fault::{Fault, FaultyStore, Op};
use crate::store::{Class, MemoryStore, ObjectStore, epoch, lease};

const RUN: &str = "r20261124T100000Z-00000a";
const STEPS: [&str; 6] = ["freeze", "fence", "scale", "promote", "swap", "tell"];

/// A random number that a seed gives again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// A region failover with the real `epoch.activate` before the promotion.
fn plan() -> Plan {
    let mut plan = failover();
    let mut activate = step("epoch", &["fence", "scale"]);
    activate.uses = "epoch.activate".to_owned();
    activate.with =
        Arguments(serde_json::Map::from_iter([("region".to_owned(), "us-west-2".into())]));
    activate.description.compensation = None;
    plan.steps[3].needs = vec!["epoch".to_owned()];
    plan.steps.insert(3, activate);
    plan
}

/// What both operators share.
struct Shared {
    memory: Arc<MemoryStore>,
    stage: Stage,
    plan: Plan,
    over: AtomicBool,
    /// Of the operator whose process holds the lease, and has died.
    dead: Mutex<Vec<u32>>,
    pids: AtomicU32,
}

/// One life of an operator's process: begins the run or goes on with it.
async fn life(shared: &Shared, pid: u32, operator: &Operator) {
    let ttl = Duration::from_secs(60);
    let hold = match operator.hold(pid, RUN, ttl).await {
        Ok(hold) => hold,
        Err(e) => {
            if e.kind() == Kind::LeaseHeld {
                take_from_the_dead(shared).await;
            }
            return;
        }
    };
    let first = format!("runs/{RUN}/00000000.json");
    let begun = shared.memory.head(&first, false).await.unwrap().is_some();
    let opened = match begun {
        false => {
            let plan = shared.plan.clone();
            opening::begin(operator.copies.clone(), plan, facts(RUN), hold, now()).await
        }
        true => {
            let by = format!("operator {pid} on ops");
            opening::resume(operator.copies.clone(), RUN, by, hold, now()).await
        }
    };
    match opened {
        Ok(opened) => {
            if let Ok(left) = operator.carry_on(opened).await
                && matches!(left.ending, Some(Ending::Succeeded | Ending::SucceededWithFailures))
            {
                shared.over.store(true, Ordering::SeqCst);
            }
        }
        // It is over, and its last writer died before it could say so.
        Err(e) if e.kind() == Kind::Usage => shared.over.store(true, Ordering::SeqCst),
        // The plan was stored and the first entry was not: nothing was begun.
        Err(_) => {}
    }
    // Whatever it was, this process ends without giving the lease back.
    shared.dead.lock().unwrap().push(pid);
}

/// What `process::is_gone` and the lease's time to live do: the lease of a dead process is free.
async fn take_from_the_dead(shared: &Shared) {
    let Ok(Some(info)) = lease::inspect(&*shared.memory, opening::LEASE).await else { return };
    if shared.dead.lock().unwrap().contains(&info.holder.pid) {
        let _ = lease::break_lease(&*shared.memory, opening::LEASE, "the dead").await;
    }
}

async fn operate(shared: &Shared, seed: u64, faults: bool) {
    let mut dice = Dice(seed | 1);
    let local = MemoryStore::new("local");
    for _ in 0..400 {
        if shared.over.load(Ordering::SeqCst) {
            return;
        }
        let store = FaultyStore::new(shared.memory.clone());
        for nth in 1..60 {
            let fault = match dice.below(12) {
                0 if faults => Fault::FailAfter,
                1 if faults => Fault::Fail(Class::Unknown),
                2 if faults => Fault::Fail(Class::Transient),
                3 | 4 => Fault::Slow(Duration::from_micros(dice.below(3000))),
                _ => continue,
            };
            store.on(if dice.below(3) == 0 { Op::Get } else { Op::Put }, nth, fault);
        }
        let mut operator = Operator::new(&shared.stage, Arc::new(store));
        operator.copies.local = Arc::new(local.clone());
        operator.takes = Duration::from_micros(500 + dice.below(4000));
        let pid = shared.pids.fetch_add(1, Ordering::SeqCst);
        let crash = Duration::from_micros(2_000 + dice.below(60_000));
        tokio::select! {
            () = life(shared, pid, &operator) => {}
            () = tokio::time::sleep(crash) => {}
        }
        shared.dead.lock().unwrap().push(pid);
        tokio::time::sleep(Duration::from_micros(dice.below(3000))).await;
    }
    panic!("the run does not come to an end");
}

/// A write that a client got through: to which region, under which epoch.
type Write = (String, u64);

/// Clients that try both regions. A region takes a write if it is up as a primary and the epoch, as
/// it reads it, names it.
async fn clients(shared: &Shared, seed: u64) -> Vec<Write> {
    let mut dice = Dice(seed | 1);
    let mut writes = Vec::new();
    // The primary fails, and is back some time later with all that it had.
    let (fails, returns) = (dice.below(20), 20 + dice.below(40));
    let mut tick = 0;
    while !shared.over.load(Ordering::SeqCst) {
        tick += 1;
        tokio::time::sleep(Duration::from_micros(200 + dice.below(800))).await;
        let now = epoch::read(&*shared.memory).await.unwrap();
        let (number, active) = match &now {
            Some(epoch) => (epoch.number, epoch.region.as_str()),
            None => (0, "us-east-1"),
        };
        let east_is_up = tick < fails || tick > returns;
        let west_is_primary = shared.stage.made("promote") > 0;
        let mut took = 0;
        if east_is_up && active == "us-east-1" {
            writes.push(("us-east-1".to_owned(), number));
            took += 1;
        }
        if west_is_primary && active == "us-west-2" {
            writes.push(("us-west-2".to_owned(), number));
            took += 1;
        }
        assert!(took < 2, "two regions took a write at once");
        // A region that was promoted before the epoch says so would be a second primary.
        assert!(!west_is_primary || active == "us-west-2", "promoted outside of its epoch");
    }
    writes
}

async fn interleaved(seed: u64) {
    let mut dice = Dice(seed | 1);
    let shared = Shared {
        memory: Arc::new(MemoryStore::new("west")),
        stage: Stage::default(),
        plan: plan(),
        over: AtomicBool::new(false),
        dead: Mutex::default(),
        pids: AtomicU32::new(1),
    };
    for step in STEPS {
        // Fewer than the tries that a step has.
        let slips = (0..dice.below(3)).map(|_| match dice.below(2) {
            0 => Slip::Before,
            _ => Slip::AnswerLost,
        });
        shared.stage.slips(step, &slips.collect::<Vec<_>>());
    }
    let (one, other, third) = (dice.below(u64::MAX), dice.below(u64::MAX), dice.below(u64::MAX));
    let faults = dice.below(4) > 0;
    let (writes, (), ()) = tokio::join!(
        clients(&shared, third),
        operate(&shared, one, faults),
        operate(&shared, other, faults),
    );
    for step in STEPS {
        assert_eq!(shared.stage.made(step), 1, "{step}");
    }
    let epoch = epoch::read(&*shared.memory).await.unwrap().unwrap();
    assert_eq!(
        (epoch.number, epoch.region.as_str(), epoch.run.as_deref()),
        (1, "us-west-2", Some(RUN))
    );
    assert!(writes.is_sorted_by_key(|(_, number)| *number), "an older epoch took a late write");
    assert!(writes.iter().all(|(region, number)| (*number == 0) == (region == "us-east-1")));
    let copies = journal::Copies {
        control: shared.memory.clone(),
        local: Arc::new(MemoryStore::new("nowhere")),
    };
    let proof = journal::verify(&copies, RUN).await.unwrap();
    assert!(proof.is_intact(), "{proof:?}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("DRCTL_INTERLEAVINGS").ok().and_then(|n| n.parse().ok()).unwrap_or(40),
        max_shrink_iters: 0,
        ..ProptestConfig::default()
    })]

    #[test]
    fn never_two_writable_epochs_and_no_effect_twice(seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(60), interleaved(seed)).await.unwrap();
        });
    }
}
