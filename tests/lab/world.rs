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
use super::forwarder::{Flow, Forwarder};
use super::furnish::{self, Ends, Furnished};
use super::hosted_zone::HostedZone;
use super::mail::Mail;
use super::moto::Moto;
use super::options::Version;
use super::postgres::Postgres;
use super::rds::{self, Rds};
use super::receiver::Receiver;
use super::region::{Fault, Part, Region};
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
    ttl: u32,
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
            (EAST.to_owned(), furnish::region(EAST, &moto_east, east_ip, web_port, 2)),
            (
                WEST.to_owned(),
                furnish::region(WEST, &moto_west, west_ip, web_port, options.standby_tasks),
            ),
        ]);
        moto_west.create_bucket(furnish::SWITCH.0);
        moto_west.open_to_all(furnish::SWITCH.0, furnish::SWITCH.1);
        let east_aws = Forwarder::before(moto_east.port(), east_ip);
        let west_aws = Forwarder::before(moto_west.port(), west_ip);
        let west_db = Forwarder::before(standby.port(), west_ip);
        let ends = Ends {
            east: (east_ip, &furnished[EAST]),
            west: (west_ip, &furnished[WEST]),
            switch: west_aws.address(),
            ttl: options.ttl,
        };
        let zone_id = furnish::zone(&global, &ends);
        let zone = HostedZone::follow(global.port(), &zone_id, furnish::balancers(&ends));
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
            zone_id,
            zone,
            dns,
            resolver,
            mail,
            slack: Receiver::start(),
            pager: Receiver::start(),
            furnished,
            rds,
            ttl: options.ttl,
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
            furnish::region(&region.name, &moto, region.ip, self.web_port(), 2);
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

    fn write_config(&self) {
        std::fs::write(self.home.join("drctl.toml"), self.config()).unwrap();
    }

    /// The configuration of an operator of this world.
    pub fn config(&self) -> String {
        let mut text = format!(
            r#"[project]
name = "petforce"

[regions]
primary = "{EAST}"
standby = "{WEST}"

[failover]
runbooks = "{runbooks}"
store = "west"

[aws.global]
endpoint = "{route53}"

[database.petforce]
url = "host={east_ip} port={east_db} user=drctl dbname=petforce connect_timeout=2"
stores = ["east", "west"]
jobs = 2
pg_bin = "{pg_bin}"

[target.beside]
url = "host={east_ip} port={east_db} user=postgres dbname=petforce_restored"

[channel.pager]
kind = "pagerduty"
routing_key = "lab"
url = "{pager}"

[channel.team]
kind = "slack"
url = "{slack}"

[channel.mail]
kind = "email"
url = "smtp://127.0.0.1:{mail}"
from = "drctl@{ZONE}"
to = ["oncall@{ZONE}"]
"#,
            runbooks = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/runbooks"),
            route53 = self.route53.endpoint(),
            east_ip = self.east.ip,
            east_db = self.east.db.port(),
            pg_bin = self.east.server().bin_dir().display(),
            pager = self.pager.url("/v2/enqueue"),
            slack = self.slack.url("/services/T/B/lab"),
            mail = self.mail.port(),
        );
        for (store, region) in [("east", &self.east), ("west", &self.west)] {
            let (name, endpoint) = (&region.name, region.aws.endpoint());
            text.push_str(&format!(
                r#"
[store.{store}]
url = "s3://{bucket}/dr"
region = "{name}"
endpoint = "{endpoint}"
path_style = true
patience = "3s"

[aws.{name}]
endpoint = "{endpoint}"

[database.petforce.server.{name}]
url = "host={ip} port={db} user=postgres dbname=petforce connect_timeout=2"
"#,
                bucket = bucket(name),
                ip = region.ip,
                db = region.db.port(),
            ));
            if self.rds.contains_key(name) {
                text.push_str(&format!("rds_instance = \"{}\"\n", rds::instance(name)));
            }
        }
        text.push_str(&self.vars());
        text
    }

    /// What the runbooks ask for by name.
    fn vars(&self) -> String {
        format!(
            r#"
[vars]
zone = "{zone}"
ttl = {ttl}
ip_east = "{east}"
ip_west = "{west}"
health_east = "{east_web}/health/ready"
health_west = "{west_web}/health/ready"
dns = "{dns}"
resolver = "{resolver}"
switch = "s3://{bucket}/{key}"
"#,
            zone = self.zone_id,
            ttl = self.ttl,
            east = self.east.ip,
            west = self.west.ip,
            east_web = self.east.web.endpoint(),
            west_web = self.west.web.endpoint(),
            dns = self.dns.address(),
            resolver = self.resolver.address(),
            bucket = furnish::SWITCH.0,
            key = furnish::SWITCH.1,
        )
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
