//! SEND (RFC 9293 section 3.10.2): bytes are written into the send buffer, or lent to it.

use super::{Connection, Events};
use crate::config::Shared;
use crate::memory::Purpose;
use bytes::Bytes;

impl Connection {
    /// Space for bytes to send, in one piece; empty when the buffer is full, memory is used up, or the direction
    /// has ended. [`Event::Writable`](crate::Event::Writable) tells of room after that; but of memory that others
    /// give back, nothing does: who finds none with nothing in flight tries again when some was given back.
    /// [`filled`](Self::filled) has to follow.
    #[inline]
    pub fn room(&mut self, shared: &mut Shared) -> &mut [u8] {
        let max = self.send_capacity(shared);
        if max == 0 {
            self.events.add(Events::WANTS_ROOM);
            return &mut [];
        }
        let room = self.send_buffer.room(max as usize, &mut shared.memory);
        if room.is_empty() {
            self.events.add(Events::WANTS_ROOM);
        }
        room
    }

    /// So many bytes were put into the [`room`](Self::room), none included.
    #[inline]
    pub fn filled(&mut self, shared: &mut Shared, count: usize) {
        if count == 0 {
            self.send_buffer.trim(&mut shared.memory);
        } else {
            self.send_buffer.filled(count);
        }
    }

    /// Copies what there is room for; says how much.
    pub fn write(&mut self, shared: &mut Shared, bytes: &[u8]) -> usize {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            let room = self.room(shared);
            let count = room.len().min(rest.len());
            if count == 0 {
                self.events.add(Events::WANTS_ROOM);
                break;
            }
            if let (Some(room), Some(rest)) = (room.get_mut(..count), rest.get(..count)) {
                room.copy_from_slice(rest);
            }
            self.filled(shared, count);
            written += count;
        }
        written
    }

    /// Takes what there is room for off the front of `bytes`, to be sent from where it lies; says how much. Shared
    /// bytes count in the budget like others.
    pub fn share(&mut self, shared: &mut Shared, bytes: &mut Bytes) -> usize {
        let max = self.send_capacity(shared) as usize;
        let count = bytes.len().min(max).min(shared.memory.available(Purpose::Send));
        if count < bytes.len() {
            self.events.add(Events::WANTS_ROOM);
        }
        self.send_buffer.share(bytes.split_to(count), &mut shared.memory);
        count
    }

    /// Bytes written that are not acknowledged.
    pub fn unacknowledged_len(&self) -> usize {
        self.send_buffer.len() as usize
    }

    /// Bytes that the buffer takes now: it follows the congestion window (twice of it, so that there is enough
    /// for a round trip in which the window doubles).
    fn send_capacity(&self, shared: &Shared) -> u32 {
        if !self.state.may_queue() || self.features.close_queued {
            return 0;
        }
        self.send_limit(shared).saturating_sub(self.send_buffer.len())
    }

    fn send_limit(&self, shared: &Shared) -> u32 {
        let config = &shared.config;
        let initial = config.send_initial_bytes.min(config.send_bytes_max);
        if shared.memory.is_short_for_sending() {
            return shared.memory.send_share(initial);
        }
        self.congestion.size().saturating_mul(2).clamp(initial, config.send_bytes_max)
    }

    /// Something was acknowledged: a writer that waits may go on when there is room enough for it.
    #[inline]
    pub(super) fn after_acknowledged(&mut self, shared: &Shared) {
        if self.send_buffer.len() == 0 {
            self.events.add(Events::DRAINED);
        }
        if self.events.has(Events::WANTS_ROOM) && self.has_room_for_writer(shared) {
            self.events.remove(Events::WANTS_ROOM);
            self.events.add(Events::WRITABLE);
        }
    }

    /// A third is free, so that a writer is seldom woken; less where everything written has left. Then the buffer is
    /// what limits the flight, as one smaller than the path is, and each wait for more makes the flight shorter.
    fn has_room_for_writer(&self, shared: &Shared) -> bool {
        let limit = self.send_limit(shared);
        let has_left = self.send.next.is_at_or_after(self.send_buffer.end());
        let enough = if has_left { limit / 16 } else { limit / 3 };
        self.send_buffer.len() <= limit - enough
    }
}
