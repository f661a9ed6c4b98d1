//! PLAIN mechanism (RFC 24/ZMTP-PLAIN): HELLO, WELCOME, INITIATE, READY.

use super::Step;
use crate::{Authority, Error, command};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

pub(crate) struct Client {
    username: Bytes,
    password: Bytes,
    welcomed: bool,
}

impl Client {
    pub(super) fn new(username: Bytes, password: Bytes) -> Self {
        Self { username, password, welcomed: false }
    }

    pub(super) fn hello(&self) -> Vec<u8> {
        let (username, password) = (clip(&self.username), clip(&self.password));
        let lens = [username.len() as u8, password.len() as u8];
        command::join(b"HELLO", &[&lens[..1], username, &lens[1..], password])
    }

    pub(super) fn handle(
        &mut self,
        name: &[u8],
        body: &[u8],
        metadata: &[u8],
    ) -> Result<Step, Error> {
        match (name, self.welcomed) {
            (b"WELCOME", false) if body.is_empty() => {
                self.welcomed = true;
                Ok(Step::Reply(command::join(b"INITIATE", &[metadata])))
            }
            (b"READY", true) => {
                Ok(Step::Done { reply: None, peer_metadata: body.to_vec(), cipher: None })
            }
            (b"WELCOME", false) => Err(Error::MalformedCommand),
            _ => Err(Error::UnexpectedCommand),
        }
    }
}

/// RFC 24: a field has at most 255 octets. A longer secret can only be refused.
fn clip(field: &[u8]) -> &[u8] {
    &field[..field.len().min(255)]
}

pub(crate) struct Server {
    authority: Arc<dyn Authority>,
    admitted: bool,
}

impl Server {
    pub(super) fn new(authority: Arc<dyn Authority>) -> Self {
        Self { authority, admitted: false }
    }

    pub(super) fn handle(
        &mut self,
        name: &[u8],
        body: &[u8],
        metadata: &[u8],
    ) -> Result<Step, Error> {
        match (name, self.admitted) {
            (b"HELLO", false) => {
                let (username, rest) = command::short_field(body)?;
                let (password, rest) = command::short_field(rest)?;
                if !rest.is_empty() {
                    return Err(Error::MalformedCommand);
                }
                if !self.authority.admits_password(username, password) {
                    return Err(Error::Unauthorized);
                }
                self.admitted = true;
                Ok(Step::Reply(command::join(b"WELCOME", &[])))
            }
            (b"INITIATE", true) => Ok(Step::Done {
                reply: Some(command::join(b"READY", &[metadata])),
                peer_metadata: body.to_vec(),
                cipher: None,
            }),
            _ => Err(Error::UnexpectedCommand),
        }
    }
}
