//! Every variable that the bot knows, in one table, and the only place that reads the environment.
//!
//! The table below is the documentation: that of `docs/settings.md` and `retaind check` are made from it, and a test compares
//! them. Reading turns the process environment into [`Settings`]: texts with their origin, not yet understood. What they
//! mean is [`super::load`]'s business.
//!
//! Three rules of the contract live here: an empty value counts as unset; every variable may be given as `<NAME>_FILE`,
//! the path of a file that holds the value; a name that looks like ours and is not in the table is a mistake, because a
//! mistyped setting of an archive must not be ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::mistake::Mistake;
use super::secret::Secret;

/// Longest value that a `<NAME>_FILE` may hold, in bytes. The longest that makes sense is an ARN of 2 KiB; the limit
/// keeps a wrong path (a device, a log) from filling the memory.
pub const VALUE_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Names that start like this are ours, and must be in the table.
const PREFIXES: [&str; 2] = ["WICKRIO_", "RETAIND_"];

/// How alike a mistyped name must be (1.0 = equal) before a known one is suggested. Below it the suggestion is noise.
const NEAREST_SIMILARITY_MIN: f64 = 0.6;

/// One documented variable.
#[derive(Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Other names for the same setting.
    pub aliases: &'static [&'static str],
    /// What holds when it is unset.
    pub default: Fallback,
    /// What it sets, for an operator; with the unit.
    pub meaning: &'static str,
    /// Whether its value may be shown.
    pub secrecy: Secrecy,
}

/// What holds when a variable is unset.
#[derive(Debug, Clone, Copy)]
pub enum Fallback {
    /// Nothing: the feature is off, or the value is asked for.
    Nothing,
    /// It must be given.
    Required,
    /// This text.
    Text(&'static str),
    /// This text, with the bot's name for `<botname>`.
    OfBot(&'static str),
    /// Found out in a way that the text tells.
    Derived(&'static str),
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("–"),
            Self::Required => f.write_str("required"),
            Self::Text(text) | Self::OfBot(text) => write!(f, "`{text}`"),
            Self::Derived(how) => f.write_str(how),
        }
    }
}

/// Whether a value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// In logs and in `retaind check`.
    Public,
    /// Nowhere.
    Secret,
}

macro_rules! variables {
    ($($key:ident: $name:literal $(or $alias:literal)?, $default:expr, $secrecy:ident, $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub static $key: Variable = Variable {
                name: $name,
                aliases: &[$($alias)?],
                default: $default,
                meaning: $meaning,
                secrecy: Secrecy::$secrecy,
            };
        )*
        /// All of them, in the order of the documentation.
        pub static VARIABLES: &[&Variable] = &[$(&$key),*];
    };
}

