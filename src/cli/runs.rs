//! `drctl runs`: list, show, report, verify.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::args::Cli;
use super::render::{self, Done, plural, span};
use super::run_args::{Runs, RunsCommand};
use super::run_report;
use crate::app::App;
use crate::error::{Kind, Result};
use crate::runbook::journal::{self, Copies, Loaded, Proof, RunSummary};
use crate::runbook::record::{Ending, Outcome};
use crate::runbook::state::{Standing, StepState};

pub async fn run(cli: &Cli, args: &Runs) -> Result<Done> {
    let app = App::load(cli.config.as_deref())?;
    let copies = app.journals().await?;
    match &args.command {
        RunsCommand::List => list(&copies).await,
        RunsCommand::Show { run } => {
            let run = journal::resolve(&copies, run).await?;
            Ok(show(&journal::load(&copies, &run).await?, Utc::now()))
        }
        RunsCommand::Report { run, format, out } => {
            let run = journal::resolve(&copies, run).await?;
            run_report::run(&journal::load(&copies, &run).await?, *format, out.as_deref())
        }
        RunsCommand::Verify { run } => {
            let runs = match run {
                Some(run) => vec![journal::resolve(&copies, run).await?],
                None => {
                    let all = journal::list(&copies).await?;
                    let read = all.runs.into_iter().map(|r| r.run.id);
                    read.chain(all.unreadable.into_iter().map(|(run, _)| run)).collect()
                }
            };
            let mut proofs = Vec::new();
            for run in runs {
                proofs.push(journal::verify(&copies, &run).await?);
            }
            Ok(verified(&proofs))
        }
    }
}

/// How a run stands, in words.
fn standing(run: &RunSummary) -> String {
    match (run.ending, run.paused) {
        (Some(ending), _) => ending.as_str().replace('_', " "),
        (None, true) => "paused".to_owned(),
        (None, false) => "open: under way, or crashed".to_owned(),
    }
}

async fn list(copies: &Copies) -> Result<Done> {
    let all = journal::list(copies).await?;
    let code = match all.unreadable.is_empty() && all.control_away.is_none() {
        true => 0,
        false => Kind::Unverified.exit_code(),
    };
    let (text, fields) = listed(&all.runs, &all.unreadable, all.control_away.as_deref());
    Ok(Done::with(code, text, fields))
}

fn listed(
    runs: &[RunSummary],
    unreadable: &[(String, String)],
    away: Option<&str>,
) -> (String, Value) {
    let mut text = String::new();
    if runs.is_empty() && unreadable.is_empty() {
        text.push_str("no runs yet\n");
    }
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            let took = (run.last - run.run.confirmed).as_seconds_f64();
            // While the store cannot be asked, nobody knows what it has.
            let alone = run.local_only && away.is_none();
            let local = if alone { "; ON THIS MACHINE ONLY" } else { "" };
            vec![
                run.run.id.clone(),
                run.run.runbook.clone(),
                run.run.mode.as_str().to_owned(),
                span(took),
                run.run.operator.clone(),
                format!("{}{local}", standing(run)),
            ]
        })
        .collect();
    text.push_str(&render::columns(&rows, &[3]));
    for (run, why) in unreadable {
        text.push_str(&format!("{run}  NOT READABLE: {why}\n"));
    }
    if let Some(why) = away {
        text.push_str(&format!(
            "The control store cannot be asked, so runs may be missing: {why}\n"
        ));
    }
    let runs: Vec<Value> = runs
        .iter()
        .map(|run| {
            json!({
                "run": run.run.id, "runbook": run.run.runbook, "mode": run.run.mode,
                "operator": run.run.operator, "confirmed": run.run.confirmed, "last": run.last,
                "ending": run.ending, "paused": run.paused, "open": run.is_open(),
                "local_only": run.local_only,
            })
        })
        .collect();
    let unreadable: Vec<Value> =
        unreadable.iter().map(|(run, why)| json!({ "run": run, "error": why })).collect();
    (text, json!({ "runs": runs, "unreadable": unreadable, "control_away": away }))
}

