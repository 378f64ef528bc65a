//! A database of the drill's own on a staging server.

use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::model::DrillId;
use crate::postgres::{Conninfo, Session, connect, quote};
use crate::restore;

/// The application name of the sessions that make and drop.
const APPLICATION: &str = "drctl drill";
/// How often sessions are told to end before that is given up, and how long they are given each time.
const ASKED_TO_END: u32 = 150;
const BETWEEN: Duration = Duration::from_millis(100);

/// The name of a drill's database: no other may have one like it.
pub fn name(id: &DrillId) -> String {
    format!("drctl_drill_{}", id.as_str().to_lowercase().replace('-', "_"))
}

/// A session beside the databases of drills.
pub async fn beside(target: &Conninfo) -> Result<Session> {
    // The one that the target names may be the only one that its role may use.
    let mut last = None;
    for database in [target.database(), "postgres", "template1"] {
        match connect(&target.with_database(database), APPLICATION).await {
            Ok(session) => return Ok(session),
            Err(e) => last = last.or(Some(e)),
        }
    }
    Err(last.unwrap_or_else(|| Error::new(Kind::Bug, "no database was tried")))
}

/// Drops a drill's database, finished or not, and the roles that were made for it. Gives what was
/// removed, and what was left and why.
pub async fn clear(
    target: &Conninfo,
    id: &DrillId,
    roles: &[String],
) -> Result<(Vec<String>, Vec<String>)> {
    let session = beside(target).await?;
    let (mut removed, mut left) = (Vec::new(), Vec::new());
    // Made from the drill's id alone, so that no record can name another database.
    let names = [name(id), restore::unfinished(&name(id))];
    end_sessions(&session, &names).await?;
    for name in names {
        let there = format!(
            "SELECT 1 FROM pg_catalog.pg_database WHERE datname = {}",
            quote::literal(&name)
        );
        if session.rows(&there).await?.is_empty() {
            continue;
        }
        let sql = format!("DROP DATABASE {} WITH (FORCE)", quote::ident(&name));
        session.simple(&sql).await.map_err(|e| e.during(format!("drop the database `{name}`")))?;
        removed.push(format!("database {name}"));
    }
    for role in roles {
        // One that somebody logs in with is no stub; one that owns something is refused by the server.
        let sql = format!(
            "SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = {} AND NOT rolcanlogin AND NOT rolsuper",
            quote::literal(role)
        );
        if session.rows(&sql).await?.is_empty() {
            continue;
        }
        match session.simple(&format!("DROP ROLE {}", quote::ident(role))).await {
            Ok(()) => removed.push(format!("role {role}")),
            Err(e) => left.push(format!("role {role}: {}", e.one_line())),
        }
    }
    session.close().await;
    Ok((removed, left))
}

/// Ends every session of this role that is in one of these databases or at work on one. A server carries
/// out the statement of a client that was killed: it would make, rename or drop a database behind the
/// back of whoever clears it away.
async fn end_sessions(session: &Session, names: &[String; 2]) -> Result<()> {
    let [whole, unfinished] = names.each_ref().map(|name| quote::literal(name));
    // The unfinished one's name begins with the other's. Of sessions of other roles the server hides
    // the statement (pg_stat_activity); those are not the drill's.
    let sql = format!(
        "SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(pid))
           FROM pg_catalog.pg_stat_activity
          WHERE pid <> pg_catalog.pg_backend_pid() AND usename = current_user
            AND (datname IN ({whole}, {unfinished})
                 OR (state <> 'idle' AND pg_catalog.strpos(query, {whole}) > 0))"
    );
    for _ in 0..ASKED_TO_END {
        if session.row(&sql).await?.number::<u64>(0)? == 0 {
            return Ok(());
        }
        tokio::time::sleep(BETWEEN).await;
    }
    let what = format!("end the sessions that are at work on the database {whole}");
    let seconds = (BETWEEN * ASKED_TO_END).as_secs();
    Err(Error::new(Kind::Postgres, what)
        .caused_by(format!("after {seconds} s one is still there"))
        .hint("`SELECT * FROM pg_stat_activity` on the staging server shows what holds it up"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_whole_with_the_ending_of_a_restore() {
        let name = name(&"d20261122T134512Z-3f9a1c".parse().unwrap());
        assert_eq!(name, "drctl_drill_d20261122t134512z_3f9a1c");
        let unfinished = restore::unfinished(&name);
        assert!(unfinished.starts_with(&name) && unfinished.len() <= 63);
    }
}
