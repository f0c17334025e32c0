//! What an operator can get wrong with AWS and in the secret, and the exact words of the answer.

use super::super::aws::{Format, Image, LegalHold, Lock, LockMode, Retention as Locked, ServerSide};
use super::*;
use retaind_core::fault::Faulty as _;

const SECRET: (&str, &str) = ("AWS_SECRET_NAME", "wickr/bot");

/// With a right bot name and a secret.
fn with_secret(given: &[(&str, &str)], read: Read) -> Result<(Config, Vec<Warning>), Mistakes> {
    let mut all = vec![BOT, SECRET];
    all.extend(given);
    super::super::load(vars(&all), |_| read)
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
        super::super::load(vars(&all), |request| {
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
fn aws_region_comes_before_its_default_as_in_every_sdk() {
    let config = loaded(&[BOT, ("AWS_REGION", "eu-central-1")]);
    assert_eq!(config.aws.region, "eu-central-1");
    assert!(described(&config).contains("AWS_DEFAULT_REGION             eu-central-1  (from `AWS_REGION`)\n"));
    let both = [BOT, ("AWS_REGION", "eu-central-1"), ("AWS_DEFAULT_REGION", "us-west-2")];
    assert_eq!(loaded(&both).aws.region, "eu-central-1");
    assert_eq!(
        warnings(&both),
        ["`AWS_DEFAULT_REGION` has no effect: `AWS_REGION` comes before it, as in every AWS SDK"]
    );
    assert!(warnings(&[BOT, ("AWS_REGION", "us-west-2"), ("AWS_DEFAULT_REGION", "us-west-2")]).is_empty());
    assert!(mistakes(&[("AWS_REGION", "Frankfurt")]).contains("`AWS_REGION` = `Frankfurt`: not an AWS region"));
}

#[test]
fn access_points_are_taken_in_all_forms_that_aws_has() {
    let upload = |bucket: &str, region: &str| {
        let given = [BOT, ("WICKRIO_S3_BUCKET_NAME", bucket), ("WICKRIO_S3_REGION", region)];
        load(vars(&given)).ok().and_then(|(config, _)| config.aws.upload).map(|upload| (upload.bucket, upload.region))
    };
    let several = "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap";
    let colon = "arn:aws:s3:us-west-2:123456789012:accesspoint:my-ap";
    let slash = "arn:aws:s3:us-west-2:123456789012:accesspoint/my-ap";
    assert_eq!(upload(several, "us-east-1"), Some((several.into(), "us-east-1".into())));
    for arn in [colon, slash] {
        assert_eq!(upload(arn, "us-west-2"), Some((arn.into(), "us-west-2".into())));
        assert_eq!(upload(arn, "us-east-1"), None, "the ARN's region is not contradicted");
    }
    for wrong in [
        "arn:aws:s3::123456789012:accesspoint/my-ap",
        "arn:aws:s3::123456789012:accesspoint/.mrap",
        "arn:aws:s3:us-west-2:123456789012:accesspoint/",
        "arn:aws:s3:us-west-2:123456789012:accesspoint/a/b",
        "arn:aws:sns:us-west-2:123456789012:accesspoint/my-ap",
        "arn:aws:s3:us-west-2:1234:accesspoint/my-ap",
    ] {
        assert_eq!(upload(wrong, "us-west-2"), None, "{wrong}");
    }
    assert!(mistakes(&[("WICKRIO_S3_BUCKET_NAME", several)]).contains("needs `WICKRIO_S3_REGION`"));
}

#[test]
fn encryption_by_s3_and_the_buckets_owner_are_whole_or_none() {
    let bucket = [BOT, ("WICKRIO_S3_BUCKET_NAME", "bucket-name"), ("WICKRIO_S3_REGION", "us-east-1")];
    let upload = |more: &[(&str, &str)]| loaded(&[&bucket[..], more].concat()).aws.upload.unwrap();
    assert_eq!((upload(&[]).sse, upload(&[]).owner), (None, None));
    assert_eq!(upload(&[("RETAIND_S3_SSE", "s3")]).sse, Some(ServerSide::S3));
    let context = ("RETAIND_S3_SSE_CONTEXT", "case=17,unit=legal=x");
    let sse = upload(&[("RETAIND_S3_SSE", "kms"), ("RETAIND_S3_SSE_KEY", "alias/archive"), context]).sse;
    let pairs = [("case", "17"), ("unit", "legal=x")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(sse, Some(ServerSide::Kms { key: Some("alias/archive".to_owned()), context: pairs.into() }));
    assert_eq!(upload(&[("RETAIND_S3_BUCKET_OWNER", "111122223333")]).owner.as_deref(), Some("111122223333"));
    for (given, words) in [
        (vec![("RETAIND_S3_SSE", "aes")], "must be `s3` or `kms`"),
        (vec![("RETAIND_S3_SSE_KEY", "alias/a")], "`RETAIND_S3_SSE_KEY` needs `RETAIND_S3_SSE` as well"),
        (
            vec![("RETAIND_S3_SSE", "s3"), ("RETAIND_S3_SSE_KEY", "alias/a")],
            "it is for `RETAIND_S3_SSE=kms`, not for `s3`",
        ),
        (vec![("RETAIND_S3_SSE", "kms"), ("RETAIND_S3_SSE_KEY", "my key")], "not an ARN such as"),
        (vec![("RETAIND_S3_SSE", "kms"), ("RETAIND_S3_SSE_CONTEXT", "legal")], "not an encryption context"),
        (vec![("RETAIND_S3_SSE", "kms"), ("RETAIND_S3_SSE_CONTEXT", "a=1,a=2")], "not an encryption context"),
        (vec![("RETAIND_S3_SSE", "kms"), ("RETAIND_S3_SSE_CONTEXT", "aws:s3:arn=x")], "not an encryption context"),
        (vec![("RETAIND_S3_BUCKET_OWNER", "1111-2222-3333")], "not the number of an AWS account: 12 digits"),
    ] {
        let text = mistakes(&[&bucket[1..], &given].concat());
        assert!(text.contains(words), "{text}");
    }
    assert!(mistakes(&[("RETAIND_S3_SSE", "s3")]).contains("needs `WICKRIO_S3_BUCKET_NAME` as well"));
}

#[test]
fn images_are_taken_apart_as_docker_does() {
    let image = |text| crate::aws::parse::image(text).map(|Image { name, tag }| (name, tag)).ok();
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
        let error = super::super::load(vars(&[BOT, SECRET, ("AWS_CA_BUNDLE", &path(file))]), |_| unreachable!());
        let text = error.unwrap_err().to_string();
        assert!(text.contains(&format!("no certificates can be read from it: {why}")), "{text}");
        assert_eq!(text.lines().count(), 1, "one mistake: {text}");
    }
    let mut given = 0;
    super::super::load(vars(&[BOT, SECRET, ("AWS_CA_BUNDLE", &path("two"))]), |request| {
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
    assert_eq!(config.account.password.as_ref().unwrap().expose(), "correct horse");
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
    assert_eq!(config.account.password.unwrap().expose(), "another");
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
    assert!(!error.is_temporary());
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
    assert!(error.is_temporary());
    assert_eq!(
        error.to_string(),
        "the configuration is not complete: the secret that `AWS_SECRET_NAME` names could not be read: no answer"
    );
    let error = with_secret(&[folder, ("WICKRIO_COMP_FILESIZE", "0")], away()).unwrap_err();
    assert!(!error.is_temporary());
    assert!(error.to_string().starts_with("the configuration has 2 mistakes:"), "{error}");
    let error = with_secret(&[folder], Read::Refused("denied".to_owned())).unwrap_err();
    assert!(!error.is_temporary());
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
fn a_name_that_cannot_be_read_is_one_mistake_and_what_hangs_on_it_is_not_told_to_be_missing() {
    let text = mistakes(&[
        ("AWS_SECRET_NAME_FILE", "/nowhere/name"),
        ("AWS_SECRET_REGION", "eu-west-1"),
        ("WICKRIO_S3_FOLDER_NAME", "folder"),
    ]);
    assert_eq!(
        text,
        "the configuration has a mistake: `AWS_SECRET_NAME_FILE` (file `/nowhere/name`) cannot be read: No such file or directory (os error 2)"
    );
}
