//! Writing records as they should be, and only over what was seen.

use aws_sdk_route53::types::{ChangeAction, ResourceRecordSet};

use super::records::{Entry, change, find};
use super::swap_arguments::Wanted;
use crate::error::{Error, Kind};
use crate::providers::{Context, Failure, FailureClass};

/// A record as it was seen and as it should be; none: there is none.
pub(super) struct Rewrite<'w> {
    pub wanted: &'w Wanted,
    pub seen: Option<ResourceRecordSet>,
    pub to: Option<ResourceRecordSet>,
}

/// Every record at once, or none: what was seen is deleted and the new one made. Route 53 deletes a
/// record only if all its values are given as they are, and makes all changes of a batch or none (API
/// Reference, ChangeResourceRecordSets), so a record that somebody changes between the look and this
/// is not written over.
fn guarded(all: &[Rewrite<'_>]) -> Vec<Entry> {
    let old = all.iter().filter_map(|r| Some((ChangeAction::Delete, r.seen.clone()?)));
    let new = all.iter().filter_map(|r| Some((ChangeAction::Create, r.to.clone()?)));
    old.chain(new).collect()
}

/// The same without that guard.
fn plain(all: &[Rewrite<'_>]) -> Vec<Entry> {
    let entry = |r: &Rewrite<'_>| match (&r.seen, &r.to) {
        (Some(_), Some(to)) => Some((ChangeAction::Upsert, to.clone())),
        (None, Some(to)) => Some((ChangeAction::Create, to.clone())),
        (Some(seen), None) => Some((ChangeAction::Delete, seen.clone())),
        (None, None) => None,
    };
    all.iter().filter_map(entry).collect()
}

/// Writes, and gives the id of the change. Refused where a record is not as it was seen.
pub(super) async fn write(
    cx: &Context<'_>,
    zone: &str,
    what: &str,
    all: &[Rewrite<'_>],
) -> Result<String, Failure> {
    let refused = match change(cx, zone, what, guarded(all)).await {
        Err(failure) if failure.class == FailureClass::Permanent => failure,
        outcome => return outcome,
    };
    let mut changed = Vec::new();
    for Rewrite { wanted, seen, .. } in all {
        if find(cx, zone, wanted).await? != *seen {
            changed.push(format!("{wanted} was changed in the meantime"));
        }
    }
    if !changed.is_empty() {
        let error = Error::new(Kind::Failed, what).caused_by(changed.join("; ")).hint(
            "somebody else changes it at the same time: nothing was written. Find out who, then go on",
        );
        return Err(Failure::permanent(error));
    }
    // Everything is as it was seen, so it is the form that is not taken: a policy may allow UPSERT
    // alone (condition key route53:ChangeResourceRecordSetsActions), and some stand-ins for Route 53
    // judge a CREATE by the zone as it was before the batch. The swap must not fail for that.
    match change(cx, zone, what, plain(all)).await {
        Err(failure) if failure.class == FailureClass::Permanent => Err(refused),
        outcome => outcome,
    }
}
