//! Whether a place may be drilled in. Production is refused by its address, by the addresses that
//! its names stand for, by its credentials and by the identity of its servers, whatever the
//! configuration says; and a server must say itself that it is meant for drills.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::model::Manifest;
use crate::postgres::{Conninfo, Host, Session, catalog, connect};

/// The setting by which a server says that its role is meant for drills.
pub(super) const MARK: &str = "drctl.drill";
/// How long production is asked who it is.
const ASKING: Duration = Duration::from_secs(5);

/// Something that no drill may touch.
#[derive(Debug, Clone)]
pub struct Production {
    /// "database `petforce`".
    pub what: String,
    /// None: its secret is not to be had here, so its address is unknown.
    pub info: Option<Conninfo>,
}

/// Every database and server of the configuration.
pub fn production(config: &Config) -> Vec<Production> {
    let mut all = Vec::new();
    for name in config.database_names() {
        let database = config.database(name).ok();
        let info = database.and_then(|d| Conninfo::parse(&d.url).ok());
        all.push(Production { what: format!("database `{name}`"), info });
        for server in database.iter().flat_map(|d| d.servers.values()) {
            let what = format!("the server of `{name}` in {}", server.region);
            all.push(Production { what, info: Conninfo::parse(&server.url).ok() });
        }
    }
    all
}

/// Refuses a server that is production's, or that does not say that it is meant for drills. Gives
/// what could not be compared.
pub async fn check(
    session: &Session,
    target: &Conninfo,
    production: &[Production],
    manifest: &Manifest,
) -> Result<Vec<String>> {
    elsewhere(target, production).await?;
    let uncompared = another(session, target, production, manifest).await?;
    let told = session.row(&format!("SELECT current_setting('{MARK}', true)")).await?;
    if told.get(0) != Some("on") {
        let place = target.host_for_people();
        return Err(Error::new(
            Kind::Usage,
            format!("{place} does not say that it is meant for drills"),
        )
        .hint(format!(
            "on the staging server, and nowhere else: ALTER ROLE \"{}\" SET {MARK} = 'on'",
            catalog::server(session).await?.user
        )));
    }
    Ok(uncompared)
}

fn refused(target: &Conninfo, why: String) -> Error {
    let place = target.host_for_people();
    Error::new(Kind::Usage, format!("a drill must not touch {place}"))
        .caused_by(why)
        .hint("name a staging server that shares neither machine nor role with production")
}

/// Refuses an address or credentials of production's. Nothing is sent to it.
pub async fn elsewhere(target: &Conninfo, production: &[Production]) -> Result<()> {
    for (what, info) in production.iter().filter_map(|p| Some((&p.what, p.info.as_ref()?))) {
        if let Some(why) = same_place(target, info).await {
            return Err(refused(target, format!("it is {what}: {why}")));
        }
        if target.shares_credentials(info) {
            let user = target.user();
            let why = format!("it would be reached as `{user}`, with the credentials of {what}");
            return Err(refused(target, why));
        }
    }
    Ok(())
}

/// Refuses a server that is one of production's by its identity. Gives what could not be compared.
pub async fn another(
    session: &Session,
    target: &Conninfo,
    production: &[Production],
    manifest: &Manifest,
) -> Result<Vec<String>> {
    let ours = catalog::server(session).await?;
    let identity = ours.system_identifier.as_deref();
    if identity.is_some() && manifest.source.system_identifier.as_deref() == identity {
        let why = "it is the server that the snapshot was taken of".to_owned();
        return Err(refused(target, why));
    }
    let mut uncompared = Vec::new();
    for Production { what, info } in production {
        let Some(info) = info else {
            uncompared.push(format!("{what}: its address is not to be had here"));
            continue;
        };
        match (identify(info).await, identity) {
            (Some(theirs), Some(ours)) if theirs == ours => {
                let why = format!("it has the system identifier of {what}");
                return Err(refused(target, why));
            }
            (Some(_), Some(_)) => {}
            _ => uncompared.push(format!("{what}: who its server is could not be compared")),
        }
    }
    Ok(uncompared)
}

/// Why two connection strings lead to the same server; none: as far as addresses tell, they do not.
pub(super) async fn same_place(a: &Conninfo, b: &Conninfo) -> Option<String> {
    for x in a.endpoints() {
        for y in b.endpoints() {
            let same = match (&x.host, &y.host) {
                (Host::Tcp(x), Host::Tcp(y)) => x.eq_ignore_ascii_case(y),
                (x, y) => x == y,
            };
            if same && x.port == y.port {
                return Some(format!("both are at {x}"));
            }
        }
    }
    let (here, there) = tokio::join!(addresses(a), addresses(b));
    here.intersection(&there).next().map(|address| format!("both are at {address}"))
}

/// The addresses that a connection string leads to. A name that has none leads nowhere.
pub(super) async fn addresses(info: &Conninfo) -> BTreeSet<SocketAddr> {
    let mut all = BTreeSet::new();
    for endpoint in info.endpoints() {
        match (&endpoint.host, endpoint.address) {
            (_, Some(address)) => _ = all.insert(SocketAddr::new(address, endpoint.port)),
            (Host::Tcp(name), None) => {
                let looked = tokio::net::lookup_host((name.as_str(), endpoint.port));
                if let Ok(Ok(found)) = timeout(ASKING, looked).await {
                    all.extend(found);
                }
            }
            (Host::Socket(_), None) => {}
        }
    }
    all
}

/// The system identifier of a server; none: it does not answer, or does not tell.
pub(super) async fn identify(info: &Conninfo) -> Option<String> {
    let asked = async {
        let session = connect(info, "drctl drill").await.ok()?;
        let server = catalog::server(&session).await.ok()?;
        session.close().await;
        server.system_identifier
    };
    timeout(ASKING, asked).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn info(text: &str) -> Conninfo {
        Conninfo::parse(&Secret::new(text)).unwrap()
    }

    #[tokio::test]
    async fn one_server_by_two_names_is_one_server() {
        let same = async |a: &str, b: &str| same_place(&info(a), &info(b)).await.is_some();
        assert!(same("postgres://a@127.0.0.1:5433/x", "postgres://b@127.0.0.1:5433/y").await);
        assert!(same("postgres://a@localhost:5433/x", "postgres://b@127.0.0.1:5433/y").await);
        let by_address = "host=db.example hostaddr=127.0.0.1 port=5433 user=a dbname=x";
        assert!(same(by_address, "postgres://b@localhost:5433/y").await);
        assert!(same("host=/run/pg user=a", "host=/run/pg user=b").await);
        assert!(!same("postgres://a@localhost:5433/x", "postgres://a@localhost:5434/x").await);
        let several = "postgres://a@h1.invalid:1,localhost:5433/x";
        assert!(same(several, "postgres://b@127.0.0.1:5433/y").await);
    }

    #[test]
    fn credentials_are_the_same_unless_they_are_known_to_differ() {
        let shares = |a: &str, b: &str| info(a).shares_credentials(&info(b));
        assert!(shares("postgres://a:x@h1/d", "postgres://a:x@h2/d"));
        assert!(!shares("postgres://a:x@h1/d", "postgres://a:y@h2/d"));
        assert!(!shares("postgres://a:x@h1/d", "postgres://b:x@h2/d"));
        assert!(shares("postgres://a@h1/d?passfile=/none", "postgres://a:x@h2/d"));
    }
}
