//! Who may read: whoever knows the token, shows a certificate, or sits at this machine.

use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};

use crate::config::WebConfig;
use crate::error::{Error, Kind, Result};

/// A browser that gave the token need not give it again for so long.
const SESSION_SECONDS: i64 = 12 * 3600;
/// `__Host-` would be safer and needs TLS, which loopback has not.
const COOKIE: &str = "drctl_session";

/// What is asked of a reader.
pub struct Access {
    token: Option<String>,
    /// TLS has asked for a certificate before any request is read.
    certificates: bool,
    /// The cookie is for TLS only.
    secure: bool,
    /// Under which names the server may be spoken to, where nothing else is asked for.
    host: Option<String>,
}

/// What a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Welcome,
    /// The token is missing or wrong.
    NoToken,
    /// A page of elsewhere made a browser ask a name that it had pointed at this machine.
    ForeignHost,
}

impl Access {
    /// `Kind::Usage` where anybody who reaches the address could read.
    pub fn new(config: &WebConfig) -> Result<Self> {
        let token = config.token.as_ref().map(|t| t.expose()).transpose()?.map(str::to_owned);
        let certificates = config.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        if !config.listen.ip().is_loopback() && token.is_none() && !certificates {
            let what = format!("serve the page at {}: anybody could read it", config.listen);
            return Err(Error::new(Kind::Usage, what).hint(
                "set `token` in [web] (`openssl rand -hex 24` makes one), or `client_ca` with `cert` \
                 and `key`; or listen on loopback only: listen = \"127.0.0.1:8440\"",
            ));
        }
        let public = config.public_url.as_deref().and_then(|url| url::Url::parse(url).ok());
        let secure =
            config.tls.is_some() || public.as_ref().is_some_and(|url| url.scheme() == "https");
        let host = public.and_then(|url| url.host_str().map(str::to_owned));
        Ok(Self { token, certificates, secure, host })
    }

    /// Whether the whole way to a reader is TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Judges a request by its head.
    pub fn judge(&self, headers: &HeaderMap, now: DateTime<Utc>) -> Verdict {
        match &self.token {
            Some(token) => {
                let known = self.bears(token, headers) || self.has_session(token, headers, now);
                if known { Verdict::Welcome } else { Verdict::NoToken }
            }
            None if self.certificates => Verdict::Welcome,
            None if self.is_own_host(headers) => Verdict::Welcome,
            None => Verdict::ForeignHost,
        }
    }

    /// `Authorization: Bearer TOKEN`, or the token as the password of HTTP basic.
    fn bears(&self, token: &str, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        let Some((scheme, given)) = given.and_then(|text| text.split_once(' ')) else {
            return false;
        };
        if scheme.eq_ignore_ascii_case("bearer") {
            return same(token, given.trim());
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return false;
        }
        let decoded = BASE64_STANDARD.decode(given.trim()).ok();
        let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let password = text.as_deref().and_then(|t| t.split_once(':')).map(|(_, p)| p.to_owned());
        password.is_some_and(|password| same(token, &password))
    }

    fn has_session(&self, token: &str, headers: &HeaderMap, now: DateTime<Utc>) -> bool {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
        let mut pairs = cookies.flat_map(|text| text.split(';')).filter_map(|p| p.split_once('='));
        pairs.any(|(name, value)| name.trim() == COOKIE && is_session(token, value.trim(), now))
    }

    /// The cookie for whoever typed the token; none: it is another.
    pub fn log_in(&self, given: &str, now: DateTime<Utc>) -> Option<String> {
        let token = self.token.as_deref().filter(|token| same(token, given.trim()))?;
        let value = session(token, now.timestamp() + SESSION_SECONDS);
        let secure = if self.secure { "; Secure" } else { "" };
        Some(format!(
            "{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={SESSION_SECONDS}{secure}"
        ))
    }

    /// DNS rebinding: a page from elsewhere can have its own name lead to 127.0.0.1, but a browser
    /// then still sends that name.
    fn is_own_host(&self, headers: &HeaderMap) -> bool {
        let Some(given) = headers.get(header::HOST).and_then(|v| v.to_str().ok()) else {
            // HTTP/1.0, which no browser speaks.
            return true;
        };
        let name = host_of(given);
        let own = name.eq_ignore_ascii_case("localhost")
            || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        own || self.host.as_deref().is_some_and(|host| host.eq_ignore_ascii_case(name))
    }
}

