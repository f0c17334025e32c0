//! What the pages say of a bot in each state.

use super::*;
use crate::metrics::METRICS;

const WELL: Standing = Standing { receiving: Receiving::Now, stages: Stages::Work, shipping: Shipping::Moves };

fn reading(standing: Standing, queue: Option<Queue>, free: Option<u64>) -> Reading {
    let directories = vec![
        Directory { name: "messages", free_bytes: free },
        Directory { name: "attachments", free_bytes: Some(u64::MAX) },
    ];
    let dropped = Dropped { output: 12, files: 1 };
    Reading {
        standing,
        opinion: Opinion::default(),
        in_hand: 7,
        dropped,
        found: Found { queue, directories, lost_conversations: 0 },
    }
}

fn codes(reading: &Reading) -> Vec<&'static str> {
    reading.reasons().iter().map(Reason::code).collect()
}

#[test]
fn a_bot_is_ready_only_if_nothing_is_wrong_and_says_everything_that_is() {
    let (queue, free) = (Some(Queue::default()), Some(0));
    assert_eq!(codes(&reading(WELL, queue, free)), [""; 0]);
    assert_eq!(codes(&reading(Standing::default(), None, free)), ["starting", "queue_unknown"]);
    let standing = Standing { receiving: Receiving::Interrupted, stages: Stages::Stop, ..WELL };
    assert_eq!(codes(&reading(standing, queue, None)), ["stopping", "network_away", "disk_unknown"]);
    let standing = Standing { stages: Stages::Failed, ..WELL };
    let parked = Some(Queue { files: 3, parked: 2, ..Queue::default() });
    let opinion = Opinion { pipeline: Pipeline::Stalled, space: Space::Critical };
    let all = Reading { opinion, ..reading(standing, parked, free) };
    assert_eq!(codes(&all), ["stage_failed", "stage_stalled", "disk_full", "queue_parked"]);
    let stalled = Standing { shipping: Shipping::Stalled, ..WELL };
    assert_eq!(codes(&reading(stalled, queue, free)), ["ship_stalled"]);
    assert!(page::live(stalled).0, "a restart would not help");
    assert!(!page::live(standing).0);
    assert!(page::live(Standing { stages: Stages::Stop, ..WELL }).0);
    let (ready, text) = page::ready(&all);
    let answer: Answer = serde_json::from_str(&text).unwrap();
    assert!(!ready && !answer.ready);
    assert_eq!((answer.lag_messages, answer.parked_files, answer.log_lines_dropped), (7, Some(2), 13));
    assert_eq!(
        answer.reasons[2].text,
        "too little disk is free, no more messages are taken: free some space; the network keeps the messages"
    );
}

#[test]
fn readiness_says_what_the_watchdog_thinks_and_has_no_threshold_of_its_own() {
    let of = |pipeline, space| {
        let opinion = Opinion { pipeline, space };
        codes(&Reading { opinion, ..reading(WELL, Some(Queue::default()), Some(0)) })
    };
    assert_eq!(of(Pipeline::Moves, Space::Enough), [""; 0]);
    assert_eq!(of(Pipeline::Moves, Space::Low), [""; 0], "told to operators, and still archived");
    assert_eq!(of(Pipeline::Slow, Space::Enough), ["stage_slow"]);
    assert_eq!(of(Pipeline::Stalled, Space::Enough), ["stage_stalled"]);
    assert_eq!(of(Pipeline::Moves, Space::Critical), ["disk_full"]);
}

/// A disk that hangs until the test ends.
struct Hangs(std::sync::Mutex<std::sync::mpsc::Receiver<()>>, std::sync::atomic::AtomicU32);

impl Look for Hangs {
    fn look(&self) -> Found {
        self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.0.lock().unwrap().recv().unwrap_err();
        Found::default()
    }

    fn opinion(&self) -> Opinion {
        Opinion { pipeline: Pipeline::Slow, space: Space::Enough }
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_disk_hangs_the_answer_still_comes_and_one_look_waits_for_it() {
    let (end, ends) = std::sync::mpsc::channel();
    let look = Arc::new(Hangs(std::sync::Mutex::new(ends), 0.into()));
    let health = Health::new(Arc::default(), look.clone());
    health.counters.status.receives(Receiving::Now);
    for _ in 0..2 {
        let (reading, ()) = tokio::join!(health.read(), tokio::time::advance(LOOK_TIME));
        assert_eq!(codes(&reading), ["stage_slow", "queue_unknown"]);
    }
    // which may not have begun yet
    assert!(look.1.load(std::sync::atomic::Ordering::SeqCst) <= 1);
    drop(end);
}

#[test]
fn a_failed_stage_is_not_forgotten_when_the_bot_stops() {
    let counters = Counters::default();
    counters.status.stops(Stages::Failed);
    counters.status.stops(Stages::Stop);
    assert_eq!(counters.status.standing().stages, Stages::Failed);
}

#[test]
fn every_metric_of_the_contract_is_on_the_page_with_its_value() {
    let counters = Counters::default();
    counters.files_saved_bytes.add(42);
    let queue = Queue { files: 3, bytes: 4096, parked: 1, oldest_secs: 60 };
    let text = page::metrics(&reading(WELL, Some(queue), Some(5)), &counters);
    assert!(text.ends_with("\n# EOF\n"), "{text}");
    for metric in &METRICS {
        let name = metric.name.to_lowercase();
        assert!(text.contains(&format!("# TYPE retaind_{name} counter\n")), "{name}");
        assert!(text.contains(&format!("\nretaind_{name}_total ")), "{name}");
    }
    for line in [
        "# UNIT retaind_files_saved_bytes bytes",
        "retaind_files_saved_bytes_total 42",
        "retaind_ready 0",
        "retaind_lag_messages 7",
        "retaind_unshipped_files 3",
        "retaind_unshipped_bytes 4096",
        "retaind_parked_files 1",
        "retaind_oldest_unshipped_age_seconds 60",
        "retaind_disk_free_bytes{directory=\"messages\"} 5",
        "retaind_log_lines_dropped_total{stream=\"output\"} 12",
        "retaind_log_lines_dropped_total{stream=\"files\"} 1",
    ] {
        assert!(text.contains(&format!("{line}\n")), "no `{line}` in\n{text}");
    }
    // what is not known is left out, not said to be nothing
    let text = page::metrics(&reading(WELL, None, None), &counters);
    assert!(!text.contains("unshipped") && !text.contains("{directory=\"messages\"}"), "{text}");
}
