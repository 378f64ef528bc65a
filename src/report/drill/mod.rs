//! The report of a drill: for auditors, tickets and people.

mod drawing;
mod html;
mod markdown;

pub use html::html;
pub use markdown::markdown;

use super::words::{moment, span};
use crate::drill::account::{Account, Failover, Objectives, Rehearsal, Teardown};

#[cfg(test)]
mod tests;

/// "Restore drill of petforce".
fn title(account: &Account) -> String {
    match account.rehearsal {
        Rehearsal::Restore => format!("Restore drill of {}", account.subject),
        Rehearsal::Failover => format!("Failover drill: {}", account.subject),
    }
}

/// "PASSED: everything was restored …".
fn verdict(account: &Account) -> String {
    format!("{}: {}", account.outcome.as_str().to_uppercase(), account.said)
}

fn recovery(objectives: &Objectives) -> String {
    let rto = span(objectives.rto_seconds);
    match (objectives.recovery_seconds, objectives.rto_kept) {
        (Some(seconds), Some(true)) => format!("{}, within the RTO of {rto}", span(seconds)),
        (Some(seconds), _) => format!("{}: the RTO of {rto} was MISSED", span(seconds)),
        (None, _) => format!("not recovered; the RTO is {rto}"),
    }
}

fn loss(account: &Account) -> String {
    let objectives = &account.objectives;
    let rpo = span(objectives.rpo_seconds);
    let what = match account.rehearsal {
        Rehearsal::Restore => "the newest snapshot was ",
        Rehearsal::Failover => "lost: ",
    };
    let old = match account.rehearsal {
        Rehearsal::Restore => " old",
        Rehearsal::Failover => "",
    };
    match (objectives.loss_seconds, objectives.rpo_kept) {
        (Some(s), Some(true)) => format!("{what}{}{old}, within the RPO of {rpo}", span(s)),
        (Some(s), Some(false)) => format!("{what}{}{old}: the RPO of {rpo} was MISSED", span(s)),
        (Some(s), None) => format!("{what}{}{old}; the RPO is {rpo}", span(s)),
        (None, _) => format!("UNKNOWN; the RPO is {rpo}"),
    }
}

fn teardown(account: &Account) -> String {
    match &account.teardown {
        Teardown::Clean { removed } if removed.is_empty() => "nothing had been made".to_owned(),
        Teardown::Clean { removed } => format!("nothing is left: removed {}", removed.join(", ")),
        Teardown::Kept { reach, remove } => format!("KEPT as asked: `{reach}`; remove: `{remove}`"),
        Teardown::Left { what, why } => {
            format!("LEFT BEHIND: {what}: {why}; the next drill tries again")
        }
    }
}

/// "`scripts/lab fail east kill`, at …".
fn fault(failover: &Failover) -> String {
    match failover.fault_at {
        Some(at) => format!("`{}`, at {}", failover.fault, moment(at)),
        None => format!("`{}`: it did not come to it", failover.fault),
    }
}
