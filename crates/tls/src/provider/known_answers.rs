//! Wycheproof's vectors: known answers, and inputs that other implementations took and should not have.

use super::hybrid::X25519MLKEM768;
use super::provider;
use alloc::vec::Vec;
use libcrux_ml_kem::mlkem768::portable as ml_kem;
use ring::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::ring::kx_group::{SECP256R1, SECP384R1, X25519};
use rustls::{NamedGroup, SignatureScheme};
use wycheproof::{
    TestResult, aead, ecdh, ecdsa, eddsa, mlkem, rsa_pkcs1_verify, rsa_pss_verify, xdh,
};

#[test]
fn aes_gcm_and_chacha20_poly1305() {
    let mut tried = 0;
    for name in [aead::TestName::AesGcm, aead::TestName::ChaCha20Poly1305] {
        for group in aead::TestSet::load(name).unwrap().test_groups {
            let algorithm = match (name, group.key_size) {
                (aead::TestName::AesGcm, 128) => &AES_128_GCM,
                (aead::TestName::AesGcm, 256) => &AES_256_GCM,
                (aead::TestName::ChaCha20Poly1305, 256) => &CHACHA20_POLY1305,
                // TLS has no other lengths.
                _ => continue,
            };
            for test in &group.tests {
                let opened = open(algorithm, test);
                let expected = (test.result == TestResult::Valid).then(|| test.pt.to_vec());
                // A nonce of another length is no nonce.
                let expected = expected.filter(|_| group.nonce_size == 96);
                assert_eq!(opened, expected, "{name:?} {}: {:?}", test.tc_id, test.comment);
                tried += 1;
            }
        }
    }
    assert!(tried > 400, "{tried}");
}

/// The plaintext, by whose way back the ciphertext comes, too.
fn open(algorithm: &'static Algorithm, test: &aead::Test) -> Option<Vec<u8>> {
    let nonce = || Nonce::try_assume_unique_for_key(&test.nonce).ok();
    let key = LessSafeKey::new(UnboundKey::new(algorithm, &test.key).ok()?);
    let sealed = [&test.ct[..], &test.tag].concat();
    let mut text = sealed.clone();
    let plaintext = key.open_in_place(nonce()?, Aad::from(&test.aad[..]), &mut text).ok()?.to_vec();
    let mut again = plaintext.clone();
    key.seal_in_place_append_tag(nonce()?, Aad::from(&test.aad[..]), &mut again).ok()?;
    assert_eq!(again, sealed);
    Some(plaintext)
}

/// Whether the algorithm that the provider has for a scheme finds a signature good.
fn verifies(scheme: SignatureScheme, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let algorithms = provider().signature_verification_algorithms;
    let (_, algorithms) =
        algorithms.mapping.iter().find(|(known, _)| *known == scheme).expect("a known scheme");
    algorithms.iter().any(|one| one.verify_signature(key, message, signature).is_ok())
}

#[test]
fn ecdsa() {
    use SignatureScheme::{ECDSA_NISTP256_SHA256, ECDSA_NISTP384_SHA384};
    for (name, scheme) in [
        (ecdsa::TestName::EcdsaSecp256r1Sha256, ECDSA_NISTP256_SHA256),
        (ecdsa::TestName::EcdsaSecp384r1Sha384, ECDSA_NISTP384_SHA384),
    ] {
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                let verified = verifies(scheme, &group.key.key, &test.msg, &test.sig);
                assert_eq!(verified, test.result == TestResult::Valid, "{name:?} {}", test.tc_id);
            }
        }
    }
}

#[test]
fn ed25519() {
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        for test in &group.tests {
            let verified = verifies(SignatureScheme::ED25519, &group.key.pk, &test.msg, &test.sig);
            assert_eq!(verified, test.result == TestResult::Valid, "{}", test.tc_id);
        }
    }
}

#[test]
fn rsa_pkcs1() {
    use SignatureScheme::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512};
    use rsa_pkcs1_verify::TestName;
    for (name, scheme) in [
        (TestName::Rsa2048Sha256, RSA_PKCS1_SHA256),
        (TestName::Rsa2048Sha384, RSA_PKCS1_SHA384),
        (TestName::Rsa2048Sha512, RSA_PKCS1_SHA512),
        (TestName::Rsa3072Sha256, RSA_PKCS1_SHA256),
        (TestName::Rsa4096Sha512, RSA_PKCS1_SHA512),
    ] {
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                let verified = verifies(scheme, &group.asn_key, &test.msg, &test.sig);
                judge(verified, test.result, test.tc_id, &name);
            }
        }
    }
}

