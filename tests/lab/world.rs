//! Two regions on loopback, and what lies between them: the database streams from one to the other,
//! DNS answers from the hosted zone, and notifications are received.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::command::drctl;
use super::dns::{Cache, Dns};
use super::fault::{Fault, Part};
use super::forwarder::{Flow, Forwarder};
use super::furnish::{self, Furnished};
use super::hosted_zone::HostedZone;
use super::mail::Mail;
use super::moto::Moto;
use super::options::Version;
use super::postgres::Postgres;
use super::rds::Rds;
use super::receiver::Receiver;
use super::records::{self, Ends, SWITCH};
use super::region::Region;
use super::scratch::{Folder, folder};
use super::writer::{Writer, address_now};

/// The hosted zone's name.
pub const ZONE: &str = "petforce.test";
pub const EAST: &str = "us-east-1";
pub const WEST: &str = "us-west-2";

/// The bucket of snapshots in a region.
pub fn bucket(region: &str) -> &'static str {
    match region {
        EAST => "petforce-dr-use1",
        _ => "petforce-dr-usw2",
    }
}

/// How a world is made.
#[derive(Debug, Clone)]
pub struct WorldOptions {
    /// Appointments in the database.
    pub scale: u64,
    /// Of the zone's records, in seconds.
    pub ttl: u32,
    /// Tasks that the standby region's service has from the start.
    pub standby_tasks: u32,
    /// The databases are RDS instances.
    pub rds: bool,
    /// Where drctl works; none: a temporary folder.
    pub home: Option<PathBuf>,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self { scale: 100, ttl: 1, standby_tasks: 0, rds: false, home: None }
    }
}

/// Two regions; all of it ends on drop.
pub struct World {
    pub east: Arc<Region>,
    pub west: Arc<Region>,
    /// Route 53's control plane, and the way to it.
    pub global: Moto,
    pub route53: Forwarder,
    pub zone_id: String,
    /// The health check that watches the switch object.
    pub switch_check: String,
    pub zone: HostedZone,
    /// Answers from the zone.
    pub dns: Dns,
    /// Asks the zone and keeps the answer for its TTL, as clients' resolvers do.
    pub resolver: Dns,
    pub mail: Mail,
    pub slack: Receiver,
    pub pager: Receiver,
    pub furnished: BTreeMap<String, Furnished>,
    /// By region, in RDS mode.
    pub rds: BTreeMap<String, Rds>,
    home: PathBuf,
    _folder: Folder,
    /// The old servers of regions that got another one.
    put_aside: Mutex<Vec<Arc<Postgres>>>,
}

impl World {
    pub fn start(options: &WorldOptions) -> Self {
        let (east_ip, west_ip) = (Ipv4Addr::new(127, 0, 1, 1), Ipv4Addr::new(127, 0, 2, 1));
        let (moto_east, moto_west, global, mail, (primary, east_db)) = std::thread::scope(|s| {
            let east = s.spawn(|| Moto::start(EAST));
            let west = s.spawn(|| Moto::start(WEST));
            let global = s.spawn(|| Moto::start("aws-global"));
            let mail = s.spawn(Mail::start);
            let database = s.spawn(|| {
                let primary = Postgres::options(Version::V15).conf(CONF).start();
                load(&primary, options.scale);
                let way = Forwarder::before(primary.port(), east_ip);
                (primary, way)
            });
            (
                east.join().unwrap(),
                west.join().unwrap(),
                global.join().unwrap(),
                mail.join().unwrap(),
                database.join().unwrap(),
            )
        });
        let standby = Postgres::standby_through(&primary, east_db.address());
        // One port for the service everywhere: DNS tells addresses and no ports.
        let (east_web, west_web) = same_port(east_ip, west_ip);
        let web_port = east_web.port();
        let furnished = BTreeMap::from([
            (EAST.to_owned(), furnish::region(EAST, &moto_east, web_port, 2)),
            (WEST.to_owned(), furnish::region(WEST, &moto_west, web_port, options.standby_tasks)),
        ]);
        moto_west.create_bucket(SWITCH.0);
        moto_west.open_to_all(SWITCH.0, SWITCH.1);
        let east_aws = Forwarder::before(moto_east.port(), east_ip);
        let west_aws = Forwarder::before(moto_west.port(), west_ip);
        let west_db = Forwarder::before(standby.port(), west_ip);
        let ends = Ends {
            east: (east_ip, &furnished[EAST]),
            west: (west_ip, &furnished[WEST]),
            switch: west_aws.address(),
            ttl: options.ttl,
        };
        let made = records::make(&global, &ends);
        let balancers = records::balancers(&ends);
        let zone = HostedZone::follow(global.port(), &made.zone, balancers, options.ttl);
        let dns = Dns::serve(zone.records(), true);
        let resolver = Dns::resolver(&Cache::running(zone.records()));
        let route53 = Forwarder::before(global.port(), Ipv4Addr::new(127, 0, 3, 1));
        let scratch = folder("world");
        let home = options.home.clone().unwrap_or_else(|| scratch.path().to_owned());
        let east = Region::new(EAST, moto_east, primary, east_db, east_aws, east_web);
        let west = Region::new(WEST, moto_west, standby, west_db, west_aws, west_web);
        let rds = match options.rds {
            true => BTreeMap::from([
                (EAST.to_owned(), Rds::before(&east, None)),
                (WEST.to_owned(), Rds::before(&west, Some(EAST))),
            ]),
            false => BTreeMap::new(),
        };
        let world = Self {
            east,
            west,
            global,
            route53,
            zone_id: made.zone,
            switch_check: made.switch_check,
            zone,
            dns,
            resolver,
            mail,
            slack: Receiver::start(),
            pager: Receiver::start(),
            furnished,
            rds,
            home,
            _folder: scratch,
            put_aside: Mutex::default(),
        };
        world.west.server().catch_up(&world.east.server());
        world.write_config();
        world.await_open(&world.east.web);
        world
    }

