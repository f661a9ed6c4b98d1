//! Certificates by authorities (RFC 5280): which are accepted, and what the peer is told of the others.

use super::*;
use alloc::format;
use alloc::string::String;
use core::sync::atomic::{AtomicU32, Ordering};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, date_time_ymd,
};

const RSA_2048: &str = include_str!("keys/rsa_2048.pem");
const RSA_3072: &str = include_str!("keys/rsa_3072.pem");
const RSA_1024: &str = include_str!("keys/rsa_1024.pem");

type Authority = CertifiedIssuer<'static, KeyPair>;

/// Somebody who may vouch for others, and has a name of its own.
fn authority_params() -> CertificateParams {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut params = CertificateParams::default();
    let name = format!("authority {}", COUNT.fetch_add(1, Ordering::Relaxed));
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn authority() -> Authority {
    CertifiedIssuer::self_signed(authority_params(), KeyPair::generate().unwrap()).unwrap()
}

/// One below another, as [`authority_params`] or changed.
fn below(above: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Authority {
    let mut params = authority_params();
    change(&mut params);
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), above).unwrap()
}

/// A certificate for [`NAME`].
fn usual() -> CertificateParams {
    let mut params = CertificateParams::new([String::from(NAME)]).unwrap();
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn changed(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = usual();
    change(&mut params);
    params
}

/// What is shown: the certificate, and those between it and the authority, the lowest first.
fn identity(params: &CertificateParams, chain: &[&Authority]) -> Identity {
    with_key(params, &KeyPair::generate().unwrap(), chain)
}

fn with_key(params: &CertificateParams, key: &KeyPair, chain: &[&Authority]) -> Identity {
    let mut pem = params.signed_by(key, chain[0]).unwrap().pem();
    // The last is the authority itself, which everybody has.
    for between in &chain[..chain.len() - 1] {
        pem.push_str(&between.pem());
    }
    Identity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
}

fn trusting(authority: &Authority) -> Trust {
    Trust::nobody().and_authorities(authority.pem().as_bytes()).unwrap()
}

/// How a handshake ends at the client and at the server.
fn ends(client: &ClientContext, server: &ServerContext) -> [Option<TlsError>; 2] {
    let (mut here, mut there) = (client.handshake(NAME).unwrap(), server.handshake().unwrap());
    let mut ends = [None, None];
    for _ in 0..8 {
        if let Err(error) = pass(&mut here, &mut there, usize::MAX) {
            ends[1].get_or_insert(error);
        }
        if let Err(error) = pass(&mut there, &mut here, usize::MAX) {
            ends[0].get_or_insert(error);
        }
    }
    assert!(ends != [None, None] || here.is_complete() && there.is_complete());
    ends
}

/// What a server that shows this is told by a client that trusts the authority: an alert; none if it is accepted.
fn server_is_told(identity: Identity, authority: &Authority) -> Option<u8> {
    let server = ServerContext::new(ServerOptions::new(vec![identity], Clock::new(NOW))).unwrap();
    let client = ClientOptions::new(trusting(authority), Clock::new(NOW));
    let [here, there] = ends(&ClientContext::new(client).unwrap(), &server);
    assert_eq!(here.is_some(), there.is_some(), "{here:?} {there:?}");
    there.map(|error| received(&error))
}

/// The same of a client that shows it to a server.
fn client_is_told(identity: Identity, authority: &Authority) -> Option<u8> {
    let own = Identity::self_made(&[NAME]).unwrap();
    let trust = Trust::fingerprints([own.fingerprint()]);
    let options = ServerOptions::new(vec![own], Clock::new(NOW));
    let clients = ClientCertificates::Required(trusting(authority));
    let server = ServerContext::new(ServerOptions { clients, ..options }).unwrap();
    let options = ClientOptions::new(trust, Clock::new(NOW));
    let client = ClientOptions { identity: Some(identity), ..options };
    let client = ClientContext::new(client).unwrap();
    // RFC 8446 section 4.4.4: the client is done before the server has judged it, and hears of it as a session.
    let (mut here, mut there) = (client.handshake(NAME).unwrap(), server.handshake().unwrap());
    pass(&mut here, &mut there, usize::MAX).unwrap();
    pass(&mut there, &mut here, usize::MAX).unwrap();
    let refused = pass(&mut here, &mut there, usize::MAX).is_err();
    let mut said = there.output().to_vec();
    let told = opened(&mut here.into_session().unwrap(), &mut said);
    assert_eq!(refused, told.is_err());
    told.err().map(|error| received(&error))
}

fn received(error: &TlsError) -> u8 {
    let TlsError::Received(alert) = *error else { panic!("{error}") };
    alert
}

const BAD_CERTIFICATE: Option<u8> = Some(42);
const UNSUPPORTED_CERTIFICATE: Option<u8> = Some(43);
const CERTIFICATE_EXPIRED: Option<u8> = Some(45);
const CERTIFICATE_UNKNOWN: Option<u8> = Some(46);
const UNKNOWN_CA: Option<u8> = Some(48);

/// Both roles judge certificates alike, but for what they are for.
#[test]
fn rfc8446_6_2_each_kind_of_certificate_has_its_alert() {
    let root = authority();
    let middle = below(&root, |_| {});
    let other = authority();
    let past = changed(|params| params.not_after = date_time_ymd(2027, 1, 1));
    let future = changed(|params| params.not_before = date_time_ymd(2027, 2, 1));
    let no_purpose = changed(|params| params.extended_key_usages.clear());
    let foreign = changed(|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
    });
    for (what, identity, told) in [
        ("usual", identity(&usual(), &[&root]), None),
        ("by another between", identity(&usual(), &[&middle, &root]), None),
        ("for any purpose", identity(&no_purpose, &[&root]), None),
        ("by a stranger", identity(&usual(), &[&other]), UNKNOWN_CA),
        ("of its own", Identity::self_made(&[NAME]).unwrap(), UNKNOWN_CA),
        ("expired", identity(&past, &[&root]), CERTIFICATE_EXPIRED),
        ("not in force yet", identity(&future, &[&root]), CERTIFICATE_EXPIRED),
        ("for another purpose", identity(&foreign, &[&root]), UNSUPPORTED_CERTIFICATE),
    ] {
        assert_eq!(server_is_told(identity.clone(), &root), told, "server, {what}");
        assert_eq!(client_is_told(identity, &root), told, "client, {what}");
    }
}

