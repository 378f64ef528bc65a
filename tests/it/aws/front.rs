//! A door before an AWS endpoint, at which single requests are refused, held, or let through with
//! their answer lost.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is carried out; the connection ends before the answer.
    LosesAnswer,
    /// It is taken and never answered.
    Hangs,
    Throttles,
    Denies,
    Breaks,
    /// As Route 53 refuses a batch of changes.
    RefusesBatch,
}

/// Its thread ends with the test process.
pub struct Front {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// What the next requests that hold the text meet.
    faults: Vec<(String, Fault)>,
    /// What happens before a request that holds the text is met.
    meanwhile: Vec<(String, Box<dyn FnOnce() + Send>)>,
    requests: Vec<String>,
}

impl Front {
    pub fn before(inner: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || pass(stream, inner, &shared));
            }
        });
        Self { port, state }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The next request that holds `text` meets `fault`.
    pub fn next(&self, text: &str, fault: Fault) {
        self.state.lock().unwrap().faults.push((text.to_owned(), fault));
    }

    /// Before the next request that holds `text`, this happens.
    pub fn meanwhile(&self, text: &str, act: impl FnOnce() + Send + 'static) {
        self.state.lock().unwrap().meanwhile.push((text.to_owned(), Box::new(act)));
    }

    /// How many requests held `text`.
    pub fn count(&self, text: &str) -> usize {
        let state = self.state.lock().unwrap();
        state.requests.iter().filter(|request| request.contains(text)).count()
    }
}

/// One request; the connection ends with its answer.
fn pass(mut stream: TcpStream, inner: u16, shared: &Mutex<State>) -> Option<()> {
    let request = read(&mut stream)?;
    let text = String::from_utf8_lossy(&request).into_owned();
    let act = {
        let mut state = shared.lock().unwrap();
        let at = state.meanwhile.iter().position(|(known, _)| text.contains(known));
        at.map(|at| state.meanwhile.remove(at).1)
    };
    if let Some(act) = act {
        act();
    }
    let fault = {
        let mut state = shared.lock().unwrap();
        let at = state.faults.iter().position(|(known, _)| text.contains(known));
        state.requests.push(text.clone());
        at.map(|at| state.faults.remove(at).1)
    };
    match fault {
        None => stream.write_all(&forward(&text, &request, inner)?).ok(),
        Some(Fault::LosesAnswer) => forward(&text, &request, inner).map(drop),
        Some(Fault::Hangs) => {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
            stream.read(&mut [0]).ok().map(drop)
        }
        Some(Fault::Throttles) => {
            stream.write_all(&refusal(&text, 400, "ThrottlingException", "Rate exceeded")).ok()
        }
        Some(Fault::Denies) => {
            let who = "User: arn:aws:iam::123456789012:user/drctl is not authorized";
            stream.write_all(&refusal(&text, 400, "AccessDeniedException", who)).ok()
        }
        Some(Fault::RefusesBatch) => {
            let why = "[Tried to delete resource record set but the values provided do not match \
                       the current values]";
            stream.write_all(&refusal(&text, 400, "InvalidChangeBatch", why)).ok()
        }
        Some(Fault::Breaks) => {
            stream.write_all(&refusal(&text, 500, "InternalFailure", "Something broke")).ok()
        }
    }
}

fn read(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let end = request.windows(4).position(|w| w == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if request.len() >= end + 4 + length {
                return Some(request);
            }
        }
        match stream.read(&mut piece).ok()? {
            0 => return None,
            read => request.extend_from_slice(&piece[..read]),
        }
    }
}

/// With HTTP/1.0, so that the answer ends with the connection.
fn forward(text: &str, request: &[u8], inner: u16) -> Option<Vec<u8>> {
    let line = text.lines().next()?;
    let first = line.replace("HTTP/1.1", "HTTP/1.0");
    let mut upstream = TcpStream::connect(("127.0.0.1", inner)).ok()?;
    upstream.write_all(first.as_bytes()).ok()?;
    upstream.write_all(&request[line.len()..]).ok()?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).ok()?;
    Some(answer)
}

/// As JSON services refuse, or as those with XML do.
fn refusal(request: &str, status: u16, code: &str, message: &str) -> Vec<u8> {
    let (kind, body) = match request.to_lowercase().contains("x-amz-target") {
        true => (
            "application/x-amz-json-1.1",
            serde_json::json!({ "__type": code, "message": message }).to_string(),
        ),
        false => (
            "text/xml",
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>\
                 <Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
            ),
        ),
    };
    format!(
        "HTTP/1.1 {status} Refused\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
