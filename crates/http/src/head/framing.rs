//! Message framing (RFC 9112 sections 6 and 9): what a head's fields say about its message and the connection.

use crate::Error;
use web::fields::{Span, is_selecting};
use web::syntax::{is_name, trim};

/// What the `Transfer-Encoding` fields add up to (RFC 9112 section 6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Coding {
    /// No such field.
    #[default]
    None,
    /// `chunked` alone.
    Chunked,
    /// A coding this crate does not implement.
    Unknown,
}

/// What the `Expect` field asks for (RFC 9110 section 10.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Expect {
    #[default]
    Nothing,
    Continue,
    Unknown,
}

/// What a head says about its message and connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Framing {
    /// The value of `Host`.
    pub(crate) host: Option<Span>,
    pub(crate) content_length: Option<u64>,
    pub(crate) coding: Coding,
    pub(crate) expect: Expect,
    /// `Connection: close`.
    pub(crate) close: bool,
    /// `Connection: keep-alive`.
    pub(crate) keep_alive: bool,
    /// `Connection: upgrade`.
    pub(crate) upgrade: bool,
    /// There is a field that makes the request conditional, or asks for a part (RFC 9110 sections
    /// 13.1 and 14.2).
    pub(crate) selects: bool,
}

impl Framing {
    /// Takes note of one field. Anything ambiguous is refused here, so that no later
    /// code can read it in two ways.
    #[inline]
    pub(super) fn note(&mut self, name: &[u8], value: Span, head: &[u8]) -> Result<(), Error> {
        match name.len() {
            4 if is_name(name, b"host") => self.note_host(value),
            6 if is_name(name, b"expect") => self.note_expect(value.of(head)),
            10 if is_name(name, b"connection") => self.note_connection(value.of(head)),
            14 if is_name(name, b"content-length") => self.note_length(value.of(head)),
            17 if is_name(name, b"transfer-encoding") => self.note_coding(value.of(head)),
            _ => {
                self.selects |= is_selecting(name);
                Ok(())
            }
        }
    }

    fn note_host(&mut self, value: Span) -> Result<(), Error> {
        // RFC 9112 section 3.2: more than one Host field line, reject.
        if self.host.replace(value).is_some() {
            return Err(Error::Host);
        }
        Ok(())
    }

    fn note_expect(&mut self, value: &[u8]) -> Result<(), Error> {
        // Set, not merged: an unknown expectation must not be hidden by a known one after it.
        let known = value.eq_ignore_ascii_case(b"100-continue") && self.expect != Expect::Unknown;
        self.expect = if known { Expect::Continue } else { Expect::Unknown };
        Ok(())
    }

    fn note_connection(&mut self, value: &[u8]) -> Result<(), Error> {
        if is_name(value, b"keep-alive") {
            self.keep_alive = true;
            return Ok(());
        }
        for option in value.split(|&byte| byte == b',') {
            let option = trim(option);
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        }
        Ok(())
    }

    fn note_length(&mut self, value: &[u8]) -> Result<(), Error> {
        // RFC 9112 section 6.3: differing lengths, reject; equal ones may be rejected too, and are,
        // since nobody sends them but to confuse.
        if self.content_length.is_some() {
            return Err(Error::Length);
        }
        self.content_length = Some(parse_length(value).ok_or(Error::Length)?);
        Ok(())
    }

    fn note_coding(&mut self, value: &[u8]) -> Result<(), Error> {
        for coding in value.split(|&byte| byte == b',') {
            let coding = trim(coding);
            // RFC 9112 section 6.1: chunked is applied once and last. An empty element is
            // refused as well: parsers disagree on it.
            if coding.is_empty() || self.coding == Coding::Chunked {
                return Err(Error::Coding);
            }
            let chunked = coding.eq_ignore_ascii_case(b"chunked") && self.coding == Coding::None;
            self.coding = if chunked { Coding::Chunked } else { Coding::Unknown };
        }
        Ok(())
    }
}

