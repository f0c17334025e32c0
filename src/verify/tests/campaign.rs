//! Random damage, by seed: whatever is done, an archive that differs is not verified, and the verdict says that it is broken.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::archive::{Archive, Layout};
use super::*;
use crate::source::Source as _;

/// Archives that are damaged. Each one once to three times.
const SEEDS: u64 = 400;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    fn of<'a>(&mut self, list: &'a [String]) -> &'a str {
        &list[self.below(list.len())]
    }
}

fn paths(archive: &Archive) -> Vec<String> {
    let source = Directories::new(&[archive.root.path().to_owned()], &[]);
    source.list().unwrap().into_iter().map(|file| file.path).collect()
}

/// One change of one kind. What it was.
fn damage(archive: &Archive, random: &mut Random) -> String {
    let paths = paths(archive);
    let (one, other) = (random.of(&paths).to_owned(), random.of(&paths).to_owned());
    let kind = random.below(7);
    match kind {
        0 => archive.change(&one, |bytes| {
            if !bytes.is_empty() {
                let bit = random.below(bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }),
        1 => archive.change(&one, |bytes| bytes.truncate(random.below(bytes.len() + 1))),
        2 => archive.change(&one, |bytes| bytes.extend(std::iter::repeat_n(b'\n', 1 + random.below(9)))),
        3 => archive.remove(&one),
        4 => archive.exchange(&one, &other),
        5 => archive.copy(&one, &other),
        6 => archive.write(&format!("{one}x"), b"x"),
        7.. => unreachable!("seven kinds"),
    }
    format!("kind {kind}: {one}, {other}")
}

/// Everything in it.
fn content(archive: &Archive) -> Vec<(String, Vec<u8>)> {
    paths(archive).into_iter().map(|path| (path.clone(), archive.read(&path))).collect()
}

/// Whether what differs may be absent or changed without loss: older heads and copies of the key only add assurance, and where
/// files are kept does not count.
fn is_allowed(before: &[(String, Vec<u8>)], after: &[(String, Vec<u8>)]) -> bool {
    before.iter().all(|(path, bytes)| {
        let now = after.iter().find(|(other, _)| other == path).map(|(_, bytes)| bytes);
        now == Some(bytes) || now.is_none() && (path.contains("/checkpoint/") || path.contains("/keys/"))
    }) && after.iter().all(|(path, _)| before.iter().any(|(other, _)| other == path))
}

#[test]
fn no_damage_is_judged_wrongly() {
    let (mut broken, mut allowed) = (0, 0);
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let archive = Archive::usual(if seed % 2 == 0 { Layout::Flat } else { Layout::Folders });
        let before = content(&archive);
        let done: Vec<String> = (0..=random.below(3)).map(|_| damage(&archive, &mut random)).collect();
        let after = content(&archive);
        let report = catch_unwind(AssertUnwindSafe(|| judge(&archive, &with_head(&archive))));
        let report = report.unwrap_or_else(|_| panic!("seed {seed}: {done:?}"));
        let code = report.verdict.exit_code();
        if is_allowed(&before, &after) {
            assert_eq!(code, 0, "seed {seed}: {done:?}: {:#?}", report.findings);
            allowed += 1;
        } else {
            assert_eq!(code, 1, "seed {seed}: {done:?}: {:#?}", report.findings);
            broken += 1;
        }
        for finding in report.findings.iter().filter(|finding| !finding.is_cause()) {
            assert!(finding.because.iter().all(|cause| report.findings[*cause].is_cause()), "seed {seed}: {finding:?}");
        }
    }
    assert!(broken > allowed && allowed > 0, "{broken} and {allowed}");
}
