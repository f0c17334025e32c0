//! What a logged-in device may ask. Changes go to the writer in order; reads and blobs run beside.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::agreed;
use super::change::{Change, Outcome};
use super::claim;
use super::clock::Moment;
use super::connection::answer;
use super::delivery::blobs::{self, BlobId, BlobRow};
use super::delivery::groups::{Ciphertext, Handshake};
use super::delivery::queue::{self, FETCH_BYTES_MAX};
use super::directory::{DeviceRow, UserRow, key_packages};
use super::error::{NetworkError, Refusal};
use super::limits::DISK_FOR_BLOBS;
use super::outbound::{Held, Outbound};
use super::quotas::no_room;
use super::subscriber::Subscriber;
use super::writer::Reply;
use super::{Shared, push};
use retaind_core::limit::Refusals;
use retaind_protocol::limits::{BLOB_RANGE_BYTES_MAX, FRAME_BYTES_MAX, KEY_PACKAGES_MAX, LIST_ITEMS_MAX};
use retaind_protocol::wire::{
    Account, Acknowledge, Answer, BlobFinish, BlobPut, ClientFrame, CreateConversation, Done, PublishKeyPackages,
    RefusalCode, Report, Request, SendHandshake, Subscribe,
};
use retaind_task as task;

/// A handshake must fit a frame again when it is delivered, with the names around it.
pub(crate) const HANDSHAKE_BYTES_MAX: usize = FRAME_BYTES_MAX - 4096;

/// Largest window of messages; a larger one is taken for this. It costs a megabyte of a subscriber's memory.
const WINDOW_MESSAGES_MAX: usize = 65_536;

/// One device on one connection.
pub(crate) struct Session {
    shared: Arc<Shared>,
    device: DeviceRow,
    outbound: Outbound,
    close: CancellationToken,
    subscriber: Option<Arc<Subscriber>>,
}

impl Session {
    pub(crate) fn new(shared: Arc<Shared>, device: DeviceRow, outbound: Outbound, close: CancellationToken) -> Self {
        Self { shared, device, outbound, close, subscriber: None }
    }

    pub(crate) fn subscriber(&self) -> Option<&Arc<Subscriber>> {
        self.subscriber.as_ref()
    }

    /// What the answer may occupy, as far as the request tells.
    pub(crate) fn answer_bytes(frame: &ClientFrame) -> usize {
        match &frame.request {
            Some(Request::Fetch(fetch)) => {
                usize::try_from(fetch.bytes_max).unwrap_or(FETCH_BYTES_MAX).min(FETCH_BYTES_MAX)
            }
            Some(Request::BlobGet(get)) => {
                usize::try_from(get.length).unwrap_or(BLOB_RANGE_BYTES_MAX).min(BLOB_RANGE_BYTES_MAX)
            }
            Some(_) | None => 0,
        }
    }

