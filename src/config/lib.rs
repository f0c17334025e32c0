//! From variables to a configuration that is right as a whole, or to everything that is wrong with it.
//!
//! [`mod@env`] has the table and reads; [`load`] gives each text its meaning. What comes out is typed: no stage asks again
//! whether a number is in range or a name fits into a path. Mistakes are collected, never reported one at a time, and
//! each says under which name and in which file the value was given ([`mistake`]).
//!
//! Precedence: environment over Secrets Manager ([`layer`]) over the table's defaults. The secret is read as soon as its own
//! name and region are right, whatever else is wrong, so that one start tells the mistakes of both. Who reads it comes
//! in as a parameter: this room does not know AWS.
//!
//! Nothing here touches a directory, nor, but through that parameter, the network; `retaind check` may run beside a working bot. Directories are
//! prepared by the bot, before it begins.
#![forbid(unsafe_code)]

pub mod aws;
pub mod describe;
pub mod env;
pub mod layer;
pub mod mistake;
mod parse;
pub mod secret;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use aws::{Aws, SecretState};
use env::{Fallback, Origin, Secrecy, Settings, Variable};
use layer::{Read, Request};
use mistake::{Invalid, Mistake, Mistakes, Warning};
use retaind_protocol::ids::UserName;
use retaind_report::logs::Format as LogFormat;
use secret::Secret;

/// The bot's user name; also fit to name a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BotName(UserName);

impl BotName {
    /// As a user of the network.
    pub fn user(&self) -> &UserName {
        &self.0
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The id in `compliance_<network id>_bot`.
    fn network_id(&self) -> Option<&str> {
        self.as_str().strip_prefix("compliance_")?.strip_suffix("_bot").filter(|id| parse::network_id(id).is_ok())
    }
}

/// A `host:port` to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort(String);

impl HostPort {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The message files and attachments.
#[derive(Debug)]
pub struct Files {
    /// Directory of the message files.
    pub messages: PathBuf,
    /// Directory of the attachments.
    pub attachments: PathBuf,
    /// What the names of message files start with; it passes [`retaind_archive::names::is_base_name`].
    pub base_name: String,
    /// Largest message file, in bytes.
    pub size_max: u64,
    /// After how long a new message file starts.
    pub rotate_after: Option<Duration>,
}

/// Which network the bot serves.
#[derive(Debug)]
pub enum Network {
    /// One that runs in the bot's own process, with its data below the state directory.
    Embedded {
        /// Where devices connect.
        listen: SocketAddr,
        /// Its name in credentials and records.
        id: String,
        /// Whether messages pass only where the bot archives.
        retention: Retention,
    },
    /// One that runs elsewhere.
    Outside {
        /// Where it is.
        address: HostPort,
        /// Who vouches for its certificate.
        authority: Authority,
        /// The name that its certificate holds.
        server_name: String,
    },
}

/// The certificate that another is checked against.
#[derive(Debug)]
pub struct Authority {
    /// Where it was read from.
    pub file: PathBuf,
    /// Itself, DER.
    pub der: Vec<u8>,
}

/// The switch of the embedded network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Messages pass only in conversations that the bot archives.
    On,
    /// The bot is in no conversation.
    Off,
}

/// When the watchdog barks.
#[derive(Debug)]
pub struct Watchdog {
    /// After how long an absent network is a failure.
    pub fails_after: Duration,
    /// Fewer free bytes than these are told; 0 = never.
    pub disk_low_bytes: u64,
}

/// Where a generated password goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorePassword {
    /// It is printed, once.
    Terminal,
    /// Into the secret that the configuration came from.
    Secret,
}

impl fmt::Display for StorePassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminal => "terminal",
            Self::Secret => "secret",
        })
    }
}

