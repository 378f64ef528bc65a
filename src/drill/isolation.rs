//! Whether the regions of a failover drill have nothing in common with production: no server, no
//! store, no hosted zone, no credentials; whatever either configuration says of itself.

use std::collections::BTreeSet;
use std::path::Path;

use futures_util::future::join_all;

use super::guard::{self, MARK, Production, identify, production, same_place};
use crate::config::{Config, StoreConfig, StoreUrl};
use crate::error::{Error, Kind, Result};
use crate::postgres::{Conninfo, Host, connect};

/// One side of the comparison.
pub struct Regions<'r> {
    pub config: &'r Config,
    /// What its runbooks name: hosted zones, ARNs, URLs.
    pub resources: BTreeSet<String>,
}

/// Refuses regions that share anything with production, with all that they share. Gives what could
/// not be compared.
pub async fn apart(staging: &Regions<'_>, real: &Regions<'_>) -> Result<Vec<String>> {
    let (mut shared, mut uncompared) = (Vec::new(), Vec::new());
    let (ours, theirs) = (production(staging.config), production(real.config));
    servers(&ours, &theirs, &mut shared, &mut uncompared).await;
    stores(staging.config, real.config, &mut shared, &mut uncompared);
    credentials(staging.config, real.config, &mut shared, &mut uncompared);
    let known: BTreeSet<&str> = real.resources.iter().map(|r| plain(r)).collect();
    for resource in staging.resources.iter().map(|r| plain(r)).filter(|r| known.contains(r)) {
        shared.push(match resource.contains(':') {
            true => format!("`{resource}` is one of production's"),
            false => format!("hosted zone {resource} is production's"),
        });
    }
    match shared.is_empty() {
        true => Ok(uncompared),
        false => Err(refused(staging.config, &shared.join("; "))),
    }
}

/// Refuses a lab that is not all on this machine: that is what makes it one.
pub async fn on_this_machine(config: &Config) -> Result<()> {
    let mut away = Vec::new();
    let targets = config.target_names().map(|name| Production {
        what: format!("target `{name}`"),
        info: config.target(name).ok().and_then(|t| Conninfo::parse(&t.url).ok()),
    });
    for Production { what, info } in production(config).into_iter().chain(targets) {
        let Some(info) = info else {
            away.push(format!("the address of {what} is not to be had here"));
            continue;
        };
        let sockets = info.endpoints().iter().all(|e| matches!(e.host, Host::Socket(_)));
        let addresses = guard::addresses(&info).await;
        if !sockets && (addresses.is_empty() || addresses.iter().any(|a| !a.ip().is_loopback())) {
            away.push(format!("{what} is at {}", info.host_for_people()));
        }
    }
    for name in config.store_names() {
        let store = config.store(name)?;
        if matches!(store.url, StoreUrl::S3 { .. }) && !is_loopback(store.endpoint.as_deref()) {
            away.push(format!("store `{name}` is at {}", store.url));
        }
    }
    for name in aws_names(config) {
        if !is_loopback(config.aws(&name)?.endpoint.as_deref()) {
            away.push(format!("[aws.{name}] leads to AWS itself"));
        }
    }
    match away.is_empty() {
        true => Ok(()),
        false => {
            Err(refused(config, &format!("not all of it is on this machine: {}", away.join("; "))))
        }
    }
}

/// Refuses servers that do not say that they are meant for drills; each must answer.
pub async fn meant_for_drills(config: &Config, region: &str) -> Result<()> {
    for name in config.database_names() {
        let Some(server) = config.database(name)?.servers.get(region) else { continue };
        let info = Conninfo::parse(&server.url)?;
        let session = connect(&info, "drctl drill").await.map_err(|e| {
            e.during(format!(
                "ask the server of `{name}` in {region} whether it is meant for drills"
            ))
        })?;
        let told = session.row(&format!("SELECT current_setting('{MARK}', true)")).await;
        session.close().await;
        if told?.get(0) != Some("on") {
            let what = format!(
                "the server of `{name}` in {region} does not say that it is meant for drills"
            );
            return Err(Error::new(Kind::Usage, what).hint(format!(
                "in staging, and nowhere else: ALTER ROLE \"{}\" SET {MARK} = 'on'",
                info.user()
            )));
        }
    }
    Ok(())
}

fn refused(config: &Config, why: &str) -> Error {
    let place = config.path.display();
    Error::new(Kind::Usage, format!("a failover must not be drilled in the regions of {place}"))
        .caused_by(why)
        .hint("nothing was begun; staging needs servers, stores, a hosted zone and AWS credentials of its own")
}

/// Hosted zones are written with and without the path that Route 53 puts before them.
fn plain(resource: &str) -> &str {
    resource.strip_prefix("/hostedzone/").unwrap_or(resource)
}

