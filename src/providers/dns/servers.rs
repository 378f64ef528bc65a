//! Whom to ask: resolvers, and the authorities of a zone.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;

use super::question::{Heard, absolute, ask, plain};

/// The resolvers that are asked unless the runbook says otherwise: this machine's own, and three
/// that many clients use.
pub const USUAL: &[&str] = &["system", "1.1.1.1", "8.8.8.8", "9.9.9.9"];

/// A server that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `1.1.1.1`, `ns-1.example.com (192.0.2.53)`.
    pub label: String,
    pub address: SocketAddr,
    /// One of the zone's own servers, not a resolver.
    pub authority: bool,
}

/// A server as a runbook names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// Those of this machine.
    System,
    Address(SocketAddr),
    /// An authority by its name, and its port.
    Host(String, u16),
}

impl Named {
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "system" {
            return Ok(Self::System);
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::Address(address));
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Address((ip, 53).into()));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => {
                let port = port.parse().map_err(|_| format!("`{text}`: not a port"))?;
                (host, port)
            }
            None => (text, 53),
        };
        absolute(host)?;
        Ok(Self::Host(host.to_owned(), port))
    }
}

/// The resolvers that are meant; `Err`: this machine names none.
pub fn resolvers(named: &[Named]) -> Result<Vec<Server>, String> {
    let mut servers: Vec<Server> = Vec::new();
    let mut add = |label: String, address: SocketAddr| {
        if !servers.iter().any(|server| server.address == address) {
            servers.push(Server { label, address, authority: false });
        }
    };
    for named in named {
        match named {
            Named::Address(address) => add(label(*address), *address),
            Named::Host(host, _) => return Err(format!("resolver `{host}` must be an address")),
            Named::System => {
                let (config, _) = read_system_conf()
                    .map_err(|e| format!("the resolvers of this machine are not known: {e}"))?;
                for server in config.name_servers() {
                    add(format!("{} (this machine's)", server.ip), (server.ip, 53).into());
                }
            }
        }
    }
    Ok(servers)
}

/// `1.1.1.1`, with its port where it is not the usual one.
fn label(address: SocketAddr) -> String {
    if address.port() == 53 { address.ip().to_string() } else { address.to_string() }
}

/// The authorities that were named, or those of the zone that holds `name`, found by asking
/// `resolvers`.
pub async fn authorities(
    name: &Name,
    named: Option<&[Named]>,
    resolvers: &[Server],
    limit: Duration,
) -> Result<Vec<Server>, String> {
    let hosts = match named {
        None => {
            let hosts = name_servers(name, resolvers, limit).await?;
            hosts.into_iter().map(|host| Named::Host(host, 53)).collect()
        }
        Some(named) => named.to_vec(),
    };
    let found = hosts.into_iter().map(async |host| match host {
        Named::Address(address) => Ok(Server { label: label(address), address, authority: true }),
        Named::Host(host, port) => {
            let ip = address_of(&host, resolvers, limit).await?;
            let label = format!("{host} ({})", label((ip, port).into()));
            Ok(Server { label, address: (ip, port).into(), authority: true })
        }
        Named::System => Err("`system` names resolvers, not authorities".to_owned()),
    });
    try_join_all(found).await
}

/// The NS records of the nearest zone above `name`, or at it.
async fn name_servers(
    name: &Name,
    resolvers: &[Server],
    limit: Duration,
) -> Result<Vec<String>, String> {
    let mut zone = name.clone();
    while !zone.is_root() {
        match first_answer(&zone, RecordType::NS, resolvers, limit).await? {
            Heard::Values { values, .. } => return Ok(values.into_iter().collect()),
            _ => zone = zone.base_name(),
        }
    }
    Err(format!("no zone above {} has name servers", plain(name)))
}

/// An address of `host`, IPv4 if it has one.
pub async fn address_of(
    host: &str,
    resolvers: &[Server],
    limit: Duration,
) -> Result<IpAddr, String> {
    let name = absolute(host)?;
    for kind in [RecordType::A, RecordType::AAAA] {
        if let Heard::Values { values, .. } = first_answer(&name, kind, resolvers, limit).await?
            && let Some(ip) = values.iter().find_map(|value| value.parse().ok())
        {
            return Ok(ip);
        }
    }
    Err(format!("{host} has no address"))
}

/// What is said first by any resolver that says anything. All are asked at once: one that is out of
/// reach must not hold the others up.
async fn first_answer(
    name: &Name,
    kind: RecordType,
    resolvers: &[Server],
    limit: Duration,
) -> Result<Heard, String> {
    let asked = resolvers.iter().map(|resolver| async move {
        (resolver, ask(resolver.address, name, kind, true, limit).await)
    });
    let mut answers: FuturesUnordered<_> = asked.collect();
    let mut silent = Vec::new();
    while let Some((resolver, heard)) = answers.next().await {
        match heard {
            Heard::Silence(why) => silent.push(format!("{} {why}", resolver.label)),
            heard => return Ok(heard),
        }
    }
    silent.sort();
    Err(match silent.is_empty() {
        true => "there is no resolver to ask".to_owned(),
        false => format!("no resolver helps: {}", silent.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_by_address_or_by_name() {
        let address = |text: &str| Named::Address(text.parse().unwrap());
        for (text, expected) in [
            ("system", Named::System),
            ("1.1.1.1", address("1.1.1.1:53")),
            ("127.0.0.1:5353", address("127.0.0.1:5353")),
            ("2606:4700::1111", address("[2606:4700::1111]:53")),
            ("[::1]:5353", address("[::1]:5353")),
            ("ns-1.example.com", Named::Host("ns-1.example.com".to_owned(), 53)),
            ("ns-1.example.com:54", Named::Host("ns-1.example.com".to_owned(), 54)),
        ] {
            assert_eq!(Named::parse(text), Ok(expected), "{text}");
        }
        for bad in ["", "a..b", "ns:port"] {
            assert!(Named::parse(bad).is_err(), "{bad}");
        }
        assert!(resolvers(&[Named::parse("dns.example.com").unwrap()]).is_err());
    }
}
