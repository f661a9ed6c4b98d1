//! What a server takes of clients that lie.

use super::*;
use std::format;
use std::vec;

/// Admits the owner of the secret key of sevens.
struct Door;

impl Authority for Door {
    fn admits_key(&self, key: &[u8; 32]) -> bool {
        *key == public_key(&[7; 32])
    }
}

fn secret(byte: u8) -> SecretKey {
    SecretKey::from([byte; 32])
}

fn server() -> Server {
    Server::new(&CurveServer { secret_key: [9; 32], authority: Arc::new(Door) }, &[1; 48])
}

/// A HELLO's body of a client whose C' is of threes.
fn hello(version: [u8; 2], nonce: u64) -> Vec<u8> {
    let nonce = nonce.to_be_bytes();
    let to_server = SalsaBox::new(&secret(9).public_key(), &secret(3));
    let proof = seal(&to_server, &[b"CurveZMQHELLO---", &nonce], vec![0; 64]).unwrap();
    let transient = secret(3).public_key();
    [&version[..], &[0; 72], transient.as_bytes(), &nonce, &proof].concat()
}

/// A server that has answered HELLO, whose nonce was 5; its S' and its cookie.
fn greeted() -> (Server, PublicKey, Vec<u8>) {
    let mut server = server();
    let Ok(Step::Reply(welcome)) = server.handle(b"HELLO", &hello([1, 0], 5), b"") else {
        panic!("no WELCOME");
    };
    let (nonce, sealed) = command::split(&welcome).unwrap().1.split_at(16);
    let session = SalsaBox::new(&secret(9).public_key(), &secret(3));
    let plain = open(&session, &[b"WELCOME-", nonce], sealed).unwrap();
    let (transient, cookie) = plain.split_first_chunk::<32>().unwrap();
    (server, PublicKey::from(*transient), cookie.to_vec())
}

/// What an INITIATE says, and what is behind it.
struct Claim {
    /// Whose long-term key C it states, and by which key the vouch is made.
    owner: u8,
    signer: u8,
    /// What the vouch says: whose C', and for which server.
    transient: u8,
    server: u8,
    nonce: u64,
}

const HONEST: Claim = Claim { owner: 7, signer: 7, transient: 3, server: 9, nonce: 6 };

fn initiate(claim: &Claim) -> Result<Step, Error> {
    let (mut server, server_transient, cookie) = greeted();
    let vouched = [secret(claim.transient), secret(claim.server)];
    let vouched = vouched.map(|key| *key.public_key().as_bytes()).concat();
    let voucher = SalsaBox::new(&server_transient, &secret(claim.signer));
    let vouch = seal(&voucher, &[b"VOUCH---", &[4; 16]], vouched).unwrap();
    let owner = secret(claim.owner).public_key();
    let plain = [owner.as_bytes(), &[4; 16][..], &vouch, b"who we are"].concat();
    let nonce = claim.nonce.to_be_bytes();
    let session = SalsaBox::new(&server_transient, &secret(3));
    let sealed = seal(&session, &[b"CurveZMQINITIATE", &nonce], plain).unwrap();
    server.handle(b"INITIATE", &[&cookie[..], &nonce, &sealed].concat(), b"")
}

#[test]
fn rfc26_only_the_owner_of_an_admitted_key_comes_in() {
    let Ok(Step::Done { peer_metadata, cipher: Some(_), .. }) = initiate(&HONEST) else {
        panic!("the owner is refused");
    };
    assert_eq!(peer_metadata, b"who we are");
    for (claim, why) in [
        (Claim { owner: 8, signer: 8, ..HONEST }, Error::Unauthorized),
        // The public key of somebody who is admitted, whose secret one it has not.
        (Claim { signer: 8, ..HONEST }, Error::Crypto),
        // A vouch that was made for another connection, and for another server.
        (Claim { transient: 2, ..HONEST }, Error::Crypto),
        (Claim { server: 2, ..HONEST }, Error::Crypto),
        // Nonces go up.
        (Claim { nonce: 5, ..HONEST }, Error::Crypto),
    ] {
        assert_eq!(initiate(&claim).unwrap_err(), why);
    }
}

#[test]
fn rfc26_a_hello_of_another_version_or_length_is_refused() {
    let good = hello([1, 0], 1);
    assert_eq!(good.len(), 194);
    assert!(server().handle(b"HELLO", &good, b"").is_ok());
    let long = [&good[..], b"x"].concat();
    for body in [&hello([2, 0], 1), &hello([1, 1], 1), &good[..193], &good[..74], b"\x01", &long] {
        let refused = server().handle(b"HELLO", body, b"").unwrap_err();
        assert_eq!(refused, Error::MalformedCommand, "{body:?}");
    }
}

#[test]
fn rfc26_an_initiate_too_short_is_refused() {
    for (len, why) in [
        (0, Error::MalformedCommand),
        (95, Error::MalformedCommand),
        (247, Error::MalformedCommand),
        // Long enough, of zeros.
        (248, Error::Crypto),
    ] {
        let refused = greeted().0.handle(b"INITIATE", &vec![0; len], b"").unwrap_err();
        assert_eq!(refused, why, "{len}");
    }
}

#[test]
fn keys_of_a_session_are_not_shown() {
    let session = SalsaBox::new(&secret(1).public_key(), &secret(2));
    let cipher = Cipher::new(session, Side::Client, 0, 0);
    let shown = format!("{cipher:?} {:?} {:?}", cipher.sealer, cipher.opener);
    assert_eq!(shown, "Cipher Sealer Opener");
}
