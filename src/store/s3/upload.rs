//! Writing objects to S3, whole or in parts.

use std::path::Path;
use std::time::SystemTime;

use aws_sdk_s3::primitives::{ByteStream as Body, DateTime as S3Time};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, ObjectLockMode,
    ServerSideEncryption, StorageClass,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::asking::{Failed, limit};
use super::wire::SignedAs;
use super::{S3Store, etag, in_base64, whole_digest};
use crate::config::Sse;
use crate::model::Digest;
use crate::store::keys::{self, KeyKind};
use crate::store::port::{Class, Condition, ObjectStore, Put, Result, StoreError};
use crate::store::retry::digest_of;

/// S3 takes no more parts than this in one upload.
const MOST_PARTS: u64 = 10_000;

/// What the configuration says about how an object is kept, in the SDK's words.
pub(super) struct Keeping {
    pub(super) sse: Option<ServerSideEncryption>,
    pub(super) kms_key: Option<String>,
    pub(super) storage_class: Option<StorageClass>,
    pub(super) lock: Option<ObjectLockMode>,
    pub(super) locked_until: Option<S3Time>,
}

impl S3Store {
    /// Storage classes are for parts, which are most of the bytes; locks are for what never changes.
    pub(super) fn keeping(&self, key: &str) -> Keeping {
        let kind = keys::parse(key);
        let (sse, kms_key) = match &self.sse {
            None => (None, None),
            Some(Sse::Aes256) => (Some(ServerSideEncryption::Aes256), None),
            Some(Sse::Kms { key }) => (Some(ServerSideEncryption::AwsKms), key.clone()),
        };
        let is_part = matches!(kind, Some(KeyKind::Part { .. }));
        let class = self.storage_class.as_deref().filter(|_| is_part);
        let lasting = kind.is_some_and(|kind| !kind.is_mutable());
        let locked_until = self.object_lock.filter(|_| lasting);
        let locked_until = locked_until.map(|time| S3Time::from(SystemTime::now() + time));
        Keeping {
            sse,
            kms_key,
            storage_class: class.map(StorageClass::from),
            lock: locked_until.map(|_| ObjectLockMode::Governance),
            locked_until,
        }
    }

