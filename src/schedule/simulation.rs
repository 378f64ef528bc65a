//! Two days in seconds: runners that are killed, stores that go away or never answer, clocks that are
//! set; and what must hold at every moment of it. Time is held, stores are in memory, and the loop is
//! the one that runs in production.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{mpsc, watch};

use super::attempt::within;
use super::happening::Happening;
use super::ledger::{fetch, update};
use super::standing::{Newest, ReplicaSeen, RunnerStanding};
use super::*;
use crate::config::{Config, Secret};
use crate::error::{Error, Kind, Result};
use crate::model::{Alert, AlertSink, Severity, SnapshotId, Verdict};
use crate::store::MemoryStore;

const STORES: [&str; 2] = ["west", "east"];
const DATABASES: [&str; 2] = ["orders", "users"];
const RUNNERS: [&str; 2] = ["one", "two"];
const HOURS: u64 = 48;
const RPO: u64 = 3600;
const TTL: u64 = 62;

/// Everything but the runners.
struct World {
    /// Since the beginning; true, and the same for all.
    now: Mutex<Duration>,
    sleepers: Mutex<Vec<(Duration, Waker)>>,
    dice: Mutex<u64>,
    records: [MemoryStore; 2],
    /// Which stores are away, and whether they refuse or just never answer.
    away: Mutex<[Option<Away>; 2]>,
    /// When each came back last.
    back: Mutex<[Option<Duration>; 2]>,
    snapshots: Mutex<BTreeMap<(String, String), Vec<Newest>>>,
    leases: Mutex<BTreeMap<String, Lease>>,
    beats: Mutex<BTreeMap<String, (RunnerStanding, Duration)>>,
    /// Databases under way, with the life that works on them.
    working: Mutex<BTreeMap<String, Arc<Life>>>,
    open: Mutex<BTreeMap<String, Alert>>,
    faults: Mutex<Vec<String>>,
    begun: Mutex<Vec<(String, Duration)>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Away {
    Refuses,
    Silent,
}

/// One life of a runner, from its start to its death.
struct Life {
    name: String,
    /// How far its clock is from the truth.
    offset: Mutex<TimeDelta>,
    died: Mutex<Option<Duration>>,
}

struct Lease {
    life: Arc<Life>,
    released: bool,
}

impl World {
    fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            now: Mutex::default(),
            sleepers: Mutex::default(),
            dice: Mutex::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            records: STORES.map(MemoryStore::new),
            away: Mutex::new([None; 2]),
            back: Mutex::new([None; 2]),
            snapshots: Mutex::default(),
            leases: Mutex::default(),
            beats: Mutex::default(),
            working: Mutex::default(),
            open: Mutex::default(),
            faults: Mutex::default(),
            begun: Mutex::default(),
        })
    }

    fn throw(&self, sides: u64) -> u64 {
        let mut dice = self.dice.lock().unwrap();
        *dice ^= *dice << 13;
        *dice ^= *dice >> 7;
        *dice ^= *dice << 17;
        *dice % sides
    }

    fn at(&self) -> Duration {
        *self.now.lock().unwrap()
    }

    fn truth(&self, at: Duration) -> DateTime<Utc> {
        "2026-10-24T00:00:05Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::from_std(at).unwrap()
    }

    fn fault(&self, what: String) {
        let at = self.truth(self.at()).format("%d %H:%M:%S");
        self.faults.lock().unwrap().push(format!("{at} {what}"));
    }

    /// How old the newest snapshot in a store truly is; none: there is none.
    fn age(&self, database: &str, store: &str) -> Option<Duration> {
        let snapshots = self.snapshots.lock().unwrap();
        let newest = snapshots.get(&(database.to_owned(), store.to_owned()))?.last()?;
        (self.truth(self.at()) - newest.taken).to_std().ok()
    }
}

struct Sleep {
    world: Arc<World>,
    until: Duration,
}

impl Future for Sleep {
    type Output = ();
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.world.at() >= self.until {
            return Poll::Ready(());
        }
        self.world.sleepers.lock().unwrap().push((self.until, cx.waker().clone()));
        Poll::Pending
    }
}

/// Everything that a runner asks, in one life.
struct Outside {
    world: Arc<World>,
    life: Arc<Life>,
}

