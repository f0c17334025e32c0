//! Every decoder of foreign bytes, in one table: a name, a function that takes anything, and what it may cost.
//!
//! Each function must return whatever it is given: a panic, a loop without end and memory out of all proportion are failures.
//! Where bytes are taken, it checks what readers of the result rely on: that it encodes to what decodes to the same, that it is
//! within its limit, that a name is one component of a path, that a refused message of MLS leaves the session usable.
//!
//! | who runs them | what |
//! |---|---|
//! | `gate` | with all tests: the corpus, inputs too large to be kept, and some thousand mutations of them, the same ones each time |
//! | `fuzz/run` | for as long as one likes: the same functions under `cargo fuzz` |
//!
//! The corpus is `corpus/<name of the decoder>/`: `valid-…` are made by the program's own encoders (`seeds`; `RETAIND_BLESS=1`
//! makes them again, with new keys) and must be taken, `hostile-…` are written by hand in `seeds`, `found-…` once broke something,
//! and the rest is what fuzzing found to reach further.
//!
//! No decoder of its own yet, because there is none in the program: signed manifests, requests of the admin API. Out of reach from
//! here: the prompt for passwords on a terminal (`tests/provision/prompt.rs`), the network's answers to well-formed requests
//! (`tests/refuse.rs`), what only the vault's owner could have written (sealed MLS states, key packages), and what the SDK of AWS and
//! rustls decode. Log files have no decoder: what is in them is looked at for its last byte only.

#[path = "decoders/device.rs"]
mod device;
#[path = "decoders/files.rs"]
mod files;
#[cfg(test)]
mod gate;
#[path = "decoders/mls.rs"]
mod mls;
#[cfg(test)]
mod mutate;
#[path = "decoders/outside.rs"]
mod outside;
#[path = "decoders/protocol.rs"]
mod protocol;
#[cfg(test)]
mod seeds;
#[path = "decoders/settings.rs"]
mod settings;

use retaind::protocol::limits::{CONTENT_BYTES_MAX, FRAME_BYTES_MAX};

/// What became of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was decoded.
    Taken,
    /// It was refused, with an error.
    Refused,
}

impl Fate {
    fn of<T, E>(result: &Result<T, E>) -> Self {
        if result.is_ok() { Self::Taken } else { Self::Refused }
    }
}

/// One decoder.
#[derive(Debug)]
pub struct Decoder {
    /// Also of its folder in the corpus.
    pub name: &'static str,
    /// Decodes, and checks what it got.
    pub decode: fn(&[u8]) -> Fate,
    /// Longest input worth trying: some more than what the decoder takes.
    pub bytes_max: usize,
    /// Memory that one input may take, all results and checks included.
    pub memory_bytes_max: u64,
    /// Mutations that the gate tries: about a second of them.
    pub mutations: u32,
}

const KIB: usize = 1024;
const MIB: u64 = 1024 * 1024;

const fn decoder(name: &'static str, decode: fn(&[u8]) -> Fate, bytes_max: usize, mutations: u32) -> Decoder {
    Decoder { name, decode, bytes_max, memory_bytes_max: 32 * MIB, mutations }
}

impl Decoder {
    const fn with_memory(mut self, bytes: u64) -> Self {
        self.memory_bytes_max = bytes;
        self
    }
}

/// All of them.
pub const DECODERS: &[Decoder] = &[
    // what a device and the network say to each other: encoded, decoded and encoded again there are four of it
    decoder("client_frame", protocol::client_frame, FRAME_BYTES_MAX, 20_000).with_memory(128 * MIB),
    // a packed list of numbers of one byte is four times as large
    decoder("server_frame", protocol::server_frame, FRAME_BYTES_MAX, 20_000).with_memory(256 * MIB),
    decoder("frame_codec", protocol::frame_codec, 256 * KIB, 20_000),
    // what a member says to the others
    decoder("content", protocol::content, CONTENT_BYTES_MAX + KIB, 15_000).with_memory(96 * MIB),
    decoder("salvage", protocol::salvaged, CONTENT_BYTES_MAX + KIB, 20_000).with_memory(64 * MIB),
    decoder("attachment_blob", protocol::attachment_blob, 64 * KIB, 10_000),
    decoder("attachment_script", protocol::attachment_script, 256, 250),
    decoder("names", protocol::names, KIB, 30_000),
    decoder("invite", protocol::invite, 24 * KIB, 20_000),
    // MLS
    decoder("mls_shape", mls::shape, FRAME_BYTES_MAX, 10_000).with_memory(192 * MIB),
    decoder("mls_message", mls::message, FRAME_BYTES_MAX, 300).with_memory(192 * MIB),
    decoder("mls_batch", mls::batch, 64 * KIB, 80),
    decoder("mls_welcome", mls::welcome, FRAME_BYTES_MAX, 300).with_memory(192 * MIB),
    decoder("mls_key_package", mls::key_package, 64 * KIB, 300),
    decoder("mls_group_info", mls::group_info, 64 * KIB, 500),
    decoder("credential", mls::credential, 4 * KIB, 2_000),
    // what lies on the device's disk
    decoder("vault_header", device::vault_header, KIB, 20_000),
    decoder("vault_value", device::vault_value, 4 * KIB, 10_000),
    decoder("stored_rows", device::stored_rows, 4 * KIB, 20_000),
    decoder("state_file", device::state_file, 64 * KIB, 300),
    decoder("starts_file", device::starts_file, 8 * KIB, 5_000),
    decoder("in_hand_file", device::in_hand_file, 40 * KIB, 5_000),
    decoder("segment_directory", files::segment_directory, 4 * KIB, 5_000),
    decoder("file_name", files::file_name, 8 * KIB, 20_000),
    decoder("conversation_file", files::conversation_file, 64 * KIB, 10_000).with_memory(64 * MIB),
    // what an operator gives
    decoder("environment", settings::environment, 16 * KIB, 1_500),
    decoder("secret_json", settings::secret_json, 128 * KIB, 1_500),
    decoder("certificate", settings::certificate, 64 * KIB, 2_000),
    decoder("arguments", settings::arguments, 4 * KIB, 300),
    // what services and strangers answer and ask
    decoder("s3_metadata", outside::s3_metadata, 8 * KIB, 20_000),
    decoder("s3_body", outside::s3_body, 64 * KIB, 5_000),
    decoder("aws_error", outside::aws_error, 8 * KIB, 15_000),
    decoder("registry_answer", outside::registry_answer, 64 * KIB, 15_000),
    decoder("image", outside::image, KIB, 20_000),
    decoder("health_request", outside::health_request, 32 * KIB, 3_000),
    decoder("health_answer", outside::health_answer, 64 * KIB, 15_000),
];

/// The one of that name.
pub fn find(name: &str) -> Option<&'static Decoder> {
    DECODERS.iter().find(|decoder| decoder.name == name)
}
