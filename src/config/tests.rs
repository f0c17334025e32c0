//! What an operator can get wrong, and the exact words of the answer.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;

use super::aws::{Format, Image, LegalHold, Lock, LockMode, Retention as Locked};
use super::describe::describe;
use super::*;

const BOT: (&str, &str) = ("WICKRIO_BOT_NAME", "compliance_1234567890_bot");

fn vars(given: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    given.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

/// With a secret that holds nothing, if one is named.
fn load(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<(Config, Vec<Warning>), Mistakes> {
    super::load(vars, |_| text("{}"))
}

fn text(json: &str) -> Read {
    Read::Text(Secret::new(json.to_owned()))
}

fn loaded(given: &[(&str, &str)]) -> Config {
    load(vars(given)).unwrap().0
}

const SECRET: (&str, &str) = ("AWS_SECRET_NAME", "wickr/bot");

/// With a right bot name and a secret.
fn with_secret(given: &[(&str, &str)], read: Read) -> Result<(Config, Vec<Warning>), Mistakes> {
    let mut all = vec![BOT, SECRET];
    all.extend(given);
    super::load(vars(&all), |_| read)
}

/// With a right bot name.
fn mistakes(given: &[(&str, &str)]) -> String {
    let mut all = vec![BOT];
    all.extend(given);
    load(vars(&all)).unwrap_err().to_string()
}

fn warnings(given: &[(&str, &str)]) -> Vec<String> {
    load(vars(given)).unwrap().1.iter().map(ToString::to_string).collect()
}

fn described(config: &Config) -> String {
    let mut out = Vec::new();
    describe(config, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_first_two_variables_of_the_guide_are_enough() {
    let config = loaded(&[BOT, ("WICKRIO_BOT_PASSWORD", "password")]);
    config.refuse_what_is_not_built().unwrap();
    assert_eq!(
        described(&config),
        "\
WICKRIO_BOT_NAME               compliance_1234567890_bot
WICKRIO_BOT_PASSWORD           ********
WICKRIO_ROTATE_PASSWORD        –
WICKRIO_COMP_MESGDEST          /tmp/compliance_1234567890_bot/compliance/messages  (default)
WICKRIO_COMP_FILEDEST          /tmp/compliance_1234567890_bot/compliance/attachments  (default)
WICKRIO_COMP_BASENAME          receivedMessages  (default)
WICKRIO_COMP_FILESIZE          1000000000  (default)
WICKRIO_COMP_TIMEROTATE        0  (default)
AWS_DEFAULT_REGION             us-east-1  (default)
AWS_CA_BUNDLE                  –
AWS_SECRET_NAME                –
AWS_SECRET_REGION              –
WICKRIO_S3_BUCKET_NAME         –
WICKRIO_S3_REGION              –
WICKRIO_S3_FOLDER_NAME         –
WICKRIO_KMS_MSTRKEY_ARN        –
WICKRIO_KMS_REGION             –
RETAIND_KMS_FORMAT             –
RETAIND_OBJECT_LOCK_MODE       –
RETAIND_OBJECT_LOCK_DAYS       –
RETAIND_OBJECT_LOCK_LEGAL_HOLD –
WICKRIO_SNS_TOPIC_ARN          –
WICKRIO_METRICS_TYPE           –
RETAIND_PRODUCT                –
RETAIND_IMAGE                  retaind:0.1.0  (default)
RETAIND_STATE                  /tmp/compliance_1234567890_bot/state  (default)
RETAIND_NETWORK                –
RETAIND_NETWORK_CA             –
RETAIND_NETWORK_NAME           –
RETAIND_LISTEN                 127.0.0.1:7443  (default)
RETAIND_NETWORK_ID             1234567890  (default)
RETAIND_RETENTION              on  (default)
RUST_LOG                       info  (default)
"
    );
    assert_eq!(config.files.size_max, 1_000_000_000 * 1024);
    assert_eq!(config.files.rotate_after, None);
}

/// One right value for every variable of the table, other than its default.
fn every_variable(certificate: &str) -> Vec<(&'static str, String)> {
    [
        ("WICKRIO_BOT_NAME", "archive@example.org"),
        ("WICKRIO_BOT_PASSWORD", "first-password"),
        ("WICKRIO_ROTATE_PASSWORD", "second-password"),
        ("WICKRIO_COMP_MESGDEST", "/srv/messages"),
        ("WICKRIO_COMP_FILEDEST", "/srv/attachments"),
        ("WICKRIO_COMP_BASENAME", "archive"),
        ("WICKRIO_COMP_FILESIZE", "2048"),
        ("WICKRIO_COMP_TIMEROTATE", "15"),
        ("AWS_DEFAULT_REGION", "eu-central-1"),
        ("AWS_CA_BUNDLE", certificate),
        ("AWS_SECRET_NAME", "wickr/data/retention/bot"),
        ("AWS_SECRET_REGION", "us-gov-west-1"),
        ("WICKRIO_S3_BUCKET_NAME", "bucket-name"),
        ("WICKRIO_S3_REGION", "eu-west-2"),
        ("WICKRIO_S3_FOLDER_NAME", "a/folder-name/"),
        ("WICKRIO_KMS_MSTRKEY_ARN", "arn:aws:kms:eu-west-3:111122223333:key/12345678-1234-abcde-a617-abababababab"),
        ("WICKRIO_KMS_REGION", "eu-west-3"),
        ("RETAIND_KMS_FORMAT", "v2"),
        ("RETAIND_OBJECT_LOCK_MODE", "compliance"),
        ("RETAIND_OBJECT_LOCK_DAYS", "2555"),
        ("RETAIND_OBJECT_LOCK_LEGAL_HOLD", "on"),
        ("WICKRIO_SNS_TOPIC_ARN", "arn:aws:sns:us-east-1:111122223333:compliance-bot"),
        ("WICKRIO_METRICS_TYPE", "cloudwatch"),
        ("RETAIND_PRODUCT", "WickrPro_Test"),
        ("RETAIND_IMAGE", "registry.example.org:5000/wickr/bot-compliance-cloud:5.116"),
        ("RETAIND_STATE", "/srv/state"),
        ("RETAIND_NETWORK", "chat.example.org:7443"),
        ("RETAIND_NETWORK_CA", certificate),
        ("RETAIND_NETWORK_NAME", "chat.example.org"),
        ("RETAIND_LISTEN", "[::1]:7000"),
        ("RETAIND_NETWORK_ID", "9876"),
        ("RETAIND_RETENTION", "off"),
        ("RUST_LOG", "warn,retaind::bot=trace"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

#[test]
fn every_variable_of_the_table_reaches_the_configuration_and_no_secret_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let certificate = dir.path().join("ca.pem");
    fs::write(&certificate, certificate_pem()).unwrap();
    let every = every_variable(certificate.to_str().unwrap());
    let names: Vec<&str> = every.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, VARIABLES.iter().map(|v| v.name).collect::<Vec<_>>(), "the test must cover the whole table");

    // outside network; then without it, so that the embedded one's settings count
    for network_is_outside in [true, false] {
        let given: Vec<(&str, &str)> = every
            .iter()
            .filter(|(name, _)| {
                network_is_outside || !name.starts_with("RETAIND_NETWORK") || *name == "RETAIND_NETWORK_ID"
            })
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let config = loaded(&given);
        let text = described(&config);
        for (variable, (name, value)) in VARIABLES.iter().zip(&every) {
            let outside_only = ["RETAIND_NETWORK", "RETAIND_NETWORK_CA", "RETAIND_NETWORK_NAME"].contains(name);
            let embedded_only = ["RETAIND_LISTEN", "RETAIND_NETWORK_ID", "RETAIND_RETENTION"].contains(name);
            let shown = match variable.secrecy {
                _ if outside_only && !network_is_outside || embedded_only && network_is_outside => "–",
                Secrecy::Secret => "********",
                Secrecy::Public => value.trim_end_matches('/'),
            };
            assert!(text.contains(&format!("{name:<30} {shown}\n")), "`{name}` is not shown as `{shown}`:\n{text}");
        }
        assert!(!text.contains("-password"), "a secret is shown:\n{text}");
        assert!(!format!("{config:?}").contains("-password"), "a secret is in the debug print");
    }
}

fn certificate_pem() -> String {
    rcgen::generate_simple_self_signed(vec!["retaind-network".to_owned()]).unwrap().cert.pem()
}

#[test]
fn every_variable_can_come_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let certificate = dir.path().join("ca.pem");
    fs::write(&certificate, certificate_pem()).unwrap();
    let every = every_variable(certificate.to_str().unwrap());
    let straight: Vec<(&str, &str)> = every.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let by_file: Vec<(OsString, OsString)> = every
        .iter()
        .map(|(name, value)| {
            let file = dir.path().join(name);
            fs::write(&file, format!("{value}\n")).unwrap();
            (format!("{name}_FILE").into(), file.into())
        })
        .collect();
    let (config, _) = load(by_file).unwrap();
    let without_origins: String =
        described(&config).lines().map(|line| format!("{}\n", line.split("  (from").next().unwrap())).collect();
    assert_eq!(without_origins, described(&loaded(&straight)));
    assert_eq!(config.password.unwrap().expose(), "first-password");
}

#[test]
fn a_file_that_holds_no_value_is_told_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("large"), vec![b'x'; 65 * 1024]).unwrap();
    fs::write(path("binary"), [0xff, 0xfe]).unwrap();
    fs::write(path("number"), "12 \n").unwrap();
    let text = mistakes(&[
        ("WICKRIO_BOT_PASSWORD_FILE", &path("nowhere")),
        ("WICKRIO_COMP_BASENAME_FILE", &path("large")),
        ("WICKRIO_COMP_FILEDEST_FILE", &path("binary")),
        ("WICKRIO_COMP_FILESIZE_FILE", &path("number")),
    ]);
    let dir = dir.path().display();
    assert_eq!(
        text,
        format!(
            "\
the configuration has 4 mistakes:
  `WICKRIO_BOT_PASSWORD_FILE` (file `{dir}/nowhere`) cannot be read: No such file or directory (os error 2)
  `WICKRIO_COMP_BASENAME_FILE` (file `{dir}/large`) is larger than 64 KiB: it must hold nothing but the value
  `WICKRIO_COMP_FILEDEST_FILE` (file `{dir}/binary`) is not UTF-8 text
  `WICKRIO_COMP_FILESIZE_FILE` (file `{dir}/number`) = `12 `: not a whole number of KiB from 1 to 18014398509481983"
        )
    );
}

#[test]
fn an_empty_value_is_no_value() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    fs::write(&empty, "\n").unwrap();
    let empty = empty.to_str().unwrap();
    let config = loaded(&[
        BOT,
        ("WICKRIO_COMP_FILESIZE", ""),
        ("WICKRIO_S3_BUCKET_NAME", ""),
        ("WICKRIO_BOT_PASSWORD_FILE", empty),
        ("WICKRIO_NO_SUCH_THING", ""),
        ("RETAIND_STATE_FILE", ""),
    ]);
    assert_eq!(described(&config), described(&loaded(&[BOT])));
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_name_value_and_remedy() {
    let text = load(vars(&[
        ("WICKRIO_BOT_NAM", "compliance_1_bot"),
        ("WICKRIO_COMP_FILESIZE", "-3"),
        ("WICKRIO_COMP_TIMEROTATE", "15m"),
        ("WICKRIO_COMP_BASENAME", "../messages"),
        ("RETAIND_LISTEN", "localhost:7443"),
        ("RETAIND_RETENTION", "yes"),
        ("WICKRIO_METRICS_TYPE", "prometheus"),
        ("RUST_LOG", "retaind=loud"),
    ]))
    .unwrap_err()
    .to_string();
    assert_eq!(
        text,
        "\
the configuration has 9 mistakes:
  `WICKRIO_BOT_NAM` is not a setting of this bot: is `WICKRIO_BOT_NAME` meant?
  `WICKRIO_BOT_NAME` is not set: the bot needs its user name, such as `compliance_1234567890_bot`
  `WICKRIO_COMP_BASENAME` = `../messages`: not the start of a file name: at most 200 bytes without `/` and control characters, and without a `.` in front
  `WICKRIO_COMP_FILESIZE` = `-3`: not a whole number of KiB from 1 to 18014398509481983
  `WICKRIO_COMP_TIMEROTATE` = `15m`: not a whole number of minutes from 0 to 4294967295
  `RETAIND_LISTEN` = `localhost:7443`: not an address and a port, such as `127.0.0.1:7443` or `[::1]:7443`; names are not looked up here
  `RETAIND_RETENTION` = `yes`: must be `on` or `off`
  `WICKRIO_METRICS_TYPE` = `prometheus`: must be `cloudwatch`, or unset for none
  `RUST_LOG` = `retaind=loud`: not a log filter such as `info` or `info,retaind::bot=debug`"
    );
}

#[test]
fn nonsense_numbers_are_refused() {
    for nonsense in
        ["0", "-1", "+5", "1.5", "1e9", " 7", "0x10", "18014398509481984", "99999999999999999999999", "eins"]
    {
        let text = mistakes(&[("WICKRIO_COMP_FILESIZE", nonsense)]);
        assert!(
            text.starts_with(&format!(
                "the configuration has a mistake: `WICKRIO_COMP_FILESIZE` = `{nonsense}`: not a whole number"
            )),
            "{text}"
        );
    }
    for nonsense in ["-1", "4294967296", "99999999999999999999999", "∞"] {
        let text = mistakes(&[("WICKRIO_COMP_TIMEROTATE", nonsense)]);
        assert!(text.contains("not a whole number of minutes from 0 to 4294967295"), "{text}");
    }
    assert_eq!(loaded(&[BOT, ("WICKRIO_COMP_FILESIZE", "18014398509481983")]).files.size_max, u64::MAX - 1023);
    assert_eq!(
        loaded(&[BOT, ("WICKRIO_COMP_TIMEROTATE", "15")]).files.rotate_after,
        Some(Duration::from_secs(15 * 60))
    );
}

#[test]
fn a_bot_name_that_would_leave_its_folder_is_refused() {
    let long = "x".repeat(255);
    for name in ["..", ".", "a/b", "../../etc", "a b", "a\nb", long.as_str()] {
        let text = load(vars(&[("WICKRIO_BOT_NAME", name)])).unwrap_err().to_string();
        assert!(text.contains("because it names a folder without `/`"), "{name:?}: {text}");
        assert_eq!(text.lines().count(), 1, "one mistake, on one line: {text}");
    }
    assert_eq!(loaded(&[("WICKRIO_BOT_NAME", "räuber@example.org")]).bot.as_str(), "räuber@example.org");
}

#[test]
fn a_mistyped_name_gets_the_nearest_known_one() {
    for (typed, meant) in [
        ("WICKRIO_BOT_PASSWROD", "WICKRIO_BOT_PASSWORD"),
        ("wickrio_comp_filesize", "WICKRIO_COMP_FILESIZE"),
        ("WICKRIO_COMP_MESSAGEDEST", "WICKRIO_COMP_MESGDEST"),
        ("WICKRIO_S3_BUCKETNAME_FILE", "WICKRIO_S3_BUCKET_NAME_FILE"),
        ("RETAIND_STAT", "RETAIND_STATE"),
    ] {
        let text = mistakes(&[(typed, "secret-value")]);
        let expected =
            format!("the configuration has a mistake: `{typed}` is not a setting of this bot: is `{meant}` meant?");
        assert_eq!(text, expected, "and the value, which may be a secret, is not repeated");
    }
    let text = mistakes(&[("RETAIND_QQQQQQQQQQQQ", "1")]);
    assert!(text.ends_with("is not a setting of this bot; `retaind check` lists all that are"), "{text}");
    loaded(&[BOT, ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"), ("HOME", "/"), ("WICKR", "x")]);
}

#[test]
fn two_names_of_one_setting_must_agree() {
    let both = [("WICKRIO_COMP_MESGDEST", "/a"), ("WICKRIO_COMP_MSGDEST", "/b")];
    assert_eq!(
        mistakes(&both),
        "the configuration has a mistake: `WICKRIO_COMP_MESGDEST` and `WICKRIO_COMP_MSGDEST` set the same thing to different values: leave one out"
    );
    let same = loaded(&[BOT, ("WICKRIO_COMP_MESGDEST", "/a"), ("WICKRIO_COMP_MSGDEST", "/a")]);
    assert_eq!(same.files.messages, PathBuf::from("/a"));
    let alias = loaded(&[BOT, ("WICKRIO_COMP_MSGDEST", "/b")]);
    assert!(described(&alias).contains("WICKRIO_COMP_MESGDEST          /b  (from `WICKRIO_COMP_MSGDEST`)\n"));
}

#[test]
fn passwords_never_stand_in_a_message() {
    let text = mistakes(&[("WICKRIO_ROTATE_PASSWORD", "hunter2")]);
    assert_eq!(
        text,
        "the configuration has a mistake: `WICKRIO_ROTATE_PASSWORD`: a new password has at least 12 characters"
    );
    let text = mistakes(&[("WICKRIO_BOT_PASSWORD", "correct-horse"), ("WICKRIO_ROTATE_PASSWORD", "correct-horse")]);
    assert!(text.ends_with("the new password must be other than `WICKRIO_BOT_PASSWORD`"), "{text}");
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "another-horse").unwrap();
    let path = file.path().to_str().unwrap();
    let text = mistakes(&[("WICKRIO_BOT_PASSWORD", "correct-horse"), ("WICKRIO_BOT_PASSWORD_FILE", path)]);
    assert!(text.contains("set the same thing to different values") && !text.contains("horse"), "{text}");
}

#[test]
fn a_value_that_is_not_text_is_told() {
    let given =
        vec![("WICKRIO_BOT_NAME".into(), "bot".into()), ("RETAIND_STATE".into(), OsString::from_vec(vec![b'/', 0xff]))];
    assert_eq!(
        load(given).unwrap_err().to_string(),
        "the configuration has a mistake: `RETAIND_STATE` is not UTF-8 text"
    );
}

#[test]
fn both_limits_given_is_a_warning_that_says_what_happens() {
    let both = [BOT, ("WICKRIO_COMP_FILESIZE", "10"), ("WICKRIO_COMP_TIMEROTATE", "15")];
    assert_eq!(
        warnings(&both),
        [
            "`WICKRIO_COMP_FILESIZE` and `WICKRIO_COMP_TIMEROTATE` are both set: a new message file starts at whichever limit comes first"
        ]
    );
    assert!(warnings(&[BOT, ("WICKRIO_COMP_TIMEROTATE", "15")]).is_empty());
    assert!(warnings(&[BOT, ("WICKRIO_COMP_FILESIZE", "10"), ("WICKRIO_COMP_TIMEROTATE", "0")]).is_empty());
}

#[test]
fn an_outside_network_needs_its_certificate_and_makes_the_embedded_settings_idle() {
    assert_eq!(
        mistakes(&[("RETAIND_NETWORK", "chat.example.org:7443")]),
        "the configuration has a mistake: `RETAIND_NETWORK` needs `RETAIND_NETWORK_CA` as well: the network's certificate is made by itself, so that nobody else vouches for it"
    );
    for wrong in [
        "chat.example.org",
        "chat.example.org:",
        "chat.example.org:0",
        "chat:70000",
        ":7443",
        "a b:1",
        "::1:7443",
        "[x]:1",
    ] {
        let text = mistakes(&[("RETAIND_NETWORK", wrong), ("RETAIND_NETWORK_CA", "/nowhere/ca.pem")]);
        assert!(text.contains(&format!("`RETAIND_NETWORK` = `{wrong}`: not `host:port`")), "{text}");
        assert!(
            text.contains("`RETAIND_NETWORK_CA` = `/nowhere/ca.pem`: the certificate cannot be read from it"),
            "{text}"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    fs::write(&ca, format!("{}{}", certificate_pem(), certificate_pem())).unwrap();
    let ca = ca.to_str().unwrap();
    let text = mistakes(&[("RETAIND_NETWORK", "chat.example.org:7443"), ("RETAIND_NETWORK_CA", ca)]);
    assert!(text.contains("holds 2 PEM certificates instead of one"), "{text}");
    fs::write(ca, certificate_pem()).unwrap();
    for right in ["chat.example.org:7443", "127.0.0.1:1", "[::1]:7443"] {
        let given = [BOT, ("RETAIND_NETWORK", right), ("RETAIND_NETWORK_CA", ca), ("RETAIND_RETENTION", "off")];
        assert_eq!(
            warnings(&given),
            [
                "`RETAIND_RETENTION` has no effect: it is for the embedded network, and `RETAIND_NETWORK` names an outside one"
            ]
        );
    }
}

#[test]
fn what_this_version_cannot_do_is_refused_and_never_skipped() {
    let config =
        loaded(&[BOT, ("WICKRIO_BOT_PASSWORD", "first-password"), ("WICKRIO_ROTATE_PASSWORD", "second-password")]);
    assert_eq!(
        config.refuse_what_is_not_built().unwrap_err().to_string(),
        "the configuration has a mistake: `WICKRIO_ROTATE_PASSWORD` asks for rotating the password at start-up, which this version cannot do yet: take it out to go on without"
    );
    for variable in VARIABLES {
        if let Effect::Refused(_) = variable.effect {
            assert!(matches!(variable.default, Fallback::Nothing), "`{}` would refuse its own default", variable.name);
        }
    }
    loaded(&[BOT, ("AWS_DEFAULT_REGION", "eu-central-1")]).refuse_what_is_not_built().unwrap();
}

#[test]
fn aws_settings_must_fit_together() {
    assert_eq!(
        mistakes(&[
            ("WICKRIO_S3_BUCKET_NAME", "Bucket_Name"),
            ("WICKRIO_S3_FOLDER_NAME", "a//b"),
            ("WICKRIO_KMS_MSTRKEY_ARN", "arn:aws:kms:eu-west-3:111122223333:key/1"),
            ("WICKRIO_KMS_REGION", "eu-west-1"),
            ("WICKRIO_SNS_TOPIC_ARN", "compliance-bot"),
            ("AWS_SECRET_REGION", "Frankfurt"),
        ]),
        "\
the configuration has 7 mistakes:
  `AWS_SECRET_REGION` = `Frankfurt`: not an AWS region such as `eu-central-1`
  `AWS_SECRET_REGION` needs `AWS_SECRET_NAME` as well: it is the region of that secret
  `WICKRIO_S3_BUCKET_NAME` = `Bucket_Name`: not an S3 bucket: 3 to 63 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends, or an access point's ARN
  `WICKRIO_S3_FOLDER_NAME` = `a//b`: not a key prefix: at most 700 bytes without control characters, empty parts, `.` and `..`
  `WICKRIO_KMS_REGION` = `eu-west-1`: the ARN is of region `eu-west-3`
  `WICKRIO_S3_BUCKET_NAME` needs `WICKRIO_S3_REGION` as well: a bucket is in one region
  `WICKRIO_SNS_TOPIC_ARN` = `compliance-bot`: not an ARN such as `arn:aws:sns:us-east-1:111122223333:compliance-bot`"
    );
    let text = mistakes(&[("WICKRIO_S3_FOLDER_NAME", "folder")]);
    assert!(text.ends_with(
        "`WICKRIO_S3_FOLDER_NAME` needs `WICKRIO_S3_BUCKET_NAME` as well: without a bucket nothing is uploaded"
    ));
}

#[test]
fn a_lock_is_whole_or_none_and_is_put_on_objects_that_are_uploaded() {
    assert_eq!(
        mistakes(&[("RETAIND_OBJECT_LOCK_DAYS", "2555"), ("RETAIND_OBJECT_LOCK_LEGAL_HOLD", "on")]),
        "\
the configuration has 2 mistakes:
  `RETAIND_OBJECT_LOCK_DAYS` needs `RETAIND_OBJECT_LOCK_MODE` as well: who can lift the lock has to be said
  `RETAIND_OBJECT_LOCK_LEGAL_HOLD` needs `WICKRIO_S3_BUCKET_NAME` as well: without a bucket nothing is uploaded"
    );
    let text = mistakes(&[("RETAIND_OBJECT_LOCK_MODE", "governance")]);
    assert!(text.contains("`RETAIND_OBJECT_LOCK_MODE` needs `RETAIND_OBJECT_LOCK_DAYS` as well"), "{text}");
    assert!(text.contains("`RETAIND_OBJECT_LOCK_MODE` needs `WICKRIO_S3_BUCKET_NAME` as well"), "{text}");
    for days in ["0", "36501", "-1", "1.5"] {
        let text = mistakes(&[("RETAIND_OBJECT_LOCK_DAYS", days)]);
        assert!(text.contains("not a whole number of days from 1 to 36500"), "{text}");
    }
    let bucket = [BOT, ("WICKRIO_S3_BUCKET_NAME", "bucket-name"), ("WICKRIO_S3_REGION", "us-east-1")];
    let off = loaded(&bucket).aws.upload.unwrap();
    assert_eq!(off.lock, Lock { retention: None, legal_hold: LegalHold::Off });
    let mut given = bucket.to_vec();
    given.extend([("RETAIND_OBJECT_LOCK_MODE", "governance"), ("RETAIND_OBJECT_LOCK_DAYS", "7")]);
    let on = loaded(&given).aws.upload.unwrap();
    assert_eq!(on.lock.retention, Some(Locked { mode: LockMode::Governance, days: 7 }));
}

#[test]
fn an_arn_brings_its_region_and_must_not_be_contradicted() {
    let key = ("WICKRIO_KMS_MSTRKEY_ARN", "arn:aws:kms:eu-west-3:111122223333:key/1");
    let bucket = [("WICKRIO_S3_BUCKET_NAME", "bucket-name"), ("WICKRIO_S3_REGION", "us-east-1")];
    let config = loaded(&[BOT, key, bucket[0], bucket[1]]);
    assert!(
        described(&config).contains("WICKRIO_KMS_REGION             eu-west-3  (from `WICKRIO_KMS_MSTRKEY_ARN`)\n"),
        "{}",
        described(&config)
    );
    let key = config.aws.upload.unwrap().key.unwrap();
    assert_eq!((key.region.as_str(), key.format), ("eu-west-3", Format::V3));

    let arn = ("AWS_SECRET_NAME", "arn:aws:secretsmanager:eu-west-2:111122223333:secret:wickr/bot-AbCdEf");
    for (given, region) in [
        (vec![arn, ("AWS_DEFAULT_REGION", "eu-north-1")], "eu-west-2"),
        (vec![arn, ("AWS_SECRET_REGION", "eu-west-2")], "eu-west-2"),
        (vec![SECRET, ("AWS_SECRET_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "eu-north-1")], "eu-west-1"),
        (vec![SECRET, ("AWS_DEFAULT_REGION", "eu-north-1")], "eu-north-1"),
        (vec![SECRET], "us-east-1"),
    ] {
        let mut all = vec![BOT];
        all.extend(given);
        let mut asked = None;
        super::load(vars(&all), |request| {
            asked = Some(request.place.clone());
            text("{}")
        })
        .unwrap();
        assert_eq!(asked.unwrap().region, region, "{all:?}");
    }
    assert_eq!(
        mistakes(&[arn, ("AWS_SECRET_REGION", "eu-west-1")]),
        "the configuration has a mistake: `AWS_SECRET_REGION` = `eu-west-1`: the ARN is of region `eu-west-2`"
    );
}

#[test]
fn images_are_taken_apart_as_docker_does() {
    let image = |text| parse::image(text).map(|Image { name, tag }| (name, tag)).ok();
    let of = |name: &str, tag: &str| Some((name.to_owned(), tag.to_owned()));
    assert_eq!(image("wickr/bot-compliance-cloud:5.116"), of("wickr/bot-compliance-cloud", "5.116"));
    assert_eq!(image("retaind"), of("retaind", "latest"));
    assert_eq!(image("localhost:5000/retaind"), of("localhost:5000/retaind", "latest"));
    assert_eq!(image("localhost:5000/retaind:1"), of("localhost:5000/retaind", "1"));
    assert_eq!(image("retaind@sha256:00ff"), of("retaind", "sha256:00ff"));
    for wrong in [":1", "retaind:", "a//b", "/a", "a b", "retaind@", "{}", &"x".repeat(600)] {
        assert_eq!(image(wrong), None, "{wrong}");
    }
}

#[test]
fn settings_without_effect_are_told() {
    assert_eq!(
        warnings(&[BOT, ("RETAIND_KMS_FORMAT", "v2"), ("RETAIND_PRODUCT", "Test")]),
        [
            "`RETAIND_KMS_FORMAT` has no effect: nothing is encrypted without `WICKRIO_KMS_MSTRKEY_ARN`",
            "`RETAIND_PRODUCT` has no effect: no metrics are published without `WICKRIO_METRICS_TYPE`",
        ]
    );
}

#[test]
fn a_bundle_without_certificates_is_told_before_anybody_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("empty"), "no certificate here").unwrap();
    fs::write(path("two"), format!("{}{}", certificate_pem(), certificate_pem())).unwrap();
    for (file, why) in [("empty", "it holds no PEM certificate"), ("nowhere", "No such file or directory")] {
        let error = super::load(vars(&[BOT, SECRET, ("AWS_CA_BUNDLE", &path(file))]), |_| unreachable!());
        let text = error.unwrap_err().to_string();
        assert!(text.contains(&format!("no certificates can be read from it: {why}")), "{text}");
        assert_eq!(text.lines().count(), 1, "one mistake: {text}");
    }
    let mut given = 0;
    super::load(vars(&[BOT, SECRET, ("AWS_CA_BUNDLE", &path("two"))]), |request| {
        given = request.ca_bundle.unwrap().len();
        text("{}")
    })
    .unwrap();
    assert!(given > 500);
}

const WHOLE: &str = r#"{
    "password": "correct horse",
    "s3_bucket_name": "bucket-name",
    "s3_region": "us-east-1",
    "s3_folder_name": "folder-name",
    "kms_master_key_arn": "arn:aws:kms:eu-west-3:111122223333:key/12345678-1234-abcde-a617-abababababab",
    "kms_region": "eu-west-3",
    "sns_topic_arn": "arn:aws:sns:eu-north-1:111122223333:compliance-bot"
}"#;

#[test]
fn every_key_of_the_secret_reaches_the_configuration_and_is_shown_with_its_origin() {
    let (config, warnings) = with_secret(&[], text(WHOLE)).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.password.as_ref().unwrap().expose(), "correct horse");
    let shown = described(&config);
    for line in [
        "WICKRIO_BOT_PASSWORD           ********  (from secret `wickr/bot` key `password`)\n",
        "WICKRIO_S3_BUCKET_NAME         bucket-name  (from secret `wickr/bot` key `s3_bucket_name`)\n",
        "WICKRIO_S3_REGION              us-east-1  (from secret `wickr/bot` key `s3_region`)\n",
        "WICKRIO_S3_FOLDER_NAME         folder-name  (from secret `wickr/bot` key `s3_folder_name`)\n",
        "WICKRIO_KMS_REGION             eu-west-3  (from secret `wickr/bot` key `kms_region`)\n",
        "key/12345678-1234-abcde-a617-abababababab  (from secret `wickr/bot` key `kms_master_key_arn`)\n",
        "compliance-bot  (from secret `wickr/bot` key `sns_topic_arn`)\n",
    ] {
        assert!(shown.contains(line), "`{line}` is missing:\n{shown}");
    }
    assert!(!shown.contains("horse") && !format!("{config:?}").contains("horse"));
    assert_eq!(config.aws.topic.unwrap().region, "eu-north-1");
}

#[test]
fn the_environment_comes_before_the_secret_and_says_what_it_hides() {
    let given = [("WICKRIO_BOT_PASSWORD", "another"), ("WICKRIO_S3_REGION", "us-east-1"), ("WICKRIO_KMS_REGION", "")];
    let (config, warnings) = with_secret(&given, text(WHOLE)).unwrap();
    assert_eq!(config.password.unwrap().expose(), "another");
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "secret `wickr/bot` key `password` has no effect: `WICKRIO_BOT_PASSWORD` says something else, and the environment comes first"
        ],
        "and what says the same, or nothing, hides nothing"
    );
}

#[test]
fn mistakes_of_environment_and_secret_are_told_at_once_each_with_its_origin() {
    let read =
        text(r#"{"s3_bucket_name": "B", "s3_region": "Ohio", "kms_master_key_arn": "", "kms_region": "eu-west-3"}"#);
    let error = with_secret(&[("WICKRIO_COMP_FILESIZE", "0"), ("RETAIND_STAT", "/srv")], read).unwrap_err();
    assert!(!error.may_pass());
    assert_eq!(
        error.to_string(),
        "\
the configuration has 5 mistakes:
  `RETAIND_STAT` is not a setting of this bot: is `RETAIND_STATE` meant?
  `WICKRIO_COMP_FILESIZE` = `0`: not a whole number of KiB from 1 to 18014398509481983
  secret `wickr/bot` key `s3_bucket_name` = `B`: not an S3 bucket: 3 to 63 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends, or an access point's ARN
  secret `wickr/bot` key `s3_region` = `Ohio`: not an AWS region such as `eu-central-1`
  secret `wickr/bot` key `kms_region` needs `WICKRIO_KMS_MSTRKEY_ARN` (or `kms_master_key_arn` in the secret) as well: it is the region of that key"
    );
}

#[test]
fn a_secret_that_is_away_is_temporary_unless_something_else_is_wrong() {
    let away = || Read::Away("no answer".to_owned());
    // what is missing here may stand in the secret
    let folder = ("WICKRIO_S3_FOLDER_NAME", "folder");
    let error = with_secret(&[folder], away()).unwrap_err();
    assert!(error.may_pass());
    assert_eq!(
        error.to_string(),
        "the configuration is not complete: the secret that `AWS_SECRET_NAME` names could not be read: no answer"
    );
    let error = with_secret(&[folder, ("WICKRIO_COMP_FILESIZE", "0")], away()).unwrap_err();
    assert!(!error.may_pass());
    assert!(error.to_string().starts_with("the configuration has 2 mistakes:"), "{error}");
    let error = with_secret(&[folder], Read::Refused("denied".to_owned())).unwrap_err();
    assert!(!error.may_pass());
    assert_eq!(
        error.to_string(),
        "the configuration has a mistake: the secret that `AWS_SECRET_NAME` names cannot be read: denied"
    );
    let error = with_secret(&[("AWS_SECRET_REGION", "Ohio")], Read::Binary).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the configuration has a mistake: `AWS_SECRET_REGION` = `Ohio`: not an AWS region such as `eu-central-1`",
        "a secret is not looked for in a region that was not meant"
    );
}

#[test]
fn a_secret_that_is_no_flat_object_of_strings_is_told_and_never_shown() {
    let many = format!(r#"{{"password": "{}"}}"#, "horse".repeat(20_000));
    let deep = format!(r#"{{"password": {}"horse"}}"#, "[".repeat(10_000));
    for (read, why) in [
        (
            text("correct horse"),
            "is not a JSON object; it must be one flat JSON object of strings, such as `{\"password\": \"…\"}`",
        ),
        (text("\"correct horse\""), "is not a JSON object"),
        (text("[\"horse\"]"), "is not a JSON object"),
        (text(""), "is not a JSON object"),
        (text("{\"password\": \"correct horse"), "is not JSON: the mistake is in line 1, column 27"),
        (text("{\"password\": horse}"), "is not JSON: the mistake is in line 1, column 14"),
        (text("{\"password\": \"horse\"} horse"), "is not JSON: the mistake is in line 1"),
        (text(&many), "has 100016 bytes, more than 65536"),
        (text(&deep), "is not JSON"),
        (Read::Binary, "is binary"),
        (text("{\"password\": 17}"), "key `password` is a number: it must be a string, in double quotes"),
        (text("{\"password\": null}"), "key `password` is `null`: it must be"),
        (text("{\"password\": [\"horse\"]}"), "key `password` is a list: it must be"),
        (text("{\"password\": {\"horse\": \"horse\"}}"), "key `password` is an object: it must be"),
        (text("{\"password\": \"horse\", \"password\": \"horses\"}"), "key `password` stands there more than once"),
    ] {
        let words = with_secret(&[], read).unwrap_err().to_string();
        assert!(words.starts_with("the configuration has a mistake: secret `wickr/bot` "), "{words}");
        assert!(words.contains(why), "`{why}` is not in: {words}");
        assert!(!words.contains("horse"), "{words}");
    }
}

#[test]
fn a_key_that_nobody_knows_is_tolerated_with_a_notice() {
    let read = text(r#"{"password": "p", "s3_bucket": "bucket-name", "port": 5432, "hosts": ["a"]}"#);
    let (config, warnings) = with_secret(&[], read).unwrap();
    assert!(config.aws.upload.is_none());
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "secret `wickr/bot` has a key `s3_bucket` that this bot does not know: is `s3_bucket_name` meant?",
            "secret `wickr/bot` has a key `port` that this bot does not know",
            "secret `wickr/bot` has a key `hosts` that this bot does not know",
        ]
    );
}

#[test]
fn a_long_or_unprintable_wrong_value_keeps_the_message_readable() {
    let text = mistakes(&[("RETAIND_RETENTION", &"x\u{1b}[2J\n".repeat(1000))]);
    assert_eq!(text.lines().count(), 1);
    assert!(text.len() < 400 && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_higher_layer_hides_a_lower_one_only_where_it_says_something() {
    let mut wrong = Vec::new();
    let high = env::read(vars(&[BOT, ("WICKRIO_COMP_FILESIZE", "1")]), &mut wrong);
    let low = env::read(vars(&[("WICKRIO_COMP_FILESIZE", "2"), ("WICKRIO_COMP_TIMEROTATE", "3")]), &mut wrong);
    let (config, _) = understand(Reader::new(high.over(low), wrong), |_| text("{}")).unwrap();
    assert_eq!(config.files.size_max, 1024);
    assert_eq!(config.files.rotate_after, Some(Duration::from_secs(180)));
}

#[test]
fn the_log_filter_is_read_alone_where_nothing_else_is_needed() {
    assert_eq!(load_log_filter(vars(&[("WICKRIO_NONSENSE", "1")])).unwrap(), "info");
    assert_eq!(load_log_filter(vars(&[("RUST_LOG", "debug")])).unwrap(), "debug");
    load_log_filter(vars(&[("RUST_LOG", "retaind=loud")])).unwrap_err();
}