    fn await_open(&self, way: &Forwarder) {
        let start = Instant::now();
        while way.flow() != Flow::Open {
            assert!(start.elapsed() < Duration::from_secs(60), "no app after a minute");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The folder of `drctl.toml`.
    pub fn home(&self) -> &Path {
        &self.home
    }

    pub fn region(&self, name: &str) -> &Arc<Region> {
        match name {
            EAST => &self.east,
            _ => &self.west,
        }
    }

    /// The port of the service in both regions.
    pub fn web_port(&self) -> u16 {
        self.east.web.port()
    }

    /// drctl, in the folder of its configuration.
    pub fn drctl(&self) -> Command {
        drctl(&self.home)
    }

    /// A client that writes to `NAME.petforce.test`.
    pub fn writer(&self, name: &str) -> Writer {
        Writer::start(&format!("{name}.{ZONE}"), self.web_port(), self.dns.address())
    }

    /// The region whose address `NAME.petforce.test` has right now.
    pub fn answered(&self, name: &str) -> Option<&str> {
        let ip = address_now(self.dns.address(), &format!("{name}.{ZONE}"))?;
        let region = [&self.east, &self.west].into_iter().find(|region| region.ip == ip)?;
        Some(&region.name)
    }

    /// A lost region comes back: its database as it was when it went, its AWS empty if that was
    /// killed.
    pub fn revive(&self, region: &Region) {
        self.revive_aws(region);
        region.heal(Part::Db);
        region.heal(Part::App);
    }

    pub fn revive_aws(&self, region: &Region) {
        if !region.moto().runs() {
            let moto = Moto::start(&region.name);
            furnish::region(&region.name, &moto, self.web_port(), 2);
            region.replace_moto(moto);
        }
        region.heal(Part::Aws);
    }

    /// Nothing can be changed at Route 53; its answers stay.
    pub fn fail_route53(&self, fault: Fault) -> Result<(), String> {
        self.route53.set(match fault {
            Fault::Hang | Fault::Stop => Flow::Hang,
            Fault::Refuse => Flow::Refuse,
            Fault::Cut => Flow::Cut,
            Fault::Kill => return Err("Route 53 can hang, refuse or cut".to_owned()),
        });
        Ok(())
    }

    pub fn heal_route53(&self) {
        self.route53.set(Flow::Open);
    }

    /// A new standby of `primary` takes the place of `region`'s server, which ends and is kept aside.
    pub fn rebuild(&self, region: &Region, primary: &Region) {
        let old = region.server();
        if old.runs() {
            old.resume();
            old.stop();
        }
        let standby = Postgres::standby_through(&primary.server(), primary.db.address());
        standby.catch_up(&primary.server());
        region.replace_server(standby);
        self.put_aside.lock().unwrap().push(old);
    }

    /// The whole region is lost.
    pub fn lose(&self, region: &Region, fault: Fault) {
        region.fail_all(fault);
    }
}

/// A standby that follows closely and notices soon that its primary is gone.
const CONF: &str = "
wal_receiver_timeout = 5s
wal_sender_timeout = 5s
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 500ms
max_slot_wal_keep_size = 256MB
";

/// The database, the app's table and the roles.
fn load(server: &Postgres, scale: u64) {
    server.create_db("petforce");
    server.load_petforce("petforce", scale);
    server.psql(
        "petforce",
        "CREATE TABLE petforce.writes (
           client text NOT NULL, n bigint NOT NULL, region text NOT NULL,
           at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (client, n));
         CREATE ROLE petforce_app LOGIN;
         GRANT USAGE ON SCHEMA petforce TO petforce_app;
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA petforce TO petforce_app;
         CREATE ROLE drctl LOGIN;
         GRANT pg_read_all_data TO drctl",
    );
}

/// Two forwarders with one port number, which lead nowhere yet.
fn same_port(one: Ipv4Addr, other: Ipv4Addr) -> (Forwarder, Forwarder) {
    for _ in 0..20 {
        let first = Forwarder::before(9, one);
        if let Ok(second) = Forwarder::at((other, first.port()).into(), 9) {
            return (first, second);
        }
    }
    panic!("found no port that is free on {one} and {other} in twenty attempts");
}
