//! What `retaind::bot::source` demands of every source is asked of every source, and of a model of one that is built wrongly in
//! every way that can be thought of.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod contract;

use std::path::Path;
use std::sync::Arc;
use std::thread;

use futures_util::future::BoxFuture;
use retaind::bot::passwords::{self, By, Keeper, Maker, NotKept, Opened, Passwords};
use retaind::bot::source::Source;
use retaind::device::conversations::Device;
use retaind::device::store::{DeviceState, STEPS, Store};
use retaind::protocol::content::Body;
use retaind::protocol::ids::{ConversationId, ConversationKind};
use retaind::source_mls::Mls;
use zeroize::Zeroizing;

use self::contract::{Played, What};
use crate::support::archive::upload;
use crate::support::source_model::{self as model, Model, ModelNetwork, Wrong};
use crate::support::{BOT, Harness, PASSWORD, content, text, vault};

/// The MLS network, on a real one.
struct OnMls {
    harness: Harness,
    alice: Device,
    rooms: Vec<ConversationId>,
}

impl OnMls {
    async fn begin() -> Self {
        let harness = Harness::start();
        let alice = harness.device("alice").await;
        Self { harness, alice, rooms: Vec::new() }
    }
}

impl Played for OnMls {
    fn home(&self) -> &Path {
        self.harness.path()
    }

    fn user(&self) -> &str {
        BOT
    }

    fn passwords(&self) -> Arc<Passwords> {
        self.harness.options().passwords
    }

    fn open(&self) -> Opened {
        passwords::open(&self.home().join("bot.db"), &self.passwords(), STEPS).unwrap()
    }

    fn source(&self) -> Box<dyn Source> {
        Box::new(Mls::new(self.harness.endpoint.clone(), 2))
    }

    async fn say(&mut self, conversation: usize, what: What<'_>) {
        while self.rooms.len() <= conversation {
            self.rooms.push(self.alice.create(ConversationKind::Room, &[]).await.unwrap());
        }
        let said = match what {
            What::Text(words) => text(words),
            What::File(bytes) => content(Body::File(upload(&self.alice, self.harness.path(), bytes).await)),
        };
        self.alice.send(&self.rooms[conversation], &said).await.unwrap();
    }

    fn kept(&self) -> u64 {
        u64::try_from(self.harness.unacknowledged()).unwrap()
    }

    fn progress(&self) -> &'static str {
        "SELECT * FROM session LEFT JOIN tree USING (conversation) ORDER BY conversation"
    }

    fn secrets(&self) -> Vec<Vec<u8>> {
        let passwords = self.passwords();
        let (_, key) = self.open().store.identity().unwrap().unwrap();
        vec![passwords.given.as_bytes().to_vec(), PASSWORD.as_bytes().to_vec(), key.to_vec()]
    }
}

/// The model.
struct OnModel {
    home: tempfile::TempDir,
    network: ModelNetwork,
    wrong: Option<Wrong>,
}

impl OnModel {
    async fn begin() -> Self {
        Self::built(None)
    }

    fn built(wrong: Option<Wrong>) -> Self {
        Self { home: tempfile::tempdir().unwrap(), network: ModelNetwork::default(), wrong }
    }
}

/// The model makes no passwords.
struct Nowhere;

impl Keeper for Nowhere {
    fn keep<'a>(&'a self, _: &'a str, _: Maker) -> BoxFuture<'a, Result<(), NotKept>> {
        panic!("a password that nobody has asked for");
    }
}

impl Played for OnModel {
    fn home(&self) -> &Path {
        self.home.path()
    }

    fn user(&self) -> &str {
        BOT
    }

    fn passwords(&self) -> Arc<Passwords> {
        Arc::new(Passwords {
            given: Zeroizing::new(PASSWORD.to_owned()),
            source: passwords::Source::Configured,
            chosen: None,
            keeper: Arc::new(Nowhere),
        })
    }

    fn open(&self) -> Opened {
        // the same vault each time: to derive a key is slow on purpose
        let store = Store::open_unlocked(&self.home().join("bot.db"), vault(), model::STEPS).unwrap();
        Opened { store, by: By::Given }
    }

    fn source(&self) -> Box<dyn Source> {
        Box::new(Model { network: self.network.clone(), wrong: self.wrong })
    }

    async fn say(&mut self, conversation: usize, what: What<'_>) {
        let payload = match what {
            What::Text(words) => model::text(words),
            What::File(bytes) => model::file("upload.bin", bytes),
        };
        self.network.say(model::conversation(conversation), payload);
        // it is delivered at once
        tokio::task::yield_now().await;
    }

    fn kept(&self) -> u64 {
        self.network.kept()
    }

    fn progress(&self) -> &'static str {
        "SELECT * FROM model_cursor ORDER BY conversation"
    }

    fn secrets(&self) -> Vec<Vec<u8>> {
        vec![self.network.token().unwrap()]
    }
}

macro_rules! suite {
    ($($promise:ident),* $(,)?) => {
        mod mls {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    super::contract::$promise(super::OnMls::begin().await).await;
                }
            )*
        }

        mod model_of_one {
            $(
                #[tokio::test(start_paused = true)]
                async fn $promise() {
                    super::contract::$promise(super::OnModel::begin().await).await;
                }
            )*
        }

        /// The promises that a model which is built so does not keep.
        fn broken_by(wrong: Wrong) -> Vec<&'static str> {
            let mut broken = Vec::new();
            $(
                let played = thread::spawn(move || {
                    let time = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
                    time.unwrap().block_on(contract::$promise(OnModel::built(Some(wrong))));
                });
                if played.join().is_err() {
                    broken.push(stringify!($promise));
                }
            )*
            broken
        }
    };
}

suite! {
    what_it_hands_on_is_committed_in_order_however_it_is_batched,
    nothing_is_acknowledged_before_it_is_durable,
    after_a_crash_it_goes_on_from_the_state_alone,
    a_commit_that_it_never_hears_of_is_recognised,
    a_new_connection_brings_nothing_twice,
    its_state_changes_in_the_commit_only,
    secrets_and_what_was_said_are_sealed_in_the_state,
    a_file_has_its_final_name_by_the_commit_only,
    a_full_sender_makes_it_wait_and_drop_nothing,
    it_takes_nothing_while_the_disk_has_no_room,
    a_stop_acknowledges_what_is_committed_and_leaves_the_rest,
    a_stop_ends_one_to_which_nothing_was_said,
}

#[test]
fn a_source_that_is_built_wrongly_is_caught() {
    let caught_by = [
        (Wrong::AcknowledgesFirst, "nothing_is_acknowledged_before_it_is_durable"),
        (Wrong::StoresByItself, "its_state_changes_in_the_commit_only"),
        (Wrong::DropsWhenFull, "a_full_sender_makes_it_wait_and_drop_nothing"),
        (Wrong::SealsNothing, "secrets_and_what_was_said_are_sealed_in_the_state"),
        (Wrong::TakesWithoutRoom, "it_takes_nothing_while_the_disk_has_no_room"),
        (Wrong::LeavesAtOnce, "a_stop_acknowledges_what_is_committed_and_leaves_the_rest"),
    ];
    for (wrong, promise) in caught_by {
        let broken = broken_by(wrong);
        println!("{wrong:?}: {broken:?}");
        assert!(broken.contains(&promise), "{wrong:?} is not caught by {promise}: {broken:?}");
    }
}
