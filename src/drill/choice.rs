//! Which snapshot a drill restores.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::error::{Error, Kind, Result};
use crate::integrity::shelf::{Shelf, Shelved};

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The newest one.
    Latest,
    /// Any one within the window, so that old ones are proven too.
    Random,
    /// An id, or the beginning of one.
    Named(String),
}

impl Choice {
    pub fn parse(text: &str) -> Self {
        match text {
            "latest" => Self::Latest,
            "random" => Self::Random,
            id => Self::Named(id.to_owned()),
        }
    }

    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::Random => "random",
            Self::Named(_) => "named",
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(id) => f.write_str(id),
            other => f.write_str(other.as_str()),
        }
    }
}

/// Chooses among the snapshots that are complete in some store. `random` decides where chance does.
///
/// `latest` and `random` find nothing older than the window: a drill that proves a snapshot of last
/// year while the backups have stopped would prove the wrong thing.
pub fn choose<'s>(
    shelf: &'s Shelf,
    choice: &Choice,
    window: Duration,
    now: DateTime<Utc>,
    random: u32,
) -> Result<&'s Shelved> {
    let since = now - window;
    let complete = |s: &&Shelved| s.complete_in().next().is_some();
    match choice {
        Choice::Named(id) => {
            let shelved = shelf.resolve(id)?;
            match complete(&shelved) {
                true => Ok(shelved),
                false => Err(Error::new(
                    Kind::Unverified,
                    format!("snapshot {} is complete in no store", shelved.id),
                )
                .caused_by(shelved.troubles().join("; "))
                .hint("choose another: `drctl list` shows which are complete")),
            }
        }
        Choice::Latest => {
            let latest = shelf.resolve("latest")?;
            match latest.taken() >= since {
                true => Ok(latest),
                false => Err(too_old(shelf, latest, window)),
            }
        }
        Choice::Random => {
            let within: Vec<&Shelved> =
                shelf.snapshots.iter().filter(complete).filter(|s| s.taken() >= since).collect();
            match within.len() {
                0 => Err(too_old(shelf, shelf.resolve("latest")?, window)),
                n => Ok(within[random as usize % n]),
            }
        }
    }
}

fn too_old(shelf: &Shelf, latest: &Shelved, window: Duration) -> Error {
    let window = humantime::format_duration(window);
    Error::new(
        Kind::Failed,
        format!("no snapshot of `{}` is within the window of {window}", shelf.database),
    )
    .caused_by(format!(
        "the newest complete one, {}, shows {}",
        latest.id,
        latest.taken().format("%Y-%m-%d %H:%M UTC")
    ))
    .hint(format!(
        "find out why no snapshots are taken; `--snapshot {}` restores that one all the same, and \
         `window` in [drill] makes the window longer",
        latest.id
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::integrity::seal::Keys;
    use crate::integrity::shelf::shelf;
    use crate::integrity::specimen::World;
    use crate::store::{ObjectStore, keys};

    #[tokio::test]
    async fn chance_reaches_every_complete_snapshot_of_the_window_and_none_beyond() {
        let world = World::new().await;
        let east = world.store("east");
        let damaged = &world.manifests[1];
        east.overwrite(&keys::manifest_key("petforce", &damaged.generation, &damaged.id), "{}");
        let stores: [Arc<dyn ObjectStore>; 1] = [Arc::new(east)];
        let shelf = shelf(&stores, &Keys::default(), "petforce").await.unwrap();
        let taken: Vec<_> = shelf.snapshots.iter().map(Shelved::taken).collect();
        let now = taken[2] + chrono::TimeDelta::minutes(30);
        let hours = |n: u64| Duration::from_mins(n * 60);
        let chosen = |window, random| {
            choose(&shelf, &Choice::Random, window, now, random).map(|s| s.id.to_string())
        };
        let all: BTreeSet<_> = (0..20).map(|n| chosen(hours(1000), n).unwrap()).collect();
        let complete = [0, 2].map(|i| shelf.snapshots[i].id.to_string());
        assert_eq!(all, BTreeSet::from(complete.clone()));
        let last: BTreeSet<_> = (0..20).map(|n| chosen(hours(1), n).unwrap()).collect();
        assert_eq!(last, BTreeSet::from([complete[1].clone()]));

        let late = now + chrono::TimeDelta::days(40);
        for choice in [Choice::Latest, Choice::Random] {
            let e = choose(&shelf, &choice, hours(24), late, 7).unwrap_err();
            assert_eq!(e.kind(), Kind::Failed);
            assert!(e.advice().unwrap().contains(&complete[1]), "{e:?}");
        }
        let named = |id: &str| choose(&shelf, &Choice::parse(id), hours(24), late, 7);
        assert_eq!(named(&complete[0]).unwrap().id.to_string(), complete[0]);
        assert_eq!(named(damaged.id.as_str()).unwrap_err().kind(), Kind::Unverified);
    }
}
