//! One request to an endpoint, over a connection of its own, and what its answer lacks.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::endpoint::Endpoint;
use super::{SLOW, excerpt, trouble};
use crate::config::Redaction;
use crate::providers::World;

/// As much of a body as is looked at.
const BODY: usize = 256 * 1024;

/// What an answer must be.
#[derive(Debug, Clone)]
pub struct Expectation {
    pub status: u16,
    pub contains: Option<String>,
    /// By JSON pointer (RFC 6901).
    pub json: Map<String, Value>,
    pub headers: BTreeMap<String, String>,
}

/// An answer that came.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    pub took: Duration,
}

/// Asks once. A new connection each time: one that was kept open would still lead to where the name
/// pointed before.
pub async fn ask(world: &World, endpoint: &Endpoint, limit: Duration) -> Result<Answer, String> {
    match tokio::time::timeout(limit, request(world, endpoint, limit)).await {
        Ok(answer) => answer,
        Err(_) => Err(SLOW.to_owned()),
    }
}

async fn request(world: &World, endpoint: &Endpoint, limit: Duration) -> Result<Answer, String> {
    let started = std::time::Instant::now();
    let mut url = endpoint.url.clone();
    let authority = url.host_str().map(|host| match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    });
    let address = endpoint.address(limit).await?;
    let pin = address.map(|address| (endpoint.host(), address));
    if let Some(address) = address {
        // A port in the URL would count more than the address's.
        let _ = url.set_port(Some(address.port()));
    }
    let client = world.fresh_http(pin).map_err(|e| e.one_line())?;
    let mut request = client.get(url).timeout(limit);
    if let Some(authority) = authority {
        request = request.header(reqwest::header::HOST, authority);
    }
    let mut response = request.send().await.map_err(trouble)?;
    let status = response.status().as_u16();
    let headers = response.headers().iter();
    let headers = headers
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(trouble)? {
        body.extend_from_slice(&chunk);
        if body.len() > BODY {
            body.truncate(BODY);
            break;
        }
    }
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Answer { status, headers, body, took: started.elapsed() })
}

impl Expectation {
    /// What an answer lacks, in words; `None`: it is as it must be. Nothing that `redaction` knows is
    /// repeated.
    pub fn lacking(&self, answer: &Answer, redaction: &Redaction) -> Option<String> {
        let fault = self.fault(answer)?;
        let body = excerpt(&redaction.clean(&answer.body));
        let fault = redaction.clean(&fault);
        Some(match body.is_empty() {
            true => format!("{fault}, with an empty body"),
            false => format!("{fault}: {body}"),
        })
    }

    fn fault(&self, answer: &Answer) -> Option<String> {
        let status = answer.status;
        if status != self.status {
            let to = answer.headers.get("location").filter(|_| (300..400).contains(&status));
            let to = to.and_then(|to| Some(format!(" to {}", super::shown(&to.parse().ok()?))));
            return Some(format!("status {status}{}, not {}", to.unwrap_or_default(), self.status));
        }
        for (name, expected) in &self.headers {
            match answer.headers.get(&name.to_ascii_lowercase()) {
                Some(found) if found == expected => {}
                Some(found) => {
                    return Some(format!("header {name} is `{found}`, not `{expected}`"));
                }
                None => return Some(format!("status {status} without header {name}")),
            }
        }
        if let Some(text) = &self.contains
            && !answer.body.contains(text)
        {
            return Some(format!("status {status}, and the body lacks `{text}`"));
        }
        if self.json.is_empty() {
            return None;
        }
        let Ok(body) = serde_json::from_str::<Value>(&answer.body) else {
            return Some(format!("status {status}, and the body is not JSON"));
        };
        self.json.iter().find_map(|(pointer, expected)| match body.pointer(pointer) {
            Some(found) if found == expected => None,
            Some(found) => Some(format!("{pointer} is {found}, not {expected}")),
            None => Some(format!("status {status}, and the body has no {pointer}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expectation(value: Value) -> Expectation {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let headers: Option<BTreeMap<_, _>> =
            value.get("headers").map(|h| serde_json::from_value(h.clone()).unwrap());
        Expectation {
            status: 200,
            contains: text("contains"),
            json: value.get("json").and_then(Value::as_object).cloned().unwrap_or_default(),
            headers: headers.unwrap_or_default(),
        }
    }

    #[test]
    fn what_an_answer_lacks_is_told() {
        let answer = |status, body: &str| Answer {
            status,
            headers: [("x-region".to_owned(), "us-west-2".to_owned())].into(),
            body: body.to_owned(),
            took: Duration::ZERO,
        };
        let told = |expected: Value, status, body: &str| {
            let redaction = Redaction::default().with(["geheim".to_owned()]);
            expectation(expected).lacking(&answer(status, body), &redaction).unwrap_or_default()
        };
        let body = r#"{"ready":true,"db":{"role":"primary"}}"#;
        let region = json!({"headers": {"X-Region": "us-west-2"}});
        assert_eq!(told(region, 200, body), "");
        assert_eq!(told(json!({"json": {"/db/role": "primary", "/ready": true}}), 200, body), "");
        assert_eq!(
            told(json!({}), 503, "no db\npassword geheim"),
            "status 503, not 200: no db password ***"
        );
        assert_eq!(told(json!({}), 503, ""), "status 503, not 200, with an empty body");
        let east = json!({"headers": {"x-region": "us-east-1"}});
        assert_eq!(told(east, 200, "ok"), "header x-region is `us-west-2`, not `us-east-1`: ok");
        assert_eq!(
            told(json!({"json": {"/db/role": "standby"}}), 200, body),
            format!("/db/role is \"primary\", not \"standby\": {body}")
        );
        assert!(
            told(json!({"json": {"/x": 1}}), 200, body)
                .starts_with("status 200, and the body has no /x")
        );
        assert!(told(json!({"json": {"/x": 1}}), 200, "<html>").contains("not JSON: <html>"));
        assert!(told(json!({"contains": "pong"}), 200, "ping").contains("lacks `pong`: ping"));
    }
}
