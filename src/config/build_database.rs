//! `[database.NAME]`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::build::conninfo;
use super::nearest::did_you_mean;
use super::table::Table;
use super::{
    ChangeDetection, DatabaseConfig, Keep, Profile, ServerConfig, build_drill, keys, units,
};
use crate::model::{RESERVED, RowFormat};

const DAY: Duration = Duration::from_hours(24);

pub(super) fn database(
    table: &mut Table<'_>,
    name: &str,
    known: &[&str],
) -> Option<DatabaseConfig> {
    if RESERVED.contains(&name) || name == "drctl.json" {
        let text = format!("`{name}` cannot name a database: drctl keeps its own objects there");
        table.doc.problem(table.line, text);
    }
    table.require("url");
    table.require("stores");
    let url = table.secret("url", conninfo);
    let stores = database_stores(table, known);
    let jobs = table.integer("jobs", 1..=64);
    let cache_dir = table.path_value("cache_dir");
    let exclude_schemas = texts(table, "exclude_schemas");
    let exclude_tables = table_patterns(table, "exclude_tables");
    let exclude_table_data = table_patterns(table, "exclude_table_data");
    let part_size = part_size(table);
    let zstd_level = table.integer("zstd_level", 1..=19);
    let change_detection = table.choice(
        "change_detection",
        &[("xmin", ChangeDetection::Xmin), ("read", ChangeDetection::Read)],
    );
    let full_every = table.duration("full_every", DAY / 24..=366 * DAY);
    let keep = keep(table);
    let lock_timeout = table.duration("lock_timeout", Duration::from_millis(1)..=DAY);
    let deadline = table.duration("deadline", Duration::from_secs(1)..=7 * DAY);
    let profile =
        table.choice("profile", &[("supabase", Profile::Supabase), ("rds", Profile::Rds)]);
    let format =
        table.choice("format", &[("text", RowFormat::Text), ("binary", RowFormat::Binary)]);
    let stable_types = texts(table, "stable_types");
    let pg_bin = table.path_value("pg_bin");
    let servers = servers(table);
    let drill = build_drill::of_database(table);

    let mut config = DatabaseConfig::new(name, url?, stores?);
    config.jobs = jobs.and_then(|n| usize::try_from(n).ok()).unwrap_or(config.jobs);
    config.cache_dir = cache_dir;
    config.exclude_schemas = exclude_schemas;
    config.exclude_tables = exclude_tables;
    config.exclude_table_data = exclude_table_data;
    config.part_size = part_size.unwrap_or(config.part_size);
    config.zstd_level = zstd_level.and_then(|n| i32::try_from(n).ok()).unwrap_or(config.zstd_level);
    config.change_detection = change_detection.unwrap_or_default();
    config.full_every = full_every.unwrap_or(config.full_every);
    config.keep = keep.unwrap_or_default();
    config.lock_timeout = lock_timeout.unwrap_or(config.lock_timeout);
    config.deadline = deadline.unwrap_or(config.deadline);
    config.profile = profile;
    config.row_format = format.unwrap_or_default();
    config.stable_types = stable_types;
    config.servers = servers;
    config.drill = drill;
    config.pg_bin = pg_bin;
    Some(config)
}

fn database_stores(table: &mut Table<'_>, known: &[&str]) -> Option<Vec<String>> {
    let named = table.texts("stores")?;
    let mut stores: Vec<String> = Vec::new();
    for at in &named {
        if stores.contains(&at.value) {
            table.bad(at, &format!("store `{}` is named twice", at.shown()));
        } else if !known.contains(&at.value.as_str()) {
            let advice = did_you_mean(at.shown(), known.iter().copied()).unwrap_or_default();
            table.bad(at, &format!("there is no [store.{}]{advice}", at.shown()));
        }
        stores.push(at.value.clone());
    }
    if named.is_empty() {
        table.doc.problem(table.line_of("stores"), "`stores` names no store");
    }
    Some(stores)
}

fn texts(table: &mut Table<'_>, key: &str) -> Vec<String> {
    table.texts(key).unwrap_or_default().into_iter().map(|at| at.value).collect()
}

fn table_patterns(table: &mut Table<'_>, key: &str) -> Vec<String> {
    let patterns = table.texts(key).unwrap_or_default();
    for at in patterns.iter().filter(|at| !at.value.contains('.')) {
        table.bad(at, &format!("`{key}`: write `schema.{0}` (or `*.{0}`)", at.shown()));
    }
    patterns.into_iter().map(|at| at.value).collect()
}

fn part_size(table: &mut Table<'_>) -> Option<u64> {
    const RANGE: std::ops::RangeInclusive<u64> = 1 << 20..=256 << 20;
    let at = table.size("part_size")?;
    if RANGE.contains(&at.value) && at.value.is_power_of_two() {
        return Some(at.value);
    }
    let [low, high] = [RANGE.start(), RANGE.end()].map(|n| units::show_size(*n));
    table.bad(&at, &format!("`part_size` must be a power of two from {low} to {high}"));
    None
}

fn keep(parent: &mut Table<'_>) -> Option<Keep> {
    let table = parent.table("keep", keys::KEEP)?;
    let default = Keep::default();
    let count = |key, default| {
        let number = table.integer(key, 0..=100_000);
        number.and_then(|n| u32::try_from(n).ok()).unwrap_or(default)
    };
    let keep = Keep {
        hourly: count("hourly", default.hourly),
        daily: count("daily", default.daily),
        weekly: count("weekly", default.weekly),
        monthly: count("monthly", default.monthly),
    };
    if keep == (Keep { hourly: 0, daily: 0, weekly: 0, monthly: 0 }) {
        parent.doc.problem(table.line, "`keep` keeps nothing");
    }
    Some(keep)
}

/// `[database.NAME.server.REGION]`.
fn servers(parent: &mut Table<'_>) -> BTreeMap<String, ServerConfig> {
    let mut servers = BTreeMap::new();
    for (region, mut table) in parent.named_tables("server", keys::SERVER) {
        table.require("url");
        let url = table.secret("url", conninfo);
        let rds_instance = table.text("rds_instance").map(|at| at.value);
        parent.unresolved.append(&mut table.unresolved);
        parent.missing_secrets.append(&mut table.missing_secrets);
        if let Some(url) = url {
            let region = region.to_owned();
            servers.insert(region.clone(), ServerConfig { region, url, rds_instance });
        }
    }
    servers
}
