//! `drctl preflight`.

use chrono::Utc;
use serde_json::json;

use super::args::Cli;
use super::render::{Done, plural};
use super::runbook_args::Preflight as Args;
use super::wrapping::{hung, wrapped};
use crate::app::{self, App};
use crate::error::{Kind, Result};
use crate::providers::Standing;
use crate::runbook::preflight::{self, Noted, Preflight};
use crate::runbook::{self, Circumstances, plan};
use crate::store::epoch;

pub async fn run(cli: &Cli, args: &Args) -> Result<Done> {
    let app = App::load(cli.config.as_deref())?;
    let world = app.world().await?;
    let name = args.runbook.as_deref().unwrap_or(&app.config.failover.runbook);
    // Of a store that does not answer the checks tell; the plan is then made as if all were normal.
    let active = tokio::time::timeout(args.timeout, epoch::read(&*world.control)).await;
    let active = active.ok().and_then(Result::ok).flatten();
    let mut circumstances = Circumstances::of_a_look(&app.config);
    if let Some(epoch) = active {
        circumstances.active = epoch.region;
    }
    let book = runbook::load(&app.config, name, &circumstances)?;
    let modes = args.mode.map_or_else(|| book.modes(), |mode| vec![mode]);
    let plans = modes
        .iter()
        .copied()
        .map(|mode| plan::make(&book, &app.config, mode, &circumstances))
        .collect::<Result<Vec<_>>>()?;
    let by = app::operator();
    let found = preflight::run(&world, &plans, &by, args.timeout, Utc::now()).await;
    let found = found.ok_or_else(|| {
        crate::error::Error::new(Kind::Bug, "preflight of a runbook without a plan")
    })?;
    // A part of the steps is no proof for all of them.
    let kept = match modes == book.modes() {
        true => Some(preflight::keep(&*world.control, &found).await),
        false => None,
    };
    Ok(done(&found, kept, world.control.name()))
}

fn done(found: &Preflight, kept: Option<Result<()>>, store: &str) -> Done {
    let code = match found.worst() {
        Standing::NotReady => Kind::Failed.exit_code(),
        Standing::Unproven => Kind::Unverified.exit_code(),
        Standing::Ready | Standing::Warning => 0,
    };
    let mut text = text(found);
    let (kept, code, why) = match kept {
        Some(Ok(())) => (true, code, None),
        Some(Err(e)) => {
            let line = format!("\nNOT KEPT in store `{store}`: {}\n", e.one_line());
            text.push_str(&wrapped(&line, 80, "  "));
            // A run would not find it.
            (false, if code == 0 { Kind::Unverified.exit_code() } else { code }, Some(e.one_line()))
        }
        None => {
            text.push_str("\nOne mode only, so not kept as the runbook's preflight.\n");
            (false, code, None)
        }
    };
    let fields = json!({
        "runbook": found.runbook, "at": found.at, "by": found.by, "worst": found.worst(),
        "checks": found.checks, "kept": kept, "not_kept_because": why,
    });
    Done::with(code, text, fields)
}

/// By standing, the worst first: what was checked, what was found, the next move.
fn text(found: &Preflight) -> String {
    let mut text = String::new();
    let mut shown = None;
    for Noted { steps, check } in &found.checks {
        if shown != Some(check.standing) {
            if shown.is_some() {
                text.push('\n');
            }
            shown = Some(check.standing);
            text.push_str(&format!("{}\n", title(check.standing)));
        }
        let steps = match steps.is_empty() {
            true => String::new(),
            false => format!(" [{}]", steps.iter().cloned().collect::<Vec<_>>().join(", ")),
        };
        let line = format!("{}: {}{steps}", check.what, check.found.replace('\n', " "));
        text.push_str(&format!("  {}", wrapped(&line, 78, "    ")));
        if let Some(hint) = &check.hint {
            text.push_str(&hung("    -> ", hint, 80));
        }
    }
    let count = |standing| found.count(standing) as u64;
    text.push_str(&format!(
        "\n{}: {} not ready, {} unproven, {}, {} ready.\n",
        found.runbook,
        count(Standing::NotReady),
        count(Standing::Unproven),
        plural(count(Standing::Warning), "warning"),
        count(Standing::Ready),
    ));
    text.push_str(match found.worst() {
        Standing::NotReady => "NOT READY: a failover now would fail or do harm.\n",
        Standing::Unproven => "Nothing is known to be wrong, but not everything is proven.\n",
        Standing::Warning => "Ready, with warnings.\n",
        Standing::Ready => "Ready.\n",
    });
    text
}

fn title(standing: Standing) -> &'static str {
    match standing {
        Standing::NotReady => "NOT READY",
        Standing::Unproven => "Unproven",
        Standing::Warning => "Warnings",
        Standing::Ready => "Ready",
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::error::Error;
    use crate::model::Digest;
    use crate::providers::Check;

    fn found(checks: Vec<(&str, Check)>) -> Preflight {
        let steps = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        Preflight {
            runbook: "region-failover".to_owned(),
            runbook_digest: Digest::of(b"text"),
            at: DateTime::UNIX_EPOCH,
            by: "ann on ops-1".to_owned(),
            checks: checks.into_iter().map(|(s, check)| Noted { steps: steps(s), check }).collect(),
        }
    }

    #[test]
    fn what_is_not_ready_stands_first_with_its_next_move() {
        let all = found(vec![
            (
                "promote drain",
                Check::new(Standing::NotReady, "standby of `petforce` in us-west-2", "2 h behind")
                    .hint("see why replication stands still: `drctl status`"),
            ),
            (
                "swap",
                Check::new(
                    Standing::Unproven,
                    "permission route53:ChangeResourceRecordSets",
                    "no harmless form of the request exists",
                ),
            ),
            ("", Check::new(Standing::Warning, "notification channels", "only of one kind: slack")),
            ("scale", Check::new(Standing::Ready, "service web in us-west-2", "2 of 2 tasks run")),
        ]);
        insta::assert_snapshot!(text(&all), @r"
        NOT READY
          standby of `petforce` in us-west-2: 2 h behind [drain, promote]
            -> see why replication stands still: `drctl status`

        Unproven
          permission route53:ChangeResourceRecordSets: no harmless form of the request
            exists [swap]

        Warnings
          notification channels: only of one kind: slack

        Ready
          service web in us-west-2: 2 of 2 tasks run [scale]

        region-failover: 1 not ready, 1 unproven, 1 warning, 1 ready.
        NOT READY: a failover now would fail or do harm.
        ");
        let code = |kept| done(&all, kept, "west").code;
        assert_eq!(code(Some(Ok(()))), 1);
    }

    #[test]
    fn the_exit_code_is_that_of_the_worst_and_a_result_that_is_not_kept_is_not_proven() {
        let ready = found(vec![("a", Check::new(Standing::Ready, "x", "fine"))]);
        let unproven = found(vec![("a", Check::new(Standing::Unproven, "x", "who knows"))]);
        let failed = || Some(Err(Error::new(Kind::Storage, "put state")));
        assert_eq!(done(&ready, Some(Ok(())), "west").code, 0);
        assert_eq!(done(&ready, None, "west").code, 0);
        assert_eq!(done(&ready, failed(), "west").code, 4);
        assert_eq!(done(&unproven, Some(Ok(())), "west").code, 4);
        // Nothing checked is nothing proven.
        assert_eq!(done(&found(vec![]), Some(Ok(())), "west").code, 4);
    }
}
