//! A bucket as the ship stage needs it: an object is written once, a whole or not at all, and an answer may get lost.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use retaind::aws::{AwsError, Call};
use retaind::bot::segment::Chain;
use retaind::bot::ship::{Destination, Doubt, LocalCopy, ShipError, ShipKind, ShipQueue, Stored, Storing, Taken};

use super::disk::SimDisk;
use crate::support::traffic::Dice;

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
}

impl Bucket {
    /// Reads what it stores from `disk`.
    pub fn new(disk: SimDisk, seed: u64) -> Self {
        let inner = Inner { objects: BTreeMap::new(), dice: Dice(seed), fails_one_of: 0 };
        Self { disk, inner: Arc::new(Mutex::new(inner)) }
    }

    /// One of so many requests fails from now on; 0: none.
    pub fn fail_one_of(&self, requests: u64) {
        self.inner.lock().unwrap().fails_one_of = requests;
    }

    /// All objects.
    pub fn objects(&self) -> BTreeMap<String, Object> {
        self.inner.lock().unwrap().objects.clone()
    }

    fn put(&self, taken: &Taken) -> Result<Stored, ShipError> {
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
        let bytes = match self.disk.content(&taken.item.path) {
            Err(source) => return Err(ShipError::Disk { what: what(), source }),
            Ok(None) => return Err(ShipError::Missing { what: what() }),
            Ok(Some(bytes)) => bytes,
        };
        let (found, committed) = (u64::try_from(bytes.len()).unwrap(), taken.item.length);
        if found != committed {
            return Err(ShipError::Altered { what: what(), found, committed });
        }
        let hash = match taken.item.kind {
            ShipKind::Message => {
                let mut chain = Chain::default();
                chain.update(&bytes);
                chain.finish()
            }
            ShipKind::File => digest(&SHA256, &bytes).as_ref().try_into().unwrap(),
        };
        if taken.item.hash.is_some_and(|committed| committed != hash) {
            return Err(ShipError::Damaged { what: what() });
        }
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
    fn store<'a>(&'a self, taken: &'a Taken, _: &'a Arc<dyn ShipQueue>) -> Storing<'a> {
        Box::pin(std::future::ready(self.put(taken)))
    }
    fn local_copy(&self) -> LocalCopy {
        LocalCopy::Remove
    }
}
