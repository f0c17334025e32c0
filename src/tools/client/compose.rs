//! Arguments → what a message says. Pure but for the file of a saved item, whose hash is sent.

use std::fs::File;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER_PERMISSIVE;

use super::arguments::{ItemAction, Outcome, Route, Step};
use retaind_process::Failure;
use retaind_protocol::attachment::AttachmentKey;
use retaind_protocol::content::{
    AttachmentKind, Attribute, Body, Call, CallOutcome, CallPhase, CallRoute, Deletion, DeletionScope, LiveLocation,
    Pin, Position, Reaction, ReactionChange, ReadReceipt, RoomState, SavedItem, SavedItemAction, Text, TextEdit,
    UserHash, Verification, VerificationStep, changemask,
};
use retaind_protocol::ids::{MessageId, UserName};

/// Version of the calling protocol that is told.
const CALL_VERSION: u32 = 2;
const SECOND_MICROS: i64 = 1_000_000;

pub(super) fn text(text: String, links: Vec<String>) -> Body {
    Body::Text(Text { text, links })
}

pub(super) fn attachment_kind(screenshot: bool, voice_memo: Option<u32>) -> AttachmentKind {
    match voice_memo {
        Some(seconds) => AttachmentKind::VoiceMemo { seconds },
        None if screenshot => AttachmentKind::Screenshot,
        None => AttachmentKind::File,
    }
}

pub(super) fn edit(original: MessageId, text: String) -> Body {
    Body::EditText(TextEdit { original, text })
}

pub(super) fn reaction(original: MessageId, reaction: String, remove: bool) -> Body {
    let change = if remove { ReactionChange::Removed } else { ReactionChange::Added };
    Body::Reaction(Reaction { original, reaction, change })
}

pub(super) fn recall(target: MessageId, own: bool) -> Body {
    Body::Deleted(Deletion { target, scope: if own { DeletionScope::Own } else { DeletionScope::Everyone } })
}

pub(super) fn star(messages: &[MessageId], remove: bool) -> Body {
    Body::Attributes(messages.iter().map(|message| Attribute { message: *message, starred: !remove }).collect())
}

pub(super) fn pin(remove: bool) -> Body {
    Body::Pinned(if remove { Pin::Unpinned } else { Pin::Pinned })
}

pub(super) fn read_receipt(message_sent_at_micros: i64, now_micros: i64) -> Body {
    Body::ReadReceipt(ReadReceipt { message_sent_at_micros, read_at_secs: now_micros / SECOND_MICROS })
}

/// A key as hex, or one's own.
pub(super) fn key(hex: Option<&str>, own: &[u8]) -> Result<Vec<u8>, Failure> {
    match hex {
        None => Ok(own.to_vec()),
        Some(hex) => HEXLOWER_PERMISSIVE
            .decode(hex.as_bytes())
            .map_err(|_| Failure::configuration("`--key` is not an even number of hex digits")),
    }
}

pub(super) fn verification(step: Step, key: Vec<u8>) -> Body {
    let step = match step {
        Step::Request => VerificationStep::Request,
        Step::ResponseAndRequest => VerificationStep::ResponseAndRequest,
        Step::Accept => VerificationStep::Accept,
        Step::Reject => VerificationStep::Reject,
        Step::NotNow => VerificationStep::NotNow,
    };
    Body::Verification(Verification { step, key })
}

pub(super) fn location(latitude: f64, longitude: f64, until: Option<i64>, stopped: bool) -> Body {
    let position = Position { latitude, longitude };
    if until.is_none() && !stopped {
        return Body::Location(position);
    }
    Body::EditLocation(LiveLocation { position, shared_until_secs: until })
}

fn route(route: Route, members: &[UserName]) -> CallRoute {
    let users = if route.participants.is_empty() { members } else { &route.participants };
    CallRoute { participants: users.iter().map(UserHash::of).collect(), uri: route.uri, uri_ipv6: route.uri_ipv6 }
}

fn call(meeting_id: u64, phase: CallPhase) -> Body {
    Body::Call(Call { meeting_id, version: CALL_VERSION, version_check: true, phase })
}

