//! What each parameter of a connection string means.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::uri::Pairs;
use super::{Conninfo, Endpoint, Host, Keepalives, refused};
use crate::config::Secret;
use crate::error::{Error, Kind, Result};
use crate::postgres::tls::{RootCert, SslMode, SslNegotiation, TlsSettings, TlsVersion};

/// `connect_timeout` where none is given.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Parameters of Prisma's, Supabase's and other clients' URLs that say nothing about how to
/// connect.
const IGNORED: &[&str] = &[
    "pgbouncer",
    "schema",
    "connection_limit",
    "pool_timeout",
    "pool_size",
    "socket_timeout",
    "statement_cache_size",
    "supa",
    "uselibpqcompat",
    "workaround",
];

/// libpq's parameters that change nothing here: no GSSAPI is spoken, no SSL compression exists.
const WITHOUT_EFFECT: &[&str] =
    &["gssencmode", "gssdelegation", "gsslib", "krbsrvname", "sslcompression"];

/// What libpq knows and this program does not do; each with the way out.
const REFUSED: &[(&str, &str)] = &[
    ("service", "write the service's parameters into the connection string itself"),
    ("servicefile", "write the service's parameters into the connection string itself"),
    ("sslpassword", "use a client key without a passphrase, readable by its owner only"),
    ("sslcrldir", "name one file of revocation lists with sslcrl"),
    ("requirepeer", "use TLS with sslmode=verify-full to make sure of the server"),
    ("require_auth", "remove it; channel_binding=require makes sure of SCRAM and of the server"),
    ("replication", "remove it; ordinary sessions are needed"),
    ("sslkeylogfile", "remove it"),
];

/// The parameters that are understood.
const KNOWN: &[&str] = &[
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "passfile",
    "channel_binding",
    "connect_timeout",
    "options",
    "application_name",
    "fallback_application_name",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslcrl",
    "sslsni",
    "sslcertmode",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "target_session_attrs",
    "load_balance_hosts",
    "client_encoding",
];

/// Which kind of session is wanted of several hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetSession {
    #[default]
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    /// A standby if any host is one, else any.
    PreferStandby,
}

impl TargetSession {
    pub(in crate::postgres) fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::ReadWrite => "read-write",
            Self::ReadOnly => "read-only",
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::PreferStandby => "prefer-standby",
        }
    }
}

/// Whether SCRAM must be bound to the TLS connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChannelBinding {
    Disable,
    #[default]
    Prefer,
    Require,
}

impl ChannelBinding {
    pub(in crate::postgres) fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
        }
    }
}

