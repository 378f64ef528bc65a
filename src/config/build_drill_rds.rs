//! `[drill.rds.NAME]`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::build::{insist, region};
use super::document::Document;
use super::table::Table;
use super::{RdsDrillConfig, keys};
use crate::model::is_name;

const MINUTE: Duration = Duration::from_mins(1);
/// As libpq knows them (PostgreSQL documentation, 34.1.2 "sslmode").
const SSL_MODES: &[(&str, &str)] = &[
    ("disable", "disable"),
    ("allow", "allow"),
    ("prefer", "prefer"),
    ("require", "require"),
    ("verify-ca", "verify-ca"),
    ("verify-full", "verify-full"),
];

/// Every `[drill.rds.NAME]`. A drill is sent to a target and to one of these by the same option, so
/// they share their names. Gives the names of those too that are wrong.
pub(super) fn rds(
    doc: &Document<'_>,
    parent: &Table<'_>,
    targets: &[&str],
) -> (BTreeMap<String, RdsDrillConfig>, Vec<String>) {
    let (mut all, mut names) = (BTreeMap::new(), Vec::new());
    for (name, mut table) in parent.named_tables("rds", keys::DRILL_RDS) {
        if !is_name(name) {
            let text = format!(
                "`{name}` cannot name an RDS instance of drills: it must be 1 to 63 ASCII letters, \
                 digits, `-`, `_` and `.`, beginning with a letter or digit"
            );
            doc.problem(table.line, text);
        }
        if name == "embedded" {
            doc.problem(table.line, "`embedded` is the name of drctl's own server");
        }
        if targets.contains(&name) {
            let text = format!("there is a [target.{name}] too: drills would not know which");
            doc.problem(table.line, text);
        }
        names.push(name.to_owned());
        all.extend(one(&mut table).map(|config| (name.to_owned(), config)));
        insist(doc, &table);
    }
    (all, names)
}

fn one(table: &mut Table<'_>) -> Option<RdsDrillConfig> {
    table.require("region");
    let region = table.parsed("region", region).map(|at| at.value);
    let template = text(table, "template");
    if template.is_none() && !table.has("template") {
        for key in ["class", "engine_version"] {
            if !table.has(key) {
                let text = format!("[{}] lacks `{key}`, or a `template` that has it", table.path);
                table.doc.problem(table.line, text);
            }
        }
    }
    let class = table.parsed("class", |text| match text.starts_with("db.") {
        true => Ok(text.to_owned()),
        false => Err("must be an instance class such as \"db.t4g.medium\"".to_owned()),
    });
    let engine_version = table.parsed("engine_version", |text| match major(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("must be a version of PostgreSQL such as \"17.4\" or \"17\"".to_owned()),
    });
    // Amazon RDS API Reference, CreateDBInstance, AllocatedStorage.
    let storage = table.integer("storage", 20..=65_536).and_then(|n| u32::try_from(n).ok());
    let groups = table.texts("security_groups").unwrap_or_default();
    let user = table.parsed("user", master_user).map(|at| at.value);
    let sslrootcert = table.path_value("sslrootcert");
    let sslmode = table.choice("sslmode", SSL_MODES).unwrap_or(match sslrootcert {
        Some(_) => "verify-full",
        None => "require",
    });
    if sslrootcert.is_none() && sslmode.starts_with("verify") && !table.has("sslrootcert") {
        let text = format!("`sslmode = \"{sslmode}\"` needs `sslrootcert`");
        table.doc.problem(table.line_of("sslmode"), text);
    }
    Some(RdsDrillConfig {
        region: region?,
        template,
        class: class.map(|at| at.value),
        engine_version: engine_version.map(|at| at.value),
        storage,
        storage_type: text(table, "storage_type"),
        kms_key: text(table, "kms_key"),
        subnet_group: text(table, "subnet_group"),
        security_groups: groups.into_iter().map(|at| at.value).collect(),
        parameter_group: text(table, "parameter_group"),
        user: user.unwrap_or_else(|| "drctl_drill".to_owned()),
        sslrootcert,
        sslmode: sslmode.to_owned(),
        create_timeout: table
            .duration("create_timeout", Duration::from_secs(1)..=24 * 60 * MINUTE)
            .unwrap_or(30 * MINUTE),
    })
}

fn text(table: &mut Table<'_>, key: &str) -> Option<String> {
    table.text(key).map(|at| at.value)
}

/// `17` of `17.4` and of `17`.
fn major(version: &str) -> Option<u32> {
    let mut parts = version.split('.').map(str::parse::<u32>);
    let major = parts.next()?.ok()?;
    parts.all(|part| part.is_ok()).then_some(major)
}

/// Amazon RDS API Reference, CreateDBInstance, MasterUsername: 1 to 16 letters, numbers and
/// underscores, beginning with a letter, and no word that the engine keeps for itself.
fn master_user(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let reserved = matches!(text, "admin" | "postgres" | "rdsadmin");
    match plain && begins && !reserved && text.len() <= 16 {
        true => Ok(text.to_owned()),
        false => {
            Err("must be 1 to 16 ASCII letters, digits and `_`, beginning with a letter, and \
                      not `postgres`, `admin` or `rdsadmin`"
                .to_owned())
        }
    }
}
