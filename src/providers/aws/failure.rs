//! What the errors of AWS mean for the engine. Codes:
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/CommonErrors.html> and the like for each
//! service.

use std::error::Error as StdError;
use std::io;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};

use crate::error::{Error, Kind};
use crate::providers::{Failure, FailureClass};

/// One request: what it is for, and the permission that it takes.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// `ecs:UpdateService`; docs/iam lists it, which a test holds.
    pub iam: &'static str,
    /// "scale `web` in us-west-2 to 6 tasks".
    pub what: String,
    /// Whether it changes something, so that without an answer it may have happened.
    pub writes: bool,
}

impl Call {
    pub fn reads(iam: &'static str, what: impl Into<String>) -> Self {
        Self { iam, what: what.into(), writes: false }
    }

    pub fn writes(iam: &'static str, what: impl Into<String>) -> Self {
        Self { iam, what: what.into(), writes: true }
    }

    /// The failure of this call.
    pub fn failed<E>(&self, e: SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let no_answer = if self.writes { FailureClass::Unknown } else { FailureClass::Transient };
        let (class, hint) = match &e {
            SdkError::ServiceError(_) | SdkError::ResponseError(_) => {
                let status = e.raw_response().map_or(0, |response| response.status().as_u16());
                self.classify(code(&e).unwrap_or_default(), status, no_answer)
            }
            _ if has_cause(&e, |cause| cause.is::<CredentialsError>()) => {
                (FailureClass::Permanent, Some(NO_CREDENTIALS.to_owned()))
            }
            SdkError::ConstructionFailure(_) => (FailureClass::Permanent, None),
            SdkError::DispatchFailure(f) if f.is_user() => (FailureClass::Permanent, None),
            // The one timeout that the connector has is that of connecting: nothing was sent.
            SdkError::DispatchFailure(f) if f.is_timeout() => (FailureClass::Transient, None),
            _ if has_cause(&e, never_sent) => (FailureClass::Transient, None),
            _ => (no_answer, None),
        };
        let error = Error::new(Kind::Failed, &*self.what).caused_by(told(&e));
        let error = match hint {
            Some(hint) => error.hint(hint),
            None => error,
        };
        Failure { class, error }
    }

    fn classify(
        &self,
        code: &str,
        status: u16,
        no_answer: FailureClass,
    ) -> (FailureClass, Option<String>) {
        let permanent = |hint: &str| (FailureClass::Permanent, Some(hint.to_owned()));
        match code {
            "AccessDenied"
            | "AccessDeniedException"
            | "UnauthorizedOperation"
            | "AuthorizationError"
            | "NotAuthorized" => permanent(&self.denied()),
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
                permanent("the credentials have expired: renew them (`aws sso login`)")
            }
            "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "InvalidAccessKeyId"
            | "InvalidToken"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "NotSignedUp"
            | "OptInRequired" => permanent(WRONG_CREDENTIALS),
            "RequestExpired" | "RequestTimeTooSkewed" => permanent(CLOCK),
            "SignatureDoesNotMatch" | "InvalidSignatureException" => {
                permanent("the secret access key is wrong, or this machine's clock is: set both")
            }
            "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "TooManyRequestsException"
            | "BandwidthLimitExceeded"
            | "LimitExceededException"
            | "SlowDown"
            | "PriorRequestNotComplete"
            | "TransactionInProgressException"
            | "ServiceUnavailable"
            | "ServiceUnavailableException" => (FailureClass::Transient, None),
            _ => match status {
                // An answer that cannot be read.
                200..=299 => (no_answer, None),
                401 | 403 => permanent(&self.denied()),
                408 | 429 | 503 => (FailureClass::Transient, None),
                // Something broke on their side, perhaps after the effect.
                500..=599 => (no_answer, None),
                _ => (FailureClass::Permanent, None),
            },
        }
    }

    fn denied(&self) -> String {
        format!("these credentials lack the permission {}: docs/iam has a policy with it", self.iam)
    }
}

/// The code that the service answered with, where it answered.
pub(super) fn code<E: ProvideErrorMetadata>(e: &SdkError<E, HttpResponse>) -> Option<&str> {
    e.as_service_error().and_then(ProvideErrorMetadata::code)
}

fn has_cause(e: &(dyn StdError + 'static), is: impl Fn(&(dyn StdError + 'static)) -> bool) -> bool {
    causes(e).any(is)
}

fn causes<'e>(
    e: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    let mut next = Some(e);
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

fn never_sent(cause: &(dyn StdError + 'static)) -> bool {
    use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable};
    let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(
        kind,
        Some(ConnectionRefused | HostUnreachable | NetworkUnreachable | AddrNotAvailable)
    )
}

/// The error in one line: the service's own words, or the chain of causes.
fn told<E>(e: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let status = e.raw_response().map(|response| response.status().as_u16());
    let meta = e.as_service_error().map(ProvideErrorMetadata::meta);
    match (status, meta.and_then(|meta| meta.code()), meta.and_then(|meta| meta.message())) {
        (Some(status), Some(code), Some(message)) => format!("{code}: {message} (HTTP {status})"),
        (Some(status), Some(code), None) => format!("{code} (HTTP {status})"),
        (Some(status), ..) => format!("HTTP {status}: {}", chain(e)),
        _ => chain(e),
    }
}

/// The causes of an error on one line, each said once.
pub(super) fn chain(e: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(e) {
        let said = cause.to_string();
        if !text.contains(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
    }
    text
}

pub(super) const NO_CREDENTIALS: &str = "no AWS credentials could be had: set them in the \
    environment, a profile (`profile` of [aws.REGION]), an instance role or the configuration";
const WRONG_CREDENTIALS: &str =
    "the credentials are wrong: check the access key, the secret and the account they belong to";
const CLOCK: &str = "the clock of this machine is wrong by minutes: set it (chronyc makestep, or \
                     timedatectl set-ntp true) and run the command again";

#[cfg(test)]
mod tests {
    use super::*;
    use FailureClass::{Permanent, Transient, Unknown};

    #[test]
    fn answers_have_their_class_by_code_and_by_status() {
        let write = Call::writes("ecs:UpdateService", "scale");
        for (code, status, class) in [
            ("Throttling", 400, Transient),
            ("ThrottlingException", 400, Transient),
            ("PriorRequestNotComplete", 400, Transient),
            ("", 503, Transient),
            ("", 429, Transient),
            ("InternalFailure", 500, Unknown),
            ("", 504, Unknown),
            ("", 200, Unknown),
            ("AccessDenied", 403, Permanent),
            ("", 403, Permanent),
            ("ExpiredTokenException", 400, Permanent),
            ("InvalidChangeBatch", 400, Permanent),
            ("DBInstanceNotFound", 404, Permanent),
        ] {
            assert_eq!(write.classify(code, status, Unknown).0, class, "{code} {status}");
        }
        let hint = write.classify("AccessDeniedException", 400, Unknown).1.unwrap();
        assert!(hint.contains("ecs:UpdateService"), "{hint}");
    }
}
