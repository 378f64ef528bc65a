//! The loss that is to be expected, shown and agreed to before a run is confirmed.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use futures_util::future::join_all;

use super::interrupt;
use super::run_args::How;
use crate::error::{Error, Kind, Result};
use crate::postgres::replication::Limits;
use crate::providers::postgres::loss::{self, Accepted};
use crate::providers::{ExpectedLoss, Mode, World};
use crate::runbook::plan::Plan;

/// What each server may take to answer: somebody waits for the plan, in the middle of an outage.
const LIMIT: Duration = Duration::from_secs(3);

/// What can be told before anything is done.
pub struct Foreseen {
    /// Of each database that the plan assesses.
    pub loss: Vec<ExpectedLoss>,
    /// Databases whose primary does not answer.
    silent: Vec<String>,
}

/// Looks at the servers of what the plan assesses. Changes nothing.
pub async fn foresee(world: &World, plan: &Plan) -> Result<Foreseen> {
    let assessing = plan.steps.iter().filter(|step| step.uses == "loss.assess");
    let looks = assessing.map(async |step| {
        let with: loss::With = step.with.read(&step.uses)?;
        loss::foresee(world, with, plan.mode, Limits::each(LIMIT)).await
    });
    let seen: Vec<_> = join_all(looks).await.into_iter().collect::<Result<_>>()?;
    let silent = seen.iter().filter(|(_, answers)| !answers);
    let silent = silent.map(|(loss, _)| loss.database.clone()).collect();
    Ok(Foreseen { loss: seen.into_iter().map(|(loss, _)| loss).collect(), silent })
}

impl Foreseen {
    /// That the run will wait at a fence, where it is sure to: a primary that does not answer cannot
    /// be fenced, and nobody has agreed to that.
    pub fn will_wait(&self, plan: &Plan, how: &How) -> Option<String> {
        if how.accept_unfenced || plan.mode == Mode::Graceful {
            return None;
        }
        let ours = |database: &str| self.silent.iter().any(|silent| silent == database);
        let fence = plan.steps.iter().find(|step| {
            let database = step.with.0.get("database").and_then(|d| d.as_str());
            step.uses == "postgres.fence" && database.is_some_and(ours)
        })?;
        Some(format!(
            "the primary in {} does not answer, so it cannot be fenced: the run will wait at `{}` for \
             a second person (drctl approve RUN {}), unless it is begun with --accept-unfenced",
            plan.from, fence.id, fence.id
        ))
    }
}

/// One line for each database; none where the plan assesses no loss.
pub fn in_words(expected: &[ExpectedLoss]) -> Option<String> {
    let line = |loss: &ExpectedLoss| {
        let ExpectedLoss { database, prediction } = loss;
        let unknown = prediction.seconds.is_none() || prediction.bytes.is_none();
        let mark = match (unknown, prediction.seconds) {
            (true, None) => "UNKNOWN: ",
            _ => "",
        };
        format!("`{database}`: {mark}{}; {}", prediction.in_words(), prediction.basis)
    };
    let lines: Vec<_> = expected.iter().map(line).collect();
    (!lines.is_empty()).then(|| lines.join(". "))
}

/// What the operator has agreed to. `Kind::Usage` where it cannot be read.
pub fn accepted(how: &How) -> Result<Option<Accepted>> {
    let read = |text: &String| {
        text.parse().map_err(|why: String| Error::new(Kind::Usage, format!("--accept-loss: {why}")))
    };
    how.accept_loss.as_ref().map(read).transpose()
}

/// The losses that nobody has agreed to, and what agrees to them.
fn open(
    plan: &Plan,
    expected: &[ExpectedLoss],
    accepted: Option<Accepted>,
) -> Vec<(String, String)> {
    let judged = expected.iter().map(|loss| {
        let refused = loss::judge(&loss.prediction, accepted, plan.rpo).err()?;
        Some((format!("`{}`: {}", loss.database, refused.0), refused.1))
    });
    judged.flatten().collect()
}

/// Refuses a run whose loss is unknown or too much and that nobody agreed to; asks where somebody can
/// be asked. What was agreed to then.
pub async fn agree(plan: &Plan, expected: &[ExpectedLoss], how: &How) -> Result<Option<String>> {
    let open = open(plan, expected, accepted(how)?);
    let Some((first, hint)) = open.first() else { return Ok(None) };
    let refused = || {
        let what = format!("begin a run: {first}");
        Error::new(Kind::Unverified, what).hint(format!("nothing was begun; {hint}"))
    };
    if how.confirm.is_some() || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal()
    {
        return Err(refused());
    }
    let mut out = std::io::stderr();
    for (what, _) in &open {
        let _ = writeln!(out, "\n{what}.");
    }
    let _ = write!(
        out,
        "To agree, type how much may be lost: `unknown` for whatever it is, a time (5m) or bytes of \
         WAL (16MiB): "
    );
    let _ = out.flush();
    let typed = interrupt::line().await.trim().to_owned();
    let given = typed.parse::<Accepted>().map_err(|why| {
        Error::new(Kind::Usage, format!("agree to the loss: {why}")).hint("nothing was begun")
    })?;
    match self::open(plan, expected, Some(given)).is_empty() {
        true => Ok(Some(typed)),
        false => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::postgres::loss::Prediction;

    fn expected(seconds: Option<f64>, bytes: Option<u64>, basis: &str) -> ExpectedLoss {
        let basis = basis.to_owned();
        let prediction = Prediction { seconds, bytes, bytes_at_least: 0, safe_until: None, basis };
        ExpectedLoss { database: "petforce".to_owned(), prediction }
    }

    #[test]
    fn what_is_not_known_is_said_to_be_unknown() {
        let seen = "the standby has all that the primary had at 02:59:48 UTC";
        let words = [
            expected(Some(12.0), None, seen),
            expected(None, None, "nobody looked at the primary before"),
            expected(Some(0.0), Some(0), "the fence waits"),
        ]
        .map(|loss| in_words(&[loss]).unwrap());
        insta::assert_snapshot!(words.join("\n"), @r"
        `petforce`: at most the last 12.0 s, an unknown amount of WAL; the standby has all that the primary had at 02:59:48 UTC
        `petforce`: UNKNOWN: an unknown time, an unknown amount of WAL; nobody looked at the primary before
        `petforce`: nothing; the fence waits
        ");
        assert_eq!(in_words(&[]), None);
    }
}
