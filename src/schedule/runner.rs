//! The loop: looks at the time, begins what is due, watches the age of snapshots, and tells how all
//! stands. One task; nothing in it waits for a store, a server or a person.

mod showing;
mod taking;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};

use super::attempt::{ASKING, Tried, attempt, trouble, within};
use super::due::Turn;
use super::happening::Happening;
use super::life::Life;
use super::plan::Plan;
use super::ports::Ports;
use super::record::Record;
use super::sampling::Sampling;
use super::seat::Seat;
use super::silence::Silences;
use super::standing::{Newest, Standing};
use super::timekeeping::{Asking, Timekeeper};
use crate::error::Result;
use crate::model::{Alert, Verdict};

/// The longest sleep: a clock that was set is noticed after that.
const NAP: Duration = Duration::from_secs(1);
/// Looks into stores at the same time.
const LOOKS: usize = 16;
/// How often the standing is put together while nothing happens.
const STANDING: Duration = Duration::from_secs(10);

/// What a runner is told from outside.
pub enum Order {
    /// Another configuration.
    Reload {
        plan: Box<Plan>,
        ports: Box<Ports>,
    },
    Stop,
}

/// How a runner is to work.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Its name.
    pub runner: String,
    pub host: String,
    pub version: String,
    /// Run what is due now, once, and end.
    pub once: bool,
}

/// What came of something that was begun.
pub(super) enum Done {
    Recorded { id: String, found: Result<Record> },
    Tried { id: String, tried: Tried },
    Looked { database: String, store: String, found: Result<(Option<Newest>, DateTime<Utc>)> },
    Life(super::life::Beaten),
    Time(Result<DateTime<Utc>>),
    Sampled(super::sampling::Sampled),
}

pub(super) type Doing = Pin<Box<dyn Future<Output = Done> + Send>>;

/// A runner at work.
pub struct Runner {
    pub(super) ports: Ports,
    time: Arc<Timekeeper>,
    asking: Asking,
    terms: Terms,
    plan: Plan,
    seats: Vec<Seat>,
    doing: FuturesUnordered<Doing>,
    looking: usize,
    /// Which watches are being looked at.
    looked: Vec<(String, String)>,
    stopping: bool,
    stop: watch::Sender<bool>,
    alerts: mpsc::UnboundedSender<Alert>,
    life: Life,
    sampling: Sampling,
    silences: Silences,
    shown: watch::Sender<Arc<Standing>>,
    shown_at: Option<Duration>,
    stirred: bool,
}

/// How a runner ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worked {
    /// Units that were tried, and those whose last try was not good.
    pub tried: usize,
    pub failed: usize,
}

/// Runs until it is told to stop, or, once, until nothing is due. `shown` gets every new standing.
pub async fn run(
    plan: Plan,
    ports: Ports,
    terms: Terms,
    mut orders: mpsc::Receiver<Order>,
    shown: watch::Sender<Arc<Standing>>,
) -> Worked {
    let time = Arc::new(Timekeeper::new(ports.clock));
    let ports = Ports { clock: time.clone(), ..ports };
    let (alerts, queue) = mpsc::unbounded_channel();
    let telling = tell(ports.clone(), queue);
    let work = async {
        let mut runner = Runner::new(plan, ports, time, terms, alerts, shown);
        let worked = runner.work(&mut orders).await;
        // The queue of alerts ends with the runner.
        drop(runner);
        worked
    };
    let (worked, ()) = futures_util::future::join(work, telling).await;
    worked
}

/// Hands alerts over one after another, so that what is over is told after what began it.
async fn tell(ports: Ports, mut queue: mpsc::UnboundedReceiver<Alert>) {
    while let Some(alert) = queue.recv().await {
        let told = async {
            ports.alerts.alert(alert).await;
            Ok(())
        };
        if let Err(e) = within(&*ports.clock, 3 * ASKING, "hand an alert over", told).await {
            trouble(&ports, "alerts".to_owned(), &e);
        }
    }
}

impl Runner {
    fn new(
        plan: Plan,
        ports: Ports,
        time: Arc<Timekeeper>,
        terms: Terms,
        alerts: mpsc::UnboundedSender<Alert>,
        shown: watch::Sender<Arc<Standing>>,
    ) -> Self {
        let (now, at) = (ports.clock.now(), ports.clock.elapsed());
        Self {
            seats: plan.units.iter().cloned().map(Seat::new).collect(),
            life: Life::new(&terms, now),
            sampling: Sampling::new(&plan, at),
            silences: Silences::default(),
            doing: FuturesUnordered::new(),
            looking: 0,
            looked: Vec::new(),
            stopping: false,
            stop: watch::Sender::new(false),
            alerts,
            shown,
            shown_at: None,
            stirred: true,
            asking: Asking::default(),
            time,
            ports,
            terms,
            plan,
        }
    }