/// Makes a `Conninfo` of parameters; an empty value is an unset one, as in libpq.
pub(super) fn interpret(pairs: Pairs) -> Result<Conninfo> {
    let mut given = Given { pairs: Vec::new() };
    let mut warnings = Vec::new();
    for (name, value) in pairs {
        if IGNORED.contains(&name.as_str()) {
            warnings.push(format!("`{name}` in the connection string has no meaning here"));
        } else if WITHOUT_EFFECT.contains(&name.as_str()) {
            continue;
        } else if let Some((_, way_out)) = REFUSED.iter().find(|(n, _)| *n == name) {
            return Err(refused(format!("`{name}` is not supported")).hint(*way_out));
        } else if KNOWN.contains(&name.as_str()) {
            given.pairs.retain(|(n, _)| *n != name);
            given.pairs.push((name, value));
        } else {
            return Err(unknown(&name));
        }
    }

    if let Some(encoding) = given.text("client_encoding")
        && !["utf8", "utf-8", "unicode", "auto"].contains(&encoding.to_ascii_lowercase().as_str())
    {
        return Err(refused("`client_encoding` must be UTF8: everything is read as UTF-8").hint(
            "remove client_encoding; the server converts whatever the database's encoding is",
        ));
    }
    let user = match given.text("user") {
        Some(user) => user,
        None => whoami::username().map_err(|e| {
            Error::new(Kind::Usage, "find the operating system's user name, as no user is given")
                .caused_by(e.to_string())
                .hint("name the role in the connection string")
        })?,
    };
    let database = given.text("dbname").unwrap_or_else(|| user.clone());
    let defaults = Keepalives::default();
    Ok(Conninfo {
        endpoints: endpoints(&given)?,
        password: given.text("password").map(Secret::new),
        passfile: given.text("passfile").map(PathBuf::from),
        tls: tls(&given)?,
        channel_binding: given.choice(
            "channel_binding",
            &[ChannelBinding::Disable, ChannelBinding::Prefer, ChannelBinding::Require],
            ChannelBinding::as_str,
        )?,
        application_name: given
            .text("application_name")
            .or_else(|| given.text("fallback_application_name")),
        options: given.text("options"),
        connect_timeout: match given.number::<i64>("connect_timeout")? {
            None => Some(CONNECT_TIMEOUT),
            Some(seconds) if seconds <= 0 => None,
            // As libpq: a second could be over before the first answer.
            Some(seconds) => Some(Duration::from_secs(seconds.unsigned_abs().max(2))),
        },
        tcp_user_timeout: given
            .number::<u64>("tcp_user_timeout")?
            .filter(|&ms| ms > 0)
            .map(Duration::from_millis),
        keepalives: Keepalives {
            enabled: given.number::<i64>("keepalives")?.is_none_or(|n| n != 0),
            idle: given.seconds("keepalives_idle", defaults.idle)?,
            interval: given.seconds("keepalives_interval", defaults.interval)?,
            retries: match given.number::<u32>("keepalives_count")? {
                None | Some(0) => defaults.retries,
                Some(count) => count,
            },
        },
        target: given.choice(
            "target_session_attrs",
            &[
                TargetSession::Any,
                TargetSession::ReadWrite,
                TargetSession::ReadOnly,
                TargetSession::Primary,
                TargetSession::Standby,
                TargetSession::PreferStandby,
            ],
            TargetSession::as_str,
        )?,
        shuffle_hosts: match given.text("load_balance_hosts").as_deref() {
            None | Some("disable") => false,
            Some("random") => true,
            Some(_) => return Err(invalid("load_balance_hosts", "disable or random")),
        },
        user,
        database,
        warnings,
    })
}

/// The parallel lists `host`, `hostaddr` and `port` as servers.
fn endpoints(given: &Given) -> Result<Vec<Endpoint>> {
    let list = |name: &str| -> Vec<String> {
        let text = given.text(name).unwrap_or_default();
        if text.is_empty() {
            Vec::new()
        } else {
            text.split(',').map(|s| s.trim().to_owned()).collect()
        }
    };
    let (hosts, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = hosts.len().max(addresses.len()).max(1);
    if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
        return Err(refused(format!(
            "{} hosts stand beside {} hostaddrs",
            hosts.len(),
            addresses.len()
        )));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(refused(format!("{} ports stand beside {count} hosts", ports.len())));
    }
    (0..count)
        .map(|i| {
            let port = match ports.get(i).or(ports.first()).map(String::as_str) {
                None | Some("") => 5432,
                Some(port) => match port.parse() {
                    Ok(port) if port > 0 => port,
                    _ => return Err(invalid("port", "a number from 1 to 65535")),
                },
            };
            let address: Option<IpAddr> = match addresses.get(i).map(String::as_str) {
                None | Some("") => None,
                Some(text) => {
                    Some(text.parse().map_err(|_| invalid("hostaddr", "an IPv4 or IPv6 address"))?)
                }
            };
            let host = match hosts.get(i).map(String::as_str) {
                Some(dir) if dir.starts_with('/') => Host::Socket(PathBuf::from(dir)),
                Some(name) if name.starts_with('@') => {
                    return Err(refused("sockets in the abstract namespace are not supported"));
                }
                Some(name) if !name.is_empty() => Host::Tcp(name.to_owned()),
                _ => match &address {
                    Some(address) => Host::Tcp(address.to_string()),
                    None => default_host(port),
                },
            };
            Ok(Endpoint { host, address, port })
        })
        .collect()
}

/// Debian's socket folder, PostgreSQL's own, or TCP where neither has a server's socket.
fn default_host(port: u16) -> Host {
    ["/var/run/postgresql", "/tmp"]
        .into_iter()
        .find(|dir| Path::new(dir).join(format!(".s.PGSQL.{port}")).exists())
        .map_or_else(|| Host::Tcp("localhost".to_owned()), |dir| Host::Socket(PathBuf::from(dir)))
}

