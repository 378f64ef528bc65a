//! Gathering a period from what the stores keep. What cannot be read is told, never left out.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::{AuditLine, Coverage, Drill, FORM, Failover, PeriodReport, Snapshots, findings};
use crate::config::Config;
use crate::drill::account::{Account, Outcome};
use crate::drill::history::{self, Known};
use crate::error::Result;
use crate::integrity::audit::{chain, days};
use crate::integrity::seal::Keys;
use crate::integrity::shelf::{self, Shelved, State};
use crate::integrity::verified::Record;
use crate::integrity::verify::{StoreVerdict, Verdict};
use crate::model::Learned;
use crate::report::{self, audit};
use crate::runbook::journal::{self, Copies};
use crate::store::ObjectStore;

/// Where everything is read from.
pub struct Sources {
    pub config: Arc<Config>,
    pub keys: Keys,
    pub stores: Vec<Arc<dyn ObjectStore>>,
    /// Stores that cannot be opened, and why.
    pub away: Vec<(String, String)>,
    /// None where no runs are kept; or why they cannot be reached.
    pub journals: Option<Result<Copies>>,
    pub operator: String,
}

/// Gathers what happened since then.
pub async fn gather(sources: Sources, since: DateTime<Utc>, now: DateTime<Utc>) -> PeriodReport {
    let config = &sources.config;
    let mut snapshots = Vec::new();
    for name in config.database_names() {
        snapshots.push(match of_database(&sources, name, since, now).await {
            Ok(found) => Learned::Known(found),
            Err(e) => Learned::Unknown(format!("{name}: {}", e.one_line())),
        });
    }
    let mut unread: Vec<(String, String)> = sources.away.clone();
    let (audits, coverage, troubles) = audits(&sources, since, &mut unread).await;
    let drills = drills(&sources, since, &mut unread).await;
    let failovers = failovers(sources.journals, since, &mut unread).await;
    let objectives = config.objectives;
    PeriodReport {
        format: FORM,
        project: config.project.clone(),
        program: format!("drctl {}", env!("CARGO_PKG_VERSION")),
        operator: sources.operator,
        made: now,
        since,
        rto_seconds: objectives.rto.as_secs(),
        rpo_seconds: objectives.rpo.as_secs(),
        snapshots,
        drills,
        failovers,
        audits,
        unread,
        coverage,
        troubles,
    }
}

fn verdict(state: &State, found_damaged: bool) -> Option<Verdict> {
    match state {
        State::Complete if found_damaged => Some(Verdict::Damaged),
        State::Complete => Some(Verdict::Intact),
        State::Damaged { .. } => Some(Verdict::Damaged),
        State::Unverified { .. } | State::Unreachable => Some(Verdict::Unverified),
        State::Missing | State::Absent => None,
    }
}

