//! A real Docker engine for a test, in a world of its own.
//!
//! The test's process starts itself again in namespaces of its own (mounts, network, processes), and only there begins an
//! engine: Debian's, as `tests/setup` has installed it. So bridges, rules, mounts, shims and containers are nobody else's,
//! and the kernel removes all of them when the first process of that world ends, also after a failure and after
//! SIGKILL. In there the test's devices reach containers by their addresses, and `/opt` is the test's own.
//!
//! What stays, below `target/docker`: the engine's data, with Debian and the image, so that only the first test builds them.
//! A lock lets one engine at a time use it.
//!
//! Needs root. Elsewhere a test fails, or says that it has not run where `RETAIND_TESTS_WITHOUT_DOCKER` is set, which
//! `tests/run` does after it has told everybody.
#![allow(clippy::print_stdout, reason = "a test that has not run says so")]
#![allow(unused_imports, reason = "the benches share this folder, and need no engine")]

mod container;
mod engine;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use self::container::{Container, UID, password};
pub use self::engine::{Engine, IMAGE};

/// Where the world's scratch directory is: set in there, and only there.
const INSIDE: &str = "RETAIND_TESTS_WORLD";
/// Cgroups of the containers; the kernel does not remove those.
const CGROUP: &str = "retaind-tests";

/// Lets a scene play in a world of its own, with an engine. Call it with a closure from the test itself: its type tells the
/// test's name.
pub fn world<S: AsyncFnOnce(&Engine)>(scene: S) {
    if let Some(scratch) = std::env::var_os(INSIDE) {
        let scratch = PathBuf::from(scratch);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let engine = Engine::start(&scratch);
        runtime.block_on(scene(&engine));
        drop(engine);
        File::create(scratch.join("played")).unwrap();
        return;
    }
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        assert!(
            std::env::var_os("RETAIND_TESTS_WITHOUT_DOCKER").is_some(),
            "a Docker engine needs root; set RETAIND_TESTS_WITHOUT_DOCKER=1 to do without the tests of the image"
        );
        println!("NOT RUN: a Docker engine needs root");
        return;
    }
    let name = std::any::type_name::<S>().split("::{{").next().unwrap();
    let (_, name) = name.split_once("::").unwrap();
    let home = home();
    fs::create_dir_all(&home).unwrap();
    let lock = File::create(home.join("lock")).unwrap();
    lock.lock().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    // each ends with the one that started it: this process, setpriv which becomes unshare, the world
    let played = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, scratch.path())
        .stdin(Stdio::null())
        .status()
        .unwrap();
    remove_cgroups(Path::new("/sys/fs/cgroup"));
    assert!(played.success(), "{name}: {played}; its words are above");
    assert!(scratch.path().join("played").exists(), "no test has the name `{name}`");
}

/// What outlives a test.
fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/docker")
}

/// Those of containers that were killed with their world: empty, one below each hierarchy or one for all.
fn remove_cgroups(root: &Path) {
    let below = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    for parent in below(root).chain([root.to_owned()]).map(|hierarchy| hierarchy.join(CGROUP)) {
        below(&parent).filter(|path| path.is_dir()).for_each(|path| drop(fs::remove_dir(path)));
        let _ = fs::remove_dir(parent);
    }
}
