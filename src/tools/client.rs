//! `retaind client`: a device on the command line.
//!
//! Each command opens the state (alone: a lock file keeps a second process out, because two that share a ratchet would
//! use a key twice), logs in, does one thing and ends. What others sent meanwhile is read on the way and printed like
//! `listen` prints it, because it can be read only once.
//!
//! Crash: the state is stored before anything leaves the device, so a killed command betrays nothing and the next one
//! goes on. Whether the message of a killed command was accepted is not known to it: `listen` of another member tells.
//!
//! Not here: an archive of what was said. What has been printed is forgotten.

mod arguments;
mod compose;
mod replay;
mod session;
mod show;

use std::io::{self, Read, Write};
use std::time::Duration;

use self::arguments::{Call, Command, Group, Life, Room};
use self::session::Session;
use self::show::{Form, Screen};
use retaind_config::env;
use retaind_process::Failure;
use retaind_protocol::content::Body;
use retaind_protocol::ids::{ConversationKind, UserName};
use retaind_protocol::limits::CONTENT_BYTES_MAX;

pub use self::arguments::Arguments;

/// Runs it.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::temporary)?;
    let mut stdout = io::stdout();
    runtime.block_on(client(arguments, &mut stdout))
}

async fn client(arguments: Arguments, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let Arguments { state, password_file, json, patience, command } = arguments;
    let mut screen = Screen { out, form: if json { Form::Json } else { Form::Text } };
    let patience = Duration::from_secs(patience);
    if let Command::Replay(arguments) = command {
        return replay::run(arguments, patience, &mut screen).await;
    }
    let state =
        state.ok_or_else(|| Failure::configuration("`--state DIR` is needed: where this device keeps its keys"))?;
    let password = session::password(password_file.as_deref(), env::client_password)?;
    if let Command::Register { invite } = &command {
        return session::register(&state, &password, invite, patience, &mut screen).await;
    }
    let mut session = Session::open(&state, &password, patience, screen).await?;
    perform(&mut session, command).await
}

async fn perform(session: &mut Session<'_>, command: Command) -> Result<(), Failure> {
    match command {
        // these two need no session and were done before
        Command::Register { .. } | Command::Replay(_) => Ok(()),
        Command::Direct { user, text, life } => direct(session, user, text, Vec::new(), life).await,
        Command::Group { command: Group::Create { users } } => {
            session.create(ConversationKind::Group, &users).await?;
            Ok(())
        }
        Command::Room { command } => room(session, command).await,
        Command::Send { mut words, to, links, life } => {
            let text = words.pop().unwrap_or_default();
            match (to, words.pop()) {
                (Some(user), None) => direct(session, user, text, links, life).await,
                (None, Some(conversation)) => {
                    let conversation = conversation.parse().map_err(Failure::configuration)?;
                    session.send(&conversation, compose::text(read_text(text)?, links), &life).await
                }
                (Some(_), Some(_)) => Err(Failure::configuration("give `--to USER` or a conversation, not both")),
                (None, None) => {
                    Err(Failure::configuration("give a conversation and a text, or `--to USER` and a text"))
                }
            }
        }
        Command::SendFile { conversation, path, screenshot, voice_memo, life } => {
            let kind = compose::attachment_kind(screenshot, voice_memo);
            session.send_file(&conversation, &path, kind, &life).await
        }
        Command::Edit { conversation, message, text } => {
            session.tell(&conversation, compose::edit(message, read_text(text)?)).await
        }
        Command::React { conversation, message, reaction, remove } => {
            session.tell(&conversation, compose::reaction(message, reaction, remove)).await
        }
        Command::Recall { conversation, message, own } => {
            session.tell(&conversation, compose::recall(message, own)).await
        }
        Command::Star { conversation, messages, remove } => {
            session.tell(&conversation, compose::star(&messages, remove)).await
        }
        Command::SyncAttributes { conversation } => session.tell(&conversation, Body::AttributeSync).await,
        Command::Pin { conversation, remove } => session.tell(&conversation, compose::pin(remove)).await,
        Command::Read { conversation, sent_at_micros } => {
            session.tell(&conversation, compose::read_receipt(sent_at_micros, session::now_micros())).await
        }
        Command::Verify { conversation, step, key } => {
            let key = compose::key(key.as_deref(), session.own_key())?;
            session.tell(&conversation, compose::verification(step, key)).await
        }
        Command::Call { command } => call(session, command).await,
        Command::Location { conversation, latitude, longitude, until, stopped } => {
            session.tell(&conversation, compose::location(latitude, longitude, until, stopped)).await
        }
        Command::Listen { count } => session.listen(count).await,
        Command::List => session.list().await,
        Command::Members { conversation } => session.members(&conversation).await,
    }
}

