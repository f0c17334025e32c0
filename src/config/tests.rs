//! What an operator can get wrong, and the exact words of the answer.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use super::describe::describe;
use super::env::VARIABLES;
use super::*;
use crate::env::Secrecy;
use crate::secret::Secret;

mod aws;
mod evidence;
mod input;
mod network;

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
    assert_eq!(
        described(&config),
        "\
WICKRIO_BOT_NAME               compliance_1234567890_bot
WICKRIO_BOT_PASSWORD           ********
WICKRIO_ROTATE_PASSWORD        –
RETAIND_STORE_PASSWORD         terminal  (default)
WICKRIO_COMP_MESGDEST          /tmp/compliance_1234567890_bot/compliance/messages  (default)
WICKRIO_COMP_FILEDEST          /tmp/compliance_1234567890_bot/compliance/attachments  (default)
WICKRIO_COMP_BASENAME          receivedMessages  (default)
WICKRIO_COMP_FILESIZE          1000000000  (default)
WICKRIO_COMP_TIMEROTATE        0  (default)
RETAIND_EVIDENCE               beside the messages directory  (default)
RETAIND_EVIDENCE_INTERVAL      60  (default)
RETAIND_CHECKPOINT_MINUTES     60  (default)
RETAIND_EVIDENCE_ORIGIN        –
AWS_REGION                     –
AWS_DEFAULT_REGION             us-east-1  (default)
AWS_CA_BUNDLE                  –
AWS_SECRET_NAME                –
AWS_SECRET_REGION              –
WICKRIO_S3_BUCKET_NAME         –
WICKRIO_S3_REGION              –
WICKRIO_S3_FOLDER_NAME         –
RETAIND_S3_BUCKET_OWNER        –
RETAIND_S3_SSE                 –
RETAIND_S3_SSE_KEY             –
RETAIND_S3_SSE_CONTEXT         –
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
RETAIND_UPDATES                –
RETAIND_STATE                  /tmp/compliance_1234567890_bot/state  (default)
RETAIND_NETWORK                –
RETAIND_NETWORK_CA             –
RETAIND_NETWORK_NAME           –
RETAIND_LISTEN                 127.0.0.1:7443  (default)
RETAIND_NETWORK_ID             1234567890  (default)
RETAIND_RETENTION              on  (default)
RETAIND_SPARE_KEY              –
RETAIND_BLOB_DAYS              30  (default)
RETAIND_BLOB_QUOTA             64  (default)
RETAIND_WATCHDOG_MINUTES       15  (default)
RETAIND_DISK_LOW               1024  (default)
RETAIND_SHIP_STALL_MINUTES     15  (default)
RETAIND_GRACE_SECONDS          8  (default)
RUST_LOG                       info  (default)
RETAIND_LOG_FORMAT             auto  (default)
RETAIND_LOGS                   /tmp/compliance_1234567890_bot/logs  (default)
RETAIND_HEALTH                 127.0.0.1:9464  (default)
RETAIND_HEALTH_NAMES           –
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
        // the default: `secret` tolerates no password beside it
        ("RETAIND_STORE_PASSWORD", "terminal"),
        ("WICKRIO_COMP_MESGDEST", "/srv/messages"),
        ("WICKRIO_COMP_FILEDEST", "/srv/attachments"),
        ("WICKRIO_COMP_BASENAME", "archive"),
        ("WICKRIO_COMP_FILESIZE", "2048"),
        ("WICKRIO_COMP_TIMEROTATE", "15"),
        ("RETAIND_EVIDENCE", "/srv/evidence"),
        ("RETAIND_EVIDENCE_INTERVAL", "30"),
        ("RETAIND_CHECKPOINT_MINUTES", "15"),
        ("RETAIND_EVIDENCE_ORIGIN", "example.org/archive"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_DEFAULT_REGION", "eu-central-1"),
        ("AWS_CA_BUNDLE", certificate),
        ("AWS_SECRET_NAME", "wickr/data/retention/bot"),
        ("AWS_SECRET_REGION", "us-gov-west-1"),
        ("WICKRIO_S3_BUCKET_NAME", "bucket-name"),
        ("WICKRIO_S3_REGION", "eu-west-2"),
        ("WICKRIO_S3_FOLDER_NAME", "a/folder-name/"),
        ("RETAIND_S3_BUCKET_OWNER", "111122223333"),
        ("RETAIND_S3_SSE", "kms"),
        ("RETAIND_S3_SSE_KEY", "alias/archive"),
        ("RETAIND_S3_SSE_CONTEXT", "case=17,unit=legal"),
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
        ("RETAIND_UPDATES", "off"),
        ("RETAIND_STATE", "/srv/state"),
        ("RETAIND_NETWORK", "chat.example.org:7443"),
        ("RETAIND_NETWORK_CA", certificate),
        ("RETAIND_NETWORK_NAME", "chat.example.org"),
        ("RETAIND_LISTEN", "[::1]:7000"),
        ("RETAIND_NETWORK_ID", "9876"),
        ("RETAIND_RETENTION", "off"),
        ("RETAIND_SPARE_KEY", "/mnt/keys/network.key"),
        ("RETAIND_BLOB_DAYS", "7"),
        ("RETAIND_BLOB_QUOTA", "3"),
        ("RETAIND_WATCHDOG_MINUTES", "5"),
        ("RETAIND_DISK_LOW", "200"),
        ("RETAIND_SHIP_STALL_MINUTES", "30"),
        ("RETAIND_GRACE_SECONDS", "25"),
        ("RUST_LOG", "warn,retaind::bot=trace"),
        ("RETAIND_LOG_FORMAT", "json"),
        ("RETAIND_LOGS", "/srv/logs"),
        ("RETAIND_HEALTH", "off"),
        ("RETAIND_HEALTH_NAMES", "bot.example.org"),
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
            let embedded_only = [
                "RETAIND_LISTEN",
                "RETAIND_NETWORK_ID",
                "RETAIND_RETENTION",
                "RETAIND_SPARE_KEY",
                "RETAIND_BLOB_DAYS",
                "RETAIND_BLOB_QUOTA",
            ]
            .contains(name);
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
    assert_eq!(config.account.password.unwrap().expose(), "first-password");
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
        ("RETAIND_LOG_FORMAT", "xml"),
        ("RETAIND_HEALTH", "localhost"),
    ]))
    .unwrap_err()
    .to_string();
    assert_eq!(
        text,
        "\
the configuration has 11 mistakes:
  `WICKRIO_BOT_NAM` is not a setting of this bot: is `WICKRIO_BOT_NAME` meant?
  `WICKRIO_BOT_NAME` is not set: the bot needs its user name, such as `compliance_1234567890_bot`
  `WICKRIO_COMP_BASENAME` = `../messages`: not the start of a file name: at most 200 bytes without `/` and control characters, and without a `.` in front
  `WICKRIO_COMP_FILESIZE` = `-3`: not a whole number of KiB from 1 to 18014398509481983
  `WICKRIO_COMP_TIMEROTATE` = `15m`: not a whole number of minutes from 0 to 4294967295
  `RETAIND_LISTEN` = `localhost:7443`: not an address and a port, such as `127.0.0.1:7443` or `[::1]:7443`; names are not looked up here
  `RETAIND_RETENTION` = `yes`: must be `on`, `strict` or `off`
  `WICKRIO_METRICS_TYPE` = `prometheus`: must be `cloudwatch`, or unset for none
  `RUST_LOG` = `retaind=loud`: not a log filter such as `info` or `info,retaind::bot=debug`
  `RETAIND_LOG_FORMAT` = `xml`: must be `text`, `json` or `auto`
  `RETAIND_HEALTH` = `localhost`: not an address and a port, such as `127.0.0.1:9464` or `[::1]:9464`, nor `off`"
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
    for nonsense in ["0", "1441", "-1", "a while"] {
        let text = mistakes(&[("RETAIND_WATCHDOG_MINUTES", nonsense)]);
        assert!(text.contains("not a whole number of minutes from 1 to 1440"), "{text}");
    }
    for nonsense in ["0", "3601", "8s", "-1", "1.5"] {
        let text = mistakes(&[("RETAIND_GRACE_SECONDS", nonsense)]);
        assert!(text.contains("not a whole number of seconds from 1 to 3600"), "{text}");
    }
    assert_eq!(loaded(&[BOT]).process.grace, Duration::from_secs(8), "all of a stop ends before Docker kills");
    assert_eq!(loaded(&[BOT, ("RETAIND_GRACE_SECONDS", "3600")]).process.grace, Duration::from_secs(3600));
    let text = mistakes(&[("RETAIND_DISK_LOW", "5%")]);
    assert!(text.contains("not a whole number of MiB from 0 to 17592186044415"), "{text}");
    let watchdog = loaded(&[BOT, ("RETAIND_WATCHDOG_MINUTES", "5"), ("RETAIND_DISK_LOW", "0")]).process.watchdog;
    assert_eq!((watchdog.fails_after, watchdog.disk_low_bytes), (Duration::from_secs(300), 0));
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
    assert_eq!(loaded(&[("WICKRIO_BOT_NAME", "räuber@example.org")]).account.bot.as_str(), "räuber@example.org");
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
fn the_health_endpoint_is_read_alone_where_nothing_else_is_needed() {
    let default = Some("127.0.0.1:9464".parse().unwrap());
    assert_eq!(load_health(vars(&[("WICKRIO_NONSENSE", "1")])).unwrap(), default);
    assert_eq!(load_health(vars(&[("RETAIND_HEALTH", "off")])).unwrap(), None);
    load_health(vars(&[("RETAIND_HEALTH", "everywhere")])).unwrap_err();
}