variables! {
    BOT_NAME: "WICKRIO_BOT_NAME", Fallback::Required, Public,
        "user name of the bot, `compliance_<network id>_bot`; also a folder name below `/tmp`";
    BOT_PASSWORD: "WICKRIO_BOT_PASSWORD", Fallback::Nothing, Secret,
        "password of the bot: at the first start the initial one, then the one that was generated; asked for on the terminal if it is not set";
    ROTATE_PASSWORD: "WICKRIO_ROTATE_PASSWORD", Fallback::Nothing, Secret,
        "new password to rotate to at start-up: at least 12 characters, other than the current one; at the first start instead of a generated one";
    STORE_PASSWORD: "RETAIND_STORE_PASSWORD", Fallback::Text("terminal"), Public,
        "where a generated password goes: `terminal` prints it once; `secret` writes it to the secret's `password` and prints none (needs `secretsmanager:PutSecretValue`)";
    MESSAGES: "WICKRIO_COMP_MESGDEST" or "WICKRIO_COMP_MSGDEST", Fallback::OfBot("/tmp/<botname>/compliance/messages"), Public,
        "directory of the message files";
    ATTACHMENTS: "WICKRIO_COMP_FILEDEST", Fallback::OfBot("/tmp/<botname>/compliance/attachments"), Public,
        "directory of the attachments";
    BASE_NAME: "WICKRIO_COMP_BASENAME", Fallback::Text("receivedMessages"), Public,
        "base name of the message files";
    FILE_SIZE: "WICKRIO_COMP_FILESIZE", Fallback::Text("1000000000"), Public,
        "largest message file, in KiB";
    TIME_ROTATE: "WICKRIO_COMP_TIMEROTATE", Fallback::Text("0"), Public,
        "minutes after which a new message file starts; 0 = no limit";
    AWS_REGION: "AWS_DEFAULT_REGION", Fallback::Text("us-east-1"), Public,
        "region of the AWS services other than S3 and KMS";
    CA_BUNDLE: "AWS_CA_BUNDLE", Fallback::Nothing, Public,
        "PEM file with the certificates that AWS's endpoints are checked against instead of the system's";
    AWS_SECRET_NAME: "AWS_SECRET_NAME", Fallback::Nothing, Public,
        "name or ARN of the secret that holds further settings";
    AWS_SECRET_REGION: "AWS_SECRET_REGION", Fallback::Derived("the region in the secret's ARN, else `AWS_DEFAULT_REGION`"), Public,
        "region of the secret";
    S3_BUCKET: "WICKRIO_S3_BUCKET_NAME", Fallback::Nothing, Public,
        "bucket that message files and attachments are uploaded to";
    S3_REGION: "WICKRIO_S3_REGION", Fallback::Nothing, Public,
        "region of the bucket; required with a bucket";
    S3_FOLDER: "WICKRIO_S3_FOLDER_NAME", Fallback::Nothing, Public,
        "key prefix in the bucket, with or without a trailing slash";
    KMS_KEY: "WICKRIO_KMS_MSTRKEY_ARN", Fallback::Nothing, Public,
        "KMS key for encryption before upload";
    KMS_REGION: "WICKRIO_KMS_REGION", Fallback::Derived("the region in the key's ARN"), Public,
        "region of the KMS key";
    KMS_FORMAT: "RETAIND_KMS_FORMAT", Fallback::Text("v3"), Public,
        "format of encrypted objects: `v3`, which commits to the key and is what current Amazon S3 Encryption Clients write, or `v2`, which older ones read";
    LOCK_MODE: "RETAIND_OBJECT_LOCK_MODE", Fallback::Nothing, Public,
        "`governance` or `compliance`: lock every uploaded object for `RETAIND_OBJECT_LOCK_DAYS`; also needs `s3:PutObjectRetention` and `s3:GetBucketObjectLockConfiguration`";
    LOCK_DAYS: "RETAIND_OBJECT_LOCK_DAYS", Fallback::Nothing, Public,
        "days for which an uploaded object is locked; required with `RETAIND_OBJECT_LOCK_MODE`";
    LEGAL_HOLD: "RETAIND_OBJECT_LOCK_LEGAL_HOLD", Fallback::Text("off"), Public,
        "`on` or `off`: put a legal hold on every uploaded object; also needs `s3:PutObjectLegalHold` and `s3:GetBucketObjectLockConfiguration`";
    SNS_TOPIC: "WICKRIO_SNS_TOPIC_ARN", Fallback::Nothing, Public,
        "SNS topic for events";
    METRICS: "WICKRIO_METRICS_TYPE", Fallback::Nothing, Public,
        "`cloudwatch`: publish metrics every 60 s";
    PRODUCT: "RETAIND_PRODUCT", Fallback::Text("WickrPro_Production"), Public,
        "dimension `Product` of the metrics";
    IMAGE: "RETAIND_IMAGE", Fallback::Derived("`retaind:<version>`"), Public,
        "container image that the bot runs in, such as `wickr/bot-compliance-cloud:5.116`; events name it";
    UPDATES: "RETAIND_UPDATES", Fallback::Text("on"), Public,
        "`on` or `off`: ask the registry of `RETAIND_IMAGE`, at the start and daily, whether there are newer versions; never where that is unset or its tag is no version";
    STATE: "RETAIND_STATE", Fallback::OfBot("/tmp/<botname>/state"), Public,
        "directory of the bot's state: keys, cursors and the embedded network; keep it, and keep it private";
    NETWORK: "RETAIND_NETWORK", Fallback::Nothing, Public,
        "`host:port` of an outside network; unset = the bot's own process runs one (embedded)";
    NETWORK_CA: "RETAIND_NETWORK_CA", Fallback::Nothing, Public,
        "PEM file with the certificate that the outside network's certificate is checked against; required with `RETAIND_NETWORK`";
    NETWORK_NAME: "RETAIND_NETWORK_NAME", Fallback::Text("retaind-network"), Public,
        "name that the outside network's certificate must hold";
    LISTEN: "RETAIND_LISTEN", Fallback::Text("127.0.0.1:7443"), Public,
        "address and port on which the embedded network listens for devices";
    NETWORK_ID: "RETAIND_NETWORK_ID", Fallback::Derived("the id in the bot's name, else `local`"), Public,
        "id of the embedded network; it is fixed at the first start";
    RETENTION: "RETAIND_RETENTION", Fallback::Text("on"), Public,
        "`on` or `off`: whether the embedded network lets messages pass only in conversations that the bot archives";
    WATCHDOG_MINUTES: "RETAIND_WATCHDOG_MINUTES", Fallback::Text("15"), Public,
        "minutes after which a network that stays away is a failure (an event, and the connection is opened again), and again after each further so many; 1 to 1440";
    DISK_LOW: "RETAIND_DISK_LOW", Fallback::Text("1024"), Public,
        "MiB of free disk space below which operators are told; below an eighth of it no more messages are taken until there is room; 0 = neither";
    GRACE: "RETAIND_GRACE_SECONDS", Fallback::Text("8"), Public,
        "seconds that a stop may take from the signal to the end, uploads and last events included; what does not fit waits for the next start. `docker stop` kills after 10 unless told otherwise (`--stop-timeout`); 1 to 3600";
    LOG: "RUST_LOG", Fallback::Text("info"), Public,
        "what is logged: `error`, `warn`, `info`, `debug` or `trace`, also for single parts (`info,retaind::bot=debug`); never message content";
    LOG_FORMAT: "RETAIND_LOG_FORMAT", Fallback::Text("auto"), Public,
        "how it is logged: `text` for people, `json` for one JSON object a line, or `auto`: text on a terminal, JSON elsewhere";
    LOGS: "RETAIND_LOGS", Fallback::OfBot("/tmp/<botname>/logs"), Public,
        "directory of the log files, at most 5 of 10 MiB, or `off` for none; the log is on standard output in any case";
    HEALTH: "RETAIND_HEALTH", Fallback::Text("127.0.0.1:9464"), Public,
        "address and port of `/livez`, `/readyz` and `/metrics`, or `off`; they need no password, so leave them to the host or the pod";
}

