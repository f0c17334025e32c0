//! All events: the one table of their texts.
//!
//! Texts of the guide are verbatim where it prints them in English; the others (marked *inferred*) are translated from its
//! Japanese table, and may be corrected here without touching anything else. `eventCode`s are ours and never change.
//!
//! Invariant: no variant can hold what people said, the name of an attachment, a key or a password. A text is bounded
//! and has no control characters, whatever AWS or the network put into a reason.

use retaind_core::text::is_deceptive;
use retaind_protocol::ids::ConversationId;

/// Longest text of an event, in characters: far below the 256 KiB that SNS takes, long enough for AWS's words.
pub const MESSAGE_CHARS_MAX: usize = 1000;

/// How serious an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// In the course of things; many in a short time may be a sign.
    Normal,
    /// Somebody should look.
    Critical,
}

/// Something that an operator may want to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The bot logged in, at its start or on a new connection.
    LoggedIn,
    /// The bot begins to stop.
    ShuttingDown,
    /// The bot registered as a new device of its account.
    DeviceAdded,
    /// The evidence of the archive has a new key: auditors need its public half, from somewhere else than the archive.
    EvidenceKey {
        /// The public key, as `retaind archive verify --key` takes it.
        vkey: String,
    },
    /// A head of the evidence was signed. Whoever keeps it can show that nothing before it was taken away.
    EvidenceCheckpoint {
        /// Entries that it covers.
        entries: u64,
        /// The signed note: its lines, of which the text has the words.
        note: String,
    },
    /// There are newer versions of the bot.
    UpdatesAvailable {
        /// Their tags, newest first.
        versions: Vec<String>,
    },
    /// `failedlogin`: the password does not open the state or the account.
    BadCredentials,
    /// `failedlogin`: the network does not know the device of this state.
    UserNotFound,
    /// `failedlogin`: the network refuses a suspended account or device at the start.
    LoginSuspended,
    /// `failedlogin`: the network refuses log-in for another reason.
    AllLoginsFailed,
    /// `failedlogin`: the state belongs to another bot or network.
    NewUserOldDatabase,
    /// `provisioning`: the password prompt was ended.
    UserEnded,
    /// `provisioning`: the configured password cannot be one.
    ConfiguredPasswordBad,
    /// `provisioning`: the configuration cannot be read.
    ConfigurationUnreadable,
    /// The running bot's account was suspended.
    AccountSuspended {
        /// The network's code.
        code: i32,
        /// The network's words.
        reason: String,
    },
    /// The running bot's device was suspended.
    DeviceSuspended,
    /// The network has been away for too long.
    SwitchBoardDown {
        /// For how long, in minutes.
        minutes: u64,
    },
    /// A stage of the bot has something in hand and does not get on with it; the bot ends.
    PipelineStalled {
        /// The stage that does not move.
        stage: &'static str,
        /// For how long, in minutes.
        minutes: u64,
    },
    /// A file was not taken by S3.
    S3Failed {
        /// Name of a message file; of an attachment what its ship item is called, never its name.
        file: String,
        /// AWS's words.
        error: String,
    },
    /// Files wait, and none was shipped for a while, whatever the cause.
    ShipStalled {
        /// For how long, in minutes.
        minutes: u64,
        /// The last failure.
        error: String,
    },
    /// A conversation was opened for the bot with a key package that it does not hold.
    UnknownFallbackKey {
        /// The conversation whose key it is.
        conversation: ConversationId,
        /// Its place there.
        seq: u64,
    },
    /// The network did not deliver messages; their places are recorded as a hole.
    MessageGap {
        /// The conversation that has the gap.
        conversation: ConversationId,
        /// First place.
        from: u64,
        /// Last place.
        to: u64,
    },
    /// A message cannot be decrypted or parsed; it is recorded with its ciphertext. The text does not hold the place, so
    /// that a storm in one conversation is one text; the log and the record do.
    Undecryptable {
        /// The conversation it was sent to.
        conversation: ConversationId,
        /// Its place there.
        seq: u64,
        /// Why; no content.
        reason: String,
    },
    /// A conversation cannot be followed from a message on: every message of it is recorded with its ciphertext until the bot
    /// is added again.
    ConversationLost {
        /// The conversation.
        conversation: ConversationId,
        /// The first message that cannot be followed.
        seq: u64,
        /// Why; no content.
        reason: String,
    },
    /// More of them in a conversation of which the first was told; a number in place of an event each.
    MoreUndecryptable {
        /// The conversation they were sent to.
        conversation: ConversationId,
        /// How many since.
        count: u64,
    },
    /// More events of a kind that members can cause, of many conversations: a number in place of an event each.
    MoreOfAKind {
        /// Code of the events.
        code: &'static str,
        /// How many.
        count: u64,
    },
    /// The embedded network gives out the bot's last-resort key package, because it has no other left.
    LastResortKeyPackage,
    /// Messages are kept on the disk until they are shipped, and it has little room left.
    DiskNearlyFull {
        /// A directory on it.
        directory: String,
        /// What is left, in bytes.
        free_bytes: u64,
    },
    /// Files and state, or manifests, do not follow from one another.
    EvidenceChainBroken {
        /// Which and how; no content.
        what: String,
    },
    /// The embedded network has refused many log-ins within a minute.
    LogInsRefused {
        /// So many.
        count: u64,
    },
    /// More happened than could be told while SNS was away; the log has it all.
    EventsDropped {
        /// How many events were dropped.
        count: u64,
    },
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Stable, machine-readable.
    pub code: &'static str,
    /// How serious.
    pub severity: Severity,
    /// What people read.
    pub message: String,
}

