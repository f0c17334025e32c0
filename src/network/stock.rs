//! How many one-time key packages retention bots have left here. A bot without any can still be added to conversations, by its
//! last-resort package; but then one key opens the welcomes of many conversations, and somebody may be using them up.
//!
//! A bot is told when few are left and when none is, once each time; an operator when none is.

use std::collections::HashMap;

use super::Shared;
use super::delivery::entry::Taken;
use super::directory::key_packages::Use;
use super::limits::BOT_KEY_PACKAGES;
use super::observer::Noted;
use retaind_protocol::wire::Notice;

/// The level that each bot's device (row) had when a package of it was taken last.
#[derive(Debug, Default)]
pub(crate) struct Stocks(HashMap<i64, Level>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Level {
    #[default]
    Enough,
    /// So few that the bot makes more when it is told.
    Low,
    Out,
}

impl Stocks {
    /// These packages were taken, and that is on stable storage.
    pub(crate) fn taken(&mut self, taken: &[Taken], shared: &Shared) {
        for taken in taken {
            let level = Level::after(taken);
            if level == Level::Out {
                shared.refusals.count(&BOT_KEY_PACKAGES);
            }
            let before = self.0.insert(taken.device, level).unwrap_or_default();
            if level <= before {
                continue;
            }
            let device = taken.device;
            shared.notify(Notice { key_packages_low: true, ..Notice::default() }, |to| to == device);
            if level == Level::Out {
                tracing::warn!(
                    bot = taken.user,
                    "the bot's last-resort key package is being given out: it has no other left"
                );
                if let Some(observer) = &shared.observer {
                    observer.tell(Noted::LastResort { user: taken.user.clone() });
                }
            }
        }
    }
}

impl Level {
    fn after(taken: &Taken) -> Self {
        match taken.used {
            Use::LastResort => Self::Out,
            Use::Once if u64::from(taken.left) < BOT_KEY_PACKAGES.value / 5 => Self::Low,
            Use::Once => Self::Enough,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_follows_from_what_was_taken() {
        let level = |used, left| Level::after(&Taken { device: 1, user: "bot".into(), used, left });
        assert_eq!(level(Use::Once, 99), Level::Enough);
        assert_eq!(level(Use::Once, 20), Level::Enough);
        assert_eq!(level(Use::Once, 19), Level::Low);
        assert_eq!(level(Use::Once, 0), Level::Low);
        assert_eq!(level(Use::LastResort, 0), Level::Out);
    }
}
