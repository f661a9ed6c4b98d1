//! CURVE mechanism (RFC 26/CURVEZMQ, RFC 25/ZMTP-CURVE).
//!
//! Names follow the RFC: C and S are long-term keys, C' and S' ("transient" here) live as long
//! as the connection. All of the handshake's random bytes come from the caller.

mod z85;

pub use z85::{z85_decode, z85_encode};

use super::Step;
use crate::frame::{COMMAND, MORE};
use crate::{Authority, CurveClient, CurveServer, Error, command};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use crypto_box::aead::AeadInPlace;
use crypto_box::{PublicKey, SalsaBox, SecretKey};

const KEY: usize = 32;
const TAG: usize = 16;
const COOKIE: usize = 96;
const VOUCH: usize = KEY + KEY + TAG;
const HELLO_BODY: usize = 2 + 72 + KEY + 8 + 64 + TAG;
const WELCOME_BODY: usize = 16 + KEY + COOKIE + TAG;
/// An INITIATE without metadata.
const INITIATE_BODY_MIN: usize = COOKIE + 8 + TAG + KEY + 16 + VOUCH;
/// Bytes that a MESSAGE command adds to what it carries: name, nonce, tag, flags.
pub(crate) const MESSAGE_OVERHEAD: usize = 8 + 8 + TAG + 1;

/// Flags inside a MESSAGE command. RFC 26 has the first only; the second is libzmq's, whose
/// subscriptions and heartbeats come with it. It is not the bit that a frame's header has.
const INNER_MORE: u8 = 1;
const INNER_COMMAND: u8 = 2;

/// The public key that belongs to a secret key.
pub fn public_key(secret_key: &[u8; 32]) -> [u8; 32] {
    *SecretKey::from(*secret_key).public_key().as_bytes()
}

pub(crate) struct Client {
    server: PublicKey,
    long_term: SecretKey,
    transient: SecretKey,
    vouch_nonce: [u8; 16],
    // The session with S', once WELCOME brought it.
    session: Option<SalsaBox>,
}

impl Client {
    pub(super) fn new(keys: &CurveClient, entropy: &[u8; 48]) -> Self {
        let (transient, vouch_nonce) = transient_and_nonce(entropy);
        Self {
            server: PublicKey::from(keys.server_public_key),
            long_term: SecretKey::from(keys.secret_key),
            transient,
            vouch_nonce,
            session: None,
        }
    }

    pub(super) fn hello(&self) -> Result<Vec<u8>, Error> {
        let nonce = 1u64.to_be_bytes();
        let to_server = SalsaBox::new(&self.server, &self.transient);
        let proof = seal(&to_server, &[b"CurveZMQHELLO---", &nonce], [0; 64].to_vec())?;
        let transient = self.transient.public_key();
        Ok(command::join(b"HELLO", &[&[1, 0], &[0; 72], transient.as_bytes(), &nonce, &proof]))
    }

    pub(super) fn handle(
        &mut self,
        name: &[u8],
        body: &[u8],
        metadata: &[u8],
    ) -> Result<Step, Error> {
        match (name, self.session.take()) {
            (b"WELCOME", None) => self.welcome(body, metadata).map(Step::Reply),
            (b"READY", Some(session)) => {
                let (nonce, sealed) = body.split_first_chunk().ok_or(Error::MalformedCommand)?;
                let peer_metadata = open(&session, &[b"CurveZMQREADY---", nonce], sealed)?;
                // HELLO used nonce 1 and INITIATE nonce 2.
                let cipher = Cipher::new(session, Side::Client, 2, u64::from_be_bytes(*nonce));
                Ok(Step::Done { reply: None, peer_metadata, cipher: Some(cipher) })
            }
            _ => Err(Error::UnexpectedCommand),
        }
    }

    /// WELCOME -> INITIATE.
    fn welcome(&mut self, body: &[u8], metadata: &[u8]) -> Result<Vec<u8>, Error> {
        if body.len() != WELCOME_BODY {
            return Err(Error::MalformedCommand);
        }
        let (nonce, sealed) = body.split_at(16);
        let to_server = SalsaBox::new(&self.server, &self.transient);
        let plain = open(&to_server, &[b"WELCOME-", nonce], sealed)?;
        let (server_transient, cookie) = plain.split_first_chunk::<KEY>().ok_or(Error::Crypto)?;
        let server_transient = PublicKey::from(*server_transient);

        let mut vouched = self.transient.public_key().as_bytes().to_vec();
        vouched.extend_from_slice(self.server.as_bytes());
        let voucher = SalsaBox::new(&server_transient, &self.long_term);
        let vouch = seal(&voucher, &[b"VOUCH---", &self.vouch_nonce], vouched)?;

        let mut plain = self.long_term.public_key().as_bytes().to_vec();
        plain.extend_from_slice(&self.vouch_nonce);
        plain.extend_from_slice(&vouch);
        plain.extend_from_slice(metadata);
        let session = SalsaBox::new(&server_transient, &self.transient);
        let nonce = 2u64.to_be_bytes();
        let sealed = seal(&session, &[b"CurveZMQINITIATE", &nonce], plain)?;
        self.session = Some(session);
        Ok(command::join(b"INITIATE", &[cookie, &nonce, &sealed]))
    }
}

