//! Control side of a device: features, configuration, reset, and the setting up of its queues.

use super::error::{Error, Fault};
use super::feature;
use super::queue::{Queue, SIZE_MAX};
use super::receive::ReceiveRing;
use super::transmit::TransmitRing;
use super::transport::{Doorbell, Events, Interrupt, Kind, Transport};
use crate::memory::PAGE_BYTES;
use alloc::boxed::Box;
use core::fmt;

/// A device before and while a driver uses it. It is reset when dropped, which is to be before its queues
/// are.
pub struct Control {
    kind: Kind,
    transport: Box<dyn Transport>,
    event_index: bool,
}

/// A pair of queues with their interrupt: all that one CPU needs to receive and to send. Neither half needs
/// the control side for that.
#[derive(Debug)]
pub struct QueuePair {
    /// What comes in.
    pub receive: ReceiveRing,
    /// What goes out.
    pub transmit: TransmitRing,
    /// Says that either has news.
    pub interrupt: Interrupt,
}

/// How large a pair is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairSettings {
    /// Buffers to receive into.
    pub receive_buffers: u16,
    /// Bytes in each.
    pub receive_buffer_bytes: usize,
    /// Buffers that can be on their way out.
    pub transmit_buffers: u16,
    /// Memory for all of them.
    pub transmit_bytes: usize,
    /// The longest.
    pub transmit_buffer_bytes_max: usize,
}

impl Control {
    pub(super) fn new(kind: Kind, transport: Box<dyn Transport>) -> Self {
        Self { kind, transport, event_index: false }
    }

    /// What it is for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Resets the device and agrees on features (3.1.1): those of `wanted` that it offers and that
    /// `choose` leaves, which may ask how long rings will be. [`feature::VERSION_1`] is always among them, and access by way of the platform where it is offered.
    pub fn negotiate(
        &mut self,
        wanted: u64,
        choose: impl FnOnce(u64, &mut Self) -> u64,
    ) -> Result<u64, Error> {
        self.reset()?;
        self.transport.set_status(status::ACKNOWLEDGE | status::DRIVER);
        let offered = self.transport.offered();
        if offered & feature::VERSION_1 == 0 {
            return Err(Error::Unsupported("modern virtio"));
        }
        let always = feature::VERSION_1 | offered & feature::ACCESS_PLATFORM;
        let agreed = choose(offered & wanted, self) & offered & wanted | always;
        self.transport.accept(agreed);
        self.transport.set_status(status::FEATURES_CHOSEN);
        if self.transport.status() & status::FEATURES_OK == 0 {
            return Err(Error::Unsupported("the chosen features"));
        }
        self.event_index = agreed & feature::EVENT_IDX != 0;
        self.transport.attach_configuration()?;
        Ok(agreed)
    }

    /// Sets a pair of queues up, by its number: queues `2 * pair` to receive and `2 * pair + 1` to send, as a
    /// network device has them (5.1.2). Its interrupts come to this CPU.
    ///
    /// Both numbers of buffers are rounded to powers of two that the device can take, and there are
    /// half as many to send as it has descriptors for; bytes to receive into are rounded so that they fill
    /// pages.
    pub fn queue_pair(&mut self, pair: u16, settings: &PairSettings) -> Result<QueuePair, Error> {
        let interrupt = self.transport.pair_interrupt(pair)?;
        let PairSettings { receive_buffers, receive_buffer_bytes, .. } = *settings;
        let receive = self.receive_ring(2 * pair, pair, receive_buffers, receive_buffer_bytes)?;
        let transmit = self.transmit_ring(pair, settings)?;
        Ok(QueuePair { receive, transmit, interrupt })
    }

    /// Sets a queue up by which the device tells of events, beside its first pair, whose interrupt it shares.
    pub fn event_ring(
        &mut self,
        queue: u16,
        buffers: u16,
        buffer_bytes: usize,
    ) -> Result<ReceiveRing, Error> {
        self.receive_ring(queue, 0, buffers, buffer_bytes)
    }

    /// Sets a pair up anew after [`Control::negotiate`] has reset the device, on rings that an earlier
    /// negotiation of the same features made. What was in them is lost.
    pub fn restart_queue_pair(
        &mut self,
        pair: u16,
        receive: &mut ReceiveRing,
        transmit: &mut TransmitRing,
    ) -> Result<(), Error> {
        self.restart_receive_ring(2 * pair, pair, receive)?;
        let (queue, size) = (2 * pair + 1, transmit.descriptors());
        self.check_size(queue, size)?;
        let at = transmit.restart();
        transmit.set_doorbell(self.transport.start_queue(queue, pair, size, at)?);
        Ok(())
    }

