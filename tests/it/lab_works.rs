//! Each part of the lab starts, answers and ends; the databases load on every version.

use std::path::Path;
use std::process::Command;

use crate::lab::{self, Moto, PgBouncer, PoolMode, Postgres, Tls, Version};

fn everything_loads(server: &Postgres, major: &str) {
    assert_eq!(server.psql("postgres", "SHOW server_version").split('.').next(), Some(major));
    let db = server.fresh_db("everything");
    server.load_everything(&db);
    assert_eq!(server.psql(&db, "SELECT count(*) FROM app.quoting"), "283");
    assert_eq!(server.psql(&db, "SELECT length(body) FROM app.fat WHERE id = 1"), "3146711");
    // Roles are the server's: a second database on it finds them there.
    let again = server.fresh_db("everything");
    server.load_everything(&again);
    server.load(&again, &lab::sql_file("reordered.sql"), &[]);
}

#[test]
fn everything_loads_on_15() {
    everything_loads(lab::shared_pg15(), "15");
}

#[test]
fn everything_loads_on_16() {
    everything_loads(lab::shared_pg16(), "16");
}

#[test]
fn everything_loads_on_18() {
    everything_loads(lab::shared_pg18(), "18");
}

#[test]
fn petforce_is_the_same_every_time() {
    let server = lab::shared_pg15();
    let digest = || {
        let db = server.fresh_db("petforce");
        server.load_petforce(&db, 2000);
        assert_eq!(server.psql(&db, "SELECT count(*) FROM petforce.appointments"), "2000");
        server.psql(
            &db,
            "SELECT md5(string_agg(m::text, '' ORDER BY id)) FROM petforce.messages m;
             SELECT md5(string_agg(r::text, '' ORDER BY id)) FROM petforce.records r",
        )
    };
    assert_eq!(digest(), digest());
}

#[test]
fn a_server_survives_restart_and_kill() {
    let server = Postgres::start(Version::V15);
    server.create_db("Odd \"name\"");
    server.psql("Odd \"name\"", "CREATE TABLE t AS SELECT 1 AS n");
    server.restart();
    server.psql("Odd \"name\"", "INSERT INTO t VALUES (2); CHECKPOINT");
    server.kill9();
    assert!(server.try_psql("postgres", "SELECT 1").is_err());
    server.start_again();
    assert_eq!(server.psql("Odd \"name\"", "SELECT sum(n) FROM t"), "3");
    server.set("work_mem = '5MB'");
    assert_eq!(server.psql("postgres", "SELECT pg_sleep(0.2); SHOW work_mem").trim(), "5MB");
    let error = server.try_psql("postgres", "SELECT 1; SELECT 1/0; SELECT 2").unwrap_err();
    assert!(error.contains("division by zero"), "{error}");
    assert!(server.log().contains("division by zero"));
}

#[test]
fn nothing_is_left_of_a_server() {
    let server = Postgres::start(Version::V18);
    let (port, dir) = (server.port(), server.socket_dir().to_owned());
    let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'";
    let (postmaster, pid) = (postmaster(&server), server.psql("postgres", sql));
    for pid in [&postmaster, &pid] {
        assert!(Path::new(&format!("/proc/{pid}")).exists());
    }
    drop(server);
    assert!(!Path::new(&format!("/proc/{postmaster}")).exists(), "postmaster {postmaster} lives");
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "checkpointer {pid} lives");
    assert!(!dir.exists(), "{} is left", dir.display());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

fn postmaster(server: &Postgres) -> String {
    let file = std::fs::read_to_string(server.data_dir().join("postmaster.pid")).unwrap();
    file.lines().next().unwrap().to_owned()
}