/// RFC 9110 section 8.6: digits only; no sign, no list, nothing that overflows.
fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |length, &byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then_some(())?;
        length.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::parse_fields;
    use alloc::format;
    use alloc::vec::Vec;

    #[test]
    fn lengths_are_digits_that_fit() {
        assert_eq!(parse_length(b"0"), Some(0));
        assert_eq!(parse_length(b"18446744073709551615"), Some(u64::MAX));
        for bad in [
            &b""[..],
            b"+1",
            b"-1",
            b"1 1",
            b"1,1",
            b"0x1",
            b"18446744073709551616",
            b"1.0",
            b":",
            b"1:",
            b"/",
        ] {
            assert_eq!(parse_length(bad), None, "{bad:?}");
        }
    }

    /// What the field lines of a head say, all of which are well-formed.
    fn noted(lines: &str) -> Result<Framing, Error> {
        let bytes = format!("{lines}\r\n\r\n").into_bytes();
        let mut framing = Framing::default();
        let end = parse_fields(&bytes, 0, 64, &mut Vec::new(), &mut framing)?;
        assert_eq!(end, Some(bytes.len()), "{lines}");
        Ok(framing)
    }

    #[test]
    fn rfc9110_7_6_1_connection_options_add_up() {
        for (lines, close, keep_alive, upgrade) in [
            ("Connection: x", false, false, false),
            ("Connection: close", true, false, false),
            ("CONNECTION: CLOSE", true, false, false),
            ("Connection: close, x", true, false, false),
            ("Connection: x, close", true, false, false),
            ("Connection: close, close", true, false, false),
            ("Connection: keep-alive", false, true, false),
            ("Connection: x, Keep-Alive", false, true, false),
            ("Connection: Keep-Alive ,x", false, true, false),
            ("Connection: keep-alive, keep-alive", false, true, false),
            ("Connection: Upgrade", false, false, true),
            ("Connection: upgrade, x", false, false, true),
            ("Connection: x\t,\tupgrade", false, false, true),
            ("Connection: upgrade, upgrade", false, false, true),
            ("Connection: keep-alive, Upgrade", false, true, true),
            (
                "Connection: close\r\nConnection: keep-alive\r\nConnection: upgrade",
                true,
                true,
                true,
            ),
            (
                "Connection: upgrade\r\nConnection: close\r\nConnection: keep-alive",
                true,
                true,
                true,
            ),
            ("Connection: closed, keep alive, upgrad", false, false, false),
            ("Connection: close;x", false, false, false),
            ("Close: close\r\nKeep-Alive: keep-alive\r\nUpgrade: upgrade", false, false, false),
        ] {
            let framing = noted(lines).unwrap();
            let said = (framing.close, framing.keep_alive, framing.upgrade);
            assert_eq!(said, (close, keep_alive, upgrade), "{lines}");
        }
    }

    #[test]
    fn names_as_long_as_those_that_frame_frame_nothing() {
        let others = "From: a\r\nFrom: b\r\nCookie: 100-continue\r\nAccept: close\r\nUser-Agent: close\r\n\
            Accept-Charset: 5\r\nAccept-Charset: x\r\nX-Modified-Since2: chunked\r\nX-Modified-Since2: chunked";
        let framing = noted(others).unwrap();
        assert!(framing.host.is_none() && framing.content_length.is_none());
        assert_eq!((framing.coding, framing.expect), (Coding::None, Expect::Nothing));
        assert!(!(framing.close || framing.keep_alive || framing.upgrade || framing.selects));
        let framing = noted(
            "Host: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\nX: y",
        );
        let framing = framing.unwrap();
        assert!(framing.host.is_some() && framing.close && !framing.selects);
        assert_eq!((framing.content_length, framing.expect), (Some(5), Expect::Continue));
        assert_eq!(noted("Transfer-Encoding: chunked").unwrap().coding, Coding::Chunked);
    }

    #[test]
    fn rfc9110_13_1_one_field_makes_a_request_conditional() {
        for (lines, selects) in [
            ("X: y", false),
            ("Accept-Ranges: bytes", false),
            ("Range: bytes=0-1", true),
            ("If-None-Match: *", true),
            ("If-Modified-Since: x", true),
            ("If-Match: *\r\nX: y", true),
            ("X: y\r\nif-range: *", true),
            ("If-Match: *\r\nIf-Unmodified-Since: x", true),
        ] {
            assert_eq!(noted(lines).unwrap().selects, selects, "{lines}");
        }
    }
}