fn show(loaded: &Loaded, now: DateTime<Utc>) -> Done {
    let (plan, state) = (&loaded.plan, &loaded.state);
    let run = &state.run;
    let at = |time: DateTime<Utc>| time.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    let stands = match (state.ended, state.paused) {
        (Some(ending), _) => ending.as_str().replace('_', " "),
        (None, true) => "paused".to_owned(),
        (None, false) => format!("open; last entry {} ago", ago(now - state.last)),
    };
    let mut text = format!(
        "Run {}: {}\n  {}, {} mode, confirmed {} by {}\n  {} entries, {stands}\n",
        run.id,
        plan.title,
        run.runbook,
        run.mode.as_str(),
        at(run.confirmed),
        run.operator,
        loaded.entries.len(),
    );
    for operator in state.operators.iter().skip(1) {
        text.push_str(&format!("  gone on with by {operator}\n"));
    }
    if let Some(reason) = &run.reason {
        text.push_str(&format!("  reason: {reason}\n"));
    }
    if let Some((by, why)) = &state.aborting {
        text.push_str(&format!("  ABORTED by {by}: {why}\n"));
    }
    if let Some(why) = &loaded.control_away {
        text.push_str(&format!(
            "  from the local copy; the control store does not answer: {why}\n"
        ));
    }
    if let Some(entry) = loaded.local_differs {
        text.push_str(&format!(
            "  the copy of this machine goes another way from entry {entry} on\n"
        ));
    }
    let blank = String::new;
    let rows: Vec<Vec<String>> = plan
        .steps
        .iter()
        .filter_map(|step| {
            let known = state.steps.get(&step.id)?;
            let since = known.started.map(|t| (t - run.confirmed).as_seconds_f64());
            Some(vec![
                format!("  {}", step.id),
                word(known).to_owned(),
                since.map_or_else(blank, |s| format!("+{}", span(s.max(0.0)))),
                told(known, now, &format!("drctl approve {} {}", run.id, step.id)),
            ])
        })
        .collect();
    text.push_str(&render::columns(&rows, &[2]));
    for note in &state.notes {
        text.push_str(&format!("  note: {note}\n"));
    }
    if matches!(state.ended, None | Some(Ending::Stopped)) {
        text.push_str(&format!("To go on: drctl resume {}\n", run.id));
    }
    let steps: Vec<Value> = plan
        .steps
        .iter()
        .filter_map(|step| {
            let known = state.steps.get(&step.id)?;
            Some(json!({
                "step": step.id, "uses": step.uses, "standing": known.standing.as_str(),
                "attempts": known.attempts, "started": known.started, "ended": known.ended,
                "approved_by": known.approved_by, "outcome": known.outcome,
            }))
        })
        .collect();
    let fields = json!({
        "run": run, "title": plan.title, "ending": state.ended, "paused": state.paused,
        "entries": loaded.entries.len(), "steps": steps, "notes": state.notes,
        "operators": state.operators, "control_away": loaded.control_away,
        "past_point_of_no_return": state.is_past_return(plan),
    });
    Done::well(text, fields)
}

fn ago(time: chrono::TimeDelta) -> String {
    span(time.as_seconds_f64().max(0.0))
}

fn word(known: &StepState) -> &'static str {
    match (&known.undone, &known.standing) {
        (Some(Some(Outcome::Done { .. })), _) => "undone",
        (Some(_), _) => "NOT UNDONE",
        (None, Standing::Failed { .. }) => "FAILED",
        (None, standing) => standing.as_str(),
    }
}

fn told(known: &StepState, now: DateTime<Utc>, approve: &str) -> String {
    match (&known.outcome, &known.standing) {
        (Some(outcome), _) => outcome.in_words(),
        (None, Standing::Started { attempt }) => {
            let since = known.started.map(|t| ago(now - t)).unwrap_or_default();
            format!("begun {since} ago, try {attempt}")
        }
        (None, _) if known.asked.is_some() && known.approved_by.is_none() => {
            format!("WAITS FOR APPROVAL: {approve}")
        }
        _ => String::new(),
    }
}

fn verified(proofs: &[Proof]) -> Done {
    let mut text = String::new();
    let flawed = proofs.iter().any(|proof| !proof.is_intact());
    let open = proofs.iter().any(|proof| !proof.unproven.is_empty());
    for proof in proofs {
        let entries = plural(proof.entries, "entry").replace("entrys", "entries");
        match proof.is_intact() {
            true if proof.unproven.is_empty() => {
                text.push_str(&format!("{}: intact, {entries}\n", proof.run));
            }
            true => text.push_str(&format!("{}: nothing wrong found, {entries}\n", proof.run)),
            false => text.push_str(&format!("{}: NOT INTACT, {entries}\n", proof.run)),
        }
        for (copy, flaw) in &proof.flaws {
            text.push_str(&format!("  {copy}: {flaw}\n"));
        }
        for unproven in &proof.unproven {
            text.push_str(&format!("  not proven: {unproven}\n"));
        }
    }
    if proofs.is_empty() {
        text.push_str("no runs yet\n");
    }
    let code = match (flawed, open) {
        (true, _) => Kind::Damaged.exit_code(),
        (false, true) => Kind::Unverified.exit_code(),
        (false, false) => 0,
    };
    let runs: Vec<Value> = proofs
        .iter()
        .map(|proof| {
            let flaws: Vec<Value> = proof
                .flaws
                .iter()
                .map(|(copy, flaw)| json!({ "copy": copy, "flaw": flaw.to_string() }))
                .collect();
            json!({
                "run": proof.run, "entries": proof.entries, "intact": proof.is_intact(),
                "flaws": flaws, "unproven": proof.unproven,
            })
        })
        .collect();
    Done::with(code, text, json!({ "runs": runs }))
}
