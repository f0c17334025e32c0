use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::error::Unspecified;
use tokio::sync::{Mutex as Turn, mpsc};

use super::runner::{News, Runner, Watcher};
use super::*;
use crate::disk::RealDisk;
use retaind_core::pause::Growth;

const AT_ONCE: Growth = Growth::doubling(Duration::ZERO, Duration::ZERO);

#[derive(Default)]
struct Queue {
    waiting: Mutex<BTreeMap<i64, ShipItem>>,
    tried: Mutex<BTreeMap<i64, Token>>,
    stored: Mutex<BTreeMap<i64, ShipItem>>,
    done: Mutex<Vec<i64>>,
    parked: Mutex<Vec<(i64, String)>>,
}

impl Queue {
    fn put(&self, item: ShipItem) {
        self.waiting.lock().unwrap().insert(item.id, item);
    }
}

impl ShipQueue for Queue {
    fn take(&self, fresh: Vec<Token>, busy: &[i64]) -> Result<Vec<ShipJob>, QueueError> {
        let waiting = self.waiting.lock().unwrap();
        let free = waiting.values().filter(|item| !busy.contains(&item.id)).cloned().zip(fresh);
        let mut tried = self.tried.lock().unwrap();
        let taken = free.map(|(item, fresh)| {
            let (token, doubt) = match tried.get(&item.id) {
                Some(token) => (token.clone(), Doubt::Earlier),
                None => (tried.entry(item.id).or_insert(fresh).clone(), Doubt::None),
            };
            ShipJob { item, token, doubt, uploads: Vec::new() }
        });
        Ok(taken.collect())
    }
    fn done(&self, stored: &[Stored], copy: LocalCopy) -> Result<(), QueueError> {
        for stored in stored {
            let item = self.waiting.lock().unwrap().remove(&stored.id()).ok_or("no such item")?;
            self.done.lock().unwrap().push(item.id);
            if copy == LocalCopy::Remove {
                self.stored.lock().unwrap().insert(item.id, item);
            }
        }
        Ok(())
    }
    fn removable(&self, limit: usize) -> Result<Vec<ShipItem>, QueueError> {
        Ok(self.stored.lock().unwrap().values().take(limit).cloned().collect())
    }
    fn released(&self, ids: &[i64]) -> Result<(), QueueError> {
        self.stored.lock().unwrap().retain(|id, _| !ids.contains(id));
        Ok(())
    }
    fn not_stored(&self, id: i64) -> Result<(), QueueError> {
        self.tried.lock().unwrap().remove(&id);
        Ok(())
    }
    fn upload_begun(&self, _: i64, _: &str) -> Result<(), QueueError> {
        Ok(())
    }
    fn upload_ended(&self, _: i64, _: &str) -> Result<(), QueueError> {
        Ok(())
    }
    fn park(&self, id: i64, why: &ShipError) -> Result<(), QueueError> {
        self.waiting.lock().unwrap().remove(&id).ok_or("no such item")?;
        self.parked.lock().unwrap().push((id, why.to_string()));
        Ok(())
    }
    fn unpark(&self) -> Result<(), QueueError> {
        Ok(())
    }
}

impl From<&'static str> for QueueError {
    fn from(text: &'static str) -> Self {
        Self(text.into())
    }
}

/// Waits at each item until the test lets it go on, with the test's answer.
struct Gate {
    arrived: mpsc::UnboundedSender<(i64, Doubt)>,
    answers: Turn<mpsc::UnboundedReceiver<Option<ShipError>>>,
    copy: LocalCopy,
}

type Answers = mpsc::UnboundedSender<Option<ShipError>>;

fn gate(copy: LocalCopy) -> (Gate, mpsc::UnboundedReceiver<(i64, Doubt)>, Answers) {
    let (arrived, arrivals) = mpsc::unbounded_channel();
    let (answer, answers) = mpsc::unbounded_channel();
    (Gate { arrived, answers: Turn::new(answers), copy }, arrivals, answer)
}

