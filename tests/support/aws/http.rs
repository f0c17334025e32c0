//! Requests to the stand-in that no crate of the SDK makes here: SQS, IAM, and moto's own switches.
#![allow(clippy::unwrap_used)]

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// More than any answer here.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// POSTs and returns the answer. `address`: `127.0.0.1:PORT`.
pub async fn post(address: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (StatusCode, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut request = Request::post(path).header("host", address);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
    let answer = send.send_request(request).await.unwrap();
    let status = answer.status();
    let text = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.unwrap().to_bytes();
    connection.abort();
    (status, String::from_utf8(text.to_vec()).unwrap())
}

/// What stands in the first `<tag>` of an answer in XML.
pub fn element<'a>(xml: &'a str, tag: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{tag}>"))?;
    rest.split_once(&format!("</{tag}>")).map(|(text, _)| text)
}

/// `name=value&…` with everything escaped that may need it.
pub fn form(fields: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        let bytes = text.bytes().map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        });
        bytes.collect()
    };
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    fields.join("&")
}
