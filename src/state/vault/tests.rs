//! What the vault promises, against a second implementation's bytes and against an attacker's.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "a test's own numbers are small")]

use std::collections::HashSet;

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::header::Cost;
use super::header::{ARGON2_LANES_MAX, ARGON2_MEMORY_KIB_MAX, ARGON2_PASSES_MAX};
use super::*;
use crate::schema::Step;
use crate::{META, Store};

const PASSWORD: &[u8] = b"correct horse battery staple";
/// Where a test seals a hundred headers, Argon2 at its least.
const CHEAP: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };

fn cheap() -> (Vault, VaultHeader) {
    let mut data_key = DataKey::default();
    rand::fill(data_key.as_mut_slice()).unwrap();
    let header = VaultHeader::wrap_at(CHEAP, PASSWORD, &data_key).unwrap();
    (Vault::with_data_key(data_key).unwrap(), header)
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// Bytes made by an independent program (Python `cryptography`, OpenSSL) from the pages' descriptions.
#[test]
fn the_format_is_what_it_was() {
    let header = VaultHeader::decode(&hex("080110809801180220012a10000102030405060708090a0b0c0d0e0f32301d92c658547b359a04412c96b526d158ea712f3367515e1abdc56fcf9758ddc803324bf1cdc386ab73d6ecfe4303a4543a20e96495edaba97fbc1cf79c87791fad1945f81c367c66408b924a620e1e4ed724")).unwrap();
    let vault = Vault::unlock(PASSWORD, &header).unwrap();
    assert_eq!(
        **vault
            .open(
                b"groups/7",
                &hex(
                    "01c8c9cacbcccdcecfd0d1d2d3d4d5d6d70000000000000005388f2d5a6998dcd644085876aa6327b373806379c644eb"
                )
            )
            .unwrap(),
        *b"retaind"
    );
    assert_eq!(
        vault.index(b"user", b"ada@example.org").to_vec(),
        hex("a82df0136b17291e748606cd87e1da3a71d45e689020559ffc164a10562211ac")
    );
    assert_eq!(
        header.encode(),
        hex(
            "080110809801180220012a10000102030405060708090a0b0c0d0e0f32301d92c658547b359a04412c96b526d158ea712f3367515e1abdc56fcf9758ddc803324bf1cdc386ab73d6ecfe4303a4543a20e96495edaba97fbc1cf79c87791fad1945f81c367c66408b924a620e1e4ed724"
        )
    );
}

#[test]
fn a_vault_opens_again_with_its_password_and_no_other() {
    let (vault, header) = Vault::create(PASSWORD).unwrap();
    let sealed = vault.seal(b"row", b"secret").unwrap();
    assert_eq!(sealed.len(), 6 + SEAL_OVERHEAD_BYTES);
    let header = VaultHeader::decode(&header.encode()).unwrap();
    let again = Vault::unlock(PASSWORD, &header).unwrap();
    assert_eq!(**again.open(b"row", &sealed).unwrap(), *b"secret");
    assert_eq!(Vault::unlock(b"wrong", &header).unwrap_err(), VaultError::Password);
    assert_eq!(Vault::unlock(b"", &header).unwrap_err(), VaultError::PasswordLength { bytes: 0 });
    let long = vec![b'x'; PASSWORD_BYTES_MAX + 1];
    assert_eq!(Vault::create(&long).unwrap_err(), VaultError::PasswordLength { bytes: long.len() });
}

#[test]
fn a_new_password_keeps_the_values_and_ends_the_old_one() {
    let (vault, old) = Vault::create(b"old password").unwrap();
    let sealed = vault.seal(b"row", b"secret").unwrap();
    let new = vault.rewrap(b"new password").unwrap();
    assert_ne!(old, new);
    assert_eq!(Vault::unlock(b"old password", &new).unwrap_err(), VaultError::Password);
    let again = Vault::unlock(b"new password", &new).unwrap();
    assert_eq!(**again.open(b"row", &sealed).unwrap(), *b"secret");
    assert_eq!(again.index(b"user", b"ada"), vault.index(b"user", b"ada"));
}

#[test]
fn every_flipped_bit_of_the_header_is_refused() {
    let (_, header) = cheap();
    let bytes = header.encode();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let error = VaultHeader::decode(&flipped).unwrap_err();
        assert!(matches!(error, VaultError::Header(_) | VaultError::Version { .. }), "{error}");
    }
    for cut in 0..bytes.len() {
        assert!(VaultHeader::decode(&bytes[..cut]).is_err());
    }
    assert!(VaultHeader::decode(&[bytes.as_slice(), &[0x40, 1]].concat()).is_err());
}

