//! `[objectives]`, `[failover]`, `[aws.NAME]` and `[vars]`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::build::insist;
use super::document::Document;
use super::nearest::did_you_mean;
use super::table::Table;
use super::{AwsConfig, FailoverConfig, Objectives, build_store, build_web, keys};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);

pub(super) fn objectives(doc: &Document<'_>, root: &Table<'_>) -> Objectives {
    let default = Objectives::default();
    let Some(mut table) = root.table("objectives", keys::OBJECTIVES) else { return default };
    let objectives = Objectives {
        rto: table.duration("rto", SECOND..=30 * DAY).unwrap_or(default.rto),
        rpo: table.duration("rpo", SECOND..=30 * DAY).unwrap_or(default.rpo),
    };
    insist(doc, &table);
    objectives
}

pub(super) fn failover(doc: &Document<'_>, root: &Table<'_>, stores: &[&str]) -> FailoverConfig {
    let mut config = FailoverConfig {
        runbook: "region-failover".to_owned(),
        runbooks: doc.dir.join("runbooks"),
        store: None,
        preflight_max_age: DAY,
        auto: None,
    };
    let Some(mut table) = root.table("failover", keys::FAILOVER) else { return config };
    if let Some(at) = table.text("runbook") {
        config.runbook = at.value;
    }
    config.runbooks = table.path_value("runbooks").unwrap_or(config.runbooks);
    if let Some(at) = table.text("store") {
        if !stores.contains(&at.value.as_str()) {
            let advice = did_you_mean(&at.value, stores.iter().copied()).unwrap_or_default();
            let text = format!("`store`: there is no [store.{}]{advice}", at.shown());
            table.bad(&at, &text);
        }
        config.store = Some(at.value);
    }
    config.preflight_max_age =
        table.duration("preflight_max_age", SECOND..=365 * DAY).unwrap_or(config.preflight_max_age);
    config.auto = build_web::auto(&table);
    insist(doc, &table);
    config
}

pub(super) fn aws(table: &mut Table<'_>, name: &str) -> Option<AwsConfig> {
    let config = AwsConfig {
        name: name.to_owned(),
        endpoint: table.parsed("endpoint", build_store::endpoint).map(|at| at.value),
        profile: table.text("profile").map(|at| at.value),
        access_key_id: table.secret("access_key_id", |_| Ok(false)),
        secret_access_key: table.secret("secret_access_key", |_| Ok(true)),
    };
    build_store::whole_key(table, "profile");
    Some(config)
}

/// Every value of `[vars]` by its name.
pub(super) fn vars(doc: &Document<'_>, root: &Table<'_>) -> BTreeMap<String, Value> {
    let Some(mut table) = root.free_table("vars") else { return BTreeMap::new() };
    let mut vars = BTreeMap::new();
    for name in table.keys() {
        if let Some(value) = table.json(name) {
            vars.insert(name.to_owned(), value);
        }
    }
    insist(doc, &table);
    vars
}