#[test]
fn rsa_pss() {
    use SignatureScheme::{RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512};
    use rsa_pss_verify::TestName;
    for (name, scheme) in [
        (TestName::RsaPss2048Sha256Mgf1SaltLen32, RSA_PSS_SHA256),
        (TestName::RsaPss2048Sha384Mgf1SaltLen48, RSA_PSS_SHA384),
        (TestName::RsaPss3072Sha256Mgf1SaltLen32, RSA_PSS_SHA256),
        (TestName::RsaPss4096Sha512Mgf1SaltLen64, RSA_PSS_SHA512),
    ] {
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                let verified = verifies(scheme, &group.asn_key, &test.msg, &test.sig);
                judge(verified, test.result, test.tc_id, &name);
            }
        }
    }
}

/// What Wycheproof calls acceptable may be refused.
fn judge(verified: bool, result: TestResult, number: usize, name: &impl core::fmt::Debug) {
    match result {
        TestResult::Valid => assert!(verified, "{name:?} {number}"),
        TestResult::Invalid => assert!(!verified, "{name:?} {number}"),
        TestResult::Acceptable => {}
    }
}

/// *ring* makes its private keys itself, so that of these only whether a point is one can be tried.
#[test]
fn points_of_the_curves_are_told_from_others() {
    for (name, group) in [
        (ecdh::TestName::EcdhSecp256r1Ecpoint, SECP256R1),
        (ecdh::TestName::EcdhSecp384r1Ecpoint, SECP384R1),
    ] {
        for set in ecdh::TestSet::load(name).unwrap().test_groups {
            for test in &set.tests {
                let taken = group.start().unwrap().complete(&test.public_key).is_ok();
                // RFC 8446 section 4.2.8.2: uncompressed points only.
                judge(taken, test.result, test.tc_id, &name);
                assert!(!taken || test.public_key[0] == 4);
            }
        }
    }
}

#[test]
fn rfc8446_7_4_2_x25519_of_zeros_is_refused() {
    for set in xdh::TestSet::load(xdh::TestName::X25519).unwrap().test_groups {
        for test in &set.tests {
            let is_zero = test.shared_secret.iter().all(|byte| *byte == 0);
            let taken = X25519.start().unwrap().complete(&test.public_key).is_ok();
            assert_eq!(taken, !is_zero, "{}", test.tc_id);
        }
    }
}

#[test]
fn ml_kem_768() {
    let tests = |name| {
        let groups = mlkem::TestSet::load(name).unwrap().test_groups;
        groups.into_iter().flat_map(|group| group.tests)
    };
    for test in tests(mlkem::TestName::MlKem768) {
        let answer = decapsulated(&test);
        let expected = bytes(&test.shared_secret).map(<[u8]>::to_vec);
        let expected = expected.filter(|_| test.result == TestResult::Valid);
        assert_eq!(answer, expected, "{}", test.tc_id);
    }
    for test in tests(mlkem::TestName::MlKem768Encaps) {
        let answer = encapsulated(&test);
        let expected = bytes(&test.shared_secret).map(<[u8]>::to_vec);
        let expected = expected.filter(|_| test.result == TestResult::Valid);
        assert_eq!(answer, expected, "{}", test.tc_id);
    }
}

fn bytes(field: &Option<wycheproof::ByteString>) -> Option<&[u8]> {
    field.as_ref().map(|bytes| &bytes[..])
}

fn decapsulated(test: &mlkem::Test) -> Option<Vec<u8>> {
    let seed = bytes(&test.seed)?.try_into().ok()?;
    let pair = ml_kem::generate_key_pair(seed);
    assert_eq!(bytes(&test.encaps_key), Some(&pair.pk()[..]).filter(|_| test.encaps_key.is_some()));
    let ciphertext = bytes(&test.ct)?.try_into().ok()?;
    Some(ml_kem::decapsulate(pair.private_key(), &ciphertext).to_vec())
}

fn encapsulated(test: &mlkem::Test) -> Option<Vec<u8>> {
    let public_key = bytes(&test.encaps_key)?.try_into().ok()?;
    // By the same check as the group that TLS has of it.
    let share = [bytes(&test.encaps_key)?, &[9; 32]].concat();
    let is_taken = X25519MLKEM768.start_and_complete(&share).is_ok();
    assert_eq!(is_taken, ml_kem::validate_public_key(&public_key));
    if !is_taken {
        return None;
    }
    let random = bytes(&test.msg)?.try_into().ok()?;
    let (ciphertext, secret) = ml_kem::encapsulate(&public_key, random);
    assert_eq!(bytes(&test.ct), Some(&ciphertext.as_slice()[..]));
    Some(secret.to_vec())
}

#[test]
fn the_groups_are_those_that_are_tried_here() {
    let names: Vec<_> = provider().kx_groups.iter().map(|group| group.name()).collect();
    use NamedGroup as N;
    assert_eq!(names, [N::X25519MLKEM768, N::X25519, N::secp256r1, N::secp384r1]);
}