impl Event {
    /// The table: `eventCode`, severity, text.
    pub fn row(&self) -> Row {
        use Severity::{Critical, Normal};
        let (code, severity, message) = match self {
            Self::LoggedIn => ("logged_in", Normal, "Logged in".into()),
            Self::ShuttingDown => ("shutting_down", Normal, "Shutting down".into()),
            Self::DeviceAdded => ("device_added", Normal, "A device has been added to this account!".into()),
            Self::EvidenceKey { vkey } => ("evidence_key", Normal, format!("Evidence is signed with the key {vkey}")),
            Self::EvidenceCheckpoint { entries, note } => (
                "evidence_checkpoint",
                Normal,
                format!("Evidence has {entries} entries: {}", note.split_whitespace().collect::<Vec<_>>().join(" ")),
            ),
            Self::UpdatesAvailable { .. } => ("updates_available", Normal, "There are updates available".into()),
            // inferred, down to the suspended device
            Self::BadCredentials => {
                ("failedlogin_bad_credentials", Critical, "Bad credentials. Check the password.".into())
            }
            Self::UserNotFound => ("failedlogin_user_not_found", Critical, "User not found.".into()),
            Self::LoginSuspended => ("failedlogin_suspended", Critical, "Account or device is suspended.".into()),
            Self::AllLoginsFailed => ("failedlogin_all_failed", Critical, "All logins failed.".into()),
            Self::NewUserOldDatabase => {
                ("failedlogin_database_exists", Critical, "New user but database already exists.".into())
            }
            Self::UserEnded => ("provisioning_user_ended", Critical, "User ended the command.".into()),
            Self::ConfiguredPasswordBad => {
                ("provisioning_bad_password", Critical, "Bad password in the configuration file.".into())
            }
            Self::ConfigurationUnreadable => {
                ("provisioning_configuration_unreadable", Critical, "Cannot read the configuration file.".into())
            }
            Self::AccountSuspended { code, reason } => (
                "account_suspended",
                Critical,
                format!("WickrIOClientMain::slotAdminUserSuspend: code({code}): reason: {reason}"),
            ),
            Self::DeviceSuspended => ("device_suspended", Critical, "Device is suspended.".into()),
            Self::SwitchBoardDown { minutes } => (
                "switchboard_down",
                Critical,
                format!("SwitchBoard system has been down for more than {minutes} minutes"),
            ),
            Self::S3Failed { file, error } => {
                ("s3_failed", Critical, format!("Failed to put file {file} to S3 bucket. Error: {error}"))
            }
            Self::UnknownFallbackKey { .. } => (
                "unknown_fallback_key",
                Critical,
                "SERVER SUBMITTED FALLBACK KEY: not an active fallback key known to the client".into(),
            ),
            // ours
            Self::PipelineStalled { stage, minutes } => (
                "pipeline_stalled",
                Critical,
                format!("Nothing has been archived for more than {minutes} minutes: stage {stage} does not move"),
            ),
            Self::ShipStalled { minutes, error } => (
                "ship_stalled",
                Critical,
                format!("No file has been shipped for {minutes} minutes although files wait. Last error: {error}"),
            ),
            Self::MessageGap { conversation, from, to } => (
                "message_gap",
                Critical,
                format!("Messages {from} to {to} of conversation {conversation} were not delivered by the network"),
            ),
            Self::Undecryptable { conversation, reason, .. } => (
                "undecryptable_message",
                Critical,
                format!("A message of conversation {conversation} cannot be read, its ciphertext is kept: {reason}"),
            ),
            Self::ConversationLost { conversation, seq, reason } => (
                "conversation_lost",
                Critical,
                format!(
                    "Conversation {conversation} cannot be followed since message {seq}, ciphertexts are kept: {reason}"
                ),
            ),
            Self::MoreUndecryptable { conversation, count } => (
                "undecryptable_messages",
                Critical,
                format!("{count} more messages of conversation {conversation} cannot be read, their ciphertexts are kept"),
            ),
            Self::MoreOfAKind { code, count } => (
                "more_events",
                Critical,
                format!(
                    "{count} more events `{code}` within {} minutes, of more conversations than are told of one by one: somebody may be causing them",
                    super::SUMMED_UP_AFTER.as_secs() / 60
                ),
            ),
            Self::LastResortKeyPackage => (
                "last_resort_key_package",
                Critical,
                "One-time key packages of the bot have run out, its last-resort one is given out: somebody may be using them up"
                    .into(),
            ),
            Self::DiskNearlyFull { directory, free_bytes } => (
                "disk_nearly_full",
                Critical,
                format!("Disk is nearly full: {free_bytes} bytes are left for {directory}"),
            ),
            Self::EvidenceChainBroken { what } => {
                ("evidence_chain_broken", Critical, format!("Evidence chain is broken: {what}"))
            }
            Self::LogInsRefused { count } => (
                "log_ins_refused",
                Critical,
                format!(
                    "{count} log-ins were refused by the network within a minute: somebody may be guessing passwords"
                ),
            ),
            Self::EventsDropped { count } => (
                "events_dropped",
                Critical,
                format!("{count} earlier events could not be told while SNS was away: see the log"),
            ),
        };
        Row { code, severity, message: bounded(&message) }
    }

