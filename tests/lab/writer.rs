//! A client of the service that writes all the time: it resolves the service's name as long as the
//! answer lives, sends a row, and remembers each one that was acknowledged.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use super::background::Task;
use super::http::request_within;
use super::postgres::Postgres;

/// How long it waits for an acknowledgement.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two writes.
const PACE: Duration = Duration::from_millis(20);

/// A write that the service has acknowledged.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    pub n: i64,
    pub at: DateTime<Utc>,
    /// The region that answered.
    pub region: String,
}

#[derive(Default)]
struct Record {
    acknowledged: Vec<Acknowledged>,
    refused: usize,
    last_refusal: Option<String>,
}

/// Writes until it is stopped or dropped.
pub struct Writer {
    client: String,
    record: Arc<Mutex<Record>>,
    task: Mutex<Option<Task>>,
}

impl Writer {
    /// To `http://name:port`, with the name resolved by the DNS server at `dns`.
    pub fn start(name: &str, port: u16, dns: SocketAddr) -> Self {
        let client = super::unique("client");
        let record = Arc::new(Mutex::new(Record::default()));
        let work = write(format!("{name}."), port, dns, client.clone(), Arc::clone(&record));
        Self { client, record, task: Mutex::new(Some(Task::start(work))) }
    }

    /// The name under which its rows are written.
    pub fn client(&self) -> &str {
        &self.client
    }

    /// Sends nothing more. A write under way counts only if it was acknowledged before.
    pub fn stop(&self) {
        self.task.lock().unwrap().take();
    }

    pub fn acknowledged(&self) -> Vec<Acknowledged> {
        self.record.lock().unwrap().acknowledged.clone()
    }

    /// How many writes got no acknowledgement, and why the last did not.
    pub fn refused(&self) -> (usize, Option<String>) {
        let record = self.record.lock().unwrap();
        (record.refused, record.last_refusal.clone())
    }

    /// One line: how many writes were acknowledged where, and how it goes now.
    pub fn tale(&self) -> String {
        let record = self.record.lock().unwrap();
        let count = |region| record.acknowledged.iter().filter(|a| a.region == region).count();
        let mut tale = format!(
            "{} writes acknowledged: {} by us-east-1, {} by us-west-2; {} not",
            record.acknowledged.len(),
            count("us-east-1"),
            count("us-west-2"),
            record.refused
        );
        if let Some(pause) = longest_pause(&record.acknowledged) {
            tale.push_str(&format!("; longest pause {:.1} s", pause.as_secs_f64()));
        }
        tale
    }

    /// The first write that `region` acknowledged, once there is one; panics after `limit`.
    pub fn first_from(&self, region: &str, limit: Duration) -> Acknowledged {
        let start = Instant::now();
        loop {
            let record = self.record.lock().unwrap();
            if let Some(first) = record.acknowledged.iter().find(|ack| ack.region == region) {
                return first.clone();
            }
            assert!(
                start.elapsed() < limit,
                "{region} acknowledged no write in {limit:?}; last refusal: {:?}",
                record.last_refusal
            );
            drop(record);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for `count` acknowledged writes more.
    pub fn more(&self, count: usize) {
        let (start, before) = (Instant::now(), self.acknowledged().len());
        while self.acknowledged().len() < before + count {
            let (_, why) = self.refused();
            assert!(start.elapsed() < Duration::from_secs(60), "no writes get through: {why:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The acknowledged writes that the server does not have.
    pub fn lost(&self, server: &Postgres) -> Vec<i64> {
        // First what was acknowledged: what the client writes while the rows are read is not lost.
        let seen = self.acknowledged();
        let sql = format!("SELECT n FROM petforce.writes WHERE client = '{}'", self.client);
        let rows = server.psql("petforce", &sql);
        let there: BTreeSet<i64> = rows.lines().map(|n| n.parse().unwrap()).collect();
        seen.iter().map(|ack| ack.n).filter(|n| !there.contains(n)).collect()
    }
}

/// The longest time between one acknowledged write and the next.
fn longest_pause(seen: &[Acknowledged]) -> Option<Duration> {
    seen.windows(2).filter_map(|two| (two[1].at - two[0].at).to_std().ok()).max()
}

async fn write(
    name: String,
    port: u16,
    dns: SocketAddr,
    client: String,
    record: Arc<Mutex<Record>>,
) {
    let resolver = resolver(dns);
    for n in 1.. {
        tokio::time::sleep(PACE).await;
        let outcome = async {
            // The resolver answers from its cache as long as the record's TTL allows.
            let found = resolver.lookup_ip(&name).await.map_err(|e| e.to_string())?;
            let ip = found.iter().next().ok_or("the name has no address")?;
            let path = format!("/write?client={client}&n={n}");
            let answer = request_within(PATIENCE, SocketAddr::new(ip, port), "POST", &path).await;
            let answer = answer.map_err(|e| e.to_string())?;
            match answer.status {
                201 => Ok(answer.header("x-region").unwrap_or_default().to_owned()),
                status => Err(format!("{status}: {}", answer.text())),
            }
        };
        let outcome: Result<String, String> = outcome.await;
        let mut record = record.lock().unwrap();
        match outcome {
            Ok(region) => record.acknowledged.push(Acknowledged { n, at: Utc::now(), region }),
            Err(why) => {
                record.refused += 1;
                record.last_refusal = Some(why);
            }
        }
    }
}

/// Asks one server, over UDP, and keeps answers as long as they say.
fn resolver(dns: SocketAddr) -> TokioResolver {
    let mut server = NameServerConfig::udp(dns.ip());
    for connection in &mut server.connections {
        connection.port = dns.port();
    }
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.timeout = Duration::from_secs(1);
    options.attempts = 1;
    // A failed lookup is asked again at the next write.
    options.negative_max_ttl = Some(Duration::ZERO);
    builder.build().unwrap()
}

/// The address of a name right now, past every cache.
pub fn address_now(dns: SocketAddr, name: &str) -> Option<IpAddr> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let name = format!("{name}.");
    let _task = Task::start(async move {
        let found = resolver(dns).lookup_ip(name).await.ok().and_then(|ips| ips.iter().next());
        let _ = sender.send(found);
    });
    receiver.recv().unwrap()
}
