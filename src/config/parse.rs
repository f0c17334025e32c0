//! One text → one value, or what is wrong with it. Pure but for [`certificate`] and [`bundle`], which read the file that
//! they are given.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tracing_subscriber::EnvFilter;

use super::aws::{Bundle, Format, Image, LegalHold, LockMode, Metrics, Topic, Updates};
use super::mistake::Invalid;
use super::{Authority, BotName, HostPort, Retention, StorePassword};
use retaind_archive::names::{BASENAME_BYTES_MAX, is_base_name};
use retaind_protocol::ids::UserName;
use retaind_protocol::limits::PASSWORD_BYTES_MAX;
use retaind_report::logs::Format as LogFormat;

/// Longest S3 key prefix, in bytes: with a file name of 255 it stays below the 1,024 that S3 allows.
const FOLDER_BYTES_MAX: usize = 700;
/// Longest network id, in bytes: with `compliance_` and `_bot` it is still a user name.
const NETWORK_ID_BYTES_MAX: usize = 64;
/// Fewest characters of a password to rotate to; the contract's number.
const NEW_PASSWORD_CHARS_MIN: usize = 12;
const BYTES_PER_KIB: u64 = 1024;
/// Largest size that is still a number of bytes.
const FILE_SIZE_KIB_MAX: u64 = u64::MAX / BYTES_PER_KIB;
const SECONDS_PER_MINUTE: u64 = 60;
/// Longest time, in minutes. 8,000 years: whoever says more has mistyped, and it cannot overflow in microseconds.
const TIME_ROTATE_MINUTES_MAX: u64 = u32::MAX as u64;

/// A day: who is not told within one might as well not be told.
const WATCHDOG_MINUTES_MAX: u64 = 24 * 60;
/// An hour: what is not uploaded by then waits for something else than time.
const GRACE_SECONDS_MAX: u64 = 60 * 60;
const BYTES_PER_MIB: u64 = 1024 * 1024;
/// Largest size that is still a number of bytes.
const DISK_LOW_MIB_MAX: u64 = u64::MAX / BYTES_PER_MIB;

/// Largest file of certificates, in bytes; the system's own has a fifth of that.
const BUNDLE_BYTES_MAX: u64 = 1024 * 1024;
/// Longest lock, in days: S3's own limit, 100 years.
const LOCK_DAYS_MAX: u32 = 36_500;
/// Longest value of a metric's dimension, in characters: CloudWatch's.
const DIMENSION_CHARS_MAX: usize = 255;
/// Longest reference of an image, in bytes: a name has at most 255, a tag 128.
const IMAGE_BYTES_MAX: usize = 512;

pub(super) fn bot_name(text: &str) -> Result<BotName, Invalid> {
    let name = UserName::new(text).map_err(|_| Invalid::BotName)?;
    if text.contains('/') || text == "." || text == ".." {
        return Err(Invalid::BotName);
    }
    Ok(BotName(name))
}

pub(super) fn base_name(text: &str) -> Result<String, Invalid> {
    if is_base_name(text) { Ok(text.to_owned()) } else { Err(Invalid::BaseName { max: BASENAME_BYTES_MAX }) }
}

pub(super) fn path(text: &str) -> Result<PathBuf, Invalid> {
    if text.chars().any(char::is_control) { Err(Invalid::Path) } else { Ok(PathBuf::from(text)) }
}

/// KiB → bytes.
pub(super) fn file_size(text: &str) -> Result<u64, Invalid> {
    let kib = number(text, "KiB", 1, FILE_SIZE_KIB_MAX)?;
    Ok(kib.saturating_mul(BYTES_PER_KIB))
}

/// Minutes → duration; 0 → none.
pub(super) fn time_rotate(text: &str) -> Result<Option<Duration>, Invalid> {
    let minutes = number(text, "minutes", 0, TIME_ROTATE_MINUTES_MAX)?;
    Ok((minutes > 0).then(|| Duration::from_secs(minutes.saturating_mul(SECONDS_PER_MINUTE))))
}

/// Minutes → duration.
pub(super) fn watchdog_minutes(text: &str) -> Result<Duration, Invalid> {
    let minutes = number(text, "minutes", 1, WATCHDOG_MINUTES_MAX)?;
    Ok(Duration::from_secs(minutes.saturating_mul(SECONDS_PER_MINUTE)))
}

