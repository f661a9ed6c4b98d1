//! DER (ITU-T X.690), as much of it as certificates need here: elements written, and read one after another.

use alloc::vec::Vec;

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
/// `[0]`, constructed.
pub(crate) const CONTEXT_0: u8 = 0xa0;

/// An element with these parts.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(4 + length);
    out.push(tag);
    // X.690 section 10.1: the shortest form of the length.
    let bytes = (length as u32).to_be_bytes();
    let skipped = bytes.iter().take_while(|byte| **byte == 0).count();
    match length {
        0..=0x7f => out.push(length as u8),
        _ => {
            out.push(0x80 | (bytes.len() - skipped) as u8);
            out.extend(bytes.iter().skip(skipped));
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// Reads elements one after another.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next element's tag and content; none at the end, or if it is no element.
    pub(crate) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The next element as it stands, tag and length included; none if it has another tag.
    pub(crate) fn whole(&mut self, tag: u8) -> Option<&'a [u8]> {
        let before = self.0;
        self.expect(tag)?;
        before.get(..before.len() - self.0.len())
    }

    /// The content of the next element, which has this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(own, _)| *own == tag).map(|(_, content)| content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn lengths_are_as_short_as_they_can_be_and_read_back() {
        for (length, head) in [
            (0, &[OCTET_STRING, 0][..]),
            (127, &[OCTET_STRING, 127]),
            (128, &[OCTET_STRING, 0x81, 128]),
            (256, &[OCTET_STRING, 0x82, 1, 0]),
        ] {
            let content = vec![7; length];
            let written = element(OCTET_STRING, &[&content]);
            assert!(written.starts_with(head), "{length}");
            let mut reader = Reader::new(&written);
            assert_eq!(reader.expect(OCTET_STRING), Some(&content[..]));
            assert_eq!(reader.next(), None);
            let two = [&written[..], &written].concat();
            assert_eq!(Reader::new(&two).whole(OCTET_STRING), Some(&written[..]));
            assert_eq!(Reader::new(&two).whole(SEQUENCE), None);
            for cut in 0..written.len() {
                assert_eq!(Reader::new(&written[..cut]).next(), None);
            }
        }
    }

    #[test]
    fn endless_and_huge_lengths_are_none() {
        assert_eq!(Reader::new(&[SEQUENCE, 0x80, 0, 0]).next(), None);
        assert_eq!(Reader::new(&[SEQUENCE, 0x84, 255, 255, 255, 255, 0]).next(), None);
        assert_eq!(Reader::new(&[SEQUENCE, 0x85, 0, 0, 0, 0, 0]).next(), None);
    }
}
