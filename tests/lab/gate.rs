//! A door before a server of the lab that can be shut for a while, as when a region is out of reach
//! and comes back with all that it had.

use std::io::copy;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Open from the start; its thread ends with the test process.
pub struct Gate {
    port: u16,
    state: Arc<Mutex<State>>,
}

struct State {
    open: bool,
    passing: Vec<TcpStream>,
}

impl Gate {
    /// A gate before a local port.
    pub fn before(inner: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { open: true, passing: Vec::new() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for outer in listener.incoming().flatten() {
                let mut state = shared.lock().unwrap();
                if !state.open {
                    continue;
                }
                let Ok(inner) = TcpStream::connect(("127.0.0.1", inner)) else { continue };
                for (mut from, mut to) in [(&outer, &inner), (&inner, &outer)]
                    .map(|(a, b)| (a.try_clone().unwrap(), b.try_clone().unwrap()))
                {
                    std::thread::spawn(move || {
                        let _ = copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
                state.passing.extend([outer, inner]);
            }
        });
        Self { port, state }
    }

    /// Cuts what is under way and lets nobody in.
    pub fn shut(&self) {
        let mut state = self.state.lock().unwrap();
        state.open = false;
        for stream in state.passing.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn open(&self) {
        self.state.lock().unwrap().open = true;
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
