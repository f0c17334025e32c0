//! retaind keeps every message of an end-to-end encrypted network for those who must, and proves it.
//!
//! A bot is a member of every conversation. It receives and decrypts what it is sent, writes one line of JSON for each
//! message into files that rotate by size and time, keeps attachments beside them, and acknowledges to the network
//! only what is on stable storage. The network that it serves is part of this crate, too: embedded in the bot's
//! process by default, or on its own.
//!
//! # The promise
//!
//! > A message is acknowledged to the network only after its record is on stable storage. Killed at any instant, with any
//! > single fault of disk or network, the bot loses no acknowledged message and records none twice.
//!
//! ```text
//!  Delivered ─► Chunk ─► [File] ─► append, sync ─► transaction ─► settle ─► Durable ─► acknowledge
//!  receive      decrypt  fetch     segment         state          names     commit     receive
//!                                                                   │
//!                            sealed, in the durable queue ◄─────────┘
//!                            └─► [encrypt] ─► S3 ─► Stored ─► transaction ─► remove the local file
//!                                encrypt      ship                           ship
//! ```
//!
//! There is one commit point ([`bot::commit`]). MLS states, cursors, lengths and hash chains of the message files, names of
//! attachments and the ship queue are one SQLite transaction, made after everything they speak of has been synced.
//! Whatever a crash leaves beyond it is cut off at the next start, and the network delivers the same messages again
//! to the same MLS states. There is no other start-up than this recovery.
//!
//! A call of the disk that fails ends the bot, and what a failed sync has left behind is trusted by nobody: message files are cut
//! to what was committed, and the state's log is written anew before anything is built on it ([`bot::state::renew_log`]).
//! How that is tried, with power lost at every call, is in `tests/support/sim`; the table of what came of it in README.md.
//!
//! What is sealed leaves the disk by the same rule: first the destination's proof, then its commit, then the removal. Nothing is
//! ever overwritten there, and the queue's ledger tells a lost answer from a stranger's object ([`bot::ship`]). While S3 or KMS is
//! away the disk is the queue, and the bot goes on archiving.
//!
//! Exactly once follows from three facts: the network gives each conversation gap-free places (`seq`) and keeps every
//! message for a device until that device acknowledges it ([`protocol::wire`]); the cursor of a conversation is in the same
//! transaction as the records up to it; a place at or below the cursor is passed over, a place that did not come is asked for on
//! a new connection, and recorded as a hole if it does not come there either. So every place of a conversation has exactly one
//! record.
//!
//! # Map
//!
//! | room | what |
//! |---|---|
//! | [`protocol`] | what devices and network share: pure values |
//! | [`device`] | an MLS device: sealed state, connection, conversations; the bot and `retaind client` are both devices |
//! | [`network`] | directory of users and devices, delivery, blobs; sees no plaintext |
//! | [`bot`] | the data path above; knows the network only as any device does, over the wire, also when embedded |
//! | [`aws`] | S3, KMS, Secrets Manager, SNS, CloudWatch: the only room that knows the SDK |
//! | [`report`] | counters, events to SNS, metrics to CloudWatch, health, logs; never in the way of the data path |
//! | [`schema`] | versions of the SQLite files of bot, devices and network, and the way up from one to the next |
//! | [`config`] | the table of variables; the only room that reads the environment |
//! | [`process`] | configuration → build → application → drain, signals, and the end of the time that a stop may take |
//! | [`tools`] | client, demo and replay: what a bot's image does not need |
//! | [`cli`] | one file a subcommand; but for the password's dialogue the only rooms that print |
//!
//! Imports point downwards: cli → tools → process → config, bot, network, source → device, report → aws, protocol, schema. `bot` does not import `network`.
//!
//! # Threat model
//!
//! What each party can do, and what stops it. "Cannot" rests on MLS (RFC 9420) with AES-256 and P-384 by AWS-LC.
//!
//! - **The network** sees who is in which conversation, when messages are sent and how long they are; handshakes are
//!   readable to it so that it can enforce membership and retention. It cannot read or forge messages, nor put a device
//!   into a conversation unnoticed: every member checks every credential and sees every change of membership. It holds the
//!   authentication key and can therefore make a device under any user's name; such a device is a visible member, and is
//!   recorded as one. It can withhold messages: a hole in the places of a conversation is recorded as a hole; messages withheld
//!   from the end of all conversations look like silence.
//! - **A stranger on the wire** sees TLS 1.3. The network's certificate is checked against the authority that came with
//!   the invite or the configuration; nothing else is trusted. Before log-in a connection may hold some KiB of memory,
//!   for seconds.
//! - **A member device** may send anything. Frames, contents, names and attachments go through bounded decoders;
//!   what cannot be read is a record with its ciphertext, never a crash and never a gap. Sizes and times that it claims
//!   are recorded as claims. It cannot act as another device: MLS authenticates the sender, log-in the connection.
//! - **Who reads the disk** of the bot finds the archive in clear (that is its purpose; protect the volume) and the device's
//!   keys sealed under the bot's password ([`device::vault`]). Ids of conversations, cursors and sizes are in clear.
//!   Who can change the disk can change the archive; the hash chain of each file is in the state.
//! - **Who has the bot's password and state** is the bot: can read what is delivered from then on. Keys of past messages
//!   are deleted as they are used, so what was acknowledged cannot be decrypted again.
//! - **AWS**, or who reads the bucket, sees the names of objects (an attachment's name is in its key), their sizes and times. With a KMS key
//!   the content is sealed before it leaves the host (AES-256-GCM, one data key an object, key commitment by default); without one it is as open as the bucket is.
//!   S3 cannot alter an object unnoticed where it is encrypted. The bot's role may put objects and make data keys, and needs nothing
//!   else: who steals it can add objects, but neither read nor delete any, nor replace one where the bucket's policy denies that
//!   (`config/iam/bucket-policy.json`) or objects are locked.
//! - **A process of the host** can ask the health endpoint ([`report::health`]): it is told counts, and can keep others from
//!   asking for some seconds; it cannot slow or stop the bot.
//! - **The registry of the image** ([`report::updates`]) is told the image's name and that a bot runs here. It can say that there are
//!   newer versions where there are none; its answers are bounded, nothing is downloaded, and nothing waits for it.
//! - **Logs, metrics, events and errors** hold ids, counts and reasons; never contents, names of files, keys or passwords.
#![forbid(unsafe_code)]

pub mod cli;

pub use retaind_archive as archive;
pub use retaind_aws as aws;
pub use retaind_bot as bot;
pub use retaind_config as config;
pub use retaind_core as core;
pub use retaind_device as device;
pub use retaind_network as network;
pub use retaind_process as process;
pub use retaind_protocol as protocol;
pub use retaind_report as report;
pub use retaind_source_mls as source_mls;
pub use retaind_state as state;
#[cfg(feature = "tools")]
pub use retaind_tools::{self as tools, replay};
