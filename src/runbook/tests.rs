//! Runbooks as people write them: what is told of bad ones, and the plans of good ones.

use std::path::Path;

use super::{Circumstances, plan, sheet::Runbook};
use crate::config::Config;
use crate::providers::Mode;

fn config() -> Config {
    config_with(|text| text)
}

/// The example with something changed.
fn config_with(change: impl Fn(String) -> String) -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/petforce.toml");
    let text = change(std::fs::read_to_string(&path).unwrap());
    // What is secret has a value that connects to nothing.
    let env = |name: &str| {
        Some(match name {
            "SLACK_WEBHOOK_URL" => "https://hooks.slack.example/x".to_owned(),
            name if name.contains("URL") => "postgresql://drctl@127.0.0.1:1/petforce".to_owned(),
            _ => "key".to_owned(),
        })
    };
    Config::parse(&text, &path, &env).unwrap()
}

fn problems(text: &str) -> String {
    match Runbook::parse(text, Path::new("test.toml"), &config()) {
        Ok(_) => "no problem".to_owned(),
        Err(e) => e.what().to_owned(),
    }
}

fn plan_of(text: &str, mode: Mode) -> plan::Plan {
    let config = config();
    let book = Runbook::parse(text, Path::new("test.toml"), &config).unwrap();
    plan::make(&book, &config, mode, &Circumstances::of_a_look(&config)).unwrap()
}

/// A step that waits for a person.
fn ask(id: &str, rest: &str) -> String {
    format!(
        "[[step]]\nid = \"{id}\"\nuses = \"human.approve\"\nwith = {{ message = \"go on\" }}\n\
         timeout = \"1m\"\n{rest}\n"
    )
}

#[test]
fn the_example_configuration_has_no_problem_and_no_warning() {
    let config = config();
    assert_eq!(config.warnings, Vec::<String>::new());
    assert_eq!(config.unresolved.len(), 0, "{:?}", config.unresolved);
}

