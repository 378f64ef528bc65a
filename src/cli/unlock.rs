//! `drctl unlock`.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::args::{Cli, Unlock};
use super::render::{Done, span};
use crate::app::{self, App};
use crate::config::nearest;
use crate::error::{Error, Kind, Result};
use crate::store::lease::{self, LeaseInfo, Standing, process};
use crate::store::{ObjectStore, keys};

/// How long one store may take to answer.
const LIMIT: Duration = Duration::from_secs(30);

/// The leases of one store, or why they are not known.
struct Seen {
    store: String,
    leases: Result<Vec<LeaseInfo>>,
}

pub async fn run(cli: &Cli, args: &Unlock) -> Result<Done> {
    let app = App::load(cli.config.as_deref())?;
    let stores: Vec<String> = match &args.store {
        Some(name) => {
            app.config.store(name)?;
            vec![name.clone()]
        }
        None => app.config.store_names().map(str::to_owned).collect(),
    };
    let mut seen = join_all(stores.iter().map(|name| look(&app, name))).await;
    let now = Utc::now();
    let Some(given) = &args.name else {
        return Ok(done(&seen, false, None, now));
    };
    let name = meant(&app, given, &seen)?;
    for store in &mut seen {
        if let Ok(leases) = &mut store.leases {
            leases.retain(|l| l.name == name);
        }
    }
    if args.force {
        let by = app::holder("").to_string();
        let by = by.trim_end_matches(", to ");
        seen = join_all(seen.into_iter().map(|seen| broken(&app, seen, &name, by))).await;
    }
    Ok(done(&seen, args.force, Some(&name), now))
}

async fn opened(app: &App, store: &str) -> Result<Arc<dyn ObjectStore>> {
    app.store_in_haste(store).await
}

async fn in_time<T>(store: &str, act: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(LIMIT, act).await.unwrap_or_else(|_| {
        let what =
            format!("ask store `{store}` for its leases: no answer in {} s", LIMIT.as_secs());
        Err(Error::new(Kind::Storage, what).hint("run `drctl doctor` to see what is wrong with it"))
    })
}

async fn look(app: &App, store: &str) -> Seen {
    let leases = in_time(store, async { lease::list(&*opened(app, store).await?).await }).await;
    Seen { store: store.to_owned(), leases }
}

/// Breaks the lease in one store; what comes back is what was known before.
async fn broken(app: &App, seen: Seen, name: &str, by: &str) -> Seen {
    let Seen { store, leases } = seen;
    let held = match &leases {
        Ok(leases) => !leases.is_empty(),
        Err(_) => false,
    };
    if !held {
        return Seen { store, leases };
    }
    let act = async { lease::break_lease(&*opened(app, &store).await?, name, by).await };
    let leases = in_time(&store, act).await.map(|before| before.into_iter().collect());
    Seen { store, leases }
}

/// The lease that was meant. One that is in no store and belongs to no database is a slip.
fn meant(app: &App, given: &str, seen: &[Seen]) -> Result<String> {
    if !keys::is_plain_name(given) {
        return Err(Error::new(Kind::Usage, format!("`{given}` cannot name a lease"))
            .hint("`drctl unlock` without a name lists all leases"));
    }
    let there: Vec<&str> =
        seen.iter().flat_map(|s| s.leases.iter().flatten()).map(|l| l.name.as_str()).collect();
    if there.contains(&given) {
        return Ok(given.to_owned());
    }
    if app.config.database_names().any(|d| d == given) {
        return Ok(app::snapshot_lease(given));
    }
    if app.config.database_names().any(|d| app::snapshot_lease(d) == given)
        // A lease that may be in a store that could not be asked is not called a slip.
        || seen.iter().any(|s| s.leases.is_err())
    {
        return Ok(given.to_owned());
    }
    let known = there.iter().copied().chain(app.config.database_names());
    let error = Error::new(Kind::Usage, format!("there is no lease and no database `{given}`"));
    Err(match nearest(given, known) {
        Some(name) => error.hint(format!("did you mean `{name}`?")),
        None => error.hint("`drctl unlock` without a name lists all leases"),
    })
}

fn done(seen: &[Seen], forced: bool, name: Option<&str>, now: DateTime<Utc>) -> Done {
    let unknown = seen.iter().filter(|s| s.leases.is_err()).count();
    let code = match (unknown, forced) {
        (0, _) => 0,
        (n, _) if n == seen.len() => Kind::Failed.exit_code(),
        (_, false) => Kind::Unverified.exit_code(),
        (_, true) => Kind::Partial.exit_code(),
    };
    let leases: Vec<Value> = seen
        .iter()
        .flat_map(|s| s.leases.iter().flatten().map(|l| as_json(&s.store, l, forced)))
        .collect();
    let failed: Vec<Value> = seen
        .iter()
        .filter_map(|s| {
            Some(json!({ "store": s.store, "error": s.leases.as_ref().err()?.one_line() }))
        })
        .collect();
    let fields = json!({ "leases": leases, "unknown": failed });
    Done::with(code, text(seen, forced, name, now), fields)
}

