//! Passwords at the network: registers a new bot, and completes a change of its password that is due or in progress.
//!
//! The order of the steps, and what a crash between any two of them leaves, is in [`retaind_bot::passwords`].

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use retaind_bot::passwords::{self, By, Maker, Opened, Passwords};
use retaind_device::account::{self, AccountError, LoggedIn, Proof};
use retaind_device::connection::ConnectionError;
use retaind_protocol::endpoint::Endpoint;
use retaind_protocol::wire::{Answer, ChangePassword, ReadAccount, RefusalCode, Request};
use retaind_state::{Access, Store, StoreError};
use retaind_task as task;
use zeroize::Zeroizing;

use crate::error::MlsError;
use crate::receive::WINDOW_MESSAGES;

/// How long the network may take to change a password: it hashes it slowly, a few at a time.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(60);

/// Makes the state a device of the bot's account.
pub(crate) async fn register(
    opened: Opened,
    endpoint: &Endpoint,
    user: &str,
    passwords: &Passwords,
) -> Result<LoggedIn, MlsError> {
    let Opened { store, by } = opened;
    let mut begun = store.again(Access::Write)?;
    let again = match (by, &passwords.chosen) {
        (By::Given, Some(chosen)) => Some((store.again(Access::Write)?, chosen)),
        (By::Given | By::Chosen, _) => None,
    };
    let tried = ask(store, endpoint, user, passwords.in_force(by)).await;
    let tried = match (tried, again) {
        // the state was lost after the operator's choice had taken over
        (Err(error), Some((store, chosen))) if is_wrong_password(&error) => ask(store, endpoint, user, chosen).await,
        (tried, _) => tried,
    };
    if tried.as_ref().is_err_and(is_wrong_password) {
        // it opens nothing at the network, so it must not open the state: a corrected one would be locked out
        begun.forget_beginning()?;
    }
    tried.map_err(|error| match passwords.source {
        passwords::Source::Configured if is_wrong_password(&error) => MlsError::ConfiguredPassword(error),
        passwords::Source::Configured | passwords::Source::Typed => error.into(),
    })
}

async fn ask(store: Store, endpoint: &Endpoint, user: &str, password: &str) -> Result<LoggedIn, AccountError> {
    account::register(store, endpoint, Proof::Bot(user, password), WINDOW_MESSAGES).await
}

fn is_wrong_password(error: &AccountError) -> bool {
    matches!(error, AccountError::Connection(error) if error.refusal() == Some(RefusalCode::Password))
}

/// Completes the change of the password that is due or in progress.
pub(crate) async fn conclude(account: &LoggedIn, by: By, passwords: &Arc<Passwords>) -> Result<(), MlsError> {
    let Some(next) = next(account, by, passwords).await? else { return Ok(()) };
    let maker = if passwords.chosen.as_ref() == Some(&next) { Maker::Operator } else { Maker::Bot };
    // its owner started the bot with it, and has it already
    if next != passwords.given {
        passwords.keeper.keep(&next, maker).await?;
    }
    let change = Request::ChangePassword(ChangePassword { password: next.as_str().to_owned() });
    within(account, account.connection.call_done(change)).await?;
    on_store(account, Store::finish_password).await?;
    tracing::info!("the bot's password was changed: the one before opens nothing any more");
    Ok(())
}

/// The password that is to take over, stored; `None`: nothing changes.
async fn next(account: &LoggedIn, by: By, passwords: &Arc<Passwords>) -> Result<Option<Zeroizing<String>>, MlsError> {
    let (pending, provisional) =
        on_store(account, |store| Ok((store.next_password()?, store.is_provisional()?))).await?;
    let chosen = passwords.chosen.clone().filter(|_| by == By::Given);
    let next = match (pending, chosen) {
        // the change was interrupted: the password that may have been handed over is still the next one
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
            passwords::generate()?
        }
    };
    let stored = next.clone();
    on_store(account, move |store| store.begin_password(&stored)).await?;
    Ok(Some(next))
}

/// On a blocking thread: hashing a password takes time.
async fn on_store<T: Send + 'static>(
    account: &LoggedIn,
    work: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, MlsError> {
    let store = account.store.clone();
    let done =
        task::blocking("password", move || work(&mut store.lock().unwrap_or_else(PoisonError::into_inner))).await;
    Ok(done.map_err(|_| MlsError::Stage("password"))??)
}

async fn within<T>(
    account: &LoggedIn,
    call: impl Future<Output = Result<T, ConnectionError>>,
) -> Result<T, AccountError> {
    let address = || account.stored.address.clone();
    let answered = tokio::time::timeout(CHANGE_TIMEOUT, call).await;
    Ok(answered.map_err(|_| ConnectionError::Timeout { address: address() })??)
}
