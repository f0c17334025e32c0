use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio::sync::mpsc;

use super::*;
use crate::origin::{Image, PRODUCT};
use retaind_aws::Call;

const START_SECS: i64 = 1_665_579_939;

fn away() -> AwsError {
    AwsError::Away { call: Call::new("cloudwatch:PutMetricData", "WickrIO"), message: "timeout".into() }
}

fn refused() -> AwsError {
    let call = Call::new("cloudwatch:PutMetricData", "WickrIO");
    AwsError::Refused { call, code: "InvalidParameterValue".into(), message: String::new() }
}

/// Answers with errors while it is away, then as it is told, and passes on what it took.
struct Store {
    away: Arc<AtomicBool>,
    answers: Mutex<VecDeque<AwsError>>,
    took: mpsc::UnboundedSender<Vec<Interval>>,
}

impl Keep for Store {
    async fn keep(&self, _: &Origin, intervals: &[Interval]) -> Result<(), AwsError> {
        if self.away.load(Ordering::Relaxed) {
            return Err(away());
        }
        match self.answers.lock().unwrap().pop_front() {
            Some(error) => Err(error),
            None => {
                self.took.send(intervals.to_vec()).unwrap();
                Ok(())
            }
        }
    }
}

struct Stage {
    counters: Arc<Counters>,
    away: Arc<AtomicBool>,
    measuring: Measuring,
    took: mpsc::UnboundedReceiver<Vec<Interval>>,
    /// Seconds that the clock was set by.
    set_by: Arc<AtomicI64>,
}

fn stage(answers: Vec<AwsError>) -> Stage {
    let counters = Arc::new(Counters::default());
    let (told, took) = mpsc::unbounded_channel();
    let away = Arc::new(AtomicBool::new(false));
    let store = Store { away: away.clone(), answers: Mutex::new(answers.into()), took: told };
    let origin = Arc::new(Origin::new("compliance_1_bot", Image::default(), PRODUCT));
    let set_by = Arc::new(AtomicI64::new(0));
    let (start, clock) = (Instant::now(), set_by.clone());
    let now = move || {
        let elapsed = i64::try_from(start.elapsed().as_secs()).unwrap();
        (START_SECS + elapsed + clock.load(Ordering::Relaxed)) * 1_000_000
    };
    let measuring = Metrics::new(counters.clone(), origin, now).start(store);
    Stage { counters, away, measuring, took, set_by }
}

impl Stage {
    async fn next(&mut self) -> Interval {
        let batch = self.took.recv().await.unwrap();
        assert_eq!(batch.len(), 1);
        batch[0]
    }

    async fn rest(mut self) -> Vec<Interval> {
        self.measuring.finish(Duration::from_secs(3600)).await;
        let mut all = Vec::new();
        while let Ok(batch) = self.took.try_recv() {
            assert!(batch.len() <= INTERVALS_SENT_MAX);
            all.extend(batch);
        }
        all
    }
}

fn value(interval: &Interval, name: &str) -> u64 {
    interval.values[METRICS.iter().position(|metric| metric.name == name).unwrap()]
}

#[test]
fn the_names_and_units_are_those_of_the_guide() {
    let names = METRICS.each_ref().map(|metric| metric.name);
    let expected = [
        "Messages_Rx",
        "Messages_Rx_Failed",
        "Messages_Saved",
        "Messages_Saved_Failed",
        "Files_Saved",
        "Files_Saved_Bytes",
        "Files_Saved_Failed",
        "Logins",
        "Login_Failures",
        "S3_Post_Errors",
        "Watchdog_Failures",
        "Watchdog_Warnings",
    ];
    assert_eq!(names, expected);
    let bytes = METRICS.iter().filter(|metric| metric.unit == Unit::Bytes).map(|metric| metric.name);
    assert_eq!(bytes.collect::<Vec<_>>(), ["Files_Saved_Bytes"]);
}

#[test]
fn each_metric_is_its_own_counter() {
    let counters = Counters::default();
    let all = [
        &counters.messages_received,
        &counters.messages_failed,
        &counters.messages_saved,
        &counters.messages_saved_failed,
        &counters.files_saved,
        &counters.files_saved_bytes,
        &counters.files_failed,
        &counters.logins,
        &counters.login_failures,
        &counters.s3_post_errors,
        &counters.watchdog_failures,
        &counters.watchdog_warnings,
    ];
    for (n, counter) in (1..).zip(all) {
        counter.add(n);
    }
    let expected: Vec<u64> = (1..=12).collect();
    assert_eq!(table::Totals::of(&counters).since(&table::Totals::default()).to_vec(), expected);
}

