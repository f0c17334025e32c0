//! A queue in front of each stream of the log: a stage puts its line in and goes on, a thread of the queue's own writes it.
//!
//! It is `tracing-appender`'s non-blocking writer and what that one lacks: a limit in bytes, an order that keeps its place
//! among the lines, and a flush that waits only so long and ends nothing.
//!
//! Invariants:
//! - [`Queue::put`] never waits for the stream. A line that finds no room is dropped and counted; so is a line that the
//!   stream does not take.
//! - Lines are written whole, in the order in which they were put in.
//! - [`Queue::flush`] returns when everything that was put in before has been written, or at its deadline: a pipe that
//!   nobody reads cannot keep the process from ending.
//!
//! The appender's own guard is kept as long as the queue and is never dropped by the program: dropping it ends the writing
//! thread, so that a panic that was caught would end the log, and prints on standard output when the queue is full, so that
//! a process whose output nobody reads would hang there for ever. A flush counts lines instead.
//!
//! Crash: a killed process loses the lines that are still in the queue, usually those of its last millisecond.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;

use super::last;
use retaind_core::text;

/// Lines that may wait: what a burst of warnings, one for each message of a full window, makes in a quarter of a second.
pub(super) const LINES_MAX: usize = 4096;
/// Their bytes: lines of half a KiB on average, and a queue that costs no more memory than one attachment's piece.
pub(super) const BYTES_MAX: usize = 2 * 1024 * 1024;

/// What a queue writes to. Only the queue's own thread calls it, and it may block there.
pub(super) trait Outlet: Send + 'static {
    /// Writes one whole line.
    fn put(&mut self, line: &[u8]) -> Result<(), Lost>;
    /// Starts again from the stream's name: a file that was moved away is closed.
    fn renew(&mut self);
}

/// A line was not written.
#[derive(Debug)]
pub(super) enum Lost {
    /// The line before it was: why this one is not has to be reported.
    First(String),
    /// That was reported with an earlier line.
    Again,
}

/// A queue and its thread. Clones are of the same one.
#[derive(Clone)]
pub(super) struct Queue {
    lines: NonBlocking,
    /// Counts what [`Queue::lines`] had no room for; looked at only under the lock of `shared`.
    full: ErrorCounter,
    shared: Arc<Shared>,
    _thread: Arc<WorkerGuard>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    written: Condvar,
    overflowed: AtomicU64,
    unwritten: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Messages (lines and orders) that were put in, since the start.
    taken: u64,
    /// Those of them that the thread is done with.
    done: u64,
    /// Of the lines that wait.
    bytes: usize,
    /// An order found no room and goes before the next line.
    renew: bool,
}

impl Queue {
    /// Starts the thread. `after` is called on it after each line.
    pub(super) fn start(name: &str, outlet: impl Outlet, after: fn()) -> Self {
        Self::with_limit(name, outlet, after, LINES_MAX)
    }

    fn with_limit(name: &str, outlet: impl Outlet, after: fn(), lines_max: usize) -> Self {
        let shared = Arc::<Shared>::default();
        let sink = Sink { outlet, shared: shared.clone(), after };
        let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(lines_max).thread_name(name);
        let (lines, thread) = builder.finish(sink);
        Self { full: lines.error_counter(), lines, shared, _thread: Arc::new(thread) }
    }