pub(crate) struct Server {
    long_term: SecretKey,
    authority: Arc<dyn Authority>,
    transient: SecretKey,
    welcome_nonce: [u8; 16],
    // C', once HELLO brought it, and the nonce it used.
    client: Option<(PublicKey, u64)>,
}

impl Server {
    pub(super) fn new(keys: &CurveServer, entropy: &[u8; 48]) -> Self {
        let (transient, welcome_nonce) = transient_and_nonce(entropy);
        Self {
            long_term: SecretKey::from(keys.secret_key),
            authority: keys.authority.clone(),
            transient,
            welcome_nonce,
            client: None,
        }
    }

    pub(super) fn handle(
        &mut self,
        name: &[u8],
        body: &[u8],
        metadata: &[u8],
    ) -> Result<Step, Error> {
        match (name, self.client.take()) {
            (b"HELLO", None) => self.hello(body).map(Step::Reply),
            (b"INITIATE", Some((client, nonce))) => self.initiate(&client, nonce, body, metadata),
            _ => Err(Error::UnexpectedCommand),
        }
    }

    /// HELLO -> WELCOME.
    fn hello(&mut self, body: &[u8]) -> Result<Vec<u8>, Error> {
        if body.len() != HELLO_BODY || body[..2] != [1, 0] {
            return Err(Error::MalformedCommand);
        }
        let (client, rest) =
            body[74..].split_first_chunk::<KEY>().ok_or(Error::MalformedCommand)?;
        let (nonce, proof) = rest.split_first_chunk::<8>().ok_or(Error::MalformedCommand)?;
        let client = PublicKey::from(*client);
        let to_client = SalsaBox::new(&client, &self.long_term);
        open(&to_client, &[b"CurveZMQHELLO---", nonce], proof)?;
        self.client = Some((client, u64::from_be_bytes(*nonce)));

        let mut plain = self.transient.public_key().as_bytes().to_vec();
        plain.extend_from_slice(&self.cookie());
        let sealed = seal(&to_client, &[b"WELCOME-", &self.welcome_nonce], plain)?;
        Ok(command::join(b"WELCOME", &[&self.welcome_nonce, &sealed]))
    }

    /// RFC 26 lets a server forget the client until INITIATE brings the cookie back. Ours
    /// remembers it with the TCP connection, so the cookie needs to hold no secret.
    fn cookie(&self) -> [u8; COOKIE] {
        let mut cookie = [0; COOKIE];
        cookie[..16].copy_from_slice(&self.welcome_nonce);
        cookie
    }

    /// INITIATE -> READY.
    fn initiate(
        &self,
        client: &PublicKey,
        hello_nonce: u64,
        body: &[u8],
        metadata: &[u8],
    ) -> Result<Step, Error> {
        if body.len() < INITIATE_BODY_MIN {
            return Err(Error::MalformedCommand);
        }
        let (cookie, rest) = body.split_at(COOKIE);
        let (nonce, sealed) = rest.split_first_chunk::<8>().ok_or(Error::MalformedCommand)?;
        let peer_nonce = u64::from_be_bytes(*nonce);
        if cookie != self.cookie() || peer_nonce <= hello_nonce {
            return Err(Error::Crypto);
        }
        let session = SalsaBox::new(client, &self.transient);
        let plain = open(&session, &[b"CurveZMQINITIATE", nonce], sealed)?;
        let (client_long_term, rest) = plain.split_first_chunk::<KEY>().ok_or(Error::Crypto)?;
        let (vouch, peer_metadata) = rest.split_at_checked(16 + VOUCH).ok_or(Error::Crypto)?;
        self.check_vouch(client, client_long_term, vouch)?;
        if !self.authority.admits_key(client_long_term) {
            return Err(Error::Unauthorized);
        }
        let peer_metadata = peer_metadata.to_vec();
        let nonce = 1u64.to_be_bytes();
        let sealed = seal(&session, &[b"CurveZMQREADY---", &nonce], metadata.to_vec())?;
        let reply = Some(command::join(b"READY", &[&nonce, &sealed]));
        let cipher = Cipher::new(session, Side::Server, 1, peer_nonce);
        Ok(Step::Done { reply, peer_metadata, cipher: Some(cipher) })
    }

    /// RFC 26: the vouch proves that the owner of C made C' and meant to speak to S.
    fn check_vouch(
        &self,
        client: &PublicKey,
        long_term: &[u8; KEY],
        vouch: &[u8],
    ) -> Result<(), Error> {
        let (nonce, sealed) = vouch.split_at(16);
        let voucher = SalsaBox::new(&PublicKey::from(*long_term), &self.transient);
        let vouched = open(&voucher, &[b"VOUCH---", nonce], sealed)?;
        let expected = [*client.as_bytes(), *self.long_term.public_key().as_bytes()];
        if vouched == expected.as_flattened() { Ok(()) } else { Err(Error::Crypto) }
    }
}

