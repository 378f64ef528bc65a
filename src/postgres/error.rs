//! PostgreSQL's failures in this program's words: what it said, and the next move by SQLSTATE.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use super::advice;
use crate::error::{Error, Kind};

type Cause = Box<dyn StdError + Send + Sync>;

/// What the server said, kept whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// `ERROR`, `FATAL` or `PANIC`, as the server spells it in its language.
    pub severity: String,
    /// Five characters, appendix A of PostgreSQL's manual.
    pub sqlstate: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// The server's call stack of PL functions, COPY lines and the like.
    pub context: Option<String>,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (SQLSTATE {})", self.severity, self.message, self.sqlstate)?;
        for (name, text) in
            [("detail", &self.detail), ("server's hint", &self.hint), ("context", &self.context)]
        {
            if let Some(text) = text {
                write!(f, "; {name}: {}", text.replace('\n', " "))?;
            }
        }
        Ok(())
    }
}

impl StdError for ServerError {}

impl From<&tokio_postgres::error::DbError> for ServerError {
    fn from(e: &tokio_postgres::error::DbError) -> Self {
        Self {
            severity: e.severity().to_owned(),
            sqlstate: e.code().code().to_owned(),
            message: e.message().to_owned(),
            detail: e.detail().map(str::to_owned),
            hint: e.hint().map(str::to_owned),
            context: e.where_().map(str::to_owned),
        }
    }
}

/// The connection is gone, and with it whatever the session was doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLost {
    pub why: String,
}

impl fmt::Display for ConnectionLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the connection was lost: {}", self.why)
    }
}

impl StdError for ConnectionLost {}

/// No session came about, for a reason below PostgreSQL: no address, no route, no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    pub why: String,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl StdError for Unreachable {}

/// Every host of several failed; the cause is what a server among them said, if one did.
#[derive(Debug)]
pub(in crate::postgres) struct NoHostWouldDo {
    pub failures: Vec<String>,
    pub said: Option<ServerError>,
}

impl fmt::Display for NoHostWouldDo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no host would do: {}", self.failures.join("; "))
    }
}

impl StdError for NoHostWouldDo {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.said.as_ref().map(|said| said as _)
    }
}

/// The SQLSTATE of the server's message, wherever in the chain it stands.
pub fn sqlstate(error: &Error) -> Option<String> {
    server_error(error).map(|said| said.sqlstate.clone())
}

/// The server's message in the chain.
pub(in crate::postgres) fn server_error(error: &Error) -> Option<&ServerError> {
    in_chain(error).find_map(|e| e.downcast_ref())
}

/// Whether the session is gone: what it did may be tried again on a new one.
pub fn is_connection_lost(error: &Error) -> bool {
    in_chain(error).any(|e| {
        e.is::<ConnectionLost>()
            || e.downcast_ref::<ServerError>().is_some_and(|e| ends_the_session(&e.sqlstate))
    })
}

/// Whether the same attempt may succeed a little later, with nothing changed by anybody.
pub fn is_transient(error: &Error) -> bool {
    is_connection_lost(error)
        || in_chain(error).any(|e| e.is::<Unreachable>())
        || server_error(error).is_some_and(|said| {
            // too_many_connections, serialization_failure, deadlock_detected, lock_not_available
            ["53300", "40001", "40P01", "55P03"].contains(&said.sqlstate.as_str())
        })
}

/// `admin_shutdown`, `crash_shutdown`, `cannot_connect_now`, `database_dropped`, `idle_session_timeout`
/// and the class of connection exceptions.
fn ends_the_session(sqlstate: &str) -> bool {
    sqlstate.starts_with("57P0") || sqlstate.starts_with("08")
}

fn in_chain(error: &Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&e| e.source())
}

