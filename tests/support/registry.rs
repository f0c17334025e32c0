//! Registries of images: Debian's `docker-registry`, and one that answers whatever a test wants.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::fs;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::http::exchange;
use super::program::Program;

/// `docker-registry`, with its images in a directory of its own.
pub struct Registry {
    pub address: String,
    _program: Program,
    _home: TempDir,
}

impl Registry {
    pub async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join("config.yml");
        let data = home.path().join("images");
        let text = format!(
            "version: 0.1\nlog: {{ level: info }}\nstorage:\n  filesystem: {{ rootdirectory: \"{}\" }}\nhttp: {{ addr: \"127.0.0.1:0\" }}\n",
            data.display()
        );
        fs::write(&config, text).unwrap();
        let mut program =
            Program::start(Command::new("docker-registry").arg("serve").arg(&config).stdin(Stdio::null()));
        let line = program.says("listening on 127.0.0.1:").await;
        let port: String = line.split("127.0.0.1:").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
        Self { address: format!("127.0.0.1:{port}"), _program: program, _home: home }
    }

    /// Pushes an image without layers.
    pub async fn push(&self, name: &str, tag: &str) {
        let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
        let sha256 = HEXLOWER.encode(digest(&SHA256, config).as_ref());
        let begun = self.send("POST", &format!("/v2/{name}/blobs/uploads/"), "", b"").await;
        assert!(begun.starts_with("HTTP/1.1 202"), "{begun}");
        let location = begun.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap();
        let path = location.strip_prefix(&format!("http://{}", self.address)).unwrap_or(location);
        let put = self.send("PUT", &format!("{path}&digest=sha256:{sha256}"), "application/octet-stream", config).await;
        assert!(put.starts_with("HTTP/1.1 201"), "{put}");
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": config.len(),
                "digest": format!("sha256:{sha256}"),
            },
            "layers": [],
        });
        let kind = "application/vnd.docker.distribution.manifest.v2+json";
        let put = self.send("PUT", &format!("/v2/{name}/manifests/{tag}"), kind, manifest.to_string().as_bytes()).await;
        assert!(put.starts_with("HTTP/1.1 201"), "{put}");
    }

    async fn send(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> String {
        let (address, length) = (&self.address, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        );
        exchange(address, &[head.as_bytes(), body].concat()).await
    }
}

/// What a hostile registry does with a request.
pub enum Reply {
    /// These bytes, then it closes.
    Bytes(Vec<u8>),
    /// Nothing, and it stays connected.
    Silence,
    /// These bytes, then one byte after another for ever.
    Endless(Vec<u8>),
}

impl Reply {
    pub fn json(body: &str) -> Self {
        Self::with("200 OK", "", body)
    }

    /// Status line and further headers, each with its end of line.
    pub fn with(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::Bytes(format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}").into_bytes())
    }
}

/// A registry that a test scripts: one request a connection.
pub struct Scripted {
    pub address: String,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Scripted {
    /// `answer` is given the head of each request and the server's own address.
    pub async fn start(answer: impl Fn(&str, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (own, heard, answer) = (address.clone(), requests.clone(), Arc::new(answer));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (own, heard, answer) = (own.clone(), heard.clone(), answer.clone());
                tokio::spawn(async move { serve(stream, &own, &heard, &*answer).await });
            }
        });
        Self { address, requests, task }
    }

    /// Heads of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    own: &str,
    heard: &Mutex<Vec<String>>,
    answer: &(dyn Fn(&str, &str) -> Reply + Sync),
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let reply = answer(&head, own);
    heard.lock().unwrap().push(head);
    // the caller may have heard enough
    match reply {
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Reply::Silence => {
            let _ = stream.read_u8().await;
        }
        Reply::Endless(bytes) => {
            let _ = stream.write_all(&bytes).await;
            while stream.write_all(&[b' '; 4096]).await.is_ok() {}
        }
    }
}
