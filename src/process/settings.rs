//! The configuration of this process: its environment, and the secret that it names.
//!
//! Composes [`retaind_config`], which does not know AWS, with [`retaind_aws`], which does not know the configuration.

use std::future::Future;

use super::Failure;
use retaind_aws::probe::{Outcome, Probe};
use retaind_aws::secrets::{self, SecretText};
use retaind_aws::{Aws, AwsError, permissions};
use retaind_config::layer::{Read, Request};
use retaind_config::mistake::{Mistakes, Warning};
use retaind_config::secret::Secret;
use retaind_config::{self as config, Config, env};
use retaind_core::fault::Faulty as _;

/// What loading found, and what came of reading the secret, if one is named.
pub struct Loaded {
    /// The configuration, or all that is wrong with it.
    pub result: Result<(Config, Vec<Warning>), Mistakes>,
    /// The secret's part in it.
    pub secret: Option<Probe>,
}

/// Reads the environment and the secret.
pub fn load() -> Loaded {
    let mut secret = None;
    let result = config::load(env::process(), |request| {
        let (read, probe) = read_secret(&request);
        secret = probe;
        read
    });
    Loaded { result, secret }
}

/// As [`load`], for who needs the configuration and nothing else.
pub(crate) fn load_or_fail() -> Result<(Config, Vec<Warning>), Failure> {
    load().result.map_err(failure)
}

/// What mistakes mean for who started the program.
pub fn failure(mistakes: Mistakes) -> Failure {
    Failure::of(mistakes)
}

/// Access to AWS as this configuration wants it.
pub async fn connect(ca_bundle: Option<&[u8]>) -> Result<Aws, Failure> {
    Aws::connect(ca_bundle).await.map_err(Failure::configuration)
}

/// Access to AWS, if this configuration uses any of it once it is loaded.
pub(crate) async fn access(settings: &config::aws::Aws) -> Result<Option<Aws>, Failure> {
    match (&settings.upload, &settings.topic, settings.metrics) {
        (None, None, None) => Ok(None),
        (Some(_), _, _) | (_, Some(_), _) | (_, _, Some(_)) => connect_as(settings).await.map(Some),
    }
}

/// Access to AWS as the whole configuration wants it.
pub(crate) async fn connect_as(settings: &config::aws::Aws) -> Result<Aws, Failure> {
    connect(settings.ca_bundle.as_ref().map(|bundle| bundle.pem.as_slice())).await
}

/// Runs what is short and alone. Nothing that it opened may be used afterwards: connections end with the runtime.
pub fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::internal)?;
    Ok(runtime.block_on(future))
}

fn read_secret(request: &Request<'_>) -> (Read, Option<Probe>) {
    let (name, region) = (&request.place.name, &request.place.region);
    let read = block_on(async {
        let aws = connect(request.ca_bundle).await?;
        Ok(secrets::read(&aws, region, name).await)
    });
    let probe = |outcome| Some(Probe::new(&permissions::GET_SECRET, name, outcome));
    match read.and_then(|read| read) {
        Ok(Ok(SecretText::Text(mut text))) => {
            (Read::Text(Secret::new(std::mem::take(&mut *text))), probe(Outcome::Works))
        }
        Ok(Ok(SecretText::Binary)) => (Read::Binary, probe(Outcome::Works)),
        Ok(Err(error)) => (unread(&error, region), probe(Outcome::Fails(error))),
        Err(failure) => (Read::Refused(failure.to_string()), None),
    }
}

fn unread(error: &AwsError, region: &str) -> Read {
    let words = match error {
        // Secrets Manager does not say so when a secret is in another region
        AwsError::Missing { .. } => {
            format!("{error}; looked for in `{region}`: correct `AWS_SECRET_NAME` or `AWS_SECRET_REGION`")
        }
        AwsError::Denied { .. }
        | AwsError::WrongRegion { .. }
        | AwsError::Credentials { .. }
        | AwsError::Clock { .. }
        | AwsError::Precondition { .. }
        | AwsError::Throttled { .. }
        | AwsError::Away { .. }
        | AwsError::Refused { .. } => error.to_string(),
    };
    if error.is_temporary() { Read::Away(words) } else { Read::Refused(words) }
}
