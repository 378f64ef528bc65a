//! The workbench: buffers that are used again, as many as there are jobs, and the check of content
//! at them. Pure work for the CPU.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::looking::Reading;
use super::proven::Proven;
use crate::error::{Attempt as _, Error, Kind, Result};
use crate::integrity::{codec, rows};
use crate::model::{Digest, PartName, RowDigest};

/// Buffers for the uncompressed bytes of a part and of its base.
#[derive(Debug, Default)]
pub struct Bench {
    raw: Vec<u8>,
    base: Vec<u8>,
}

/// As many benches as may be at work at once.
#[derive(Debug)]
pub struct Benches {
    free: Mutex<Vec<Bench>>,
    permits: Arc<Semaphore>,
    /// None where there is one store only, in which nothing is met twice.
    pub proven: Option<Arc<Proven>>,
}

impl Benches {
    pub fn new(jobs: usize, stores: usize) -> Arc<Self> {
        let jobs = jobs.max(1);
        Arc::new(Self {
            free: Mutex::new((0..jobs).map(|_| Bench::default()).collect()),
            permits: Arc::new(Semaphore::new(jobs)),
            proven: (stores > 1).then(Arc::default),
        })
    }

    /// Does work at a bench, on a thread where it holds up nobody, once a bench is free.
    pub async fn at<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Bench) -> T + Send + 'static,
    ) -> Result<T> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .attempt(Kind::Bug, || "wait for a bench".to_owned())?;
        let benches = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let mut bench = benches.lock().pop().unwrap_or_default();
            let done = work(&mut bench);
            benches.lock().push(bench);
            drop(permit);
            done
        })
        .await
        .attempt(Kind::Bug, || "check a part on another thread".to_owned())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Bench>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part and what its list promises of it.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    pub name: PartName,
    pub stored_digest: Digest,
    pub stored: u64,
    pub raw: u64,
    /// Rows and their digest; a base is listed without.
    pub rows: Option<(u64, RowDigest)>,
}

/// What a check of one part came to: `Err` says what was expected and what was seen.
pub type Outcome = std::result::Result<(), String>;

fn damage(e: &Error) -> String {
    e.one_line()
}

fn check_stored(task: &Task, stored: &[u8]) -> Outcome {
    let seen = Digest::of(stored);
    if seen == task.stored_digest {
        return Ok(());
    }
    Err(match stored.len() as u64 == task.stored {
        true => {
            format!("its stored bytes have the SHA-256 {seen}, {} is promised", task.stored_digest)
        }
        false => format!("it has {} bytes, {} are promised", stored.len(), task.stored),
    })
}

/// Undoes what is stored.
fn undo(
    raw: &mut Vec<u8>,
    task: &Task,
    (_, cipher): Reading<'_>,
    stored: &[u8],
    base: Option<&[u8]>,
) -> Outcome {
    let opened = cipher.open(stored).map_err(|e| damage(&e))?;
    codec::decompress_into(raw, &opened, base, task.raw).map_err(|e| damage(&e))
}

fn check_raw(task: &Task, (format, cipher): Reading<'_>, raw: &[u8]) -> Outcome {
    codec::check_raw(raw, task.name.digest, cipher).map_err(|e| damage(&e))?;
    let Some((rows, row_digest)) = task.rows else { return Ok(()) };
    let tally = rows::tally(format, raw, &cipher.rows()).map_err(|e| damage(&e))?;
    if tally.rows != rows {
        return Err(format!("it holds {} rows, {rows} are promised", tally.rows));
    }
    if tally.digest != row_digest {
        return Err(format!("its rows have the digest {}, {row_digest} is promised", tally.digest));
    }
    Ok(())
}

/// Checks what its stored bytes are inside; they are the promised ones.
fn check_inside(
    raw: &mut Vec<u8>,
    task: &Task,
    reading: Reading<'_>,
    stored: &[u8],
    base: Option<&[u8]>,
    proven: Option<&Proven>,
) -> Outcome {
    undo(raw, task, reading, stored, base)?;
    check_raw(task, reading, raw)?;
    if let Some(proven) = proven {
        proven.note(task, reading.0);
    }
    Ok(())
}

/// What is to be looked at: `Check::Whole` undoes and counts, `Check::Footing` only wants the bytes
/// under the deltas, since the part itself was checked before or is not in the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    Whole,
    Footing,
}

impl Bench {
    /// Checks a plain part, and the deltas that rest on it. Where the plain part is not to be had
    /// or is damaged, of its deltas only the stored bytes can be checked: what is wrong is the base.
    pub fn check(
        &mut self,
        reading: Reading<'_>,
        base: Option<(&Task, Check, &Bytes)>,
        deltas: &[(Task, Bytes)],
        proven: Option<&Proven>,
    ) -> (Option<Outcome>, Vec<Outcome>) {
        let Self { raw, base: base_raw } = self;
        let known = |task: &Task| proven.is_some_and(|proven| proven.holds(task, reading.0));
        let whole = deltas.iter().map(|(task, stored)| (task, stored, check_stored(task, stored)));
        let whole: Vec<_> = whole.collect();
        // Its bytes are wanted only by deltas that are not known yet.
        let wanted = whole.iter().any(|(task, _, same)| same.is_ok() && !known(task));
        let base = base.map(|(task, check, stored)| match check {
            Check::Footing if deltas.is_empty() => Ok(()),
            _ => check_stored(task, stored).and_then(|()| match check {
                Check::Whole if !known(task) => {
                    check_inside(base_raw, task, reading, stored, None, proven)
                }
                _ if wanted => undo(base_raw, task, reading, stored, None),
                _ => Ok(()),
            }),
        });
        let sound = matches!(base, Some(Ok(())));
        let outcomes = whole.into_iter().map(|(task, stored, same)| match same {
            Ok(()) if sound && !known(task) => {
                check_inside(raw, task, reading, stored, Some(base_raw), proven)
            }
            same => same,
        });
        let outcomes = outcomes.collect();
        (base, outcomes)
    }
}