#[tokio::test(start_paused = true)]
async fn every_minute_has_the_counts_of_that_minute_zeros_too() {
    let mut stage = stage(vec![]);
    stage.counters.messages_saved.add(3);
    stage.counters.files_saved_bytes.add(1 << 40);
    let first = stage.next().await;
    assert_eq!(first.at_secs, START_SECS + 60);
    assert_eq!((value(&first, "Messages_Saved"), value(&first, "Files_Saved_Bytes")), (3, 1 << 40));
    stage.counters.messages_saved.add(2);
    let second = stage.next().await;
    assert_eq!((second.at_secs, value(&second, "Messages_Saved")), (START_SECS + 120, 2));
    let third = stage.next().await;
    assert_eq!((third.at_secs, third.values), (START_SECS + 180, [0; 12]));
}

#[tokio::test(start_paused = true)]
async fn logins_is_one_while_the_bot_is_logged_in() {
    let mut stage = stage(vec![]);
    let counters = stage.counters.clone();
    counters.logins.add(1);
    for _ in 0..3 {
        assert_eq!(value(&stage.next().await, "Logins"), 1);
    }
    counters.logins_ended.add(1);
    counters.login_failures.add(4);
    counters.logins.add(1);
    let lost = stage.next().await;
    assert_eq!((value(&lost, "Logins"), value(&lost, "Login_Failures")), (2, 4));
    counters.logins_ended.add(1);
    assert_eq!(value(&stage.next().await, "Logins"), 1);
    assert_eq!(value(&stage.next().await, "Logins"), 0);
}

#[tokio::test(start_paused = true)]
async fn minutes_that_could_not_be_sent_come_later_with_their_own_times() {
    let mut stage = stage(vec![]);
    stage.away.store(true, Ordering::Relaxed);
    for _ in 0..100 {
        tokio::time::sleep(INTERVAL).await;
        stage.counters.messages_saved.add(1);
    }
    stage.away.store(false, Ordering::Relaxed);
    let mut all = Vec::new();
    while all.len() < 101 {
        all.extend(stage.took.recv().await.unwrap());
    }
    for (minute, interval) in (1..).zip(&all) {
        assert_eq!(interval.at_secs, START_SECS + 60 * minute);
    }
    assert_eq!(all.iter().map(|interval| value(interval, "Messages_Saved")).sum::<u64>(), 100);
    assert_eq!(stage.rest().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_more_than_two_weeks_the_oldest_minutes_are_given_up_and_no_others() {
    let stage = stage(vec![]);
    stage.away.store(true, Ordering::Relaxed);
    tokio::time::sleep(INTERVAL * u32::try_from(INTERVALS_MAX + 500).unwrap()).await;
    stage.away.store(false, Ordering::Relaxed);
    let all = stage.rest().await;
    let (first, last) = (all[0].at_secs, all[all.len() - 1].at_secs);
    assert!(last - first <= AGE_SECS_MAX && all.len() >= INTERVALS_MAX - 61, "{}", all.len());
    assert!(all.windows(2).all(|pair| pair[0].at_secs <= pair[1].at_secs));
}

#[tokio::test(start_paused = true)]
async fn the_last_minute_is_sent_at_the_end_also_when_cloudwatch_stutters() {
    let stage = stage(vec![away(), away()]);
    tokio::time::sleep(Duration::from_secs(10)).await;
    stage.counters.messages_saved.add(5);
    let all = stage.rest().await;
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].at_secs, value(&all[0], "Messages_Saved")), (START_SECS + 10, 5));
}

#[tokio::test(start_paused = true)]
async fn a_dead_cloudwatch_does_not_keep_the_bot_from_ending() {
    let stage = stage(vec![]);
    stage.away.store(true, Ordering::Relaxed);
    tokio::time::sleep(INTERVAL * 2).await;
    let start = Instant::now();
    stage.measuring.finish(Duration::from_secs(3)).await;
    assert_eq!(start.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn figures_that_are_refused_do_not_hold_up_the_next() {
    let mut stage = stage(vec![refused()]);
    stage.counters.messages_saved.add(1);
    tokio::time::sleep(INTERVAL + Duration::from_secs(1)).await;
    stage.counters.messages_saved.add(2);
    assert_eq!(value(&stage.next().await, "Messages_Saved"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_back_does_not_stop_the_metrics() {
    let mut stage = stage(vec![]);
    stage.set_by.store(7 * 86_400, Ordering::Relaxed);
    stage.away.store(true, Ordering::Relaxed);
    tokio::time::sleep(INTERVAL + Duration::from_secs(1)).await;
    stage.set_by.store(0, Ordering::Relaxed);
    stage.away.store(false, Ordering::Relaxed);
    assert_eq!(stage.next().await.at_secs, START_SECS + 120);
}
