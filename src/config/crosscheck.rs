//! What no single table shows: stores that overlap, regions without a copy.

use std::collections::BTreeMap;

use super::document::Document;
use super::lookup::Section;
use super::{Config, DatabaseConfig, On, StoreConfig, StoreUrl, units};
use crate::model::JobKind;

/// Tells the document of problems and warnings between tables. What is unresolved is not judged.
pub(super) fn check(doc: &Document<'_>, config: &Config) {
    stores_apart(doc, &config.stores);
    objective_out_of_reach(doc, config);
    for (store, line) in usable(&config.stores) {
        plain_http(doc, store, line);
        foreign_region(doc, config, store, line);
    }
    for (database, line) in usable(&config.databases) {
        let stores: Vec<_> = usable(&config.stores)
            .map(|(store, _)| store)
            .filter(|store| database.stores.contains(&store.name))
            .collect();
        if stores.len() == database.stores.len() {
            copies(doc, config, database, &stores, line);
        }
        replicas_alone(doc, database, &stores, line);
        for store in stores {
            short_lock(doc, database, store, line);
        }
    }
}

/// Whoever never writes has nothing to copy.
fn replicas_alone(
    doc: &Document<'_>,
    database: &DatabaseConfig,
    stores: &[&StoreConfig],
    line: usize,
) {
    if !stores.is_empty() && stores.iter().all(|store| store.is_replica) {
        let text = format!(
            "every store of database `{}` has `copy = \"s3-replication\"`: drctl writes to none",
            database.name
        );
        doc.problem(line, text);
    }
}

/// Turns that are looked at for the longest time between two.
const TURNS: usize = 400;

/// The longest time between two turns.
fn longest_gap(on: &On) -> chrono::TimeDelta {
    let On::Cron { cron, zone, .. } = on else { return chrono::TimeDelta::hours(1) };
    // Any day will do: what matters here is the pattern.
    let begin = chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_454);
    let turns = cron.iter_after(begin.with_timezone(zone)).take(TURNS);
    let turns: Vec<_> = turns.map(|turn| turn.to_utc()).collect();
    turns.windows(2).map(|two| two[1] - two[0]).max().unwrap_or(chrono::TimeDelta::MAX)
}

/// A snapshot ages from the moment that it shows until the next one is complete.
fn objective_out_of_reach(doc: &Document<'_>, config: &Config) {
    let rpo = config.objectives.rpo;
    let snapshots = config.jobs.iter().filter(|job| job.run == JobKind::Snapshot);
    let gaps: Vec<_> = snapshots.map(|job| (job, longest_gap(&job.on))).collect();
    let mut slow: BTreeMap<chrono::TimeDelta, Vec<(&str, usize)>> = BTreeMap::new();
    for (database, line) in usable(&config.databases) {
        let its = gaps.iter().filter(|(job, _)| job.databases.contains(&database.name));
        let Some(gap) = its.map(|(_, gap)| *gap).min() else { continue };
        if !gap.to_std().is_ok_and(|gap| gap < rpo) {
            slow.entry(gap).or_default().push((&database.name, line));
        }
    }
    for (gap, databases) in slow {
        let (name, line) = databases[0];
        let more = match databases.len() - 1 {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        let text = format!(
            "snapshots of database `{name}`{more} are taken up to {} apart and `rpo` is {}: it will be \
             broken before each of them is complete; take them oftener, such as every 30 minutes with \
             on = \"*/30 * * * *\", or set another `rpo` in [objectives]",
            gap.to_std().map_or_else(|_| "years".to_owned(), units::show_duration),
            units::show_duration(rpo)
        );
        doc.warning(line, text);
    }
}

fn usable<T>(sections: &[Section<T>]) -> impl Iterator<Item = (&T, usize)> {
    sections.iter().filter_map(|s| Some((s.value.as_ref().ok()?, s.line)))
}

/// Two stores in one place would pass for two copies.
fn stores_apart(doc: &Document<'_>, sections: &[Section<StoreConfig>]) {
    for (at, (store, line)) in usable(sections).enumerate() {
        for (earlier, _) in usable(sections).take(at) {
            let (here, there) = (&store.url, &earlier.url);
            if store.endpoint != earlier.endpoint {
                continue;
            }
            let (name, other) = (&store.name, &earlier.name);
            if here == there {
                let text = format!("stores `{other}` and `{name}` are the same place");
                doc.problem(line, text);
            } else if here.is_within(there) {
                doc.problem(line, format!("store `{name}` lies inside store `{other}`"));
            } else if there.is_within(here) {
                doc.problem(line, format!("store `{other}` lies inside store `{name}`"));
            }
        }
    }
}

fn plain_http(doc: &Document<'_>, store: &StoreConfig, line: usize) {
    let Some(url) = store.endpoint.as_deref().and_then(|e| url::Url::parse(e).ok()) else { return };
    let local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    if url.scheme() == "http" && !local {
        let text =
            format!("store `{}` has an http:// endpoint: data travels unencrypted", store.name);
        doc.warning(line, text);
    }
}

fn foreign_region(doc: &Document<'_>, config: &Config, store: &StoreConfig, line: usize) {
    let regions = &config.regions;
    if store.region != regions.primary && Some(&store.region) != regions.standby.as_ref() {
        let text = format!(
            "store `{}` is in region `{}`, which is neither `primary` nor `standby` in [regions]",
            store.name, store.region
        );
        doc.warning(line, text);
    }
}

fn copies(
    doc: &Document<'_>,
    config: &Config,
    database: &DatabaseConfig,
    stores: &[&StoreConfig],
    line: usize,
) {
    let primary = &config.regions.primary;
    if stores.iter().all(|store| store.region == *primary) {
        let text = format!(
            "every store of database `{}` is in the primary region `{primary}`: losing the region \
             loses the snapshots too",
            database.name
        );
        doc.warning(line, text);
    } else if let Some(standby) = &config.regions.standby
        && !stores.iter().any(|store| store.region == *standby)
    {
        let text = format!(
            "no store of database `{}` is in the standby region `{standby}`",
            database.name
        );
        doc.warning(line, text);
    }
}

/// Parts serve every later snapshot of their generation, so a lock must outlast the generation.
fn short_lock(doc: &Document<'_>, database: &DatabaseConfig, store: &StoreConfig, line: usize) {
    match (&store.url, store.object_lock) {
        (StoreUrl::S3 { .. }, Some(lock)) if lock < database.full_every => {
            let text = format!(
                "`object_lock` of store `{}` ({}) is shorter than `full_every` of database `{}` \
                 ({}): parts lose their lock while new snapshots still need them",
                store.name,
                units::show_duration(lock),
                database.name,
                units::show_duration(database.full_every)
            );
            doc.warning(line, text);
        }
        _ => {}
    }
}
