//! Alerts on their way: handed over at once, told in the background, in batches.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use tokio::sync::{mpsc, oneshot};

use super::alerting::{Alerting, Told};
use crate::model::{Alert, AlertSink, Level, Sink};

/// How often reminders and what did not get through are seen to.
const TEND: Duration = Duration::from_secs(15);

/// Takes alerts and tells of them by a task of its own, which ends with this.
pub struct AlertQueue {
    sender: mpsc::UnboundedSender<Wanted>,
}

enum Wanted {
    Alert(Box<Alert>),
    /// Answered once everything before it was told, or could not be.
    Flush(oneshot::Sender<()>),
}

impl AlertQueue {
    /// Begins. What could not be told goes to `log` as a warning.
    pub fn start(alerting: Arc<Alerting>, log: Arc<dyn Sink>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(run(alerting, receiver, log));
        Self { sender }
    }

    /// Waits until everything handed over before is told or could not be, but not for longer.
    pub async fn flush(&self, limit: Duration) {
        let (done, waiting) = oneshot::channel();
        if self.sender.send(Wanted::Flush(done)).is_ok() {
            let _ = tokio::time::timeout(limit, waiting).await;
        }
    }
}

#[async_trait]
impl AlertSink for AlertQueue {
    async fn alert(&self, alert: Alert) {
        // The task lives as long as this.
        let _ = self.sender.send(Wanted::Alert(Box::new(alert)));
    }
}

async fn run(
    alerting: Arc<Alerting>,
    mut receiver: mpsc::UnboundedReceiver<Wanted>,
    log: Arc<dyn Sink>,
) {
    let mut ticks = tokio::time::interval(TEND);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            wanted = receiver.recv() => {
                let Some(first) = wanted else { return };
                let (mut alerts, mut waiting) = (Vec::new(), Vec::new());
                let mut sort = |wanted| match wanted {
                    Wanted::Alert(alert) => alerts.push(*alert),
                    Wanted::Flush(done) => waiting.push(done),
                };
                sort(first);
                while let Ok(next) = receiver.try_recv() {
                    sort(next);
                }
                say(&*log, alerting.handle(&alerts, Utc::now()).await);
                for done in waiting {
                    let _ = done.send(());
                }
            }
            _ = ticks.tick() => say(&*log, alerting.tend(Utc::now()).await),
        }
    }
}

fn say(log: &dyn Sink, told: Told) {
    for (key, channel, why) in told.untold {
        log.notice(Level::Warning, format!("alert {key} was not told to `{channel}`: {why}"));
    }
    for (key, channel) in told.told {
        log.notice(Level::Info, format!("told `{channel}` of {key}"));
    }
    if let Some(why) = told.unkept {
        let text = "which alerts are open could not be kept, so another runner may tell them too";
        log.notice(Level::Warning, format!("{text}: {why}"));
    }
}
