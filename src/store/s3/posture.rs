//! Asking a bucket how it is set up, and comparing that with the configuration.
//!
//! What each call answers, and which code means that there is no such setting:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html>.

use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_bucket_encryption::GetBucketEncryptionOutput;
use aws_sdk_s3::operation::get_bucket_replication::GetBucketReplicationOutput;
use aws_sdk_s3::operation::get_bucket_versioning::GetBucketVersioningOutput;
use aws_sdk_s3::operation::get_object_lock_configuration::GetObjectLockConfigurationOutput;
use aws_sdk_s3::operation::get_public_access_block::GetPublicAccessBlockOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{
    BucketVersioningStatus, ObjectLockEnabled, ReplicationRuleStatus, ServerSideEncryption,
};
use chrono::Utc;

use super::S3Store;
use super::asking::ATTEMPT;
use super::failure::Act;
use crate::config::Sse;
use crate::store::port::{Class, Result, StoreError};
use crate::store::posture::{Posture, Seen, Setting};

const NO_ENCRYPTION: &str = "ServerSideEncryptionConfigurationNotFoundError";
const NO_BLOCK: &str = "NoSuchPublicAccessBlockConfiguration";
const NO_LOCK: &str = "ObjectLockConfigurationNotFoundError";
const NO_REPLICATION: &str = "ReplicationConfigurationNotFoundError";

impl S3Store {
    pub(super) async fn settings(&self, witness: Option<&str>) -> Posture {
        let (bucket, client) = (&self.bucket, &self.client);
        let ask =
            |what: Setting| Act { what: format!("ask {} for its {what}", self.url), writes: false };
        let (encryption, block, versioning, lock, replication, object) = tokio::join!(
            self.answer(
                ask(Setting::Encryption),
                NO_ENCRYPTION,
                client.get_bucket_encryption().bucket(bucket).send(),
            ),
            self.answer(
                ask(Setting::PublicAccess),
                NO_BLOCK,
                client.get_public_access_block().bucket(bucket).send(),
            ),
            self.answer(
                ask(Setting::Versioning),
                "",
                client.get_bucket_versioning().bucket(bucket).send(),
            ),
            self.answer(
                ask(Setting::ObjectLock),
                NO_LOCK,
                client.get_object_lock_configuration().bucket(bucket).send(),
            ),
            self.answer(
                ask(Setting::Replication),
                NO_REPLICATION,
                client.get_bucket_replication().bucket(bucket).send(),
            ),
            self.witnessed(witness),
        );
        let lock_wanted = self.object_lock;
        vec![
            (Setting::Encryption, judge_encryption(self.sse.as_ref(), encryption, &object)),
            (Setting::PublicAccess, block.map(|block| judge_block(block.as_ref()))),
            (Setting::Versioning, versioning.map(|v| judge_versioning(lock_wanted, v.as_ref()))),
            (Setting::ObjectLock, judge_lock(lock_wanted, lock, &object)),
            (Setting::Replication, replication.map(|r| judge_replication(r.as_ref()))),
        ]
    }

    /// An answer, or `None` where the code `absent` says that there is no such setting.
    async fn answer<T, E>(
        &self,
        act: Act,
        absent: &str,
        request: impl Future<Output = std::result::Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<Option<T>>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match self.answered(&act, ATTEMPT, request).await {
            Ok(answer) => Ok(Some(answer)),
            Err(failed) if !absent.is_empty() && failed.answer().0 == Some(absent) => Ok(None),
            Err(failed) => {
                // An answer that cannot be read will not be read by asking again.
                let unread = failed.answer().1 == Some(200);
                let e = failed.told(&act);
                Err(match e.class {
                    Class::Denied => e.hint(READS),
                    Class::Transient if unread => StoreError { class: Class::Permanent, ..e },
                    _ => e,
                })
            }
        }
    }

    /// How an object that drctl wrote is kept.
    async fn witnessed(&self, witness: Option<&str>) -> Result<Option<HeadObjectOutput>> {
        let Some(key) = witness else { return Ok(None) };
        let request = self.client.head_object().bucket(&self.bucket).key(self.full(key));
        self.done(&self.reading(key), ATTEMPT, request.send()).await.map(Some)
    }
}

const READS: &str = "allow s3:GetEncryptionConfiguration, s3:GetBucketPublicAccessBlock, \
                     s3:GetBucketVersioning, s3:GetBucketObjectLockConfiguration, \
                     s3:GetReplicationConfiguration and s3:GetObjectRetention on the bucket";

fn named(sse: Option<&ServerSideEncryption>, key: Option<&str>) -> String {
    match (sse, key) {
        (None, _) => "none".to_owned(),
        (Some(sse), Some(key)) => format!("{} with the key {key}", sse.as_str()),
        (Some(sse), None) => sse.as_str().to_owned(),
    }
}

