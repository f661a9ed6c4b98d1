//! Security handshakes: what to send first, and what to answer.

pub(crate) mod curve;
mod null;
mod plain;

use crate::{Error, Security, command};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

/// A handshake under way.
pub(crate) enum Handshake {
    Null,
    PlainClient(plain::Client),
    PlainServer(plain::Server),
    CurveClient(Box<curve::Client>),
    CurveServer(Box<curve::Server>),
}

/// What a command of the peer leads to.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send this command and wait for the next.
    Reply(Vec<u8>),
    /// Send the last command, if any: traffic may flow.
    Done { reply: Option<Vec<u8>>, peer_metadata: Vec<u8>, cipher: Option<curve::Cipher> },
}

impl Handshake {
    /// `entropy`: fresh random bytes, used by CURVE only.
    pub(crate) fn new(security: &Security, entropy: &[u8; 48]) -> Self {
        match security {
            Security::Null => Self::Null,
            Security::PlainClient { username, password } => {
                Self::PlainClient(plain::Client::new(username.clone(), password.clone()))
            }
            Security::PlainServer(authority) => {
                Self::PlainServer(plain::Server::new(authority.clone()))
            }
            Security::CurveClient(keys) => {
                Self::CurveClient(Box::new(curve::Client::new(keys, entropy)))
            }
            Security::CurveServer(keys) => {
                Self::CurveServer(Box::new(curve::Server::new(keys, entropy)))
            }
        }
    }

    /// The command that opens the handshake, if it is ours to open.
    pub(crate) fn start(&mut self, metadata: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Null => Ok(Some(null::ready(metadata))),
            Self::PlainClient(client) => Ok(Some(client.hello())),
            Self::CurveClient(client) => client.hello().map(Some),
            Self::PlainServer(_) | Self::CurveServer(_) => Ok(None),
        }
    }

    /// A command of the peer. `metadata` is ours.
    pub(crate) fn handle(
        &mut self,
        name: &[u8],
        body: &[u8],
        metadata: &[u8],
    ) -> Result<Step, Error> {
        if name == b"ERROR" {
            return Err(peer_error(body));
        }
        match self {
            Self::Null => null::handle(name, body),
            Self::PlainClient(client) => client.handle(name, body, metadata),
            Self::PlainServer(server) => server.handle(name, body, metadata),
            Self::CurveClient(client) => client.handle(name, body, metadata),
            Self::CurveServer(server) => server.handle(name, body, metadata),
        }
    }
}

/// The peer's reason. It is text for a log, so what is not UTF-8 is replaced.
pub(crate) fn peer_error(body: &[u8]) -> Error {
    match command::short_field(body) {
        Ok((reason, _)) => Error::Peer(alloc::string::String::from_utf8_lossy(reason).into_owned()),
        Err(malformed) => malformed,
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "NULL",
            Self::PlainClient(_) | Self::PlainServer(_) => "PLAIN",
            Self::CurveClient(_) | Self::CurveServer(_) => "CURVE",
        })
    }
}
