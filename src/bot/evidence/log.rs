//! The log of one state: continues at each start, grows in the transactions of the commit.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use jiff::Timestamp;
use retaind_evidence::checkpoint::Checkpoint;
use retaind_evidence::entry::{
    Body, Close, Covers, Ended, Entry, FileBefore, Genesis, GenesisBecause, Head, Interval, LogId, Notice, NoticeCode,
    OpenFile, Pause, PreviousLog, Segment, previous_hash, sign,
};
use retaind_evidence::key::{SigningKey, Vkey, is_name};
use retaind_evidence::names;
use retaind_evidence::tree::{Hash, Tree};
use retaind_report::events::Event;
use retaind_state::{Store, StoreError, Writer};
use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::{Account, Attestor, CHECKPOINT_ENTRIES, EvidenceError, Settings};

/// Row of `meta` with the log as it is: [`Kept`] in JSON.
const LOG: &str = "evidence";
/// Row of `meta` with the seed of its key.
const KEY: &str = "evidence-key";

/// What the state keeps of the log.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    log: String,
    /// Name of the key, and origin of the heads.
    origin: String,
    directory: PathBuf,
    /// The tree of its leaves, base64.
    tree: String,
    /// SHA-256 of the last leaf, hexadecimal.
    previous: String,
    /// Where the last entry's time ends, microseconds since 1970.
    covered_to: i64,
    /// Entries that the last head covers, and when it was signed.
    head: (u64, i64),
    /// How the last run ended, as far as it got to say.
    orderly: bool,
    closed: bool,
}

/// The log, in the one process that may write it.
pub(crate) struct Evidence {
    pub(super) settings: Settings,
    who: Attestor,
    key: SigningKey,
    vkey: Vkey,
    id: LogId,
    tree: Tree,
    kept: Kept,
    /// Records since the last entry.
    records: u64,
    /// When the last entry was made, microseconds since 1970.
    made_at: i64,
}

/// What a transaction of the commit has for the log.
pub(crate) struct Moment<'a> {
    /// The bot's clock, microseconds since 1970.
    pub now: i64,
    /// Records of the transaction.
    pub records: u64,
    /// Files that it seals.
    pub sealed: &'a [Segment],
    /// The file that is written to, with its number.
    pub open: Option<(u64, &'a Account)>,
    /// Whether it is the last of this run.
    pub closing: Closing,
}

/// Whether a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// It goes on.
    No,
    /// It is the last transaction: a head is signed.
    Yes,
}

/// What the messages directory held before the log began.
pub(crate) struct Before {
    pub(crate) files: Vec<FileBefore>,
    pub(crate) because: GenesisBecause,
    pub(crate) log: Option<PreviousLog>,
}

impl Evidence {
    /// The log of this state; where there is none, `who` comes back. Without settings it can only end.
    pub(crate) fn load(
        store: &Store,
        settings: Option<&Settings>,
        who: Attestor,
    ) -> Result<Result<Self, Attestor>, EvidenceError> {
        let (Some(kept), Some(seed)) = (store.meta(LOG)?, store.meta(KEY)?) else { return Ok(Err(who)) };
        let damaged = |what| move || EvidenceError::Damaged(what);
        let kept: Kept = serde_json::from_slice(&kept).map_err(|_| EvidenceError::Damaged("log"))?;
        let seed = seed.as_slice().try_into().map_err(|_| EvidenceError::Damaged("key"))?;
        let key = SigningKey::from_seed(seed).map_err(|_| EvidenceError::Damaged("key"))?;
        let vkey = key.vkey(&kept.origin).map_err(|_| EvidenceError::Damaged("origin"))?;
        let id = kept.log.parse().ok().ok_or_else(damaged("id"))?;
        let tree = BASE64.decode(kept.tree.as_bytes()).ok().ok_or_else(damaged("tree"))?;
        let tree = Tree::from_bytes(&tree).map_err(|_| EvidenceError::Damaged("tree"))?;
        let made_at = kept.covered_to;
        let to_end =
            || Settings { directory: kept.directory.clone(), interval: None, checkpoints: Duration::MAX, origin: None };
        let settings = settings.cloned().unwrap_or_else(to_end);
        Ok(Ok(Self { settings, who, key, vkey, id, tree, kept, records: 0, made_at }))
    }

    /// A new log.
    pub(crate) fn begin(settings: &Settings, who: Attestor, now: i64) -> Result<Self, EvidenceError> {
        let key = SigningKey::generate().map_err(|_| EvidenceError::Random)?;
        let mut id = [0u8; 16];
        aws_lc_rs::rand::fill(&mut id).map_err(|_| EvidenceError::Random)?;
        let id = LogId(id);
        let origin = settings.origin.clone().unwrap_or_else(|| format!("{}.{}", who.bot.name, who.bot.network_id));
        // a bot may be called what a key may not
        let origin =
            if is_name(&origin) { origin } else { origin.replace(|c: char| !c.is_ascii_graphic() || c == '+', "_") };
        let vkey = key.vkey(&origin).map_err(|_| EvidenceError::Damaged("origin"))?;
        let kept = Kept {
            log: id.to_string(),
            origin,
            directory: settings.directory.clone(),
            tree: String::new(),
            previous: HEXLOWER.encode(&[0; 32]),
            covered_to: now,
            head: (0, now),
            orderly: false,
            closed: false,
        };
        Ok(Self { settings: settings.clone(), who, key, vkey, id, tree: Tree::new(), kept, records: 0, made_at: now })
    }