/// A key is configured by its id, its ARN or an alias; answers name the ARN, so an alias proves
/// nothing and is let pass.
fn same_key(wanted: &str, seen: Option<&str>) -> bool {
    wanted.contains("alias/")
        || seen.is_some_and(|seen| seen == wanted || seen.ends_with(&format!("/{wanted}")))
}

fn encrypted_as(wanted: &Sse, sse: Option<&ServerSideEncryption>, key: Option<&str>) -> bool {
    match wanted {
        Sse::Aes256 => sse.is_some(),
        Sse::Kms { key: wanted } => {
            matches!(sse, Some(ServerSideEncryption::AwsKms | ServerSideEncryption::AwsKmsDsse))
                && wanted.as_deref().is_none_or(|wanted| same_key(wanted, key))
        }
    }
}

/// What counts is how objects are kept. Every bucket of AWS has a default since January 2023; what
/// the configuration asks for is sent with each put.
fn judge_encryption(
    wanted: Option<&Sse>,
    bucket: Result<Option<GetBucketEncryptionOutput>>,
    object: &Result<Option<HeadObjectOutput>>,
) -> Result<Seen> {
    let bucket = bucket?;
    let rule = bucket
        .as_ref()
        .and_then(|b| b.server_side_encryption_configuration())
        .and_then(|c| c.rules().first())
        .and_then(|r| r.apply_server_side_encryption_by_default());
    let by_default =
        named(rule.map(|r| r.sse_algorithm()), rule.and_then(|r| r.kms_master_key_id()));
    let object = match object {
        Ok(object) => object.as_ref(),
        Err(e) => return Err(retold(e)),
    };
    let kept = object.map(|o| (o.server_side_encryption(), o.ssekms_key_id()));
    let said = match kept {
        Some((sse, key)) => format!(
            "objects are kept with {}; the bucket's default is {by_default}",
            named(sse, key)
        ),
        None => format!("the bucket's default is {by_default}; there is no object yet to look at"),
    };
    let (sse, key) = match kept {
        Some((sse, key)) => (sse.or(rule.map(|r| r.sse_algorithm())), key),
        None => (rule.map(|r| r.sse_algorithm()), rule.and_then(|r| r.kms_master_key_id())),
    };
    let good = match wanted {
        Some(wanted) => encrypted_as(wanted, sse, key),
        None => sse.is_some(),
    };
    Ok(match good {
        true => Seen::AsConfigured(said),
        false => Seen::Otherwise(
            said,
            "set `sse` (and `kms_key`) of the store, and default encryption on the bucket; the next \
             generation is written so"
                .to_owned(),
        ),
    })
}

fn judge_block(answer: Option<&GetPublicAccessBlockOutput>) -> Seen {
    let set = answer.and_then(|a| a.public_access_block_configuration());
    let blocks = [
        ("BlockPublicAcls", set.and_then(|s| s.block_public_acls())),
        ("IgnorePublicAcls", set.and_then(|s| s.ignore_public_acls())),
        ("BlockPublicPolicy", set.and_then(|s| s.block_public_policy())),
        ("RestrictPublicBuckets", set.and_then(|s| s.restrict_public_buckets())),
    ];
    let off: Vec<_> = blocks.iter().filter(|(_, on)| *on != Some(true)).map(|(n, _)| *n).collect();
    if off.is_empty() {
        return Seen::AsConfigured("all four public access blocks are on".to_owned());
    }
    Seen::Otherwise(
        format!("the bucket does not block public access: {} off", off.join(", ")),
        "`aws s3api put-public-access-block` with all four set to true".to_owned(),
    )
}

fn judge_versioning(lock: Option<Duration>, answer: Option<&GetBucketVersioningOutput>) -> Seen {
    let status = answer.and_then(|a| a.status());
    match (status, lock) {
        (Some(BucketVersioningStatus::Enabled), _) => Seen::AsConfigured("it is on".to_owned()),
        (_, None) => {
            Seen::NotAsked("it is off; `object_lock`, which needs it, is not configured".to_owned())
        }
        (_, Some(_)) => Seen::Otherwise(
            "it is off, and `object_lock` needs it".to_owned(),
            "turn versioning on for the bucket".to_owned(),
        ),
    }
}

