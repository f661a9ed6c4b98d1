//! The daemon's end of a ring, for tests: it moves bytes, right or wrong.

use super::{CONNECTED, Page, RECONNECT, RING_BYTES, StoreRing};
use crate::hypervisor::xen::event::Port;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use spinning_top::Spinlock;

/// The other end. The client's is not to be used when this has been dropped.
pub struct DaemonSide(&'static Page);

/// Pages of daemons that are gone: a fuzzer makes millions of them.
static SPARE: Spinlock<Vec<&'static Page>> = Spinlock::new(Vec::new());

/// Both ends of an empty ring.
pub fn pair() -> (StoreRing, DaemonSide) {
    let spare = SPARE.lock().pop();
    let page = spare.unwrap_or_else(|| Box::leak(Box::new(Page::default())));
    page.start();
    (StoreRing { page, port: Port::fake() }, DaemonSide(page))
}

impl Drop for DaemonSide {
    fn drop(&mut self) {
        SPARE.lock().push(self.0);
    }
}

impl DaemonSide {
    /// The client wants the ring to be reset.
    pub fn is_reset_wanted(&self) -> bool {
        self.0.connection.load(Ordering::Acquire) == RECONNECT
    }

    /// Resets it.
    pub fn reset(&self) {
        let page = self.0;
        for index in [
            &page.request_consumer,
            &page.request_producer,
            &page.answer_consumer,
            &page.answer_producer,
            &page.error,
        ] {
            index.store(0, Ordering::Relaxed);
        }
        page.connection.store(CONNECTED, Ordering::Release);
    }

    /// Appends what the client sent; whether there was anything.
    pub fn receive(&self, bytes: &mut Vec<u8>) -> bool {
        let producer = self.0.request_producer.load(Ordering::Acquire);
        let consumer = self.0.request_consumer.load(Ordering::Relaxed);
        let count = producer.wrapping_sub(consumer);
        if count > RING_BYTES {
            return false;
        }
        bytes.extend((0..count).map(|nth| {
            let at = consumer.wrapping_add(nth) % RING_BYTES;
            self.0.requests[at as usize].load(Ordering::Relaxed)
        }));
        self.0.request_consumer.store(producer, Ordering::Release);
        count > 0
    }

    /// Moves bytes to the client, as many as there is room for; whether there were any.
    pub fn send(&self, bytes: &mut Vec<u8>) -> bool {
        let producer = self.0.answer_producer.load(Ordering::Relaxed);
        let consumer = self.0.answer_consumer.load(Ordering::Acquire);
        let room = RING_BYTES.saturating_sub(producer.wrapping_sub(consumer));
        let count = room.min(bytes.len() as u32);
        for (nth, byte) in (0..count).zip(bytes.drain(..count as usize)) {
            let at = producer.wrapping_add(nth) % RING_BYTES;
            self.0.answers[at as usize].store(byte, Ordering::Relaxed);
        }
        self.0.answer_producer.store(producer.wrapping_add(count), Ordering::Release);
        count > 0
    }

    /// Puts the index by which answers are found anywhere.
    pub fn set_answer_producer(&self, producer: u32) {
        self.0.answer_producer.store(producer, Ordering::Release);
    }

    /// Puts the index by which room for requests is found anywhere.
    pub fn set_request_consumer(&self, consumer: u32) {
        self.0.request_consumer.store(consumer, Ordering::Release);
    }

    /// Offers to reset the ring on request, or does not.
    pub fn set_can_reconnect(&self, can: bool) {
        self.0.features.store(can.into(), Ordering::Relaxed);
    }
}

impl Default for Page {
    fn default() -> Self {
        Self {
            requests: [const { AtomicU8::new(0) }; RING_BYTES as usize],
            answers: [const { AtomicU8::new(0) }; RING_BYTES as usize],
            request_consumer: AtomicU32::new(0),
            request_producer: AtomicU32::new(0),
            answer_consumer: AtomicU32::new(0),
            answer_producer: AtomicU32::new(0),
            features: AtomicU32::new(0),
            connection: AtomicU32::new(0),
            error: AtomicU32::new(0),
        }
    }
}

impl Page {
    /// Empties both rings, with indices close to where 32 bits end.
    fn start(&self) {
        for index in [&self.request_consumer, &self.request_producer] {
            index.store(u32::MAX - 20, Ordering::Relaxed);
        }
        for index in [&self.answer_consumer, &self.answer_producer] {
            index.store(u32::MAX - 30, Ordering::Relaxed);
        }
        self.features.store(1, Ordering::Relaxed);
        self.connection.store(CONNECTED, Ordering::Relaxed);
        self.error.store(0, Ordering::Relaxed);
    }
}
