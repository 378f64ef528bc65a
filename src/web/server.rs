//! Listening and speaking HTTP/1.1, within limits: so many connections, so long for a head and for
//! an answer, so large a head.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::tls;
use crate::config::WebConfig;
use crate::error::{Attempt as _, Kind, Result};

/// How much anybody gets.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// More wait until one ends.
    pub connections: usize,
    /// For the handshake of TLS, and again for a request's head.
    pub head: Duration,
    /// For a whole connection, however many requests come over it.
    pub connection: Duration,
    /// Bytes of a head.
    pub head_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            head: Duration::from_secs(10),
            connection: Duration::from_mins(2),
            head_bytes: 16 << 10,
        }
    }
}

/// A bound address.
pub struct Server {
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    limits: Limits,
}

impl Server {
    /// `Kind::Usage` for files that do not serve; `Kind::Failed` where the address cannot be had.
    pub async fn bind(config: &WebConfig, limits: Limits) -> Result<Self> {
        let acceptor = config.tls.as_ref().map(tls::configured).transpose()?.map(TlsAcceptor::from);
        let listener = TcpListener::bind(config.listen)
            .await
            .attempt(Kind::Failed, || format!("listen on {}", config.listen))
            .map_err(|e| e.hint("`listen` in [web] chooses another address or port"))?;
        Ok(Self { listener, acceptor, limits })
    }

    /// Where it listens; port 0 has become one.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.acceptor.is_some() { "https" } else { "http" }
    }

    /// Serves until `stop` says true; then those under way have a moment to end.
    pub async fn serve(self, router: Router, mut stop: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(self.limits.connections));
        let mut connections = tokio::task::JoinSet::new();
        loop {
            // Never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            while connections.try_join_next().is_some() {}
            let stream = tokio::select! {
                stopped = stop.wait_for(|stop| *stop) => { let _ = stopped; break }
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    // No descriptors left, say: others will end.
                    Err(_) => {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            let (router, acceptor, limits) = (router.clone(), self.acceptor.clone(), self.limits);
            connections.spawn(async move {
                let _place = place;
                let whole = connection(stream, acceptor, router, limits);
                let _ = tokio::time::timeout(limits.connection, whole).await;
            });
        }
        let ending = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(1), ending).await;
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
) {
    let _ = stream.set_nodelay(true);
    match acceptor {
        None => speak(stream, router, limits).await,
        // Who cannot shake hands gets no answer that he could read.
        Some(acceptor) => {
            let shaken = tokio::time::timeout(limits.head, acceptor.accept(stream)).await;
            if let Ok(Ok(stream)) = shaken {
                speak(stream, router, limits).await;
            }
        }
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    limits: Limits,
) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.head).max_headers(64);
    builder.max_buf_size(limits.head_bytes);
    // A connection that breaks concerns nobody but its other end.
    let service = TowerToHyperService::new(router);
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}