fn judge_lock(
    wanted: Option<Duration>,
    bucket: Result<Option<GetObjectLockConfigurationOutput>>,
    object: &Result<Option<HeadObjectOutput>>,
) -> Result<Seen> {
    let bucket = bucket?;
    let enabled = bucket
        .as_ref()
        .and_then(|b| b.object_lock_configuration())
        .and_then(|c| c.object_lock_enabled())
        .is_some_and(|on| *on == ObjectLockEnabled::Enabled);
    let Some(wanted) = wanted else {
        let is = if enabled { "on" } else { "off" };
        return Ok(Seen::NotAsked(format!(
            "`object_lock` is not configured; the bucket's is {is}"
        )));
    };
    let hint =
        "object lock is enabled when a bucket is made, or by AWS on an existing one".to_owned();
    if !enabled {
        return Ok(Seen::Otherwise("the bucket has no object lock".to_owned(), hint));
    }
    let asked = humantime::format_duration(wanted);
    let object = match object {
        Ok(object) => object.as_ref(),
        Err(e) => return Err(retold(e)),
    };
    let Some(object) = object else {
        return Ok(Seen::AsConfigured("it is on; there is no object yet to look at".to_owned()));
    };
    let until = object
        .object_lock_retain_until_date()
        .and_then(|t| chrono::DateTime::from_timestamp(t.secs(), 0));
    Ok(match until {
        Some(until) if until > Utc::now() => Seen::AsConfigured(format!(
            "the newest manifest is locked until {}; {asked} are asked for",
            until.format("%Y-%m-%d %H:%M UTC")
        )),
        Some(until) => Seen::Otherwise(
            format!("the lock of the newest manifest ended at {until}; {asked} are asked for"),
            "take a snapshot: the newest one is older than the lock".to_owned(),
        ),
        // Without the right to read retention, S3 leaves it out of the answer.
        None => Seen::Otherwise(
            format!("the newest manifest shows no lock; {asked} are asked for"),
            "allow s3:PutObjectRetention for writing and s3:GetObjectRetention for this look"
                .to_owned(),
        ),
    })
}

/// drctl writes to both regions itself; rules that are there must be on.
fn judge_replication(answer: Option<&GetBucketReplicationOutput>) -> Seen {
    let rules = answer.and_then(|a| a.replication_configuration()).map(|c| c.rules());
    let Some(rules) = rules.filter(|rules| !rules.is_empty()) else {
        return Seen::NotAsked(
            "the bucket has no rules: drctl itself writes to both regions".to_owned(),
        );
    };
    let off = rules.iter().filter(|r| *r.status() != ReplicationRuleStatus::Enabled).count();
    match off {
        0 => Seen::AsConfigured(format!("{} rules, all on", rules.len())),
        _ => Seen::Otherwise(
            format!("{off} of {} rules are off", rules.len()),
            "turn them on, or remove them".to_owned(),
        ),
    }
}

/// The look at the witness serves several settings.
fn retold(e: &StoreError) -> StoreError {
    let told = StoreError::new(e.class, e.what.clone());
    match &e.hint {
        Some(hint) => told.hint(hint.clone()),
        None => told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versioning_is_asked_for_by_object_lock_alone() {
        let lock = Some(Duration::from_hours(24));
        let on =
            GetBucketVersioningOutput::builder().status(BucketVersioningStatus::Enabled).build();
        let off =
            GetBucketVersioningOutput::builder().status(BucketVersioningStatus::Suspended).build();
        assert!(matches!(judge_versioning(lock, Some(&on)), Seen::AsConfigured(_)));
        assert!(matches!(judge_versioning(None, Some(&off)), Seen::NotAsked(_)));
        assert!(matches!(judge_versioning(lock, Some(&off)), Seen::Otherwise(..)));
    }

    #[test]
    fn encryption_is_what_objects_have_and_the_right_key() {
        let kms = |key: &str| Sse::Kms { key: Some(key.to_owned()) };
        let arn = "arn:aws:kms:us-east-1:1:key/ab-12";
        let object = HeadObjectOutput::builder()
            .server_side_encryption(ServerSideEncryption::AwsKms)
            .ssekms_key_id(arn)
            .build();
        let judged = |wanted: Option<&Sse>| {
            judge_encryption(wanted, Ok(None), &Ok(Some(object.clone()))).unwrap()
        };
        for wanted in ["ab-12", arn, "alias/drctl"] {
            assert!(matches!(judged(Some(&kms(wanted))), Seen::AsConfigured(_)), "{wanted}");
        }
        assert!(matches!(judged(Some(&kms("cd-34"))), Seen::Otherwise(..)));
        assert!(matches!(judged(None), Seen::AsConfigured(_)));
        let plain = Ok(Some(HeadObjectOutput::builder().build()));
        let bare = judge_encryption(Some(&Sse::Aes256), Ok(None), &plain).unwrap();
        assert!(matches!(bare, Seen::Otherwise(..)));
    }

    #[test]
    fn without_any_block_the_bucket_is_open() {
        assert!(matches!(judge_block(None), Seen::Otherwise(..)));
    }
}
