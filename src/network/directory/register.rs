//! Registering a device: whom a claim entitles, decided on rows, and what is then written.
//!
//! The same claim by the same key gets the same device again, so that a lost answer costs nothing; the same invite by
//! another key is refused.

use super::invites::{CodeHash, InviteRow};
use super::{DeviceRow, UserRow};
use crate::clock::Moment;
use crate::error::{ChangeError, Refusal};
use crate::keys::{Keys, random};
use crate::ledger::{Batch, NewDevice};
use retaind_protocol::credential::{Identity, Role};
use retaind_protocol::ids::{DeviceId, UserName};
use retaind_protocol::limits::DEVICES_OF_USER_MAX;
use retaind_protocol::wire::RefusalCode;

/// Why somebody may register a device.
#[derive(Debug, Clone)]
pub(crate) enum Claim {
    /// Holds an invite.
    Invite(CodeHash),
    /// Knew the password that hashes to this.
    Password { user: UserName, hash: String },
}

/// Whom a claim is for, and how far it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entitled {
    /// One device of this user, or again the one (row) that was made with it.
    Once { user: String, used_by: Option<i64> },
    /// As many devices of this user as are allowed.
    Always { user: String },
}

impl Entitled {
    fn user(&self) -> &str {
        match self {
            Self::Once { user, .. } | Self::Always { user } => user,
        }
    }
}

/// What comes of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Registration {
    /// The answer was lost: the same again.
    Again(DeviceRow),
    /// A new device of a user with this role.
    New(Role),
}

/// Registers a device for whoever `claim` entitles. Returns it with its credential.
pub(crate) fn register(
    batch: &mut dyn Batch,
    keys: &Keys,
    claim: &Claim,
    suite: u16,
    signature_key: &[u8],
    now: Moment,
) -> Result<(DeviceRow, Vec<u8>), ChangeError> {
    let entitled = match claim {
        Claim::Invite(code) => by_invite(batch.invite(code)?, now)?,
        Claim::Password { user, hash } => by_password(user, hash, batch.user(user.as_str())?.as_ref())?,
    };
    let user = batch.user(entitled.user())?.ok_or_else(|| internal("the user is not in the directory"))?;
    let devices = batch.devices_of(entitled.user())?;
    let taken = batch.has_signature_key(signature_key)?;
    let role = match decide(&entitled, &user, &devices, signature_key, taken)? {
        Registration::Again(device) => {
            let credential = batch.credential(device.row)?;
            return Ok((device, credential));
        }
        Registration::New(role) => role,
    };
    let device = DeviceId::new(random().map_err(|_| internal("no random number"))?);
    let credential = credential(keys, entitled.user(), device, role, signature_key)?;
    let new = NewDevice {
        device: &device,
        user: entitled.user(),
        suite,
        signature_key,
        credential: &credential,
        registered_at: now,
    };
    let row = batch.insert_device(&new)?;
    if let Claim::Invite(code) = claim {
        batch.use_invite(code, row)?;
    }
    batch.raise_policy_version()?;
    let (user, signature_key) = (entitled.user().to_owned(), signature_key.to_vec());
    Ok((DeviceRow { row, device, user, suite, signature_key, suspended: false }, credential))
}

fn by_invite(invite: Option<InviteRow>, now: Moment) -> Result<Entitled, Refusal> {
    match invite {
        Some(invite) if invite.expires.is_none_or(|at| at > now) => {
            Ok(Entitled::Once { user: invite.user, used_by: invite.device })
        }
        Some(_) => Err(Refusal::new(RefusalCode::Invite, "the invite has expired: ask for a new one")),
        None => Err(Refusal::new(RefusalCode::Invite, "no such invite: ask for a new one")),
    }
}

fn by_password(user: &UserName, hash: &str, row: Option<&UserRow>) -> Result<Entitled, Refusal> {
    if row.and_then(|row| row.password.as_deref()) == Some(hash) {
        Ok(Entitled::Always { user: user.as_str().to_owned() })
    } else {
        Err(Refusal::new(RefusalCode::Password, "bot account or password is wrong"))
    }
}

/// `devices`: all of the user's; `taken`: the signature key is one of some device's.
fn decide(
    entitled: &Entitled,
    user: &UserRow,
    devices: &[DeviceRow],
    signature_key: &[u8],
    taken: bool,
) -> Result<Registration, Refusal> {
    let refuse = |code, message: &str| Err(Refusal::new(code, message));
    let same = devices.iter().find(|device| device.signature_key == signature_key);
    if let Entitled::Once { used_by: Some(used), .. } = entitled {
        return match same {
            Some(device) if device.row == *used => Ok(Registration::Again(device.clone())),
            Some(_) | None => refuse(RefusalCode::Invite, "the invite was used: ask for a new one"),
        };
    }
    if user.suspended {
        return Err(Refusal::new(RefusalCode::Suspended, format!("user `{}` is suspended", user.user)));
    }
    if let Some(same) = same {
        return match entitled {
            Entitled::Always { .. } => Ok(Registration::Again(same.clone())),
            Entitled::Once { .. } => refuse(RefusalCode::Invite, "this signature key is a registered device already"),
        };
    }
    if devices.len() >= DEVICES_OF_USER_MAX {
        let message = format!("user `{}` has {DEVICES_OF_USER_MAX} devices, the most: remove one first", user.user);
        return Err(Refusal::over(&crate::agreed::DEVICES_OF_USER, message));
    }
    if taken {
        return refuse(RefusalCode::Invalid, "this signature key is another user's: make a fresh one");
    }
    Ok(Registration::New(user.role))
}

