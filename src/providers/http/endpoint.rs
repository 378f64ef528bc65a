//! Where an endpoint is: its URL, and the address that is asked for it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use url::{Host, Url};

use super::shown;
use crate::error::{Error, Kind, Result};
use crate::providers::dns;

/// A URL and how to get to it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub url: Url,
    /// A host, and its port where that is not the URL's; asked in the place of the URL's host.
    pub connect_to: Option<(String, u16)>,
    /// The DNS server that is asked for the host; none: as the system does.
    pub resolver: Option<SocketAddr>,
}

impl Endpoint {
    pub fn new(url: &str, connect_to: Option<&str>, resolver: Option<&str>) -> Result<Self> {
        // The text is not repeated: a password may stand in it.
        let url: Url = url.parse().map_err(|e| refused("`url` is not a URL").caused_by(e))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(refused("`url` must be an http:// or https:// URL"));
        }
        let port = url.port_or_known_default().unwrap_or(443);
        let connect_to = connect_to.map(|text| place(text, port)).transpose()?;
        if connect_to.is_some() && !matches!(url.host(), Some(Host::Domain(_))) {
            return Err(refused("`connect_to` needs a name, not an address, in `url`"));
        }
        let resolver = resolver.map_or(Ok(None), dns::resolver).map_err(refused)?;
        Ok(Self { url, connect_to, resolver })
    }

    /// "https://app.petforce.example/health at 10.0.0.1:443".
    pub fn in_words(&self) -> String {
        match &self.connect_to {
            None => shown(&self.url),
            Some((host, port)) => format!("{} at {host}:{port}", shown(&self.url)),
        }
    }

    /// The host of the URL, as TLS asks for it.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default().trim_matches(['[', ']'])
    }

    /// The address to go to; `None`: the system finds it by the URL's host.
    pub async fn address(
        &self,
        limit: Duration,
    ) -> std::result::Result<Option<SocketAddr>, String> {
        let default = self.url.port_or_known_default().unwrap_or(443);
        let (host, port) = match &self.connect_to {
            Some((host, port)) => (host.as_str(), *port),
            None if self.resolver.is_some() => (self.host(), default),
            None => return Ok(None),
        };
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(Some((ip, port).into()));
        }
        if let Some(resolver) = self.resolver {
            return Ok(Some((dns::address_at(host, resolver, limit).await?, port).into()));
        }
        system_address(host, port, limit).await.map(Some)
    }
}

/// An address of `host` as the system finds it.
pub async fn system_address(
    host: &str,
    port: u16,
    limit: Duration,
) -> std::result::Result<SocketAddr, String> {
    match tokio::time::timeout(limit, tokio::net::lookup_host((host, port))).await {
        Err(_) => Err(format!("{host} is not resolved in time")),
        Ok(Err(e)) => Err(format!("{host} cannot be resolved: {e}")),
        Ok(Ok(mut addresses)) => addresses.next().ok_or_else(|| format!("{host} has no address")),
    }
}

fn place(text: &str, port: u16) -> Result<(String, u16)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok((address.ip().to_string(), address.port()));
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok((ip.to_string(), port));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, digits)) => match digits.parse() {
            Ok(port) => (host, port),
            Err(_) => return Err(refused(format!("`connect_to`: `{digits}` is not a port"))),
        },
        None => (text, port),
    };
    match Host::parse(host) {
        Ok(Host::Domain(host)) => Ok((host, port)),
        _ => Err(refused(format!("`connect_to` must be a host or address, not `{text}`"))),
    }
}

pub(super) fn refused(why: impl Into<String>) -> Error {
    Error::new(Kind::Usage, format!("http.await_ready: {}", why.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_may_be_asked_elsewhere() {
        let at = |to: &str| Endpoint::new("https://a.test/x", Some(to), None).map(|e| e.connect_to);
        for (text, host, port) in [
            ("10.0.0.1", "10.0.0.1", 443),
            ("10.0.0.1:8443", "10.0.0.1", 8443),
            ("[::1]:8443", "::1", 8443),
            ("west.elb.amazonaws.com", "west.elb.amazonaws.com", 443),
            ("west.elb.amazonaws.com:81", "west.elb.amazonaws.com", 81),
        ] {
            assert_eq!(at(text).unwrap(), Some((host.to_owned(), port)), "{text}");
        }
        for bad in ["", "a b", "x:y"] {
            assert!(at(bad).is_err(), "{bad}");
        }
        assert!(Endpoint::new("https://10.0.0.1/", Some("10.0.0.2"), None).is_err());
        assert!(Endpoint::new("ftp://a.test/", None, None).is_err());
        let e = Endpoint::new("https://ann:geheim@", None, None).unwrap_err();
        assert!(!e.one_line().contains("geheim"), "{e:?}");
    }
}
