//! One try of one turn: the lease, a look at what others recorded, the job itself, the record.

use std::future::Future;
use std::time::Duration;

use futures_util::future::{self, Either};
use tokio::sync::watch;

use super::due::{Turn, Unit};
use super::happening::Happening;
use super::ports::{Claim, Claimed, Clock, Ended, Ports};
use super::record::{FORMAT, Record};
use super::standing::{Outcome, Running};
use crate::error::{Error, Kind, Result};
use crate::model::Verdict;

/// How long anything asked of the stores may take before the work goes on without it.
pub(super) const ASKING: Duration = Duration::from_secs(20);
/// How long a heartbeat URL may take.
const CALLING: Duration = Duration::from_secs(15);
/// Waits before another try where the command itself found somebody at work: at first he may be
/// dead, and then his lease runs out soon.
const ELSEWHERE: Duration = Duration::from_secs(3);
/// The exit code of a command that found its lease held.
const HELD: i32 = 5;

/// What came of a try.
#[derive(Debug)]
pub(super) enum Tried {
    /// Somebody else has it; look again after so long.
    Elsewhere {
        by: String,
        wait: Duration,
    },
    /// Somebody else did it meanwhile.
    NotDue(Record),
    Ran {
        record: Record,
        outcome: Outcome,
        hint: Option<String>,
    },
}

/// The name of a unit's lease.
pub fn lease(unit: &str) -> String {
    format!("job-{unit}")
}

/// `act`, given up after `limit`, whatever it waits for.
pub(super) async fn within<T>(
    clock: &dyn Clock,
    limit: Duration,
    what: &str,
    act: impl Future<Output = Result<T>>,
) -> Result<T> {
    let act = std::pin::pin!(act);
    match future::select(act, clock.sleep(limit)).await {
        Either::Left((done, _)) => done,
        Either::Right(((), _)) => {
            let limit = humantime::format_duration(limit);
            Err(Error::new(Kind::Failed, format!("{what}: no answer within {limit}")))
        }
    }
}

/// Tries one turn. `known` is what this runner knows of the unit.
pub(super) async fn attempt(
    ports: Ports,
    unit: Unit,
    turn: Turn,
    known: Record,
    runner: String,
    stop: watch::Receiver<bool>,
) -> Tried {
    let (clock, id) = (&*ports.clock, unit.id());
    let purpose = format!("run the job {id}");
    let lease = lease(&id);
    let claim = ports.ledger.claim(&lease, &purpose);
    let claim = match within(clock, ASKING, "take the lease", claim).await {
        Ok(Claimed::Ours(claim)) => Some(claim),
        Ok(Claimed::Held { by, left }) => {
            let wait = (left + Duration::from_secs(1)).min(Duration::from_secs(60));
            return Tried::Elsewhere { by, wait };
        }
        // Without a store for leases the job goes on alone: each command has a lease of its own where
        // two at once would harm.
        Err(e) => {
            trouble(&ports, format!("{id}: take its lease"), &e);
            None
        }
    };
    let record = match within(clock, ASKING, "read the record", ports.ledger.read(&id)).await {
        Ok(found) => found,
        Err(e) => {
            trouble(&ports, format!("{id}: read its record"), &e);
            known
        }
    };
    let mut record = bury(&unit, record, &ports);
    let now = clock.now();
    if *stop.borrow() || unit.look(&record, now).turn.is_none_or(|due| due.at < turn.at) {
        give_back(&ports, claim).await;
        return Tried::NotDue(record);
    }
    if turn.missed > 0 {
        let missed = Happening::TurnsMissed { unit: id.clone(), missed: turn.missed };
        ports.diary.note(now, missed);
    }
    let begun = Happening::JobStarted { unit: id.clone(), turn: turn.at, missed: turn.missed };
    ports.diary.note(now, begun);
    record.format = FORMAT;
    record.written = now;
    record.running = Some(Running { turn: turn.at, began: now, runner: runner.clone() });
    let record = write(&ports, &id, record).await;
    let ended = ports.work.run(&unit, stop).await;
    if ended.exit_code == Some(HELD) {
        // Somebody took a snapshot by hand, or the one whose job this was is just dead.
        let cleared = Record { running: None, written: clock.now(), ..record };
        write(&ports, &id, cleared).await;
        give_back(&ports, claim).await;
        return Tried::Elsewhere { by: ended.summary, wait: ELSEWHERE };
    }
    let (record, outcome, hint) = keep(&ports, &id, record, turn, runner, now, ended).await;
    give_back(&ports, claim).await;
    if outcome.verdict.is_good()
        && let Some(url) = &unit.job.heartbeat
        && let Err(e) = within(clock, CALLING, "call the heartbeat", ports.beats.call(url)).await
    {
        trouble(&ports, format!("{id}: call its heartbeat"), &e);
    }
    Tried::Ran { record, outcome, hint }
}

/// With this lease ours, whatever is recorded as under way has no runner any more.
fn bury(unit: &Unit, mut record: Record, ports: &Ports) -> Record {
    let now = ports.clock.now();
    if let Some(Running { turn, began, runner }) = record.running.take() {
        record.add(Outcome {
            turn,
            began,
            ended: now.max(began),
            runner,
            verdict: Verdict::Interrupted,
            exit_code: None,
            summary: "its runner gave no more sign of life".to_owned(),
            missed: 0,
        });
    }
    if unit.disbelieve(&mut record, now) {
        ports.diary.note(now, Happening::ClockSetBack { unit: unit.id() });
    }
    record
}

async fn keep(
    ports: &Ports,
    id: &str,
    mut record: Record,
    turn: Turn,
    runner: String,
    began: chrono::DateTime<chrono::Utc>,
    ended: Ended,
) -> (Record, Outcome, Option<String>) {
    let now = ports.clock.now();
    let outcome = Outcome {
        turn: turn.at,
        began,
        ended: now,
        runner,
        verdict: ended.verdict,
        exit_code: ended.exit_code,
        summary: ended.summary,
        missed: turn.missed,
    };
    ports.diary.note(now, Happening::JobEnded { unit: id.to_owned(), outcome: outcome.clone() });
    record.written = now;
    record.add(outcome.clone());
    (write(ports, id, record).await, outcome, ended.hint)
}

/// Writes a record; what cannot be written is still known here.
async fn write(ports: &Ports, id: &str, record: Record) -> Record {
    let act = ports.ledger.write(id, &record);
    match within(&*ports.clock, ASKING, "write the record", act).await {
        Ok(merged) => merged,
        Err(e) => {
            trouble(ports, format!("{id}: write its record"), &e);
            record
        }
    }
}

async fn give_back(ports: &Ports, claim: Option<Box<dyn Claim>>) {
    if let Some(claim) = claim {
        let release = async {
            claim.release().await;
            Ok(())
        };
        // One that cannot be given back runs out.
        let _ = within(&*ports.clock, ASKING, "release the lease", release).await;
    }
}

pub(super) fn trouble(ports: &Ports, what: String, e: &Error) {
    ports.diary.note(ports.clock.now(), Happening::Trouble { what, error: e.one_line() });
}
