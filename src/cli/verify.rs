//! `drctl verify`.

use chrono::Utc;
use serde_json::json;

use super::args::{Cli, Verify};
use super::measured::Measured;
use super::render::{self, Done, bytes, count, plural, span};
use super::screen;
use crate::app::{self, App};
use crate::error::{Kind, Result};
use crate::integrity::history::Which;
use crate::integrity::shelf;
use crate::integrity::verify::{self, Depth, Sample, Verdict, VerifyReport, VerifyRequest};
use crate::model::Finding;
use crate::report::metrics::VerifyOutcome;

/// Findings of one kind, store and snapshot that are listed before the rest is counted.
const LISTED: usize = 20;

pub async fn run(cli: &Cli, args: &Verify) -> Result<Done> {
    let app = App::load(cli.config.as_deref())?;
    let sink = screen::sink(cli.json);
    let mut reports = Vec::new();
    for name in app.databases(args.database.as_deref())? {
        let config = app.config.database(&name)?;
        let stores = app.stores_named(config, args.store.as_deref()).await?;
        let keys = app.keys()?;
        let sample = match args.sample {
            Some(share) => Sample { share, seed: u64::from(app::random()?) },
            None => Sample::ALL,
        };
        let which = match args.snapshot.as_str() {
            "latest" => Which::Latest,
            "all" => Which::All,
            text => {
                let all = app.stores_in_haste(config, None).await?;
                Which::One(shelf::shelf(&all, &keys, &name).await?.resolve(text)?.id.clone())
            }
        };
        let request = VerifyRequest {
            database: name.clone(),
            stores,
            which,
            depth: args.depth,
            sample,
            jobs: args.jobs.unwrap_or(config.jobs).max(1),
            keys,
            sink: std::sync::Arc::clone(&sink),
            now: Utc::now(),
        };
        let begun = std::time::Instant::now();
        let report = verify::verify(&request).await;
        let measured =
            Measured { app: &app, command: "verify", database: &name, begun, json: cli.json };
        match report {
            Ok(report) => {
                let outcome = VerifyOutcome {
                    checked_objects: report.checked_objects,
                    checked_bytes: report.checked_bytes,
                    findings: report.findings.len() as u64,
                };
                let reported = vec![(name.clone(), report)];
                measured.keep(&Ok(done(&reported)), None, Some(outcome));
                reports.extend(reported);
            }
            Err(e) => {
                let outcome = Err(e);
                measured.keep(&outcome, None, None);
                return outcome;
            }
        }
    }
    Ok(done(&reports))
}

fn done(reports: &[(String, VerifyReport)]) -> Done {
    let mut text = String::new();
    let worst = reports.iter().map(|(_, r)| r.verdict()).max().unwrap_or(Verdict::Intact);
    for (name, report) in reports {
        text.push_str(&one(name, report));
    }
    let sum = |f: &dyn Fn(&VerifyReport) -> u64| reports.iter().map(|(_, r)| f(r)).sum::<u64>();
    let fields = json!({
        "verdict": worst,
        "checked_objects": sum(&|r| r.checked_objects),
        "checked_bytes": sum(&|r| r.checked_bytes),
        "findings": reports.iter().flat_map(|(_, r)| &r.findings).collect::<Vec<_>>(),
        "seconds": reports.iter().map(|(_, r)| r.seconds).sum::<f64>(),
        "databases": reports.iter().map(|(name, r)| json!({
            "database": name, "depth": r.depth, "sample": r.sample, "objects": r.objects,
            "checked_objects": r.checked_objects, "checked_bytes": r.checked_bytes,
            "raw_bytes": r.raw_bytes, "verdicts": r.verdicts, "seconds": r.seconds,
        })).collect::<Vec<_>>(),
    });
    let code = match worst {
        Verdict::Intact => 0,
        Verdict::Damaged => Kind::Damaged.exit_code(),
        Verdict::Unverified => Kind::Unverified.exit_code(),
    };
    Done::with(code, text, fields)
}

fn one(name: &str, report: &VerifyReport) -> String {
    let mut text = format!(
        "{name}: {} of {} ({}) checked at depth {}, in {}.\n",
        count(report.checked_objects),
        plural(report.objects, "object"),
        bytes(report.checked_bytes),
        report.depth,
        span(report.seconds),
    );
    let rows: Vec<Vec<String>> = report
        .verdicts
        .iter()
        .map(|v| {
            let verdict = match v.verdict {
                Verdict::Intact => "intact".to_owned(),
                other => other.to_string().to_uppercase(),
            };
            vec![format!("  {}", v.store), v.snapshot.to_string(), verdict]
        })
        .collect();
    text.push_str(&render::columns(&rows, &[]));
    for finding in report.findings.iter().take(LISTED) {
        text.push_str(&line(finding));
    }
    if report.findings.len() > LISTED {
        let more = report.findings.len() - LISTED;
        text.push_str(&format!("  … and {} more: --json lists all\n", count(more as u64)));
    }
    match report.verdict() {
        Verdict::Intact if !report.sample.is_all() => text.push_str(&format!(
            "What was looked at is as promised: a sample of {} %.\n",
            report.sample.share * 100.0
        )),
        Verdict::Intact => text.push_str(match report.depth {
            Depth::Listing => {
                "Every object is there with its size. To look inside: --depth content\n"
            }
            Depth::Checksums => "Every object has the checksum that is promised.\n",
            Depth::Content => "Everything is as promised.\n",
        }),
        Verdict::Unverified => text.push_str(
            "Nothing is known to be wrong, but not everything could be looked at: NOT proven.\n",
        ),
        Verdict::Damaged => text.push_str(&format!(
            "DAMAGE was found. What to do:\n  \
             see which copies are whole:    drctl verify {name} --snapshot all --depth content\n  \
             have a snapshot that is clean: drctl snapshot {name} --full\n  \
             repair this copy: remove the damaged objects from the store, then\n  \
             \x20                              drctl copy {name} --from STORE --to STORE --snapshot all\n"
        )),
    }
    text
}

fn line(f: &Finding) -> String {
    let mut place = format!("store {}", f.store);
    for (what, value) in [("snapshot", &f.snapshot), ("table", &f.table)] {
        if let Some(value) = value {
            place.push_str(&format!(", {what} {value}"));
        }
    }
    let part = f.part.as_ref().map(|p| format!("\n      {p}")).unwrap_or_default();
    format!("  {}: {place}: {}{part}\n", f.kind, f.detail)
}
