//! What is known of a variable, and the macro that each part of the configuration writes its table with.

use std::fmt;

/// One documented variable.
#[derive(Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Other names for the same setting.
    pub aliases: &'static [&'static str],
    /// What holds when it is unset.
    pub default: Fallback,
    /// What it sets, for an operator; with the unit.
    pub meaning: &'static str,
    /// Whether its value may be shown.
    pub secrecy: Secrecy,
}

/// What holds when a variable is unset.
#[derive(Debug, Clone, Copy)]
pub enum Fallback {
    /// Nothing: the feature is off, or the value is asked for.
    Nothing,
    /// It must be given.
    Required,
    /// This text.
    Text(&'static str),
    /// This text, with the bot's name for `<botname>`.
    OfBot(&'static str),
    /// Found out in a way that the text tells.
    Derived(&'static str),
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("–"),
            Self::Required => f.write_str("required"),
            Self::Text(text) | Self::OfBot(text) => write!(f, "`{text}`"),
            Self::Derived(how) => f.write_str(how),
        }
    }
}

/// Whether a value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// In logs and in `retaind check`.
    Public,
    /// Nowhere: it is masked wherever a configuration is shown.
    Secret,
}

/// A part's variables, each a `static` of its own, and all of them as `TABLE`, in the order of the documentation.
macro_rules! variables {
    ($($key:ident: $name:literal $(or $alias:literal)?, $default:expr, $secrecy:ident, $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub static $key: $crate::variable::Variable = $crate::variable::Variable {
                name: $name,
                aliases: &[$($alias)?],
                default: $default,
                meaning: $meaning,
                secrecy: $crate::variable::Secrecy::$secrecy,
            };
        )*
        /// The variables of this part, in the order of the documentation.
        pub(crate) static TABLE: &[&$crate::variable::Variable] = &[$(&$key),*];
    };
}
pub(crate) use variables;
