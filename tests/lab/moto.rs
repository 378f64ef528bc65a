//! One AWS region: a moto server of its own, so that a region can be taken away by ending it.

use std::process::Command;
use std::sync::Mutex;

use rustix::process::Signal;

use super::http::{Response, request};
use super::process::{Process, free_port};
use super::scratch::{Folder, folder};
use super::setup::tool;

/// A region; ended on drop. Any key pair is taken; the tests use `test` and `test`.
pub struct Moto {
    region: String,
    port: u16,
    process: Mutex<Process>,
    _folder: Folder,
}

impl Moto {
    pub const ACCESS_KEY: &str = "test";
    pub const SECRET_KEY: &str = "test";

    pub fn start(region: &str) -> Self {
        let folder = folder("moto");
        for _ in 0..5 {
            let port = free_port();
            let mut command = Command::new(tool("MOTO_SERVER").with_file_name("python"));
            command.arg(super::sql_file("moto_server.py"));
            command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
            command.current_dir(folder.path()).env("HOME", folder.path());
            let what = format!("moto for {region} on port {port}");
            let mut process = Process::start(&what, command, &folder.join("log"), Signal::KILL);
            let ready = process.wait_until(|| {
                request(port, "GET", "/moto-api/", &[], b"").is_ok_and(|r| r.status == 200)
            });
            match ready {
                Ok(()) => {
                    let process = Mutex::new(process);
                    return Self { region: region.to_owned(), port, process, _folder: folder };
                }
                // Another process took the port in between.
                Err(log) if log.contains("in use") => {}
                Err(log) => panic!("{log}"),
            }
        }
        panic!("found no free port for moto in five attempts");
    }

    pub fn region(&self) -> &str {
        &self.region
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> i32 {
        self.process.lock().unwrap().pid().as_raw_nonzero().get()
    }

    /// `http://127.0.0.1:port`; S3 needs path-style addresses there.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn create_bucket(&self, name: &str) {
        self.create_bucket_with(name, &[]);
    }

    fn create_bucket_with(&self, name: &str, headers: &[(&str, &str)]) {
        let body = match self.region.as_str() {
            // The one region that must not be named (CreateBucket, LocationConstraint).
            "us-east-1" => String::new(),
            region => format!(
                "<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint>\
                 </CreateBucketConfiguration>"
            ),
        };
        self.s3_with("PUT", &format!("/{name}"), headers, body.as_bytes());
    }

    /// Lets everybody read one object, as health checkers must.
    pub fn open_to_all(&self, bucket: &str, key: &str) {
        let policy = serde_json::json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
            "Resource": format!("arn:aws:s3:::{bucket}/{key}"),
        }]});
        self.s3_ok("PUT", &format!("/{bucket}?policy"), policy.to_string().as_bytes());
    }

    /// A new bucket with a name of its own.
    pub fn fresh_bucket(&self, prefix: &str) -> String {
        let name = super::unique(prefix).replace('_', "-");
        self.create_bucket(&name);
        name
    }

    /// A bucket that keeps every version of an object, and lets objects be locked.
    pub fn fresh_locked_bucket(&self, prefix: &str) -> String {
        let name = super::unique(prefix).replace('_', "-");
        self.create_bucket_with(&name, &[("x-amz-bucket-object-lock-enabled", "true")]);
        name
    }

    /// Sets a bucket up: `versioning`, `encryption`, `publicAccessBlock` and the like, in XML.
    pub fn set_up(&self, bucket: &str, what: &str, xml: &str) {
        self.s3_ok("PUT", &format!("/{bucket}?{what}"), xml.as_bytes());
    }

    /// The keys that begin with `prefix`, sorted.
    pub fn keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let mut keys = Vec::new();
        let mut after = String::new();
        loop {
            let path = format!(
                "/{bucket}?list-type=2&max-keys=100&prefix={}&start-after={}",
                enc(prefix),
                enc(&after)
            );
            let text = self.s3_ok("GET", &path, b"").text();
            for piece in text.split("<Key>").skip(1) {
                let key = piece.split("</Key>").next().unwrap_or_default();
                let key = key.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">");
                keys.push(key.replace("&amp;", "&"));
            }
            if !text.contains("<IsTruncated>true</IsTruncated>") {
                keys.sort();
                return keys;
            }
            after = keys.last().cloned().unwrap_or_default();
        }
    }

    pub fn get(&self, bucket: &str, key: &str) -> Vec<u8> {
        self.s3_ok("GET", &object(bucket, key), b"").body
    }

    /// Overwrites the object, checksum and all, as a careless or hostile hand would.
    pub fn put(&self, bucket: &str, key: &str, body: &[u8]) {
        self.s3_ok("PUT", &object(bucket, key), body);
    }

    pub fn delete(&self, bucket: &str, key: &str) {
        self.s3_ok("DELETE", &object(bucket, key), b"");
    }

    /// Whether its process is there, stopped or not.
    pub fn runs(&self) -> bool {
        self.process.lock().unwrap().has_ended().is_none()
    }

    /// Stops answering, with connections left open, until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.process.lock().unwrap().signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.process.lock().unwrap().signal(Signal::CONT);
    }

    /// Takes the region away for good: connections are refused and its objects are lost.
    pub fn kill(&self) {
        self.process.lock().unwrap().end_with(Signal::KILL);
    }

    fn s3_ok(&self, method: &str, path: &str, body: &[u8]) -> Response {
        self.s3_with(method, path, &[], body)
    }

    fn s3_with(&self, method: &str, path: &str, more: &[(&str, &str)], body: &[u8]) -> Response {
        // moto reads the region from here, and checks no signature.
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=test/20200101/{}/s3/aws4_request, \
             SignedHeaders=host, Signature=0",
            self.region
        );
        let mut headers = vec![("Authorization", authorization.as_str())];
        headers.extend_from_slice(more);
        let response = request(self.port, method, path, &headers, body)
            .unwrap_or_else(|e| panic!("{method} {path} at moto {}: {e}", self.region));
        assert!(
            (200..300).contains(&response.status),
            "{method} {path} at moto {}: {} {}",
            self.region,
            response.status,
            response.text()
        );
        response
    }
}

fn object(bucket: &str, key: &str) -> String {
    let key: Vec<String> = key.split('/').map(enc).collect();
    format!("/{bucket}/{}", key.join("/"))
}

fn enc(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}
