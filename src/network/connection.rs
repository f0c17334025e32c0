//! One connection: TLS, greeting, log-in, then requests until it ends.
//!
//! Requests are handed on in the order in which they came, so that what a device sends one after another keeps its
//! order without waiting for answers. What they occupy is bounded: each holds a part of the connection's budget until
//! its answer has been written to the socket; then the next is read. A stranger gets small frames and little time.

use std::io;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::directory::DeviceRow;
use super::error::Refusal;
use super::hub::{Outbound, Outgoing, Peer};
use super::login::{self, Stranger};
use super::requests::Session;
use super::server::Strangers;
use retaind_protocol::limits::{FRAME_BYTES_MAX, FRAME_BYTES_MAX_BEFORE_LOGIN};
use retaind_protocol::wire::{Answer, ClientFrame, RefusalCode, Request, ServerFrame};
use retaind_task as task;

/// From the first byte to a logged-in device, the slow check of a bot's password included.
const LOGIN_DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);
/// A device that takes nothing for so long is gone.
const WRITE_DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);
/// What requests and answers on the way may occupy, in units of [`UNIT_BYTES`]: 64 MiB, at most 1024 requests.
const UNITS: u32 = 1024;
const UNIT_BYTES: usize = 64 * 1024;
/// Answers put together for one write.
const WRITE_BYTES: usize = 256 * 1024;

/// Runs the connection to its end.
pub(crate) async fn run(shared: Arc<Shared>, tcp: TcpStream, strangers: Strangers, close: CancellationToken) {
    let deadline = Instant::now() + LOGIN_DEADLINE;
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "a connection ended at once");
        return;
    }
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&shared.certificate.tls));
    let tls = match timeout_at(deadline, acceptor.accept(tcp)).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => {
            return tracing::info!(%error, "a connection was refused: no TLS 1.3 or another certificate expected");
        }
        Err(_) => return tracing::info!("a connection was closed: it did not log in in time"),
    };
    let (reader, writer) = tokio::io::split(tls);
    #[expect(
        clippy::disallowed_methods,
        reason = "what waits is bounded by permits: one answer before log-in, then a budget of bytes, and the push window"
    )]
    let (outbound, outgoing) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    task::spawn_in(&mut tasks, "connection writer", write(writer, outgoing, close.clone()));
    let codec = LengthDelimitedCodec::builder().max_frame_length(FRAME_BYTES_MAX_BEFORE_LOGIN).new_codec();
    let mut frames = FramedRead::new(reader, codec);
    let greeted = tokio::select! {
        () = close.cancelled() => None,
        greeted = timeout_at(deadline, greet(&shared, &mut frames, &outbound)) => greeted.unwrap_or_else(|_| {
            tracing::info!("a connection was closed: it did not log in in time");
            None
        }),
    };
    // one that has logged in makes room for the next stranger
    drop(strangers);
    if let Some(device) = greeted {
        frames.decoder_mut().set_max_frame_length(FRAME_BYTES_MAX);
        serve(&shared, &mut frames, device, &outbound, &close, &mut tasks).await;
    }
    drop(outbound);
    // the last answers (a refusal, most of all) still go out, to a device that takes them
    let _late = timeout(std::time::Duration::from_secs(2), async { while tasks.join_next().await.is_some() {} }).await;
}

type Frames<R> = FramedRead<R, LengthDelimitedCodec>;

async fn next<R: AsyncRead + Unpin>(frames: &mut Frames<R>, outbound: &Outbound) -> Option<(ClientFrame, usize)> {
    let refused = |refusal: Refusal| answer(outbound, 0, Err(refusal), None);
    match frames.next().await? {
        Ok(bytes) => match ClientFrame::read(&bytes) {
            Ok(frame) if frame.id != 0 => Some((frame, bytes.len())),
            Ok(_) => {
                refused(Refusal::invalid("a request has the id 0"));
                None
            }
            Err(error) => {
                refused(Refusal::invalid(error.to_string()));
                None
            }
        },
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            let most = frames.decoder().max_frame_length();
            refused(Refusal::new(
                RefusalCode::Limit,
                format!("frame is larger than {most} bytes, the most allowed here"),
            ));
            None
        }
        Err(error) => {
            tracing::debug!(%error, "a connection ended");
            None
        }
    }
}

