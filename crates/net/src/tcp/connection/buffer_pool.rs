//! Buffer pool: memory for bytes in flight or unread, held only while there are some, and one budget
//! for all connections.

use crate::tcp::context::TcpContext;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;

/// Bytes in their order. An empty buffer has no memory.
#[derive(Default)]
pub(crate) struct PooledBuffer {
    memory: Box<[u8]>,
    start: u32,
    end: u32,
}

impl PooledBuffer {
    pub(crate) fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.memory.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// The space that is left of `capacity` bytes. What is put there counts after
    /// [`filled`](Self::filled).
    pub(crate) fn room(&mut self, capacity: usize, context: &TcpContext) -> &mut [u8] {
        if self.memory.is_empty() {
            self.memory = context.take(capacity);
        } else if self.start > 0 {
            self.memory.copy_within(self.start as usize..self.end as usize, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let capacity = capacity.min(self.memory.len());
        self.memory.get_mut(self.end as usize..capacity).unwrap_or_default()
    }

    /// So many bytes were put into the room.
    #[inline]
    pub(crate) fn filled(&mut self, count: usize, context: &TcpContext) {
        self.end += count as u32;
        if self.end == 0 {
            self.give_up(context);
        }
    }

    /// So many bytes, of the oldest, are done with.
    #[inline]
    pub(crate) fn consumed(&mut self, count: usize, context: &TcpContext) {
        self.start += count as u32;
        if self.start >= self.end && self.end > 0 {
            self.give_up(context);
        }
    }

    fn give_up(&mut self, context: &TcpContext) {
        (self.start, self.end) = (0, 0);
        context.put_back(core::mem::take(&mut self.memory));
    }

    /// Forgets everything.
    pub(crate) fn empty(&mut self, context: &TcpContext) {
        self.consumed(self.len(), context);
    }
}

/// Memory that no buffer holds now.
#[derive(Default)]
pub(crate) struct BufferPool(RefCell<Vec<Box<[u8]>>>);

/// Pieces kept: as many as fill and drain within one turn of the loop.
const SPARE_BUFFERS_MAX: usize = 64;

impl TcpContext {
    /// Memory of `bytes`, or a little more.
    fn take(&self, bytes: usize) -> Box<[u8]> {
        let usual = self.usual_bytes();
        let is_usual = bytes <= usual && bytes > self.limits.ring_min_bytes;
        let spare = if is_usual { self.buffer_pool.0.borrow_mut().pop() } else { None };
        let memory = spare
            .unwrap_or_else(|| vec![0; if is_usual { usual } else { bytes }].into_boxed_slice());
        self.ring_bytes.set(self.ring_bytes.get() + memory.len());
        memory
    }

    fn put_back(&self, memory: Box<[u8]>) {
        self.ring_bytes.set(self.ring_bytes.get() - memory.len());
        let mut buffer_pool = self.buffer_pool.0.borrow_mut();
        if memory.len() == self.usual_bytes() && buffer_pool.len() < SPARE_BUFFERS_MAX {
            buffer_pool.push(memory);
        }
    }

    /// What serves both directions, so that one's memory can be the other's next.
    fn usual_bytes(&self) -> usize {
        self.limits.rx_ring_initial_bytes.max(self.limits.tx_ring_initial_bytes)
    }
}

/// Bytes of one connection's rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BufferSizes {
    pub(crate) receive: usize,
    pub(crate) transmit: usize,
}

impl BufferSizes {
    /// What a new or idle connection gets.
    pub(crate) fn initial(context: &TcpContext) -> Self {
        let limits = &context.limits;
        if context.ring_bytes.get() > limits.rings_total_bytes / 16 {
            return Self { receive: limits.ring_min_bytes, transmit: limits.ring_min_bytes };
        }
        Self { receive: limits.rx_ring_initial_bytes, transmit: limits.tx_ring_initial_bytes }
    }

    pub(crate) fn total(self) -> usize {
        self.receive + self.transmit
    }
}

impl TcpContext {
    /// The largest transmit ring. Its end cuts the segment that reaches over it in two, so that it is as
    /// long as so many whole ones.
    pub(crate) fn transmit_max(&self) -> usize {
        let max = self.limits.tx_ring_max_bytes;
        let segment = self.offload_bytes;
        if (1..=max).contains(&segment) { max - max % segment } else { max }
    }

    /// The largest transmit ring that the budget of all rings allows one more of, in bytes.
    pub(crate) fn affordable_transmit(&self) -> usize {
        self.affordable(0, self.transmit_max())
    }

    /// As much of `wanted` as the budget of all rings allows, at least `current`.
    pub(crate) fn affordable(&self, current: usize, wanted: usize) -> usize {
        let left = self.limits.rings_total_bytes.saturating_sub(self.ring_bytes.get());
        wanted.min(current + left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;
    use crate::time::Instant;
    use core::time::Duration;

    #[test]
    fn bytes_come_out_in_order_and_memory_is_held_only_for_them() {
        let context = TcpContext::new(Limits::default(), 0, Instant::new(Duration::ZERO));
        let mut buffer = PooledBuffer::default();
        let put = |buffer: &mut PooledBuffer, bytes: &[u8]| {
            let room = buffer.room(8, &context);
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            buffer.filled(count, &context);
            count
        };
        assert_eq!(put(&mut buffer, b"abcdef"), 6);
        buffer.consumed(4, &context);
        assert_eq!(put(&mut buffer, b"ghijkl"), 6);
        assert_eq!(buffer.bytes(), b"efghijkl");
        assert_eq!(put(&mut buffer, b"m"), 0);
        assert_eq!(context.ring_bytes.get(), 8);
        buffer.consumed(8, &context);
        assert_eq!((buffer.len(), context.ring_bytes.get()), (0, 0));
        assert_eq!(put(&mut buffer, b""), 0);
        assert_eq!(context.ring_bytes.get(), 0);
    }
}
