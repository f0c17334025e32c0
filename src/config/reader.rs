//! Takes texts out of the settings for the parts of the configuration, and remembers where each came from.

use std::collections::BTreeMap;

use crate::account::BotName;
use crate::aws::AWS_SECRET_NAME;
use crate::env::{Origin, Settings};
use crate::invisible::{Invisible, quotes};
use crate::layer::KEYS;
use crate::mistake::{Invalid, Mistake, Warning};
use crate::secret::Secret;
use crate::variable::{Fallback, Secrecy, Variable};

/// Where each value came from, by the table's names; what is not in it came from the table.
#[derive(Debug, Default)]
pub(crate) struct Origins(pub(crate) BTreeMap<&'static str, Origin>);

impl Origins {
    pub(crate) fn given(&self, variable: &'static Variable) -> Option<&Origin> {
        self.0.get(variable.name)
    }

    pub(crate) fn of(&self, variable: &'static Variable) -> Origin {
        self.given(variable).cloned().unwrap_or(Origin::Default { name: variable.name })
    }

    /// What was not given followed from another.
    pub(crate) fn follow(&mut self, variable: &'static Variable, other: &'static Variable) {
        if let Some(origin) = self.given(other).cloned() {
            self.0.insert(variable.name, origin);
        }
    }
}

/// Takes texts out of the settings, remembers their origins and collects mistakes.
pub(crate) struct Reader {
    pub(crate) settings: Settings,
    pub(crate) mistakes: Vec<Mistake>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) origins: Origins,
    pub(crate) secret: SecretState,
}

impl Reader {
    pub(crate) fn new(settings: Settings, mistakes: Vec<Mistake>) -> Self {
        let secret = if settings.names(&AWS_SECRET_NAME) { SecretState::Unread } else { SecretState::None };
        Self { settings, mistakes, warnings: Vec::new(), origins: Origins::default(), secret }
    }

    /// A value that is given or has a default in the table; `None` leaves a mistake behind.
    pub(crate) fn read<T>(
        &mut self,
        variable: &'static Variable,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        self.read_for(variable, None, parse)
    }

    /// As [`Reader::read`], for defaults that hold the bot's name.
    pub(crate) fn read_for<T>(
        &mut self,
        variable: &'static Variable,
        bot: Option<&BotName>,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        if self.settings.get(variable).is_some() {
            return self.optional(variable, parse);
        }
        let text = match variable.default {
            Fallback::Text(text) => text.to_owned(),
            // without a bot name there is a mistake already
            Fallback::OfBot(text) => text.replace("<botname>", bot?.as_str()),
            Fallback::Required if self.settings.names(variable) => return None,
            Fallback::Required => {
                let why = "the bot needs its user name, such as `compliance_1234567890_bot`";
                self.mistakes.push(Mistake::Missing { name: variable.name, why });
                return None;
            }
            Fallback::Nothing | Fallback::Derived(_) => return None,
        };
        let at = Origin::Default { name: variable.name };
        parse(&text).map_err(|why| self.mistakes.push(Mistake::Value { at, value: Some(text), why })).ok()
    }

    /// A value that is given, or `other` (whose own mistake is already noted).
    pub(crate) fn read_or<T>(
        &mut self,
        variable: &'static Variable,
        other: Option<T>,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        if self.settings.get(variable).is_some() { self.optional(variable, parse) } else { other }
    }

    /// A value that may be missing.
    pub(crate) fn optional<T>(
        &mut self,
        variable: &'static Variable,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        let given = self.settings.take(variable)?;
        self.origins.0.insert(variable.name, given.origin.clone());
        let value = match variable.secrecy {
            Secrecy::Public => Some(given.text.expose().to_owned()),
            Secrecy::Secret => None,
        };
        let at = given.origin;
        let text = given.text.expose();
        let parsed = parse(text).and_then(|parsed| shows(text).map(|()| parsed));
        parsed.map_err(|why| self.mistakes.push(Mistake::Value { at, value, why })).ok()
    }

    /// A secret that may be missing.
    pub(crate) fn secret(
        &mut self,
        variable: &'static Variable,
        check: impl FnOnce(&str) -> Result<(), Invalid>,
    ) -> Option<Secret> {
        let given = self.settings.take(variable)?;
        self.origins.0.insert(variable.name, given.origin.clone());
        let (text, at) = (given.text.expose(), &given.origin);
        // a warning: it may be part of the password, and the password that this one must be equal to has it as well
        self.warnings.extend(Invisible::find(text).map(|what| Warning::Invisible { at: at.clone(), what }));
        self.warnings.extend(quotes(text).map(|_| Warning::Quoted { at: at.clone() }));
        if let Err(why) = check(given.text.expose()) {
            self.mistakes.push(Mistake::Value { at: given.origin, value: None, why });
        }
        Some(given.text)
    }

    /// `one` is senseless without `other`.
    pub(crate) fn needs(&mut self, one: &'static Variable, other: &'static Variable, why: &'static str) {
        let key = KEYS.iter().find(|(_, variable)| variable.name == other.name).map(|(key, _)| *key);
        let key = match self.secret {
            SecretState::None => None,
            SecretState::Read => key,
            // what is missing may stand in it
            SecretState::Unread if key.is_some() => return,
            SecretState::Unread => None,
        };
        if self.settings.names(other) {
            return;
        }
        if let (Some(at), None) = (self.origins.given(one), self.origins.given(other)) {
            self.mistakes.push(Mistake::Needs { at: at.clone(), needs: other.name, key, why });
        }
    }

    /// A secret setting that is written back may not come from anywhere else.
    pub(crate) fn must_come_from_secret(&mut self, variable: &'static Variable) {
        match self.origins.given(variable) {
            Some(Origin::Secret { .. } | Origin::Default { .. }) | None => {}
            Some(at @ (Origin::Environment { .. } | Origin::File { .. })) => {
                self.mistakes.push(Mistake::Value { at: at.clone(), value: None, why: Invalid::PasswordBesideSecret });
            }
        }
    }
}

/// Whether a secret is part of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecretState {
    /// None is named.
    None,
    /// It is.
    Read,
    /// One is named and could not be read.
    Unread,
}

/// No value that may be shown begins, ends or is enclosed by what nobody sees or means.
fn shows(text: &str) -> Result<(), Invalid> {
    match (Invisible::find(text), quotes(text)) {
        (Some(what), _) if what.is_accident() => Err(Invalid::Invisible(what)),
        (_, Some(mark)) => Err(Invalid::Quoted(mark)),
        (_, None) => Ok(()),
    }
}
