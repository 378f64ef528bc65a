//! The repository marker: it says that drctl keeps a store, and in which format.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::keys;
use super::port::{Class, Condition, ObjectStore, Put};
use crate::error::{Attempt, Error, Kind, Result};
use crate::model::{Digest, FORMAT};

/// The content of `drctl.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The version of the stored format.
    pub format: u32,
    /// Tells one repository from another: 32 hexadecimal digits.
    pub id: String,
    pub created: DateTime<Utc>,
}

/// The store's marker; one that has none gets one, with an id made of `random`.
///
/// A marker of a newer format is an error of kind `Usage`: this build could misread what lies there.
pub async fn ensure(store: &dyn ObjectStore, now: DateTime<Utc>, random: u128) -> Result<Marker> {
    if let Some(marker) = find(store).await? {
        return Ok(marker);
    }
    let marker = Marker { format: FORMAT, id: format!("{random:032x}"), created: now };
    let bytes: Bytes = serde_json::to_vec_pretty(&marker)
        .attempt(Kind::Bug, || "write the repository marker as JSON".to_owned())?
        .into();
    let sha256 = Digest::of(&bytes);
    match store.put_if(keys::marker(), bytes, sha256, Condition::Absent).await? {
        Put::Written(_) => Ok(marker),
        // Another process was first; its marker counts.
        Put::Refused => find(store).await?.ok_or_else(|| {
            let what = format!("mark store `{}`: a marker appeared and went again", store.name());
            Error::new(Kind::Storage, what)
        }),
    }
}

/// The store's marker, if it has one.
pub async fn find(store: &dyn ObjectStore) -> Result<Option<Marker>> {
    let bytes = match store.get(keys::marker()).await {
        Ok(object) => object.bytes,
        Err(e) if e.class == Class::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let what = || format!("read {}/{}", store.url(), keys::marker());
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    // The version first: the rest of a newer marker may look different.
    let found: Version = serde_json::from_slice(&bytes).attempt(Kind::Damaged, what)?;
    if found.format > FORMAT {
        let format = found.format;
        let what = format!("use store `{}`: it is in format {format}", store.name());
        let hint = format!("this drctl knows formats up to {FORMAT}: upgrade drctl");
        return Err(Error::new(Kind::Usage, what).hint(hint));
    }
    serde_json::from_slice(&bytes).attempt(Kind::Damaged, what).map(Some)
}

#[cfg(test)]
mod tests {
    use super::super::MemoryStore;
    use super::*;

    #[tokio::test]
    async fn a_store_is_marked_once() {
        let store = MemoryStore::new("east");
        let (now, later) = (Utc::now(), Utc::now() + chrono::Duration::days(1));
        let (first, raced) = tokio::join!(ensure(&store, now, 1), ensure(&store, now, 2));
        let first = first.unwrap();
        assert_eq!(first, raced.unwrap());
        assert_eq!(ensure(&store, later, 3).await.unwrap(), first);
        assert_eq!(first.id.len(), 32);
    }

    #[tokio::test]
    async fn newer_formats_and_nonsense_are_refused() {
        let store = MemoryStore::new("east");
        store.overwrite(keys::marker(), r#"{"format": 99, "shape": "unknown"}"#);
        let e = ensure(&store, Utc::now(), 1).await.unwrap_err();
        assert_eq!(e.kind(), Kind::Usage);
        assert!(e.advice().unwrap().contains("upgrade drctl"));
        store.overwrite(keys::marker(), "nonsense");
        assert_eq!(ensure(&store, Utc::now(), 1).await.unwrap_err().kind(), Kind::Damaged);
    }
}
