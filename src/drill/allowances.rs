//! The allow-list: differences between the source's server and a scratch server that say nothing
//! about whether the data can be had again. Everything else fails a drill.

use crate::config::Profile;
use crate::restore::Allow;

/// Extensions that hold no data of the database: they watch the server, or speed up questions.
const WITHOUT_DATA: &[&str] = &[
    "auto_explain",
    "hypopg",
    "index_advisor",
    "pg_buffercache",
    "pg_freespacemap",
    "pg_hint_plan",
    "pg_prewarm",
    "pg_qualstats",
    "pg_stat_kcache",
    "pg_stat_monitor",
    "pg_stat_statements",
    "pg_visibility",
    "pg_wait_sampling",
    "pg_walinspect",
    "pgstattuple",
    "plpgsql_check",
];

/// Extensions that a provider adds to every project and that work with its own services only
/// (supabase.com/docs/guides/database/extensions; AWS: "Extensions supported for RDS for
/// PostgreSQL").
const SUPABASE: &[&str] =
    &["pg_graphql", "pg_net", "pgsodium", "supabase_vault", "wrappers", "pg_tle"];
const RDS: &[&str] = &["aws_commons", "aws_lambda", "aws_s3", "log_fdw", "pg_tle", "rds_tools"];

/// What a drill may pass over: the lists above, and those that the configuration names.
pub fn allowances(profile: Option<Profile>, configured: &[String]) -> Allow {
    let of_provider = match profile {
        Some(Profile::Supabase) => SUPABASE,
        Some(Profile::Rds) => RDS,
        None => &[],
    };
    let known = WITHOUT_DATA.iter().chain(of_provider).map(|name| (*name).to_owned());
    Allow { extensions: known.chain(configured.iter().cloned()).collect(), locale: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_may_be_lacking() {
        let may = |profile, configured: &[String], name: &str| {
            allowances(profile, configured).extensions.iter().any(|e| e == name)
        };
        assert!(may(None, &[], "pg_stat_statements"));
        assert!(!may(None, &[], "postgis") && !may(None, &[], "pg_net"));
        assert!(may(Some(Profile::Supabase), &[], "pg_net"));
        assert!(may(None, &["pg_cron".to_owned()], "pg_cron"));
    }
}
