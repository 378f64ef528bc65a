//! The servers that a connection string names.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::given::{Given, invalid};
use super::{Endpoint, Host, refused};
use crate::error::Result;

/// The parallel lists `host`, `hostaddr` and `port` as servers.
pub(super) fn endpoints(given: &Given) -> Result<Vec<Endpoint>> {
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