fn transient_and_nonce(entropy: &[u8; 48]) -> (SecretKey, [u8; 16]) {
    let (mut secret, mut nonce) = ([0; KEY], [0; 16]);
    secret.copy_from_slice(&entropy[..KEY]);
    nonce.copy_from_slice(&entropy[KEY..]);
    (SecretKey::from(secret), nonce)
}

#[derive(Clone, Copy)]
enum Side {
    Client,
    Server,
}

impl Side {
    fn nonce_prefix(self) -> &'static [u8; 16] {
        match self {
            Self::Client => b"CurveZMQMESSAGEC",
            Self::Server => b"CurveZMQMESSAGES",
        }
    }
}

/// The two directions of a connection's traffic.
pub(crate) struct Cipher {
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
}

impl Cipher {
    /// `sent` and `received`: the last nonces of the handshake.
    fn new(session: SalsaBox, us: Side, sent: u64, received: u64) -> Self {
        let session = Arc::new(session);
        let them = match us {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        };
        Self {
            sealer: Sealer { session: session.clone(), side: us, nonce: sent },
            opener: Opener { session, side: them, nonce: received },
        }
    }
}

/// Makes MESSAGE commands.
pub(crate) struct Sealer {
    session: Arc<SalsaBox>,
    side: Side,
    nonce: u64,
}

impl Sealer {
    /// A MESSAGE command that carries a frame with these flags.
    pub(crate) fn seal(&mut self, flags: u8, body: &[u8]) -> Vec<u8> {
        self.nonce += 1;
        let counter = self.nonce.to_be_bytes();
        let mut frame = Vec::with_capacity(MESSAGE_OVERHEAD + body.len());
        frame.extend_from_slice(b"\x07MESSAGE");
        frame.extend_from_slice(&counter);
        frame.extend_from_slice(&[0; TAG]);
        let more = if flags & MORE != 0 { INNER_MORE } else { 0 };
        frame.push(more | if flags & COMMAND != 0 { INNER_COMMAND } else { 0 });
        frame.extend_from_slice(body);
        let (head, plain) = frame.split_at_mut(16 + TAG);
        let nonce = nonce(&[self.side.nonce_prefix(), &counter]);
        // Fails only past 2^64 bytes; then the zero tag will not open at the peer.
        if let Ok(tag) = self.session.encrypt_in_place_detached(&nonce.into(), &[], plain) {
            head[16..].copy_from_slice(&tag);
        }
        frame
    }
}

/// Opens MESSAGE commands.
pub(crate) struct Opener {
    session: Arc<SalsaBox>,
    side: Side,
    nonce: u64,
}

impl Opener {
    /// The flags and the body of the frame that a MESSAGE command carries.
    pub(crate) fn open(&mut self, frame: &[u8]) -> Result<(u8, Bytes), Error> {
        let (name, body) = command::split(frame)?;
        if name != b"MESSAGE" {
            return Err(Error::UnexpectedCommand);
        }
        let (counter, sealed) = body.split_first_chunk::<8>().ok_or(Error::MalformedCommand)?;
        let nonce = u64::from_be_bytes(*counter);
        // RFC 26: each nonce is greater than the last; else a command is being replayed.
        if nonce <= self.nonce {
            return Err(Error::Crypto);
        }
        self.nonce = nonce;
        let plain = open(&self.session, &[self.side.nonce_prefix(), counter], sealed)?;
        let mut body = Bytes::from(plain);
        let flags = match body.first() {
            Some(&INNER_COMMAND) => COMMAND,
            Some(&INNER_MORE) => MORE,
            Some(0) => 0,
            Some(_) => return Err(Error::ReservedFlags),
            None => return Err(Error::MalformedCommand),
        };
        Ok((flags, body.split_off(1)))
    }
}

fn nonce(parts: &[&[u8]; 2]) -> [u8; 24] {
    let mut nonce = [0; 24];
    for (to, from) in nonce.iter_mut().zip(parts.iter().copied().flatten()) {
        *to = *from;
    }
    nonce
}

/// A NaCl box: tag, then ciphertext.
fn seal(with: &SalsaBox, nonce_parts: &[&[u8]; 2], mut plain: Vec<u8>) -> Result<Vec<u8>, Error> {
    let nonce = nonce(nonce_parts);
    let tag = with
        .encrypt_in_place_detached(&nonce.into(), &[], &mut plain)
        .map_err(|_| Error::Crypto)?;
    let mut sealed = tag.to_vec();
    sealed.append(&mut plain);
    Ok(sealed)
}

fn open(with: &SalsaBox, nonce_parts: &[&[u8]; 2], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let nonce = nonce(nonce_parts);
    let (tag, body) = sealed.split_first_chunk::<TAG>().ok_or(Error::MalformedCommand)?;
    let mut plain = body.to_vec();
    with.decrypt_in_place_detached(&nonce.into(), &[], &mut plain, &(*tag).into())
        .map_err(|_| Error::Crypto)?;
    Ok(plain)
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener")
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher")
    }
}

#[cfg(test)]
mod tests;
