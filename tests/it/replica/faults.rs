//! Servers that hang, refuse, answer too late, and roles that may not do what they should.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use drctl::providers::{FailureClass, Mode, Observed, Standing};
use drctl::store::Class;
use drctl::store::fault::{Fault, FaultyStore, Op};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::pair::{Pair, block, east, west};
use crate::lab::Postgres;

/// A server whose postmaster is stopped: it accepts connections and never answers.
pub struct Stuck(Pid);

impl Stuck {
    pub fn now(server: &Postgres) -> Self {
        let text = std::fs::read_to_string(server.data_dir().join("postmaster.pid")).unwrap();
        let pid = Pid::from_raw(text.lines().next().unwrap().parse().unwrap()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        Self(pid)
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// A way to a server that breaks once, after the server has begun to answer a message that holds
/// `needle`: what was asked for has happened, and nobody hears of it.
struct Breaking {
    port: u16,
    broke: Arc<AtomicBool>,
}

impl Breaking {
    fn before(server: &Postgres, needle: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let (port, inner) = (listener.local_addr().unwrap().port(), server.port());
        let broke = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&broke);
        std::thread::spawn(move || {
            for outer in listener.incoming().flatten() {
                let Ok(inner) = TcpStream::connect(("127.0.0.1", inner)) else { continue };
                let asked = Arc::new(AtomicBool::new(false));
                let (outer, inner) = (Arc::new(outer), Arc::new(inner));
                let (o, i) = (Arc::clone(&outer), Arc::clone(&inner));
                let (a, b) = (Arc::clone(&asked), Arc::clone(&shared));
                std::thread::spawn(move || {
                    pass(&o, &i, |bytes| {
                        if !b.load(Ordering::SeqCst) && holds(bytes, needle) {
                            a.store(true, Ordering::SeqCst);
                        }
                        true
                    })
                });
                let b = Arc::clone(&shared);
                std::thread::spawn(move || {
                    pass(&inner, &outer, |_| {
                        let break_it = asked.swap(false, Ordering::SeqCst);
                        if break_it {
                            b.store(true, Ordering::SeqCst);
                        }
                        !break_it
                    })
                });
            }
        });
        Self { port, broke }
    }

    fn url(&self) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/pets", self.port)
    }
}

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|w| w == needle.as_bytes())
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, mut goes: impl FnMut(&[u8]) -> bool) {
    let mut buffer = [0; 16 << 10];
    while let Ok(n) = from.read(&mut buffer) {
        if n == 0 || !goes(&buffer[..n]) || to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn a_primary_that_hangs_is_given_up_in_time_and_stays_unfenced() {
    let mut pair = Pair::start(Mode::Forced);
    let stuck = Stuck::now(&pair.primary);
    let failure = pair.fails("postgres.fence", east());
    assert_eq!(failure.class, FailureClass::Permanent);
    assert!(failure.error.advice().unwrap().contains("--accept-unfenced"));
    assert!(failure.error.one_line().contains("no answer within"), "{}", failure.error.one_line());
    pair.run.accept_unfenced = true;
    pair.run.accepted_loss = Some("unknown".to_owned());
    let fenced = pair.step("fence", "postgres.fence", east());
    assert_eq!((&fenced.facts["fenced"], &fenced.facts["unfenced"]), (&json!(false), &json!(true)));
    pair.step(
        "loss",
        "loss.assess",
        json!({"database": "pets", "from": "us-east-1", "to": "us-west-2"}),
    );
    pair.step("drain", "postgres.drain", west());
    pair.step("promote", "postgres.promote", west());
    // Within its time it is not there; then it is, and is shut out.
    let with = json!({"database": "pets", "in": "us-east-1", "for": "1s"});
    let away = block(pair.apply("postgres.quarantine", with)).unwrap_err();
    assert_eq!(away.class, FailureClass::Permanent);
    assert!(away.error.what().contains("NOT SHUT OUT"), "{:?}", away.error);
    let left = away.error.advice().unwrap();
    assert!(left.starts_with("quarantine us-east-1 when it comes back"), "{left}");
    drop(stuck);
    pair.step("quarantine", "postgres.quarantine", east());
    pair.primary.try_psql("pets", "SELECT 1").unwrap_err();
    // Graceful means that it must answer.
    pair.run.mode = Mode::Graceful;
    pair.primary.kill9();
    let failure = pair.fails("postgres.fence", east());
    assert_eq!(failure.class, FailureClass::Transient);
    assert!(failure.error.advice().unwrap().contains("--mode forced"));
}

#[test]
fn a_standby_that_hangs_fails_its_steps_in_time() {
    let mut pair = Pair::start(Mode::Graceful);
    pair.step("fence", "postgres.fence", east());
    let stuck = Stuck::now(&pair.standby);
    for name in ["postgres.drain", "postgres.promote"] {
        let failure = block(pair.apply_within(6.0, name, west())).unwrap_err();
        assert_eq!(failure.class, FailureClass::Transient, "{name}: {}", failure.error.one_line());
    }
    // The fence alone holds already; it is not told as done before the standby has everything.
    assert!(block(pair.observe("postgres.fence", east())).is_err());
    let failure = block(pair.apply_within(6.0, "postgres.fence", east())).unwrap_err();
    assert!(failure.error.one_line().contains("it is fenced, but"), "{}", failure.error.one_line());
    drop(stuck);
    pair.step("drain", "postgres.drain", west());
    pair.step("promote", "postgres.promote", west());
}

#[test]
fn a_standby_that_is_behind_is_waited_for() {
    let mut pair = Pair::start(Mode::Graceful);
    pair.standby.psql("postgres", "SELECT pg_wal_replay_pause()");
    pair.primary.psql("pets", "INSERT INTO pet (name) SELECT 'x' FROM generate_series(1, 1000)");
    pair.step("fence", "postgres.fence", east());
    let failure = pair.fails("postgres.drain", west());
    assert!(failure.error.advice().unwrap().contains("pg_wal_replay_resume"));
    pair.standby.psql("postgres", "SELECT pg_wal_replay_resume()");
    let drained = pair.step("drain", "postgres.drain", west());
    assert!(drained.facts["drained_to"].as_str() >= pair.facts["fence"]["last_lsn"].as_str());

    // One that gets nothing: the fence says what is missing, and the primary can be opened again.
    pair.facts.clear();
    let fence = pair.action("postgres.fence", &east());
    block(async { fence.compensate(&pair.context(30.0)).await }).unwrap();
    pair.standby.set("primary_conninfo = ''");
    pair.until_cut_off();
    pair.primary.psql("pets", "INSERT INTO pet (name) VALUES ('late')");
    let failure = block(pair.apply_within(4.0, "postgres.fence", east())).unwrap_err();
    let line = failure.error.one_line();
    assert!(line.contains("lacks") && failure.class == FailureClass::Transient, "{line}");
    let heard = pair.heard.0.lock().unwrap().join("\n");
    assert!(heard.contains("the standby in us-west-2 lacks"), "{heard}");
}

#[test]
fn lost_answers_are_settled_by_looking() {
    let mut pair = Pair::start(Mode::Graceful);
    let breaking = Breaking::before(&pair.primary, "ALLOW_CONNECTIONS false");
    pair.reached_by(&breaking.url(), &pair.standby.url("pets"));
    let failure = pair.fails("postgres.fence", east());
    assert_eq!(failure.class, FailureClass::Unknown, "{}", failure.error.one_line());
    assert!(breaking.broke.load(Ordering::SeqCst));
    pair.primary.try_psql("pets", "SELECT 1").unwrap_err();
    match block(pair.observe("postgres.fence", east())).unwrap() {
        Observed::Done(facts) => assert_eq!(facts["fenced"], true),
        // Other sessions may still be ending, or WAL on its way.
        Observed::NotDone(_) => {}
    }
    pair.step("fence", "postgres.fence", east());
    pair.step("drain", "postgres.drain", west());

    let breaking = Breaking::before(&pair.standby, "pg_promote(false)");
    pair.reached_by(&pair.primary.url("pets"), &breaking.url());
    let promoted = pair.step("promote", "postgres.promote", west());
    assert!(breaking.broke.load(Ordering::SeqCst));
    assert_eq!(promoted.facts["new_timeline"], 2);

    // A process that dies once it has asked: the next one finds what has happened, by the sample
    // that was written before.
    pair.facts.clear();
    let facts = pair.done("postgres.promote", west());
    assert_eq!((&facts["old_timeline"], &facts["new_timeline"]), (&json!(1), &json!(2)));
    pair.step("promote", "postgres.promote", west());
    assert_eq!(
        pair.standby.psql("postgres", "SELECT pg_walfile_name(pg_current_wal_lsn())")[..8],
        *"00000002"
    );
}

#[test]
fn a_role_that_may_not_is_told_what_it_lacks() {
    let mut pair = Pair::start(Mode::Graceful);
    pair.primary.psql("postgres", "CREATE ROLE runner LOGIN");
    pair.standby.catch_up(&pair.primary);
    let as_runner = |server: &Postgres| server.url("pets").replace("postgres@", "runner@");
    pair.reached_by(&as_runner(&pair.primary), &as_runner(&pair.standby));
    let checks = pair.preflight("postgres.fence", east());
    let lacks: Vec<&str> = checks
        .iter()
        .filter(|c| c.standing == Standing::NotReady)
        .map(|c| c.found.as_str())
        .collect();
    assert!(lacks[0].contains("lacks its owner's rights"), "{checks:#?}");
    assert!(lacks[1].contains("may end no sessions"), "{checks:#?}");
    // What it cannot see is not taken for fine.
    assert!(
        checks.iter().any(|c| c.standing == Standing::Unproven && c.found.contains("WAL")),
        "{checks:#?}"
    );
    let failure = pair.fails("postgres.fence", east());
    assert_eq!(failure.class, FailureClass::Permanent);
    assert!(failure.error.one_line().contains("must be owner"), "{}", failure.error.one_line());

    // The owner who is no superuser, as on RDS and Supabase.
    pair.primary
        .psql("postgres", "ALTER DATABASE pets OWNER TO runner; GRANT pg_signal_backend TO runner");
    let session =
        pair.primary.program("psql").args(["-d", "pets", "-c", "SELECT pg_sleep(300)"]).spawn();
    let mut session = session.unwrap();
    let there = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'pets' AND query ~ '300'";
    while pair.primary.psql("postgres", there) != "1" {
        std::thread::sleep(Duration::from_millis(20));
    }
    let failure = pair.fails("postgres.fence", east());
    assert!(
        failure.error.one_line().contains("which this role may not end"),
        "{}",
        failure.error.one_line()
    );
    session.kill().unwrap();
    session.wait().unwrap();
    pair.primary.psql(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'pets'",
    );
    pair.step("fence", "postgres.fence", east());
    pair.primary.try_psql("pets", "SELECT 1").unwrap_err();
    pair.step("drain", "postgres.drain", west());
    let failure = pair.fails("postgres.promote", west());
    assert_eq!(failure.class, FailureClass::Permanent);
    assert!(failure.error.advice().unwrap().contains("GRANT EXECUTE ON FUNCTION pg_promote"));
    let wrong = pair.standby.url("pets").replace("postgres@", "nobody@");
    pair.reached_by(&as_runner(&pair.primary), &wrong);
    let failure = pair.fails("postgres.promote", west());
    assert_eq!(failure.class, FailureClass::Permanent, "{}", failure.error.one_line());
}

#[test]
fn a_control_store_that_is_away_holds_up_no_promotion() {
    let mut pair = Pair::start(Mode::Forced);
    let store = FaultyStore::new(Arc::clone(&pair.world.control));
    for op in [Op::Get, Op::Put] {
        store.always(op, Fault::Fail(Class::Transient));
    }
    pair.kept_in(Arc::new(store.clone()));
    pair.primary.kill9();
    let loss = json!({"database": "pets", "from": "us-east-1", "to": "us-west-2"});
    let failure = pair.fails("loss.assess", loss.clone());
    assert!(failure.error.one_line().contains("is unknown"), "{}", failure.error.one_line());
    pair.run.accepted_loss = Some("unknown".to_owned());
    let seen = pair.step("loss", "loss.assess", loss);
    assert!(seen.warnings[0].contains("samples could not be read"), "{:?}", seen.warnings);
    let promoted = pair.step("promote", "postgres.promote", west());
    assert_eq!(promoted.facts["new_timeline"], 2);
    assert!(promoted.warnings[0].contains("could not be proven"), "{:?}", promoted.warnings);
    pair.done("postgres.promote", west());
    // Nothing is known, neither by facts nor by samples: then it is not taken for the promoted one.
    pair.facts.clear();
    let failure = block(pair.observe("postgres.promote", west())).unwrap_err();
    assert_eq!(failure.class, FailureClass::Permanent);
    // A store that hangs is given up.
    store.heal();
    let held = store.hold(store.total() + 1);
    let failure = block(pair.observe("postgres.promote", west())).unwrap_err();
    assert_eq!(failure.class, FailureClass::Permanent);
    held.release();
}
