//! HTTP endpoints: `http.await_ready`.

mod await_ready;
mod certificate;
mod endpoint;
mod heartbeat;
mod look;

use std::time::Duration;

pub use self::heartbeat::Heartbeats;
use super::World;
use super::catalogue::ActionKind;

/// The actions of this system.
pub(super) fn actions() -> Vec<ActionKind> {
    vec![ActionKind::new(
        "http.await_ready",
        "wait until an HTTP endpoint answers as it should",
        await_ready::AwaitReady::new,
    )]
}

/// What is told of an endpoint that took too long.
pub(super) const SLOW: &str = "no answer in time";

/// Connects to the host of `url`, with TLS where the URL says so, and asks nothing. Gives the host.
pub(super) async fn reach(world: &World, url: &str, limit: Duration) -> Result<String, String> {
    let url: url::Url = url.parse().map_err(|_| "its url is not a URL".to_owned())?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let address = endpoint::system_address(&host, port, limit).await?;
    let connected = async {
        match url.scheme() {
            "https" => certificate::connect(&world.tls, &host, address).await.map(|_| ()),
            _ => tokio::net::TcpStream::connect(address).await.map(|_| ()),
        }
    };
    match tokio::time::timeout(limit, connected).await {
        Ok(Ok(())) => Ok(host),
        Ok(Err(e)) => Err(format!("{host}: {e}")),
        Err(_) => Err(format!("{host} does not answer")),
    }
}

/// A URL as it may be shown: without user, password and query.
pub(super) fn shown(url: &url::Url) -> String {
    let mut shown = url.clone();
    // Both fail only for URLs that cannot have them.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    let queried = shown.query().is_some();
    shown.set_query(None);
    shown.set_fragment(None);
    if queried { format!("{shown}?…") } else { shown.to_string() }
}

/// What went wrong with a request, without its URL, in which there may be a secret.
pub(super) fn trouble(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return SLOW.to_owned();
    }
    let error = error.without_url();
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(e) = cause {
        let part = e.to_string();
        // Each layer of the client says again what the one above said.
        if part != "client error (Connect)"
            && part != "error sending request"
            && !text.contains(&part)
        {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&part);
        }
        cause = e.source();
    }
    text
}

/// The start of a body, on one line.
pub(super) fn excerpt(body: &str) -> String {
    const LONGEST: usize = 200;
    let line = body.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_may_be_secret() {
        let url = |text: &str| shown(&text.parse().unwrap());
        assert_eq!(url("https://ann:geheim@a.test/x?token=geheim#f"), "https://a.test/x?…");
        assert_eq!(url("http://a.test:81/health"), "http://a.test:81/health");
    }

    #[test]
    fn an_excerpt_is_one_short_line() {
        assert_eq!(excerpt(" a\n\tb \u{1} "), "a b \u{1}".to_owned());
        assert_eq!(excerpt(&"é".repeat(300)).chars().count(), 201);
    }
}
