//! Driver of QEMU's inter-VM shared memory (`ivshmem-doorbell`): a device as a [`Region`] in which guests of one host have
//! flows with each other.
//!
//! The device has no rings and no state: its memory is the region, its doorbell rings at another guest by that one's number,
//! and its interrupt says that somebody rang, no more. Interrupts come while the machine waits; at any other time the region's
//! own words tell whether there is news.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::rc::Rc;
use core::fmt;
use core::time::Duration;
use machine::ivshmem::{Ivshmem, SharedRange};
use shared_region::{Limits, Region, RegionMemory};
use shared_ring::{Rings, SharedMemory};

/// A running device.
pub struct SharedMemoryDriver {
    device: Rc<Ivshmem>,
    region: Region<DeviceMemory>,
}

impl SharedMemoryDriver {
    /// Takes part in the region of a device. `random` gives numbers that nobody guesses.
    pub fn open(
        device: Ivshmem,
        rings: Rings,
        limits: Limits,
        random: impl Fn() -> u32 + 'static,
    ) -> Self {
        let device = Rc::new(device);
        let memory = DeviceMemory { range: device.memory(), device: device.clone() };
        let region = Region::new(memory, rings, limits, random);
        Self { device, region }
    }

    /// Where flows come from.
    pub fn region(&self) -> &Region<DeviceMemory> {
        &self.region
    }

    /// Takes in what other guests did, and says what time it is.
    pub fn ingress(&self, now: Duration) {
        self.region.handle_input();
        self.region.handle_timeout(now);
    }

    /// Rings at those who wait for what tasks did since the last call.
    pub fn egress(&self) {
        self.region.rings().notify();
    }

    /// Asks the others to ring, and makes ready to be woken by the interrupt; no, when there is something to do already.
    pub fn may_sleep(&self) -> bool {
        // First the bell that was heard already, then the look: who rings after it wakes us.
        self.device.take_interrupt();
        self.region.rings().may_sleep() && !self.region.has_news()
    }

    /// When it must be looked at again.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.region.next_deadline()
    }
}

impl fmt::Debug for SharedMemoryDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedMemoryDriver").field(&self.device).finish()
    }
}

/// The memory of a device, and its doorbell.
#[derive(Clone, Debug)]
pub struct DeviceMemory {
    range: SharedRange,
    device: Rc<Ivshmem>,
}

impl SharedMemory for DeviceMemory {
    fn bytes(&self) -> usize {
        self.range.bytes()
    }

    fn load_word(&self, offset: usize) -> u32 {
        self.range.load_word(offset)
    }

    fn store_word(&self, offset: usize, word: u32) {
        self.range.store_word(offset, word);
    }

    fn load_byte(&self, offset: usize) -> u8 {
        self.range.load_byte(offset)
    }

    fn store_byte(&self, offset: usize, byte: u8) {
        self.range.store_byte(offset, byte);
    }

    fn set_bits(&self, offset: usize, bits: u8) {
        self.range.set_bits(offset, bits);
    }

    fn clear_bits(&self, offset: usize, bits: u8) -> u8 {
        self.range.clear_bits(offset, bits)
    }

    fn copy_out(&self, offset: usize, into: &mut [u8]) {
        self.range.copy_out(offset, into);
    }

    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        self.range.copy_in(offset, bytes);
    }
}

impl RegionMemory for DeviceMemory {
    fn compare_exchange(&self, offset: usize, current: u32, new: u32) -> bool {
        self.range.compare_exchange(offset, current, new)
    }

    fn own_device(&self) -> u16 {
        self.device.id()
    }

    fn ring(&self, device: u16) {
        self.device.ring(device);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use core::future::Future;
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};
    use flow::{Connector, Flow, Listener, Target};
    use machine::ivshmem::fake::Server;
    use std::cell::Cell;

    const NOW: Duration = Duration::from_secs(1);

    fn guest(server: &Server, id: u16) -> SharedMemoryDriver {
        let limits = Limits { connections_max: 8, ring_bytes: 4096 };
        let next = Cell::new(u32::from(id) * 1000);
        let random = move || next.replace(next.get() + 1);
        SharedMemoryDriver::open(server.device(id), Rings::default(), limits, random)
    }

    /// A turn of a loop that sleeps unless it is rung at; whether it ran.
    fn turn(guest: &SharedMemoryDriver) -> bool {
        let runs = guest.device.take_interrupt();
        if runs {
            guest.ingress(NOW);
        }
        guest.egress();
        runs
    }

    #[test]
    fn guests_reach_each_other_and_are_woken_by_their_bells() {
        let server = Server::new(1 << 20);
        let (one, other) = (guest(&server, 3), guest(&server, 4));
        let mut cx = Context::from_waker(Waker::noop());
        let mut listener = other.region().listen("http", 8).unwrap();
        let (connector, target) = (one.region().connector(), Target::SharedMemory("http".into()));
        let mut connecting = pin!(connector.connect(&target));
        assert!(connecting.as_mut().poll(&mut cx).is_pending());
        assert!(turn(&other), "it is rung at");
        let Poll::Ready(Ok(mut far)) = listener.poll_accept(&mut cx) else { panic!("nobody") };
        assert!(turn(&one), "so is who asked");
        let Poll::Ready(Ok(mut near)) = connecting.as_mut().poll(&mut cx) else { panic!("none") };
        assert!(far.poll_read_with(&mut cx, &mut |bytes| bytes.len()).is_pending());
        // They ask each other whether they are there.
        while turn(&one) | turn(&other) {}
        assert!(other.may_sleep() && one.may_sleep(), "all is quiet");
        assert_eq!(near.poll_write(&mut cx, b"hello"), Poll::Ready(Ok(5)));
        one.egress();
        assert!(!other.may_sleep(), "who looks finds it without the bell");
        other.ingress(NOW);
        let read = far.poll_read_with(&mut cx, &mut |bytes| bytes.len());
        assert_eq!(read, Poll::Ready(Ok(5)));
        assert!(other.may_sleep());
    }

    #[test]
    fn a_device_with_something_else_in_it_is_left_alone() {
        let server = Server::new(1 << 20);
        server.memory().store_word(0, 7);
        let one = guest(&server, 3);
        assert_eq!(one.next_deadline(), None);
        assert!(one.may_sleep());
        one.ingress(NOW);
        one.egress();
        assert_eq!(server.memory().load_word(0), 7);
    }
}
