//! What a world looks like from outside, for people and scripts.

use std::sync::Arc;

use super::command::run;
use super::fault::Part;
use super::forwarder::Flow;
use super::postgres::Postgres;
use super::region::Region;
use super::world::World;

impl World {
    /// The server that takes writes; where two do, the standby region's, for it was promoted.
    pub fn primary(&self) -> Option<Arc<Postgres>> {
        let writes = [&self.west, &self.east].into_iter().find(|r| r.role() == "primary")?;
        Some(writes.server())
    }

    /// A line for each part.
    pub fn status(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for region in [&self.east, &self.west] {
            lines.push(region.name.clone());
            let role = region.role();
            for (part, what) in [
                (Part::Db, format!("PostgreSQL, {role}")),
                (Part::Aws, "moto".to_owned()),
                (Part::App, format!("the service, {}", region.service())),
            ] {
                let way = region.way(part);
                let flow = told(way.flow());
                let place = way.address().to_string();
                lines.push(format!("  {:<9} {flow:<8} {place:<18} {what}", part.to_string()));
            }
        }
        let dns = self.dns.address();
        lines.push(format!(
            "route53     {:<8} {}",
            told(self.route53.flow()),
            self.route53.address()
        ));
        for name in ["app", "api", "www"] {
            let answer = self.answered(name).unwrap_or("no answer");
            lines
                .push(format!("{:<11} {answer}, says the DNS server at {dns}", format!("{name}.")));
        }
        let (mails, slack, pager) =
            (self.mail.mails().len(), self.slack.requests().len(), self.pager.requests().len());
        lines.push(format!("received    {mails} mails, {slack} at Slack, {pager} at PagerDuty"));
        lines
    }

    /// `NAME=VALUE` lines, or one value.
    pub fn show(&self, name: Option<&str>) -> Result<String, String> {
        let mut all = vec![
            ("home".to_owned(), self.home().display().to_string()),
            ("dns".to_owned(), self.dns.address().to_string()),
            ("resolver".to_owned(), self.resolver.address().to_string()),
            ("web_port".to_owned(), self.web_port().to_string()),
            ("zone_id".to_owned(), self.zone_id.clone()),
        ];
        for (short, region) in [("east", &self.east), ("west", &self.west)] {
            all.push((format!("{short}_db"), region.db.address().to_string()));
            all.push((format!("{short}_aws"), region.aws.endpoint()));
            all.push((format!("{short}_web"), region.web.endpoint()));
        }
        match name {
            None => Ok(all.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("\n")),
            Some(name) => {
                let found = all.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| value.clone()).ok_or(format!("nothing called `{name}`"))
            }
        }
    }
}

fn told(flow: Flow) -> &'static str {
    match flow {
        Flow::Open => "open",
        Flow::Hang => "HANGS",
        Flow::Refuse => "REFUSES",
        Flow::Cut => "CUTS",
    }
}

impl Region {
    /// What its database is right now.
    pub fn role(&self) -> &'static str {
        let server = self.server();
        if !server.runs() || self.db.flow() != Flow::Open {
            return "away";
        }
        let mut psql = server.program("psql");
        // A stopped server says nothing.
        psql.env("PGCONNECT_TIMEOUT", "2").args(["-X", "-A", "-t", "-d", "postgres"]);
        match run(psql.args(["-c", "SELECT pg_is_in_recovery()"])).stdout.trim() {
            "t" => "standby",
            "f" => "primary",
            _ => "away",
        }
    }
}
