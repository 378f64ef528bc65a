//! `[web]`, `[intake.NAME]` and `auto` in `[failover]`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::build::insist;
use super::document::Document;
use super::table::Table;
use super::web::{AutoPolicy, IntakeConfig, IntakeKind, WebConfig, WebTls};
use super::{build_store, keys};

/// A token is guessed by whoever may try often, and nothing here counts tries.
const SHORTEST_TOKEN: usize = 24;

/// `None`: there is no such table, and nothing is served.
pub(super) fn web(doc: &Document<'_>, root: &Table<'_>) -> Option<WebConfig> {
    let mut table = root.table("web", keys::WEB)?;
    let mut config = WebConfig::default();
    let listen = table.parsed("listen", |text| {
        text.parse::<SocketAddr>().map_err(|_| {
            "must be an address and a port such as \"127.0.0.1:8440\" or \"[::]:8440\"".to_owned()
        })
    });
    if let Some(at) = listen {
        config.listen = at.value;
    }
    config.token = table.secret("token", long_enough);
    config.public_url = table.parsed("public_url", build_store::endpoint).map(|at| at.value);
    let (cert, key) = (table.path_value("cert"), table.path_value("key"));
    let client_ca = table.path_value("client_ca");
    match (cert, key) {
        (Some(cert), Some(key)) => config.tls = Some(WebTls { cert, key, client_ca }),
        (Some(_), None) => doc.problem(table.line_of("cert"), "`cert` needs `key`"),
        (None, Some(_)) => doc.problem(table.line_of("key"), "`key` needs `cert`"),
        (None, None) if client_ca.is_some() => {
            doc.problem(table.line_of("client_ca"), "`client_ca` needs `cert` and `key`");
        }
        (None, None) => {}
    }
    insist(doc, &table);
    Some(config)
}

fn long_enough(text: &str) -> Result<bool, String> {
    match text.len() >= SHORTEST_TOKEN && text.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(true),
        false => Err(format!(
            "must be at least {SHORTEST_TOKEN} printable ASCII characters without spaces: \
             `openssl rand -hex 24` makes one"
        )),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Alertmanager,
    Sns,
    PagerDuty,
}

pub(super) fn intake(table: &mut Table<'_>, name: &str) -> Option<IntakeConfig> {
    for key in ["kind", "match"] {
        table.require(key);
    }
    let kinds =
        [("alertmanager", Kind::Alertmanager), ("sns", Kind::Sns), ("pagerduty", Kind::PagerDuty)];
    let kind = table.choice("kind", &kinds)?;
    let (must, not) = match kind {
        Kind::Sns => ("topics", "secret"),
        Kind::Alertmanager | Kind::PagerDuty => ("secret", "topics"),
    };
    table.require(must);
    if table.has(not) {
        let text = format!("`{not}` is not for intakes of this kind");
        table.doc.problem(table.line_of(not), text);
    }
    let labels = labels(table);
    let forced = table.choice("mode", &[("forced", true), ("graceful", false)]).unwrap_or(true);
    let from = match kind {
        Kind::Alertmanager => {
            IntakeKind::Alertmanager { secret: table.secret("secret", long_enough)? }
        }
        Kind::PagerDuty => IntakeKind::PagerDuty { secret: table.secret("secret", long_enough)? },
        Kind::Sns => IntakeKind::Sns { topics: topics(table)? },
    };
    Some(IntakeConfig {
        name: name.to_owned(),
        from,
        labels: labels?,
        runbook: table.text("runbook").map(|at| at.value),
        forced,
    })
}

/// An intake without any would take every alert for the loss of a region.
fn labels(table: &mut Table<'_>) -> Option<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut inner = table.free_table("match")?;
    for name in inner.keys() {
        if let Some(at) = inner.text(name) {
            found.insert(name.to_owned(), at.value);
        }
    }
    table.unresolved.append(&mut inner.unresolved);
    if inner.keys().is_empty() {
        table.doc.problem(table.line_of("match"), "`match` is empty: every alert would count");
    }
    Some(found)
}

fn topics(table: &mut Table<'_>) -> Option<Vec<String>> {
    let found = table.texts("topics")?;
    if found.is_empty() {
        table.doc.problem(table.line_of("topics"), "`topics` is empty");
    }
    for at in &found {
        if topic_region(&at.value).is_none() {
            let text = format!("`topics`: `{}` is not the ARN of an SNS topic", at.shown());
            table.bad(at, &text);
        }
    }
    Some(found.into_iter().map(|at| at.value).collect())
}

/// The region in the ARN of a topic: `arn:aws:sns:us-west-2:111122223333:alarms`.
fn topic_region(arn: &str) -> Option<&str> {
    let mut pieces = arn.split(':');
    let arn = (pieces.next()?, pieces.next()?, pieces.next()?);
    let (region, account, topic) = (pieces.next()?, pieces.next()?, pieces.next()?);
    let whole = arn.0 == "arn" && arn.1.starts_with("aws") && arn.2 == "sns";
    let named = region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let known = !region.is_empty() && named && account.len() == 12 && !topic.is_empty();
    (whole && known && pieces.next().is_none()).then_some(region)
}

/// `auto` in `[failover]`: every key must be there.
pub(super) fn auto(failover: &Table<'_>) -> Option<AutoPolicy> {
    let mut table = failover.table("auto", keys::AUTO)?;
    for key in keys::AUTO {
        table.require(key);
    }
    const DAY: Duration = Duration::from_hours(24);
    let (quorum, epoch) = (table.integer("quorum", 1..=100), table.integer("epoch", 0..=i64::MAX));
    let held_for = table.duration("for", Duration::from_secs(1)..=DAY);
    let max_loss = table.duration("max_loss", Duration::ZERO..=DAY);
    let accept_unfenced = table.boolean("accept_unfenced");
    insist(failover.doc, &table);
    Some(AutoPolicy {
        quorum: usize::try_from(quorum?).ok()?,
        held_for: held_for?,
        epoch: epoch?.unsigned_abs(),
        max_loss: max_loss?,
        accept_unfenced: accept_unfenced?,
    })
}
