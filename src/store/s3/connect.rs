//! Making the client of a store: region, credentials, endpoint, timeouts.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig,
};

use crate::config::StoreConfig;
use crate::store::signin::SignIn;
use crate::store::{Class, Result, StoreError};

const CONNECT: Duration = Duration::from_secs(3);

/// Without a byte for this long, a transfer has stalled and is given up.
const STALLED: Duration = Duration::from_secs(20);

/// A client of the store's own region, which never retries by itself: `store::Retrying` does, with
/// one policy for all stores, and every try is signed anew.
pub(super) async fn client(config: &StoreConfig) -> Result<Client> {
    let sign_in = SignIn {
        region: &config.region,
        profile: config.aws_profile.as_deref(),
        access_key_id: config.access_key_id.as_ref(),
        secret_access_key: config.secret_access_key.as_ref(),
    };
    let loader = sign_in.loader().map_err(|e| {
        StoreError::new(Class::Permanent, format!("open store `{}`", config.name)).caused_by(e)
    })?;
    let loader = loader.retry_config(RetryConfig::disabled());
    let shared = loader.load().await;
    let stalled = StalledStreamProtectionConfig::enabled()
        .upload_enabled(true)
        .download_enabled(true)
        .grace_period(STALLED)
        .build();
    let mut s3 = aws_sdk_s3::config::Builder::from(&shared)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).build())
        .stalled_stream_protection(stalled)
        // Checksums are given with every put, as headers: some stores reject trailers. What comes
        // back is compared with the manifest's digests, so the SDK need not.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .force_path_style(config.path_style)
        .disable_multi_region_access_points(true)
        .disable_s3_express_session_auth(true);
    if let Some(endpoint) = &config.endpoint {
        s3 = s3.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(s3.build()))
}
