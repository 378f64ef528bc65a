//! Measures verify for `scripts/bench`: `listing` over a million parts, and `content` in bytes a
//! second on one core. Prints one JSON line for each, and fails where an objective is missed.

use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;
use drctl::integrity::history::Which;
use drctl::integrity::seal::Keys;
use drctl::integrity::shelf;
use drctl::integrity::verify::{
    Depth, Sample, Verdict, VerifyReport, VerifyRequest, synthetic, verify,
};
use drctl::model::Silent;
use drctl::store::{FileStore, ObjectStore};

type Outcome = Result<bool, Box<dyn std::error::Error>>;

fn request(store: Arc<dyn ObjectStore>, depth: Depth) -> VerifyRequest {
    VerifyRequest {
        database: synthetic::DATABASE.to_owned(),
        stores: vec![store],
        which: Which::All,
        depth,
        sample: Sample::ALL,
        jobs: 1,
        keys: Keys::default(),
        sink: Arc::new(Silent),
        now: Utc::now(),
    }
}

/// Seconds of processor time that this process has used, and its peak memory in bytes.
fn used() -> Result<(f64, u64), Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // Fields 14 and 15, in ticks of 1/100 s, counted after the name in brackets.
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib: u64 = peak.unwrap_or("0 kB").trim().trim_end_matches(" kB").parse()?;
    Ok((ticks as f64 / 100.0, kib << 10))
}

fn intact(report: &VerifyReport) -> bool {
    report.findings.is_empty() && report.verdict() == Verdict::Intact
}

async fn listing(parts: u64, tables: u64) -> Outcome {
    let began = Instant::now();
    let store = synthetic::millions(Utc::now(), tables, parts / tables).await?;
    let written = began.elapsed().as_secs_f64();
    let store: Arc<dyn ObjectStore> = Arc::new(store);
    let stores = [Arc::clone(&store)];
    let shown = shelf::shelf(&stores, &Keys::default(), synthetic::DATABASE).await?;
    let report = verify(&request(store, Depth::Listing)).await?;
    let seconds = began.elapsed().as_secs_f64();
    let (_, memory) = used()?;
    println!(
        "{{\"bench\":\"listing\",\"parts\":{parts},\"tables\":{tables},\"snapshots\":{},\
         \"checked_objects\":{},\"write_seconds\":{written:.2},\"verify_seconds\":{:.2},\
         \"seconds\":{seconds:.2},\"peak_bytes\":{memory}}}",
        shown.snapshots.len(),
        report.checked_objects,
        report.seconds,
    );
    Ok(intact(&report) && seconds < 60.0 && memory < 1 << 30)
}

async fn content(megabytes: u64) -> Outcome {
    let dir = tempfile::tempdir()?;
    let store: Arc<dyn ObjectStore> = Arc::new(FileStore::new("bench", "local", dir.path()));
    synthetic::fill(&*store, Utc::now(), megabytes / 16, 16 << 20, 8).await?;
    let request = request(store, Depth::Content);
    // Once to warm the page cache.
    verify(&request).await?;
    let (before, _) = used()?;
    let report = verify(&request).await?;
    let (after, memory) = used()?;
    let (cpu, raw) = (after - before, report.raw_bytes as f64 / 1e6);
    let per_core = raw / cpu;
    println!(
        "{{\"bench\":\"content\",\"megabytes\":{raw:.0},\"seconds\":{:.2},\"cpu_seconds\":{cpu:.2},\
         \"mb_per_second\":{:.0},\"mb_per_core_second\":{per_core:.0},\"peak_bytes\":{memory}}}",
        report.seconds,
        raw / report.seconds,
    );
    Ok(intact(&report) && per_core >= 400.0)
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let number =
        |at: usize, default: u64| arguments.get(at).and_then(|a| a.parse().ok()).unwrap_or(default);
    let outcome = match arguments.first().map(String::as_str) {
        Some("listing") => listing(number(1, 1_000_000), number(2, 10)).await,
        Some("content") => content(number(1, 1024)).await,
        _ => {
            eprintln!(
                "usage: cargo bench --bench verify -- listing [PARTS] [TABLES] | content [MEGABYTES]"
            );
            return std::process::ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => std::process::ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("the objective was missed");
            std::process::ExitCode::FAILURE
        }
        Err(e) => {
            eprintln!("{e}");
            std::process::ExitCode::FAILURE
        }
    }
}
