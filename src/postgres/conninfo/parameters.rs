//! What each parameter of a connection string means.

use std::path::PathBuf;
use std::time::Duration;

use super::endpoints::endpoints;
use super::given::{Given, KNOWN, invalid};
use super::uri::Pairs;
use super::{Conninfo, Keepalives, encryption, refused};
use crate::error::{Error, Kind, Result};
use crate::postgres::passfile::Password;

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
    let mut given = Given::new();
    let mut warnings = Vec::new();
    for (name, value) in pairs {
        if IGNORED.contains(&name.as_str()) {
            warnings.push(format!("`{name}` in the connection string has no meaning here"));
        } else if WITHOUT_EFFECT.contains(&name.as_str()) {
            continue;
        } else if let Some((_, way_out)) = REFUSED.iter().find(|(n, _)| *n == name) {
            return Err(refused(format!("`{name}` is not supported")).hint(*way_out));
        } else if KNOWN.contains(&name.as_str()) {
            given.set(name, value);
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
        password: given.text("password").map(Password::new),
        passfile: given.text("passfile").map(PathBuf::from),
        tls: encryption::settings(&given)?,
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