#[async_trait]
impl Clock for Outside {
    fn now(&self) -> DateTime<Utc> {
        self.world.truth(self.world.at()) + *self.life.offset.lock().unwrap()
    }
    fn elapsed(&self) -> Duration {
        self.world.at()
    }
    async fn sleep(&self, time: Duration) {
        let until = self.world.at() + time;
        Sleep { world: Arc::clone(&self.world), until }.await;
    }
}

impl Outside {
    /// What a store that is away does to whoever asks it.
    async fn reach(&self, store: usize) -> Result<()> {
        let away = self.world.away.lock().unwrap()[store];
        match away {
            None => Ok(()),
            Some(Away::Refuses) => {
                Err(Error::new(Kind::Storage, format!("{} is away", STORES[store])))
            }
            Some(Away::Silent) => {
                let ever = async {
                    std::future::pending::<()>().await;
                    Ok(())
                };
                within(self, Duration::from_secs(5), "ask", ever).await
            }
        }
    }
}

struct Ours {
    world: Arc<World>,
    name: String,
    life: Arc<Life>,
}

#[async_trait]
impl Claim for Ours {
    fn is_held(&self) -> bool {
        true
    }
    async fn release(self: Box<Self>) {
        let mut leases = self.world.leases.lock().unwrap();
        if let Some(lease) = leases.get_mut(&self.name).filter(|l| Arc::ptr_eq(&l.life, &self.life))
        {
            lease.released = true;
        }
    }
}

#[async_trait]
impl Ledger for Outside {
    async fn claim(&self, name: &str, _: &str) -> Result<Claimed> {
        if self.reach(0).await.is_err() {
            self.reach(1).await?;
        }
        let mut leases = self.world.leases.lock().unwrap();
        if let Some(lease) = leases.get(name).filter(|lease| !lease.released) {
            let died = *lease.life.died.lock().unwrap();
            let end = died.map_or(Duration::from_secs(40), |died| {
                (died + Duration::from_secs(TTL)).saturating_sub(self.world.at())
            });
            if !end.is_zero() && !Arc::ptr_eq(&lease.life, &self.life) {
                return Ok(Claimed::Held { by: lease.life.name.clone(), left: end });
            }
        }
        let lease = Lease { life: Arc::clone(&self.life), released: false };
        leases.insert(name.to_owned(), lease);
        Ok(Claimed::Ours(Box::new(Ours {
            world: Arc::clone(&self.world),
            name: name.to_owned(),
            life: Arc::clone(&self.life),
        })))
    }

    async fn read(&self, unit: &str) -> Result<Record> {
        let mut both: Option<Record> = None;
        for store in 0..2 {
            if self.reach(store).await.is_ok() {
                let found = fetch(&self.world.records[store], unit).await?.0;
                match &mut both {
                    Some(both) => both.merge(found),
                    none => *none = Some(found),
                }
            }
        }
        both.ok_or_else(|| Error::new(Kind::Storage, "no store"))
    }

    async fn write(&self, unit: &str, record: &Record) -> Result<Record> {
        let mut written = Err(Error::new(Kind::Storage, "no store"));
        for store in 0..2 {
            if self.reach(store).await.is_ok() {
                written = update(&self.world.records[store], unit, record).await;
            }
        }
        written
    }

    async fn now(&self) -> Result<DateTime<Utc>> {
        if self.reach(0).await.is_err() {
            self.reach(1).await?;
        }
        Ok(self.world.truth(self.world.at()))
    }

    async fn beat(&self, runner: &RunnerStanding) -> Result<()> {
        if self.reach(0).await.is_err() {
            self.reach(1).await?;
        }
        let beat = (runner.clone(), self.world.at());
        self.world.beats.lock().unwrap().insert(runner.name.clone(), beat);
        Ok(())
    }

    async fn leave(&self, runner: &str) -> Result<()> {
        self.world.beats.lock().unwrap().remove(runner);
        Ok(())
    }

    async fn runners(&self) -> Result<Vec<RunnerStanding>> {
        if self.reach(0).await.is_err() {
            self.reach(1).await?;
        }
        let now = self.world.at();
        let beats = self.world.beats.lock().unwrap();
        let seen = |(runner, at): &(RunnerStanding, Duration)| RunnerStanding {
            silent: now.saturating_sub(*at) > Duration::from_secs(180),
            ..runner.clone()
        };
        Ok(beats.values().map(seen).collect())
    }
}

