//! Multipart messages: one or more parts.

use alloc::vec::Vec;
use bytes::Bytes;
use core::iter;

/// A message of one or more parts. Parts are refcounted: cloning copies no body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    // Apart, so that the common one-part message allocates nothing for the list.
    first: Bytes,
    rest: Vec<Bytes>,
}

impl Message {
    /// A message of one part.
    pub fn new(part: impl Into<Bytes>) -> Self {
        Self { first: part.into(), rest: Vec::new() }
    }

    /// A message of these parts; `None` when there is none.
    pub fn from_parts(parts: impl IntoIterator<Item = Bytes>) -> Option<Self> {
        let mut parts = parts.into_iter();
        Some(Self { first: parts.next()?, rest: parts.collect() })
    }

    /// The parts in order.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = &Bytes> {
        Parts { first: Some(&self.first), rest: self.rest.iter() }
    }

    /// The parts in order, by value.
    pub fn into_parts(self) -> impl Iterator<Item = Bytes> {
        iter::once(self.first).chain(self.rest)
    }

    /// The first part.
    pub fn first(&self) -> &Bytes {
        &self.first
    }

    /// The last part: the body, in the patterns with an envelope.
    pub fn last(&self) -> &Bytes {
        self.rest.last().unwrap_or(&self.first)
    }

    /// How many parts: at least one.
    pub fn part_count(&self) -> usize {
        1 + self.rest.len()
    }

    /// The bytes of all parts together.
    pub fn body_bytes(&self) -> usize {
        self.first.len() + self.rest.iter().map(Bytes::len).sum::<usize>()
    }

    /// Bytes that it takes in memory, beside itself: its bodies, what their allocations cost, and the
    /// list of its parts.
    pub fn held_bytes(&self) -> usize {
        let list = self.rest.capacity() * size_of::<Bytes>();
        body_held_bytes(&self.first) + list + self.rest.iter().map(body_held_bytes).sum::<usize>()
    }

    /// Adds a part at the end.
    pub fn push(&mut self, part: impl Into<Bytes>) {
        self.rest.push(part.into());
    }

    /// Adds a part before the first.
    pub fn push_front(&mut self, part: impl Into<Bytes>) {
        let second = core::mem::replace(&mut self.first, part.into());
        self.rest.insert(0, second);
    }

    /// The first part, and the message that is left, if any.
    pub fn split_first(self) -> (Bytes, Option<Self>) {
        (self.first, Self::from_parts(self.rest))
    }

    /// Puts the parts of `envelope` before this message's.
    pub(crate) fn wrap(self, envelope: Vec<Bytes>) -> Self {
        let mut parts = envelope.into_iter();
        match parts.next() {
            None => self,
            Some(first) => Self { first, rest: parts.chain(self.into_parts()).collect() },
        }
    }
}

/// What an allocation costs beside its bytes: the allocator's header and its rounding, and the count
/// of who refers to it.
const ALLOCATION_BYTES: usize = 32;

/// Bytes that a body takes in memory, beside its [`Bytes`]. One that is empty, or is written in the
/// program, takes none; of the latter nobody can tell, so that it weighs as any.
pub(crate) fn body_held_bytes(body: &Bytes) -> usize {
    if body.is_empty() { 0 } else { body.len() + ALLOCATION_BYTES }
}

impl<T: Into<Bytes>> From<T> for Message {
    fn from(part: T) -> Self {
        Self::new(part)
    }
}

struct Parts<'a> {
    first: Option<&'a Bytes>,
    rest: core::slice::Iter<'a, Bytes>,
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a Bytes;

    fn next(&mut self) -> Option<&'a Bytes> {
        self.first.take().or_else(|| self.rest.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::from(self.first.is_some()) + self.rest.len();
        (left, Some(left))
    }
}

impl ExactSizeIterator for Parts<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn parts_go_in_and_come_out_in_order() {
        let mut message = Message::new("b");
        message.push("c");
        message.push_front("a");
        let parts: Vec<_> = message.parts().cloned().collect();
        assert_eq!(parts, vec![Bytes::from("a"), "b".into(), "c".into()]);
        assert_eq!(message.body_bytes(), 3);
        assert_eq!(message.parts().len(), 3);
        let (first, rest) = message.split_first();
        assert_eq!(first, "a");
        assert_eq!(rest.unwrap().wrap(vec!["x".into(), "y".into()]).part_count(), 4);
        assert_eq!(Message::from_parts([]), None);
    }
}
