//! `drctl doctor`.

use serde_json::json;

use super::args::{Cli, Doctor};
use super::render::{Done, plural};
use crate::app::App;
use crate::error::{Error, Kind, Result};
use crate::providers::notify;
use crate::providers::{Check, Standing};
use crate::snapshot::readiness::{self, Finding, Severity};

pub async fn run(cli: &Cli, args: &Doctor) -> Result<Done> {
    let app = match App::load(cli.config.as_deref()) {
        Ok(app) => app,
        Err(e) => {
            let findings = not_loaded(&e);
            return Ok(done(&findings, e.kind().exit_code()));
        }
    };
    let databases: Vec<String> = match &args.database {
        Some(name) => {
            // A name that is not there is a slip; one that is there and unusable is a finding.
            if !app.config.database_names().any(|n| n == name) {
                app.config.database(name)?;
            }
            vec![name.clone()]
        }
        None => app.config.database_names().map(str::to_owned).collect(),
    };
    let request = app.readiness_request(databases, args.timeout).await?;
    let (findings, of_drills) =
        tokio::join!(readiness::check(&request), app.drill_findings(args.timeout));
    let mut findings = findings;
    findings.extend(of_drills?);
    findings.extend(routes(&app));
    let critical = findings.iter().any(|f| f.severity == Severity::Critical);
    let code = if critical { Kind::Failed.exit_code() } else { 0 };
    Ok(done(&findings, code))
}

/// Routes of alerts that lead nowhere. Whoever configures no channel is told by `drctl preflight`,
/// and needs none for a snapshot.
fn routes(app: &App) -> Vec<Finding> {
    if app.config.channel_names().next().is_none() {
        return Vec::new();
    }
    let finding = |check: Check| Finding {
        severity: match check.standing {
            Standing::Ready => Severity::Ok,
            Standing::Warning | Standing::Unproven | Standing::NotReady => Severity::Warning,
        },
        subject: "alerts".to_owned(),
        what: format!("{}: {}", check.what, check.found),
        hint: check.hint,
    };
    notify::route_checks(&app.config).into_iter().map(finding).collect()
}

/// Every problem of a configuration that cannot be loaded as a finding of its own.
fn not_loaded(e: &Error) -> Vec<Finding> {
    let problems: Vec<&str> = match e.what().split_once(":\n") {
        Some((_, problems)) => problems.lines().collect(),
        None => Vec::new(),
    };
    let finding = |what: String, hint: Option<String>| Finding {
        severity: Severity::Critical,
        subject: "config".to_owned(),
        what,
        hint,
    };
    if problems.is_empty() {
        return vec![finding(e.one_line(), e.advice().map(str::to_owned))];
    }
    problems.iter().map(|p| finding((*p).to_owned(), None)).collect()
}

fn done(findings: &[Finding], code: u8) -> Done {
    Done::with(code, text(findings, code), json!({ "findings": findings }))
}

/// Groups by subject; a line for each finding, its next move below it, the sum last.
fn text(findings: &[Finding], code: u8) -> String {
    let mut text = String::new();
    let mut subject = "";
    for finding in findings {
        if finding.subject != subject {
            subject = &finding.subject;
            text.push_str(&format!("{subject}\n"));
        }
        let word = match finding.severity {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
            Severity::Ok => "ok",
        };
        text.push_str(&format!("  {word:<8}  {}\n", finding.what.replace('\n', " ")));
        if let Some(hint) = &finding.hint {
            text.push_str(&format!("            -> {}\n", hint.replace('\n', " ")));
        }
    }
    let count = |s: Severity| findings.iter().filter(|f| f.severity == s).count() as u64;
    let (critical, warnings) = (count(Severity::Critical), count(Severity::Warning));
    let verdict = match (code, critical, warnings) {
        (2, ..) => "The configuration cannot be used; nothing else was checked.",
        (_, 0, 0) => "All is ready for a snapshot.",
        (_, 0, _) => "A snapshot can be taken.",
        _ => "Not ready: see to what is critical first.",
    };
    text.push_str(&format!(
        "\n{critical} critical, {}, {} ok. {verdict}\n",
        plural(warnings, "warning"),
        count(Severity::Ok)
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity, subject: &str, what: &str, hint: Option<&str>) -> Finding {
        let hint = hint.map(str::to_owned);
        Finding { severity, subject: subject.to_owned(), what: what.to_owned(), hint }
    }

    #[test]
    fn findings_are_grouped_and_summed_up() {
        let findings = [
            finding(Severity::Ok, "config", "drctl.toml is valid", None),
            finding(
                Severity::Critical,
                "database petforce",
                "table public.pets cannot be read: role `r` lacks SELECT",
                Some("GRANT SELECT ON public.pets TO r;"),
            ),
            finding(Severity::Ok, "database petforce", "PostgreSQL 15.18, a primary", None),
            finding(Severity::Warning, "store west", "a clock is off", Some("set it")),
        ];
        insta::assert_snapshot!(text(&findings, 1), @r"
        config
          ok        drctl.toml is valid
        database petforce
          critical  table public.pets cannot be read: role `r` lacks SELECT
                    -> GRANT SELECT ON public.pets TO r;
          ok        PostgreSQL 15.18, a primary
        store west
          warning   a clock is off
                    -> set it

        1 critical, 1 warning, 2 ok. Not ready: see to what is critical first.
        ");
    }

    #[test]
    fn every_problem_of_a_broken_file_is_a_finding() {
        let e =
            Error::new(Kind::Usage, "drctl.toml has 2 problems:\ndrctl.toml:3: a\ndrctl.toml:9: b");
        insta::assert_snapshot!(text(&not_loaded(&e), 2), @r"
        config
          critical  drctl.toml:3: a
          critical  drctl.toml:9: b

        2 critical, 0 warnings, 0 ok. The configuration cannot be used; nothing else was checked.
        ");
        let e = Error::new(Kind::Usage, "there is no ./drctl.toml").hint("run `drctl init`");
        let found = not_loaded(&e);
        assert_eq!(found[0].what, "there is no ./drctl.toml");
        assert_eq!(found[0].hint.as_deref(), Some("run `drctl init`"));
    }
}
