//! DNS servers whose records can be set: one that knows a zone, and one that asks another and keeps
//! the answer as long as its time to live allows.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::{Edns, Metadata, ResponseCode};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;

use super::background::Task;

/// What gives the records of a name; `None`: there is no such name.
pub trait Records: Send + Sync + 'static {
    fn records(&self, name: &Name, kind: RecordType) -> Option<Vec<Record>>;
}

/// How a server meets questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    Answers,
    /// Never answers; over TCP it accepts and says nothing.
    Silent,
    /// Answers SERVFAIL.
    ServFail,
    /// Answers REFUSED.
    Refused,
    /// Over UDP answers nothing but that the answer is too long for it.
    Truncates,
}

/// A server on loopback, over UDP and TCP, which ends on drop.
pub struct Dns {
    address: SocketAddr,
    manners: Arc<Mutex<Manners>>,
    asked: Arc<AtomicUsize>,
    _task: Task,
}

impl Dns {
    /// Serves what `records` gives; `authoritative` answers carry the mark of an authority.
    pub fn serve(records: Arc<dyn Records>, authoritative: bool) -> Self {
        let manners = Arc::new(Mutex::new(Manners::Answers));
        let asked = Arc::new(AtomicUsize::new(0));
        let (udp, tcp) = bind();
        let address = udp.local_addr().unwrap();
        let handler = Handler {
            records,
            authoritative,
            manners: Arc::clone(&manners),
            asked: Arc::clone(&asked),
        };
        let task = Task::start(async move {
            let mut server = Server::new(handler);
            server.register_socket(tokio::net::UdpSocket::from_std(udp).unwrap());
            let tcp = tokio::net::TcpListener::from_std(tcp).unwrap();
            server.register_listener(tcp, Duration::from_secs(30), 16);
            let _ = server.block_until_done().await;
        });
        Self { address, manners, asked, _task: task }
    }

    /// An authority for what `zone` holds.
    pub fn authority(zone: &Arc<Zone>) -> Self {
        Self::serve(Arc::clone(zone) as Arc<dyn Records>, true)
    }

    /// A resolver that keeps what it was told.
    pub fn resolver(cache: &Arc<Cache>) -> Self {
        Self::serve(Arc::clone(cache) as Arc<dyn Records>, false)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn behave(&self, manners: Manners) {
        *self.manners.lock().unwrap() = manners;
    }

    /// How many questions have come in.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Both transports on one free port.
fn bind() -> (UdpSocket, TcpListener) {
    for _ in 0..20 {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            udp.set_nonblocking(true).unwrap();
            tcp.set_nonblocking(true).unwrap();
            return (udp, tcp);
        }
    }
    panic!("found no port that is free for UDP and TCP in twenty attempts");
}

/// Records that a test sets.
#[derive(Default)]
pub struct Zone {
    records: Mutex<BTreeMap<(Name, RecordType), Vec<Record>>>,
}

impl Zone {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Replaces the records of `name` and `kind`; no values: the name keeps its other records.
    pub fn set(&self, name: &str, kind: &str, ttl: u32, values: &[&str]) {
        let name = absolute(name);
        let kind: RecordType = kind.parse().unwrap();
        let records = values
            .iter()
            .map(|value| {
                Record::from_rdata(name.clone(), ttl, RData::try_from_str(kind, value).unwrap())
            })
            .collect();
        self.records.lock().unwrap().insert((name, kind), records);
    }