#[async_trait]
impl Work for Outside {
    async fn run(&self, unit: &Unit, _: watch::Receiver<bool>) -> Ended {
        let database = unit.database.clone().unwrap();
        let ended = |verdict, exit_code, summary: &str| Ended {
            verdict,
            exit_code: Some(exit_code),
            summary: summary.to_owned(),
            hint: None,
        };
        {
            let mut working = self.world.working.lock().unwrap();
            let at = self.world.at();
            let busy =
                working.get(&database).is_some_and(|life| match *life.died.lock().unwrap() {
                    Some(died) => at < died + Duration::from_secs(TTL),
                    None => true,
                });
            if busy {
                return ended(Verdict::Failed, 5, "held");
            }
            working.insert(database.clone(), Arc::clone(&self.life));
        }
        let taken = self.world.truth(self.world.at());
        self.world.begun.lock().unwrap().push((database.clone(), self.world.at()));
        self.sleep(Duration::from_secs(20 + self.world.throw(200))).await;
        let mut complete = 0;
        for (i, store) in STORES.iter().enumerate() {
            if self.world.away.lock().unwrap()[i].is_some() {
                continue;
            }
            complete += 1;
            let newest =
                Newest { id: SnapshotId::new(taken, 1), taken, stored_bytes: 1, new_bytes: 1 };
            let place = (database.clone(), (*store).to_owned());
            self.world.snapshots.lock().unwrap().entry(place).or_default().push(newest);
        }
        self.world.working.lock().unwrap().remove(&database);
        match complete {
            2 => ended(Verdict::Done, 0, "done"),
            1 => ended(Verdict::Partial, 6, "partial"),
            _ => ended(Verdict::Failed, 1, "no store"),
        }
    }
}

#[async_trait]
impl Snapshots for Outside {
    async fn newest(&self, database: &str, store: &str) -> Result<(Option<Newest>, DateTime<Utc>)> {
        let place = STORES.iter().position(|name| *name == store).unwrap();
        self.reach(place).await?;
        let snapshots = self.world.snapshots.lock().unwrap();
        let all = snapshots.get(&(database.to_owned(), store.to_owned()));
        Ok((all.and_then(|all| all.last().cloned()), self.world.truth(self.world.at())))
    }
}

#[async_trait]
impl Replicas for Outside {
    async fn sample(&self, _: &str) -> Result<ReplicaSeen> {
        Err(Error::new(Kind::Postgres, "no servers"))
    }
    async fn last(&self, _: &str) -> Result<Option<ReplicaSeen>> {
        Ok(None)
    }
}

#[async_trait]
impl Beats for Outside {
    async fn call(&self, _: &Secret) -> Result<()> {
        Ok(())
    }
}

/// Looks at every alert the moment it is given: it must be true.
#[async_trait]
impl AlertSink for Outside {
    async fn alert(&self, alert: Alert) {
        let pieces: Vec<&str> = alert.key.split('/').collect();
        match pieces[..] {
            ["rpo", database, store] => {
                let age = self.world.age(database, store).unwrap_or(Duration::MAX).as_secs();
                let well = match (alert.resolved, alert.severity) {
                    (true, _) => age < RPO * 3 / 4 + 1,
                    (false, Severity::Critical) => age >= RPO,
                    (false, _) => age >= RPO * 3 / 4,
                };
                if !well {
                    self.world.fault(format!("false alert at an age of {age} s: {alert:?}"));
                }
            }
            ["runner", name] if !alert.resolved => {
                let at = self.world.at();
                let beats = self.world.beats.lock().unwrap();
                let silent = beats.get(name).map(|(_, beat)| at.saturating_sub(*beat).as_secs());
                let any_away = self.world.away.lock().unwrap().iter().any(Option::is_some);
                if silent.is_some_and(|s| s < 170) && !any_away {
                    drop(beats);
                    self.world.fault(format!("false alert: {alert:?}"));
                }
            }
            ["store", name] if !alert.resolved => {
                let place = STORES.iter().position(|store| *store == name).unwrap();
                // What was asked before it came back is answered a little after.
                let back = self.world.back.lock().unwrap()[place];
                let soon = |back| self.world.at() < back + Duration::from_secs(25);
                if self.world.away.lock().unwrap()[place].is_none() && !back.is_some_and(soon) {
                    self.world.fault(format!("false alert: {alert:?}"));
                }
            }
            _ => {}
        }
        let mut open = self.world.open.lock().unwrap();
        match alert.resolved {
            true => _ = open.remove(&alert.key),
            false => _ = open.insert(alert.key.clone(), alert),
        }
    }
}

