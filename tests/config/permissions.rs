//! The policies of `config/iam` are those that the code's table of permissions gives.

use retaind::aws::permissions::{Feature, Need, PERMISSIONS, PUT_OBJECT, Permission};
use retaind::config::{account, aws};
use serde_json::{Value, json};

fn file(name: &str) -> Value {
    serde_json::from_str(&super::file(&format!("iam/{name}"))).unwrap()
}

fn policy<'a>(permissions: impl Iterator<Item = &'a Permission>) -> Value {
    let statements = permissions.map(|permission| {
        let mut statement = json!({
            "Sid": permission.sid,
            "Effect": "Allow",
            "Action": permission.action,
            "Resource": permission.resource,
        });
        if let Some((key, values)) = permission.condition {
            statement["Condition"] =
                json!({"StringEquals": {key: if let [one] = values { json!(one) } else { json!(values) }}});
        }
        statement
    });
    json!({"Version": "2012-10-17", "Statement": statements.collect::<Vec<_>>()})
}

#[test]
fn the_policies_of_config_iam_allow_what_the_table_says_and_nothing_else() {
    for feature in Feature::ALL {
        assert_eq!(file(feature.policy()), policy(feature.permissions()), "{}", feature.policy());
    }
    let guide = PERMISSIONS.iter().copied().filter(|permission| permission.need == Need::Guide);
    assert_eq!(file("retaind.json"), policy(guide), "retaind.json");
}

#[test]
fn the_guides_five_actions_are_enough_unless_more_is_asked_for() {
    let guide: Vec<&str> = PERMISSIONS.iter().filter(|p| p.need == Need::Guide).map(|p| p.action).collect();
    assert_eq!(
        guide,
        [
            "secretsmanager:GetSecretValue",
            "s3:PutObject",
            "kms:GenerateDataKey",
            "sns:Publish",
            "cloudwatch:PutMetricData"
        ]
    );
    let meanings: String = [&aws::LOCK_MODE, &aws::LEGAL_HOLD, &aws::S3_SSE, &account::STORE_PASSWORD]
        .map(|variable| variable.meaning)
        .concat();
    for permission in PERMISSIONS.iter().filter(|permission| permission.need == Need::OptIn) {
        assert!(meanings.contains(permission.action), "no variable's meaning names `{}`", permission.action);
    }
}

#[test]
fn the_buckets_policy_only_denies_and_lets_the_parts_of_an_upload_pass() {
    let policy = file("bucket-policy.json");
    let statements = policy["Statement"].as_array().unwrap();
    assert!(statements.iter().all(|statement| statement["Effect"] == "Deny" && statement["Principal"] == "*"));
    let overwriting = statements.iter().find(|statement| statement["Sid"] == "DenyOverwriting").unwrap();
    // both must hold: no header, and a request that makes an object, which beginning an upload and its parts do not
    let conditions = json!({"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}});
    assert_eq!(overwriting["Condition"], conditions);
    assert_eq!(overwriting["Action"], PUT_OBJECT.action);
    let rule = file("lifecycle.json")["Rules"][0].clone();
    assert_eq!(rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"], 7);
}