    /// Sets a queue of events up anew, as [`restart_queue_pair`](Self::restart_queue_pair) does a pair.
    pub fn restart_event_ring(&mut self, queue: u16, ring: &mut ReceiveRing) -> Result<(), Error> {
        self.restart_receive_ring(queue, 0, ring)
    }

    /// Sets the only queue of a device up.
    pub(super) fn only_queue(&mut self, size: u16) -> Result<(Queue, Box<dyn Doorbell>), Error> {
        let size = self.queue_size(0, size)?;
        let queue = Queue::new(size, false).ok_or(Error::OutOfMemory)?;
        let doorbell = self.transport.start_queue(0, 0, size, queue.addresses())?;
        Ok((queue, doorbell))
    }

    /// Tells the device to go (3.1.1, step 8).
    pub fn start(&mut self) {
        self.transport.set_status(status::FEATURES_CHOSEN | status::DRIVER_OK);
    }

    /// Gives the device up for broken: it is reset, and stays so.
    pub fn stop(&mut self) {
        self.transport.set_status(status::FAILED);
        self.transport.set_status(status::RESET);
    }

    /// What happened since this was last asked. An interrupt pin is low afterwards, so that the next
    /// event raises it anew: ask before waiting.
    pub fn take_events(&mut self) -> Events {
        self.transport.take_events()
    }

    /// Whether the device says that it cannot go on (2.1.2).
    pub fn needs_reset(&self) -> bool {
        self.transport.status() & status::NEEDS_RESET != 0
    }

    /// A byte of the device's configuration; 0 when it is not that long.
    pub fn configuration(&self, offset: usize) -> u8 {
        self.transport.configuration(offset).unwrap_or(0)
    }

    /// Two consecutive bytes of it, as one number.
    pub fn configuration_u16(&self, offset: usize) -> u16 {
        u16::from_le_bytes([self.configuration(offset), self.configuration(offset + 1)])
    }

    /// Eight consecutive bytes of it, as one number.
    pub fn configuration_u64(&self, offset: usize) -> u64 {
        u64::from_le_bytes(core::array::from_fn(|at| self.configuration(offset + at)))
    }

