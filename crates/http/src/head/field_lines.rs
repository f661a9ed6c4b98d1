//! Field lines (RFC 9112 section 5), parsed in one pass over the head.

use super::Framing;
use crate::Error;
use alloc::vec::Vec;
use web::fields::{Field, Span};
use web::syntax::{token_end, value_end};

/// Parses field lines of `bytes` from `at` to the empty line and notes what frames the message.
///
/// Returns where the section ends, or `None` when `bytes` ends before it does. `bytes` is at most
/// 65,535 long: the caller cuts it to its limit.
pub(crate) fn parse_fields(
    bytes: &[u8],
    mut at: usize,
    fields_max: u16,
    fields: &mut Vec<Field>,
    framing: &mut Framing,
) -> Result<Option<usize>, Error> {
    loop {
        let name_end = token_end(bytes, at);
        match bytes.get(name_end) {
            Some(b':') if name_end > at => {}
            Some(b'\r') if name_end == at => return end_section(bytes, at),
            // RFC 9112 section 5.1: no whitespace between name and colon. What is not a token also
            // catches obs-fold (section 5.2: a line that begins with whitespace has an empty name),
            // bare LF (section 2.2) and control bytes.
            Some(_) => return Err(Error::Field),
            None => return Ok(None),
        }
        let Some((value, next)) = parse_value(bytes, name_end + 1)? else { return Ok(None) };
        if fields.len() >= usize::from(fields_max) {
            return Err(Error::HeadTooLarge);
        }
        let name = Span::new(at, name_end);
        framing.note(name.of(bytes), value, bytes)?;
        fields.push(Field { name, value });
        at = next;
    }
}

/// The empty line that ends a section begins at `at`.
fn end_section(bytes: &[u8], at: usize) -> Result<Option<usize>, Error> {
    match bytes.get(at + 1) {
        Some(b'\n') => Ok(Some(at + 2)),
        Some(_) => Err(Error::Field),
        None => Ok(None),
    }
}

/// The value that begins after the colon, without the whitespace around it, and where the next line begins.
#[inline]
fn parse_value(bytes: &[u8], mut start: usize) -> Result<Option<(Span, usize)>, Error> {
    while let Some(b' ' | b'\t') = bytes.get(start) {
        start += 1;
    }
    let mut end = value_end(bytes, start);
    let next = end + 2;
    match (bytes.get(end), bytes.get(end + 1)) {
        (Some(b'\r'), Some(b'\n')) => {}
        (None, _) | (Some(b'\r'), None) => return Ok(None),
        // RFC 9112 section 2.2: a CR that no LF follows is invalid, and so is a bare LF here;
        // RFC 9110 section 5.5: so are NUL and other control bytes.
        _ => return Err(Error::Field),
    }
    while end > start && matches!(bytes.get(end - 1), Some(b' ' | b'\t')) {
        end -= 1;
    }
    Ok(Some((Span::new(start, end), next)))
}
