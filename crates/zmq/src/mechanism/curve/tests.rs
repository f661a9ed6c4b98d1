use super::*;
use std::format;

/// Knows the owner of one key.
struct Door;

impl Authority for Door {
    fn admits_key(&self, public_key: &[u8; 32]) -> bool {
        *public_key == *SecretKey::from(ADMITTED).public_key().as_bytes()
    }
}

const SERVER: [u8; 32] = [9; 32];
const ADMITTED: [u8; 32] = [7; 32];
const STRANGER: [u8; 32] = [8; 32];

fn server(seed: u8) -> Server {
    Server::new(&CurveServer { secret_key: SERVER, authority: Arc::new(Door) }, &[seed; 48])
}

fn client(secret_key: [u8; 32], seed: u8) -> Client {
    let server_public_key = public_key(&SERVER);
    Client::new(&CurveClient { server_public_key, secret_key }, &[seed; 48])
}

/// What a command carries behind its name.
fn body(command: &[u8]) -> &[u8] {
    command::split(command).unwrap().1
}

fn reply(step: Result<Step, Error>) -> Vec<u8> {
    match step {
        Ok(Step::Reply(command)) => command,
        other => panic!("{other:?}"),
    }
}

/// HELLO and WELCOME, and the INITIATE that the client makes of them.
fn initiate(client: &mut Client, server: &mut Server, metadata: &[u8]) -> Vec<u8> {
    let hello = client.hello().unwrap();
    let welcome = reply(server.handle(b"HELLO", body(&hello), b""));
    body(&reply(client.handle(b"WELCOME", body(&welcome), metadata))).to_vec()
}

fn refusal(step: Result<Step, Error>) -> Error {
    step.map(|_| ()).unwrap_err()
}

#[test]
fn rfc26_a_hello_has_one_version_and_one_length() {
    let hello = client(ADMITTED, 1).hello().unwrap();
    let hello = body(&hello);
    let longer = [hello, &[0]].concat();
    for (at, version) in [(0, 0), (0, 2), (1, 1)] {
        let mut other = hello.to_vec();
        other[at] = version;
        assert_eq!(refusal(server(2).handle(b"HELLO", &other, b"")), Error::MalformedCommand);
    }
    for other in [&longer, &hello[..hello.len() - 1], &hello[..2], b""] {
        let refused = refusal(server(2).handle(b"HELLO", other, b""));
        assert_eq!(refused, Error::MalformedCommand, "{}", other.len());
    }
    reply(server(2).handle(b"HELLO", hello, b""));
}

#[test]
fn rfc26_an_initiate_may_do_without_metadata_and_without_nothing_else() {
    for metadata in [&b""[..], b"\x01a\0\0\0\0"] {
        let (mut client, mut server) = (client(ADMITTED, 1), server(2));
        let initiate = initiate(&mut client, &mut server, metadata);
        match server.handle(b"INITIATE", &initiate, b"ours") {
            Ok(Step::Done { peer_metadata, .. }) => assert_eq!(peer_metadata, metadata),
            other => panic!("{other:?}"),
        }
    }
    let whole = initiate(&mut client(ADMITTED, 1), &mut server(2), b"");
    for len in [0, 95, 96, 104, whole.len() - 1] {
        let (mut client, mut server) = (client(ADMITTED, 1), server(2));
        initiate(&mut client, &mut server, b"");
        let refused = refusal(server.handle(b"INITIATE", &whole[..len], b""));
        assert_eq!(refused, Error::MalformedCommand, "{len}");
    }
}

#[test]
fn rfc26_an_initiate_brings_the_cookie_of_its_own_connection() {
    let (mut one, mut other) = (server(2), server(3));
    let mut ours = initiate(&mut client(ADMITTED, 1), &mut one, b"");
    let others = initiate(&mut client(ADMITTED, 1), &mut other, b"");
    ours[..COOKIE].copy_from_slice(&others[..COOKIE]);
    assert_eq!(refusal(one.handle(b"INITIATE", &ours, b"")), Error::Crypto);
}

/// An INITIATE as `client` would make it, but with a vouch of another's making.
fn forged(
    client: &mut Client,
    server: &mut Server,
    claimed: &SecretKey,
    vouched: [&[u8; KEY]; 2],
    by: &SecretKey,
) -> Vec<u8> {
    let mut forged = initiate(client, server, b"");
    let server_transient = server.transient.public_key();
    let vouch_nonce = [5; 16];
    let voucher = SalsaBox::new(&server_transient, by);
    let vouch =
        seal(&voucher, &[b"VOUCH---", &vouch_nonce], vouched.map(|key| *key).concat()).unwrap();
    let plain = [&claimed.public_key().as_bytes()[..], &vouch_nonce, &vouch].concat();
    let session = SalsaBox::new(&server_transient, &client.transient);
    let sealed = seal(&session, &[b"CurveZMQINITIATE", &2u64.to_be_bytes()], plain).unwrap();
    forged.truncate(COOKIE + 8);
    forged.extend_from_slice(&sealed);
    forged
}

/// RFC 26, "The Vouch": it is made with the client's long-term key, for this connection's transient key and this server.
#[test]
fn rfc26_nobody_comes_in_by_a_key_that_is_not_theirs() {
    let [admitted, stranger] = [ADMITTED, STRANGER].map(SecretKey::from);
    let server_key = public_key(&SERVER);
    let ours = *client(STRANGER, 1).transient.public_key().as_bytes();
    let [other_transient, other_server] = [[21; 32], [22; 32]].map(|key| public_key(&key));
    for (claimed, vouched, by, expected) in [
        // As it is meant: the owner is let in, another is not.
        (&admitted, [&ours, &server_key], &admitted, None),
        (&stranger, [&ours, &server_key], &stranger, Some(Error::Unauthorized)),
        // The key is somebody's who did not vouch.
        (&admitted, [&ours, &server_key], &stranger, Some(Error::Crypto)),
        // The vouch was for another connection, or for another server.
        (&admitted, [&other_transient, &server_key], &admitted, Some(Error::Crypto)),
        (&admitted, [&ours, &other_server], &admitted, Some(Error::Crypto)),
    ] {
        let (mut client, mut server) = (client(STRANGER, 1), server(2));
        let initiate = forged(&mut client, &mut server, claimed, vouched, by);
        assert_eq!(server.handle(b"INITIATE", &initiate, b"").err(), expected);
    }
}

#[test]
fn ciphers_are_shown_without_their_keys() {
    let (mut client, mut server) = (client(ADMITTED, 1), server(2));
    let initiate = initiate(&mut client, &mut server, b"");
    let Ok(Step::Done { cipher: Some(cipher), .. }) = server.handle(b"INITIATE", &initiate, b"")
    else {
        panic!("no cipher");
    };
    assert_eq!(format!("{cipher:?}"), "Cipher");
    assert_eq!(format!("{:?} {:?}", cipher.sealer, cipher.opener), "Sealer Opener");
}
