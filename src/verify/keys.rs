//! Which keys are trusted, and for which entries of a log.

use retaind_evidence::checkpoint::SignedNote;
use retaind_evidence::entry::{ED25519, KeyChange, Signature};
use retaind_evidence::key::Vkey;

use crate::finding::Code;

/// Where trust begins.
#[derive(Debug, Clone)]
pub(crate) enum Trust {
    /// Keys that the caller has from elsewhere.
    Given(Vec<Vkey>),
    /// The archive's own: whoever can write it can make them.
    SelfAsserted(Vec<Vkey>),
}

/// The keys of one log, each with the entries that it may sign.
#[derive(Debug, Clone)]
pub(crate) struct KeyRing(Vec<Term>);

#[derive(Debug, Clone)]
struct Term {
    key: Vkey,
    from: u64,
    /// The last one, which is the change to the next key.
    until: u64,
}

impl KeyRing {
    /// For a log whose genesis announces `vkeys`. Without keys from elsewhere, only these sign it: a key that was put beside them
    /// later does not.
    pub(crate) fn new(trust: &Trust, vkeys: Option<&[String]>) -> Self {
        let announced: Vec<Vkey> = vkeys.unwrap_or_default().iter().filter_map(|text| Vkey::parse(text).ok()).collect();
        let keys = match trust {
            Trust::SelfAsserted(_) if !announced.is_empty() => &announced,
            Trust::Given(keys) | Trust::SelfAsserted(keys) => keys,
        };
        Self(keys.iter().map(|key| Term { key: key.clone(), from: 0, until: u64::MAX }).collect())
    }

    /// What is wrong with the signatures of entry `number`.
    pub(crate) fn judge(&self, number: u64, leaf: &[u8], signatures: &[Signature]) -> Result<(), Code> {
        if !signatures.iter().any(|signature| signature.algorithm == ED25519) {
            return Err(Code::Downgrade);
        }
        let valid = || self.0.iter().filter(|term| (term.from..=term.until).contains(&number)).map(|term| &term.key);
        let has = |is: &dyn Fn(&Vkey, &Signature) -> bool| {
            signatures.iter().any(|signature| valid().any(|key| is(key, signature)))
        };
        if has(&|key, signature| signature.is_of(key, leaf)) {
            Ok(())
        } else if has(&|key, signature| signature.key == key.key_id()) {
            Err(Code::BadSignature)
        } else {
            Err(Code::WrongKey)
        }
    }

    /// What is wrong with the signatures of a head of `size` entries.
    pub(crate) fn judge_note(&self, note: &SignedNote) -> Result<(), Code> {
        if self.0.iter().any(|term| note.verify(&term.key)) {
            Ok(())
        } else if self.0.iter().any(|term| note.signatures.iter().any(|line| line.id == term.key.id())) {
            Err(Code::BadSignature)
        } else {
            Err(Code::WrongKey)
        }
    }

    /// Takes over the key of a trusted entry `number`, if the new key has signed it too. The old ones end with it.
    pub(crate) fn change(
        &mut self,
        number: u64,
        change: &KeyChange,
        leaf: &[u8],
        signatures: &[Signature],
    ) -> Result<(), Code> {
        let key = Vkey::parse(&change.vkey).map_err(|_| Code::NotCanonical)?;
        if !signatures.iter().any(|signature| signature.is_of(&key, leaf)) {
            return Err(Code::BadSignature);
        }
        for term in &mut self.0 {
            term.until = term.until.min(number);
        }
        self.0.push(Term { key, from: number, until: u64::MAX });
        Ok(())
    }
}
