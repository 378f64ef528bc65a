//! Snapshots in runbooks: take, restore beside, put in place, find a good one.

mod find_good;
mod restore;
mod swap;
mod take;
mod watching;

use std::sync::Arc;

use super::World;
use super::catalogue::ActionKind;
use crate::error::{Error, Kind, Result};
use crate::integrity::shelf::{self, Shelf};
use crate::providers::Failure;
use crate::store::ObjectStore;

/// The actions of this system.
pub(super) fn actions() -> Vec<ActionKind> {
    vec![
        ActionKind::new("snapshot.take", "takes a snapshot into every store", take::Take::new),
        ActionKind::new(
            "snapshot.restore",
            "restores a snapshot beside, into a new database, and proves every row",
            restore::Restore::new,
        ),
        ActionKind::new(
            "snapshot.swap",
            "puts a restored database in the place of another, which is kept under another name",
            swap::Swap::new,
        ),
        ActionKind::new(
            "snapshot.find_good",
            "finds the newest snapshot that is whole and in which the runbook's questions hold",
            find_good::FindGood::new,
        ),
    ]
}

/// The database's stores that could be opened, nearest first.
fn stores(world: &World, database: &str) -> Result<Vec<Arc<dyn ObjectStore>>> {
    let names = &world.config.database(database)?.stores;
    let stores: Vec<_> =
        names.iter().filter_map(|name| world.stores.get(name).map(Arc::clone)).collect();
    match stores.is_empty() {
        false => Ok(stores),
        true => Err(Error::new(
            Kind::Storage,
            format!("none of the stores of `{database}` can be opened: {}", names.join(", ")),
        )
        .hint("`drctl doctor` tests every store")),
    }
}

async fn shelf_of(world: &World, database: &str) -> Result<(Vec<Arc<dyn ObjectStore>>, Shelf)> {
    let mut stores = stores(world, database)?;
    let shelf = shelf::shelf(&stores, &world.keys, database).await?;
    // A region that is gone must not hold up what the other one has.
    let away = |store: &Arc<dyn ObjectStore>| {
        shelf.unreachable.iter().any(|(name, _)| name == store.name())
    };
    stores.sort_by_key(away);
    Ok((stores, shelf))
}

/// A failure of work that leaves nothing behind that counts: another try may help unless the
/// command, the configuration or the stored bytes are wrong.
fn repeatable(error: Error) -> Failure {
    match error.kind() {
        Kind::Usage | Kind::Damaged | Kind::Bug | Kind::Program => Failure::permanent(error),
        Kind::Postgres if !crate::postgres::is_transient(&error) => Failure::permanent(error),
        _ => Failure::transient(error),
    }
}
