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
