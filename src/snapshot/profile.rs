//! What hosting providers own inside a database, and what a snapshot does about it.

use crate::config::Profile;
use crate::model::TableName;

/// Schemas of Supabase that hold its own machinery, rebuilt by the platform in a new project.
const SUPABASE: &[(&str, &str)] = &[
    ("_analytics", "Supabase's log machinery"),
    ("_realtime", "Supabase Realtime's own state"),
    ("_supavisor", "Supabase's pooler"),
    ("cron", "pg_cron's jobs run in one project only; recreate them on purpose"),
    ("dbdev", "Supabase's package manager"),
    ("graphql", "made by the extension pg_graphql"),
    ("graphql_public", "made by the extension pg_graphql"),
    ("net", "pg_net's request queue"),
    ("pgbouncer", "Supabase's pooler"),
    ("pgmq_public", "made by Supabase Queues"),
    ("pgsodium", "keys that cannot leave their project"),
    ("pgsodium_masks", "keys that cannot leave their project"),
    ("pgtle", "Supabase's package manager"),
    ("realtime", "Supabase Realtime's messages, kept for days only"),
    ("supabase_functions", "Supabase's webhook machinery"),
    ("vault", "secrets encrypted with a key that stays in its project"),
];

/// Tables of taken schemas that record how far the provider has migrated its own schema.
const SUPABASE_ROWS: &[(&str, &str)] = &[("auth", "schema_migrations"), ("storage", "migrations")];

/// Why a whole schema is left out under this profile.
pub fn schema_left_out(profile: Profile, schema: &str) -> Option<&'static str> {
    match profile {
        Profile::Supabase => {
            SUPABASE.iter().find(|(name, _)| *name == schema).map(|(_, reason)| *reason)
        }
        Profile::Rds => (schema == "rdsadmin").then_some("Amazon RDS's own"),
    }
}

/// Why only the definition of a table is taken under this profile.
pub fn rows_left_out(profile: Profile, table: &TableName) -> Option<&'static str> {
    let known = matches!(profile, Profile::Supabase)
        && SUPABASE_ROWS.iter().any(|(s, t)| *s == table.schema && *t == table.name);
    known.then_some("profile `supabase`: the provider's own migration record")
}

/// Whether a role or publication of this name is the provider's own.
pub fn is_providers(profile: Profile, name: &str) -> bool {
    match profile {
        Profile::Supabase => name.starts_with("supabase_"),
        Profile::Rds => name == "rdsadmin",
    }
}

/// Schemas that the provider makes in every new project: taken, but on restore into such a project
/// their definitions are the provider's and only rows are loaded.
pub fn provided_schemas(profile: Profile) -> &'static [&'static str] {
    match profile {
        Profile::Supabase => &["auth", "extensions", "storage"],
        Profile::Rds => &[],
    }
}
