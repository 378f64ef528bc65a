//! From the tables of the file to a configuration.

use std::path::Path;

use ed25519_dalek::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use ed25519_dalek::{SigningKey, VerifyingKey};

use super::build_alerts::{alerts, metrics, route};
use super::build_channel::channel;
use super::build_database::database;
use super::build_drill::drill;
use super::build_failover::{aws, failover, objectives, vars};
use super::build_job::{jobs, runner};
use super::build_store::store;
use super::build_web::{intake, web};
use super::document::Document;
use super::encryption::encryption;
use super::lookup::Section;
use super::references::Env;
use super::table::Table;
use super::values::Sensitive;
use super::{Config, Regions, Secret, TargetConfig, Unresolved, crosscheck, keys, references};
use crate::error::{Error, Kind, Result};
use crate::model::is_name;

impl Config {
    /// Checks the text of a configuration file. `path` names it in problems and is where relative
    /// paths start. `Kind::Usage` with every problem, one a line.
    pub fn parse(text: &str, path: &Path, env: Env<'_>) -> Result<Self> {
        let doc = Document::new(path, text, env);
        let config =
            doc.parse().and_then(|root| build(&doc, path, &Table::root(&doc, &root, &keys::top())));
        match (doc.error(), config) {
            (Some(e), _) => Err(e),
            (None, Some(mut config)) => {
                if doc.holds_secret.get() && references::readable_by_others(path) {
                    let text = format!(
                        "holds a secret and every user of this machine can read it; use \
                         `${{VARIABLE}}` or `file:`, or run `chmod o-rwx {}`",
                        path.display()
                    );
                    doc.warning(0, text);
                }
                config.warnings = doc.warnings();
                Ok(config)
            }
            (None, None) => {
                Err(Error::new(Kind::Bug, format!("{} was refused without telling why", doc.label)))
            }
        }
    }
}

/// `None` only if the document was told why.
fn build(doc: &Document<'_>, path: &Path, root: &Table<'_>) -> Option<Config> {
    let project = project(doc, root);
    let regions = regions(doc, root);
    let stores = named(doc, root, "store", keys::STORE, store);
    let store_names: Vec<_> = stores.iter().map(|s| s.name.as_str()).collect();
    let databases =
        named(doc, root, "database", keys::DATABASE, |t, name| database(t, name, &store_names));
    let targets = named(doc, root, "target", keys::TARGET, |t, name| {
        t.require("url");
        Some(TargetConfig { name: name.to_owned(), url: t.secret("url", conninfo)? })
    });
    let aws = named(doc, root, "aws", keys::AWS, aws);
    let channels = named(doc, root, "channel", keys::CHANNEL, channel);
    let web = web(doc, root);
    let intakes = named(doc, root, "intake", keys::INTAKE, intake);
    let channel_names: Vec<_> = channels.iter().map(|c| c.name.as_str()).collect();
    let routes = named(doc, root, "route", keys::ROUTE, |t, name| route(t, name, &channel_names));
    let alerts = alerts(doc, root);
    let metrics = metrics(doc, root);
    let objectives = objectives(doc, root);
    let failover = failover(doc, root, &store_names);
    let target_names: Vec<_> = targets.iter().map(|t| t.name.as_str()).collect();
    let drill = drill(doc, root, &target_names);
    let vars = vars(doc, root);
    for (list, what) in [(stores.is_empty(), "store"), (databases.is_empty(), "database")] {
        if list && !root.has(what) {
            doc.problem(0, format!("there is no [{what}.NAME]"));
        }
    }
    let mut unresolved = Vec::new();
    unresolved.extend(stores.iter().flat_map(Section::unresolved));
    unresolved.extend(databases.iter().flat_map(Section::unresolved));
    unresolved.extend(targets.iter().flat_map(Section::unresolved));
    unresolved.extend(aws.iter().flat_map(Section::unresolved));
    unresolved.extend(channels.iter().flat_map(Section::unresolved));
    unresolved.extend(intakes.iter().flat_map(Section::unresolved));
    let database_names: Vec<_> = databases.iter().map(|d| d.name.as_str()).collect();
    let jobs = jobs(doc, root, &database_names, &mut unresolved);
    let runner = runner(doc, root);
    unresolved.extend(routes.iter().flat_map(Section::unresolved));
    let (signing_key, trusted_keys) = signing(root, &mut unresolved);
    let encryption = encryption(root, &mut unresolved);

    let config = Config {
        path: path.to_owned(),
        project: project?,
        regions: regions?,
        stores,
        databases,
        targets,
        objectives,
        failover,
        drill,
        aws,
        channels,
        web,
        intakes,
        jobs,
        runner,
        routes,
        alerts,
        metrics,
        vars,
        signing_key,
        trusted_keys,
        encryption,
        unresolved,
        warnings: Vec::new(),
    };
    crosscheck::check(doc, &config);
    Some(config)
}

