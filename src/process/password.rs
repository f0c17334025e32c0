//! Where the bot's password comes from, and where a new one goes.
//!
//! Three sources: a variable or its file, the secret, the terminal. Two keepers: the terminal or container log, which
//! shows a generated password once, and the secret. Neither the log files nor the log lines ever have one.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use zeroize::Zeroizing;

use super::Failure;
use super::prompt::{self, Entry, NoPassword};
use super::settings;
use retaind_aws::secrets::{self, SecretText};
use retaind_aws::{Aws, AwsError};
use retaind_bot::passwords::{Keeper, Maker, NotKept, Passwords, Source};
use retaind_bot::run as bot;
use retaind_config::Config;
use retaind_config::account::StorePassword;
use retaind_config::aws::SecretPlace;
use retaind_config::secret::Secret;
use retaind_core::fault::{Fault, Faulty as _};
use retaind_report::events::{Event, Events};
use tokio_util::sync::CancellationToken;

/// The key of the secret that holds the password.
const KEY: &str = "password";

/// The passwords of this start. `None`: told to stop while somebody was asked.
pub(crate) async fn obtain(
    config: &Config,
    state: &Path,
    stop: &CancellationToken,
    events: &Events,
) -> Result<Option<Arc<Passwords>>, Failure> {
    let expose = |secret: &Secret| Zeroizing::new(secret.expose().to_owned());
    let (given, source) = match &config.account.password {
        Some(password) => (expose(password), Source::Configured),
        None if prompt::is_possible() => {
            let entry = if state.exists() { Entry::Once } else { Entry::Twice };
            match prompt::ask(entry, stop).await {
                Ok(password) => (password, Source::Typed),
                Err(error) => {
                    bot::tell(events, Some(Event::UserEnded));
                    return match error {
                        NoPassword::Stopped => Ok(None),
                        NoPassword::Ended | NoPassword::Terminal(_) => Err(Failure::configuration(error)),
                    };
                }
            }
        }
        None => {
            return Err(Failure::configuration(
                "WICKRIO_BOT_PASSWORD is not set, and there is no terminal to ask for the password: set it, its `_FILE` or the secret's `password`, or start the bot with `-i` and `-t`",
            ));
        }
    };
    let chosen = config.account.new_password.as_ref().map(expose);
    let keeper: Arc<dyn Keeper> = match (config.account.store_password, &config.aws.secret) {
        (StorePassword::Secret, Some(place)) => {
            Arc::new(InSecret { aws: settings::connect_as(&config.aws).await?, place: place.clone() })
        }
        (StorePassword::Terminal, _) | (StorePassword::Secret, None) => Arc::new(Banner),
    };
    Ok(Some(Arc::new(Passwords { given, source, chosen, keeper })))
}

/// Shows a generated password once.
struct Banner;

impl Keeper for Banner {
    fn keep<'a>(&'a self, password: &'a str, maker: Maker) -> BoxFuture<'a, Result<(), NotKept>> {
        let shown = match maker {
            Maker::Bot => show(password).map_err(|error| NotKept {
                why: format!("standard output takes no banner: {error}; start the bot with one that is read"),
                fault: Fault::Temporary,
            }),
            // who chose it has it
            Maker::Operator => Ok(()),
        };
        std::future::ready(shown).boxed()
    }
}

/// Past the buffer of standard output, in one piece between the lines of others.
fn show(password: &str) -> io::Result<()> {
    const STARS: &str = "********************************************************************\n";
    let mut banner = Zeroizing::new(String::with_capacity(1024));
    banner.push_str(STARS);
    banner.push_str("**** GENERATED PASSWORD\n");
    banner.push_str("**** DO NOT LOSE THIS PASSWORD, YOU WILL NEED TO ENTER IT EVERY TIME\n");
    banner.push_str("**** TO START THE BOT\n");
    banner.push('"');
    banner.push_str(password);
    banner.push_str("\"\n");
    banner.push_str(STARS);
    let mut out = io::stdout().lock();
    out.flush()?;
    let mut rest = banner.as_bytes();
    while !rest.is_empty() {
        match rustix::io::write(out.as_fd(), rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Keeps the password in the secret that the configuration came from, beside what else stands there.
struct InSecret {
    aws: Aws,
    place: SecretPlace,
}

impl Keeper for InSecret {
    fn keep<'a>(&'a self, password: &'a str, _: Maker) -> BoxFuture<'a, Result<(), NotKept>> {
        self.store(password).boxed()
    }
}

impl InSecret {
    async fn store(&self, password: &str) -> Result<(), NotKept> {
        let SecretPlace { name, region } = &self.place;
        let text = match secrets::read(&self.aws, region, name).await.map_err(|error| refused(&error))? {
            SecretText::Text(text) => text,
            SecretText::Binary => {
                return Err(NotKept { why: format!("secret `{name}` is binary"), fault: Fault::Configuration });
            }
        };
        let changed = with_password(&text, password).ok_or_else(|| NotKept {
            why: format!("secret `{name}` is no JSON object any more"),
            fault: Fault::Configuration,
        })?;
        secrets::write(&self.aws, region, name, &changed).await.map_err(|error| refused(&error))
    }
}

fn refused(error: &AwsError) -> NotKept {
    NotKept {
        why: error.to_string(),
        fault: if error.is_temporary() { Fault::Temporary } else { Fault::Configuration },
    }
}

/// The secret's text with another password, all else as it is.
fn with_password(text: &str, password: &str) -> Option<Zeroizing<String>> {
    let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    object.insert(KEY.to_owned(), password.into());
    let text = serde_json::to_string(&object).ok().map(Zeroizing::new);
    for value in object.values_mut() {
        if let serde_json::Value::String(text) = value {
            zeroize::Zeroize::zeroize(text);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_of_a_secret_is_changed() {
        let text = r#"{"password":"old","s3_bucket_name":"bucket","more":"\u00e9\"\\"}"#;
        let changed = with_password(text, "new").unwrap();
        let value: serde_json::Value = serde_json::from_str(&changed).unwrap();
        assert_eq!(value, serde_json::json!({"password": "new", "s3_bucket_name": "bucket", "more": "é\"\\"}));
        assert!(with_password("[]", "new").is_none());
        assert!(with_password("old", "new").is_none());
    }
}
