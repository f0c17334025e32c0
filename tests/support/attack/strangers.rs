//! What a stranger can do who reaches the port.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use prost::Message;
use retaind::device::connection::{Connection, ConnectionError};
use retaind::protocol::endpoint::Endpoint;
use retaind::protocol::wire::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::rustls::version;
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use crate::support::raw::{PATIENCE, Raw, tls};

/// Says hello so often on one connection, all at once, and only then reads. Returns the answers until the end.
pub async fn many_hellos(endpoint: &Endpoint, hellos: u64) -> Vec<Answer> {
    let (reader, writer) = tokio::io::split(tls(endpoint, &[&version::TLS13]).await.unwrap());
    let mut writer = FramedWrite::new(writer, LengthDelimitedCodec::new());
    for id in 1..=hellos {
        let hello = ClientFrame { id, request: Some(Request::Hello(Hello { version: WIRE_VERSION })) };
        // refused in the middle is what this is about
        if writer.feed(Bytes::from(hello.encode_to_vec())).await.is_err() {
            break;
        }
    }
    SinkExt::<Bytes>::flush(&mut writer).await.ok();
    let mut answers = Vec::new();
    let mut frames = FramedRead::new(reader, LengthDelimitedCodec::new());
    // a network that goes on answering is read as long as it does
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(PATIENCE, frames.next()).await {
        answers.extend(ServerFrame::decode(frame).unwrap().answer);
        if answers.len() as u64 == hellos {
            break;
        }
    }
    answers
}

/// Says hello on one connection until then and reads nothing; returns how often.
pub async fn hellos_unread(endpoint: &Endpoint, until: tokio::time::Instant) -> u64 {
    let Ok(stream) = tls(endpoint, &[&version::TLS13]).await else { return 0 };
    let mut writer = FramedWrite::new(stream, LengthDelimitedCodec::new());
    let hello = ClientFrame { id: 1, request: Some(Request::Hello(Hello { version: WIRE_VERSION })) };
    let frame = Bytes::from(hello.encode_to_vec());
    let mut sent = 0;
    let flood = async {
        while writer.feed(frame.clone()).await.is_ok() {
            sent += 1;
        }
    };
    tokio::time::timeout_at(until, flood).await.ok();
    sent
}

/// Sockets of one address that say nothing. What the network ends is among them, and shows as ended.
pub async fn idle_sockets(endpoint: &Endpoint, from: IpAddr, sockets: usize) -> Vec<TcpStream> {
    let to: SocketAddr = endpoint.address.parse().unwrap();
    let mut idle = Vec::new();
    for _ in 0..sockets {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        idle.push(tokio::time::timeout(PATIENCE, socket.connect(to)).await.unwrap().unwrap());
    }
    idle
}

/// Waits until the network has ended it.
pub async fn ended(socket: &mut TcpStream) {
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest)).await.unwrap().ok();
}

/// So many connections that say something that is not TLS, one after another; each is waited for until it is ended.
pub async fn plain_text(endpoint: &Endpoint, connections: usize) {
    for _ in 0..connections {
        let mut socket = TcpStream::connect(&endpoint.address).await.unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\n\r\n").await.ok();
        ended(&mut socket).await;
    }
}

/// Guesses the password of an account, a connection each; returns what each try was refused with.
pub async fn guesses(endpoint: &Endpoint, account: &str, tries: usize) -> Vec<RefusalCode> {
    let mut refused = Vec::new();
    for number in 0..tries {
        refused.push(guess(endpoint, account, &format!("a wrong guess {number}")).await);
    }
    refused
}

/// Guesses once.
pub async fn guess(endpoint: &Endpoint, account: &str, password: &str) -> RefusalCode {
    let register = Register { bot_user: account.into(), bot_password: password.into(), ..Register::default() };
    Raw::register(endpoint, register).await.err().and_then(|error| error.refusal()).unwrap_or_default()
}

/// An honest connection: does it get in?
pub async fn gets_in(endpoint: &Endpoint) -> Result<(), ConnectionError> {
    let opened = tokio::time::timeout(Duration::from_secs(5), Connection::open(endpoint, 1)).await;
    opened.unwrap_or(Err(ConnectionError::Closed)).map(drop)
}