    /// Handles one request; its answer carries what it holds to the socket.
    pub(crate) async fn handle(&mut self, frame: ClientFrame, held: Held, tasks: &mut JoinSet<()>) {
        let id = frame.id;
        let refusals = Arc::clone(&self.shared.refusals);
        let mut reply = Answering { outbound: self.outbound.clone(), id, held, refusals };
        let refused = match frame.request {
            Some(Request::SendApplication(request)) => match parse(request.message, &request.blobs) {
                Ok((message, blobs)) => {
                    let (device, send_id) = (self.device.clone(), request.send_id);
                    return self.submit(Change::Application { device, send_id, message, blobs }, reply).await;
                }
                Err(refusal) => refusal,
            },
            Some(Request::SendHandshake(request)) => match self.handshake(request) {
                Ok(change) => return self.submit(change, reply).await,
                Err(refusal) => refusal,
            },
            Some(Request::CreateConversation(request)) => match self.create(request) {
                Ok(change) => return self.submit(change, reply).await,
                Err(refusal) => refusal,
            },
            Some(Request::Acknowledge(request)) => match self.acknowledge(request, reply).await {
                Ok(()) => return,
                Err((refusal, reply)) => return reply.answer(Err(refusal)),
            },
            Some(Request::PublishKeyPackages(request)) => match self.publish(request).await {
                Ok(change) => return self.submit(change, reply).await,
                Err(refusal) => refusal,
            },
            Some(Request::ClaimKeyPackages(request)) => {
                match claim::charged(&self.shared, &self.device, request, &mut reply.held.charge).await {
                    Ok(change) => return self.submit(change, reply).await,
                    Err(refusal) => refusal,
                }
            }
            Some(Request::Report(request)) => match self.report(request) {
                Ok(change) => return self.submit(change, reply).await,
                Err(refusal) => refusal,
            },
            Some(Request::CountKeyPackages(_)) => {
                let device = self.device.row;
                let shared = Arc::clone(&self.shared);
                task::spawn_in(tasks, "request", async move {
                    let count = shared.readers.run(move |db| Ok(db.count_key_packages(device, Moment::now())?)).await;
                    reply.answer(count.map(Answer::KeyPackageCount));
                });
                return;
            }
            Some(Request::ReadAccount(_)) => {
                let (user, shared) = (self.device.user.clone(), Arc::clone(&self.shared));
                task::spawn_in(tasks, "request", async move {
                    let read = shared.readers.run(move |db| Ok(db.user(&user)?)).await;
                    reply.answer(read.map(|user| Answer::Account(account(user.as_ref()))));
                });
                return;
            }
            Some(Request::ChangePassword(request)) => {
                let (device, shared) = (self.device.clone(), Arc::clone(&self.shared));
                task::spawn_in(tasks, "request", async move {
                    match hash_password(&shared, request.password.into()).await {
                        Ok(hash) => {
                            shared.writer().submit(Change::SetPassword { device, hash }, reply.into_reply()).await;
                        }
                        Err(refusal) => reply.answer(Err(refusal)),
                    }
                });
                return;
            }
            Some(Request::Fetch(request)) => {
                let (device, shared) = (self.device.row, Arc::clone(&self.shared));
                task::spawn_in(tasks, "request", async move {
                    let read = shared.readers.run(move |db| queue::fetch(db, device, &request)).await;
                    reply.answer(read.map(Answer::Deliveries));
                });
                return;
            }
            Some(Request::ListConversations(request)) => {
                let (device, shared) = (self.device.row, Arc::clone(&self.shared));
                task::spawn_in(tasks, "request", async move {
                    let page = shared.readers.run(move |db| Ok(queue::list(db, device, &request)?)).await;
                    reply.answer(page.map(Answer::Conversations));
                });
                return;
            }
            Some(Request::Subscribe(request)) => match self.subscribe(&request).await {
                Ok(subscriber) => {
                    reply.answer(Ok(Answer::Done(Done {})));
                    task::spawn_in(
                        tasks,
                        "push",
                        push::run(Arc::clone(&self.shared), subscriber, self.outbound.clone()),
                    );
                    return;
                }
                Err(refusal) => refusal,
            },
            Some(Request::BlobCreate(request)) => match BlobId::fresh() {
                Ok(blob) => {
                    let change = Change::BlobCreate { device: self.device.clone(), blob, size: request.size };
                    return self.submit(change, reply).await;
                }
                Err(refusal) => refusal,
            },
            Some(Request::BlobPut(request)) => return reply.answer(self.put(request).await.map(Answer::BlobState)),
            Some(Request::BlobFinish(request)) => match self.finish(request).await {
                Ok(change) => return self.submit(change, reply).await,
                Err(refusal) => refusal,
            },
            Some(Request::BlobStat(request)) => {
                let shared = Arc::clone(&self.shared);
                task::spawn_in(tasks, "request", async move {
                    let state = on_blob(&shared, &request.blob, |blobs, blob, row| blobs.state(blob, row)).await;
                    reply.answer(state.map(Answer::BlobState));
                });
                return;
            }
            Some(Request::BlobGet(request)) => {
                let shared = Arc::clone(&self.shared);
                task::spawn_in(tasks, "request", async move {
                    let id = request.blob.clone();
                    let range = on_blob(&shared, &id, move |blobs, blob, row| blobs.get(blob, row, &request)).await;
                    reply.answer(range.map(Answer::BlobRange));
                });
                return;
            }
            Some(Request::Hello(_) | Request::Register(_) | Request::Login(_)) => {
                Refusal::invalid("this connection is logged in: use another for another device")
            }
            None => Refusal::invalid("this request is not known to this network"),
        };
        reply.answer(Err(refused));
    }

