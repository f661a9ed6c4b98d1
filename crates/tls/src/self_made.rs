//! Self-made certificates (RFC 5280): a key's own statement of what it is.

use crate::der::{
    BIT_STRING, CONTEXT_0, GENERALIZED_TIME, INTEGER, NULL, OCTET_STRING, OID, SEQUENCE, SET,
    UTF8_STRING, element,
};
use alloc::vec::Vec;
use core::net::IpAddr;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::SignatureScheme;
use rustls::sign::SigningKey;

/// Signature algorithms of certificates, each with its OID and whether that has NULL beside it: RFC 5758 section 3.2,
/// RFC 8410 section 3, RFC 4055 section 5.
const ALGORITHMS: [(SignatureScheme, &[u8], bool); 4] = [
    (SignatureScheme::ECDSA_NISTP256_SHA256, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], false),
    (SignatureScheme::ECDSA_NISTP384_SHA384, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3], false),
    (SignatureScheme::ED25519, &[0x2b, 0x65, 0x70], false),
    (SignatureScheme::RSA_PKCS1_SHA256, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11], true),
];
/// commonName, subjectAltName (RFC 5280 sections 4.1.2.4 and 4.2.1.6).
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];

/// A certificate of `key` for these names and addresses, which is in force always: whoever trusts it does so by its
/// fingerprint, or the key's. None if there are no random bytes, or the key makes no signatures of certificates.
pub(crate) fn certificate(key: &dyn SigningKey, names: &[&str]) -> Option<Vec<u8>> {
    let signer = key.choose_scheme(&ALGORITHMS.map(|(scheme, ..)| scheme))?;
    let (_, oid, has_null) = ALGORITHMS.iter().find(|(own, ..)| *own == signer.scheme())?;
    let oid = element(OID, &[oid]);
    let null = if *has_null { element(NULL, &[]) } else { Vec::new() };
    let algorithm = element(SEQUENCE, &[&oid, &null]);
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).ok()?;
    // RFC 5280 section 4.1.2.2: positive, and not zero.
    serial[0] = serial[0] & 0x7f | 0x40;
    let content = content(&serial, &algorithm, names, key.public_key()?.as_ref());
    let signature = signer.sign(&content).ok()?;
    let signature = element(BIT_STRING, &[&[0], &signature]);
    Some(element(SEQUENCE, &[&content, &algorithm, &signature]))
}

/// RFC 5280 section 4.1.2: what is signed.
fn content(serial: &[u8], algorithm: &[u8], names: &[&str], public_key: &[u8]) -> Vec<u8> {
    let version_3 = element(CONTEXT_0, &[&element(INTEGER, &[&[2]])]);
    let serial = element(INTEGER, &[serial]);
    let name = distinguished_name(names.first().copied().unwrap_or("aqueduct"));
    // RFC 5280 section 4.1.2.5: 99991231235959Z says that there is no end.
    let validity = element(
        SEQUENCE,
        &[
            &element(GENERALIZED_TIME, &[b"20200101000000Z"]),
            &element(GENERALIZED_TIME, &[b"99991231235959Z"]),
        ],
    );
    let extensions = extensions(names);
    element(
        SEQUENCE,
        &[&version_3, &serial, algorithm, &name, &validity, &name, public_key, &extensions],
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