pub(super) fn call_start(at: Route, members: &[UserName]) -> Body {
    call(at.meeting, CallPhase::Start(route(at, members)))
}

pub(super) fn call_invite(at: Route, members: &[UserName], invite: MessageId, start: MessageId) -> Body {
    call(at.meeting, CallPhase::Invite { route: route(at, members), invite, start })
}

pub(super) fn call_end(meeting: u64, start: MessageId, outcome: Outcome, duration_secs: u64) -> Body {
    let outcome = match outcome {
        Outcome::Completed => CallOutcome::Completed,
        Outcome::Missed => CallOutcome::Missed,
        Outcome::Cancelled => CallOutcome::Cancelled,
    };
    call(meeting, CallPhase::End { start, outcome, duration_secs })
}

pub(super) fn new_room(
    master: UserName,
    members: Vec<UserName>,
    title: String,
    description: String,
    ttl_secs: u64,
    bor_secs: u32,
) -> RoomState {
    let mask = |bit, set| if set { bit } else { 0 };
    let changemask = changemask::MASTERS
        | changemask::TITLE
        | mask(changemask::DESCRIPTION, !description.is_empty())
        | mask(changemask::TTL, ttl_secs > 0)
        | mask(changemask::BURN_ON_READ, bor_secs > 0);
    RoomState { changemask, title, description, masters: vec![master], members, ttl_secs, bor_secs }
}

pub(super) fn changed_room(
    members: Vec<UserName>,
    title: Option<String>,
    description: Option<String>,
    ttl_secs: Option<u64>,
    bor_secs: Option<u32>,
    masters: Vec<UserName>,
) -> Result<RoomState, Failure> {
    let mask = |bit, set| if set { bit } else { 0 };
    let changemask = mask(changemask::TITLE, title.is_some())
        | mask(changemask::DESCRIPTION, description.is_some())
        | mask(changemask::TTL, ttl_secs.is_some())
        | mask(changemask::BURN_ON_READ, bor_secs.is_some())
        | mask(changemask::MASTERS, !masters.is_empty());
    if changemask == 0 {
        return Err(Failure::configuration(
            "nothing to change: give `--title`, `--description`, `--ttl`, `--bor` or `--master`",
        ));
    }
    Ok(RoomState {
        changemask,
        title: title.unwrap_or_default(),
        description: description.unwrap_or_default(),
        masters,
        members,
        ttl_secs: ttl_secs.unwrap_or_default(),
        bor_secs: bor_secs.unwrap_or_default(),
    })
}

pub(super) fn room_with_saved_item(members: Vec<UserName>) -> RoomState {
    RoomState {
        changemask: changemask::SAVED_ITEMS,
        title: String::new(),
        description: String::new(),
        masters: Vec::new(),
        members,
        ttl_secs: 0,
        bor_secs: 0,
    }
}

pub(super) fn saved_item(
    path: &Path,
    action: ItemAction,
    folder: String,
    modified_by: UserName,
    now_micros: i64,
) -> Result<SavedItem, Failure> {
    let failed = |error: std::io::Error| Failure::configuration(format!("file `{}`: {error}", path.display()));
    let mut hash = Hash(Context::new(&SHA256));
    std::io::copy(&mut File::open(path).map_err(failed)?, &mut hash).map_err(failed)?;
    let mut sha256 = [0u8; 32];
    sha256.copy_from_slice(hash.0.finish().as_ref());
    let action = match action {
        ItemAction::Create => SavedItemAction::Create,
        ItemAction::Upload => SavedItemAction::Upload,
        ItemAction::Save => SavedItemAction::Save,
        ItemAction::Rename => SavedItemAction::Rename,
        ItemAction::Move => SavedItemAction::Move,
        ItemAction::Delete => SavedItemAction::Delete,
    };
    Ok(SavedItem {
        sha256,
        guid: retaind_device::conversations::random().map_err(Failure::internal)?,
        domain: String::new(),
        key: AttachmentKey::generate().map_err(Failure::internal)?,
        action,
        target: "file".to_owned(),
        name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        path: folder,
        modified_by,
        modified_at_secs: now_micros / SECOND_MICROS,
    })
}

struct Hash(Context);

impl std::io::Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
