#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "helpers of tests, on numbers that are written here"
)]

use super::*;
use crate::disk::RealDisk;

fn limits() -> Limits {
    Limits {
        network_warns_after: MINUTE,
        network_fails_after: 15 * MINUTE,
        stage_warns_after: MINUTE,
        stage_fails_after: 5 * MINUTE,
        disk_low_bytes: 1000,
        disk_critical_bytes: 100,
        clock_jump: MINUTE,
        look_every: MINUTE,
    }
}

/// Verdicts, each with its minute.
type Said = Vec<(u32, Verdict)>;
/// In which minute the clock was found set, and by how many seconds.
type Set = (u32, i64);

/// A moment at which all is well.
fn well(at: Duration) -> Observation {
    let wall_micros = i64::try_from(at.as_micros()).unwrap();
    Observation { at, wall_micros, network: Network::Connected, stages: Vec::new(), room: None }
}

/// One observation a minute: what was concluded, with its minute.
fn minute_by_minute(observations: impl Iterator<Item = Observation>) -> (Said, Health) {
    let mut machine = Machine::new(limits());
    let mut all = Vec::new();
    for (minute, observation) in (0..).zip(observations) {
        let at = minute * MINUTE;
        let wall_micros = observation.wall_micros + i64::try_from(at.as_micros()).unwrap();
        let verdicts = machine.observe(Observation { at, wall_micros, ..observation });
        all.extend(verdicts.into_iter().map(|verdict| (minute, verdict)));
    }
    (all, machine.health())
}

#[test]
fn an_outage_is_a_warning_then_a_failure_after_each_further_period() {
    let away = |minutes: u32| Verdict::NetworkAway { lasted: minutes * MINUTE };
    let down = |minutes: u32| Verdict::NetworkDown { lasted: minutes * MINUTE };
    let back = |minutes: u32| Verdict::NetworkBack { lasted: minutes * MINUTE };
    let long = "d".repeat(46);
    let twice = format!("{}u{}u", "d".repeat(16), "d".repeat(16));
    // u = connected, d = away, one a minute
    let table: [(&str, Said); 7] = [
        ("uuuu", vec![]),
        ("d", vec![]),
        ("udu", vec![]),
        ("uddu", vec![(2, away(1)), (3, back(2))]),
        ("dududu", vec![]),
        (&long, vec![(1, away(1)), (15, down(15)), (30, down(30)), (45, down(45))]),
        (&twice, vec![(1, away(1)), (15, down(15)), (16, back(16)), (18, away(1)), (32, down(15)), (33, back(16))]),
    ];
    for (course, expected) in table {
        let restarts = expected.iter().filter(|(_, verdict)| matches!(verdict, Verdict::NetworkDown { .. })).count();
        let (verdicts, health) = minute_by_minute(course.chars().map(|state| Observation {
            network: if state == 'u' { Network::Connected } else { Network::Away },
            ..well(Duration::ZERO)
        }));
        assert_eq!(verdicts, expected, "{course}");
        assert_eq!(health.restarts, restarts as u64, "each failure opens the connection again: {course}");
        let ends_down = course.ends_with('d') && restarts > 0;
        assert_eq!(health.network_failures == 0, !ends_down, "{course}");
        assert_eq!((health.pipeline, health.space != Space::Critical), (Pipeline::Moves, true), "{course}");
    }
}

#[test]
fn a_stage_that_does_not_move_is_slow_then_stalled_and_one_that_works_or_rests_never_is() {
    let stage = "commit";
    let slow = |minutes: u32| Verdict::StageSlow { stage, lasted: minutes * MINUTE };
    let stalled = |minutes: u32| Verdict::StageStalled { stage, lasted: minutes * MINUTE };
    let moves = |minutes: u32| Verdict::StageMoves { stage, lasted: minutes * MINUTE };
    // w = one step of work, r = at rest, . = nothing happens, one a minute
    let table: [(&str, Said, Pipeline); 8] = [
        ("..........", vec![], Pipeline::Moves),
        ("wwwwwwwwww", vec![], Pipeline::Moves),
        ("wr........", vec![], Pipeline::Moves),
        ("wrwrwrwrwr", vec![], Pipeline::Moves),
        ("w.", vec![(1, slow(1))], Pipeline::Slow),
        ("w.w", vec![(1, slow(1)), (2, moves(2))], Pipeline::Moves),
        ("w....r....", vec![(1, slow(1)), (5, moves(5))], Pipeline::Moves),
        ("w.........", vec![(1, slow(1)), (5, stalled(5))], Pipeline::Stalled),
    ];
    for (course, expected, pipeline) in table {
        let pulse = Pulse::default();
        let (verdicts, health) = minute_by_minute(course.chars().map(|step| {
            match step {
                'w' => pulse.works(),
                'r' => pulse.rests(),
                _ => {}
            }
            Observation { stages: vec![("decrypt", Beat::default()), (stage, pulse.beat())], ..well(Duration::ZERO) }
        }));
        assert_eq!((verdicts, health.pipeline), (expected, pipeline), "{course}");
    }
}