fn tls(given: &Given) -> Result<TlsSettings> {
    let root = given.text("sslrootcert").map(|text| match text.as_str() {
        "system" => RootCert::System,
        path => RootCert::File(PathBuf::from(path)),
    });
    let mode = match given.text("sslmode").as_deref() {
        Some(text) => SslMode::ALL.into_iter().find(|m| m.as_str() == text).ok_or_else(|| {
            invalid("sslmode", "disable, allow, prefer, require, verify-ca or verify-full")
        })?,
        None if root == Some(RootCert::System) => SslMode::VerifyFull,
        None => SslMode::Prefer,
    };
    if root == Some(RootCert::System) && mode != SslMode::VerifyFull {
        return Err(refused(format!("sslmode={mode} is too weak for sslrootcert=system"))
            .hint("any public authority would do for it; use sslmode=verify-full"));
    }
    let negotiation = match given.text("sslnegotiation").as_deref() {
        None | Some("postgres") => SslNegotiation::Postgres,
        Some("direct") if mode >= SslMode::Require => SslNegotiation::Direct,
        Some("direct") => {
            return Err(refused(format!("sslmode={mode} is too weak for sslnegotiation=direct"))
                .hint("use sslmode=require or stronger"));
        }
        Some(_) => return Err(invalid("sslnegotiation", "postgres or direct")),
    };
    let version = |name: &str, unset: TlsVersion| match given.text(name).as_deref() {
        None | Some("TLSv1" | "TLSv1.1") if name.contains("min") => Ok(TlsVersion::V12),
        None => Ok(unset),
        Some("TLSv1.2") => Ok(TlsVersion::V12),
        Some("TLSv1.3") => Ok(TlsVersion::V13),
        Some(_) => Err(invalid(name, "TLSv1.2 or TLSv1.3")),
    };
    let min_version = version("ssl_min_protocol_version", TlsVersion::V12)?;
    let max_version = version("ssl_max_protocol_version", TlsVersion::V13)?;
    if min_version.is_13() && !max_version.is_13() {
        return Err(refused("ssl_min_protocol_version is above ssl_max_protocol_version"));
    }
    Ok(TlsSettings {
        mode,
        negotiation,
        root,
        crl: given.text("sslcrl").map(PathBuf::from),
        cert: given.text("sslcert").map(PathBuf::from),
        key: given.text("sslkey").map(PathBuf::from),
        send_certificate: match given.text("sslcertmode").as_deref() {
            None | Some("allow") => true,
            Some("disable") => false,
            Some(_) => return Err(invalid("sslcertmode", "allow or disable")),
        },
        sni: match given.text("sslsni").as_deref() {
            None | Some("1") => true,
            Some("0") => false,
            Some(_) => return Err(invalid("sslsni", "0 or 1")),
        },
        min_version,
        max_version,
    })
}

struct Given {
    pairs: Pairs,
}

impl Given {
    fn text(&self, name: &str) -> Option<String> {
        debug_assert!(KNOWN.contains(&name));
        let (_, value) = self.pairs.iter().find(|(n, _)| n == name)?;
        (!value.is_empty()).then(|| value.clone())
    }

    fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        self.text(name)
            .map(|text| text.trim().parse().map_err(|_| invalid(name, "a whole number")))
            .transpose()
    }

    fn seconds(&self, name: &str, default: Duration) -> Result<Duration> {
        Ok(match self.number::<u64>(name)? {
            None | Some(0) => default,
            Some(seconds) => Duration::from_secs(seconds),
        })
    }

    fn choice<T: Copy + Default>(
        &self,
        name: &str,
        all: &[T],
        word: fn(T) -> &'static str,
    ) -> Result<T> {
        let Some(text) = self.text(name) else { return Ok(T::default()) };
        all.iter().copied().find(|&one| word(one) == text).ok_or_else(|| {
            let words: Vec<_> = all.iter().map(|&one| word(one)).collect();
            invalid(name, words.join(", "))
        })
    }
}

/// The value is not shown: a value in the wrong place may be the password.
fn invalid(name: &str, wanted: impl fmt::Display) -> Error {
    refused(format!("`{name}` must be {wanted}"))
}

fn unknown(name: &str) -> Error {
    let nearest = KNOWN
        .iter()
        .map(|known| (strsim::jaro_winkler(known, name), known))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let error = refused(format!("it has an unknown parameter `{name}`"));
    match nearest {
        Some((likeness, known)) if likeness > 0.85 => {
            error.hint(format!("did you mean `{known}`?"))
        }
        _ => error.hint("remove it, if it is meant for another client"),
    }
}
