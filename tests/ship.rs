//! What is sealed reaches the bucket once, byte for byte, and leaves this host only then, whatever goes wrong in between.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use retaind::archive::encrypt::Format;
use retaind::aws::kms::Kms;
use retaind::aws::s3::{Bucket, LegalHold, LockMode, ObjectLock};
use retaind::aws::{Aws, AwsError};
use retaind::bot::disk::RealDisk;
use retaind::bot::ship::runner::{News, Runner, Watcher};
use retaind::bot::ship::s3::{PART_BYTES, S3Destination};
use retaind::bot::ship::{Bell, ShipError, ShipItem, ShipKind, Shipped};
use retaind::bot::state::{self, Queue};
use retaind::core::fault::{self, Faulty};
use retaind::core::pause::Growth;
use retaind::device::store::{Access as StateAccess, STEPS, Store, StoreError};
use tokio::{sync::watch, task::JoinHandle};

use crate::support::aws::fault::{Fault, On, Times};
use crate::support::aws::moto::{Moto, allow};
use crate::support::aws::proxy::Proxy;
use crate::support::aws::readers::{self, Reader};
use crate::support::aws::{Access, REGION};
use crate::support::shipped::{hash, names};
use crate::support::traffic::Dice;

mod verdicts;
const BUCKET: &str = "archive";
const FOLDER: &str = "evidence/2026";
const SOON: Growth = Growth::doubling(Duration::from_millis(20), Duration::from_millis(100));
const PIECES: Growth = Growth::doubling(Duration::from_millis(5), Duration::from_millis(40));
/// Long enough for a busy machine, short enough for a test of a server that says nothing.
const TIMEOUT: Duration = Duration::from_secs(20);
const ONLY_PUT: &[&str] = &["s3:PutObject", "kms:GenerateDataKey"];

/// Files of a bot that wait, and a bucket.
struct Depot {
    directory: tempfile::TempDir,
    store: Store,
    moto: Moto,
    proxy: Proxy,
    access: Access,
    files: Vec<(ShipKind, PathBuf, Vec<u8>)>,
}

#[derive(Default)]
struct Heard {
    failures: Mutex<Vec<(String, News)>>,
    stored: watch::Sender<usize>,
}

impl Watcher for Heard {
    fn failed(&self, item: &ShipItem, error: &ShipError, news: News) {
        let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        assert!(!format!("{error}{source}").contains("attachment_"), "an attachment's name is content: {error}");
        assert!(error.fault() == fault::Fault::Temporary || error.fault() == fault::Fault::Item, "{}", item.label());
        self.failures.lock().unwrap().push((format!("{error}: {source}"), news));
    }

    fn stored(&self, _: &ShipItem) {
        self.stored.send_modify(|stored| *stored += 1);
    }
}

/// A stage that works.
struct Stage {
    bell: Arc<Bell>,
    heard: Arc<Heard>,
    running: JoinHandle<Result<Shipped, ShipError>>,
}

impl Stage {
    async fn finish(self) -> Arc<Heard> {
        self.bell.finish();
        assert_eq!(self.running.await.unwrap().unwrap(), Shipped::All);
        self.heard
    }

    /// Nothing is finished: what a kill does, as far as the queue and the bucket can see.
    async fn cut(self) {
        self.running.abort();
        let _ = self.running.await;
    }
}

