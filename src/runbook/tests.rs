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
        for mode in book.modes() {
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
    assert!(plan.point_of_no_return().is_some());
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

/// A step that says something, which may ask other steps.
fn tell(id: &str, text: &str, rest: &str) -> String {
    format!(
        "[[step]]\nid = \"{id}\"\nuses = \"command.run\"\ntimeout = \"5s\"\n{rest}\n\
         with = {{ argv = [\"echo\", \"{text}\"] }}\n"
    )
}

#[test]
fn what_a_step_asks_of_another_must_be_left_by_one_that_comes_before() {
    let text = [
        "title = \"x ${steps.a.stdout}\"\n".to_owned(),
        tell("a", "hello", ""),
        tell("b", "${steps.a.stdout} ${steps.a.exit_status}", "needs = [\"a\"]"),
        tell("far", "${steps.a.stdout}", "needs = [\"b\"]"),
        tell("beside", "${steps.a.stdout}", ""),
        tell("nobody", "${steps.aa.stdout}", "needs = [\"a\"]"),
        tell("nothing", "${steps.a.stdot}", "needs = [\"a\"]"),
        tell("self", "${steps.self.stdout}", ""),
        tell("broken", "${steps.a} ${steps.a.stdout", "needs = [\"a\"]"),
        tell("calm", "x", "when = \"graceful\""),
        tell("either", "${steps.calm.stdout}", "needs = [\"calm\"]"),
        tell("also-calm", "${steps.calm.stdout}", "needs = [\"calm\"]\nwhen = \"graceful\""),
        "[[step]]\nid = \"insync\"\nuses = \"route53.await_insync\"\ntimeout = \"5s\"\n\
         with = { step = \"a\" }\nneeds = [\"a\"]\n"
            .to_owned(),
    ];
    insta::assert_snapshot!(problems(&text.concat()), @r"
    test.toml has 10 problems:
    test.toml:1: `title`: what steps leave is known in their arguments only
    test.toml:25: step `beside`: it asks step `a` for `stdout` and does not come after it: add `a` to `needs`
    test.toml:31: step `nobody`: it asks step `aa` for `stdout`, and there is no such step; did you mean `a`?
    test.toml:37: step `nothing`: it asks step `a` for `stdot`, which `command.run` does not leave; did you mean `stdout`?
    test.toml:43: step `self`: it asks itself for `stdout`
    test.toml:49: argument `argv[1]`: `${` without `}`; write `$${` for a literal `${`
    test.toml:49: step `broken`: a reference to what a step leaves: it must be ${steps.STEP.FACT}
    test.toml:49: step `broken`: a reference to what a step leaves: it has no `}`
    test.toml:61: step `either`: it asks step `calm` for `stdout`, which is left out in forced mode
    test.toml:73: step `insync`: it asks step `a` for `change`, which `command.run` does not leave; it leaves exit_status, stdout
    ");
}

#[test]
fn a_plan_tells_what_is_yet_to_be_left_in_words() {
    let find = "[[step]]\nid = \"find\"\nuses = \"snapshot.find_good\"\ntimeout = \"5m\"\n\
        with = { database = \"petforce\", in = \"us-east-1\", checks = [\
        { query = \"SELECT 1\", expected = 1 }] }\n";
    let restore = "[[step]]\nid = \"restore\"\nuses = \"snapshot.restore\"\ntimeout = \"5m\"\n\
        needs = [\"find\"]\nwith = { database = \"petforce\", in = \"us-east-1\", \
        snapshot = \"${steps.find.snapshot}\", as = \"copy\" }\n";
    let plan = plan_of(&format!("title = \"x\"\n{find}{restore}"), Mode::Forced);
    insta::assert_snapshot!(plan.steps[1].description.effect, @r"restore snapshot [snapshot left by find] of `petforce` beside, as new database `copy` in us-east-1");
    assert!(plan.steps[1].with.0["snapshot"].as_str().unwrap().contains("${steps.find"));
}

#[test]
fn a_plan_has_one_point_of_no_return_the_first() {
    let point = "point_of_no_return = true";
    let text = [
        "title = \"x\"\n".to_owned(),
        ask("a", ""),
        ask("b", &format!("needs = [\"a\"]\nwhen = \"graceful\"\n{point}")),
        ask("c", &format!("needs = [\"b\"]\n{point}")),
    ]
    .concat();
    let points = |mode| {
        let steps = plan_of(&text, mode).steps.into_iter();
        steps.filter(|s| s.point_of_no_return).map(|s| s.id).collect::<Vec<_>>()
    };
    assert_eq!(points(Mode::Graceful), ["b"]);
    assert_eq!(points(Mode::Forced), ["c"]);
}

#[test]
fn a_runbook_may_be_for_one_mode_only() {
    let text = |rest: &str| {
        format!("title = \"x\"\nmode = \"graceful\"\nrto = \"30s\"\n{}{rest}", ask("a", ""))
    };
    insta::assert_snapshot!(problems(&text(&ask("b", "when = \"forced\""))), @r"
    test.toml has 2 problems:
    test.toml:3: the timeouts along a add up to 1m in graceful mode, more than the RTO of 30s
    test.toml:15: step `b` is for another mode than the runbook, which is graceful
    ");
    let config = config();
    let good = text("").replace("30s", "5m");
    let book = Runbook::parse(&good, Path::new("test.toml"), &config).unwrap();
    assert_eq!((book.modes(), book.usual_mode()), (vec![Mode::Graceful], Mode::Graceful));
    let circumstances = Circumstances::of_a_look(&config);
    let refused = plan::make(&book, &config, Mode::Forced, &circumstances).unwrap_err();
    insta::assert_snapshot!(refused.one_line(), @r"plan runbook `test` in forced mode: it is for graceful only");
}