    /// Has it ended?
    pub(crate) fn is_closed(&self) -> bool {
        self.kept.closed
    }

    /// The log's id.
    pub(crate) fn id(&self) -> &LogId {
        &self.id
    }

    /// Entries so far.
    pub(crate) fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The public key, as auditors get it.
    pub(crate) fn vkey(&self) -> &Vkey {
        &self.vkey
    }

    /// The first entry of the log, with its key.
    pub(crate) fn first(&mut self, tx: &Writer<'_>, now: i64, before: Before) -> Result<(), EvidenceError> {
        tx.put_meta(KEY, self.key.seed().as_slice())?;
        tx.execute("DELETE FROM evidence_head", [])?;
        put_object(tx, &names::key(&self.vkey.key_id()), format!("{}\n", self.vkey).as_bytes())?;
        let Before { files, because, log } = before;
        let genesis = Genesis {
            vkeys: vec![self.vkey.to_string()],
            previous_log: log,
            because,
            segments_before: files,
            settings: self.announced(),
        };
        self.append(tx, now, Body::Genesis(genesis))?;
        self.save(tx)
    }

    /// The first entry of a further run. `altered`: the open file is not what was committed.
    pub(crate) fn resume(&mut self, tx: &Writer<'_>, now: i64, altered: Option<&str>) -> Result<(), EvidenceError> {
        let ended = if self.kept.orderly { Ended::Orderly } else { Ended::Killed };
        let (from, to) = (time(self.kept.covered_to), time(now.max(self.kept.covered_to)));
        self.append(tx, now, Body::Pause(Pause { from, to, ended, first_seq_after: BTreeMap::new() }))?;
        if let Some(file) = altered {
            let about = format!("`{file}` was changed while the bot did not run");
            self.append(tx, now, Body::Notice(Notice { code: NoticeCode::ChainBroken, about }))?;
        }
        self.kept.orderly = false;
        self.kept.directory.clone_from(&self.settings.directory);
        self.save(tx)
    }

    /// Adds what this moment has for the log. `true`: something was added, and is to be published.
    pub(crate) fn write(&mut self, tx: &Writer<'_>, moment: &Moment<'_>) -> Result<bool, EvidenceError> {
        let Moment { now, records, sealed, open, closing } = moment;
        let size = self.size();
        let now = *now;
        self.records = self.records.saturating_add(*records);
        for segment in *sealed {
            for range in &segment.conversations {
                tx.execute(
                    "INSERT INTO evidence_head VALUES (?1, ?2)
                        ON CONFLICT (conversation) DO UPDATE SET last=max(last, excluded.last)",
                    params![range.id, range.last.0],
                )?;
            }
            self.append(tx, now, Body::Segment(segment.clone()))?;
        }
        if passed(self.settings.interval, self.made_at, now) {
            self.interval(tx, now, *open)?;
        }
        let (covered, signed_at) = self.kept.head;
        let fresh = self.size().saturating_sub(covered);
        let due = fresh >= CHECKPOINT_ENTRIES || passed(Some(self.settings.checkpoints), signed_at, now);
        let signs = fresh > 0 && (due || *closing == Closing::Yes);
        if signs {
            self.sign_head(tx, now)?;
        }
        let ends = *closing == Closing::Yes && !self.kept.orderly;
        self.kept.orderly |= ends;
        if self.size() > size || signs || ends {
            self.save(tx)?;
        }
        Ok(self.size() > size || signs)
    }

    /// Is an entry or a head due although no file was sealed?
    pub(crate) fn is_due(&self, now: i64) -> bool {
        let (covered, signed_at) = self.kept.head;
        passed(self.settings.interval, self.made_at, now)
            || (self.size() > covered && passed(Some(self.settings.checkpoints), signed_at, now))
    }

    /// The last entry: evidence was switched off, or another copy of the state goes on with the log.
    pub(crate) fn close(&mut self, tx: &Writer<'_>, now: i64) -> Result<(), EvidenceError> {
        let head = Head { size: self.size().into(), root: self.tree.root() };
        self.append(tx, now, Body::Close(Close { head }))?;
        self.sign_head(tx, now)?;
        self.kept.closed = true;
        self.save(tx)
    }

    /// What an examiner has to know of the settings.
    fn announced(&self) -> BTreeMap<String, String> {
        let settings = [
            ("RETAIND_EVIDENCE_INTERVAL", minutes(self.settings.interval)),
            ("RETAIND_CHECKPOINT_MINUTES", minutes(Some(self.settings.checkpoints))),
        ];
        settings.map(|(name, minutes)| (name.to_owned(), minutes.to_string())).into()
    }