impl Depot {
    async fn new() -> Self {
        let moto = Moto::start();
        moto.bucket(BUCKET).await;
        let proxy = Proxy::start(moto.address());
        proxy.demand_checksums();
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("bot.db"), b"a password for tests", STEPS).unwrap();
        state::prepare(&store).unwrap();
        for folder in ["messages", "attachments", "evidence"] {
            std::fs::create_dir(directory.path().join(folder)).unwrap();
        }
        // as an operator grants it: no reading, no aborting
        let access = moto.user("bot", &allow(ONLY_PUT)).await.through(&proxy.endpoint());
        Self { directory, store, moto, proxy, access, files: Vec::new() }
    }

    /// Seals a file: it lies there and waits in the queue.
    fn seal(&mut self, kind: ShipKind, name: &str, bytes: usize) {
        let folder = self.directory.path().join(names(kind).0);
        let mut dice = Dice(name.len() as u64);
        let content: Vec<u8> =
            (0..bytes.div_ceil(4)).flat_map(|_| (dice.below(1 << 32) as u32).to_le_bytes()).collect();
        let content = content[..bytes].to_vec();
        let path = folder.join(name);
        std::fs::write(&path, &content).unwrap();
        let (length, hash) = (bytes as u64, hash(kind, &content));
        let queued =
            self.store.write::<_, StoreError>(|tx| state::enqueue(tx, kind, &folder, name, length, Some(&hash)));
        queued.unwrap();
        self.files.push((kind, path, content));
    }

    /// One of each: message file, attachment with a name that headers cannot hold, and one that goes in parts.
    fn seal_three(&mut self) {
        self.seal(ShipKind::Message, "receivedMessages_20260801T120000.000Z_00000001.txt", 100_000);
        self.seal(ShipKind::File, "attachment_20260801120000000_Grüße 🗄.pdf", 10_001);
        self.seal(ShipKind::File, "attachment_20260801120000001_large.bin", 2 * PART_BYTES as usize + 5);
    }

    fn stage_with(&self, encryption: Option<(Kms, Format)>, lock: Option<ObjectLock>, timeout: Duration) -> Stage {
        let aws = Aws::with(self.access.config());
        let bucket = Bucket::new(&aws, REGION, BUCKET, Some(FOLDER), lock, timeout);
        let (bell, heard) = (Arc::new(Bell::default()), Arc::new(Heard::default()));
        let runner = Runner {
            queue: Arc::new(Queue::open(self.store.again(StateAccess::Write).unwrap()).unwrap()),
            destination: Arc::new(S3Destination::new(Arc::new(RealDisk), bucket, encryption, PIECES)),
            disk: Arc::new(RealDisk),
            backoff: SOON,
            watcher: heard.clone(),
        };
        let rung = bell.clone();
        let running = tokio::spawn(async move { runner.run(&rung).await });
        Stage { bell, heard, running }
    }

    fn stage(&self) -> Stage {
        self.stage_with(None, None, TIMEOUT)
    }

    fn kms(&self, key: &str) -> Kms {
        Kms::new(&Aws::with(self.access.config()), REGION, key)
    }

    fn key(path: &std::path::Path) -> String {
        format!("{FOLDER}/{}", path.file_name().unwrap().to_str().unwrap())
    }

    /// No file has left this host that the bucket does not have whole.
    async fn nothing_is_lost(&self) {
        for (_, path, content) in &self.files {
            if !path.exists() {
                let object = self.moto.object(BUCKET, &Self::key(path)).await;
                assert!(object.is_some_and(|object| object.bytes == *content), "{path:?} was removed too early");
            }
        }
    }

    /// Every byte is in the bucket, once, nothing waits, and nothing is left here.
    async fn all_is_shipped(&self) {
        let objects = self.moto.objects(BUCKET).await;
        assert_eq!(objects.len(), self.files.len(), "{:?}", objects.iter().map(|o| &o.key).collect::<Vec<_>>());
        for (kind, path, content) in &self.files {
            let object = objects.iter().find(|object| object.key == Self::key(path)).unwrap();
            assert!(object.bytes == *content, "{path:?} is not the same in the bucket");
            assert_eq!(object.metadata["wickrio-type"], names(*kind).1);
            assert!(object.metadata.contains_key("wickrio-file-path"));
        }
        self.is_tidy();
        assert_eq!(self.proxy.mismatches(), 0);
    }

    fn is_tidy(&self) {
        for (_, path, _) in &self.files {
            assert!(!path.exists(), "{path:?} is still here");
        }
        let database = rusqlite::Connection::open(self.directory.path().join("bot.db")).unwrap();
        for table in ["ship", "ship_stored", "ship_attempt", "ship_upload"] {
            let rows: i64 = database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
            assert_eq!(rows, 0, "{table}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sealed_is_uploaded_whole_and_then_removed_here() {
    let mut depot = Depot::new().await;
    depot.seal_three();
    depot.seal(ShipKind::File, "attachment_20260801120000002_empty", 0);
    depot.seal(ShipKind::File, "attachment_20260801120000003_one part", PART_BYTES as usize);
    let heard = depot.stage().finish().await;
    depot.all_is_shipped().await;
    assert_eq!(heard.failures.lock().unwrap().len(), 0);
    assert!(depot.proxy.count("UploadPart") == 3 && depot.proxy.count("CompleteMultipartUpload") == 1);
    let reader = Reader { access: &depot.moto.operator(), bucket: BUCKET, kms_key: "" };
    let (_, path, content) = &depot.files[0];
    assert!(reader.cli(&Depot::key(path)).unwrap() == *content, "`aws s3 cp` reads another file");
    let named = depot.moto.object(BUCKET, &Depot::key(&depot.files[1].1)).await.unwrap();
    assert!(named.metadata["wickrio-file-path"].starts_with("=?UTF-8?B?"), "{:?}", named.metadata);
}

/// `fault` meets requests of every kind that carries content, `times` each, and then heals.
async fn heals(fault: Fault, times: u32, needs_operator: bool) {
    let mut depot = Depot::new().await;
    depot.seal_three();
    let operations = ["PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"];
    let troubles =
        operations.map(|operation| depot.proxy.trouble(On::operation(operation), Times::First(times), fault));
    let stage = depot.stage_with(None, None, Duration::from_secs(2));
    troubles[0].strikes(1).await;
    depot.nothing_is_lost().await;
    let heard = stage.finish().await;
    depot.all_is_shipped().await;
    assert!(troubles.iter().all(|trouble| trouble.struck() > 0), "{fault:?} was not met everywhere");
    let failures = heard.failures.lock().unwrap();
    assert_eq!(!failures.is_empty(), needs_operator, "{failures:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_service_is_tried_again() {
    heals(Fault::Internal, 2, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttling_service_is_tried_again() {
    heals(Fault::SlowDown, 2, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_token_is_tried_again() {
    heals(Fault::ExpiredToken, 2, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_in_the_body_is_made_again() {
    let mut depot = Depot::new().await;
    depot.seal_three();
    let small = depot.proxy.trouble(On::operation("PutObject"), Times::First(2), Fault::ResetInBody);
    let large = depot.proxy.trouble(On::operation("UploadPart"), Times::First(2), Fault::ResetInBody);
    depot.stage().finish().await;
    depot.all_is_shipped().await;
    assert!(small.struck() == 2 && large.struck() == 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_after_the_object_was_made_is_not_taken_for_a_strangers() {
    let mut depot = Depot::new().await;
    depot.seal_three();
    let put = depot.proxy.trouble(On::operation("PutObject"), Times::First(1), Fault::LoseAnswer);
    let complete = depot.proxy.trouble(On::operation("CompleteMultipartUpload"), Times::First(1), Fault::LoseAnswer);
    depot.stage().finish().await;
    depot.all_is_shipped().await;
    assert!(put.struck() == 1 && complete.struck() == 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_is_left_after_the_time_limit() {
    let mut depot = Depot::new().await;
    depot.seal_three();
    let trouble = depot.proxy.trouble(On::operation("PutObject"), Times::First(1), Fault::Hang);
    let stage = depot.stage_with(None, None, Duration::from_secs(3));
    trouble.strikes(1).await;
    depot.nothing_is_lost().await;
    stage.finish().await;
    depot.all_is_shipped().await;
    trouble.heal();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_only_an_operator_can_mend_parks_the_queue_is_told_once_and_heals_by_itself() {
    for (fault, words) in [
        (Fault::Denied, "`s3:PutObject` on `arn:aws:s3:::archive/evidence/2026/*` is not permitted"),
        (Fault::OtherRegion("eu-west-1"), "in another region, `eu-west-1`: correct `WICKRIO_S3_REGION`"),
        (Fault::Refused(404, "NoSuchBucket"), "there is no such thing"),
    ] {
        let mut depot = Depot::new().await;
        depot.seal_three();
        let trouble = depot.proxy.trouble(On::service("s3"), Times::UntilHealed, fault);
        let stage = depot.stage();
        trouble.strikes(6).await;
        assert!(depot.files.iter().all(|(_, path, _)| path.exists()), "removed before it was stored");
        depot.seal(ShipKind::Message, "receivedMessages_20260801T130000.000Z_00000002.txt", 500);
        stage.bell.ring();
        trouble.heal();
        let heard = stage.finish().await;
        depot.all_is_shipped().await;
        let failures = heard.failures.lock().unwrap();
        assert!(failures.iter().all(|(text, _)| text.contains(words)), "{failures:?}");
        assert_eq!(failures.iter().filter(|(_, news)| *news == News::First).count(), 1, "{failures:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_object_is_not_overwritten_and_the_file_stays_here() {
    let mut depot = Depot::new().await;
    depot.seal_three();
    for reads in [ONLY_PUT, &["s3:PutObject", "s3:GetObject"]] {
        depot.moto.set_policy("bot", &allow(reads)).await;
        let key = Depot::key(&depot.files[0].1);
        let body = aws_sdk_s3::primitives::ByteStream::from_static(b"somebody else's");
        depot.moto.s3().put_object().bucket(BUCKET).key(&key).body(body).send().await.unwrap();
        let heard = depot.stage().finish().await;
        assert!(depot.files[0].1.exists());
        assert_eq!(depot.moto.object(BUCKET, &key).await.unwrap().bytes, b"somebody else's");
        let failures = heard.failures.lock().unwrap().clone();
        assert!(failures.iter().all(|(text, _)| text.contains("another object under its name")), "{failures:?}");
        depot.moto.s3().delete_object().bucket(BUCKET).key(&key).send().await.unwrap();
    }
    // moved away: the next start tries it again
    depot.stage().finish().await;
    depot.all_is_shipped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_altered_or_gone_is_parked_and_the_others_go_on() {
    let mut depot = Depot::new().await;
    depot.seal_three();
    depot.seal(ShipKind::Message, "receivedMessages_20260801T130000.000Z_00000002.txt", 500);
    let (gone, altered) = (depot.files[0].1.clone(), depot.files[3].1.clone());
    std::fs::remove_file(&gone).unwrap();
    std::fs::write(&altered, b"shorter").unwrap();
    let heard = depot.stage().finish().await;
    assert_eq!(heard.failures.lock().unwrap().len(), 2);
    assert_eq!(depot.moto.objects(BUCKET).await.len(), 2);
    std::fs::write(&gone, &depot.files[0].2).unwrap();
    std::fs::write(&altered, &depot.files[3].2).unwrap();
    depot.stage().finish().await;
    depot.all_is_shipped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_off_at_100_random_instants_every_byte_is_in_the_bucket_once() {
    const SEED: u64 = 20_260_803;
    println!("seed {SEED}");
    let mut dice = Dice(SEED);
    let mut depot = Depot::new().await;
    for cut in 0..100u64 {
        if cut % 20 == 0 {
            let number = cut / 20;
            depot.seal(ShipKind::File, &format!("attachment_2026080112000{number:04}_l.bin"), PART_BYTES as usize + 77);
        }
        depot.seal(ShipKind::Message, &format!("receivedMessages_20260801T120000.000Z_{cut:08}.txt"), 3000);
        let stage = depot.stage();
        // the instant is what is tested; nothing is waited for
        tokio::time::sleep(Duration::from_micros(dice.below(60_000))).await;
        stage.cut().await;
    }
    depot.nothing_is_lost().await;
    depot.stage().finish().await;
    depot.all_is_shipped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn official_clients_read_what_was_encrypted_and_refuse_what_was_altered() {
    for (format, reader_format) in [(Format::V3, readers::Format::V3), (Format::V2, readers::Format::V2)] {
        let mut depot = Depot::new().await;
        let key = depot.moto.key().await;
        depot.seal(ShipKind::Message, "receivedMessages_20260801T120000.000Z_00000001.txt", 100_000);
        depot.seal(ShipKind::File, "attachment_20260801120000000_empty", 0);
        depot.seal(ShipKind::File, "attachment_20260801120000001_one", 1);
        for (number, bytes) in [(5 << 20) - 1, 5 << 20, (5 << 20) + 1, PART_BYTES as usize, 20 << 20].iter().enumerate()
        {
            depot.seal(ShipKind::File, &format!("attachment_2026080112000001{number}_size.bin"), *bytes);
        }
        let encryption = Some((depot.kms(&key), format));
        depot.stage_with(encryption, None, TIMEOUT).finish().await;
        depot.is_tidy();
        let access = depot.moto.operator();
        let reader = Reader { access: &access, bucket: BUCKET, kms_key: &key };
        let keys: Vec<String> = depot.files.iter().map(|(_, path, _)| Depot::key(path)).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let mut readings = vec![reader.python(reader_format, &keys).unwrap()];
        if format == Format::V2
            && let Some(read) = reader.ruby(&keys)
        {
            readings.push(read.unwrap());
        }
        for read in readings {
            for ((_, path, content), read) in depot.files.iter().zip(read) {
                assert!(*content == read, "{path:?} is read as something else");
            }
        }
        let stored = depot.moto.object(BUCKET, keys[0]).await.unwrap();
        assert!(!stored.bytes.windows(64).any(|window| depot.files[0].2.windows(64).take(1).any(|w| w == window)));
        // each object has a data key of its own
        assert_eq!(depot.proxy.count("GenerateDataKey"), keys.len());

        let mut altered = stored.bytes.clone();
        altered[50_000] ^= 1;
        let put = depot.moto.s3().put_object().bucket(BUCKET).key("altered").body(altered.into());
        put.set_metadata(Some(stored.metadata.into_iter().collect())).send().await.unwrap();
        assert!(reader.python(reader_format, &["altered"]).is_err());
        if format == Format::V2
            && let Some(read) = reader.ruby(&["altered"])
        {
            assert!(read.is_err());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_object_is_read_by_the_official_client_as_a_stream() {
    let mut depot = Depot::new().await;
    let key = depot.moto.key().await;
    depot.seal(ShipKind::File, "attachment_20260801120000000_large.bin", 100 << 20);
    depot.stage_with(Some((depot.kms(&key), Format::V3)), None, TIMEOUT).finish().await;
    depot.is_tidy();
    assert_eq!(depot.proxy.count("UploadPart"), 13);
    let access = depot.moto.operator();
    let reader = Reader { access: &access, bucket: BUCKET, kms_key: &key };
    let read = reader.python_streaming(readers::Format::V3, &[&Depot::key(&depot.files[0].1)]).unwrap();
    assert!(read[0] == depot.files[0].2, "it is read as something else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_new_does_not_wait_behind_a_backlog() {
    const BACKLOG: usize = 40;
    let mut depot = Depot::new().await;
    for number in 0..BACKLOG {
        depot.seal(ShipKind::Message, &format!("receivedMessages_20260801T120000.000Z_{number:08}.txt"), 1000);
    }
    let newest = Depot::key(&depot.files[BACKLOG - 1].1);
    depot.stage().finish().await;
    depot.all_is_shipped().await;
    let puts: Vec<_> = depot.proxy.requests().into_iter().filter_map(|seen| seen.asked.key).collect();
    let place = puts.iter().position(|key| *key == newest).unwrap();
    assert!(place < BACKLOG / 2, "the newest file was number {place} of {}", puts.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_kms_nothing_leaves_the_host() {
    let mut depot = Depot::new().await;
    let key = depot.moto.key().await;
    depot.seal_three();
    for fault in [Fault::Denied, Fault::Internal, Fault::Refused(400, "DisabledException")] {
        let trouble = depot.proxy.trouble(On::operation("GenerateDataKey"), Times::UntilHealed, fault);
        let stage = depot.stage_with(Some((depot.kms(&key), Format::V3)), None, TIMEOUT);
        trouble.strikes(3).await;
        assert_eq!(depot.proxy.count("PutObject") + depot.proxy.count("CreateMultipartUpload"), 0);
        assert!(depot.files.iter().all(|(_, path, _)| path.exists()));
        stage.cut().await;
        trouble.heal();
    }
    depot.stage_with(Some((depot.kms(&key), Format::V3)), None, TIMEOUT).finish().await;
    depot.is_tidy();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_locked_as_asked() {
    let mut depot = Depot::new().await;
    depot.moto.bucket_with_lock("locked").await;
    depot.seal(ShipKind::Message, "receivedMessages_20260801T120000.000Z_00000001.txt", 100);
    let lock = ObjectLock { retention: Some((LockMode::Governance, 30)), legal_hold: LegalHold::On };
    let aws = Aws::with(depot.moto.operator().config());
    let bucket = Bucket::new(&aws, REGION, "locked", None, Some(lock), TIMEOUT);
    let heard = Arc::new(Heard::default());
    let runner = Runner {
        queue: Arc::new(Queue::open(depot.store.again(StateAccess::Write).unwrap()).unwrap()),
        destination: Arc::new(S3Destination::new(Arc::new(RealDisk), bucket, None, PIECES)),
        disk: Arc::new(RealDisk),
        backoff: SOON,
        watcher: heard.clone(),
    };
    let bell = Bell::default();
    bell.finish();
    assert_eq!(runner.run(&bell).await.unwrap(), Shipped::All);
    assert_eq!(*heard.failures.lock().unwrap(), []);
    let object = &depot.moto.objects("locked").await[0];
    assert_eq!((object.lock_mode.as_deref(), object.legal_hold.as_deref()), (Some("GOVERNANCE"), Some("ON")));
    assert!(object.locked_until.is_some());
}

#[test]
fn errors_of_aws_say_who_can_mend_them() {
    let call = retaind::aws::Call::new("kms:GenerateDataKey", "arn:aws:kms:us-east-1:1:key/k");
    let denied = AwsError::Denied { call, message: "HTTP 400".into() };
    assert_eq!(denied.fault(), fault::Fault::Configuration);
    assert!(denied.to_string().contains("`kms:GenerateDataKey` on `arn:aws:kms:us-east-1:1:key/k`"));
}