/// A configuration without mistakes.
#[derive(Debug)]
pub struct Config {
    /// The bot's name.
    pub bot: BotName,
    /// Its password; asked for on the terminal if it is not here.
    pub password: Option<Secret>,
    /// The password to rotate to.
    pub new_password: Option<Secret>,
    /// Where a generated one goes.
    pub store_password: StorePassword,
    /// What is archived, and how it is cut into files.
    pub files: Files,
    /// The bot's own state.
    pub state: PathBuf,
    /// Which network it serves.
    pub network: Network,
    /// How it is watched.
    pub watchdog: Watchdog,
    /// How long a stop may take.
    pub grace: Duration,
    /// AWS.
    pub aws: Aws,
    /// What is logged.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
    /// Directory of the log files; `None`: there are none.
    pub logs: Option<PathBuf>,
    /// Where the bot can be asked how it is; `None`: nowhere.
    pub health: Option<SocketAddr>,
    origins: Origins,
}

/// Where each value came from, by the table's names; what is not in it came from the table.
#[derive(Debug, Default)]
struct Origins(BTreeMap<&'static str, Origin>);

impl Origins {
    fn given(&self, variable: &'static Variable) -> Option<&Origin> {
        self.0.get(variable.name)
    }

    fn of(&self, variable: &'static Variable) -> Origin {
        self.given(variable).cloned().unwrap_or(Origin::Default { name: variable.name })
    }

    /// What was not given followed from another.
    fn follow(&mut self, variable: &'static Variable, other: &'static Variable) {
        if let Some(origin) = self.given(other).cloned() {
            self.0.insert(variable.name, origin);
        }
    }
}

/// Reads the configuration from variables (of [`env::process`], or a test's own), or tells all that is wrong with it.
/// `read_secret` is asked at most once, and only if the variables name a secret.
pub fn load(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
    read_secret: impl FnOnce(Request<'_>) -> Read,
) -> Result<(Config, Vec<Warning>), Mistakes> {
    let mut mistakes = Vec::new();
    let settings = env::read(vars, &mut mistakes);
    understand(Reader::new(settings, mistakes), read_secret)
}

/// What is logged: for programs that need nothing else from the environment.
pub fn load_log_filter(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<String, Mistakes> {
    load_one(vars, &env::LOG, parse::log_filter)
}

/// Where the bot of this environment can be asked how it is; `None`: nowhere.
pub fn load_health(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Option<SocketAddr>, Mistakes> {
    load_one(vars, &env::HEALTH, parse::unless_off(parse::health))
}

/// One variable: the others are not the business of the program that asks.
fn load_one<T>(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
    variable: &'static Variable,
    parse: impl FnOnce(&str) -> Result<T, Invalid>,
) -> Result<T, Mistakes> {
    let ours = vars.into_iter().filter(|(name, _)| {
        let rest = name.to_str().and_then(|name| name.strip_prefix(variable.name));
        rest.is_some_and(|rest| rest.is_empty() || rest == "_FILE")
    });
    let mut mistakes = Vec::new();
    let settings = env::read(ours, &mut mistakes);
    let mut reader = Reader::new(settings, mistakes);
    match reader.read(variable, parse) {
        Some(value) if reader.mistakes.is_empty() => Ok(value),
        _ => Err(reader.mistakes.into()),
    }
}

/// Gives every text its meaning and checks what must fit together.
fn understand(
    mut r: Reader,
    read_secret: impl FnOnce(Request<'_>) -> Read,
) -> Result<(Config, Vec<Warning>), Mistakes> {
    let access = aws::access(&mut r);
    let mut notices = Vec::new();
    if let Some((place, ca_bundle)) = access.secret(&r) {
        let at = r.origins.of(&env::AWS_SECRET_NAME);
        let read = read_secret(Request { place, ca_bundle });
        if let Some(secret) = layer::settings(place, &at, read, &mut r.mistakes, &mut notices) {
            notices.extend(layer::hidden(&r.settings, &secret));
            r.settings = std::mem::take(&mut r.settings).over(secret);
            r.secret = SecretState::Read;
        }
    }

    let bot = r.read(&env::BOT_NAME, parse::bot_name);
    let password = r.secret(&env::BOT_PASSWORD, |_| Ok(()));
    let current = password.as_ref().map(Secret::expose);
    let new_password = r.secret(&env::ROTATE_PASSWORD, |text| parse::new_password(text, current));
    let store_password = r.read(&env::STORE_PASSWORD, parse::store_password);
    if store_password == Some(StorePassword::Secret) {
        r.needs(&env::STORE_PASSWORD, &env::AWS_SECRET_NAME, "it is the secret that the password is stored in");
        // the variable would hide the password that was stored
        r.must_come_from_secret(&env::BOT_PASSWORD);
    }
    let messages = r.read_for(&env::MESSAGES, bot.as_ref(), parse::path);
    let attachments = r.read_for(&env::ATTACHMENTS, bot.as_ref(), parse::path);
    let base_name = r.read(&env::BASE_NAME, parse::base_name);
    let size_max = r.read(&env::FILE_SIZE, parse::file_size);
    let rotate_after = r.read(&env::TIME_ROTATE, parse::time_rotate);
    let state = r.read_for(&env::STATE, bot.as_ref(), parse::path);
    let network = network(&mut r, bot.as_ref());
    let watchdog = watchdog(&mut r);
    let grace = r.read(&env::GRACE, parse::grace);
    let aws = aws::read(&mut r, access);
    let log = r.read(&env::LOG, parse::log_filter);
    let log_format = r.read(&env::LOG_FORMAT, parse::log_format);
    let logs = r.read_for(&env::LOGS, bot.as_ref(), parse::unless_off(parse::path));
    let health = r.read(&env::HEALTH, parse::unless_off(parse::health));

    let files = || {
        Some(Files {
            messages: messages?,
            attachments: attachments?,
            base_name: base_name?,
            size_max: size_max?,
            rotate_after: rotate_after?,
        })
    };
    let told = || Some((log?, log_format?, logs?, health?, store_password?));
    let lasting = || Some((watchdog?, grace?));
    match (bot, files(), state, network, lasting(), aws, told()) {
        (Some(bot), Some(files), Some(state), Some(network), Some((watchdog, grace)), Some(aws), Some(told))
            if r.mistakes.is_empty() =>
        {
            let origins = r.origins;
            let (log, log_format, logs, health, store_password) = told;
            let config = Config {
                bot,
                password,
                new_password,
                store_password,
                files,
                state,
                network,
                watchdog,
                grace,
                aws,
                log,
                log_format,
                logs,
                health,
                origins,
            };
            notices.extend(warnings(&config));
            Ok((config, notices))
        }
        // every `None` has left a mistake
        _ => Err(r.mistakes.into()),
    }
}

fn network(r: &mut Reader, bot: Option<&BotName>) -> Option<Network> {
    let address = r.optional(&env::NETWORK, parse::host_port);
    let authority = r.optional(&env::NETWORK_CA, parse::certificate);
    let server_name = r.read(&env::NETWORK_NAME, parse::tls_name);
    let listen = r.read(&env::LISTEN, parse::listen);
    let id = match r.optional(&env::NETWORK_ID, parse::network_id) {
        Some(id) => Some(id),
        None => Some(bot.and_then(BotName::network_id).unwrap_or("local").to_owned()),
    };
    let retention = r.read(&env::RETENTION, parse::retention);

    if r.origins.given(&env::NETWORK).is_none() {
        return Some(Network::Embedded { listen: listen?, id: id?, retention: retention? });
    }
    r.needs(
        &env::NETWORK,
        &env::NETWORK_CA,
        "the network's certificate is made by itself, so that nobody else vouches for it",
    );
    Some(Network::Outside { address: address?, authority: authority?, server_name: server_name? })
}

fn watchdog(r: &mut Reader) -> Option<Watchdog> {
    let fails_after = r.read(&env::WATCHDOG_MINUTES, parse::watchdog_minutes);
    let disk_low_bytes = r.read(&env::DISK_LOW, parse::disk_low);
    Some(Watchdog { fails_after: fails_after?, disk_low_bytes: disk_low_bytes? })
}

fn warnings(config: &Config) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let (Some(size), Some(time), Some(_)) =
        (config.origins.given(&env::FILE_SIZE), config.origins.given(&env::TIME_ROTATE), config.files.rotate_after)
    {
        warnings.push(Warning::BothLimits { size: size.clone(), time: time.clone() });
    }
    let (idle, why): (&[&'static Variable], _) = match config.network {
        Network::Embedded { .. } => {
            (&[&env::NETWORK_CA, &env::NETWORK_NAME], "it is for an outside network, and `RETAIND_NETWORK` is not set")
        }
        Network::Outside { .. } => (
            &[&env::LISTEN, &env::NETWORK_ID, &env::RETENTION],
            "it is for the embedded network, and `RETAIND_NETWORK` names an outside one",
        ),
    };
    let mut idle: Vec<(&'static Variable, &'static str)> = idle.iter().map(|variable| (*variable, why)).collect();
    if config.aws.upload.as_ref().is_none_or(|upload| upload.key.is_none()) {
        idle.push((&env::KMS_FORMAT, "nothing is encrypted without `WICKRIO_KMS_MSTRKEY_ARN`"));
    }
    if config.aws.metrics.is_none() {
        idle.push((&env::PRODUCT, "no metrics are published without `WICKRIO_METRICS_TYPE`"));
    }
    let given = idle.into_iter().filter_map(|(variable, why)| Some((config.origins.given(variable)?, why)));
    warnings.extend(given.map(|(at, why)| Warning::NoEffect { at: at.clone(), why }));
    warnings
}

/// Takes texts out of the settings, remembers their origins and collects mistakes.
struct Reader {
    settings: Settings,
    mistakes: Vec<Mistake>,
    origins: Origins,
    secret: SecretState,
}

impl Reader {
    fn new(settings: Settings, mistakes: Vec<Mistake>) -> Self {
        let secret = if settings.names(&env::AWS_SECRET_NAME) { SecretState::Unread } else { SecretState::None };
        Self { settings, mistakes, origins: Origins::default(), secret }
    }

    /// A value that is given or has a default in the table; `None` leaves a mistake behind.
    fn read<T>(&mut self, variable: &'static Variable, parse: impl FnOnce(&str) -> Result<T, Invalid>) -> Option<T> {
        self.read_for(variable, None, parse)
    }

    /// As [`Reader::read`], for defaults that hold the bot's name.
    fn read_for<T>(
        &mut self,
        variable: &'static Variable,
        bot: Option<&BotName>,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        if self.settings.get(variable).is_some() {
            return self.optional(variable, parse);
        }
        let text = match variable.default {
            Fallback::Text(text) => text.to_owned(),
            // without a bot name there is a mistake already
            Fallback::OfBot(text) => text.replace("<botname>", bot?.as_str()),
            Fallback::Required if self.settings.names(variable) => return None,
            Fallback::Required => {
                let why = "the bot needs its user name, such as `compliance_1234567890_bot`";
                self.mistakes.push(Mistake::Missing { name: variable.name, why });
                return None;
            }
            Fallback::Nothing | Fallback::Derived(_) => return None,
        };
        let at = Origin::Default { name: variable.name };
        parse(&text).map_err(|why| self.mistakes.push(Mistake::Value { at, value: Some(text), why })).ok()
    }

    /// A value that is given, or `other` (whose own mistake is already noted).
    fn read_or<T>(
        &mut self,
        variable: &'static Variable,
        other: Option<T>,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        if self.settings.get(variable).is_some() { self.optional(variable, parse) } else { other }
    }

    /// A value that may be missing.
    fn optional<T>(
        &mut self,
        variable: &'static Variable,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        let given = self.settings.take(variable)?;
        self.origins.0.insert(variable.name, given.origin.clone());
        let value = match variable.secrecy {
            Secrecy::Public => Some(given.text.expose().to_owned()),
            Secrecy::Secret => None,
        };
        let at = given.origin;
        parse(given.text.expose()).map_err(|why| self.mistakes.push(Mistake::Value { at, value, why })).ok()
    }

    /// A secret that may be missing.
    fn secret(
        &mut self,
        variable: &'static Variable,
        check: impl FnOnce(&str) -> Result<(), Invalid>,
    ) -> Option<Secret> {
        let given = self.settings.take(variable)?;
        self.origins.0.insert(variable.name, given.origin.clone());
        if let Err(why) = check(given.text.expose()) {
            self.mistakes.push(Mistake::Value { at: given.origin, value: None, why });
        }
        Some(given.text)
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
        })
    }
}
