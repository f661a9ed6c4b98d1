//! Client response: a received head (RFC 9112 section 4).

use crate::body::BodyFraming;
use crate::head::{Framing, parse_fields};
use crate::{Error, Limits};
use web::fields::{Fields, Section, Span};
use web::syntax::value_end;
use web::{ContentLength, Status, Version};

/// A received response's head.
#[derive(Debug)]
pub struct Response {
    pub(super) head: Section,
    pub(super) status: Status,
    pub(super) version: Version,
    pub(super) reason: Span,
    pub(super) framing: Framing,
    pub(super) body: BodyFraming,
}

impl Response {
    /// The status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The protocol version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The reason phrase, which means nothing (RFC 9112 section 4).
    pub fn reason(&self) -> &[u8] {
        self.reason.of(&self.head.bytes)
    }

    /// All fields in the order received.
    pub fn headers(&self) -> Fields<'_> {
        self.head.fields()
    }

    /// The value of the first field of this name, letter case aside.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.head.field(name)
    }

    /// The values of all fields of this name, letter case aside.
    pub fn headers_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.head.fields_named(name)
    }

    /// How much content follows.
    pub fn content_length(&self) -> ContentLength {
        self.body.content_length()
    }
}

/// Parses a response head at the start of `bytes`; its fields go to `head`, which the response does not hold yet.
///
/// Returns the head's length too; `None` when `bytes` ends before the head does.
pub(super) fn parse_response(
    bytes: &[u8],
    limits: &Limits,
    head: &mut Section,
) -> Result<Option<(Response, usize)>, Error> {
    head.fields.clear();
    let bytes = bytes.get(..usize::from(limits.header_bytes_max)).unwrap_or(bytes);
    let line_max = usize::from(limits.request_line_bytes_max);
    let Some((status, version, reason, at)) = parse_line(bytes, line_max)? else { return Ok(None) };
    let mut framing = Framing::default();
    let Some(end) = parse_fields(bytes, at, limits.headers_max, &mut head.fields, &mut framing)?
    else {
        return Ok(None);
    };
    let response = Response {
        head: Section::default(),
        status,
        version,
        reason,
        framing,
        body: BodyFraming::None,
    };
    Ok(Some((response, end)))
}

/// `HTTP/1.1 200 OK` and its CRLF. The space before an empty reason may be missing: servers forget it.
#[allow(clippy::type_complexity)] // the parts of one line
fn parse_line(
    bytes: &[u8],
    line_max: usize,
) -> Result<Option<(Status, Version, Span, usize)>, Error> {
    for (index, &byte) in bytes.iter().take(12).enumerate() {
        let fits = match index {
            5 | 7 | 9..12 => byte.is_ascii_digit(),
            _ => byte == b"HTTP/1.1 "[index],
        };
        if !fits {
            return Err(Error::StartLine);
        }
    }
    let Some(&[_, _, _, _, _, major, _, minor, _, s1, s2, s3]) = bytes.first_chunk::<12>() else {
        return Ok(None);
    };
    if major != b'1' {
        return Err(Error::UnsupportedVersion);
    }
    let version = if minor == b'0' { Version::Http10 } else { Version::Http11 };
    let digit = |byte: u8| u16::from(byte - b'0');
    let status =
        Status::new(digit(s1) * 100 + digit(s2) * 10 + digit(s3)).ok_or(Error::StartLine)?;
    let reason_start = if bytes.get(12) == Some(&b' ') { 13 } else { 12 };
    let end = value_end(bytes, reason_start);
    if end > line_max {
        return Err(Error::TargetTooLong);
    }
    match (bytes.get(end), bytes.get(end + 1)) {
        (Some(b'\r'), Some(b'\n')) if reason_start == 13 || end == 12 => {}
        (None, _) | (Some(b'\r'), None) => return Ok(None),
        _ => return Err(Error::StartLine),
    }
    Ok(Some((status, version, Span::new(reason_start, end), end + 2)))
}
