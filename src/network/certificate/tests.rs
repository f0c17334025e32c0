//! Certificates that operators give, right and wrong, against what a device says of them.

use std::time::Duration;

use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};

use super::*;

const NAME: &str = "archive.example.org";

struct Authority {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "an authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { params, key, pem }
}

fn leaf(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

/// What a device would say of these certificates and this key, as files, under the name.
fn check(chain: &str, key: &KeyPair, advertised: &str) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, private) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
    fs::write(&certificate, chain).unwrap();
    fs::write(&private, key.serialize_pem()).unwrap();
    let vault = Vault::of_key(&[7; 32]).unwrap();
    let certificate = load(dir.path(), Some(&(certificate, private)), &vault).map_err(|error| error.to_string())?;
    let endpoint =
        Endpoint { address: String::new(), server_name: advertised.to_owned(), ca_der: certificate.ca_der.clone() };
    certificate.check(&endpoint).map_err(|error| error.to_string())
}

fn refusal(chain: &str, key: &KeyPair, advertised: &str) -> String {
    check(chain, key, advertised).unwrap_err()
}

#[test]
fn a_chain_that_devices_accept_is_served() {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::from_params(&authority.params, &authority.key);
    let signed = leaf(NAME).signed_by(&key, &issuer).unwrap().pem();
    check(&format!("{signed}{}", authority.pem), &key, NAME).unwrap();
    // one that issued itself and is no authority: devices trust exactly it
    let own = leaf("192.0.2.7");
    check(&own.self_signed(&key).unwrap().pem(), &key, "192.0.2.7").unwrap();
}

#[test]
fn a_certificate_that_no_device_accepts_is_refused_with_the_reason() {
    let authority = authority();
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let issuer = Issuer::from_params(&authority.params, &authority.key);
    let sign = |params: CertificateParams| params.signed_by(&key, &issuer).unwrap().pem();
    let signed = sign(leaf(NAME));
    let chain = |leaf: &str| format!("{leaf}{}", authority.pem);
    let start = format!("no device would accept the network's certificate for `{NAME}`, the name in its invites: ");

    let mut ca_true = leaf(NAME);
    ca_true.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let text = refusal(&ca_true.self_signed(&key).unwrap().pem(), &key, NAME);
    assert_eq!(
        text,
        format!(
            "{start}it is an authority's (`CA:TRUE`): have the authority issue one for the server, and give that one first"
        )
    );
    let text = refusal(&signed, &key, NAME);
    assert!(text.contains("the file holds only the server's own certificate: add those that issued it"), "{text}");
    let text = refusal(&chain(&signed), &key, "127.0.0.1");
    assert!(text.contains("for `127.0.0.1`") && text.contains("it does not hold that name"), "{text}");
    let mut expired = leaf(NAME);
    expired.not_after = date_time_ymd(2020, 1, 1);
    let text = refusal(&chain(&sign(expired)), &key, NAME);
    assert!(text.contains("has expired: renew it"), "{text}");
    let mut early = leaf(NAME);
    early.not_before = date_time_ymd(2999, 1, 1);
    early.not_after = date_time_ymd(3000, 1, 1);
    let text = refusal(&chain(&sign(early)), &key, NAME);
    assert!(text.contains("is not valid yet: see the clock of this host"), "{text}");
    let mut client = leaf(NAME);
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    assert!(refusal(&chain(&sign(client)), &key, NAME).starts_with(&start));
    let text = refusal(&format!("{}{signed}", authority.pem), &authority.key, NAME);
    assert!(text.contains("is an authority's") || text.contains("its chain is not whole"), "{text}");
    let text = refusal(&chain(&signed), &other, NAME);
    assert!(text.ends_with("its private key is that of another certificate"), "{text}");
}

#[test]
fn a_certificate_is_judged_by_the_time_it_is_asked_at() {
    let key = KeyPair::generate().unwrap();
    let mut brief = leaf(NAME);
    (brief.not_before, brief.not_after) = (date_time_ymd(2030, 1, 1), date_time_ymd(2030, 2, 1));
    let chain = [brief.self_signed(&key).unwrap().der().clone()];
    let endpoint = Endpoint { address: String::new(), server_name: NAME.to_owned(), ca_der: chain[0].to_vec() };
    let at = |secs| accepted(&chain, &endpoint, UNIX_EPOCH + Duration::from_secs(secs)).is_ok();
    assert_eq!([1_893_450_000, 1_894_000_000, 1_897_000_000].map(at), [false, true, false]);
}
