//! The regions in which a failover is drilled, and what makes sure that they are not production's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{App, ending};
use crate::config::{Config, FailoverDrillConfig, Redaction};
use crate::drill::{self, Regions};
use crate::error::{Error, Kind, Result};
use crate::providers::aws::{self, GLOBAL};
use crate::providers::command::Fault;
use crate::providers::{Mode, Standing};
use crate::runbook::plan::Plan;
use crate::runbook::{self, Circumstances, plan};

/// How long AWS may take to say who somebody is.
const ASKING: Duration = Duration::from_secs(5);

/// The regions of a drill.
pub(super) struct Staging {
    pub app: App,
    pub drill: FailoverDrillConfig,
    pub fault: Arc<Fault>,
    pub is_lab: bool,
}

impl App {
    /// The staging regions of `[drill.failover]`, or those of the lab in a folder.
    pub(super) fn staging(&self, lab: Option<&Path>) -> Result<Staging> {
        let path = match lab {
            Some(folder) => folder.join("drctl.toml"),
            None => {
                let section = self.failover_drills()?;
                section.config.clone().ok_or_else(|| {
                    Error::new(
                        Kind::Usage,
                        "[drill.failover] names no `config`: production itself would be failed over",
                    )
                    .hint("name the configuration of staging; a lab is drilled with `--lab`")
                })?
            }
        };
        let file = path.canonicalize().map_err(|e| {
            let hint = match lab {
                Some(_) => "`scripts/lab up` starts a lab; `--lab FOLDER` names the folder of one",
                None => {
                    "`config` in [drill.failover] names it; it starts at the folder of the file"
                }
            };
            let what =
                format!("read the configuration of the regions of the drill, `{}`", path.display());
            Error::new(Kind::Usage, what).caused_by(e).hint(hint)
        })?;
        let is_own = self.config.path.canonicalize().is_ok_and(|own| own == file);
        if is_own && lab.is_none() {
            return Err(Error::new(
                Kind::Usage,
                "`config` in [drill.failover] is the configuration of production itself",
            )
            .hint("nothing was begun; give staging a configuration of its own"));
        }
        let app = ending::load(&file)?;
        let drill = match lab {
            Some(_) => app.config.drill.failover.clone().ok_or_else(|| {
                Error::new(
                    Kind::Usage,
                    format!("there is no [drill.failover] in {}", file.display()),
                )
                .hint("start the lab again, with the version of drctl that is here")
            })?,
            None => self.failover_drills()?.clone(),
        };
        let fault = Arc::new(app.fault(&drill, file));
        Ok(Staging { app, drill, fault, is_lab: lab.is_some() })
    }

    fn failover_drills(&self) -> Result<&FailoverDrillConfig> {
        self.config.drill.failover.as_ref().ok_or_else(|| {
            let what = format!("there is no [drill.failover] in {}", self.config.path.display());
            Error::new(Kind::Usage, what).hint(
                "it names the configuration of staging, and what breaks and mends its region \
                 (docs/drills.md); a lab is drilled with `--lab`",
            )
        })
    }

    /// What mends the regions that drills of this configuration broke.
    pub(super) fn mending(&self) -> Option<Arc<dyn drill::Mending>> {
        let section = self.config.drill.failover.as_ref()?;
        let path = section.config.as_ref().unwrap_or(&self.config.path).canonicalize().ok()?;
        Some(Arc::new(ending::Regions {
            production: self.clone(),
            drill: section.clone(),
            fault: Arc::new(self.fault(section, path)),
            is_lab: section.config.is_none(),
        }))
    }

    fn fault(&self, section: &FailoverDrillConfig, config: PathBuf) -> Fault {
        Fault {
            fault: section.fault.clone(),
            heal: section.heal.clone(),
            dir: section.dir.clone(),
            limit: section.timeout,
            config,
            redaction: Redaction::of(&self.config),
        }
    }
}

impl Staging {
    /// The plan of the run, from the region that is the primary by configuration.
    pub fn plan(&self, named: Option<&str>, run: &str, reason: &str) -> Result<Plan> {
        let config = &self.app.config;
        let name = named.or(self.drill.runbook.as_deref()).unwrap_or(&config.failover.runbook);
        let circumstances = circumstances(config, run, Some(reason));
        let book = runbook::load(config, name, &circumstances)?;
        let wished = if self.drill.graceful { Mode::Graceful } else { Mode::Forced };
        let mode = if self.drill.graceful { wished } else { book.mode.unwrap_or(wished) };
        plan::make(&book, config, mode, &circumstances)
    }

