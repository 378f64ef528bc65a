//! Roles that the snapshot names and the target does not have, and what it takes to make them owners.
//!
//! A superuser may give anything to anybody. Another role, such as the master of an RDS instance, may
//! give a table only to a role that it is a member of and that may create in the table's schema
//! (PostgreSQL documentation, ALTER TABLE, "OWNER TO"). In a new database nobody but its owner may
//! create in `public` (documentation, 5.9.6 "Schemas and Privileges").

use super::finishing;
use crate::error::Result;
use crate::postgres::{Conninfo, Session, quote};

/// Makes roles that own or are granted nothing yet and cannot log in. A session that is no superuser's
/// becomes a member of them.
pub async fn create_roles(session: &Session, names: &[String], superuser: bool) -> Result<()> {
    for name in names {
        let role = quote::ident(name);
        let mut sql = vec![format!("CREATE ROLE {role} NOLOGIN")];
        if !superuser {
            // Since PostgreSQL 16 whoever makes a role may administer it, and is no member yet.
            sql.push(format!("GRANT {role} TO CURRENT_USER"));
        }
        for sql in sql {
            session.simple(&sql).await.map_err(|e| {
                e.during(format!("make the role `{name}`"))
                    .hint("make it by hand, or give --roles skip")
            })?;
        }
    }
    Ok(())
}

/// Lets roles create in `public` until `end` is called, which must be before privileges are restored:
/// those of the snapshot are not to be taken away.
pub struct MayCreate<'r> {
    roles: &'r [String],
}

impl<'r> MayCreate<'r> {
    pub async fn begin(info: &Conninfo, roles: &'r [String]) -> Result<Self> {
        let creating = Self { roles };
        let session = finishing::plain(info).await?;
        let granted = creating.change(&session, "GRANT", "TO").await;
        session.close().await;
        granted.map(|()| creating)
    }

    pub async fn end(self, session: &Session) -> Result<()> {
        self.change(session, "REVOKE", "FROM").await
    }

    async fn change(&self, session: &Session, verb: &str, preposition: &str) -> Result<()> {
        let there = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'public' \
                     AND pg_catalog.pg_has_role(nspowner, 'USAGE')";
        // Of a schema that is somebody else's there is nothing to give.
        if self.roles.is_empty() || session.rows(there).await?.is_empty() {
            return Ok(());
        }
        let roles: Vec<String> = self.roles.iter().map(|role| quote::ident(role)).collect();
        let roles = roles.join(", ");
        session.simple(&format!("{verb} CREATE ON SCHEMA public {preposition} {roles}")).await
    }
}
