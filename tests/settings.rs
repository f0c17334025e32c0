//! Settings from Secrets Manager, and `retaind check --online`, against AWS's stand-in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test")]

use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::aws::Access;
use crate::support::aws::fault::{Fault, On, Times};
use crate::support::aws::moto::{Moto, allow};
use crate::support::aws::proxy::Proxy;
use crate::support::program::{Program, retaind};

const SECRET: &str = "wickr/data/retention/bot";
const FIVE: [&str; 5] =
    ["secretsmanager:GetSecretValue", "s3:PutObject", "kms:GenerateDataKey", "sns:Publish", "cloudwatch:PutMetricData"];

/// Exit code, standard output, standard error of `retaind ARGUMENTS` with a secret and these variables.
async fn run(access: &Access, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = retaind(arguments);
    command.envs(access.variables()).envs([("WICKRIO_BOT_NAME", "compliance_1_bot"), ("AWS_SECRET_NAME", SECRET)]);
    command.envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

async fn check(access: &Access, variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    run(access, &["check"], variables).await
}

async fn check_online(access: &Access, variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    run(access, &["check", "--online"], variables).await
}

/// The line of an action in the table.
fn result<'a>(table: &'a str, action: &str) -> &'a str {
    let line = table.lines().find(|line| line.starts_with(action)).unwrap_or_else(|| panic!("no `{action}`:\n{table}"));
    line.rsplit("  ").next().unwrap()
}

#[tokio::test]
async fn a_bot_starts_with_a_password_that_stands_in_the_secret_alone() {
    let moto = Moto::start();
    moto.secret(SECRET, r#"{"password":"correct horse battery"}"#).await;
    let bot = moto.user("bot", &allow(&["secretsmanager:GetSecretValue"])).await;
    let (code, out, err) = check(&bot, &[]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(
        out.contains(&format!("WICKRIO_BOT_PASSWORD           ********  (from secret `{SECRET}` key `password`)\n")),
        "{out}"
    );

    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let mut command = retaind(&["run"]);
    command
        .envs(bot.variables())
        .env("WICKRIO_BOT_NAME", "compliance_1_bot")
        .env("AWS_SECRET_NAME", SECRET)
        .env("RETAIND_LISTEN", "127.0.0.1:0")
        .env("RETAIND_STATE", at("state"))
        .env("WICKRIO_COMP_MESGDEST", at("messages"))
        .env("WICKRIO_COMP_FILEDEST", at("attachments"));
    let mut program = Program::start(&mut command);
    program.says("Logged in").await;
    program.signal("TERM");
    let (code, log) = program.ends().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("horse"), "{log}");
    assert!(!holds(home.path(), b"correct horse"), "the password is in a file");
}

/// Whether a file below has these bytes.
fn holds(directory: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        std::fs::read(path).unwrap().windows(bytes.len()).any(|window| window == bytes)
    })
}

