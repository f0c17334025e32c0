//! What a connection may ask before it has logged in: greeting, registration, log-in.
//!
//! Each proof signs this connection's nonce: a recorded one is worth nothing on another connection. A connection has one try;
//! wrong passwords make the next ones wait ([`super::attempts`]), and no try is a line of the log.

use std::sync::Arc;

use super::Shared;
use super::audit;
use super::change::{Change, Outcome};
use super::clock::Moment;
use super::directory::DeviceRow;
use super::directory::invites::CodeHash;
use super::directory::register::Claim;
use super::error::{NetworkError, Refusal};
use super::keys::{proves, random};
use super::limits::{FAILED_LOGINS, LOGIN_TRIES, PASSWORD_TRIES};
use retaind_core::places::Neighbourhood;
use retaind_protocol::ids::{DeviceId, UserName};
use retaind_protocol::wire::{
    Answer, Done, Hello, LOGIN_LABEL, Login, NetworkInfo, REGISTER_LABEL, RefusalCode, Register, Registered,
    WIRE_VERSION,
};
use zeroize::Zeroizing;

/// Somebody who has not logged in.
pub(crate) struct Stranger {
    from: Neighbourhood,
    nonce: [u8; 32],
    greeted: bool,
    tried: bool,
}

impl Stranger {
    pub(crate) fn new(from: Neighbourhood) -> Result<Self, NetworkError> {
        Ok(Self { from, nonce: random()?, greeted: false, tried: false })
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
    if stranger.greeted {
        shared.refusals.count(&LOGIN_TRIES);
        return Err(Refusal::invalid("this connection was greeted already"));
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

/// What a connection has one of.
pub(crate) enum Try {
    Register(Register),
    Login(Login),
}

impl Try {
    /// Whose account it claims to be for, as it is audited.
    fn account(&self) -> String {
        match self {
            Self::Register(Register { bot_user, .. }) if !bot_user.is_empty() => audit::bot(bot_user),
            Self::Register(_) => "invite".to_owned(),
            Self::Login(Login { device, .. }) => match DeviceId::from_bytes(device) {
                Ok(device) => format!("device {device}"),
                Err(_) => "device".to_owned(),
            },
        }
    }
}

/// The one log-in or registration of a connection.
pub(crate) async fn try_once(
    shared: &Arc<Shared>,
    stranger: &mut Stranger,
    request: Try,
) -> Result<(Answer, DeviceRow), Refusal> {
    if stranger.tried {
        shared.refusals.count(&LOGIN_TRIES);
        return Err(Refusal::new(
            RefusalCode::Unauthenticated,
            "one log-in or registration a connection: connect again for the next",
        ));
    }
    stranger.tried = true;
    let account = request.account();
    let tried = match request {
        Try::Register(request) => {
            register(shared, stranger, request).await.map(|(answer, device)| (Answer::Registered(answer), device))
        }
        Try::Login(request) => login(shared, stranger, request).await.map(|device| (Answer::Done(Done {}), device)),
    };
    if let Err(refusal) = &tried {
        tracing::debug!(refusal = %refusal.message, "a log-in was refused");
        shared.refusals.count(&FAILED_LOGINS);
        shared.audit.note(stranger.from, account, Moment::now(), &shared.refusals);
    }
    tried
}

async fn register(
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
        (true, false) => check_password(shared, stranger.from, request.bot_user, request.bot_password).await?,
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

async fn check_password(
    shared: &Arc<Shared>,
    from: Neighbourhood,
    user: String,
    given: String,
) -> Result<Claim, Refusal> {
    let given = Zeroizing::new(given);
    let wrong = || Refusal::new(RefusalCode::Password, "bot account or password is wrong");
    let user = UserName::new(user).map_err(|_| wrong())?;
    if let Some(wait) = shared.attempts.wait(from, user.as_str()) {
        shared.refusals.count(&PASSWORD_TRIES);
        let seconds = wait.as_secs().saturating_add(1);
        let message = format!("too many wrong passwords from this address: try again in {seconds} s");
        return Err(Refusal::new(RefusalCode::Unavailable, message));
    }
    // counted before it is checked, so that tries side by side are no way around the delay
    shared.attempts.tried(from, user.as_str());
    let name = user.clone();
    let kept = shared.readers.run(move |db| Ok(db.user(name.as_str())?)).await?.and_then(|row| row.password);
    let hash = kept.clone();
    let matches = shared.passwords.run(move |memory| memory.matches(&given, hash.as_deref())).await;
    match (matches, kept) {
        (Some(true), Some(hash)) => {
            shared.attempts.succeeded(from, user.as_str());
            Ok(Claim::Password { user, hash })
        }
        (Some(_), _) => Err(wrong()),
        (None, _) => Err(Refusal::unavailable()),
    }
}

async fn login(shared: &Arc<Shared>, stranger: &Stranger, request: Login) -> Result<DeviceRow, Refusal> {
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
