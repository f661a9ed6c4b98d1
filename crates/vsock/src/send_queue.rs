//! Send queue: bytes of a stream that no packet has taken yet, written by copy or shared.

use alloc::collections::VecDeque;
use bytes::{Bytes, BytesMut};

/// Bytes in order. What is written in small pieces lies in blocks; what is shared stays where it is.
#[derive(Debug)]
pub(crate) struct SendQueue {
    ready: VecDeque<Bytes>,
    /// The block that is being filled, as far as `filled`; the rest of it is free.
    block: BytesMut,
    filled: usize,
    /// Of all.
    bytes: usize,
    /// Somebody waits to write, until there is [room](Self::is_roomy) to speak of.
    is_waited_for: bool,
    /// What may be written by copy.
    bytes_max: usize,
}

const BLOCK_BYTES: usize = 4 << 10;
/// What may be shared, which costs no memory here. More is of no use: the peer's buffer is not larger.
const SHARED_BYTES_MAX: usize = 256 << 10;

impl SendQueue {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let (ready, block) = (VecDeque::new(), BytesMut::new());
        Self { ready, block, filled: 0, bytes: 0, is_waited_for: false, bytes_max }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// At most half full: whoever waits to write may go on.
    pub(crate) fn is_roomy(&self) -> bool {
        self.bytes <= self.bytes_max / 2
    }

    /// Writing has to wait. A writer that is woken by something else meanwhile finds no room, however much there is: else
    /// what it wrote then would seem to it to be its peer's doing.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.is_waited_for
    }

    /// Bytes that may be written, if so many may wait here; none is a wait.
    fn free_bytes(&mut self, limit: usize) -> usize {
        let free = limit.saturating_sub(self.bytes);
        self.is_waited_for = free == 0 || self.is_waited_for && !self.is_roomy();
        if self.is_waited_for { 0 } else { free }
    }

    /// Free space, if there is some.
    pub(crate) fn room(&mut self) -> Option<&mut [u8]> {
        let room = self.free_bytes(self.bytes_max);
        if room == 0 {
            return None;
        }
        if self.filled == self.block.len() {
            self.end_block();
            self.block = BytesMut::zeroed(BLOCK_BYTES);
        }
        let end = self.block.len().min(self.filled + room);
        Some(&mut self.block[self.filled..end])
    }

    /// So many bytes of the free space are written.
    pub(crate) fn fill(&mut self, bytes: usize) {
        self.filled += bytes;
        self.bytes += bytes;
    }

    /// Copies what fits; how much.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> usize {
        if bytes.len() < BLOCK_BYTES {
            let Some(room) = self.room() else { return 0 };
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            self.fill(count);
            return count;
        }
        let count = bytes.len().min(self.free_bytes(self.bytes_max));
        if count > 0 {
            self.end_block();
            self.ready.push_back(Bytes::copy_from_slice(&bytes[..count]));
            self.bytes += count;
        }
        count
    }

    /// Takes what fits off the front of `shared`; how much.
    pub(crate) fn share(&mut self, shared: &mut Bytes) -> usize {
        let limit = self.bytes_max.max(SHARED_BYTES_MAX);
        let count = shared.len().min(self.free_bytes(limit));
        if count > 0 {
            self.end_block();
            self.ready.push_back(shared.split_to(count));
            self.bytes += count;
        }
        count
    }

    /// Takes the next bytes for a packet: some, at most so many.
    pub(crate) fn take(&mut self, bytes_max: usize) -> Bytes {
        if self.ready.is_empty() {
            self.end_block();
        }
        let Some(front) = self.ready.front_mut() else { return Bytes::new() };
        let taken = front.split_to(front.len().min(bytes_max));
        if front.is_empty() {
            self.ready.pop_front();
        }
        self.bytes -= taken.len();
        taken
    }

    /// Drops all.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.bytes_max);
    }

    /// What the block has is ready; its rest is the next block.
    fn end_block(&mut self) {
        if self.filled > 0 {
            self.ready.push_back(self.block.split_to(self.filled).freeze());
            self.filled = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn all(queue: &mut SendQueue, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !queue.is_empty() {
            let taken = queue.take(step);
            assert!((1..=step).contains(&taken.len()));
            all.extend_from_slice(&taken);
        }
        all
    }

    #[test]
    fn what_is_written_in_whatever_way_leaves_in_order() {
        for step in [1, 2, 3, 100, 4096, 100_000] {
            let mut queue = SendQueue::new(64 << 10);
            let mut expected = Vec::new();
            for round in 0..5_u8 {
                let room = queue.room().unwrap();
                room[..2].copy_from_slice(&[round, 1]);
                queue.fill(2);
                assert_eq!(queue.copy(&[round, 2, 2]), 3);
                let mut shared = Bytes::from(vec![round; 5000]);
                assert_eq!((queue.share(&mut shared), shared.len()), (5000, 0));
                assert_eq!(queue.copy(&[round ^ 0x80; 5000]), 5000);
                expected.extend_from_slice(&[round, 1, round, 2, 2]);
                expected.extend_from_slice(&[round; 5000]);
                expected.extend_from_slice(&[round ^ 0x80; 5000]);
            }
            assert_eq!(queue.len(), expected.len());
            assert_eq!(all(&mut queue, step), expected);
        }
    }

    #[test]
    fn small_writes_leave_as_one() {
        let mut queue = SendQueue::new(1000);
        for byte in 0..10 {
            assert_eq!(queue.copy(&[byte]), 1);
        }
        assert_eq!(queue.take(1000), &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9][..]);
    }

    #[test]
    fn no_more_is_held_than_may_be() {
        let mut queue = SendQueue::new(6000);
        assert_eq!(queue.copy(&[0; 5000]), 5000);
        assert!(!queue.is_roomy());
        assert_eq!(queue.room().map(|room| room.len()), Some(1000));
        queue.fill(999);
        assert_eq!((queue.copy(&[0; 10]), queue.copy(&[0; 10]), queue.copy(&[0; 5000])), (1, 0, 0));
        assert!(queue.room().is_none());
        // Shared bytes may be more.
        let mut queue = SendQueue::new(6000);
        assert_eq!((queue.copy(&[0; 5000]), queue.copy(&[0; 1000])), (5000, 1000));
        let mut shared = Bytes::from(vec![0; SHARED_BYTES_MAX]);
        assert_eq!((queue.share(&mut shared), shared.len()), ((256 << 10) - 6000, 6000));
        assert_eq!(queue.share(&mut shared), 0);
        queue.take(5000);
        assert!(queue.room().is_none() && !queue.is_roomy());
        queue.clear();
        assert!(queue.is_empty() && queue.is_roomy() && queue.take(1).is_empty());
    }

    #[test]
    fn who_has_to_wait_waits_until_half_is_free() {
        let mut queue = SendQueue::new(1000);
        assert_eq!((queue.copy(&[0; 1000]), queue.is_waited_for()), (1000, false));
        let mut shared = Bytes::from(vec![0; 5000]);
        assert_eq!((queue.copy(&[0]), queue.is_waited_for()), (0, true));
        queue.take(499);
        assert!(queue.is_waited_for() && queue.room().is_none());
        assert_eq!((queue.copy(&[0; 5000]), queue.share(&mut shared)), (0, 0));
        queue.take(1);
        assert_eq!(
            (queue.room().map(|room| room.len()), queue.is_waited_for()),
            (Some(500), false)
        );
        queue.fill(100);
        assert_eq!((queue.copy(&[0; 5000]), queue.is_waited_for()), (400, false));
    }
}
