//! One place from which the primary is looked at.

use std::net::SocketAddr;
use std::time::Duration;

use chrono::TimeDelta;
use url::{Host, Url};

use super::verdict::Vote;
use crate::error::{Error, Kind, Result};
use crate::postgres::replication::{Limits, Receiver, Role};
use crate::postgres::{Unreachable, is_transient, sqlstate};
use crate::providers::postgres::Server;
use crate::providers::{World, dns};

/// A primary that is alive sends its standby something at least every `wal_sender_timeout / 2`, 30 s by
/// default (PostgreSQL documentation, 20.6).
pub const KEEPALIVE: Duration = Duration::from_secs(35);
/// `wal_receiver_timeout` by default: after it the standby itself gives the connection up.
const STALE: TimeDelta = TimeDelta::seconds(60);

/// Where to look from.
#[derive(Debug, Clone)]
pub enum Vantage {
    /// A connection from here to the primary.
    Sql(Server),
    /// What the standby's WAL receiver hears.
    Standby(Server),
    /// A URL that tells by its status; `resolver` is asked for its host, if not this machine.
    Http { url: Url, resolver: Option<SocketAddr> },
}

/// What one look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    pub vote: Vote,
    pub found: String,
    /// The place itself could not be reached, so that it could look at nothing.
    pub blind: bool,
}

fn look(vote: Vote, found: impl Into<String>) -> Look {
    Look { vote, found: found.into(), blind: false }
}

impl Vantage {
    pub fn http(text: &str, resolver: Option<SocketAddr>) -> Result<Self> {
        let url = Url::parse(text).ok().filter(|u| matches!(u.scheme(), "http" | "https"));
        let url = url.ok_or_else(|| {
            Error::new(Kind::Usage, format!("`{text}` is no URL such as https://host/health"))
        })?;
        Ok(Self::Http { url, resolver })
    }

    pub fn label(&self) -> String {
        match self {
            Self::Sql(server) => format!("SQL to {}", server.region),
            Self::Standby(server) => format!("the standby in {}", server.region),
            // Without a query, which may hold a token.
            Self::Http { url, .. } => {
                format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or(""), url.path())
            }
        }
    }

    /// Looks once, for at most `limit` a question. A standby that heard from the primary within `fresh`
    /// sees it up.
    pub async fn look(&self, world: &World, limit: Duration, fresh: Duration) -> Look {
        match self {
            Self::Sql(server) => sql(server, limit).await,
            Self::Standby(server) => standby(server, limit, fresh).await,
            Self::Http { url, resolver } => {
                let (Some(Host::Domain(host)), Some(resolver)) = (url.host(), resolver) else {
                    return get(&world.http, url, limit).await;
                };
                let port = url.port_or_known_default().unwrap_or(443);
                let address = match dns::address_at(host, *resolver, limit).await {
                    Ok(ip) => SocketAddr::new(ip, port),
                    Err(why) => return look(Vote::Unknown, why),
                };
                match world.fresh_http(Some((host, address))) {
                    Ok(http) => get(&http, url, limit).await,
                    Err(e) => look(Vote::Unknown, e.one_line()),
                }
            }
        }
    }
}

async fn sql(server: &Server, limit: Duration) -> Look {
    match server.look(Limits::each(limit)).await {
        Ok(seen) if seen.role == Role::Primary => look(Vote::Up, "it answers as a primary"),
        // It answers, but it is not what is looked for.
        Ok(_) => look(Vote::Unknown, "it answers, as a standby"),
        Err(e) => refusal(&e),
    }
}

/// A server that says no is there. One that shuts down, crashes or starts says so with class 57P.
fn refusal(e: &Error) -> Look {
    let why = e.one_line();
    match sqlstate(e) {
        Some(state) if state.starts_with("57P") => look(Vote::Down, why),
        Some(_) => look(Vote::Up, format!("it answers, with a refusal: {why}")),
        // A name that has no address here says more about this machine's resolver.
        None if is_dns(e) => look(Vote::Unknown, why),
        None if is_transient(e) => look(Vote::Down, why),
        None => look(Vote::Unknown, why),
    }
}

fn is_dns(e: &Error) -> bool {
    let first = e as &(dyn std::error::Error + 'static);
    std::iter::successors(Some(first), |e| e.source())
        .filter_map(|e| e.downcast_ref::<Unreachable>())
        .any(|unreachable| unreachable.why.starts_with("look up the host name"))
}

async fn standby(server: &Server, limit: Duration, fresh: Duration) -> Look {
    let seen = match server.look(Limits::each(limit)).await {
        Ok(seen) => seen,
        Err(e) => {
            let found = format!("it cannot be asked: {}", e.one_line());
            return Look { blind: true, ..look(Vote::Unknown, found) };
        }
    };
    if seen.role == Role::Primary {
        return look(Vote::Unknown, "it is a primary itself");
    }
    match (&seen.receiver, seen.silence()) {
        (Receiver::Absent, _) => look(Vote::Down, "nothing streams to it"),
        (Receiver::Present { status, .. }, Some(silence)) if status == "streaming" => {
            let seconds = silence.num_milliseconds() as f64 / 1000.0;
            let found = format!("last word from the primary {seconds:.1} s ago");
            let fresh = TimeDelta::from_std(fresh).unwrap_or(TimeDelta::MAX);
            match silence {
                silence if silence < fresh => look(Vote::Up, found),
                silence if silence > STALE => look(Vote::Down, found),
                _ => look(Vote::Unknown, found),
            }
        }
        (Receiver::Present { status, .. }, _) => {
            look(Vote::Unknown, format!("its WAL receiver is {status}"))
        }
        (Receiver::Unknown, _) => {
            look(Vote::Unknown, "the role may not see its WAL receiver: GRANT pg_monitor")
        }
    }
}

async fn get(http: &reqwest::Client, url: &Url, limit: Duration) -> Look {
    match http.get(url.clone()).timeout(limit).send().await {
        Ok(answer) if answer.status().is_success() => {
            look(Vote::Up, format!("status {}", answer.status().as_u16()))
        }
        Ok(answer) if answer.status().is_server_error() => {
            look(Vote::Down, format!("status {}", answer.status().as_u16()))
        }
        // Moved, not found, forbidden: the wrong address.
        Ok(answer) => look(Vote::Unknown, format!("status {}", answer.status().as_u16())),
        Err(e) if e.is_timeout() => look(Vote::Down, "no answer in time"),
        Err(e) if e.is_connect() => connect_failure(&e),
        Err(e) => look(Vote::Unknown, e.without_url().to_string()),
    }
}

/// Refused and unreachable is down; a name without an address or a certificate that does not fit
/// says nothing about the primary.
fn connect_failure(e: &reqwest::Error) -> Look {
    let first = e as &(dyn std::error::Error + 'static);
    let io = std::iter::successors(Some(first), |e| e.source())
        .filter_map(|e| e.downcast_ref::<std::io::Error>())
        .last();
    match io.map(std::io::Error::kind) {
        Some(
            kind @ (std::io::ErrorKind::ConnectionRefused
            | std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::HostUnreachable
            | std::io::ErrorKind::NetworkUnreachable
            | std::io::ErrorKind::TimedOut),
        ) => look(Vote::Down, kind.to_string()),
        _ => look(Vote::Unknown, "no connection: a name without an address, or TLS"),
    }
}