fn as_json(store: &str, lease: &LeaseInfo, forced: bool) -> Value {
    let (standing, left) = match lease.standing {
        Standing::Free => ("free", None),
        Standing::Held { left } => ("held", Some(left.as_secs())),
        Standing::RunOut { .. } => ("run_out", None),
    };
    json!({
        "store": store,
        "name": lease.name,
        // As it was before this command.
        "standing": standing,
        "broken": forced && lease.standing != Standing::Free,
        "holder": lease.holder,
        "since": lease.acquired,
        "renewed": lease.renewed,
        "ttl_seconds": lease.ttl.as_secs(),
        "left_seconds": left,
        "fence": lease.fence,
        "released": lease.released,
        "broken_by": lease.broken_by,
    })
}

fn text(seen: &[Seen], forced: bool, name: Option<&str>, now: DateTime<Utc>) -> String {
    let mut text = String::new();
    let mut held = None;
    for Seen { store, leases } in seen {
        match leases {
            Ok(leases) if leases.is_empty() => match name {
                Some(name) => text.push_str(&format!("{store}: nobody ever took `{name}`\n")),
                None => text.push_str(&format!("{store}: no leases\n")),
            },
            Ok(leases) => {
                for lease in leases {
                    text.push_str(&format!("{store}: {}", line(lease, forced, now)));
                    if matches!(lease.standing, Standing::Held { .. }) {
                        held.get_or_insert(&lease.name);
                    }
                }
            }
            Err(e) => {
                text.push_str(&format!("{store}: NOT KNOWN: {}\n", e.one_line()));
                if let Some(hint) = e.advice() {
                    text.push_str(&format!("  -> {hint}\n"));
                }
            }
        }
    }
    if let (Some(held), false) = (held, forced) {
        text.push_str(&format!("If that process is gone for good: drctl unlock {held} --force\n"));
    }
    text
}

/// A lease on two lines: its state and, below, who and since when.
fn line(lease: &LeaseInfo, forced: bool, now: DateTime<Utc>) -> String {
    let ago = |at: DateTime<Utc>| span((now - at).num_seconds().max(0) as f64);
    let LeaseInfo { name, fence, holder, .. } = lease;
    let state = match (lease.standing, forced) {
        (Standing::Held { .. }, true) => "BROKEN; it was held until now".to_owned(),
        (Standing::Held { left }, false) => {
            format!("held; without a sign of life it runs out in {}", span(left.as_secs() as f64))
        }
        (Standing::RunOut { .. }, true) => "broken; it had run out".to_owned(),
        (Standing::RunOut { since }, false) => format!("run out {} ago, free to take", ago(since)),
        (Standing::Free, _) => match &lease.broken_by {
            Some(by) => format!("free; broken by {by}"),
            None => "free".to_owned(),
        },
    };
    let ended = match process::is_gone(holder) {
        true => "; that process has ended",
        false => "",
    };
    let verb = if lease.standing == Standing::Free { "last held" } else { "held" };
    format!(
        "{name}: {state}\n    {verb} by {holder}{ended}\n    since {} ({} ago), last sign of life {} ago, \
         fence {fence}\n",
        lease.acquired.format("%Y-%m-%d %H:%M:%S UTC"),
        ago(lease.acquired),
        ago(lease.renewed),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Holder;
    use chrono::TimeDelta;

    fn lease(standing: Standing) -> LeaseInfo {
        let at = |minutes| DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
        LeaseInfo {
            name: "snapshot-petforce".to_owned(),
            fence: 7,
            holder: Holder {
                host: "db1".to_owned(),
                pid: 4711,
                user: "cron".to_owned(),
                purpose: "take a snapshot of petforce".to_owned(),
                process: None,
            },
            acquired: at(0),
            renewed: at(4),
            ttl: Duration::from_secs(120),
            released: None,
            broken_by: None,
            standing,
        }
    }

    #[test]
    fn who_holds_what_and_for_how_long() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::minutes(5);
        let held = || lease(Standing::Held { left: Duration::from_secs(62) });
        let refused = Error::new(Kind::Storage, "reach s3://far").caused_by("connection refused");
        let seen = [
            Seen { store: "east".to_owned(), leases: Ok(vec![held()]) },
            Seen { store: "west".to_owned(), leases: Err(refused) },
            Seen { store: "north".to_owned(), leases: Ok(vec![]) },
        ];
        insta::assert_snapshot!(text(&seen, false, Some("snapshot-petforce"), now), @r"
        east: snapshot-petforce: held; without a sign of life it runs out in 1 min 2 s
            held by cron on db1 (pid 4711), to take a snapshot of petforce
            since 1970-01-01 00:00:00 UTC (5 min 0 s ago), last sign of life 1 min 0 s ago, fence 7
        west: NOT KNOWN: reach s3://far: connection refused
        north: nobody ever took `snapshot-petforce`
        If that process is gone for good: drctl unlock snapshot-petforce --force
        ");
        assert_eq!(done(&seen, false, None, now).code, 4);
        assert_eq!(done(&seen, true, None, now).code, 6);
        assert_eq!(done(&seen[..1], true, None, now).code, 0);
        assert_eq!(done(&seen[1..2], true, None, now).code, 1);
        assert!(line(&held(), true, now).contains("BROKEN"));
        let since = DateTime::UNIX_EPOCH + TimeDelta::minutes(3);
        let out = line(&lease(Standing::RunOut { since }), false, now);
        assert!(out.contains("run out 2 min 0 s ago"), "{out}");
    }
}
