//! Whether drctl may begin a failover by itself. Pure, and it says no to whatever is not known.

use chrono::{DateTime, TimeDelta, Utc};

use super::{AlertStanding, Incident};
use crate::config::AutoPolicy;
use crate::model::Learned;

/// All that the decision rests on, of one moment.
#[derive(Debug, Clone)]
pub struct Evidence<'e> {
    pub incident: &'e Incident,
    pub now: DateTime<Utc>,
    /// The runbook that may be begun without a person.
    pub runbook: &'e str,
    /// That holds; 0: none was ever written.
    pub epoch: Learned<u64>,
    /// Whether the region that is active is the one that the plan leaves.
    pub leaves_active: Learned<bool>,
    /// Runs that have not ended.
    pub open_runs: Learned<usize>,
    /// What speaks against it by the last preflight; none: nothing does, and it is fresh.
    pub preflight: Learned<Option<String>>,
    /// Each database that moves.
    pub databases: Vec<Database>,
}

/// A database that would move.
#[derive(Debug, Clone, PartialEq)]
pub struct Database {
    pub name: String,
    /// Whether its primary answers this machine.
    pub primary_answers: bool,
    /// Whether its standby does: if not, it may be this machine that is cut off.
    pub standby_answers: bool,
    /// The loss to expect in seconds; none: unknown.
    pub loss_seconds: Option<f64>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Begin,
    /// Every reason why not, or not yet.
    Refuse(Vec<String>),
}

/// Begins only if every condition of the policy is known to hold.
pub fn decide(policy: &AutoPolicy, evidence: &Evidence<'_>) -> Decision {
    let Evidence { incident, now, .. } = evidence;
    let mut reasons = Vec::new();
    if incident.begun.is_some() {
        reasons.push("it was begun for this incident already".to_owned());
    }
    if incident.prepared.is_none() {
        reasons.push("nobody was told of it yet: no plan is prepared".to_owned());
    }
    if !incident.forced {
        reasons.push("the primary still serves: a graceful move is begun by a person".to_owned());
    }
    if incident.runbook != evidence.runbook {
        reasons.push(format!("runbook {} is begun by a person", incident.runbook));
    }
    reasons.extend(heard(policy, &incident.alerts, *now));
    match &evidence.epoch {
        Learned::Unknown(why) => reasons.push(format!("the epoch is unknown: {why}")),
        Learned::Known(epoch) if *epoch != policy.epoch => reasons.push(format!(
            "it is armed for epoch {}, and epoch {epoch} holds: a person must arm it again",
            policy.epoch
        )),
        Learned::Known(epoch) if *epoch != incident.epoch => {
            reasons.push(format!("the incident is of epoch {}", incident.epoch));
        }
        Learned::Known(_) => {}
    }
    match &evidence.leaves_active {
        Learned::Known(true) => {}
        Learned::Known(false) => reasons.push("the plan leaves a region that is not active".into()),
        Learned::Unknown(why) => reasons.push(format!("no plan can be made: {why}")),
    }
    match &evidence.open_runs {
        Learned::Known(0) => {}
        Learned::Known(count) => reasons.push(format!("{count} runs have not ended")),
        Learned::Unknown(why) => reasons.push(format!("whether a run is open is unknown: {why}")),
    }
    match &evidence.preflight {
        Learned::Known(None) => {}
        Learned::Known(Some(why)) => reasons.push(format!("preflight: {why}")),
        Learned::Unknown(why) => reasons.push(format!("the preflight is unknown: {why}")),
    }
    if evidence.databases.is_empty() {
        reasons.push("no database with two servers is configured: nothing can be looked at".into());
    }
    for database in &evidence.databases {
        reasons.extend(moves(policy, database));
    }
    if reasons.is_empty() { Decision::Begin } else { Decision::Refuse(reasons) }
}

/// Whether enough intakes tell of it, for long enough.
fn heard(policy: &AutoPolicy, alerts: &[AlertStanding], now: DateTime<Utc>) -> Option<String> {
    let mut sources: Vec<(&str, DateTime<Utc>)> = Vec::new();
    for alert in alerts.iter().filter(|alert| alert.over.is_none()) {
        // By our own clock: theirs may say that it began long ago.
        match sources.iter_mut().find(|(source, _)| *source == alert.source) {
            Some((_, since)) => *since = (*since).min(alert.heard),
            None => sources.push((&alert.source, alert.heard)),
        }
    }
    sources.sort_by_key(|(_, since)| *since);
    let Some((_, complete)) = sources.get(policy.quorum.saturating_sub(1)) else {
        return Some(format!("{} of {} intakes tell of it", sources.len(), policy.quorum));
    };
    let held = TimeDelta::from_std(policy.held_for).unwrap_or(TimeDelta::MAX);
    (now - *complete < held).then(|| {
        let lasts = (now - *complete).num_seconds();
        format!("{} intakes tell of it for {lasts} s, of {} s", policy.quorum, held.num_seconds())
    })
}