    /// The head as it is, for the log that follows this one.
    pub(crate) fn as_previous(&self) -> Result<PreviousLog, EvidenceError> {
        let (root, checkpoint) = (self.tree.root(), Some(self.head()?));
        Ok(PreviousLog { log: self.id, size: self.size().into(), root, checkpoint })
    }

    fn interval(&mut self, tx: &Writer<'_>, now: i64, open: Option<(u64, &Account)>) -> Result<(), EvidenceError> {
        let (conversations, heads_root) = heads(tx, open.map(|(_, account)| account))?;
        let file = open.filter(|(_, account)| account.records() > 0).map(|(number, account)| OpenFile {
            number: number.into(),
            bytes: account.bytes().into(),
            records: account.records().into(),
            sha256: account.sha256(),
        });
        let records = self.records.into();
        let conversations = conversations.into();
        self.append(
            tx,
            now,
            Body::Interval(Interval { records, open: file, connected_seconds: None, conversations, heads_root }),
        )
    }

    fn append(&mut self, tx: &Writer<'_>, now: i64, body: Body) -> Result<(), EvidenceError> {
        // a clock that was set back does not make the log overlap
        let to = now.max(self.kept.covered_to);
        let number = self.size();
        let previous = HEXLOWER.decode(self.kept.previous.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        let entry = Entry {
            log: self.id,
            number,
            previous: previous.ok_or(EvidenceError::Damaged("previous"))?,
            made_at: time(now),
            covers: Covers { from: time(self.kept.covered_to), to: time(to) },
            bot: self.who.bot.clone(),
            body,
        };
        let leaf = entry.leaf();
        let stored = sign(&leaf, &[(&self.vkey.key_id(), &self.key)]);
        put_object(tx, &names::entry(&self.id, number), &stored)?;
        self.tree.push(&leaf);
        self.kept.previous = HEXLOWER.encode(&previous_hash(&leaf));
        self.kept.covered_to = to;
        (self.records, self.made_at) = (0, now);
        Ok(())
    }

    fn head(&self) -> Result<String, EvidenceError> {
        let checkpoint = Checkpoint { origin: self.kept.origin.clone(), size: self.size(), root: self.tree.root() };
        checkpoint.sign(&self.kept.origin, &self.key).map_err(|_| EvidenceError::Damaged("origin"))
    }

    fn sign_head(&mut self, tx: &Writer<'_>, now: i64) -> Result<(), EvidenceError> {
        let note = self.head()?;
        put_object(tx, &names::checkpoint(&self.id, self.size()), note.as_bytes())?;
        self.kept.head = (self.size(), now);
        Ok(())
    }

    /// Reports the head that was signed last.
    pub(crate) fn report(&self) -> Result<(), EvidenceError> {
        if self.kept.head.0 == self.size() {
            let entries = self.size();
            self.who.events.raise(Event::EvidenceCheckpoint { entries, note: self.head()? });
        }
        Ok(())
    }

    /// Reports the key of a new log.
    pub(crate) fn report_key(&self) {
        self.who.events.raise(Event::EvidenceKey { vkey: self.vkey.to_string() });
    }

    /// Reports that the log cannot go on.
    pub(crate) fn report_fork(&self, what: &str) {
        self.who.events.raise(Event::EvidenceChainBroken { what: what.to_owned() });
    }

    /// Gives back who attests, for the log that follows.
    pub(crate) fn into_attestor(self) -> Attestor {
        self.who
    }

    fn save(&mut self, tx: &Writer<'_>) -> Result<(), EvidenceError> {
        self.kept.tree = BASE64.encode(&self.tree.to_bytes());
        let kept = serde_json::to_vec(&self.kept).map_err(|_| EvidenceError::Damaged("log"))?;
        Ok(tx.put_meta(LOG, &kept)?)
    }
}

/// Number of conversations, and RFC 6962 root over their lines `<vgroupid> <last seq>`, sorted.
fn heads(tx: &Writer<'_>, open: Option<&Account>) -> Result<(u64, Hash), StoreError> {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    tx.each("SELECT conversation, last FROM evidence_head", |row| {
        last.insert(row.get(0)?, row.get(1)?);
        Ok(())
    })?;
    for (id, seq) in open.into_iter().flat_map(Account::heads) {
        let known = last.entry(id.to_owned()).or_default();
        *known = (*known).max(seq);
    }
    let mut tree = Tree::new();
    for (id, seq) in &last {
        tree.push(format!("{id} {seq}").as_bytes());
    }
    Ok((tree.size(), tree.root()))
}

fn put_object(tx: &Writer<'_>, name: &str, content: &[u8]) -> Result<(), StoreError> {
    tx.execute("INSERT INTO evidence_object (name, content) VALUES (?1, ?2)", params![name, content])
}

fn passed(after: Option<Duration>, since: i64, now: i64) -> bool {
    let elapsed = u128::from(now.saturating_sub(since).max(0).unsigned_abs());
    after.is_some_and(|after| elapsed >= after.as_micros())
}

fn minutes(time: Option<Duration>) -> u64 {
    time.map_or(0, |time| time.as_secs().div_euclid(60))
}

fn time(micros: i64) -> Timestamp {
    // a time outside the calendar: only a broken clock has one
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}
