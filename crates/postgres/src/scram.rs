//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), the client's side.
//!
//! What takes time, the salted password, is computed in slices, so that others have their turns meanwhile.

use crate::{ChannelBinding, Error, saslprep};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use base64ct::{Base64, Encoding};
use core::str;
use ring::digest::{SHA256, digest};
use ring::hmac::{self, HMAC_SHA256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

const KEY_BYTES: usize = 32;

/// Iterations of one slice: some 0.5 ms. PostgreSQL's own default takes four, and the most that are taken, a thousand.
const SLICE_ITERATIONS: u32 = 1024;

/// Longest server nonce and salt, bytes. PostgreSQL's have 24 beside ours, and 16.
const NONCE_BYTES_MAX: usize = 256;
const SALT_BYTES_MAX: usize = 256;

/// An exchange at work.
pub(crate) struct Scram {
    /// What the channel is bound to: `gs2-header` and `cbind-data` (RFC 5802 section 7).
    binding: Vec<u8>,
    is_plus: bool,
    nonce: String,
    state: State,
}

enum State {
    /// The server's first message is awaited.
    First,
    Computing(Box<Salting>),
    /// The server's last message is awaited, with this signature.
    Final([u8; KEY_BYTES]),
    Done,
}

/// `Hi(password, salt, i)` (RFC 5802 section 2.2), so far as it has come.
struct Salting {
    key: hmac::Key,
    last: [u8; KEY_BYTES],
    sum: [u8; KEY_BYTES],
    left: u32,
    /// The messages up to the proof, which both sides sign.
    messages: String,
    final_without_proof: String,
}

impl Drop for Salting {
    fn drop(&mut self) {
        self.last.zeroize();
        self.sum.zeroize();
    }
}

impl Scram {
    /// Chooses between the mechanisms that the server offers.
    pub(crate) fn choose<'a>(
        offered: impl Iterator<Item = &'a str>,
        binding: &ChannelBinding,
        nonce: &[u8; 18],
    ) -> Result<Self, Error> {
        let (mut has_plain, mut has_plus) = (false, false);
        offered.for_each(|name| {
            has_plain |= name == "SCRAM-SHA-256";
            has_plus |= name == "SCRAM-SHA-256-PLUS";
        });
        let (binding, is_plus) = match binding {
            ChannelBinding::Preferred(hash) | ChannelBinding::Required(hash) if has_plus => {
                ([b"p=tls-server-end-point,,", &hash[..]].concat(), true)
            }
            ChannelBinding::Required(_) => return Err(Error::ChannelBinding),
            // RFC 5802 section 6: we could, and think that the server cannot.
            ChannelBinding::Preferred(_) => (b"y,,".to_vec(), false),
            ChannelBinding::None => (b"n,,".to_vec(), false),
        };
        if !has_plain && !is_plus {
            return Err(Error::Method("SASL without SCRAM-SHA-256"));
        }
        let nonce = Base64::encode_string(nonce);
        Ok(Self { binding, is_plus, nonce, state: State::First })
    }

    pub(crate) fn mechanism(&self) -> &'static str {
        if self.is_plus { "SCRAM-SHA-256-PLUS" } else { "SCRAM-SHA-256" }
    }

    /// The client's first message. The server takes the name from the start-up message, and none here.
    pub(crate) fn first_message(&self) -> String {
        let header = match self.binding.first() {
            Some(b'p') => "p=tls-server-end-point,,",
            Some(b'y') => "y,,",
            _ => "n,,",
        };
        format!("{header}{}", self.first_bare())
    }

    fn first_bare(&self) -> String {
        format!("n=,r={}", self.nonce)
    }

    /// Takes the server's first message; [`compute`](Self::compute) is due then.
    pub(crate) fn handle_first(
        &mut self,
        message: &[u8],
        password: &[u8],
        iterations_max: u32,
    ) -> Result<(), Error> {
        let State::First = self.state else { return Err(Error::Scram("a message too many")) };
        let message = str::from_utf8(message).map_err(|_| Error::Scram("no text"))?;
        let mut parts = message.split(',');
        // RFC 5802 section 5.1: `m` in front is an extension that must be understood.
        let nonce = attribute(parts.next(), "r=")?;
        let salt = attribute(parts.next(), "s=")?;
        let iterations = attribute(parts.next(), "i=")?;
        // RFC 5802 section 5.1: it begins with ours, and the server adds to it.
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(Error::Scram("the nonce is not ours"));
        }
        if nonce.len() > NONCE_BYTES_MAX || salt.len() > SALT_BYTES_MAX {
            return Err(Error::Scram("the nonce or the salt is too long"));
        }
        let salt = Base64::decode_vec(salt).map_err(|_| Error::Scram("the salt is no Base64"))?;
        let iterations: u32 =
            iterations.parse().map_err(|_| Error::Scram("the iterations are no number"))?;
        if !(1..=iterations_max).contains(&iterations) {
            return Err(Error::Scram("the iterations are none, or too many"));
        }
        let bound = Base64::encode_string(&self.binding);
        let final_without_proof = format!("c={bound},r={nonce}");
        let messages = format!("{},{message},{final_without_proof}", self.first_bare());
        self.state = State::Computing(Box::new(Salting::new(
            password,
            &salt,
            iterations,
            messages,
            final_without_proof,
        )));
        Ok(())
    }

    /// Whether [`compute`](Self::compute) is due.
    pub(crate) fn is_computing(&self) -> bool {
        matches!(self.state, State::Computing(_))
    }

    /// Computes for a slice of time; the client's last message, once that is done.
    pub(crate) fn compute(&mut self) -> Option<String> {
        let State::Computing(salting) = &mut self.state else { return None };
        if !salting.step() {
            return None;
        }
        let (message, signature) = salting.prove();
        self.state = State::Final(signature);
        Some(message)
    }

    /// Takes the server's last message, its proof that it knows the password.
    pub(crate) fn handle_final(&mut self, message: &[u8]) -> Result<(), Error> {
        let State::Final(expected) = self.state else {
            return Err(Error::Scram("a message too many"));
        };
        let message = str::from_utf8(message).map_err(|_| Error::Scram("no text"))?;
        let signature = attribute(message.split(',').next(), "v=")?;
        let mut decoded = [0; KEY_BYTES + 1];
        let signature = Base64::decode(signature, &mut decoded).unwrap_or_default();
        if !bool::from(signature.ct_eq(&expected)) {
            return Err(Error::ServerSignature);
        }
        self.state = State::Done;
        Ok(())
    }

    /// The server has proved itself.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }
}

