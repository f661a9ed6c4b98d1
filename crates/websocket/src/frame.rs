//! Frames (RFC 6455 section 5.2): heads, read as they arrive and written.

use crate::{Error, Role, mask};
use alloc::vec::Vec;

/// Longest head of a frame, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 14;
/// Longest payload of a control frame (section 5.5).
pub(crate) const CONTROL_BYTES_MAX: usize = 125;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV: u8 = 0x70;
const MASK: u8 = 0x80;
/// Lengths that stand for a length in two, or in eight, bytes behind them.
const TWO_BYTES: u8 = 126;
const EIGHT_BYTES: u8 = 127;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn new(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    fn code(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    pub(crate) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) opcode: Opcode,
    /// The last frame of its message.
    pub(crate) is_final: bool,
    /// RSV1: the message is compressed (RFC 7692 section 6).
    pub(crate) is_compressed: bool,
    pub(crate) payload_bytes: u64,
    pub(crate) mask: Option<[u8; 4]>,
}

/// A head of which some bytes are there.
#[derive(Debug, Default)]
pub(crate) struct HeadReader {
    bytes: [u8; HEAD_BYTES_MAX],
    count: u8,
}

impl HeadReader {
    /// Takes bytes as far as they belong to the head; the head, once it is whole. `role` is ours. What can be refused
    /// by the first two bytes is.
    pub(crate) fn read(
        &mut self,
        input: &[u8],
        role: &Role,
        deflate: bool,
    ) -> Result<(usize, Option<Head>), Error> {
        let mut taken = 0;
        loop {
            let count = usize::from(self.count);
            let wanted = self.wanted();
            if count == wanted {
                let head = self.parse()?;
                self.count = 0;
                return Ok((taken, Some(head)));
            }
            let rest = &input[taken..];
            let more = rest.len().min(wanted - count);
            if more == 0 {
                return Ok((taken, None));
            }
            self.bytes[count..count + more].copy_from_slice(&rest[..more]);
            self.count += more as u8;
            taken += more;
            if count < 2 && self.count == 2 {
                self.check(role, deflate)?;
            }
        }
    }

    /// Bytes of the head, as far as they say so themselves.
    fn wanted(&self) -> usize {
        if self.count < 2 {
            return 2;
        }
        let mask = if self.bytes[1] & MASK == 0 { 0 } else { 4 };
        mask + match self.bytes[1] & !MASK {
            TWO_BYTES => 4,
            EIGHT_BYTES => 10,
            _ => 2,
        }
    }

    /// Checks the first two bytes.
    fn check(&self, role: &Role, deflate: bool) -> Result<(), Error> {
        let [first, second, ..] = self.bytes;
        let opcode = Opcode::new(first & 0x0f).ok_or(Error::ReservedOpcode)?;
        // Section 5.2: a bit that no extension defines is zero. RFC 7692 section 6.1: RSV1 is of a message's first frame.
        let starts_message = matches!(opcode, Opcode::Text | Opcode::Binary);
        let defined = if deflate && starts_message { RSV1 } else { 0 };
        if first & RSV & !defined != 0 {
            return Err(Error::ReservedBits);
        }
        // Section 5.5.
        if opcode.is_control() && first & FIN == 0 {
            return Err(Error::ControlFragmented);
        }
        if opcode.is_control() && usize::from(second & !MASK) > CONTROL_BYTES_MAX {
            return Err(Error::ControlTooLong);
        }
        // Section 5.1: a client masks all frames, a server none.
        match (role, second & MASK != 0) {
            (Role::Server, false) => Err(Error::Unmasked),
            (Role::Client { .. }, true) => Err(Error::Masked),
            _ => Ok(()),
        }
    }

    fn parse(&self) -> Result<Head, Error> {
        let [first, second, ..] = self.bytes;
        let b = &self.bytes;
        // Section 5.2: the minimal number of bytes, and the most significant bit of eight is zero.
        let (payload_bytes, at, least, most) = match second & !MASK {
            TWO_BYTES => (u64::from(u16::from_be_bytes([b[2], b[3]])), 4, 126, u64::MAX),
            EIGHT_BYTES => {
                let length = [b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9]];
                (u64::from_be_bytes(length), 10, 1 << 16, u64::MAX >> 1)
            }
            short => (u64::from(short), 2, 0, u64::MAX),
        };
        if payload_bytes < least || payload_bytes > most {
            return Err(Error::LengthForm);
        }
        let mask = (second & MASK != 0).then(|| [b[at], b[at + 1], b[at + 2], b[at + 3]]);
        Ok(Head {
            opcode: Opcode::new(first & 0x0f).ok_or(Error::ReservedOpcode)?,
            is_final: first & FIN != 0,
            is_compressed: first & RSV1 != 0,
            payload_bytes,
            mask,
        })
    }
}

