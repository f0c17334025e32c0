//! One text of the AWS part → one value, or what is wrong with it. Pure but for [`bundle`], which reads the file that it
//! is given.

use std::collections::BTreeMap;

use retaind_archive::names::is_hidden;

use super::{Bundle, Format, Image, LegalHold, LockMode, Metrics, ServerSide, Topic, Updates};
use crate::mistake::Invalid;
use crate::parse::{authorities, number, path, read_bundle};

/// Longest S3 key prefix, in bytes: with a file name of 255 it stays below the 1,024 that S3 allows.
const FOLDER_BYTES_MAX: usize = 700;
/// Longest encryption context, in bytes: with its Base64 it leaves room in the 8 KiB of a request's headers.
const CONTEXT_BYTES_MAX: usize = 2048;
/// Longest lock, in days: S3's own limit, 100 years.
const LOCK_DAYS_MAX: u32 = 36_500;
/// Longest value of a metric's dimension, in characters: CloudWatch's.
const DIMENSION_CHARS_MAX: usize = 255;
/// Longest reference of an image, in bytes: a name has at most 255, a tag 128.
const IMAGE_BYTES_MAX: usize = 512;

pub(crate) fn bundle(text: &str) -> Result<Bundle, Invalid> {
    let file = path(text)?;
    let pem = read_bundle(&file).map_err(Invalid::Bundle)?;
    if authorities(&pem)?.is_empty() {
        return Err(Invalid::Bundle("it holds no PEM certificate".to_owned()));
    }
    Ok(Bundle { file, pem })
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
    if name || is_access_point(text) { Ok(text.to_owned()) } else { Err(Invalid::Bucket) }
}

/// `accesspoint/<name>` or `accesspoint:<name>` of a region, or `accesspoint/<alias>.mrap` of several, whose ARN names none.
fn is_access_point(text: &str) -> bool {
    let plain = |name: &str, more: &[u8]| {
        (3..=63).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || more.contains(&b))
    };
    let Some(arn) = Arn::split_with(text, Regions::AnyOrNone) else { return false };
    let name = arn.resource.strip_prefix("accesspoint/").or_else(|| arn.resource.strip_prefix("accesspoint:"));
    match (arn.service, arn.region, name) {
        ("s3", "", Some(name)) => name.strip_suffix(".mrap").is_some_and(|alias| plain(alias, b"")),
        ("s3", _, Some(name)) => plain(name, b"-"),
        (_, _, _) => false,
    }
}

/// An account's number.
pub(crate) fn account(text: &str) -> Result<String, Invalid> {
    let right = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    if right { Ok(text.to_owned()) } else { Err(Invalid::Account) }
}

/// Without key and context, which have variables of their own.
pub(crate) fn server_side(text: &str) -> Result<ServerSide, Invalid> {
    match text {
        "s3" => Ok(ServerSide::S3),
        "kms" => Ok(ServerSide::Kms { key: None, context: BTreeMap::new() }),
        _ => Err(Invalid::Word { allowed: "`s3` or `kms`, or unset to ask for none" }),
    }
}

/// The ARN of a key or alias, a key's id, or `alias/<name>`.
pub(crate) fn server_side_key(text: &str) -> Result<String, Invalid> {
    if text.starts_with("arn:") {
        return kms_key(text);
    }
    let right =
        (1..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_-".contains(&b));
    if right { Ok(text.to_owned()) } else { kms_key(text) }
}

/// `name=value`, several with commas.
pub(crate) fn context(text: &str) -> Result<BTreeMap<String, String>, Invalid> {
    let wrong = || Invalid::Context { max: CONTEXT_BYTES_MAX };
    if text.len() > CONTEXT_BYTES_MAX || text.chars().any(|c| c.is_control() || is_hidden(c)) {
        return Err(wrong());
    }
    let mut context = BTreeMap::new();
    for pair in text.split(',') {
        let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
        let is_new = context.insert(name.to_owned(), value.to_owned()).is_none();
        if name.is_empty() || name.starts_with("aws:") || !is_new {
            return Err(wrong());
        }
    }
    Ok(context)
}

/// A key prefix, without its trailing slash.
pub(crate) fn folder(text: &str) -> Result<String, Invalid> {
    let folder = text.strip_suffix('/').unwrap_or(text);
    let part_is_right = |part: &str| !part.is_empty() && part != "." && part != "..";
    let right = folder.len() <= FOLDER_BYTES_MAX
        && !folder.chars().any(|c| c.is_control() || is_hidden(c))
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

/// Whether an ARN must name a region.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Regions {
    One,
    AnyOrNone,
}

/// `arn:<partition>:<service>:<region>:<account>:<resource>`, nothing empty.
struct Arn<'a> {
    service: &'a str,
    region: &'a str,
    resource: &'a str,
}

impl<'a> Arn<'a> {
    fn split(text: &'a str) -> Option<Self> {
        Self::split_with(text, Regions::One)
    }

    fn split_with(text: &'a str, regions: Regions) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let &["arn", partition, service, region, account, resource] = parts.as_slice() else { return None };
        let right = !service.is_empty()
            && !resource.is_empty()
            && (regions == Regions::AnyOrNone || !region.is_empty())
            && partition.starts_with("aws")
            && account.len() == 12
            && account.bytes().all(|b| b.is_ascii_digit())
            && !resource.chars().any(|c| c.is_control() || c.is_whitespace());
        right.then_some(Self { service, region, resource })
    }
}
