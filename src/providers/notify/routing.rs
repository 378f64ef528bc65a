//! Which channels an alert goes to, and routes that lead nowhere.

use std::collections::BTreeSet;

use crate::config::{Config, RouteConfig};
use crate::model::Severity;
use crate::providers::{Check, Standing};
use crate::snapshot::matches;

/// Every severity, from the least.
pub const SEVERITIES: [Severity; 3] = [Severity::Info, Severity::Warning, Severity::Critical];

/// The names of the channels for an alert: those of every route that fits; of no route that fits, all
/// channels. A route that cannot be read here may have fitted, so then all channels too: better one
/// message too many.
pub fn channels(config: &Config, key: &str, severity: Severity) -> BTreeSet<String> {
    let all = || config.channel_names().map(str::to_owned).collect();
    let mut found: Option<BTreeSet<String>> = None;
    for name in config.route_names() {
        match config.route(name) {
            Err(_) => return all(),
            Ok(route) if fits(route, key, severity) => {
                found.get_or_insert_default().extend(route.channels.iter().cloned());
            }
            Ok(_) => {}
        }
    }
    found.unwrap_or_else(all)
}

fn fits(route: &RouteConfig, key: &str, severity: Severity) -> bool {
    (route.severity.is_empty() || route.severity.contains(&severity))
        && (route.keys.is_empty() || route.keys.iter().any(|pattern| matches(pattern, key)))
}

/// Whether alerts reach somebody, whoever they are about: what can be seen in the configuration and
/// the environment alone.
pub fn checks(config: &Config) -> Vec<Check> {
    let mut checks = Vec::new();
    for name in config.route_names() {
        let what = format!("route `{name}`");
        match config.route(name) {
            Err(e) => checks.push(
                Check::new(Standing::Warning, what, e.one_line())
                    .hint("until then every alert goes to every channel"),
            ),
            Ok(route) if route.channels.is_empty() && reaches(route, Severity::Critical) => {
                checks.push(
                    Check::new(Standing::Warning, what, "critical alerts go to nobody by it")
                        .hint("give it channels, or let it be for `severity = [\"info\"]` only"),
                );
            }
            Ok(_) => {}
        }
    }
    let unset = |name: &str| {
        let table = format!("channel.{name}");
        config.unresolved.iter().any(|u| u.table == table)
    };
    let usable: BTreeSet<&str> = config
        .channel_names()
        .filter(|name| config.channel(name).is_ok() && !unset(name))
        .collect();
    for severity in SEVERITIES {
        // A key that only a route for all keys fits.
        let reached = channels(config, "", severity);
        let word = word(severity);
        let what = format!("{word} alerts");
        let names = reached.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let alive: Vec<&str> =
            reached.iter().map(String::as_str).filter(|name| usable.contains(name)).collect();
        let kinds: BTreeSet<_> = alive
            .iter()
            .filter_map(|name| config.channel(name).ok())
            .map(|channel| channel.kind.word())
            .collect();
        let nobody = match severity {
            Severity::Info => Standing::Ready,
            _ => Standing::NotReady,
        };
        checks.push(match (reached.len(), alive.len(), kinds.len()) {
            (0, ..) if config.channel_names().next().is_none() => {
                Check::new(Standing::Warning, what, "reach nobody: there is no [channel.NAME]")
                    .hint("add two channels that do not depend on each other")
            }
            (0, ..) => Check::new(nobody, what, "reach nobody, as the routes say"),
            (_, 0, _) => Check::new(nobody, what, format!("reach nobody: {names} cannot be used"))
                .hint("the channels lack values of this environment"),
            (_, _, 1) if severity == Severity::Critical => Check::new(
                Standing::Warning,
                what,
                format!("go to {}, one kind of channel only", alive.join(", ")),
            )
            .hint("add a channel of another kind, which does not fail with the first"),
            _ => Check::new(Standing::Ready, what, format!("go to {}", alive.join(", "))),
        });
    }
    checks
}

