//! Secrets Manager: one secret, read once at the start; written only when it is to hold the generated password.
//!
//! The value is moved out of the SDK's answer into memory that is wiped, not copied. The bytes of the answer themselves,
//! inside the SDK and TLS, are out of reach.

use std::fmt;

use zeroize::Zeroizing;

use super::{Aws, AwsError, Call, permissions};

/// The current version of a secret.
pub enum SecretText {
    /// Stored as text.
    Text(Zeroizing<String>),
    /// Stored as bytes, which were dropped.
    Binary,
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text(…)",
            Self::Binary => "Binary",
        })
    }
}

/// The call of [`read`], for messages about it.
pub fn call(name_or_arn: &str) -> Call {
    Call::new(permissions::GET_SECRET.action, name_or_arn)
}

/// The current version of a secret (`secretsmanager:GetSecretValue`).
pub async fn read(aws: &Aws, region: &str, name_or_arn: &str) -> Result<SecretText, AwsError> {
    let client = aws_sdk_secretsmanager::Client::new(&aws.in_region(region));
    let answer = client
        .get_secret_value()
        .secret_id(name_or_arn)
        .send()
        .await
        .map_err(|error| AwsError::of(call(name_or_arn), "AWS_SECRET_REGION", &error))?;
    Ok(match answer.secret_string {
        Some(text) => SecretText::Text(Zeroizing::new(text)),
        None => {
            drop(answer.secret_binary.map(|bytes| Zeroizing::new(bytes.into_inner())));
            SecretText::Binary
        }
    })
}

/// Makes `text` the current version of a secret (`secretsmanager:PutSecretValue`); the one before stays as
/// `AWSPREVIOUS`. The copy that the SDK sends is out of reach.
pub async fn write(aws: &Aws, region: &str, name_or_arn: &str, text: &str) -> Result<(), AwsError> {
    let client = aws_sdk_secretsmanager::Client::new(&aws.in_region(region));
    let call = || Call::new(permissions::PUT_SECRET.action, name_or_arn);
    let put = client.put_secret_value().secret_id(name_or_arn).secret_string(text).send().await;
    put.map(drop).map_err(|error| AwsError::of(call(), "AWS_SECRET_REGION", &error))
}