/// Seconds → duration.
pub(super) fn grace(text: &str) -> Result<Duration, Invalid> {
    number(text, "seconds", 1, GRACE_SECONDS_MAX).map(Duration::from_secs)
}

/// MiB → bytes.
pub(super) fn disk_low(text: &str) -> Result<u64, Invalid> {
    let mib = number(text, "MiB", 0, DISK_LOW_MIB_MAX)?;
    Ok(mib.saturating_mul(BYTES_PER_MIB))
}

fn number(text: &str, unit: &'static str, min: u64, max: u64) -> Result<u64, Invalid> {
    // digits only: `u64::from_str` would also take a `+`
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits && (min..=max).contains(&number) => Ok(number),
        _ => Err(Invalid::Number { unit, min, max }),
    }
}

pub(super) fn new_password(text: &str, current: Option<&str>) -> Result<(), Invalid> {
    if text.chars().count() < NEW_PASSWORD_CHARS_MIN {
        return Err(Invalid::PasswordShort { min: NEW_PASSWORD_CHARS_MIN });
    }
    if text.len() > PASSWORD_BYTES_MAX {
        return Err(Invalid::PasswordLong { max: PASSWORD_BYTES_MAX });
    }
    if current == Some(text) { Err(Invalid::PasswordSame) } else { Ok(()) }
}

pub(super) fn host_port(text: &str) -> Result<HostPort, Invalid> {
    let (host, port) = text.rsplit_once(':').ok_or(Invalid::HostPort)?;
    let inner = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|address| address.contains(':')).ok_or(Invalid::HostPort)?,
        None if host.contains(':') => return Err(Invalid::HostPort),
        None => host,
    };
    let port_is_right =
        !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0);
    if !port_is_right || ServerName::try_from(inner).is_err() {
        return Err(Invalid::HostPort);
    }
    Ok(HostPort(text.to_owned()))
}

pub(super) fn listen(text: &str) -> Result<SocketAddr, Invalid> {
    text.parse().map_err(|_| Invalid::Listen)
}

pub(super) fn tls_name(text: &str) -> Result<String, Invalid> {
    ServerName::try_from(text).map(|_| text.to_owned()).map_err(|_| Invalid::TlsName)
}

