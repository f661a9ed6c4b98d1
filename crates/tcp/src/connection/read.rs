//! RECEIVE (RFC 9293 section 3.10.3): bytes are read where they lie.

use super::Connection;
use crate::config::Shared;
use crate::time::Instant;

impl Connection {
    /// The first bytes to be read, as many as lie in one piece; empty when there are none.
    #[inline]
    pub fn received_mut(&mut self) -> &mut [u8] {
        self.receive_buffer.front_mut()
    }

    /// All bytes that can be read.
    pub fn received_len(&self) -> usize {
        self.receive_buffer.len() as usize
    }

    /// So many of [`received_mut`](Self::received_mut) are done with.
    #[inline]
    pub fn consume(&mut self, shared: &mut Shared, now: Instant, count: usize) {
        if self.receive_buffer.consume(count, &mut shared.memory) > 0 {
            self.after_reading(shared, now);
        }
    }

    /// The peer has finished and everything is read.
    pub fn is_read_to_end(&self) -> bool {
        self.receive_buffer.len() == 0 && !self.state.may_receive() && self.state.is_synchronized()
    }
}
