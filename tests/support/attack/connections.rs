//! What a member can do with connections alone: open many, begin frames, read nothing.

use futures_util::{SinkExt, StreamExt};
use prost::Message;
use retaind::device::mls;
use retaind::protocol::endpoint::Endpoint;
use retaind::protocol::limits::BLOB_RANGE_BYTES_MAX;
use retaind::protocol::wire::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::version;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::support::raw::{PATIENCE, Raw, SUITE, tls};

/// A connection of `raw`'s device that has logged in, below the protocol. `None`: the network ended it.
pub async fn logged_in(endpoint: &Endpoint, raw: &Raw) -> Option<TlsStream<TcpStream>> {
    let stream = tls(endpoint, &[&version::TLS13]).await.ok()?;
    let mut framed = Framed::new(stream, LengthDelimitedCodec::new());
    let hello = ClientFrame { id: 1, request: Some(Request::Hello(Hello { version: WIRE_VERSION })) };
    framed.send(hello.encode_to_vec().as_slice()).await.ok()?;
    let answer = ServerFrame::decode(framed.next().await?.ok()?).unwrap();
    let Some(Answer::NetworkInfo(info)) = answer.answer else { return None };
    let device = raw.identity.device.as_bytes();
    let statement = [LOGIN_LABEL, info.network_id.as_bytes(), &info.nonce, device].concat();
    let proof = mls::sign(SUITE, &raw.secret, &statement).unwrap();
    let login = Request::Login(Login { device: device.to_vec(), proof });
    framed.send(ClientFrame { id: 2, request: Some(login) }.encode_to_vec().as_slice()).await.ok()?;
    let answer = ServerFrame::decode(framed.next().await?.ok()?).unwrap();
    (answer.answer == Some(Answer::Done(Done {}))).then(|| framed.into_inner())
}

/// So many connections of one device, one after another, none of them closed.
pub async fn many_connections(endpoint: &Endpoint, raw: &Raw, connections: usize) -> Vec<TlsStream<TcpStream>> {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.extend(logged_in(endpoint, raw).await);
    }
    open
}

/// Is it still open after the network had time to end it?
pub async fn is_open(stream: &mut TlsStream<TcpStream>, within: std::time::Duration) -> bool {
    tokio::time::timeout(within, stream.read(&mut [0; 1])).await.is_err()
}

/// Waits until the network has ended it.
pub async fn ended(stream: &mut TlsStream<TcpStream>) {
    let mut rest = [0; 64 * 1024];
    let over = async { while !matches!(stream.read(&mut rest).await, Ok(0) | Err(_)) {} };
    tokio::time::timeout(PATIENCE, over).await.unwrap();
}

/// Begins a frame of `announced` bytes and sends `sent` of them, or as many as are taken.
pub async fn begin_frame(stream: &mut TlsStream<TcpStream>, announced: u32, sent: usize) -> usize {
    let mut taken = 0;
    let work = async {
        stream.write_all(&announced.to_be_bytes()).await.ok();
        let chunk = [0x7f; 64 * 1024];
        while taken < sent {
            match stream.write(&chunk[..chunk.len().min(sent - taken)]).await {
                Ok(written) if written > 0 => taken += written,
                Ok(_) | Err(_) => break,
            }
        }
        stream.flush().await.ok();
    };
    // what the network does not take is not waited for
    tokio::time::timeout(std::time::Duration::from_millis(500), work).await.ok();
    taken
}

/// Asks for the largest range of a blob, so often, and reads nothing.
pub async fn ask_and_read_nothing(stream: &mut TlsStream<TcpStream>, blob: &[u8], requests: u64) {
    for id in 10..10 + requests {
        let get = BlobGet { blob: blob.to_vec(), offset: 0, length: BLOB_RANGE_BYTES_MAX as u32 };
        let frame = ClientFrame { id, request: Some(Request::BlobGet(get)) }.encode_to_vec();
        let head = u32::try_from(frame.len()).unwrap().to_be_bytes();
        stream.write_all(&[&head[..], &frame].concat()).await.ok();
    }
    stream.flush().await.ok();
}

/// Claims key packages of a user, so often, and reads nothing.
pub async fn claim_and_read_nothing(stream: &mut TlsStream<TcpStream>, user: &str, requests: u64) {
    for id in 10..10 + requests {
        let claim = ClaimKeyPackages { users: vec![user.to_owned()], cipher_suite: SUITE.into() };
        let frame = ClientFrame { id, request: Some(Request::ClaimKeyPackages(claim)) }.encode_to_vec();
        let head = u32::try_from(frame.len()).unwrap().to_be_bytes();
        stream.write_all(&[&head[..], &frame].concat()).await.ok();
    }
    stream.flush().await.ok();
}
