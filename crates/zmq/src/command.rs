//! Command frames (RFC 37, "Commands"): a name and a body.

use crate::Error;
use alloc::vec::Vec;

/// RFC 37: a PING context is at most 16 octets.
pub(crate) const PING_CONTEXT_BYTES_MAX: usize = 16;

/// A command's name and body.
pub(crate) fn split(frame: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let (&len, rest) = frame.split_first().ok_or(Error::MalformedCommand)?;
    match rest.split_at_checked(usize::from(len)) {
        Some((name, body)) if !name.is_empty() => Ok((name, body)),
        _ => Err(Error::MalformedCommand),
    }
}

/// A command frame's body from its name and the parts of its own body.
pub(crate) fn join(name: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let len = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut frame = Vec::with_capacity(1 + name.len() + len);
    frame.push(name.len() as u8);
    frame.extend_from_slice(name);
    for part in parts {
        frame.extend_from_slice(part);
    }
    frame
}

/// An ERROR command with this reason, of which at most 255 bytes go out.
pub(crate) fn error(reason: &str) -> Vec<u8> {
    let reason = reason.as_bytes();
    let reason = &reason[..reason.len().min(255)];
    join(b"ERROR", &[&[reason.len() as u8], reason])
}

/// One field with a one-byte length, and what follows it.
pub(crate) fn short_field(body: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let (&len, rest) = body.split_first().ok_or(Error::MalformedCommand)?;
    rest.split_at_checked(usize::from(len)).ok_or(Error::MalformedCommand)
}

/// Whether a name belongs to a handshake, so that it is an error afterwards.
pub(crate) fn is_handshake(name: &[u8]) -> bool {
    matches!(name, b"READY" | b"HELLO" | b"WELCOME" | b"INITIATE")
}
