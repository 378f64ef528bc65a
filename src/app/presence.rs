//! What a runner tells and shows besides its log: alerts to people, metrics to programs, the page.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use futures_util::FutureExt as _;
use tokio::sync::watch;

use super::App;
use super::serving::{Serving, WebParts};
use crate::error::Result;
use crate::model::{AlertSink, Family, Learned, Level, Sink};
use crate::providers::aws::Clients;
use crate::providers::notify::{AlertQueue, Alerting};
use crate::report::metrics;
use crate::report::status::Sources;
use crate::schedule::Standing;
use crate::web::Beside;

/// How long a runner that stops waits until people have been told.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Everything that stands beside a runner's loop.
pub struct Presence {
    app: Arc<App>,
    alerting: Arc<Alerting>,
    queue: Arc<AlertQueue>,
    log: Arc<dyn Sink>,
    serving: Option<Serving>,
    shown: watch::Receiver<Arc<Standing>>,
}

impl App {
    /// Binds the address of [web], if there is one, and gets ready to tell of alerts and metrics.
    /// `runner` is told to people; what goes wrong is told to `log`.
    pub async fn presence(
        &self,
        runner: String,
        shown: watch::Receiver<Arc<Standing>>,
        log: Arc<dyn Sink>,
        once: bool,
    ) -> Result<Presence> {
        let app = Arc::new(self.same());
        let (alerting, queue) = self.alert_queue(runner, Arc::clone(&log)).await?;
        let serving = match self.config.web.is_some() && !once {
            false => None,
            true => {
                let measured = Measured {
                    app: Arc::clone(&app),
                    alerting: Arc::clone(&alerting),
                    shown: shown.clone(),
                };
                let measured = Arc::new(measured);
                let text = Box::new(move || {
                    let measured = Arc::clone(&measured);
                    async move { exposition(&measured.families().await) }.boxed()
                });
                let alerts: Arc<dyn AlertSink> = Arc::<AlertQueue>::clone(&queue);
                let parts = WebParts {
                    beside: Arc::new(OfRunner(shown.clone())),
                    metrics: Some(text),
                    alerts,
                    sink: Arc::clone(&log),
                };
                let serving = self.web(parts).await?;
                log.notice(Level::Info, format!("serving {}", serving.url()));
                Some(serving)
            }
        };
        Ok(Presence { app, alerting, queue, log, serving, shown })
    }
}

impl Presence {
    /// Where the runner hands its alerts over.
    pub fn alerts(&self) -> Arc<dyn AlertSink> {
        Arc::<AlertQueue>::clone(&self.queue)
    }

    /// Serves the page and publishes metrics until `stop` says true; publishes once more then, and
    /// waits a while until people have been told.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let Self { app, alerting, queue, log, serving, shown } = self;
        let serving = async {
            if let Some(serving) = serving {
                serving.run(stop.clone()).await;
            }
        };
        let measured = Measured { app, alerting, shown };
        let publishing = measured.publish(stop.clone(), &*log);
        tokio::join!(serving, publishing);
        queue.flush(LAST_WORDS).await;
    }
}

struct Measured {
    app: Arc<App>,
    alerting: Arc<Alerting>,
    shown: watch::Receiver<Arc<Standing>>,
}

impl Measured {
    async fn families(&self) -> Vec<Family> {
        let standing = Arc::clone(&self.shown.borrow());
        self.app.measure(&standing, &self.alerting, Utc::now()).await
    }

    async fn publish(&self, mut stop: watch::Receiver<bool>, log: &dyn Sink) {
        let config = &self.app.config.metrics;
        if config.textfile.is_none()
            && config.dogstatsd.is_none()
            && config.cloudwatch_namespace.is_none()
        {
            return;
        }
        let clients = Clients::new(Arc::clone(&self.app.config));
        let mut told = Vec::new();
        loop {
            let stopped = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => true,
                () = tokio::time::sleep(config.every) => false,
            };
            let troubles = self.app.publish(&clients, &self.families().await).await;
            let troubles: Vec<_> = troubles.iter().map(|e| e.one_line()).collect();
            // The same trouble every minute is one trouble.
            for trouble in troubles.iter().filter(|t| !told.contains(*t)) {
                log.notice(Level::Warning, format!("publish metrics: {trouble}"));
            }
            told = troubles;
            if stopped {
                return;
            }
        }
    }
}

/// Names and units are the program's own, so this cannot fail but for a bug, which readers then see.
fn exposition(families: &[Family]) -> String {
    metrics::openmetrics(families).unwrap_or_else(|e| format!("# {}\n# EOF\n", e.one_line()))
}

struct OfRunner(watch::Receiver<Arc<Standing>>);

#[async_trait]
impl Beside for OfRunner {
    async fn schedule(&self, _: &Sources) -> Learned<Standing> {
        Learned::Known(Standing::clone(&self.0.borrow()))
    }
}
