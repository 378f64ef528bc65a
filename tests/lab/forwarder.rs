//! The way to a server of the lab, which can hang, refuse and cut: each endpoint of a region has one,
//! at an address that stays while the server behind it is killed, stopped or replaced.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use super::background::{Task, runtime};

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// They pass.
    Open,
    /// A black hole: they are accepted and nothing more is heard, also of those under way. They go
    /// on when it ends.
    Hang,
    /// They are refused, and those under way are cut.
    Refuse,
    /// They are accepted and ended at once, and those under way are cut.
    Cut,
}

#[derive(Debug, Clone, Copy)]
struct State {
    flow: Flow,
    inner: SocketAddr,
}

/// Open from the start; ended on drop.
pub struct Forwarder {
    address: SocketAddr,
    state: watch::Sender<State>,
    // Bound and never listening: while connections are refused nobody else gets the port.
    _placeholder: TcpSocket,
    _task: Task,
}

impl Forwarder {
    /// On `ip`, before a port of 127.0.0.1.
    pub fn before(inner: u16, ip: Ipv4Addr) -> Self {
        Self::at(SocketAddr::new(ip.into(), 0), inner).unwrap()
    }

    /// Likewise at an address that must be free.
    pub fn at(address: SocketAddr, inner: u16) -> io::Result<Self> {
        let _inside = runtime().enter();
        let placeholder = bind(address)?;
        let address = placeholder.local_addr()?;
        let listener = listen(address)?;
        let state = watch::Sender::new(State { flow: Flow::Open, inner: local(inner) });
        let task = Task::start(accept(address, listener, state.subscribe()));
        Ok(Self { address, state, _placeholder: placeholder, _task: task })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `http://ip:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn flow(&self) -> Flow {
        self.state.borrow().flow
    }

    /// Takes effect at once, on new connections and on those under way.
    pub fn set(&self, flow: Flow) {
        self.state.send_if_modified(|state| std::mem::replace(&mut state.flow, flow) != flow);
    }

    /// New connections go to this port of 127.0.0.1 from now on.
    pub fn lead_to(&self, inner: u16) {
        self.state.send_modify(|state| state.inner = local(inner));
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// With SO_REUSEADDR, with which Linux lets several sockets have a port of which one listens.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    bind(address)?.listen(1024)
}

async fn accept(address: SocketAddr, first: TcpListener, mut state: watch::Receiver<State>) {
    let mut listener = Some(first);
    loop {
        if state.borrow_and_update().flow == Flow::Refuse {
            listener = None;
            if state.changed().await.is_err() {
                return;
            }
            continue;
        }
        let open = match listener.take() {
            Some(open) => open,
            None => listen(address).expect("the placeholder keeps the port"),
        };
        tokio::select! {
            accepted = open.accept() => if let Ok((outer, _)) = accepted {
                tokio::spawn(pass(outer, state.clone()));
            },
            changed = state.changed() => if changed.is_err() { return },
        }
        listener = Some(open);
    }
}

async fn pass(outer: TcpStream, state: watch::Receiver<State>) {
    // Cut means reset, as by a host that has forgotten the connection.
    let _ = outer.set_zero_linger();
    let _ = outer.set_nodelay(true);
    let carried = async {
        if !open(&mut state.clone()).await {
            return;
        }
        let inner = state.borrow().inner;
        let Ok(inner) = TcpStream::connect(inner).await else { return };
        let _ = inner.set_nodelay(true);
        let (from_outer, to_outer) = outer.into_split();
        let (from_inner, to_inner) = inner.into_split();
        tokio::join!(
            carry(from_outer, to_inner, state.clone()),
            carry(from_inner, to_outer, state.clone())
        );
    };
    tokio::select! {
        () = carried => {}
        () = broken(state.clone()) => {}
    }
}

/// Waits while connections hang; false: they do not pass any more.
async fn open(state: &mut watch::Receiver<State>) -> bool {
    let flow = |state: &State| state.flow != Flow::Hang;
    state.wait_for(flow).await.is_ok_and(|state| state.flow == Flow::Open)
}

async fn broken(mut state: watch::Receiver<State>) {
    let _ = state.wait_for(|state| matches!(state.flow, Flow::Refuse | Flow::Cut)).await;
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if !open(&mut state).await {
            return;
        }
        if read == 0 {
            let _ = to.shutdown().await;
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
