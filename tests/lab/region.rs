//! One region of a world: its database, its AWS and its app, each behind a forwarder on the region's
//! own address, and what can go wrong with them.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use serde_json::json;

use super::app::App;
use super::background::Task;
use super::calls::Api;
use super::forwarder::{Flow, Forwarder};
use super::moto::Moto;
use super::postgres::Postgres;

/// How often the region looks whether its service should run.
const EVERY: Duration = Duration::from_millis(200);

/// What a region consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Db,
    Aws,
    App,
}

impl Part {
    pub const ALL: [Self; 3] = [Self::Db, Self::Aws, Self::App];
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Db => "db",
            Self::Aws => "aws",
            Self::App => "app",
        })
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its processes are killed.
    Kill,
    /// Its processes are stopped.
    Stop,
    /// Connections are accepted and never answered.
    Hang,
    /// Connections are refused.
    Refuse,
    /// Connections are accepted and ended at once.
    Cut,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Hang => "hang",
            Self::Refuse => "refuse",
            Self::Cut => "cut",
        })
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "kill" => Ok(Self::Kill),
            "stop" => Ok(Self::Stop),
            "hang" => Ok(Self::Hang),
            "refuse" => Ok(Self::Refuse),
            "cut" => Ok(Self::Cut),
            _ => Err(format!("no fault `{text}`: it is kill, stop, hang, refuse or cut")),
        }
    }
}

pub struct Region {
    /// `us-east-1`.
    pub name: String,
    pub ip: Ipv4Addr,
    moto: Mutex<Arc<Moto>>,
    server: Mutex<Arc<Postgres>>,
    app: Mutex<Option<App>>,
    app_is_killed: AtomicBool,
    /// The ways to its parts.
    pub db: Forwarder,
    pub aws: Forwarder,
    pub web: Forwarder,
    keeper: Mutex<Option<Task>>,
}

impl Region {
    pub const CLUSTER: &str = "petforce";
    pub const SERVICE: &str = "petforce-web";

    /// Its service runs once ECS wants a task of it.
    pub fn new(
        name: &str,
        moto: Moto,
        server: Postgres,
        db: Forwarder,
        aws: Forwarder,
        web: Forwarder,
    ) -> Arc<Self> {
        let std::net::IpAddr::V4(ip) = web.address().ip() else { panic!("an IPv4 address") };
        web.set(Flow::Refuse);
        let region = Arc::new(Self {
            name: name.to_owned(),
            ip,
            moto: Mutex::new(Arc::new(moto)),
            server: Mutex::new(Arc::new(server)),
            app: Mutex::default(),
            app_is_killed: AtomicBool::new(false),
            db,
            aws,
            web,
            keeper: Mutex::default(),
        });
        let watched = Arc::downgrade(&region);
        *region.keeper.lock().unwrap() = Some(Task::start(keep_service(watched)));
        region
    }

    pub fn moto(&self) -> Arc<Moto> {
        Arc::clone(&self.moto.lock().unwrap())
    }

    pub fn server(&self) -> Arc<Postgres> {
        Arc::clone(&self.server.lock().unwrap())
    }

    /// Another server takes the place of the region's.
    pub fn replace_server(&self, server: Postgres) {
        self.db.lead_to(server.port());
        *self.server.lock().unwrap() = Arc::new(server);
        self.db.set(Flow::Open);
    }

    /// Another, empty AWS takes the place of one that was killed.
    pub fn replace_moto(&self, moto: Moto) {
        self.aws.lead_to(moto.port());
        *self.moto.lock().unwrap() = Arc::new(moto);
        self.aws.set(Flow::Open);
    }

    pub fn way(&self, part: Part) -> &Forwarder {
        match part {
            Part::Db => &self.db,
            Part::Aws => &self.aws,
            Part::App => &self.web,
        }
    }

    /// Takes effect before it returns.
    pub fn fail(&self, part: Part, fault: Fault) {
        let way = self.way(part);
        match (fault, part) {
            (Fault::Hang, _) => way.set(Flow::Hang),
            (Fault::Refuse, _) => way.set(Flow::Refuse),
            (Fault::Cut, _) => way.set(Flow::Cut),
            (Fault::Kill, Part::Db) => self.server().kill9(),
            (Fault::Kill, Part::Aws) => self.moto().kill(),
            (Fault::Kill, Part::App) => {
                self.app_is_killed.store(true, Ordering::SeqCst);
                self.app.lock().unwrap().take();
            }
            (Fault::Stop, Part::Db) => self.server().pause(),
            (Fault::Stop, Part::Aws) => self.moto().pause(),
            (Fault::Stop, Part::App) => way.set(Flow::Hang),
        }
        if fault == Fault::Kill {
            way.set(Flow::Refuse);
        }
    }

    /// Everything at once, as when the region is lost.
    pub fn fail_all(&self, fault: Fault) {
        for part in Part::ALL {
            self.fail(part, fault);
        }
    }

    /// The database comes back with its data, as it was; AWS must not have been killed.
    pub fn heal(&self, part: Part) {
        match part {
            Part::Db => {
                let server = self.server();
                match server.runs() {
                    true => server.resume(),
                    false => server.start_again(),
                }
                // Of a standby that was told to lag.
                let lags = "SELECT pg_wal_replay_resume() WHERE pg_is_in_recovery()";
                server.psql("postgres", lags);
            }
            Part::Aws => self.moto().resume(),
            Part::App => {
                self.app_is_killed.store(false, Ordering::SeqCst);
                if self.app.lock().unwrap().is_none() {
                    return;
                }
            }
        }
        self.way(part).set(Flow::Open);
    }

    pub fn api<'a>(&'a self, moto: &Moto, service: &'a str) -> Api<'a> {
        Api { port: moto.port(), region: &self.name, service }
    }

    /// Starts or ends the app as ECS wants it; without an answer all stays as it is.
    fn look_at_service(&self) {
        let moto = self.moto();
        let Some(wanted) = self.desired_count(&moto) else { return };
        let mut app = self.app.lock().unwrap();
        let wanted = wanted > 0 && !self.app_is_killed.load(Ordering::SeqCst);
        if wanted == app.is_some() {
            return;
        }
        *app = wanted.then(|| App::start(&self.name, &self.app_conninfo()));
        match &*app {
            Some(app) => {
                self.web.lead_to(app.port());
                self.web.set(Flow::Open);
            }
            None => self.web.set(Flow::Refuse),
        }
    }

    fn desired_count(&self, moto: &Moto) -> Option<u64> {
        let target = "AmazonEC2ContainerServiceV20141113.DescribeServices";
        let asked = json!({ "cluster": Self::CLUSTER, "services": [Self::SERVICE] });
        let answer = self.api(moto, "ecs").try_json(target, &asked)?;
        answer["services"][0]["desiredCount"].as_u64()
    }

    /// How the service is, in words.
    pub fn service(&self) -> &'static str {
        let runs = self.app.lock().unwrap().is_some();
        match (runs, self.app_is_killed.load(Ordering::SeqCst)) {
            (true, _) => "running",
            (false, true) => "killed",
            (false, false) => "with no task: ECS wants none",
        }
    }

    fn app_conninfo(&self) -> String {
        format!(
            "host={} port={} user=petforce_app dbname=petforce connect_timeout=2 \
             application_name='web of {}'",
            self.ip,
            self.db.port(),
            self.name
        )
    }
}

async fn keep_service(region: Weak<Region>) {
    while let Some(region) = region.upgrade() {
        let _ = tokio::task::spawn_blocking(move || region.look_at_service()).await;
        tokio::time::sleep(EVERY).await;
    }
}