impl Salting {
    fn new(
        password: &[u8],
        salt: &[u8],
        iterations: u32,
        messages: String,
        final_without_proof: String,
    ) -> Self {
        let key = hmac::Key::new(HMAC_SHA256, &saslprep::prepare(password));
        let mut context = hmac::Context::with_key(&key);
        context.update(salt);
        context.update(&1_u32.to_be_bytes());
        let first = bytes_of(&context.sign());
        let left = iterations - 1;
        Self { key, last: first, sum: first, left, messages, final_without_proof }
    }

    /// Goes on for a slice; whether it is done.
    fn step(&mut self) -> bool {
        let count = self.left.min(SLICE_ITERATIONS);
        for _ in 0..count {
            self.last = bytes_of(&hmac::sign(&self.key, &self.last));
            self.sum.iter_mut().zip(&self.last).for_each(|(sum, byte)| *sum ^= byte);
        }
        self.left -= count;
        self.left == 0
    }

    /// The client's last message, and the signature that the server must have (RFC 5802 section 3).
    fn prove(&self) -> (String, [u8; KEY_BYTES]) {
        let sign = |key: &[u8], message: &[u8]| {
            bytes_of(&hmac::sign(&hmac::Key::new(HMAC_SHA256, key), message))
        };
        let client_key = Zeroizing::new(sign(&self.sum, b"Client Key"));
        let stored_key = digest(&SHA256, &*client_key);
        let client_signature = sign(stored_key.as_ref(), self.messages.as_bytes());
        let mut proof = [0; KEY_BYTES];
        for ((place, key), signature) in proof.iter_mut().zip(&*client_key).zip(client_signature) {
            *place = key ^ signature;
        }
        let server_key = sign(&self.sum, b"Server Key");
        let server_signature = sign(&server_key, self.messages.as_bytes());
        let message = format!("{},p={}", self.final_without_proof, Base64::encode_string(&proof));
        (message, server_signature)
    }
}

/// The value of an attribute that must be next.
fn attribute<'a>(part: Option<&'a str>, name: &str) -> Result<&'a str, Error> {
    part.and_then(|part| part.strip_prefix(name)).ok_or(Error::Scram("an attribute is missing"))
}

fn bytes_of(tag: &hmac::Tag) -> [u8; KEY_BYTES] {
    // A tag of SHA-256 has as many.
    tag.as_ref().try_into().unwrap_or_default()
}