    pub fn remove(&self, name: &str, kind: &str) {
        let key = (absolute(name), kind.parse().unwrap());
        self.records.lock().unwrap().remove(&key);
    }
}

impl Records for Zone {
    fn records(&self, name: &Name, kind: RecordType) -> Option<Vec<Record>> {
        let all = self.records.lock().unwrap();
        let mut found = Vec::new();
        let mut name = name.to_lowercase();
        // An alias is followed as far as this zone knows.
        for _ in 0..8 {
            if let Some(records) = all.get(&(name.clone(), kind)) {
                found.extend(records.iter().cloned());
                return Some(found);
            }
            let alias = all.get(&(name.clone(), RecordType::CNAME)).and_then(|r| r.first());
            match alias {
                Some(record) => {
                    found.push(record.clone());
                    let RData::CNAME(target) = &record.data else { return Some(found) };
                    name = target.0.to_lowercase();
                }
                None => break,
            }
        }
        (!found.is_empty() || all.keys().any(|(known, _)| *known == name)).then_some(found)
    }
}

/// When an answer came, by the cache's clock, and what it was.
type Kept = (Duration, Option<Vec<Record>>);

/// Records of another, kept as long as their time to live allows. Its clock stands still; a test
/// moves it.
pub struct Cache {
    upstream: Arc<dyn Records>,
    kept: Mutex<BTreeMap<(Name, RecordType), Kept>>,
    now: Mutex<Duration>,
    /// Where the clock runs: since when.
    runs: Option<Instant>,
}

impl Cache {
    /// With a clock that stands still until a test moves it.
    pub fn of(upstream: Arc<dyn Records>) -> Arc<Self> {
        Arc::new(Self { upstream, kept: Mutex::default(), now: Mutex::default(), runs: None })
    }

    /// With a clock that runs.
    pub fn running(upstream: Arc<dyn Records>) -> Arc<Self> {
        let runs = Some(Instant::now());
        Arc::new(Self { upstream, kept: Mutex::default(), now: Mutex::default(), runs })
    }

    /// Moves the clock.
    pub fn age(&self, by: Duration) {
        *self.now.lock().unwrap() += by;
    }

    fn now(&self) -> Duration {
        *self.now.lock().unwrap() + self.runs.map(|since| since.elapsed()).unwrap_or_default()
    }
}

impl Records for Cache {
    fn records(&self, name: &Name, kind: RecordType) -> Option<Vec<Record>> {
        let now = self.now();
        let key = (name.to_lowercase(), kind);
        let mut kept = self.kept.lock().unwrap();
        if let Some((since, records)) = kept.get(&key) {
            let age = u32::try_from((now - *since).as_secs()).unwrap();
            let left = |record: &Record| record.ttl.checked_sub(age).filter(|left| *left > 0);
            // What is not there is not kept.
            if let Some(records) = records
                && records.iter().all(|record| left(record).is_some())
            {
                let mut records = records.clone();
                for record in &mut records {
                    record.ttl = left(record).unwrap();
                }
                return Some(records);
            }
        }
        let records = self.upstream.records(name, kind);
        kept.insert(key, (now, records.clone()));
        records
    }
}

struct Handler {
    records: Arc<dyn Records>,
    authoritative: bool,
    manners: Arc<Mutex<Manners>>,
    asked: Arc<AtomicUsize>,
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut reply: R,
    ) -> ResponseInfo {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let manners = *self.manners.lock().unwrap();
        let query = request.request_info().unwrap().query;
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.authoritative = self.authoritative;
        metadata.recursion_available = !self.authoritative;
        let mut records = Vec::new();
        match manners {
            Manners::Silent => return std::future::pending().await,
            Manners::ServFail => metadata.response_code = ResponseCode::ServFail,
            Manners::Refused => metadata.response_code = ResponseCode::Refused,
            Manners::Truncates if request.protocol() == Protocol::Udp => metadata.truncation = true,
            Manners::Answers | Manners::Truncates => {
                match self.records.records(&query.name().into(), query.query_type()) {
                    Some(found) => records = found,
                    None => metadata.response_code = ResponseCode::NXDomain,
                }
            }
        }
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        let mut response = MessageResponseBuilder::from_message_request(request);
        if request.edns.is_some() {
            response.edns(&edns);
        }
        let response = response.build(metadata, &records, [], [], []);
        match reply.send_response(response).await {
            Ok(info) => info,
            Err(e) => panic!("the lab's DNS server could not answer: {e}"),
        }
    }
}

/// `app.test` as `app.test.`, in lower case.
fn absolute(name: &str) -> Name {
    let mut name = Name::from_ascii(name).unwrap().to_lowercase();
    name.set_fqdn(true);
    name
}