/// Somebody who makes the checksum right again does not get past the wrap.
#[test]
fn a_header_altered_with_care_does_not_open() {
    let (_, header) = cheap();
    let encoded = |change: &dyn Fn(&mut VaultHeader)| {
        let mut changed = header.clone();
        change(&mut changed);
        VaultHeader::decode(&changed.encode())
    };
    assert!(Vault::unlock(PASSWORD, &encoded(&|_| ()).unwrap()).is_ok());
    for byte in 0..48 {
        let changed = encoded(&|header| header.flip_wrapped_key(byte)).unwrap();
        assert_eq!(Vault::unlock(PASSWORD, &changed).unwrap_err(), VaultError::Password);
    }
    for byte in 0..SALT_BYTES {
        let changed = encoded(&|header| header.flip_salt(byte)).unwrap();
        assert_eq!(Vault::unlock(PASSWORD, &changed).unwrap_err(), VaultError::Password);
    }
    for cost in [Cost { memory_kib: 16, ..CHEAP }, Cost { passes: 2, ..CHEAP }] {
        let changed = encoded(&|header| header.set_cost(cost)).unwrap();
        assert_eq!(Vault::unlock(PASSWORD, &changed).unwrap_err(), VaultError::Password);
    }
    let hostile = [
        Cost { memory_kib: ARGON2_MEMORY_KIB_MAX + 1, ..CHEAP },
        Cost { passes: ARGON2_PASSES_MAX + 1, ..CHEAP },
        Cost { lanes: ARGON2_LANES_MAX + 1, ..CHEAP },
        Cost { memory_kib: 0, ..CHEAP },
        Cost { passes: 0, ..CHEAP },
        Cost { lanes: 0, ..CHEAP },
        Cost { memory_kib: u32::MAX, passes: u32::MAX, lanes: u32::MAX },
    ];
    for cost in hostile {
        assert!(matches!(encoded(&|header| header.set_cost(cost)), Err(VaultError::Header(_))), "{cost:?}");
    }
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_value_is_refused() {
    let (vault, _) = cheap();
    let sealed = vault.seal(b"row", b"secret").unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut flipped = sealed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let error = vault.open(b"row", &flipped).unwrap_err();
        assert!(matches!(error, VaultError::Value | VaultError::Version { .. }), "{error}");
    }
    for cut in 0..sealed.len() {
        assert_eq!(vault.open(b"row", &sealed[..cut]).unwrap_err(), VaultError::Value);
    }
    assert_eq!(vault.open(b"row", &[sealed.as_slice(), &[0]].concat()).unwrap_err(), VaultError::Value);
}

#[test]
fn a_value_moved_to_another_row_or_vault_does_not_open() {
    let (vault, _) = cheap();
    let sealed = vault.seal(b"groups/7", b"secret").unwrap();
    for context in [&b"groups/8"[..], b"groups/", b"groups/77", b""] {
        assert_eq!(vault.open(context, &sealed).unwrap_err(), VaultError::Value);
    }
    let (other, other_header) = cheap();
    assert_eq!(other.open(b"groups/7", &sealed).unwrap_err(), VaultError::Value);
    assert_ne!(vault.index(b"user", b"ada"), other.index(b"user", b"ada"));
    assert_ne!(other_header, cheap().1);
}

/// What of a sealed value makes key and nonce.
fn salt_and_counter(sealed: &[u8]) -> Vec<u8> {
    sealed[1..1 + SALT_BYTES + COUNTER_BYTES].to_vec()
}

#[test]
fn no_nonce_repeats_over_threads_sessions_and_restarts() {
    let (mut vault, header) = cheap();
    vault.session_values_max = 50;
    let mut seen = HashSet::new();
    let mut values = Vec::new();
    for _ in 0..3 {
        let sealed: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..200).map(|_| vault.seal(b"row", b"same").unwrap()).collect::<Vec<_>>()))
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        for value in &sealed {
            assert!(seen.insert(salt_and_counter(value)));
            let counter: [u8; 8] = value[17..25].try_into().unwrap();
            assert!(u64::from_be_bytes(counter) < 50);
        }
        values.extend(sealed);
        vault = Vault::unlock(PASSWORD, &header).unwrap();
        vault.session_values_max = 50;
    }
    assert_eq!(seen.len(), 3 * 4 * 200);
    // 48 sessions at least, all opened by a vault that made none of them, with a bounded cache.
    let sessions: HashSet<_> = values.iter().map(|value| value[1..17].to_vec()).collect();
    assert!(sessions.len() >= 48);
    for value in &values {
        assert_eq!(**vault.open(b"row", value).unwrap(), *b"same");
    }
}

