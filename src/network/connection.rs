//! One connection: TLS, greeting, log-in, then requests until it ends.
//!
//! Requests are handed on in the order in which they came, so that what a device sends one after another keeps its
//! order without waiting for answers. What they occupy is bounded: each holds a part of the connection's budget, and of that
//! of its user and of the process ([`super::budget`]), until its answer has been written to the socket; then the next is read.
//! A stranger gets small frames, little time, a handful of requests, and one try.
//!
//! Two tokens end a connection. `close` (the network stops, the device is suspended, its socket breaks) lets the last answers
//! go out. `cut` (its place or its memory is needed) drops everything at once.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use tokio::io::AsyncRead;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::agreed::{FRAME, FRAME_OF_STRANGER};
use super::budget::{Charge, Of};
use super::directory::DeviceRow;
use super::doors::Place;
use super::error::Refusal;
use super::frames::{Ended, Frames};
use super::hub::Peer;
use super::limits::{FAILED_HANDSHAKES, FRAME_STALL_SECONDS, HANDSHAKE_SECONDS, LOGIN_SECONDS, STRANGER_REQUESTS};
use super::login::{self, Stranger, Try};
use super::outbound::{self, Held, Outbound};
use super::requests::Session;
use retaind_protocol::limits::{FRAME_BYTES_MAX, FRAME_BYTES_MAX_BEFORE_LOGIN};
use retaind_protocol::wire::{Answer, ClientFrame, RefusalCode, Request, ServerFrame};
use retaind_task as task;

/// What requests and answers on the way may occupy, in units of [`UNIT_BYTES`]: 64 MiB, at most 1024 requests.
const UNITS: u32 = 1024;
const UNIT_BYTES: usize = 64 * 1024;
/// How long the last answers may take to go out.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// The tokens that end a connection.
#[derive(Clone)]
pub(crate) struct Ends {
    pub(crate) close: CancellationToken,
    pub(crate) cut: CancellationToken,
}

/// Runs the connection to its end.
pub(crate) async fn run(shared: Arc<Shared>, tcp: TcpStream, mut place: Place, ends: Ends) {
    let limits = shared.limits;
    let began = Instant::now();
    if let Err(error) = tcp.set_nodelay(true).and_then(|()| keep_alive(&tcp)) {
        tracing::debug!(%error, "a connection ended at once");
        return;
    }
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&shared.certificate.tls));
    let shaking = tokio::select! {
        () = ends.cut.cancelled() => return,
        () = ends.close.cancelled() => return,
        shaking = timeout_at(began + limits.handshake, acceptor.accept(tcp)) => shaking,
    };
    let tls = match shaking {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a connection was refused: no TLS 1.3 or another certificate expected");
            return shared.refusals.count(&FAILED_HANDSHAKES);
        }
        Err(_) => return shared.refusals.count(&HANDSHAKE_SECONDS),
    };
    let (reader, writer) = tokio::io::split(tls);
    let account = shared.budget.open(Of::Strangers, "", ends.cut.clone());
    let (outbound, outgoing) = outbound::queue(Arc::clone(&account), ends.cut.clone(), Arc::clone(&shared.refusals));
    let mut tasks = JoinSet::new();
    let writing =
        outbound::write(writer, outgoing, limits.write_stall, ends.close.clone(), Arc::clone(&shared.refusals));
    task::spawn_in(&mut tasks, "connection writer", writing);
    let mut frames = Frames::new(reader, account, FRAME_BYTES_MAX_BEFORE_LOGIN, limits.frame_stall);
    let greeted = tokio::select! {
        () = ends.cut.cancelled() => None,
        () = ends.close.cancelled() => None,
        greeted = timeout_at(began + limits.login, greet(&shared, &mut frames, &outbound, &place)) => {
            greeted.unwrap_or_else(|_| {
                shared.refusals.count(&LOGIN_SECONDS);
                None
            })
        }
    };
    if let Some(device) = greeted {
        // one that has logged in makes room for the next stranger
        place.logged_in();
        let is_bot = shared.policy().retention_users.contains(&device.user);
        if is_bot {
            place.is_of_a_bot();
        }
        let of = if is_bot { Of::Bot } else { Of::User };
        let account = shared.budget.open(of, &device.user, ends.cut.clone());
        frames.promote(Arc::clone(&account), FRAME_BYTES_MAX);
        serve(&shared, &mut frames, device, &outbound.of(account), &ends, &mut tasks).await;
    }
    drop((outbound, frames));
    // the last answers (a refusal, most of all) still go out, to a device that takes them
    tokio::select! {
        () = ends.cut.cancelled() => {}
        _late = timeout(LAST_ANSWERS, async { while tasks.join_next().await.is_some() {} }) => {}
    }
}

/// A peer that vanished without a word is noticed within three minutes, however long it was silent before.
fn keep_alive(tcp: &TcpStream) -> std::io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(tcp, true)?;
    sockopt::set_tcp_keepidle(tcp, Duration::from_secs(60))?;
    sockopt::set_tcp_keepintvl(tcp, Duration::from_secs(20))?;
    Ok(sockopt::set_tcp_keepcnt(tcp, 6)?)
}

