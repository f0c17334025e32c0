//! The one way to start a thread or a task: with a name, which a panic in it is reported under.
//!
//! A thread has its name in the operating system as well (`top -H`, a debugger). A task runs on threads that have other
//! names, so its name is kept beside each poll of it: [`current`] is what the panic hook asks.
//!
//! Not here: what a stage that ends does to the others. Whoever starts it waits for it and decides.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::thread::{self, JoinHandle as Thread};

use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

thread_local! {
    static CURRENT: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// The name of the task or thread that runs here, if it was started by this module.
pub fn current() -> Option<&'static str> {
    CURRENT.get()
}

/// Sets the name until it is dropped, by a panic as well.
struct Here(Option<&'static str>);

impl Here {
    fn enter(name: &'static str) -> Self {
        Self(CURRENT.replace(Some(name)))
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Starts a thread. The error is the operating system's: there are too many, or no memory is left.
#[expect(clippy::disallowed_methods, reason = "this is the one place that starts threads")]
pub fn thread<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Thread<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _here = Here::enter(name);
        work()
    })
}

/// Starts a task on the runtime that this is called on. As with tokio, it panics where there is none.
#[expect(clippy::disallowed_methods, reason = "this is the one place that starts tasks")]
pub fn spawn<T: Send + 'static>(name: &'static str, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(named(name, work))
}

/// Starts a task on `runtime`.
#[expect(clippy::disallowed_methods, reason = "this is the one place that starts tasks")]
pub fn spawn_on<T: Send + 'static>(
    runtime: &Handle,
    name: &'static str,
    work: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    runtime.spawn(named(name, work))
}

/// Starts a task in a set, which aborts it when it is dropped.
#[expect(clippy::disallowed_methods, reason = "this is the one place that starts tasks")]
pub fn spawn_in<T: Send + 'static>(
    set: &mut JoinSet<T>,
    name: &'static str,
    work: impl Future<Output = T> + Send + 'static,
) -> AbortHandle {
    set.spawn(named(name, work))
}

/// Runs work that may block on a thread of the runtime's that may be blocked.
#[expect(clippy::disallowed_methods, reason = "this is the one place that starts tasks")]
pub fn blocking<T: Send + 'static>(name: &'static str, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(move || {
        let _here = Here::enter(name);
        work()
    })
}

async fn named<T>(name: &'static str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        let _here = Here::enter(name);
        work.as_mut().poll(context)
    })
    .await
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "one that has no name")]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn a_thread_knows_its_name_and_so_does_the_system() {
        let seen = thread("ship", || (current(), thread::current().name().map(str::to_owned))).unwrap();
        assert_eq!(seen.join().unwrap(), (Some("ship"), Some("ship".to_owned())));
        assert_eq!(current(), None);
    }

    #[test]
    fn tasks_on_one_thread_keep_their_names_apart() {
        let names = runtime().block_on(async {
            let name_after_others_ran = || async {
                tokio::task::yield_now().await;
                current()
            };
            let (one, other) = (spawn("one", name_after_others_ran()), spawn("other", name_after_others_ran()));
            let mut set = JoinSet::new();
            spawn_in(&mut set, "in a set", name_after_others_ran());
            let blocked = blocking("blocking", current);
            (one.await.unwrap(), other.await.unwrap(), set.join_next().await.unwrap().unwrap(), blocked.await.unwrap())
        });
        assert_eq!(names, (Some("one"), Some("other"), Some("in a set"), Some("blocking")));
    }

    #[test]
    fn a_task_that_panics_leaves_no_name_behind() {
        runtime().block_on(async {
            let panicked = spawn("broken", async { panic!("as it should") }).await;
            assert!(panicked.unwrap_err().is_panic());
            let mut set = JoinSet::new();
            set.spawn(async { current() });
            assert_eq!(set.join_next().await.unwrap().unwrap(), None);
        });
    }
}
