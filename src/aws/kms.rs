//! KMS: data keys for the archive's envelope.
//!
//! One call, `kms:GenerateDataKey`. Its answer leaves as a [`DataKey`] or not at all: without KMS nothing is encrypted,
//! and the caller waits ([`Fault::Temporary`](retaind_core::fault::Fault)); there is no other source of keys. A key that was made and never used is
//! only a counted call, so asking again is always right.
//!
//! What is wiped: the SDK's plaintext copy of the key. What cannot be: the bytes of the HTTP answer and of its TLS
//! record, which the SDK reads, parses and frees without wiping. The SDK marks this answer as sensitive and keeps it
//! out of its own traces.

#[cfg(test)]
mod tests;

use aws_sdk_kms::Client;
use aws_sdk_kms::types::DataKeySpec;
use zeroize::Zeroizing;

use super::{Aws, AwsError, Call};
use retaind_archive::data_key::{Context, DataKey, DataKeyError, PlainKey};

/// The variable that sets the key's region.
const REGION_SETTING: &str = "WICKRIO_KMS_REGION";

/// One master key of KMS.
#[derive(Clone)]
pub struct Kms {
    client: Client,
    key: String,
}

impl Kms {
    /// `key_arn`: of a symmetric key, or of its alias. `region`: the region of the key, that of the ARN unless a setting
    /// names another; in any other region KMS reports that the key does not exist.
    pub fn new(aws: &Aws, region: &str, key_arn: impl Into<String>) -> Self {
        Self { client: Client::new(&aws.in_region(region)), key: key_arn.into() }
    }

    /// Makes a data key, wrapped under `context`
    /// ([`Format::encryption_context`](retaind_archive::encrypt::Format::encryption_context)).
    pub async fn generate_data_key(&self, context: Context) -> Result<DataKey, AwsError> {
        let (name, value) = context;
        let request = self.client.generate_data_key().key_id(&self.key).key_spec(DataKeySpec::Aes256);
        let answer = request.encryption_context(name, value).send().await;
        let answer = answer.map_err(|error| AwsError::of(self.call(), REGION_SETTING, &error))?;
        let plain = Zeroizing::new(answer.plaintext.map(|blob| blob.into_inner()).unwrap_or_default());
        let wrapped = answer.ciphertext_blob.map(|blob| blob.into_inner()).unwrap_or_default();
        PlainKey::new(plain)
            .and_then(|plain| DataKey::new(plain, wrapped, context))
            .map_err(|error: DataKeyError| AwsError::Away { call: self.call(), message: error.to_string() })
    }

    fn call(&self) -> Call {
        Call::new("kms:GenerateDataKey", self.key.clone())
    }
}
