//! Connecting to real PostgreSQL servers and real poolers: TLS as libpq means it, passwords,
//! sockets, errors and what ends a session.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use drctl::config::Secret;
use drctl::error::{Error, Kind};
use drctl::postgres::{
    Conninfo, Pooling, Program, Session, Tool, check_pooling, connect, is_connection_lost,
    is_transient, run, sqlstate,
};

// ---------------------------------------------------------------- the servers

/// A user that PostgreSQL agrees to run as; none: the one who runs the tests.
fn unprivileged() -> Option<(u32, u32)> {
    let id = |args: &[&str]| -> u32 {
        let output = Command::new("id").args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    };
    (id(&["-u"]) == 0).then(|| (id(&["-u", "postgres"]), id(&["-g", "postgres"])))
}

fn sh(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn as_owner(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C").current_dir("/");
    if let Some((uid, gid)) = unprivileged() {
        command.uid(uid).gid(gid);
    }
    command
}

fn bin(name: &str) -> PathBuf {
    let mut found: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL's server programs are needed (scripts/setup)")
        .map(|entry| entry.unwrap().path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().expect("PostgreSQL's server programs are needed (scripts/setup)")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn owned_folder() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("drctl-it-").tempdir().unwrap();
    own(dir.path());
    dir
}

fn own(path: &Path) {
    if let Some((uid, gid)) = unprivileged() {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    own(path);
}

/// One server with its own folder and port; it ends with the value.
struct Server {
    dir: tempfile::TempDir,
    port: u16,
    process: Child,
}

impl Server {
    /// `hba` and `settings` are lines of pg_hba.conf and postgresql.conf.
    fn start(hba: &str, settings: &str, prepare: impl FnOnce(&Path)) -> Self {
        let dir = owned_folder();
        let data = dir.path().join("data");
        sh(as_owner(bin("initdb"))
            .args(["-A", "trust", "-U", "postgres", "-N", "-E", "UTF8", "-D"])
            .arg(&data));
        prepare(&data);
        let port = free_port();
        write(&data.join("pg_hba.conf"), &format!("local all postgres trust\n{hba}\n"), 0o600);
        let conf = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\n\
             fsync = off\nshared_buffers = 16MB\npassword_encryption = 'scram-sha-256'\n{settings}\n",
            dir.path().display()
        );
        write(&data.join("postgresql.conf"), &conf, 0o600);
        let process = Self::launch(&data);
        let mut server = Self { dir, port, process };
        server.wait();
        for sql in [
            "CREATE ROLE app LOGIN PASSWORD 's3cret'",
            "CREATE ROLE certified LOGIN",
            "CREATE DATABASE petforce OWNER app",
        ] {
            server.psql(sql);
        }
        server
    }

    fn launch(data: &Path) -> Child {
        let log = fs::File::options().create(true).append(true).open(data.join("log")).unwrap();
        as_owner(bin("postgres"))
            .arg("-D")
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn wait(&mut self) {
        let limit = Instant::now() + Duration::from_secs(30);
        while !self.try_psql("SELECT 1") {
            let log = || fs::read_to_string(self.dir.path().join("data/log")).unwrap_or_default();
            assert!(self.process.try_wait().unwrap().is_none(), "the server ended: {}", log());
            assert!(Instant::now() < limit, "the server does not start: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn psql_command(&self, sql: &str) -> Command {
        let mut command = Command::new(bin("psql"));
        command.env("PGHOST", self.dir.path()).env("PGPORT", self.port.to_string());
        command.args(["-XqU", "postgres", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        command
    }

    fn psql(&self, sql: &str) {
        sh(&mut self.psql_command(sql));
    }

    fn try_psql(&self, sql: &str) -> bool {
        self.psql_command(sql)
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .unwrap()
            .success()
    }

    fn signal(&self, signal: &str) {
        sh(Command::new("kill").args([signal, &self.process.id().to_string()]));
    }

    /// `user`'s connection over TCP, with further parameters.
    fn tcp(&self, user: &str, more: &str) -> String {
        format!(
            "host=localhost hostaddr=127.0.0.1 port={} dbname=petforce user={user} {more}",
            self.port
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal("-QUIT");
        let _ = self.process.wait();
    }
}

/// Certificates made by the openssl program, as an administrator would.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn make() -> Self {
        let made = Self(owned_folder());
        for ca in ["ca", "stranger"] {
            made.openssl(&format!(
                "req -new -x509 -days 30 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
                 -subj /CN={ca} -keyout {ca}.key -out {ca}.crt"
            ));
        }
        made.signed("server", "/CN=db", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days 30");
        made.signed("elsewhere", "/CN=localhost", "subjectAltName=DNS:db.example", "-days 30");
        made.signed("common_name", "/CN=localhost", "keyUsage=digitalSignature", "-days 30");
        made.signed("expired", "/CN=x", "subjectAltName=DNS:localhost", "-days -1");
        made.signed("client", "/CN=certified", "keyUsage=digitalSignature", "-days 30");
        // As PostgreSQL's manual does it: self-signed, and for all that openssl cares an authority.
        made.openssl(
            "req -new -x509 -days 30 -nodes -newkey rsa:2048 -subj /CN=localhost -keyout self.key -out self.crt",
        );
        // Without extensions it becomes a certificate of version 1.
        made.openssl("req -new -key server.key -subj /CN=localhost -out v1.csr");
        made.openssl(
            "x509 -req -in v1.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out v1.crt",
        );
        fs::copy(made.path("server.key"), made.path("v1.key")).unwrap();
        made.revoke("server");
        made.openssl("pkcs8 -topk8 -in client.key -passout pass:x -out encrypted.key");
        made.openssl("ec -in client.key -out sec1.key");
        fs::copy(made.path("client.key"), made.path("open.key")).unwrap();
        for entry in fs::read_dir(made.0.path()).unwrap() {
            let path = entry.unwrap().path();
            let mode = if path.ends_with("open.key") { 0o644 } else { 0o600 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            own(&path);
        }
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        sh(Command::new("openssl").args(arguments.split_whitespace()).current_dir(self.0.path()));
    }

    fn signed(&self, name: &str, subject: &str, extension: &str, days: &str) {
        fs::write(self.path("extension"), extension).unwrap();
        self.openssl(&format!(
            "req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj {subject} \
             -keyout {name}.key -out {name}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial {days} \
             -extfile extension -out {name}.crt"
        ));
    }

    /// Writes `crl`, which holds this certificate and no other.
    fn revoke(&self, name: &str) {
        let conf = "[ca]\ndefault_ca = this\n[this]\ndatabase = index\ncrlnumber = number\n\
                    default_md = sha256\ndefault_crl_days = 30\ncrl_extensions = extensions\n\
                    [extensions]\nauthorityKeyIdentifier = keyid:always\n";
        fs::write(self.path("conf"), conf).unwrap();
        fs::write(self.path("index"), "").unwrap();
        fs::write(self.path("number"), "01\n").unwrap();
        let ca = "ca -config conf -keyfile ca.key -cert ca.crt";
        self.openssl(&format!("{ca} -revoke {name}.crt"));
        self.openssl(&format!("{ca} -gencrl -out crl"));
    }

    /// Settings of a server that shows this certificate.
    fn settings(&self, name: &str) -> String {
        let path = |end: &str| self.path(&format!("{name}.{end}")).display().to_string();
        format!(
            "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\nssl_ca_file = '{}'\n",
            path("crt"),
            path("key"),
            self.path("ca.crt").display()
        )
    }
}

async fn try_connect(text: &str) -> Result<Session, Error> {
    connect(&Conninfo::parse(&Secret::new(text)).unwrap(), "drctl test").await
}

/// Whether it connected, and whether by TLS; else the error as a person reads it.
async fn outcome(text: &str) -> String {
    match try_connect(text).await {
        Ok(session) => {
            let seen = session
                .row("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
                .await
                .unwrap();
            assert_eq!(seen.truth(0).unwrap(), session.is_encrypted(), "the server agrees");
            if session.is_encrypted() { "tls".to_owned() } else { "plain".to_owned() }
        }
        Err(e) => {
            assert!(!format!("{e:?}").contains("s3cret"), "the password is shown: {e:?}");
            format!("{}: {}", e.one_line(), e.advice().unwrap_or_default())
        }
    }
}

async fn assert_outcome(text: &str, wanted: &str) {
    let outcome = outcome(text).await;
    let as_wanted = match wanted {
        "tls" | "plain" => outcome == wanted,
        part => outcome.contains(part),
    };
    assert!(as_wanted, "wanted `{wanted}`, got `{outcome}` from {text}");
}

/// The same, and libpq comes to the same end: TLS, plain or no connection.
async fn assert_outcome_as_libpq(text: &str, wanted: &str) {
    assert_outcome(text, wanted).await;
    let ours = if ["tls", "plain"].contains(&wanted) { wanted } else { "refused" };
    let mut psql = tokio::process::Command::new(bin("psql"));
    psql.args(["-XAtwd", text, "-c", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"]);
    let output = psql.env("LC_ALL", "C").stdin(Stdio::null()).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let libpq = match (output.status.success(), output.stdout.as_slice()) {
        (true, b"t\n") => "tls",
        (true, b"f\n") => "plain",
        (false, _) => "refused",
        odd => panic!("{odd:?}"),
    };
    assert_eq!(ours, libpq, "from {text}; libpq said: {said}");
}

// ---------------------------------------------------------------- the tests

#[tokio::test]
async fn every_sslmode_against_a_server_with_tls() {
    let certs = Certificates::make();
    let server = Server::start(
        "hostssl all app 127.0.0.1/32 scram-sha-256\nhostnossl all postgres 127.0.0.1/32 trust\n\
         hostssl all certified 127.0.0.1/32 cert",
        &certs.settings("server"),
        |_| {},
    );
    let ca = format!("sslrootcert={}", certs.path("ca.crt").display());
    let stranger = format!("sslrootcert={}", certs.path("stranger.crt").display());
    let app = |more: &str| server.tcp("app", &format!("password=s3cret {more}"));

    // hostssl only: plain is refused, and `allow` comes round to TLS.
    assert_outcome_as_libpq(&app("sslmode=disable"), "no encryption").await;
    for mode in ["allow", "prefer", "require"] {
        assert_outcome_as_libpq(&app(&format!("sslmode={mode}")), "tls").await;
    }
    // hostnossl only: `prefer` comes round to plain, `allow` begins with it.
    for mode in ["disable", "allow", "prefer"] {
        assert_outcome_as_libpq(&server.tcp("postgres", &format!("sslmode={mode}")), "plain").await;
    }
    assert_outcome_as_libpq(&server.tcp("postgres", "sslmode=require"), "pg_hba.conf").await;

    for mode in ["require", "verify-ca", "verify-full"] {
        assert_outcome_as_libpq(&app(&format!("sslmode={mode} {ca}")), "tls").await;
        assert_outcome_as_libpq(
            &app(&format!("sslmode={mode} {stranger}")),
            "does not hold the authority",
        )
        .await;
    }
    assert_outcome_as_libpq(
        &app("sslmode=verify-ca sslrootcert=/nowhere/ca.crt"),
        "/nowhere/ca.crt",
    )
    .await;
    // libpq knows `system` since 16.
    assert_outcome(&app("sslrootcert=system"), "does not hold the authority").await;
    // SCRAM bound to the connection, and by an older protocol too.
    assert_outcome_as_libpq(&app("sslmode=require channel_binding=require"), "tls").await;
    assert_outcome_as_libpq(&app("sslmode=require ssl_max_protocol_version=TLSv1.2"), "tls").await;
    // By address: the certificate names that too.
    let by_address =
        app(&format!("sslmode=verify-full {ca}")).replace("host=localhost ", "host=127.0.0.1 ");
    assert_outcome_as_libpq(&by_address, "tls").await;

    // Client certificates.
    let with_key = |key: &str| {
        let certified = format!(
            "sslmode=verify-full {ca} sslcert={} sslkey={}",
            certs.path("client.crt").display(),
            certs.path(key).display()
        );
        server.tcp("certified", &certified)
    };
    assert_outcome_as_libpq(&with_key("client.key"), "tls").await;
    assert_outcome_as_libpq(&with_key("sec1.key"), "tls").await;
    assert_outcome_as_libpq(&with_key("open.key"), "chmod 600").await;
    assert_outcome_as_libpq(&with_key("encrypted.key"), "it is encrypted").await;
    assert_outcome_as_libpq(&with_key("server.key"), "client certificate with its private key")
        .await;
    assert_outcome_as_libpq(&server.tcp("certified", "sslmode=require"), "sslcert and sslkey")
        .await;
    assert_outcome_as_libpq(
        &format!("{} sslcertmode=disable", with_key("client.key")),
        "sslcert and sslkey",
    )
    .await;

    // Children connect in the same way; what older ones call `system` is a file to them.
    let info = Conninfo::parse(&Secret::new(app(&format!("sslmode=verify-full {ca}")))).unwrap();
    let psql = Program::find(Tool::Psql, None, 14).await.unwrap();
    let mut command = psql.command(&info);
    command
        .args(["-XAtc", "SELECT current_user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"]);
    assert_eq!(run(command).await.unwrap().stdout, b"app|t\n");
    let public = Conninfo::parse(&Secret::new(app("sslrootcert=system"))).unwrap();
    let mut command = psql.command(&public);
    command.args(["-Xc", "SELECT 1"]);
    let error = run(command).await.unwrap_err();
    assert!(error.one_line().contains("certificate verify failed"), "{error:?}");
    let mut command = psql.command(&info.with_database("absent"));
    command.args(["-Xc", "SELECT 1"]);
    let error = run(command).await.unwrap_err();
    assert!(error.one_line().contains("\"absent\" does not exist"), "{error:?}");
}

#[tokio::test]
async fn certificates_that_are_odd_are_judged_as_libpq_judges_them() {
    let certs = Certificates::make();
    let root = |name: &str| format!("sslrootcert={}", certs.path(name).display());
    let hba = "hostssl all app 127.0.0.1/32 scram-sha-256";

    let server = Server::start(hba, &certs.settings("elsewhere"), |_| {});
    let show = |name: &str| {
        let settings = certs.settings(name);
        for line in settings.lines().filter(|l| l.contains("cert_file") || l.contains("key_file")) {
            server.psql(&format!("ALTER SYSTEM SET {}", line.replace(" = ", " TO ")));
        }
        server.psql("SELECT pg_reload_conf()");
        std::thread::sleep(Duration::from_millis(300));
    };
    let app = |mode: &str, root: &str| {
        server.tcp("app", &format!("password=s3cret sslmode={mode} {root}"))
    };

    // Another name: its common name does not count where it has alternative names.
    assert_outcome_as_libpq(&app("verify-ca", &root("ca.crt")), "tls").await;
    assert_outcome_as_libpq(
        &app("verify-full", &root("ca.crt")),
        "use the host name that the certificate is for",
    )
    .await;
    // A wrong name *and* a wrong authority: the name, which does not count, must not excuse it.
    assert_outcome_as_libpq(
        &app("verify-ca", &root("stranger.crt")),
        "does not hold the authority",
    )
    .await;

    show("common_name");
    assert_outcome_as_libpq(&app("verify-full", &root("ca.crt")), "tls").await;
    assert_outcome_as_libpq(
        &app("verify-full", &root("stranger.crt")),
        "does not hold the authority",
    )
    .await;

    let revoked = format!("{} sslcrl={}", root("ca.crt"), certs.path("crl").display());
    assert_outcome_as_libpq(&app("verify-full", &revoked), "tls").await;
    show("server");
    assert_outcome_as_libpq(&app("verify-ca", &root("ca.crt")), "tls").await;
    assert_outcome_as_libpq(&app("verify-ca", &revoked), "is revoked").await;

    show("expired");
    assert_outcome_as_libpq(&app("verify-ca", &root("ca.crt")), "has expired").await;
    assert_outcome_as_libpq(&app("require", ""), "tls").await;

    show("self");
    assert_outcome_as_libpq(&app("verify-full", &root("self.crt")), "tls").await;
    assert_outcome_as_libpq(&app("verify-full", &root("ca.crt")), "name a copy of it").await;

    show("v1");
    assert_outcome_as_libpq(&app("require", ""), "tls").await;
    assert_outcome_as_libpq(&app("require", "channel_binding=require"), "tls").await;
    // OpenSSL believes version 1; rustls never does.
    assert_outcome(&app("verify-ca", &root("ca.crt")), "version 3").await;
}

#[tokio::test]
async fn a_server_without_tls_passwords_sockets_and_errors() {
    let mut server = Server::start(
        "local all app scram-sha-256\nhost all app 127.0.0.1/32 scram-sha-256",
        "max_connections = 8\nsuperuser_reserved_connections = 1",
        |_| {},
    );
    let app = |more: &str| server.tcp("app", more);

    for mode in ["disable", "allow", "prefer"] {
        assert_outcome(&app(&format!("password=s3cret sslmode={mode}")), "plain").await;
    }
    for mode in ["require", "verify-full sslrootcert=system"] {
        assert_outcome(&app(&format!("password=s3cret sslmode={mode}")), "does not offer TLS")
            .await;
    }
    assert_outcome(&app("password=s3cret channel_binding=require"), "channel_binding").await;

    // Sockets, by URI and by pair; the server's own folder is no default one.
    let dir = server.dir.path().display().to_string();
    let uri =
        format!("postgresql://app:s3cret@{}:{}/petforce", dir.replace('/', "%2F"), server.port);
    assert_outcome(&uri, "plain").await;
    assert_outcome(&format!("{uri}?sslmode=verify-full"), "plain").await;
    assert_outcome("host=/nowhere user=app password=x", "there is no such socket").await;

    // The password file.
    let pass = server.dir.path().join("pass");
    let passfile = format!("passfile={}", pass.display());
    write(&pass, "localhost:*:petforce:app:s3cret\n", 0o600);
    assert_outcome(&app(&passfile), "plain").await;
    write(&pass, "localhost:*:petforce:app:s3cret\n", 0o644);
    assert_outcome(&app(&passfile), "chmod 600").await;
    assert_outcome(&app("passfile=/nowhere"), "put the password").await;
    assert_outcome(&app(&format!("{passfile} password=wrong")), "28P01").await;

    // What a server refuses.
    let error = try_connect(&app("password=wrong")).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Postgres);
    assert_eq!(sqlstate(&error).as_deref(), Some("28P01"));
    assert!(
        error.what().contains(&format!("localhost:{}/petforce as app", server.port)),
        "{error:?}"
    );
    assert_outcome(&app("password=s3cret dbname=absent"), "3D000").await;
    assert_outcome(&server.tcp("stranger", ""), "pg_hba.conf has no line").await;
    assert_outcome(
        &format!("host=127.0.0.1 port={} user=app", free_port()),
        "nothing listens there",
    )
    .await;
    assert_outcome("host=no-such-host.invalid user=app", "check the host name").await;
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = stranger.local_addr().unwrap().port();
    let began = Instant::now();
    let silent = format!("host=127.0.0.1 port={port} user=app connect_timeout=2 password=x");
    assert_outcome(&silent, "no answer within 2 s").await;
    assert!(began.elapsed() < Duration::from_secs(4));
    let talker = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let given_up_above = stranger.accept().unwrap();
        drop(given_up_above);
        let (mut mail, _) = stranger.accept().unwrap();
        let mut greeting = [0; 1024];
        assert!(mail.read(&mut greeting).unwrap() > 0);
        mail.write_all(b"220 mail.example ESMTP ready\r\n").unwrap();
    });
    assert_outcome(&format!("{silent} sslmode=disable"), "check host and port").await;
    talker.join().unwrap();

    // Statements.
    let session =
        try_connect(&app("password=s3cret application_name=mine options='-c search_path=x'"))
            .await
            .unwrap();
    assert!(session.server_version().unwrap().starts_with(|c: char| c.is_ascii_digit()));
    let row = session
        .row("SELECT current_setting('application_name'), current_setting('search_path'), NULL, 7, true")
        .await
        .unwrap();
    assert_eq!((row.get(0), row.get(1), row.get(2)), (Some("mine"), Some("x"), None));
    assert_eq!(row.number::<u64>(3).unwrap(), 7);
    assert!(row.truth(4).unwrap());
    assert!(row.text(2).unwrap_err().one_line().contains("NULL is there"));
    assert!(row.number::<u64>(0).unwrap_err().one_line().contains("`mine` is there"));
    let rows = session.rows("SELECT generate_series(1, 3); SELECT 4").await.unwrap();
    assert_eq!(rows.iter().map(|r| r.number::<u8>(0).unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let error = session.simple("SELECT * FROM pg_authid").await.unwrap_err();
    assert_eq!(sqlstate(&error).as_deref(), Some("42501"));
    assert!(error.what().contains("run `SELECT * FROM pg_authid`"));
    assert!(!is_connection_lost(&error) && !is_transient(&error));

    // Cancelling, from beside.
    let (slept, cancelled) = tokio::join!(session.simple("SELECT pg_sleep(60)"), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        session.cancel().await
    });
    cancelled.unwrap();
    assert_eq!(sqlstate(&slept.unwrap_err()).as_deref(), Some("57014"));
    session.simple("SELECT 1").await.unwrap();

    // Locks.
    session.simple("CREATE SCHEMA x; CREATE TABLE x.t ()").await.unwrap();
    session.simple("BEGIN; LOCK TABLE x.t").await.unwrap();
    let other = try_connect(&app("password=s3cret")).await.unwrap();
    let error = other.simple("SET lock_timeout = '50ms'; LOCK TABLE x.t").await.unwrap_err();
    assert_eq!(sqlstate(&error).as_deref(), Some("55P03"));
    other.close().await;

    // Too many.
    let mut many = Vec::new();
    let refused = loop {
        match try_connect(&app("password=s3cret")).await {
            Ok(session) => many.push(session),
            Err(e) => break e,
        }
        assert!(many.len() < 10);
    };
    assert_eq!(sqlstate(&refused).as_deref(), Some("53300"));
    assert!(is_transient(&refused));
    drop(many);

    // Ends: by an administrator while idle, then by a crash during a statement.
    server.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'");
    let ended = tokio::time::timeout(Duration::from_secs(5), session.closed()).await.unwrap();
    assert_eq!(sqlstate(&ended).as_deref(), Some("57P01"));
    let error = session.simple("SELECT 1").await.unwrap_err();
    assert!(is_connection_lost(&error), "{error:?}");
    assert_eq!(sqlstate(&error).as_deref(), Some("57P01"), "the reason is kept: {error:?}");

    let session = try_connect(&app("password=s3cret")).await.unwrap();
    let (error, ()) = tokio::join!(session.simple("SELECT pg_sleep(60)"), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.signal("-QUIT");
    });
    assert!(is_connection_lost(&error.unwrap_err()));
    server.process.wait().unwrap();
    let down = try_connect(&server.tcp("app", "password=s3cret")).await.err().unwrap();
    assert!(down.advice().unwrap().contains("nothing listens there"), "{down:?}");
    assert!(is_transient(&down), "it may come back");
    server.process = Server::launch(&server.dir.path().join("data"));
    server.wait();
    assert_outcome(&server.tcp("app", "password=s3cret"), "plain").await;
}

#[tokio::test]
async fn of_several_hosts_the_first_that_is_fit_is_taken_and_kept() {
    let server = Server::start("host all app 127.0.0.1/32 scram-sha-256", "", |_| {});
    let nowhere = free_port();
    let hosts = |more: &str| {
        format!(
            "postgresql://app:s3cret@127.0.0.1:{nowhere},localhost:{}/petforce{more}",
            server.port
        )
    };
    let session = try_connect(&hosts("?target_session_attrs=read-write")).await.unwrap();
    let reached = session.info().endpoints();
    assert_eq!(reached.len(), 1);
    assert_eq!(reached[0].port, server.port);
    assert!(reached[0].address.is_some(), "name and address are kept: {reached:?}");
    for fit in ["any", "primary", "prefer-standby"] {
        try_connect(&hosts(&format!("?target_session_attrs={fit}"))).await.unwrap();
    }
    for unfit in ["standby", "read-only"] {
        let error =
            try_connect(&hosts(&format!("?target_session_attrs={unfit}"))).await.err().unwrap();
        let text = error.one_line();
        assert!(text.contains(unfit) && text.contains(&nowhere.to_string()), "{text}");
    }
    let wrong = hosts("").replace("s3cret", "wrong");
    let error = try_connect(&wrong).await.err().unwrap();
    assert_eq!(
        sqlstate(&error).as_deref(),
        Some("28P01"),
        "of all, the one who answered: {error:?}"
    );
    assert!(error.one_line().contains(&nowhere.to_string()), "{error:?}");
    server.psql("ALTER DATABASE petforce SET default_transaction_read_only = on");
    try_connect(&hosts("?target_session_attrs=read-only")).await.unwrap();
    assert!(try_connect(&hosts("?target_session_attrs=read-write")).await.is_err());
}

/// PostgreSQL 17 takes TLS from the first byte; here a TLS server before an older one does.
#[tokio::test]
async fn tls_can_begin_at_once() {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let certs = Certificates::make();
    let server = Server::start("host all app 127.0.0.1/32 scram-sha-256", "", |_| {});
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(certs.path("server.crt")).unwrap()],
            PrivateKeyDer::from_pem_file(certs.path("server.key")).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let front = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = front.local_addr().unwrap().port();
    let behind = server.port;
    let relay = tokio::spawn(async move {
        let (client, _) = front.accept().await.unwrap();
        let mut client = acceptor.accept(client).await.unwrap();
        assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"postgresql"[..]));
        assert_eq!(client.get_ref().1.server_name(), Some("localhost"), "SNI");
        let mut server = tokio::net::TcpStream::connect(("127.0.0.1", behind)).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    });
    let text = format!(
        "host=localhost hostaddr=127.0.0.1 port={port} dbname=petforce user=app password=s3cret \
         sslmode=verify-full sslrootcert={} sslnegotiation=direct",
        certs.path("ca.crt").display()
    );
    let session = try_connect(&text).await.unwrap();
    assert!(session.is_encrypted());
    session.simple("SELECT 1").await.unwrap();
    session.close().await;
    relay.await.unwrap();
}

/// A pgbouncer in front of a server.
struct Pooler {
    _dir: tempfile::TempDir,
    port: u16,
    process: Child,
}

impl Pooler {
    fn start(server: &Server, mode: &str, size: u32) -> Self {
        let dir = owned_folder();
        let port = free_port();
        write(&dir.path().join("users"), "\"postgres\" \"\"\n", 0o600);
        let ini = format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\nauth_file = {}\n\
             pool_mode = {mode}\ndefault_pool_size = {size}\n[users]\n",
            server.dir.path().display(),
            server.port,
            dir.path().join("users").display()
        )
        .replace("* = host", "petforce = user=postgres host");
        write(&dir.path().join("ini"), &ini, 0o600);
        let process = as_owner("pgbouncer")
            .arg("-q")
            .arg(dir.path().join("ini"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pgbouncer is needed (scripts/setup)");
        let limit = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < limit, "pgbouncer does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { _dir: dir, port, process }
    }

    fn info(&self) -> Conninfo {
        let text = format!("postgresql://postgres@127.0.0.1:{}/petforce", self.port);
        Conninfo::parse(&Secret::new(text)).unwrap()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn poolers_are_recognised_by_what_they_do() {
    let server = Server::start("host all app 127.0.0.1/32 scram-sha-256", "", |_| {});
    let direct = Conninfo::parse(&Secret::new(server.tcp("app", "password=s3cret"))).unwrap();
    for _ in 0..3 {
        assert_eq!(check_pooling(&direct).await.unwrap(), Pooling::None);
    }
    for (mode, size, wanted) in [
        ("session", 20, Pooling::Session),
        ("transaction", 20, Pooling::Transaction),
        ("transaction", 1, Pooling::Transaction),
        ("statement", 20, Pooling::Transaction),
    ] {
        let pooler = Pooler::start(&server, mode, size);
        let info = pooler.info();
        // A fresh pool, and one that holds idle backends.
        for _ in 0..3 {
            assert_eq!(check_pooling(&info).await.unwrap(), wanted, "{mode} mode, {size} backends");
        }
        assert_eq!(wanted.must_keep_sessions(&info).is_err(), wanted == Pooling::Transaction);
    }
    let error = Pooling::Transaction.must_keep_sessions(&direct).unwrap_err();
    assert!(error.one_line().contains("transaction mode"), "{error:?}");
    let supabase = "postgresql://postgres.x@aws-0-us-east-1.pooler.supabase.com:6543/postgres";
    let supabase = Conninfo::parse(&Secret::new(supabase)).unwrap();
    let error = Pooling::Transaction.must_keep_sessions(&supabase).unwrap_err();
    assert!(error.advice().unwrap().contains("port 5432 in place of 6543"), "{error:?}");

    let full = Pooler::start(&server, "session", 1);
    let error = check_pooling(&full.info()).await.unwrap_err();
    assert!(error.advice().unwrap().contains("default_pool_size"), "{error:?}");
}
