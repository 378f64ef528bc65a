//! How long the certificate of an https endpoint is still good.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::world::trusting_this_machine;
use super::{Check, Standing};
use crate::error::{Attempt, Error, Kind, Result};

/// Fewer days than this need somebody's attention.
const FEW_DAYS: i64 = 21;

/// Looks at the certificate that `host` shows now. One that is not trusted, or of another host, is
/// not ready; an endpoint that cannot be reached proves nothing.
pub async fn check(host: &str, port: u16, now: DateTime<Utc>) -> Check {
    let what = format!("certificate of {host}:{port}");
    let stream = match TcpStream::connect((host, port)).await {
        Ok(stream) => stream,
        Err(e) => {
            return Check::new(Standing::Unproven, what, format!("cannot be reached: {e}"))
                .hint("an endpoint of the standby may only be up during a failover");
        }
    };
    match until(stream, host).await {
        Err(e) => Check::new(Standing::NotReady, what, e.one_line())
            .hint("clients will refuse it: renew it, or correct the name"),
        Ok(until) => judged(what, until, now),
    }
}

fn judged(what: String, until: DateTime<Utc>, now: DateTime<Utc>) -> Check {
    let days = (until - now).num_days();
    let found = format!("good until {}, {days} days", until.format("%Y-%m-%d"));
    match days {
        ..0 => Check::new(Standing::NotReady, what, found).hint("renew it"),
        0..FEW_DAYS => Check::new(Standing::Warning, what, found).hint("renew it soon"),
        _ => Check::new(Standing::Ready, what, found),
    }
}

async fn until(stream: TcpStream, host: &str) -> Result<DateTime<Utc>> {
    let connector = TlsConnector::from(Arc::new(trusting_this_machine()?));
    let name = ServerName::try_from(host.to_owned())
        .attempt(Kind::Usage, || format!("read `{host}` as a host"))?;
    let what = || format!("begin TLS with {host}");
    let stream = connector.connect(name, stream).await.attempt(Kind::Failed, what)?;
    let (_, session) = stream.get_ref();
    let none = || Error::new(Kind::Failed, format!("{host} showed no certificate"));
    let shown = session.peer_certificates().and_then(<[_]>::first).ok_or_else(none)?;
    let certificate = Certificate::from_der(shown)
        .map_err(|e| Error::new(Kind::Failed, "read the certificate").caused_by(e.to_string()))?;
    let until = certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs();
    let until = i64::try_from(until).ok().and_then(|s| DateTime::from_timestamp(s, 0));
    until.ok_or_else(|| Error::new(Kind::Failed, "read the certificate's end"))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn the_days_left_decide() {
        let now = DateTime::UNIX_EPOCH;
        let standing = |days| judged("c".to_owned(), now + TimeDelta::days(days), now).standing;
        assert_eq!(standing(90), Standing::Ready);
        assert_eq!(standing(20), Standing::Warning);
        assert_eq!(standing(-1), Standing::NotReady);
    }

    #[tokio::test]
    async fn an_endpoint_that_is_not_there_proves_nothing() {
        // Bound and dropped: nobody listens there.
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let found = check("127.0.0.1", port, DateTime::UNIX_EPOCH).await;
        assert_eq!(found.standing, Standing::Unproven);
    }
}
