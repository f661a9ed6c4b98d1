//! Field sections (RFC 9110 section 5): received ones, read through offsets, and lines to be sent.

use crate::syntax::{is_name, is_token, trim, value_end};
use alloc::vec::Vec;

/// Longest head that [`Span`] can point into, bytes.
pub const HEAD_BYTES_MAX: usize = u16::MAX as usize;

/// A range of a head's bytes. Heads are at most [`HEAD_BYTES_MAX`] bytes long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub start: u16,
    /// Bytes that it covers.
    pub len: u16,
}

impl Span {
    /// The range from `start` to `end`, which the caller has compared with the head's limit.
    #[inline]
    pub fn new(start: usize, end: usize) -> Span {
        debug_assert!(start <= end && end <= HEAD_BYTES_MAX);
        Span { start: start as u16, len: end.saturating_sub(start) as u16 }
    }

    /// The bytes it covers.
    #[inline]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        let start = usize::from(self.start);
        bytes.get(start..start + usize::from(self.len)).unwrap_or(&[])
    }
}

/// Where a field's name and value stand.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name, a token.
    pub name: Span,
    /// Its value, without the whitespace around it.
    pub value: Span,
}

/// A received head or trailer section: its bytes and where its fields stand.
///
/// The buffers are reusable: a connection that gets its heads back does not allocate.
#[derive(Debug, Default)]
pub struct Section {
    /// All of it as it came, a head's start line included.
    pub bytes: Vec<u8>,
    /// The fields in the order received.
    pub fields: Vec<Field>,
}

impl Section {
    /// The fields in the order received.
    pub fn fields(&self) -> Fields<'_> {
        Fields { bytes: &self.bytes, fields: self.fields.iter() }
    }

    /// The value of the first field of this name, letter case aside.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields()
            .find(|(own, _)| own.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// The values of all fields of this name, letter case aside, in the order received.
    pub fn fields_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields()
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// Forgets the content, and keeps the buffers.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
    }
}

/// Whether a field of this name makes a request conditional, or asks for a part (RFC 9110 sections 13.1 and 14.2).
#[inline]
pub fn is_selecting(name: &[u8]) -> bool {
    name.get(..3).is_some_and(|start| is_name(start, b"if-")) || is_name(name, b"range")
}

/// Iterator over `(name, value)` of a section's fields.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    fields: core::slice::Iter<'a, Field>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let field = self.fields.next()?;
        Some((field.name.of(self.bytes), field.value.of(self.bytes)))
    }
}

/// A received trailer section (RFC 9110 section 6.5), never merged into the head.
#[derive(Debug, Default)]
pub struct Trailers(Section);

impl Trailers {
    /// The section of a protocol that has checked it.
    pub fn new(section: Section) -> Trailers {
        Trailers(section)
    }

    /// All fields in the order received.
    pub fn headers(&self) -> Fields<'_> {
        self.0.fields()
    }

    /// The value of the first field of this name, letter case aside.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.0.field(name)
    }
}

/// Field lines to be sent, as HTTP/1.1 and the gateway protocols write them: name, colon, space, value, CRLF.
///
/// `Content-Length`, `Transfer-Encoding`, `Connection` and `Date` are the protocol's own and ignored here;
/// [`Response::closing`](crate::Response::closing) and [`Content`](crate::Content) are the way to ask for them.
#[derive(Clone, Debug, Default)]
pub struct FieldLines(Vec<u8>);

impl FieldLines {
    /// These lines.
    pub fn of(fields: &[(&str, &[u8])]) -> Self {
        let mut lines = Self::default();
        for (name, value) in fields {
            lines.push(name, value);
        }
        lines
    }

    /// Adds a line. A name that is no token is left out; control bytes in the value become
    /// spaces (RFC 9110 section 5.5), so that no value can end its line.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        let name = name.as_bytes();
        if !is_token(name) || is_protocols_own(name) {
            return;
        }
        let value = trim(value);
        self.0.reserve(name.len() + value.len() + 4);
        self.0.extend_from_slice(name);
        self.0.extend_from_slice(b": ");
        let value_at = self.0.len();
        self.0.extend_from_slice(value);
        let mut at = value_at;
        loop {
            at = value_end(&self.0, at);
            let Some(byte) = self.0.get_mut(at) else { break };
            *byte = b' ';
        }
        self.0.extend_from_slice(b"\r\n");
    }

    /// The lines.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn is_protocols_own(name: &[u8]) -> bool {
    is_name(name, b"content-length")
        || is_name(name, b"transfer-encoding")
        || is_name(name, b"connection")
        || is_name(name, b"date")
}
