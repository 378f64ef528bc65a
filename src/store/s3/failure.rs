//! What S3's errors mean for the caller. Codes:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.

use std::error::Error as StdError;
use std::io;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::{RequestId, RequestIdExt};
use chrono::{DateTime, Utc};

use crate::store::port::{Class, StoreError};

/// What was attempted.
#[derive(Debug, Clone)]
pub(super) struct Act {
    /// "write s3://bucket/key".
    pub(super) what: String,
    /// Whether it changes the store, so that without an answer it may have happened.
    pub(super) writes: bool,
}

/// The code and status that S3 answered with, where it answered.
pub(super) fn answer<E: ProvideErrorMetadata>(
    e: &SdkError<E, HttpResponse>,
) -> (Option<&str>, Option<u16>) {
    let status = e.raw_response().map(|response| response.status().as_u16());
    (e.as_service_error().and_then(ProvideErrorMetadata::code), status)
}

/// The store's error for a request that failed.
pub(super) fn failure<E>(act: &Act, e: SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let no_answer = if act.writes { Class::Unknown } else { Class::Transient };
    let (class, hint) = match &e {
        SdkError::ServiceError(_) | SdkError::ResponseError(_) => {
            let (code, status) = answer(&e);
            // Bodies of answers to HEAD are empty, so a skewed clock shows only in the dates.
            if status == Some(403) && is_skewed(&e) {
                (Class::Permanent, Some(CLOCK))
            } else {
                classify(code, status.unwrap_or(0), no_answer)
            }
        }
        _ if has_cause(&e, |cause| cause.is::<CredentialsError>()) => {
            (Class::Denied, Some(NO_CREDENTIALS))
        }
        SdkError::ConstructionFailure(_) => (Class::Permanent, None),
        SdkError::DispatchFailure(f) if f.is_user() => (Class::Permanent, None),
        // Never sent.
        _ if has_cause(&e, is_refused) => (Class::Transient, Some(UNREACHED)),
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => (no_answer, Some(UNREACHED)),
        _ => (no_answer, None),
    };
    let error = StoreError::new(class, act.what.clone()).caused_by(told(&e));
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// The class and the next move for an answer; `no_answer` is for one that says nothing.
pub(super) fn classify(
    code: Option<&str>,
    status: u16,
    no_answer: Class,
) -> (Class, Option<&'static str>) {
    match code.unwrap_or_default() {
        "NoSuchKey" | "NotFound" => (Class::NotFound, None),
        "NoSuchBucket" => (Class::Permanent, Some(NO_BUCKET)),
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => (Class::Denied, Some(DENIED)),
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
            (Class::Denied, Some("the credentials have expired: renew them (`aws sso login`)"))
        }
        "InvalidAccessKeyId" | "InvalidToken" | "SignatureDoesNotMatch" | "NotSignedUp" => {
            (Class::Denied, Some(WRONG_CREDENTIALS))
        }
        "RequestTimeTooSkewed" | "RequestExpired" => (Class::Permanent, Some(CLOCK)),
        "BadDigest"
        | "InvalidDigest"
        | "XAmzContentSHA256Mismatch"
        | "XAmzContentChecksumMismatch" => (Class::Corrupt, None),
        "SlowDown"
        | "ServiceUnavailable"
        | "InternalError"
        | "RequestTimeout"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "BandwidthLimitExceeded"
        | "IncompleteBody"
        | "OperationAborted"
        | "ConditionalRequestConflict" => (Class::Transient, None),
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraint" => {
            (Class::Permanent, Some(WRONG_REGION))
        }
        "InvalidObjectState" => (Class::Permanent, Some(ARCHIVED)),
        "InvalidRequest" if status == 400 => (Class::Permanent, None),
        code if code.starts_with("KMS.") => (Class::Permanent, Some(KMS)),
        _ => match status {
            // An error inside a success, or an answer that cannot be read.
            200..=299 => (no_answer, None),
            301 | 307 => (Class::Permanent, Some(WRONG_REGION)),
            401 | 403 => (Class::Denied, Some(DENIED)),
            404 => (Class::NotFound, None),
            408 | 409 | 429 => (Class::Transient, None),
            501 => (Class::Permanent, None),
            500..=599 => (Class::Transient, None),
            _ => (Class::Permanent, None),
        },
    }
}