/// The password of a `retaind client`'s state. Not the bot's, so not in the table; known here all the same, so that a
/// bot that is started beside a client does not take it for a mistake.
pub static CLIENT_PASSWORD: Variable = Variable {
    name: "RETAIND_CLIENT_PASSWORD",
    aliases: &[],
    default: Fallback::Nothing,
    meaning: "password that the state of `retaind client` is encrypted under",
    secrecy: Secrecy::Secret,
};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A variable, under the name that was used.
    Environment {
        /// The name, or its alias.
        name: String,
    },
    /// The file that a `<NAME>_FILE` variable names.
    File {
        /// The variable, with `_FILE`.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// A key of the secret in Secrets Manager.
    Secret {
        /// The key.
        key: &'static str,
        /// Name or ARN of the secret.
        name: String,
    },
    /// The table's default.
    Default {
        /// The variable that was not given.
        name: &'static str,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment { name } => write!(f, "`{name}`"),
            Self::File { name, path } => write!(f, "`{name}` (file `{}`)", path.display()),
            Self::Secret { key, name } => write!(f, "secret `{name}` key `{key}`"),
            Self::Default { name } => write!(f, "default of `{name}`"),
        }
    }
}

/// A value as it was given. Kept as a secret until its meaning, and so its secrecy, is known.
#[derive(Debug)]
pub struct Given {
    /// The text; never empty.
    pub text: Secret,
    /// Where it came from.
    pub origin: Origin,
}

/// One layer of settings by the table's names, not yet understood.
///
/// The environment is the highest layer; Secrets Manager ([`super::layer`]) is the one [`Settings::over`] which it lies, and
/// the table's defaults are below both.
#[derive(Debug, Default)]
pub struct Settings {
    given: BTreeMap<&'static str, Given>,
    /// What was given and could not be read, which has left a mistake.
    unread: BTreeSet<&'static str>,
}

impl Settings {
    /// This layer, with what it lacks from the `lower` one.
    pub fn over(mut self, lower: Self) -> Self {
        for (name, given) in lower.given {
            self.given.entry(name).or_insert(given);
        }
        self
    }

    /// Adds what a lower layer holds.
    pub(super) fn add(&mut self, variable: &'static Variable, given: Given) {
        self.given.insert(variable.name, given);
    }

    /// Was it given, if perhaps in a way that cannot be read? Then nobody needs to be told that it is missing.
    pub(super) fn names(&self, variable: &Variable) -> bool {
        self.given.contains_key(variable.name) || self.unread.contains(variable.name)
    }

    /// What was given for a variable.
    pub fn get(&self, variable: &Variable) -> Option<&Given> {
        self.given.get(variable.name)
    }

    /// Takes what was given for a variable, because a secret has one owner.
    pub fn take(&mut self, variable: &Variable) -> Option<Given> {
        self.given.remove(variable.name)
    }
}

/// The environment of this process.
pub fn process() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os()
}

/// Where files go that need not stay (`TMPDIR`, else `/tmp`).
pub fn temporary_directory() -> PathBuf {
    std::env::temp_dir()
}