    async fn work(&mut self, orders: &mut mpsc::Receiver<Order>) -> Worked {
        let now = self.ports.clock.now();
        let started = Happening::RunnerStarted {
            runner: self.terms.runner.clone(),
            version: self.terms.version.clone(),
            units: self.seats.len(),
            max_parallel: self.plan.max_parallel,
        };
        self.ports.diary.note(now, started);
        self.read_records();
        let mut open = true;
        loop {
            let (now, at) = (self.ports.clock.now(), self.ports.clock.elapsed());
            self.ports.diary.alive();
            self.ask_the_time(at);
            // Nothing before it is known what time it is.
            if !self.stopping && self.asking.asked {
                self.queue(now, at);
                self.begin();
                self.look(at);
                self.live(at);
            }
            self.show(now, at);
            if self.is_over() {
                break;
            }
            let nap = self.nap(now, at);
            let clock = Arc::clone(&self.ports.clock);
            tokio::select! {
                biased;
                order = orders.recv(), if open => match order {
                    Some(order) => self.obey(order),
                    None => open = false,
                },
                Some(done) = self.doing.next(), if !self.doing.is_empty() => self.take(done),
                () = clock.sleep(nap) => {}
            }
        }
        self.leave().await
    }

    async fn leave(&mut self) -> Worked {
        let leaving = self.ports.ledger.leave(&self.terms.runner);
        let limit = Duration::from_secs(5);
        let _ = within(&*self.ports.clock, limit, "take the sign of life away", leaving).await;
        self.sampling.release(&self.ports).await;
        let stopped = Happening::RunnerStopped { runner: self.terms.runner.clone() };
        self.ports.diary.note(self.ports.clock.now(), stopped);
        let bad = |seat: &&Seat| seat.last.is_some_and(|v| v != Verdict::Done);
        Worked {
            tried: self.seats.iter().filter(|seat| seat.tried).count(),
            failed: self.seats.iter().filter(bad).count(),
        }
    }

    fn is_over(&self) -> bool {
        let busy = self.seats.iter().any(|seat| seat.busy.is_some());
        if self.stopping {
            return !busy;
        }
        let idle = |seat: &Seat| seat.known && seat.busy.is_none() && seat.queued.is_none();
        self.terms.once
            && self.asking.asked
            && self.looking == 0
            && self.looked.is_empty()
            && self.seats.iter().all(idle)
    }

