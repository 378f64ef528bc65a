//! Connection strings: what libpq reads, what is refused, and that nothing shows a password.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Conninfo> {
    Conninfo::parse(&Secret::new(text))
}

fn tcp(name: &str, port: u16) -> Endpoint {
    Endpoint { host: Host::Tcp(name.to_owned()), address: None, port }
}

fn password(info: &Conninfo) -> Option<&str> {
    info.password.as_ref().map(Password::expose)
}

/// The whole of an error as a person may see it.
fn told(text: &str) -> String {
    let error = parse(text).expect_err(text);
    assert_eq!(error.kind(), Kind::Usage);
    format!("{}; {}", error.one_line(), error.advice().unwrap_or_default())
}

#[test]
fn a_uri_gives_every_part() {
    let info = parse("postgresql://dr%40ctl:p%3Ass%2F@db.example:6432/pet%20force?sslmode=require")
        .unwrap();
    assert_eq!(info.endpoints, [tcp("db.example", 6432)]);
    assert_eq!(info.user, "dr@ctl");
    assert_eq!(password(&info), Some("p:ss/"));
    assert_eq!(info.database, "pet force");
    assert_eq!(info.ssl_mode(), SslMode::Require);
    assert_eq!(info.host_for_people(), "db.example:6432/pet force as dr@ctl");
}

#[test]
fn parts_that_are_left_out_take_their_defaults() {
    let info = parse("postgres://u@h").unwrap();
    assert_eq!(info.endpoints, [tcp("h", 5432)]);
    assert_eq!(info.database, "u", "the user's name");
    assert_eq!(password(&info), None);
    assert_eq!(info.ssl_mode(), SslMode::Prefer);
    assert_eq!(info.connect_timeout, Some(Duration::from_secs(10)));
    assert_eq!(info.keepalives, Keepalives::default());

    let nobody = parse("host=h").unwrap();
    assert!(!nobody.user.is_empty(), "the operating system's user");
    assert_eq!(nobody.database, nobody.user);

    let nowhere = parse("postgresql:///d?user=u&port=1").unwrap();
    assert_eq!(nowhere.endpoints, [tcp("localhost", 1)], "no socket has port 1");
}

#[test]
fn several_hosts_sockets_and_ipv6() {
    let info = parse("postgresql://u@a:1,b,[::1]:3/d").unwrap();
    assert_eq!(info.endpoints, [tcp("a", 1), tcp("b", 5432), tcp("::1", 3)]);
    assert_eq!(info.host_for_people(), "a:1,b:5432,[::1]:3/d as u");

    for socket in ["postgresql://u@%2Frun%2Fpg:7/d", "postgresql://u@:7/d?host=/run/pg"] {
        let info = parse(socket).unwrap();
        assert_eq!(
            info.endpoints,
            [Endpoint { host: Host::Socket("/run/pg".into()), address: None, port: 7 }]
        );
        assert_eq!(info.host_for_people(), "/run/pg/.s.PGSQL.7/d as u");
    }

    let info = parse("host=a,b port=9 hostaddr=10.0.0.1,::1 user=u").unwrap();
    let addresses: Vec<_> = info.endpoints.iter().map(|e| e.address.unwrap().to_string()).collect();
    assert_eq!(addresses, ["10.0.0.1", "::1"]);
    assert!(info.endpoints.iter().all(|e| e.port == 9), "one port is for all hosts");
    assert_eq!(
        parse("hostaddr=10.0.0.1 user=u").unwrap().endpoints[0].host,
        Host::Tcp("10.0.0.1".into())
    );

    assert!(told("host=a,b,c port=1,2 user=u").contains("2 ports stand beside 3 hosts"));
    assert!(told("host=a,b hostaddr=10.0.0.1 user=u").contains("2 hosts stand beside 1 hostaddrs"));
}

