//! What the network's own secrets are sealed with: its authentication key, its keys as external sender, the key of its
//! certificate. Who copies its directory has none of them.
//!
//! They are sealed in a vault of the network's own, whose key is either in a file ([`Seal::KeyFile`]), which belongs on
//! another volume, or in the ledger twice ([`Seal::Bot`]): sealed by the vault of the bot that embeds the network, which stays
//! the same when the bot's password changes, and wrapped under that password, so that a bot that has lost its state can still
//! open its network. The second is made again at each start that finds another password in force. A spare key in a file
//! opens what neither does.
//!
//! A network of an earlier release has its secrets unencrypted: the first start seals them, overwrites what it replaces, and
//! does the same in the copies that changes of the schema have left ([`super::keys`], [`super::certificate`]).
//!
//! Not here: what is no secret of the network (names, memberships, sizes, ciphertexts, hashes of invites and passwords).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use retaind_state::vault::{Vault, VaultHeader};
use zeroize::Zeroizing;

use super::error::NetworkError;
use super::keys::random;
use super::ledger::{Batch, LedgerWriter};

/// How the network's vault is opened: `file` or `bot`.
const KIND: &str = "seal";
const BY_FILE: &[u8] = b"file";
const BY_BOT: &[u8] = b"bot";
/// A value that only the right key knows.
const FINGERPRINT: &str = "seal_fingerprint";
/// The vault's key, sealed by the bot's vault.
const UNDER_VAULT: &str = "seal_vault";
/// The vault's header, which the bot's password opens.
const UNDER_PASSWORD: &str = "seal_password";
/// Which password that is: a name that only the bot's vault can make.
const PASSWORD_NAME: &str = "seal_password_name";
const CONTEXT: &[u8] = b"network vault key";
/// Longest key file that is read; one has 65 bytes.
const KEY_FILE_BYTES_MAX: u64 = 1024;

/// What opens the network's secrets.
#[derive(Clone)]
pub enum Seal {
    /// A file with the key; made, for its owner alone, if the network is new or has its secrets unencrypted.
    KeyFile(PathBuf),
    /// The bot that embeds the network.
    Bot {
        /// The vault of its state.
        vault: Arc<Vault>,
        /// The password that is in force.
        password: Arc<Zeroizing<String>>,
        /// A file that gets a copy of the key, for when both are lost.
        spare: Option<PathBuf>,
    },
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::KeyFile(path) => f.debug_tuple("KeyFile").field(path).finish(),
            Self::Bot { .. } => f.write_str("Bot"),
        }
    }
}

/// Opens the network's vault, or makes it.
pub(crate) fn open(ledger: &mut dyn LedgerWriter, seal: &Seal) -> Result<Vault, NetworkError> {
    let mut batch = ledger.begin(&[])?;
    let kind = batch.setting(KIND)?;
    let vault = match (seal, kind.as_deref()) {
        (Seal::KeyFile(path), None) => {
            let vault = begin_file(path)?;
            batch.set_setting(KIND, BY_FILE)?;
            batch.set_setting(FINGERPRINT, &fingerprint(&vault))?;
            vault
        }
        (Seal::KeyFile(path), Some(BY_FILE)) => {
            of_this_network(&*batch, path)?.ok_or_else(|| NetworkError::Sealed(missing(path)))?
        }
        (Seal::KeyFile(path), Some(_)) => of_this_network(&*batch, path)?.ok_or_else(|| {
            NetworkError::Sealed(
                "a bot has made it, and it opens with the bot's state or password, or a spare key \
                 (`RETAIND_SPARE_KEY`): start that bot, or name the spare key by `--key-file`"
                    .to_owned(),
            )
        })?,
        (Seal::Bot { vault, password, spare }, None) => {
            let (own, header) = Vault::create(password.as_bytes())?;
            batch.set_setting(KIND, BY_BOT)?;
            batch.set_setting(FINGERPRINT, &fingerprint(&own))?;
            batch.set_setting(UNDER_VAULT, &own.seal_key(vault, CONTEXT)?)?;
            batch.set_setting(UNDER_PASSWORD, &header.encode())?;
            batch.set_setting(PASSWORD_NAME, &name(vault, password))?;
            keep_spare(&*batch, spare.as_deref(), &own)?;
            own
        }
        (Seal::Bot { vault, password, spare }, Some(BY_BOT)) => {
            open_as_bot(&mut *batch, vault, password, spare.as_deref())?
        }
        (Seal::Bot { .. }, Some(_)) => {
            return Err(NetworkError::Sealed(
                "it opens with its key file only: serve it by `retaind network serve`".to_owned(),
            ));
        }
    };
    batch.commit()?;
    Ok(vault)
}

