//! Runs of bytes to be sent, wherever they live.

use alloc::string::String;
use alloc::vec::Vec;
use bytes::{Buf, Bytes};

/// Bytes to be sent: static, owned or shared. Cut and consumed without a copy.
#[derive(Clone, Debug)]
pub struct Data(Source);

#[derive(Clone, Debug)]
enum Source {
    Static(&'static [u8]),
    Owned { bytes: Vec<u8>, start: usize, end: usize },
    Shared(Bytes),
}

impl Data {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Source::Static(bytes) => bytes,
            Source::Owned { bytes, start, end } => bytes.get(*start..*end).unwrap_or(&[]),
            Source::Shared(bytes) => bytes,
        }
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        match &self.0 {
            Source::Static(bytes) => bytes.len(),
            Source::Owned { start, end, .. } => end - start,
            Source::Shared(bytes) => bytes.len(),
        }
    }

    /// Bytes of memory that are held for these alone: none where they are static or shared.
    pub fn held_bytes(&self) -> usize {
        match &self.0 {
            Source::Owned { bytes, .. } => bytes.capacity(),
            Source::Static(_) | Source::Shared(_) => 0,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// These bytes once more; `None` if that were a copy.
    pub fn shared(&self) -> Option<Data> {
        let is_copied = matches!(self.0, Source::Owned { .. });
        (!is_copied).then(|| self.clone())
    }

    /// The part from `start` to `end`, both cut to what there is.
    #[must_use]
    pub fn slice(mut self, start: usize, end: usize) -> Data {
        let len = self.len();
        self.advance(start.min(len));
        self.truncate(end.min(len).saturating_sub(start));
        self
    }

    /// Drops the first `count` bytes.
    pub fn advance(&mut self, count: usize) {
        let count = count.min(self.len());
        match &mut self.0 {
            Source::Static(bytes) => *bytes = bytes.get(count..).unwrap_or(&[]),
            Source::Owned { start, .. } => *start += count,
            Source::Shared(bytes) => bytes.advance(count),
        }
    }

    /// These bytes, where they are, in a form that others can hold on to.
    pub fn into_shared(self) -> Bytes {
        match self.0 {
            Source::Static(bytes) => Bytes::from_static(bytes),
            Source::Owned { bytes, start, end } => Bytes::from(bytes).slice(start..end),
            Source::Shared(bytes) => bytes,
        }
    }

    fn truncate(&mut self, len: usize) {
        let len = len.min(self.len());
        match &mut self.0 {
            Source::Static(bytes) => *bytes = bytes.get(..len).unwrap_or(bytes),
            Source::Owned { start, end, .. } => *end = *start + len,
            Source::Shared(bytes) => bytes.truncate(len),
        }
    }
}

impl Default for Data {
    /// None.
    fn default() -> Data {
        Data(Source::Static(&[]))
    }
}

impl From<&'static [u8]> for Data {
    fn from(bytes: &'static [u8]) -> Data {
        Data(Source::Static(bytes))
    }
}

impl<const N: usize> From<&'static [u8; N]> for Data {
    fn from(bytes: &'static [u8; N]) -> Data {
        Data(Source::Static(bytes))
    }
}

impl From<&'static str> for Data {
    fn from(text: &'static str) -> Data {
        Data(Source::Static(text.as_bytes()))
    }
}

impl From<Vec<u8>> for Data {
    fn from(bytes: Vec<u8>) -> Data {
        let end = bytes.len();
        Data(Source::Owned { bytes, start: 0, end })
    }
}

impl From<String> for Data {
    fn from(text: String) -> Data {
        Data::from(text.into_bytes())
    }
}

impl From<Bytes> for Data {
    fn from(bytes: Bytes) -> Data {
        Data(Source::Shared(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_cut_to_what_there_is() {
        for data in [
            Data::from(b"0123456789"),
            Data::from(b"0123456789".to_vec()),
            Data::from(Bytes::copy_from_slice(b"0123456789")),
        ] {
            assert_eq!(data.clone().slice(1, 4).into_shared(), b"123"[..]);
            assert_eq!(data.clone().slice(2, 5).as_bytes(), b"234");
            assert_eq!(data.clone().slice(2, 50).slice(1, 3).as_bytes(), b"34");
            assert_eq!(data.clone().slice(7, 3).as_bytes(), b"");
            assert_eq!(data.slice(11, 20).len(), 0);
        }
    }
}
