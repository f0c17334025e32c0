//! One text of the AWS part → one value, or what is wrong with it. Pure but for [`bundle`], which reads the file that it
//! is given.

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::{Bundle, Format, Image, LegalHold, LockMode, Metrics, Topic, Updates};
use crate::mistake::Invalid;
use crate::parse::{number, path, read_bundle};

/// Longest S3 key prefix, in bytes: with a file name of 255 it stays below the 1,024 that S3 allows.
const FOLDER_BYTES_MAX: usize = 700;
/// Longest lock, in days: S3's own limit, 100 years.
const LOCK_DAYS_MAX: u32 = 36_500;
/// Longest value of a metric's dimension, in characters: CloudWatch's.
const DIMENSION_CHARS_MAX: usize = 255;
/// Longest reference of an image, in bytes: a name has at most 255, a tag 128.
const IMAGE_BYTES_MAX: usize = 512;

pub(crate) fn bundle(text: &str) -> Result<Bundle, Invalid> {
    let file = path(text)?;
    let pem = read_bundle(&file).map_err(Invalid::Bundle)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(Bundle { file, pem }),
        Ok(_) => Err(Invalid::Bundle("it holds no PEM certificate".to_owned())),
        Err(error) => Err(Invalid::Bundle(error.to_string())),
    }
}

/// `cloudwatch` is the only one.
pub(crate) fn metrics(text: &str) -> Result<Metrics, Invalid> {
    match text {
        "cloudwatch" => Ok(Metrics::CloudWatch),
        _ => Err(Invalid::Word { allowed: "`cloudwatch`, or unset for none" }),
    }
}

pub(crate) fn dimension(text: &str) -> Result<String, Invalid> {
    let right = (1..=DIMENSION_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        && !text.trim().is_empty()
        && !text.starts_with(':');
    if right { Ok(text.to_owned()) } else { Err(Invalid::Dimension { max: DIMENSION_CHARS_MAX }) }
}

pub(crate) fn updates(text: &str) -> Result<Updates, Invalid> {
    match text {
        "on" => Ok(Updates::On),
        "off" => Ok(Updates::Off),
        _ => Err(Invalid::Word { allowed: "`on` or `off`" }),
    }
}

/// `<name>[:<tag>][@<digest>]`, where the name may start with a registry and its port.
pub(crate) fn image(text: &str) -> Result<Image, Invalid> {
    let right =
        text.len() <= IMAGE_BYTES_MAX && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_.:@-".contains(&b));
    let (reference, digest) = match text.split_once('@') {
        Some((reference, digest)) => (reference, Some(digest)),
        None => (text, None),
    };
    let (name, tag) = match reference.rsplit_once(':') {
        // what follows the colon of a port has a slash
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (reference, None),
    };
    let empty = |part: Option<&str>| part.is_some_and(str::is_empty);
    let name_is_right = !name.is_empty() && name.split('/').all(|part| !part.is_empty());
    if !right || !name_is_right || empty(tag) || empty(digest) {
        return Err(Invalid::Image);
    }
    Ok(Image { name: name.to_owned(), tag: tag.or(digest).unwrap_or("latest").to_owned() })
}

pub(crate) fn kms_format(text: &str) -> Result<Format, Invalid> {
    text.parse().map_err(|_| Invalid::Word { allowed: "`v3` or `v2`" })
}

pub(crate) fn lock_mode(text: &str) -> Result<LockMode, Invalid> {
    match text {
        "governance" => Ok(LockMode::Governance),
        "compliance" => Ok(LockMode::Compliance),
        _ => Err(Invalid::Word { allowed: "`governance` or `compliance`, or unset for no lock" }),
    }
}

pub(crate) fn lock_days(text: &str) -> Result<u32, Invalid> {
    let days = number(text, "days", 1, LOCK_DAYS_MAX.into())?;
    Ok(u32::try_from(days).unwrap_or(LOCK_DAYS_MAX))
}

pub(crate) fn legal_hold(text: &str) -> Result<LegalHold, Invalid> {
    match text {
        "on" => Ok(LegalHold::On),
        "off" => Ok(LegalHold::Off),
        _ => Err(Invalid::Word { allowed: "`on` or `off`" }),
    }
}

pub(crate) fn region(text: &str) -> Result<String, Invalid> {
    let parts: Vec<&str> = text.split('-').collect();
    let right = match parts.as_slice() {
        [first, middle @ .., number] => {
            let letters = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
            !middle.is_empty()
                && letters(first)
                && middle.iter().all(letters)
                && !number.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit())
        }
        _ => false,
    };
    if right { Ok(text.to_owned()) } else { Err(Invalid::Region) }
}

