//! Passwords of bot accounts: Argon2id, kept as PHC strings. Slow on purpose: never called on an async thread.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

use crate::error::NetworkError;
use retaind_protocol::limits::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN};

/// Hash of a password under a fresh salt. Refuses one that is too short or too long.
pub(crate) fn hash(password: &str) -> Result<String, NetworkError> {
    if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
        return Err(NetworkError::PasswordLength);
    }
    salted_hash(password)
}

fn salted_hash(password: &str) -> Result<String, NetworkError> {
    let salt = super::super::keys::random::<16>()?;
    let hash = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|_| NetworkError::Crypto("password hash"))?;
    Ok(hash.to_string())
}

/// Is it the password? Takes as long for an account that does not exist as for one that does.
pub(crate) fn matches(password: &str, kept: Option<&str>) -> bool {
    let Some(kept) = kept.and_then(|kept| PasswordHash::new(kept).ok()) else {
        let _same_time = salted_hash(password);
        return false;
    };
    Argon2::default().verify_password(password.as_bytes(), &kept).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_matches_its_hash() {
        let kept = hash("a long password").unwrap();
        assert!(kept.starts_with("$argon2id$v=19$"), "{kept}");
        assert!(matches("a long password", Some(&kept)));
        assert!(!matches("a long passwor", Some(&kept)));
        assert!(!matches("a long password", None));
        assert!(!matches("a long password", Some("nonsense")));
    }
}