fn open_as_bot(
    batch: &mut dyn Batch,
    bot: &Vault,
    password: &str,
    spare: Option<&Path>,
) -> Result<Vault, NetworkError> {
    let sealed = batch.setting(UNDER_VAULT)?.unwrap_or_default();
    let own = match Vault::open_key(bot, CONTEXT, &sealed) {
        Ok(own) => own,
        // the bot's state is a new one
        Err(_) => {
            let header = VaultHeader::decode(&batch.setting(UNDER_PASSWORD)?.unwrap_or_default())?;
            let own = match (Vault::unlock(password.as_bytes(), &header), spare) {
                (Ok(own), _) => Some(own),
                (Err(_), Some(spare)) => of_this_network(batch, spare)?,
                (Err(_), None) => None,
            };
            let own = own.ok_or_else(|| {
                NetworkError::Sealed(
                    "neither the bot's state nor its password is the one that they were sealed with: restore the state, \
                     start with the password of that time, or name a spare key (`RETAIND_SPARE_KEY`)"
                        .to_owned(),
                )
            })?;
            batch.set_setting(UNDER_VAULT, &own.seal_key(bot, CONTEXT)?)?;
            own
        }
    };
    keep_spare(batch, spare, &own)?;
    let name = name(bot, password);
    if batch.setting(PASSWORD_NAME)?.as_deref() != Some(name.as_slice()) {
        batch.set_setting(UNDER_PASSWORD, &own.rewrap(password.as_bytes())?.encode())?;
        batch.set_setting(PASSWORD_NAME, &name)?;
    }
    Ok(own)
}

/// The vault whose key is in the file, if there is one.
fn of_this_network(batch: &dyn Batch, path: &Path) -> Result<Option<Vault>, NetworkError> {
    let Some(vault) = read_file(path)? else { return Ok(None) };
    if batch.setting(FINGERPRINT)?.as_deref() == Some(fingerprint(&vault).as_slice()) {
        return Ok(Some(vault));
    }
    Err(NetworkError::Sealed(format!("the key in `{}` is of another network", path.display())))
}

/// Makes the spare key if there is none; one of another network is no spare.
fn keep_spare(batch: &dyn Batch, path: Option<&Path>, own: &Vault) -> Result<(), NetworkError> {
    match path {
        Some(path) if of_this_network(batch, path)?.is_none() => write_key(path, &own.key()),
        Some(_) | None => Ok(()),
    }
}

fn name(bot: &Vault, password: &str) -> [u8; 32] {
    bot.index(b"network password", password.as_bytes())
}

fn fingerprint(vault: &Vault) -> [u8; 32] {
    vault.index(b"network key file", b"")
}

fn missing(path: &Path) -> String {
    format!("their key file `{}` is missing: put it back, or name it by `--key-file`", path.display())
}

/// The key in the file, which is made if there is none: one that a crash has left is used.
fn begin_file(path: &Path) -> Result<Vault, NetworkError> {
    if let Some(vault) = read_file(path)? {
        return Ok(vault);
    }
    let key = Zeroizing::new(random::<32>()?);
    write_key(path, &key)?;
    Ok(Vault::of_key(&key)?)
}

fn write_key(path: &Path, key: &[u8; 32]) -> Result<(), NetworkError> {
    let hex = Zeroizing::new(HEXLOWER.encode(key));
    write_private(path, Zeroizing::new(format!("{}\n", *hex)).as_bytes())
}

fn read_file(path: &Path) -> Result<Option<Vault>, NetworkError> {
    let failed = |source| NetworkError::File { action: "read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = Zeroizing::new(String::new());
    io::Read::read_to_string(&mut io::Read::take(file, KEY_FILE_BYTES_MAX), &mut text).map_err(failed)?;
    let key = Zeroizing::new(HEXLOWER.decode(text.trim_end().as_bytes()).unwrap_or_default());
    let key: &[u8; 32] = key.as_slice().try_into().map_err(|_| {
        NetworkError::Sealed(format!("`{}` is no key file: it holds 64 hex digits and a new line", path.display()))
    })?;
    Ok(Some(Vault::of_key(key)?))
}

/// Writes a file that nobody else may read, in one step.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), NetworkError> {
    let failed = |source| NetworkError::File { action: "write", path: path.into(), source };
    let temporary = path.with_extension("tmp");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Overwrites a file, and removes it.
pub(crate) fn shred(path: &Path) -> Result<(), NetworkError> {
    let failed = |source| NetworkError::File { action: "delete", path: path.into(), source };
    let length = match fs::metadata(path) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let mut file = OpenOptions::new().write(true).open(path).map_err(failed)?;
    io::copy(&mut io::Read::take(io::repeat(0), length), &mut file)
        .and_then(|_| file.sync_all())
        .and_then(|()| fs::remove_file(path))
        .map_err(failed)
}
