//! Field lines (RFC 9112 section 5), parsed in one pass over the head.

use super::scan::{token_len, value_len};
use super::{Facts, Field, Span};
use crate::Error;
use alloc::vec::Vec;

/// How many fields a section may have and where in `bytes` it must have ended.
#[derive(Clone, Copy)]
pub(crate) struct FieldLimits {
    pub(crate) fields_max: u16,
}

/// Parses field lines of `bytes` from `at` to the empty line and notes what frames the message.
///
/// Returns where the section ends, or `None` when `bytes` ends before it does. `bytes` is at most
/// 65,535 long: the caller cuts it to its limit.
pub(crate) fn parse_fields(
    bytes: &[u8],
    mut at: usize,
    limits: FieldLimits,
    fields: &mut Vec<Field>,
    facts: &mut Facts,
) -> Result<Option<usize>, Error> {
    loop {
        let line = bytes.get(at..).unwrap_or(&[]);
        match line {
            [b'\r', b'\n', ..] => return Ok(Some(at + 2)),
            [] | [b'\r'] => return Ok(None),
            _ => {}
        }
        let Some((name_len, value, line_len)) = parse_line(line)? else { return Ok(None) };
        if fields.len() >= usize::from(limits.fields_max) {
            return Err(Error::HeadTooLarge);
        }
        let field = Field {
            name: Span::new(at, at + name_len),
            value: Span::new(at + value.start, at + value.end),
        };
        facts.note(field, bytes)?;
        fields.push(field);
        at += line_len;
    }
}

/// Name length, value range without surrounding whitespace, and length of one complete line.
#[allow(clippy::type_complexity)] // three numbers that mean nothing apart
#[inline]
fn parse_line(line: &[u8]) -> Result<Option<(usize, core::ops::Range<usize>, usize)>, Error> {
    let name_len = token_len(line);
    match line.get(name_len) {
        // RFC 9112 section 5.1: no whitespace between name and colon. What is not a token also
        // catches obs-fold (section 5.2: a line that begins with whitespace has an empty name),
        // bare LF (section 2.2) and control bytes.
        Some(b':') if name_len > 0 => {}
        Some(_) => return Err(Error::Field),
        None => return Ok(None),
    }
    let mut start = name_len + 1;
    while let Some(b' ' | b'\t') = line.get(start) {
        start += 1;
    }
    let mut end = start + value_len(line.get(start..).unwrap_or(&[]));
    let line_len = end + 2;
    match line.get(end..) {
        Some([b'\r', b'\n', ..]) => {}
        Some([] | [b'\r']) | None => return Ok(None),
        // RFC 9112 section 2.2: a CR that no LF follows is invalid, and so is a bare LF here;
        // RFC 9110 section 5.5: so are NUL and other control bytes.
        Some(_) => return Err(Error::Field),
    }
    while end > start && matches!(line.get(end - 1), Some(b' ' | b'\t')) {
        end -= 1;
    }
    Ok(Some((name_len, start..end, line_len)))
}
