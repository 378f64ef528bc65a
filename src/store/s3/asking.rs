//! Sending a request and waiting for its answer, for a bounded time.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::S3Store;
use super::failure::{self, Act, failure};
use super::wire::DateOfAnswer;
use crate::store::port::{Class, Result, StoreError};

/// How long a request without a body may take.
pub(super) const ATTEMPT: Duration = Duration::from_secs(30);

/// A transfer slower than this is given up, in bytes a second.
pub(super) const SLOWEST: u64 = 128 * 1024;

/// How long a request with `bytes` of body may take.
pub(super) fn limit(bytes: u64) -> Duration {
    ATTEMPT + Duration::from_secs(bytes / SLOWEST)
}

impl S3Store {
    /// Waits for an answer, and no longer than `limit`.
    pub(super) async fn answered<T, E>(
        &self,
        act: &Act,
        limit: Duration,
        request: impl Future<Output = std::result::Result<T, SdkError<E, HttpResponse>>>,
    ) -> std::result::Result<T, Failed<E>> {
        match tokio::time::timeout(limit, request).await {
            Ok(Ok(value)) => {
                self.bucket_seen.store(true, Ordering::Relaxed);
                Ok(value)
            }
            Ok(Err(e)) => Err(Failed::Answer(Box::new(e))),
            Err(_) => {
                let class = if act.writes { Class::Unknown } else { Class::Transient };
                let seconds = limit.as_secs();
                let what = format!("{}: no answer in {seconds} s", act.what);
                Err(Failed::Late(StoreError::new(class, what)))
            }
        }
    }

    /// As `answered`, with every failure as the store's error.
    pub(super) async fn done<T, E>(
        &self,
        act: &Act,
        limit: Duration,
        request: impl Future<Output = std::result::Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        self.answered(act, limit, request).await.map_err(|failed| failed.told(act))
    }

    /// Asks once whether the bucket is there: an answer to HEAD does not tell a missing bucket from
    /// a missing object.
    pub(super) async fn see_bucket(&self) -> Result<()> {
        if !self.bucket_seen.load(Ordering::Relaxed) {
            self.ask_bucket(DateOfAnswer::default()).await?;
        }
        Ok(())
    }

    pub(super) async fn ask_bucket(&self, date: DateOfAnswer) -> Result<()> {
        let act = Act { what: format!("reach {}", self.url), writes: false };
        let request = self.client.head_bucket().bucket(&self.bucket).customize();
        match self.done(&act, ATTEMPT, request.interceptor(date).send()).await {
            Err(e) if e.class == Class::NotFound => {
                let (class, hint) = failure::classify(Some("NoSuchBucket"), 404, Class::Unknown);
                let e = StoreError { class, ..e };
                Err(match hint {
                    Some(hint) => e.hint(hint),
                    None => e,
                })
            }
            other => other.map(drop),
        }
    }
}

/// Why a request gave nothing.
pub(super) enum Failed<E> {
    Answer(Box<SdkError<E, HttpResponse>>),
    Late(StoreError),
}

impl<E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static> Failed<E> {
    pub(super) fn told(self, act: &Act) -> StoreError {
        match self {
            Self::Answer(e) => failure(act, *e),
            Self::Late(e) => e,
        }
    }

    /// The code and status that S3 answered with.
    pub(super) fn answer(&self) -> (Option<&str>, Option<u16>) {
        match self {
            Self::Answer(e) => failure::answer(e),
            Self::Late(_) => (None, None),
        }
    }
}