fn reaches(route: &RouteConfig, severity: Severity) -> bool {
    route.severity.is_empty() || route.severity.contains(&severity)
}

pub fn word(severity: Severity) -> &'static str {
    super::message::Severity::from(severity).word()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(more: &str) -> Config {
        let text = format!(
            "[project]\nname = \"p\"\n[regions]\nprimary = \"a\"\n[store.s]\nurl = \"file:///s\"\n\
             region = \"a\"\n[database.d]\nurl = \"host=h dbname=d\"\nstores = [\"s\"]\n\
             [channel.pager]\nkind = \"pagerduty\"\nrouting_key = \"${{PAGER}}\"\n\
             [channel.team]\nkind = \"slack\"\nurl = \"https://hooks.slack.test/x\"\n\
             [channel.other]\nkind = \"slack\"\nurl = \"https://hooks.slack.test/y\"\n{more}"
        );
        let env = |name: &str| (name == "PAGER").then(|| "0123".to_owned());
        Config::parse(&text, Path::new("drctl.toml"), &env).unwrap()
    }

    fn found(config: &Config, key: &str, severity: Severity) -> String {
        channels(config, key, severity).into_iter().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_route_that_fits_counts_and_without_one_everybody_is_told() {
        let none = config("");
        assert_eq!(found(&none, "rpo/d/s", Severity::Info), "other pager team");
        let routed = config(
            "[route.page]\nseverity = [\"critical\"]\nchannels = [\"pager\"]\n\
             [route.rpo]\nkeys = [\"rpo/*\"]\nchannels = [\"team\"]\n\
             [route.quiet]\nseverity = [\"info\"]\nchannels = []\n",
        );
        assert_eq!(found(&routed, "rpo/d/s", Severity::Critical), "pager team");
        assert_eq!(found(&routed, "rpo/d/s", Severity::Warning), "team");
        assert_eq!(found(&routed, "job/x", Severity::Critical), "pager");
        assert_eq!(found(&routed, "job/x", Severity::Warning), "other pager team");
        assert_eq!(found(&routed, "job/x", Severity::Info), "");
    }

    #[test]
    fn a_route_that_cannot_be_read_keeps_no_alert_back() {
        let unread = config("[route.a]\nchannels = [\"${NAME}\"]\n");
        assert_eq!(found(&unread, "x", Severity::Info), "other pager team");
        let said = checks(&unread);
        assert_eq!((said[0].what.as_str(), said[0].standing), ("route `a`", Standing::Warning));
    }

    #[test]
    fn routes_that_lead_nowhere_are_found() {
        let said = |more: &str| -> Vec<String> {
            let line = |c: &Check| format!("{:?}: {} {}", c.standing, c.what, c.found);
            checks(&config(more)).iter().map(line).collect()
        };
        assert_eq!(
            said("[route.all]\nchannels = [\"pager\", \"team\"]\n"),
            [
                "Ready: info alerts go to pager, team",
                "Ready: warning alerts go to pager, team",
                "Ready: critical alerts go to pager, team",
            ]
        );
        let one_kind = said("[route.all]\nchannels = [\"team\", \"other\"]\n");
        assert_eq!(
            one_kind[2],
            "Warning: critical alerts go to other, team, one kind of channel only"
        );
        let unset = said(
            "[channel.x]\nkind = \"slack\"\nurl = \"${X}\"\n[route.all]\nchannels = [\"x\"]\n",
        );
        assert_eq!(unset[2], "NotReady: critical alerts reach nobody: x cannot be used");
        let nobody = said("[route.all]\nchannels = []\n");
        assert_eq!(nobody[0], "Warning: route `all` critical alerts go to nobody by it");
        assert_eq!(nobody[1], "Ready: info alerts reach nobody, as the routes say");
        assert_eq!(nobody[3], "NotReady: critical alerts reach nobody, as the routes say");
    }
}