async fn greet<R: AsyncRead + Unpin>(
    shared: &Arc<Shared>,
    frames: &mut Frames<R>,
    outbound: &Outbound,
) -> Option<DeviceRow> {
    let mut stranger = Stranger::new().ok()?;
    // a stranger that does not read its answers is not asked for more requests
    let turn = Arc::new(Semaphore::new(1));
    loop {
        let permit = Arc::clone(&turn).acquire_owned().await.ok()?;
        let (frame, _) = next(frames, outbound).await?;
        let (reply, device) = match frame.request {
            Some(Request::Hello(hello)) => (login::hello(shared, &mut stranger, &hello), None),
            Some(Request::Register(register)) => match login::register(shared, &stranger, register).await {
                Ok((registered, device)) => (Ok(Answer::Registered(registered)), Some(device)),
                Err(refusal) => (Err(refusal), None),
            },
            Some(Request::Login(request)) => match login::login(shared, &stranger, request).await {
                Ok(device) => (Ok(Answer::Done(retaind_protocol::wire::Done {})), Some(device)),
                Err(refusal) => (Err(refusal), None),
            },
            Some(_) => (Err(Refusal::new(RefusalCode::Unauthenticated, "log in first")), None),
            None => (Err(Refusal::invalid("this request is not known to this network")), None),
        };
        let over = reply.as_ref().is_err_and(|refusal| refusal.code == RefusalCode::Version);
        answer(outbound, frame.id, reply, Some(permit));
        if device.is_some() || over {
            return device;
        }
    }
}

async fn serve<R: AsyncRead + Unpin>(
    shared: &Arc<Shared>,
    frames: &mut Frames<R>,
    device: DeviceRow,
    outbound: &Outbound,
    close: &CancellationToken,
    tasks: &mut JoinSet<()>,
) {
    let peer = Arc::new(Peer { device: device.row, outbound: outbound.clone(), close: close.clone() });
    let number = shared.hub.connect(peer);
    // suspended between log-in and here: nobody else would close this connection
    let id = device.device;
    let now = shared.readers.run(move |db| Ok(db.device(&id)?)).await;
    if !now.is_ok_and(|device| device.is_some_and(|device| !device.suspended)) {
        close.cancel();
    }
    let budget = Arc::new(Semaphore::new(UNITS as usize));
    let mut session = Session::new(Arc::clone(shared), device, outbound.clone(), close.clone());
    let work = async {
        while let Some((frame, bytes)) = next(frames, outbound).await {
            let cost = bytes.max(Session::answer_bytes(&frame)).div_ceil(UNIT_BYTES).max(1);
            let units = u32::try_from(cost).unwrap_or(UNITS).min(UNITS);
            let Ok(permit) = Arc::clone(&budget).acquire_many_owned(units).await else {
                return;
            };
            while tasks.try_join_next().is_some() {}
            session.handle(frame, permit, tasks).await;
        }
    };
    tokio::select! {
        () = close.cancelled() => {}
        () = work => {}
    }
    close.cancel();
    shared.hub.disconnect(number, session.subscriber());
}

/// Puts an answer on its way. It goes out in one piece with others.
pub(crate) fn answer(
    outbound: &Outbound,
    id: u64,
    reply: Result<Answer, Refusal>,
    permit: Option<OwnedSemaphorePermit>,
) {
    let answer = reply.unwrap_or_else(|refusal| Answer::Refused(refusal.frame()));
    // a connection that has ended needs no answer: the device repeats its request
    let _ended = outbound.send(Outgoing { bytes: encode(&ServerFrame { id, answer: Some(answer) }), permit });
}

/// The frame with its length before it.
pub(crate) fn encode(frame: &ServerFrame) -> Bytes {
    let mut out = BytesMut::new();
    encode_into(&mut out, frame);
    out.freeze()
}

pub(crate) fn encode_into(out: &mut BytesMut, frame: &ServerFrame) {
    let length = frame.encoded_len();
    out.reserve(length.saturating_add(4));
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // the buffer grows: there is always room
    let _infallible = frame.encode(out);
}

async fn write<W: AsyncWrite + Unpin>(
    mut socket: W,
    mut outgoing: mpsc::UnboundedReceiver<Outgoing>,
    close: CancellationToken,
) {
    let mut waiting = Vec::with_capacity(64);
    let mut together = BytesMut::new();
    while outgoing.recv_many(&mut waiting, 64).await > 0 {
        let written = timeout(WRITE_DEADLINE, async {
            for Outgoing { bytes, .. } in &waiting {
                if together.len().saturating_add(bytes.len()) > WRITE_BYTES && !together.is_empty() {
                    socket.write_all(&together).await?;
                    together.clear();
                }
                if bytes.len() >= WRITE_BYTES {
                    socket.write_all(bytes).await?;
                } else {
                    together.extend_from_slice(bytes);
                }
            }
            socket.write_all(&together).await?;
            together.clear();
            socket.flush().await
        })
        .await;
        waiting.clear();
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "a connection ended");
                return close.cancel();
            }
            Err(_) => {
                tracing::info!("a connection was closed: its device takes nothing");
                return close.cancel();
            }
        }
    }
    let _closing = timeout(WRITE_DEADLINE, socket.shutdown()).await;
}
