//! Channel binding by a server's certificate: `tls-server-end-point` (RFC 5929 section 4).

use crate::identity::signature_algorithm;
use alloc::vec::Vec;
use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};

/// `1.2.840.113549.1.1`, whose members are RSA's signatures.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// `1.2.840.10045.4`, ECDSA's.
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];

/// The hash of a certificate by the hash of its signature, or by SHA-256 where that is MD5 or SHA-1; none if the signature
/// has no single hash.
pub(crate) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = hash_of(signature_algorithm(certificate)?)?;
    Some(digest(algorithm, certificate).as_ref().to_vec())
}

fn hash_of(oid: &[u8]) -> Option<&'static Algorithm> {
    match (oid.strip_prefix(RSA), oid.strip_prefix(ECDSA)) {
        // MD5, SHA-1 and SHA-256 with RSA; SHA-1 and SHA-256 with ECDSA.
        (Some([4 | 5 | 11]), _) | (_, Some([1] | [3, 2])) => Some(&SHA256),
        (Some([12]), _) | (_, Some([3, 3])) => Some(&SHA384),
        (Some([13]), _) | (_, Some([3, 4])) => Some(&SHA512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_5929_section_4_1_the_hash_is_the_signature_s_and_sha_256_for_old_ones() {
        let with =
            |front: &[u8], back: &[u8]| hash_of(&[front, back].concat()).map(Algorithm::output_len);
        let rsa: Vec<_> = (4..=14).map(|last| with(RSA, &[last])).collect();
        let (none, long) = (None, Some(48));
        assert_eq!(rsa[..3], [Some(32), Some(32), none]);
        assert_eq!(rsa[6..], [none, Some(32), long, Some(64), none]);
        let ecdsa: Vec<_> = (1..=5).map(|last| with(ECDSA, &[3, last])).collect();
        assert_eq!(ecdsa, [none, Some(32), long, Some(64), none]);
        assert_eq!((with(ECDSA, &[1]), hash_of(&[0x2b, 0x65, 0x70])), (Some(32), None));
        assert_eq!(end_point(b"no certificate"), None);
    }
}