async fn of_database(
    sources: &Sources,
    name: &str,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Snapshots> {
    let config = sources.config.database(name)?;
    let stores: Vec<Arc<dyn ObjectStore>> = sources
        .stores
        .iter()
        .filter(|store| config.stores.iter().any(|name| name == store.name()))
        .map(Arc::clone)
        .collect();
    let shelf = shelf::shelf(&stores, &sources.keys, name).await?;
    let mut removed = BTreeSet::new();
    for store in &stores {
        let record = Record::read(&**store, name).await.unwrap_or_default();
        removed.extend(record.removed().map(|generation| generation.began()));
    }
    let shown: Vec<&Shelved> = shelf.snapshots.iter().filter(|s| s.id.began() >= since).collect();
    // A snapshot is one only where it is complete.
    let there = shown.iter().filter(|s| s.complete_in().next().is_some());
    let times: Vec<DateTime<Utc>> = there.map(|s| s.id.began()).collect();
    let before = shelf.snapshots.iter().rfind(|s| s.id.began() < since).map(|s| s.id.began());
    let mut measured: Vec<_> = before.into_iter().chain(times.iter().copied()).collect();
    measured.sort();
    let rpo = TimeDelta::from_std(sources.config.objectives.rpo).unwrap_or(TimeDelta::hours(1));
    let removed: Vec<_> = removed.into_iter().collect();
    let holes = chain::holes(&measured, &removed, rpo, now);
    let holes: Vec<_> =
        holes.into_iter().filter(|hole| hole.until.is_none_or(|until| until >= since)).collect();
    let ends = measured.iter().copied().chain([now]);
    let gaps = measured.iter().zip(ends.skip(1));
    let longest = gaps
        .filter(|(from, to)| !removed.iter().any(|at| at > from && at < to))
        .map(|(from, to)| (to - *from).as_seconds_f64())
        .fold(None, |longest: Option<f64>, gap| Some(longest.map_or(gap, |l| l.max(gap))));
    let verdicts: Vec<StoreVerdict> = shown
        .iter()
        .flat_map(|s| {
            s.shares.iter().filter_map(|share| {
                Some(StoreVerdict {
                    store: share.store.clone(),
                    snapshot: s.id.clone(),
                    generation: s.generation.clone(),
                    verdict: verdict(&share.state, share.found_damaged)?,
                })
            })
        })
        .collect();
    let everywhere = shown.iter().filter(|s| {
        let wanted = s.facts.as_ref().map_or(config.stores.len(), |f| f.stores.len());
        s.complete_in().count() >= wanted.max(1)
    });
    let mut unreachable = shelf.unreachable.clone();
    let away = sources.away.iter().filter(|(store, _)| config.stores.contains(store));
    unreachable.extend(away.cloned());
    Ok(Snapshots {
        database: name.to_owned(),
        taken: times.len() as u64,
        everywhere: everywhere.count() as u64,
        missed: holes.iter().map(|hole| hole.missed_count).sum(),
        days: days::days(&verdicts, &holes, config.stores.len(), now),
        holes,
        longest_seconds: longest,
        unreachable,
    })
}

type Audits = (Learned<Vec<AuditLine>>, Vec<Coverage>, Vec<findings::Trouble>);

async fn audits(
    sources: &Sources,
    since: DateTime<Utc>,
    unread: &mut Vec<(String, String)>,
) -> Audits {
    let kept = match audit::list(&sources.stores, &sources.keys).await {
        Ok(kept) => kept,
        Err(e) => return (Learned::Unknown(e.one_line()), Vec::new(), Vec::new()),
    };
    let mut reports = Vec::new();
    for kept in kept.into_iter().filter(|kept| kept.audit.began() >= since).rev() {
        match kept.report {
            Ok(report) => reports.push(report),
            Err(e) => unread.push((kept.audit.to_string(), e.one_line())),
        }
    }
    // Ids of one second sort by chance, and findings are followed from one audit to the next.
    reports.sort_by_key(|report| report.began);
    let lines = reports.iter().map(|report| AuditLine {
        audit: report.audit.to_string(),
        began: report.began,
        depth: report.terms.depth,
        standing: report.standing,
        checked_bytes: report.checked_bytes(),
        operator: report.operator.clone(),
    });
    let lines = lines.collect();
    let mut coverage: Vec<Coverage> = Vec::new();
    for report in &reports {
        for database in &report.databases {
            for (store, ages) in &database.coverage {
                coverage.retain(|c| c.database != database.database || c.store != *store);
                coverage.push(Coverage {
                    database: database.database.clone(),
                    store: store.clone(),
                    as_of: report.began,
                    bytes: ages.total(),
                    read_bytes: ages.total() - ages.never,
                    overdue_bytes: ages.overdue,
                });
            }
        }
    }
    let reports: Vec<_> = reports.iter().collect();
    (Learned::Known(lines), coverage, findings::follow(&reports))
}

async fn drills(
    sources: &Sources,
    since: DateTime<Utc>,
    unread: &mut Vec<(String, String)>,
) -> Learned<Vec<Drill>> {
    let (ids, away) = history::ids(&sources.stores).await;
    if let (true, Some((_, why))) = (ids.is_empty(), away.into_iter().next_back()) {
        return Learned::Unknown(why);
    }
    let mut drills = Vec::new();
    let newest = history::newest(&sources.stores, &sources.keys, &ids, ids.len()).await;
    for (id, known) in newest.into_iter().rev() {
        let why = match known {
            Known::Ended(account) => {
                if account.began >= since {
                    drills.push(line(*account));
                }
                continue;
            }
            Known::Cleared(..) => {
                "it ended without a word, and what it left was cleared away".to_owned()
            }
            Known::Open(_) => "it goes on, or ended without a word".to_owned(),
            Known::Unreadable(why) => why,
        };
        unread.push((format!("drill {id}"), why));
    }
    drills.sort_by_key(|drill| drill.began);
    Learned::Known(drills)
}

fn line(account: Account) -> Drill {
    Drill {
        id: account.id,
        rehearsal: account.rehearsal.as_str().to_owned(),
        subject: account.subject,
        began: account.began,
        passed: account.outcome == Outcome::Passed,
        said: account.said,
        recovery_seconds: account.objectives.recovery_seconds,
        rto_kept: account.objectives.rto_kept,
        rpo_kept: account.objectives.rpo_kept,
    }
}

async fn failovers(
    journals: Option<Result<Copies>>,
    since: DateTime<Utc>,
    unread: &mut Vec<(String, String)>,
) -> Learned<Vec<Failover>> {
    let copies = match journals {
        None => return Learned::Known(Vec::new()),
        Some(Err(e)) => return Learned::Unknown(e.one_line()),
        Some(Ok(copies)) => copies,
    };
    let all = match journal::list(&copies).await {
        Ok(all) => all,
        Err(e) => return Learned::Unknown(e.one_line()),
    };
    if let Some(why) = all.control_away {
        return Learned::Unknown(why);
    }
    unread.extend(all.unreadable.into_iter().map(|(run, why)| (format!("run {run}"), why)));
    let mut failovers = Vec::new();
    let wanted = all.runs.into_iter().filter(|r| r.run.confirmed >= since && !r.run.drill);
    for summary in wanted {
        let told = match journal::load(&copies, &summary.run.id).await {
            Ok(loaded) => report::make(&loaded.plan, &loaded.entries),
            Err(e) => {
                unread.push((format!("run {}", summary.run.id), e.one_line()));
                continue;
            }
        };
        failovers.push(Failover {
            run: summary.run.id.clone(),
            runbook: summary.run.runbook.clone(),
            began: summary.run.confirmed,
            ending: summary.ending.map(|ending| ending.as_str().replace('_', " ")),
            recovery_seconds: told.as_ref().and_then(|told| told.recovered_seconds),
            rto_kept: told.as_ref().and_then(|told| told.within_rto),
        });
    }
    failovers.sort_by_key(|failover| failover.began);
    Learned::Known(failovers)
}
