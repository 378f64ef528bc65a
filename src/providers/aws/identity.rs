//! Who drctl is to AWS in each region, and for how long.

use std::time::{Duration, SystemTime};

use super::clients::{Clients, GLOBAL};
use super::failure::Call;
use crate::error::Error;
use crate::providers::{Check, Failure, FailureClass, Standing};

/// Credentials that live no longer than this must not begin a run.
const ENOUGH: Duration = Duration::from_hours(1);

/// Whether the credentials for `region` are taken there, and for how long. `needed` is how long a
/// run may take. Asks the region's own STS: the global endpoint is served from us-east-1 for some
/// callers, and fails over nowhere by itself (IAM User Guide, "Manage AWS STS in an AWS Region" and
/// "AWS STS Regions and endpoints").
pub async fn identity(clients: &Clients, region: &str, needed: Duration) -> Vec<Check> {
    let what = match region {
        GLOBAL => "credentials for Route 53".to_owned(),
        region => format!("credentials in {region}"),
    };
    let reach = match clients.at(region).await {
        Ok(reach) => reach,
        Err(f) => return vec![failed(what, f)],
    };
    let credentials = match reach.credentials().await {
        Ok(credentials) => credentials,
        Err(e) => return vec![refused(what, &e)],
    };
    let mut checks = Vec::new();
    if let Some(expiry) = credentials.expiry() {
        checks.push(life(format!("{what}: how long they live"), expiry, needed));
    }
    // An endpoint of its own stands for Route 53 alone and knows no STS.
    if region == GLOBAL && clients.has_own_endpoint(GLOBAL) {
        let found = "there; whether they are taken shows in what Route 53 answers";
        checks.push(Check::new(Standing::Unproven, what, found));
        return checks;
    }
    let call = Call::reads("sts:GetCallerIdentity", format!("ask STS in {region} who this is"));
    checks.push(match reach.sts().get_caller_identity().send().await.map_err(|e| call.failed(e)) {
        Ok(who) => {
            let (arn, account) = (who.arn().unwrap_or("unknown"), who.account());
            let found = format!("{arn} in account {}", account.unwrap_or("unknown"));
            Check::new(Standing::Ready, what, found)
        }
        Err(f) => failed(what, f),
    });
    checks
}

fn life(what: String, expiry: SystemTime, needed: Duration) -> Check {
    let left = expiry.duration_since(SystemTime::now()).unwrap_or_default();
    let minutes = left.as_secs() / 60;
    let found = format!("they expire in {minutes} minutes");
    if left < needed {
        return Check::new(Standing::NotReady, what, found)
            .hint("renew them before the run (`aws sso login`): it would end in the middle");
    }
    let standing = if left < ENOUGH { Standing::Warning } else { Standing::Ready };
    Check::new(standing, what, found)
}

/// A check that came to nothing because AWS refused it or did not answer.
pub(super) fn failed(what: impl Into<String>, f: Failure) -> Check {
    match f.class {
        FailureClass::Permanent => refused(what, &f.error),
        _ => unproven(what, &f.error),
    }
}

/// As `failed`, where the step itself does not need the answer.
pub(super) fn unproven(what: impl Into<String>, e: &Error) -> Check {
    with_advice(Check::new(Standing::Unproven, what, e.one_line()), e)
}

fn refused(what: impl Into<String>, e: &Error) -> Check {
    with_advice(Check::new(Standing::NotReady, what, e.one_line()), e)
}

fn with_advice(check: Check, e: &Error) -> Check {
    match e.advice() {
        Some(hint) => check.hint(hint),
        None => check,
    }
}

/// Says that a permission to change something cannot be tried.
pub(super) fn untried(what: impl Into<String>, permissions: &[&str]) -> Check {
    let found =
        format!("{}: no form of it changes nothing, so it is not tried", permissions.join(" and "));
    Check::new(Standing::Unproven, what, found)
        .hint("docs/iam/failover.json is a policy with all that runbooks need; a drill proves it")
}