    async fn submit(&self, change: Change, reply: Answering) {
        self.shared.writer().submit(change, reply.into_reply()).await;
    }

    fn handshake(&self, request: SendHandshake) -> Result<Change, Refusal> {
        check_size(request.message.len().max(request.welcome.len()))?;
        Ok(Change::Handshake {
            device: self.device.clone(),
            send_id: request.send_id,
            handshake: Box::new(Handshake::parse(request.message)?),
            welcome: request.welcome,
        })
    }

    fn create(&self, request: CreateConversation) -> Result<Change, Refusal> {
        check_size(request.commit.len().max(request.welcome.len()))?;
        Ok(Change::Create {
            device: self.device.clone(),
            send_id: request.send_id,
            group_info: request.group_info,
            commit: Box::new(Handshake::parse(request.commit)?),
            welcome: request.welcome,
        })
    }

    fn report(&self, request: Report) -> Result<Change, Refusal> {
        let Ok(conversation) = request.conversation.parse() else {
            return Err(Refusal::invalid("`conversation` is not a conversation id"));
        };
        let Some(reported) = request.reported else {
            return Err(Refusal::invalid("this report is not known to this network"));
        };
        Ok(Change::Report { device: self.device.clone(), conversation, reported })
    }

    async fn acknowledge(&self, request: Acknowledge, reply: Answering) -> Result<(), (Refusal, Answering)> {
        if request.cursors.len() > LIST_ITEMS_MAX {
            let message = format!("{} cursors at once, at most {LIST_ITEMS_MAX} are allowed", request.cursors.len());
            return Err((Refusal::over(&agreed::CURSORS, message), reply));
        }
        let cursors = request.cursors.clone();
        let (subscriber, shared) = (self.subscriber.clone(), Arc::clone(&self.shared));
        let then: Reply = Box::new(move |outcome| {
            if let (Ok(_), Some(subscriber)) = (&outcome, &subscriber) {
                for cursor in &cursors {
                    if let Some(over) = subscriber.acknowledged(&cursor.conversation, cursor.seq) {
                        shared.hub.forget(subscriber, over);
                    }
                }
            }
            (reply.into_reply())(outcome);
        });
        let change = Change::Acknowledge { device: self.device.clone(), cursors: request.cursors };
        self.shared.writer().submit(change, then).await;
        Ok(())
    }

    async fn publish(&self, request: PublishKeyPackages) -> Result<Change, Refusal> {
        if request.one_time.len() > KEY_PACKAGES_MAX {
            let message =
                format!("{} key packages at once, at most {KEY_PACKAGES_MAX} are kept", request.one_time.len());
            return Err(Refusal::over(&agreed::KEY_PACKAGES, message));
        }
        let (shared, device, now) = (Arc::clone(&self.shared), self.device.clone(), Moment::now());
        task::blocking("key packages", move || {
            let check = |package| key_packages::check(&shared.keys, &device, package, now);
            let one_time = request.one_time.into_iter().map(check).collect::<Result<_, _>>()?;
            let last_resort = if request.last_resort.is_empty() { None } else { Some(check(request.last_resort)?) };
            Ok(Change::PublishKeyPackages { device: device.clone(), one_time, last_resort })
        })
        .await
        .unwrap_or_else(|_| Err(Refusal::unavailable()))
    }

    async fn subscribe(&mut self, request: &Subscribe) -> Result<Arc<Subscriber>, Refusal> {
        if self.subscriber.is_some() {
            return Err(Refusal::invalid("this connection has subscribed already"));
        }
        if request.window_messages == 0 || request.window_bytes == 0 {
            return Err(Refusal::invalid("the window has no room for any message"));
        }
        // what is not acknowledged is remembered here, message by message
        let messages = usize::try_from(request.window_messages).unwrap_or(usize::MAX).min(WINDOW_MESSAGES_MAX);
        let subscriber = Arc::new(Subscriber::new(self.device.row, self.close.clone(), messages, request.window_bytes));
        // kept first, so that the end of the connection finds it
        self.subscriber = Some(Arc::clone(&subscriber));
        push::subscribe(&self.shared, &subscriber).await?;
        Ok(subscriber)
    }

