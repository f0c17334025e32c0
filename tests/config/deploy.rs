//! EC2, CloudFormation and ECS: what they run is the container of docs/container.md, with no more rights than the bot needs.

use std::fs;
use std::path::Path;
use std::process::Command;

use retaind::config::env::VARIABLES;
use serde_json::{Value, json};

use super::{blesses, file, has, judged, root, script, spoiled, tool};

const USER_DATA: &str = "ec2/user-data.sh";
const TEMPLATE: &str = "cloudformation/retaind.yaml";
const TASK: &str = "ecs/task-definition.json";

/// From here on a script of user data is the same for every bot.
const BODY: &str = "# --- nothing below depends on whose bot it is ---\n";
const BODY_ENDS: &str = "            # end of config/ec2/user-data.sh\n";
/// How far the script is indented in the template.
const INDENT: &str = "              ";

fn policy(name: &str) -> Value {
    serde_json::from_str(&file(&format!("iam/{name}"))).unwrap()
}

/// The template as JSON, with `Fn::…` for its short forms.
fn template(path: &Path) -> Value {
    let printed = judged(Command::new(tool("config", "python")).arg("-B").arg(script("template.py")).arg(path));
    serde_json::from_str(&printed.unwrap()).unwrap()
}

fn our_template() -> Value {
    template(&root().join("config").join(TEMPLATE))
}