fn moves(policy: &AutoPolicy, database: &Database) -> Vec<String> {
    let Database { name, .. } = database;
    let mut reasons = Vec::new();
    if database.primary_answers {
        reasons.push(format!("the primary of {name} answers"));
    }
    if !database.standby_answers {
        reasons.push(format!("the standby of {name} does not answer: we may be the ones cut off"));
    }
    let most = policy.max_loss.as_secs_f64();
    match database.loss_seconds {
        Some(seconds) if seconds <= most => {}
        Some(seconds) => {
            reasons.push(format!("{name} would lose {seconds:.0} s, more than {most:.0} s"));
        }
        None => reasons.push(format!("what {name} would lose is unknown")),
    }
    reasons
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Prepared;
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_000_000 + seconds, 0).unwrap()
    }

    fn policy() -> AutoPolicy {
        AutoPolicy {
            quorum: 2,
            held_for: Duration::from_secs(180),
            epoch: 3,
            max_loss: Duration::from_secs(30),
            accept_unfenced: true,
        }
    }

    fn alert(source: &str, heard: i64, over: Option<i64>) -> AlertStanding {
        AlertStanding {
            source: source.to_owned(),
            key: format!("{source}-db"),
            summary: "down".to_owned(),
            since: at(-100_000),
            heard: at(heard),
            over: over.map(at),
        }
    }

    fn incident() -> Incident {
        Incident {
            id: "region-failover-e3-1".to_owned(),
            runbook: "region-failover".to_owned(),
            forced: true,
            epoch: 3,
            opened: at(0),
            alerts: vec![alert("prom", 0, None), alert("aws", 20, None)],
            prepared: Some(Prepared {
                at: at(5),
                by: "ops-1".to_owned(),
                args: Vec::new(),
                command: String::new(),
                loss: String::new(),
                preflight: String::new(),
                steps: 1,
                seconds: 1.0,
                troubles: Vec::new(),
            }),
            begun: None,
        }
    }

    fn good(incident: &Incident) -> Evidence<'_> {
        Evidence {
            incident,
            now: at(200),
            runbook: "region-failover",
            epoch: Learned::Known(3),
            leaves_active: Learned::Known(true),
            open_runs: Learned::Known(0),
            preflight: Learned::Known(None),
            databases: vec![Database {
                name: "petforce".to_owned(),
                primary_answers: false,
                standby_answers: true,
                loss_seconds: Some(12.0),
            }],
        }
    }

    #[track_caller]
    fn refuses(incident: &Incident, change: impl FnOnce(&mut Evidence<'_>), why: &str) {
        let mut evidence = good(incident);
        change(&mut evidence);
        match decide(&policy(), &evidence) {
            Decision::Begin => panic!("begun, although: {why}"),
            // One change, one reason: each condition is judged by itself.
            Decision::Refuse(reasons) => {
                assert_eq!(reasons.len(), 1, "{reasons:?}");
                assert!(reasons[0].contains(why), "{reasons:?}, not {why}");
            }
        }
    }

    #[test]
    fn it_begins_when_everything_is_known_to_hold() {
        assert_eq!(decide(&policy(), &good(&incident())), Decision::Begin);
    }

    #[test]
    fn whatever_is_not_known_speaks_against_it() {
        let one = incident();
        let unknown = || "no answer".to_owned();
        refuses(&one, |e| e.epoch = Learned::Unknown(unknown()), "epoch is unknown");
        refuses(&one, |e| e.leaves_active = Learned::Unknown(unknown()), "no plan can be made");
        refuses(&one, |e| e.open_runs = Learned::Unknown(unknown()), "whether a run is open");
        refuses(&one, |e| e.preflight = Learned::Unknown(unknown()), "preflight is unknown");
        refuses(&one, |e| e.databases[0].loss_seconds = None, "would lose is unknown");
        refuses(&one, |e| e.databases.clear(), "nothing can be looked at");
        refuses(&one, |e| e.databases[0].standby_answers = false, "we may be the ones cut off");
    }

    #[test]
    fn whatever_is_otherwise_speaks_against_it() {
        let one = incident();
        refuses(&one, |e| e.epoch = Learned::Known(4), "a person must arm it again");
        refuses(&one, |e| e.leaves_active = Learned::Known(false), "not active");
        refuses(&one, |e| e.open_runs = Learned::Known(1), "have not ended");
        refuses(&one, |e| e.preflight = Learned::Known(Some("too old".into())), "too old");
        refuses(&one, |e| e.databases[0].primary_answers = true, "the primary of petforce answers");
        refuses(&one, |e| e.databases[0].loss_seconds = Some(31.0), "more than 30 s");
        refuses(&one, |e| e.runbook = "another", "is begun by a person");
        refuses(&one, |e| e.now = at(199), "for 179 s, of 180 s");
        refuses(&Incident { epoch: 2, ..incident() }, |_| (), "is of epoch 2");
        refuses(&Incident { forced: false, ..incident() }, |_| (), "graceful");
        refuses(&Incident { prepared: None, ..incident() }, |_| (), "nobody was told");
        let begun =
            super::super::Begun { at: at(9), by: "other".to_owned(), command: String::new() };
        refuses(&Incident { begun: Some(begun), ..incident() }, |_| (), "begun for this incident");
    }

    #[test]
    fn one_intake_that_tells_twice_is_no_quorum() {
        let alone = |alerts| Incident { alerts, ..incident() };
        let twice = vec![alert("prom", 0, None), alert("prom", 1, None)];
        refuses(&alone(twice), |_| (), "1 of 2 intakes");
        let ended = vec![alert("prom", 0, None), alert("aws", 0, Some(100))];
        refuses(&alone(ended), |_| (), "1 of 2 intakes");
        refuses(&alone(Vec::new()), |_| (), "0 of 2 intakes");
    }
}
