//! `retaind lost`: the conversations that the bot could not follow, and what can be read of them now.
//!
//! Reads the bot's state, beside a running bot as well, and changes nothing but by `forget`. What it reads goes to standard
//! output as lines of records; the archive stays as it is.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use retaind_config::Config;
use retaind_device::store::{LostConversation, LostState as _, LostWriter as _, STEPS};
use retaind_process::settings;
use retaind_protocol::ids::ConversationId;
use retaind_source_mls::retry::{self, Retried};
use retaind_state::Store;

use super::Failure;

/// Its arguments.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List them: since when, why, and how many messages are kept
    List,
    /// Try to read what was kept of one, and print it as records
    Read {
        /// The conversation (`vgroupid` of its records)
        conversation: String,
    },
    /// Delete what was kept of one; the archive keeps its ciphertexts
    Forget {
        /// The conversation (`vgroupid` of its records)
        conversation: String,
    },
}

/// Runs it.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = settings::load().result.map_err(settings::failure)?.0;
    let mut store = open(&config)?;
    match arguments.command {
        Command::List => list(&store),
        Command::Read { conversation } => read(store, &config, &id(&conversation)?),
        Command::Forget { conversation } => {
            let id = id(&conversation)?;
            let lost = of(&store, &id)?;
            let forget = |tx: &retaind_state::Writer<'_>| {
                lost.iter().try_for_each(|lost| tx.forget_lost(&lost.conversation, lost.since))
            };
            store.write(forget).map_err(|error: retaind_state::StoreError| Failure::of(error))
        }
    }
}

fn open(config: &Config) -> Result<Store, Failure> {
    let password = config.account.password.as_ref().ok_or_else(|| {
        Failure::configuration("the password of the bot's state is needed: set `WICKRIO_BOT_PASSWORD` or its file")
    })?;
    let path = config.state.join(retaind_process::STATE_FILE);
    if !path.exists() {
        return Err(Failure::configuration(format!("`{}` is not there: has the bot been started?", path.display())));
    }
    Store::open(&path, password.expose().as_bytes(), STEPS).map_err(Failure::of)
}

fn id(conversation: &str) -> Result<ConversationId, Failure> {
    conversation.parse().map_err(Failure::configuration)
}

fn of(store: &Store, conversation: &ConversationId) -> Result<Vec<LostConversation>, Failure> {
    let all = store.all_lost().map_err(Failure::of)?;
    let lost: Vec<_> = all.into_iter().filter(|lost| lost.conversation == *conversation).collect();
    if lost.is_empty() {
        return Err(Failure::configuration(format!("conversation `{conversation}` was never lost, or is forgotten")));
    }
    Ok(lost)
}

fn list(store: &Store) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    for LostConversation { conversation, since, reason, ended, kept } in store.all_lost().map_err(Failure::of)? {
        let until = ended.map_or("still lost".to_owned(), |seq| format!("until message {seq}"));
        writeln!(out, "{conversation} since message {since}, {until}, {kept} messages kept: {reason}")
            .map_err(Failure::temporary)?;
    }
    Ok(())
}

fn read(store: Store, config: &Config, conversation: &ConversationId) -> Result<(), Failure> {
    let lost = of(&store, conversation)?;
    let mut out = io::stdout().lock();
    let mut unread = None;
    for lost in &lost {
        let state = store.again(retaind_state::Access::Read).map_err(Failure::of)?;
        let retried = retry::read_again(state, lost, &config.state).map_err(Failure::temporary)?;
        let Retried { records, stopped } = retried;
        for (line, _) in records.iter() {
            out.write_all(line).map_err(Failure::temporary)?;
        }
        if let Some((seq, reason)) = stopped {
            unread.get_or_insert((seq, reason));
        }
    }
    out.flush().map_err(Failure::temporary)?;
    match unread {
        None => Ok(()),
        Some((seq, reason)) => Err(Failure::temporary(format!(
            "message {seq} and what follows still cannot be read, another release may; the archive has the ciphertexts: {reason}"
        ))),
    }
}
