//! Credit: how much each side may send before the other has taken it out of its buffer (virtio 1.3 section 5.10.6.3).
//!
//! Both sides count what they sent and what they forwarded to their applications, modulo 2^32. Each header tells the
//! sender's buffer and what it forwarded, so that the other side knows how much is free there.

/// A peer that does not keep to its credit, or takes back what it said of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation;

/// What we may send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SendCredit {
    peer_buffer_bytes: u32,
    peer_forwarded: u32,
    sent: u32,
}

impl SendCredit {
    /// Bytes that may be sent now.
    pub(crate) fn available(&self) -> u32 {
        // A buffer may become smaller than what is in it.
        self.peer_buffer_bytes.saturating_sub(self.in_flight())
    }

    /// So many bytes, at most the available ones, are sent.
    pub(crate) fn spend(&mut self, bytes: u32) {
        debug_assert!(bytes <= self.available());
        self.sent = self.sent.wrapping_add(bytes);
    }

    /// What a header of the peer's says; whether more may be sent than before.
    ///
    /// # Errors
    /// It forwarded more than we sent, or less than it said before.
    pub(crate) fn update(&mut self, buffer_bytes: u32, forwarded: u32) -> Result<bool, Violation> {
        let before = self.available();
        // Less is in flight for each byte that was forwarded. A count that goes back, or beyond what was sent, comes out as
        // more in flight, modulo 2^32.
        if self.sent.wrapping_sub(forwarded) > self.in_flight() {
            return Err(Violation);
        }
        (self.peer_buffer_bytes, self.peer_forwarded) = (buffer_bytes, forwarded);
        Ok(self.available() > before)
    }

    /// The peer forwarded all that was sent.
    pub(crate) fn is_all_forwarded(&self) -> bool {
        self.in_flight() == 0
    }

    fn in_flight(&self) -> u32 {
        self.sent.wrapping_sub(self.peer_forwarded)
    }
}

/// What the peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReceiveCredit {
    buffer_bytes: u32,
    received: u32,
    forwarded: u32,
    /// What of `forwarded` the peer knows.
    told: u32,
}

impl ReceiveCredit {
    /// With a buffer of so many bytes.
    pub(crate) fn new(buffer_bytes: u32) -> Self {
        Self { buffer_bytes, received: 0, forwarded: 0, told: 0 }
    }

    /// So many bytes came.
    ///
    /// # Errors
    /// They are more than there is room for.
    pub(crate) fn receive(&mut self, bytes: usize) -> Result<(), Violation> {
        let held = self.received.wrapping_sub(self.forwarded);
        let room = self.buffer_bytes - held;
        let bytes = u32::try_from(bytes).map_err(|_| Violation)?;
        if bytes > room {
            return Err(Violation);
        }
        self.received = self.received.wrapping_add(bytes);
        Ok(())
    }

    /// So many of the bytes that came were taken out of the buffer.
    pub(crate) fn forward(&mut self, bytes: usize) {
        self.forwarded = self.forwarded.wrapping_add(bytes as u32);
    }

    /// The buffer and the count of forwarded bytes for a header, which the peer knows from then on.
    pub(crate) fn tell(&mut self) -> (u32, u32) {
        self.told = self.forwarded;
        (self.buffer_bytes, self.forwarded)
    }

    /// So much was forwarded without a word that the peer may soon have to wait: a quarter of the buffer.
    pub(crate) fn owes_update(&self) -> bool {
        self.forwarded.wrapping_sub(self.told) >= self.buffer_bytes.div_ceil(4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts that begin anywhere, so that they wrap on the way.
    const STARTS: [u32; 4] = [0, u32::MAX, u32::MAX - 99, 1 << 31];

    #[test]
    fn virtio_5_10_6_3_no_more_is_sent_than_the_peer_buffers() {
        for start in STARTS {
            let mut credit =
                SendCredit { peer_buffer_bytes: 0, peer_forwarded: start, sent: start };
            assert_eq!(credit.available(), 0);
            assert_eq!(credit.update(100, start), Ok(true));
            credit.spend(60);
            assert_eq!(credit.available(), 40);
            credit.spend(40);
            assert_eq!(credit.available(), 0);
            assert_eq!(credit.update(100, start), Ok(false));
            assert_eq!(credit.update(100, start.wrapping_add(70)), Ok(true));
            assert_eq!(credit.available(), 70);
            // Less buffer than is in flight is no error, and no credit.
            assert_eq!(credit.update(20, start.wrapping_add(70)), Ok(false));
            assert_eq!(credit.available(), 0);
        }
    }

    #[test]
    fn a_peer_cannot_forward_what_was_not_sent_nor_take_it_back() {
        for start in STARTS {
            let mut credit =
                SendCredit { peer_buffer_bytes: 100, peer_forwarded: start, sent: start };
            credit.spend(50);
            assert_eq!(credit.update(100, start.wrapping_add(30)), Ok(true));
            let before = credit;
            for lie in [51, 29, 0, 1 << 31, u32::MAX] {
                assert_eq!(credit.update(100, start.wrapping_add(lie)), Err(Violation), "{lie}");
                assert_eq!(credit, before);
            }
            assert!(!credit.is_all_forwarded());
            assert_eq!(credit.update(100, start.wrapping_add(50)), Ok(true));
            assert_eq!((credit.available(), credit.is_all_forwarded()), (100, true));
        }
    }

    #[test]
    fn no_more_is_received_than_there_is_room_for() {
        for start in STARTS {
            let mut credit =
                ReceiveCredit { buffer_bytes: 100, received: start, forwarded: start, told: start };
            assert_eq!(credit.receive(100), Ok(()));
            assert_eq!(credit.receive(1), Err(Violation));
            assert_eq!(credit.receive(0), Ok(()));
            credit.forward(24);
            assert!(!credit.owes_update());
            credit.forward(1);
            assert!(credit.owes_update());
            assert_eq!(credit.tell(), (100, start.wrapping_add(25)));
            assert!(!credit.owes_update());
            assert_eq!(credit.receive(26), Err(Violation));
            assert_eq!(credit.receive(1 << 32), Err(Violation));
            assert_eq!(credit.receive(25), Ok(()));
        }
    }

    #[test]
    fn the_smallest_buffer_owes_an_update_for_each_byte_and_for_none_not() {
        let mut credit = ReceiveCredit::new(1);
        assert!(!credit.owes_update());
        assert_eq!(credit.receive(1), Ok(()));
        credit.forward(1);
        assert!(credit.owes_update());
    }
}
