//! One sample of a database's replication: every server is looked at, and what was seen is kept.

use futures_util::future::join_all;

use super::samples::{self, Sample};
use super::server::Server;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::postgres::replication::{Limits, Role};
use crate::store::ObjectStore;

/// Looks at every server of `database` at once and keeps a sample in `store`. An error where no
/// server could be asked, or the sample could not be kept.
pub async fn sample(
    config: &Config,
    store: &dyn ObjectStore,
    database: &str,
    limits: Limits,
) -> Result<Sample> {
    let regions = config.database(database)?.servers.keys();
    let servers: Vec<Server> =
        regions.map(|region| Server::find(config, database, region)).collect::<Result<_>>()?;
    let looks = join_all(servers.iter().map(|server| server.look(limits))).await;
    let role = |role| looks.iter().filter_map(|l| l.as_ref().ok()).find(|seen| seen.role == role);
    let Some(sample) = Sample::of(role(Role::Primary), role(Role::Standby)) else {
        let why = looks.into_iter().filter_map(Result::err).map(|e| e.one_line());
        let why = why.collect::<Vec<_>>().join("; ");
        let what = format!("sample the replication of `{database}`: no server could be asked");
        return Err(Error::new(Kind::Postgres, what).caused_by(why));
    };
    samples::append_within(limits.queries, store, database, &sample).await?;
    Ok(sample)
}
