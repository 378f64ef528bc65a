//! From what was seen to checks: one answer to each question, by database and store.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::check::{Aspect, Check, Standing};
use super::coverage::{self, Ages, Coverage};
use super::turns::Seen;
use super::{AuditRequest, Audited, DatabaseAudit, Holding, Subject, VerifyReport, chain, days};
use crate::integrity::verify::{Depth, NOT_OURS};
use crate::model::{Finding, FindingKind, GenerationId, SnapshotId};
use crate::store::posture::Seen as Setting;
use crate::store::{Class, ObjectStore, keys};

/// Everything that is asked of one database.
pub async fn database(
    request: &AuditRequest,
    subject: &Subject,
    report: &Option<VerifyReport>,
    seen: &Seen,
    audited: &mut Audited,
) {
    let name = &subject.name;
    let Some(report) = report else {
        let check = chain::check(&[], &[], request.every, &[]).of_database(name);
        audited.checks.push(check.hint(format!("take one: drctl snapshot {name}")));
        audited.databases.push(nothing(name));
        return;
    };
    let began = report.holdings.iter().flat_map(times);
    let times: BTreeSet<DateTime<Utc>> =
        began.filter(|at| request.since.is_none_or(|since| *at >= since)).collect();
    let times: Vec<_> = times.into_iter().collect();
    let removed: Vec<_> =
        report.holdings.iter().flat_map(|h| &h.removed).map(GenerationId::began).collect();
    let holes = chain::holes(&times, &removed, request.every, request.now);
    let unread: Vec<String> =
        report.holdings.iter().filter(|h| h.snapshots.is_err()).map(|h| h.store.clone()).collect();
    let mut checks = vec![chain::check(&times, &holes, request.every, &unread)];
    checks.extend(report.holdings.iter().map(|h| integrity(report, h)));
    let (same, differing) = sameness(request, subject, report);
    checks.push(same);
    checks.push(generations(request, subject, report));
    checks.push(signatures(request, report));
    let mut coverage = BTreeMap::new();
    for store in &subject.stores {
        let Some(held) = seen.get(store.name()) else {
            let said = "what it holds could not be listed";
            let away = unread.iter().any(|unread| unread == store.name());
            if away {
                let check = Check::new(Aspect::Coverage, Standing::Unverified, said);
                checks.push(check.in_store(store.name()));
            }
            continue;
        };
        let known = match Coverage::read(&**store, name).await {
            Ok(known) => known,
            Err(e) => {
                let check = Check::new(Aspect::Coverage, Standing::Unverified, e.one_line());
                checks.push(check.in_store(store.name()));
                continue;
            }
        };
        let ages = coverage::ages(&known, held, Depth::Content, request.within, request.now);
        checks.push(covered(request, &ages).in_store(store.name()));
        coverage.insert(store.name().to_owned(), ages);
    }
    audited.checks.extend(checks.into_iter().map(|check| check.of_database(name)));
    super::keep(audited, differing);
    audited.databases.push(DatabaseAudit {
        database: name.clone(),
        snapshots: times.len() as u64,
        first: times.first().copied(),
        last: times.last().copied(),
        days: days::days(&report.verdicts, &holes, subject.stores.len(), request.now),
        holes,
        objects: report.objects,
        checked_objects: report.checked_objects,
        vouched_objects: report.vouched_objects,
        checked_bytes: report.checked_bytes,
        raw_bytes: report.raw_bytes,
        verdicts: report.verdicts.clone(),
        coverage,
        seconds: report.seconds,
    });
}

fn nothing(name: &str) -> DatabaseAudit {
    DatabaseAudit {
        database: name.to_owned(),
        snapshots: 0,
        first: None,
        last: None,
        holes: Vec::new(),
        days: Vec::new(),
        objects: 0,
        checked_objects: 0,
        vouched_objects: 0,
        checked_bytes: 0,
        raw_bytes: 0,
        verdicts: Vec::new(),
        coverage: BTreeMap::new(),
        seconds: 0.0,
    }
}

fn times(holding: &Holding) -> impl Iterator<Item = DateTime<Utc>> + '_ {
    holding.snapshots.iter().flatten().map(|place| place.snapshot.began())
}

fn count(findings: &[Finding], store: &str, kinds: &[FindingKind]) -> usize {
    findings.iter().filter(|f| f.store == store && kinds.contains(&f.kind)).count()
}

