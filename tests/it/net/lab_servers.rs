//! The lab's DNS, mail and HTTP servers do what the other tests rely on.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_server::net::client::{Client, ClientHandle};
use hickory_server::net::runtime::TokioRuntimeProvider;
use hickory_server::net::tcp::TcpClientStream;
use hickory_server::net::udp::UdpClientStream;
use hickory_server::net::xfer::DnsMultiplexer;
use hickory_server::proto::op::{DnsResponse, ResponseCode};
use hickory_server::proto::rr::{DNSClass, Name, RecordType};

use crate::lab::{Answer, Cache, Dns, Mail, Manners, Receiver, Tls, Zone};

async fn ask(server: SocketAddr, tcp: bool, name: &str, kind: RecordType) -> DnsResponse {
    let name = Name::from_ascii(name).unwrap();
    let runtime = TokioRuntimeProvider::default();
    let mut client = if tcp {
        let (stream, sender) = TcpClientStream::new(server, None, None, runtime);
        let exchange = DnsMultiplexer::new(stream.await.unwrap(), sender);
        let (client, task) = Client::<TokioRuntimeProvider>::from_sender(exchange);
        tokio::spawn(task);
        client
    } else {
        let (client, task) = Client::<TokioRuntimeProvider>::from_sender(
            UdpClientStream::builder(server, runtime).build(),
        );
        tokio::spawn(task);
        client
    };
    client.query(name, DNSClass::IN, kind).await.unwrap()
}

fn values(response: &DnsResponse) -> Vec<String> {
    response.answers.iter().map(|r| format!("{} {}", r.ttl, r.data)).collect()
}

#[tokio::test]
async fn a_cache_keeps_an_answer_for_its_time_to_live() {
    let zone = Zone::new();
    zone.set("app.petforce.test", "A", 60, &["192.0.2.1"]);
    zone.set("www.petforce.test", "CNAME", 60, &["app.petforce.test."]);
    let authority = Dns::authority(&zone);
    let cache = Cache::of(zone.clone());
    let resolver = Dns::resolver(&cache);

    let app = "app.petforce.test.";
    let of = async |dns: &Dns| values(&ask(dns.address(), false, app, RecordType::A).await);
    assert_eq!(of(&resolver).await, ["60 192.0.2.1"]);
    zone.set("app.petforce.test", "A", 60, &["192.0.2.2"]);
    cache.age(Duration::from_secs(20));
    assert_eq!(of(&resolver).await, ["40 192.0.2.1"]);
    assert_eq!(of(&authority).await, ["60 192.0.2.2"]);
    cache.age(Duration::from_secs(40));
    assert_eq!(of(&resolver).await, ["60 192.0.2.2"]);

    let alias = ask(authority.address(), true, "www.petforce.test.", RecordType::A).await;
    assert_eq!(values(&alias), ["60 app.petforce.test.", "60 192.0.2.2"]);
    assert!(alias.metadata.authoritative);
    let none = ask(authority.address(), false, "none.petforce.test.", RecordType::A).await;
    assert_eq!(none.metadata.response_code, ResponseCode::NXDomain);
    authority.behave(Manners::Truncates);
    assert!(ask(authority.address(), false, app, RecordType::A).await.metadata.truncation);
    assert_eq!(values(&ask(authority.address(), true, app, RecordType::A).await), ["60 192.0.2.2"]);
}

#[tokio::test]
async fn a_receiver_keeps_requests_and_answers_as_told() {
    let receiver = Receiver::start();
    let client = reqwest::Client::builder().tls_backend_preconfigured(no_trust()).build().unwrap();
    receiver.next(Answer::says(503, "later").header("retry-after", "1"));
    let first = client.post(receiver.url("/a?b=c")).body("{\"x\":1}").send().await.unwrap();
    assert_eq!(
        (first.status().as_u16(), first.headers()["retry-after"].as_bytes()),
        (503, &b"1"[..])
    );
    assert_eq!(client.get(receiver.url("/")).send().await.unwrap().status(), 200);
    receiver.answers(Answer::Resets);
    let fresh = reqwest::Client::builder().tls_backend_preconfigured(no_trust()).build().unwrap();
    assert!(fresh.get(receiver.url("/")).send().await.is_err());
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!((requests[0].path.as_str(), &requests[0].json()["x"]), ("/a?b=c", &1.into()));
}

fn no_trust() -> rustls::ClientConfig {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

/// Python's own client speaks to it, so that what the tests of drctl find is not of one mind.
#[test]
fn a_mail_server_wants_tls_and_a_password_where_told() {
    let tls = Tls::make();
    let servers = [
        (Mail::options().smtps(&tls).login("drctl", "geheim").start(), "SMTP_SSL"),
        (Mail::options().starttls(&tls).login("drctl", "geheim").start(), "SMTP"),
    ];
    for (server, class) in servers {
        let script = format!(
            "import smtplib, ssl\n\
             context = ssl.create_default_context(cafile='{}')\n\
             def open(tls):\n\
             \x20   if '{class}' == 'SMTP_SSL': return smtplib.SMTP_SSL('127.0.0.1', {port}, context=context)\n\
             \x20   client = smtplib.SMTP('127.0.0.1', {port})\n\
             \x20   if tls: client.starttls(context=context)\n\
             \x20   return client\n\
             for tls, word in [(False, None), (True, None), (True, 'wrong'), (True, 'geheim')]:\n\
             \x20   client = open(tls)\n\
             \x20   try:\n\
             \x20       if word: client.login('drctl', word)\n\
             \x20       client.sendmail('a@petforce.test', ['b@petforce.test'], 'Subject: '+str(word)+'\\r\\n\\r\\nhi')\n\
             \x20       print('sent', word)\n\
             \x20   except smtplib.SMTPException as e: print('refused', word)\n",
            tls.ca().display(),
            port = server.port(),
        );
        let python = crate::lab::tool("MOTO_SERVER").with_file_name("python");
        let output = std::process::Command::new(python).args(["-c", &script]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lines: Vec<_> = said.lines().collect();
        lines.dedup();
        assert_eq!(lines, ["refused None", "refused wrong", "sent geheim"], "{output:?}");
        let mails = server.mails();
        assert_eq!(mails.len(), 1);
        assert!(mails[0].contains("X-Lab-Tls: yes\nX-Lab-User: drctl\n"), "{}", mails[0]);
        assert!(mails[0].contains("X-Envelope-To: b@petforce.test\n"), "{}", mails[0]);
    }
}
