//! Peers that are known by their keys.

use super::*;
use alloc::sync::Arc;
use rustls::sign::CertifiedKey;
use std::string::ToString;

fn handshake(
    client: &SecretKey,
    server: &SecretKey,
    expected: [u8; 32],
) -> Result<(Session, Session), TlsError> {
    let client = ClientContext::by_key(client, expected).unwrap();
    let server = ServerContext::by_key(server).unwrap();
    shake(&client, &server, 1)
}

#[test]
fn each_knows_the_other_by_its_key() {
    let (client, server) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
    let (here, there) = handshake(&client, &server, server.fingerprint()).unwrap();
    assert_eq!(here.info().peer_key, Some(server.fingerprint()));
    assert_eq!(there.info().peer_key, Some(client.fingerprint()));
    assert!(here.info().is_tls13 && !here.info().is_resumed);
}

/// The client's first bytes after its hello are its certificate: a server with another key gets an alert instead.
#[test]
fn a_server_with_another_key_is_refused_and_not_told_who_asks() {
    let (client, server) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
    let mut wrong = server.fingerprint();
    wrong[31] ^= 1;
    let client = ClientContext::by_key(&client, wrong).unwrap();
    let server = ServerContext::by_key(&server).unwrap();
    let (mut here, mut there) = (client.handshake(NAME).unwrap(), server.handshake().unwrap());
    pass(&mut here, &mut there, usize::MAX).unwrap();
    let failure = pass(&mut there, &mut here, usize::MAX).unwrap_err().to_string();
    // As `capnp://sha-256:...` has them; the two differ in the last bit.
    let (_, keys) = failure.split_once("wrong key: expected sha-256:").expect(&failure);
    let (expected, found) = keys.split_once(", found sha-256:").expect(&failure);
    assert_eq!((expected.len(), found.len()), (43, 43), "{failure}");
    assert_eq!(expected[..42], found[..42]);
    assert_ne!(expected, found);
    let refused = pass(&mut here, &mut there, usize::MAX).unwrap_err();
    assert!(matches!(refused, TlsError::Received(_)), "{refused}");
}

#[test]
fn rfc8446_4_4_2_4_a_client_without_a_certificate_is_refused() {
    let (client, key) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
    let server = ServerContext::by_key(&key).unwrap();
    let known = ClientContext::by_key(&client, key.fingerprint()).unwrap();
    let (here, _) = shake(&known, &server, usize::MAX).unwrap();
    let certificate = here.info().peer_fingerprint.unwrap();
    let options = ClientOptions::new(Trust::fingerprints([certificate]), Clock::new(NOW));
    let silent = ClientContext::new(options).unwrap();
    let (mut here, mut there) = (silent.handshake(NAME).unwrap(), server.handshake().unwrap());
    pass(&mut here, &mut there, usize::MAX).unwrap();
    pass(&mut there, &mut here, usize::MAX).unwrap();
    let refused = pass(&mut here, &mut there, usize::MAX).unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");
    assert!(!there.is_complete());
}

#[test]
fn rfc8446_4_4_3_a_certificate_without_its_key_is_refused() {
    let (victim, thief) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
    let shown = Identity::of_key(&victim, &["capnp"]).unwrap();
    let mut forged = Identity::of_key(&thief, &["capnp"]).unwrap();
    forged.key = Arc::new(CertifiedKey::new(shown.key.cert.clone(), thief.signing.clone()));
    let server = ServerContext::new(ServerOptions::new(vec![forged], Clock::new(NOW))).unwrap();
    let client = ClientContext::by_key(&thief, victim.fingerprint()).unwrap();
    let refused = shake(&client, &server, usize::MAX).err().unwrap();
    assert!(refused.to_string().contains("BadSignature"), "{refused}");
}

#[test]
fn whatever_names_a_certificate_has_its_key_counts() {
    let pem = SecretKey::generate_pem().unwrap();
    let key = SecretKey::from_pem(pem.as_bytes()).unwrap();
    let one = Identity::of_key(&key, &["a.example"]).unwrap();
    let other = Identity::of_key(&key, &["b.example", "10.0.0.2"]).unwrap();
    assert_ne!(one.fingerprint(), other.fingerprint());
    for identity in [one, other] {
        let clock = Clock::new(NOW);
        let server = ServerOptions::new(vec![identity], clock);
        let server = ServerContext::new(server).unwrap();
        let client = ClientContext::by_key(&SecretKey::generate().unwrap(), key.fingerprint());
        let (here, _) = shake(&client.unwrap(), &server, usize::MAX).unwrap();
        assert_eq!(here.info().peer_key, Some(key.fingerprint()));
    }
}

#[test]
fn rfc7468_a_key_reads_back_and_derives_the_same_secrets() {
    let pem = SecretKey::generate_pem().unwrap();
    let (one, same) = (SecretKey::from_pem(pem.as_bytes()), SecretKey::from_pem(pem.as_bytes()));
    let (one, same, other) = (one.unwrap(), same.unwrap(), SecretKey::generate().unwrap());
    assert_eq!(one.fingerprint(), same.fingerprint());
    assert_eq!(one.derive(&[b"a", b"b"]), same.derive(&[b"a", b"b"]));
    assert_ne!(one.derive(&[b"a"]), one.derive(&[b"b"]));
    assert_ne!(one.derive(&[b"a"]), other.derive(&[b"a"]));
    assert!(pem.lines().all(|line| line.len() <= 64));
}

/// `openssl pkey -pubout -outform DER | sha256sum` of the same file.
#[test]
fn a_fingerprint_is_openssl_s_digest_of_the_public_key() {
    for (pem, expected) in [(P256, P256_PUBLIC), (ED25519, ED25519_PUBLIC)] {
        let key = SecretKey::from_pem(pem.as_bytes()).unwrap();
        assert_eq!(hex(&key.fingerprint()), expected);
        let (here, _) = handshake(&key, &key, key.fingerprint()).unwrap();
        assert_eq!(here.info().peer_key, Some(key.fingerprint()));
    }
}

const P256: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgSojsH2mjUKvr77/X
p5syBcFHkB7rj/ByUFlJ4qHMINihRANCAAT+aU3dUMN2etmzlHR0AgutuTDatTt9
7H+G22C3Wo6B0pOqkVNYC2FOUI1vctn65jbuL2z65agAom1GDZN8NtEr
-----END PRIVATE KEY-----
";
const P256_PUBLIC: &str = "c824198de972a772ed013e2ea910a21ad7a8914d7f6e0f870d04fcaf65ea989c";
const ED25519: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEID+b8IH7k/b7sm6S/5UijFt2Tqhw9x1m6PrSZ7TOBd8N
-----END PRIVATE KEY-----
";
const ED25519_PUBLIC: &str = "4136e8f7a4bd19ca48970009aa8b7c6cd9df455f387469d6153da104a2f900a2";
