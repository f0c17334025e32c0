//! Limits of the network that the other side need not know: what it refuses, and why. Those that both sides must agree on are
//! in [`retaind_protocol::limits`].

use std::time::Duration;

use retaind_core::limit::Limit;

mod members;

pub use self::members::Allowances;
pub(crate) use self::members::{
    BLOB_BYTES_AN_HOUR, BLOB_BYTES_OF_DEVICE, BLOB_BYTES_OF_USER, BLOB_DAYS, BLOBS_OF_USER, BOT_KEY_PACKAGES,
    CLAIMS_AN_HOUR, CLAIMS_OF_TARGET, CONVERSATIONS_OF_DEVICE, CONVERSATIONS_OF_USER, DISK_FOR_BLOBS,
    DISK_FOR_MESSAGES, MESSAGES_OF_BLOBS, UNFINISHED_UPLOAD_SECONDS, UNFINISHED_UPLOADS,
};

/// All of them, for the table in docs/limits.md and the counters.
pub const LIMITS: &[Limit] = &[
    CONNECTIONS,
    STRANGERS,
    STRANGERS_OF_ADDRESS,
    HANDSHAKE_SECONDS,
    LOGIN_SECONDS,
    STRANGER_REQUESTS,
    LOGIN_TRIES,
    PASSWORD_TRIES,
    FAILED_HANDSHAKES,
    FAILED_LOGINS,
    AUDIT_ROWS,
    AUDIT_ADDRESSES,
    AUDIT_ACCOUNTS,
    CONNECTIONS_OF_DEVICE,
    CONNECTIONS_OF_USER,
    FRAME_STALL_SECONDS,
    WRITE_STALL_SECONDS,
    USER_BYTES,
    PROCESS_BYTES,
    ANSWERS_WAITING,
    OPEN_FILES,
    BLOB_BYTES_OF_USER,
    BLOB_BYTES_OF_DEVICE,
    BLOBS_OF_USER,
    BLOB_BYTES_AN_HOUR,
    UNFINISHED_UPLOADS,
    UNFINISHED_UPLOAD_SECONDS,
    BLOB_DAYS,
    DISK_FOR_BLOBS,
    DISK_FOR_MESSAGES,
    CLAIMS_AN_HOUR,
    CLAIMS_OF_TARGET,
    BOT_KEY_PACKAGES,
    CONVERSATIONS_OF_DEVICE,
    CONVERSATIONS_OF_USER,
];

/// Open at the same time.
pub(crate) const CONNECTIONS: Limit = Limit {
    name: "connections",
    value: 16_384,
    unit: "connections",
    why: "each costs some descriptors' worth of kernel memory and a few tasks",
    variable: None,
};

/// Open at the same time without a log-in.
pub(crate) const STRANGERS: Limit = Limit {
    name: "strangers",
    value: 1024,
    unit: "connections before log-in",
    why: "strangers must not take the places of devices; when all are taken the oldest of the address that holds most goes",
    variable: None,
};

/// The share of one address.
pub(crate) const STRANGERS_OF_ADDRESS: Limit = Limit {
    name: "strangers_of_address",
    value: 256,
    unit: "connections before log-in of one IPv4 address or IPv6 /64",
    why: "one address must not take every place; its own oldest goes",
    variable: None,
};

/// From the connection to the end of the TLS handshake.
pub(crate) const HANDSHAKE_SECONDS: Limit = Limit {
    name: "handshake_seconds",
    value: 5,
    unit: "seconds",
    why: "a socket that says nothing must not keep a place",
    variable: None,
};

/// From the first byte to a logged-in device, the slow check of a bot's password included.
pub(crate) const LOGIN_SECONDS: Limit = Limit {
    name: "login_seconds",
    value: 30,
    unit: "seconds",
    why: "a stranger must not keep its place for ever",
    variable: None,
};

/// Requests of one connection before log-in; an honest device needs two.
pub(crate) const STRANGER_REQUESTS: Limit = Limit {
    name: "stranger_requests",
    value: 8,
    unit: "requests of one connection before log-in",
    why: "answers before log-in are work for nobody",
    variable: None,
};

/// Log-ins and registrations of one connection, and hellos.
pub(crate) const LOGIN_TRIES: Limit = Limit {
    name: "login_tries",
    value: 1,
    unit: "tries to log in, and hellos, of one connection",
    why: "each try costs signatures or a password check: a guess costs a handshake as well",
    variable: None,
};

/// Wrong passwords without a delay.
pub(crate) const PASSWORD_TRIES: Limit = Limit {
    name: "password_tries",
    value: 5,
    unit: "wrong passwords before further tries of that address are delayed",
    why: "passwords could be guessed for ever",
    variable: None,
};

/// Counts connections whose TLS handshake failed.
pub(crate) const FAILED_HANDSHAKES: Limit = Limit {
    name: "failed_handshakes",
    value: 1,
    unit: "failed handshake of a connection: it is not TLS 1.3, or expects another certificate",
    why: "only devices of this network have anything to say",
    variable: None,
};

/// Counts log-ins and registrations that were refused; nothing is refused because of it.
pub const FAILED_LOGINS: Limit = Limit {
    name: "failed_logins",
    value: 20,
    unit: "refused log-ins within a minute before an event is raised",
    why: "guessing would go unnoticed",
    variable: None,
};

