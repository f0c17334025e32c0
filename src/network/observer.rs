//! What an operator wants to know at once, told to whoever runs the network: in a bot's process it becomes an event.

use std::fmt;
use std::sync::Arc;

/// Something that should not stay in the log alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noted {
    /// The one-time key packages of a retention bot have run out, and its last-resort one is being given out.
    LastResort {
        /// The bot.
        user: String,
    },
}

/// Is told. Must neither block nor fail.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(Noted) + Send + Sync>);

impl Observer {
    /// Tells `observe`.
    pub fn new(observe: impl Fn(Noted) + Send + Sync + 'static) -> Self {
        Self(Arc::new(observe))
    }

    pub(crate) fn tell(&self, noted: Noted) {
        (self.0)(noted);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer(..)")
    }
}
