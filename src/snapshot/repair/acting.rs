//! Mending one object: the good bytes are proven first, the damaged ones kept aside, and only what is
//! still as bad as it was found is replaced.

use bytes::Bytes;

use super::{Act, Mend, Mended, RepairRequest, store};
use crate::error::{Error, Kind, Result};
use crate::model::Digest;
use crate::store::{Class, Condition, ObjectStore, Put, keys};

pub(super) async fn mend(request: &RepairRequest, mend: &Mend) -> Result<Mended> {
    let (from, replaces) = match &mend.act {
        Act::Bring { from } => (from, false),
        Act::Replace { from } => (from, true),
        Act::Lost { why } => return Err(Error::new(Kind::Failed, why.clone())),
    };
    let Some(promise) = &mend.promise else {
        return Err(Error::new(Kind::Bug, format!("{}: nothing is promised of it", mend.key)));
    };
    let (source, target) = (store(request, from)?, store(request, &mend.store)?);
    let holds = |bytes: &Bytes| promise.holds(bytes, &request.keys, &request.database);
    let good = source.get(&mend.key).await?.bytes;
    if !holds(&good) {
        let what = format!("{} in store `{from}` is no longer what was promised", mend.key);
        return Err(Error::new(Kind::Damaged, what).hint("run the command again"));
    }
    let sha256 = Digest::of(&good);
    let mut aside = None;
    let condition = match target.get(&mend.key).await {
        Ok(bad) if holds(&bad.bytes) => {
            // Somebody else has mended it.
            return Ok(mended(mend, from, 0, None));
        }
        Ok(bad) if replaces => {
            aside = Some(keep_aside(&*target, &mend.key, bad.bytes).await?);
            Condition::Matches(bad.etag)
        }
        Ok(_) => {
            let what = format!("{} is in store `{}` now, and damaged", mend.key, mend.store);
            return Err(Error::new(Kind::Storage, what).hint("run the command again"));
        }
        Err(e) if e.class == Class::NotFound => Condition::Absent,
        Err(e) => return Err(e.into()),
    };
    let size = good.len() as u64;
    // In a bucket with object lock this is a new version; the damaged one stays below it.
    match target.put_if(&mend.key, good, sha256, condition).await? {
        Put::Written(_) => {}
        Put::Refused => {
            let what = format!("{} in store `{}` changed meanwhile", mend.key, mend.store);
            return Err(Error::new(Kind::Storage, what).hint("run the command again"));
        }
    }
    let now = target.get(&mend.key).await?.bytes;
    if !holds(&now) {
        let what = format!("{} in store `{}` is not as it was written", mend.key, mend.store);
        return Err(Error::new(Kind::Damaged, what));
    }
    Ok(mended(mend, from, size, aside))
}

fn mended(mend: &Mend, from: &str, bytes: u64, aside: Option<String>) -> Mended {
    let (store, key) = (mend.store.clone(), mend.key.clone());
    Mended { store, key, from: from.to_owned(), bytes, aside }
}

/// Damaged bytes are evidence, and may be all there is of something: they go to a key that tells
/// where they lay and what they are.
async fn keep_aside(target: &dyn ObjectStore, key: &str, bytes: Bytes) -> Result<String> {
    let sha256 = Digest::of(&bytes);
    let aside = keys::quarantine_key(key, sha256);
    // Refused: they are there already, from a run that was stopped.
    target
        .put_if(&aside, bytes, sha256, Condition::Absent)
        .await
        .map_err(|e| Error::from(e).during(format!("keep the damaged bytes of {key} aside")))?;
    Ok(aside)
}
