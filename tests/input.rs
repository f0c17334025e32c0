//! Bad input of the world, given to the program: it is refused before anything begins, with words that say what to correct.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

use std::fs;
use std::path::Path;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use retaind::protocol::ids::ConversationKind;

use crate::support::program::{retaind, run};
use crate::support::{Bot, Harness, text};

fn output(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// A bundle whose second certificate has a line less.
fn torn_bundle(folder: &Path) -> String {
    let whole = rcgen::generate_simple_self_signed(vec!["aws.example".to_owned()]).unwrap().cert.pem();
    let torn: String =
        whole.lines().enumerate().filter(|(at, _)| *at != 3).map(|(_, line)| format!("{line}\n")).collect();
    let file = folder.join("bundle.pem");
    fs::write(&file, whole + &torn).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_certificate_bundle_that_cannot_be_parsed_is_refused_by_check_and_run_alike() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = torn_bundle(dir.path());
    for mut command in [retaind(&["check"]), run(dir.path())] {
        command.env("WICKRIO_BOT_NAME", "compliance_1_bot").env("AWS_CA_BUNDLE", &bundle);
        command.env("WICKRIO_S3_BUCKET_NAME", "bucket-name").env("WICKRIO_S3_REGION", "us-east-1");
        let (code, error) = output(&mut command);
        assert_eq!(code, Some(78), "{error}");
        let words = format!("`AWS_CA_BUNDLE` = `{bundle}`: certificate 2 of 2 in it cannot be parsed");
        assert!(error.contains(&words) && !error.contains("panicked"), "{error}");
    }
}

#[test]
fn a_network_with_a_certificate_that_no_device_accepts_does_not_begin() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let key = KeyPair::generate().unwrap();
    fs::write(path("key.pem"), key.serialize_pem()).unwrap();
    let mut authority = CertificateParams::new(vec!["archive.example.org".to_owned()]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(path("ca-true.pem"), authority.self_signed(&key).unwrap().pem()).unwrap();
    let other = CertificateParams::new(vec!["other.example.org".to_owned()]).unwrap();
    fs::write(path("other.pem"), other.self_signed(&key).unwrap().pem()).unwrap();
    for (certificate, words) in
        [("ca-true.pem", "it is an authority's (`CA:TRUE`)"), ("other.pem", "it does not hold that name")]
    {
        let (certificate, key, directory) = (path(certificate), path("key.pem"), path("network"));
        let arguments = ["network", "serve", "--listen", "127.0.0.1:0", "--advertise", "archive.example.org:7443"];
        let given = ["--directory", &directory, "--certificate", &certificate, "--key", &key];
        let (code, error) = output(&mut retaind(&[&arguments[..], &given].concat()));
        assert_eq!(code, Some(78), "{error}");
        assert!(error.contains("no device would accept") && error.contains(words), "{error}");
        // and nobody is invited to it
        let (code, error) = output(&mut retaind(&["network", "invite", "--directory", &directory, "alice"]));
        assert_eq!(code, Some(78), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_one_line_for_every_reader_of_lines() {
    let harness = Harness::start();
    let bot = Bot::start(harness.options()).await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    let said = "a\u{2028}b\u{2029}c\u{85}d";
    alice.send(&room, &text(said)).await.unwrap();
    bot.saved(2).await;
    bot.stop().await.unwrap();
    let mut lines = 0;
    for file in fs::read_dir(harness.messages()).unwrap() {
        let records = fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!records.contains(['\u{2028}', '\u{2029}', '\u{85}']), "{records}");
        lines += records.lines().count();
    }
    assert_eq!(lines, harness.records().len());
    assert!(harness.records().iter().any(|record| record["message"] == said));
}

#[tokio::test]
async fn a_profile_that_needs_a_browser_is_said_not_to_be_supported() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config");
    for profile in [
        "sso_start_url = https://example.awsapps.com/start\nsso_region = us-east-1\nsso_account_id = 111122223333\nsso_role_name = Retention\n",
        "login_session = arn:aws:iam::111122223333:user/admin\n",
    ] {
        fs::write(&config, format!("[profile people]\n{profile}region = eu-central-1\n")).unwrap();
        let mut command = retaind(&["check", "--online"]);
        command.env("AWS_CONFIG_FILE", &config).env("AWS_PROFILE", "people").env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("WICKRIO_BOT_NAME", "compliance_1_bot").env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
        command.env("WICKRIO_S3_BUCKET_NAME", "bucket-name").env("WICKRIO_S3_REGION", "us-east-1");
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("which needs a person at a browser and is not supported"), "{text}");
        assert!(!text.contains("cargo"), "{text}");
    }
}
