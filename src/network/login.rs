//! What a connection may ask before it has logged in: greeting, registration, log-in.
//!
//! Each proof signs this connection's nonce: a recorded one is worth nothing on another connection.

use std::sync::Arc;

use super::Shared;
use super::change::{Change, Outcome};
use super::directory::invites::CodeHash;
use super::directory::register::Claim;
use super::directory::{DeviceRow, password};
use super::error::{NetworkError, Refusal};
use super::keys::{proves, random};
use retaind_protocol::ids::{DeviceId, UserName};
use retaind_protocol::wire::{
    Answer, Hello, LOGIN_LABEL, Login, NetworkInfo, REGISTER_LABEL, RefusalCode, Register, Registered, WIRE_VERSION,
};
use retaind_task as task;

/// Somebody who has not logged in.
pub(crate) struct Stranger {
    nonce: [u8; 32],
    greeted: bool,
}

impl Stranger {
    pub(crate) fn new() -> Result<Self, NetworkError> {
        Ok(Self { nonce: random()?, greeted: false })
    }

    fn check_greeted(&self) -> Result<(), Refusal> {
        if self.greeted { Ok(()) } else { Err(Refusal::invalid("the first request on a connection is `hello`")) }
    }
}

pub(crate) fn hello(shared: &Shared, stranger: &mut Stranger, hello: &Hello) -> Result<Answer, Refusal> {
    if hello.version != WIRE_VERSION {
        let message =
            format!("wire version `{}` is not known here: this network speaks `{WIRE_VERSION}`", hello.version);
        return Err(Refusal::new(RefusalCode::Version, message));
    }
    stranger.greeted = true;
    let keys = &shared.keys;
    Ok(Answer::NetworkInfo(NetworkInfo {
        network_id: keys.network_id.clone(),
        authentication_key: keys.authentication_key.public_key().to_vec(),
        cipher_suites: keys.suites.iter().map(|suite| u32::from(suite.id)).collect(),
        external_senders: keys.suites.iter().map(|suite| suite.sender_bytes.clone()).collect(),
        retention_users: shared.policy().retention_users.clone(),
        nonce: stranger.nonce.to_vec(),
        authorities: shared.certificate.authorities.clone(),
        strict_retention: shared.policy().strict,
    }))
}

pub(crate) async fn register(
    shared: &Arc<Shared>,
    stranger: &Stranger,
    request: Register,
) -> Result<(Registered, DeviceRow), Refusal> {
    stranger.check_greeted()?;
    let Some(suite) = shared.keys.suite(request.cipher_suite) else {
        return Err(Refusal::invalid(format!(
            "cipher suite `{}` is not allowed in this network",
            request.cipher_suite
        )));
    };
    let statement = [REGISTER_LABEL, &stranger.nonce, &request.signature_key].concat();
    if !proves(suite, &request.signature_key, &request.proof, &statement) {
        return Err(Refusal::new(
            RefusalCode::Unauthenticated,
            "the proof is not by the signature key over this connection's nonce",
        ));
    }
    let claim = match (request.invite_code.is_empty(), request.bot_user.is_empty()) {
        (false, true) => Claim::Invite(CodeHash::of(&request.invite_code)),
        (true, false) => check_password(shared, request.bot_user, request.bot_password).await?,
        (true, true) | (false, false) => return Err(Refusal::invalid("register with an invite or as a bot, not both")),
    };
    let change = Change::Register { claim, suite: suite.id, signature_key: request.signature_key };
    match shared.writer().change(change).await? {
        Outcome::Registered { device, credential } => {
            shared.refresh.notify_one();
            let registered =
                Registered { user: device.user.clone(), device: device.device.as_bytes().to_vec(), credential };
            Ok((registered, device))
        }
        Outcome::Answer(_) | Outcome::Proposed(_) | Outcome::Purged(_) => Err(Refusal::unavailable()),
    }
}

async fn check_password(shared: &Arc<Shared>, user: String, given: String) -> Result<Claim, Refusal> {
    let wrong = || Refusal::new(RefusalCode::Password, "bot account or password is wrong");
    let user = UserName::new(user).map_err(|_| wrong())?;
    let name = user.clone();
    let kept = shared.readers.run(move |db| Ok(db.user(name.as_str())?)).await?.and_then(|row| row.password);
    let hash = kept.clone();
    // each check takes 19 MiB and some tens of milliseconds, by design: a few at a time, so that strangers cannot
    // make it a weapon
    let Ok(_permit) = shared.password_checks.acquire().await else {
        return Err(Refusal::unavailable());
    };
    let matches = task::blocking("password", move || password::matches(&given, hash.as_deref())).await;
    match (matches, kept) {
        (Ok(true), Some(hash)) => Ok(Claim::Password { user, hash }),
        (Ok(_), _) => Err(wrong()),
        (Err(_), _) => Err(Refusal::unavailable()),
    }
}

pub(crate) async fn login(shared: &Arc<Shared>, stranger: &Stranger, request: Login) -> Result<DeviceRow, Refusal> {
    stranger.check_greeted()?;
    // an unknown device is refused in the same words: nobody can ask which devices there are
    let wrong = || {
        Refusal::new(RefusalCode::Unauthenticated, "the proof is not by the device's key over this connection's nonce")
    };
    let id = DeviceId::from_bytes(&request.device).map_err(|_| Refusal::invalid("a device id is 16 bytes"))?;
    let device = shared.readers.run(move |db| Ok(db.device(&id)?)).await?.ok_or_else(wrong)?;
    let statement = [LOGIN_LABEL, shared.keys.network_id.as_bytes(), &stranger.nonce, id.as_bytes()].concat();
    let suite = shared.keys.suite(u32::from(device.suite)).ok_or_else(|| {
        Refusal::invalid(format!("cipher suite `{}` is no longer allowed in this network", device.suite))
    })?;
    if !proves(suite, &device.signature_key, &request.proof, &statement) {
        return Err(wrong());
    }
    if device.suspended {
        return Err(Refusal::new(RefusalCode::Suspended, "this device or its user is suspended"));
    }
    Ok(device)
}
