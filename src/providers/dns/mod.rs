//! DNS as clients see it: `dns.await_answer`.

mod await_answer;
mod question;
mod servers;
mod survey;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::catalogue::ActionKind;

/// The actions of this system.
pub(super) fn actions() -> Vec<ActionKind> {
    vec![ActionKind::new(
        "dns.await_answer",
        "wait until the zone's servers and several resolvers give the new answer",
        await_answer::AwaitAnswer::new,
    )]
}

/// The server that a `resolver` argument names; `None`: `system`, as this machine resolves.
pub(super) fn resolver(text: &str) -> Result<Option<SocketAddr>, String> {
    match servers::Named::parse(text) {
        Ok(servers::Named::System) => Ok(None),
        Ok(servers::Named::Address(address)) => Ok(Some(address)),
        _ => Err(format!(
            "`resolver` must be an address such as 127.0.0.1:53, or `system`, not `{text}`"
        )),
    }
}

/// An address of `host`, asked of the server `resolver` and of nobody else.
pub(super) async fn address_at(
    host: &str,
    resolver: SocketAddr,
    limit: Duration,
) -> Result<IpAddr, String> {
    let named = [servers::Named::Address(resolver)];
    servers::address_of(host, &servers::resolvers(&named)?, limit).await
}
