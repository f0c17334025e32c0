//! What concerns the whole bucket holds the queue, what concerns one object parks that one, and that nothing gets through is
//! told, whatever the cause.

use super::*;

fn refused(code: &str) -> ShipError {
    let call = retaind_aws::Call::new("s3:PutObject", "arn:aws:s3:::bucket/*");
    let source = AwsError::Refused { call, code: code.to_owned(), message: format!("HTTP 400, {code}") };
    ShipError::Destination { what: "x".into(), source, doubt: Doubt::None }
}

/// Refuses some items, by their ids, and counts what it is asked for.
struct Refuses {
    code: &'static str,
    ids: Mutex<Vec<i64>>,
    asked: Mutex<Vec<i64>>,
}

impl Destination for Refuses {
    fn store<'a>(&'a self, taken: &'a ShipJob, _: &'a Arc<dyn ShipQueue>) -> Storing<'a> {
        Box::pin(async {
            self.asked.lock().unwrap().push(taken.item.id);
            tokio::task::yield_now().await;
            let is_refused = self.ids.lock().unwrap().contains(&taken.item.id);
            if is_refused { Err(refused(self.code)) } else { Ok(Stored::of(&taken.item)) }
        })
    }
    fn local_copy(&self) -> LocalCopy {
        LocalCopy::Keep
    }
}

fn refuses(code: &'static str, ids: &[i64]) -> Arc<Refuses> {
    Arc::new(Refuses { code, ids: Mutex::new(ids.to_vec()), asked: Mutex::default() })
}

#[derive(Default)]
struct Stalls(Mutex<Vec<String>>);

impl Watcher for Stalls {
    fn failed(&self, _: &ShipItem, _: &ShipError, _: News) {}
    fn stored(&self, _: &ShipItem) {}
    fn stalls_after(&self) -> Duration {
        Duration::from_secs(15 * 60)
    }
    fn stalled(&self, lasted: Duration, why: &str) {
        self.0.lock().unwrap().push(format!("{} {why}", lasted.as_secs()));
    }
    fn flows(&self) {
        self.0.lock().unwrap().push("flows".to_owned());
    }
}

fn stage(queue: &Arc<Queue>, destination: Arc<dyn Destination>) -> (Runner, Arc<Stalls>) {
    let watcher = Arc::new(Stalls::default());
    let (queue, disk) = (queue.clone(), Arc::new(RealDisk));
    (Runner { queue, destination, disk, backoff: super::super::PAUSES, watcher: watcher.clone() }, watcher)
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_everything_holds_the_queue_ends_with_its_cause_and_a_stop_meanwhile_is_not_all() {
    for code in ["KMS.DisabledException", "XMinioAdminBucketQuotaExceeded", "SomethingNobodyKnows"] {
        let (queue, bell) = (Arc::new(Queue::default()), Bell::default());
        (1..=3).for_each(|id| queue.put(item(id)));
        let destination = refuses(code, &[1, 2, 3]);
        let (runner, _) = stage(&queue, destination.clone());
        let test = async {
            tokio::time::sleep(Duration::from_secs(60 * 60)).await;
            assert!(queue.parked.lock().unwrap().is_empty(), "{code}");
            bell.stop();
        };
        let (shipped, ()) = tokio::join!(runner.run(&bell), test);
        assert_eq!(shipped.unwrap(), Shipped::Partly, "{code}: three files are left");

        let (bell, begun) = (Bell::default(), tokio::time::Instant::now());
        let (runner, _) = stage(&queue, destination.clone());
        let test = async {
            tokio::time::sleep(Duration::from_secs(10 * 60)).await;
            destination.ids.lock().unwrap().clear();
            bell.finish();
        };
        let (shipped, ()) = tokio::join!(runner.run(&bell), test);
        assert_eq!((shipped.unwrap(), queue.done.lock().unwrap().len()), (Shipped::All, 3), "{code}");
        assert!(begun.elapsed() < Duration::from_secs(11 * 60), "{code}: within a minute, {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn one_file_that_alone_is_refused_for_an_unknown_reason_does_not_hold_the_others_and_is_parked() {
    let (queue, bell) = (Arc::new(Queue::default()), Bell::default());
    (1..=40).for_each(|id| queue.put(item(id)));
    bell.finish();
    let destination = refuses("SomethingNobodyKnows", &[1]);
    let (runner, _) = stage(&queue, destination.clone());
    assert_eq!(runner.run(&bell).await.unwrap(), Shipped::All);
    assert_eq!(queue.done.lock().unwrap().len(), 39);
    assert_eq!(queue.parked.lock().unwrap().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1]);
    let tries = destination.asked.lock().unwrap().iter().filter(|id| **id == 1).count();
    assert!((3..10).contains(&tries), "{tries}");
}

#[tokio::test(start_paused = true)]
async fn nothing_stored_for_a_quarter_of_an_hour_is_told_once_and_is_over_when_something_is() {
    let (queue, bell) = (Arc::new(Queue::default()), Bell::default());
    let destination = refuses("NotImplemented", &[1, 2]);
    let (runner, watcher) = stage(&queue, destination.clone());
    let minutes = |minutes: u64| tokio::time::sleep(Duration::from_secs(60 * minutes));
    let test = async {
        minutes(60).await;
        assert!(watcher.0.lock().unwrap().is_empty(), "nothing waits");
        (1..=2).for_each(|id| queue.put(item(id)));
        bell.ring();
        minutes(14).await;
        assert!(watcher.0.lock().unwrap().is_empty());
        minutes(120).await;
        destination.ids.lock().unwrap().clear();
        minutes(60).await;
        bell.finish();
    };
    let (shipped, ()) = tokio::join!(runner.run(&bell), test);
    assert_eq!(shipped.unwrap(), Shipped::All);
    let told = watcher.0.lock().unwrap().clone();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("900 x is not stored yet: `s3:PutObject`") && told[0].contains("NotImplemented"));
    assert_eq!(told[1], "flows");
}
