//! `drctl resume`, `abort` and `takeover`: going on with a run, forward or back.

use chrono::Utc;

use super::args::Cli;
use super::carrying::{self, carry_on, operator};
use super::render::{Done, span};
use super::run_args::{Abort, Resume, Takeover};
use crate::app::{self, App};
use crate::error::{Error, Kind, Result};
use crate::model::Level;
use crate::runbook::decision::Wish;
use crate::runbook::engine::opening::{self, TIME_TO_LIVE};
use crate::runbook::journal::{self, Journal};

/// What is asked of a run.
struct Asked<'a> {
    run: &'a str,
    name: Option<&'a str>,
    local_journal: bool,
    abort: Option<&'a str>,
    takeover: bool,
}

pub async fn resume(cli: &Cli, args: &Resume) -> Result<Done> {
    let (run, name) = (&args.run, args.name.as_deref());
    let local_journal = args.local_journal;
    go_on(cli, Asked { run, name, local_journal, abort: None, takeover: false }).await
}

pub async fn abort(cli: &Cli, args: &Abort) -> Result<Done> {
    let (run, name) = (&args.run, args.name.as_deref());
    let (local_journal, abort) = (args.local_journal, Some(args.reason.as_str()));
    go_on(cli, Asked { run, name, local_journal, abort, takeover: false }).await
}

pub async fn takeover(cli: &Cli, args: &Takeover) -> Result<Done> {
    let (run, name) = (&args.run, args.name.as_deref());
    go_on(cli, Asked { run, name, local_journal: false, abort: None, takeover: true }).await
}

async fn go_on(cli: &Cli, asked: Asked<'_>) -> Result<Done> {
    let app = App::load(cli.config.as_deref())?;
    let (world, copies) = (app.world().await?, app.journals().await?);
    let run = journal::resolve(&copies, asked.run).await?;
    let by = operator(asked.name);
    let sink = carrying::sink(cli.json);
    let before = journal::load(&copies, &run).await?;
    if before.state.ended.is_some() && before.is_local_only() {
        // It ended while the control store was away, which gets the rest of the journal now.
        let mut journal = Journal::go_on(copies.clone(), &before, asked.local_journal).await?;
        journal.seal().await?;
        for message in journal.news() {
            sink.notice(Level::Info, message);
        }
    }
    opening::may_go_on(&before)?;
    if asked.abort.is_some() && before.state.is_past_return(&before.plan) {
        let what = format!("abort run {run}: the point of no return is passed, or may be");
        return Err(Error::new(Kind::Usage, what).hint(format!(
            "only forward: `drctl resume {run}`; the way back is a failback later"
        )));
    }
    if asked.takeover {
        let tell = |info: &crate::store::lease::LeaseInfo, left: std::time::Duration| {
            let left = span(left.as_secs_f64());
            let text = format!("waits up to {left} for a sign of life of {}", info.holder);
            sink.notice(Level::Info, text);
        };
        opening::outwait(&*copies.control, &tell).await?;
    }
    let mut holder = app::holder(opening::purpose(&run));
    if let Some(name) = asked.name {
        name.trim().clone_into(&mut holder.user);
    }
    let hold = opening::hold(&copies.control, holder, TIME_TO_LIVE, asked.local_journal).await?;
    let opened = opening::resume(copies, &run, by.clone(), hold, Utc::now()).await?;
    let wish = match asked.abort {
        Some(why) => Wish::Abort { by: by.clone(), why: why.to_owned() },
        None => Wish::GoOn,
    };
    let (plan, left) = carry_on(&app, &world, opened, &by, wish, sink).await?;
    Ok(carrying::done(&plan, &left, asked.abort.is_some()))
}
