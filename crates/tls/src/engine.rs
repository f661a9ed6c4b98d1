//! Engine: who makes the keys of a connection. What comes after that, records, is this crate's own.
//!
//! There is one, over rustls. It is asked for little, so that another can take its place: rustls' later lines need `std`
//! and have no API without I/O.

mod rustls_engine;

pub(crate) use rustls_engine::{client, server};

use crate::TlsError;
use alloc::boxed::Box;
use alloc::vec::Vec;
use zeroize::Zeroize;

/// A handshake at work.
pub(crate) trait Engine {
    /// Takes records off the front of `input`, whose last one is whole, and may change it; how many bytes are done with.
    /// The others are to be shown again in front of the next record. What is to be sent is added to `output`, with an
    /// error, too: its alert.
    fn handle_records(&mut self, input: &mut [u8], output: &mut Vec<u8>)
    -> Result<usize, TlsError>;

    /// Both sides have finished.
    fn is_complete(&self) -> bool;

    /// What the handshake came to.
    fn establish(self: Box<Self>) -> Result<Established, TlsError>;
}

/// What a handshake came to.
pub(crate) struct Established {
    pub(crate) transmit: TrafficSecret,
    pub(crate) receive: TrafficSecret,
    /// None in TLS 1.2, whose keys stay.
    pub(crate) successor: Option<Box<dyn Successor>>,
    pub(crate) info: Info,
}

/// What is left of a handshake in TLS 1.3: it makes the keys that follow, and keeps tickets.
pub(crate) trait Successor {
    /// The key by which we send from now on (RFC 8446 section 7.2).
    fn next_transmit(&mut self) -> Result<TrafficSecret, TlsError>;

    /// The key by which the peer sends from now on.
    fn next_receive(&mut self) -> Result<TrafficSecret, TlsError>;

    /// Takes what a NewSessionTicket says (RFC 8446 section 4.6.1).
    fn take_ticket(&mut self, content: &[u8]) -> Result<(), TlsError>;
}

/// What was agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// TLS 1.3, else 1.2.
    pub is_tls13: bool,
    /// It goes on from an earlier connection.
    pub is_resumed: bool,
    /// The protocol above (RFC 7301), if that was agreed on.
    pub protocol: Option<Vec<u8>>,
    /// SHA-256 of the peer's certificate, if it showed one that was accepted.
    pub peer_fingerprint: Option<[u8; 32]>,
    /// SHA-256 of the peer's public key, of its SubjectPublicKeyInfo in DER (RFC 5280 section 4.1.2.7), likewise.
    pub peer_key: Option<[u8; 32]>,
    /// `tls-server-end-point` (RFC 5929 section 4.1), for protocols that bind what they prove to this connection: the hash of the
    /// peer's certificate by that of its signature. None of signatures that leave the hash open, such as Ed25519's.
    pub peer_end_point: Option<Vec<u8>>,
    /// The name of the cipher suite, as in IANA's registry.
    pub cipher_suite: &'static str,
}

/// What seals a connection's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

impl Cipher {
    pub(crate) fn key_bytes(self) -> usize {
        if self == Self::Aes128Gcm { 16 } else { 32 }
    }
}

/// One direction's secret.
pub(crate) struct TrafficSecret {
    pub(crate) cipher: Cipher,
    key: [u8; 32],
    pub(crate) iv: [u8; 12],
    /// The number of the first record.
    pub(crate) sequence: u64,
}

impl TrafficSecret {
    /// `key` is as long as the cipher has it.
    pub(crate) fn new(cipher: Cipher, key: &[u8], iv: [u8; 12], sequence: u64) -> Self {
        let mut own = [0; 32];
        own.iter_mut().zip(key).for_each(|(own, byte)| *own = *byte);
        Self { cipher, key: own, iv, sequence }
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.key.get(..self.cipher.key_bytes()).unwrap_or_default()
    }
}

impl Drop for TrafficSecret {
    fn drop(&mut self) {
        self.key.zeroize();
        self.iv.zeroize();
    }
}
