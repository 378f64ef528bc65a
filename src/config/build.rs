//! From the tables of the file to a configuration.

use std::path::Path;
use std::time::Duration;

use ed25519_dalek::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use ed25519_dalek::{SigningKey, VerifyingKey};

use super::document::Document;
use super::lookup::Section;
use super::nearest::did_you_mean;
use super::references::Env;
use super::table::{At, Table};
use super::values::Sensitive;
use super::{
    ChangeDetection, Config, DatabaseConfig, Keep, Profile, Regions, Secret, Sse, StoreConfig,
    StoreUrl, TargetConfig, Unresolved, crosscheck, keys, references, units,
};
use crate::error::{Error, Kind, Result};
use crate::model::{RowFormat, is_name};

const DAY: Duration = Duration::from_hours(24);

/// First path segments below a store's prefix that drctl uses itself (docs/format.md).
const RESERVED: &[&str] = &["runs", "leases", "state", "drctl.json"];

impl Config {
    /// Checks the text of a configuration file. `path` names it in problems and is where relative
    /// paths start. `Kind::Usage` with every problem, one a line.
    pub fn parse(text: &str, path: &Path, env: Env<'_>) -> Result<Self> {
        let doc = Document::new(path, text, env);
        let config = doc.parse().and_then(|root| build(&doc, path, &Table::root(&doc, &root)));
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
    for (list, what) in [(stores.is_empty(), "store"), (databases.is_empty(), "database")] {
        if list && !root.has(what) {
            doc.problem(0, format!("there is no [{what}.NAME]"));
        }
    }
    let mut unresolved = Vec::new();
    unresolved.extend(stores.iter().flat_map(Section::unresolved));
    unresolved.extend(databases.iter().flat_map(Section::unresolved));
    unresolved.extend(targets.iter().flat_map(Section::unresolved));
    let (signing_key, trusted_keys) = signing(root, &mut unresolved);

    let config = Config {
        path: path.to_owned(),
        project: project?,
        regions: regions?,
        stores,
        databases,
        targets,
        signing_key,
        trusted_keys,
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
fn insist(doc: &Document<'_>, table: &Table<'_>) {
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

fn region(text: &str) -> Result<String, String> {
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

fn store(table: &mut Table<'_>, name: &str) -> Option<StoreConfig> {
    table.require("url");
    table.require("region");
    let url = table.parsed("url", StoreUrl::parse);
    let region = table.parsed("region", region);
    let endpoint = table.parsed("endpoint", endpoint);
    let path_style = table.boolean("path_style");
    let sse = sse(table);
    let object_lock = table.duration("object_lock", DAY..=36_500 * DAY);
    let storage_class = storage_class(table, endpoint.is_some());
    let aws_profile = table.text("aws_profile");
    let plain = |_: &str| Ok(false);
    let access_key_id = table.secret("access_key_id", plain);
    let secret_access_key = table.secret("secret_access_key", |_| Ok(true));

    let has = |key| table.has(key);
    for (key, other) in
        [("access_key_id", "secret_access_key"), ("secret_access_key", "access_key_id")]
    {
        if has(key) && !has(other) {
            table.doc.problem(table.line_of(key), format!("`{key}` needs `{other}`"));
        }
    }
    if has("aws_profile") && has("access_key_id") {
        let line = table.line_of("aws_profile");
        table.doc.problem(line, "`aws_profile` and `access_key_id` exclude each other");
    }
    if let Some(At { value: StoreUrl::File { .. }, .. }) = url {
        for key in keys::STORE.iter().filter(|key| !matches!(**key, "url" | "region")) {
            if has(key) {
                let text = format!("`{key}` is for s3:// stores; [{}] is a folder", table.path);
                table.doc.problem(table.line_of(key), text);
            }
        }
    }
    let mut config = StoreConfig::new(name, url?.value, region?.value);
    config.endpoint = endpoint.map(|at| at.value);
    config.path_style = path_style.unwrap_or(config.path_style);
    config.sse = sse;
    config.object_lock = object_lock;
    config.storage_class = storage_class;
    config.aws_profile = aws_profile.map(|at| at.value);
    config.access_key_id = access_key_id;
    config.secret_access_key = secret_access_key;
    Some(config)
}

fn endpoint(text: &str) -> Result<String, String> {
    let must = "must be a url such as \"https://s3.example.com\"".to_owned();
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            if !url.username().is_empty() || url.password().is_some() {
                return Err("must not hold credentials; use `access_key_id` and \
                            `secret_access_key`"
                    .to_owned());
            }
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err(must),
    }
}

fn sse(table: &mut Table<'_>) -> Option<Sse> {
    let key = table.text("kms_key").map(|at| at.value);
    let options = [("aws:kms", true), ("AES256", false)];
    let kms = table.choice("sse", &options);
    if key.is_some() && kms != Some(true) {
        table.doc.problem(table.line_of("kms_key"), "`kms_key` needs `sse = \"aws:kms\"`");
    }
    Some(if kms? { Sse::Kms { key } } else { Sse::Aes256 })
}

/// Classes whose objects can be read at once (Amazon S3 User Guide, "Understanding and managing
/// Amazon S3 storage classes"). Other services have classes of their own.
fn storage_class(table: &mut Table<'_>, other_service: bool) -> Option<String> {
    const AT_ONCE: &[&str] = &[
        "STANDARD",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER_IR",
        "REDUCED_REDUNDANCY",
    ];
    let class = table.parsed("storage_class", |text| match text {
        "GLACIER" | "DEEP_ARCHIVE" => {
            Err("objects of this class take hours to become readable; a restore could not begin"
                .to_owned())
        }
        text if other_service || AT_ONCE.contains(&text) => Ok(text.to_owned()),
        text => {
            let advice = did_you_mean(text, AT_ONCE.iter().copied()).unwrap_or_default();
            Err(format!("must be one of {}{advice}", AT_ONCE.join(", ")))
        }
    });
    Some(class?.value)
}

fn database(table: &mut Table<'_>, name: &str, known: &[&str]) -> Option<DatabaseConfig> {
    if RESERVED.contains(&name) {
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
    let deadline = table.duration("deadline", Duration::from_mins(1)..=7 * DAY);
    let profile =
        table.choice("profile", &[("supabase", Profile::Supabase), ("rds", Profile::Rds)]);
    let format =
        table.choice("format", &[("text", RowFormat::Text), ("binary", RowFormat::Binary)]);
    let stable_types = texts(table, "stable_types");
    let pg_bin = table.path_value("pg_bin");

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
    config.pg_bin = pg_bin;
    Some(config)
}

fn database_stores(table: &mut Table<'_>, known: &[&str]) -> Option<Vec<String>> {
    let named = table.texts("stores")?;
    let mut stores: Vec<String> = Vec::new();
    for at in &named {
        if stores.contains(&at.value) {
            table.bad(at, &format!("store `{}` is named twice", at.value));
        } else if !known.contains(&at.value.as_str()) {
            let advice = did_you_mean(&at.value, known.iter().copied()).unwrap_or_default();
            table.bad(at, &format!("there is no [store.{}]{advice}", at.value));
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
        table.bad(at, &format!("`{key}`: write `schema.{0}` (or `*.{0}`)", at.value));
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

/// A rough look; the PostgreSQL client reads it in full. Sensitive if there is a password in it.
fn conninfo(text: &str) -> Sensitive {
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
