//! What a runner is to do, from the configuration. Pure.

use std::time::Duration;

use super::due::{Turn, Unit};
use super::rpo::Watch;
use super::standing::{JobStanding, Standing};
use crate::config::Config;
use crate::model::Learned;
use chrono::{DateTime, Utc};

use super::record::Record;

/// Everything that a configuration asks of a runner.
#[derive(Debug, Clone)]
pub struct Plan {
    pub project: String,
    pub units: Vec<Unit>,
    pub watches: Vec<Watch>,
    /// Databases whose replication is sampled, and how often.
    pub sampled: Vec<String>,
    pub sample_every: Option<Duration>,
    pub max_parallel: usize,
}

impl Plan {
    pub fn of(config: &Config) -> Self {
        let (rpo, share) = (config.objectives.rpo, config.runner.rpo_alert);
        let mut watches = Vec::new();
        let mut sampled = Vec::new();
        // One whose url has no value here is somebody else's to run, and to watch.
        for database in config.database_names().filter_map(|name| config.database(name).ok()) {
            for name in &database.stores {
                let region = config.store(name).map(|s| s.region.clone()).unwrap_or_default();
                watches.push(Watch::new(&database.name, name, &region, rpo, share));
            }
            if database.servers.len() > 1 {
                sampled.push(database.name.clone());
            }
        }
        Self {
            project: config.project.clone(),
            units: Unit::all(&config.jobs),
            watches,
            sampled,
            sample_every: config.runner.sample_every,
            max_parallel: config.runner.max_parallel,
        }
    }

    /// The standing of jobs of which so much is known, with the turn that is due.
    pub fn jobs<'a>(
        units: impl IntoIterator<Item = (&'a Unit, Learned<&'a Record>, Option<Turn>)>,
        now: DateTime<Utc>,
    ) -> Vec<JobStanding> {
        let standing = |(unit, record, due): (&Unit, Learned<&Record>, Option<Turn>)| {
            let state = match record {
                Learned::Known(record) => Learned::Known(record.state()),
                Learned::Unknown(why) => Learned::Unknown(why),
            };
            JobStanding {
                job: unit.job.name.clone(),
                run: unit.job.run,
                database: unit.database.clone(),
                on: unit.job.on.text(),
                state,
                due: due.map(|turn| turn.at),
                next: unit.next(now),
            }
        };
        units.into_iter().map(standing).collect()
    }

    /// A standing of which nothing has been learned yet.
    pub fn blank(&self, now: DateTime<Utc>) -> Standing {
        let unknown = || Learned::Unknown("it has not been asked for yet".to_owned());
        Standing {
            at: now,
            project: self.project.clone(),
            jobs: Self::jobs(self.units.iter().map(|u| (u, unknown(), None)), now),
            rpo: self.watches.iter().map(|w| w.standing(Duration::ZERO, now)).collect(),
            replicas: Vec::new(),
            runners: Learned::Unknown("nobody was asked yet".to_owned()),
        }
    }
}