async fn next<R: AsyncRead + Unpin>(
    shared: &Shared,
    frames: &mut Frames<R>,
    outbound: &Outbound,
) -> Option<(ClientFrame, Charge)> {
    let refused = |refusal: Refusal| answer(outbound, 0, Err(refusal), None);
    match frames.next().await {
        Ok(frame) => match ClientFrame::read(&frame.bytes) {
            Ok(read) if read.id != 0 => Some((read, frame.charge)),
            Ok(_) => {
                refused(Refusal::invalid("a request has the id 0"));
                None
            }
            Err(error) => {
                refused(Refusal::invalid(error.to_string()));
                None
            }
        },
        Err(Ended::TooLarge) => {
            let most = frames.bytes_max();
            shared.refusals.count(if most < FRAME_BYTES_MAX { &FRAME_OF_STRANGER } else { &FRAME });
            refused(Refusal::new(
                RefusalCode::Limit,
                format!("frame is larger than {most} bytes, the most allowed here"),
            ));
            None
        }
        Err(Ended::Stalled) => {
            shared.refusals.count(&FRAME_STALL_SECONDS);
            None
        }
        Err(Ended::NoRoom(limit)) => {
            // counted where it was refused
            tracing::debug!(limit = limit.name, "a connection was closed: there was no memory for its frame");
            None
        }
        Err(Ended::Closed(error)) => {
            tracing::debug!(?error, "a connection ended");
            None
        }
    }
}

async fn greet<R: AsyncRead + Unpin>(
    shared: &Arc<Shared>,
    frames: &mut Frames<R>,
    outbound: &Outbound,
    place: &Place,
) -> Option<DeviceRow> {
    let mut stranger = Stranger::new(place.neighbourhood()).ok()?;
    // a stranger that does not read its answers is not asked for more requests
    let turn = Arc::new(Semaphore::new(1));
    for _ in 0..STRANGER_REQUESTS.value {
        let permit = Arc::clone(&turn).acquire_owned().await.ok()?;
        let (frame, charge) = next(shared, frames, outbound).await?;
        let (reply, device) = match frame.request {
            Some(Request::Hello(hello)) => (login::hello(shared, &mut stranger, &hello), None),
            Some(Request::Register(request)) => {
                tried(login::try_once(shared, &mut stranger, Try::Register(request)).await)
            }
            Some(Request::Login(request)) => tried(login::try_once(shared, &mut stranger, Try::Login(request)).await),
            Some(_) => (Err(Refusal::new(RefusalCode::Unauthenticated, "log in first")), None),
            None => (Err(Refusal::invalid("this request is not known to this network")), None),
        };
        if let Err(Refusal { limit: Some(limit), .. }) = &reply {
            shared.refusals.count(limit);
        }
        let over = reply.as_ref().is_err_and(|refusal| refusal.code == RefusalCode::Version);
        answer(outbound, frame.id, reply, Some(Held { permit, charge }));
        if device.is_some() || over {
            return device;
        }
    }
    shared.refusals.count(&STRANGER_REQUESTS);
    None
}

fn tried(tried: Result<(Answer, DeviceRow), Refusal>) -> (Result<Answer, Refusal>, Option<DeviceRow>) {
    match tried {
        Ok((answer, device)) => (Ok(answer), Some(device)),
        Err(refusal) => (Err(refusal), None),
    }
}

async fn serve<R: AsyncRead + Unpin>(
    shared: &Arc<Shared>,
    frames: &mut Frames<R>,
    device: DeviceRow,
    outbound: &Outbound,
    ends: &Ends,
    tasks: &mut JoinSet<()>,
) {
    let peer = Peer { device: device.row, user: device.user.clone(), outbound: outbound.clone(), ends: ends.clone() };
    let number = shared.hub.connect(Arc::new(peer), &shared.limits, &shared.refusals);
    // suspended between log-in and here: nobody else would close this connection
    let id = device.device;
    let now = shared.readers.run(move |db| Ok(db.device(&id)?)).await;
    if !now.is_ok_and(|device| device.is_some_and(|device| !device.suspended)) {
        ends.close.cancel();
    }
    let budget = Arc::new(Semaphore::new(UNITS as usize));
    let mut session = Session::new(Arc::clone(shared), device, outbound.clone(), ends.close.clone());
    let work = async {
        while let Some((frame, mut charge)) = next(shared, frames, outbound).await {
            let bytes = charge.bytes().max(Session::answer_bytes(&frame));
            let units = u32::try_from(bytes.div_ceil(UNIT_BYTES).max(1)).unwrap_or(UNITS).min(UNITS);
            let Ok(permit) = Arc::clone(&budget).acquire_many_owned(units).await else {
                return;
            };
            if charge.grow_for_an_answer(bytes.saturating_sub(charge.bytes())).await.is_err() {
                return;
            }
            while tasks.try_join_next().is_some() {}
            session.handle(frame, Held { permit, charge }, tasks).await;
        }
    };
    tokio::select! {
        () = ends.cut.cancelled() => {}
        () = ends.close.cancelled() => {}
        () = work => {}
    }
    ends.close.cancel();
    shared.hub.disconnect(number, session.subscriber());
}

/// Puts an answer on its way. It goes out in one piece with others.
pub(crate) fn answer(outbound: &Outbound, id: u64, reply: Result<Answer, Refusal>, held: Option<Held>) {
    let answer = reply.unwrap_or_else(|refusal| Answer::Refused(refusal.frame()));
    // a connection that has ended needs no answer: the device repeats its request
    let _ended = outbound.send(encode(&ServerFrame { id, answer: Some(answer) }), held);
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