fn integrity(report: &VerifyReport, holding: &Holding) -> Check {
    let store = &holding.store;
    let bad = count(&report.findings, store, &[FindingKind::Missing, FindingKind::Damaged]);
    let unread = count(&report.findings, store, &[FindingKind::Unreadable]);
    let snapshots = holding.snapshots.as_ref().map_or(0, Vec::len);
    let database = report.findings.first().map_or("", |f| f.database.as_str());
    let check = match (bad, unread) {
        (0, 0) => Check::new(
            Aspect::Integrity,
            Standing::Passed,
            format!("{snapshots} snapshots, as promised at depth {}", report.depth),
        ),
        (0, unread) => Check::new(
            Aspect::Integrity,
            Standing::Unverified,
            format!("{unread} objects could not be looked at"),
        ),
        (bad, _) => Check::new(
            Aspect::Integrity,
            Standing::Failed,
            format!("{bad} findings of missing or damaged objects"),
        )
        .hint(format!("`drctl repair {database} --dry-run` shows what another store can mend")),
    };
    check.in_store(store)
}

/// Whether the stores hold the same: snapshots that one lacks are findings already; manifests that
/// differ become some.
fn sameness(
    request: &AuditRequest,
    subject: &Subject,
    report: &VerifyReport,
) -> (Check, Vec<Finding>) {
    let aspect = Aspect::Sameness;
    if request.one_store || report.holdings.len() < 2 {
        let said = "one store was audited: there is nothing to compare";
        return (Check::new(aspect, Standing::NotApplicable, said), Vec::new());
    }
    let mut first: BTreeMap<&SnapshotId, (&str, _)> = BTreeMap::new();
    let mut differing = Vec::new();
    for holding in &report.holdings {
        for (snapshot, digest) in &holding.manifests {
            let (store, seen) = *first.entry(snapshot).or_insert((&holding.store, *digest));
            let place = holding.snapshots.iter().flatten().find(|p| p.snapshot == *snapshot);
            if let (true, Some(place)) = (seen != *digest, place) {
                differing.push(Finding {
                    kind: FindingKind::Damaged,
                    store: holding.store.clone(),
                    database: subject.name.clone(),
                    snapshot: Some(snapshot.to_string()),
                    table: None,
                    part: Some(keys::manifest_key(&subject.name, &place.generation, snapshot)),
                    detail: format!("it is sealed, and not the manifest that store `{store}` has"),
                });
            }
        }
    }
    let absent = report
        .findings
        .iter()
        .filter(|f| f.kind == FindingKind::Missing && f.table.is_none())
        .filter(|f| f.part.as_ref().is_some_and(|key| key.ends_with("/manifest.json")))
        .count();
    let unproven = unproven_manifests(report);
    let away: Vec<_> = report.holdings.iter().filter(|h| h.snapshots.is_err()).collect();
    let check = match (absent + differing.len(), away.as_slice()) {
        (0, []) if unproven > 0 => {
            let said = format!("{unproven} manifests could not be proven, so not be compared");
            Check::new(aspect, Standing::Unverified, said)
        }
        (0, []) => {
            let said = format!("{} stores hold the same snapshots", report.holdings.len());
            Check::new(aspect, Standing::Passed, said)
        }
        (0, [away, ..]) => {
            let said = format!("the snapshots of store `{}` could not be listed", away.store);
            Check::new(aspect, Standing::Unverified, said)
        }
        (_, _) => Check::new(
            aspect,
            Standing::Failed,
            format!(
                "{absent} snapshots are missing in a store, and {} differ between stores",
                differing.len()
            ),
        )
        .hint(format!("`drctl repair {} --dry-run` shows what can be mended", subject.name)),
    };
    (check, differing)
}

/// Whether a generation goes on for longer than configured.
fn generations(request: &AuditRequest, subject: &Subject, report: &VerifyReport) -> Check {
    let mut last: BTreeMap<&GenerationId, DateTime<Utc>> = BTreeMap::new();
    for place in report.holdings.iter().flat_map(|h| h.snapshots.iter().flatten()) {
        let began = place.snapshot.began();
        let seen = last.entry(&place.generation).or_insert(began);
        *seen = began.max(*seen);
    }
    let most = subject.full_every + request.every * 2;
    let long: Vec<String> = last
        .iter()
        .filter(|(generation, last)| **last - generation.began() > most)
        .map(|(generation, _)| generation.to_string())
        .collect();
    let every = humantime::format_duration(subject.full_every.to_std().unwrap_or_default());
    match long.as_slice() {
        [] => Check::new(
            Aspect::Generations,
            Standing::Passed,
            format!("{} generations, none longer than {every}", last.len()),
        ),
        long => Check::new(
            Aspect::Generations,
            Standing::Failed,
            format!("{} went on for longer than {every}", long.join(", ")),
        )
        .hint(format!("begin a new one: drctl snapshot {} --full", subject.name)),
    }
}

fn unproven_manifests(report: &VerifyReport) -> usize {
    report
        .findings
        .iter()
        .filter(|f| matches!(f.kind, FindingKind::Unreadable | FindingKind::Damaged))
        .filter(|f| f.part.as_ref().is_some_and(|key| key.ends_with("/manifest.json")))
        .count()
}

