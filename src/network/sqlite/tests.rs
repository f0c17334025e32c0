//! The contract of ledgers, asked of SQLite.

use super::*;
use crate::ledger::contract::{CONTRACT, wrong};

/// A ledger in a directory that is removed with it.
struct Temporary {
    ledger: Sqlite,
    _folder: tempfile::TempDir,
}

impl Ledger for Temporary {
    fn writer(&self) -> Result<Box<dyn LedgerWriter>, NetworkError> {
        self.ledger.writer()
    }

    fn reader(&self) -> Result<Box<dyn LedgerReader>, LedgerError> {
        self.ledger.reader()
    }
}

fn fresh() -> Box<dyn Ledger> {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Sqlite::make(folder.path()).unwrap();
    // opened to be changed once, which makes its tables
    ledger.writer().unwrap();
    Box::new(Temporary { ledger, _folder: folder })
}

#[test]
fn it_keeps_the_contract_of_a_ledger() {
    for (promise, is_kept) in CONTRACT {
        println!("{promise}");
        is_kept(&*fresh());
    }
}

#[test]
fn the_contract_catches_every_ledger_that_is_wrong() {
    wrong::each_is_caught(fresh);
}
