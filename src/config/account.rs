//! Who the bot is: its name and its passwords.

use std::fmt;

use retaind_protocol::ids::UserName;
use retaind_protocol::limits::PASSWORD_BYTES_MAX;

use crate::aws::AWS_SECRET_NAME;
use crate::describe::MASK;
use crate::mistake::Invalid;
use crate::network::network_id;
use crate::reader::Reader;
use crate::secret::Secret;
use crate::variable::{Fallback, variables};

/// Fewest characters of a password to rotate to; the contract's number.
const NEW_PASSWORD_CHARS_MIN: usize = 12;

variables! {
    BOT_NAME: "WICKRIO_BOT_NAME", Fallback::Required, Public,
        "user name of the bot, `compliance_<network id>_bot`; also a folder name below `/tmp`";
    BOT_PASSWORD: "WICKRIO_BOT_PASSWORD", Fallback::Nothing, Secret,
        "password of the bot: at the first start the initial one, then the one that was generated; asked for on the terminal if it is not set";
    ROTATE_PASSWORD: "WICKRIO_ROTATE_PASSWORD", Fallback::Nothing, Secret,
        "new password to rotate to at start-up: at least 12 characters, other than the current one; at the first start instead of a generated one";
    STORE_PASSWORD: "RETAIND_STORE_PASSWORD", Fallback::Text("terminal"), Public,
        "where a generated password goes: `terminal` prints it once; `secret` writes it to the secret's `password` and prints none (needs `secretsmanager:PutSecretValue`)";
}

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
    pub(crate) fn network_id(&self) -> Option<&str> {
        self.as_str().strip_prefix("compliance_")?.strip_suffix("_bot").filter(|id| network_id(id).is_ok())
    }
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

/// The bot's account.
#[derive(Debug)]
pub struct Account {
    /// The bot's name.
    pub bot: BotName,
    /// Its password; asked for on the terminal if it is not here.
    pub password: Option<Secret>,
    /// The password to rotate to.
    pub new_password: Option<Secret>,
    /// Where a generated one goes.
    pub store_password: StorePassword,
}

/// What was read of it. The other parts need the name's text for their defaults, so it comes before the whole.
pub(crate) struct Given {
    pub(crate) bot: Option<BotName>,
    password: Option<Secret>,
    new_password: Option<Secret>,
    store_password: Option<StorePassword>,
}

impl Given {
    /// The account; what is not there has left a mistake.
    pub(crate) fn account(self) -> Option<Account> {
        let Self { bot, password, new_password, store_password } = self;
        Some(Account { bot: bot?, password, new_password, store_password: store_password? })
    }
}

pub(crate) fn read(r: &mut Reader) -> Given {
    let bot = r.read(&BOT_NAME, bot_name);
    let password = r.secret(&BOT_PASSWORD, |_| Ok(()));
    let current = password.as_ref().map(Secret::expose);
    let new_password = r.secret(&ROTATE_PASSWORD, |text| check_new_password(text, current));
    let store_password = r.read(&STORE_PASSWORD, store_password);
    if store_password == Some(StorePassword::Secret) {
        r.needs(&STORE_PASSWORD, &AWS_SECRET_NAME, "it is the secret that the password is stored in");
        // the variable would hide the password that was stored
        r.must_come_from_secret(&BOT_PASSWORD);
    }
    Given { bot, password, new_password, store_password }
}

pub(crate) fn value(account: &Account, name: &str) -> Option<String> {
    let masked = |secret: &Option<Secret>| secret.as_ref().map(|_| MASK.to_owned());
    match name {
        "WICKRIO_BOT_NAME" => Some(account.bot.as_str().to_owned()),
        "WICKRIO_BOT_PASSWORD" => masked(&account.password),
        "WICKRIO_ROTATE_PASSWORD" => masked(&account.new_password),
        "RETAIND_STORE_PASSWORD" => Some(account.store_password.to_string()),
        _ => None,
    }
}

fn bot_name(text: &str) -> Result<BotName, Invalid> {
    let name = UserName::new(text).map_err(|_| Invalid::BotName)?;
    if text.contains('/') || text == "." || text == ".." {
        return Err(Invalid::BotName);
    }
    Ok(BotName(name))
}

fn check_new_password(text: &str, current: Option<&str>) -> Result<(), Invalid> {
    if text.chars().count() < NEW_PASSWORD_CHARS_MIN {
        return Err(Invalid::PasswordShort { min: NEW_PASSWORD_CHARS_MIN });
    }
    if text.len() > PASSWORD_BYTES_MAX {
        return Err(Invalid::PasswordLong { max: PASSWORD_BYTES_MAX });
    }
    if current == Some(text) { Err(Invalid::PasswordSame) } else { Ok(()) }
}

fn store_password(text: &str) -> Result<StorePassword, Invalid> {
    match text {
        "terminal" => Ok(StorePassword::Terminal),
        "secret" => Ok(StorePassword::Secret),
        _ => Err(Invalid::Word { allowed: "`terminal` or `secret`" }),
    }
}