#[test]
fn what_lies_between_must_be_allowed_to() {
    let root = authority();
    let expired = below(&root, |params| params.not_after = date_time_ymd(2027, 1, 1));
    let not_one = below(&root, |params| params.is_ca = IsCa::ExplicitNoCa);
    let last = below(&root, |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let beyond = below(&last, |_| {});
    let elsewhere = GeneralSubtree::DnsName("elsewhere.example".into());
    let constrained = below(&root, |params| {
        let permitted_subtrees = vec![elsewhere];
        params.name_constraints =
            Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    });
    for (what, chain, told) in [
        ("expired", &[&expired, &root][..], CERTIFICATE_EXPIRED),
        ("no authority", &[&not_one, &root], CERTIFICATE_UNKNOWN),
        ("the last that may", &[&last, &root], None),
        ("beyond the last that may", &[&beyond, &last, &root], CERTIFICATE_UNKNOWN),
        ("for other names", &[&constrained, &root], CERTIFICATE_UNKNOWN),
    ] {
        let identity = identity(&usual(), chain);
        assert_eq!(server_is_told(identity.clone(), &root), told, "server, {what}");
        assert_eq!(client_is_told(identity, &root), told, "client, {what}");
    }
}

/// As webpki bounds it: six below the authority.
#[test]
fn a_chain_has_a_longest() {
    let root = authority();
    let mut chain = Vec::new();
    for length in 1..=8 {
        let lowest = below(chain.last().unwrap_or(&root), |_| {});
        chain.push(lowest);
        let whole: Vec<_> = chain.iter().rev().chain([&root]).collect();
        let told = server_is_told(identity(&usual(), &whole), &root);
        assert_eq!(told.is_none(), length <= 6, "{length}: {told:?}");
    }
}

#[test]
fn rfc6125_6_4_a_server_is_who_was_asked_for() {
    let root = authority();
    for (name, told) in [
        ("web.example", None),
        ("WEB.example", None),
        // All of a top-level domain is nobody's.
        ("*.example", BAD_CERTIFICATE),
        ("example", BAD_CERTIFICATE),
        ("*", BAD_CERTIFICATE),
        ("w*.example", BAD_CERTIFICATE),
        ("*.web.example", BAD_CERTIFICATE),
        ("10.0.0.2", BAD_CERTIFICATE),
    ] {
        let mut params = CertificateParams::new([String::from(name)]).unwrap();
        // Nobody looks there any more.
        params.distinguished_name.push(DnType::CommonName, NAME);
        assert_eq!(server_is_told(identity(&params, &[&root]), &root), told, "{name}");
    }
}

/// How a client of that trust ends with a server that shows this.
fn client_ends(trust: Trust, identity: Identity) -> Option<TlsError> {
    let server = ServerContext::new(ServerOptions::new(vec![identity], Clock::new(NOW))).unwrap();
    let client = ClientContext::new(ClientOptions::new(trust, Clock::new(NOW))).unwrap();
    let [here, there] = ends(&client, &server);
    assert_eq!(here.is_some(), there.is_some(), "{here:?} {there:?}");
    there
}

#[test]
fn where_names_do_not_count_an_authority_does() {
    let (root, other) = (authority(), authority());
    let named = |root: &Authority| {
        let mut params = CertificateParams::new([String::from("another.example")]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        identity(&params, &[root])
    };
    let told = |trust: Trust, identity| client_ends(trust, identity).map(|error| received(&error));
    assert_eq!(told(trusting(&root), named(&root)), BAD_CERTIFICATE);
    assert_eq!(told(trusting(&root).without_names(), named(&root)), None);
    assert_eq!(told(trusting(&root).without_names(), named(&other)), UNKNOWN_CA);
    assert_eq!(told(Trust::nobody().without_names(), named(&root)), UNKNOWN_CA);
    let expired = changed(|params| params.not_after = date_time_ymd(2001, 1, 1));
    let expired = identity(&expired, &[&root]);
    assert_eq!(told(trusting(&root).without_names(), expired), CERTIFICATE_EXPIRED);
    let client = identity(
        &changed(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
        &[&root],
    );
    assert_eq!(told(trusting(&root).without_names(), client), UNSUPPORTED_CERTIFICATE);
}

#[test]
fn where_any_server_will_do_any_certificate_does() {
    let root = authority();
    let expired = changed(|params| params.not_after = date_time_ymd(2001, 1, 1));
    for shown in [
        Identity::self_made(&["another.example"]).unwrap(),
        identity(&expired, &[&root]),
        identity(&usual(), &[&root]),
    ] {
        assert!(client_ends(Trust::any_server(), shown).is_none());
    }
    assert!(!Trust::any_server().is_empty() && Trust::nobody().without_names().is_empty());
}

#[test]
fn a_server_s_certificate_is_no_client_s_and_the_reverse() {
    let root = authority();
    let only =
        |purpose| identity(&changed(|params| params.extended_key_usages = vec![purpose]), &[&root]);
    let server = only(ExtendedKeyUsagePurpose::ServerAuth);
    let client = only(ExtendedKeyUsagePurpose::ClientAuth);
    assert_eq!(server_is_told(server.clone(), &root), None);
    assert_eq!(server_is_told(client.clone(), &root), UNSUPPORTED_CERTIFICATE);
    assert_eq!(client_is_told(client, &root), None);
    assert_eq!(client_is_told(server, &root), UNSUPPORTED_CERTIFICATE);
}

#[test]
fn keys_of_all_kinds_sign_and_vouch() {
    let keys = || {
        [
            ("P-256", KeyPair::generate().unwrap()),
            ("P-384", KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap()),
            ("Ed25519", KeyPair::generate_for(&PKCS_ED25519).unwrap()),
            ("RSA", KeyPair::from_pem(RSA_3072).unwrap()),
        ]
    };
    for (kind, key) in keys() {
        let root = authority();
        let shown = with_key(&usual(), &key, &[&root]);
        assert_eq!(server_is_told(shown.clone(), &root), None, "{kind}");
        assert_eq!(client_is_told(shown, &root), None, "{kind}");
    }
    for (kind, key) in keys() {
        let root = CertifiedIssuer::self_signed(authority_params(), key).unwrap();
        assert_eq!(server_is_told(identity(&usual(), &[&root]), &root), None, "by {kind}");
    }
}

#[test]
fn rsa_keys_come_in_both_forms_and_not_short() {
    let root = authority();
    // rcgen reads PKCS#8 only; the certificate does not matter to a key that is refused.
    let certificate = usual().signed_by(&KeyPair::from_pem(RSA_3072).unwrap(), &root).unwrap();
    let refused =
        |key: &str| Identity::from_pem(certificate.pem().as_bytes(), key.as_bytes()).unwrap_err();
    assert!(RSA_2048.starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    assert_eq!(refused(RSA_2048), IdentityError::Mismatch);
    assert!(matches!(refused(RSA_1024), IdentityError::BadKey(_)));
}

#[test]
fn a_chain_is_read_whole_and_its_order_is_known() {
    let root = authority();
    let (middle, other) = (below(&root, |_| {}), below(&root, |_| {}));
    let key = KeyPair::generate().unwrap();
    let own = usual().signed_by(&key, &middle).unwrap().pem();
    let with = |rest: &[&str]| {
        let text = [&[own.as_str()], rest].concat().concat();
        Identity::from_pem(text.as_bytes(), key.serialize_pem().as_bytes())
    };
    for (rest, in_order) in [
        (&[][..], true),
        (&[&*middle.pem()], true),
        (&[&middle.pem(), &root.pem()], true),
        (&[&other.pem()], false),
        (&[&root.pem(), &middle.pem()], false),
    ] {
        assert_eq!(with(rest).unwrap().is_chain_in_order(), in_order);
    }
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(with(&[&middle.pem(), damaged]).unwrap_err(), IdentityError::BadCertificate);
}

/// A certificate whose bytes changed since the authority saw them.
#[test]
fn a_certificate_that_was_changed_is_refused() {
    let root = authority();
    let key = KeyPair::generate().unwrap();
    let certificate = usual().signed_by(&key, &root).unwrap();
    let der = certificate.der();
    let at = der.windows(NAME.len()).position(|text| text == NAME.as_bytes()).unwrap();
    let mut other = der.to_vec();
    other[at..at + 3].copy_from_slice(b"vip");
    let text = pem(&other);
    let shown = Identity::from_pem(text.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    assert!(server_is_told(shown, &root).is_some());
}

/// RFC 7468.
fn pem(der: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in der.chunks(3) {
        let bits = group
            .iter()
            .enumerate()
            .fold(0_u32, |bits, (index, byte)| bits | u32::from(*byte) << (16 - 8 * index));
        for index in 0..4 {
            let six = (bits >> (18 - 6 * index)) & 63;
            let character = char::from(ALPHABET[six as usize]);
            text.push(if index <= group.len() { character } else { '=' });
        }
    }
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}
