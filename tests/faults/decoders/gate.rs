//! The decoders with all tests: each in a process of its own, whose CPU time and memory are limited.
//!
//! The process is this test program again. Before each input it writes it to a file, which is what is left when it panics, is
//! killed for its CPU time, or ends because no memory is given to it. To look at such an input again:
//! `RETAIND_DECODER=<name> RETAIND_INPUT=<file> cargo nextest run 'the_process_of_a_decoder'`.
//!
//! `RETAIND_MUTATIONS=<number>` tries so many times as many mutations, and others: the campaign where libFuzzer is not to be had.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::mutate::{Dice, mutated};
use super::{DECODERS, Decoder, Fate, find, seeds};

/// CPU time of one input, in seconds: none takes a tenth of a second.
const INPUT_SECONDS_MAX: u64 = 4;
/// CPU time of one process, in seconds: a decoder that does not return. Times `RETAIND_MUTATIONS`.
const PROCESS_SECONDS_MAX: u64 = 60;
const NANOS_PER_SECOND: u64 = 1_000_000_000;
const KIB: u64 = 1024;

pub fn corpus_folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/corpus").join(name)
}

/// The inputs that are kept for a decoder, by name.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(corpus_folder(name)).unwrap();
    let mut inputs: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    inputs.sort();
    inputs
}

/// Runs a decoder, and leaves the input behind if that does not return.
struct Runner {
    decoder: &'static Decoder,
    current: File,
}

/// CPU time of this thread.
fn cpu_nanos() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

impl Runner {
    fn run(&self, input: &[u8]) -> Fate {
        self.current.set_len(0).unwrap();
        self.current.write_all_at(input, 0).unwrap();
        let before = cpu_nanos();
        let fate = (self.decoder.decode)(input);
        let seconds = (cpu_nanos() - before) / NANOS_PER_SECOND;
        assert!(seconds < INPUT_SECONDS_MAX, "an input took {seconds} s of CPU time");
        fate
    }
}

fn data_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * KIB
}

fn limit(resource: Resource, current: u64) {
    setrlimit(resource, Rlimit { current: Some(current), maximum: getrlimit(resource).maximum }).unwrap();
}

/// Does nothing, unless a gate of a decoder has started it.
#[test]
fn the_process_of_a_decoder() {
    let Some(name) = std::env::var_os("RETAIND_DECODER") else { return };
    let decoder = find(name.to_str().unwrap()).unwrap();
    if let Some(input) = std::env::var_os("RETAIND_INPUT") {
        println!("{:?}", (decoder.decode)(&fs::read(input).unwrap()));
        return;
    }
    let runner = Runner { decoder, current: File::create(std::env::var_os("RETAIND_CURRENT").unwrap()).unwrap() };
    limit(Resource::Core, 0);
    let times: u32 = std::env::var("RETAIND_MUTATIONS").map_or(1, |times| times.parse().unwrap());
    limit(Resource::Cpu, PROCESS_SECONDS_MAX * u64::from(times));
    let corpus = corpus(decoder.name);
    let large = seeds::large(decoder.name);
    // what is made once a process is made now
    let refused: Vec<&str> = corpus
        .iter()
        .filter(|(name, input)| runner.run(input) == Fate::Refused && name.starts_with("valid-"))
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(refused, Vec::<&str>::new(), "valid inputs were refused");
    limit(Resource::Data, data_bytes() + decoder.memory_bytes_max);
    for input in corpus.iter().map(|(_, input)| input).chain(&large) {
        runner.run(input);
    }
    let mut dice = Dice::named(&format!("{}{times}", decoder.name));
    for _ in 0..decoder.mutations * times {
        let (a, b) = (dice.below(corpus.len()), dice.below(corpus.len()));
        runner.run(&mutated(&mut dice, &corpus[a].1, &corpus[b].1, decoder.bytes_max));
    }
}

fn survives(name: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("decoders");
    fs::create_dir_all(&folder).unwrap();
    let current = folder.join(format!("{name}.input"));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "faults::decoders::gate::the_process_of_a_decoder", "--nocapture", "--test-threads=1"])
        .env("RETAIND_DECODER", name)
        .env("RETAIND_CURRENT", &current)
        .env_remove("RETAIND_INPUT")
        // a trace of the stack would take more memory than there is left
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "decoder `{name}` failed ({}) on `{}`:\n{}{}",
        output.status,
        current.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A test a decoder.
macro_rules! gates {
    ($($name:ident)*) => {
        $(#[test] fn $name() { survives(stringify!($name)); })*
        const GATES: &[&str] = &[$(stringify!($name)),*];
    };
}

gates! {
    client_frame server_frame frame_codec content salvage attachment_blob attachment_script names invite
    mls_shape mls_message mls_batch mls_welcome mls_key_package mls_group_info credential
    vault_header vault_value stored_rows state_file starts_file in_hand_file segment_directory file_name conversation_file
    environment secret_json certificate arguments
    s3_metadata s3_body aws_error registry_answer image health_request health_answer
}

#[test]
fn every_decoder_has_a_gate_and_a_corpus_and_all_of_them_are_small() {
    let names: Vec<&str> = DECODERS.iter().map(|decoder| decoder.name).collect();
    assert_eq!(names, GATES);
    let mut bytes = 0;
    for name in names {
        let inputs = corpus(name);
        assert!(inputs.len() >= 2, "the corpus of `{name}` has too little to begin with");
        bytes += inputs.iter().map(|(_, input)| input.len()).sum::<usize>();
    }
    let folders = fs::read_dir(corpus_folder("")).unwrap().count();
    assert_eq!(folders, GATES.len(), "a corpus belongs to no decoder");
    assert!(bytes < 600 * 1024, "the corpora have {bytes} bytes");
}