async fn servers(
    ours: &[Production],
    theirs: &[Production],
    shared: &mut Vec<String>,
    uncompared: &mut Vec<String>,
) {
    for Production { what, .. } in ours.iter().filter(|p| p.info.is_none()) {
        shared.push(format!(
            "the address of {what} is not to be had here, so it may be production's"
        ));
    }
    for Production { what, .. } in theirs.iter().filter(|p| p.info.is_none()) {
        uncompared.push(format!("production's {what}: its address is not to be had here"));
    }
    let with_address = |all: &[Production]| -> Vec<(String, Conninfo)> {
        all.iter().filter_map(|p| Some((p.what.clone(), p.info.clone()?))).collect()
    };
    let (ours, theirs) = (with_address(ours), with_address(theirs));
    for (what, info) in &ours {
        for (other, real) in &theirs {
            if let Some(why) = same_place(info, real).await {
                shared.push(format!("{what} is production's {other}: {why}"));
            }
        }
    }
    if !shared.is_empty() {
        return;
    }
    // One server by two addresses that have nothing in common.
    let (our_ids, their_ids) = tokio::join!(
        join_all(ours.iter().map(|(_, info)| identify(info))),
        join_all(theirs.iter().map(|(_, info)| identify(info)))
    );
    for ((other, _), id) in theirs.iter().zip(&their_ids) {
        let Some(id) = id else {
            uncompared
                .push(format!("production's {other}: who its server is could not be compared"));
            continue;
        };
        for ((what, _), _) in
            ours.iter().zip(&our_ids).filter(|(_, ours)| ours.as_ref() == Some(id))
        {
            shared.push(format!("{what} has the system identifier of production's {other}"));
        }
    }
}

fn stores(ours: &Config, theirs: &Config, shared: &mut Vec<String>, uncompared: &mut Vec<String>) {
    for real in theirs.store_names() {
        let Ok(other) = theirs.store(real) else {
            uncompared
                .push(format!("production's store `{real}`: its address is not to be had here"));
            continue;
        };
        for name in ours.store_names() {
            match ours.store(name) {
                Ok(store) if overlap(store, other) => shared.push(format!(
                    "store `{name}` ({}) and production's store `{real}` ({}) lie in each other",
                    store.url, other.url
                )),
                Ok(_) => {}
                Err(e) => shared.push(e.one_line()),
            }
        }
    }
}

/// Whether two stores have objects in common.
fn overlap(a: &StoreConfig, b: &StoreConfig) -> bool {
    let nested = |a: &Path, b: &Path| a.starts_with(b) || b.starts_with(a);
    match (&a.url, &b.url) {
        (StoreUrl::S3 { bucket, prefix }, StoreUrl::S3 { bucket: other, prefix: theirs }) => {
            bucket == other
                && a.endpoint == b.endpoint
                && nested(Path::new(prefix), Path::new(theirs))
        }
        (StoreUrl::File { dir }, StoreUrl::File { dir: other }) => {
            let real = |dir: &Path| dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
            nested(&real(dir), &real(other))
        }
        _ => false,
    }
}

/// With what AWS is reached.
#[derive(Debug, PartialEq, Eq)]
enum Who {
    DefaultChain,
    Profile(String),
    Key(String),
    Unknown,
}

/// What it is for, where it is used, and with what.
type Login = (String, Option<String>, Who);

fn credentials(
    ours: &Config,
    theirs: &Config,
    shared: &mut Vec<String>,
    uncompared: &mut Vec<String>,
) {
    let theirs = logins(theirs);
    for (what, _, _) in theirs.iter().filter(|(_, _, who)| *who == Who::Unknown) {
        uncompared.push(format!("production's {what}: its credentials are not to be had here"));
    }
    for (what, endpoint, who) in logins(ours).iter().filter(|(_, _, who)| *who != Who::Unknown) {
        let same = theirs.iter().find(|(_, other, theirs)| (other, theirs) == (endpoint, who));
        if let Some((other, _, _)) = same {
            let with = match who {
                Who::Profile(name) => format!("the profile `{name}`"),
                Who::Key(id) => format!("the access key {id}"),
                Who::DefaultChain | Who::Unknown => "the default chain of credentials".to_owned(),
            };
            shared.push(format!("{what} and production's {other} use {with}"));
        }
    }
}

fn logins(config: &Config) -> Vec<Login> {
    let who = |profile: &Option<String>, key: &Option<crate::config::Secret>| match (profile, key) {
        (_, Some(key)) => key.expose().map_or(Who::Unknown, |id| Who::Key(id.to_owned())),
        (Some(profile), None) => Who::Profile(profile.clone()),
        (None, None) => Who::DefaultChain,
    };
    let mut all = Vec::new();
    for store in config.store_names().filter_map(|name| config.store(name).ok()) {
        if matches!(store.url, StoreUrl::S3 { .. }) {
            let who = who(&store.aws_profile, &store.access_key_id);
            all.push((format!("store `{}`", store.name), store.endpoint.clone(), who));
        }
    }
    for name in aws_names(config) {
        if let Ok(aws) = config.aws(&name) {
            let who = who(&aws.profile, &aws.access_key_id);
            all.push((format!("[aws.{name}]"), aws.endpoint, who));
        }
    }
    all
}

/// The places in which runbooks reach AWS, configured or not.
fn aws_names(config: &Config) -> Vec<String> {
    let regions = [Some(&config.regions.primary), config.regions.standby.as_ref()];
    let regions = regions.into_iter().flatten().cloned();
    regions.chain(["global".to_owned()]).collect()
}

fn is_loopback(endpoint: Option<&str>) -> bool {
    let host = endpoint.and_then(|e| url::Url::parse(e).ok());
    match host.as_ref().and_then(url::Url::host) {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests;