#[test]
fn a_stage_that_waits_for_a_full_disk_is_not_stalled() {
    let pulse = Pulse::default();
    pulse.works();
    let (verdicts, health) = minute_by_minute((0..60).map(|minute| Observation {
        stages: vec![("commit", pulse.beat())],
        room: Some(Room { directory: "/d".into(), free_bytes: if minute < 57 { 0 } else { 5000 } }),
        ..well(Duration::ZERO)
    }));
    let stages: Vec<_> = verdicts.iter().filter(|(_, v)| matches!(v, Verdict::StageSlow { .. })).collect();
    assert_eq!(stages, [&(58, Verdict::StageSlow { stage: "commit", lasted: MINUTE })]);
    assert_eq!(health.pipeline, Pipeline::Slow);
}

#[test]
fn the_levels_of_the_disk_are_left_only_a_quarter_above_their_limits() {
    use Space::{Critical, Enough, Low};
    let table = [
        (Enough, u64::MAX, Enough),
        (Enough, 1000, Enough),
        (Enough, 999, Low),
        (Enough, 100, Low),
        (Enough, 99, Critical),
        (Enough, 0, Critical),
        (Low, 1250, Enough),
        (Low, 1249, Low),
        (Low, 100, Low),
        (Low, 99, Critical),
        (Critical, 0, Critical),
        (Critical, 124, Critical),
        (Critical, 125, Low),
        (Critical, 1249, Low),
        (Critical, 1250, Enough),
    ];
    for (before, free, after) in table {
        assert_eq!(space::next(before, free, &limits()), after, "{before:?} with {free}");
    }
    let never = Limits { disk_low_bytes: 0, disk_critical_bytes: 0, ..limits() };
    assert_eq!(space::next(Enough, 0, &never), Enough, "0 switches it off");
}

#[test]
fn each_crossing_is_said_once_and_a_disk_that_says_nothing_changes_nothing() {
    let room = |free_bytes| Room { directory: "/d".into(), free_bytes };
    let course = [Some(5000), Some(900), Some(1100), None, Some(900), Some(50), Some(110), None, Some(200), Some(2000)];
    let (verdicts, health) =
        minute_by_minute(course.into_iter().map(|free| Observation { room: free.map(room), ..well(Duration::ZERO) }));
    let expected = [
        (1, Verdict::DiskLow(room(900))),
        (5, Verdict::DiskCritical(room(50))),
        (8, Verdict::DiskEased { room: room(200), now: Space::Low }),
        (9, Verdict::DiskEased { room: room(2000), now: Space::Enough }),
    ];
    assert_eq!(verdicts, expected);
    assert!(health.takes_deliveries());
}

#[test]
fn a_clock_that_is_set_is_said_once_with_both_values_and_a_slow_one_is_not() {
    const SECOND: i64 = 1_000_000;
    // by how many seconds the wall is off in each minute
    let table: [(&[i64], &[Set]); 6] = [
        (&[0, 0, 0, 0], &[]),
        (&[0, 60, 60, 0, -60], &[]),
        (&[0, 61, 61, 61], &[(1, 61)]),
        (&[0, -3600, -3600], &[(1, -3600)]),
        (&[0, 30, 60, 90, 90], &[(3, 90)]),
        (&[0, 3600, 0, 0], &[(1, 3600), (2, -3600)]),
    ];
    for (offsets, expected) in table {
        let (verdicts, _) = minute_by_minute(
            offsets.iter().map(|offset| Observation { wall_micros: offset * SECOND, ..well(Duration::ZERO) }),
        );
        let jumps: Vec<(u32, i64)> = verdicts
            .into_iter()
            .map(|(minute, verdict)| {
                let Verdict::ClockJumped { expected_micros, wall_micros } = verdict else { panic!("{verdict:?}") };
                (minute, (wall_micros - expected_micros) / SECOND)
            })
            .collect();
        assert_eq!(jumps, expected, "{offsets:?}");
    }
}