    async fn put(&self, request: BlobPut) -> Result<retaind_protocol::wire::BlobState, Refusal> {
        let device = self.device.row;
        let id = request.blob.clone();
        let (low, refusals) = (self.shared.allowances.disk_low_bytes, Arc::clone(&self.shared.refusals));
        on_blob(&self.shared, &id, move |blobs, blob, row| {
            check_owner(row, device)?;
            // much may have been written since it was begun, of this one or of others
            if blobs.free_bytes() < low {
                refusals.count(&DISK_FOR_BLOBS);
                return Err(no_room());
            }
            blobs.put(blob, row, &request)
        })
        .await
    }

    async fn finish(&self, request: BlobFinish) -> Result<Change, Refusal> {
        let device = self.device.row;
        on_blob(&self.shared, &request.blob, move |blobs, blob, row| {
            check_owner(row, device)?;
            if row.finished { Ok(()) } else { blobs.finish(blob, row) }
        })
        .await?;
        Ok(Change::BlobFinish { device: self.device.clone(), blob: BlobId::parse(&request.blob)? })
    }
}

/// An application message, and the blobs that it names.
fn parse(message: Vec<u8>, blobs: &[Vec<u8>]) -> Result<(Ciphertext, Vec<BlobId>), Refusal> {
    Ok((Ciphertext::parse(message)?, blobs::named(blobs)?))
}

/// Is the account's password the one that an administrator gave it?
fn account(user: Option<&UserRow>) -> Account {
    Account { initial_password: user.is_some_and(|user| user.initial_password && user.password.is_some()) }
}

fn check_owner(row: BlobRow, device: i64) -> Result<(), Refusal> {
    if row.device == device {
        Ok(())
    } else {
        Err(Refusal::new(RefusalCode::NotYourDevice, "the blob was begun by another device"))
    }
}

async fn hash_password(shared: &Shared, password: Zeroizing<String>) -> Result<String, Refusal> {
    match shared.passwords.run(move |memory| memory.hash(&password)).await {
        Some(Ok(hash)) => Ok(hash),
        Some(Err(error @ NetworkError::PasswordLength)) => Err(Refusal::over(&agreed::PASSWORD, error.to_string())),
        Some(Err(_)) | None => Err(Refusal::unavailable()),
    }
}

fn check_size(bytes: usize) -> Result<(), Refusal> {
    if bytes <= HANDSHAKE_BYTES_MAX {
        return Ok(());
    }
    let message = format!("handshake or welcome of {bytes} bytes: at most {HANDSHAKE_BYTES_MAX} are allowed");
    Err(Refusal::over(&agreed::HANDSHAKE, message))
}

/// Finds the blob, then works on its file, both on blocking threads.
async fn on_blob<T, F>(shared: &Arc<Shared>, id: &[u8], work: F) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: FnOnce(&blobs::Blobs, &BlobId, BlobRow) -> Result<T, Refusal> + Send + 'static,
{
    let blob = BlobId::parse(id)?;
    let row = shared.readers.run(move |db| blobs::find(db, &blob)).await?;
    let shared = Arc::clone(shared);
    task::blocking("blobs", move || work(&shared.blobs, &blob, row))
        .await
        .unwrap_or_else(|_| Err(Refusal::unavailable()))
}

/// Where the answer of one request goes.
struct Answering {
    outbound: Outbound,
    id: u64,
    held: Held,
    refusals: Arc<Refusals>,
}

impl Answering {
    fn answer(self, reply: Result<Answer, Refusal>) {
        if let Err(Refusal { limit: Some(limit), .. }) = &reply {
            self.refusals.count(limit);
        }
        answer(&self.outbound, self.id, reply, Some(self.held));
    }

    fn into_reply(self) -> Reply {
        Box::new(move |outcome| {
            let reply = outcome.and_then(|outcome| match outcome {
                Outcome::Answer(answer) => Ok(answer),
                Outcome::Registered { .. } | Outcome::Proposed(_) | Outcome::Purged(_) => Err(Refusal::unavailable()),
            });
            self.answer(reply);
        })
    }
}
