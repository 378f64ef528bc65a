//! What every run needs, whatever its steps: channels, a verified copy, the active region. The
//! certificates of endpoints are looked at by the actions that ask them.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;

use super::{credentials, in_time};
use crate::integrity::shelf;
use crate::integrity::verified::{Depth, Record};
use crate::model::Span;
use crate::providers::{Check, Standing, World, notify};
use crate::runbook::plan::Plan;
use crate::store::epoch;

pub(super) async fn checks(
    world: &World,
    plans: &[Plan],
    limit: Duration,
    now: DateTime<Utc>,
) -> Vec<Check> {
    let databases = databases(plans);
    let copies = join_all(databases.iter().map(async |name| {
        let what = format!("last snapshot of `{name}` in store `{}`", world.control.name());
        in_time(limit, what.clone(), async { vec![copy(world, name, what, now).await] }).await
    }));
    let active = async {
        let what = "active region".to_owned();
        in_time(limit, what, async { vec![active(world, plans).await] }).await
    };
    let credentials = credentials::checks(world, plans, limit);
    let (copies, active, credentials) = tokio::join!(copies, active, credentials);
    let mut found = active;
    found.push(channels(world, plans));
    if world.config.route_names().next().is_some() {
        // A run tells by its own steps: routes of alerts stop none.
        found.extend(notify::route_checks(&world.config).into_iter().map(|mut check| {
            check.standing = check.standing.min(Standing::Warning);
            check
        }));
    }
    found.extend(credentials);
    found.extend(copies.into_iter().flatten());
    found
}

/// Whether the run would start where the service is.
async fn active(world: &World, plans: &[Plan]) -> Check {
    const WHAT: &str = "active region";
    let Some(plan) = plans.first() else { return Check::new(Standing::Unproven, WHAT, "no plan") };
    match epoch::read(&*world.control).await {
        Err(e) => Check::new(Standing::Unproven, WHAT, e.one_line()),
        Ok(epoch) => {
            let primary = world.config.regions.primary.as_str();
            let region = epoch.as_ref().map_or(primary, |e| e.region.as_str());
            let since = match &epoch {
                Some(epoch) => format!("{region}, epoch {}", epoch.number),
                None => format!("{region}; no epoch was written yet"),
            };
            match region == plan.from {
                true => Check::new(Standing::Ready, WHAT, since),
                false => Check::new(
                    Standing::NotReady,
                    WHAT,
                    format!("{since}; this runbook starts from {}", plan.from),
                )
                .hint("take the runbook that leads the other way: `drctl runbook list`"),
            }
        }
    }
}

/// Two ways to tell people, that do not fail together: of those that the steps send to, and that have
/// what they need here and now.
fn channels(world: &World, plans: &[Plan]) -> Check {
    let config = &world.config;
    let steps = plans.iter().flat_map(|plan| &plan.steps);
    let named: BTreeSet<_> =
        steps.flat_map(|step| notify::channels(&step.uses, &step.with, config)).collect();
    let unset = |name: &str| {
        let table = format!("channel.{name}");
        let unresolved = config.unresolved.iter().find(|u| u.table == table);
        unresolved.map(|u| format!("`{name}` cannot be used: {}", u.reason))
    };
    let (usable, unusable): (BTreeSet<_>, BTreeSet<_>) =
        named.into_iter().partition(|name| unset(name).is_none());
    let check = notify::two_ways(config, &usable);
    let why: Vec<_> = unusable.iter().filter_map(|name| unset(name)).collect();
    match why.is_empty() {
        true => check,
        false => Check { found: format!("{}; {}", check.found, why.join("; ")), ..check },
    }
}

/// The database's newest snapshot beside the runs: how old, and whether it was proven there.
async fn copy(world: &World, database: &str, what: String, now: DateTime<Utc>) -> Check {
    let store = &world.control;
    let unproven = |e: &crate::error::Error| {
        let check = Check::new(Standing::Unproven, what.clone(), e.one_line());
        match e.advice() {
            Some(hint) => check.hint(hint),
            None => check,
        }
    };
    let stores = [std::sync::Arc::clone(store)];
    let shelf = match shelf::shelf(&stores, &world.keys, database).await {
        Ok(shelf) => shelf,
        Err(e) => return unproven(&e),
    };
    let verify = format!("run `drctl verify {database} --store {}`", store.name());
    let Some(newest) = shelf.latest() else {
        return Check::new(Standing::NotReady, what, "there is none")
            .hint(format!("run `drctl snapshot {database}`"));
    };
    let record = match Record::read(&**store, database).await {
        Ok(record) => record,
        Err(e) => return unproven(&e),
    };
    let age = (now - newest.taken()).num_seconds().unsigned_abs();
    let old = format!("{}, {} old", newest.id, Span::from_secs(age));
    if record.is_damaged(&newest.id) {
        let found = format!("{old}: DAMAGE was found in it");
        return Check::new(Standing::NotReady, what, found).hint(verify);
    }
    let Some(proven) = record.intact(&newest.id, Depth::Listing) else {
        return Check::new(Standing::Unproven, what, format!("{old}: never verified there"))
            .hint(verify);
    };
    let objective = world.config.objectives.rpo;
    if Duration::from_secs(age) > objective {
        let found = format!("{old}, older than the RPO of {}", Span(objective));
        return Check::new(Standing::Warning, what, found)
            .hint(format!("run `drctl snapshot {database}`"));
    }
    let ago = Span::from_secs((now - proven).num_seconds().unsigned_abs());
    Check::new(Standing::Ready, what, format!("{old}, verified {ago} ago"))
}

/// The databases that steps name.
fn databases(plans: &[Plan]) -> BTreeSet<String> {
    let steps = plans.iter().flat_map(|plan| &plan.steps);
    let names = steps.filter_map(|step| step.with.0.get("database")?.as_str());
    names.map(str::to_owned).collect()
}
