//! What a preflight asks for the run as a whole: credentials in every region, channels that can be
//! used, the copy in the standby's store.

use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use drctl::providers::{Mode, Standing};
use drctl::runbook::preflight::{self, Preflight};
use drctl::runbook::sheet::Runbook;
use drctl::runbook::{Circumstances, plan};

use super::bench::Bench;
use super::front::{Fault, Front};
use crate::lab::shared_moto_west;

const RUNBOOK: &str = r#"
title = "x"
rto = "15m"
[[step]]
id = "tell"
uses = "notify.all"
with = { text = "begins" }
timeout = "5s"
[[step]]
id = "web"
uses = "ecs.await_steady"
with = { in = "us-west-2", cluster = "nowhere", service = "nothing", at_least = 1 }
timeout = "1m"
[[step]]
id = "insync"
uses = "route53.health_switch"
with = { object = "s3://nowhere/switch", in = "us-west-2", on = true }
timeout = "1m"
"#;

async fn look(bench: &Bench) -> Preflight {
    let config = &bench.world.config;
    let circumstances = Circumstances::of_a_look(config);
    let book = Runbook::parse(RUNBOOK, Path::new("test.toml"), config).unwrap();
    let plan = plan::make(&book, config, Mode::Forced, &circumstances).unwrap();
    let limit = Duration::from_secs(20);
    preflight::run(&bench.world, &[plan], "ann on ops-1", limit, Utc::now()).await.unwrap()
}

fn bench(west: &str, channels: &str) -> Bench {
    Bench::new(&format!(
        "[project]\nname = \"petforce\"\n\
         [regions]\nprimary = \"us-east-1\"\nstandby = \"us-west-2\"\n\
         [store.s]\nurl = \"file:///nowhere/drctl\"\nregion = \"us-west-2\"\n\
         [database.petforce]\nurl = \"host=127.0.0.1 dbname=x\"\nstores = [\"s\"]\n\
         [aws.us-west-2]\nendpoint = \"{west}\"\n\
         [aws.global]\nendpoint = \"http://127.0.0.1:9\"\n{channels}"
    ))
}

fn check<'p>(found: &'p Preflight, what: &str) -> &'p drctl::providers::Check {
    let of = |n: &&preflight::Noted| n.check.what.starts_with(what);
    let noted = found.checks.iter().find(of).unwrap_or_else(|| panic!("no {what}: {found:#?}"));
    &noted.check
}

#[tokio::test]
async fn credentials_are_asked_for_each_region_and_the_global_services() {
    let front = Front::before(shared_moto_west().port());
    let bench = bench(&front.endpoint(), "");
    let found = look(&bench).await;
    let west = check(&found, "credentials in us-west-2");
    assert_eq!(west.standing, Standing::Ready, "{west:?}");
    assert!(west.found.contains("arn:aws"), "{west:?}");
    let global = check(&found, "credentials for Route 53");
    assert_eq!(global.standing, Standing::Unproven, "nobody can say: {global:?}");
    let east = |n: &&preflight::Noted| n.check.what.contains("us-east-1");
    assert!(!found.checks.iter().any(|n| east(&n) && n.check.what.starts_with("credentials")));
    front.next("GetCallerIdentity", Fault::Denies);
    let refused = look(&bench).await;
    assert_eq!(check(&refused, "credentials in us-west-2").standing, Standing::NotReady);
}

#[tokio::test]
async fn a_channel_without_its_secret_is_no_channel() {
    let front = Front::before(shared_moto_west().port());
    let unset = "[channel.team]\nkind = \"slack\"\nurl = \"${UNSET}\"\n";
    let hook = "[channel.hook]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:9/x\"\n";
    let found = look(&bench(&front.endpoint(), &format!("{unset}{hook}"))).await;
    let channels = check(&found, "two independent notification channels");
    assert_eq!(channels.standing, Standing::Warning, "{channels:?}");
    assert!(channels.found.contains("only hook is told of this run"), "{channels:?}");
    assert!(channels.found.contains("`team` cannot be used"), "{channels:?}");
    assert!(channels.found.contains("UNSET"), "{channels:?}");
    let two = format!(
        "{hook}[channel.mail]\nkind = \"email\"\nurl = \"smtp://127.0.0.1:9\"\n\
         from = \"a@example.com\"\nto = [\"b@example.com\"]\n"
    );
    let found = look(&bench(&front.endpoint(), &two)).await;
    let channels = check(&found, "two independent notification channels");
    assert_eq!((channels.standing, channels.found.as_str()), (Standing::Ready, "hook, mail"));
}
