//! AWS calls by hand, to set a world up: moto reads the region from the signature and checks none.

use super::http::{Response, request};

/// Where to and as whom.
#[derive(Clone, Copy)]
pub struct Api<'a> {
    pub port: u16,
    pub region: &'a str,
    /// As in signatures: `ecs`, `elasticloadbalancing`.
    pub service: &'a str,
}

impl Api<'_> {
    fn send(self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        self.try_send(method, path, headers, body)
            .unwrap_or_else(|e| panic!("{method} {path} at {}: {e}", self.region))
    }

    fn try_send(
        self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> std::io::Result<Response> {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=test/20200101/{}/{}/aws4_request, \
             SignedHeaders=host, Signature=0",
            self.region, self.service
        );
        let headers = [&[("Authorization", authorization.as_str())], headers].concat();
        request(self.port, method, path, &headers, body.as_bytes())
    }

    /// An action of a JSON service: `AmazonEC2ContainerServiceV20141113.CreateCluster`.
    pub fn json(self, target: &str, body: &serde_json::Value) -> serde_json::Value {
        let headers = [("X-Amz-Target", target), ("Content-Type", "application/x-amz-json-1.1")];
        let answer = self.send("POST", "/", &headers, &body.to_string());
        assert_eq!(answer.status, 200, "{target} {body}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Likewise, without an answer when there is none or it is a refusal.
    pub fn try_json(self, target: &str, body: &serde_json::Value) -> Option<serde_json::Value> {
        let headers = [("X-Amz-Target", target), ("Content-Type", "application/x-amz-json-1.1")];
        let answer = self.try_send("POST", "/", &headers, &body.to_string()).ok()?;
        (answer.status == 200).then(|| serde_json::from_slice(&answer.body).ok())?
    }

    /// An action of a query service, with its XML.
    pub fn query(self, version: &str, action: &str, parameters: &[(&str, &str)]) -> String {
        let answer = self.try_query(version, action, parameters);
        answer.unwrap_or_else(|refusal| panic!("{action} {parameters:?}: {refusal}"))
    }

    /// Likewise, with the text of a refusal as the error.
    pub fn try_query(
        self,
        version: &str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<String, String> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", action).append_pair("Version", version);
        form.extend_pairs(parameters);
        let form = form.finish();
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let answer = self.send("POST", "/", &headers, &form);
        if answer.status == 200 { Ok(answer.text()) } else { Err(answer.text()) }
    }

    /// A request of a REST service with XML, such as Route 53.
    pub fn rest(self, method: &str, path: &str, body: &str) -> String {
        let answer = self.send(method, path, &[("Content-Type", "text/xml")], body);
        assert!((200..300).contains(&answer.status), "{method} {path} {body}: {}", answer.text());
        answer.text()
    }
}
