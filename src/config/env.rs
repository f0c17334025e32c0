//! The only place that reads the environment.
//!
//! [`VARIABLES`] is the table of all parts. It is the documentation: the table in `docs/settings.md` and what `retaind check`
//! prints are made from it, and a test compares them. Reading turns the process environment into [`Settings`]: texts with their origin, not yet understood. What they
//! mean is [`super::load`]'s business.
//!
//! Three rules of the contract live here: an empty value counts as unset; every variable may be given as `<NAME>_FILE`,
//! the path of a file that holds the value; a name that looks like ours and is not in the table is a mistake, because a
//! mistyped setting of an archive must not be ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::mistake::Mistake;
use crate::secret::Secret;
pub use crate::variable::{Fallback, Secrecy, Variable};
use crate::{account, aws, evidence, files, network, process, report};

/// Longest value that a `<NAME>_FILE` may hold, in bytes. The longest that makes sense is an ARN of 2 KiB; the limit
/// keeps a wrong path (a device, a log) from filling the memory.
pub(crate) const VALUE_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Names that start like this are ours, and must be in the table.
const PREFIXES: [&str; 2] = ["WICKRIO_", "RETAIND_"];

/// How alike a mistyped name must be (1.0 = equal) before a known one is suggested. Below it the suggestion is noise.
const NEAREST_SIMILARITY_MIN: f64 = 0.6;

/// Every variable, in the order of the documentation: the tables of the parts, one after the other.
pub static VARIABLES: LazyLock<Vec<&'static Variable>> = LazyLock::new(|| {
    let parts =
        [account::TABLE, files::TABLE, evidence::TABLE, aws::TABLE, network::TABLE, process::TABLE, report::TABLE];
    parts.concat()
});

/// The password of a `retaind client`'s state. Not the bot's, so not in the table; known here all the same, so that a
/// bot that is started beside a client does not take it for a mistake.
pub(crate) static CLIENT_PASSWORD: Variable = Variable {
    name: "RETAIND_CLIENT_PASSWORD",
    aliases: &[],
    default: Fallback::Nothing,
    meaning: "password that the state of `retaind client` is encrypted under",
    secrecy: Secrecy::Secret,
};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A variable, under the name that was used.
    Environment {
        /// The name, or its alias.
        name: String,
    },
    /// The file that a `<NAME>_FILE` variable names.
    File {
        /// The variable, with `_FILE`.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// A key of the secret in Secrets Manager.
    Secret {
        /// The key.
        key: &'static str,
        /// Name or ARN of the secret.
        name: String,
    },
    /// The table's default.
    Default {
        /// The variable that was not given.
        name: &'static str,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment { name } => write!(f, "`{name}`"),
            Self::File { name, path } => write!(f, "`{name}` (file `{}`)", path.display()),
            Self::Secret { key, name } => write!(f, "secret `{name}` key `{key}`"),
            Self::Default { name } => write!(f, "default of `{name}`"),
        }
    }
}

/// A value as it was given. Kept as a secret until its meaning, and so its secrecy, is known.
#[derive(Debug)]
pub struct Given {
    /// The text; never empty.
    pub text: Secret,
    /// Where it came from.
    pub origin: Origin,
}

/// One layer of settings by the table's names, not yet understood.
///
/// The environment is the highest layer; Secrets Manager ([`super::layer`]) is the one [`Settings::over`] which it lies, and
/// the table's defaults are below both.
#[derive(Debug, Default)]
pub struct Settings {
    given: BTreeMap<&'static str, Given>,
    /// What was given and could not be read, which has left a mistake.
    unread: BTreeSet<&'static str>,
}

impl Settings {
    /// This layer, with what it lacks from the `lower` one.
    pub fn over(mut self, lower: Self) -> Self {
        for (name, given) in lower.given {
            self.given.entry(name).or_insert(given);
        }
        self
    }

    /// Adds what a lower layer holds.
    pub(super) fn add(&mut self, variable: &'static Variable, given: Given) {
        self.given.insert(variable.name, given);
    }

    /// Was it given, if perhaps in a way that cannot be read? Then nobody needs to be told that it is missing.
    pub(super) fn names(&self, variable: &Variable) -> bool {
        self.given.contains_key(variable.name) || self.unread.contains(variable.name)
    }

    /// What was given for a variable.
    pub fn get(&self, variable: &Variable) -> Option<&Given> {
        self.given.get(variable.name)
    }

    /// Takes what was given for a variable, because a secret has one owner.
    pub fn take(&mut self, variable: &Variable) -> Option<Given> {
        self.given.remove(variable.name)
    }
}

/// The environment of this process.
pub fn process() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os()
}

/// Where files go that need not stay (`TMPDIR`, else `/tmp`).
pub fn temporary_directory() -> PathBuf {
    std::env::temp_dir()
}

