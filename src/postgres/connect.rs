//! Making a connection: hosts, addresses and encryptions in libpq's order.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::config::SslMode as Wire;

use super::conninfo::{ChannelBinding, Conninfo, Endpoint, Host, TargetSession};
use super::error::{
    NoHostWouldDo, Unreachable, is_handshake, is_without_tls, not_connected, server_error,
};
use super::session::Session;
use super::tls::{Connector, SslMode, SslNegotiation};
use crate::error::{Error, Kind, Result};

/// Connects to the first of the hosts that answers and is of the wanted kind.
///
/// `application` is the session's `application_name` unless the connection string gives one.
/// Each address gets `connect_timeout` for everything up to a usable session, as in libpq.
pub async fn connect(info: &Conninfo, application: &str) -> Result<Session> {
    let tls = if info.ssl_mode() == SslMode::Disable || info.endpoints.iter().all(is_socket) {
        None
    } else {
        Some(info.tls.connector().map_err(|e| e.during(attempt(info)))?)
    };
    let connecting = Connecting { info, application, tls };
    let wanted: &[TargetSession] = match info.target {
        TargetSession::PreferStandby => &[TargetSession::Standby, TargetSession::Any],
        ref only => std::slice::from_ref(only),
    };
    let mut failures = Vec::new();
    for &wanted in wanted {
        for endpoint in in_order(info) {
            match connecting.to_endpoint(&endpoint, wanted).await {
                Ok(session) => return Ok(session),
                Err(e) => failures.push(e),
            }
        }
    }
    // There is at least one endpoint, and each leaves a session or a failure.
    Err(all_of(failures, info))
}

fn attempt(info: &Conninfo) -> String {
    format!("connect to {}", info.host_for_people())
}

fn is_socket(endpoint: &Endpoint) -> bool {
    matches!(endpoint.host, Host::Socket(_))
}

fn in_order(info: &Conninfo) -> Vec<Endpoint> {
    let mut endpoints = info.endpoints.clone();
    if info.shuffle_hosts {
        for last in (1..endpoints.len()).rev() {
            // Without randomness the order stays as given, which is an order too.
            let pick = getrandom::u32().map_or(last, |n| n as usize % (last + 1));
            endpoints.swap(last, pick);
        }
    }
    endpoints
}

