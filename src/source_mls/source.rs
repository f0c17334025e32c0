//! The source as the bot sees it: checks the state, logs in, runs its stages.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::FutureExt;
use retaind_bot::passwords::Opened;
use retaind_bot::source::{Bot, LogIn, Session, Source, Surroundings, Trouble, Work};
use retaind_core::fault::{Faulty as _, chain};
use retaind_core::pause::{Growth, Pause};
use retaind_device::account::{self, AccountError, LoggedIn};
use retaind_device::connection::ConnectionError;
use retaind_device::limits::NETWORK_ANSWER_SECONDS;
use retaind_device::store::{DeviceState as _, LostState as _, STEPS};
use retaind_protocol::credential::{Identity, Verifier};
use retaind_protocol::endpoint::Endpoint;
use retaind_report::events::{Event, Events};
use retaind_state::schema::Step;
use retaind_state::{Access, Store};
use retaind_task as task;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::acknowledge::acknowledge;
use crate::change::Owed;
use crate::decrypt::{Input, Neighbours, Worker};
use crate::delivery::{Recall, Room, Strict};
use crate::error::MlsError;
use crate::fetch::{self, Fetcher};
use crate::hand::Hands;
use crate::hand::format::MARKS_MAX;
use crate::heartbeat::Heartbeat;
use crate::kept::Kept;
use crate::limits::{KEPT_CIPHERTEXT, KEPT_MESSAGES, LIMITS};
use crate::provision;
use crate::receive::{IN_HAND_BYTES, Link, WINDOW_MESSAGES};

/// Most decrypted chunks that wait for the fetch stage: enough to keep all workers busy.
const OUTPUTS_MAX: usize = 1024;
/// Pauses before the first log-in is tried again while the network is away; the longest is as for later log-ins.
const LOGIN_PAUSES: Growth = Growth::doubling(Duration::from_secs(1), Duration::from_secs(15));

/// The MLS network at one endpoint.
pub struct Mls {
    /// Address and certificate of the network.
    pub endpoint: Endpoint,
    /// Threads that decrypt, at least one.
    pub workers: usize,
    /// How a dead connection is noticed.
    pub heartbeat: Heartbeat,
    /// Notified once the bot can be added to conversations and receives.
    pub ready: Option<oneshot::Sender<Identity>>,
    /// What the workers have in hand, for the next process.
    pub hands: Arc<Hands>,
    /// Most bytes of messages of lost conversations that the state keeps.
    pub kept_bytes_max: u64,
}

impl Mls {
    /// With the default heartbeat.
    pub fn new(endpoint: Endpoint, workers: usize) -> Self {
        let (hands, kept_bytes_max) = (Hands::none(), KEPT_MESSAGES.value);
        Self { endpoint, workers, heartbeat: Heartbeat::default(), ready: None, hands, kept_bytes_max }
    }

    /// Notes in this directory, which only this process uses, what is in hand, and continues what is noted there.
    #[must_use]
    pub fn noting(self, directory: &Path) -> Self {
        Self { hands: Hands::open(directory), ..self }
    }

    async fn start(self, log_in: LogIn, stop: CancellationToken) -> Result<Option<LoggedInSource>, MlsError> {
        let LogIn { store, user, passwords, by, surroundings } = log_in;
        let account = match store.identity()? {
            None => {
                let opened = Opened { store, by };
                let registering = provision::register(opened, &self.endpoint, &user, &passwords);
                // a registration that is abandoned continues at the next start, with the same key
                match stop.run_until_cancelled(registering).await {
                    None => None,
                    Some(account) => {
                        let account = account.inspect_err(|_| surroundings.counters.login_failures.add(1))?;
                        identify(&surroundings.events, &account.identity);
                        surroundings.events.raise(Event::DeviceAdded);
                        Some(account)
                    }
                }
            }
            Some(_) => log_in_again(Arc::new(Mutex::new(store)), &self.endpoint, &surroundings, &stop).await?,
        };
        let Some(account) = account else { return Ok(None) };
        tokio::select! {
            concluded = provision::conclude(&account, by, &passwords) => concluded?,
            // the next start continues with it
            () = stop.cancelled() => return Ok(None),
        }
        surroundings.counters.logins.add(1);
        let identity = &account.identity;
        identify(&surroundings.events, identity);
        tracing::info!(user = %identity.user, device = %identity.device, network = identity.network_id, "log-in accepted");
        surroundings.events.raise(Event::LoggedIn);
        Ok(Some(LoggedInSource { mls: self, account }))
    }
}

impl Source for Mls {
    fn schema(&self) -> &'static [Step] {
        STEPS
    }

    fn check(&self, store: &Store, user: &str, events: &Events) -> Result<(), Box<dyn Trouble>> {
        own_state(store, user, events).map_err(boxed)
    }

    fn log_in(self: Box<Self>, log_in: LogIn, stop: CancellationToken) -> Work<Option<Box<dyn Session>>> {
        let hands = Arc::clone(&self.hands);
        async move {
            let started = self.start(log_in, stop).await;
            if !matches!(started, Ok(Some(_))) {
                // a start that took nothing says nothing about what was in hand before
                hands.end();
            }
            Ok(started.map_err(boxed)?.map(|session| -> Box<dyn Session> { Box::new(session) }))
        }
        .boxed()
    }
}

