//! The plan of a region failover, as an engineer sees it at 3 am.

use std::path::Path;

use super::plan_view;
use crate::config::Config;
use crate::providers::Mode;
use crate::runbook::{self, Circumstances, plan};

fn screen(name: &str, mode: Mode) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/petforce.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let url = "postgresql://drctl@127.0.0.1:1/petforce";
    let config = Config::parse(&text, &path, &|name| match name {
        "SLACK_WEBHOOK_URL" => Some("https://hooks.slack.example/x".to_owned()),
        _ => Some(url.to_owned()),
    });
    let config = config.unwrap();
    let circumstances = Circumstances::of_a_look(&config);
    let book = runbook::load(&config, name, &circumstances).unwrap();
    let plan = plan::make(&book, &config, mode, &circumstances).unwrap();
    let text = plan_view::text(&plan, None);
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    text
}

#[test]
fn a_region_failover() {
    insta::assert_snapshot!(screen("region-failover", Mode::Forced), @r"");
}

#[test]
fn a_switchover() {
    insta::assert_snapshot!(screen("switchover", Mode::Graceful), @r"");
}

#[test]
fn a_way_back_to_a_good_snapshot() {
    insta::assert_snapshot!(screen("data-corruption", Mode::Forced), @r"");
}
