//! Failed starts in a row, remembered from one process to the next, so that a bot that its supervisor keeps restarting
//! does not hammer the network.
//!
//! `starts.json` in the state directory says how many starts have failed in a row, when the last one did, and how long the
//! next one waits before it sends the network anything. The pause doubles from a second to a minute, and varies at random,
//! so that many bots do not come back at the same moment. After [`FAILED_MAX`] the bot reports that this is no temporary
//! trouble; to stop trying is the supervisor's job (`--restart on-failure:5`, `StartLimitBurst=5`), which counts as well.
//!
//! What counts: every failure with a temporary cause or by a defect, and every refusal by the network: a wrong password is
//! a mistake of the configuration, but each start tries it at the network. What does not: mistakes that were found before
//! the network was contacted, a requested stop, and a kill.
//!
//! A bot that has logged in and then committed a batch, or run for [`WORKS_AFTER`] without messages, has started; the
//! count restarts. The log-in alone is not enough: a bot that fails on the first message that it gets (a full disk) would
//! log in every time it is started.
//!
//! Invariant: this file never keeps a bot from starting. If it is missing, damaged or from the future, no start has failed,
//! or the pause is at most the longest; if it cannot be written, that is a warning. It is written aside and renamed, so
//! that a crash leaves the old one or the new one.
//!
//! Not here: the connection of a bot that is logged in. Its source opens it again after a loss, with its own pauses.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::disk::{Disk, RealDisk};
use retaind_core::pause::{Growth, shortened};
use retaind_report::counters::Counters;

/// Failed starts in a row after which the bot reports a lasting problem; supervisors are configured with the same number.
pub const FAILED_MAX: u32 = 5;
/// A bot that has received nothing counts as started this long after its log-in.
pub(crate) const WORKS_AFTER: Duration = Duration::from_secs(60);
const FILE: &str = "starts.json";
/// Pause after the first failed start; doubled by each further one.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);
const PAUSES: Growth = Growth::doubling(PAUSE_FIRST, PAUSE_MAX);
/// Of the file; it has a tenth.
const FILE_BYTES_MAX: u64 = 4096;
const MICROS_PER_MILLI: i64 = 1000;

/// What the file remembers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Failed starts since the last one that worked.
    pub failed_in_a_row: u32,
    /// When the last of them failed, milliseconds since 1970, UTC.
    pub last_failed_millis: i64,
    /// How long after that the next one may contact the network.
    pub pause_millis: u64,
}

