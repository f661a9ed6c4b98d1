//! Unread bytes: what a flow over another system's sockets has read and its owner did not take.

use alloc::vec::Vec;

/// Bytes in order, taken off the front. Without any it holds no memory.
#[derive(Debug, Default)]
pub struct Unread {
    bytes: Vec<u8>,
    from: usize,
}

impl Unread {
    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds bytes behind those that there are.
    #[inline]
    pub fn keep(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Shows `take` all of them, as [`Flow::poll_read_with`](crate::Flow::poll_read_with) does; how many it took.
    pub fn take(&mut self, take: &mut dyn FnMut(&mut [u8]) -> usize) -> usize {
        let bytes = &mut self.bytes[self.from..];
        let taken = take(bytes).min(bytes.len());
        self.from += taken;
        if self.from == self.bytes.len() {
            *self = Self::default();
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_in_order_and_leave_no_memory() {
        let mut unread = Unread::default();
        assert!(unread.is_empty());
        unread.keep(b"abc");
        assert!(!unread.is_empty());
        assert_eq!(unread.take(&mut |bytes| usize::from(bytes == b"abc")), 1);
        unread.keep(b"d");
        // More than there is counts as all.
        assert_eq!(unread.take(&mut |bytes| 9 * usize::from(bytes == b"bcd")), 3);
        assert!(unread.is_empty());
        assert_eq!(unread.bytes.capacity(), 0);
    }
}