fn signatures(request: &AuditRequest, report: &VerifyReport) -> Check {
    let aspect = Aspect::Signatures;
    let proven: usize = report.holdings.iter().map(|h| h.manifests.len()).sum();
    if !request.keys.trusts() {
        let said = "no `trusted_keys` are configured: manifests are proven by their digests alone";
        return Check::new(aspect, Standing::NotApplicable, said)
            .hint("`drctl keys generate` makes a pair");
    }
    match unproven_manifests(report) {
        0 => Check::new(
            aspect,
            Standing::Passed,
            format!("{proven} manifests are signed by a trusted key"),
        ),
        unproven => Check::new(
            aspect,
            Standing::Unverified,
            format!("{unproven} manifests are not known to be signed by a trusted key"),
        )
        .hint("the findings say why; `drctl keys show` lists what is trusted"),
    }
}

fn covered(request: &AuditRequest, ages: &Ages) -> Check {
    let (aspect, total) = (Aspect::Coverage, ages.total());
    let share = |part: u64| if total == 0 { 0.0 } else { part as f64 * 100.0 / total as f64 };
    let within = humantime::format_duration(request.within.to_std().unwrap_or_default());
    let said = format!(
        "{:.1} % was read at some time; {:.1} % is overdue, where everything is to be read once in \
         {within}",
        share(total - ages.never),
        share(ages.overdue)
    );
    match (request.depth, ages.overdue) {
        (_, 0) => Check::new(aspect, Standing::Passed, said),
        (Depth::Content, _) => Check::new(aspect, Standing::Failed, said)
            .hint("raise `--budget`, or audit more often: the longest unread comes first"),
        // Nothing was to be read in this audit.
        (_, _) => Check::new(aspect, Standing::NotApplicable, said)
            .hint("`drctl audit --depth content --budget 10GB` reads on"),
    }
}

/// The newest manifest of a store: an object that shows how drctl's objects are kept.
pub fn witness(database: &str, holding: &Holding, witnesses: &mut BTreeMap<String, String>) {
    let Some(newest) = holding.snapshots.as_ref().ok().and_then(|places| places.last()) else {
        return;
    };
    let key = keys::manifest_key(database, &newest.generation, &newest.snapshot);
    witnesses.entry(holding.store.clone()).or_insert(key);
}

/// How the bucket is set up.
pub async fn posture(store: &dyn ObjectStore, witness: Option<&str>) -> Vec<Check> {
    let Some(posture) = store.posture(witness).await else {
        return crate::store::posture::Setting::ALL
            .into_iter()
            .map(|setting| {
                Check::new(Aspect::of(setting), Standing::NotApplicable, "it is a folder")
                    .in_store(store.name())
            })
            .collect();
    };
    let check = |(setting, seen): (_, crate::store::Result<Setting>)| {
        let aspect = Aspect::of(setting);
        let check = match seen {
            Ok(Setting::AsConfigured(said)) => Check::new(aspect, Standing::Passed, said),
            Ok(Setting::NotAsked(said)) => Check::new(aspect, Standing::NotApplicable, said),
            Ok(Setting::Otherwise(said, hint)) => {
                Check::new(aspect, Standing::Failed, said).hint(hint)
            }
            // What may not be read is not known, whatever the reason.
            Err(e) => {
                let hint = match e.class {
                    Class::Denied => e.hint.clone(),
                    _ => None,
                };
                let said = crate::error::Error::from(e).one_line();
                let check = Check::new(aspect, Standing::Unverified, said);
                hint.into_iter().fold(check, |check, hint| check.hint(hint))
            }
        };
        check.in_store(store.name())
    };
    posture.into_iter().map(check).collect()
}

/// Who else wrote below the prefix: here, and in the databases as verify found.
pub fn strangers(
    store: &dyn ObjectStore,
    outside: &[Finding],
    unnamed: &[String],
    audited: &mut Audited,
) {
    let inside = audited.findings.iter().filter(|f| f.store == store.name());
    let inside = inside.filter(|f| f.kind == FindingKind::Surplus && f.detail == NOT_OURS).count();
    let mut said = match inside + outside.len() {
        0 => "nothing lies below the prefix that drctl did not write".to_owned(),
        n => format!("{n} objects or folders below the prefix are not drctl's"),
    };
    if !unnamed.is_empty() {
        said.push_str(&format!(
            "; databases that this configuration does not name: {}",
            unnamed.join(", ")
        ));
    }
    let check = match inside + outside.len() {
        0 => Check::new(Aspect::Strangers, Standing::Passed, said),
        _ => Check::new(Aspect::Strangers, Standing::Failed, said).hint(
            "find out who may write there, and move them: nothing but drctl should be able to",
        ),
    };
    audited.checks.push(check.in_store(store.name()));
}
