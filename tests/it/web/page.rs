//! What is served, to whom, and within which limits.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{TOKEN, Web};
use crate::home::Home;
use crate::lab::{Tls, tool};

const RUNBOOK: &str = "title = \"Region failure\"\nrto = \"5m\"\n\
    [[step]]\nid = \"freeze\"\nuses = \"command.run\"\ntimeout = \"20s\"\n\
    [step.with]\nargv = [\"true\"]\nidempotent = true\neffect = \"stop <b>robots</b>\"\n";

fn home(more: &str) -> Home {
    let home = Home::local("host=nowhere.invalid", more);
    std::fs::create_dir(home.folder.join("runbooks")).unwrap();
    std::fs::write(home.folder.join("runbooks/region-failover.toml"), RUNBOOK).unwrap();
    home
}

#[test]
fn the_page_shows_runs_and_carries_what_browsers_must_know() {
    let home = home("");
    home.run(&["failover", "--confirm", "us-west-2", "--skip-preflight", "a test"], 0);
    let web = Web::start(&home);
    let page = web.get("/");
    assert_eq!(page.status, 200, "{}", page.text());
    let text = page.text();
    assert!(text.contains("NOT READY") && text.contains("has no servers configured"), "{text}");
    assert!(text.contains("no snapshot of petforce"), "{text}");
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    assert_eq!(page.header("strict-transport-security"), None);

    let state = web.state();
    let run = state["past_runs"]["known"][0]["id"].as_str().unwrap().to_owned();
    assert!(text.contains(&format!("/runs/{run}")), "{text}");
    for path in [format!("/runs/{run}"), "/runs/latest".to_owned()] {
        let report = web.get(&path);
        assert_eq!(report.status, 200, "{}", report.text());
        assert!(report.text().contains("stop &lt;b&gt;robots&lt;/b&gt;"), "{}", report.text());
        let policy = report.header("content-security-policy").unwrap();
        assert!(policy.contains("style-src 'sha256-"), "{policy}");
        // It is over, so it does not change.
        assert_eq!(report.header("refresh"), None);
    }
    for (path, status) in [
        ("/healthz", 200),
        ("/runs/r1", 404),
        ("/runs/..%2f..%2fx", 404),
        ("/x", 404),
        ("/metrics", 404),
    ] {
        assert_eq!(web.get(path).status, status, "{path}");
    }
    for (method, path) in [("POST", "/"), ("DELETE", "/runs/latest"), ("GET", "/login")] {
        assert_eq!(web.ask(method, path, &[], "").status, 405, "{method} {path}");
    }
    assert_eq!(web.ask("POST", "/intake/x", &[], "{}").status, 404);
    assert_eq!(web.stop(), Some(0));
}

#[test]
fn what_everybody_could_read_is_not_served() {
    let home = home("");
    let refused = home.run(&["web", "--listen", "0.0.0.0:0"], 2);
    assert!(refused.stderr.contains("anybody could read it"), "{}", refused.stderr);
    assert!(refused.stderr.contains("`token` in [web]"), "{}", refused.stderr);
    let web = Web::start(&home);
    // A page of elsewhere that pointed its own name at this machine.
    let foreign = web_with_host(&web, "evil.example");
    assert!(foreign.starts_with("HTTP/1.1 421"), "{foreign}");
    assert!(web_with_host(&web, "localhost").starts_with("HTTP/1.1 200"));
    // The address is taken.
    let taken = home.run(&["web", "--listen", &format!("127.0.0.1:{}", web.port)], 1);
    assert!(taken.stderr.contains("another address or port"), "{}", taken.stderr);
}

