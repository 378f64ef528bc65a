//! Where a drill restores to, and the ports by which it reaches what it does not do itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::lent::Lender;
use crate::config::AppConfig;
use crate::error::{Error, Kind, Result};
use crate::model::Sink;
use crate::postgres::Conninfo;

/// The kind of place that a drill is to use.
#[derive(Debug, Clone)]
pub enum Ground {
    /// A server of drctl's own.
    Embedded {
        /// The folder that holds its folder.
        place: Option<PathBuf>,
        user: String,
        pg_bin: Option<PathBuf>,
    },
    /// A database on the server of a target.
    Server { target: String },
    /// A server that a provider makes for the drill, by the name of its lender.
    Lent { lender: String },
}

/// Starts an application and asks whether it serves.
#[async_trait]
pub trait Applications: Send + Sync {
    /// Starts it with `env` besides its own variables, asks until it serves or its time is over, and
    /// ends it with all that it started. Gives what it answered.
    async fn serve_once(&self, app: &AppConfig, env: &BTreeMap<String, String>) -> Result<String>;
}

/// Mends the regions that a failover drill broke.
#[async_trait]
pub trait Mending: Send + Sync {
    /// The configuration of those regions.
    fn config(&self) -> &Path;

    /// `Kind::LeaseHeld` while somebody carries out a run there: what they do must not be disturbed.
    async fn idle(&self) -> Result<()>;

    /// Mends them, again too. Gives what was mended.
    async fn mend(&self) -> Result<String>;

    /// Undoes and ends the run of a drill, if it began and has not ended. An error: not all that it
    /// did is undone, and it is to be tried again.
    async fn end_run(&self, run: &str, sink: &Arc<dyn Sink>) -> Result<Option<RunEnd>>;
}

/// How the run of a drill was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnd {
    /// There is no way back, and a person must carry it to its end.
    pub is_open: bool,
    /// What was undone, or what is to be done, in words.
    pub said: String,
}

/// What the configuration knows of places.
#[derive(Clone, Default)]
pub struct Grounds {
    pub targets: BTreeMap<String, Conninfo>,
    /// Who makes servers for drills, by the name in `[drill.rds.NAME]`.
    pub lenders: BTreeMap<String, Arc<dyn Lender>>,
    /// None: no failover is drilled by this configuration.
    pub regions: Option<Arc<dyn Mending>>,
}

impl Grounds {
    /// What mends the regions of `config`. What a record says is never run: whoever may write to a
    /// store could have it run anything.
    pub(super) fn mending(&self, config: &Path) -> Result<&dyn Mending> {
        self.regions.as_deref().filter(|regions| regions.config() == config).ok_or_else(|| {
            Error::new(
                Kind::Failed,
                format!("nothing here mends the regions of {}", config.display()),
            )
            .hint("the next failover drill of these regions does; or run its `heal` by hand")
        })
    }

    /// The lender of that name.
    pub fn lender(&self, name: &str) -> Result<&dyn Lender> {
        self.lenders.get(name).map(|lender| &**lender).ok_or_else(|| {
            Error::new(Kind::Usage, format!("there is no [drill.rds.{name}]"))
                .hint("`drctl drill restore --into` takes the name of one, or of a target")
        })
    }

    /// Whoever can take a server of that lender back: it, or another in the same region, since the
    /// configuration may have changed meanwhile.
    pub(super) fn lender_in(&self, name: &str, region: &str) -> Result<&dyn Lender> {
        let own = self.lenders.get(name).filter(|lender| lender.region() == region);
        let any = || self.lenders.values().find(|lender| lender.region() == region);
        own.or_else(any).map(|lender| &**lender).ok_or_else(|| {
            let what = format!("the configuration has no [drill.rds.NAME] in {region}");
            Error::new(Kind::Failed, what).hint(format!(
                "give [drill.rds.{name}] back to it, with `region = \"{region}\"`, and run the \
                 command again; or delete the instance by hand"
            ))
        })
    }

    pub fn target(&self, name: &str) -> Result<&Conninfo> {
        self.targets.get(name).ok_or_else(|| {
            Error::new(Kind::Usage, format!("target `{name}` is not to be had here"))
                .hint(format!("add [target.{name}], or give the secret that it needs"))
        })
    }
}