impl Destination for Gate {
    fn store<'a>(&'a self, taken: &'a ShipJob, _: &'a Arc<dyn ShipQueue>) -> Storing<'a> {
        Box::pin(async {
            let mut answers = self.answers.lock().await;
            self.arrived.send((taken.item.id, taken.doubt)).unwrap();
            answers.recv().await.unwrap().map_or_else(|| Ok(Stored::of(&taken.item)), Err)
        })
    }
    fn local_copy(&self) -> LocalCopy {
        self.copy
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<(i64, News)>>);

impl Watcher for Heard {
    fn failed(&self, item: &ShipItem, _: &ShipError, news: News) {
        self.0.lock().unwrap().push((item.id, news));
    }
    fn stored(&self, _: &ShipItem) {}
}

fn runner(queue: &Arc<Queue>, destination: impl Destination + 'static, backoff: Growth) -> (Runner, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let (queue, destination) = (queue.clone(), Arc::new(destination));
    (Runner { queue, destination, disk: Arc::new(RealDisk), backoff, watcher: heard.clone() }, heard)
}

fn item(id: i64) -> ShipItem {
    ShipItem { id, kind: ShipKind::Message, path: PathBuf::from("/none"), name: "none".into(), length: 0, hash: None }
}

fn away(doubt: Doubt) -> ShipError {
    let call = retaind_aws::Call::new("s3:PutObject", "arn:aws:s3:::bucket/*");
    ShipError::Destination { what: "x".into(), source: AwsError::Away { call, message: "gone".into() }, doubt }
}

fn disk() -> ShipError {
    ShipError::Disk { what: "x".into(), source: io::Error::from(io::ErrorKind::TimedOut) }
}

#[tokio::test]
async fn the_local_destination_keeps_whole_files_and_parks_others() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Arc::new(Queue::default());
    for (id, name, content, length) in
        [(1, "a.txt", Some("abc"), 3), (2, "b.txt", None, 3), (3, "c.txt", Some("ab"), 3), (4, "d.txt", Some("x"), 1)]
    {
        let path = dir.path().join(name);
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        queue.put(ShipItem { id, kind: ShipKind::File, path, name: name.into(), length, hash: None });
    }
    let bell = Bell::default();
    bell.finish();
    let (runner, _) = runner(&queue, LocalDestination::new(Arc::new(RealDisk)), AT_ONCE);
    assert_eq!(runner.run(&bell).await.unwrap(), Shipped::All);
    let mut done = queue.done.lock().unwrap().clone();
    done.sort_unstable();
    assert_eq!(done, [1, 4]);
    let mut parked = queue.parked.lock().unwrap().clone();
    parked.sort_unstable();
    assert_eq!(parked.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 3]);
    assert!(parked.iter().all(|(_, why)| !why.contains(".txt")), "an attachment's name is content: {parked:?}");
    assert_eq!(std::fs::read_to_string(dir.path().join("a.txt")).unwrap(), "abc");
}