fn web_with_host(web: &Web, host: &str) -> String {
    raw(web.port, &format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
}

/// Sends bytes as they are and reads until the other side ends.
fn raw(port: u16, text: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    let _ = stream.write_all(text.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_reader_gives_the_token_once() {
    let home = home(&format!("[web]\ntoken = \"{TOKEN}\"\n"));
    let web = Web::start(&home);
    assert_eq!(web.get("/healthz").status, 200);
    for path in ["/", "/state.json", "/metrics", "/runs/latest"] {
        let refused = web.get(path);
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.header("www-authenticate").unwrap().starts_with("Bearer"));
    }
    let browser = web.ask("GET", "/", &[("Accept", "text/html")], "");
    assert_eq!(browser.status, 401);
    assert!(browser.text().contains("<form") && !browser.text().contains("petforce"));
    let bearer = format!("Bearer {TOKEN}");
    assert_eq!(web.ask("GET", "/", &[("Authorization", &bearer)], "").status, 200);

    let wrong = web.ask("POST", "/login", &[], "token=guess");
    assert_eq!((wrong.status, wrong.header("set-cookie")), (403, None));
    let right = web.ask("POST", "/login", &[], &format!("name=drctl&token={TOKEN}"));
    assert_eq!((right.status, right.header("location")), (303, Some("/")));
    let cookie = right.header("set-cookie").unwrap();
    let pair = cookie.split(';').next().unwrap();
    assert_eq!(web.ask("GET", "/", &[("Cookie", pair)], "").status, 200);
    let forged = pair.replace('.', ".0");
    assert_eq!(web.ask("GET", "/", &[("Cookie", &forged)], "").status, 401);
    // Nothing that was asked or served gave it away.
    assert!(!web.said().contains(TOKEN));
}

#[test]
fn nobody_gets_more_than_a_share() {
    let home = home("");
    let web = Web::start(&home);
    let long = "x".repeat(64 << 10);
    let answer = raw(web.port, &format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n"));
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let form = web.ask("POST", "/login", &[], &"x".repeat((4 << 10) + 1));
    assert_eq!(form.status, 413);
    // Who begins a request and does not go on with it is not waited for.
    let slow = raw(web.port, "GET / HTTP/1.1\r\nHost: localhost\r\n");
    assert!(slow.is_empty() || slow.starts_with("HTTP/1.1 408"), "{slow}");
    assert_eq!(web.get("/healthz").status, 200);
}

#[test]
fn with_authorities_only_their_certificates_open() {
    let tls = Tls::make();
    let path = |path: std::path::PathBuf| path.display().to_string();
    let home = home(&format!(
        "[web]\ncert = \"{}\"\nkey = \"{}\"\nclient_ca = \"{}\"\n",
        path(tls.server_cert()),
        path(tls.server_key()),
        path(tls.ca())
    ));
    let web = Web::start(&home);
    let ask = |more: &[String]| {
        let mut command = Command::new(tool("OPENSSL"));
        command.args(["s_client", "-quiet", "-verify_return_error", "-connect"]);
        command.arg(format!("127.0.0.1:{}", web.port)).args(["-CAfile", &path(tls.ca())]);
        command.args(more).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let _ = stdin.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n");
        let output = child.wait_with_output().unwrap();
        drop(stdin);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let own = ask(&[
        "-cert".to_owned(),
        path(tls.client_cert()),
        "-key".to_owned(),
        path(tls.client_key()),
    ]);
    assert!(own.starts_with("HTTP/1.0 200") || own.starts_with("HTTP/1.1 200"), "{own}");
    assert!(own.to_lowercase().contains("strict-transport-security: max-age=31536000"), "{own}");
    assert!(!ask(&[]).contains("HTTP/"));
    // A file that is no certificate is told before anything is served.
    let config = std::fs::read_to_string(home.folder.join("drctl.toml")).unwrap();
    let key = path(tls.server_key());
    let broken = config.replace(&path(tls.server_cert()), &key);
    std::fs::write(home.folder.join("drctl.toml"), broken).unwrap();
    let refused = home.run(&["web", "--listen", "127.0.0.1:0"], 2);
    assert!(refused.stderr.contains("there is none in it"), "{}", refused.stderr);
}
