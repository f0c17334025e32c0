//! `retaind check --online`: a table of what the bot asks of AWS, tried one by one, with the remedy for what fails.

use std::io::Write;

use crate::cli::Failure;
use retaind_aws::AwsError;
use retaind_aws::probe::{self, Outcome, Probe};
use retaind_config::aws::{Aws as Settings, Metrics};
use retaind_core::fault::Faulty as _;
use retaind_process::{settings, upload};

/// Tries what the configuration asks for, but the secret, which has been read.
pub(super) fn probe(aws: &Settings) -> Result<Vec<Probe>, Failure> {
    settings::block_on(try_all(aws))?
}

async fn try_all(settings: &Settings) -> Result<Vec<Probe>, Failure> {
    let aws = settings::connect(settings.ca_bundle.as_ref().map(|bundle| bundle.pem.as_slice())).await?;
    let mut probes = Vec::new();
    if let Some(upload) = &settings.upload {
        probes.push(probe::put_object(&aws, upload::place(upload)).await);
        probes.extend(probe::put_encrypted(&aws, upload::place(upload)).await);
        probes.extend(upload::try_locks(&aws, upload).await);
        if let Some(key) = &upload.key {
            probes.push(probe::generate_data_key(&aws, &key.arn, &key.region, key.format.encryption_context()).await);
        }
    }
    if let Some(topic) = &settings.topic {
        probes.push(probe::publish(&aws, &topic.arn, &topic.region).await);
    }
    match settings.metrics {
        Some(Metrics::CloudWatch) => probes.push(probe::put_metric_data(&aws, &settings.region).await),
        None => {}
    }
    Ok(probes)
}

/// Writes the table; nothing if nothing was tried.
pub(super) fn print(probes: &[Probe], out: &mut dyn Write) -> Result<(), Failure> {
    write(probes, out).map_err(Failure::temporary)
}

fn write(probes: &[Probe], out: &mut dyn Write) -> std::io::Result<()> {
    let width = |column: fn(&Probe) -> &str| probes.iter().map(|probe| column(probe).chars().count()).max();
    let (Some(action), Some(resource)) = (width(|p| p.call.action), width(|p| p.call.resource.as_str())) else {
        return Ok(());
    };
    writeln!(out)?;
    for probe in probes {
        let (result, more) = match &probe.outcome {
            Outcome::Works => ("works", Vec::new()),
            Outcome::WorksBut(note) => ("works", vec![note.clone()]),
            Outcome::Fails(error) => (word(error), vec![remedy(probe, error), error.to_string()]),
        };
        writeln!(out, "{:<action$}  {:<resource$}  {result}", probe.call.action, probe.call.resource)?;
        for line in more {
            writeln!(out, "    {line}")?;
        }
    }
    out.flush()
}

fn word(error: &AwsError) -> &'static str {
    match error {
        AwsError::Denied { .. } => "denied",
        AwsError::WrongRegion { .. } => "wrong region",
        AwsError::Missing { .. } => "missing",
        AwsError::Credentials { .. } => "no credentials",
        AwsError::Clock { .. } => "clock differs",
        AwsError::Precondition { .. } | AwsError::Refused { .. } => "refused",
        AwsError::Throttled { .. } => "throttled",
        AwsError::Away { .. } => "no answer",
    }
}

fn remedy(probe: &Probe, error: &AwsError) -> String {
    let permission = probe.permission;
    match error {
        AwsError::Denied { .. } => format!(
            "remedy: add the statement `{}` of `config/iam/{}` to the policy of the bot's role, and see that no policy of the resource denies it",
            permission.sid,
            permission.feature.policy()
        ),
        AwsError::WrongRegion { setting, .. } => format!("remedy: correct `{setting}`"),
        AwsError::Missing { .. } => {
            format!("remedy: create it, or correct the name or region ({})", settings_of(probe))
        }
        AwsError::Credentials { .. } => {
            "remedy: give the host or container a role, or set `AWS_ACCESS_KEY_ID` and its like".to_owned()
        }
        AwsError::Clock { .. } => "remedy: set the clock of this host, by NTP".to_owned(),
        AwsError::Precondition { .. } | AwsError::Refused { .. } => {
            format!("remedy: correct the resource or its settings ({})", settings_of(probe))
        }
        AwsError::Throttled { .. } => "remedy: try again later".to_owned(),
        AwsError::Away { .. } => {
            "remedy: see that the host reaches AWS (route, proxy, VPC endpoint, `AWS_ENDPOINT_URL`), then try again"
                .to_owned()
        }
    }
}

fn settings_of(probe: &Probe) -> &'static str {
    use retaind_aws::permissions::Feature;
    match probe.permission.feature {
        Feature::StorePassword => "`RETAIND_STORE_PASSWORD`, `AWS_SECRET_NAME`",
        Feature::Secrets => "`AWS_SECRET_NAME`, `AWS_SECRET_REGION`",
        Feature::S3 => "`WICKRIO_S3_BUCKET_NAME`, `WICKRIO_S3_REGION`",
        Feature::Kms => "`WICKRIO_KMS_MSTRKEY_ARN`, `WICKRIO_KMS_REGION`",
        Feature::ServerSide => "`RETAIND_S3_SSE`, `RETAIND_S3_SSE_KEY`",
        Feature::Sns => "`WICKRIO_SNS_TOPIC_ARN`",
        Feature::CloudWatch => "`AWS_DEFAULT_REGION`",
        Feature::ObjectLock => {
            "`RETAIND_OBJECT_LOCK_MODE`, `RETAIND_OBJECT_LOCK_LEGAL_HOLD`, and Object Lock of the bucket"
        }
    }
}

/// Whether all work; what fails decides whether trying again may help.
pub(super) fn verdict(probes: &[Probe]) -> Result<(), Failure> {
    let failed: Vec<(&Probe, &AwsError)> = probes
        .iter()
        .filter_map(|probe| match &probe.outcome {
            Outcome::Fails(error) => Some((probe, error)),
            Outcome::Works | Outcome::WorksBut(_) => None,
        })
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    let actions: Vec<String> = failed.iter().map(|(probe, _)| format!("`{}`", probe.call.action)).collect();
    let words = format!("{} of {} AWS permissions do not work: {}", failed.len(), probes.len(), actions.join(", "));
    let passes = failed.iter().all(|(_, error)| error.is_temporary());
    Err(if passes { Failure::temporary(words) } else { Failure::configuration(words) })
}
