//! Whether the journals of all runs are whole.

use crate::error::{Error, Result};
use crate::integrity::audit::{Aspect, Check, Standing};
use crate::runbook::journal::{self, Copies};

pub(super) async fn check(copies: Option<Result<Copies>>) -> Check {
    let new = |standing, said: String| Check::new(Aspect::Journals, standing, said);
    let unread = |e: Error| new(Standing::Unverified, e.one_line());
    let copies = match copies {
        None => {
            return new(
                Standing::NotApplicable,
                "no store keeps runs: no standby region is configured".to_owned(),
            );
        }
        Some(Err(e)) => return unread(e),
        Some(Ok(copies)) => copies,
    };
    let store = copies.control.name().to_owned();
    let all = match journal::list(&copies).await {
        Ok(all) => all,
        Err(e) => return unread(e).in_store(&store),
    };
    if let Some(why) = all.control_away {
        return new(Standing::Unverified, why).in_store(&store);
    }
    // Those that are over are to be sealed; the others are not yet.
    let over = |run: &journal::RunSummary| !run.is_open() && !run.paused;
    let listed = all.runs.into_iter().map(|run| (over(&run), run.run.id));
    let runs: Vec<(bool, String)> =
        listed.chain(all.unreadable.into_iter().map(|(run, _)| (false, run))).collect();
    let (mut entries, mut broken, mut unproven) = (0, Vec::new(), Vec::new());
    for (over, run) in &runs {
        match journal::verify(&copies, run).await {
            Ok(proof) => {
                entries += proof.entries;
                broken.extend(
                    proof.flaws.iter().map(|(copy, flaw)| format!("{run}, {copy}: {flaw}")),
                );
                // A run that is under way, or that another machine went on with, is no trouble.
                let away = proof.unproven.iter().filter(|why| why.starts_with("copy `"));
                unproven.extend(away.map(|why| format!("{run}, {why}")));
                if *over && !proof.sealed {
                    unproven.push(format!("{run}: it is over, and its last entry is not sealed"));
                }
            }
            Err(e) => unproven.push(format!("{run}: {}", e.one_line())),
        }
    }
    let check = match (broken.as_slice(), unproven.as_slice()) {
        ([], []) => new(
            Standing::Passed,
            format!("{} runs with {entries} entries, every chain whole", runs.len()),
        ),
        ([], [first, ..]) => {
            new(Standing::Unverified, format!("{} not proven: {first}", unproven.len()))
        }
        ([first, ..], _) => {
            new(Standing::Failed, format!("{} flaws; the first: {first}", broken.len()))
                .hint("`drctl runs verify` tells all of them")
        }
    };
    check.in_store(&store)
}
