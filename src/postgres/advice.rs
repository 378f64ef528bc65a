//! The next move, by what PostgreSQL or TLS said.

use super::error::ServerError;

/// The next move for a failed handshake.
pub(super) fn for_tls(e: &rustls::Error) -> Option<&'static str> {
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
pub(super) fn for_server(said: &ServerError) -> Option<&'static str> {
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
