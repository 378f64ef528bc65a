//! How long the certificate of an endpoint is good for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::providers::{Check, Standing};

/// Fewer days than this are worth a word.
const SOON: i64 = 21;

/// When the certificate ends that `address` shows for `host`; `Err`: it cannot be had, or is not
/// believed.
async fn end(
    tls: &rustls::ClientConfig,
    host: &str,
    address: SocketAddr,
) -> Result<DateTime<Utc>, Trouble> {
    let stream = connect(tls, host, address).await.map_err(|e| match e.get_ref() {
        Some(inner) if inner.is::<rustls::Error>() => Trouble::Refused(inner.to_string()),
        _ => Trouble::Away(e.to_string()),
    })?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let first = chain.first().ok_or_else(|| Trouble::Away("it shows no certificate".to_owned()))?;
    let certificate = Certificate::from_der(first).map_err(|e| Trouble::Refused(e.to_string()))?;
    let end = certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs();
    i64::try_from(end)
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .ok_or_else(|| Trouble::Refused("its end is no date".to_owned()))
}

/// A TLS connection to `address` that asks for `host`.
pub async fn connect(
    tls: &rustls::ClientConfig,
    host: &str,
    address: SocketAddr,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(tls.clone())).connect(name, stream).await
}

enum Trouble {
    /// It was not seen.
    Away(String),
    /// It was seen and is not good.
    Refused(String),
}

/// The readiness check of the certificate of `host` as `address` shows it.
pub async fn check(
    tls: &rustls::ClientConfig,
    host: &str,
    address: SocketAddr,
    limit: Duration,
    now: DateTime<Utc>,
) -> Check {
    let what = format!("certificate of {host} at {address}");
    let found = tokio::time::timeout(limit, end(tls, host, address)).await;
    match found.unwrap_or_else(|_| Err(Trouble::Away("no answer in time".to_owned()))) {
        Ok(end) => judged(what, end, now),
        Err(Trouble::Refused(why)) => {
            let hint = "clients would not believe it either: install the right one in this region";
            Check::new(Standing::NotReady, what, why).hint(hint)
        }
        Err(Trouble::Away(why)) => Check::new(Standing::Unproven, what, why),
    }
}

fn judged(what: String, end: DateTime<Utc>, now: DateTime<Utc>) -> Check {
    let days = (end - now).num_days();
    let until = end.format("%Y-%m-%d");
    if end - now < TimeDelta::zero() {
        return Check::new(Standing::NotReady, what, format!("ended on {until}")).hint("renew it");
    }
    let found = format!("good for {days} more days, until {until}");
    match days < SOON {
        true => Check::new(Standing::Warning, what, found).hint("renew it before it is needed"),
        false => Check::new(Standing::Ready, what, found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_judged_by_its_days_left() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let at = |days| judged("x".to_owned(), now + TimeDelta::days(days), now).standing;
        assert_eq!(
            [at(-1), at(20), at(21)],
            [Standing::NotReady, Standing::Warning, Standing::Ready]
        );
    }
}
