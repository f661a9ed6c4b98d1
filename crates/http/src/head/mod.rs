//! Message heads: one buffer, parsed once, read through offsets.

mod facts;
mod fields;
mod gather;
pub(crate) mod scan;

pub(crate) use facts::{Coding, Expect, Facts};
pub(crate) use fields::parse_fields;
pub(crate) use gather::Gather;

use alloc::vec::Vec;

/// Heads whose buffers grew beyond this are not kept, bytes. Most are far smaller; a few large ones
/// must not pin memory for the server's life.
const RETAINED_BYTES_MAX: usize = 4096;
const RETAINED_FIELDS_MAX: usize = 128;

/// A range of a head's bytes. Heads are at most 65,535 bytes long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u16,
    pub(crate) len: u16,
}

impl Span {
    /// The range from `start` to `end`, which the caller has compared with the head's limit.
    pub(crate) fn new(start: usize, end: usize) -> Span {
        debug_assert!(start <= end && end <= usize::from(u16::MAX));
        Span { start: start as u16, len: end.saturating_sub(start) as u16 }
    }

    /// The bytes it covers.
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        let start = usize::from(self.start);
        bytes.get(start..start + usize::from(self.len)).unwrap_or(&[])
    }
}

/// Where a field's name and value stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: Span,
    pub(crate) value: Span,
}

/// A received head or trailer section: its bytes and where its fields stand.
///
/// The buffers are reusable: a connection that gets its heads back does not allocate.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) bytes: Vec<u8>,
    pub(crate) fields: Vec<Field>,
}

impl Head {
    /// The fields in the order received.
    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields { bytes: &self.bytes, fields: self.fields.iter() }
    }

    /// The value of the first field of this name, letter case aside.
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields()
            .find(|(own, _)| own.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// The values of all fields of this name, letter case aside, in the order received.
    pub(crate) fn fields_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields()
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// Forgets the content.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
    }

    /// Whether it is of a usual size, so that it may be kept.
    pub(crate) fn is_usual(&self) -> bool {
        self.bytes.capacity() <= RETAINED_BYTES_MAX && self.fields.capacity() <= RETAINED_FIELDS_MAX
    }
}

/// Iterator over `(name, value)` of a head's fields.
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
