//! What lies in docs/deploy and docs/examples: it is well-formed, it deploys, and the commands in it
//! exist.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::lab::{self, Moto, shared_moto_west, tool, unique};

fn docs(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    assert!(path.exists(), "no {}", path.display());
    path
}

fn deploy(name: &str) -> PathBuf {
    docs("deploy").join(name)
}

/// A program of the Python environment that moto is in.
fn beside_moto(name: &str) -> Command {
    Command::new(tool("MOTO_SERVER").with_file_name(name))
}

/// The documents of a YAML file as JSON; CloudFormation's `!Ref x` becomes `{"!Ref": "x"}`.
fn yaml(path: &Path) -> Vec<Value> {
    const SCRIPT: &str = "
import json, sys, yaml
def tagged(loader, tag, node):
    kinds = {yaml.ScalarNode: loader.construct_scalar, yaml.SequenceNode: loader.construct_sequence}
    if isinstance(node, yaml.SequenceNode):
        return {'!' + tag: loader.construct_sequence(node, deep=True)}
    return {'!' + tag: loader.construct_scalar(node)}
yaml.SafeLoader.add_multi_constructor('!', tagged)
print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))
";
    let mut python = beside_moto("python");
    let ran = lab::run(python.args(["-c", SCRIPT]).arg(path)).expect(0);
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn the_template_of_the_buckets_is_sound() {
    let path = deploy("buckets.yaml");
    let linted = lab::run(beside_moto("cfn-lint").arg(&path));
    assert_eq!(linted.code, 0, "{}{}", linted.stdout, linted.stderr);
    let template = &yaml(&path)[0];
    let bucket = &template["Resources"]["Bucket"];
    assert_eq!(bucket["DeletionPolicy"], "Retain");
    let properties = &bucket["Properties"];
    assert_eq!(properties["VersioningConfiguration"]["Status"], "Enabled");
    let public = properties["PublicAccessBlockConfiguration"].as_object().unwrap();
    assert!(public.len() == 4 && public.values().all(|on| on == true), "{public:?}");
    // Every class must be one that can be read at once (docs/configuration.md, `storage_class`).
    let rules = properties["LifecycleConfiguration"]["Rules"].as_array().unwrap();
    let classes: Vec<&str> = rules
        .iter()
        .flat_map(|rule| rule["Transitions"].as_array().into_iter().flatten())
        .filter_map(|transition| transition["StorageClass"].as_str())
        .collect();
    assert_eq!(classes, ["STANDARD_IA", "GLACIER_IR"]);
    // Objects that are there are never removed by the bucket itself.
    assert!(rules.iter().all(|rule| rule.get("ExpirationInDays").is_none()));
    let replication = &properties["ReplicationConfiguration"]["!If"][1]["Rules"][0];
    assert_eq!(replication["DeleteMarkerReplication"]["Status"], "Disabled");
}

fn aws(moto: &Moto) -> Command {
    let mut command = Command::new(tool("AWS"));
    command.env("AWS_ACCESS_KEY_ID", Moto::ACCESS_KEY);
    command.env("AWS_SECRET_ACCESS_KEY", Moto::SECRET_KEY);
    command.env("AWS_ENDPOINT_URL", moto.endpoint()).env("AWS_DEFAULT_REGION", moto.region());
    command.args(["--output", "json"]);
    command
}

#[track_caller]
fn asked(command: &mut Command) -> Value {
    serde_json::from_str(&lab::run(command).expect(0).stdout).unwrap()
}

