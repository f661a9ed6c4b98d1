//! Greeting of ZMTP 2.0 (RFC 15, "Greeting"), after signature and revision: the socket type and the identity.

use crate::frame::Header;
use crate::metadata::IDENTITY_BYTES_MAX;
use crate::{Error, PeerInfo, SocketType};
use alloc::vec::Vec;
use bytes::Bytes;

/// Socket type, then the identity as a short frame.
const HEAD_BYTES: usize = 3;

/// What of the peer's has come.
#[derive(Debug, Default)]
pub(crate) struct GreetingV2(Vec<u8>);

impl GreetingV2 {
    /// Ours.
    pub(crate) fn encode(socket_type: SocketType, identity: &[u8]) -> Vec<u8> {
        let identity = &identity[..identity.len().min(IDENTITY_BYTES_MAX)];
        [&[socket_type.number(), 0, identity.len() as u8], identity].concat()
    }

    /// Takes bytes of the peer's, none of what follows; how many, and the peer when all have come.
    pub(crate) fn take(&mut self, input: &[u8]) -> Result<(usize, Option<PeerInfo>), Error> {
        let mut used = 0;
        loop {
            let missing = self.missing()?;
            let now = missing.min(input.len() - used);
            if missing == 0 {
                return self.peer().map(|peer| (used, Some(peer)));
            }
            if now == 0 {
                return Ok((used, None));
            }
            self.0.extend_from_slice(&input[used..used + now]);
            used += now;
        }
    }

    /// Bytes that it lacks, as far as that is known.
    fn missing(&self) -> Result<usize, Error> {
        match self.0.get(1..HEAD_BYTES) {
            None => Ok(HEAD_BYTES - self.0.len()),
            Some(head) => match Header::parse(head)? {
                // RFC 15: "identity = final-short body".
                Some((Header { flags: 0, len }, 2)) => {
                    Ok((HEAD_BYTES + len as usize).saturating_sub(self.0.len()))
                }
                _ => Err(Error::Identity),
            },
        }
    }

    fn peer(&self) -> Result<PeerInfo, Error> {
        let socket_type = self.0.first().copied().and_then(SocketType::from_number);
        let socket_type = socket_type.ok_or(Error::SocketTypeMismatch)?;
        Ok(PeerInfo::v2(socket_type, Bytes::copy_from_slice(&self.0[HEAD_BYTES..])))
    }
}