/// The password for `AuthenticationMD5Password`.
pub(crate) fn md5_password(user: &str, password: &[u8], salt: [u8; 4]) -> String {
    use md5::{Digest, Md5};
    let hexadecimal = |parts: [&[u8]; 2]| {
        let mut md5 = Md5::new();
        parts.iter().for_each(|part| md5.update(part));
        md5.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let stored = hexadecimal([password, user.as_bytes()]);
    "md5".to_string() + &hexadecimal([stored.as_bytes(), &salt])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677 section 3, whose client names itself, which PostgreSQL's do not: so the proofs were computed anew by
    /// Python's `hashlib`.
    const NONCE: [u8; 18] = *b"0123456789abcdefgh";

    fn first(nonce: &str) -> String {
        format!("r={nonce}server,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    }

    fn scram(binding: &ChannelBinding) -> Scram {
        Scram::choose(["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"].into_iter(), binding, &NONCE).unwrap()
    }

    fn compute(scram: &mut Scram) -> String {
        for slice in 1.. {
            if let Some(message) = scram.compute() {
                // 4,095 iterations in slices of 1,024.
                assert_eq!(slice, 4);
                return message;
            }
            assert!(scram.is_computing());
        }
        unreachable!()
    }

    #[test]
    fn rfc_5802_section_3_both_sides_prove_that_they_know_the_password() {
        let mut scram = scram(&ChannelBinding::None);
        let nonce = scram.nonce.clone();
        assert_eq!(scram.first_message(), format!("n,,n=,r={nonce}"));
        scram.handle_first(first(&nonce).as_bytes(), b"pencil", 4096).unwrap();
        let last = compute(&mut scram);
        assert_eq!(last, format!("c=biws,r={nonce}server,p={PROOF}"));
        let wrong = scram.handle_final(b"v=AAAA");
        assert_eq!(wrong, Err(Error::ServerSignature));
        assert!(!scram.is_done());
        scram.handle_final(format!("v={SIGNATURE}").as_bytes()).unwrap();
        assert!(scram.is_done());
    }

    const PROOF: &str = "pDF+dalUMoPeje6naHsCXY01nLJMwe0AElu06/Qq44Q=";
    const SIGNATURE: &str = "FBFF745IuHpeHggL1XsdqKYOT7Fg0LJEM+cLQevFCds=";

    #[test]
    fn rfc_5802_section_6_the_channel_is_bound_where_both_can() {
        let hash = alloc::vec![1, 2, 3];
        let mut bound = scram(&ChannelBinding::Required(hash.clone()));
        assert_eq!(bound.mechanism(), "SCRAM-SHA-256-PLUS");
        assert!(bound.first_message().starts_with("p=tls-server-end-point,,n=,r="));
        let nonce = bound.nonce.clone();
        bound.handle_first(first(&nonce).as_bytes(), b"pencil", 4096).unwrap();
        let header = Base64::encode_string(b"p=tls-server-end-point,,\x01\x02\x03");
        assert!(compute(&mut bound).starts_with(&format!("c={header},")));

        let only = |binding| Scram::choose(["SCRAM-SHA-256"].into_iter(), &binding, &NONCE);
        let preferred = only(ChannelBinding::Preferred(hash.clone())).unwrap();
        assert!(preferred.first_message().starts_with("y,,"));
        assert!(matches!(only(ChannelBinding::Required(hash)), Err(Error::ChannelBinding)));
        let none = Scram::choose(["SCRAM-SHA-256-PLUS"].into_iter(), &ChannelBinding::None, &NONCE);
        assert!(matches!(none, Err(Error::Method(_))));
    }

    #[test]
    fn rfc_5802_section_5_1_a_server_s_first_message_is_checked() {
        let nonce = scram(&ChannelBinding::None).nonce;
        let long = "x".repeat(NONCE_BYTES_MAX);
        let faulty = [
            format!("r={nonce},s=AAAA,i=1"),
            "r=other,s=AAAA,i=1".into(),
            format!("r={nonce}{long},s=AAAA,i=1"),
            format!("r={nonce}x,s=?,i=1"),
            format!("r={nonce}x,s=AAAA,i=0"),
            format!("r={nonce}x,s=AAAA,i=4097"),
            format!("r={nonce}x,s=AAAA,i=4294967296"),
            format!("m=x,r={nonce}x,s=AAAA,i=1"),
            format!("r={nonce}x,s=AAAA"),
            String::new(),
        ];
        for message in faulty {
            let mut scram = scram(&ChannelBinding::None);
            assert!(scram.handle_first(message.as_bytes(), b"p", 4096).is_err(), "{message}");
        }
        let mut once = scram(&ChannelBinding::None);
        assert!(once.handle_final(b"v=AAAA").is_err());
        once.handle_first(format!("r={nonce}x,s=AAAA,i=4096").as_bytes(), b"p", 4096).unwrap();
        assert!(once.handle_first(first(&nonce).as_bytes(), b"p", 4096).is_err());
    }

    #[test]
    fn an_md5_password_is_salted_twice() {
        assert_eq!(
            md5_password("alice", b"secret", *b"salt"),
            "md5986e2194384c07f4fd1df4b1351b3e68"
        );
    }
}
