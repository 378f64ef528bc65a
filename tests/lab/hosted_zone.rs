//! Route 53's answering side for one hosted zone of moto: records with their TTLs, weights, failover
//! and aliases, and health checks that are really made. It goes on without the control plane, which
//! is only asked for changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_server::proto::rr::{Name, RData, Record, RecordType};

use super::background::Task;
use super::dns::Records;
use super::health::HealthChecks;
use super::http::{Response, request};
use super::world::World;
use super::xml::{all, one};

/// How often changes are looked for.
const EVERY: Duration = Duration::from_millis(100);

/// A zone that follows what moto has; ended on drop.
pub struct HostedZone {
    zone: Arc<Zone>,
    _task: Task,
}

struct Zone {
    records: Mutex<Vec<RecordSet>>,
    health: Arc<HealthChecks>,
    /// Where the load balancers are that aliases name.
    balancers: BTreeMap<String, Ipv4Addr>,
    /// Of their addresses, and so of aliases, which have no TTL of their own; 60 s at AWS.
    ttl: u32,
    /// For weights; counted on, so that each share is met exactly.
    turn: Mutex<u64>,
}

#[derive(Debug, Clone, PartialEq)]
struct RecordSet {
    name: String,
    kind: String,
    ttl: u32,
    values: Vec<String>,
    alias: Option<String>,
    weight: Option<u64>,
    /// `PRIMARY` or `SECONDARY`.
    failover: Option<String>,
    health_check: Option<String>,
}

impl HostedZone {
    /// The zone `id` of the moto at `port`, with the addresses of load balancers by their DNS name,
    /// which live for `ttl` seconds.
    pub fn follow(port: u16, id: &str, balancers: BTreeMap<String, Ipv4Addr>, ttl: u32) -> Self {
        let health = Arc::new(HealthChecks::default());
        let (records, turn) = Default::default();
        let zone = Zone { records, health, balancers, ttl, turn };
        let zone = Arc::new(zone);
        let (followed, id) = (Arc::clone(&zone), id.to_owned());
        zone.read(port, &id);
        let task = Task::start(async move {
            loop {
                let (zone, id) = (Arc::clone(&followed), id.clone());
                // A stopped moto holds up a thread and nothing else.
                let _ = tokio::task::spawn_blocking(move || zone.read(port, &id)).await;
                tokio::time::sleep(EVERY).await;
            }
        });
        Self { zone, _task: task }
    }

    pub fn records(&self) -> Arc<dyn Records> {
        Arc::clone(&self.zone) as Arc<dyn Records>
    }

    pub fn health(&self) -> &HealthChecks {
        &self.zone.health
    }
}

impl World {
    /// The zone's records as the control plane has them, in its own words and no order.
    pub fn records(&self) -> BTreeSet<String> {
        let path = format!("/2013-04-01/hostedzone/{}/rrset", self.zone_id);
        let text = route53_get(self.global.port(), &path).unwrap().text();
        all(&text, "ResourceRecordSet").into_iter().map(str::to_owned).collect()
    }
}

/// A GET of moto's Route 53.
pub fn route53_get(port: u16, path: &str) -> std::io::Result<Response> {
    let authorization = "AWS4-HMAC-SHA256 Credential=test/20200101/us-east-1/route53/aws4_request, \
                         SignedHeaders=host, Signature=0";
    request(port, "GET", path, &[("Authorization", authorization)], b"")
}

impl Zone {
    /// Takes over what the control plane holds; without an answer all stays as it was.
    fn read(&self, port: u16, id: &str) {
        let path = format!("/2013-04-01/hostedzone/{id}/rrset");
        if let Ok(answer) = route53_get(port, &path)
            && answer.status == 200
        {
            let text = answer.text();
            let read = all(&text, "ResourceRecordSet").into_iter().map(RecordSet::read).collect();
            *self.records.lock().unwrap() = read;
        }
        if let Ok(answer) = route53_get(port, "/2013-04-01/healthcheck")
            && answer.status == 200
        {
            let wanted: Vec<_> = self.records.lock().unwrap().clone();
            let wanted = wanted.iter().filter_map(|set| set.health_check.as_deref());
            self.health.follow(&answer.text(), &wanted.collect::<Vec<_>>());
        }
    }