/// What this process' environment says of [`CLIENT_PASSWORD`]; nothing else is looked at.
pub fn client_password() -> Result<Option<Given>, Mistake> {
    let file = format!("{}_FILE", CLIENT_PASSWORD.name);
    let vars = process().filter(|(name, _)| *name == *CLIENT_PASSWORD.name || *name == *file);
    let mut mistakes = Vec::new();
    let mut settings = read(vars, &mut mistakes);
    match mistakes.pop() {
        Some(mistake) => Err(mistake),
        None => Ok(settings.take(&CLIENT_PASSWORD)),
    }
}

/// Finds the table's variables among `vars` and reads the files that `<NAME>_FILE` ones name; adds what is wrong to
/// `mistakes`.
pub fn read(vars: impl IntoIterator<Item = (OsString, OsString)>, mistakes: &mut Vec<Mistake>) -> Settings {
    let mut settings = Settings::default();
    // sorted, so that messages come in the same order every time
    let vars: BTreeMap<OsString, OsString> = vars.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    for (name, value) in vars {
        // a name that is not UTF-8 is not in the table and does not start like ours in a way anybody typed
        let Some(name) = name.to_str() else { continue };
        let Some(spelling) = spelling(name) else {
            if looks_like_ours(name) {
                mistakes.push(Mistake::Unknown { name: name.to_owned(), nearest: nearest(name) });
            }
            continue;
        };
        let given = match spelling.form {
            Form::Value => value
                .into_string()
                .map(|text| Given { text: Secret::new(text), origin: Origin::Environment { name: name.to_owned() } })
                .map_err(|_| Mistake::NotText { at: Origin::Environment { name: name.to_owned() } }),
            Form::File => read_file(name, Path::new(&value)),
        };
        match given {
            Ok(given) if given.text.expose().is_empty() => {}
            Ok(given) => insert(&mut settings, spelling.variable, given, mistakes),
            Err(mistake) => {
                settings.unread.insert(spelling.variable.name);
                mistakes.push(mistake);
            }
        }
    }
    settings
}

fn insert(settings: &mut Settings, variable: &'static Variable, given: Given, mistakes: &mut Vec<Mistake>) {
    match settings.given.get(variable.name) {
        Some(first) if first.text.expose() != given.text.expose() => {
            mistakes.push(Mistake::Contradiction { first: first.origin.clone(), second: given.origin })
        }
        Some(_) => {}
        None => {
            settings.given.insert(variable.name, given);
        }
    }
}

/// How a variable of the table was spelt.
struct Spelling {
    variable: &'static Variable,
    form: Form,
}

enum Form {
    Value,
    File,
}

fn spelling(name: &str) -> Option<Spelling> {
    if let Some(variable) = find(name) {
        return Some(Spelling { variable, form: Form::Value });
    }
    let variable = find(name.strip_suffix("_FILE")?)?;
    Some(Spelling { variable, form: Form::File })
}

fn find(name: &str) -> Option<&'static Variable> {
    let mut all = VARIABLES.iter().copied().chain([&CLIENT_PASSWORD]);
    all.find(|v| v.name == name || v.aliases.contains(&name))
}

fn looks_like_ours(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    PREFIXES.iter().any(|prefix| upper.starts_with(prefix))
}

fn nearest(unknown: &str) -> Option<String> {
    let upper = unknown.to_ascii_uppercase();
    let (stem, suffix) = match upper.strip_suffix("_FILE") {
        Some(stem) => (stem, "_FILE"),
        None => (upper.as_str(), ""),
    };
    let known = VARIABLES.iter().flat_map(|v| std::iter::once(v.name).chain(v.aliases.iter().copied()));
    nearest_of(stem, known).map(|name| format!("{name}{suffix}"))
}

/// The known name that is most like a mistyped one.
pub(super) fn nearest_of(typed: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    known
        .map(|name| (strsim::normalized_damerau_levenshtein(typed, name), name))
        .filter(|(similarity, _)| *similarity >= NEAREST_SIMILARITY_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

fn read_file(name: &str, path: &Path) -> Result<Given, Mistake> {
    let origin = Origin::File { name: name.to_owned(), path: path.to_owned() };
    let bytes = read_bounded(path).map_err(|why| Mistake::ValueFile { at: origin.clone(), why })?;
    if bytes.len() as u64 > VALUE_FILE_BYTES_MAX {
        return Err(Mistake::ValueFileTooLarge { at: origin });
    }
    let mut text = String::from_utf8(bytes).map_err(|_| Mistake::NotText { at: origin.clone() })?;
    // editors and `echo` end a file with a newline, which is not part of the value
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(Given { text: Secret::new(text), origin })
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(VALUE_FILE_BYTES_MAX.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}