/// A failure of a statement or of the session while `what` was attempted.
pub(in crate::postgres) fn failed(what: impl Into<String>, e: &tokio_postgres::Error) -> Error {
    let error = Error::new(Kind::Postgres, what);
    if let Some(db) = e.as_db_error() {
        return told(error, ServerError::from(db));
    }
    if lost_the_connection(e) {
        let why = e.source().map_or_else(|| "the server closed it".to_owned(), ToString::to_string);
        return error.caused_by(ConnectionLost { why });
    }
    error.caused_by(in_words(e))
}

/// Whether the driver failed because there is no connection any more.
pub(in crate::postgres) fn lost_the_connection(e: &tokio_postgres::Error) -> bool {
    e.is_closed() || e.source().is_some_and(|s| s.is::<io::Error>())
}

/// Attaches a server's message and the next move it calls for.
pub(in crate::postgres) fn told(error: Error, said: ServerError) -> Error {
    let hint = advice::for_server(&said);
    let error = error.caused_by(said);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// A failure to make a connection.
pub(in crate::postgres) fn not_connected(what: String, e: &tokio_postgres::Error) -> Error {
    if e.as_db_error().is_some() {
        return failed(what, e);
    }
    let error = Error::new(Kind::Postgres, what);
    match e.source().and_then(|s| s.downcast_ref::<io::Error>()) {
        Some(io) => unreachable_because(error, io),
        None if is_without_tls(e) => error.caused_by("the server does not offer TLS").hint(
            "turn `ssl` on at the server, or use sslmode=prefer or disable if plain text is \
                   acceptable on this network",
        ),
        None => {
            let cause = in_words(e);
            let text = cause.to_string();
            if text.contains("password missing") {
                return error.caused_by("the server asks for a password and none was given").hint(
                    "put the password into the connection string (by ${VARIABLE} or file:) or into \
                     ~/.pgpass with mode 0600",
                );
            }
            let error = error.caused_by(cause);
            if text.contains("channel binding") {
                error.hint("channel_binding=require needs TLS and SCRAM; set it to prefer, or use sslmode=require or stronger")
            } else {
                error
            }
        }
    }
}

/// Whether TLS was wanted and the server answered that it has none.
pub(in crate::postgres) fn is_without_tls(e: &tokio_postgres::Error) -> bool {
    e.source().is_some_and(|s| s.to_string() == "server does not support TLS")
}

/// Whether the TLS handshake itself failed, as opposed to the network below it.
pub(in crate::postgres) fn is_handshake(e: &tokio_postgres::Error) -> bool {
    // tokio_postgres keeps the kind of an error to itself except in its text.
    e.to_string() == "error performing TLS handshake"
}

fn unreachable_because(error: Error, io: &io::Error) -> Error {
    if let Some(tls) = io.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
        let error = error.caused_by(format!("TLS: {tls}"));
        return match advice::for_tls(tls) {
            Some(hint) => error.hint(hint),
            None => error,
        };
    }
    let hint = match io.kind() {
        io::ErrorKind::ConnectionRefused => {
            "nothing listens there: is PostgreSQL running, and are host and port right?"
        }
        io::ErrorKind::NotFound => {
            "there is no such socket: is PostgreSQL running, and is the \
                                    folder its unix_socket_directories?"
        }
        io::ErrorKind::PermissionDenied => "this user may not use that socket",
        io::ErrorKind::TimedOut => "no answer: a firewall, a security group or a wrong address",
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            "there is no route to it from this machine; IPv6-only hosts need IPv6 here"
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => {
            "something closed the connection at once: the server's log says why, or it is not \
             PostgreSQL that listens there"
        }
        _ => "what answered there does not speak PostgreSQL's protocol: check host and port",
    };
    error.caused_by(Unreachable { why: io.to_string() }).hint(hint)
}

/// The library's text and its causes on one line; none of them holds a secret.
fn in_words(e: &tokio_postgres::Error) -> Cause {
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(e) = cause {
        text.push_str(": ");
        text.push_str(&e.to_string());
        cause = e.source();
    }
    text.into()
}
