//! xenstore ring: the page of bytes that a client shares with the daemon (Xen, public/io/xs_wire.h,
//! `struct xenstore_domain_interface`). What the bytes mean is the client's (`drivers/xen-store`).

#[cfg(any(test, feature = "fake"))]
pub mod fake;

use super::event::Port;
use super::parameter::{self, Parameter};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// Bytes in each direction.
const RING_BYTES: u32 = 1024;
/// The daemon resets the ring on request.
const FEATURE_RECONNECTION: u32 = 1;
const CONNECTED: u32 = 0;
const RECONNECT: u32 = 1;

/// The page.
#[repr(C)]
struct Page {
    requests: [AtomicU8; RING_BYTES as usize],
    answers: [AtomicU8; RING_BYTES as usize],
    request_consumer: AtomicU32,
    request_producer: AtomicU32,
    answer_consumer: AtomicU32,
    answer_producer: AtomicU32,
    features: AtomicU32,
    connection: AtomicU32,
    error: AtomicU32,
}

/// The daemon's indices make no sense, or it says that ours do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenRing;

/// The client's end. The daemon is trusted no more than any other domain: its indices are read once and
/// checked.
pub struct StoreRing {
    page: &'static Page,
    port: Port,
}

impl StoreRing {
    /// The ring that the toolstack made.
    pub fn find() -> Option<Self> {
        let page = parameter::get_page(Parameter::StorePage)?;
        let port = Port::of_toolstack(parameter::get(Parameter::StorePort)?)?;
        // SAFETY: Xen put the ring's page there for this domain's life, and all of it is atomic.
        let page = unsafe { &*(page as *const Page) };
        Some(Self { page, port })
    }

    /// The domain was restored: its ring is a new one. A test's daemon has emptied the old one instead.
    pub fn renew(&mut self) -> Result<(), BrokenRing> {
        if cfg!(not(any(test, feature = "fake"))) {
            *self = Self::find().ok_or(BrokenRing)?;
        }
        Ok(())
    }

    /// Whether the daemon has done something since this was last asked.
    pub fn take_event(&self) -> bool {
        // The fake daemon raises none.
        self.port.take() || cfg!(any(test, feature = "fake"))
    }

    /// Tells the daemon that something was sent or received.
    pub fn notify(&self) {
        self.port.notify();
    }

