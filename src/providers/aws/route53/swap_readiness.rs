//! Whether a swap would go through, and how long clients would keep the old answer.

use super::records::{find, state};
use super::state::{Change, State, diff};
use super::swap::Swap;
use super::swap_arguments::Wanted;
use crate::providers::aws::clients::GLOBAL;
use crate::providers::aws::failure::Call;
use crate::providers::aws::identity::{failed, unproven, untried};
use crate::providers::{Check, Context, Standing};

/// Resolvers keep an answer for its TTL: more than this eats too much of the clock.
const LONG_TTL: i64 = 60;

pub(super) async fn checks(cx: &Context<'_>, swap: &Swap) -> Vec<Check> {
    let mut checks = Vec::new();
    for wanted in &swap.records {
        let what = format!("record {wanted} of zone {}", swap.zone);
        match find(cx, &swap.zone, wanted).await {
            Ok(found) => {
                let now = found.as_ref().map(state);
                checks.push(as_expected(what, wanted, now.as_ref()));
                checks.extend(now.as_ref().and_then(|now| ttl(wanted, now)));
                let id = wanted.to.health_check.clone();
                if let Some(id) = id.or(now.and_then(|now| now.health_check)) {
                    checks.push(health_check(cx, wanted, &id).await);
                }
            }
            Err(f) => checks.push(failed(what, f)),
        }
    }
    let what = format!("permission to change zone {}", swap.zone);
    checks.push(untried(what, &["route53:ChangeResourceRecordSets"]));
    checks
}

fn as_expected(what: String, wanted: &Wanted, now: Option<&State>) -> Check {
    match diff(now, &wanted.to, wanted.from.as_ref()) {
        Change::Nothing => {
            Check::new(Standing::Warning, what, format!("it says already {}", wanted.to))
                .hint("the swap would change nothing: is the other region active?")
        }
        Change::Set(_) | Change::Create(_) => {
            let now = now.map_or_else(|| "not there yet".to_owned(), State::to_string);
            Check::new(Standing::Ready, what, format!("as expected: {now}"))
        }
        Change::Refused(why) => Check::new(Standing::NotReady, what, why)
            .hint("correct the record, or `from` in the runbook"),
    }
}

/// How long the old answer lives. A Route 53 alias of a load balancer has 60 s (Route 53 Developer
/// Guide, "Values specific for alias records").
fn ttl(wanted: &Wanted, now: &State) -> Option<Check> {
    let (what, ttl) = (format!("TTL of {wanted}"), now.ttl?);
    Some(match ttl > LONG_TTL {
        true => Check::new(
            Standing::Warning,
            what,
            format!("{ttl} s: clients keep the old answer so long"),
        )
        .hint("lower it to 60 s or less now: resolvers keep what they have for the old TTL"),
        false => Check::new(Standing::Ready, what, format!("{ttl} s")),
    })
}

async fn health_check(cx: &Context<'_>, wanted: &Wanted, id: &str) -> Check {
    let what = format!("health check {id} of {wanted}");
    let call = Call::reads("route53:GetHealthCheck", format!("look at health check {id}"));
    let asked = async {
        let reach = cx.world.aws.at(GLOBAL).await?;
        let request = reach.route53().get_health_check().health_check_id(id);
        request.send().await.map_err(|e| call.failed(e))
    };
    match asked.await {
        Ok(_) => Check::new(Standing::Ready, what, "there"),
        Err(f) if f.error.one_line().contains("NoSuchHealthCheck") => {
            Check::new(Standing::NotReady, what, "there is none of that id")
        }
        Err(f) => unproven(what, &f.error),
    }
}
