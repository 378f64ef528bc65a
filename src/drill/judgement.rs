//! How a drill came out, from what was found. Pure.

use super::account::{Check, Failure, Objectives, Outcome, Rehearsal, Standing};
use crate::error::Kind;

/// The outcome and its sentence.
pub fn judge(
    rehearsal: Rehearsal,
    failure: Option<(&Failure, Kind)>,
    checks: &[Check],
    objectives: &Objectives,
) -> (Outcome, String) {
    if let Some((failure, kind)) = failure {
        let outcome = match kind {
            Kind::Damaged => Outcome::Different,
            Kind::Unverified => Outcome::Unverified,
            _ => Outcome::Failed,
        };
        return (outcome, format!("it ended in the phase `{}`: {}", failure.phase, failure.error));
    }
    let named = |standing: Standing| {
        let names = checks.iter().filter(|c| c.standing == standing).map(|c| c.name.as_str());
        names.collect::<Vec<_>>()
    };
    let failed = named(Standing::Failed);
    if failed.contains(&"rows") {
        return (Outcome::Different, "what was restored is not what was snapshotted".to_owned());
    }
    if !failed.is_empty() {
        return (Outcome::Failed, format!("failed: {}", failed.join(", ")));
    }
    let missed: Vec<&str> = [(objectives.rto_kept, "RTO"), (objectives.rpo_kept, "RPO")]
        .into_iter()
        .filter_map(|(kept, name)| (kept == Some(false)).then_some(name))
        .collect();
    if !missed.is_empty() {
        return (
            Outcome::Failed,
            match rehearsal {
                Rehearsal::Restore => {
                    format!("everything is proven, and the {} was missed", missed.join(" and the "))
                }
                Rehearsal::Failover => {
                    format!(
                        "clients are served again, and the {} was missed",
                        missed.join(" and the ")
                    )
                }
            },
        );
    }
    let unknown = named(Standing::Unknown);
    if !unknown.is_empty() {
        return (Outcome::Unverified, format!("could not be found out: {}", unknown.join(", ")));
    }
    let said = match rehearsal {
        Rehearsal::Restore => "everything was restored and proven, within the objectives",
        Rehearsal::Failover => {
            "a region was lost and clients were served again, within the objectives"
        }
    };
    (Outcome::Passed, said.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, standing: Standing) -> Check {
        let (said, details) = (String::new(), Vec::new());
        Check { name: name.to_owned(), standing, said, details, seconds: 0.0 }
    }

    fn objectives(rto_kept: Option<bool>, rpo_kept: Option<bool>) -> Objectives {
        Objectives {
            rto_seconds: 900.0,
            rpo_seconds: 3600.0,
            recovery_seconds: None,
            rto_kept,
            loss_seconds: None,
            rpo_kept,
        }
    }

    #[test]
    fn nothing_but_all_of_it_passes() {
        use Standing::{Failed, Noted, Passed, Skipped, Unknown};
        let of = |standings: &[(&str, Standing)], kept| {
            let checks: Vec<_> = standings.iter().map(|(n, s)| check(n, *s)).collect();
            judge(Rehearsal::Restore, None, &checks, &objectives(kept, None)).0
        };
        let kept = Some(true);
        assert_eq!(of(&[("rows", Passed), ("a", Noted), ("b", Skipped)], kept), Outcome::Passed);
        assert_eq!(of(&[("rows", Failed), ("a", Failed)], kept), Outcome::Different);
        assert_eq!(of(&[("rows", Passed), ("a", Failed)], kept), Outcome::Failed);
        assert_eq!(of(&[("rows", Passed), ("a", Unknown)], kept), Outcome::Unverified);
        assert_eq!(of(&[("a", Unknown), ("b", Failed)], kept), Outcome::Failed);
        assert_eq!(of(&[("rows", Passed)], Some(false)), Outcome::Failed);
        let failure = Failure { phase: "verify".into(), error: "x".into(), hint: None };
        let by = |kind| {
            judge(Rehearsal::Failover, Some((&failure, kind)), &[], &objectives(None, None)).0
        };
        assert_eq!(by(Kind::Damaged), Outcome::Different);
        assert_eq!(by(Kind::Unverified), Outcome::Unverified);
        assert_eq!(by(Kind::Usage), Outcome::Failed);
    }
}