/// The `[kind.NAME]` tables, in the order of the file. A table that the document was told of is
/// left out; then the whole configuration is refused.
fn named<'t, T>(
    doc: &'t Document<'t>,
    root: &Table<'t>,
    kind: &'static str,
    known: &[&'static str],
    read: impl Fn(&mut Table<'t>, &str) -> Option<T>,
) -> Vec<Section<T>> {
    let mut sections = Vec::new();
    for (name, mut table) in root.named_tables(kind, known) {
        if !is_name(name) {
            let text = format!(
                "`{name}` cannot name a {kind}: it must be 1 to 63 ASCII letters, digits, `-`, `_` \
                 and `.`, beginning with a letter or digit"
            );
            doc.problem(table.line, text);
        }
        let value = read(&mut table, name);
        let reasons: Vec<_> =
            table.unresolved.iter().map(|(line, reason)| doc.place(*line, reason)).collect();
        let value = if reasons.is_empty() { value.ok_or(reasons) } else { Err(reasons) };
        sections.push(Section {
            kind,
            name: name.to_owned(),
            line: table.line,
            value,
            missing_secrets: table.missing_secrets,
        });
    }
    sections
}

/// For the tables without which nothing works: what is unresolved in them is a problem.
pub(super) fn insist(doc: &Document<'_>, table: &Table<'_>) {
    for (line, reason) in &table.unresolved {
        doc.problem(*line, reason);
    }
}

fn project(doc: &Document<'_>, root: &Table<'_>) -> Option<String> {
    let Some(mut table) = root.table("project", keys::PROJECT) else {
        if !root.has("project") {
            doc.problem(0, "there is no [project] with a `name`");
        }
        return None;
    };
    table.require("name");
    let name = table.parsed("name", |text| match is_name(text) {
        true => Ok(text.to_owned()),
        false => Err("must be 1 to 63 ASCII letters, digits, `-`, `_` and `.`".to_owned()),
    });
    insist(doc, &table);
    Some(name?.value)
}

pub(super) fn region(text: &str) -> Result<String, String> {
    match is_name(text) {
        true => Ok(text.to_owned()),
        false => Err("must be a region such as \"us-east-1\"".to_owned()),
    }
}

fn regions(doc: &Document<'_>, root: &Table<'_>) -> Option<Regions> {
    let Some(mut table) = root.table("regions", keys::REGIONS) else {
        if !root.has("regions") {
            doc.problem(0, "there is no [regions] with a `primary`");
        }
        return None;
    };
    table.require("primary");
    let primary = table.parsed("primary", region).map(|at| at.value);
    let standby = table.parsed("standby", region).map(|at| at.value);
    insist(doc, &table);
    if primary.is_some() && primary == standby {
        doc.problem(table.line_of("standby"), "`standby` is the same region as `primary`");
    }
    Some(Regions { primary: primary?, standby })
}

/// A rough look; the PostgreSQL client reads it in full. Sensitive if there is a password in it.
pub(super) fn conninfo(text: &str) -> Sensitive {
    let must = "must be a URI such as `postgresql://user@host/database`, or `key=value` pairs";
    if let Some((scheme, _)) = text.split_once("://")
        && !scheme.contains('=')
    {
        if !matches!(scheme, "postgres" | "postgresql") {
            return Err(must.to_owned());
        }
        // What no URL parser can read may still hold a password.
        return Ok(url::Url::parse(text).map_or(true, |url| {
            url.password().is_some() || url.query_pairs().any(|(key, _)| key == "password")
        }));
    }
    if !text.contains('=') {
        return Err(must.to_owned());
    }
    Ok(text.split_whitespace().any(|pair| pair.starts_with("password")))
}

type Trusted = Result<Vec<String>, Vec<String>>;

fn signing(root: &Table<'_>, unresolved: &mut Vec<Unresolved>) -> (Option<Secret>, Trusted) {
    let Some(mut table) = root.table("signing", keys::SIGNING) else {
        return (None, Ok(Vec::new()));
    };
    let key = table.secret("key", |text| match SigningKey::from_pkcs8_pem(text) {
        Ok(_) => Ok(true),
        Err(_) => Err("is not an Ed25519 private key in PKCS#8 PEM, as \
                       `openssl genpkey -algorithm ed25519` writes it"
            .to_owned()),
    });
    let trusted =
        table.secrets("trusted_keys", |text| match VerifyingKey::from_public_key_pem(text) {
            Ok(_) => Ok(false),
            Err(_) => {
                Err("is not an Ed25519 public key in PEM, as `openssl pkey -pubout` writes it"
                    .to_owned())
            }
        });
    if trusted.as_ref().is_some_and(Vec::is_empty) {
        // An empty list reads as "nobody is trusted" and would mean "everybody is".
        table.doc.problem(table.line_of("trusted_keys"), "`trusted_keys` is empty; leave it out");
    }
    let reasons = &table.missing_secrets;
    unresolved.extend(
        reasons.iter().map(|r| Unresolved { table: "signing".to_owned(), reason: r.clone() }),
    );
    let mut keys = Vec::new();
    let mut missing = Vec::new();
    for secret in trusted.unwrap_or_default() {
        match secret.expose() {
            Ok(text) => keys.push(text.to_owned()),
            Err(e) => missing.push(e.what().to_owned()),
        }
    }
    (key, if missing.is_empty() { Ok(keys) } else { Err(missing) })
}
