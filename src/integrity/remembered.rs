//! What a store remembers of a database as one JSON object under `state/`, changed by compare-and-swap
//! by whoever comes.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Attempt as _, Error, Kind, Result};
use crate::model::{Digest, FORMAT};
use crate::store::{Class, Condition, Etag, ObjectStore, Put};

/// Reads it; one that was never written, or that is spoilt, is empty: then nothing counts as known.
pub async fn read<T: Default + DeserializeOwned>(
    store: &dyn ObjectStore,
    key: &str,
) -> Result<(T, Option<Etag>)> {
    let object = match store.get(key).await {
        Ok(object) => object,
        Err(e) if e.class == Class::NotFound => return Ok((T::default(), None)),
        Err(e) => return Err(e.into()),
    };
    // Asked first: what a newer drctl wrote need not be readable here, and is not spoilt.
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    match serde_json::from_slice::<Version>(&object.bytes) {
        Ok(Version { format }) if format > FORMAT => {
            let what = format!("{key} in store `{}`", store.name());
            Err(Error::new(
                Kind::Unverified,
                format!("{what} is of format {format}; this drctl reads up to {FORMAT}"),
            )
            .hint("a newer drctl works with this store; use that one"))
        }
        _ => {
            let read = serde_json::from_slice(&object.bytes).unwrap_or_default();
            Ok((read, Some(object.etag)))
        }
    }
}

/// Changes it; other writers that come between are waited out `tries` times. Where `change` changes
/// nothing, nothing is written.
pub async fn update<T: Clone + PartialEq + Default + Serialize + DeserializeOwned>(
    store: &dyn ObjectStore,
    key: &str,
    tries: usize,
    change: impl Fn(&mut T),
) -> Result<()> {
    for _ in 0..tries {
        let (mut kept, etag) = read::<T>(store, key).await?;
        let before = kept.clone();
        change(&mut kept);
        if kept == before {
            return Ok(());
        }
        let json = serde_json::to_vec(&kept).attempt(Kind::Bug, || format!("write {key}"))?;
        let condition = etag.map_or(Condition::Absent, Condition::Matches);
        let sha256 = Digest::of(&json);
        let put = store.put_if(key, Bytes::from(json), sha256, condition).await?;
        if let Put::Written(_) = put {
            return Ok(());
        }
    }
    Err(Error::new(
        Kind::Storage,
        format!("{key} in store `{}` changes all the time", store.name()),
    ))
}
