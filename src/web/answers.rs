//! What every answer carries, and the plain ones.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

pub const HTML: &str = "text/html; charset=utf-8";
pub const JSON: &str = "application/json";
pub const TEXT: &str = "text/plain; charset=utf-8";

/// A whole answer.
pub fn answer(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A line for programs and people.
pub fn line(status: StatusCode, text: &str) -> Response<Body> {
    answer(status, TEXT, format!("{text}\n"))
}

/// What a page may do: show itself with its own style. No script, no other place, no frame.
/// `styles` are the texts of the style elements.
pub fn policy(styles: &[&str]) -> HeaderValue {
    let hashes = styles.iter().map(|style| {
        format!(" 'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(style.as_bytes())))
    });
    let hashes: String = hashes.collect();
    let style = if hashes.is_empty() { " 'none'".to_owned() } else { hashes };
    let text = format!(
        "default-src 'none'; style-src{style}; img-src data:; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    // Base64 and fixed words are always a header's value.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// Puts on every answer what browsers must know; an answer's own policy stays.
pub fn secured(mut response: Response<Body>, secure: bool) -> Response<Body> {
    let headers = response.headers_mut();
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy(&[]));
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (
            header::HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=()",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if secure {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    response
}