fn is_skewed<E>(e: &SdkError<E, HttpResponse>) -> bool {
    // S3 refuses requests whose time is more than 15 minutes off.
    let date = e.raw_response().and_then(|response| response.headers().get("date"));
    let theirs = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
    theirs.is_some_and(|theirs| (theirs.to_utc() - Utc::now()).num_minutes().abs() >= 15)
}

fn has_cause(e: &(dyn StdError + 'static), is: impl Fn(&(dyn StdError + 'static)) -> bool) -> bool {
    let mut next = Some(e);
    while let Some(cause) = next {
        if is(cause) {
            return true;
        }
        next = cause.source();
    }
    false
}

fn is_refused(cause: &(dyn StdError + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
}

/// The error in one line: S3's own words with the request's id, or the chain of causes.
fn told<E>(e: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let Some(status) = e.raw_response().map(|response| response.status().as_u16()) else {
        return chain(e);
    };
    let meta = e.as_service_error().map(ProvideErrorMetadata::meta);
    let said = match meta.map(|meta| (meta.code(), meta.message())) {
        Some((Some(code), Some(message))) => format!("{code}: {message}"),
        Some((Some(code), None)) => code.to_owned(),
        // Answers to HEAD have no body, so there is nothing to tell but the status.
        _ if status >= 300 => String::new(),
        _ => chain(e),
    };
    let mut facts = vec![format!("HTTP {status}")];
    let id = e.request_id().or_else(|| meta.and_then(RequestId::request_id));
    facts.extend(id.map(|id| format!("request {id}")));
    facts.extend(e.extended_request_id().map(|id| format!("host {id}")));
    let facts = facts.join(", ");
    if said.is_empty() { facts } else { format!("{said} ({facts})") }
}

/// The causes of an error on one line, each said once.
pub(super) fn chain(e: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(e);
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

const UNREACHED: &str = "no answer comes from there: check `region` and `endpoint` of the store, this \
                         machine's network and DNS, and whether the service has an outage";
const NO_BUCKET: &str = "the bucket is not there: create it, or correct `url` and `endpoint`";
const DENIED: &str = "these credentials may not do that: allow s3:GetObject, s3:PutObject, \
                      s3:DeleteObject, s3:AbortMultipartUpload and s3:ListBucket on the bucket, \
                      and the use of its KMS key";
const WRONG_CREDENTIALS: &str = "the credentials are wrong: check the access key, the secret and \
                                 that they belong to this account and endpoint";
const NO_CREDENTIALS: &str = "no AWS credentials could be had: set them in the environment, a \
                              profile (`aws_profile`), an instance role or the configuration";
const CLOCK: &str = "the clock of this machine is wrong by 15 minutes or more: set it (chronyc \
                     makestep, or timedatectl set-ntp true) and run the command again";
const WRONG_REGION: &str = "the bucket is in another region: correct `region` of the store";
const ARCHIVED: &str = "the object is archived: restore it from its Glacier class first";
const KMS: &str = "the KMS key cannot be used: check that it is enabled and that the role may use \
                   kms:GenerateDataKey and kms:Decrypt with it";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_their_class_by_code_and_by_status() {
        for (code, status, class) in [
            ("SlowDown", 503, Class::Transient),
            ("", 503, Class::Transient),
            ("", 429, Class::Transient),
            ("ConditionalRequestConflict", 409, Class::Transient),
            ("RequestTimeout", 400, Class::Transient),
            ("InternalError", 200, Class::Transient),
            ("", 200, Class::Unknown),
            ("AccessDenied", 403, Class::Denied),
            ("", 403, Class::Denied),
            ("RequestTimeTooSkewed", 403, Class::Permanent),
            ("NoSuchBucket", 404, Class::Permanent),
            ("NoSuchKey", 404, Class::NotFound),
            ("BadDigest", 400, Class::Corrupt),
            ("NotImplemented", 501, Class::Permanent),
            ("KMS.DisabledException", 400, Class::Permanent),
            ("EntityTooLarge", 400, Class::Permanent),
        ] {
            let found = classify(Some(code), status, Class::Unknown).0;
            assert_eq!(found, class, "{code} {status}");
        }
    }
}
