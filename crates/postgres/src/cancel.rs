//! What is sent on a connection before anything else: a request for TLS, or to cancel a query of another connection.

use alloc::vec::Vec;
use core::fmt;
use zeroize::Zeroizing;

/// Asks whether the server has TLS. It answers with one byte, `S` or `N`. Bytes behind an `S` that are there before the
/// handshake began were put there by somebody else, and end the connection (CVE-2021-23222).
pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F];

/// Names a connection to its server, for whoever asks that its query be cancelled.
#[derive(Clone, PartialEq, Eq)]
pub struct CancelKey {
    pub(crate) process: u32,
    /// 4 bytes in protocol 3.0, up to 256 in 3.2.
    pub(crate) secret: Zeroizing<Vec<u8>>,
}

/// Longest secret (protocol 3.2, message BackendKeyData).
pub(crate) const SECRET_BYTES_MAX: usize = 256;

/// 1234 and 5678, where a start-up message has its version.
const CANCEL_REQUEST_CODE: [u8; 4] = [0x04, 0xD2, 0x16, 0x2E];

impl CancelKey {
    /// The server's process, as in `pg_stat_activity.pid` and in notifications.
    pub fn process(&self) -> u32 {
        self.process
    }

    /// What is to be sent on a connection of its own, which the server then closes without an answer.
    pub fn request(&self) -> Vec<u8> {
        let length = 4 + 4 + 4 + self.secret.len();
        let mut request = Vec::with_capacity(length);
        // At most SECRET_BYTES_MAX and 12.
        request.extend_from_slice(&u32::try_from(length).unwrap_or_default().to_be_bytes());
        request.extend_from_slice(&CANCEL_REQUEST_CODE);
        request.extend_from_slice(&self.process.to_be_bytes());
        request.extend_from_slice(&self.secret);
        request
    }
}

impl fmt::Debug for CancelKey {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CancelKey(process {})", self.process)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_request_has_the_length_of_its_key() {
        let key = CancelKey { process: 0x0102_0304, secret: Zeroizing::new([9; 4].to_vec()) };
        assert_eq!(key.request(), [0, 0, 0, 16, 4, 210, 22, 46, 1, 2, 3, 4, 9, 9, 9, 9]);
        let key = CancelKey { process: 1, secret: Zeroizing::new([9; 256].to_vec()) };
        assert_eq!((key.request().len(), &key.request()[..4]), (268, &[0, 0, 1, 12][..]));
        assert!(!std::format!("{key:?}").contains('9'));
    }
}