/// Of the audit of failed log-ins.
pub(crate) const AUDIT_ROWS: Limit = Limit {
    name: "audit_rows",
    value: 20_000,
    unit: "rows of failed log-ins, each of one address, account and ten minutes",
    why: "whoever reaches the port can fail to log in; the oldest go",
    variable: None,
};

/// With rows of their own.
pub(crate) const AUDIT_ADDRESSES: Limit = Limit {
    name: "audit_addresses",
    value: 1024,
    unit: "addresses with failed log-ins of their own within ten minutes",
    why: "they are kept in memory until then; further ones are summed up as one",
    variable: None,
};

/// With rows of their own.
pub(crate) const AUDIT_ACCOUNTS: Limit = Limit {
    name: "audit_accounts",
    value: 16,
    unit: "accounts with failed log-ins of their own that one address claims within ten minutes",
    why: "an address could claim any number; further ones are summed up as one",
    variable: None,
};

/// Open at the same time for one device.
pub(crate) const CONNECTIONS_OF_DEVICE: Limit = Limit {
    name: "connections_of_device",
    value: 8,
    unit: "connections of one device",
    why: "a device needs one, and one more while the old one is not known to be dead; the oldest goes",
    variable: None,
};

/// Open at the same time for all devices of a user.
pub(crate) const CONNECTIONS_OF_USER: Limit = Limit {
    name: "connections_of_user",
    value: 64,
    unit: "connections of one user",
    why: "one user must not take every place; the oldest of its device that holds most goes",
    variable: None,
};

/// The next 64 KiB of a frame that has begun, or its rest.
pub(crate) const FRAME_STALL_SECONDS: Limit = Limit {
    name: "frame_stall_seconds",
    value: 10,
    unit: "seconds for the next 64 KiB of a frame",
    why: "a frame that never ends would hold its memory without end",
    variable: None,
};

/// For 64 KiB of answers to be taken.
pub(crate) const WRITE_STALL_SECONDS: Limit = Limit {
    name: "write_stall_seconds",
    value: 20,
    unit: "seconds for 64 KiB to be taken",
    why: "a device that takes nothing would hold its answers without end",
    variable: None,
};

/// What frames, requests and answers of one user hold.
pub(crate) const USER_BYTES: Limit = Limit {
    name: "user_bytes",
    value: 24 * 1024 * 1024,
    unit: "bytes of frames, requests and answers of one user",
    why: "one user must not take the memory of all; one frame of 16 MiB and its answer fit",
    variable: None,
};

/// What frames, requests and answers of all connections hold.
pub(crate) const PROCESS_BYTES: Limit = Limit {
    name: "process_bytes",
    value: 64 * 1024 * 1024,
    unit: "bytes of frames, requests and answers of all connections",
    why: "the process shares its memory with the archive; when it is used up, the connection of the user that holds most is ended",
    variable: None,
};

/// Answers and pushes of one connection that wait for its socket.
pub(crate) const ANSWERS_WAITING: Limit = Limit {
    name: "answers_waiting",
    value: 1152,
    unit: "answers of one connection that wait for its socket",
    why: "what is never read would pile up",
    variable: None,
};

/// What the process may open; the system's limit may be lower.
pub(crate) const OPEN_FILES: Limit = Limit {
    name: "open_files",
    value: 65_536,
    unit: "descriptors of the process, or what the system allows",
    why: "a connection for which there is no descriptor is taken later",
    variable: None,
};

/// How often what was refused is summed up in the log.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(10);

/// The limits of connections as they are in force. An operator has no reason to change them; tests have.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Of those, before log-in.
    pub strangers: usize,
    /// Of those, of one IPv4 address or IPv6 /64.
    pub strangers_of_address: usize,
    /// Until the end of the TLS handshake.
    pub handshake: Duration,
    /// Until the end of the log-in.
    pub login: Duration,
    /// For the next 64 KiB of a frame that has begun.
    pub frame_stall: Duration,
    /// For 64 KiB of answers to be taken.
    pub write_stall: Duration,
    /// Connections of one device.
    pub connections_of_device: usize,
    /// Connections of one user.
    pub connections_of_user: usize,
    /// Bytes of frames, requests and answers of one user.
    pub user_bytes: usize,
    /// The same of all connections.
    pub process_bytes: usize,
    /// How long a frame that has begun may wait for memory.
    pub memory_wait: Duration,
    /// How often what was refused is summed up in the log.
    pub summary: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = |limit: &Limit| Duration::from_secs(limit.value);
        Self {
            connections: CONNECTIONS.count(),
            strangers: STRANGERS.count(),
            strangers_of_address: STRANGERS_OF_ADDRESS.count(),
            handshake: seconds(&HANDSHAKE_SECONDS),
            login: seconds(&LOGIN_SECONDS),
            frame_stall: seconds(&FRAME_STALL_SECONDS),
            write_stall: seconds(&WRITE_STALL_SECONDS),
            connections_of_device: CONNECTIONS_OF_DEVICE.count(),
            connections_of_user: CONNECTIONS_OF_USER.count(),
            user_bytes: USER_BYTES.count(),
            process_bytes: PROCESS_BYTES.count(),
            memory_wait: seconds(&FRAME_STALL_SECONDS),
            summary: SUMMARY_INTERVAL,
        }
    }
}