impl History {
    /// The history after one more failure. `dice`: 0 for the shortest pause, 255 for the longest.
    pub fn failed(self, now_millis: i64, dice: u8) -> Self {
        let failed_in_a_row = self.failed_in_a_row.saturating_add(1);
        let pause = shortened(PAUSES.whole(failed_in_a_row), dice);
        Self {
            failed_in_a_row,
            last_failed_millis: now_millis,
            pause_millis: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// How long a start that begins now waits. A clock that was set back never makes it longer than the pause.
    pub fn pause(self, now_millis: i64) -> Duration {
        if self.failed_in_a_row == 0 {
            return Duration::ZERO;
        }
        let pause = Duration::from_millis(self.pause_millis).min(PAUSE_MAX);
        let passed = u64::try_from(now_millis.saturating_sub(self.last_failed_millis)).unwrap_or(0);
        pause.saturating_sub(Duration::from_millis(passed))
    }

    /// Have so many starts failed that the cause is not temporary?
    pub fn is_at_limit(self) -> bool {
        self.failed_in_a_row >= FAILED_MAX
    }
}

/// The file, in a directory that only this process uses.
#[derive(Debug, Clone)]
pub struct Starts {
    directory: PathBuf,
}

impl Starts {
    /// The file of the bot whose state is in `directory`.
    pub fn of(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// What earlier starts have left; no failures if that cannot be read.
    pub fn history(&self) -> History {
        let mut text = String::new();
        let path = self.directory.join(FILE);
        let read = File::open(&path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
        match read.map(|_| serde_json::from_str(&text)) {
            Ok(Ok(history)) => history,
            Err(error) if error.kind() == io::ErrorKind::NotFound => History::default(),
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(path = %path.display(), "the count of failed starts cannot be read and starts at zero");
                History::default()
            }
        }
    }

    /// Records one more failure.
    pub fn failed(&self, now_millis: i64) -> History {
        let history = self.history().failed(now_millis, PAUSES.dice.roll());
        if let Err(error) = self.write(history) {
            let directory = self.directory.display();
            tracing::warn!(%error, %directory, "a failed start cannot be counted: the next one will not wait");
        }
        history
    }

    /// Waits until this start may contact the network; `false`: stopped meanwhile.
    pub async fn wait(&self, now_millis: i64, stop: &CancellationToken) -> bool {
        let history = self.history();
        let pause = history.pause(now_millis);
        if pause.is_zero() {
            return true;
        }
        let failed = history.failed_in_a_row;
        tracing::warn!(
            failed,
            wait_seconds = pause.as_secs_f64(),
            "earlier starts failed: waits before asking the network"
        );
        stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some()
    }

    /// Forgets the failures once the bot with these counters works.
    pub async fn forget_once_it_works(&self, counters: &Counters) {
        counters.logins.reaches(1).await;
        tokio::select! {
            () = counters.messages_saved.reaches(1) => {}
            () = tokio::time::sleep(WORKS_AFTER) => {}
        }
        match fs::remove_file(self.directory.join(FILE)) {
            Ok(()) => tracing::info!("the bot works: earlier failed starts are forgotten"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, "the count of failed starts cannot be removed"),
        }
    }

    fn write(&self, history: History) -> io::Result<()> {
        let aside = self.directory.join(format!("{FILE}.new"));
        let mut file = File::create(&aside)?;
        serde_json::to_writer(&mut file, &history)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&aside, self.directory.join(FILE))?;
        RealDisk.sync_dir(&self.directory).map_err(|error| error.source)
    }
}

/// Converts microseconds to milliseconds.
pub fn millis(micros: i64) -> i64 {
    micros.checked_div(MICROS_PER_MILLI).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;
    const LONGEST: u8 = u8::MAX;

    #[test]
    fn pauses_double_from_a_second_to_a_minute_and_differ_by_no_more_than_half() {
        let mut history = History::default();
        assert_eq!(history.pause(NOW), Duration::ZERO);
        for whole in [1, 2, 4, 8, 16, 32, 60, 60] {
            let shortest = history.failed(NOW, 0).pause(NOW);
            history = history.failed(NOW, LONGEST);
            assert_eq!((shortest * 2, history.pause(NOW)), (Duration::from_secs(whole), Duration::from_secs(whole)));
        }
        assert_eq!(history.failed_in_a_row, 8);
        let ever = History { failed_in_a_row: u32::MAX, ..history }.failed(NOW, LONGEST);
        assert_eq!((ever.failed_in_a_row, ever.pause(NOW)), (u32::MAX, PAUSE_MAX));
    }

    #[test]
    fn only_what_is_left_of_a_pause_is_waited_and_no_clock_makes_it_longer() {
        let history = History::default().failed(NOW, LONGEST).failed(NOW, LONGEST);
        assert_eq!(history.pause(NOW + 500), Duration::from_millis(1500));
        assert_eq!(history.pause(NOW + 2000), Duration::ZERO);
        assert_eq!(history.pause(NOW + 31_536_000_000), Duration::ZERO, "a year later");
        assert_eq!(history.pause(NOW - 31_536_000_000), Duration::from_secs(2), "a clock that was a year ahead");
        assert_eq!(history.pause(i64::MIN), Duration::from_secs(2));
        let forged = History { pause_millis: u64::MAX, last_failed_millis: i64::MAX, ..history };
        assert_eq!(forged.pause(NOW), PAUSE_MAX);
    }

    #[test]
    fn the_fifth_failure_is_the_limit() {
        let failures = |n: u32| (0..n).fold(History::default(), |history, _| history.failed(NOW, 0));
        assert!(!failures(4).is_at_limit() && failures(5).is_at_limit() && failures(6).is_at_limit());
    }

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_counts_for_nothing() {
        let home = tempfile::tempdir().unwrap();
        let starts = Starts::of(home.path());
        assert_eq!(starts.history(), History::default());
        let history = starts.failed(NOW);
        assert_eq!((history.failed_in_a_row, starts.history()), (1, history));
        assert_eq!(starts.failed(NOW).failed_in_a_row, 2);
        for damaged in ["", "{", "[]", "{\"failed_in_a_row\":-1}", &"x".repeat(10_000), "\u{0}"] {
            fs::write(home.path().join(FILE), damaged).unwrap();
            assert_eq!(starts.history(), History::default(), "{damaged:.20}");
        }
        // nothing in its place can be a file; a start fails all the same, and only that
        fs::remove_file(home.path().join(FILE)).unwrap();
        fs::create_dir(home.path().join(FILE)).unwrap();
        assert_eq!(starts.failed(NOW).failed_in_a_row, 1);
        let gone = Starts::of(&home.path().join("gone"));
        assert_eq!((gone.failed(NOW).failed_in_a_row, gone.history()), (1, History::default()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bot_has_started_when_it_has_committed_or_lasted_but_not_by_its_log_in() {
        for batch in [true, false] {
            let home = tempfile::tempdir().unwrap();
            let starts = Starts::of(home.path());
            starts.failed(NOW);
            let counters = Counters::default();
            let mut works = std::pin::pin!(starts.forget_once_it_works(&counters));
            assert!(tokio::time::timeout(WORKS_AFTER * 2, &mut works).await.is_err(), "not logged in");
            counters.logins.add(1);
            assert!(tokio::time::timeout(WORKS_AFTER / 2, &mut works).await.is_err(), "logged in");
            assert_eq!(starts.history().failed_in_a_row, 1);
            if batch {
                counters.messages_saved.add(1);
            }
            let began = tokio::time::Instant::now();
            works.await;
            assert_eq!(starts.history(), History::default());
            assert_eq!(began.elapsed() < Duration::from_secs(1), batch);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_wait() {
        let home = tempfile::tempdir().unwrap();
        let starts = Starts::of(home.path());
        let stop = CancellationToken::new();
        assert!(starts.wait(NOW, &stop).await);
        starts.failed(NOW);
        assert!(starts.wait(NOW, &stop).await, "the pause is waited");
        stop.cancel();
        assert!(!starts.wait(NOW, &stop).await);
    }
}