/// A value of the template as `config/iam/` writes it: everything turned on, placeholders for parameters.
fn resolved(value: &Value) -> Value {
    let parameters = [
        ("${AWS::Partition}", "aws"),
        ("${AWS::Region}", "REGION"),
        ("${AWS::AccountId}", "ACCOUNT"),
        ("${SecretName}", "SECRET-NAME"),
        ("${BucketName}", "BUCKET"),
        ("${FolderName}", "FOLDER"),
    ];
    if let Some(text) = value["Fn::Sub"].as_str() {
        return json!(parameters.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to)));
    }
    if let Some(branches) = value["Fn::If"].as_array() {
        return resolved(&branches[1]);
    }
    match value["Ref"].as_str() {
        Some("KmsKeyArn") => return json!("arn:aws:kms:REGION:ACCOUNT:key/KEY-ID"),
        Some("TopicArn") => return json!("arn:aws:sns:REGION:ACCOUNT:TOPIC"),
        Some(other) => panic!("`{other}` stands for nothing in `config/iam/`"),
        None => {}
    }
    match value {
        Value::Array(items) => items.iter().map(resolved).collect(),
        Value::Object(fields) => fields.iter().map(|(name, field)| (name.clone(), resolved(field))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn lint(template: &Path) -> Result<String, String> {
    judged(Command::new(tool("config", "cfn-lint")).args(["--non-zero-exit-code", "warning"]).arg(template))
}

fn shellcheck(script: &Path) -> Result<String, String> {
    judged(Command::new("shellcheck").arg(script))
}

#[test]
fn cfn_lint_takes_the_template() {
    lint(&root().join("config").join(TEMPLATE)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    for (from, to) in
        [("HttpTokens: required", "HttpTokens: requird"), ("!Ref Subnet", "!Ref Subnett"), ("gp3", "gp33")]
    {
        lint(&spoiled(directory.path(), TEMPLATE, from, to)).expect_err(to);
    }
}

#[test]
fn the_templates_role_and_bucket_policy_are_those_of_config_iam() {
    let template = our_template();
    let resources = &template["Resources"];
    let policies = resources["Role"]["Properties"]["Policies"].as_array().unwrap();
    let [only] = policies.as_slice() else { panic!("one policy, not {}", policies.len()) };
    assert_eq!(resolved(&only["PolicyDocument"]), policy("retaind.json"));
    assert!(resources["Role"]["Properties"].get("ManagedPolicyArns").is_none());
    assert_eq!(resolved(&resources["BucketPolicy"]["Properties"]["PolicyDocument"]), policy("bucket-policy.json"));
    let rule = &resources["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"][0];
    assert_eq!(
        rule["AbortIncompleteMultipartUpload"],
        policy("lifecycle.json")["Rules"][0]["AbortIncompleteMultipartUpload"]
    );

    let directory = tempfile::tempdir().unwrap();
    let wider = spoiled(directory.path(), TEMPLATE, "Action: s3:PutObject", "Action: s3:*");
    assert_ne!(resolved(&template_policy(&wider)), policy("retaind.json"));
}

fn template_policy(path: &Path) -> Value {
    template(path)["Resources"]["Role"]["Properties"]["Policies"][0]["PolicyDocument"].clone()
}

#[test]
fn the_template_keeps_what_must_outlive_it_and_locks_the_rest() {
    let template = our_template();
    let resources = &template["Resources"];
    let properties = |name: &str| resources[name]["Properties"].clone();
    assert_eq!(properties("State")["Encrypted"], true);
    assert_eq!(resources["State"]["DeletionPolicy"], "Snapshot");
    assert_eq!(resources["Bucket"]["DeletionPolicy"], "Retain");
    assert_eq!(properties("Host")["BlockDeviceMappings"][0]["Ebs"]["Encrypted"], true);
    assert_eq!(properties("Host")["MetadataOptions"], json!({"HttpTokens": "required", "HttpPutResponseHopLimit": 2}));
    let blocked = properties("Bucket")["PublicAccessBlockConfiguration"].clone();
    assert!(blocked.as_object().unwrap().len() == 4 && blocked.as_object().unwrap().values().all(|is| *is == true));
}

#[test]
fn the_template_runs_the_script_for_ec2_word_by_word() {
    let script = file(USER_DATA);
    let (_, body) = script.split_once(BODY).unwrap();
    let body = format!("{BODY}{body}");
    if blesses() {
        let text = file(TEMPLATE);
        let begins = text.find(&format!("{INDENT}{BODY}")).unwrap();
        let ends = text.find(BODY_ENDS).unwrap();
        let indented: String = body
            .lines()
            .map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{INDENT}{line}\n") })
            .collect();
        let path = root().join("config").join(TEMPLATE);
        fs::write(path, format!("{}{indented}{}", &text[..begins], &text[ends..])).unwrap();
        return;
    }
    let data = &our_template()["Resources"]["Host"]["Properties"]["UserData"]["Fn::Base64"]["Fn::Join"][1];
    assert_eq!(data[1], body, "write it again with `RETAIND_BLESS=1 cargo nextest run config`");
    // the head sets exactly the names that the script's own head sets
    let names = |text: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("readonly "));
        lines.map(|line| line.split_once('=').unwrap().0.to_owned()).collect()
    };
    let head = script.split_once(BODY).unwrap().0;
    assert_eq!(names(data[0]["Fn::Sub"].as_str().unwrap()), names(head));
    assert!(data[0]["Fn::Sub"].as_str().unwrap().starts_with("#!/bin/bash\nset -euo pipefail\n"));
}

#[test]
fn shellcheck_takes_the_script_for_ec2() {
    if !has("shellcheck") {
        return;
    }
    shellcheck(&root().join("config").join(USER_DATA)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    shellcheck(&spoiled(directory.path(), USER_DATA, "\"$HOME_ON_HOST\"", "$HOME_ON_HOST/*.$unset")).unwrap_err();
}

/// Every way to run the container restricts it alike, and sets no variable that the bot does not know.
#[test]
fn containers_run_with_nothing_that_the_bot_does_not_need() {
    let script = file(USER_DATA);
    for option in [
        "--read-only ",
        "--cap-drop ALL ",
        "--security-opt no-new-privileges ",
        "--restart on-failure:5 ",
        "--stop-timeout 30 ",
        "--user \"$OWNER\" ",
    ] {
        assert!(script.contains(&format!("\n    {option}\\\n")), "{option}");
    }
    let given = script.lines().filter_map(|line| line.trim().strip_prefix("--env ")?.split_once('='));
    let given: Vec<&str> = given.map(|(name, _)| name).collect();
    assert!(given.len() >= 4, "{given:?}");

    let task: Value = serde_json::from_str(&file(TASK)).unwrap();
    let container = &task["containerDefinitions"][0];
    assert_eq!(container["readonlyRootFilesystem"], true);
    assert_eq!(container["dockerSecurityOptions"], json!(["no-new-privileges"]));
    assert_eq!(container["linuxParameters"], json!({"capabilities": {"drop": ["ALL"]}}));
    assert_eq!(container["healthCheck"]["command"], json!(["CMD", "/usr/bin/retaind", "status"]));
    assert!(script.contains(&format!("readonly OWNER={}\n", container["user"].as_str().unwrap())));
    assert!(container["stopTimeout"].as_u64().unwrap() >= 30);
    let mut named: Vec<&str> = Vec::new();
    for list in ["environment", "secrets"] {
        named.extend(container[list].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()));
    }
    let value = |name: &str| {
        let found = container["environment"].as_array().unwrap().iter().find(|entry| entry["name"] == name);
        found.unwrap()["value"].as_str().unwrap()
    };
    assert_eq!(container["mountPoints"][0]["containerPath"], format!("/tmp/{}", value("WICKRIO_BOT_NAME")));
    assert_eq!(container["image"], value("RETAIND_IMAGE"));
    for name in given.into_iter().chain(named) {
        assert!(VARIABLES.iter().any(|variable| variable.name == name), "`{name}` is not in the table");
    }
}

#[test]
fn the_model_of_ecs_takes_the_task_definition() {
    let judge = |path: &Path| judged(Command::new(tool("reader", "python")).arg("-B").arg(script("task.py")).arg(path));
    judge(&root().join("config").join(TASK)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    for (from, to) in [
        ("readonlyRootFilesystem", "readOnlyRootFilesystem"),
        ("\"stopTimeout\": 30", "\"stopTimeout\": \"30\""),
        ("awslogs\"", "awslog\""),
    ] {
        judge(&spoiled(directory.path(), TASK, from, to)).expect_err(to);
    }
}

/// A file of which the README of `config/` says nothing is one that nobody finds.
#[test]
fn every_file_has_its_row_in_the_readme() {
    let readme = file("README.md");
    for folder in fs::read_dir(root().join("config")).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir())
    {
        let name = folder.file_name().into_string().unwrap();
        assert!(readme.contains(&format!("\n| `{name}/")), "`{name}`");
    }
}
