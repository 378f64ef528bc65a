//! A store in an S3 bucket, or in anything that speaks its protocol.
//!
//! Writes carry their condition and `x-amz-checksum-sha256`, so that S3 refuses both a second
//! object under a key and bytes that changed on their way.

mod asking;
mod connect;
mod copy;
mod failure;
mod list;
mod posture;
mod remove;
mod upload;
mod wire;

use std::any::Any;
use std::fmt;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::{self, BoxStream, StreamExt};

use self::asking::ATTEMPT;
use self::failure::Act;
use self::wire::DateOfAnswer;
use super::port::{
    ByteStream, Class, Condition, DAMAGED, Etag, Listed, Meta, Object, ObjectStore, PROMISED, Put,
    Result, StoreError, refused,
};
use super::posture::Posture;
use crate::config::{Sse, StoreConfig, StoreUrl};
use crate::model::Digest;

/// Objects in a bucket, below a prefix.
#[derive(Clone)]
pub struct S3Store {
    name: String,
    url: String,
    region: String,
    bucket: String,
    /// Empty, or ending with `/`.
    prefix: String,
    client: Client,
    /// Where and as whom requests are made: stores that agree in it may copy between each other.
    account: Account,
    sse: Option<Sse>,
    object_lock: Option<Duration>,
    storage_class: Option<String>,
    sizes: Sizes,
    /// The bucket has answered, so a 404 speaks of the object.
    bucket_seen: std::sync::Arc<AtomicBool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Account {
    endpoint: Option<String>,
    /// `aws`, `aws-cn`, `aws-us-gov`: nothing is copied between them.
    partition: &'static str,
    profile: Option<String>,
    access_key_id: Option<crate::config::Secret>,
}

/// From what size on objects are written or copied in pieces, and of what size.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    largest_put: u64,
    part: u64,
    /// S3's limit is 5 GB.
    largest_copy: u64,
    copied_part: u64,
}

impl S3Store {
    /// The store of `config`, whose URL must be an `s3://` one. Sends nothing yet.
    pub async fn connect(config: &StoreConfig) -> Result<Self> {
        let StoreUrl::S3 { bucket, prefix } = &config.url else {
            let what = format!("open store `{}`: {} is not an s3:// URL", config.name, config.url);
            return Err(StoreError::new(Class::Permanent, what));
        };
        let prefix = prefix.trim_matches('/');
        let account = Account {
            endpoint: config.endpoint.clone(),
            partition: partition(&config.region),
            profile: config.aws_profile.clone(),
            access_key_id: config.access_key_id.clone(),
        };
        Ok(Self {
            name: config.name.clone(),
            url: config.url.to_string(),
            region: config.region.clone(),
            bucket: bucket.clone(),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            client: connect::client(config).await?,
            account,
            sse: config.sse.clone(),
            object_lock: config.object_lock,
            storage_class: config.storage_class.clone(),
            sizes: Sizes {
                largest_put: 64 << 20,
                part: 16 << 20,
                largest_copy: 5_000_000_000,
                copied_part: 1 << 30,
            },
            bucket_seen: Default::default(),
        })
    }

