//! What this store adds to single requests: a signature over a digest that is known already, and
//! the date of the answer.

use std::sync::{Arc, Mutex, PoisonError};

use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_sdk_s3::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sigv4::http_request::SignableBody;
use chrono::{DateTime, Utc};

use crate::model::Digest;

/// Signs the body by its SHA-256, which the caller computed: S3 checks it against what arrives, and
/// bytes are not hashed again. It also lets bodies from files be signed, over HTTP too.
#[derive(Debug)]
pub(super) struct SignedAs(pub(super) Digest);

impl Intercept for SignedAs {
    fn name(&self) -> &'static str {
        "SignedAs"
    }

    fn modify_before_signing(
        &self,
        _: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let mut signing = config.load::<SigV4OperationSigningConfig>().cloned().unwrap_or_default();
        let digest = SignableBody::Precomputed(self.0.to_string());
        signing.signing_options.payload_override = Some(digest);
        config.interceptor_state().store_put(signing);
        Ok(())
    }
}

/// Keeps the `Date` of the answer.
#[derive(Debug, Clone, Default)]
pub(super) struct DateOfAnswer(Arc<Mutex<Option<DateTime<Utc>>>>);

impl DateOfAnswer {
    pub(super) fn get(&self) -> Option<DateTime<Utc>> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for DateOfAnswer {
    fn name(&self) -> &'static str {
        "DateOfAnswer"
    }

    fn read_before_deserialization(
        &self,
        answer: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = answer.response().headers().get("date");
        let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date.map(|date| date.to_utc());
        Ok(())
    }
}
