//! retaind keeps every message of an end-to-end encrypted network for those who must, and proves it.
//!
//! A bot is a member of every conversation. It receives and decrypts what it is sent, writes one line of JSON for each
//! message into files that rotate by size and time, keeps attachments beside them, and acknowledges to the network
//! only what is on stable storage. The network that it archives is part of this program, too: embedded in the bot's
//! process by default, or on its own.
//!
//! # The promise
//!
//! > A message is acknowledged to the network only after its record is on stable storage. Killed at any instant, with any
//! > single fault of disk or network, the bot loses no acknowledged message and records none twice.
//!
//! ```text
//!  Delivered ─► Decrypted ─► [File] ─► Chunk ─► append, sync ─► transaction ─► settle ─► Durable ─► acknowledge
//!  receive      decrypt      fetch     change   segment         state          names     commit     receive
//!                                                                   │
//!                            sealed, in the durable queue ◄─────────┘
//!                            └─► [encrypt] ─► S3 ─► Stored ─► transaction ─► remove the local file
//!                                encrypt      aws   ship       state         ship
//! ```
//!
//! The seam is the chunk ([`bot::source`]): lines, files and a change of the source's state that belong together. All that
//! comes after it knows no network.
//!
//! There is one commit point ([`bot::commit`]). The source's state (for MLS: keys and cursors), lengths and hash chains of the
//! message files, names of attachments and the ship queue are one SQLite transaction, made after everything that they refer to
//! has been synced. What a crash leaves beyond it is cut off at the next start, and the network delivers the same messages
//! again to the same MLS states. There is no start-up other than this recovery.
//!
//! A failed call of the disk ends the bot, and nothing that a failed sync has left behind is trusted: message files are cut
//! to what was committed, and the state's log is written again before anything is built on it ([`bot::state::renew_log`]).
//! `tests/support/sim` tests that with power lost at every call; docs/proof.md has the results.
//!
//! What is sealed leaves the disk by the same rule: first the destination's proof, then its commit, then the removal. Nothing is
//! ever overwritten there, and the queue's ledger distinguishes a lost answer from a foreign object ([`bot::ship`]). While S3 or
//! KMS is away the disk is the queue, and the bot continues to archive.
//!
//! That nothing is missing and nothing was changed is shown by a log of signed entries ([`bot::evidence`]): the entry of a sealed
//! file is in the transaction that seals it, and says for each conversation which places the file has.
//!
//! Exactly once follows from three facts: the network gives each conversation gap-free places (`seq`) and keeps every
//! message for a device until that device acknowledges it ([`protocol::wire`]); the cursor of a conversation is in the same
//! transaction as the records up to it; a place at or below the cursor is skipped, a missing place is requested on
//! a new connection, and recorded as a hole if it does not come there either. So every place of a conversation has exactly one
//! record.
//!
//! # Map
//!
//! Each room is a crate of its own, except the last, which is this one.
//!
//! | room | what | knows |
//! |---|---|---|
//! | [`core`] | what to do about an error, the wall clock, pauses between tries | – |
//! | [`task`] | the one way to start a task or thread: with a name | – |
//! | [`http`] | HTTP/1.1 with limits on both sides: server and client, which know nothing of what is asked | – |
//! | [`protocol`] | what devices and network share: pure values | – |
//! | [`archive`] | the archive's formats: records, names of attachments, the encryption envelope; pure | core, protocol |
//! | [`evidence`] | what proves the archive: entries, tree, keys, checkpoints; pure | – |
//! | [`verify`] | judges an archive by its evidence, and proves parts of it | evidence |
//! | [`reader`] | reads an archive: `ls`, `cat`, `search`, `stats` | – |
//! | [`export`] | an archive in the formats of review platforms | reader |
//! | [`state`] | one sealed SQLite file: transactions, versions of its schema, vault | core, protocol |
//! | [`aws`] | S3, KMS, Secrets Manager, SNS, CloudWatch: the only room that knows the SDK | archive |
//! | [`report`] | counters, events to SNS, metrics, health, logs; never in the way of the data path | aws, http, protocol |
//! | [`config`] | the table of variables; the only room that reads the environment | archive, aws, report |
//! | [`device`] | an MLS device: account, connection, conversations; for the MLS source and `retaind client` | state, protocol |
//! | [`network`] | directory of users and devices, delivery, blobs; sees no plaintext | state, protocol |
//! | [`bot`] | the data path from the chunk to the destination, whatever the source | archive, evidence, state, aws, report |
//! | [`source_mls`] | the MLS source: receive, decrypt, fetch; over the wire, also if embedded | bot, device |
//! | [`process`] | a bot's process: configuration → build → application → drain; signals, deadline of a stop | config, bot, source_mls, network |
//! | [`tools`] | client, demo and replay: what a bot's image does not need (the feature `tools`) | process, device |
//! | [`cli`] | one file a subcommand | process, tools, reader, export, verify |
//!
//! A room knows only rooms above it; the last column leaves out what a room knows through another. `bot` knows
//! neither `device` nor `network`: it archives a source and does not know which.
//!
//! # Threat model
//!
//! What each party can do, and what stops it. SECURITY.md names the tests that hold each sentence. "Cannot" rests on MLS (RFC
//! 9420) with AES-256 and P-384 by AWS-LC.
//!
//! - **The network** sees who is in which conversation, when messages are sent and how long they are; it can read
//!   handshakes, so that it can enforce membership and retention. It cannot read or forge messages, nor put a device
//!   into a conversation unnoticed: every member checks every credential and sees every change of membership. It holds the
//!   authentication key and can therefore make a device under any user's name; such a device is a visible member, and is
//!   recorded as one. It can withhold messages: a hole in the places of a conversation is recorded as a hole; messages withheld
//!   from the end of all conversations look like silence.
//! - **A stranger on the wire** sees TLS 1.3. The network's certificate is checked against the authority that came with
//!   the invite or the configuration; nothing else is trusted. Before log-in a connection may hold some KiB of memory, for
//!   seconds, and has a handful of requests, one hello and one try to log in. One address has a share of the places, and the
//!   newest always gets one, so that idle sockets lock nobody out; places are kept for this host and for addresses of bots.
//!   Guessing a password gets slower for the address that guesses, in memory that is allocated once, and never for an address
//!   that has not failed. What it does is counted, not logged: one line sums it up, and many refused log-ins are an event. Failed
//!   log-ins are audited with address, claimed account and number, in rows that are summed up and bounded.
//! - **A member device** may send anything. Frames, contents, names and attachments go through bounded decoders;
//!   what cannot be read is a record with its ciphertext, never a crash and never a gap. A record is one line for every reader
//!   of lines, and a name of a file one that any list can carry, whatever it sent. Times that it claims are recorded as
//!   claims. What it claims of a file hides nothing: what the key opens is kept under its true size and hash, with the claim
//!   beside them, and what it does not open is kept as ciphertext. It can break its own conversation by a change that others
//!   cannot follow, and stops nothing else: the bot keeps the ciphertexts and says so, and the network accepts nothing there
//!   until the bot was added again and is in the group that the network tracks. A message that ends the bot's process three times
//!   in a row costs its conversation in the same way, and not the archive of others. What a handshake makes members keep is bounded
//!   in bytes, and so is what the bot's state keeps of all conversations that it cannot follow. A device whose messages the bot cannot decrypt is not heard before it uses new keys. Messages that pass before
//!   the bot has said so are kept as ciphertext; with strict retention none of a new epoch passes before the bot has its keys.
//!   Only a retention bot says what it can read. Of the network's memory it holds no more than its user's share, for seconds,
//!   however many connections it opens, frames it begins or answers it leaves unread; users who fill all of it lose it to who
//!   needs little. It cannot act as another device: MLS authenticates the sender, log-in the connection. It cannot fill the disk that the archive shares: attachments have quotas, rates and an end,
//!   and the network stops taking them while the bot still has room. It cannot use up the key packages of others, nor begin
//!   conversations without end. It can make the bot record as many messages as it may send, but neither an event nor a line of
//!   the log for each. Two members can pass on a ciphertext that no message names as a file; what names its id is archived, the
//!   ciphertext is not. Members that agree on a key of their own can hide what they say inside a message or a file: nothing can
//!   stop that, and what they sent is in the archive as they sent it.
//! - **A reader of the bot's disk** finds the archive unencrypted (that is its purpose; protect the volume) and the device's
//!   keys sealed under the bot's password ([`state::vault`]). Ids of conversations, cursors and sizes are unencrypted.
//!   A writer of the disk can change the archive; the hash chain of each file is in the state. The keys of an embedded network
//!   are sealed as well, those of one on its own by a key file, which may be on another volume: a copy of its directory
//!   makes no device. No core dump has any of them.
//! - **A holder of the bot's password and state** is the bot, and can read what is delivered from then on. Keys of past
//!   messages are deleted as they are used, so what was acknowledged cannot be decrypted again.
//! - **AWS**, or a reader of the bucket, sees the names of objects (an attachment's name is in its key), their sizes and times.
//!   With a KMS key the content is sealed before it leaves the host (AES-256-GCM, one data key an object, key commitment by
//!   default); without one it is as open as the bucket is. S3 cannot alter an object unnoticed where it is encrypted. The bot's
//!   role may put objects and make data keys, and needs nothing else: a thief of it can add objects, but neither read nor
//!   delete any, nor replace one where the bucket's policy denies that (`config/iam/bucket-policy.json`) or objects are locked.
//!   What answers in AWS's place (a proxy, another store) can keep files from being stored, but not silently: a stall is an
//!   event and a reason not to be ready, whatever the answer is.
//! - **Whoever keeps the archive** can remove files, and with them their evidence. It cannot change a file, exchange two, or take
//!   one out of the middle unnoticed by a verifier that has the public key from elsewhere. What it removes from the end shows
//!   against a head that was kept elsewhere, and against nothing else. Whoever takes over the host can sign from then on, and
//!   cannot change what such a head covers.
//! - **A process of the host** can ask the health endpoint ([`report::health`]): it gets counts. Requests that it begins and
//!   does not end keep no probe out; it cannot slow or stop the bot. A web page cannot ask through a browser: foreign names in
//!   `Host` are refused.
//! - **The registry of the image** ([`report::updates`]) learns the image's name and that a bot runs here. It can claim newer
//!   versions where there are none; its answers are bounded, nothing is downloaded, and nothing waits for it.
//! - **Logs, metrics, events and errors** hold ids, counts and reasons; never contents, names of files, keys or passwords.
#![forbid(unsafe_code)]

pub mod cli;

pub use retaind_archive as archive;
pub use retaind_aws as aws;
pub use retaind_bot as bot;
pub use retaind_config as config;
pub use retaind_core as core;
pub use retaind_device as device;
pub use retaind_evidence as evidence;
pub use retaind_export as export;
pub use retaind_http as http;
pub use retaind_network as network;
pub use retaind_process as process;
pub use retaind_protocol as protocol;
pub use retaind_reader as reader;
pub use retaind_report as report;
pub use retaind_source_mls as source_mls;
pub use retaind_state as state;
pub use retaind_task as task;
#[cfg(feature = "tools")]
pub use retaind_tools::{self as tools, replay};
pub use retaind_verify as verify;
