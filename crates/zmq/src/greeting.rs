//! Greeting (RFC 37, "Greeting"): 64 bytes each way, in two stages, since after the first eleven it is known
//! which protocol the peer speaks: ours, or ZMTP 2.0 (RFC 15), whose greeting goes on otherwise.

use crate::Error;

/// Length of a ZMTP 3.x greeting.
pub(crate) const GREETING_BYTES: usize = 64;
/// Of these, the signature and the major version: what is sent first, and decides about the rest.
pub(crate) const VERSION_BYTES: usize = 11;
const MECHANISM_BYTES: usize = 20;

/// A checked greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    pub(crate) minor: u8,
    pub(crate) mechanism: [u8; MECHANISM_BYTES],
    pub(crate) as_server: bool,
}

impl Greeting {
    /// Ours: ZMTP 3.1. `mechanism` is at most 20 bytes.
    pub(crate) fn new(mechanism: &'static str, as_server: bool) -> Self {
        let mut name = [0; MECHANISM_BYTES];
        for (to, from) in name.iter_mut().zip(mechanism.bytes()) {
            *to = from;
        }
        Self { minor: 1, mechanism: name, as_server }
    }

    /// Greeting bytes as sent.
    pub(crate) fn encode(&self) -> [u8; GREETING_BYTES] {
        let mut bytes = [0; GREETING_BYTES];
        bytes[0] = 0xFF;
        // libzmq's older versions read the padding as a 1-byte length of a ZMTP 1.0 frame.
        bytes[8] = 1;
        bytes[9] = 0x7F;
        bytes[10] = 3;
        bytes[11] = self.minor;
        bytes[12..32].copy_from_slice(&self.mechanism);
        bytes[32] = u8::from(self.as_server);
        bytes
    }

    /// Refuses what can no longer become a greeting, as early as its bytes say so: a peer that
    /// speaks another protocol would wait for us for ever if we waited for all 64.
    pub(crate) fn check_prefix(bytes: &[u8]) -> Result<(), Error> {
        if bytes.first().is_some_and(|&first| first != 0xFF)
            || bytes.get(9).is_some_and(|&last| last != 0x7F)
        {
            return Err(Error::Signature);
        }
        match bytes.get(10) {
            // Revision 0 is ZMTP 1.0, which has other frames. A higher major version than ours is
            // the peer's to downgrade.
            Some(&major) if major == 0 => Err(Error::Version(major)),
            _ => Ok(()),
        }
    }

    /// Whether a greeting that starts like this is one of ZMTP 2.0, which has revision 1 (RFC 15).
    pub(crate) fn is_v2(version: &[u8; VERSION_BYTES]) -> bool {
        version[VERSION_BYTES - 1] < 3
    }

    /// Reads a whole greeting.
    pub(crate) fn parse(bytes: &[u8; GREETING_BYTES]) -> Result<Self, Error> {
        Self::check_prefix(bytes)?;
        let mut mechanism = [0; MECHANISM_BYTES];
        mechanism.copy_from_slice(&bytes[12..32]);
        let minor = if bytes[10] > 3 { 1 } else { bytes[11] };
        Ok(Self { minor, mechanism, as_server: bytes[32] & 1 == 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_round_trip() {
        let greeting = Greeting::new("CURVE", true);
        assert_eq!(Greeting::parse(&greeting.encode()), Ok(greeting));
        assert_eq!(&greeting.encode()[12..18], b"CURVE\0");
    }

    /// RFC 37: who speaks a higher version speaks ours, too, whatever its minor version is.
    #[test]
    fn a_peers_minor_version_is_that_of_ours() {
        for (version, minor) in [([3, 0], 0), ([3, 1], 1), ([4, 0], 1), ([4, 7], 1)] {
            let mut bytes = Greeting::new("NULL", false).encode();
            bytes[10..12].copy_from_slice(&version);
            assert_eq!(Greeting::parse(&bytes).map(|it| it.minor), Ok(minor), "{version:?}");
        }
    }

    #[test]
    fn other_protocols_are_refused_by_their_first_bytes() {
        assert_eq!(Greeting::check_prefix(b"G"), Err(Error::Signature));
        assert_eq!(Greeting::check_prefix(&[0xFF; 10]), Err(Error::Signature));
        let mut old = Greeting::new("NULL", false).encode();
        old[10] = 0;
        assert_eq!(Greeting::check_prefix(&old[..11]), Err(Error::Version(0)));
        assert_eq!(Greeting::check_prefix(&old[..10]), Ok(()));
    }
}
