//! The drama of a failover drill: the fault, the run that answers it, a while in which clients must be
//! served, and the region mended.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::staging::Staging;
use super::watching::Watch;
use super::{ending, give_back};
use crate::drill::Clock;
use crate::drill::account::Teardown;
use crate::error::{Error, Kind, Result};
use crate::model::{Level, Sink};
use crate::postgres::replication::Limits;
use crate::providers::postgres::sampler;
use crate::providers::{RunFacts, World};
use crate::report::{self, RunReport};
use crate::runbook::decision::Wish;
use crate::runbook::engine::opening;
use crate::runbook::engine::{Hold, Left};
use crate::runbook::journal::{self, Copies};
use crate::runbook::plan::Plan;
use crate::runbook::record::Ending;

/// Between two samples of replication before the fault, and what one may take.
const SAMPLE: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_secs(2);
/// What is under way when a drill is stopped may take so long to end.
const GRACE: Duration = Duration::from_mins(1);
/// So long after the run clients may still find the service, beyond the RTO.
const SETTLING: Duration = Duration::from_mins(1);

/// What the drill plays in.
pub(super) struct Scene<'s> {
    pub staging: &'s Staging,
    pub world: &'s World,
    pub watch: &'s Watch<'s>,
    pub copies: Copies,
    pub plan: &'s Plan,
    pub facts: &'s RunFacts,
    pub clock: &'s Clock<'s>,
    pub sink: Arc<dyn Sink>,
    pub drill: &'s str,
}

/// How far a drill came.
pub(super) struct Course {
    pub(super) uncompared: Vec<String>,
    /// When it was begun, and that on the clock of the drill.
    pub(super) fault: Option<(DateTime<Utc>, f64)>,
    /// When the run was begun, likewise.
    pub(super) confirmed: Option<(DateTime<Utc>, f64)>,
    pub(super) left: Option<Left>,
    pub(super) report: Option<RunReport>,
    pub(super) failure: Option<(Error, String)>,
    pub(super) teardown: Teardown,
    /// What is to be done about the run, where it stays open.
    pub(super) open: Option<String>,
}

/// Breaks the region, answers, and mends it, however that goes.
pub(super) async fn carry_out(
    scene: Scene<'_>,
    hold: Hold,
    course: &mut Course,
    stop: impl Future<Output = Error>,
) {
    sample(&scene).await;
    let fault = Instant::now();
    course.fault = Some((Utc::now(), scene.clock.now()));
    let wishes = watch::Sender::new(Wish::GoOn);
    let limit = scene.staging.drill.timeout;
    let lease = hold.lease.clone();
    let ended = {
        let mut work = pin!(answer(&scene, hold, course, &wishes, fault));
        let looks = scene.watch.go_on(fault);
        tokio::select! {
            ended = async {
                tokio::select! {
                    ended = &mut work => ended,
                    stopped = stop => {
                        wishes.send_replace(Wish::Pause { by: scene.facts.operator.clone() });
                        let _ = timeout(GRACE, &mut work).await;
                        Err(stopped)
                    }
                    () = sleep(limit) => {
                        wishes.send_replace(Wish::Pause { by: scene.facts.operator.clone() });
                        let _ = timeout(GRACE, &mut work).await;
                        let limit = humantime::format_duration(limit);
                        Err(Error::new(Kind::Failed, format!("the drill took longer than {limit}"))
                            .hint("`timeout` in [drill.failover] sets the limit"))
                    }
                }
            } => ended,
            () = looks => Ok(()),
        }
    };
    // Also where what was under way had to be cut off: the run is ended under it next.
    give_back(lease, &*scene.sink).await;
    if let Err(e) = ended {
        course.failure = Some((e, scene.clock.fail()));
    }
    course.report = match journal::load(&scene.copies, &scene.facts.id).await {
        Ok(loaded) => report::make(&loaded.plan, &loaded.entries),
        Err(_) if course.confirmed.is_none() => None,
        Err(e) => {
            scene.sink.notice(Level::Warning, e.one_line());
            None
        }
    };
    (course.teardown, course.open) = tidied(&scene).await;
}

/// Mends the region, and ends the run where the drill left it open. Gives what a person must do about
/// the run, too.
async fn tidied(scene: &Scene<'_>) -> (Teardown, Option<String>) {
    let place = scene.staging.app.config.path.display();
    let left = |what, e: &Error| (Teardown::Left { what, why: e.with_advice() }, None);
    let mended = scene.staging.fault.mend();
    let mended = match scene.clock.phase("heal", false, mended).await {
        Ok(mended) => mended,
        Err(e) => return left(format!("the fault in {place}, and what its run did"), &e),
    };
    let run = &scene.facts.id;
    match ending::end(scene.staging, run, &scene.sink, None).await {
        Ok(Some(end)) if end.is_open => (Teardown::Clean { removed: vec![mended] }, Some(end.said)),
        Ok(undone) => {
            let removed = [mended].into_iter().chain(undone.map(|end| end.said)).collect();
            (Teardown::Clean { removed }, None)
        }
        Err(e) => left(format!("run {run} in {place}"), &e),
    }
}

/// The fault, the run, and the while afterwards.
async fn answer(
    scene: &Scene<'_>,
    hold: Hold,
    course: &mut Course,
    wishes: &watch::Sender<Wish>,
    fault: Instant,
) -> Result<()> {
    let injected = async {
        tokio::select! {
            done = scene.staging.fault.inject(scene.drill) => done,
            // What the primary had until the very end is what the loss is measured by.
            () = async { loop { sleep(SAMPLE).await; sample(scene).await; } } => Ok(()),
        }
    };
    scene.clock.phase("fault", true, injected).await?;
    course.confirmed = Some((Utc::now(), scene.clock.now()));
    let left = scene.clock.phase("recover", true, run(scene, hold, wishes)).await?;
    let ending = left.ending;
    course.left = Some(left);
    if !matches!(ending, Some(Ending::Succeeded | Ending::SucceededWithFailures)) {
        return Ok(());
    }
    scene.clock.phase("hold", false, held(scene, wishes, fault)).await;
    Ok(())
}

async fn run(scene: &Scene<'_>, hold: Hold, wishes: &watch::Sender<Wish>) -> Result<Left> {
    let facts = RunFacts { confirmed: Utc::now(), ..scene.facts.clone() };
    let copies = scene.copies.clone();
    let opened = opening::begin(copies, scene.plan.clone(), facts, hold, Utc::now()).await?;
    scene
        .staging
        .app
        .carry_on(scene.world, opened, wishes.subscribe(), Arc::clone(&scene.sink))
        .await
}

/// Waits until clients were served for long enough, or there is no hope of it.
async fn held(scene: &Scene<'_>, wishes: &watch::Sender<Wish>, fault: Instant) {
    let hold = scene.staging.drill.hold;
    if !scene.watch.looks() {
        return;
    }
    let hopeless = (fault + scene.plan.rto.0).max(Instant::now() + SETTLING) + hold;
    while Instant::now() < hopeless && *wishes.borrow() == Wish::GoOn {
        let held = {
            let served = scene.watch.served();
            served.looks() > 0 && served.held(fault.elapsed().as_secs_f64()) >= hold.as_secs_f64()
        };
        if held {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Writes down how far each standby is; what cannot be is what the loss is then unknown by.
async fn sample(scene: &Scene<'_>) {
    let config = &scene.staging.app.config;
    for name in config.database_names() {
        let _ = sampler::sample(config, &*scene.world.control, name, Limits::each(LOOK)).await;
    }
}
