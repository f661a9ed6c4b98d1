//! Close frames (RFC 6455 sections 5.5.1 and 7.4).

use crate::Error;
use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

/// Longest reason of a close frame, in bytes: a control frame has 125, and the code takes two.
pub const REASON_BYTES_MAX: usize = 123;

/// A code that a close frame may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server stops, or the page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A kind of message that is not taken, as binary where text is wanted.
    pub const UNSUPPORTED: Self = Self(1003);
    /// Text that is no UTF-8, or compressed data that is corrupt.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// A rule of the application, or a bound, was broken.
    pub const POLICY: Self = Self(1008);
    /// A message that is too long.
    pub const TOO_LONG: Self = Self(1009);
    /// The server did not agree to an extension that the client needs.
    pub const EXTENSION_NEEDED: Self = Self(1010);
    /// This side failed.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// This side starts anew.
    pub const RESTART: Self = Self(1012);
    /// This side has too much to do.
    pub const TRY_AGAIN_LATER: Self = Self(1013);

    /// The code, if a close frame may carry it (RFC 6455 section 7.4.2, and IANA's registry for 1012 to 1014): 1004 to 1006
    /// and 1015 may not, nor what nobody has defined. 3000 to 3999 is for frameworks, 4000 to 4999 for applications.
    pub fn new(code: u16) -> Option<Self> {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999).then_some(Self(code))
    }

    /// The number.
    pub fn code(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a close frame says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure {
    /// The code, if there is one.
    pub code: Option<CloseCode>,
    /// Why, for whoever debugs; often empty.
    pub reason: String,
}

impl Closure {
    /// A code with a reason, which is cut to [`REASON_BYTES_MAX`] at the end of a character.
    pub fn new(code: CloseCode, reason: &str) -> Self {
        let end = reason.floor_char_boundary(REASON_BYTES_MAX);
        Self { code: Some(code), reason: reason[..end].to_owned() }
    }

    /// Parses a close frame's payload.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, Error> {
        let (code, reason) = match payload {
            [] => return Ok(Self::default()),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
            // RFC 6455 section 5.5.1: if there is a body, its first two bytes are the code.
            [_] => return Err(Error::CloseCode),
        };
        let code = CloseCode::new(code).ok_or(Error::CloseCode)?;
        let reason = core::str::from_utf8(reason).map_err(|_| Error::InvalidUtf8)?;
        Ok(Self { code: Some(code), reason: reason.to_owned() })
    }

    /// Writes the payload to `out`.
    pub(crate) fn encode<'a>(&self, out: &'a mut [u8; 125]) -> &'a [u8] {
        let Some(code) = self.code else { return &[] };
        let length = 2 + self.reason.len().min(REASON_BYTES_MAX);
        out[..2].copy_from_slice(&code.0.to_be_bytes());
        out[2..length].copy_from_slice(&self.reason.as_bytes()[..length - 2]);
        &out[..length]
    }
}

impl fmt::Display for Closure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.reason.as_str()) {
            (None, _) => f.write_str("no code"),
            (Some(code), "") => code.fmt(f),
            // A peer's words: escaped, since they go to the log.
            (Some(code), reason) => write!(f, "{code}, {reason:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6455_7_4_codes_that_a_frame_may_carry() {
        let allowed = |code: &u16| CloseCode::new(*code).is_some();
        let ranges = [1000..=1003, 1007..=1014, 3000..=4999];
        for code in 0..=u16::MAX {
            assert_eq!(allowed(&code), ranges.iter().any(|range| range.contains(&code)), "{code}");
        }
    }

    #[test]
    fn rfc6455_5_5_1_a_body_is_a_code_and_a_reason() {
        assert_eq!(Closure::parse(b""), Ok(Closure::default()));
        assert_eq!(Closure::parse(b"\x03"), Err(Error::CloseCode));
        assert_eq!(Closure::parse(b"\x03\xed"), Err(Error::CloseCode));
        assert_eq!(Closure::parse(b"\x03\xe8\xff"), Err(Error::InvalidUtf8));
        let closure = Closure::new(CloseCode::NORMAL, "bye");
        assert_eq!(closure.encode(&mut [0; 125]), b"\x03\xe8bye");
        assert_eq!(Closure::parse(b"\x03\xe8bye"), Ok(closure));
    }

    #[test]
    fn a_long_reason_is_cut_at_the_end_of_a_character() {
        let closure = Closure::new(CloseCode::NORMAL, &"\u{20ac}".repeat(42));
        assert_eq!(closure.reason.len(), 123);
        let closure = Closure::new(CloseCode::NORMAL, &["a", &"\u{20ac}".repeat(42)].concat());
        assert_eq!(closure.reason.len(), 121);
        assert_eq!(closure.encode(&mut [0; 125]).len(), 123);
    }
}
