//! `[drill]` and `[database.NAME.drill]`.

use std::time::Duration;

use super::build::insist;
use super::build_drill_rds::rds;
use super::document::Document;
use super::nearest::did_you_mean;
use super::table::Table;
use super::{AppConfig, DatabaseDrill, DrillConfig, FailoverDrillConfig, keys};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);

pub(super) fn drill(doc: &Document<'_>, root: &Table<'_>, targets: &[&str]) -> DrillConfig {
    let mut config = DrillConfig::default();
    let Some(mut table) = root.table("drill", keys::DRILL) else { return config };
    let (instances, names) = rds(doc, &table, targets);
    config.rds = instances;
    if let Some(at) = table.text("target") {
        let known = targets.iter().copied().chain(names.iter().map(String::as_str));
        if !known.clone().any(|name| name == at.value) {
            let advice = did_you_mean(&at.value, known).unwrap_or_default();
            let name = at.shown();
            let text =
                format!("`target`: there is no [target.{name}], nor [drill.rds.{name}]{advice}");
            table.bad(&at, &text);
        }
        config.target = Some(at.value);
    }
    config.window = table.duration("window", DAY / 24..=3660 * DAY).unwrap_or(config.window);
    config.folder = table.path_value("folder");
    if let Some(at) = table.text("user") {
        config.user = at.value;
    }
    config.pg_bin = table.path_value("pg_bin");
    let extensions = table.texts("without_extensions").unwrap_or_default();
    config.without_extensions = extensions.into_iter().map(|at| at.value).collect();
    config.timeout = table.duration("timeout", SECOND..=30 * DAY).unwrap_or(config.timeout);
    if let Some(mut table) = table.table("failover", keys::DRILL_FAILOVER) {
        config.failover = failover(&mut table);
        insist(doc, &table);
    }
    insist(doc, &table);
    config
}

/// `[drill.failover]`. Names of runbooks and databases are those of the staging configuration, which
/// is read when a drill begins.
fn failover(table: &mut Table<'_>) -> Option<FailoverDrillConfig> {
    table.require("fault");
    table.require("heal");
    let fault = program(table, "fault");
    let heal = program(table, "heal");
    let url = table.parsed("url", web_address).map(|at| at.value);
    let graceful = table.choice("mode", &[("forced", false), ("graceful", true)]);
    let (resolver, sql, database) =
        (text(table, "resolver"), text(table, "sql"), text(table, "database"));
    for (needs, has, key, other) in [
        (resolver.is_some(), url.is_some(), "resolver", "url"),
        (database.is_some(), sql.is_some(), "database", "sql"),
    ] {
        if needs && !has && !table.has(other) {
            table.doc.problem(table.line_of(key), format!("`{key}` is of use only with `{other}`"));
        }
    }
    Some(FailoverDrillConfig {
        config: table.path_value("config"),
        runbook: text(table, "runbook"),
        graceful: graceful.unwrap_or_default(),
        fault: fault?,
        heal: heal?,
        dir: table.doc.dir.to_owned(),
        url,
        resolver,
        sql,
        database,
        hold: table.duration("hold", Duration::ZERO..=DAY).unwrap_or(10 * SECOND),
        timeout: table.duration("timeout", SECOND..=30 * DAY).unwrap_or(DAY / 24),
    })
}

fn text(table: &mut Table<'_>, key: &str) -> Option<String> {
    table.text(key).map(|at| at.value)
}

fn program(table: &mut Table<'_>, key: &str) -> Option<Vec<String>> {
    let argv: Vec<String> = table.texts(key)?.into_iter().map(|at| at.value).collect();
    if argv.is_empty() {
        table.doc.problem(table.line_of(key), format!("`{key}` names no program"));
        return None;
    }
    Some(argv)
}

fn web_address(text: &str) -> Result<String, String> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => {
            Ok(text.to_owned())
        }
        _ => Err("must be an address such as \"http://127.0.0.1:8080/health\"".to_owned()),
    }
}

pub(super) fn of_database(parent: &mut Table<'_>) -> DatabaseDrill {
    let mut drill = DatabaseDrill::default();
    let Some(table) = parent.table("drill", keys::DATABASE_DRILL) else { return drill };
    if let Some(mut assertions) = table.free_table("assert") {
        for name in assertions.keys() {
            if let Some(at) = assertions.text(name) {
                drill.assertions.push((name.to_owned(), at.value));
            }
        }
        parent.unresolved.append(&mut assertions.unresolved);
    }
    if let Some(mut app) = table.table("app", keys::APP) {
        app.require("command");
        app.require("url");
        drill.app = read_app(&mut app);
        parent.unresolved.append(&mut app.unresolved);
    }
    drill
}

fn read_app(table: &mut Table<'_>) -> Option<AppConfig> {
    let command: Vec<String> = table.texts("command")?.into_iter().map(|at| at.value).collect();
    if command.is_empty() {
        table.doc.problem(table.line_of("command"), "`command` names no program");
    }
    let url = table.parsed("url", web_address);
    let mut env = std::collections::BTreeMap::new();
    if let Some(mut variables) = table.free_table("env") {
        for name in variables.keys() {
            if let Some(at) = variables.text(name) {
                env.insert(name.to_owned(), at.value);
            }
        }
        table.unresolved.append(&mut variables.unresolved);
    }
    let dir = table.path_value("dir").unwrap_or_else(|| table.doc.dir.to_owned());
    let timeout = table.duration("timeout", SECOND..=DAY).unwrap_or(Duration::from_mins(1));
    Some(AppConfig { command, url: url?.value, env, dir, timeout })
}