    /// Moves bytes out, as many as there is room for; whether there were any.
    pub fn send(&self, bytes: &mut Vec<u8>) -> Result<bool, BrokenRing> {
        let consumer = self.page.request_consumer.load(Ordering::Acquire);
        let producer = self.page.request_producer.load(Ordering::Relaxed);
        let room = RING_BYTES.checked_sub(producer.wrapping_sub(consumer)).ok_or(BrokenRing)?;
        let count = room.min(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        for (nth, byte) in (0..count).zip(bytes.drain(..count as usize)) {
            let at = producer.wrapping_add(nth) % RING_BYTES;
            self.page.requests[at as usize].store(byte, Ordering::Relaxed);
        }
        self.page.request_producer.store(producer.wrapping_add(count), Ordering::Release);
        Ok(count > 0)
    }

    /// Appends to `bytes` what has come, until it has `length`; whether anything has.
    pub fn receive(&self, bytes: &mut Vec<u8>, length: usize) -> Result<bool, BrokenRing> {
        let producer = self.page.answer_producer.load(Ordering::Acquire);
        let consumer = self.page.answer_consumer.load(Ordering::Relaxed);
        let waiting = producer.wrapping_sub(consumer);
        if waiting > RING_BYTES {
            return Err(BrokenRing);
        }
        let wanted = u32::try_from(length.saturating_sub(bytes.len())).unwrap_or(u32::MAX);
        let count = waiting.min(wanted);
        bytes.extend((0..count).map(|nth| {
            let at = consumer.wrapping_add(nth) % RING_BYTES;
            self.page.answers[at as usize].load(Ordering::Relaxed)
        }));
        self.page.answer_consumer.store(consumer.wrapping_add(count), Ordering::Release);
        Ok(count > 0)
    }

    /// The daemon says that the connection has an error.
    pub fn has_error(&self) -> bool {
        self.page.error.load(Ordering::Relaxed) != 0
    }

    /// Asks the daemon to reset the ring; false when it does not know how.
    pub fn request_reset(&self) -> bool {
        if self.page.features.load(Ordering::Relaxed) & FEATURE_RECONNECTION == 0 {
            return false;
        }
        self.page.connection.store(RECONNECT, Ordering::Release);
        self.notify();
        true
    }

    /// Whether the ring may be used: the daemon has done the reset that was asked for.
    pub fn is_connected(&self) -> bool {
        self.page.connection.load(Ordering::Acquire) == CONNECTED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;

    /// A ring both of whose directions are so far.
    fn ring_at(index: u32) -> StoreRing {
        let bytes = || [const { AtomicU8::new(0) }; RING_BYTES as usize];
        let word = AtomicU32::new;
        let page = Page {
            requests: bytes(),
            answers: bytes(),
            request_consumer: word(index),
            request_producer: word(index),
            answer_consumer: word(index),
            answer_producer: word(index),
            features: word(0),
            connection: word(0),
            error: word(0),
        };
        StoreRing { page: Box::leak(Box::new(page)), port: Port::fake() }
    }

    fn show(bytes: &[AtomicU8], from: u32, count: u32) -> Vec<u8> {
        let at = |nth| from.wrapping_add(nth) as usize % 1024;
        (0..count).map(|nth| bytes[at(nth)].load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn bytes_are_sent_while_there_is_room_and_the_rest_stays() {
        for start in [0, 1020, u32::MAX - 2] {
            let ring = ring_at(start);
            let all: Vec<u8> = (0..1030).map(|nth| nth as u8).collect();
            let mut bytes = all.clone();
            assert_eq!(ring.send(&mut bytes), Ok(true));
            assert_eq!(
                (bytes.len(), show(&ring.page.requests, start, 1024)),
                (6, all[..1024].to_vec())
            );
            let produced = ring.page.request_producer.load(Ordering::Relaxed);
            assert_eq!(produced, start.wrapping_add(1024));
            assert_eq!((ring.send(&mut bytes), bytes.len()), (Ok(false), 6));
            ring.page.request_consumer.store(start.wrapping_add(4), Ordering::Relaxed);
            assert_eq!((ring.send(&mut bytes), bytes.len()), (Ok(true), 2));
            assert_eq!(show(&ring.page.requests, start, 4), all[1024..1028]);
            // A daemon that took more than there was, or gave some back.
            for consumer in [start.wrapping_add(1029), start.wrapping_sub(1), start ^ 1 << 31] {
                ring.page.request_consumer.store(consumer, Ordering::Relaxed);
                assert_eq!(ring.send(&mut bytes), Err(BrokenRing), "{consumer:#x}");
            }
            assert_eq!(bytes.len(), 2);
        }
    }

    #[test]
    fn what_came_is_taken_as_far_as_it_is_wanted() {
        for start in [0, 1022, u32::MAX - 2] {
            let ring = ring_at(start);
            for nth in 0..6 {
                let at = start.wrapping_add(nth) as usize % 1024;
                ring.page.answers[at].store(b'a' + nth as u8, Ordering::Relaxed);
            }
            let mut bytes = Vec::from(*b"-");
            assert_eq!(ring.receive(&mut bytes, 4), Ok(false));
            ring.page.answer_producer.store(start.wrapping_add(6), Ordering::Relaxed);
            assert_eq!((ring.receive(&mut bytes, 4), &bytes[..]), (Ok(true), &b"-abc"[..]));
            let consumed = ring.page.answer_consumer.load(Ordering::Relaxed);
            assert_eq!(consumed, start.wrapping_add(3));
            assert_eq!(ring.receive(&mut bytes, 4), Ok(false), "there are as many as are wanted");
            assert_eq!((ring.receive(&mut bytes, 99), &bytes[..]), (Ok(true), &b"-abcdef"[..]));
            let full = start.wrapping_add(6 + 1024);
            for producer in [full.wrapping_add(1), start.wrapping_add(5), start ^ 1 << 31] {
                ring.page.answer_producer.store(producer, Ordering::Relaxed);
                assert_eq!(ring.receive(&mut bytes, 99), Err(BrokenRing), "{producer:#x}");
            }
            ring.page.answer_producer.store(full, Ordering::Relaxed);
            assert_eq!((ring.receive(&mut bytes, 4096), bytes.len()), (Ok(true), 1031));
        }
    }

    /// public/io/xs_wire.h: feature bit 0, connection states 0 and 1, and an error that is not 0.
    #[test]
    fn a_daemon_resets_the_ring_if_it_knows_how() {
        let ring = ring_at(0);
        ring.page.features.store(!1, Ordering::Relaxed);
        assert!(!ring.request_reset() && ring.is_connected());
        ring.page.features.store(1, Ordering::Relaxed);
        assert!(ring.request_reset() && !ring.is_connected());
        assert_eq!(ring.page.connection.load(Ordering::Relaxed), 1);
        ring.page.connection.store(0, Ordering::Relaxed);
        assert!(ring.is_connected() && !ring.has_error());
        ring.page.error.store(2, Ordering::Relaxed);
        assert!(ring.has_error());
    }
}
