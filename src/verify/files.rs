//! Whether each file that the log knows is there, once and whole, and what else is there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use retaind_evidence::tree::{Hash, sha256};

use crate::deep;
use crate::expected::{Expectations, Expected, Vouched};
use crate::finding::{Code, Finding, Findings};
use crate::source::{Listed, Source};

/// Read at once.
const BLOCK_BYTES: usize = 256 * 1024;
/// Where the bot puts files.
const FOLDERS: [&str; 3] = ["", "messages", "attachments"];
/// Where names of what messages refer to begin.
const BESIDE: [&str; 3] = ["attachment_", "partial_", "ciphertext_"];

/// How far files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Their bytes are hashed.
    Bytes,
    /// Their lines are counted and compared as well.
    Lines,
}

/// What became of the files.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) ciphertext_only: u64,
    pub(crate) plain: u64,
    pub(crate) hashed_bytes: u64,
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A file with another content than is expected of its name.
struct Wrong<'a> {
    name: &'a str,
    path: String,
    expected: &'a Expected,
    /// Length and hash that it should have: of the stored bytes, if it is encrypted.
    sealed: (u64, Hash),
    actual: Hash,
    bytes: u64,
    /// Whether it begins with what was sealed.
    is_prefix: bool,
}

struct Files<'a> {
    source: &'a dyn Source,
    expected: &'a Expectations,
    depth: Depth,
    findings: &'a mut Findings,
    judged: Judged,
}

/// Judges `present`, the files that are no evidence.
pub(crate) fn judge(
    source: &dyn Source,
    expected: &Expectations,
    present: &[Listed],
    depth: Depth,
    findings: &mut Findings,
) -> io::Result<Judged> {
    let mut files = Files { source, expected, depth, findings, judged: Judged::default() };
    files.run(present)?;
    Ok(files.judged)
}

