//! Passwords: what opens the bot's state and account, and how one takes over from another.
//!
//! A new bot is given an initial password by an administrator. It registers with that one and makes a password of its
//! own, which from then on opens both the state and the account; the initial one opens nothing any more. The same way an
//! operator's own choice (`WICKRIO_ROTATE_PASSWORD`) takes over.
//!
//! ```text
//! next password ──▶ in the state, sealed ──▶ handed over (terminal, secret) ──▶ at the network ──▶ alone in the state
//!                   both open it now          its keeper has it                  the account's      the old one is gone
//! ```
//!
//! # Crash
//!
//! At each arrow the process may die, and the next start goes on from there with the same next password, whichever of
//! the two it is given: until the last step both open the state. A password that nobody was told never becomes the only
//! one.
//!
//! # Invariants
//!
//! - No password is logged, counted or part of an error; all are wiped.
//! - Whether a password is the administrator's is the network's knowledge, not a guess: a bot whose state was lost
//!   registers with the password that it made earlier, and keeps it.
//!
//! # Not here
//!
//! Where passwords come from and where a new one goes ([`Keeper`]): that is the program's business. A lost password: by
//! design nothing opens the state without it. An administrator gives the account another initial one, and the bot begins
//! anew, as a new device, with an empty state directory.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use thiserror::Error;
use zeroize::Zeroizing;

use super::receive::WINDOW_MESSAGES;
use super::run::BotError;
use retaind_device::account::{self, AccountError, LoggedIn, Proof};
use retaind_device::connection::ConnectionError;
use retaind_device::store::{Access, Store, StoreError};
use retaind_protocol::endpoint::Endpoint;
use retaind_protocol::wire::{Answer, ChangePassword, ReadAccount, RefusalCode, Request};

/// Characters of a password that the bot makes: 142 bits.
const PASSWORD_CHARS: usize = 24;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// How long the network may take to change a password: it hashes it slowly, a few at a time.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(60);

/// How a password came to the bot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// By a variable, a file or the secret.
    Configured,
    /// By somebody at the terminal.
    Typed,
}

/// Who made the password that takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// The bot: nobody knows it yet.
    Bot,
    /// The operator.
    Operator,
}

/// A new password did not reach who is to keep it. The one before stays in force.
#[derive(Debug, Error)]
#[error("the bot's new password could not be handed over, so the one before stays in force: {why}")]
pub struct NotKept {
    /// What was tried, and what to do about it.
    pub why: String,
    /// May it be better in a while, without anybody changing anything?
    pub may_pass: bool,
}

/// Takes over a new password before it is the only one.
pub trait Keeper: Send + Sync {
    /// Returns once it is where its owner finds it. May be called again with the same one, after a crash.
    fn keep<'a>(&'a self, password: &'a str, maker: Maker) -> BoxFuture<'a, Result<(), NotKept>>;
}

/// The passwords of one start.
pub struct Passwords {
    /// What the bot was started with.
    pub given: Zeroizing<String>,
    /// How it came.
    pub source: Source,
    /// What the operator wants it to be from now on.
    pub chosen: Option<Zeroizing<String>>,
    /// Where a new one goes.
    pub keeper: Arc<dyn Keeper>,
}

/// Which password opened the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The one that the bot was started with.
    Given,
    /// The operator's choice, which took over in an earlier run.
    Chosen,
}

/// The open state.
pub struct Opened {
    /// It.
    pub store: Store,
    /// What opened it.
    pub by: By,
}

impl Passwords {
    /// The one that opened the state: of an account that is made now, the initial one.
    pub fn in_force(&self, by: By) -> &Zeroizing<String> {
        match (by, &self.chosen) {
            (By::Chosen, Some(chosen)) => chosen,
            (By::Chosen | By::Given, _) => &self.given,
        }
    }
}

/// Opens the state at `path`, or begins one. Slow on purpose (Argon2id), so not for an async task. A choice that has
/// taken over opens it as well, so that a bot starts again with the settings that it was rotated with.
pub fn open(path: &Path, passwords: &Passwords) -> Result<Opened, StoreError> {
    match (Store::open_or_begin(path, passwords.given.as_bytes()), &passwords.chosen) {
        (Ok(store), _) => Ok(Opened { store, by: By::Given }),
        (Err(error), Some(chosen)) if error.is_wrong_password() => {
            let store = Store::open(path, chosen.as_bytes())?;
            tracing::info!("WICKRIO_ROTATE_PASSWORD is in force: set WICKRIO_BOT_PASSWORD to it and take it out");
            Ok(Opened { store, by: By::Chosen })
        }
        (Err(error), _) => Err(error),
    }
}

/// Makes the state a device of the bot's account.
pub(super) async fn register(
    opened: Opened,
    endpoint: &Endpoint,
    user: &str,
    passwords: &Passwords,
) -> Result<LoggedIn, BotError> {
    let Opened { store, by } = opened;
    let mut begun = store.again(Access::Write)?;
    let again = match (by, &passwords.chosen) {
        (By::Given, Some(chosen)) => Some((store.again(Access::Write)?, chosen)),
        (By::Given | By::Chosen, _) => None,
    };
    let tried = ask(store, endpoint, user, passwords.in_force(by)).await;
    let tried = match (tried, again) {
        // a state was lost after the operator's choice had taken over
        (Err(error), Some((store, chosen))) if is_wrong_password(&error) => ask(store, endpoint, user, chosen).await,
        (tried, _) => tried,
    };
    if tried.as_ref().is_err_and(is_wrong_password) {
        // it opens nothing, so it must not be what opens the state: whoever corrects it would be locked out
        begun.forget_beginning()?;
    }
    tried.map_err(|error| match passwords.source {
        Source::Configured if is_wrong_password(&error) => BotError::ConfiguredPassword(error),
        Source::Configured | Source::Typed => error.into(),
    })
}

