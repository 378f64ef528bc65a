//! One HTTP request to a local server, without a client library.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of the first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    fn read(mut answer: Vec<u8>) -> Result<Self> {
        let invalid = || Error::new(ErrorKind::InvalidData, "not an HTTP answer");
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(invalid)?;
        let body = answer.split_off(end + 4);
        let head = String::from_utf8(answer).map_err(|_| invalid())?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok(Self { status: status.ok_or_else(invalid)?, head, body })
    }
}

/// Sends a request with HTTP/1.0, so that the answer's body is all that follows its head.
pub fn request(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Response> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(&written(address, method, path, headers, body))?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Response::read(answer)
}

/// Likewise to any address, given up after `limit`.
pub async fn request_within(
    limit: Duration,
    address: SocketAddr,
    method: &str,
    path: &str,
) -> Result<Response> {
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        stream.write_all(&written(address, method, path, &[], b"")).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Response::read(answer)
    };
    match tokio::time::timeout(limit, exchange).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::new(ErrorKind::TimedOut, format!("no answer in {limit:?}"))),
    }
}

fn written(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    [head.as_bytes(), body].concat()
}
