//! Telling people of alerts, and programs of metrics.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;

use super::App;
use crate::error::{Error, Result};
use crate::model::{Family, Level, Sink};
use crate::providers::aws::{self, Clients};
use crate::providers::dogstatsd;
use crate::providers::notify::{AlertQueue, Alerting};
use crate::report::metrics::{self, Ended, Held, OpenAlert, Seen};
use crate::schedule::Standing;
use crate::store::lease;

/// How long a store may take to say who holds its leases.
const LOOK: Duration = Duration::from_secs(4);

impl App {
    /// Tells people of alerts; what is open is kept in the control store, where there is one. `by` is
    /// told to them.
    pub async fn alerting(&self, by: String) -> Result<Alerting> {
        let store = match self.control_store() {
            Ok(name) => Some(self.store_in_haste(name).await?),
            // Without a standby region there is one runner, which folds for itself; but a first store
            // keeps it over its death.
            Err(_) => match self.config.store_names().next() {
                Some(name) => Some(self.store_in_haste(name).await?),
                None => None,
            },
        };
        Alerting::new(Arc::clone(&self.config), store, by)
    }
}

impl App {
    /// Puts how a command ended into the textfile of the configuration, if it names one.
    pub fn keep_outcome(&self, ended: &Ended) -> Result<()> {
        match &self.config.metrics.textfile {
            Some(path) => metrics::write_textfile(path, &metrics::of_command(ended), false),
            None => Ok(()),
        }
    }

    /// Puts metrics wherever the configuration says, and gives what went wrong on the way: the
    /// textfile, CloudWatch, a DogStatsD agent. Never holds up for long.
    pub async fn publish(&self, clients: &Clients, families: &[Family]) -> Vec<Error> {
        let config = &self.config.metrics;
        let project = &self.config.project;
        let mut troubles = Vec::new();
        if let Some(path) = &config.textfile {
            troubles.extend(metrics::write_textfile(path, families, true).err());
        }
        if let Some(agent) = &config.dogstatsd {
            troubles.extend(dogstatsd::send(agent, project, families).await.err());
        }
        if let Some(namespace) = &config.cloudwatch_namespace {
            let regions = &self.config.regions;
            let region = config.cloudwatch_region.as_deref().or(regions.standby.as_deref());
            let region = region.unwrap_or(&regions.primary);
            let sent =
                aws::put_metrics(clients, region, namespace, project, families, Utc::now()).await;
            troubles.extend(sent.err().map(|failure| failure.error));
        }
        troubles
    }

    /// Where a runner hands its alerts over: told in the background, kept in the control store. What
    /// cannot be told goes to `log`.
    pub async fn alert_queue(
        &self,
        by: String,
        log: Arc<dyn Sink>,
    ) -> Result<(Arc<Alerting>, Arc<AlertQueue>)> {
        let alerting = match self.alerting(by.clone()).await {
            Ok(alerting) => alerting,
            // People are told all the same.
            Err(e) => {
                let text = "which alerts are open is kept by this process alone";
                log.notice(Level::Warning, format!("{text}: {}", e.one_line()));
                Alerting::new(Arc::clone(&self.config), None, by)?
            }
        };
        let alerting = Arc::new(alerting);
        let queue = AlertQueue::start(Arc::clone(&alerting), log);
        Ok((alerting, Arc::new(queue)))
    }

    /// The metrics of a runner, for `/metrics` and [`App::publish`].
    pub async fn measure(
        &self,
        standing: &Standing,
        alerting: &Alerting,
        now: DateTime<Utc>,
    ) -> Vec<Family> {
        let alerts = alerting.open(now).await.map(|open| {
            let line = |entry: &crate::providers::notify::Entry| OpenAlert {
                key: entry.alert.key.clone(),
                severity: entry.severity(),
                untold: entry.due.len(),
            };
            open.iter().map(line).collect()
        });
        let names: Vec<&str> = self.config.store_names().collect();
        let leases = join_all(names.into_iter().map(|name| self.held(name))).await;
        let leases: Vec<Held> = leases.into_iter().flatten().collect();
        metrics::of_schedule(Seen { standing, alerts: &alerts.into(), leases: &leases, now })
    }

    /// The leases that somebody holds in a store; none where it does not say.
    async fn held(&self, name: &str) -> Vec<Held> {
        let Ok(store) = self.store_in_haste(name).await else { return Vec::new() };
        let listed = tokio::time::timeout(LOOK, lease::list(&*store)).await;
        let listed = listed.ok().and_then(Result::ok).unwrap_or_default();
        let held =
            listed.into_iter().filter(|l| matches!(l.standing, lease::Standing::Held { .. }));
        held.map(|l| Held { name: l.name, store: name.to_owned(), holder: l.holder.to_string() })
            .collect()
    }
}