fn boxed(error: MlsError) -> Box<dyn Trouble> {
    Box::new(error)
}

fn own_state(store: &Store, user: &str, events: &Events) -> Result<(), MlsError> {
    store.verify()?;
    let Some((identity, _)) = store.identity()? else { return Ok(()) };
    let verifier = Verifier::new(&identity.network_id, &identity.authentication_key);
    let Identity { user: theirs, device, network_id, .. } =
        verifier.verify(&identity.credential).map_err(AccountError::from)?;
    if theirs.as_str() == user {
        events.origin().identify(device.to_string(), network_id);
        return Ok(());
    }
    Err(MlsError::OtherBot { theirs: theirs.to_string(), ours: user.to_owned() })
}

fn identify(events: &Events, identity: &Identity) {
    events.origin().identify(identity.device.to_string(), identity.network_id.clone());
}

/// `None`: stopped before the network could be reached.
async fn log_in_again(
    store: Arc<Mutex<Store>>,
    endpoint: &Endpoint,
    surroundings: &Surroundings,
    stop: &CancellationToken,
) -> Result<Option<LoggedIn>, MlsError> {
    let mut pause = Pause::new(LOGIN_PAUSES);
    loop {
        let trying = account::login(store.clone(), Some(endpoint), WINDOW_MESSAGES);
        let wait = match stop.run_until_cancelled(trying).await {
            None => return Ok(None),
            Some(Ok(account)) => return Ok(Some(account)),
            Some(Err(AccountError::Connection(error))) if error.is_temporary() => {
                surroundings.counters.login_failures.add(1);
                if let ConnectionError::Timeout { .. } = error {
                    surroundings.counters.refusals.count(&NETWORK_ANSWER_SECONDS);
                }
                let wait = pause.grow();
                tracing::warn!(error = %chain(&error), pause = ?wait, "network is away, trying again");
                wait
            }
            Some(Err(error)) => {
                surroundings.counters.login_failures.add(1);
                return Err(error.into());
            }
        };
        if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return Ok(None);
        }
    }
}

/// Logged in; its stages are not started.
struct LoggedInSource {
    mls: Mls,
    account: LoggedIn,
}

impl Session for LoggedInSource {
    fn run(self: Box<Self>, bot: Bot, stop: CancellationToken) -> Work<()> {
        async move { Stages::start(*self, bot, stop)?.wait().await }.map(|ended| ended.map_err(boxed)).boxed()
    }
}

/// How a task of the source ended.
type Ended = Result<(), MlsError>;

/// The stages of the source at work.
struct Stages {
    stop: CancellationToken,
    stopping: Arc<AtomicBool>,
    /// Threads that decrypt, and how they end.
    workers: mpsc::Receiver<Ended>,
    working: usize,
    wake: Vec<mpsc::Sender<Input>>,
    tasks: JoinSet<Ended>,
    acknowledging: JoinSet<()>,
    hands: Arc<Hands>,
}

