//! A bucket as the ship stage needs it: an object is written once, a whole or not at all, and an answer may get lost.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use retaind::aws::{AwsError, Call};
use retaind::bot::ship::{
    Destination, Doubt, LocalCopy, Outgoing, ShipError, ShipItem, ShipJob, ShipKind, ShipQueue, Stored, Storing,
};

use super::disk::SimDisk;
use crate::support::traffic::Dice;

/// Bytes of a file that are read at a time: few enough that most files are read in several pieces.
const PIECE_BYTES: usize = 4096;

/// One object.
#[derive(Debug, Clone)]
pub struct Object {
    pub kind: ShipKind,
    pub bytes: Vec<u8>,
    /// Who wrote it.
    token: String,
}

/// The bucket. Clones share it.
#[derive(Clone)]
pub struct Bucket {
    disk: SimDisk,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    objects: BTreeMap<String, Object>,
    dice: Dice,
    /// One of so many requests fails; 0: none.
    fails_one_of: u64,
    /// Of a bot that was built wrongly: it does not compare what it reads with what was committed.
    compares: bool,
}

impl Bucket {
    /// Reads what it stores from `disk`.
    pub fn new(disk: SimDisk, seed: u64) -> Self {
        let inner = Inner { objects: BTreeMap::new(), dice: Dice(seed), fails_one_of: 0, compares: true };
        Self { disk, inner: Arc::new(Mutex::new(inner)) }
    }

    /// One of so many requests fails from now on; 0: none.
    pub fn fail_one_of(&self, requests: u64) {
        self.inner.lock().unwrap().fails_one_of = requests;
    }

    /// Works for a bot that stores whatever the disk gives it.
    pub fn believe_the_disk(&self) {
        self.inner.lock().unwrap().compares = false;
    }

    /// All objects.
    pub fn objects(&self) -> BTreeMap<String, Object> {
        self.inner.lock().unwrap().objects.clone()
    }

    /// As every destination does it.
    fn read(&self, item: &ShipItem) -> Result<Vec<u8>, ShipError> {
        let (mut file, mut bytes) = (Outgoing::open(&self.disk, item)?, Vec::new());
        loop {
            bytes.extend(file.piece(PIECE_BYTES, 0)?);
            if file.left() == 0 {
                return Ok(bytes);
            }
        }
    }

    fn put(&self, taken: &ShipJob) -> Result<Stored, ShipError> {
        let what = || taken.item.label();
        let away = |doubt| {
            let call = Call::new("s3:PutObject", "arn:aws:s3:::bucket/*");
            ShipError::Destination { what: what(), source: AwsError::Away { call, message: "away".to_owned() }, doubt }
        };
        let mut inner = self.inner.lock().unwrap();
        let one_of = inner.fails_one_of;
        let luck = if one_of == 0 { 0 } else { inner.dice.below(one_of * 2) };
        if one_of > 0 && luck == 0 {
            return Err(away(Doubt::None));
        }
        let hash = taken.item.hash.filter(|_| inner.compares);
        let bytes = self.read(&ShipItem { hash, ..taken.item.clone() })?;
        match inner.objects.get(&taken.item.name) {
            // an earlier attempt of the same item
            Some(object) if object.token == taken.token.as_str() => {}
            Some(_) => return Err(ShipError::Taken { what: what() }),
            None => {
                let object = Object { kind: taken.item.kind, bytes, token: taken.token.as_str().to_owned() };
                inner.objects.insert(taken.item.name.clone(), object);
            }
        }
        if one_of > 0 && luck == 1 {
            return Err(away(Doubt::Earlier));
        }
        Ok(Stored::danger_assume_stored(&taken.item))
    }
}

impl Destination for Bucket {
    fn store<'a>(&'a self, taken: &'a ShipJob, _: &'a Arc<dyn ShipQueue>) -> Storing<'a> {
        Box::pin(std::future::ready(self.put(taken)))
    }
    fn local_copy(&self) -> LocalCopy {
        LocalCopy::Remove
    }
}
