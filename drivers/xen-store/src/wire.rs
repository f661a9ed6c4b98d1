//! Wire format of messages (Xen, public/io/xs_wire.h).

use crate::{Error, PAYLOAD_BYTES_MAX};

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    Directory = 1,
    Read = 2,
    Watch = 4,
    Unwatch = 5,
    TransactionStart = 6,
    TransactionEnd = 7,
    Write = 11,
    MakeFolder = 12,
    Remove = 13,
    SetPermissions = 14,
    DirectoryPart = 22,
}

/// Kinds that only the daemon sends.
pub(crate) const WATCH_EVENT: u32 = 15;
pub(crate) const ERROR: u32 = 16;

/// What goes before each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: u32,
    pub(crate) request: u32,
    pub(crate) transaction: u32,
    pub(crate) payload_bytes: u32,
}

impl Header {
    pub(crate) const BYTES: usize = 16;

    pub(crate) fn emit(&self) -> [u8; Self::BYTES] {
        let words = [self.kind, self.request, self.transaction, self.payload_bytes];
        let mut bytes = [0; Self::BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(4).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// A header whose message may follow; `None` when that would be too long.
    pub(crate) fn parse(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let payload_bytes = word(12);
        let header = Self { kind: word(0), request: word(4), transaction: word(8), payload_bytes };
        (payload_bytes as usize <= PAYLOAD_BYTES_MAX).then_some(header)
    }
}

/// The error that an error message names.
pub(crate) fn error(payload: &[u8]) -> Error {
    match payload.strip_suffix(b"\0").unwrap_or(payload) {
        b"ENOENT" => Error::NotFound,
        b"EACCES" | b"EPERM" | b"EROFS" => Error::NotPermitted,
        b"EEXIST" | b"EISCONN" => Error::Exists,
        b"EAGAIN" => Error::Again,
        b"ENOSPC" | b"ENOMEM" | b"EQUOTA" => Error::NoSpace,
        b"E2BIG" => Error::TooLong,
        b"ENOSYS" => Error::Unsupported,
        _ => Error::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_wire() {
        let header = Header { kind: 2, request: 7, transaction: 9, payload_bytes: 4096 };
        assert_eq!(Header::parse(&header.emit()), Some(header));
    }

    #[test]
    fn a_message_longer_than_allowed_is_refused() {
        let header = Header { kind: 2, request: 7, transaction: 9, payload_bytes: 4097 };
        assert_eq!(Header::parse(&header.emit()), None);
    }

    #[test]
    fn errors_have_names() {
        assert_eq!(error(b"ENOENT\0"), Error::NotFound);
        assert_eq!(error(b"EAGAIN"), Error::Again);
        assert_eq!(error(b"EWHATEVER\0"), Error::Refused);
    }
}
