//! Reading manifests and part lists, with what is wrong with them as faults.

use bytes::Bytes;

use super::looking::{Fault, Looker};
use super::terms::Terms;
use crate::error::{Attempt as _, Error, Kind, Result};
use crate::integrity::history::{self, Place};
use crate::integrity::lists;
use crate::model::{FindingKind, Manifest, PartList};
use crate::store::keys;

/// Reads a manifest; what is wrong with it as a fault.
pub async fn read_promise(
    terms: &Terms,
    looker: &Looker,
    place: &Place,
) -> std::result::Result<(Manifest, Bytes), Fault> {
    let key = keys::manifest_key(&looker.database, &place.generation, &place.snapshot);
    let mut object = looker.store.get(&key).await.map_err(Fault::of)?;
    let mut read = history::prove_manifest(&object.bytes, &terms.keys, &looker.database, place);
    if read.as_ref().is_err_and(|e| e.kind() == Kind::Damaged) {
        // Damage is believed when it is seen twice.
        object = looker.store.get(&key).await.map_err(Fault::of)?;
        read = history::prove_manifest(&object.bytes, &terms.keys, &looker.database, place);
    }
    match read {
        Ok(manifest) => Ok((manifest, object.bytes)),
        Err(e) => Err(fault_of(&e)),
    }
}

/// Damage, or that it could not be found out.
pub fn fault_of(e: &Error) -> Fault {
    let kind = match e.kind() {
        Kind::Damaged => FindingKind::Damaged,
        _ => FindingKind::Unreadable,
    };
    Fault::new(kind, e.one_line())
}

/// Proves and reads a list on another thread; a fault says what is wrong with it.
pub async fn open_list(
    stored: Bytes,
    promise: lists::Promise,
) -> Result<std::result::Result<PartList, Fault>> {
    let opened = tokio::task::spawn_blocking(move || lists::open(&stored, &promise))
        .await
        .attempt(Kind::Bug, || "read a part list on another thread".to_owned())?;
    Ok(opened.map_err(|e| fault_of(&e)))
}