#[test]
fn key_value_pairs_with_quotes_and_escapes() {
    let info = parse(r"  host = 'db.example' port=1 user=u password='it\'s \\ here' dbname=d\ b ")
        .unwrap();
    assert_eq!(password(&info), Some(r"it's \ here"));
    assert_eq!(info.database, "d b");
    assert_eq!(info.endpoints, [tcp("db.example", 1)]);

    let last = parse("host=a host=b user=u password=''").unwrap();
    assert_eq!(last.endpoints, [tcp("b", 5432)], "the last one wins");
    assert_eq!(password(&last), None, "an empty value is an unset one");
}

#[test]
fn every_tls_parameter_is_understood() {
    let info = parse(
        "host=h user=u sslmode=verify-full sslrootcert=/ca sslcert=/c sslkey=/k sslcrl=/crl sslsni=0 \
         ssl_min_protocol_version=TLSv1.3 sslnegotiation=direct sslcertmode=disable channel_binding=require",
    )
    .unwrap();
    let tls = &info.tls;
    assert_eq!(tls.mode, SslMode::VerifyFull);
    assert_eq!(tls.negotiation, SslNegotiation::Direct);
    assert_eq!(tls.root.as_ref().unwrap().as_text(), "/ca");
    assert!(!tls.sni && tls.min_version.is_13() && !tls.send_certificate);
    assert_eq!(info.channel_binding, ChannelBinding::Require);

    let jdbc = parse("postgresql://u@h/?ssl=true").unwrap();
    assert_eq!(jdbc.ssl_mode(), SslMode::Require);
    let system = parse("postgresql://u@h/?sslrootcert=system").unwrap();
    assert_eq!(system.ssl_mode(), SslMode::VerifyFull, "libpq's default with system roots");

    assert!(told("user=u sslrootcert=system sslmode=require").contains("too weak"));
    assert!(told("user=u sslnegotiation=direct sslmode=prefer").contains("too weak"));
    assert!(
        told("user=u ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2")
            .contains("above")
    );
}

#[test]
fn timeouts_and_keepalives_mean_what_libpq_means() {
    let limit = |text: &str| parse(text).unwrap().connect_timeout;
    assert_eq!(limit("user=u connect_timeout=0"), None);
    assert_eq!(limit("user=u connect_timeout=-1"), None);
    assert_eq!(limit("user=u connect_timeout=1"), Some(Duration::from_secs(2)));
    let info =
        parse("user=u keepalives_idle=5 keepalives_count=0 keepalives=0 tcp_user_timeout=1500")
            .unwrap();
    assert_eq!(info.keepalives.idle, Duration::from_secs(5));
    assert_eq!(info.keepalives.retries, 3, "0 is the default");
    assert!(!info.keepalives.enabled);
    assert_eq!(info.tcp_user_timeout, Some(Duration::from_millis(1500)), "milliseconds in libpq");
}

#[test]
fn what_other_clients_add_is_ignored_aloud_and_what_nobody_knows_is_refused() {
    let info = parse("postgresql://u@h/d?pgbouncer=true&connection_limit=1&schema=public").unwrap();
    assert_eq!(info.warnings().len(), 3);
    assert!(info.warnings()[0].contains("`pgbouncer`"));

    assert!(
        told("user=u sslmod=require")
            .contains("unknown parameter `sslmod`; did you mean `sslmode`?")
    );
    assert!(told("user=u flux=1").contains("unknown parameter `flux`"));
    assert!(told("user=u service=prod").contains("`service` is not supported"));
    assert!(told("user=u sslpassword=x").contains("`sslpassword` is not supported"));
    assert!(told("user=u sslmode=strict").contains("`sslmode` must be disable, allow"));
    assert!(told("user=u port=0").contains("1 to 65535"));
    assert!(told("user=u client_encoding=LATIN1").contains("UTF8"));
    assert!(told("jdbc:postgresql://h/d").contains("start it with postgresql://"));
    assert!(told("mysql://h/d").contains("`mysql`"));
    assert!(told("  ").contains("it is empty"));
}