    /// Puts a line in, or drops it.
    pub(super) fn put(&self, line: &[u8]) {
        let mut state = self.shared.lock();
        if state.renew {
            state.renew = !self.send(&mut state, &[]);
        }
        let has_room = line.len() <= BYTES_MAX.saturating_sub(state.bytes);
        if !(has_room && self.send(&mut state, line)) {
            self.shared.overflowed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Has the thread call [`Outlet::renew`] before the lines that follow.
    pub(super) fn renew(&self) {
        let mut state = self.shared.lock();
        state.renew = !self.send(&mut state, &[]);
    }

    /// Waits until what was put in so far is written. `false`: it is not, and the time is over.
    pub(super) fn flush(&self, until: Instant) -> bool {
        let state = self.shared.lock();
        let target = state.taken;
        let time = until.saturating_duration_since(Instant::now());
        let waited = self.shared.written.wait_timeout_while(state, time, |state| state.done < target);
        let (_state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out()
    }

    /// Lines that found no room, since the start.
    pub(super) fn overflowed(&self) -> u64 {
        self.shared.overflowed.load(Ordering::Relaxed)
    }

    /// Lines that are not in the stream: those that found no room, and those that it did not take.
    pub(super) fn dropped(&self) -> u64 {
        self.overflowed().saturating_add(self.shared.unwritten.load(Ordering::Relaxed))
    }

    /// Was there room? An empty message is the order; a line has its line feed at least.
    fn send(&self, state: &mut State, message: &[u8]) -> bool {
        let before = self.full.dropped_lines();
        // nobody else writes to it while the lock is held
        #[expect(clippy::let_underscore_must_use, reason = "it reports a full queue by its counter alone")]
        let _ = self.lines.clone().write(message);
        let is_in = self.full.dropped_lines() == before;
        if is_in {
            state.taken = state.taken.saturating_add(1);
            state.bytes = state.bytes.saturating_add(message.len());
        }
        is_in
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where an event's line is written: all of it with one call.
pub(super) struct Entrance<'a>(&'a Queue);

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Entrance<'a>;

    fn make_writer(&'a self) -> Entrance<'a> {
        Entrance(self)
    }
}

impl Write for Entrance<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(&text::line(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The end of the queue, on its thread.
struct Sink<O> {
    outlet: O,
    shared: Arc<Shared>,
    after: fn(),
}

impl<O: Outlet> Sink<O> {
    fn take(&mut self, message: &[u8]) {
        if message.is_empty() {
            self.outlet.renew();
        } else if let Err(lost) = self.outlet.put(message) {
            self.shared.unwritten.fetch_add(1, Ordering::Relaxed);
            if let Lost::First(why) = lost {
                // the log itself may have no other stream
                last::report(format!("warning: {why}\n"));
            }
        }
        let mut state = self.shared.lock();
        state.done = state.done.saturating_add(1);
        state.bytes = state.bytes.saturating_sub(message.len());
        drop(state);
        self.shared.written.notify_all();
        (self.after)();
    }
}

impl<O: Outlet> Write for Sink<O> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.take(line);
        Ok(line.len())
    }

    /// Each message comes by one call of this, also an empty one, which the default would pass over.
    fn write_all(&mut self, message: &[u8]) -> io::Result<()> {
        self.take(message);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// Longer than any test waits that does not fail.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A queue before a stream that hangs until the test lets it go.
    struct Scene {
        queue: Queue,
        entered: mpsc::Receiver<()>,
        hold: mpsc::Sender<()>,
        written: Arc<Mutex<Vec<String>>>,
    }

    struct Stuck {
        enter: mpsc::Sender<()>,
        held: mpsc::Receiver<()>,
        written: Arc<Mutex<Vec<String>>>,
    }

    impl Stuck {
        fn note(&self, what: &[u8]) {
            // neither end is there any more once the test has let everything go
            self.enter.send(()).ok();
            self.held.recv().ok();
            self.written.lock().unwrap().push(String::from_utf8(what.to_vec()).unwrap());
        }
    }

    impl Outlet for Stuck {
        fn put(&mut self, line: &[u8]) -> Result<(), Lost> {
            self.note(line);
            if line == b"refused" { Err(Lost::Again) } else { Ok(()) }
        }

        fn renew(&mut self) {
            self.note(b"renewed");
        }
    }

    impl Scene {
        /// The thread hangs with its first line.
        fn hanging(lines_max: usize, first: &[u8]) -> Self {
            let (enter, entered) = mpsc::channel();
            let (hold, held) = mpsc::channel();
            let written = Arc::<Mutex<Vec<String>>>::default();
            let outlet = Stuck { enter, held, written: written.clone() };
            let queue = Queue::with_limit("test", outlet, || (), lines_max);
            queue.put(first);
            entered.recv().unwrap();
            Self { queue, entered, hold, written }
        }

        /// The stream hangs no more; what there is gets written.
        fn release(self) -> (Queue, Arc<Mutex<Vec<String>>>) {
            drop((self.entered, self.hold));
            assert!(self.queue.flush(Instant::now() + PATIENCE));
            (self.queue, self.written)
        }
    }

    #[test]
    fn a_stream_that_hangs_stops_no_caller_and_what_finds_no_room_is_counted() {
        let scene = Scene::hanging(2, b"first");
        for number in 0..100 {
            scene.queue.put(format!("{number}").as_bytes());
        }
        assert_eq!(scene.queue.dropped(), 98);
        assert!(!scene.queue.flush(Instant::now()), "nothing is written");
        let (queue, written) = scene.release();
        queue.put(b"after");
        assert!(queue.flush(Instant::now() + PATIENCE));
        assert_eq!(*written.lock().unwrap(), ["first", "0", "1", "after"]);
        assert_eq!(queue.dropped(), 98);
    }

    #[test]
    fn long_lines_are_dropped_before_they_cost_memory_without_end() {
        let half = vec![b'x'; BYTES_MAX / 2];
        let scene = Scene::hanging(LINES_MAX, &half);
        scene.queue.put(&vec![b'x'; BYTES_MAX + 1]);
        assert_eq!(scene.queue.dropped(), 1, "longer than the queue");
        scene.queue.put(&half);
        scene.queue.put(b"x");
        assert_eq!(scene.queue.dropped(), 2, "the line that hangs is in memory as well");
        let (queue, written) = scene.release();
        queue.put(&half);
        assert!(queue.flush(Instant::now() + PATIENCE));
        assert_eq!((queue.dropped(), written.lock().unwrap().len()), (2, 3));
    }

    #[test]
    fn an_order_keeps_its_place_also_if_it_finds_no_room() {
        let scene = Scene::hanging(2, b"first");
        scene.queue.renew();
        for line in [b"second", b"thirds"] {
            scene.queue.put(line);
        }
        scene.queue.renew();
        scene.queue.put(b"no room");
        assert_eq!(scene.queue.overflowed(), 2);
        let (queue, written) = scene.release();
        queue.put(b"after");
        assert!(queue.flush(Instant::now() + PATIENCE));
        assert_eq!(*written.lock().unwrap(), ["first", "renewed", "second", "renewed", "after"]);
        assert_eq!(queue.dropped(), 2);
    }

    #[test]
    fn what_the_stream_refuses_counts_as_dropped() {
        let (queue, _) = Scene::hanging(2, b"refused").release();
        assert_eq!((queue.overflowed(), queue.dropped()), (0, 1));
    }
}
