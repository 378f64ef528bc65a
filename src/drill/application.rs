//! The application that is started on the restored database, and how it learns where that is.

use std::collections::BTreeMap;
use std::time::Instant;

use super::account::{Check, Standing};
use super::processes::MARK;
use super::scratch::Applications;
use crate::config::AppConfig;
use crate::model::DrillId;
use crate::postgres::Conninfo;

/// Starts it and asks whether it serves.
pub async fn check(
    applications: &dyn Applications,
    app: &AppConfig,
    env: &BTreeMap<String, String>,
) -> Check {
    let began = Instant::now();
    let (standing, said) = match applications.serve_once(app, env).await {
        Ok(said) => (Standing::Passed, said),
        Err(e) => (Standing::Failed, e.one_line()),
    };
    let seconds = began.elapsed().as_secs_f64();
    Check { name: "application".to_owned(), standing, said, details: Vec::new(), seconds }
}

/// What the application gets: `DATABASE_URL`, libpq's variables, and that this is a drill.
pub fn environment(id: &DrillId, info: &Conninfo, url: Option<String>) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = info.child_env().into_iter().collect();
    let url = url.unwrap_or_else(|| of_variables(&env));
    env.insert("DATABASE_URL".to_owned(), url);
    env.insert("DRCTL_DRILL".to_owned(), "1".to_owned());
    env.insert(MARK.to_owned(), id.to_string());
    env
}

/// A URL that means what the variables mean.
fn of_variables(env: &BTreeMap<String, String>) -> String {
    let value = |name: &str| env.get(name).map(String::as_str).unwrap_or_default();
    let encode = |text: &str| {
        let encoded: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        encoded.replace('+', "%20")
    };
    let password = match value("PGPASSWORD") {
        "" => String::new(),
        password => format!(":{}", encode(password)),
    };
    format!(
        "postgresql://{}{password}@{}:{}/{}?sslmode={}",
        encode(value("PGUSER")),
        encode(value("PGHOST")),
        value("PGPORT"),
        encode(value("PGDATABASE")),
        value("PGSSLMODE"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn it_is_told_where_the_restored_database_is() {
        let text = "postgresql://a:s%20e@db.example:5433/pets?sslmode=require";
        let info = Conninfo::parse(&Secret::new(text)).unwrap();
        let id = "d20261122T134512Z-3f9a1c".parse().unwrap();
        let env = environment(&id, &info, None);
        assert_eq!(env["DATABASE_URL"], text);
        assert_eq!((env["PGPASSWORD"].as_str(), env["DRCTL_DRILL"].as_str()), ("s e", "1"));
        assert_eq!(env[MARK], id.to_string());
    }
}