    pub(super) async fn upload_whole(
        &self,
        key: &str,
        body: Body,
        size: u64,
        sha256: Digest,
        condition: &Condition,
    ) -> Result<Put> {
        let keeping = self.keeping(key);
        let (absent, matches) = match condition {
            Condition::Absent => (Some("*".to_owned()), None),
            Condition::Matches(etag) => (None, Some(etag.0.clone())),
        };
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.full(key))
            .body(body)
            .content_length(i64::try_from(size).unwrap_or(i64::MAX))
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(in_base64(sha256))
            .set_if_none_match(absent)
            .set_if_match(matches)
            .set_server_side_encryption(keeping.sse)
            .set_ssekms_key_id(keeping.kms_key)
            .set_storage_class(keeping.storage_class)
            .set_object_lock_mode(keeping.lock)
            .set_object_lock_retain_until_date(keeping.locked_until);
        let request = request.customize().interceptor(SignedAs(sha256));
        let act = self.writing(key);
        match self.answered(&act, limit(size), request.send()).await {
            Ok(output) => {
                let echoed =
                    whole_digest(output.checksum_sha256(), output.checksum_type(), output.e_tag());
                if echoed.is_some_and(|echoed| echoed != sha256) {
                    let what = format!("{}: the store has other bytes than were sent", act.what);
                    return Err(StoreError::new(Class::Corrupt, what));
                }
                Ok(Put::Written(etag(output.e_tag())))
            }
            Err(failed) => self.refused_or(failed, key, condition),
        }
    }

    /// A condition that did not hold is no failure: 412, or 404 for a version of a missing object.
    fn refused_or<E>(&self, failed: Failed<E>, key: &str, condition: &Condition) -> Result<Put>
    where
        E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let refused = match failed.answer() {
            (_, Some(412)) => true,
            (code, Some(404)) => {
                code == Some("NoSuchKey") && matches!(condition, Condition::Matches(_))
            }
            _ => false,
        };
        if refused { Ok(Put::Refused) } else { Err(failed.told(&self.writing(key))) }
    }

    pub(super) async fn upload_file(
        &self,
        key: &str,
        file: &Path,
        size: u64,
        sha256: Digest,
    ) -> Result<Put> {
        let unreadable = |e: std::io::Error| {
            StoreError::new(Class::Permanent, format!("read {}", file.display())).caused_by(e)
        };
        let found = tokio::fs::metadata(file).await.map_err(unreadable)?.len();
        if found != size {
            let what = format!("read {}: {found} bytes, not {size}", file.display());
            return Err(StoreError::new(Class::Corrupt, what));
        }
        if size <= self.sizes.largest_put {
            if self.account.endpoint.is_some() && digest_of(file).await? != sha256 {
                return Err(self.not_promised(key));
            }
            let body = Body::read_from().path(file).buffer_size(256 * 1024).build().await;
            let body = body.map_err(|e| {
                StoreError::new(Class::Permanent, format!("read {}", file.display())).caused_by(e)
            })?;
            return self.upload_whole(key, body, size, sha256, &Condition::Absent).await;
        }
        // The condition is checked at the end; this spares the whole transfer.
        if self.head(key, false).await?.is_some() {
            return Ok(Put::Refused);
        }
        let upload = self.begin_parts(key).await?;
        let file = File::open(file).await.map_err(unreadable)?;
        let parts = self.upload_parts(key, &upload, file, size, sha256).await;
        self.end_parts(key, &upload, parts).await
    }

    /// Starts an upload in parts and gives its id.
    pub(super) async fn begin_parts(&self, key: &str) -> Result<String> {
        let keeping = self.keeping(key);
        let request = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(self.full(key))
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .set_server_side_encryption(keeping.sse)
            .set_ssekms_key_id(keeping.kms_key)
            .set_storage_class(keeping.storage_class)
            .set_object_lock_mode(keeping.lock)
            .set_object_lock_retain_until_date(keeping.locked_until);
        let act = self.writing(key);
        let output = self.done(&act, limit(0), request.send()).await?;
        output.upload_id.ok_or_else(|| {
            StoreError::new(Class::Transient, format!("{}: S3 gave no upload id", act.what))
        })
    }

    async fn upload_parts(
        &self,
        key: &str,
        upload: &str,
        mut file: File,
        size: u64,
        sha256: Digest,
    ) -> Result<Vec<CompletedPart>> {
        use sha2::Digest as _;
        let part_size = self.sizes.part.max(size.div_ceil(MOST_PARTS));
        let mut whole = sha2::Sha256::new();
        let mut parts = Vec::new();
        let mut left = size;
        while left > 0 {
            let bytes = read_part(&mut file, part_size.min(left)).await.map_err(|e| {
                StoreError::new(Class::Corrupt, format!("read what is written as {key}"))
                    .caused_by(e)
            })?;
            left -= bytes.len() as u64;
            whole.update(&bytes);
            let number = i32::try_from(parts.len() + 1).unwrap_or(i32::MAX);
            parts.push(self.upload_part(key, upload, number, bytes).await?);
        }
        // S3 has a digest of each part only, so the whole is checked here, before it exists.
        if Digest::from_bytes(whole.finalize().into()) != sha256 {
            return Err(self.not_promised(key));
        }
        Ok(parts)
    }

    async fn upload_part(
        &self,
        key: &str,
        upload: &str,
        number: i32,
        bytes: Bytes,
    ) -> Result<CompletedPart> {
        let sha256 = Digest::of(&bytes);
        let act = self.writing(key);
        // Sending a part again replaces it, so parts have tries of their own: one lost connection
        // must not cost a transfer of hours.
        let tries = crate::store::retry::Patience::default();
        let output = tries
            .run(|| {
                let request = self
                    .client
                    .upload_part()
                    .bucket(&self.bucket)
                    .key(self.full(key))
                    .upload_id(upload)
                    .part_number(number)
                    .checksum_algorithm(ChecksumAlgorithm::Sha256)
                    .checksum_sha256(in_base64(sha256))
                    .body(bytes.clone().into());
                let request = request.customize().interceptor(SignedAs(sha256)).send();
                self.done(&act, limit(bytes.len() as u64), request)
            })
            .await?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(output.e_tag)
            .checksum_sha256(in_base64(sha256))
            .build())
    }

    /// Makes the object of its parts, if there is still none; takes the parts away if that fails.
    pub(super) async fn end_parts(
        &self,
        key: &str,
        upload: &str,
        parts: Result<Vec<CompletedPart>>,
    ) -> Result<Put> {
        let ended = match parts {
            Ok(parts) => self.complete(key, upload, parts).await,
            Err(e) => Err(e),
        };
        if !matches!(ended, Ok(Put::Written(_))) {
            let abort = self.client.abort_multipart_upload().bucket(&self.bucket);
            let abort = abort.key(self.full(key)).upload_id(upload);
            // Best effort: what stays costs storage until the bucket's lifecycle rule takes it.
            let _ = self.done(&self.writing(key), limit(0), abort.send()).await;
        }
        ended
    }

    async fn complete(&self, key: &str, upload: &str, parts: Vec<CompletedPart>) -> Result<Put> {
        let count = parts.len() as u64;
        let composite = composite(&parts);
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(self.full(key))
            .upload_id(upload)
            .multipart_upload(parts)
            .if_none_match("*");
        // S3 may take minutes to put many parts together, and sends spaces meanwhile.
        let time = limit(0) * 10 + limit(count * super::asking::SLOWEST);
        match self.answered(&self.writing(key), time, request.send()).await {
            Ok(output) => Ok(Put::Written(etag(output.e_tag()))),
            Err(failed) => match self.refused_or(failed, key, &Condition::Absent) {
                Err(e) if e.class == Class::Unknown => self.completed_or(e, key, composite).await,
                ended => ended,
            },
        }
    }

    /// Settles a completion without an answer that can be read: if the object has the checksum that
    /// our parts make, it is ours. Without this, all parts would be sent again to find out.
    async fn completed_or(
        &self,
        e: StoreError,
        key: &str,
        composite: Option<String>,
    ) -> Result<Put> {
        let request = self.client.head_object().bucket(&self.bucket).key(self.full(key));
        let request = request.checksum_mode(ChecksumMode::Enabled).send();
        match self.done(&self.reading(key), limit(0), request).await {
            Ok(found) if is_composite(found.checksum_sha256(), composite.as_deref()) => {
                Ok(Put::Written(etag(found.e_tag())))
            }
            _ => Err(e),
        }
    }
}

/// The checksum that S3 gives an object made of these parts: the digest of their digests, and their
/// number. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html>
fn composite(parts: &[CompletedPart]) -> Option<String> {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    for part in parts {
        hash.update(STANDARD.decode(part.checksum_sha256()?).ok()?);
    }
    Some(format!("{}-{}", STANDARD.encode(hash.finalize()), parts.len()))
}

/// Whether `found` is the checksum `ours`; some endpoints leave the number of parts out.
fn is_composite(found: Option<&str>, ours: Option<&str>) -> bool {
    let (Some(found), Some(ours)) = (found, ours) else { return false };
    found == ours || ours.split_once('-').is_some_and(|(digest, _)| digest == found)
}

async fn read_part(file: &mut File, size: u64) -> std::io::Result<Bytes> {
    let mut bytes = BytesMut::zeroed(usize::try_from(size).unwrap_or(usize::MAX));
    file.read_exact(&mut bytes).await?;
    Ok(bytes.freeze())
}
