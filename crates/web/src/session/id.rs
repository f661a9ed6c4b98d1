//! Session ids: 128 random bits, as they are written in a cookie.

use core::fmt;

/// A session's id. It is what makes a visitor the session's, so that it is shown nowhere but in its cookie.
///
/// Kept as the cookie has it, 32 hexadecimal digits: what a visitor shows is looked up without being read.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; Self::DIGITS]);

impl SessionId {
    /// The length of a cookie's value that is an id.
    pub(super) const DIGITS: usize = 32;

    pub(super) fn new(bits: [u8; 16]) -> Self {
        let mut digits = [0; Self::DIGITS];
        for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(bits) {
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        Self(digits)
    }

    /// The id that a cookie's value may be; nobody has one that we did not give out.
    pub(super) fn of_value(value: &[u8]) -> Option<Self> {
        value.try_into().ok().map(Self)
    }

    /// A part of it that differs from other ids' as much as is needed for finding it in a table: 64 of its random bits.
    pub(super) fn half(&self) -> &[u8] {
        &self.0[..Self::DIGITS / 2]
    }

    /// The cookie's value.
    pub(super) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

fn digit(value: u8) -> u8 {
    b"0123456789abcdef"[usize::from(value & 15)]
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
    use alloc::borrow::ToOwned;
    use alloc::format;

    #[test]
    fn an_id_is_found_as_it_is_written() {
        let id = SessionId::new(*b"\x00\x01\x7f\x80\xff56789abcdef");
        let value = id.as_str();
        assert_eq!(value, "00017f80ff35363738396162636465".to_owned() + "66");
        assert_eq!(SessionId::of_value(value.as_bytes()), Some(id));
        for other in ["", &value[..31], &format!("{value}0")] {
            assert_eq!(SessionId::of_value(other.as_bytes()), None, "{other}");
        }
        assert_ne!(SessionId::of_value(value.to_uppercase().as_bytes()), Some(id));
        assert_eq!(format!("{id:?}"), "SessionId(..)");
    }
}
