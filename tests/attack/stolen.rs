//! A copy of the disk, without the password or the key file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail the test"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use retaind::device::account::{self, Proof};
use retaind::device::store::{DeviceState, STEPS};
use retaind::network::{Admin, Network, NetworkError, Options, Rotation, Seal};
use retaind::protocol::credential::Role;
use retaind::protocol::endpoint::Endpoint;
use retaind::protocol::wire::*;
use retaind::state::Store;
use retaind::state::vault::Vault;
use rusqlite::Connection;
use zeroize::Zeroizing;

use crate::support::attack::stolen::search;
use crate::support::program::{Program, retaind};
use crate::support::raw::{Raw, Served, network_vault, user};

fn with_key(directory: &Path, key: PathBuf) -> Options {
    let mut options = Options::new(directory);
    options.seal = Seal::KeyFile(key);
    options
}

fn by_bot(directory: &Path, vault: &Arc<Vault>, password: &str) -> Options {
    let mut options = Options::new(directory);
    let password = Arc::new(Zeroizing::new(password.to_owned()));
    options.seal = Seal::Bot { vault: vault.clone(), password, spare: None };
    options
}

#[track_caller]
fn sealed(opened: Result<Arc<Network>, NetworkError>) -> String {
    match opened.map(drop).unwrap_err() {
        NetworkError::Sealed(why) => why,
        other => panic!("{other}"),
    }
}

/// Makes of a network one as earlier releases had it, with its secrets unencrypted; returns these.
fn unseal(directory: &Path) -> Vec<Vec<u8>> {
    let vault = network_vault(directory);
    let database = Connection::open(directory.join("network.sqlite")).unwrap();
    let open = |context: &[u8], sealed: Vec<u8>| vault.open(context, &sealed).unwrap().to_vec();
    let key: Vec<u8> =
        database.query_row("SELECT value FROM meta WHERE key = 'authentication_key'", [], |row| row.get(0)).unwrap();
    let mut secrets = vec![open(b"network authentication key", key)];
    database.execute("UPDATE meta SET value = ? WHERE key = 'authentication_key'", [&secrets[0]]).unwrap();
    for suite in [7u16, 5] {
        let context = [b"network external sender ".as_slice(), &suite.to_be_bytes()].concat();
        let secret: Vec<u8> =
            database.query_row("SELECT secret FROM senders WHERE suite = ?", [suite], |row| row.get(0)).unwrap();
        let secret = open(&context, secret);
        database.execute("UPDATE senders SET secret = ? WHERE suite = ?", (&secret, suite)).unwrap();
        secrets.push(secret);
    }
    database.execute("DELETE FROM meta WHERE key = 'sealed' OR key LIKE 'seal_%' OR key = 'seal'", []).unwrap();
    let sealed = directory.join("network-key.sealed");
    let der = open(b"network certificate key", fs::read(&sealed).unwrap());
    let pem = rcgen::KeyPair::try_from(der.as_slice()).unwrap().serialize_pem();
    fs::write(directory.join("network-key.pem"), &pem).unwrap();
    fs::remove_file(sealed).unwrap();
    fs::remove_file(directory.join("network.key")).unwrap();
    // as a change of the schema has left it
    let copy = directory.join("network.sqlite.v2");
    database.execute("VACUUM INTO ?", [copy.to_str().unwrap()]).unwrap();
    secrets.push(pem.into_bytes());
    secrets
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_network_has_no_keys() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, key) = (folder.path().join("network"), folder.path().join("elsewhere.key"));
    let served = Served::with(with_key(&directory, key.clone())).await;
    let alice = served.device("alice").await;
    let loot = search(&directory, &[]);
    assert!(loot.keys.is_empty(), "{loot:?}");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    // an operator's command has no key, and needs none
    Admin::open(&directory).unwrap().invite(&user("bob"), Role::Normal, None).unwrap();
    drop(alice);
    served.stop().await;

    fs::rename(&key, folder.path().join("lost.key")).unwrap();
    assert!(sealed(Network::open(with_key(&directory, key.clone()))).contains("is missing"));
    fs::write(&key, format!("{}\n", "42".repeat(32))).unwrap();
    assert!(sealed(Network::open(with_key(&directory, key.clone()))).contains("of another network"));
    fs::write(&key, "no key").unwrap();
    assert!(sealed(Network::open(with_key(&directory, key.clone()))).contains("is no key file"));
    fs::rename(folder.path().join("lost.key"), &key).unwrap();
    Network::open(with_key(&directory, key)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_of_an_earlier_release_is_sealed_at_its_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("network");
    let served = Served::start(&directory).await;
    let mut alice: Raw = served.device("alice").await;
    let authentication_key = alice.connection.info().authentication_key.clone();
    served.stop().await;
    let secrets = unseal(&directory);
    let loot = search(&directory, &secrets);
    assert!(loot.keys.len() >= 3 && loot.secrets.len() >= 3, "{loot:?}");

    let key = folder.path().join("elsewhere.key");
    let served = Served::with(with_key(&directory, key)).await;
    let loot = search(&directory, &secrets);
    assert!(loot.keys.is_empty() && loot.secrets.is_empty(), "{loot:?}");
    // it is the same network, for those who know its authority and its key
    alice.login(&served.endpoint).await.unwrap();
    assert_eq!(alice.connection.info().authentication_key, authentication_key);
    let Answer::ClaimedKeyPackages(_) = alice
        .connection
        .call(Request::ClaimKeyPackages(ClaimKeyPackages { users: vec!["alice".into()], cipher_suite: 7 }))
        .await
        .unwrap()
    else {
        panic!()
    };
    served.stop().await;
}