/// What this process' environment says of [`CLIENT_PASSWORD`]; nothing else is looked at.
pub fn client_password() -> Result<Option<Given>, Mistake> {
    let file = format!("{}_FILE", CLIENT_PASSWORD.name);
    let vars = process().filter(|(name, _)| *name == *CLIENT_PASSWORD.name || *name == *file);
    let mut mistakes = Vec::new();
    let mut settings = read(vars, &mut mistakes);
    match mistakes.pop() {
        Some(mistake) => Err(mistake),
        None => Ok(settings.take(&CLIENT_PASSWORD)),
    }
}

/// Finds the table's variables among `vars` and reads the files that `<NAME>_FILE` ones name; adds what is wrong to
/// `mistakes`.
pub fn read(vars: impl IntoIterator<Item = (OsString, OsString)>, mistakes: &mut Vec<Mistake>) -> Settings {
    let mut settings = Settings::default();
    // sorted, so that messages come in the same order every time
    let vars: BTreeMap<OsString, OsString> = vars.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    for (name, value) in vars {
        // a name that is not UTF-8 is not in the table and does not start like ours in a way anybody typed
        let Some(name) = name.to_str() else { continue };
        let Some(spelling) = spelling(name) else {
            if looks_like_ours(name) {
                mistakes.push(Mistake::Unknown { name: name.to_owned(), nearest: nearest(name) });
            }
            continue;
        };
        let given = match spelling.form {
            Form::Value => value
                .into_string()
                .map(|text| Given { text: Secret::new(text), origin: Origin::Environment { name: name.to_owned() } })
                .map_err(|_| Mistake::NotText { at: Origin::Environment { name: name.to_owned() } }),
            Form::File => read_file(name, Path::new(&value)),
        };
        match given {
            Ok(given) if given.text.expose().is_empty() => {}
            Ok(given) => insert(&mut settings, spelling.variable, given, mistakes),
            Err(mistake) => {
                settings.unread.insert(spelling.variable.name);
                mistakes.push(mistake);
            }
        }
    }
    settings
}

fn insert(settings: &mut Settings, variable: &'static Variable, given: Given, mistakes: &mut Vec<Mistake>) {
    match settings.given.get(variable.name) {
        Some(first) if first.text.expose() != given.text.expose() => {
            mistakes.push(Mistake::Contradiction { first: first.origin.clone(), second: given.origin })
        }
        Some(_) => {}
        None => {
            settings.given.insert(variable.name, given);
        }
    }
}

/// How a variable of the table was spelt.
struct Spelling {
    variable: &'static Variable,
    form: Form,
}

enum Form {
    Value,
    File,
}

fn spelling(name: &str) -> Option<Spelling> {
    if let Some(variable) = find(name) {
        return Some(Spelling { variable, form: Form::Value });
    }
    let variable = find(name.strip_suffix("_FILE")?)?;
    Some(Spelling { variable, form: Form::File })
}

fn find(name: &str) -> Option<&'static Variable> {
    let mut all = VARIABLES.iter().copied().chain([&CLIENT_PASSWORD]);
    all.find(|v| v.name == name || v.aliases.contains(&name))
}

fn looks_like_ours(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    PREFIXES.iter().any(|prefix| upper.starts_with(prefix))
}

fn nearest(unknown: &str) -> Option<String> {
    let upper = unknown.to_ascii_uppercase();
    let (stem, suffix) = match upper.strip_suffix("_FILE") {
        Some(stem) => (stem, "_FILE"),
        None => (upper.as_str(), ""),
    };
    let known = VARIABLES.iter().flat_map(|v| std::iter::once(v.name).chain(v.aliases.iter().copied()));
    nearest_of(stem, known).map(|name| format!("{name}{suffix}"))
}

/// The known name that is most like a mistyped one.
pub(super) fn nearest_of(typed: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    known
        .map(|name| (strsim::normalized_damerau_levenshtein(typed, name), name))
        .filter(|(similarity, _)| *similarity >= NEAREST_SIMILARITY_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

fn read_file(name: &str, path: &Path) -> Result<Given, Mistake> {
    let origin = Origin::File { name: name.to_owned(), path: path.to_owned() };
    let bytes = read_bounded(path).map_err(|why| Mistake::ValueFile { at: origin.clone(), why })?;
    if bytes.len() as u64 > VALUE_FILE_BYTES_MAX {
        return Err(Mistake::ValueFileTooLarge { at: origin });
    }
    let mut text = String::from_utf8(bytes).map_err(|_| Mistake::NotText { at: origin.clone() })?;
    // editors and `echo` end a file with a newline, which is not part of the value
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(Given { text: Secret::new(text), origin })
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(VALUE_FILE_BYTES_MAX.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}