/// Runs itself in another process, kills that, and looks for what it left.
#[test]
fn a_killed_test_process_leaves_nothing() {
    if std::env::var_os("LAB_WAITS").is_some() {
        return wait_to_be_killed();
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lab_works::a_killed_test_process_leaves_nothing", "--nocapture"])
        .env("LAB_WAITS", "1")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    // On the line where libtest says which test runs.
    let ready = lines.find_map(|line| Some(line.unwrap().split_once("READY ")?.1.to_owned()));
    let ready = ready.expect("the other test process says READY");
    child.kill().unwrap();
    child.wait().unwrap();
    let gone = |path: &str| !Path::new(path).exists();
    let start = std::time::Instant::now();
    while !ready.split(' ').all(gone) {
        let left: Vec<_> = ready.split(' ').filter(|path| !gone(path)).collect();
        assert!(start.elapsed().as_secs() < 20, "left behind: {left:?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn wait_to_be_killed() {
    // Started by threads that have ended, as shared servers are.
    let server = std::thread::spawn(lab::shared_pg15).join().unwrap();
    let moto = std::thread::spawn(lab::shared_moto_east).join().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(server.psql("postgres", "SELECT 1"), "1");
    moto.fresh_bucket("alive");
    let root = server.socket_dir().parent().unwrap().display().to_string();
    println!("READY /proc/{} /proc/{} {root}", postmaster(server), moto.pid());
    std::thread::sleep(std::time::Duration::from_secs(60));
}

#[test]
fn passwords_and_tls_are_asked_for() {
    let tls = Tls::make();
    let server = Postgres::options(Version::V15)
        .tls(&tls)
        .password("s3cret @/'\\")
        .hba(
            "hostssl certs all 127.0.0.1/32 cert\nhostssl all all 127.0.0.1/32 scram-sha-256\n\
              hostnossl all all 127.0.0.1/32 reject",
        )
        .start();
    server.create_db("certs");
    let connect = |conninfo: String| {
        let mut psql = server.program("psql");
        psql.env_remove("PGHOST").args([
            "-X",
            "-A",
            "-t",
            "-c",
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
        ]);
        lab::run(psql.arg(conninfo))
    };
    let ca = tls.ca().display().to_string();
    let verified = format!("{} sslmode=verify-full sslrootcert={ca}", server.conninfo("postgres"));
    assert_eq!(connect(verified.clone()).expect(0).stdout, "t\n");
    assert_eq!(
        connect(verified.replace("host=127.0.0.1", "host=localhost")).expect(0).stdout,
        "t\n"
    );
    assert_eq!(
        connect(format!("{}?sslmode=require", server.url("postgres"))).expect(0).stdout,
        "t\n"
    );
    let other = verified.replace(&ca, &tls.other_ca().display().to_string());
    assert!(connect(other).expect(2).stderr.contains("certificate verify failed"));
    let wrong = verified.replace("s3cret", "wrong");
    assert!(connect(wrong).expect(2).stderr.contains("password authentication failed"));
    let plain = format!("{} sslmode=disable", server.conninfo("postgres"));
    assert!(connect(plain).expect(2).stderr.contains("pg_hba.conf rejects"));
    let certs = verified.replace("'postgres'", "'certs'");
    assert!(connect(certs.clone()).expect(2).stderr.contains("client certificate"));
    let with_cert = format!(
        "{certs} sslcert={} sslkey={}",
        tls.client_cert().display(),
        tls.client_key().display()
    );
    assert_eq!(connect(with_cert).expect(0).stdout, "t\n");
}

#[test]
fn a_standby_follows_and_is_promoted() {
    let primary = Postgres::start(Version::V16);
    primary.psql("postgres", "CREATE TABLE t AS SELECT generate_series(1, 100) AS n");
    let standby = Postgres::standby_of(&primary);
    primary.psql("postgres", "INSERT INTO t SELECT generate_series(101, 200)");
    standby.catch_up(&primary);
    assert_eq!(standby.psql("postgres", "SELECT count(*), pg_is_in_recovery() FROM t"), "200|t");
    assert_eq!(primary.psql("postgres", "SELECT active FROM pg_replication_slots"), "t");
    standby.promote();
    standby.psql("postgres", "INSERT INTO t VALUES (0)");
    let timeline = "SELECT timeline_id FROM pg_control_checkpoint()";
    standby.psql("postgres", "CHECKPOINT");
    assert_eq!(standby.psql("postgres", timeline), "2");
    assert_eq!(primary.psql("postgres", timeline), "1");
}

#[test]
fn regions_hold_buckets_and_go_away() {
    let (east, west) = (lab::shared_moto_east(), lab::shared_moto_west());
    let (near, far) = (east.fresh_bucket("lab"), west.fresh_bucket("lab"));
    let key = "a/b c/ü+&%.zst";
    east.put(&near, key, b"\0bytes\r\n\r\n");
    for n in 0..105 {
        west.put(&far, &format!("many/{n:03}"), b"");
    }
    assert_eq!(east.keys(&near, ""), [key]);
    assert_eq!(east.get(&near, key), b"\0bytes\r\n\r\n");
    assert_eq!(west.keys(&far, "many/").len(), 105);
    assert_eq!(west.keys(&far, "a/"), [""; 0]);
    east.delete(&near, key);
    assert_eq!(east.keys(&near, ""), [""; 0]);

    let lost = Moto::start("us-west-2");
    let port = lost.port();
    lost.pause();
    lost.resume();
    lost.create_bucket("still-there");
    lost.kill();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn poolers_keep_what_their_mode_says() {
    let server = lab::shared_pg15();
    let left_behind = |mode| {
        let pooler = PgBouncer::start(server, mode);
        let psql = |sql: &str| {
            let mut psql = server.program("psql");
            psql.env_remove("PGHOST").args(["-X", "-A", "-t", "-d", &pooler.url("postgres")]);
            lab::run(psql.args(["-c", sql])).expect(0).stdout
        };
        psql("CREATE TEMP TABLE left_behind ()");
        psql("SELECT to_regclass('pg_temp.left_behind') IS NOT NULL")
    };
    assert_eq!(left_behind(PoolMode::Session), "f\n");
    // The next client gets the same server connection, as the last one left it.
    assert_eq!(left_behind(PoolMode::Transaction), "t\n");
}

#[test]
fn the_binary_runs() {
    let home = lab::folder("home");
    lab::run(lab::drctl(home.path()).arg("--version")).expect(0);
}