    /// Writes and copies in pieces of `bytes` whatever is larger; S3 takes no less than 5 MiB.
    pub fn in_pieces_of(mut self, bytes: u64) -> Self {
        let (largest_put, part, largest_copy, copied_part) = (bytes, bytes, bytes, bytes);
        self.sizes = Sizes { largest_put, part, largest_copy, copied_part };
        self
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn reading(&self, key: &str) -> Act {
        Act { what: format!("read {}/{key}", self.url), writes: false }
    }

    fn writing(&self, key: &str) -> Act {
        Act { what: format!("write {}/{key}", self.url), writes: true }
    }

    /// AWS compares bytes with the digest that is sent along. Other endpoints may ignore it, so
    /// there they are compared before they leave.
    fn not_promised(&self, key: &str) -> StoreError {
        let what =
            format!("{}: the bytes do not have the promised SHA-256", self.writing(key).what);
        StoreError::new(Class::Corrupt, what)
    }

    async fn fetch(&self, key: &str) -> Result<aws_sdk_s3::operation::get_object::GetObjectOutput> {
        let request = self.client.get_object().bucket(&self.bucket).key(self.full(key));
        self.done(&self.reading(key), ATTEMPT, request.send()).await
    }
}

fn partition(region: &str) -> &'static str {
    match region {
        r if r.starts_with("cn-") => "aws-cn",
        r if r.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

fn time(at: Option<&aws_sdk_s3::primitives::DateTime>) -> DateTime<Utc> {
    at.and_then(|at| DateTime::from_timestamp(at.secs(), at.subsec_nanos()))
        .unwrap_or(DateTime::UNIX_EPOCH)
}

fn etag(text: Option<&str>) -> Etag {
    Etag(text.unwrap_or_default().to_owned())
}

fn in_base64(digest: Digest) -> String {
    STANDARD.encode(digest.as_bytes())
}

/// The digest in an answer, if it covers the whole object: that of a multipart upload is made of
/// its parts' (`COMPOSITE`, `<base64>-<parts>`) and says nothing of the bytes as such. Endpoints
/// that leave the kind out still mark the etag of such an object, with `-<parts>`.
fn whole_digest(
    text: Option<&str>,
    kind: Option<&ChecksumType>,
    etag: Option<&str>,
) -> Option<Digest> {
    let in_parts = etag.is_some_and(|etag| etag.contains('-'));
    match kind {
        Some(ChecksumType::FullObject) => {}
        None if !in_parts => {}
        _ => return None,
    }
    let bytes: [u8; 32] = STANDARD.decode(text?).ok()?.try_into().ok()?;
    Some(Digest::from_bytes(bytes))
}

fn cut_off(act: &Act, e: impl std::error::Error + 'static) -> StoreError {
    let what = format!("{}: the answer broke off", act.what);
    StoreError::new(Class::Transient, what).caused_by(failure::chain(&e))
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("S3Store");
        shown.field("name", &self.name).field("url", &self.url).finish_non_exhaustive()
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    fn name(&self) -> &str {
        &self.name
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn region(&self) -> &str {
        &self.region
    }

    async fn put_if(
        &self,
        key: &str,
        bytes: Bytes,
        sha256: Digest,
        condition: Condition,
    ) -> Result<Put> {
        if self.account.endpoint.is_some() && Digest::of(&bytes) != sha256 {
            return Err(self.not_promised(key));
        }
        let size = bytes.len() as u64;
        self.upload_whole(key, bytes.into(), size, sha256, &condition).await
    }

    async fn put_file_new(&self, key: &str, file: &Path, size: u64, sha256: Digest) -> Result<Put> {
        self.upload_file(key, file, size, sha256).await
    }

    async fn get(&self, key: &str) -> Result<Object> {
        let output = self.fetch(key).await?;
        let (etag, last_modified) = (etag(output.e_tag()), time(output.last_modified()));
        let body = output.body.collect().await;
        let bytes = body.map_err(|e| cut_off(&self.reading(key), e))?.into_bytes();
        let promised = output.content_length.and_then(|n| usize::try_from(n).ok());
        if promised.is_some_and(|promised| promised != bytes.len()) {
            let what = format!("{}: the answer broke off", self.reading(key).what);
            return Err(StoreError::new(Class::Transient, what));
        }
        Ok(Object { bytes, etag, last_modified })
    }

    async fn get_stream(&self, key: &str) -> Result<ByteStream> {
        let body = self.fetch(key).await?.body;
        let act = self.reading(key);
        let chunks =
            stream::try_unfold((body, act), async |(mut body, act)| match body.next().await {
                Some(Ok(chunk)) => Ok(Some((chunk, (body, act)))),
                Some(Err(e)) => Err(cut_off(&act, e)),
                None => Ok(None),
            });
        Ok(chunks.boxed())
    }

    async fn head(&self, key: &str, checksum: bool) -> Result<Option<Meta>> {
        let act = self.reading(key);
        let mode = checksum.then_some(ChecksumMode::Enabled);
        let request = self.client.head_object().bucket(&self.bucket).key(self.full(key));
        match self.done(&act, ATTEMPT, request.set_checksum_mode(mode).send()).await {
            Ok(found) => Ok(Some(Meta {
                size: u64::try_from(found.content_length().unwrap_or(0)).unwrap_or(0),
                etag: etag(found.e_tag()),
                last_modified: time(found.last_modified()),
                sha256: whole_digest(found.checksum_sha256(), found.checksum_type(), found.e_tag()),
            })),
            Err(e) if e.class == Class::NotFound => {
                self.see_bucket().await?;
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<Listed>> {
        self.listed(prefix, None).boxed()
    }

    fn list_after(&self, prefix: &str, after: &str) -> BoxStream<'_, Result<Listed>> {
        self.listed(prefix, Some(after.to_owned())).boxed()
    }

    async fn list_dirs(&self, prefix: &str) -> Result<Vec<String>> {
        self.folders(prefix).await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.remove(keys).await
    }

    async fn copy_within(
        &self,
        from: &dyn ObjectStore,
        key: &str,
        size: u64,
        sha256: Digest,
    ) -> Result<Option<Put>> {
        match from.as_any().downcast_ref::<Self>() {
            Some(from) if from.account == self.account => {
                self.copy_from(from, key, size, sha256).await
            }
            _ => Ok(None),
        }
    }

    /// Past the comparison that is made before bytes leave for endpoints other than AWS.
    async fn refuses_damage(&self, key: &str) -> Result<bool> {
        let (sent, size) = (Bytes::from_static(DAMAGED).into(), DAMAGED.len() as u64);
        let promised = Digest::of(PROMISED);
        refused(self.upload_whole(key, sent, size, promised, &Condition::Absent).await)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    async fn posture(&self, witness: Option<&str>) -> Option<Posture> {
        Some(self.settings(witness).await)
    }

    async fn now(&self) -> Result<DateTime<Utc>> {
        let date = DateOfAnswer::default();
        self.ask_bucket(date.clone()).await?;
        date.get().ok_or_else(|| {
            let what = format!("ask {} for the time: its answer has no Date", self.url);
            StoreError::new(Class::Permanent, what)
        })
    }
}
