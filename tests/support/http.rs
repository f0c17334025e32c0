//! HTTP as the bytes that it is: one request, one answer, until the other side closes.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The codes of the reasons of `/readyz`.
    pub fn reasons(&self) -> Vec<String> {
        let reasons = self.json()["reasons"].as_array().unwrap().clone();
        reasons.iter().map(|reason| reason["code"].as_str().unwrap().to_owned()).collect()
    }
}

/// Sends these bytes and reads until the connection is closed; how it is closed does not matter.
pub async fn exchange(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // who is refused in the middle may not get rid of the rest
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

/// One request with this method and path, and with what else is given.
pub async fn request(address: &str, method: &str, path: &str, more: &str) -> Answer {
    let answer =
        exchange(address, format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{more}\r\n").as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

pub async fn get(address: &str, path: &str) -> Answer {
    request(address, "GET", path, "").await
}
