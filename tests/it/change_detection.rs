//! Change detection never misses: a snapshot taken by probing is, part for part, the one taken by
//! reading everything.

use std::fmt::Write as _;
use std::sync::Arc;

use drctl::config::ChangeDetection;
use drctl::integrity::history;
use drctl::model::{Manifest, Part, PartList, TableName};
use drctl::postgres::Session;
use drctl::snapshot::{self, Outcome};
use drctl::store::{MemoryStore, ObjectStore};

use crate::change_detection_history::{Act, Generator, LONG, SCHEMA, Who};
use crate::lab::{Postgres, Version};
use crate::taking::{self, proven, request};

/// `DRCTL_HISTORIES=400 DRCTL_FIRST_HISTORY=1000 cargo test change_detection` for a long run.
fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

const STEPS: u64 = 12;

#[test]
fn probing_gives_the_same_parts_as_reading() {
    let first = number("DRCTL_FIRST_HISTORY", 1);
    let last = first + number("DRCTL_HISTORIES", 20);
    let run = |version, odd| {
        let mut server = start(version);
        let mut sums = Sums::default();
        for seed in (first..last).filter(|seed| seed % 2 == odd) {
            // A promotion leaves the server for another.
            let promote = seed % 10 < 2;
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let after = runtime.block_on(History::run(server, seed, promote, &mut sums));
            server = if promote { start(version) } else { after };
        }
        sums
    };
    let (a, b) = std::thread::scope(|scope| {
        let a = scope.spawn(|| run(Version::V15, 0));
        let b = scope.spawn(|| run(Version::V18, 1));
        (a.join(), b.join())
    });
    for sums in [a, b].map(|joined| joined.unwrap_or_else(|e| std::panic::resume_unwind(e))) {
        eprintln!("{sums:?}");
        if last - first < 10 {
            continue;
        }
        // Or the comparison would have compared nothing.
        assert!(sums.failed * 3 < sums.statements, "too many statements failed: {sums:?}");
        assert!(sums.kept * 4 > sums.read, "probing hardly ever spared reading: {sums:?}");
        assert!(sums.kept_of_changed > 0, "no table was kept in part: {sums:?}");
    }
}

/// Commits stay unwritten for long, so that a crash loses some, as it may with any server that
/// runs with synchronous_commit off.
fn start(version: Version) -> Postgres {
    Postgres::options(version)
        .conf("synchronous_commit = off\nwal_writer_delay = 10s\nmax_locks_per_transaction = 200")
        .start()
}

/// Sums over histories, that show whether there was anything to be found.
#[derive(Debug, Default)]
struct Sums {
    statements: u64,
    failed: u64,
    snapshots: u64,
    read: u64,
    kept: u64,
    /// Ranges kept of tables of which others were read.
    kept_of_changed: u64,
}

struct History {
    seed: u64,
    server: Postgres,
    standby: Option<Postgres>,
    db: String,
    main: Session,
    long: Vec<Session>,
    /// What has happened, as SQL.
    told: String,
    probing: Arc<dyn ObjectStore>,
    reading: Arc<dyn ObjectStore>,
    /// The last snapshot may be probed against: nothing came in between that forbids it.
    unbroken: bool,
}

const SESSION: &str = "SET lock_timeout = '20ms'; SET statement_timeout = '20s'; \
                       SET client_min_messages = error";

