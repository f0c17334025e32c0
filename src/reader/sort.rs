//! Sorting more than memory holds: fixed-size keys, compared bytewise, in runs in unlinked temporary files.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::path::PathBuf;

use crate::source::{SourceError, unnamed};

/// Keys that are sorted in memory: with the largest keys about 32 MiB.
const RUN_KEYS: usize = 512 * 1024;
/// Read ahead of each run.
const RUN_READ_BYTES: usize = 64 * 1024;

/// Takes keys in any order.
#[derive(Debug)]
pub struct Sorter<const N: usize> {
    keys: Vec<[u8; N]>,
    runs: Vec<BufReader<File>>,
    work: PathBuf,
    run_keys: usize,
}

impl<const N: usize> Sorter<N> {
    /// Runs go to the directory `work`.
    pub fn new(work: PathBuf) -> Self {
        Self { keys: Vec::new(), runs: Vec::new(), work, run_keys: RUN_KEYS }
    }

    #[cfg(test)]
    fn with_runs_of(work: PathBuf, run_keys: usize) -> Self {
        Self { run_keys, ..Self::new(work) }
    }

    fn failed(&self, source: io::Error) -> SourceError {
        SourceError::Spool { path: self.work.display().to_string(), source }
    }

    /// Adds a key.
    pub fn push(&mut self, key: [u8; N]) -> Result<(), SourceError> {
        self.keys.push(key);
        if self.keys.len() < self.run_keys {
            return Ok(());
        }
        self.keys.sort_unstable();
        let run = self.write_run().map_err(|source| self.failed(source))?;
        self.runs.push(run);
        self.keys.clear();
        Ok(())
    }

    fn write_run(&self) -> io::Result<BufReader<File>> {
        let mut out = BufWriter::with_capacity(RUN_READ_BYTES, unnamed(&self.work)?);
        for key in &self.keys {
            out.write_all(key)?;
        }
        let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(BufReader::with_capacity(RUN_READ_BYTES, file))
    }

    /// All keys in order.
    pub fn finish(mut self) -> Result<Sorted<N>, SourceError> {
        self.keys.sort_unstable();
        let work = self.work;
        let mut sorted = Sorted { memory: self.keys.into_iter(), runs: self.runs, heap: BinaryHeap::new(), work };
        for index in 0..=sorted.runs.len() {
            sorted.refill(index)?;
        }
        Ok(sorted)
    }
}

/// Keys in order; equal ones are all there.
#[derive(Debug)]
pub struct Sorted<const N: usize> {
    memory: std::vec::IntoIter<[u8; N]>,
    runs: Vec<BufReader<File>>,
    /// The next key of each run, and of memory, which is the run after the last.
    heap: BinaryHeap<Reverse<([u8; N], usize)>>,
    work: PathBuf,
}

impl<const N: usize> Sorted<N> {
    fn refill(&mut self, index: usize) -> Result<(), SourceError> {
        let next = match self.runs.get_mut(index) {
            None => self.memory.next(),
            Some(run) => {
                let mut key = [0; N];
                match run.read_exact(&mut key) {
                    Ok(()) => Some(key),
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
                    Err(source) => {
                        return Err(SourceError::Spool { path: self.work.display().to_string(), source });
                    }
                }
            }
        };
        self.heap.extend(next.map(|key| Reverse((key, index))));
        Ok(())
    }

    /// The next key.
    pub fn next_key(&mut self) -> Result<Option<[u8; N]>, SourceError> {
        let Some(Reverse((key, index))) = self.heap.pop() else { return Ok(None) };
        self.refill(index)?;
        Ok(Some(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_out_in_order_however_many_runs_they_take() {
        let work = tempfile::tempdir().unwrap();
        for run_keys in [1, 2, 7, 1000] {
            let mut sorter = Sorter::<4>::with_runs_of(work.path().to_owned(), run_keys);
            // a permutation of 0..97, twice
            let keys: Vec<u32> = (0..194_u32).map(|n| n * 31 % 97).collect();
            for key in &keys {
                sorter.push(key.to_be_bytes()).unwrap();
            }
            let mut sorted = sorter.finish().unwrap();
            let mut found = Vec::new();
            while let Some(key) = sorted.next_key().unwrap() {
                found.push(u32::from_be_bytes(key));
            }
            let mut expected = keys;
            expected.sort_unstable();
            assert_eq!(found, expected);
        }
        assert_eq!(std::fs::read_dir(work.path()).unwrap().count(), 0, "runs have no names");
    }
}