#[test]
fn a_process_that_was_stopped_for_an_hour_has_neither_stalled_nor_lost_its_network_for_an_hour() {
    let pulse = Pulse::default();
    pulse.works();
    let mut machine = Machine::new(Limits { look_every: Duration::from_secs(1), ..limits() });
    let seen = |at| Observation { network: Network::Away, stages: vec![("commit", pulse.beat())], ..well(at) };
    assert_eq!(machine.observe(seen(Duration::ZERO)), []);
    assert_eq!(machine.observe(seen(60 * MINUTE)), []);
    assert_eq!(machine.health().restarts, 0);
}

fn watchdog(network: Network, pulses: Pulses, settings: Settings) -> Watchdog {
    Watchdog {
        settings,
        network: watch::channel(network).1,
        pulses,
        disk: Arc::new(RealDisk),
        directories: vec![std::env::temp_dir()],
        counters: Arc::new(Counters::default()),
        events: Events::only_logged(),
    }
}

#[tokio::test(start_paused = true)]
async fn the_task_counts_an_outage_and_orders_new_connections() {
    let settings = Settings { clock: Arc::new(Standing), ..Settings::new(15 * MINUTE, 0) };
    let watchdog = watchdog(Network::Away, Pulses::default(), settings.clone());
    let counters = watchdog.counters.clone();
    let stop = CancellationToken::new();
    let running = tokio::spawn(watchdog.run(stop.clone()));
    let mut health = settings.health.subscribe();
    let began = Instant::now();
    health.wait_for(|health| health.restarts == 2).await.unwrap();
    let minutes = began.elapsed().as_secs() / 60;
    assert!((29..=31).contains(&minutes), "{minutes}");
    assert_eq!(counters.watchdog_failures.get(), 2);
    // one of the network, and one a minute of a clock that stands still
    assert!(counters.watchdog_warnings.get() > minutes / 2, "{:?}", counters.watchdog_warnings);
    stop.cancel();
    assert_eq!(running.await.unwrap(), Ok(()));
}

/// A clock that stands still.
struct Standing;

impl Clock for Standing {
    fn now_micros(&self) -> i64 {
        0
    }
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_when_a_stage_has_stalled() {
    let pulses = Pulses::default();
    pulses.add("commit").works();
    let settings = Settings::new(15 * MINUTE, 0);
    let health = settings.health.subscribe();
    let watchdog = watchdog(Network::Connected, pulses, settings);
    let ended = watchdog.run(CancellationToken::new()).await;
    assert_eq!(ended, Err(Halt::Stalled(Stalled { stage: "commit", minutes: 5 })));
    assert_eq!(health.borrow().pipeline, Pipeline::Stalled);
}

#[tokio::test]
async fn the_task_ends_when_a_directory_is_gone() {
    let volume = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(15 * MINUTE, 0);
    settings.limits.look_every = Duration::from_millis(1);
    let mut watchdog = watchdog(Network::Connected, Pulses::default(), settings);
    watchdog.directories.push(volume.path().to_owned());
    let counters = watchdog.counters.clone();
    let running = tokio::spawn(watchdog.run(CancellationToken::new()));
    let directory = volume.path().to_owned();
    volume.close().unwrap();
    assert_eq!(running.await.unwrap(), Err(Halt::Gone(Gone { directory })));
    assert_eq!(counters.watchdog_failures.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_task_holds_deliveries_back_while_the_disk_is_too_full() {
    // no disk has so much room
    let settings = Settings::new(15 * MINUTE, u64::MAX);
    let mut health = settings.health.subscribe();
    let watchdog = watchdog(Network::Connected, Pulses::default(), settings);
    let stop = CancellationToken::new();
    let running = tokio::spawn(watchdog.run(stop.clone()));
    health.wait_for(|health| !health.takes_deliveries()).await.unwrap();
    stop.cancel();
    running.await.unwrap().unwrap();
}