#[test]
fn everything_that_is_wrong_with_a_runbook_is_told_at_once_with_its_line() {
    let text = r#"
titel = "A runbook"
rto = 15
to = "eu-west-1"

[[step]]
id = "a b"
uses = "human.aprove"
timeout = "1m"
on_failure = "abrot"

[[step]]
id = "ask"
uses = "human.approve"
with = { mesage = "x", who = "second_person" }
needs = ["aks", "loop"]
retries = 99

[[step]]
id = "ask"
uses = "epoch.activate"
with = { region = "${regions.stanby}" }
timeout = "1min"

[[step]]
id = "activate"
uses = "epoch.activate"
with = { region = "mars" }
timeout = "soon"
approve = { who = "anybody", timeout = "1m" }

[[step]]
id = "loop"
uses = "human.approve"
with = { message = 5 }
needs = ["loop"]
timeout = "1m"
"#;
    insta::assert_snapshot!(problems(text), @r#"
    test.toml has 18 problems:
    test.toml:2: unknown key `titel` at the top of the file; did you mean `title`?
    test.toml:3: `rto` needs a unit: "15s", "15min", "15d"
    test.toml:4: `to`: "eu-west-1" is neither `primary` nor `standby` in [regions]
    test.toml:7: `id`: must be letters, digits, `-`, `_` and `.`
    test.toml:8: unknown action `human.aprove`; did you mean `human.approve`?
    test.toml:10: `on_failure` must be one of "stop", "continue", "abort"; did you mean `abort`?
    test.toml:12: [step] lacks `timeout`
    test.toml:15: argument `mesage` of `human.approve` is unknown; did you mean `message`?
    test.toml:15: argument `who` of `human.approve` must be one of "operator", "second-person"; did you mean `second-person`?
    test.toml:16: step `ask` needs `aks`, which is not there; did you mean `ask`?
    test.toml:17: `retries` must be from 0 to 20
    test.toml:20: step `ask` is there twice; the first is in line 12
    test.toml:22: argument `region`: unknown reference `${regions.stanby}`; did you mean `regions.standby`?
    test.toml:28: `epoch.activate`: `epoch.activate`: `mars` is no region of this project (it has us-east-1 and us-west-2)
    test.toml:29: `timeout`: must be a duration such as "30s", "50min" or "7d"
    test.toml:30: `who` must be one of "operator", "second-person"
    test.toml:35: argument `message` of `human.approve` must be a string, not a whole number
    test.toml:36: these steps wait for each other: loop needs loop
    "#);
    insta::assert_snapshot!(problems("title = \"x\"\n"), @r"
    test.toml has 1 problem:
    test.toml: there is no [[step]]
    ");
}

#[test]
fn orders_that_could_not_be_carried_out_are_told() {
    let head = "title = \"x\"\nrto = \"3m\"\n";
    let point = "point_of_no_return = true";
    let after = "needs = [\"a\"]";
    let text = [
        head.to_owned(),
        ask("a", point),
        ask("b", point),
        ask("c", &format!("{after}\non_failure = \"abort\"")),
        ask("d", "needs = [\"c\"]\napprove = { who = \"operator\", timeout = \"90s\" }"),
    ];
    insta::assert_snapshot!(problems(&text.concat()), @r#"
    test.toml has 3 problems:
    test.toml:2: the timeouts along a → c → d add up to 4m 30s in graceful and forced mode, more than the RTO of 3m
    test.toml:14: `a` and `b` are both a point of no return and neither needs the other: say which comes first
    test.toml:21: `on_failure = "abort"` on `c`: there is no way back after `a`; use "stop"
    "#);
    let activate = "[[step]]\nid = \"epoch\"\nuses = \"epoch.activate\"\n\
        with = { region = \"us-west-2\" }\ntimeout = \"10s\"\n";
    let text =
        format!("{head}{activate}{}", ask("b", "on_failure = \"abort\"\nneeds = [\"epoch\"]"));
    insta::assert_snapshot!(problems(&text), @r#"
    test.toml has 1 problem:
    test.toml:13: `on_failure = "abort"` on `b`: nothing undoes `epoch`; where that may stay as it is, say `compensate = false` there
    "#);
    let kept = text.replace("timeout = \"10s\"\n", "timeout = \"10s\"\ncompensate = false\n");
    assert_eq!(problems(&kept), "no problem");
    let undone = text.replace("timeout = \"10s\"\n", "timeout = \"10s\"\ncompensate = true\n");
    assert!(problems(&undone).contains("nothing undoes"), "{}", problems(&undone));
}

#[test]
fn what_a_mode_leaves_out_is_bridged_and_the_order_is_that_of_the_file() {
    let text = [
        "title = \"${regions.primary} to ${regions.standby}\"\n".to_owned(),
        ask("a", ""),
        ask("b", "needs = [\"a\"]\nwhen = \"graceful\""),
        ask("c", "needs = [\"b\"]\nwhen = \"graceful\""),
        ask("d", "needs = [\"c\", \"a\"]"),
    ]
    .concat();
    let ids = |mode| {
        let steps = plan_of(&text, mode).steps;
        steps.into_iter().map(|s| format!("{} {:?}", s.id, s.needs)).collect::<Vec<_>>()
    };
    assert_eq!(ids(Mode::Forced), ["a []", "d [\"a\"]"]);
    assert_eq!(ids(Mode::Graceful).len(), 4);
    let plan = plan_of(&text, Mode::Graceful);
    assert_eq!(plan.title, "us-east-1 to us-west-2");
    assert_eq!((plan.from.as_str(), plan.to.as_str()), ("us-east-1", "us-west-2"));
    assert_eq!(plan.budget().total.as_secs(), 240);
    assert_eq!(plan.stages(), [[0], [1], [2], [3]]);
    // The same again: a plan depends on nothing else.
    assert_eq!(plan, plan_of(&text, Mode::Graceful));
}

#[test]
fn every_runbook_of_the_folder_is_good_and_fits_its_objective_in_both_modes() {
    let config = config();
    let circumstances = Circumstances::of_a_look(&config);
    let names = super::names(&config).unwrap();
    let expected = [
        "data-corruption",
        "failback",
        "quarantine",
        "region-failover",
        "region-failover-dataplane",
        "switchover",
    ];
    assert_eq!(names, expected);
    for name in names {
        let book = super::load(&config, &name, &circumstances)
            .unwrap_or_else(|e| panic!("{}\n{}", e.what(), e.one_line()));
        for mode in [Mode::Graceful, Mode::Forced] {
            let plan = plan::make(&book, &config, mode, &circumstances).unwrap();
            assert!(plan.budget().total <= plan.rto.0, "{name}");
            assert_eq!(plan.point_of_no_return().is_none(), name == "quarantine", "{name}");
        }
    }
}

#[test]
fn the_runbook_for_rds_fits_its_objective_and_names_the_instance_that_is_promoted() {
    let config = config_with(|mut text| {
        for region in ["us-east-1", "us-west-2"] {
            let head = format!("[database.petforce.server.{region}]\n");
            let more = format!("{head}rds_instance = \"petforce-{region}\"\n");
            text = text.replace(&head, &more);
        }
        text
    });
    let circumstances = Circumstances::of_a_look(&config);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/runbooks/rds/region-failover.toml");
    let book = super::load(&config, path, &circumstances).unwrap();
    let plan = plan::make(&book, &config, Mode::Forced, &circumstances).unwrap();
    assert!(plan.budget().total <= plan.rto.0);
    let promote = plan.steps.iter().find(|step| step.id == "promote").unwrap();
    assert!(promote.point_of_no_return);
    assert!(promote.description.effect.contains("petforce-us-west-2"), "{:?}", promote.description);
}

#[test]
fn a_region_is_left_without_needing_it() {
    let config = config();
    let circumstances = Circumstances::of_a_look(&config);
    for (name, leaning) in
        [("region-failover", vec!["swap", "insync"]), ("region-failover-dataplane", vec![])]
    {
        let book = super::load(&config, name, &circumstances).unwrap();
        let plan = plan::make(&book, &config, Mode::Forced, &circumstances).unwrap();
        let firm: Vec<_> = plan
            .steps
            .iter()
            .filter(|s| {
                s.description.leans_on.iter().any(|l| l.region == "us-east-1" && !l.optional)
            })
            .map(|s| s.id.as_str())
            .collect();
        assert_eq!(firm, leaning, "{name}");
    }
}
