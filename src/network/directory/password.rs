//! Passwords of bot accounts: Argon2id, kept as PHC strings. Slow on purpose: never called on an async thread.
//!
//! A check takes 19 MiB and some tens of milliseconds, by design. [`Passwords`] makes one after another, in memory that is
//! allocated once, so that strangers cannot make that a weapon; what a check leaves in it is wiped.

use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use tokio::sync::Semaphore;

use crate::error::NetworkError;
use retaind_protocol::limits::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN};
use retaind_task as task;

/// Bytes of a hash.
const HASH_BYTES: usize = 32;

/// Checks passwords, one at a time.
pub(crate) struct Passwords {
    turn: Arc<Semaphore>,
    memory: Arc<Mutex<Memory>>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), memory: Arc::default() }
    }
}

impl Passwords {
    /// Waits for the turn and works on a thread that may be blocked. `None`: the process is ending.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Option<T> {
        let turn = Arc::clone(&self.turn).acquire_owned().await.ok()?;
        let memory = Arc::clone(&self.memory);
        let done = task::blocking("password", move || {
            // held by the work itself: who stops waiting for it does not let another one begin beside it
            let _turn = turn;
            work(&mut memory.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await.ok()
    }
}

/// What Argon2 works in; allocated by the first use.
#[derive(Default)]
pub(crate) struct Memory(Vec<Block>);

impl Memory {
    /// Hash of a password under a fresh salt. Refuses one that is too short or too long.
    pub(crate) fn hash(&mut self, password: &str) -> Result<String, NetworkError> {
        if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
            return Err(NetworkError::PasswordLength);
        }
        self.salted_hash(password)
    }

    fn salted_hash(&mut self, password: &str) -> Result<String, NetworkError> {
        let failed = || NetworkError::Crypto("password hash");
        let salt = crate::keys::random::<16>()?;
        let (params, mut hash) = (Params::default(), [0; HASH_BYTES]);
        self.derive(Version::default(), &params, password, &salt, &mut hash).ok_or_else(failed)?;
        let kept = PasswordHash {
            algorithm: ARGON2ID_IDENT,
            version: Some(Version::default().into()),
            params: ParamsString::try_from(&params).map_err(|_| failed())?,
            salt: Some(Salt::new(&salt).map_err(|_| failed())?),
            hash: Some(Output::new(&hash).map_err(|_| failed())?),
        };
        Ok(kept.to_string())
    }

    /// Is it the password? Takes as long for an account that does not exist as for one that does.
    pub(crate) fn matches(&mut self, password: &str, kept: Option<&str>) -> bool {
        let kept = kept.and_then(|kept| PasswordHash::new(kept).ok());
        let Some((kept, salt, hash)) = kept.as_ref().and_then(|kept| Some((kept, kept.salt?, kept.hash?))) else {
            let _same_time = self.salted_hash(password);
            return false;
        };
        let version = kept.version.map_or(Ok(Version::default()), Version::try_from);
        let (Ok(params), Ok(version), true) = (Params::try_from(kept), version, kept.algorithm == ARGON2ID_IDENT)
        else {
            return false;
        };
        let mut given = vec![0; hash.len()];
        if self.derive(version, &params, password, &salt, &mut given).is_none() {
            return false;
        }
        // compared in constant time, as an `Output` is
        Output::new(&given).is_ok_and(|given| given == hash)
    }

    fn derive(
        &mut self,
        version: Version,
        params: &Params,
        password: &str,
        salt: &[u8],
        hash: &mut [u8],
    ) -> Option<()> {
        let blocks = params.block_count();
        let missing = blocks.saturating_sub(self.0.len());
        self.0.try_reserve_exact(missing).ok()?;
        if missing > 0 {
            self.0.resize(blocks, Block::new());
        }
        let argon2 = Argon2::new(Algorithm::Argon2id, version, params.clone());
        let derived = argon2.hash_password_into_with_memory(password.as_bytes(), salt, hash, self.0.as_mut_slice());
        self.0.fill(Block::new());
        derived.ok()
    }
}

#[cfg(test)]
mod tests {
    use argon2::PasswordVerifier;

    use super::*;

    #[test]
    fn only_the_password_matches_its_hash() {
        let mut memory = Memory::default();
        let kept = memory.hash("a long password").unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(memory.matches("a long password", Some(&kept)));
        assert!(!memory.matches("a long passwor", Some(&kept)));
        assert!(!memory.matches("a long password", None));
        assert!(!memory.matches("a long password", Some("nonsense")));
        // as the library itself makes and reads them
        let parsed = PasswordHash::new(&kept).unwrap();
        Argon2::default().verify_password(b"a long password", &parsed).unwrap();
    }

    #[tokio::test]
    async fn checks_share_one_memory_and_leave_nothing_in_it() {
        let passwords = Arc::new(Passwords::default());
        let checks =
            (0..4).map(|_| passwords.run(|memory| (memory.matches("a guess", None), memory.0.as_ptr() as usize)));
        let done: Vec<_> = futures_util::future::join_all(checks).await.into_iter().flatten().collect();
        assert_eq!(done.len(), 4);
        assert!(done.iter().all(|(matches, at)| !matches && *at == done[0].1));
        let memory = passwords.memory.lock().unwrap();
        assert_eq!(memory.0.len(), Params::default().block_count());
        assert!(memory.0.iter().all(|block| block.as_ref().iter().all(|word| *word == 0)));
    }
}