async fn direct(
    session: &mut Session<'_>,
    user: UserName,
    text: String,
    links: Vec<String>,
    life: Life,
) -> Result<(), Failure> {
    let text = read_text(text)?;
    let conversation = session.direct_with(&user).await?;
    session.send(&conversation, compose::text(text, links), &life).await
}

async fn room(session: &mut Session<'_>, command: Room) -> Result<(), Failure> {
    match command {
        Room::Create { title, users, description, ttl, bor } => {
            let conversation = session.create(ConversationKind::Room, &users).await?;
            let members = session.member_names(&conversation)?;
            let state = compose::new_room(session.own_name(), members, title, description, ttl, bor);
            session.tell(&conversation, Body::RoomCreated(state)).await
        }
        Room::Add { conversation, users } => session.change(&conversation, &users, &[]).await,
        Room::Remove { conversation, users } => session.change(&conversation, &[], &users).await,
        Room::Leave { conversation } => session.leave(&conversation).await,
        Room::Modify { conversation, title, description, ttl, bor, masters } => {
            session.catch_up(&conversation).await?;
            let members = session.member_names(&conversation)?;
            let state = compose::changed_room(members, title, description, ttl, bor, masters)?;
            session.tell(&conversation, Body::RoomModified(state)).await
        }
        Room::SaveItem { conversation, path, action, folder } => {
            session.catch_up(&conversation).await?;
            let members = session.member_names(&conversation)?;
            let item = compose::saved_item(&path, action, folder, session.own_name(), session::now_micros())?;
            let state = compose::room_with_saved_item(members);
            session.tell(&conversation, Body::SavedItem(state, Box::new(item))).await
        }
        Room::Delete { conversation } => session.tell(&conversation, Body::RoomDeleted).await,
    }
}

async fn call(session: &mut Session<'_>, command: Call) -> Result<(), Failure> {
    match command {
        Call::Start { conversation, route } => {
            session.catch_up(&conversation).await?;
            let members = session.member_names(&conversation)?;
            session.tell(&conversation, compose::call_start(route, &members)).await
        }
        Call::Invite { conversation, start, route } => {
            session.catch_up(&conversation).await?;
            let members = session.member_names(&conversation)?;
            // an invitation names its own message
            let message = session::message_id()?;
            let body = compose::call_invite(route, &members, message, start);
            session.tell_as(&conversation, message, body).await
        }
        Call::End { conversation, start, meeting, duration, outcome } => {
            session.tell(&conversation, compose::call_end(meeting, start, outcome, duration)).await
        }
    }
}

/// The text itself, or standard input for `-`.
fn read_text(text: String) -> Result<String, Failure> {
    if text != "-" {
        return Ok(text);
    }
    let mut read = String::new();
    let limit = (CONTENT_BYTES_MAX as u64).saturating_add(1);
    io::stdin()
        .take(limit)
        .read_to_string(&mut read)
        .map_err(|error| Failure::configuration(format!("text on standard input: {error}")))?;
    Ok(read)
}