pub(crate) fn bucket(text: &str) -> Result<String, Invalid> {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let name = (3..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
        && !text.contains("..")
        && edge(text.bytes().next())
        && edge(text.bytes().last());
    if name || Arn::split(text).is_some_and(|arn| arn.resource.starts_with("accesspoint/")) {
        Ok(text.to_owned())
    } else {
        Err(Invalid::Bucket)
    }
}

/// A key prefix, without its trailing slash.
pub(crate) fn folder(text: &str) -> Result<String, Invalid> {
    let folder = text.strip_suffix('/').unwrap_or(text);
    let part_is_right = |part: &str| !part.is_empty() && part != "." && part != "..";
    let right = folder.len() <= FOLDER_BYTES_MAX
        && !folder.chars().any(char::is_control)
        && folder.split('/').all(part_is_right);
    if right { Ok(folder.to_owned()) } else { Err(Invalid::Folder { max: FOLDER_BYTES_MAX }) }
}

pub(crate) fn kms_key(text: &str) -> Result<String, Invalid> {
    arn(text, "kms", "arn:aws:kms:us-east-1:111122223333:key/12345678-1234-abcd-a617-abababababab", |resource| {
        resource.starts_with("key/") || resource.starts_with("alias/")
    })
}

pub(crate) fn sns_topic(text: &str) -> Result<Topic, Invalid> {
    let example = "arn:aws:sns:us-east-1:111122223333:compliance-bot";
    let arn = arn(text, "sns", example, |resource| !resource.contains(':'))?;
    let region = region_of_arn(&arn).unwrap_or_default().to_owned();
    Ok(Topic { arn, region })
}

pub(crate) fn secret_name(text: &str) -> Result<String, Invalid> {
    if let Some(parts) = Arn::split(text) {
        let right = parts.service == "secretsmanager" && parts.resource.starts_with("secret:");
        return if right { Ok(text.to_owned()) } else { Err(Invalid::SecretName) };
    }
    let right = text.len() <= 512 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+=.@-".contains(&b));
    if right { Ok(text.to_owned()) } else { Err(Invalid::SecretName) }
}

fn arn(
    text: &str,
    service: &str,
    example: &'static str,
    resource_is_right: impl Fn(&str) -> bool,
) -> Result<String, Invalid> {
    match Arn::split(text) {
        Some(arn) if arn.service == service && resource_is_right(arn.resource) => Ok(text.to_owned()),
        _ => Err(Invalid::Arn { example }),
    }
}

/// The region that an ARN names.
pub(super) fn region_of_arn(text: &str) -> Option<&str> {
    Arn::split(text).map(|arn| arn.region)
}

/// `arn:<partition>:<service>:<region>:<account>:<resource>`, nothing empty.
struct Arn<'a> {
    service: &'a str,
    region: &'a str,
    resource: &'a str,
}

impl<'a> Arn<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let mut part = || parts.next().filter(|part| !part.is_empty());
        let ("arn", partition, service, region, account, resource) =
            (part()?, part()?, part()?, part()?, part()?, part()?)
        else {
            return None;
        };
        let right = partition.starts_with("aws")
            && account.len() == 12
            && account.bytes().all(|b| b.is_ascii_digit())
            && !resource.chars().any(|c| c.is_control() || c.is_whitespace());
        right.then_some(Self { service, region, resource })
    }
}
