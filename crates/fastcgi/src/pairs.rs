//! Name-value pairs (FastCGI 1.0 section 3.4).

use crate::Error;
use alloc::vec::Vec;

/// Reads pairs off the front of bytes. An error is the last thing that comes.
pub(crate) struct Pairs<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let pair = self.pair();
        if pair.is_none() {
            self.0 = &[];
        }
        Some(pair.ok_or(Error::Pair))
    }
}

impl<'a> Pairs<'a> {
    #[inline]
    fn pair(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let (name_bytes, value_bytes) = (self.length()?, self.length()?);
        let (name, rest) = self.0.split_at_checked(name_bytes)?;
        let (value, rest) = rest.split_at_checked(value_bytes)?;
        self.0 = rest;
        Some((name, value))
    }

    /// One byte, or four with the highest bit set.
    #[inline]
    fn length(&mut self) -> Option<usize> {
        let (&first, rest) = self.0.split_first()?;
        if first < 0x80 {
            self.0 = rest;
            return Some(first.into());
        }
        let (bytes, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        usize::try_from(u32::from_be_bytes(*bytes) & 0x7fff_ffff).ok()
    }
}

/// Appends a pair of short texts.
pub(crate) fn put(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    debug_assert!(name.len() < 0x80 && value.len() < 0x80);
    out.extend_from_slice(&[name.len() as u8, value.len() as u8]);
    out.extend_from_slice(name);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    type Pair<'a> = (&'a [u8], &'a [u8]);

    fn read(bytes: &[u8]) -> Vec<Result<Pair<'_>, Error>> {
        Pairs(bytes).collect()
    }

    #[test]
    fn section_3_4_lengths_of_one_and_of_four_bytes() {
        let long = vec![b'v'; 300];
        let mut bytes = vec![1, 0x80, 0, 1, 44, b'n'];
        bytes.extend_from_slice(&long);
        // A short length may be written in four bytes.
        bytes.extend_from_slice(b"\x80\0\0\x02\x01abc");
        bytes.extend_from_slice(b"\0\0");
        let expected: [(&[u8], &[u8]); 3] = [(b"n", &long), (b"ab", b"c"), (b"", b"")];
        assert_eq!(read(&bytes), expected.map(Ok));
    }

    #[test]
    fn section_3_4_lengths_that_lie_are_refused_wherever_they_are_cut() {
        let whole = b"\x02\x80\0\0\x03abcde";
        for end in 1..whole.len() {
            assert_eq!(read(&whole[..end]), [Err(Error::Pair)], "{end}");
        }
        for lie in [&b"\xff\xff\xff\xff\0"[..], b"\0\xff\xff\xff\xff", b"\x05\x05abc"] {
            assert_eq!(read(lie), [Err(Error::Pair)]);
        }
    }
}