/// moto makes of a bucket its name, encryption and tags; the rest is held by the test above and by
/// cfn-lint, which knows every property's schema.
#[test]
fn the_template_of_the_buckets_deploys() {
    let moto = shared_moto_west();
    let [west, east] = ["dr-usw2", "dr-use1"].map(|name| unique(name).replace('_', "-"));
    let create = |bucket: &str, more: &[String]| {
        let mut command = aws(moto);
        command.args(["cloudformation", "create-stack", "--stack-name", bucket]);
        command.arg("--template-body").arg(format!("file://{}", deploy("buckets.yaml").display()));
        command.args(["--capabilities", "CAPABILITY_IAM", "--parameters"]);
        command.arg(format!("ParameterKey=BucketName,ParameterValue={bucket}")).args(more);
        lab::run(&mut command).expect(0);
        let mut command = aws(moto);
        asked(command.args(["cloudformation", "describe-stacks", "--stack-name", bucket]))["Stacks"]
            [0]
        .clone()
    };
    let stack = create(&west, &[]);
    assert_eq!(stack["StackStatus"], "CREATE_COMPLETE");
    let outputs = stack["Outputs"].as_array().unwrap();
    let output =
        |key: &str| outputs.iter().find(|o| o["OutputKey"] == key).unwrap()["OutputValue"].clone();
    assert_eq!(output("StoreUrl"), format!("s3://{west}/dr"));
    let arn = output("BucketArn").as_str().unwrap().to_owned();
    let mut command = aws(moto);
    let encryption = asked(command.args(["s3api", "get-bucket-encryption", "--bucket", &west]));
    let rule = &encryption["ServerSideEncryptionConfiguration"]["Rules"][0];
    assert_eq!(rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"], "AES256");

    // With replication there is a role, and it may do no more than copy.
    let key = "arn:aws:kms:us-west-2:123456789012:key/11111111-2222-3333-4444-555555555555";
    let parameter = |name: &str, value: &str| format!("ParameterKey={name},ParameterValue={value}");
    create(&east, &[parameter("ReplicateTo", &arn), parameter("KmsKeyArn", key)]);
    let mut command = aws(moto);
    let encryption = asked(command.args(["s3api", "get-bucket-encryption", "--bucket", &east]));
    let rule = &encryption["ServerSideEncryptionConfiguration"]["Rules"][0];
    assert_eq!(rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"], key);
    let mut command = aws(moto);
    let resources =
        asked(command.args(["cloudformation", "describe-stack-resources", "--stack-name", &east]));
    let resources = resources["StackResources"].as_array().unwrap();
    let role = resources.iter().find(|r| r["LogicalResourceId"] == "ReplicationRole").unwrap();
    let role = role["PhysicalResourceId"].as_str().unwrap();
    let mut command = aws(moto);
    let policy = asked(command.args([
        "iam",
        "get-role-policy",
        "--role-name",
        role,
        "--policy-name",
        "copy",
    ]));
    let text = policy["PolicyDocument"].to_string();
    assert!(text.contains(&format!("{arn}/*")) && text.contains(key), "{text}");
    for forbidden in ["s3:*", "s3:DeleteObject", "s3:ReplicateDelete", "\"*\""] {
        assert!(!text.contains(forbidden), "{forbidden} in {text}");
    }
}

/// What the containers of a manifest run.
fn arguments(value: &Value, found: &mut Vec<Vec<String>>) {
    let words = |list: &Value| {
        let words = list.as_array()?.iter().map(|w| w.as_str().map(str::to_owned));
        words.collect::<Option<Vec<String>>>()
    };
    match value {
        Value::Array(items) => items.iter().for_each(|item| arguments(item, found)),
        Value::Object(fields) => {
            let is_container = fields.contains_key("image");
            for (name, inner) in fields {
                match (is_container, name.as_str()) {
                    (true, "args" | "command") => found.extend(words(inner)),
                    _ => arguments(inner, found),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn the_commands_of_the_manifests_are_commands_of_drctl() {
    let mut found = Vec::new();
    for name in ["cronjobs", "runner"] {
        for document in yaml(&deploy(&format!("kubernetes/{name}.yaml"))) {
            arguments(&document, &mut found);
        }
    }
    for name in ["snapshot", "runner"] {
        let text = std::fs::read_to_string(deploy(&format!("ecs/{name}.json"))).unwrap();
        let task: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(task["requiresCompatibilities"][0], "FARGATE");
        arguments(&task, &mut found);
    }
    assert!(found.len() >= 8, "{found:?}");
    for args in &found {
        is_understood(args);
    }
    let text = std::fs::read_to_string(deploy("ecs/schedule.json")).unwrap();
    let schedule: Value = serde_json::from_str(&text).unwrap();
    assert!(schedule["Target"]["EcsParameters"]["TaskDefinitionArn"].is_string());
}

#[track_caller]
fn is_understood(args: &[String]) {
    let words = std::iter::once("drctl".to_owned()).chain(args.iter().cloned());
    let parsed = drctl::cli::command().try_get_matches_from(words);
    assert!(parsed.is_ok(), "drctl {}: {}", args.join(" "), parsed.unwrap_err());
}

const WORKFLOWS: [&str; 2] = ["examples/audit.github.yml", "examples/drill.github.yml"];
const CRON_JOBS: [&str; 2] = ["examples/audit.cronjob.yaml", "examples/drill.cronjob.yaml"];

#[test]
fn the_example_workflows_are_what_github_takes() {
    let mut check = beside_moto("check-jsonschema");
    check.args(["--builtin-schema", "vendor.github-workflows"]).args(WORKFLOWS.map(docs));
    let checked = lab::run(&mut check);
    assert_eq!(checked.code, 0, "{}{}", checked.stdout, checked.stderr);
}

#[test]
fn the_published_schemas_are_schemas() {
    let mut check = beside_moto("check-jsonschema");
    check.arg("--check-metaschema").args(["audit.schema.json", "report.schema.json"].map(docs));
    let checked = lab::run(&mut check);
    assert_eq!(checked.code, 0, "{}{}", checked.stdout, checked.stderr);
}

#[test]
fn the_commands_of_the_examples_are_commands_of_drctl() {
    for name in WORKFLOWS.iter().chain(&CRON_JOBS) {
        let mut found = Vec::new();
        for document in yaml(&docs(name)) {
            arguments(&document, &mut found);
        }
        // Those that a shell runs; what the shell computes becomes a number.
        found.retain(|args| args[0] != "sh" && !args[0].contains(' '));
        let text = std::fs::read_to_string(docs(name)).unwrap();
        for line in text.lines().map(|l| l.replace("$((JOB_COMPLETION_INDEX + 1))", "1")) {
            let line = line.trim_start().trim_start_matches("- ").trim_start_matches("run: ");
            if let Some(args) = line.trim_start_matches("exec ").strip_prefix("drctl ") {
                found.push(args.split_whitespace().map(str::to_owned).collect());
            }
        }
        assert!(!found.is_empty(), "{name}");
        found.iter().for_each(|args| is_understood(args));
    }
}

#[test]
fn every_pod_is_shut_in_and_finds_its_configuration() {
    let mut pods = Vec::new();
    fn walk(value: &Value, pods: &mut Vec<Value>) {
        match value {
            Value::Object(fields) if fields.contains_key("containers") => pods.push(value.clone()),
            Value::Object(fields) => fields.values().for_each(|inner| walk(inner, pods)),
            Value::Array(items) => items.iter().for_each(|inner| walk(inner, pods)),
            _ => {}
        }
    }
    let mut config = None;
    for name in ["namespace", "cronjobs", "runner"] {
        for document in yaml(&deploy(&format!("kubernetes/{name}.yaml"))) {
            assert!(document["apiVersion"].is_string() && document["metadata"]["name"].is_string());
            if document["kind"] == "ConfigMap" {
                config = document["data"]["drctl.toml"].as_str().map(str::to_owned);
            }
            walk(&document, &mut pods);
        }
    }
    assert!(pods.len() >= 6, "{}", pods.len());
    for pod in &pods {
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["automountServiceAccountToken"], false);
        let container = &pod["containers"][0];
        let context = &container["securityContext"];
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["capabilities"]["drop"][0], "ALL");
        assert!(container["resources"]["limits"]["memory"].is_string());
        let env = container["env"].as_array().unwrap();
        let path = env.iter().find(|e| e["name"] == "DRCTL_CONFIG").unwrap();
        assert_eq!(path["value"], "/etc/drctl/drctl.toml");
    }
    let config = config.unwrap();
    let read = drctl::config::Config::parse(&config, Path::new("drctl.toml"), &|_| None);
    assert!(read.is_ok(), "{read:?}");
}

#[test]
fn the_policies_of_jobs_let_nobody_destroy_what_is_kept() {
    let actions = |name: &str| -> Vec<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/iam").join(name);
        let policy: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let statements = policy["Statement"].as_array().unwrap().clone();
        assert!(statements.iter().all(|s| s["Effect"] == "Allow" && s["Resource"] != "*"));
        let all = statements.iter().flat_map(|s| s["Action"].as_array().unwrap().clone());
        all.map(|action| action.as_str().unwrap().to_owned()).collect()
    };
    let jobs = actions("snapshots.json");
    assert!(jobs.contains(&"s3:PutObject".to_owned()), "{jobs:?}");
    assert!(!jobs.iter().any(|action| action.contains("Delete")), "{jobs:?}");
    assert_eq!(actions("prune.json"), ["s3:DeleteObject"]);
    for action in jobs.iter().chain(&actions("prune.json")) {
        assert!(!action.contains('*') && !action.ends_with("Version"), "{action}");
    }
}