pub(super) fn network_id(text: &str) -> Result<String, Invalid> {
    let right = (1..=NETWORK_ID_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if right { Ok(text.to_owned()) } else { Err(Invalid::NetworkId) }
}

pub(super) fn retention(text: &str) -> Result<Retention, Invalid> {
    match text {
        "on" => Ok(Retention::On),
        "off" => Ok(Retention::Off),
        _ => Err(Invalid::Word { allowed: "`on` or `off`" }),
    }
}

pub(super) fn store_password(text: &str) -> Result<StorePassword, Invalid> {
    match text {
        "terminal" => Ok(StorePassword::Terminal),
        "secret" => Ok(StorePassword::Secret),
        _ => Err(Invalid::Word { allowed: "`terminal` or `secret`" }),
    }
}

pub(super) fn certificate(text: &str) -> Result<Authority, Invalid> {
    let file = path(text)?;
    let certificates = read_certificates(&file).map_err(Invalid::Certificate)?;
    match certificates.as_slice() {
        [one] => Ok(Authority { file, der: one.to_vec() }),
        several => Err(Invalid::Certificates(several.len())),
    }
}

fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read_bundle(file)?;
    CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// At most [`BUNDLE_BYTES_MAX`] of it, whatever it is.
fn read_bundle(file: &Path) -> Result<Vec<u8>, String> {
    let mut pem = Vec::new();
    File::open(file)
        .and_then(|file| file.take(BUNDLE_BYTES_MAX.saturating_add(1)).read_to_end(&mut pem))
        .map_err(|error| error.to_string())?;
    if pem.len() as u64 > BUNDLE_BYTES_MAX {
        return Err(format!("it is larger than {BUNDLE_BYTES_MAX} bytes"));
    }
    Ok(pem)
}

pub(super) fn bundle(text: &str) -> Result<Bundle, Invalid> {
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
pub(super) fn metrics(text: &str) -> Result<Metrics, Invalid> {
    match text {
        "cloudwatch" => Ok(Metrics::CloudWatch),
        _ => Err(Invalid::Word { allowed: "`cloudwatch`, or unset for none" }),
    }
}

pub(super) fn dimension(text: &str) -> Result<String, Invalid> {
    let right = (1..=DIMENSION_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        && !text.trim().is_empty()
        && !text.starts_with(':');
    if right { Ok(text.to_owned()) } else { Err(Invalid::Dimension { max: DIMENSION_CHARS_MAX }) }
}

pub(super) fn updates(text: &str) -> Result<Updates, Invalid> {
    match text {
        "on" => Ok(Updates::On),
        "off" => Ok(Updates::Off),
        _ => Err(Invalid::Word { allowed: "`on` or `off`" }),
    }
}

/// `<name>[:<tag>][@<digest>]`, where the name may start with a registry and its port.
pub(super) fn image(text: &str) -> Result<Image, Invalid> {
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

pub(super) fn kms_format(text: &str) -> Result<Format, Invalid> {
    text.parse().map_err(|_| Invalid::Word { allowed: "`v3` or `v2`" })
}

pub(super) fn lock_mode(text: &str) -> Result<LockMode, Invalid> {
    match text {
        "governance" => Ok(LockMode::Governance),
        "compliance" => Ok(LockMode::Compliance),
        _ => Err(Invalid::Word { allowed: "`governance` or `compliance`, or unset for no lock" }),
    }
}

pub(super) fn lock_days(text: &str) -> Result<u32, Invalid> {
    let days = number(text, "days", 1, LOCK_DAYS_MAX.into())?;
    Ok(u32::try_from(days).unwrap_or(LOCK_DAYS_MAX))
}

pub(super) fn legal_hold(text: &str) -> Result<LegalHold, Invalid> {
    match text {
        "on" => Ok(LegalHold::On),
        "off" => Ok(LegalHold::Off),
        _ => Err(Invalid::Word { allowed: "`on` or `off`" }),
    }
}

pub(super) fn region(text: &str) -> Result<String, Invalid> {
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

pub(super) fn bucket(text: &str) -> Result<String, Invalid> {
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
pub(super) fn folder(text: &str) -> Result<String, Invalid> {
    let folder = text.strip_suffix('/').unwrap_or(text);
    let part_is_right = |part: &str| !part.is_empty() && part != "." && part != "..";
    let right = folder.len() <= FOLDER_BYTES_MAX
        && !folder.chars().any(char::is_control)
        && folder.split('/').all(part_is_right);
    if right { Ok(folder.to_owned()) } else { Err(Invalid::Folder { max: FOLDER_BYTES_MAX }) }
}

pub(super) fn kms_key(text: &str) -> Result<String, Invalid> {
    arn(text, "kms", "arn:aws:kms:us-east-1:111122223333:key/12345678-1234-abcd-a617-abababababab", |resource| {
        resource.starts_with("key/") || resource.starts_with("alias/")
    })
}

pub(super) fn sns_topic(text: &str) -> Result<Topic, Invalid> {
    let example = "arn:aws:sns:us-east-1:111122223333:compliance-bot";
    let arn = arn(text, "sns", example, |resource| !resource.contains(':'))?;
    let region = region_of_arn(&arn).unwrap_or_default().to_owned();
    Ok(Topic { arn, region })
}

pub(super) fn secret_name(text: &str) -> Result<String, Invalid> {
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

/// A value, or `off`.
pub(super) fn unless_off<T>(
    parse: impl FnOnce(&str) -> Result<T, Invalid>,
) -> impl FnOnce(&str) -> Result<Option<T>, Invalid> {
    |text| if text == "off" { Ok(None) } else { parse(text).map(Some) }
}

pub(super) fn health(text: &str) -> Result<SocketAddr, Invalid> {
    text.parse().map_err(|_| Invalid::Health)
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, Invalid> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(Invalid::Word { allowed: "`text`, `json` or `auto`" }),
    }
}

/// Checked here, so that a mistyped filter is a mistake and not a silent log.
pub(super) fn log_filter(text: &str) -> Result<String, Invalid> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|_| Invalid::LogFilter)
}