async fn session(server: &Postgres, db: &str) -> Session {
    for _ in 0..100 {
        let info = taking::conninfo(&server.url(db));
        if let Ok(session) = drctl::postgres::connect(&info, "test").await
            && session.simple(SESSION).await.is_ok()
        {
            return session;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the server does not come back\n{}", server.log());
}

async fn long_sessions(server: &Postgres, db: &str) -> Vec<Session> {
    let mut all = Vec::new();
    for _ in 0..LONG {
        all.push(session(server, db).await);
    }
    all
}

impl History {
    async fn run(server: Postgres, seed: u64, promote: bool, sums: &mut Sums) -> Postgres {
        let db = server.fresh_db("history");
        server.psql(&db, &format!("SET synchronous_commit = on; {SCHEMA}; CHECKPOINT"));
        let standby = promote.then(|| {
            let standby = Postgres::standby_of(&server);
            standby.catch_up(&server);
            standby
        });
        let mut generator = Generator::new(seed);
        let mut it = Self {
            seed,
            main: session(&server, &db).await,
            long: long_sessions(&server, &db).await,
            server,
            standby,
            db,
            told: String::new(),
            probing: Arc::new(MemoryStore::new("probing")),
            reading: Arc::new(MemoryStore::new("reading")),
            unbroken: false,
        };
        it.snapshots(sums).await;
        let mut at = 0;
        while at < STEPS {
            let batch = 2 + generator.below(3);
            for step in at..at + batch {
                // Half-way the standby is left behind, and soon after it takes over.
                if promote && step == STEPS / 3 {
                    it.leave_standby_behind();
                }
                let act =
                    if promote && step == STEPS * 2 / 3 { Act::Promote } else { generator.act() };
                it.act(act, &mut generator, sums).await;
            }
            at += batch;
            it.snapshots(sums).await;
        }
        proven(&*it.probing).await;
        let generations = history::generations(&*it.probing, taking::NAME).await.unwrap();
        assert_eq!(generations.len(), 1);
        it.end().await
    }

    async fn act(&mut self, act: Act, generator: &mut Generator, sums: &mut Sums) {
        let _ = writeln!(self.told, "{act}");
        match act {
            Act::Sql(who, sql) => self.sql(who, &sql, sums).await,
            Act::Restart => {
                self.server.restart();
                self.reconnect(generator).await;
            }
            Act::Crash => {
                // A change that a crash can take back.
                let sql = "INSERT INTO h.a (id, v) VALUES (1000000 + random() * 1e9, 'lost')";
                self.sql(Who::Main, sql, sums).await;
                self.snapshots(sums).await;
                let pid = self.main.row("SELECT pg_backend_pid()").await.unwrap();
                let pid = rustix::process::Pid::from_raw(pid.number(0).unwrap()).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
                self.main.closed().await;
                self.reconnect(generator).await;
                let sql = "INSERT INTO h.a (id, v) VALUES (1000000 + random() * 1e9, 'other')";
                self.sql(Who::Main, sql, sums).await;
            }
            Act::Promote => {
                let standby = self.standby.take().unwrap();
                standby.promote();
                // A crash before the first checkpoint of the new timeline is not survived by every
                // server that runs without full_page_writes, as those of the lab do.
                standby.psql("postgres", "CHECKPOINT");
                self.server.kill9();
                self.server = standby;
                self.reconnect(generator).await;
            }
        }
    }

    async fn reconnect(&mut self, generator: &mut Generator) {
        generator.connections_lost();
        self.main = session(&self.server, &self.db).await;
        self.long = long_sessions(&self.server, &self.db).await;
        self.unbroken = false;
    }

    fn leave_standby_behind(&mut self) {
        if let Some(standby) = &self.standby {
            self.told.push_str("-- the standby no longer follows\n");
            standby.set("primary_conninfo = ''");
        }
    }

    async fn sql(&mut self, who: Who, sql: &str, sums: &mut Sums) {
        let session = match who {
            Who::Main => &self.main,
            Who::Long(n) => &self.long[n],
        };
        sums.statements += 1;
        if let Err(e) = session.simple(sql).await {
            sums.failed += 1;
            let _ = writeln!(self.told, "-- {}", e.one_line());
            if who == Who::Main {
                let _ = session.simple("ROLLBACK").await;
            }
        }
    }

    /// Takes one snapshot by probing and one by reading, with nothing written in between, and
    /// compares them.
    async fn snapshots(&mut self, sums: &mut Sums) {
        let by_probing = request(&self.server, &self.db, &[Arc::clone(&self.probing)]);
        let mut by_reading = request(&self.server, &self.db, &[Arc::clone(&self.reading)]);
        by_reading.config.change_detection = ChangeDetection::Read;
        let (by_probing, by_reading) =
            tokio::join!(snapshot::take(&by_probing), snapshot::take(&by_reading));
        let tell = |outcome: drctl::error::Result<Outcome>| match outcome {
            Ok(outcome) => outcome,
            Err(e) => self.fail(&format!("no snapshot: {e:?}")),
        };
        let (by_probing, by_reading) = (tell(by_probing), tell(by_reading));
        let _ = writeln!(self.told, "-- snapshot {}", by_probing.manifest.source.xmin);
        assert_eq!(by_reading.ranges.iter().map(|(_, r)| r.kept).sum::<u64>(), 0);
        self.compare(&by_probing.manifest, &by_reading.manifest).await;

        sums.snapshots += 1;
        for (table, ranges) in &by_probing.ranges {
            sums.read += ranges.read;
            sums.kept += ranges.kept;
            if ranges.read > 0 {
                sums.kept_of_changed += ranges.kept;
            }
            if table.name == "quiet" && self.unbroken && (ranges.read > 0 || ranges.kept < 4) {
                self.fail(&format!("{table} did not change, and {ranges:?}"));
            }
        }
        self.unbroken = true;
    }

    async fn compare(&self, probed: &Manifest, read: &Manifest) {
        let names =
            |m: &Manifest| -> Vec<TableName> { m.tables.iter().map(|t| t.name.clone()).collect() };
        assert_eq!(names(probed), names(read));
        for (p, r) in probed.tables.iter().zip(&read.tables) {
            let lists = (
                history::read_list(&*self.probing, probed, p).await.unwrap(),
                history::read_list(&*self.reading, read, r).await.unwrap(),
            );
            let (probed, read) = (rows_of(lists.0), rows_of(lists.1));
            if probed != read {
                self.fail(&format!(
                    "{} was taken otherwise by probing ({:?}) than by reading ({:?})",
                    p.name,
                    missing_in(&read, &probed),
                    missing_in(&probed, &read),
                ));
            }
            assert_eq!(
                (p.rows, p.row_digest, p.raw_bytes, p.range_blocks, p.parts),
                (r.rows, r.row_digest, r.raw_bytes, r.range_blocks, r.parts)
            );
        }
    }

    fn fail(&self, what: &str) -> ! {
        panic!(
            "history {} on {:?}: {what}\n{SCHEMA}\n{}",
            self.seed,
            self.server.version(),
            self.told
        );
    }

    /// Leaves no transaction open that would hold back the window of later snapshots.
    async fn end(self) -> Postgres {
        for long in self.long {
            long.close().await;
        }
        let prepared = self
            .main
            .rows("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")
            .await
            .unwrap();
        for gid in prepared {
            let gid = gid.text(0).unwrap();
            self.main.simple(&format!("ROLLBACK PREPARED '{gid}'")).await.unwrap();
        }
        self.main.close().await;
        self.server
    }
}

/// The parts without how they are stored, which may differ: which base they rest on, if any.
pub fn rows_of(list: PartList) -> Vec<Part> {
    let plain = |part: Part| Part { base: None, stored: 0, stored_digest: part.digest, ..part };
    list.parts.into_iter().map(plain).collect()
}

fn missing_in(there: &[Part], parts: &[Part]) -> Vec<String> {
    let missing = parts.iter().filter(|part| !there.contains(part));
    missing.map(|p| format!("blocks {} to {}: {} rows", p.from, p.to, p.rows)).collect()
}