#[tokio::test]
async fn the_guides_secrets_with_s3_and_with_kms_are_taken_as_they_stand_there() {
    let moto = Moto::start();
    let access = moto.operator();
    let mut secret = json!({
        "password": "password", "s3_bucket_name": "bucket-name", "s3_region": "us-east-1", "s3_folder_name": "folder-name",
    });
    moto.secret(SECRET, &secret.to_string()).await;
    let (code, out, err) = check(&access, &[]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for (key, line) in [
        ("s3_bucket_name", "WICKRIO_S3_BUCKET_NAME         bucket-name"),
        ("s3_region", "WICKRIO_S3_REGION              us-east-1"),
        ("s3_folder_name", "WICKRIO_S3_FOLDER_NAME         folder-name"),
    ] {
        assert!(out.contains(&format!("{line}  (from secret `{SECRET}` key `{key}`)\n")), "{out}");
    }

    let key = "arn:aws:kms:us-east-1:111122223333:key/12345678-1234-abcde-a617-abababababab";
    secret["kms_master_key_arn"] = key.into();
    secret["kms_region"] = "us-east-1".into();
    let arn = moto.secret("with-kms", &secret.to_string()).await;
    // by its ARN, which brings its region
    let named = [("AWS_SECRET_NAME", arn.as_str()), ("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "eu-west-1")];
    let (code, out, err) = check(&access, &named).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(
        out.contains(&format!(
            "WICKRIO_KMS_MSTRKEY_ARN        {key}  (from secret `{arn}` key `kms_master_key_arn`)\n"
        )),
        "{out}"
    );
    assert!(out.contains("AWS_SECRET_REGION              us-east-1  (from `AWS_SECRET_NAME`)\n"), "{out}");
    assert!(out.contains("RETAIND_KMS_FORMAT             v3  (default)\n"), "{out}");
}

#[tokio::test]
async fn a_bundle_of_several_certificates_is_taken() {
    let moto = Moto::start();
    moto.secret(SECRET, r#"{"password":"password"}"#).await;
    let bundle = tempfile::NamedTempFile::new().unwrap();
    let certificate = || rcgen::generate_simple_self_signed(vec!["aws.example".to_owned()]).unwrap().cert.pem();
    std::fs::write(bundle.path(), certificate() + &certificate()).unwrap();
    let variables = [("AWS_CA_BUNDLE", bundle.path().to_str().unwrap())];
    let (code, out, err) = check(&moto.operator(), &variables).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
}

#[tokio::test]
async fn a_secret_that_is_missing_denied_elsewhere_or_broken_is_78_and_says_what_to_correct() {
    let moto = Moto::start();
    let access = moto.operator();
    let (code, out, err) = check(&access, &[]).await;
    assert_eq!((code, out.as_str()), (Some(78), ""));
    assert!(
        err.contains(&format!("`secretsmanager:GetSecretValue` on `{SECRET}` failed because there is no such thing")),
        "{err}"
    );
    assert!(err.contains("correct `AWS_SECRET_NAME` or `AWS_SECRET_REGION`"), "{err}");

    moto.secret(SECRET, r#"{"password":"correct horse"}"#).await;
    assert_eq!(check(&access, &[]).await.0, Some(0));
    let (code, _, err) = check(&access, &[("AWS_SECRET_REGION", "eu-west-1")]).await;
    assert_eq!(code, Some(78));
    assert!(err.contains("looked for in `eu-west-1`"), "{err}");

    // not a word of what stands in it
    moto.secret("broken", r#"{"password":"correct horse""#).await;
    let (code, _, err) = check(&access, &[("AWS_SECRET_NAME", "broken"), ("WICKRIO_COMP_FILESIZE", "0")]).await;
    assert_eq!(code, Some(78));
    assert!(err.starts_with("error: the configuration has 2 mistakes:\n"), "{err}");
    assert!(
        err.contains("secret `broken` is not JSON: the mistake is in line 1, column 27") && !err.contains("horse"),
        "{err}"
    );

    let bot = moto.user("bot", &allow(&["s3:PutObject"])).await;
    let (code, _, err) = check(&bot, &[]).await;
    assert_eq!(code, Some(78));
    assert!(err.contains(&format!("`secretsmanager:GetSecretValue` on `{SECRET}` is not permitted")), "{err}");
    let (code, out, _) = check_online(&bot, &[]).await;
    assert_eq!((code, result(&out, "secretsmanager:GetSecretValue")), (Some(78), "denied"), "{out}");
}

#[tokio::test]
async fn secrets_manager_that_is_away_is_75() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let access = Access {
        endpoint: format!("http://127.0.0.1:{port}"),
        key_id: "key".to_owned(),
        secret: "secret".to_owned(),
        region: "us-east-1".to_owned(),
    };
    let (code, _, err) = check(&access, &[]).await;
    assert_eq!(code, Some(75), "{err}");
    assert!(
        err.starts_with(
            "error: the configuration is not complete: the secret that `AWS_SECRET_NAME` names could not be read"
        ),
        "{err}"
    );
    let (code, _, err) = check(&access, &[("WICKRIO_COMP_FILESIZE", "0")]).await;
    assert_eq!(code, Some(78), "what can be put right is not hidden by what may pass: {err}");
}

/// Everything that can be turned on but Object Lock.
async fn everything(moto: &Moto) -> (Value, crate::support::aws::moto::Topic) {
    moto.bucket("archive").await;
    let topic = moto.topic("events").await;
    let secret = json!({
        "password": "password", "s3_bucket_name": "archive", "s3_region": "us-east-1", "s3_folder_name": "network",
        "kms_master_key_arn": moto.key().await, "sns_topic_arn": topic.arn,
    });
    moto.secret(SECRET, &secret.to_string()).await;
    (secret, topic)
}

#[tokio::test]
async fn each_permission_that_is_missing_is_told_with_its_remedy_and_the_others_work() {
    let moto = Moto::start();
    let (_, topic) = everything(&moto).await;
    let mut actions = FIVE.to_vec();
    actions.push("s3:AbortMultipartUpload");
    let bot = moto.user("bot", &allow(&actions)).await;
    let metrics = [("WICKRIO_METRICS_TYPE", "cloudwatch")];
    let (code, out, err) = check_online(&bot, &metrics).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for action in FIVE {
        assert_eq!(result(&out, action), "works", "{out}");
    }

    for missing in FIVE {
        let others: Vec<&str> = actions.iter().copied().filter(|action| *action != missing).collect();
        moto.set_policy("bot", &allow(&others)).await;
        let (code, out, err) = check_online(&bot, &metrics).await;
        assert_eq!((code, result(&out, missing)), (Some(78), "denied"), "{out}\n{err}");
        assert!(out.contains("    remedy: add the statement `"), "{out}");
        if missing == "secretsmanager:GetSecretValue" {
            continue;
        }
        assert_eq!(err, format!("error: 1 of 5 AWS permissions do not work: `{missing}`\n"));
        for action in FIVE.iter().filter(|action| **action != missing) {
            assert_eq!(result(&out, action), "works", "without `{missing}`:\n{out}");
        }
    }

    // nothing is left of all that
    assert_eq!(moto.uploads("archive").await, Vec::<String>::new());
    assert!(moto.objects("archive").await.is_empty());
    assert!(moto.notices(&topic).await.is_empty());
    assert!(moto.metric("WickrIO", "retaind-check", &[]).await.is_none());
}

#[tokio::test]
async fn an_upload_that_cannot_be_aborted_is_told_with_the_rule_that_removes_it() {
    let moto = Moto::start();
    everything(&moto).await;
    let bot = moto.user("bot", &allow(&FIVE)).await;
    let (code, out, err) = check_online(&bot, &[]).await;
    assert_eq!((code, err.as_str(), result(&out, "s3:PutObject")), (Some(0), "", "works"), "{out}");
    let left = moto.uploads("archive").await;
    assert_eq!(left.len(), 1);
    assert!(left[0].starts_with("network/.retaind-check-"), "{left:?}");
    assert!(out.contains(&format!("an upload without parts stays at `{}`", left[0])), "{out}");
    assert!(out.contains("`config/iam/lifecycle.json`"), "{out}");
}

#[tokio::test]
async fn object_lock_is_tried_only_when_asked_for_and_each_kind_alone() {
    let moto = Moto::start();
    moto.bucket_with_lock("locked").await;
    moto.bucket("open").await;
    moto.secret(SECRET, r#"{"password":"password","s3_region":"us-east-1"}"#).await;
    let lock = |bucket| {
        [
            ("WICKRIO_S3_BUCKET_NAME", bucket),
            ("RETAIND_OBJECT_LOCK_MODE", "governance"),
            ("RETAIND_OBJECT_LOCK_DAYS", "1"),
            ("RETAIND_OBJECT_LOCK_LEGAL_HOLD", "on"),
        ]
    };
    let mut actions = vec!["secretsmanager:GetSecretValue", "s3:PutObject", "s3:AbortMultipartUpload"];
    let bot = moto.user("bot", &allow(&actions)).await;
    let three = ["s3:GetBucketObjectLockConfiguration", "s3:PutObjectRetention", "s3:PutObjectLegalHold"];
    let (code, out, _) = check_online(&bot, &lock("locked")).await;
    assert_eq!(code, Some(78), "{out}");
    for action in three {
        assert_eq!(result(&out, action), "denied", "{out}");
    }
    assert_eq!(result(&out, "s3:PutObject "), "works", "{out}");
    actions.extend(three);
    moto.set_policy("bot", &allow(&actions)).await;
    let (code, out, err) = check_online(&bot, &lock("locked")).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let (code, out, _) = check_online(&bot, &lock("open")).await;
    assert_eq!(code, Some(78), "{out}");
    assert_eq!(result(&out, "s3:GetBucketObjectLockConfiguration"), "missing", "{out}");
    let without = [("WICKRIO_S3_BUCKET_NAME", "open")];
    let (code, out, _) = check_online(&bot, &without).await;
    assert_eq!(code, Some(0), "{out}");
    assert!(!three.iter().any(|action| out.contains(action)), "{out}");
    assert_eq!(moto.uploads("locked").await, Vec::<String>::new());
    assert!(moto.objects("locked").await.is_empty());
}

#[tokio::test]
async fn a_bucket_elsewhere_is_78_with_its_region_and_a_service_that_is_away_is_75() {
    let moto = Moto::start();
    everything(&moto).await;
    let proxy = Proxy::start(moto.address());
    let access = moto.operator().through(&proxy.endpoint());
    let trouble =
        proxy.trouble(On::operation("CreateMultipartUpload"), Times::UntilHealed, Fault::OtherRegion("eu-central-1"));
    let (code, out, _) = check_online(&access, &[]).await;
    assert_eq!((code, result(&out, "s3:PutObject")), (Some(78), "wrong region"), "{out}");
    assert!(out.contains("remedy: correct `WICKRIO_S3_REGION`\n") && out.contains("`eu-central-1`"), "{out}");
    trouble.heal();
    proxy.trouble(On::operation("GenerateDataKey"), Times::UntilHealed, Fault::Internal);
    let (code, out, err) = check_online(&access, &[]).await;
    assert_eq!((code, result(&out, "kms:GenerateDataKey")), (Some(75), "no answer"), "{out}\n{err}");
}
