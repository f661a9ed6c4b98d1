//! Fingerprints as text.

use alloc::string::String;
use core::fmt::Write;

/// Bytes as hexadecimal digits, as `openssl x509 -fingerprint -sha256` shows them without its colons.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// SHA-256 of a public key as references of vats write it: base64 of the URL alphabet without padding (RFC 4648 section 5).
pub(crate) fn key_name(digest: &[u8; 32]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::from("sha-256:");
    for group in digest.chunks(3) {
        let bytes = [group[0], *group.get(1).unwrap_or(&0), *group.get(2).unwrap_or(&0)];
        let bits = bytes.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        for index in 0..=group.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * index) & 63) as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the documentation of mirage/capnp-rpc, whose digest begins with these bytes.
    #[test]
    fn keys_are_named_as_references_name_them() {
        let mut digest = [0; 32];
        digest[..3].copy_from_slice(&[0xDD, 0x38, 0xF9]);
        digest[31] = 0xA8;
        let name = key_name(&digest);
        assert!(name.starts_with("sha-256:3Tj5AAA") && name.ends_with("AKg"), "{name}");
        assert_eq!(name.len(), "sha-256:".len() + 43);
    }
}
