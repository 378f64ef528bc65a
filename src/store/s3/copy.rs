//! Copying between buckets without moving bytes through this process.

use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedPart, MetadataDirective};

use super::asking::{Failed, limit};
use super::{S3Store, etag, whole_digest};
use crate::model::Digest;
use crate::store::port::{Class, Meta, ObjectStore, Put, Result, StoreError};

/// Copies inside S3 move at least this many bytes a second, across regions too.
const SLOWEST_COPY: u64 = 4 << 20;

impl S3Store {
    /// Copies the object of the same key from `from`; `None`: this endpoint does not do it.
    ///
    /// Create-only as far as the endpoint goes: AWS honours `If-None-Match` on CopyObject and on
    /// CompleteMultipartUpload; where it is ignored, a look beforehand leaves a short gap.
    pub(super) async fn copy_from(
        &self,
        from: &Self,
        key: &str,
        size: u64,
        sha256: Digest,
    ) -> Result<Option<Put>> {
        let Some(source) = from.head(key, true).await? else {
            return Err(StoreError::new(Class::NotFound, from.reading(key).what));
        };
        // Damage is not spread. (A source without a digest is judged by the copy's.)
        if source.size != size || source.sha256.is_some_and(|found| found != sha256) {
            let what = format!("{}: it is not what the manifest promises", from.reading(key).what);
            return Err(StoreError::new(Class::Corrupt, what));
        }
        if self.head(key, false).await?.is_some() {
            return Ok(Some(Put::Refused));
        }
        if size > self.sizes.largest_copy {
            return self.copy_parts(from, key, &source).await;
        }
        self.copy_whole(from, key, &source, sha256).await
    }

    async fn copy_whole(
        &self,
        from: &Self,
        key: &str,
        source: &Meta,
        sha256: Digest,
    ) -> Result<Option<Put>> {
        let keeping = self.keeping(key);
        let request = self
            .client
            .copy_object()
            .bucket(&self.bucket)
            .key(self.full(key))
            .copy_source(from.as_source(key))
            .copy_source_if_match(&source.etag.0)
            .metadata_directive(MetadataDirective::Copy)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .if_none_match("*")
            .set_server_side_encryption(keeping.sse)
            .set_ssekms_key_id(keeping.kms_key)
            .set_storage_class(keeping.storage_class)
            .set_object_lock_mode(keeping.lock)
            .set_object_lock_retain_until_date(keeping.locked_until);
        let act = self.writing(key);
        let time = limit(0) * 2 + std::time::Duration::from_secs(source.size / SLOWEST_COPY);
        let output = match self.answered(&act, time, request.send()).await {
            Ok(output) => output,
            Err(failed) => return self.not_copied(failed, key),
        };
        let result = output.copy_object_result();
        let found =
            result.and_then(|r| whole_digest(r.checksum_sha256(), r.checksum_type(), r.e_tag()));
        let found = match found {
            Some(found) => Some(found),
            None => self.head(key, true).await?.and_then(|meta| meta.sha256),
        };
        if found.is_some_and(|found| found != sha256) {
            // Ours since a moment ago, and wrong: it would stand in the way of the right one.
            self.delete(&[key.to_owned()]).await?;
            let what = format!("{}: the copy has other bytes than promised", act.what);
            return Err(StoreError::new(Class::Corrupt, what));
        }
        Ok(Some(Put::Written(etag(result.and_then(|result| result.e_tag())))))
    }

    /// For objects above S3's limit of 5 GB a copy.
    async fn copy_parts(&self, from: &Self, key: &str, source: &Meta) -> Result<Option<Put>> {
        let upload = self.begin_parts(key).await?;
        let parts = self.copy_each_part(from, key, &upload, source).await;
        let denied = matches!(&parts, Err(e) if streams_instead(e.class));
        match self.end_parts(key, &upload, parts).await {
            Err(_) if denied => Ok(None),
            ended => ended.map(Some),
        }
    }

    async fn copy_each_part(
        &self,
        from: &Self,
        key: &str,
        upload: &str,
        source: &Meta,
    ) -> Result<Vec<CompletedPart>> {
        let act = self.writing(key);
        let mut parts = Vec::new();
        let mut at = 0;
        while at < source.size {
            let end = source.size.min(at + self.sizes.copied_part);
            let number = i32::try_from(parts.len() + 1).unwrap_or(i32::MAX);
            let time = limit(0) * 2 + std::time::Duration::from_secs((end - at) / SLOWEST_COPY);
            let copied = crate::store::retry::Patience::default()
                .run(|| {
                    let request = self
                        .client
                        .upload_part_copy()
                        .bucket(&self.bucket)
                        .key(self.full(key))
                        .upload_id(upload)
                        .part_number(number)
                        .copy_source(from.as_source(key))
                        .copy_source_if_match(&source.etag.0)
                        .copy_source_range(format!("bytes={at}-{}", end - 1));
                    self.done(&act, time, request.send())
                })
                .await?;
            let result = copied.copy_part_result();
            parts.push(
                CompletedPart::builder()
                    .part_number(number)
                    .set_e_tag(result.and_then(|r| r.e_tag()).map(str::to_owned))
                    .set_checksum_sha256(
                        result.and_then(|r| r.checksum_sha256()).map(str::to_owned),
                    )
                    .build(),
            );
            at = end;
        }
        Ok(parts)
    }

    fn not_copied<E>(&self, failed: Failed<E>, key: &str) -> Result<Option<Put>>
    where
        E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match failed.answer() {
            // The source was there a moment ago with this version, so it is the destination's
            // condition, or the source is being replaced, which the caller's check finds.
            (_, Some(412)) => Ok(Some(Put::Refused)),
            // Endpoints without conditional copies, and buckets whose policy demands conditions.
            (_, Some(501)) => Ok(None),
            _ => match failed.told(&self.writing(key)) {
                e if streams_instead(e.class) => Ok(None),
                e => Err(e),
            },
        }
    }

    /// The object as a copy's source: bucket and key, percent-encoded.
    fn as_source(&self, key: &str) -> String {
        let mut text = format!("{}/", self.bucket);
        for byte in self.full(key).bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                    text.push(char::from(byte));
                }
                other => text.push_str(&format!("%{other:02X}")),
            }
        }
        text
    }
}

/// The destination's credentials may not read the source, where the source's own may.
fn streams_instead(class: Class) -> bool {
    class == Class::Denied
}