/// `[::1]:8440` and `localhost:8440` without port and brackets.
fn host_of(given: &str) -> &str {
    match given.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => given.split(':').next().unwrap_or_default(),
    }
}

/// In a time that tells nothing about how far they agree.
pub(super) fn same(one: &str, other: &str) -> bool {
    verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

/// Until when, and its HMAC under the token: what was stolen from a browser is good for hours, and
/// not for the token. A new token ends every session.
fn session(token: &str, until: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
    let tag = hmac::sign(&key, format!("drctl session until {until}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("{until}.{hex}")
}

fn is_session(token: &str, value: &str, now: DateTime<Utc>) -> bool {
    let Some(until) = value.split_once('.').and_then(|(until, _)| until.parse::<i64>().ok()) else {
        return false;
    };
    let far = now.timestamp() + SESSION_SECONDS;
    until > now.timestamp() && until <= far && same(&session(token, until), value)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::config::Secret;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn config(listen: &str, token: Option<&str>) -> WebConfig {
        let (listen, token) = (listen.parse().unwrap(), token.map(Secret::new));
        WebConfig { listen, token, ..WebConfig::default() }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_000_000, 0).unwrap()
    }

    #[test]
    fn what_others_can_reach_is_not_served_to_everybody() {
        for listen in ["0.0.0.0:8440", "[::]:8440", "10.1.2.3:80"] {
            let e = Access::new(&config(listen, None)).err().unwrap();
            assert_eq!(e.kind(), Kind::Usage);
            assert!(e.advice().unwrap().contains("token"), "{e:?}");
            assert!(Access::new(&config(listen, Some(TOKEN))).is_ok());
        }
        assert!(Access::new(&config("127.0.0.2:1", None)).is_ok());
    }

    #[test]
    fn only_the_token_opens() {
        let access = Access::new(&config("0.0.0.0:1", Some(TOKEN))).unwrap();
        let judge = |pairs: &[(&'static str, &str)]| access.judge(&headers(pairs), now());
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("ann:{TOKEN}")));
        for good in [format!("Bearer {TOKEN}"), format!("bearer  {TOKEN}"), basic] {
            assert_eq!(judge(&[("authorization", &good)]), Verdict::Welcome, "{good}");
        }
        let cut = format!("Bearer {}", &TOKEN[1..]);
        for bad in ["Bearer ", "Bearer", "Basic !!", "Basic YW5u", &cut, TOKEN] {
            assert_eq!(judge(&[("authorization", bad)]), Verdict::NoToken, "{bad}");
        }
        assert_eq!(judge(&[("host", "localhost")]), Verdict::NoToken);
    }

    #[test]
    fn a_session_lasts_half_a_day_and_cannot_be_made_up() {
        let access = Access::new(&config("0.0.0.0:1", Some(TOKEN))).unwrap();
        assert_eq!(access.log_in("guess", now()), None);
        let cookie = access.log_in(&format!(" {TOKEN}\n"), now()).unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        assert!(!cookie.contains(TOKEN) && !cookie.contains("Secure"), "{cookie}");
        let value = cookie.split(';').next().unwrap();
        let judge = |value: &str, hours: i64| {
            let given = headers(&[("cookie", &format!("a=b; {value}"))]);
            access.judge(&given, now() + chrono::TimeDelta::hours(hours))
        };
        assert_eq!(judge(value, 11), Verdict::Welcome);
        assert_eq!(judge(value, 12), Verdict::NoToken);
        let longer = value.replace("=1", "=2");
        for made_up in [longer.as_str(), "drctl_session=9999999999.", "drctl_session="] {
            assert_eq!(judge(made_up, 1), Verdict::NoToken, "{made_up}");
        }
    }

    #[test]
    fn a_name_that_was_pointed_at_loopback_is_not_answered() {
        let mut config = config("127.0.0.1:8440", None);
        config.public_url = Some("https://dr.petforce.test".to_owned());
        let access = Access::new(&config).unwrap();
        let judge = |host: &str| access.judge(&headers(&[("host", host)]), now());
        for own in ["localhost:8440", "127.0.0.1", "[::1]:8440", "DR.petforce.test"] {
            assert_eq!(judge(own), Verdict::Welcome, "{own}");
        }
        for foreign in ["evil.test:8440", "127.0.0.1.evil.test", "10.0.0.1", ""] {
            assert_eq!(judge(foreign), Verdict::ForeignHost, "{foreign}");
        }
    }
}
