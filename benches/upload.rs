//! Upload of one file of 2 GiB and of 2,000 files of 1 MiB, plain and encrypted, beside `rclone` (and its `crypt`) and `aws s3 cp`.
//!
//! `cargo bench --bench upload [-- LARGE_MIB SMALL_FILES]`. The server is `s3s-fs` on the same machine
//! (`cargo install s3s-fs --features binary --root target/tools`); `rclone` is Debian's, `aws` that of `tests/setup`. What is
//! not installed is said and left out. KMS is a fixed answer, so that its latency is in nobody's figures.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    missing_docs
)]
#![allow(
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    clippy::let_underscore_must_use,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    reason = "these rules are for the product"
)]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use data_encoding::BASE64;
use retaind::archive::encrypt::Format;
use retaind::aws::Aws;
use retaind::aws::kms::Kms;
use retaind::aws::s3::{Bucket, REQUEST_TIMEOUT};
use retaind::bot::disk::RealDisk;
use retaind::bot::ship::runner::{News, Runner, Watcher};
use retaind::bot::ship::s3::{self, S3Destination};
use retaind::bot::ship::{self, Bell, ShipError, ShipItem, ShipKind, Shipped};
use retaind::bot::state::{self, Queue};
use retaind::device::store::{Access, STEPS, Store, StoreError};

const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-000000000000";
const POLL: Duration = Duration::from_millis(5);
const TICKS_PER_SECOND: f64 = 100.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [word, endpoint, source, how] = &arguments[..]
        && word == "ship"
    {
        return ship(endpoint, Path::new(source), how);
    }
    let number = |text: &String| text.parse::<usize>().expect("a number");
    let (large, small) = match &arguments[..] {
        [large, small] => (number(large), number(small)),
        _ => (2048, 2000),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let server = root.join("target/tools/bin/s3s-fs");
    if !server.exists() {
        println!("upload: `{}` is not installed, nothing measured", server.display());
        return;
    }
    let work = tempfile::tempdir_in(root.join("target")).unwrap();
    for (name, files, mib) in [("one large file", 1, large), ("many small files", small, 1)] {
        let source = work.path().join("source");
        std::fs::create_dir(&source).unwrap();
        let mut random = File::open("/dev/urandom").unwrap();
        let mut block = vec![0u8; 1 << 20];
        for file in 0..files {
            let mut to = File::create(source.join(format!("receivedMessages_{file:08}.txt"))).unwrap();
            for _ in 0..mib {
                random.read_exact(&mut block).unwrap();
                to.write_all(&block).unwrap();
            }
            to.sync_all().unwrap();
        }
        println!("{name}: {files} x {mib} MiB");
        for tool in ["retaind", "retaind v3", "rclone", "rclone crypt", "aws s3 cp"] {
            let bucket = work.path().join("server");
            std::fs::create_dir_all(bucket.join("archive")).unwrap();
            let (mut serving, endpoint) = serve(&server, &bucket);
            match run(tool, &endpoint, &source, work.path()) {
                Some(Measured { seconds, cpu, mib: peak }) => {
                    let rate = (files * mib) as f64 / seconds;
                    println!("  {tool:<14} {seconds:6.2} s  {rate:5.0} MiB/s  CPU {cpu:6.2} s  peak {peak:4} MiB");
                }
                None => println!("  {tool:<14} is not installed"),
            }
            serving.kill().unwrap();
            serving.wait().unwrap();
            std::fs::remove_dir_all(&bucket).unwrap();
        }
        std::fs::remove_dir_all(&source).unwrap();
    }
}

struct Measured {
    seconds: f64,
    cpu: f64,
    mib: u64,
}

/// The server, and where it is once it answers.
fn serve(program: &Path, directory: &Path) -> (Child, String) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new(program)
        .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--access-key", "key", "--secret-key", "secret"])
        .arg(directory)
        .env("RUST_LOG", "error")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(POLL);
    }
    (child, format!("http://127.0.0.1:{port}"))
}

