//! The last preflight of each runbook, in the control store.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};

use super::Preflight;
use crate::error::{Attempt, Error, Kind, Result};
use crate::model::{Digest, Span};
use crate::providers::Standing;
use crate::store::{Class, Condition, ObjectStore, Put, keys};

/// How often others may write in between.
const ROUNDS: u32 = 4;

/// Keeps the result as the last one of its runbook, unless a later one is there.
pub async fn keep(store: &dyn ObjectStore, preflight: &Preflight) -> Result<()> {
    let key = key(&preflight.runbook)?;
    let bytes: Bytes = serde_json::to_vec_pretty(preflight)
        .attempt(Kind::Bug, || "write a preflight as JSON".to_owned())?
        .into();
    for _ in 0..ROUNDS {
        let condition = match store.get(&key).await {
            Ok(object) => match serde_json::from_slice::<Preflight>(&object.bytes) {
                Ok(there) if there.at > preflight.at => return Ok(()),
                _ => Condition::Matches(object.etag),
            },
            Err(e) if e.class == Class::NotFound => Condition::Absent,
            Err(e) => return Err(e.into()),
        };
        let sha256 = Digest::of(&bytes);
        if let Put::Written(_) = store.put_if(&key, bytes.clone(), sha256, condition).await? {
            return Ok(());
        }
    }
    let what = format!("{key} in store `{}` changes all the time", store.name());
    Err(Error::new(Kind::Storage, what))
}

/// The last preflight of a runbook; none: there was none. `Kind::Unverified` where it cannot be read.
pub async fn last(store: &dyn ObjectStore, runbook: &str) -> Result<Option<Preflight>> {
    let key = key(runbook)?;
    let object = match store.get(&key).await {
        Ok(object) => object,
        Err(e) if e.class == Class::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let read = serde_json::from_slice(&object.bytes)
        .attempt(Kind::Unverified, || format!("read {key} in store `{}`", store.name()));
    read.map(Some).map_err(|e| e.hint("run `drctl preflight` again"))
}

/// Whether a run of the runbook with this text may rely on its last preflight. An error says why
/// not, and what to do.
pub fn judge(
    last: Option<&Preflight>,
    runbook: &str,
    text: Digest,
    max_age: Duration,
    now: DateTime<Utc>,
) -> Result<()> {
    let refuse = |why: String| {
        Err(Error::new(Kind::Unverified, why).hint(format!("run `drctl preflight {runbook}`")))
    };
    let Some(last) = last else {
        return refuse(format!("runbook `{runbook}` never had a preflight"));
    };
    let age = (now - last.at).max(TimeDelta::zero());
    let hours = Span::from_secs(age.num_seconds().unsigned_abs());
    if age.to_std().map_or(true, |age| age > max_age) {
        let most = Span(max_age);
        return refuse(format!(
            "the last preflight of runbook `{runbook}` is {hours} old; it may be {most} old"
        ));
    }
    if last.runbook_digest != text {
        return refuse(format!("runbook `{runbook}` was changed after its last preflight"));
    }
    if last.worst() == Standing::NotReady {
        let what = last
            .checks
            .first()
            .map_or_else(String::new, |n| format!(": {}: {}", n.check.what, n.check.found));
        return refuse(format!("the last preflight, {hours} ago, found it not ready{what}"));
    }
    Ok(())
}

fn key(runbook: &str) -> Result<String> {
    let name = format!("preflight-{runbook}");
    match keys::is_plain_name(&name) {
        true => Ok(keys::state_key(&name)),
        false => Err(Error::new(Kind::Usage, format!("`{runbook}` cannot name a runbook"))
            .hint("name its file with ASCII letters, digits, `-`, `_` and `.`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::Check;
    use crate::runbook::preflight::Noted;
    use crate::store::MemoryStore;

    fn preflight(hour: i64, standing: Standing) -> Preflight {
        let check = Check::new(standing, "standby", "2 h behind");
        Preflight {
            runbook: "region-failover".to_owned(),
            runbook_digest: Digest::of(b"text"),
            at: DateTime::UNIX_EPOCH + TimeDelta::hours(hour),
            by: "ann on ops-1".to_owned(),
            checks: vec![Noted { steps: ["promote".to_owned()].into(), check }],
        }
    }

    #[tokio::test]
    async fn the_latest_is_kept_and_an_older_one_does_not_replace_it() {
        let store = MemoryStore::new("west");
        assert_eq!(last(&store, "region-failover").await.unwrap(), None);
        for hour in [1, 3, 2] {
            keep(&store, &preflight(hour, Standing::Ready)).await.unwrap();
        }
        let kept = last(&store, "region-failover").await.unwrap();
        assert_eq!(kept, Some(preflight(3, Standing::Ready)));
        store.overwrite("state/preflight-region-failover.json", "{");
        let e = last(&store, "region-failover").await.unwrap_err();
        assert_eq!(e.kind(), Kind::Unverified);
        keep(&store, &preflight(4, Standing::Ready)).await.unwrap();
        assert!(last(&store, "a b").await.is_err());
    }

    #[test]
    fn what_is_missing_old_of_another_text_or_not_ready_is_refused() {
        let day = Duration::from_hours(24);
        let at = |hour| DateTime::UNIX_EPOCH + TimeDelta::hours(hour);
        let judged = |last: Option<&Preflight>, text: &[u8], now| {
            judge(last, "region-failover", Digest::of(text), day, now).map_err(|e| e.one_line())
        };
        let good = preflight(0, Standing::Unproven);
        assert_eq!(judged(Some(&good), b"text", at(24)), Ok(()));
        insta::assert_snapshot!(judged(None, b"text", at(0)).unwrap_err(), @r"runbook `region-failover` never had a preflight");
        insta::assert_snapshot!(judged(Some(&good), b"text", at(25)).unwrap_err(), @r"the last preflight of runbook `region-failover` is 1day 1h old; it may be 1day old");
        insta::assert_snapshot!(judged(Some(&good), b"other", at(1)).unwrap_err(), @r"runbook `region-failover` was changed after its last preflight");
        let bad = preflight(0, Standing::NotReady);
        insta::assert_snapshot!(judged(Some(&bad), b"text", at(1)).unwrap_err(), @r"the last preflight, 1h ago, found it not ready: standby: 2 h behind");
    }
}
