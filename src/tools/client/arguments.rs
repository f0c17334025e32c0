//! What can be said on the command line of `retaind client`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use retaind_protocol::ids::{ConversationId, MessageId, UserName};

/// `retaind client`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Directory of this device's state: keys and conversations, encrypted under the password
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// File that holds the password of the state; without it RETAIND_CLIENT_PASSWORD or RETAIND_CLIENT_PASSWORD_FILE
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Seconds to bear a network that is away before giving up
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 10)]
    pub patience: u64,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// One variant a command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make this state a new device, with an invite as `retaind network invite` prints it
    Register { invite: String },
    /// Send a text to a user, in the conversation with that user or a new one
    Direct {
        user: UserName,
        /// `-` reads standard input
        text: String,
        #[command(flatten)]
        life: Life,
    },
    /// Group conversations
    Group {
        #[command(subcommand)]
        command: Group,
    },
    /// Rooms: make them, change them
    Room {
        #[command(subcommand)]
        command: Room,
    },
    /// Send a text: `send CONVERSATION TEXT`, or `send --to USER TEXT`
    Send {
        /// Where to (not with `--to`), and the text; `-` reads standard input
        #[arg(value_names = ["CONVERSATION", "TEXT"], num_args = 1..=2, required = true)]
        words: Vec<String>,
        /// To this user, in the conversation with that user or a new one
        #[arg(long, value_name = "USER")]
        to: Option<UserName>,
        /// A link that the text contains
        #[arg(long = "link", value_name = "URL")]
        links: Vec<String>,
        #[command(flatten)]
        life: Life,
    },
    /// Encrypt a file under a key of its own, upload it and send it
    SendFile {
        conversation: ConversationId,
        path: PathBuf,
        /// Say that it is a screenshot
        #[arg(long, conflicts_with = "voice_memo")]
        screenshot: bool,
        /// Say that it is a voice message of this length
        #[arg(long, value_name = "SECONDS")]
        voice_memo: Option<u32>,
        #[command(flatten)]
        life: Life,
    },
    /// Correct a text
    Edit { conversation: ConversationId, message: MessageId, text: String },
    /// React to a message
    React {
        conversation: ConversationId,
        message: MessageId,
        /// Usually one emoji
        reaction: String,
        /// Take the reaction away
        #[arg(long)]
        remove: bool,
    },
    /// Recall a message for everybody
    Recall {
        conversation: ConversationId,
        message: MessageId,
        /// Delete it on one's own devices only
        #[arg(long)]
        own: bool,
    },
    /// Star messages
    Star {
        conversation: ConversationId,
        #[arg(required = true)]
        messages: Vec<MessageId>,
        /// Take the stars away
        #[arg(long)]
        remove: bool,
    },
    /// Ask one's other devices for starred messages
    SyncAttributes { conversation: ConversationId },
    /// Pin the conversation
    Pin {
        conversation: ConversationId,
        /// Unpin it
        #[arg(long)]
        remove: bool,
    },
    /// Send a read receipt
    Read {
        conversation: ConversationId,
        /// When the message was sent (its `sent_at_micros`)
        #[arg(value_name = "SENT_AT_MICROS")]
        sent_at_micros: i64,
    },
    /// A step of comparing keys
    Verify {
        conversation: ConversationId,
        step: Step,
        /// The key that is verified, hex; this device's if not given
        #[arg(long, value_name = "HEX")]
        key: Option<String>,
    },
    /// Calls: what is told about them
    Call {
        #[command(subcommand)]
        command: Call,
    },
    /// Send a position
    Location {
        conversation: ConversationId,
        #[arg(allow_negative_numbers = true)]
        latitude: f64,
        #[arg(allow_negative_numbers = true)]
        longitude: f64,
        /// A position on the way, while sharing it until this second since 1970
        #[arg(long, value_name = "SECONDS", conflicts_with = "stopped")]
        until: Option<i64>,
        /// The last position: sharing has stopped
        #[arg(long)]
        stopped: bool,
    },
    /// Print what arrives, until interrupted
    Listen {
        /// Stop after so many events
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
    /// List conversations
    List,
    /// List the members of a conversation
    Members { conversation: ConversationId },
    /// Replay a logged conversation, a device a nickname; needs no state
    Replay(super::replay::Arguments),
}

