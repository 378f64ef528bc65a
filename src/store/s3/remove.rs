//! Removing objects from a bucket, many in one request.

use aws_sdk_s3::error::BuildError;
use aws_sdk_s3::types::{ChecksumAlgorithm, Delete, ObjectIdentifier};

use super::S3Store;
use super::asking::ATTEMPT;
use super::failure::{self, Act};
use crate::store::port::{Class, Result, StoreError};

/// Keys in one DeleteObjects request, which takes no more.
const AT_ONCE: usize = 1000;

impl S3Store {
    pub(super) async fn remove(&self, keys: &[String]) -> Result<()> {
        // Removing again what is gone already is no error, so no outcome is unknown.
        let act = Act { what: format!("remove objects from {}", self.url), writes: false };
        for keys in keys.chunks(AT_ONCE) {
            let delete = removal(keys.iter().map(|key| self.full(key)))
                .map_err(|e| StoreError::new(Class::Permanent, act.what.clone()).caused_by(e))?;
            let request = self.client.delete_objects().bucket(&self.bucket).delete(delete);
            let request = request.checksum_algorithm(ChecksumAlgorithm::Sha256);
            let answer = self.done(&act, ATTEMPT, request.send()).await?;
            // A 200 may hold an error for each key.
            let failed = |e: &&aws_sdk_s3::types::Error| e.code() != Some("NoSuchKey");
            if let Some(first) = answer.errors().iter().find(failed) {
                let (class, hint) = failure::classify(first.code(), 0, Class::Transient);
                let key = first.key().unwrap_or("?");
                let what = format!("remove s3://{}/{key}", self.bucket);
                let code = first.code().unwrap_or("no code");
                let cause = format!("{code}: {}", first.message().unwrap_or("no message"));
                let error = StoreError::new(class, what).caused_by(cause);
                return Err(match hint {
                    Some(hint) => error.hint(hint),
                    None => error,
                });
            }
        }
        Ok(())
    }
}

fn removal(keys: impl Iterator<Item = String>) -> std::result::Result<Delete, BuildError> {
    let objects = keys.map(|key| ObjectIdentifier::builder().key(key).build());
    let objects = objects.collect::<std::result::Result<Vec<_>, _>>()?;
    Delete::builder().quiet(true).set_objects(Some(objects)).build()
}
