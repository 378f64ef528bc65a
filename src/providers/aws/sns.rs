//! What SNS sends to an HTTP endpoint, believed only after its signature was verified
//! (https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html).

use std::time::Duration;

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use url::Url;
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};

use crate::config::Config;
use crate::error::{Attempt as _, Error, Kind, Result};
use crate::providers::{World, http};

/// For the certificate, and for a confirmation.
const WITHIN: Duration = Duration::from_secs(5);
/// A certificate has about 2 KiB.
const LONGEST: usize = 64 << 10;

/// One message as SNS posts it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SnsMessage {
    #[serde(rename = "Type")]
    pub kind: String,
    pub message_id: String,
    pub topic_arn: String,
    #[serde(default)]
    pub subject: Option<String>,
    pub message: String,
    pub timestamp: DateTime<Utc>,
    signature_version: String,
    signature: String,
    #[serde(rename = "SigningCertURL")]
    signing_cert_url: String,
    #[serde(rename = "SubscribeURL", default)]
    subscribe_url: Option<String>,
    #[serde(default)]
    token: Option<String>,
    /// As it was sent, which is what was signed.
    #[serde(skip)]
    sent: String,
}

impl SnsMessage {
    /// Reads a message; nothing of it is proven yet. The reason where it is none.
    pub fn read(body: &[u8]) -> std::result::Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Sent {
            timestamp: String,
        }
        let mut message: Self = serde_json::from_slice(body).map_err(|e| e.to_string())?;
        let sent: Sent = serde_json::from_slice(body).map_err(|e| e.to_string())?;
        message.sent = sent.timestamp;
        Ok(message)
    }

    /// Whether somebody was subscribed to a topic and has to agree to it.
    pub fn asks_to_confirm(&self) -> bool {
        self.kind == "SubscriptionConfirmation"
    }

    /// Proves that SNS signed it. `Kind::Damaged` where it did not; `Kind::Failed` where its
    /// certificate is not to be had now.
    pub async fn verify(&self, world: &World, now: DateTime<Utc>) -> Result<()> {
        let url = self.pinned(&world.config, &self.signing_cert_url, "SigningCertURL")?;
        let pem = fetch(world, &url).await?;
        self.prove(&pem, now)
    }

    /// Agrees to the subscription that a verified message asks about.
    pub async fn confirm(&self, world: &World) -> Result<()> {
        let url = self.subscribe_url.as_deref().unwrap_or_default();
        let url = self.pinned(&world.config, url, "SubscribeURL")?;
        fetch(world, &url).await.map(|_| ())
    }

    /// A URL of the message, if it leads to SNS in the topic's own region and nowhere else: whoever
    /// could name another host would sign with a key of their own.
    fn pinned(&self, config: &Config, text: &str, what: &str) -> Result<Url> {
        let refuse = |why: &str| {
            Err(Error::new(Kind::Damaged, format!("believe a message of SNS: its {what} {why}")))
        };
        let Ok(url) = Url::parse(text) else { return refuse("is not a URL") };
        let Some(region) = self.topic_arn.split(':').nth(3).filter(|region| !region.is_empty())
        else {
            return refuse("cannot be judged: the topic has no region");
        };
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("has a user in it");
        }
        // Whoever configures another AWS for the region means that one, and only that one.
        if let Some(endpoint) = config.aws(region)?.endpoint {
            let own = Url::parse(&endpoint).is_ok_and(|own| own.origin() == url.origin());
            return if own { Ok(url) } else { refuse("is not at the endpoint of its region") };
        }
        let host = url.host_str().unwrap_or_default();
        let hosts = ["amazonaws.com", "amazonaws.com.cn"].map(|end| format!("sns.{region}.{end}"));
        let usual = url.scheme() == "https" && url.port().is_none();
        match usual && hosts.iter().any(|known| known == host) {
            true => Ok(url),
            false => refuse("is not SNS of its region"),
        }
    }

    /// Against the certificate, which lies at a URL that was pinned.
    fn prove(&self, pem: &str, now: DateTime<Utc>) -> Result<()> {
        let refuse =
            |why: &str| Error::new(Kind::Damaged, format!("believe a message of SNS: {why}"));
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|e| refuse("its certificate cannot be read").caused_by(e))?;
        let certificate = Certificate::from_der(&der)
            .map_err(|e| refuse("its certificate cannot be read").caused_by(e))?;
        let validity = &certificate.tbs_certificate.validity;
        let unix = u64::try_from(now.timestamp()).unwrap_or_default();
        let begins = validity.not_before.to_unix_duration().as_secs();
        let ends = validity.not_after.to_unix_duration().as_secs();
        if unix < begins || unix > ends {
            return Err(refuse("its certificate is not valid now"));
        }
        let key = certificate
            .tbs_certificate
            .subject_public_key_info
            .to_der()
            .map_err(|e| refuse("its key cannot be read").caused_by(e))?;
        let signature = BASE64_STANDARD
            .decode(&self.signature)
            .map_err(|e| refuse("its signature cannot be read").caused_by(e))?;
        let algorithm = match self.signature_version.as_str() {
            "1" => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            "2" => &RSA_PKCS1_2048_8192_SHA256,
            _ => return Err(refuse("its signature is of a version that is not known")),
        };
        UnparsedPublicKey::new(algorithm, &key)
            .verify(self.signed().as_bytes(), &signature)
            .map_err(|_| refuse("its signature is not that of its certificate"))
    }

    /// The text that is signed: names and values, a line each, in the order of their names.
    fn signed(&self) -> String {
        let mut lines = vec![("Message", self.message.as_str()), ("MessageId", &self.message_id)];
        if self.kind == "Notification" {
            lines.extend(self.subject.as_deref().map(|subject| ("Subject", subject)));
            lines.push(("Timestamp", &self.sent));
        } else {
            lines.push(("SubscribeURL", self.subscribe_url.as_deref().unwrap_or_default()));
            lines.push(("Timestamp", &self.sent));
            lines.push(("Token", self.token.as_deref().unwrap_or_default()));
        }
        lines.extend([("TopicArn", self.topic_arn.as_str()), ("Type", &self.kind)]);
        lines.iter().map(|(name, value)| format!("{name}\n{value}\n")).collect()
    }
}

async fn fetch(world: &World, url: &Url) -> Result<String> {
    let what = || format!("get {}", http::shown(url));
    let failed = |e: reqwest::Error| Error::new(Kind::Failed, what()).caused_by(http::trouble(e));
    let mut response = world.http.get(url.clone()).timeout(WITHIN).send().await.map_err(failed)?;
    if !response.status().is_success() {
        let status = response.status().to_string();
        return Err(Error::new(Kind::Failed, what()).caused_by(status));
    }
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&piece);
        if body.len() > LONGEST {
            return Err(Error::new(Kind::Failed, what()).caused_by("the answer has no end"));
        }
    }
    String::from_utf8(body).attempt(Kind::Failed, what)
}