impl Diary for Outside {
    fn note(&self, _: DateTime<Utc>, happening: Happening) {
        if std::env::var_os("DRCTL_SIMULATION_LOG").is_some() {
            let at = self.world.truth(self.world.at()).format("%d %H:%M:%S").to_string();
            self.world.fault(format!("({at} {}) {happening}", self.life.name));
        }
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Alive {
    life: Arc<Life>,
    since: Duration,
    /// When its clock was last set.
    set: Duration,
    future: Pin<Box<dyn Future<Output = Worked>>>,
    flag: Arc<Flag>,
    _orders: mpsc::Sender<Order>,
}

fn config() -> Config {
    let mut text = "[project]\nname = \"p\"\n[regions]\nprimary = \"r\"\n".to_owned();
    for store in STORES {
        text.push_str(&format!("[store.{store}]\nurl = \"file:///{store}\"\nregion = \"r\"\n"));
    }
    for database in DATABASES {
        text.push_str(&format!(
            "[database.{database}]\nurl = \"postgresql://h/{database}\"\nstores = [\"east\", \"west\"]\n"
        ));
    }
    text.push_str("[[job]]\nrun = \"snapshot\"\non = \"*/30 * * * *\"\njitter = \"20s\"\n");
    Config::parse(&text, Path::new("drctl.toml"), &|_| None).unwrap()
}

fn born(world: &Arc<World>, name: &str) -> Alive {
    let life =
        Arc::new(Life { name: name.to_owned(), offset: Mutex::default(), died: Mutex::default() });
    let outside = || Arc::new(Outside { world: Arc::clone(world), life: Arc::clone(&life) });
    let ports = Ports {
        clock: outside(),
        ledger: outside(),
        work: outside(),
        snapshots: outside(),
        replicas: outside(),
        alerts: outside(),
        beats: outside(),
        diary: outside(),
    };
    let terms = Terms {
        runner: name.to_owned(),
        host: name.to_owned(),
        version: "0".to_owned(),
        once: false,
    };
    let plan = Plan::of(&config());
    let (orders, received) = mpsc::channel(1);
    let (shown, _) = watch::channel(Arc::new(plan.blank(Utc::now())));
    Alive {
        future: Box::pin(run(plan, ports, terms, received, shown)),
        flag: Arc::new(Flag(AtomicBool::new(true))),
        since: world.at(),
        set: world.at(),
        life,
        _orders: orders,
    }
}

/// What the world does to them, once a minute.
struct Fate {
    runners: Vec<(String, Option<Alive>)>,
    /// Since when each store is there, without a break.
    up: [Option<Duration>; 2],
}

impl Fate {
    fn minute(&mut self, world: &Arc<World>) {
        let at = world.at();
        for (name, alive) in &mut self.runners {
            match alive {
                // About one death each four hours; back after some minutes.
                Some(_) if world.throw(240) == 0 => {
                    if let Some(dead) = alive.take() {
                        *dead.life.died.lock().unwrap() = Some(at);
                    }
                }
                Some(living) if world.throw(180) == 0 => {
                    let step = match world.throw(3) {
                        0 => TimeDelta::seconds(world.throw(360) as i64 - 180),
                        1 => TimeDelta::minutes(world.throw(600) as i64 - 300),
                        _ => TimeDelta::zero(),
                    };
                    *living.life.offset.lock().unwrap() = step;
                    living.set = at;
                }
                None if world.throw(12) == 0 => *alive = Some(born(world, name)),
                _ => {}
            }
        }
        for store in 0..2 {
            let mut away = world.away.lock().unwrap();
            let turn = world.throw(if away[store].is_some() { 25 } else { 150 }) == 0;
            away[store] = match (away[store], turn) {
                (None, true) if world.throw(2) == 0 => Some(Away::Refuses),
                (None, true) => Some(Away::Silent),
                (Some(_), true) => {
                    world.back.lock().unwrap()[store] = Some(at);
                    None
                }
                (same, false) => same,
            };
            self.up[store] = match (away[store], self.up[store]) {
                (Some(_), _) => None,
                (None, since) => Some(since.unwrap_or(at)),
            };
        }
    }

    /// What must hold now, whatever happened.
    fn check(&self, world: &World) {
        let at = world.at();
        let living: Vec<&Alive> = self.runners.iter().filter_map(|(_, a)| a.as_ref()).collect();
        // Alive, with a clock that nobody touched, for so long.
        let steady = living.iter().map(|a| at.saturating_sub(a.set.max(a.since))).max();
        let steady = steady.unwrap_or_default();
        for database in DATABASES {
            for (i, store) in STORES.iter().enumerate() {
                let age = world.age(database, store).unwrap_or(at);
                let up = self.up[i].map_or(Duration::ZERO, |since| at.saturating_sub(since));
                // A turn, a lease that has to run out, a wait between tries, and the snapshot itself.
                let enough = Duration::from_secs(30 * 60 + 20 + TTL + 5 * 60 + 220 + 2 * 60);
                if steady > enough && up > enough && age > enough {
                    world.fault(format!(
                        "a turn was missed that was possible: {database} in {store} is {age:?} old"
                    ));
                }
                let watched =
                    living.iter().any(|a| at.saturating_sub(a.since) > Duration::from_secs(180));
                let broken = age > Duration::from_secs(RPO + 180);
                let key = format!("rpo/{database}/{store}");
                let told = world.open.lock().unwrap().get(&key).map(|alert| alert.severity);
                // One that was never reached by this life, and by no other, cannot be told of.
                let known = world.age(database, store).is_some();
                if watched
                    && broken
                    && known
                    && self.was_seen(world, i)
                    && told != Some(Severity::Critical)
                {
                    world.fault(format!(
                        "an RPO breach is not reported: {database} in {store} is {age:?} old, {told:?}"
                    ));
                }
            }
        }
    }

    /// Whether some runner that lives has seen the store since it was born.
    fn was_seen(&self, world: &World, store: usize) -> bool {
        let at = world.at();
        self.runners.iter().filter_map(|(_, a)| a.as_ref()).any(|a| {
            self.up[store].is_some_and(|since| {
                at.saturating_sub(since.max(a.since)) > Duration::from_secs(180)
            })
        })
    }
}

fn simulate(seed: u64) {
    let world = World::new(seed);
    let mut fate = Fate {
        runners: RUNNERS.iter().map(|n| ((*n).to_owned(), Some(born(&world, n)))).collect(),
        up: [Some(Duration::ZERO); 2],
    };
    let end = Duration::from_secs(HOURS * 3600);
    let mut minute = Duration::from_secs(3 * 60);
    while world.at() < end {
        for (_, alive) in &mut fate.runners {
            while let Some(living) = alive.as_mut()
                && living.flag.0.swap(false, Ordering::Relaxed)
            {
                let waker = Waker::from(Arc::clone(&living.flag));
                let polled = living.future.as_mut().poll(&mut Context::from_waker(&waker));
                assert!(polled.is_pending(), "a runner ended by itself");
            }
        }
        let next = {
            let sleepers = world.sleepers.lock().unwrap();
            sleepers.iter().map(|(until, _)| *until).min().unwrap_or(minute).min(minute)
        };
        *world.now.lock().unwrap() = next.max(world.at());
        let (woken, asleep): (Vec<_>, Vec<_>) =
            world.sleepers.lock().unwrap().drain(..).partition(|(until, _)| *until <= next);
        *world.sleepers.lock().unwrap() = asleep;
        woken.into_iter().for_each(|(_, waker)| waker.wake());
        if world.at() >= minute {
            minute += Duration::from_secs(60);
            fate.minute(&world);
            fate.check(&world);
        }
    }
    let faults = world.faults.lock().unwrap();
    assert!(faults.is_empty(), "seed {seed}:\n{}", faults.join("\n"));
    // It was a life: not everything stood still.
    let begun = world.begun.lock().unwrap();
    let databases: BTreeSet<&String> = begun.iter().map(|(database, _)| database).collect();
    assert!(databases.len() == DATABASES.len() && begun.len() > 150, "{} begun", begun.len());
}

/// More with DRCTL_SIMULATIONS=100.
#[test]
fn two_days_of_deaths_outages_and_set_clocks_miss_nothing_hide_nothing_and_cry_no_wolf() {
    let more = std::env::var("DRCTL_SIMULATIONS").ok().and_then(|n| n.parse().ok());
    for seed in 1..=more.unwrap_or(1_u64) {
        simulate(seed);
    }
}