fn run(tool: &str, endpoint: &str, source: &Path, work: &Path) -> Option<Measured> {
    let mut command = match tool {
        "retaind" | "retaind v3" => {
            let state = work.join("state");
            let _ = std::fs::remove_dir_all(&state);
            // `retaind` removes what it has shipped: it gets links
            let copy = state.join("messages");
            std::fs::create_dir_all(&copy).unwrap();
            for file in std::fs::read_dir(source).unwrap() {
                let file = file.unwrap();
                std::fs::hard_link(file.path(), copy.join(file.file_name())).unwrap();
            }
            enqueue(&state);
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["ship", endpoint]).arg(&state).arg(if tool == "retaind" { "plain" } else { "v3" });
            command
        }
        "rclone" | "rclone crypt" => {
            let mut command = Command::new("rclone");
            let to = if tool == "rclone" { "s3:archive" } else { "crypt:" };
            command.args(["copy", "--config", "/dev/null", "--transfers", "8"]).arg(source).arg(to);
            command.envs([
                ("RCLONE_CONFIG_S3_TYPE", "s3"),
                ("RCLONE_CONFIG_S3_PROVIDER", "Other"),
                ("RCLONE_CONFIG_S3_ENDPOINT", endpoint),
                ("RCLONE_CONFIG_S3_ACCESS_KEY_ID", "key"),
                ("RCLONE_CONFIG_S3_SECRET_ACCESS_KEY", "secret"),
                ("RCLONE_CONFIG_CRYPT_TYPE", "crypt"),
                ("RCLONE_CONFIG_CRYPT_REMOTE", "s3:archive"),
                // "bench", as rclone obscures it
                ("RCLONE_CONFIG_CRYPT_PASSWORD", "Qb6zJ3xSrqYUsy2VjHCYVLwDpwSWZQ"),
            ]);
            command
        }
        _ => {
            let aws = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/aws/cli/bin/python");
            let mut command = Command::new(aws);
            command.args(["-m", "awscli", "s3", "cp", "--recursive", "--quiet", "--endpoint-url", endpoint]);
            command.arg(source).arg("s3://archive/");
            command.envs([
                ("AWS_ACCESS_KEY_ID", "key"),
                ("AWS_SECRET_ACCESS_KEY", "secret"),
                ("AWS_DEFAULT_REGION", "us-east-1"),
                ("AWS_CONFIG_FILE", "/dev/null"),
            ]);
            command
        }
    };
    let start = Instant::now();
    // of the machine's own; the server speaks no TLS
    command.env_remove("AWS_CA_BUNDLE");
    let mut child = command.stdout(Stdio::null()).spawn().ok()?;
    let (mut mib, mut cpu) = (0, 0.0);
    let status = loop {
        if let Some((peak, ticks)) = used(child.id()) {
            (mib, cpu) = (peak / 1024, ticks / TICKS_PER_SECOND);
        }
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(POLL);
    };
    let seconds = start.elapsed().as_secs_f64();
    assert!(status.success(), "{tool} failed: {status}");
    Some(Measured { seconds, cpu, mib })
}

/// Peak memory in KiB and processor time in ticks of a process that runs.
fn used(pid: u32) -> Option<(u64, f64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM:"))?.split_whitespace().nth(1)?.parse().ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some((peak, fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?))
}

fn enqueue(state: &Path) {
    let mut store = Store::open(&state.join("bot.db"), b"a password", STEPS).unwrap();
    state::prepare(&store).unwrap();
    let directory = state.join("messages");
    let mut names: Vec<PathBuf> = std::fs::read_dir(&directory).unwrap().map(|file| file.unwrap().path()).collect();
    names.sort_unstable();
    store
        .write::<_, StoreError>(|tx| {
            names.iter().try_for_each(|path| {
                let (name, length) = (path.file_name().unwrap().to_str().unwrap(), path.metadata().unwrap().len());
                state::enqueue(tx, ShipKind::Message, &directory, name, length, None)
            })
        })
        .unwrap();
}

struct Silent;

impl Watcher for Silent {
    fn failed(&self, item: &ShipItem, error: &ShipError, _: News) {
        panic!("{}: {}", item.label(), error.with_sources());
    }
    fn stored(&self, _: &ShipItem) {}
}

/// The measured process: the ship stage, and nothing else of the bot.
#[tokio::main]
async fn ship(endpoint: &str, state: &Path, how: &str) {
    let kms = kms();
    let config = |endpoint: &str| {
        let credentials = Credentials::new("key", "secret", None, None, "bench");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(endpoint)
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build()
    };
    let aws = Aws::with(config(endpoint));
    let bucket = Bucket::new(&aws, "us-east-1", "archive", None, None, REQUEST_TIMEOUT);
    let encryption = (how == "v3").then(|| (Kms::new(&Aws::with(config(&kms)), "us-east-1", KEY), Format::V3));
    let store = Store::open(&state.join("bot.db"), b"a password", STEPS).unwrap();
    let runner = Runner {
        queue: Arc::new(Queue::open(store.again(Access::Write).unwrap()).unwrap()),
        destination: Arc::new(S3Destination::new(Arc::new(RealDisk), bucket, encryption, s3::PAUSES)),
        disk: Arc::new(RealDisk),
        backoff: ship::PAUSES,
        watcher: Arc::new(Silent),
    };
    let bell = Bell::default();
    bell.finish();
    assert_eq!(runner.run(&bell).await.unwrap(), Shipped::All);
}

/// Answers every request for a data key with the same one.
fn kms() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let key = BASE64.encode(&[7; 32]);
    let body = format!(r#"{{"CiphertextBlob":"{}","KeyId":"{KEY}","Plaintext":"{key}"}}"#, BASE64.encode(&[9; 184]));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let body = body.clone();
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream.unwrap());
                loop {
                    let mut length = 0;
                    let mut line = String::new();
                    while stream.read_line(&mut line).unwrap_or(0) > 2 {
                        if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                            length = bytes.trim().parse().unwrap();
                        }
                        line.clear();
                    }
                    if line.is_empty() {
                        return;
                    }
                    stream.read_exact(&mut vec![0; length]).unwrap();
                    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length:";
                    let answer = format!("{head} {}\r\n\r\n{body}", body.len());
                    // in one piece: halves would wait for each other's acknowledgement
                    stream.get_mut().write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
    format!("http://{address}")
}