impl Head {
    /// Writes the head; how many bytes.
    pub(crate) fn encode(&self, out: &mut [u8; HEAD_BYTES_MAX]) -> usize {
        let fin = if self.is_final { FIN } else { 0 };
        let rsv1 = if self.is_compressed { RSV1 } else { 0 };
        out[0] = fin | rsv1 | self.opcode.code();
        let mut end = match self.payload_bytes {
            0..126 => {
                out[1] = self.payload_bytes as u8;
                2
            }
            126..0x1_0000 => {
                out[1] = TWO_BYTES;
                out[2..4].copy_from_slice(&(self.payload_bytes as u16).to_be_bytes());
                4
            }
            _ => {
                out[1] = EIGHT_BYTES;
                out[2..10].copy_from_slice(&self.payload_bytes.to_be_bytes());
                10
            }
        };
        if let Some(mask) = self.mask {
            out[1] |= MASK;
            out[end..end + 4].copy_from_slice(&mask);
            end += 4;
        }
        end
    }
}

/// Appends a control frame to `out`, whole; of the payload, [`CONTROL_BYTES_MAX`].
pub(crate) fn put_control(
    out: &mut Vec<u8>,
    opcode: Opcode,
    payload: &[u8],
    mask: Option<[u8; 4]>,
) {
    let payload = payload.get(..CONTROL_BYTES_MAX).unwrap_or(payload);
    let payload_bytes = payload.len() as u64;
    let head = Head { opcode, is_final: true, is_compressed: false, payload_bytes, mask };
    let mut bytes = [0; HEAD_BYTES_MAX];
    let count = head.encode(&mut bytes);
    out.extend_from_slice(&bytes[..count]);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        mask::apply(mask, &mut out[start..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn head(payload_bytes: u64, mask: Option<[u8; 4]>) -> Head {
        let (opcode, is_final, is_compressed) = (Opcode::Binary, true, true);
        Head { opcode, is_final, is_compressed, payload_bytes, mask }
    }

    fn read(bytes: &[u8], role: &Role) -> Result<Option<Head>, Error> {
        HeadReader::default().read(bytes, role, true).map(|(_, head)| head)
    }

    const CLIENT: Role = Role::Client { mask_seed: [0; 32] };

    #[test]
    fn rfc6455_5_2_heads_come_back_however_they_are_cut() {
        for length in [0, 1, 125, 126, 127, 0xffff, 0x1_0000, u64::MAX >> 1] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let role = if mask.is_some() { Role::Server } else { CLIENT };
                let mut bytes = [0xaa; HEAD_BYTES_MAX];
                let count = head(length, mask).encode(&mut bytes);
                for cut in 0..count {
                    let mut reader = HeadReader::default();
                    assert_eq!(reader.read(&bytes[..cut], &role, true), Ok((cut, None)));
                    let expected = (count - cut, Some(head(length, mask)));
                    assert_eq!(reader.read(&bytes[cut..], &role, true), Ok(expected));
                    assert_eq!(reader.count, 0, "ready for the next");
                }
            }
        }
    }

    #[test]
    fn rfc6455_5_2_a_length_has_its_shortest_form_and_63_bits() {
        for (bytes, is_right) in [
            (vec![0x82, 126, 0, 125], false),
            (vec![0x82, 126, 0, 126], true),
            (vec![0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], false),
            (vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0], true),
            (vec![0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], true),
            (vec![0x82, 127, 0x80, 0, 0, 0, 0, 1, 0, 0], false),
        ] {
            let outcome = read(&bytes, &CLIENT);
            assert_eq!(outcome.is_ok(), is_right, "{bytes:?}");
            assert!(is_right || outcome == Err(Error::LengthForm));
        }
    }

    #[test]
    fn rfc6455_5_2_reserved_bits_and_opcodes_are_refused_by_two_bytes() {
        for opcode in (3..8).chain(11..16) {
            assert_eq!(read(&[0x80 | opcode, 0x80], &Role::Server), Err(Error::ReservedOpcode));
        }
        for opcode in [0, 1, 2, 8, 9, 10] {
            for bits in [0x10, 0x20, 0x40, 0x50, 0x60, 0x70] {
                let mut reader = HeadReader::default();
                let outcome = reader.read(&[0x80 | bits | opcode, 0x85], &Role::Server, false);
                assert_eq!(outcome, Err(Error::ReservedBits), "{bits:x}");
            }
            let with_deflate = read(&[0xc0 | opcode, 0x85], &Role::Server);
            // RFC 7692 section 6.1.
            assert_eq!(with_deflate.is_ok(), opcode == 1 || opcode == 2, "{opcode}");
        }
    }

    #[test]
    fn rfc6455_5_1_and_5_5_masks_and_control_frames() {
        assert_eq!(read(&[0x81, 0x05], &Role::Server), Err(Error::Unmasked));
        assert_eq!(read(&[0x81, 0x85], &CLIENT), Err(Error::Masked));
        assert_eq!(read(&[0x09, 0x80], &Role::Server), Err(Error::ControlFragmented));
        assert_eq!(read(&[0x89, 0xfe], &Role::Server), Err(Error::ControlTooLong));
        assert_eq!(read(&[0x88, 0xff], &Role::Server), Err(Error::ControlTooLong));
        assert_eq!(read(&[0x89, 0xfd], &Role::Server), Ok(None));
    }
}
