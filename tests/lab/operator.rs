//! The configuration of an operator of a world, with the runbooks that ship.

use super::rds;
use super::records::SWITCH;
use super::service::{CLUSTER, WEB, WORKER};
use super::world::{EAST, WEST, World, ZONE, bucket};

impl World {
    pub(super) fn write_config(&self) {
        std::fs::write(self.home().join("drctl.toml"), self.config()).unwrap();
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
            runbooks = match self.rds.is_empty() {
                true => concat!(env!("CARGO_MANIFEST_DIR"), "/runbooks"),
                false => concat!(env!("CARGO_MANIFEST_DIR"), "/runbooks/rds"),
            },
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

    /// What the runbooks ask for by name, as docs/examples/petforce.toml has it.
    fn vars(&self) -> String {
        let (east, west) = (&self.furnished[EAST], &self.furnished[WEST]);
        format!(
            r#"
[vars]
cluster = "{CLUSTER}"
web = "{WEB}"
worker = "{WORKER}"
web_tasks = 2
worker_tasks = 1
target_group = "{WEB}"
zone = "{zone}"
record = "app.{ZONE}"
ready = "http://app.{ZONE}:{port}/health/ready"
alb_east = "{alb_east}"
alb_east_zone = "{alb_east_zone}"
alb_west = "{alb_west}"
alb_west_zone = "{alb_west_zone}"
name_servers = ["{dns}"]
resolvers = ["{resolver}"]
resolver = "{resolver}"
switch = "s3://{bucket}/{key}"
switch_check = "{check}"
freeze = ["touch", "frozen"]
unfreeze = ["rm", "-f", "frozen"]
"#,
            zone = self.zone_id,
            port = self.web_port(),
            alb_east = east.balancer,
            alb_east_zone = east.balancer_zone,
            alb_west = west.balancer,
            alb_west_zone = west.balancer_zone,
            dns = self.dns.address(),
            resolver = self.resolver.address(),
            bucket = SWITCH.0,
            key = SWITCH.1,
            check = self.switch_check,
        )
    }
}