#[test]
fn an_embedded_network_opens_with_the_bot_s_state_or_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("network");
    let vault = |seed: u8| Arc::new(Vault::of_key(&[seed; 32]).unwrap());
    let (old, new) = (vault(1), vault(2));
    let open = |vault: &Arc<Vault>, password: &str| Network::open(by_bot(&directory, vault, password));
    let id = open(&old, "first password").unwrap().network_id().to_owned();
    let loot = search(&directory, &[]);
    assert!(loot.keys.is_empty(), "{loot:?}");
    // the password changes, the state does not
    assert_eq!(open(&old, "second password").unwrap().network_id(), id);
    // the state is lost: the password that was in force opens it, and no other
    assert!(sealed(open(&new, "first password")).contains("neither"));
    open(&new, "second password").unwrap();
    open(&new, "second password").unwrap();
    assert!(sealed(open(&old, "third password")).contains("neither"));
    open(&new, "third password").unwrap();
    // a spare key opens what neither does, and for a network on its own as well
    let spare = folder.path().join("spare.key");
    let with_spare = |vault: &Arc<Vault>, password: &str| {
        let mut options = by_bot(&directory, vault, password);
        let Seal::Bot { spare: place, .. } = &mut options.seal else { panic!() };
        *place = Some(spare.clone());
        Network::open(options)
    };
    with_spare(&new, "third password").unwrap();
    assert_eq!(fs::metadata(&spare).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(search(&directory, &[]).keys.is_empty());
    assert_eq!(with_spare(&old, "fourth password").unwrap().network_id(), id);
    assert_eq!(Network::open(with_key(&directory, spare)).unwrap().network_id(), id);
    // neither way around
    assert!(sealed(Network::open(Options::new(&directory))).contains("a bot has made it"));
    let other = folder.path().join("served");
    drop(Network::open(Options::new(&other)).unwrap());
    assert!(sealed(Network::open(by_bot(&other, &new, "third password"))).contains("key file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_leaves_no_core_and_no_file_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("network");
    let arguments = ["network", "serve", "--listen", "127.0.0.1:0", "--directory", directory.to_str().unwrap()];
    let mut program = Program::start(&mut retaind(&arguments));
    program.says("network listens").await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", program.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
    for entry in fs::read_dir(&directory).unwrap().map(Result::unwrap) {
        let mode = entry.metadata().unwrap().permissions().mode() & 0o077;
        assert_eq!(mode, 0, "{}", entry.path().display());
    }
    program.signal("TERM");
    assert_eq!(program.ends().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_certificate_is_changed_and_devices_follow() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("network");
    let served = Served::start(&directory).await;
    let before = served.endpoint.clone();
    let invite = served.network.admin(|admin| admin.invite_to(&before, &user("alice"), Role::Normal, None)).unwrap();
    let state = Store::open(&folder.path().join("device.db"), b"password of alice", STEPS).unwrap();
    let proof = Proof::Invite(&invite.code);
    let registered = account::register(state, &before, proof, 100).await.unwrap();
    let store = registered.store.clone();
    drop(registered);
    served.stop().await;

    // the device hears of the next one, over what it trusts
    Admin::open(&directory).unwrap().rotate(Rotation::Begin).unwrap();
    let served = Served::start(&directory).await;
    assert_eq!(served.endpoint.authorities().len(), 2);
    let at = |served: &Served| Endpoint { address: served.endpoint.address.clone(), ..before.clone() };
    account::login(store.clone(), Some(&at(&served)), 100).await.unwrap();
    served.stop().await;

    Admin::open(&directory).unwrap().rotate(Rotation::Finish).unwrap();
    let served = Served::start(&directory).await;
    assert_eq!(served.endpoint.authorities().len(), 1);
    assert_ne!(served.endpoint.ca_der, before.ca_der);
    // who has the old key is nobody for it any more, and who knows the old authority only does not get in
    assert!(account::login(store.clone(), Some(&at(&served)), 100).await.is_err());
    let (stored, _) = store.lock().unwrap().identity().unwrap().unwrap();
    let learned = Endpoint { address: served.endpoint.address.clone(), ..stored.endpoint() };
    account::login(store.clone(), Some(&learned), 100).await.unwrap();
    let (stored, _) = store.lock().unwrap().identity().unwrap().unwrap();
    assert_eq!(stored.ca_der, served.endpoint.ca_der);
    served.stop().await;
    // once it is done it is done
    let served = Served::start(&directory).await;
    assert_eq!(served.endpoint.ca_der, stored.ca_der);
    served.stop().await;
}
