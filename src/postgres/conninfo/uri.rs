//! The URI form of a connection string, as libpq reads it.

use std::borrow::Cow;

use super::refused;
use crate::error::Result;

/// Parameters in their order; the last of a name wins.
pub(super) type Pairs = Vec<(String, String)>;

/// What follows `postgresql://` or `postgres://`.
pub(super) fn strip_scheme(text: &str) -> Option<&str> {
    text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://"))
}

/// The scheme of a URI that is not PostgreSQL's (`jdbc:postgresql`, `postgresql+asyncpg`).
pub(super) fn foreign_scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-.:".contains(c);
    (!scheme.is_empty() && scheme.chars().all(plain)).then_some(scheme)
}

/// Reads `[user[:password]@][host][:port][,…][/database][?name=value[&…]]`.
pub(super) fn parse(rest: &str) -> Result<Pairs> {
    let mut pairs = Pairs::new();
    let mut give = |name: &str, value: &str, part: &str| -> Result<()> {
        if !value.is_empty() {
            pairs.push((name.to_owned(), decode(value, part)?.into_owned()));
        }
        Ok(())
    };

    // As in libpq, credentials end at the first `@` that stands before any `/`.
    let credentials_end = rest.find(['@', '/']).filter(|&at| rest.as_bytes()[at] == b'@');
    let rest = match credentials_end {
        Some(at) => {
            let (user, password) = match rest[..at].split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (&rest[..at], None),
            };
            give("user", user, "user name")?;
            give("password", password.unwrap_or_default(), "password")?;
            &rest[at + 1..]
        }
        None => rest,
    };

    let hosts_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (hosts, ports) = hosts(&rest[..hosts_end])?;
    give("host", &hosts, "host")?;
    give("port", &ports, "port")?;

    let (path, query) = match rest[hosts_end..].split_once('?') {
        Some((path, query)) => (path, query),
        None => (&rest[hosts_end..], ""),
    };
    give("dbname", path.strip_prefix('/').unwrap_or(path), "database name")?;

    for parameter in query.split('&').filter(|p| !p.is_empty()) {
        let Some((name, value)) = parameter.split_once('=') else {
            return Err(refused("a query parameter has no `=`").hint(
                "a `?` or `&` in the user name, password or database name must be written \
                 percent-encoded (%3F, %26)",
            ));
        };
        let name = decode(name, "parameter name")?;
        let value = decode(value, "parameter value")?;
        match (name.as_ref(), value.as_ref()) {
            // JDBC's way to say it, which libpq understands too.
            ("ssl", "true") => pairs.push(("sslmode".into(), "require".into())),
            _ => pairs.push((name.into_owned(), value.into_owned())),
        }
    }
    Ok(pairs)
}

/// `a:1,b,[::1]:3` as libpq's parallel lists `a,b,::1` and `1,,3`.
fn hosts(text: &str) -> Result<(String, String)> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for one in text.split(',') {
        let (host, port) = if let Some(inner) = one.strip_prefix('[') {
            let Some((host, after)) = inner.split_once(']') else {
                return Err(refused("an IPv6 address in brackets has no closing `]`"));
            };
            match after.strip_prefix(':') {
                Some(port) => (host, port),
                None if after.is_empty() => (host, ""),
                None => return Err(refused("something other than a port follows a `]`")),
            }
        } else {
            one.split_once(':').unwrap_or((one, ""))
        };
        if !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refused("what stands where the port belongs is not a number").hint(
                "a `/`, `:`, `@`, `#` or `?` in the password must be written percent-encoded \
                 (%2F, %3A, %40, %23, %3F)",
            ));
        }
        hosts.push(host);
        ports.push(port);
    }
    let ports = if ports.iter().all(|p| p.is_empty()) { String::new() } else { ports.join(",") };
    Ok((hosts.join(","), ports))
}

/// Undoes percent-encoding; libpq refuses a malformed `%`, and `%00`.
fn decode<'a>(text: &'a str, part: &str) -> Result<Cow<'a, str>> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let malformed = || {
        refused(format!("the {part} holds a `%` that begins no valid percent-encoding"))
            .hint("write a literal `%` as %25")
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err(malformed());
        };
        match u8::try_from(high * 16 + low) {
            Ok(decoded) if decoded != 0 => bytes.push(decoded),
            _ => return Err(malformed()),
        }
    }
    String::from_utf8(bytes)
        .map(Cow::Owned)
        .map_err(|_| refused(format!("the {part} is not UTF-8 after percent-decoding")))
}
