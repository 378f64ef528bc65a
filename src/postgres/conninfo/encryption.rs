//! The `ssl*` parameters.

use std::path::PathBuf;

use super::given::{Given, invalid};
use super::refused;
use crate::error::Result;
use crate::postgres::tls::{RootCert, SslMode, SslNegotiation, TlsSettings, TlsVersion};

pub(super) fn settings(given: &Given) -> Result<TlsSettings> {
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
