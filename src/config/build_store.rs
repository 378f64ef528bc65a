//! `[store.NAME]`.

use std::time::Duration;

use super::nearest::did_you_mean;
use super::table::{At, Table};
use super::{Sse, StoreConfig, StoreUrl, keys};

const DAY: Duration = Duration::from_hours(24);

pub(super) fn store(table: &mut Table<'_>, name: &str) -> Option<StoreConfig> {
    table.require("url");
    table.require("region");
    let url = table.parsed("url", StoreUrl::parse);
    let region = table.parsed("region", super::build::region);
    let patience = table.duration("patience", Duration::from_secs(1)..=Duration::from_hours(1));
    let is_replica = table.choice("copy", &[("drctl", false), ("s3-replication", true)]);
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
    whole_key(table, "aws_profile");
    if let Some(At { value: StoreUrl::File { .. }, .. }) = url {
        for key in keys::STORE.iter().filter(|key| !matches!(**key, "url" | "region" | "patience"))
        {
            if has(key) {
                let text = format!("`{key}` is for s3:// stores; [{}] is a folder", table.path);
                table.doc.problem(table.line_of(key), text);
            }
        }
    }
    let mut config = StoreConfig::new(name, url?.value, region?.value);
    config.patience = patience.unwrap_or(config.patience);
    config.is_replica = is_replica.unwrap_or(config.is_replica);
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

/// An access key has two halves, and stands in place of a profile.
pub(super) fn whole_key(table: &Table<'_>, profile: &str) {
    for (key, other) in
        [("access_key_id", "secret_access_key"), ("secret_access_key", "access_key_id")]
    {
        if table.has(key) && !table.has(other) {
            table.doc.problem(table.line_of(key), format!("`{key}` needs `{other}`"));
        }
    }
    if table.has(profile) && table.has("access_key_id") {
        let text = format!("`{profile}` and `access_key_id` exclude each other");
        table.doc.problem(table.line_of(profile), text);
    }
}

pub(super) fn endpoint(text: &str) -> Result<String, String> {
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
    if key.is_some() && (kms == Some(false) || !table.has("sse")) {
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
