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
//! The process may die at any arrow. The next start continues from there with the same next password, whichever of
//! the two it is given: until the last step both open the state. A password that was not handed over never becomes the only
//! one.
//!
//! # Invariants
//!
//! - No password is logged, counted or part of an error; all are wiped.
//! - Whether a password is the administrator's is the network's knowledge, not a guess: a bot that lost its state
//!   registers with the password that it made earlier, and keeps it.
//!
//! # Not here
//!
//! The requests to the network: each source makes its own. Where passwords come from and where a new one goes ([`Keeper`]):
//! that is the program's business. A lost password: by design nothing opens the state without it. An administrator gives
//! the account another initial one, and the bot starts again as a new device, with an empty state directory.

use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use retaind_core::fault::Fault;
use retaind_state::schema::Step;
use retaind_state::{Store, StoreError};
use thiserror::Error;
use zeroize::Zeroizing;

/// Characters of a password that the bot makes: 142 bits.
const PASSWORD_CHARS: usize = 24;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// How a password came to the bot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// By a variable, a file or the secret.
    Configured,
    /// By a person at the terminal.
    Typed,
}

/// Who made the password that takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// The bot: no one knows it yet.
    Bot,
    /// The operator.
    Operator,
}

/// A new password did not reach its keeper. The one before stays in force.
#[derive(Debug, Error)]
#[error("the bot's new password could not be handed over, so the one before stays in force: {why}")]
pub struct NotKept {
    /// What was tried, and the remedy, for an operator.
    pub why: String,
    /// What to do about it, for the exit code.
    pub fault: Fault,
}

/// No password could be made.
#[derive(Debug, Error)]
#[error("no password could be made: the system gave no randomness")]
pub struct NoRandomness;

/// Takes over a new password before it is the only one.
pub trait Keeper: Send + Sync {
    /// Returns once it is where its owner finds it. May be called again with the same one, after a crash.
    fn keep<'a>(&'a self, password: &'a str, maker: Maker) -> BoxFuture<'a, Result<(), NotKept>>;
}

/// The passwords of one start.
pub struct Passwords {
    /// What the bot was started with.
    pub given: Zeroizing<String>,
    /// How the given one came to the bot.
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

/// The state, and which password opened it.
pub struct Opened {
    /// The open state.
    pub store: Store,
    /// The password that opened it.
    pub by: By,
}

impl Passwords {
    /// The password that opened the state; for an account that is registered now, the initial one.
    pub fn in_force(&self, by: By) -> &Zeroizing<String> {
        match (by, &self.chosen) {
            (By::Chosen, Some(chosen)) => chosen,
            (By::Chosen | By::Given, _) => &self.given,
        }
    }
}

/// Opens the state at `path`, or makes a new one. Slow on purpose (Argon2id), so not for an async task. A choice that has
/// taken over opens it as well, so that a bot starts again with the settings that it was rotated with.
pub fn open(path: &Path, passwords: &Passwords, steps: &'static [Step]) -> Result<Opened, StoreError> {
    match (Store::open_or_begin(path, passwords.given.as_bytes(), steps), &passwords.chosen) {
        (Ok(store), _) => Ok(Opened { store, by: By::Given }),
        (Err(error), Some(chosen)) if error.is_wrong_password() => {
            let store = Store::open(path, chosen.as_bytes(), steps)?;
            tracing::info!("WICKRIO_ROTATE_PASSWORD is in force: set WICKRIO_BOT_PASSWORD to it and take it out");
            Ok(Opened { store, by: By::Chosen })
        }
        (Err(error), _) => Err(error),
    }
}

/// `^[A-Za-z0-9]{24}$`, each with the same chance.
pub fn generate() -> Result<Zeroizing<String>, NoRandomness> {
    let mut password = Zeroizing::new(String::with_capacity(PASSWORD_CHARS));
    let mut byte = Zeroizing::new([0u8; 1]);
    while password.len() < PASSWORD_CHARS {
        aws_lc_rs::rand::fill(byte.as_mut_slice()).map_err(|_| NoRandomness)?;
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
