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
