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

/// An address of `host`, asked of the server `resolver` and of nobody else.
pub(super) async fn address_at(
    host: &str,
    resolver: SocketAddr,
    limit: Duration,
) -> Result<IpAddr, String> {
    let named = [servers::Named::Address(resolver)];
    servers::address_of(host, &servers::resolvers(&named)?, limit).await
}