/// How long a message lives.
#[derive(Debug, Args)]
pub struct Life {
    /// When it expires, seconds since 1970
    #[arg(long, value_name = "SECONDS")]
    pub ttl: Option<i64>,
    /// Burn on read: seconds after reading; 0 = no
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub bor: u32,
}

/// Group conversations.
#[derive(Debug, Subcommand)]
pub enum Group {
    /// Start one
    Create {
        #[arg(required = true)]
        users: Vec<UserName>,
    },
}

/// Rooms. `add`, `remove` and `leave` work for groups as well.
#[derive(Debug, Subcommand)]
pub enum Room {
    /// Make a room
    Create {
        title: String,
        users: Vec<UserName>,
        #[arg(long, default_value = "")]
        description: String,
        /// Seconds that messages live
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        ttl: u64,
        /// Seconds that messages live once read
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        bor: u32,
    },
    /// Add users
    Add {
        conversation: ConversationId,
        #[arg(required = true)]
        users: Vec<UserName>,
    },
    /// Remove users
    Remove {
        conversation: ConversationId,
        #[arg(required = true)]
        users: Vec<UserName>,
    },
    /// Ask to be removed: takes effect with the next change that somebody else makes
    Leave { conversation: ConversationId },
    /// Change what is told of the room; what is not given is not marked as changed
    Modify {
        conversation: ConversationId,
        #[arg(long)]
        title: Option<String>,
        #[arg(long)]
        description: Option<String>,
        /// Seconds that messages live
        #[arg(long, value_name = "SECONDS")]
        ttl: Option<u64>,
        /// Seconds that messages live once read
        #[arg(long, value_name = "SECONDS")]
        bor: Option<u32>,
        /// Who may change the room
        #[arg(long = "master", value_name = "USER")]
        masters: Vec<UserName>,
    },
    /// Tell what was done to a saved item of the room
    SaveItem {
        conversation: ConversationId,
        /// The file; its hash is sent
        path: PathBuf,
        #[arg(long, default_value = "upload")]
        action: ItemAction,
        /// Folder that it is in
        #[arg(long, default_value = "/")]
        folder: String,
    },
    /// Tell everybody that the room is deleted
    Delete { conversation: ConversationId },
}

/// What can be done with a call.
#[derive(Debug, Subcommand)]
pub enum Call {
    /// A call starts
    Start {
        conversation: ConversationId,
        #[command(flatten)]
        route: Route,
    },
    /// Somebody is invited to a call
    Invite {
        conversation: ConversationId,
        /// Message that started the call
        start: MessageId,
        #[command(flatten)]
        route: Route,
    },
    /// A call is over
    End {
        conversation: ConversationId,
        /// Message that started the call
        start: MessageId,
        #[arg(long, default_value_t = 0)]
        meeting: u64,
        /// How long it was, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        duration: u64,
        #[arg(long, default_value = "completed")]
        outcome: Outcome,
    },
}

/// Where a call is, and for whom.
#[derive(Debug, Args)]
pub struct Route {
    /// Id of the meeting
    #[arg(long, default_value_t = 0)]
    pub meeting: u64,
    /// Address over IPv4
    #[arg(long, default_value = "")]
    pub uri: String,
    /// Address over IPv6
    #[arg(long, default_value = "")]
    pub uri_ipv6: String,
    /// Users; all members if not given
    #[arg(long = "participant", value_name = "USER")]
    pub participants: Vec<UserName>,
}

/// Steps of comparing keys.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Step {
    Request,
    ResponseAndRequest,
    Accept,
    Reject,
    NotNow,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Outcome {
    Completed,
    Missed,
    Cancelled,
}

/// What can be done to a saved item.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ItemAction {
    Create,
    Upload,
    Save,
    Rename,
    Move,
    Delete,
}