    /// Four consecutive bytes of it, as one number.
    pub(super) fn configuration_u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(core::array::from_fn(|at| self.configuration(offset + at)))
    }

    /// The registers, for [`Bridge`](super::bridge::Bridge).
    pub(super) fn transport(&mut self) -> &mut dyn Transport {
        &mut *self.transport
    }

    pub(super) fn status(&self) -> u8 {
        self.transport.status()
    }

    fn reset(&mut self) -> Result<(), Error> {
        const POLLS_MAX: u32 = 1_000_000;
        self.transport.set_status(status::RESET);
        let done = (0..POLLS_MAX).any(|_| self.transport.status() == status::RESET);
        if done { Ok(()) } else { Err(Error::Broken(Fault::NeedsReset)) }
    }

    fn receive_ring(
        &mut self,
        queue: u16,
        pair: u16,
        buffers: u16,
        buffer_bytes: usize,
    ) -> Result<ReceiveRing, Error> {
        let size = self.queue_size(queue, buffers)?;
        let align = PAGE_BYTES / usize::from(size).min(64);
        let bytes = buffer_bytes.next_multiple_of(align);
        let mut ring = ReceiveRing::new(size, bytes, self.event_index)?;
        ring.set_doorbell(self.transport.start_queue(queue, pair, size, ring.addresses())?);
        Ok(ring)
    }

    fn restart_receive_ring(
        &mut self,
        queue: u16,
        pair: u16,
        ring: &mut ReceiveRing,
    ) -> Result<(), Error> {
        let size = ring.buffers();
        self.check_size(queue, size)?;
        let at = ring.restart();
        ring.set_doorbell(self.transport.start_queue(queue, pair, size, at)?);
        Ok(())
    }

    fn transmit_ring(&mut self, pair: u16, settings: &PairSettings) -> Result<TransmitRing, Error> {
        let queue = 2 * pair + 1;
        let descriptors = self.queue_size(queue, settings.transmit_buffers.saturating_mul(2))?;
        let buffers = descriptors / 2;
        if buffers == 0 {
            return Err(Error::Unsupported("buffers in two parts"));
        }
        let mut ring = TransmitRing::new(
            buffers,
            settings.transmit_bytes,
            settings.transmit_buffer_bytes_max,
            self.event_index,
        )?;
        ring.set_doorbell(self.transport.start_queue(
            queue,
            pair,
            descriptors,
            ring.addresses(),
        )?);
        Ok(ring)
    }

    /// How many descriptors a ring has for which so many are wanted: a power of two (2.7), and no more than the device allows.
    ///
    /// # Errors
    /// The device has no such queue, or none are wanted.
    pub fn queue_size(&mut self, index: u16, wanted: u16) -> Result<u16, Error> {
        let offered = self.transport.queue_size_max(index).min(SIZE_MAX.into()) as u16;
        match wanted.min(offered).checked_ilog2() {
            Some(exponent) => Ok(1 << exponent),
            None => Err(Error::Unsupported("enough queues")),
        }
    }

    fn check_size(&mut self, index: u16, size: u16) -> Result<(), Error> {
        let same = self.queue_size(index, size)? == size;
        if same { Ok(()) } else { Err(Error::Unsupported("what it offered before")) }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.transport.set_status(status::RESET);
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// The status register's values (2.1).
mod status {
    /// Nothing yet: writing it resets the device.
    pub(super) const RESET: u8 = 0;
    pub(super) const ACKNOWLEDGE: u8 = 1;
    pub(super) const DRIVER: u8 = 1 << 1;
    pub(super) const DRIVER_OK: u8 = 1 << 2;
    pub(super) const FEATURES_OK: u8 = 1 << 3;
    pub(super) const NEEDS_RESET: u8 = 1 << 6;
    pub(super) const FAILED: u8 = 1 << 7;
    pub(super) const FEATURES_CHOSEN: u8 = ACKNOWLEDGE | DRIVER | FEATURES_OK;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtio::fake::{self, DeviceSide, Offer};
    use crate::virtio::queue::Addresses;
    use std::vec;

    fn device(features: u64) -> (Control, DeviceSide) {
        let configuration = (1..=12).collect();
        let queue_sizes = vec![0, 1, 5, 256, 4096];
        fake::device(Offer { kind: Kind::Network, features, configuration, queue_sizes })
    }

    /// virtio 1.2, 3.1.1 and 6: what is neither offered nor wanted is never accepted.
    #[test]
    fn agreed_is_what_is_offered_wanted_and_chosen() {
        const VERSION_1: u64 = 1 << 32;
        const ACCESS_PLATFORM: u64 = 1 << 33;
        let (mut control, side) = device(VERSION_1 | ACCESS_PLATFORM | 0b0111);
        let agreed = control.negotiate(VERSION_1 | 0b1110, |features, _| {
            assert_eq!(features, VERSION_1 | 0b0110);
            !0b0100
        });
        assert_eq!(agreed, Ok(VERSION_1 | ACCESS_PLATFORM | 0b0010));
        // Acknowledged, with a driver, features chosen.
        assert_eq!((side.accepted(), side.status()), (agreed.unwrap(), 1 | 2 | 8));
        control.start();
        assert_eq!((side.status(), control.needs_reset()), (1 | 2 | 4 | 8, false));
        side.set_status(64);
        assert!(control.needs_reset());
        control.stop();
        assert_eq!((side.status(), control.needs_reset()), (0, false));
        side.set_status(1);
        drop(control);
        assert_eq!(side.status(), 0, "reset");
        let (mut legacy, _) = device(0b0111);
        let refused = Err(Error::Unsupported("modern virtio"));
        assert_eq!(legacy.negotiate(u64::MAX, |features, _| features), refused);
    }

    #[test]
    fn the_configuration_is_read_in_bytes_of_little_endian_numbers() {
        let (control, side) = device(0);
        assert_eq!([0, 11, 12].map(|at| control.configuration(at)), [1, 12, 0]);
        assert_eq!((control.configuration_u16(2), control.configuration_u16(11)), (0x0403, 12));
        assert_eq!(control.configuration_u32(3), 0x0706_0504);
        assert_eq!(control.configuration_u64(1), 0x0908_0706_0504_0302);
        assert_eq!(control.configuration_u64(8), 0x0c0b_0a09);
        side.configure(0, 77);
        assert_eq!(control.configuration(0), 77);
    }

    /// virtio 1.2, 2.7: a power of two.
    #[test]
    fn a_ring_is_no_longer_than_wanted_and_than_the_device_allows() {
        let (mut control, _) = device(0);
        for (queue, wanted, size) in [
            (3, 256, Some(256)),
            (3, 255, Some(128)),
            (3, 9, Some(8)),
            (3, u16::MAX, Some(256)),
            (4, u16::MAX, Some(1024)),
            (2, 256, Some(4)),
            (1, 256, Some(1)),
            (3, 1, Some(1)),
            (3, 0, None),
            (0, 256, None),
            (5, 256, None),
        ] {
            assert_eq!(control.queue_size(queue, wanted).ok(), size, "{queue} {wanted}");
        }
        assert_eq!(control.check_size(3, 64), Ok(()));
        assert!(control.check_size(3, 512).is_err() && control.check_size(0, 64).is_err());
    }

    /// A device in whose status these bits are never set, and those always.
    struct Stubborn {
        device: DeviceSide,
        never: u8,
        always: u8,
    }

    impl Transport for Stubborn {
        fn offered(&mut self) -> u64 {
            self.device.offered()
        }

        fn accept(&mut self, features: u64) {
            self.device.accept(features);
        }

        fn status(&self) -> u8 {
            self.device.status() & !self.never | self.always
        }

        fn set_status(&mut self, status: u8) {
            Transport::set_status(&mut self.device, status);
        }

        fn attach_configuration(&mut self) -> Result<(), Error> {
            panic!("a device that agreed to nothing is left alone")
        }

        fn queue_size_max(&mut self, _queue: u16) -> u32 {
            0
        }

        fn pair_interrupt(&mut self, _pair: u16) -> Result<Interrupt, Error> {
            Ok(Interrupt::Shared)
        }

        fn start_queue(
            &mut self,
            _queue: u16,
            _pair: u16,
            _size: u16,
            _at: Addresses,
        ) -> Result<Box<dyn Doorbell>, Error> {
            Err(Error::OutOfInterrupts)
        }

        fn take_events(&mut self) -> Events {
            Events::default()
        }

        fn configuration(&self, _offset: usize) -> Option<u8> {
            None
        }
    }

    /// virtio 1.2, 3.1.1, steps 1 and 6, and 2.4.
    #[test]
    fn a_device_that_refuses_what_was_agreed_or_to_be_reset_is_not_used() {
        const FEATURES_OK: u8 = 8;
        for (never, always, expected) in [
            (FEATURES_OK, 0, Error::Unsupported("the chosen features")),
            (0, FEATURES_OK, Error::Broken(Fault::NeedsReset)),
        ] {
            let device = device(1 << 32).1;
            let stubborn = Stubborn { device, never, always };
            let mut control = Control::new(Kind::Network, Box::new(stubborn));
            assert_eq!(control.negotiate(0, |features, _| features), Err(expected));
        }
    }

    #[test]
    fn memory_to_send_from_is_used_to_its_last_byte() {
        let (mut control, side) = device(1 << 32);
        control.negotiate(0, |features, _| features).unwrap();
        let settings = PairSettings {
            receive_buffers: 1,
            receive_buffer_bytes: 4096,
            transmit_buffers: 8,
            transmit_bytes: 3 * 4096,
            transmit_buffer_bytes_max: 4096,
        };
        // Queues 2 and 3 are the second pair.
        let QueuePair { mut transmit, .. } = control.queue_pair(1, &settings).unwrap();
        let send = |transmit: &mut TransmitRing, byte| {
            assert!(transmit.has_room());
            transmit.send(4096, |buffer| buffer.fill(byte));
            transmit.publish();
            side.take(3).unwrap()
        };
        let [first, second] = [1, 2].map(|byte| send(&mut transmit, byte));
        side.put(3, first.id.into(), 0);
        assert_eq!(transmit.reclaim(), Ok(true));
        let third = send(&mut transmit, 3);
        assert_eq!(third.buffers[0].0, second.buffers[0].0 + 4096, "the last third");
        assert_eq!(transmit.reclaim(), Ok(true));
        let fourth = send(&mut transmit, 4);
        assert_eq!(fourth.buffers[0].0, first.buffers[0].0, "the first again");
        assert_eq!(transmit.reclaim(), Ok(false));
        for (byte, chain) in [(2, second), (3, third), (4, fourth)] {
            assert_eq!(side.read(&chain), [byte; 4096]);
        }
    }
}
