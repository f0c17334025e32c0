//! The address of a network and how its certificate is checked, and the one-string invite that a person passes on.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use prost::Message;
use thiserror::Error;

const INVITE_PREFIX: &str = "rti1_";
/// A certificate and two names are below 4 KiB; a longer text is not an invite.
const INVITE_BYTES_MAX: usize = 16 * 1024;

/// What is wrong with a pasted invite.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum InviteError {
    /// The text is not an invite.
    #[error(
        "this is not an invite: an invite starts with `rti1_`; pass on the whole string that `retaind network invite` printed"
    )]
    NotAnInvite,
    /// The invite is cut off or mistyped.
    #[error("the invite is damaged: pass on the whole string that `retaind network invite` printed, in one piece")]
    Damaged,
}

/// A network to connect to.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Endpoint {
    /// Address, `host:port`.
    #[prost(string, tag = "1")]
    pub address: String,
    /// Name that the network's certificate must hold.
    #[prost(string, tag = "2")]
    pub server_name: String,
    /// Certificate (DER) that must have issued the network's, or must be the same; while another one is about to take over, both,
    /// one after the other.
    #[prost(bytes = "vec", tag = "3")]
    pub ca_der: Vec<u8>,
}

impl Endpoint {
    /// The certificates in [`ca_der`](Self::ca_der), each on its own. What is no certificate is the last one.
    pub fn authorities(&self) -> Vec<&[u8]> {
        let (mut rest, mut found) = (self.ca_der.as_slice(), Vec::new());
        while !rest.is_empty() {
            let (one, after) = rest.split_at(der_length(rest).unwrap_or(rest.len()).min(rest.len()));
            found.push(one);
            rest = after;
        }
        found
    }
}

/// Length of the DER sequence that `bytes` begin with, its head included; never 0.
fn der_length(bytes: &[u8]) -> Option<usize> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    if tag != 0x30 {
        return None;
    }
    let more = usize::from(first & 0x7f);
    if first & 0x80 == 0 {
        return more.checked_add(2);
    }
    if !(1..=3).contains(&more) {
        return None;
    }
    let length = rest
        .get(..more)?
        .iter()
        .try_fold(0usize, |length, byte| length.checked_mul(256)?.checked_add(usize::from(*byte)))?;
    length.checked_add(2)?.checked_add(more)
}

/// Lets its holder register one device. A secret: print it only for the user who requested it.
#[derive(Clone, PartialEq, Eq)]
pub struct Invite {
    /// The network that invites.
    pub endpoint: Endpoint,
    /// Single-use code.
    pub code: String,
}

#[derive(Clone, PartialEq, Message)]
struct EncodedInvite {
    #[prost(message, tag = "1")]
    endpoint: Option<Endpoint>,
    #[prost(string, tag = "2")]
    code: String,
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = EncodedInvite { endpoint: Some(self.endpoint.clone()), code: self.code.clone() }.encode_to_vec();
        write!(f, "{INVITE_PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))
    }
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invite").field("address", &self.endpoint.address).finish_non_exhaustive()
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    fn from_str(text: &str) -> Result<Self, InviteError> {
        let encoded = text.trim().strip_prefix(INVITE_PREFIX).ok_or(InviteError::NotAnInvite)?;
        if encoded.len() > INVITE_BYTES_MAX {
            return Err(InviteError::NotAnInvite);
        }
        let bytes = BASE64URL_NOPAD.decode(encoded.as_bytes()).map_err(|_| InviteError::Damaged)?;
        let EncodedInvite { endpoint: Some(endpoint), code } =
            EncodedInvite::decode(bytes.as_slice()).map_err(|_| InviteError::Damaged)?
        else {
            return Err(InviteError::Damaged);
        };
        if endpoint.address.is_empty() || endpoint.server_name.is_empty() || code.is_empty() {
            return Err(InviteError::Damaged);
        }
        Ok(Self { endpoint, code })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_certificates_are_told_apart() {
        let long = [[0x30, 0x82, 0x01, 0x00].as_slice(), &[7; 256]].concat();
        let of = |parts: &[&[u8]]| Endpoint { ca_der: parts.concat(), ..Endpoint::default() };
        assert_eq!(of(&[&long]).authorities(), [long.as_slice()]);
        assert_eq!(of(&[&long, &[0x30, 1, 9], &long]).authorities(), [long.as_slice(), &[0x30, 1, 9], &long]);
        assert!(of(&[]).authorities().is_empty());
        for nonsense in [[0x31, 1, 9].as_slice(), &[0x30], &[0x30, 0x80], &[0x30, 0x84, 1, 1, 1, 1], &[0x30, 5, 1]] {
            assert_eq!(of(&[nonsense]).authorities(), [nonsense]);
        }
    }

    fn invite() -> Invite {
        Invite {
            endpoint: Endpoint {
                address: "127.0.0.1:4433".into(),
                server_name: "retaind-network".into(),
                ca_der: vec![0x30; 400],
            },
            code: "a-code".into(),
        }
    }

    #[test]
    fn an_invite_survives_being_passed_on_as_text() {
        assert_eq!(format!("  {}\n", invite()).parse(), Ok(invite()));
    }

    #[test]
    fn a_damaged_invite_says_so() {
        let text = invite().to_string();
        assert_eq!(text[1..].parse::<Invite>(), Err(InviteError::NotAnInvite));
        assert_eq!(text[..100].parse::<Invite>(), Err(InviteError::Damaged));
        assert_eq!("rti1_".parse::<Invite>(), Err(InviteError::Damaged));
        assert_eq!(
            format!("rti1_{}", "A".repeat(INVITE_BYTES_MAX + 1)).parse::<Invite>(),
            Err(InviteError::NotAnInvite)
        );
    }

    #[test]
    fn an_invite_in_a_log_keeps_its_code() {
        assert!(!format!("{:?}", invite()).contains("a-code"));
    }
}
