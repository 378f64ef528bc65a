//! Objects in a store that drctl did not write, outside of databases: verify looks inside.

use futures_util::TryStreamExt as _;

use crate::error::Result;
use crate::integrity::verify::NOT_OURS;
use crate::model::{Finding, FindingKind, RESERVED};
use crate::store::{ObjectStore, keys};

/// Strangers named one by one.
const SHOWN: usize = 1000;

/// Looks at the top of a store and into what belongs to no database. `known`: the databases of the
/// configuration. The second value: folders of databases that it does not name.
pub async fn look(
    store: &dyn ObjectStore,
    known: &[String],
) -> Result<(Vec<Finding>, Vec<String>)> {
    let mut found = Vec::new();
    let mut unnamed = Vec::new();
    let mut stranger = |key: String| {
        if found.len() < SHOWN {
            found.push(Finding {
                kind: FindingKind::Surplus,
                store: store.name().to_owned(),
                database: String::new(),
                snapshot: None,
                table: None,
                part: Some(key),
                detail: NOT_OURS.to_owned(),
            });
        }
    };
    for dir in store.list_dirs("").await? {
        if RESERVED.contains(&dir.as_str()) {
            let mut listed = store.list(&format!("{dir}/"));
            while let Some(object) = listed.try_next().await? {
                if keys::parse(&object.key).is_none() {
                    stranger(object.key);
                }
            }
        } else if !known.contains(&dir) {
            // Another configuration may keep its databases here; what is none of drctl's is told.
            let generations = store.list_dirs(&keys::database_prefix(&dir)).await?;
            let ours = crate::model::is_name(&dir)
                && generations.iter().any(|g| g.parse::<crate::model::GenerationId>().is_ok());
            match ours {
                true => unnamed.push(dir),
                false => stranger(format!("{dir}/")),
            }
        }
    }
    for key in top_level(store).await? {
        if keys::parse(&key).is_none() {
            stranger(key);
        }
    }
    Ok((found, unnamed))
}

/// The objects that lie in no folder. What is in folders is jumped over, so that a large store is
/// not listed for a handful of names.
async fn top_level(store: &dyn ObjectStore) -> Result<Vec<String>> {
    let mut top = Vec::new();
    let mut after = String::new();
    loop {
        let mut listed = store.list_after("", &after);
        let next = loop {
            let Some(object) = listed.try_next().await? else { break None };
            match object.key.split_once('/') {
                // `0` comes right behind `/`.
                Some((dir, _)) => break Some(format!("{dir}/\u{10ffff}")),
                None => top.push(object.key),
            }
        };
        match next {
            Some(next) => after = next,
            None => return Ok(top),
        }
    }
}
