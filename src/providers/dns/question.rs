//! One question to one DNS server, with nothing kept in between.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::{RuntimeProvider, TokioRuntimeProvider};
use hickory_resolver::net::tcp::TcpClientStream;
use hickory_resolver::net::udp::UdpClientStream;
use hickory_resolver::net::xfer::{DnsExchange, DnsHandle, DnsMultiplexer};
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kinds of records that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum RecordKind {
    #[default]
    A,
    #[serde(rename = "AAAA")]
    Aaaa,
    #[serde(rename = "CNAME")]
    Cname,
    #[serde(rename = "TXT")]
    Txt,
}

impl RecordKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Txt => "TXT",
        }
    }

    pub(super) fn wire(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Cname => RecordType::CNAME,
            Self::Txt => RecordType::TXT,
        }
    }
}

/// What a server said, or why it is as if it had said nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// `values` as people write them: addresses, names in lower case without the last dot.
    Values { values: BTreeSet<String>, ttl: u32 },
    /// The name is an alias of one that this server knows nothing about.
    Alias(String),
    /// There is no such record.
    Nothing,
    /// No answer, or none that says anything: timed out, SERVFAIL, REFUSED.
    Silence(String),
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Values { values, .. } => {
                f.write_str(&values.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
            }
            Self::Alias(name) => write!(f, "an alias to {name}"),
            Self::Nothing => f.write_str("no such record"),
            Self::Silence(why) => f.write_str(why),
        }
    }
}

/// The name as servers are asked for it.
pub fn absolute(name: &str) -> Result<Name, String> {
    let mut name = Name::from_utf8(name).map_err(|e| format!("`{name}` is not a DNS name: {e}"))?;
    if name.is_root() || name.num_labels() == 0 {
        return Err("a DNS name is not empty".to_owned());
    }
    name.set_fqdn(true);
    Ok(name.to_lowercase())
}

/// Asks `server`, over TCP where the answer is too long for UDP. `recursive`: of a resolver, which
/// finds out; an authority is asked for what it knows itself.
pub async fn ask(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
    recursive: bool,
    limit: Duration,
) -> Heard {
    match tokio::time::timeout(limit, exchange(server, name, kind, recursive, limit)).await {
        Ok(Ok(response)) => understand(&response, kind),
        Ok(Err(NetError::Timeout)) | Err(_) => Heard::Silence("does not answer".to_owned()),
        Ok(Err(e)) => Heard::Silence(format!("cannot be asked: {e}")),
    }
}

async fn exchange(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
    recursive: bool,
    limit: Duration,
) -> Result<DnsResponse, NetError> {
    let query = Query::query(name.clone(), kind);
    let mut options = DnsRequestOptions::default();
    options.recursion_desired = recursive;
    // A packet that is lost is sent again within the limit.
    options.retry_interval = limit / 4;
    let runtime = TokioRuntimeProvider::default();
    let udp =
        UdpClientStream::builder(server, runtime.clone()).with_timeout(Some(limit)).exchange();
    let response = first(udp.lookup(query.clone(), options)).await?;
    if !response.metadata.truncation {
        return Ok(response);
    }
    let (stream, sender) = TcpClientStream::new(server, None, Some(limit), runtime);
    let multiplexer = DnsMultiplexer::new(stream.await?, sender).with_timeout(limit);
    let (tcp, background) = DnsExchange::<TokioRuntimeProvider>::from_stream(multiplexer);
    // Ends with `tcp`.
    tokio::spawn(background);
    first(tcp.lookup(query, options)).await
}

async fn first<R: RuntimeProvider>(
    mut responses: hickory_resolver::net::xfer::DnsExchangeSend<R>,
) -> Result<DnsResponse, NetError> {
    responses.next().await.unwrap_or(Err(NetError::Timeout))
}

fn understand(response: &DnsResponse, kind: RecordType) -> Heard {
    match response.metadata.response_code {
        ResponseCode::NoError => {}
        ResponseCode::NXDomain => return Heard::Nothing,
        code => return Heard::Silence(format!("answers {}", of_the_wire(code))),
    }
    let mut values = BTreeSet::new();
    let mut ttl = u32::MAX;
    let mut alias = None;
    for record in &response.answers {
        if record.record_type() == kind {
            values.insert(value(&record.data));
            ttl = ttl.min(record.ttl);
        } else if let RData::CNAME(target) = &record.data {
            // An answer lives no longer than the alias that leads to it.
            ttl = ttl.min(record.ttl);
            alias = Some(plain(&target.0));
        }
    }
    match alias {
        _ if !values.is_empty() => Heard::Values { values, ttl },
        Some(target) => Heard::Alias(target),
        None => Heard::Nothing,
    }
}

/// SERVFAIL and the like, as other tools call them.
fn of_the_wire(code: ResponseCode) -> String {
    match code {
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        code => code.to_string(),
    }
}

fn value(data: &RData) -> String {
    match data {
        RData::A(address) => address.0.to_string(),
        RData::AAAA(address) => address.0.to_string(),
        RData::CNAME(name) => plain(&name.0),
        RData::NS(name) => plain(&name.0),
        RData::TXT(text) => {
            text.txt_data.iter().map(|piece| String::from_utf8_lossy(piece)).collect()
        }
        other => other.to_string(),
    }
}

/// `app.petforce.example`, without the last dot.
pub fn plain(name: &Name) -> String {
    name.to_lowercase().to_utf8().trim_end_matches('.').to_owned()
}
