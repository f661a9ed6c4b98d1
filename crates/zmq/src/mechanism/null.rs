//! NULL mechanism (RFC 37, "The NULL Security Mechanism"): READY each way.

use super::Step;
use crate::{Error, command};
use alloc::vec::Vec;

pub(super) fn ready(metadata: &[u8]) -> Vec<u8> {
    command::join(b"READY", &[metadata])
}

pub(super) fn handle(name: &[u8], body: &[u8]) -> Result<Step, Error> {
    match name {
        b"READY" => Ok(Step::Done { reply: None, peer_metadata: body.to_vec(), cipher: None }),
        _ => Err(Error::UnexpectedCommand),
    }
}
