//! stub
use super::{Condition, ObjectStore, Put};
use crate::error::{Error, Kind, Result};
use crate::model::Digest;
pub struct Copied {
    pub bytes: u64,
}
pub async fn copy_object(
    from: &dyn ObjectStore,
    to: &dyn ObjectStore,
    key: &str,
    size: u64,
    d: Digest,
) -> Result<Copied> {
    let object = from.get(key).await?;
    if Digest::of(&object.bytes) != d || object.bytes.len() as u64 != size {
        return Err(Error::new(Kind::Damaged, "stub: the source is damaged"));
    }
    match to.put_if(key, object.bytes, d, Condition::Absent).await? {
        Put::Written(_) => Ok(Copied { bytes: size }),
        Put::Refused => Ok(Copied { bytes: 0 }),
    }
}