/// One host's failure as it is; of several hosts' all, led by what a server said.
fn all_of(mut failures: Vec<Error>, info: &Conninfo) -> Error {
    let best = failures.iter().position(|e| server_error(e).is_some()).unwrap_or(0);
    if info.endpoints.len() == 1 {
        return failures.swap_remove(best);
    }
    let error = Error::new(Kind::Postgres, attempt(info)).caused_by(NoHostWouldDo {
        failures: failures.iter().map(Error::one_line).collect(),
        said: server_error(&failures[best]).cloned(),
    });
    match failures[best].advice() {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

struct Connecting<'a> {
    info: &'a Conninfo,
    application: &'a str,
    tls: Option<Connector>,
}

impl Connecting<'_> {
    async fn to_endpoint(&self, endpoint: &Endpoint, wanted: TargetSession) -> Result<Session> {
        let mut failure = None;
        for endpoint in self.addresses(endpoint).await? {
            match self.within_limit(&endpoint, wanted).await {
                Ok(session) => return Ok(session),
                Err(e) => {
                    // A server that answered is asked once, not at each of its addresses.
                    let answered = server_error(&e).is_some();
                    failure = Some(e);
                    if answered {
                        break;
                    }
                }
            }
        }
        Err(failure.unwrap_or_else(|| {
            Error::new(Kind::Postgres, self.attempt(endpoint)).caused_by("the name has no address")
        }))
    }

    fn attempt(&self, endpoint: &Endpoint) -> String {
        format!("connect to {}", self.info.pinned_to(endpoint.clone()).host_for_people())
    }

    /// The host with each of its addresses.
    async fn addresses(&self, endpoint: &Endpoint) -> Result<Vec<Endpoint>> {
        let (Host::Tcp(name), None) = (&endpoint.host, endpoint.address) else {
            return Ok(vec![endpoint.clone()]);
        };
        let limit = self.info.connect_timeout.unwrap_or(Duration::from_secs(60));
        let looked_up =
            match timeout(limit, tokio::net::lookup_host((name.as_str(), endpoint.port))).await {
                Ok(result) => result.map_err(|e| e.to_string()),
                Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
            };
        let found = looked_up.map_err(|e| {
            Error::new(Kind::Postgres, self.attempt(endpoint))
                .caused_by(Unreachable { why: format!("look up the host name {name}: {e}") })
                .hint("check the host name, and this machine's DNS")
        })?;
        let mut seen: Vec<SocketAddr> = Vec::new();
        for address in found {
            if !seen.contains(&address) {
                seen.push(address);
            }
        }
        Ok(seen.iter().map(|a| Endpoint { address: Some(a.ip()), ..endpoint.clone() }).collect())
    }

    async fn within_limit(&self, endpoint: &Endpoint, wanted: TargetSession) -> Result<Session> {
        let Some(limit) = self.info.connect_timeout else {
            return self.in_some_encryption(endpoint, wanted).await;
        };
        match timeout(limit, self.in_some_encryption(endpoint, wanted)).await {
            Ok(result) => result,
            Err(_) => Err(Error::new(Kind::Postgres, self.attempt(endpoint))
                .caused_by(Unreachable {
                    why: format!("no answer within {} s (connect_timeout)", limit.as_secs()),
                })
                .hint("a firewall, a security group, a wrong address, or a server that is stuck")),
        }
    }

    /// Plain, TLS, or both in the order that `sslmode` says.
    async fn in_some_encryption(
        &self,
        endpoint: &Endpoint,
        wanted: TargetSession,
    ) -> Result<Session> {
        let tls = self.tls.as_ref();
        let (first, second) = match (self.info.ssl_mode(), tls) {
            _ if is_socket(endpoint) => (None, None),
            (SslMode::Disable, _) | (_, None) => (None, None),
            (SslMode::Allow, tls) => (None, Some(tls)),
            (SslMode::Prefer, tls) => (tls, Some(None)),
            (_, tls) => (tls, None),
        };
        let refused = match self.once(endpoint, first).await {
            Ok(session) => return self.of_the_wanted_kind(session, wanted).await,
            Err(e) => e,
        };
        // libpq tries the other encryption after any refusal; only those about who and how can
        // turn out otherwise.
        let worth_a_second = refused
            .source
            .as_db_error()
            .map_or(is_handshake(&refused.source), |db| db.code().code().starts_with("28"));
        let (Some(second), true) = (second, worth_a_second) else {
            return Err(refused.told(self.attempt(endpoint)));
        };
        match self.once(endpoint, second).await {
            Ok(session) => self.of_the_wanted_kind(session, wanted).await,
            Err(again) => Err(refused.or(again).told(self.attempt(endpoint))),
        }
    }

    async fn once(&self, endpoint: &Endpoint, tls: Option<&Connector>) -> Result<Session, Refused> {
        let found = self.info.password_for(endpoint);
        let mut config = self.config(endpoint);
        if let Some(password) = &found.password {
            config.password(password.expose());
        }
        let made = match tls {
            Some(tls) => {
                config.ssl_mode(Wire::Require);
                config.connect(tls.clone()).await.map(|(client, connection)| {
                    Session::start(
                        client,
                        connection,
                        self.info.pinned_to(endpoint.clone()),
                        Some(tls.clone()),
                    )
                })
            }
            None => {
                config.ssl_mode(Wire::Disable);
                config.connect(tokio_postgres::NoTls).await.map(|(client, connection)| {
                    Session::start(client, connection, self.info.pinned_to(endpoint.clone()), None)
                })
            }
        };
        made.map_err(|source| Refused { source, password_file: found.warning })
    }

    fn config(&self, endpoint: &Endpoint) -> tokio_postgres::Config {
        let info = self.info;
        let mut config = tokio_postgres::Config::new();
        match &endpoint.host {
            Host::Tcp(name) => config.host(name),
            Host::Socket(dir) => config.host_path(dir),
        };
        if let Some(address) = endpoint.address {
            config.hostaddr(address);
        }
        config
            .port(endpoint.port)
            .user(&info.user)
            .dbname(&info.database)
            .application_name(info.application_name.as_deref().unwrap_or(self.application))
            .keepalives(info.keepalives.enabled)
            .keepalives_idle(info.keepalives.idle)
            .keepalives_interval(info.keepalives.interval)
            .keepalives_retries(info.keepalives.retries)
            .channel_binding(match info.channel_binding {
                ChannelBinding::Disable => tokio_postgres::config::ChannelBinding::Disable,
                ChannelBinding::Prefer => tokio_postgres::config::ChannelBinding::Prefer,
                ChannelBinding::Require => tokio_postgres::config::ChannelBinding::Require,
            })
            .ssl_negotiation(match info.tls.negotiation {
                SslNegotiation::Postgres => tokio_postgres::config::SslNegotiation::Postgres,
                SslNegotiation::Direct => tokio_postgres::config::SslNegotiation::Direct,
            });
        if let Some(options) = &info.options {
            config.options(options);
        }
        if let Some(limit) = info.tcp_user_timeout {
            config.tcp_user_timeout(limit);
        }
        if let Some(limit) = info.connect_timeout {
            // For cancel requests, which make a connection of their own.
            config.connect_timeout(limit);
        }
        config
    }

    async fn of_the_wanted_kind(&self, session: Session, wanted: TargetSession) -> Result<Session> {
        if wanted == TargetSession::Any {
            return Ok(session);
        }
        let row = session
            .row("SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')")
            .await?;
        let standby = row.get(0) == Some("t");
        let read_only = row.get(1) == Some("on");
        let (fits, what) = match wanted {
            TargetSession::ReadWrite => (!read_only, "is read-only"),
            TargetSession::ReadOnly => (read_only, "is not read-only"),
            TargetSession::Primary => (!standby, "is a standby"),
            TargetSession::Standby => (standby, "is not a standby"),
            TargetSession::Any | TargetSession::PreferStandby => (true, ""),
        };
        if fits {
            return Ok(session);
        }
        Err(Error::new(Kind::Postgres, format!("connect to {}", session.place()))
            .caused_by(format!("the server {what} (target_session_attrs={})", wanted.as_str()))
            .hint("change target_session_attrs, or name the host that is wanted"))
    }
}

/// An attempt in one encryption that failed.
struct Refused {
    source: tokio_postgres::Error,
    /// Why the password file was not used.
    password_file: Option<String>,
}

impl Refused {
    /// The one of two refusals that says more: "there is no such way in" says less than "wrong
    /// password", and a server without TLS is no failure where TLS was only preferred.
    fn or(self, again: Self) -> Self {
        let code = |e: &Self| e.source.as_db_error().map(|db| db.code().code().to_owned());
        match (code(&self), code(&again)) {
            (None, _) => again,
            (Some(first), Some(second)) if first == "28000" && second != "28000" => again,
            (Some(_), _) if is_without_tls(&again.source) => self,
            _ => self,
        }
    }

    fn told(self, what: String) -> Error {
        let error = not_connected(what, &self.source);
        let about_passwords = match self.source.as_db_error() {
            Some(db) => db.code().code() == "28P01",
            None => error.one_line().contains("asks for a password"),
        };
        match self.password_file {
            Some(warning) if about_passwords => error.hint(warning),
            _ => error,
        }
    }
}
