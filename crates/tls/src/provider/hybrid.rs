//! X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem): X25519 and ML-KEM-768 (FIPS 203) together, so that both must be broken.
//!
//! Key shares and secrets are the two concatenated, ML-KEM's first.

use alloc::boxed::Box;
use alloc::vec::Vec;
use libcrux_ml_kem::mlkem768::{
    MlKem768Ciphertext, MlKem768KeyPair, MlKem768PublicKey, portable as ml_kem,
};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::crypto::ring::kx_group::X25519;
use rustls::crypto::{
    ActiveKeyExchange, CompletedKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup,
};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};
use zeroize::Zeroize;

/// The group.
pub(super) static X25519MLKEM768: Group = Group;

#[derive(Debug)]
pub(super) struct Group;

/// FIPS 203 section 8.
const PUBLIC_KEY_BYTES: usize = 1184;
const CIPHERTEXT_BYTES: usize = 1088;
const BAD_SHARE: Error = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);

impl SupportedKxGroup for Group {
    /// A client begins.
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let classical = X25519.start()?;
        let mut seed = random::<64>()?;
        let key_pair = ml_kem::generate_key_pair(seed);
        seed.zeroize();
        let share = [key_pair.pk(), classical.pub_key()].concat();
        Ok(Box::new(Started { classical, key_pair: Box::new(key_pair), share }))
    }

    /// A server answers.
    fn start_and_complete(&self, client_share: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let (public_key, classical_share) = split(client_share, PUBLIC_KEY_BYTES)?;
        let public_key = MlKem768PublicKey::try_from(public_key).map_err(|_| BAD_SHARE)?;
        // FIPS 203 section 7.2: the encapsulation key check.
        if !ml_kem::validate_public_key(&public_key) {
            return Err(BAD_SHARE);
        }
        let classical = X25519.start_and_complete(classical_share)?;
        let mut seed = random::<32>()?;
        let (ciphertext, mut secret) = ml_kem::encapsulate(&public_key, seed);
        seed.zeroize();
        let both = both(&secret, &classical.secret);
        secret.zeroize();
        Ok(CompletedKeyExchange {
            group: self.name(),
            pub_key: [&ciphertext.as_slice()[..], &classical.pub_key].concat(),
            secret: both,
        })
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

struct Started {
    classical: Box<dyn ActiveKeyExchange>,
    key_pair: Box<MlKem768KeyPair>,
    share: Vec<u8>,
}

impl ActiveKeyExchange for Started {
    fn complete(self: Box<Self>, server_share: &[u8]) -> Result<SharedSecret, Error> {
        let (ciphertext, classical_share) = split(server_share, CIPHERTEXT_BYTES)?;
        let ciphertext = MlKem768Ciphertext::try_from(ciphertext).map_err(|_| BAD_SHARE)?;
        let Self { classical, key_pair, .. } = *self;
        let classical = classical.complete(classical_share)?;
        let mut secret = ml_kem::decapsulate(key_pair.private_key(), &ciphertext);
        let both = both(&secret, &classical);
        secret.zeroize();
        forget(key_pair);
        Ok(both)
    }

    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        Some((self.classical.group(), self.classical.pub_key()))
    }

    fn complete_hybrid_component(self: Box<Self>, share: &[u8]) -> Result<SharedSecret, Error> {
        let Self { classical, key_pair, .. } = *self;
        forget(key_pair);
        classical.complete(share)
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

/// Overwrites a private key, for which libcrux has no call.
fn forget(mut key_pair: Box<MlKem768KeyPair>) {
    let (private, public) = ([0; 2400].into(), [0; PUBLIC_KEY_BYTES].into());
    *key_pair = MlKem768KeyPair::from(private, public);
    core::hint::black_box(&mut key_pair);
}

/// What is ML-KEM's of a share, whose length is known, and the 32 bytes that are X25519's.
fn split(share: &[u8], ml_kem_bytes: usize) -> Result<(&[u8], &[u8]), Error> {
    let parts = share.split_at_checked(ml_kem_bytes).ok_or(BAD_SHARE)?;
    if parts.1.len() == 32 { Ok(parts) } else { Err(BAD_SHARE) }
}

fn both(ml_kem: &[u8; 32], classical: &SharedSecret) -> SharedSecret {
    let mut both = [0; 64];
    let bytes = ml_kem.iter().chain(classical.secret_bytes());
    both.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
    let secret = SharedSecret::from(&both[..]);
    both.zeroize();
    secret
}

fn random<const COUNT: usize>() -> Result<[u8; COUNT], Error> {
    let mut bytes = [0; COUNT];
    SystemRandom::new().fill(&mut bytes).map_err(|_| GetRandomFailed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_come_to_the_same_secret_and_shares_have_the_draft_s_lengths() {
        let started = X25519MLKEM768.start().unwrap();
        assert_eq!(started.pub_key().len(), 1216);
        let completed = X25519MLKEM768.start_and_complete(started.pub_key()).unwrap();
        assert_eq!(completed.pub_key.len(), 1120);
        let secret = started.complete(&completed.pub_key).unwrap();
        assert_eq!(secret.secret_bytes(), completed.secret.secret_bytes());
        assert_eq!(secret.secret_bytes().len(), 64);
    }

    #[test]
    fn the_classical_half_completes_alone() {
        let started = X25519MLKEM768.start().unwrap();
        let (group, share) = started.hybrid_component().unwrap();
        assert_eq!(group, NamedGroup::X25519);
        let completed = X25519.start_and_complete(share).unwrap();
        let secret = started.complete_hybrid_component(&completed.pub_key).unwrap();
        assert_eq!(secret.secret_bytes(), completed.secret.secret_bytes());
    }

    #[test]
    fn bad_shares_are_refused() {
        let good = X25519MLKEM768.start().unwrap().pub_key().to_vec();
        let refused =
            |share: &[u8]| X25519MLKEM768.start_and_complete(share).err() == Some(BAD_SHARE);
        assert!(!refused(&good));
        assert!(refused(&[]) && refused(&good[1..]) && refused(&[&good[..], b"x"].concat()));
        // FIPS 203 section 7.2: a coefficient that is not reduced.
        let mut unreduced = good.clone();
        unreduced[..3].fill(0xff);
        assert!(refused(&unreduced));
        // RFC 7748 section 6.1: a point of small order gives zeros.
        let mut small_order = good.clone();
        small_order[PUBLIC_KEY_BYTES..].fill(0);
        assert!(X25519MLKEM768.start_and_complete(&small_order).is_err());
        for length in [0, 1119, 1121] {
            let started = X25519MLKEM768.start().unwrap();
            assert!(started.complete(&alloc::vec![0; length]).is_err());
        }
    }
}
