//! What the page and the intake are made from.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::sync::watch;

use super::{App, holder, state_folder};
use crate::error::{Attempt as _, Kind, Result};
use crate::model::{AlertSink, Learned, Sink};
use crate::report;
use crate::report::status::Sources;
use crate::runbook::journal;
use crate::schedule::Standing;
use crate::store::keys;
use crate::web::intake::{Intake, Starter};
use crate::web::{Access, Beside, Limits, Looker, Metrics, Reports, Server, Site, router};

/// How long each server and each store may take when the page looks.
const LOOK: Duration = Duration::from_secs(4);

/// What only the caller knows.
pub struct WebParts {
    pub beside: Arc<dyn Beside>,
    /// None: nobody here measures.
    pub metrics: Option<Metrics>,
    pub alerts: Arc<dyn AlertSink>,
    pub sink: Arc<dyn Sink>,
}

/// A bound address, ready to be served.
pub struct Serving {
    server: Server,
    site: Arc<Site>,
}

impl App {
    /// Where `drctl status` and the page ask.
    pub async fn sources(&self, limit: Duration) -> Result<Sources> {
        let opened = self.config.store_names().map(async |name| {
            let store = self.store_in_haste(name).await;
            (name.to_owned(), store)
        });
        let stores = join_all(opened).await;
        let control = match self.control_store() {
            Err(e) => Err(e),
            Ok(name) => match stores.iter().find(|(n, _)| n == name) {
                Some((_, Ok(store))) => Ok(Arc::clone(store)),
                _ => self.store_in_haste(name).await,
            },
        };
        let (config, keys) = (Arc::clone(&self.config), self.keys()?);
        Ok(Sources { config, keys, stores, control, limit })
    }

    /// Binds the address of [web]. `Kind::Usage` where everybody could read it.
    pub async fn web(&self, parts: WebParts) -> Result<Serving> {
        let config = self.config.web.clone().unwrap_or_default();
        let access = Access::new(&config)?;
        let server = Server::bind(&config, Limits::default()).await?;
        let again = self.same();
        let sources = Box::new(move || {
            let app = again.same();
            async move { app.sources(LOOK).await }.boxed()
        });
        let looker = Looker::new(sources, parts.beside, Utc::now);
        let url = match (&config.public_url, server.address()) {
            (Some(url), _) => url.clone(),
            (None, Some(address)) => format!("{}://{address}", server.scheme()),
            (None, None) => String::new(),
        };
        let intake = match self.config.intake_names().next() {
            None => None,
            Some(_) => {
                let world = Arc::new(self.world().await.map_err(|e| e.during("take in alerts"))?);
                let starter = Arc::new(OwnProgram { app: self.same() });
                let by = holder("").host;
                Some(Arc::new(Intake::new(world, parts.alerts, starter, parts.sink, by, url)))
            }
        };
        let site = Site { access, looker, reports: self.reports(), metrics: parts.metrics, intake };
        Ok(Serving { server, site: Arc::new(site) })
    }

    pub(super) fn same(&self) -> Self {
        Self { config: Arc::clone(&self.config) }
    }

    fn reports(&self) -> Reports {
        let app = Arc::new(self.same());
        Box::new(move |id| {
            let app = Arc::clone(&app);
            async move {
                if !keys::is_plain_name(&id) {
                    return Ok(None);
                }
                let copies = app.journals().await?;
                let id = journal::resolve(&copies, &id).await?;
                let loaded = journal::load(&copies, &id).await?;
                Ok(report::make(&loaded.plan, &loaded.entries))
            }
            .boxed()
        })
    }
}

impl Serving {
    /// "http://127.0.0.1:8440".
    pub fn url(&self) -> String {
        match self.server.address() {
            Some(address) => format!("{}://{address}", self.server.scheme()),
            None => "an address that is not known".to_owned(),
        }
    }

    pub fn takes_alerts(&self) -> bool {
        self.site.intake.is_some()
    }

    /// Serves, and watches open incidents, until `stop` says true.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let Self { server, site } = self;
        let intake = site.intake.clone();
        let watching = async {
            if let Some(intake) = intake {
                intake.watch(stop.clone()).await;
            }
        };
        tokio::join!(server.serve(router(site), stop.clone()), watching);
    }
}

/// Begins failovers as a person would: by running drctl.
struct OwnProgram {
    app: App,
}

#[async_trait]
impl Starter for OwnProgram {
    async fn start(&self, incident: &str, args: &[String]) -> Result<()> {
        let what = || format!("begin the failover of incident {incident}");
        let program = std::env::current_exe().attempt(Kind::Failed, what)?;
        let folder = state_folder(&|name| std::env::var_os(name).map(PathBuf::from))?;
        let folder = folder.join(&self.app.config.project);
        std::fs::create_dir_all(&folder).attempt(Kind::Failed, what)?;
        // What it does is in its journal; what it says is kept for whoever looks why it did not.
        let path = folder.join(format!("incident-{incident}.log"));
        let log = std::fs::File::create(&path).attempt(Kind::Failed, what)?;
        let also = log.try_clone().attempt(Kind::Failed, what)?;
        tokio::process::Command::new(program)
            .arg("--config")
            .arg(&self.app.config.path)
            .args(args)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(also)
            // What ends this process must not end a failover.
            .process_group(0)
            .spawn()
            .map(drop)
            .attempt(Kind::Failed, what)
            .map_err(|e| e.hint("begin it by hand: the command is in the incident"))
    }
}

/// Jobs as runners recorded them in the stores, for a process that runs none itself.
pub struct Recorded(App);

impl Recorded {
    pub fn of(app: &App) -> Self {
        Self(app.same())
    }
}

#[async_trait]
impl Beside for Recorded {
    async fn schedule(&self, _: &Sources) -> Learned<Standing> {
        self.0.standing(Utc::now()).await.into()
    }
}
