//! PostgreSQL's failures in this program's words: what it said, and the next move by SQLSTATE.

use std::error::Error as StdError;
use std::fmt;
use std::io;

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

/// The SQLSTATE of the server's message, wherever in the chain it stands.
pub fn sqlstate(error: &Error) -> Option<String> {
    in_chain(error).find_map(|e| e.downcast_ref::<ServerError>()).map(|e| e.sqlstate.clone())
}

/// Whether the session is gone: what it did may be tried again on a new one.
pub fn is_connection_lost(error: &Error) -> bool {
    in_chain(error).any(|e| {
        e.is::<ConnectionLost>()
            || e.downcast_ref::<ServerError>().is_some_and(|e| ends_the_session(&e.sqlstate))
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
    if e.is_closed() {
        return error.caused_by(ConnectionLost { why: "the server closed it".to_owned() });
    }
    match e.source().and_then(|s| s.downcast_ref::<io::Error>()) {
        Some(io) => error.caused_by(ConnectionLost { why: io.to_string() }),
        None => error.caused_by(in_words(e)),
    }
}

/// Attaches a server's message and the next move it calls for.
pub(in crate::postgres) fn told(error: Error, said: ServerError) -> Error {
    let hint = next_move(&said);
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
            let error = error.caused_by(cause);
            if text.contains("password missing") {
                error.hint(
                    "put the password into the connection string (by ${VARIABLE} or file:) or into \
                     ~/.pgpass with mode 0600",
                )
            } else if text.contains("channel binding") {
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
        return match tls_next_move(tls) {
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
        _ => return error.caused_by(io.to_string()),
    };
    error.caused_by(io.to_string()).hint(hint)
}

fn tls_next_move(e: &rustls::Error) -> Option<&'static str> {
    use rustls::CertificateError as C;
    Some(match e {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            C::Expired | C::ExpiredContext { .. } => {
                "the server's certificate has expired: renew it, and check this machine's clock"
            }
            C::NotValidYet | C::NotValidYetContext { .. } => {
                "the server's certificate is not valid yet: check this machine's clock"
            }
            C::UnknownIssuer => {
                "sslrootcert does not hold the authority that signed the server's certificate"
            }
            C::NotValidForName | C::NotValidForNameContext { .. } => {
                "use the host name that the certificate is for, or sslmode=verify-ca to accept any \
                 name of this authority"
            }
            C::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                "the server shows a self-signed certificate: name a copy of it as sslrootcert"
            }
            C::Other(other) if other.to_string().contains("UnsupportedCertVersion") => {
                "the certificate is of X.509 version 1, which cannot be verified: issue one of \
                 version 3, with the host names as subjectAltName"
            }
            C::Revoked => "the server's certificate is revoked: find out why before going on",
            _ => return None,
        },
        rustls::Error::AlertReceived(
            rustls::AlertDescription::CertificateRequired
            | rustls::AlertDescription::HandshakeFailure,
        ) => "the server wants a client certificate: name one with sslcert and sslkey",
        rustls::Error::AlertReceived(
            rustls::AlertDescription::UnknownCA | rustls::AlertDescription::BadCertificate,
        ) => "the server does not know the authority of the client certificate (its ssl_ca_file)",
        _ => return None,
    })
}

/// The next move for a server's message.
fn next_move(said: &ServerError) -> Option<&'static str> {
    Some(match said.sqlstate.as_str() {
        "28P01" => "the password or the user name is wrong",
        "28000" if said.message.contains("pg_hba.conf") => {
            "the server's pg_hba.conf has no line for this user, database, address and encryption"
        }
        "28000" if said.message.contains("certificate") => {
            "the server wants a client certificate: name one with sslcert and sslkey"
        }
        "28000" => "the role does not exist, may not log in, or may not log in this way",
        "3D000" => "there is no such database on this server: check the name in the URL",
        "53300" => {
            "all connections are taken: lower `jobs`, end idle sessions or raise max_connections"
        }
        "57P03" => "the server is starting, stopping or recovering: try again in a moment",
        "57P01" | "57P02" => "the server or an administrator ended the session: try again",
        "42501" => "grant the role what is missing, or use one that has it",
        "55P03" => {
            "another session holds the lock (see pg_stat_activity and pg_blocking_pids): try again \
             when it is done, or raise lock_timeout"
        }
        "40001" if said.message.contains("recovery") => {
            "the standby cancelled it to apply changes: set hot_standby_feedback = on there, or \
             raise max_standby_streaming_delay"
        }
        "40001" | "40P01" => "it collided with another transaction: try again",
        "57014" if said.message.contains("statement timeout") => {
            "statement_timeout is set for this role or database: set it to 0 for the role"
        }
        "57014" => "somebody cancelled the statement",
        "25P03" | "57P05" => {
            "an idle timeout of the server ended the session: raise it for this role"
        }
        "53100" => "the server's disk is full",
        "53200" => "the server is out of memory",
        _ => return None,
    })
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
