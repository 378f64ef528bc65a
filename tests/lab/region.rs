//! One region of a world: its database, its AWS and its app, each behind a forwarder on the region's
//! own address.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use super::calls::Api;
use super::fault::{Fault, Part};
use super::forwarder::{Flow, Forwarder};
use super::moto::Moto;
use super::postgres::Postgres;
use super::service::{Keeper, Service};

pub struct Region {
    /// `us-east-1`.
    pub name: String,
    pub ip: Ipv4Addr,
    moto: Mutex<Arc<Moto>>,
    server: Mutex<Arc<Postgres>>,
    pub(super) app: Service,
    /// The ways to its parts.
    pub db: Forwarder,
    pub aws: Forwarder,
    pub web: Forwarder,
    keeper: Mutex<Option<Keeper>>,
}

impl Region {
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
            app: Service::default(),
            db,
            aws,
            web,
            keeper: Mutex::default(),
        });
        *region.keeper.lock().unwrap() = Some(Keeper::of(&region));
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
        self.app.has_no_targets();
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
            (Fault::Kill, Part::App) => self.app.kill(),
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
                server.receive_again();
                let lags = "SELECT pg_wal_replay_resume() WHERE pg_is_in_recovery()";
                server.psql("postgres", lags);
            }
            Part::Aws => self.moto().resume(),
            Part::App => {
                self.app.may_live();
                if !self.app.runs() {
                    return;
                }
            }
        }
        self.way(part).set(Flow::Open);
    }

    pub fn api<'a>(&'a self, moto: &Moto, service: &'a str) -> Api<'a> {
        Api { port: moto.port(), region: &self.name, service }
    }
}
