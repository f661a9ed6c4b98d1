//! Range requests (RFC 9110 section 14).

use crate::syntax::trim;
use alloc::vec::Vec;
use core::ops::Range;

/// What a `Range` field asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// Nothing that counts: an unknown unit, a malformed field, or more than is fair. The whole is sent.
    Whole,
    /// None of the ranges has a byte: 416.
    Unsatisfiable,
    /// These, in the order asked, none of them empty.
    Parts(Vec<Range<usize>>),
}

/// Reads a `Range` field for content of `len` bytes. More than `ranges_max` ranges, or ranges that add up to
/// more than the whole, are ignored, as RFC 9110 section 14.2 advises for both.
pub fn parse(value: &[u8], len: usize, ranges_max: usize) -> Ranges {
    let Some(set) = strip_unit(value) else { return Ranges::Whole };
    let mut parts = Vec::new();
    let mut total = 0usize;
    for (index, spec) in set.split(|&byte| byte == b',').enumerate() {
        if index >= ranges_max {
            return Ranges::Whole;
        }
        match parse_spec(trim(spec), len) {
            None => return Ranges::Whole,
            Some(part) if part.is_empty() => {}
            Some(part) => {
                total = total.saturating_add(part.len());
                parts.push(part);
            }
        }
    }
    match parts.len() {
        0 => Ranges::Unsatisfiable,
        1 => Ranges::Parts(parts),
        _ if total > len => Ranges::Whole,
        _ => Ranges::Parts(parts),
    }
}

/// What follows `bytes=`; range units are case-insensitive (RFC 9110 section 14.1).
fn strip_unit(value: &[u8]) -> Option<&[u8]> {
    let (unit, set) = value.split_at_checked(6)?;
    unit.eq_ignore_ascii_case(b"bytes=").then_some(set)
}

/// One range, cut to the content; empty if it has no byte, `None` if it is malformed.
fn parse_spec(spec: &[u8], len: usize) -> Option<Range<usize>> {
    let dash = spec.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (spec.get(..dash)?, spec.get(dash + 1..)?);
    if first.is_empty() {
        // RFC 9110 section 14.1.2: the last bytes.
        let suffix = parse_number(last)?;
        return Some(len.saturating_sub(suffix)..len);
    }
    let first = parse_number(first)?;
    if last.is_empty() {
        return Some(first.min(len)..len);
    }
    let last = parse_number(last)?;
    // RFC 9110 section 14.1.1: a last position before the first is invalid.
    (last >= first).then(|| first.min(len)..last.saturating_add(1).min(len))
}

/// A number of digits; one too large for this machine is larger than any content.
fn parse_number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0usize, |number, digit| {
        number.saturating_mul(10).saturating_add(usize::from(digit - b'0'))
    });
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn ranges(value: &str) -> Ranges {
        parse(value.as_bytes(), 100, 4)
    }

    #[test]
    fn rfc9110_14_1_2_forms() {
        for (value, part) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-99", 0..100),
            ("BYTES=10-19", 10..20),
            ("bytes=90-1000", 90..100),
            ("bytes=90-", 90..100),
            ("bytes=-10", 90..100),
            ("bytes=-1000", 0..100),
            ("bytes=5-99999999999999999999999", 5..100),
            ("bytes= 5-6 ", 5..7),
            ("bytes=200-300,5-6", 5..7),
        ] {
            assert_eq!(ranges(value), Ranges::Parts(vec![part]), "{value}");
        }
        assert_eq!(ranges("bytes=0-9, 20-29 ,-1"), Ranges::Parts(vec![0..10, 20..30, 99..100]));
    }

    #[test]
    fn rfc9110_14_2_what_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "items=0-1",
            "bytes=a-b",
            "bytes=5",
            "bytes=-",
            "bytes=9-5",
            "bytes=1-2,",
            "bytes=+1-2",
            "bytes 1-2",
            "bytes=0-1,2-3,4-5,6-7,8-9",
            "bytes=0-60,40-99",
            "bytes=0-,0-",
        ] {
            assert_eq!(ranges(value), Ranges::Whole, "{value}");
        }
    }

    #[test]
    fn rfc9110_15_5_17_unsatisfiable() {
        for value in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=100-,200-"] {
            assert_eq!(ranges(value), Ranges::Unsatisfiable, "{value}");
        }
        assert_eq!(parse(b"bytes=-5", 0, 4), Ranges::Unsatisfiable);
    }
}
