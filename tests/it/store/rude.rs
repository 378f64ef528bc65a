//! A server between a store and S3 that misbehaves as it is told, one behaviour per request.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug, Clone)]
pub enum Manner {
    /// The request is passed on and the answer passed back.
    Polite,
    /// The request is passed on; the connection ends without an answer.
    LoseAnswer,
    /// The connection ends before anything is passed on.
    Close,
    /// An answer with this status and body.
    Answer(u16, &'static str),
    /// As `Answer`, with a `Date` of so many minutes from now.
    Dated(u16, &'static str, i64),
    /// The answer is passed back up to half of its body, then the connection ends.
    Truncate,
    /// As `Truncate`, with a reset.
    Reset,
    /// No answer at all, for so long.
    Stall(Duration),
}

pub struct Rude {
    pub endpoint: String,
    script: Arc<Mutex<VecDeque<Manner>>>,
    heads: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Rude {
    /// In front of the server at `behind`; polite unless told otherwise.
    pub async fn start(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let script: Arc<Mutex<VecDeque<Manner>>> = Arc::default();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let (manners, seen) = (script.clone(), heads.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, behind, manners.clone(), seen.clone()));
            }
        });
        Self { endpoint, script, heads, task }
    }

    /// The next requests are treated so.
    pub fn next(&self, manners: impl IntoIterator<Item = Manner>) {
        self.heads.lock().unwrap().clear();
        let mut script = self.script.lock().unwrap();
        script.clear();
        script.extend(manners);
    }

    /// Request lines and headers since the last `next`, in lower case.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Rude {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves one request; answers end the connection, so that each request makes its own.
async fn serve(
    mut stream: TcpStream,
    behind: SocketAddr,
    script: Arc<Mutex<VecDeque<Manner>>>,
    heads: Arc<Mutex<Vec<String>>>,
) -> Option<()> {
    let (head, body) = read_message(&mut stream).await?;
    heads.lock().unwrap().push(head.to_lowercase());
    let manner = script.lock().unwrap().pop_front().unwrap_or(Manner::Polite);
    match manner {
        Manner::Close => {}
        Manner::Stall(time) => tokio::time::sleep(time).await,
        Manner::Answer(status, body) => answer(&mut stream, status, body, 0).await,
        Manner::Dated(status, body, minutes) => answer(&mut stream, status, body, minutes).await,
        Manner::Polite | Manner::LoseAnswer | Manner::Truncate | Manner::Reset => {
            let whole = pass_on(behind, &head, &body).await?;
            let end = whole.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
            let half = end + (whole.len() - end) / 2;
            match manner {
                Manner::Polite => stream.write_all(&whole).await.ok()?,
                Manner::LoseAnswer => {}
                Manner::Truncate => stream.write_all(&whole[..half]).await.ok()?,
                _ => {
                    stream.write_all(&whole[..half]).await.ok()?;
                    stream.flush().await.ok()?;
                    stream.set_zero_linger().ok()?;
                }
            }
        }
    }
    Some(())
}

/// The head and the body of a request with `Content-Length`.
async fn read_message(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut read = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let n = stream.read(&mut chunk).await.ok().filter(|n| *n > 0)?;
        read.extend_from_slice(&chunk[..n]);
        if let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8(read[..end + 4].to_vec()).ok()?;
            let length = head.to_lowercase();
            let length = length.lines().find_map(|l| l.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |l| l.trim().parse().unwrap());
            if head.to_lowercase().contains("expect: 100-continue") {
                stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
            }
            let mut body = read.split_off(end + 4);
            while body.len() < length {
                let n = stream.read(&mut chunk).await.ok().filter(|n| *n > 0)?;
                body.extend_from_slice(&chunk[..n]);
            }
            return Some((head, body));
        }
    }
}

async fn pass_on(behind: SocketAddr, head: &str, body: &[u8]) -> Option<Vec<u8>> {
    let mut upstream = TcpStream::connect(behind).await.ok()?;
    let kept = head.trim_end().split("\r\n").filter(|line| {
        let line = line.to_lowercase();
        !line.starts_with("expect:") && !line.starts_with("connection:")
    });
    let mut request = kept.collect::<Vec<_>>().join("\r\n");
    request.push_str("\r\nConnection: close\r\n\r\n");
    upstream.write_all(request.as_bytes()).await.ok()?;
    upstream.write_all(body).await.ok()?;
    let mut whole = Vec::new();
    upstream.read_to_end(&mut whole).await.ok()?;
    Some(whole)
}

async fn answer(stream: &mut TcpStream, status: u16, body: &str, minutes: i64) {
    let date = chrono::Utc::now() + chrono::Duration::minutes(minutes);
    let date = date.format("%a, %d %b %Y %H:%M:%S GMT");
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nContent-Type: application/xml\r\n\
         x-amz-request-id: REQ1\r\nDate: {date}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body.as_bytes()).await;
}