    /// Refuses regions that have anything in common with production. Gives what could not be
    /// compared.
    pub async fn isolated(&self, production: &App, plan: &Plan) -> Result<Vec<String>> {
        let ours = &self.app.config;
        if self.is_lab {
            drill::on_this_machine(ours).await?;
            // Where the lab is all that there is, there is nothing to compare it with.
            if production.config.path.canonicalize().ok() == ours.path.canonicalize().ok() {
                return Ok(Vec::new());
            }
        }
        let mut resources = BTreeSet::new();
        named_by(plan, &mut resources);
        resources.extend(self.drill.url.clone());
        let (known, mut uncompared) = known(&production.config);
        let (staging, real) = (
            Regions { config: ours, resources },
            Regions { config: &production.config, resources: known },
        );
        uncompared.extend(drill::apart(&staging, &real).await?);
        if !self.is_lab {
            drill::meant_for_drills(ours, &plan.from).await?;
        }
        uncompared.extend(one_person(ours, &production.config).await?);
        Ok(uncompared)
    }
}

fn circumstances(config: &Config, run: &str, reason: Option<&str>) -> Circumstances {
    Circumstances {
        active: config.regions.primary.clone(),
        run: run.to_owned(),
        reason: reason.map(str::to_owned),
    }
}

/// What no two accounts have in common, of what a plan names.
fn named_by(plan: &Plan, names: &mut BTreeSet<String>) {
    for step in &plan.steps {
        // Only this one is a zone of the account's own; those of load balancers are the region's.
        names.extend(step.with.0.get("zone").and_then(Value::as_str).map(str::to_owned));
        step.with.0.values().for_each(|value| addresses(value, names));
    }
}

fn addresses(value: &Value, names: &mut BTreeSet<String>) {
    const UNIQUE: [&str; 4] = ["arn:", "s3://", "http://", "https://"];
    match value {
        Value::String(text) if UNIQUE.iter().any(|start| text.starts_with(start)) => {
            names.insert(text.clone());
        }
        Value::Array(all) => all.iter().for_each(|value| addresses(value, names)),
        Value::Object(all) => all.values().for_each(|value| addresses(value, names)),
        _ => {}
    }
}

/// Everything that production's runbooks name, and those that could not be looked at.
fn known(config: &Config) -> (BTreeSet<String>, Vec<String>) {
    let (mut names, mut unknown) = (BTreeSet::new(), Vec::new());
    // A variable may be of use in a runbook that is not there today.
    names.extend(config.vars.values().flat_map(texts));
    let circumstances = circumstances(config, "r00000000T000000Z-000000", None);
    let books = runbook::names(config).unwrap_or_else(|e| {
        unknown.push(format!("production's runbooks: {}", e.one_line()));
        Vec::new()
    });
    for name in books {
        let plan = runbook::load(config, &name, &circumstances)
            .and_then(|book| plan::make(&book, config, book.usual_mode(), &circumstances));
        match plan {
            Ok(plan) => named_by(&plan, &mut names),
            Err(e) => unknown.push(format!("production's runbook `{name}`: {}", e.one_line())),
        }
    }
    (names, unknown)
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(all) => all.iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// Refuses regions that AWS knows by the same person as production's: two profiles may hold one key.
async fn one_person(ours: &Arc<Config>, theirs: &Arc<Config>) -> Result<Vec<String>> {
    let mut unknown = Vec::new();
    for region in [Some(&ours.regions.primary), ours.regions.standby.as_ref()].into_iter().flatten()
    {
        let (here, there) = (ours.aws(region)?, theirs.aws(region));
        // An endpoint of its own is another AWS, with accounts of its own.
        if region == GLOBAL || there.as_ref().map_or(true, |there| there.endpoint != here.endpoint)
        {
            continue;
        }
        let who = async |config: &Arc<Config>| {
            let clients = aws::Clients::new(Arc::clone(config));
            let asked = aws::identity(&clients, region, Duration::ZERO);
            let checks = tokio::time::timeout(ASKING, asked).await.ok()?;
            checks.into_iter().rfind(|check| check.standing == Standing::Ready).map(|c| c.found)
        };
        match tokio::join!(who(ours), who(theirs)) {
            (Some(here), Some(there)) if here == there => {
                return Err(Error::new(
                    Kind::Usage,
                    format!(
                        "a failover must not be drilled in {region} of {}",
                        ours.path.display()
                    ),
                )
                .caused_by(format!("AWS knows drctl there by who it is in production: {here}"))
                .hint("nothing was begun; give staging credentials of an account of its own"));
            }
            (Some(_), Some(_)) => {}
            _ => unknown.push(format!("who drctl is to AWS in {region}, there and in production")),
        }
    }
    Ok(unknown)
}