impl Files<'_> {
    fn run(&mut self, present: &[Listed]) -> io::Result<()> {
        let expected = self.expected;
        let mut by_name: BTreeMap<&str, Vec<&Listed>> = BTreeMap::new();
        for file in present {
            by_name.entry(base(&file.path)).or_default().push(file);
        }
        // names that an entry gives as their hash
        let hashed: BTreeMap<String, &str> =
            by_name.keys().map(|name| (HEXLOWER.encode(&sha256(name.as_bytes())), *name)).collect();
        let (mut wrong, mut missing) = (Vec::new(), Vec::new());
        let mut claimed = BTreeSet::new();
        let mut extra: Vec<&Listed> = Vec::new();
        for (name, one) in &expected.files {
            let listed = by_name.get(name.as_str()).or_else(|| by_name.get(hashed.get(name)?));
            let Some(listed) = listed else {
                if one.in_range {
                    missing.push((name.as_str(), one));
                }
                continue;
            };
            claimed.extend(listed.iter().map(|file| file.path.as_str()));
            if one.in_range {
                self.named(name, one, listed, &mut wrong, &mut extra);
            }
        }
        extra.extend(present.iter().filter(|file| !claimed.contains(file.path.as_str())));
        let extra = self.open_files(extra);
        let extra = self.hash_all(&extra);
        self.report_wrong(&wrong);
        // an archive with folders of its own may lie beside what is none of it: a bot's state, for example
        let has_folders = present.iter().any(|file| file.path.starts_with("messages/"));
        self.report_rest(missing, extra, has_folders);
        Ok(())
    }

    /// The files of one name: the first that is right is it, and the others are too many.
    fn named<'a>(
        &mut self,
        name: &'a str,
        expected: &'a Expected,
        listed: &[&'a Listed],
        wrong: &mut Vec<Wrong<'a>>,
        extra: &mut Vec<&'a Listed>,
    ) {
        let mut found: Option<Wrong<'a>> = None;
        for (at, file) in listed.iter().enumerate() {
            // a copy may be of the stored bytes or of the plain ones, which never have the same length
            let (bytes, sha256) = match &expected.stored {
                Some(stored) if file.bytes != expected.bytes => (stored.bytes, stored.sha256),
                Some(_) | None => (expected.bytes, expected.sha256),
            };
            let (actual, is_prefix) = match self.hash(&file.path, Some((bytes, sha256))) {
                Ok(hashed) => hashed,
                Err(error) => {
                    let finding = Finding::new(Code::Unreadable, &file.path).of(expected.log, expected.entry);
                    self.findings.add(finding.instead("a file", error.to_string()));
                    return;
                }
            };
            if actual == sha256 {
                self.whole(file, expected, actual != expected.sha256);
                extra.extend(listed.iter().skip(at + 1));
                extra.extend(listed.iter().take(at));
                return;
            }
            let path = file.path.clone();
            found = found.or(Some(Wrong {
                name,
                path,
                expected,
                sealed: (bytes, sha256),
                actual,
                bytes: file.bytes,
                is_prefix,
            }));
        }
        extra.extend(listed.iter().skip(1));
        wrong.extend(found);
    }

    fn whole(&mut self, file: &Listed, expected: &Expected, is_ciphertext: bool) {
        let at = |code| Finding::new(code, &file.path).of(expected.log, expected.entry);
        if !FOLDERS.contains(&folder(&file.path)) {
            self.findings.add(at(Code::Moved));
        }
        if expected.vouched == Vouched::Before {
            self.findings.add(at(Code::Unattested));
        }
        if is_ciphertext {
            self.judged.ciphertext_only += 1;
            self.findings.add(at(Code::CiphertextOnly));
            return;
        }
        self.judged.plain += 1;
        if let (Depth::Lines, Some(lines)) = (self.depth, &expected.lines) {
            let differences = match self.source.open(&file.path).and_then(|reader| deep::compare(reader, lines)) {
                Ok(differences) => differences,
                Err(error) => vec![("lines".to_owned(), error.to_string())],
            };
            for (expected_lines, found) in differences {
                let finding = at(Code::Modified).because(expected.damage);
                self.findings.add(finding.instead(expected_lines, found));
            }
        }
    }

    /// SHA-256 of a file, and whether it begins with these bytes.
    fn hash(&mut self, path: &str, sealed: Option<(u64, Hash)>) -> io::Result<(Hash, bool)> {
        let mut reader = self.source.open(path)?;
        let mut context = digest::Context::new(&digest::SHA256);
        let (mut block, mut total, mut is_prefix) = (vec![0; BLOCK_BYTES], 0_u64, false);
        let until = sealed.map(|(bytes, _)| bytes);
        loop {
            // a block ends where the sealed bytes do
            let room = until.and_then(|until| until.checked_sub(total)).filter(|room| *room > 0);
            let room = room.and_then(|room| usize::try_from(room).ok()).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
            let count = reader.read(block.get_mut(..room).unwrap_or_default())?;
            if count == 0 {
                break;
            }
            context.update(block.get(..count).unwrap_or_default());
            total = total.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            if let Some((bytes, sha256)) = sealed
                && bytes == total
            {
                is_prefix = context.clone().finish().as_ref() == sha256;
            }
        }
        self.judged.hashed_bytes = self.judged.hashed_bytes.saturating_add(total);
        let hash = context.finish();
        Ok((hash.as_ref().try_into().unwrap_or_default(), is_prefix))
    }

    fn hash_all(&mut self, files: &[&Listed]) -> Vec<(String, Hash)> {
        let mut hashed = Vec::new();
        for file in files {
            match self.hash(&file.path, None) {
                Ok((hash, _)) => hashed.push((file.path.clone(), hash)),
                Err(error) => {
                    self.findings.add(Finding::new(Code::Unreadable, &file.path).instead("a file", error.to_string()));
                }
            }
        }
        hashed
    }

    /// Takes out the files that are still being written, and what only they refer to.
    fn open_files<'a>(&mut self, extra: Vec<&'a Listed>) -> Vec<&'a Listed> {
        let mut pending = BTreeSet::new();
        let mut rest = Vec::new();
        for file in extra {
            let stem = base(&file.path).strip_suffix(".txt");
            let sealed = |stem: &str| self.expected.files.range(format!("{stem}_")..).next();
            let of = stem.and_then(sealed).filter(|(name, expected)| {
                expected.lines.is_some() && name.starts_with(&format!("{}_", stem.unwrap_or_default()))
            });
            let Some((_, neighbour)) = of else {
                rest.push(file);
                continue;
            };
            self.findings.add(Finding::new(Code::Unsealed, &file.path));
            if let Some(begun) = self.expected.begun.get(&neighbour.log) {
                let sealed_numbers = self.expected.files.keys().filter_map(|name| number_of(name)).max();
                let is_current = sealed_numbers.is_none_or(|sealed| sealed < begun.number);
                let is_prefix = self.hash(&file.path, Some((begun.bytes, begun.sha256))).is_ok_and(|(_, is)| is);
                if is_current && begun.bytes > 0 && !is_prefix {
                    let code = if file.bytes < begun.bytes { Code::TruncatedFile } else { Code::Modified };
                    let finding = Finding::new(code, &file.path).of(begun.log, begun.entry);
                    self.findings
                        .add(finding.instead(format!("{} bytes that an entry vouches for", begun.bytes), "others"));
                }
            }
            if let Ok(reader) = self.source.open(&file.path) {
                deep::named_files(reader, &mut pending);
            }
        }
        rest.retain(|file| !pending.contains(base(&file.path)));
        rest
    }

    fn report_wrong(&mut self, wrong: &[Wrong<'_>]) {
        let mut swapped = BTreeSet::new();
        let by_actual: BTreeMap<Hash, &Wrong<'_>> = wrong.iter().map(|one| (one.actual, one)).collect();
        let by_hash = names_by_hash(self.expected, wrong.len());
        for one in wrong {
            let (expected, (sealed_bytes, sealed_hash)) = (one.expected, one.sealed);
            let at = |code| Finding::new(code, &one.path).of(expected.log, expected.entry).because(expected.damage);
            let partner = by_actual.get(&sealed_hash).filter(|other| one.actual == other.sealed.1);
            if let Some(partner) = partner {
                if swapped.insert(one.name.min(partner.name)) {
                    let mut finding = at(Code::Swapped).instead(one.name, partner.name);
                    finding.object = format!("{}, {}", one.path, partner.path);
                    self.findings.add(finding);
                }
                continue;
            }
            let lengths = (format!("{sealed_bytes} bytes"), format!("{} bytes", one.bytes));
            let finding = match by_hash.get(&one.actual) {
                Some(name) => at(Code::Replayed).instead(one.name, format!("the content of {name}")),
                None if one.is_prefix => at(Code::Appended).instead(lengths.0, lengths.1),
                None if one.bytes < sealed_bytes => at(Code::TruncatedFile).instead(lengths.0, lengths.1),
                None => at(Code::Modified).instead(HEXLOWER.encode(&sealed_hash), HEXLOWER.encode(&one.actual)),
            };
            self.findings.add(finding);
        }
    }

    fn report_rest(&mut self, missing: Vec<(&str, &Expected)>, extra: Vec<(String, Hash)>, has_folders: bool) {
        let mut by_hash: BTreeMap<Hash, Vec<String>> = BTreeMap::new();
        for (path, hash) in &extra {
            by_hash.entry(*hash).or_default().push(path.clone());
        }
        let mut renamed = BTreeSet::new();
        for (name, expected) in missing {
            let hash = expected.stored.as_ref().map_or(expected.sha256, |stored| stored.sha256);
            let other = by_hash.get_mut(&hash).and_then(Vec::pop);
            let other = other.or_else(|| by_hash.get_mut(&expected.sha256).and_then(Vec::pop));
            let finding = match other {
                Some(path) => {
                    let finding = Finding::new(Code::Renamed, &path).instead(name, base(&path));
                    renamed.insert(path);
                    finding
                }
                None => Finding::new(Code::MissingFile, name).instead(format!("{} bytes", expected.bytes), "nothing"),
            };
            self.findings.add(finding.of(expected.log, expected.entry).because(expected.damage));
        }
        let takers = self.findings.takers();
        let genuine = names_by_hash(self.expected, extra.len());
        for (path, hash) in extra.into_iter().filter(|(path, _)| !renamed.contains(path)) {
            let could_be_ours =
                number_of(base(&path)).is_some() || BESIDE.iter().any(|begin| base(&path).starts_with(begin));
            let is_within = ["messages/", "attachments/"].iter().any(|folder| path.starts_with(folder));
            if has_folders && !is_within && !could_be_ours {
                continue;
            }
            let copy = genuine.get(&hash);
            let found = copy.map_or("a file".to_owned(), |name| format!("a copy of {name}"));
            let causes = if could_be_ours && copy.is_none() { takers.clone() } else { Vec::new() };
            self.findings.add(Finding::new(Code::Inserted, path).instead("nothing", found).because(causes));
        }
    }
}

/// Of a sealed message file: `<base name>_<time>_<number>.txt`.
fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(".txt")?.rsplit_once('_')?.1.parse().ok()
}

/// The names of contents that are expected, if there are `wanted` to be looked up.
fn names_by_hash(expected: &Expectations, wanted: usize) -> BTreeMap<Hash, &str> {
    if wanted == 0 {
        return BTreeMap::new();
    }
    let stored = |one: &Expected| one.stored.as_ref().map(|stored| stored.sha256);
    let hashes = |one: &Expected| [Some(one.sha256), stored(one)].into_iter().flatten().collect::<Vec<_>>();
    expected.files.iter().flat_map(|(name, one)| hashes(one).into_iter().map(|hash| (hash, name.as_str()))).collect()
}