async fn ask(store: Store, endpoint: &Endpoint, user: &str, password: &str) -> Result<LoggedIn, AccountError> {
    account::register(store, endpoint, Proof::Bot(user, password), WINDOW_MESSAGES).await
}

fn is_wrong_password(error: &AccountError) -> bool {
    matches!(error, AccountError::Connection(error) if error.refusal() == Some(RefusalCode::Password))
}

/// Brings the change of the password that is due, or under way, to its end.
pub(super) async fn conclude(account: &LoggedIn, by: By, passwords: &Arc<Passwords>) -> Result<(), BotError> {
    let Some(next) = next(account, by, passwords).await? else { return Ok(()) };
    let maker = if passwords.chosen.as_ref() == Some(&next) { Maker::Operator } else { Maker::Bot };
    // who started the bot with it has it already
    if next != passwords.given {
        passwords.keeper.keep(&next, maker).await?;
    }
    let change = Request::ChangePassword(ChangePassword { password: next.as_str().to_owned() });
    within(account, account.connection.call_done(change)).await?;
    on_store(account, Store::finish_password).await?;
    tracing::info!("the bot's password was changed: the one before opens nothing any more");
    Ok(())
}

/// The password that is to take over, stored; `None`: all stays as it is.
async fn next(account: &LoggedIn, by: By, passwords: &Arc<Passwords>) -> Result<Option<Zeroizing<String>>, BotError> {
    let (pending, provisional) =
        on_store(account, |store| Ok((store.next_password()?, store.is_provisional()?))).await?;
    let chosen = passwords.chosen.clone().filter(|_| by == By::Given);
    let next = match (pending, chosen) {
        // the change was interrupted: whoever was told of it has been told the truth
        (Some(pending), None) => return Ok(Some(pending)),
        (Some(pending), Some(chosen)) if pending == chosen => return Ok(Some(pending)),
        (Some(_) | None, Some(chosen)) => chosen,
        (None, None) if !provisional => return Ok(None),
        (None, None) => {
            let read = within(account, account.connection.call(Request::ReadAccount(ReadAccount {}))).await?;
            let Answer::Account(standing) = read else {
                let error = ConnectionError::Protocol("the account's standing was not answered");
                return Err(AccountError::from(error).into());
            };
            if !standing.initial_password {
                on_store(account, Store::finish_password).await?;
                return Ok(None);
            }
            generate()?
        }
    };
    let stored = next.clone();
    on_store(account, move |store| store.begin_password(&stored)).await?;
    Ok(Some(next))
}

/// Not on an async thread: a password costs time.
async fn on_store<T: Send + 'static>(
    account: &LoggedIn,
    work: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, BotError> {
    let store = account.store.clone();
    let done =
        tokio::task::spawn_blocking(move || work(&mut store.lock().unwrap_or_else(PoisonError::into_inner))).await;
    Ok(done.map_err(|_| BotError::Stage("password"))??)
}

async fn within<T>(
    account: &LoggedIn,
    call: impl Future<Output = Result<T, ConnectionError>>,
) -> Result<T, AccountError> {
    let address = || account.stored.address.clone();
    let answered = tokio::time::timeout(CHANGE_TIMEOUT, call).await;
    Ok(answered.map_err(|_| ConnectionError::Timeout { address: address() })??)
}

/// `^[A-Za-z0-9]{24}$`, each with the same chance.
fn generate() -> Result<Zeroizing<String>, BotError> {
    let mut password = Zeroizing::new(String::with_capacity(PASSWORD_CHARS));
    let mut byte = Zeroizing::new([0u8; 1]);
    while password.len() < PASSWORD_CHARS {
        aws_lc_rs::rand::fill(byte.as_mut_slice()).map_err(|_| BotError::Random)?;
        let [number] = *byte;
        // the last eight values would favour the first eight characters
        let place = usize::from(number);
        let fair = ALPHABET.len().saturating_mul(4);
        if let Some(character) = ALPHABET.get(place % ALPHABET.len()).filter(|_| place < fair) {
            password.push(char::from(*character));
        }
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_made_password_has_128_bits_and_no_character_that_a_shell_or_json_would_change() {
        let mut seen = BTreeSet::new();
        let mut made = BTreeSet::new();
        for _ in 0..200 {
            let password = generate().unwrap();
            assert_eq!(password.len(), PASSWORD_CHARS);
            assert!(password.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{}", *password);
            seen.extend(password.bytes());
            made.insert(password.to_string());
        }
        assert_eq!(made.len(), 200);
        assert_eq!(seen.len(), ALPHABET.len(), "every character is used");
        assert!(f64::from(62u8).log2() * 24.0 >= 128.0);
    }
}
