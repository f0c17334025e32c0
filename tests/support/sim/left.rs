//! What a life leaves behind, for whoever judges it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Cursor, Read};

use retaind::bot::commit::Directories;
use retaind::bot::ship::ShipKind;

use super::bot::Setting;
use super::bucket::Bucket;
use super::disk::SimDisk;
use crate::support::oracle::Archive;

/// What was left on the disk and in the bucket.
#[derive(Default)]
pub(super) struct Left {
    pub(super) messages: Vec<(String, Vec<u8>)>,
    files: BTreeMap<String, Vec<u8>>,
    /// By the names that they have in an archive.
    pub(super) evidence: BTreeMap<String, Vec<u8>>,
    /// Names that should not be there at the end.
    pub(super) unfinished: Vec<String>,
    /// Names of what is on the disk.
    pub(super) here: Vec<String>,
}

impl Left {
    /// On this disk and in this bucket.
    pub(super) fn of(setting: &Setting, disk: &SimDisk, bucket: &Bucket) -> Self {
        let mut left = Self::default();
        let root = &setting.evidence.directory;
        let Directories { messages, files, .. } = &setting.directories;
        for (path, bytes) in disk.files() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.parent() == Some(messages) {
                left.here.push(name.clone());
                if name.ends_with(".txt") { left.messages.push((name, bytes)) } else { left.unfinished.push(name) }
            } else if path.parent() == Some(files) {
                left.here.push(name.clone());
                if name.starts_with('.') { left.unfinished.push(name) } else { drop(left.files.insert(name, bytes)) }
            } else if let Ok(below) = path.strip_prefix(root) {
                left.here.push(below.display().to_string());
                left.evidence.insert(format!("_evidence/{}", below.display()), bytes);
            }
        }
        for (name, object) in bucket.objects() {
            match object.kind {
                ShipKind::Message => left.messages.push((name, object.bytes)),
                ShipKind::File => drop(left.files.insert(name, object.bytes)),
                ShipKind::Evidence => drop(left.evidence.insert(name, object.bytes)),
            }
        }
        let number = |name: &str| -> u64 {
            let stem = name.strip_suffix(".txt").unwrap();
            stem.rsplit_once('_').map_or(u64::MAX, |(_, number)| number.parse().unwrap())
        };
        left.messages.sort_by_key(|(name, _)| number(name));
        // a file that was shipped and not yet removed is one file
        left.messages.dedup_by(|one, other| one == other);
        left
    }
}

impl Archive for Left {
    fn message_files(&self) -> Vec<(String, Box<dyn BufRead + '_>)> {
        let open = |(name, bytes): &(String, Vec<u8>)| -> (String, Box<dyn BufRead>) {
            (name.clone(), Box::new(Cursor::new(bytes.clone())))
        };
        self.messages.iter().map(open).collect()
    }
    fn file_names(&self) -> BTreeSet<String> {
        self.files.keys().cloned().collect()
    }
    fn file(&self, name: &str) -> Box<dyn Read + '_> {
        Box::new(Cursor::new(self.files[name].clone()))
    }
}