#[tokio::test]
async fn a_gate_shut_for_an_item_that_is_parked_opens_and_the_stage_comes_to_its_end() {
    let (queue, bell) = (Arc::new(Queue::default()), Bell::default());
    queue.put(item(1));
    bell.finish();
    let (gate, _arrivals, answer) = gate(LocalCopy::Keep);
    answer.send(Some(away(Doubt::None))).unwrap();
    answer.send(Some(ShipError::Taken { what: "x".into() })).unwrap();
    let (runner, heard) = runner(&queue, gate, AT_ONCE);
    assert_eq!(runner.run(&bell).await.unwrap(), Shipped::All);
    assert_eq!(queue.parked.lock().unwrap().len(), 1);
    assert_eq!(heard.0.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn more_items_than_lanes_are_all_shipped() {
    let queue = Arc::new(Queue::default());
    (1..=200).for_each(|id| queue.put(item(id)));
    let bell = Bell::default();
    bell.finish();
    let (gate, _arrivals, answer) = gate(LocalCopy::Keep);
    (0..200).for_each(|_| answer.send(None).unwrap());
    assert_eq!(runner(&queue, gate, AT_ONCE).0.run(&bell).await.unwrap(), Shipped::All);
    let mut done = queue.done.lock().unwrap().clone();
    done.sort_unstable();
    assert_eq!(done, (1..=200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_ring_wakes_the_stage_and_finish_ships_what_was_put_in_before_it() {
    let (queue, bell) = (Arc::new(Queue::default()), Bell::default());
    let (gate, mut arrivals, answer) = gate(LocalCopy::Keep);
    let (runner, _) = runner(&queue, gate, AT_ONCE);
    let test = async {
        for id in 1..=3 {
            queue.put(item(id));
            bell.ring();
            assert_eq!(arrivals.recv().await.unwrap(), (id, Doubt::None));
            answer.send(None).unwrap();
        }
        queue.put(item(4));
        bell.finish();
        assert_eq!(arrivals.recv().await.unwrap().0, 4);
        answer.send(None).unwrap();
    };
    let (shipped, ()) = tokio::join!(runner.run(&bell), test);
    assert_eq!(shipped.unwrap(), Shipped::All);
    assert_eq!(*queue.done.lock().unwrap(), [1, 2, 3, 4]);
}

#[tokio::test]
async fn while_the_destination_is_away_one_item_tries_and_none_is_skipped() {
    let (queue, bell) = (Arc::new(Queue::default()), Bell::default());
    queue.put(item(1));
    let (gate, mut arrivals, answer) = gate(LocalCopy::Keep);
    let (runner, heard) = runner(&queue, gate, AT_ONCE);
    let test = async {
        assert_eq!(arrivals.recv().await.unwrap(), (1, Doubt::None));
        answer.send(Some(away(Doubt::None))).unwrap();
        assert_eq!(arrivals.recv().await.unwrap(), (1, Doubt::None), "certainly not stored: no doubt");
        // the gate is shut: only the item that tries it is in hand
        queue.put(item(2));
        bell.finish();
        answer.send(Some(away(Doubt::Earlier))).unwrap();
        assert_eq!(arrivals.recv().await.unwrap(), (1, Doubt::Earlier), "an answer was lost");
        answer.send(Some(away(Doubt::None))).unwrap();
        assert_eq!(arrivals.recv().await.unwrap(), (1, Doubt::Earlier), "doubt stays until it is known");
        answer.send(None).unwrap();
        assert_eq!(arrivals.recv().await.unwrap().0, 2);
        answer.send(None).unwrap();
    };
    let (shipped, ()) = tokio::join!(runner.run(&bell), test);
    assert_eq!(shipped.unwrap(), Shipped::All);
    assert_eq!(*queue.done.lock().unwrap(), [1, 2]);
    assert_eq!(*heard.0.lock().unwrap(), [(1, News::First), (1, News::Again), (1, News::Again)]);
}

#[tokio::test]
async fn a_local_copy_goes_only_behind_the_committed_proof() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, bell) = (Arc::new(Queue::default()), Bell::default());
    let (gate, mut arrivals, answer) = gate(LocalCopy::Remove);
    let put = |id: i64| {
        let path = dir.path().join(format!("{id}"));
        std::fs::write(&path, "x").unwrap();
        ShipItem { id, kind: ShipKind::Message, path, name: "x".into(), length: 1, hash: None }
    };
    let (earlier, now) = (put(1), put(2));
    // an earlier run was killed between the proof and the removal
    queue.stored.lock().unwrap().insert(1, earlier.clone());
    queue.put(now.clone());
    let (runner, _) = runner(&queue, gate, AT_ONCE);
    let test = async {
        arrivals.recv().await.unwrap();
        assert!(!earlier.path.exists(), "removed at the start");
        assert!(now.path.exists(), "not before it is stored");
        bell.finish();
        answer.send(None).unwrap();
    };
    let (shipped, ()) = tokio::join!(runner.run(&bell), test);
    assert_eq!(shipped.unwrap(), Shipped::All);
    assert!(!now.path.exists());
    assert!(queue.stored.lock().unwrap().is_empty());
}

#[tokio::test]
async fn stop_ends_a_pause_and_leaves_the_rest_in_the_queue() {
    let (queue, bell) = (Arc::new(Queue::default()), Bell::default());
    queue.put(item(1));
    let (gate, mut arrivals, answer) = gate(LocalCopy::Keep);
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let (runner, heard) = runner(&queue, gate, Growth::doubling(year, year));
    let test = async {
        arrivals.recv().await.unwrap();
        answer.send(Some(disk())).unwrap();
        while heard.0.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        bell.stop();
    };
    let (shipped, ()) = tokio::join!(runner.run(&bell), test);
    assert_eq!(shipped.unwrap(), Shipped::Partly);
    assert_eq!(queue.waiting.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_queue_that_fails_halts_the_stage() {
    struct Broken;
    fn locked<T>() -> Result<T, QueueError> {
        Err(QueueError::from("database is locked"))
    }
    impl ShipQueue for Broken {
        fn take(&self, _: Vec<Token>, _: &[i64]) -> Result<Vec<ShipJob>, QueueError> {
            locked()
        }
        fn done(&self, _: &[Stored], _: LocalCopy) -> Result<(), QueueError> {
            locked()
        }
        fn removable(&self, _: usize) -> Result<Vec<ShipItem>, QueueError> {
            Ok(Vec::new())
        }
        fn released(&self, _: &[i64]) -> Result<(), QueueError> {
            Ok(())
        }
        fn not_stored(&self, _: i64) -> Result<(), QueueError> {
            locked()
        }
        fn upload_begun(&self, _: i64, _: &str) -> Result<(), QueueError> {
            locked()
        }
        fn upload_ended(&self, _: i64, _: &str) -> Result<(), QueueError> {
            locked()
        }
        fn park(&self, _: i64, _: &ShipError) -> Result<(), QueueError> {
            locked()
        }
        fn unpark(&self) -> Result<(), QueueError> {
            locked()
        }
    }
    let (mut runner, _) = runner(&Arc::default(), LocalDestination::new(Arc::new(RealDisk)), AT_ONCE);
    runner.queue = Arc::new(Broken);
    let error = runner.run(&Bell::default()).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Stop);
    assert_eq!(error.with_sources(), "the ship queue in the bot's state cannot be used: database is locked");
}

#[tokio::test]
async fn without_randomness_nothing_is_tried_and_everything_stays_in_the_queue() {
    let (queue, bell) = (Arc::new(Queue::default()), Bell::default());
    (1..=3).for_each(|id| queue.put(item(id)));
    let (gate, mut arrivals, answer) = gate(LocalCopy::Remove);
    answer.send(None).unwrap();
    bell.finish();
    let (runner, heard) = runner(&queue, gate, AT_ONCE);
    // it works for two tokens, and not for those of the other lanes
    let fill = |random: &mut [u8]| {
        static TOKENS: AtomicU8 = AtomicU8::new(0);
        random.fill(TOKENS.fetch_add(1, Ordering::Relaxed));
        if random[0] < 2 { Ok(()) } else { Err(Unspecified) }
    };
    let error = runner.run_with(&bell, fill).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Stop);
    let text = error.with_sources();
    assert_eq!(text, "the system gives no random bytes, without which nothing is shipped; restart the bot");
    assert_eq!(queue.waiting.lock().unwrap().len(), 3);
    assert!(queue.tried.lock().unwrap().is_empty() && queue.done.lock().unwrap().is_empty());
    assert!(arrivals.try_recv().is_err() && heard.0.lock().unwrap().is_empty());
}

mod hold;
