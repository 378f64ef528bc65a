//! An HTTP server that keeps what it is sent and answers as it is told: for webhooks, health checks
//! and their failures.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::background::Task;
use super::tls::Tls;

/// A request that came in.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: String,
    /// With the query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.body))
    }
}

/// What a request is answered with.
#[derive(Debug, Clone)]
pub enum Answer {
    Says {
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
    /// The request is kept and never answered.
    Hangs,
    /// The connection is reset before a request is read.
    Resets,
}

impl Answer {
    pub fn says(status: u16, body: impl Into<String>) -> Self {
        Self::Says { status, headers: Vec::new(), body: body.into() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Says { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

/// A server on loopback; ends on drop.
pub struct Receiver {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Mutex<Shared>>,
    _task: Task,
}

struct Shared {
    requests: Vec<Received>,
    /// Each for one request, before `usual`.
    next: VecDeque<Answer>,
    usual: Answer,
}

impl Receiver {
    /// Answers 200 `ok` until told otherwise.
    pub fn start() -> Self {
        Self::serve(None)
    }

    /// As `start`, with the server certificate for `localhost` and 127.0.0.1.
    pub fn start_tls(tls: &Tls) -> Self {
        Self::serve(Some(acceptor(tls)))
    }

    fn serve(acceptor: Option<TlsAcceptor>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Shared {
            requests: Vec::new(),
            next: VecDeque::new(),
            usual: Answer::says(200, "ok"),
        }));
        let router = Router::new().fallback(receive).with_state(Arc::clone(&shared));
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let doors_shared = Arc::clone(&shared);
        let task = Task::start(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let doors = Doors { listener, shared: doors_shared };
            let served = match acceptor {
                None => axum::serve(doors, router).await,
                Some(acceptor) => axum::serve(SafeDoors { doors, acceptor }, router).await,
            };
            served.unwrap();
        });
        Self { address, scheme, shared, _task: task }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `http://127.0.0.1:port/path`; `path` starts with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// Answers every request like this from now on, after those that `next` set.
    pub fn answers(&self, answer: Answer) {
        self.shared.lock().unwrap().usual = answer;
    }

    /// Answers one request like this; several calls, several requests in turn.
    pub fn next(&self, answer: Answer) {
        self.shared.lock().unwrap().next.push_back(answer);
    }

    pub fn requests(&self) -> Vec<Received> {
        self.shared.lock().unwrap().requests.clone()
    }
}

async fn receive(
    State(shared): State<Arc<Mutex<Shared>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = {
        let mut shared = shared.lock().unwrap();
        shared.requests.push(Received {
            method: method.to_string(),
            path: uri.to_string(),
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        });
        shared.next.pop_front().unwrap_or_else(|| shared.usual.clone())
    };
    match answer {
        Answer::Says { status, headers, body } => {
            let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
            for (name, value) in headers {
                let name: axum::http::HeaderName = name.parse().unwrap();
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        // A reset that was set after the connection came in.
        Answer::Hangs | Answer::Resets => std::future::pending().await,
    }
}

/// Accepts connections, and resets those whose turn it is.
struct Doors {
    listener: TcpListener,
    shared: Arc<Mutex<Shared>>,
}

impl Doors {
    fn resets(&self) -> bool {
        let mut shared = self.shared.lock().unwrap();
        match shared.next.front() {
            Some(Answer::Resets) => shared.next.pop_front().is_some(),
            Some(_) => false,
            None => matches!(shared.usual, Answer::Resets),
        }
    }
}

impl axum::serve::Listener for Doors {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let (stream, address) = self.listener.accept().await.unwrap();
            if self.resets() {
                // Closing a socket that does not linger resets the connection (man 7 socket).
                stream.set_zero_linger().unwrap();
                continue;
            }
            return (stream, address);
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

struct SafeDoors {
    doors: Doors,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for SafeDoors {
    type Io = tokio_rustls::server::TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, address) = self.doors.accept().await;
            // A client that does not believe the certificate goes away.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.doors.local_addr()
    }
}

fn acceptor(tls: &Tls) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(tls.server_cert()).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(tls.server_key()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
