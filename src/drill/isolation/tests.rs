//! What staging must not share with production, and what makes a lab one.

use super::*;

fn config(text: &str) -> Config {
    Config::parse(text, Path::new("/etc/drctl.toml"), &|_| None).unwrap()
}

/// Nothing answers at these addresses, so that identities are not compared.
fn regions(port: u16, prefix: &str, aws: &str) -> Config {
    config(&format!(
        r#"
[project]
name = "petforce"
[regions]
primary = "us-east-1"
standby = "us-west-2"
[store.west]
url = "s3://petforce/{prefix}"
region = "us-west-2"
{aws}
[database.petforce]
url = "host=127.0.0.1 port={port} user=drctl dbname=petforce connect_timeout=1"
stores = ["west"]
"#
    ))
}

fn named(config: &Config, resources: [&str; 1]) -> Result<Vec<String>> {
    let resources = resources.map(str::to_owned).into();
    let real = regions(1, "production", "aws_profile = \"production\"");
    let known = BTreeSet::from(["Z1".to_owned()]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(apart(
        &Regions { config, resources },
        &Regions { config: &real, resources: known },
    ))
}

/// Production reaches Route 53 and the like by the default chain; a profile for each place.
const OWN: &str = "aws_profile = \"staging\"
[aws.us-east-1]
profile = \"staging\"
[aws.us-west-2]
profile = \"staging\"
[aws.global]
profile = \"staging\"";

#[test]
fn what_is_shared_with_production_is_refused_by_name() {
    let why = |config: &Config, resource| {
        let e = named(config, [resource]).unwrap_err();
        assert_eq!(e.kind(), Kind::Usage);
        e.one_line()
    };
    assert!(named(&regions(2, "staging", OWN), ["Z2"]).is_ok());
    let same = why(&regions(1, "staging", OWN), "Z2");
    assert!(same.contains("database `petforce` is production's"), "{same}");
    let same = why(&regions(2, "production/staging", OWN), "Z2");
    assert!(same.contains("lie in each other"), "{same}");
    let same = why(&regions(2, "staging", OWN), "/hostedzone/Z1");
    assert!(same.contains("hosted zone Z1 is production's"), "{same}");
    let same = why(&regions(2, "staging", "aws_profile = \"production\""), "Z2");
    assert!(same.contains("the profile `production`"), "{same}");
    assert!(same.contains("the default chain"), "{same}");
}

#[test]
fn a_lab_is_all_on_this_machine() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let away = runtime.block_on(on_this_machine(&regions(2, "staging", OWN))).unwrap_err();
    let away = away.one_line();
    assert!(away.contains("store `west`") && away.contains("[aws.global]"), "{away}");
    let here = "endpoint = \"http://127.0.0.1:5000\"\n[aws.us-east-1]\nendpoint = \"http://[::1]:1\"
[aws.us-west-2]\nendpoint = \"http://localhost:1\"\n[aws.global]\nendpoint = \"http://127.0.3.1:1\"";
    runtime.block_on(on_this_machine(&regions(2, "lab", here))).unwrap();
}