fn credential(keys: &Keys, user: &str, device: DeviceId, role: Role, signature_key: &[u8]) -> Result<Vec<u8>, Refusal> {
    let identity = Identity {
        network_id: keys.network_id.clone(),
        user: UserName::new(user).map_err(|_| internal("user name in the directory is not valid"))?,
        device,
        signature_key: signature_key.to_vec(),
        role,
    };
    keys.authentication_key.sign(&identity).map_err(|_| internal("authentication key does not sign"))
}

fn internal(what: &'static str) -> Refusal {
    tracing::error!(what, "a device could not be registered");
    Refusal::unavailable()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::of_micros(1_000_000);

    fn alice() -> UserRow {
        UserRow {
            user: "alice".into(),
            role: Role::Normal,
            suspended: false,
            retention: false,
            password: Some("hash".into()),
            initial_password: true,
        }
    }

    fn device(row: i64, key: &[u8]) -> DeviceRow {
        let device = DeviceId::new([u8::try_from(row).unwrap(); 16]);
        DeviceRow { row, device, user: "alice".into(), suite: 7, signature_key: key.to_vec(), suspended: false }
    }

    fn once(used_by: Option<i64>) -> Entitled {
        Entitled::Once { user: "alice".into(), used_by }
    }

    fn always() -> Entitled {
        Entitled::Always { user: "alice".into() }
    }

    fn code(decided: Result<impl std::fmt::Debug, Refusal>) -> RefusalCode {
        decided.unwrap_err().code
    }

    #[test]
    fn an_invite_entitles_until_its_time() {
        let invite = |expires: Option<i64>| InviteRow {
            user: "alice".into(),
            expires: expires.map(Moment::of_micros),
            device: None,
        };
        assert_eq!(by_invite(Some(invite(None)), NOW).unwrap(), once(None));
        assert_eq!(by_invite(Some(invite(Some(1_000_001))), NOW).unwrap(), once(None));
        assert_eq!(code(by_invite(Some(invite(Some(1_000_000))), NOW)), RefusalCode::Invite);
        assert_eq!(code(by_invite(None, NOW)), RefusalCode::Invite);
    }

    #[test]
    fn a_password_entitles_as_long_as_it_is_the_account_s() {
        let user = UserName::new("alice").unwrap();
        assert_eq!(by_password(&user, "hash", Some(&alice())).unwrap(), always());
        assert_eq!(code(by_password(&user, "another", Some(&alice()))), RefusalCode::Password);
        let person = UserRow { password: None, ..alice() };
        assert_eq!(code(by_password(&user, "hash", Some(&person))), RefusalCode::Password);
        assert_eq!(code(by_password(&user, "hash", None)), RefusalCode::Password);
    }

    #[test]
    fn a_lost_answer_is_given_again_to_the_same_key_only() {
        let devices = [device(1, b"one"), device(2, b"two")];
        let decide = |entitled, key: &[u8]| decide(&entitled, &alice(), &devices, key, true);
        assert_eq!(decide(once(Some(2)), b"two").unwrap(), Registration::Again(device(2, b"two")));
        assert_eq!(code(decide(once(Some(2)), b"one")), RefusalCode::Invite);
        assert_eq!(code(decide(once(Some(2)), b"three")), RefusalCode::Invite);
        assert_eq!(decide(always(), b"one").unwrap(), Registration::Again(device(1, b"one")));
        // a fresh invite makes another device, not the same one twice
        assert_eq!(code(decide(once(None), b"one")), RefusalCode::Invite);
    }

    #[test]
    fn a_device_is_new_where_nothing_stands_against_it() {
        let decide = |user: &UserRow, devices: &[DeviceRow], taken| decide(&once(None), user, devices, b"key", taken);
        assert_eq!(decide(&alice(), &[], false).unwrap(), Registration::New(Role::Normal));
        assert_eq!(code(decide(&alice(), &[], true)), RefusalCode::Invalid);
        assert_eq!(code(decide(&UserRow { suspended: true, ..alice() }, &[], false)), RefusalCode::Suspended);
        let most = vec![device(1, b"other"); DEVICES_OF_USER_MAX];
        assert_eq!(code(decide(&alice(), &most, false)), RefusalCode::Limit);
        assert_eq!(decide(&alice(), &most[1..], false).unwrap(), Registration::New(Role::Normal));
    }
}