#[test]
fn the_cache_of_past_sessions_is_bounded() {
    let (mut vault, header) = cheap();
    vault.session_values_max = 1;
    let values: Vec<_> = (0..200).map(|_| vault.seal(b"row", b"value").unwrap()).collect();
    let vault = Vault::unlock(PASSWORD, &header).unwrap();
    for value in values.iter().chain(&values) {
        vault.open(b"row", value).unwrap();
    }
    assert_eq!(vault.opened.lock().unwrap().len(), OPENED_SESSIONS_MAX.get());
}

#[test]
fn sealing_appends_and_reserves_once() {
    let (vault, _) = cheap();
    let mut out = b"before".to_vec();
    vault.seal_into(b"row", b"one", &mut out).unwrap();
    let first = out.len();
    vault.seal_into(b"row", b"", &mut out).unwrap();
    assert_eq!(&out[..6], b"before");
    assert_eq!(**vault.open(b"row", &out[6..first]).unwrap(), *b"one");
    assert!(vault.open(b"row", &out[first..]).unwrap().is_empty());
    let sealed = vault.seal(b"row", &[7; 4096]).unwrap();
    assert_eq!(sealed.capacity(), 4096 + SEAL_OVERHEAD_BYTES);
}

#[test]
fn an_index_does_not_mix_label_and_value() {
    let (vault, _) = cheap();
    assert_ne!(vault.index(b"user", b"ada"), vault.index(b"use", b"rada"));
    assert_ne!(vault.index(b"user", b"ada"), vault.index(b"room", b"ada"));
    assert_eq!(vault.index(b"user", b"ada"), vault.index(b"user", b"ada"));
}

#[test]
fn a_vault_prints_nothing() {
    let (vault, _) = cheap();
    assert_eq!(format!("{vault:?}"), "Vault(..)");
}

const STEPS: &[Step] = &[|connection| connection.execute_batch(META)];

#[test]
fn a_state_of_an_earlier_release_gets_a_header_of_today() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = Store::open(&path, PASSWORD, STEPS).unwrap();
    let earlier = Cost { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
    let earlier = VaultHeader::wrap_at(earlier, PASSWORD, &store.vault().data_key).unwrap();
    drop(store);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute("UPDATE meta SET value=? WHERE name='vault'", [earlier.encode()]).unwrap();
    let is_cheap = || {
        let sql = "SELECT value FROM meta WHERE name='vault'";
        let header: Vec<u8> = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        VaultHeader::decode(&header).unwrap().is_cheap()
    };
    // nobody can renew it without the password
    assert!(Store::open(&path, b"wrong", STEPS).is_err());
    assert!(is_cheap());
    Store::open(&path, PASSWORD, STEPS).unwrap();
    assert!(!is_cheap());
    // and the old one is nowhere
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(WRAPPED_PART).any(|window| window == &earlier.encode()[40..40 + WRAPPED_PART]));
    }
    Store::open(&path, PASSWORD, STEPS).unwrap();
}

/// So many bytes of a header are found nowhere else.
const WRAPPED_PART: usize = 24;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_value_comes_back(context: Vec<u8>, value: Vec<u8>) {
        let (vault, _) = cheap();
        let sealed = vault.seal(&context, &value).unwrap();
        prop_assert_eq!(&**vault.open(&context, &sealed).unwrap(), &value);
    }

    #[test]
    fn no_bytes_whatever_are_opened_or_crash_the_decoders(bytes: Vec<u8>) {
        let (vault, _) = cheap();
        prop_assert!(vault.open(b"row", &bytes).is_err());
        let framed = [&[VERSION], bytes.as_slice()].concat();
        prop_assert!(vault.open(b"row", &framed).is_err());
        prop_assert!(VaultHeader::decode(&bytes).is_err());
    }
}
