//! Receive buffer: bytes of a stream that its flow has not taken, in one piece.

use alloc::vec::Vec;

/// Bytes in order, taken off the front. It holds at most twice as much memory as it ever has unread bytes, so that none is
/// moved more often than once for each byte that was taken.
#[derive(Debug, Default)]
pub(crate) struct ReceiveBuffer {
    bytes: Vec<u8>,
    from: usize,
}

/// What an empty buffer keeps, for the next small message.
const KEPT_BYTES_MAX: usize = 4 << 10;

/// There is no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfMemory;

impl ReceiveBuffer {
    /// How many bytes are unread.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.from
    }

    /// The unread bytes.
    pub(crate) fn unread(&mut self) -> &mut [u8] {
        &mut self.bytes[self.from..]
    }

    /// Adds bytes behind the others.
    pub(crate) fn push(&mut self, new: &[u8]) -> Result<(), OutOfMemory> {
        if self.bytes.capacity() - self.bytes.len() < new.len() && self.from >= self.len() {
            self.bytes.drain(..self.from);
            self.from = 0;
        }
        self.bytes.try_reserve(new.len()).map_err(|_| OutOfMemory)?;
        self.bytes.extend_from_slice(new);
        Ok(())
    }

    /// Takes so many bytes off the front.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.from += bytes.min(self.len());
        if self.len() == 0 {
            self.clear();
        }
    }

    /// Drops all.
    pub(crate) fn clear(&mut self) {
        self.from = 0;
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn bytes_come_out_in_order_however_they_are_taken() {
        for step in 1..40 {
            let mut buffer = ReceiveBuffer::default();
            let (mut pushed, mut taken) = (0_u32, 0_u32);
            for _ in 0..400 {
                let new: Vec<u8> = (0..13).map(|at| (pushed + at) as u8).collect();
                pushed += 13;
                buffer.push(&new).unwrap();
                let count = step.min(buffer.len());
                for &byte in &buffer.unread()[..count] {
                    assert_eq!(byte, taken as u8);
                    taken += 1;
                }
                buffer.consume(count);
                assert_eq!(buffer.len(), (pushed - taken) as usize);
            }
        }
    }

    #[test]
    fn it_holds_little_more_than_is_unread() {
        let mut buffer = ReceiveBuffer::default();
        buffer.push(&vec![1; 10_000]).unwrap();
        let mut capacity_max = 0;
        for _ in 0..100_000 {
            buffer.consume(100);
            buffer.push(&[2; 100]).unwrap();
            capacity_max = buffer.bytes.capacity().max(capacity_max);
        }
        assert_eq!(capacity_max, 20_000, "twice as much as is ever unread");
        buffer.consume(10_000);
        assert_eq!((buffer.len(), buffer.bytes.capacity()), (0, 0));
        buffer.push(b"small").unwrap();
        buffer.consume(9);
        assert!(buffer.len() == 0 && buffer.bytes.capacity() > 0);
    }
}
