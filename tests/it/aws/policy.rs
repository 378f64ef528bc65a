//! docs/iam allows what the code asks for, and no more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use drctl::providers::kinds;
use serde_json::Value;

/// The clients of `Reach` and the prefixes of their permissions.
const CLIENTS: &[(&str, &str)] = &[
    (".rds().", "rds"),
    (".ecs().", "ecs"),
    (".ecr().", "ecr"),
    (".elb().", "elasticloadbalancing"),
    (".route53().", "route53"),
    (".quotas().", "servicequotas"),
    (".sts().", "sts"),
    (".cloudwatch().", "cloudwatch"),
];

/// Making an instance with tags takes this too ("Grant permission to tag Amazon RDS resources during
/// creation" in the Amazon RDS User Guide).
const TAGS: &str = "rds:AddTagsToResource";

/// Those of the store behind `route53.health_switch`.
const SWITCH: &[&str] = &["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file of the AWS actions, without white space.
fn sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![root().join("src/providers/aws")];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                // Tests within the file ask for what no runbook asks for.
                let text = text.split("#[cfg(test)]").next().unwrap();
                let text = text.chars().filter(|c| !c.is_whitespace()).collect();
                found.insert(path.display().to_string(), text);
            }
        }
    }
    assert!(found.len() > 15, "{}", found.len());
    found
}

/// What stands in quotes right after `start`.
fn quoted<'t>(text: &'t str, start: &'t str) -> impl Iterator<Item = &'t str> {
    text.split(start).skip(1).filter_map(|rest| rest.split('"').next())
}

/// The permissions that `Call`s name.
fn named(text: &str) -> BTreeSet<&str> {
    let calls = quoted(text, "Call::reads(\"").chain(quoted(text, "Call::writes(\""));
    calls.filter(|name| name.contains(':')).collect()
}

/// Whether a file is about the instances of drills, which have a policy of their own.
fn lends(file: &str) -> bool {
    file.contains("/rds/lending/")
}

fn policy(name: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("docs/iam").join(name)).unwrap();
    let policy: Value = serde_json::from_str(&text).unwrap();
    let statements = policy["Statement"].as_array().unwrap().iter();
    let actions = statements.flat_map(|statement| statement["Action"].as_array().unwrap());
    actions.map(|action| action.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_request_names_its_permission() {
    for (file, text) in sources() {
        let named: BTreeSet<_> = named(&text).into_iter().map(str::to_lowercase).collect();
        for (client, prefix) in CLIENTS {
            for rest in text.split(client).skip(1) {
                let operation = rest.split('(').next().unwrap().replace('_', "");
                let permission = format!("{prefix}:{operation}");
                assert!(
                    named.contains(&permission),
                    "{file} sends {permission} and names {named:?}"
                );
            }
        }
    }
}

#[test]
fn the_policy_has_what_is_asked_for_and_no_more() {
    let sources = sources();
    let of = |lending: bool| -> BTreeSet<String> {
        let files = sources.iter().filter(|(file, _)| lends(file) == lending);
        files.flat_map(|(_, text)| named(text)).map(str::to_owned).collect()
    };
    let mut needed = of(false);
    needed.extend(SWITCH.iter().map(|name| (*name).to_owned()));
    assert_eq!(policy("failover.json"), needed);
    let mut drills = of(true);
    drills.insert(TAGS.to_owned());
    assert_eq!(policy("drills.json"), drills);
    needed.extend(drills);
    let page = std::fs::read_to_string(root().join("docs/iam/README.md")).unwrap();
    for permission in &needed {
        assert!(page.contains(&format!("`{permission}`")), "docs/iam/README.md lacks {permission}");
    }
    for kind in kinds() {
        let ours = ["rds.", "ecs.", "elb.", "route53."].iter().any(|p| kind.name.starts_with(p));
        let told = page.contains(&format!("`{}`", kind.name));
        assert!(!ours || told, "docs/iam/README.md lacks {}", kind.name);
    }
}