impl Stages {
    fn start(logged_in: LoggedInSource, bot: Bot, stop: CancellationToken) -> Result<Self, MlsError> {
        let LoggedInSource { mls, account } = logged_in;
        let Bot { chunks, names, surroundings: around } = bot;
        let stopping = Arc::new(AtomicBool::new(false));
        let (outputs, made) = mpsc::channel(OUTPUTS_MAX);
        let (owed, due) = Owed::new();
        let (recall, strict) = (Recall::default(), Strict::default());
        let neighbours = Neighbours {
            owed: owed.clone(),
            names: names.clone(),
            counters: around.counters.clone(),
            events: around.events.clone(),
            recall: recall.clone(),
            strict: strict.clone(),
        };
        let working = mls.workers.clamp(1, MARKS_MAX);
        let kept = {
            let store = account.store.lock().unwrap_or_else(PoisonError::into_inner);
            mls.hands.forget_passed(|conversation| store.cursor(conversation))?;
            Kept::of(mls.kept_bytes_max, store.kept_bytes()?)
        };
        let (tell, workers) = mpsc::channel(working);
        let mut wake = Vec::with_capacity(working);
        for number in 0..working {
            let reader = {
                let store = account.store.lock().unwrap_or_else(PoisonError::into_inner);
                Arc::new(Mutex::new(store.again(Access::Read)?))
            };
            let worker = Worker::new(account.engine(reader.clone())?, reader, neighbours.clone());
            let worker = worker.noting(mls.hands.hand(number), kept.clone());
            let (sender, receiver) = mpsc::channel(WINDOW_MESSAGES);
            let (outputs, stopping, tell) = (outputs.clone(), stopping.clone(), tell.clone());
            let pulse = around.pulses.add(DECRYPT);
            let work = move || {
                let work = move || Ok(worker.run(receiver, &outputs, &stopping, &pulse)?);
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                // there is a place for each worker; the waiting task may have given up
                tell.try_send(result.unwrap_or(Err(MlsError::Stage(DECRYPT)))).ok();
            };
            task::thread(DECRYPT, work).map_err(|_| MlsError::Stage(DECRYPT))?;
            wake.push(sender);
        }
        let (connection, connected) = watch::channel(None);
        around.counters.refusals.expect(LIMITS);
        around.counters.refusals.expect(retaind_device::limits::LIMITS);
        let fetcher = Fetcher {
            names,
            connection: connected.clone(),
            chunks,
            workers: wake.clone(),
            counters: around.counters.clone(),
            health: around.health.clone(),
            pulse: around.pulses.add(FETCH),
            pauses: fetch::PAUSES,
            kept_bytes_max: KEPT_CIPHERTEXT.value,
        };
        let link = Link {
            endpoint: mls.endpoint,
            store: account.store.clone(),
            workers: wake.clone(),
            connection,
            around,
            ready: Mutex::new(mls.ready),
            heartbeat: mls.heartbeat,
            recall,
            strict,
            owed,
            room: Room::of(IN_HAND_BYTES),
        };
        let mut tasks = JoinSet::new();
        task::spawn_in(&mut tasks, FETCH, async move { named(FETCH, task::spawn(FETCH, fetcher.run(made)).await) });
        let received = stop.clone();
        task::spawn_in(&mut tasks, RECEIVE, async move {
            named(RECEIVE, task::spawn(RECEIVE, link.run(account, received)).await)
        });
        let mut acknowledging = JoinSet::new();
        task::spawn_in(&mut acknowledging, "acknowledge", acknowledge(due, connected));
        let hands = mls.hands;
        Ok(Self { stop, stopping, workers, working, wake, tasks, acknowledging, hands })
    }

    async fn wait(mut self) -> Result<(), MlsError> {
        let early = tokio::select! {
            // first: a task that has ended because of the stop has not ended early
            biased;
            () = self.stop.cancelled() => None,
            Some(ended) = self.workers.recv() => {
                self.working = self.working.saturating_sub(1);
                Some(ended)
            }
            Some(ended) = self.tasks.join_next() => Some(ended.unwrap_or(Err(MlsError::Stage(RECEIVE)))),
        };
        // a stage ends without an error before the stop only when its chunks are no longer taken: the bot knows why
        let mut failed = early.and_then(Result::err);
        self.stopping.store(true, Ordering::Release);
        self.stop.cancel();
        for worker in self.wake.drain(..) {
            // a worker with a full queue checks `stopping` anyway
            worker.try_send(Input::Reconnected).ok();
        }
        while self.working > 0 {
            let Some(ended) = self.workers.recv().await else { break };
            self.working = self.working.saturating_sub(1);
            failed = failed.or(ended.err());
        }
        self.hands.end();
        while let Some(ended) = self.tasks.join_next().await {
            failed = failed.or(ended.unwrap_or(Err(MlsError::Stage(RECEIVE))).err());
        }
        // chunks that were handed on are being committed, and each commit is acknowledged while the network answers; the bot sets
        // the deadline
        while self.acknowledging.join_next().await.is_some() {}
        failed.map_or(Ok(()), Err)
    }
}

const DECRYPT: &str = "decrypt";
const FETCH: &str = "fetch";
const RECEIVE: &str = "receive";

/// Names the stage of a task that panicked.
fn named<E: Into<MlsError>>(stage: &'static str, ended: Result<Result<(), E>, JoinError>) -> Ended {
    ended.map_or(Err(MlsError::Stage(stage)), |ended| ended.map_err(Into::into))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What [`Stages`] is when these tasks are all that it has.
    fn stages(ends: Vec<Ended>) -> Stages {
        let mut tasks = JoinSet::new();
        for end in ends {
            task::spawn_in(&mut tasks, FETCH, std::future::ready(end));
        }
        Stages {
            stop: CancellationToken::new(),
            stopping: Arc::default(),
            workers: mpsc::channel(1).1,
            working: 0,
            wake: Vec::new(),
            tasks,
            acknowledging: JoinSet::new(),
            hands: Hands::none(),
        }
    }

    #[tokio::test]
    async fn a_stage_whose_chunks_are_no_longer_taken_has_not_failed() {
        assert!(stages(vec![Ok(())]).wait().await.is_ok());
    }

    #[tokio::test]
    async fn a_stage_that_fails_is_named_whatever_the_others_say() {
        let failed = stages(vec![Ok(()), Err(MlsError::Stage(RECEIVE)), Ok(())]).wait().await;
        assert!(matches!(failed, Err(MlsError::Stage(RECEIVE))), "{failed:?}");
    }
}