    fn is_healthy(&self, set: &RecordSet) -> bool {
        set.health_check.as_deref().is_none_or(|id| self.health.is_healthy(id))
    }

    /// Of the sets of one name and type, the one that answers (Route 53 Developer Guide, "How Amazon
    /// Route 53 chooses records when health checking is configured").
    fn chosen<'s>(&self, sets: &[&'s RecordSet]) -> Option<&'s RecordSet> {
        let with = |role: &str| sets.iter().find(|set| set.failover.as_deref() == Some(role));
        if let Some(primary) = with("PRIMARY") {
            let secondary = with("SECONDARY").filter(|set| self.is_healthy(set));
            // When neither is healthy the primary answers.
            let stands = self.is_healthy(primary) || secondary.is_none();
            return Some(if stands { primary } else { secondary? });
        }
        if sets.iter().all(|set| set.weight.is_none()) {
            return sets.first().copied();
        }
        let weight = |set: &RecordSet| set.weight.unwrap_or(0);
        let choose = |sets: Vec<&'s RecordSet>| {
            let total: u64 = sets.iter().map(|set| weight(set)).sum();
            let mut turn = self.turn.lock().unwrap();
            *turn += 1;
            let mut left = *turn % total.max(1);
            sets.into_iter().find(|set| {
                let hit = left < weight(set);
                left = left.saturating_sub(weight(set));
                hit
            })
        };
        let healthy = sets.iter().copied().filter(|set| self.is_healthy(set)).collect();
        // When none with a weight is healthy, all are taken to be; when all weigh 0, they are alike.
        choose(healthy).or_else(|| choose(sets.to_vec())).or_else(|| sets.first().copied())
    }
}

impl Records for Zone {
    fn records(&self, name: &Name, kind: RecordType) -> Option<Vec<Record>> {
        let all = self.records.lock().unwrap().clone();
        let wanted = name.to_ascii().to_lowercase();
        let record = |ttl, value: &str| {
            let data = RData::try_from_str(kind, value).ok()?;
            Some(Record::from_rdata(name.clone(), ttl, data))
        };
        // The names of load balancers are AWS's, and this server stands for AWS's too.
        if let Some(ip) = self.balancers.get(wanted.trim_end_matches('.')) {
            return Some(record(self.ttl, &ip.to_string()).into_iter().collect());
        }
        if !all.iter().any(|set| set.name == wanted) {
            return None;
        }
        let sets: Vec<_> =
            all.iter().filter(|set| set.name == wanted && set.kind == kind.to_string()).collect();
        let Some(set) = self.chosen(&sets) else { return Some(Vec::new()) };
        let records = match &set.alias {
            None => set.values.iter().filter_map(|value| record(set.ttl, value)).collect(),
            Some(target) => match self.balancers.get(target.trim_start_matches("dualstack.")) {
                Some(ip) => record(self.ttl, &ip.to_string()).into_iter().collect(),
                None => {
                    let target = Name::from_ascii(format!("{target}.")).ok()?;
                    let mut records = self.records(&target, kind).unwrap_or_default();
                    records.iter_mut().for_each(|record| record.name = name.clone());
                    records
                }
            },
        };
        Some(records)
    }
}

impl RecordSet {
    fn read(text: &str) -> Self {
        let text_of = |tag| one(text, tag).map(str::to_owned);
        let alias = one(text, "AliasTarget").and_then(|alias| one(alias, "DNSName"));
        Self {
            name: text_of("Name").unwrap_or_default().to_lowercase(),
            kind: text_of("Type").unwrap_or_default(),
            ttl: text_of("TTL").and_then(|ttl| ttl.parse().ok()).unwrap_or(0),
            values: all(text, "Value").into_iter().map(str::to_owned).collect(),
            alias: alias.map(|name| name.trim_end_matches('.').to_lowercase()),
            weight: text_of("Weight").and_then(|weight| weight.parse().ok()),
            failover: text_of("Failover"),
            health_check: text_of("HealthCheckId"),
        }
    }
}
