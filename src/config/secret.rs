//! A value that must not be seen: passwords and what opens things.
//!
//! Without `Display`, `Serialize` and `Clone` on purpose: it cannot reach a log, a record or a second copy by accident.
//! It is wiped when dropped. What this cannot do: a password that came in an environment variable stays readable in
//! `/proc/<pid>/environ` for this user and root; `<NAME>_FILE` avoids that.

use std::fmt;

use zeroize::Zeroizing;

/// A secret text, wiped on drop.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text; the caller's `String` becomes the secret's own memory, nothing is copied.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, to be used where it is needed and not kept.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_debug_print_shows_nothing_not_even_its_length() {
        let short = Secret::new("p".into());
        let long = Secret::new("correct horse battery staple".into());
        assert_eq!(format!("{short:?}"), format!("{long:?}"));
        assert_eq!(format!("{:?}", Some(long)), "Some(Secret(…))");
    }
}