#[test]
fn no_error_and_no_debug_shows_a_password() {
    let secret = "hunter2";
    for text in [
        "postgresql://u:hunter2/x@h/d",
        "postgresql://u:hunter2%@h/d",
        "postgresql://u:hunter2%00@h/d",
        "postgresql://u:h%FFunter2@h/d",
        "postgresql://u:a@hunter2:b@h/d",
        "postgresql://u@h/d?password=x&hunter2",
        "postgresql://u@h:hunter2/d",
        "user=u password=a hunter2 host=h",
        "user=u password='hunter2",
        "user=u port=hunter2",
        "user=u sslmode=hunter2",
        "user=u hostaddr=hunter2",
        "user=u connect_timeout=hunter2",
    ] {
        let told = told(text);
        assert!(!told.contains(secret) && !told.contains("unter2"), "{told}");
    }
    let info = parse("postgresql://u:hunter2@h/d").unwrap();
    assert!(!format!("{info:?}").contains(secret));
    assert!(!info.host_for_people().contains(secret));
}

#[test]
fn children_get_the_same_connection_by_their_environment() {
    let info = parse(
        "postgresql://u:pw@a:1,b:2/d?sslmode=verify-full&sslrootcert=/ca&sslcert=/c&sslkey=/k\
         &options=-c%20x%3D1&connect_timeout=1&application_name=me&target_session_attrs=read-write",
    )
    .unwrap();
    let env: BTreeMap<_, _> = info.child_env().into_iter().collect();
    let expected = [
        ("PGAPPNAME", "me"),
        ("PGCHANNELBINDING", "prefer"),
        ("PGCONNECT_TIMEOUT", "2"),
        ("PGDATABASE", "d"),
        ("PGGSSENCMODE", "disable"),
        ("PGHOST", "a,b"),
        ("PGOPTIONS", "-c x=1"),
        ("PGPASSWORD", "pw"),
        ("PGPORT", "1,2"),
        ("PGSSLCERT", "/c"),
        ("PGSSLKEY", "/k"),
        ("PGSSLMODE", "verify-full"),
        ("PGSSLROOTCERT", "/ca"),
        ("PGTARGETSESSIONATTRS", "read-write"),
        ("PGUSER", "u"),
    ];
    let expected: BTreeMap<_, _> =
        expected.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    assert_eq!(env, expected);

    let pinned =
        info.pinned_to(Endpoint { address: Some("10.0.0.2".parse().unwrap()), ..tcp("b", 2) });
    let env: BTreeMap<_, _> = pinned.with_database("other").child_env().into_iter().collect();
    assert_eq!(env["PGHOST"], "b", "the name that the certificate is for");
    assert_eq!(env["PGHOSTADDR"], "10.0.0.2", "the address that was reached");
    assert_eq!(env["PGDATABASE"], "other");
    assert!(!env.contains_key("PGTARGETSESSIONATTRS"));
}

/// Writes text as a URI component that holds nothing but what needs no encoding.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02x}") }
        })
        .collect()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

proptest! {
    #[test]
    fn whatever_is_encoded_or_quoted_comes_back(
        user in "[^\0]{1,12}",
        secret in "[^\0]{1,12}",
        database in "[^\0]{1,12}",
        port in 1u16..,
    ) {
        let uri = format!(
            "postgresql://{}:{}@h:{port}/{}", encoded(&user), encoded(&secret), encoded(&database)
        );
        let pairs = format!(
            "host=h port={port} user={} password={} dbname={}",
            quoted(&user), quoted(&secret), quoted(&database)
        );
        for text in [uri, pairs] {
            let info = parse(&text).unwrap();
            prop_assert_eq!(&info.user, &user);
            prop_assert_eq!(password(&info), Some(secret.as_str()));
            prop_assert_eq!(&info.database, &database);
            prop_assert_eq!(&info.endpoints, &[tcp("h", port)]);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "(postgres(ql)?://)?[ -~é\n]{0,60}") {
        let _ = parse(&text);
    }
}
