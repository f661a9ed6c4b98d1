//! Frame headers (RFC 37, "Framing").

use crate::Error;

/// Flag bits of a frame; all others are reserved and zero.
pub(crate) const MORE: u8 = 1;
const LONG: u8 = 2;
pub(crate) const COMMAND: u8 = 4;

/// The longest header: flags and a 64-bit length.
pub(crate) const HEADER_BYTES_MAX: usize = 9;

/// A checked frame header. `flags` holds only [`MORE`] and [`COMMAND`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) flags: u8,
    pub(crate) len: u64,
}

impl Header {
    /// The header at the start of `input` and its size; `None` when bytes are missing.
    pub(crate) fn parse(input: &[u8]) -> Result<Option<(Self, usize)>, Error> {
        let Some(&flags) = input.first() else {
            return Ok(None);
        };
        // RFC 37: "bits 7-3: reserved, must be zero"; a command has no MORE bit.
        if flags & !(MORE | LONG | COMMAND) != 0 || flags & (MORE | COMMAND) == MORE | COMMAND {
            return Err(Error::ReservedFlags);
        }
        let (len, used) = if flags & LONG == 0 {
            let Some(&len) = input.get(1) else {
                return Ok(None);
            };
            (u64::from(len), 2)
        } else {
            let Some(len) = input.get(1..).and_then(<[u8]>::first_chunk) else {
                return Ok(None);
            };
            (u64::from_be_bytes(*len), HEADER_BYTES_MAX)
        };
        Ok(Some((Self { flags: flags & (MORE | COMMAND), len }, used)))
    }

    /// The header as sent: the bytes and how many of them count.
    pub(crate) fn encode(self) -> ([u8; HEADER_BYTES_MAX], u8) {
        let mut bytes = [0; HEADER_BYTES_MAX];
        // RFC 37: a body of 0 to 255 octets has the short form.
        if let Ok(len) = u8::try_from(self.len) {
            bytes[0] = self.flags;
            bytes[1] = len;
            return (bytes, 2);
        }
        bytes[0] = self.flags | LONG;
        bytes[1..].copy_from_slice(&self.len.to_be_bytes());
        (bytes, HEADER_BYTES_MAX as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip_at_the_edges_of_each_form() {
        for flags in [0, MORE, COMMAND] {
            for len in [0, 1, 255, 256, 65_536, u64::MAX] {
                let header = Header { flags, len };
                let (bytes, used) = header.encode();
                let used = usize::from(used);
                assert_eq!(used, if len < 256 { 2 } else { 9 });
                assert_eq!(Header::parse(&bytes[..used]), Ok(Some((header, used))));
                for cut in 0..used {
                    assert_eq!(Header::parse(&bytes[..cut]), Ok(None));
                }
            }
        }
    }

    #[test]
    fn rfc37_reserved_bits_and_command_with_more_are_refused() {
        for flags in 8..=255 {
            assert_eq!(Header::parse(&[flags, 0]), Err(Error::ReservedFlags));
        }
        assert_eq!(Header::parse(&[MORE | COMMAND, 0]), Err(Error::ReservedFlags));
    }
}