    /// Until when to sleep if nothing happens.
    fn nap(&self, now: DateTime<Utc>, at: Duration) -> Duration {
        let turns = self.seats.iter().filter_map(Seat::wakes).min();
        let turns = turns.map(|turn| (turn - now).to_std().unwrap_or_default());
        let watches = self.plan.watches.iter().map(super::rpo::Watch::look_at).min();
        let watches = watches.filter(|_| self.looking < LOOKS).map(|w| w.saturating_sub(at));
        let nap = turns.into_iter().chain(watches).min().unwrap_or(NAP);
        // Never busy: what is due and cannot be begun yet is waited for.
        nap.clamp(Duration::from_millis(10), NAP)
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Stop => {
                self.stopping = true;
                self.stop.send_replace(true);
                let running = self.seats.iter().filter(|seat| seat.busy.is_some()).count();
                let stopping = Happening::RunnerStopping { running };
                self.ports.diary.note(self.ports.clock.now(), stopping);
            }
            Order::Reload { plan, ports } => self.reload(*plan, *ports),
        }
    }

    /// Goes on by another configuration; what is under way ends by the old one.
    fn reload(&mut self, plan: Plan, ports: Ports) {
        let mut old = std::mem::take(&mut self.seats);
        self.seats = plan
            .units
            .iter()
            .map(|unit| match old.iter().position(|seat| seat.id == unit.id()) {
                Some(at) => {
                    let mut seat = old.swap_remove(at);
                    seat.unit = unit.clone();
                    seat.queued = None;
                    seat.stir();
                    seat
                }
                None => Seat::new(unit.clone()),
            })
            .collect();
        let old = std::mem::replace(&mut self.plan, plan).watches;
        for watch in &mut self.plan.watches {
            let same = old.iter().find(|o| o.database == watch.database && o.store == watch.store);
            if let Some(known) = same {
                watch.adopt(known);
            }
        }
        // Time goes on.
        self.ports = Ports { clock: Arc::clone(&self.ports.clock), ..ports };
        self.sampling.reload(&self.plan, self.ports.clock.elapsed());
        let reloaded = Happening::ConfigReloaded { units: self.seats.len() };
        self.ports.diary.note(self.ports.clock.now(), reloaded);
        self.stirred = true;
        self.read_records();
    }

    fn ask_the_time(&mut self, at: Duration) {
        if self.asking.is_due(&self.time, at) {
            let ports = self.ports.clone();
            self.doing.push(Box::pin(async move {
                let asking = ports.ledger.now();
                Done::Time(within(&*ports.clock, ASKING, "ask for the time", asking).await)
            }));
        }
    }

    /// Asks for every record that was never read.
    fn read_records(&mut self) {
        for seat in self.seats.iter().filter(|seat| !seat.known) {
            let (ports, id) = (self.ports.clone(), seat.id.clone());
            self.doing.push(Box::pin(async move {
                let reading = ports.ledger.read(&id);
                let found = within(&*ports.clock, ASKING, "read the record", reading).await;
                Done::Recorded { id, found }
            }));
        }
    }

    /// Puts in line what is due.
    fn queue(&mut self, now: DateTime<Utc>, at: Duration) {
        for seat in self.seats.iter_mut().filter(|seat| seat.known) {
            if self.terms.once && seat.tried {
                continue;
            }
            let (turn, doubted) = seat.look(now);
            if doubted {
                let set_back = Happening::ClockSetBack { unit: seat.id.clone() };
                self.ports.diary.note(now, set_back);
            }
            let Some(turn) = turn else {
                seat.queued = None;
                continue;
            };
            let busy = seat.busy;
            match busy {
                Some(under_way) if turn.at > under_way.at && seat.is_newly_late(turn) => {
                    let late = Happening::JobLate {
                        unit: seat.id.clone(),
                        turn: under_way.at,
                        next: turn.at,
                    };
                    self.ports.diary.note(now, late);
                    let alert = seat.late_alert(false, now);
                    alert.into_iter().for_each(|a| raise(&self.ports, &self.alerts, a));
                    self.stirred = true;
                }
                Some(_) => {}
                None if at >= seat.held_until && seat.queued != Some(turn) => {
                    seat.queued = Some(turn);
                    self.stirred = true;
                }
                None => {}
            }
        }
    }

    /// Begins what is in line, the oldest turn first, as far as there is room.
    fn begin(&mut self) {
        let busy = self.seats.iter().filter(|seat| seat.busy.is_some()).count();
        let room = self.plan.max_parallel.saturating_sub(busy);
        if room == 0 {
            return;
        }
        let mut line: Vec<(Turn, usize)> = self
            .seats
            .iter()
            .enumerate()
            .filter_map(|(i, seat)| Some((seat.queued.filter(|_| seat.busy.is_none())?, i)))
            .collect();
        // What keeps ages down goes before what only looks.
        line.sort_by_key(|(turn, i)| (self.seats[*i].unit.job.run, turn.at, *i));
        for (turn, i) in line.into_iter().take(room) {
            let seat = &mut self.seats[i];
            seat.queued = None;
            seat.busy = Some(turn);
            seat.stir();
            let trying = attempt(
                self.ports.clone(),
                seat.unit.clone(),
                turn,
                seat.record.clone(),
                self.terms.runner.clone(),
                self.stop.subscribe(),
            );
            let id = seat.id.clone();
            self.doing.push(Box::pin(async move { Done::Tried { id, tried: trying.await } }));
            self.stirred = true;
        }
    }

    /// Looks for snapshots where it is time to.
    fn look(&mut self, at: Duration) {
        for watch in &self.plan.watches {
            let place = (watch.database.clone(), watch.store.clone());
            if self.looking >= LOOKS {
                break;
            }
            if watch.look_at() > at || self.looked.contains(&place) {
                continue;
            }
            self.looking += 1;
            self.looked.push(place.clone());
            let ports = self.ports.clone();
            let (database, store) = place;
            self.doing.push(Box::pin(async move {
                let looking = ports.snapshots.newest(&database, &store);
                let found = within(&*ports.clock, ASKING, "look for snapshots", looking).await;
                Done::Looked { database, store, found }
            }));
        }
    }

    /// Signs of life, and samples.
    fn live(&mut self, at: Duration) {
        if self.terms.once {
            return;
        }
        self.doing.extend(self.life.due(&self.ports, at, self.sampling.sampled()));
        self.doing.extend(self.sampling.due(&self.ports, at));
        for alert in self.sampling.alerts(at, self.ports.clock.now()) {
            raise(&self.ports, &self.alerts, alert);
        }
    }
}

/// Notes an alert and puts it in line.
fn raise(ports: &Ports, alerts: &mpsc::UnboundedSender<Alert>, alert: Alert) {
    // What is first seen to be well is nothing for the log.
    if !alert.resolved || alert.severity != crate::model::Severity::Info {
        ports.diary.note(alert.at, Happening::Alert { alert: alert.clone() });
    }
    let _ = alerts.send(alert);
}
