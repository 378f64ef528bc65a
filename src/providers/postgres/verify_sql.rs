//! `verify.sql`: the operator's own questions, asked of the database where it is now.

use schemars::JsonSchema;
use serde::Deserialize;

use super::assertion::{self, Assertion};
use super::server::{Server, harmless, limits, unreached};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::postgres::replication::reach;
use crate::providers::counting::counted;
use crate::providers::{
    Action, Applied, Check, Context, Description, Failure, Observed, Plane, Standing, references,
};

/// Arguments of `verify.sql`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The database's name in the configuration.
    pub database: String,
    /// The region of the server to ask.
    #[serde(rename = "in")]
    pub region: String,
    /// Another database of that server, such as a restored copy: a name, or `${steps.ID.FACT}`.
    pub name: Option<String>,
    /// The questions, with the answers that must come.
    pub checks: Vec<Assertion>,
}

pub struct VerifySql {
    server: Server,
    name: Option<String>,
    checks: Vec<Assertion>,
}

impl VerifySql {
    pub fn new(with: With, config: &Config) -> Result<Self> {
        let flaws: Vec<String> = with.checks.iter().filter_map(Assertion::flaw).collect();
        if !flaws.is_empty() || with.checks.is_empty() {
            let why =
                if flaws.is_empty() { "`checks` is empty".to_owned() } else { flaws.join("; ") };
            return Err(
                Error::new(Kind::Usage, "read the arguments of `verify.sql`").caused_by(why)
            );
        }
        let server = Server::find(config, &with.database, &with.region)?;
        Ok(Self { server, name: with.name, checks: with.checks })
    }

    async fn ask(&self, cx: &Context<'_>) -> Result<Vec<String>, Failure> {
        let mut info = self.server.conninfo().map_err(Failure::permanent)?;
        if let Some(name) = &self.name {
            let name = references::text(name, cx.facts).map_err(Failure::permanent)?;
            info = info.with_database(&name);
        }
        let session = reach(&info, "drctl run", limits(cx).connect).await.map_err(harmless)?;
        assertion::ask(&session, &self.checks, cx.left().mul_f32(0.8)).await.map_err(harmless)
    }
}

impl Action for VerifySql {
    fn describe(&self) -> Description {
        let place = match &self.name {
            Some(name) => format!("database {name} in {}", self.server.region),
            None => self.server.label(),
        };
        let mut description =
            Description::looks(format!("ask {place} {}", counted(self.checks.len(), "question")))
                .leans_on(
                    &self.server.region,
                    Plane::Data,
                    format!("the server of `{}`", self.server.database),
                );
        for check in &self.checks {
            description = description.detail(check.label());
        }
        description
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        let what = format!("questions to {}", self.server.label());
        if self.name.as_deref().is_some_and(references::is_open) {
            let found = "the database comes about in the run";
            return vec![Check::new(Standing::Unproven, what, found)];
        }
        match self.ask(cx).await {
            Ok(wrong) if wrong.is_empty() => {
                vec![Check::new(Standing::Ready, what, "every answer is right now")]
            }
            // After the run they must be right; before it they may not be yet.
            Ok(wrong) => vec![Check::new(Standing::Warning, what, wrong.join("; "))],
            Err(failure) => vec![unreached(what, &failure.error)],
        }
    }

    async fn observe(&self, _: &Context<'_>) -> Result<Observed, Failure> {
        Ok(Observed::NotDone("it is asked anew each time".to_owned()))
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        cx.waits_for(format!("the answers of {}", self.server.label()));
        let wrong = self.ask(cx).await?;
        if wrong.is_empty() {
            let summary = match self.checks.len() {
                1 => "the answer is right".to_owned(),
                all => format!("all {all} answers are right"),
            };
            return Ok(Applied::new(summary).fact("checks", self.checks.len()));
        }
        let what = format!(
            "{} of {} answers of {} are wrong: {}",
            wrong.len(),
            self.checks.len(),
            self.server.label(),
            wrong.join("; ")
        );
        Err(Failure::permanent(Error::new(Kind::Failed, what)))
    }
}
