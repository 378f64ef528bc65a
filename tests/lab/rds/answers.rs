//! The form of RDS's requests and answers: the query protocol with XML.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::lab::xml::tag;

/// How many instances a page has, few enough that there are several pages.
const PAGE: usize = 2;

/// The parameters of a request.
pub struct Form(Vec<(String, String)>);

impl Form {
    pub fn read(body: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(body).into_owned().collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// `Tags.Tag.N.Key` with `Tags.Tag.N.Value`.
    pub fn tags(&self) -> Vec<(String, String)> {
        let at = |n: usize, part: &str| self.get(&format!("Tags.Tag.{n}.{part}"));
        let pairs = (1..).map_while(|n| Some((at(n, "Key")?, at(n, "Value")?)));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

/// The answer of `action` with that result.
pub fn envelope(action: &str, result: &str) -> Response {
    let metadata = tag("ResponseMetadata", &tag("RequestId", "lab"));
    let body = format!(
        "<{action}Response xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\">{}{metadata}\
         </{action}Response>",
        tag(&format!("{action}Result"), result)
    );
    ([("content-type", "text/xml")], body).into_response()
}

/// One page of instances, with the marker of the next.
pub fn page(form: &Form, all: &[String]) -> Response {
    let from: usize = form.get("Marker").and_then(|marker| marker.parse().ok()).unwrap_or(0);
    let to = (from + PAGE).min(all.len());
    let mut result = tag("DBInstances", &all[from.min(to)..to].concat());
    if to < all.len() {
        result.push_str(&tag("Marker", &to.to_string()));
    }
    envelope("DescribeDBInstances", &result)
}

/// As query services refuse.
pub fn refusal(status: u16, code: &str, message: &str) -> Response {
    let error = tag("Type", "Sender") + &tag("Code", code) + &tag("Message", message);
    let body = format!(
        "<ErrorResponse xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\">{}{}</ErrorResponse>",
        tag("Error", &error),
        tag("RequestId", "lab")
    );
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    (status, [("content-type", "text/xml")], body).into_response()
}