    /// The newest version that it speaks of, for the log.
    pub fn newest(&self) -> Option<&str> {
        if let Self::UpdatesAvailable { versions } = self { versions.first().map(String::as_str) } else { None }
    }

    /// Can a member cause as many of them as it likes?
    pub(super) fn is_of_members(&self) -> bool {
        matches!(self, Self::Undecryptable { .. } | Self::ConversationLost { .. } | Self::UnknownFallbackKey { .. })
    }

    /// The conversation and place that it is about, for the log.
    pub fn place(&self) -> Option<(&ConversationId, u64)> {
        match self {
            Self::UnknownFallbackKey { conversation, seq }
            | Self::Undecryptable { conversation, seq, .. }
            | Self::ConversationLost { conversation, seq, .. } => Some((conversation, *seq)),
            Self::MessageGap { conversation, from, .. } => Some((conversation, *from)),
            Self::LoggedIn
            | Self::ShuttingDown
            | Self::DeviceAdded
            | Self::EvidenceKey { .. }
            | Self::EvidenceCheckpoint { .. }
            | Self::UpdatesAvailable { .. }
            | Self::BadCredentials
            | Self::UserNotFound
            | Self::LoginSuspended
            | Self::AllLoginsFailed
            | Self::NewUserOldDatabase
            | Self::UserEnded
            | Self::ConfiguredPasswordBad
            | Self::ConfigurationUnreadable
            | Self::AccountSuspended { .. }
            | Self::DeviceSuspended
            | Self::SwitchBoardDown { .. }
            | Self::PipelineStalled { .. }
            | Self::S3Failed { .. }
            | Self::MoreUndecryptable { .. }
            | Self::MoreOfAKind { .. }
            | Self::LastResortKeyPackage
            | Self::ShipStalled { .. }
            | Self::DiskNearlyFull { .. }
            | Self::EvidenceChainBroken { .. }
            | Self::LogInsRefused { .. }
            | Self::EventsDropped { .. } => None,
        }
    }
}

fn bounded(text: &str) -> String {
    text.chars().map(|c| if is_deceptive(c) { ' ' } else { c }).take(MESSAGE_CHARS_MAX).collect()
}
