//! Session ids: 128 random bits, and how they are written in a cookie.

use alloc::string::String;
use core::fmt;

/// A session's id. It is what makes a visitor the session's, so that it is shown nowhere but in its cookie.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub(super) [u8; 16]);

const DIGITS: &[u8; 16] = b"0123456789abcdef";

impl SessionId {
    /// The id that a cookie's value is; `None` if it is none that we could have written.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = value.as_chunks::<2>();
        if pairs.len() != 16 || !rest.is_empty() {
            return None;
        }
        let mut id = [0; 16];
        for (byte, [high, low]) in id.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(id))
    }

    /// The cookie's value: 32 hexadecimal digits.
    pub(super) fn to_value(self) -> String {
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
    }
}

/// Says nothing of it: an id in a log is a session for whoever reads the log.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn an_id_is_read_as_it_is_written_and_nothing_else_is_one() {
        let id = SessionId(*b"\x00\x01\x7f\x80\xff56789abcdef");
        let value = id.to_value();
        assert_eq!((value.len(), SessionId::parse(value.as_bytes())), (32, Some(id)));
        let upper = value.to_uppercase();
        let long = format!("{value}0");
        for other in ["", &value[..31], &value[..30], &long, &upper, &value.replace('0', "g")] {
            assert_eq!(SessionId::parse(other.as_bytes()), None, "{other}");
        }
        assert_eq!(format!("{id:?}"), "SessionId(..)");
    }
}
