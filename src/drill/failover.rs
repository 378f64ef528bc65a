//! The account of a failover drill, from what was measured. Pure.

use chrono::{DateTime, Utc};

use super::account::{
    Account, Check, FORMAT, Failover, Failure, Objectives, Phase, Rehearsal, ScratchFacts,
    Standing, Teardown,
};
use super::history::{line, regressions};
use super::judgement::judge;
use super::record::Scratch;
use crate::error::Error;
use crate::model::DrillId;
use crate::store::Holder;

/// What a failover drill found.
pub struct Found {
    pub facts: Failover,
    /// From the fault until clients were served for good; none: they are not.
    pub recovery_seconds: Option<f64>,
    /// None: unknown.
    pub loss_seconds: Option<f64>,
    pub phases: Vec<Phase>,
    pub checks: Vec<Check>,
    pub warnings: Vec<String>,
    /// What ended it, and the phase that it was in.
    pub failure: Option<(Error, String)>,
    pub teardown: Teardown,
}

/// Everything that was measured.
pub struct Rehearsed {
    pub id: DrillId,
    pub project: String,
    /// The runbook.
    pub subject: String,
    pub began: DateTime<Utc>,
    pub seconds: f64,
    pub holder: Holder,
    pub scratch: Scratch,
    pub objectives: crate::config::Objectives,
    pub found: Found,
}

/// A check as the account has it.
pub fn check_of(
    name: &str,
    standing: Standing,
    said: impl Into<String>,
    details: Vec<String>,
) -> Check {
    Check { name: name.to_owned(), standing, said: said.into(), details, seconds: 0.0 }
}

/// The account, compared with earlier drills of the same runbook, the oldest first.
pub fn account_of(rehearsed: Rehearsed, earlier: &[Account]) -> Account {
    let found = rehearsed.found;
    let rto_seconds = rehearsed.objectives.rto.as_secs_f64();
    let rpo_seconds = rehearsed.objectives.rpo.as_secs_f64();
    let objectives = Objectives {
        rto_seconds,
        rpo_seconds,
        recovery_seconds: found.recovery_seconds,
        rto_kept: found.recovery_seconds.map(|seconds| seconds <= rto_seconds),
        loss_seconds: found.loss_seconds,
        rpo_kept: found.loss_seconds.map(|seconds| seconds <= rpo_seconds),
    };
    let kind = found.failure.as_ref().map(|(e, _)| e.kind());
    let failure = found.failure.map(|(e, phase)| Failure {
        phase,
        error: e.one_line(),
        hint: e.advice().map(str::to_owned),
    });
    let rehearsal = Rehearsal::Failover;
    let (outcome, said) = judge(rehearsal, failure.as_ref().zip(kind), &found.checks, &objectives);
    let scratch = ScratchFacts {
        kind: rehearsed.scratch.kind().to_owned(),
        place: rehearsed.scratch.place(),
        ..ScratchFacts::default()
    };
    let regressions = regressions(&found.phases, None, &scratch.kind, earlier);
    Account {
        format: FORMAT,
        id: rehearsed.id.to_string(),
        rehearsal,
        project: rehearsed.project,
        subject: rehearsed.subject,
        outcome,
        said,
        began: rehearsed.began,
        seconds: rehearsed.seconds,
        operator: format!("{} on {}", rehearsed.holder.user, rehearsed.holder.host),
        program: concat!("drctl ", env!("CARGO_PKG_VERSION")).to_owned(),
        snapshot: None,
        failover: Some(found.facts),
        scratch,
        objectives,
        phases: found.phases,
        checks: found.checks,
        allowed: Vec::new(),
        warnings: found.warnings,
        regressions,
        history: earlier.iter().map(line).collect(),
        failure,
        teardown: found.teardown,
    }
}
