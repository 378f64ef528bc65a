//! `drctl web`.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use serde_json::json;
use tokio::sync::watch;

use super::args::Cli;
use super::carrying;
use super::render::Done;
use crate::app::{self, App, Recorded, WebParts};
use crate::config::{Config, WebConfig};
use crate::error::Result;
use crate::model::Level;
use crate::providers::notify::AlertQueue;

/// Show how the service stands as a page, and take alerts in
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl web                          at http://127.0.0.1:8440, for this machine only
  drctl web --listen 127.0.0.1:9000  elsewhere
  curl -H \"Authorization: Bearer $TOKEN\" https://dr.example.com/state.json

The page needs no JavaScript and changes nothing. [web] in the configuration says where it listens;
beyond loopback it demands a token or client certificates. Alerts that [intake.NAME] accepts open an
incident and have a failover prepared. `drctl runner` serves the same, and metrics.

Exit codes: 0 stopped by a signal; 1 the address cannot be had; 2 the configuration does not serve.")]
pub struct Web {
    /// In place of `listen` in [web]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
}

pub async fn run(cli: &Cli, args: &Web) -> Result<Done> {
    let mut app = App::load(cli.config.as_deref())?;
    if let Some(listen) = args.listen {
        let web = WebConfig { listen, ..app.config.web.clone().unwrap_or_default() };
        let mut config = Config::clone(&app.config);
        config.web = Some(web);
        app.config = Arc::new(config);
    }
    let sink = carrying::sink(cli.json);
    let (_, queue) = app.alert_queue(app::operator(), Arc::clone(&sink)).await?;
    let parts = WebParts {
        beside: Arc::new(Recorded::of(&app)),
        metrics: None,
        alerts: Arc::<AlertQueue>::clone(&queue),
        sink: Arc::clone(&sink),
    };
    for warning in &app.config.warnings {
        sink.notice(Level::Warning, warning.clone());
    }
    let serving = app.web(parts).await?;
    let url = serving.url();
    sink.notice(Level::Info, format!("serving {url}"));
    if serving.takes_alerts() {
        let names = app.config.intake_names().collect::<Vec<_>>().join(", ");
        sink.notice(Level::Info, format!("taking alerts in at {url}/intake/NAME: {names}"));
    }
    let stop = watch::Sender::new(false);
    let stopping = async {
        super::stopped().await;
        let _ = stop.send(true);
    };
    tokio::join!(serving.run(stop.subscribe()), stopping);
    queue.flush(std::time::Duration::from_secs(10)).await;
    Ok(Done::with(0, String::new(), json!({ "url": url })))
}
