//! Self-made certificate: a P-256 key, and a certificate (RFC 5280) that it signed itself.

use crate::der::{
    BIT_STRING, CONTEXT_0, GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, SEQUENCE, SET,
    UTF8_STRING, element,
};
use alloc::vec::Vec;
use core::net::IpAddr;
use ring::error::Unspecified;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

/// ecdsa-with-SHA256 (RFC 5758 section 3.2).
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// id-ecPublicKey, and secp256r1 (RFC 5480 section 2.1.1).
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const SECP256R1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
/// commonName, subjectAltName (RFC 5280 sections 4.1.2.4 and 4.2.1.6).
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];

/// A key in PKCS#8, and a certificate of it for these names and addresses, which is in force always: whoever trusts it
/// does so by its fingerprint.
pub(crate) fn make(names: &[&str]) -> Result<(Vec<u8>, Vec<u8>), Unspecified> {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random)?;
    let key =
        EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).map_err(|_| Unspecified)?;
    let mut serial = [0; 16];
    random.fill(&mut serial)?;
    // RFC 5280 section 4.1.2.2: positive, and not zero.
    serial[0] = serial[0] & 0x7f | 0x40;
    let content = content(&serial, names, key.public_key().as_ref());
    let signature = key.sign(&random, &content)?;
    let algorithm = element(SEQUENCE, &[&element(OID, &[ECDSA_WITH_SHA256])]);
    let signature = element(BIT_STRING, &[&[0], signature.as_ref()]);
    let certificate = element(SEQUENCE, &[&content, &algorithm, &signature]);
    Ok((pkcs8.as_ref().to_vec(), certificate))
}

/// RFC 5280 section 4.1.2: what is signed.
fn content(serial: &[u8], names: &[&str], public_key: &[u8]) -> Vec<u8> {
    let version_3 = element(CONTEXT_0, &[&element(INTEGER, &[&[2]])]);
    let serial = element(INTEGER, &[serial]);
    let algorithm = element(SEQUENCE, &[&element(OID, &[ECDSA_WITH_SHA256])]);
    let name = distinguished_name(names.first().copied().unwrap_or("aqueduct"));
    // RFC 5280 section 4.1.2.5: 99991231235959Z says that there is no end.
    let validity = element(
        SEQUENCE,
        &[
            &element(GENERALIZED_TIME, &[b"20200101000000Z"]),
            &element(GENERALIZED_TIME, &[b"99991231235959Z"]),
        ],
    );
    let key_algorithm =
        element(SEQUENCE, &[&element(OID, &[EC_PUBLIC_KEY]), &element(OID, &[SECP256R1])]);
    let key = element(SEQUENCE, &[&key_algorithm, &element(BIT_STRING, &[&[0], public_key])]);
    let extensions = extensions(names);
    element(
        SEQUENCE,
        &[&version_3, &serial, &algorithm, &name, &validity, &name, &key, &extensions],
    )
}

fn distinguished_name(common_name: &str) -> Vec<u8> {
    let oid = element(OID, &[COMMON_NAME]);
    let value = element(UTF8_STRING, &[common_name.as_bytes()]);
    element(SEQUENCE, &[&element(SET, &[&element(SEQUENCE, &[&oid, &value])])])
}

/// The names that it is for.
fn extensions(names: &[&str]) -> Vec<u8> {
    // RFC 5280 section 4.2.1.6: dNSName is [2], iPAddress [7].
    let general_name = |name: &&str| match name.parse() {
        Ok(IpAddr::V4(address)) => element(0x87, &[&address.octets()]),
        Ok(IpAddr::V6(address)) => element(0x87, &[&address.octets()]),
        Err(_) => element(0x82, &[name.as_bytes()]),
    };
    let names: Vec<u8> = names.iter().flat_map(general_name).collect();
    let names = element(OCTET_STRING, &[&element(SEQUENCE, &[&names])]);
    let extension = element(SEQUENCE, &[&element(OID, &[SUBJECT_ALT_NAME]), &names]);
    element(CONTEXT_3, &[&element(SEQUENCE, &[&extension])])
}

/// `[3]`, constructed.
const CONTEXT_3: u8 = 0xa3;
