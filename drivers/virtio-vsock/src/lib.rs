//! Virtio socket driver (virtio 1.3, 5.10): a device as what carries the packets of a [`VsockNetwork`].
//!
//! Packets are read where the device put them. Those that leave are a header, built where the device reads it, and a payload
//! that it reads where it lies. Nothing waits for the device: what finds no room leaves in a later turn. Doorbells are rung
//! once for each turn of the caller's loop, and interrupts are off until [`VirtioVsock::prepare_to_wait`].
//!
//! A device that breaks the rules of its rings is stopped: all connections end, and none begins. It is started anew before
//! the next wait, up to three times, as a card is. What a packet says is another matter, and the network's
//! ([`VsockNetwork::handle_input`]).
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate alloc;

#[cfg(test)]
mod tests;

pub use machine::virtio::{Error, Fault};

use core::fmt;
use core::time::Duration;
use machine::virtio::{Control, Kind, PairSettings, QueuePair, ReceiveRing, feature};
use vsock::{HEADER_BYTES, Limits, VsockNetwork};

/// Sizes of the device's rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Packets that can arrive while nobody polls. They become a power of two that the device can take.
    pub receive_buffers: u16,
    /// Bytes of the longest of them, with its header; the device cuts what is longer.
    pub receive_buffer_bytes: usize,
    /// Packets that can be on their way out.
    pub transmit_packets: u16,
}

impl Settings {
    /// For a machine with so much memory, in bytes: 64 KiB of it for the smallest, and a mebibyte from 64 MiB on.
    pub fn for_ram(bytes: u64) -> Self {
        let (receive_buffers, receive_buffer_bytes) = match bytes >> 20 {
            0..=16 => (16, 4 << 10),
            17..=63 => (64, 4 << 10),
            _ => (64, 16 << 10),
        };
        Self { receive_buffers, receive_buffer_bytes, transmit_packets: 64 }
    }
}

/// A running device.
pub struct VirtioVsock {
    /// Dropped first: the device is reset before what it reads is given up.
    control: Control,
    pair: QueuePair,
    events: ReceiveRing,
    network: VsockNetwork,
    stopped: Option<Fault>,
    restarts: u32,
}

impl VirtioVsock {
    /// Negotiates with a device and starts it.
    ///
    /// # Errors
    /// The device cannot be used.
    pub fn open(mut control: Control, settings: &Settings, limits: Limits) -> Result<Self, Error> {
        if control.kind() != Kind::Socket {
            return Err(Error::Unsupported("sockets"));
        }
        negotiate(&mut control)?;
        let cid = cid(&control)?;
        let pair = control.queue_pair(0, &pair_settings(settings))?;
        let events = control.event_ring(EVENT_QUEUE, EVENT_BUFFERS, EVENT_BYTES)?;
        control.start();
        let network = VsockNetwork::new(cid, limits);
        log::info!("vsock: this is machine {cid}");
        let mut vsock = Self { control, pair, events, network, stopped: None, restarts: 0 };
        // Buffers were there before the device ran.
        vsock.offer_buffers();
        Ok(vsock)
    }

    /// What the device carries the packets of.
    pub fn network(&self) -> &VsockNetwork {
        &self.network
    }

    /// Why the device was stopped, if it was.
    pub fn fault(&self) -> Option<Fault> {
        self.stopped
    }

    /// Starts a stopped device anew, with the memory that it has. Listeners stay. A device that broke the rules once may do so
    /// again: how often to try is the caller's choice.
    ///
    /// # Errors
    /// The device offers something else than before.
    pub fn restart(&mut self) -> Result<(), Error> {
        negotiate(&mut self.control)?;
        let cid = cid(&self.control)?;
        let QueuePair { receive, transmit, .. } = &mut self.pair;
        self.control.restart_queue_pair(0, receive, transmit)?;
        self.control.restart_event_ring(EVENT_QUEUE, &mut self.events)?;
        self.control.start();
        self.stopped = None;
        self.network.reset(cid);
        self.offer_buffers();
        Ok(())
    }

    /// Takes in what arrived, a bounded batch of it, and says what time it is; whether more is waiting.
    pub fn ingress(&mut self, now: Duration) -> bool {
        self.network.handle_timeout(now);
        if self.stopped.is_some() {
            return false;
        }
        self.pair.receive.disarm();
        let taken = self.take_events().and_then(|()| self.take_packets(now));
        self.offer_buffers();
        taken.unwrap_or_else(|fault| {
            self.stop(fault);
            false
        })
    }

    /// Gives the device what is to leave, as far as it has room.
    pub fn egress(&mut self, now: Duration) {
        if self.stopped.is_some() {
            return;
        }
        if let Err(fault) = self.give_packets(now) {
            return self.stop(fault);
        }
        let transmit = &mut self.pair.transmit;
        if !transmit.is_published() && transmit.publish() {
            transmit.ring_doorbell();
        }
    }

    /// Turns on the interrupts that are worth waking up for: a packet or an event, and room if there was none for what is to
    /// leave. False when there is something to do already.
    pub fn prepare_to_wait(&mut self) -> bool {
        if self.stopped.is_some() && self.restarts < RESTARTS_MAX {
            self.revive();
        }
        if self.stopped.is_some() {
            return true;
        }
        self.pair.interrupt.take();
        let events = self.control.take_events();
        if events.configuration && self.control.needs_reset() {
            self.stop(Fault::NeedsReset);
            return false;
        }
        // What could not leave waits for room; what could would have.
        let transmit = &mut self.pair.transmit;
        let can_wait_to_send = if self.network.wants_transmit() {
            !transmit.has_room() && transmit.arm()
        } else {
            transmit.disarm();
            true
        };
        let can_wait_to_receive = !self.network.wants_input() || self.pair.receive.arm();
        can_wait_to_send && can_wait_to_receive && self.events.arm()
    }

    fn take_packets(&mut self, now: Duration) -> Result<bool, Fault> {
        let ring = &mut self.pair.receive;
        for _ in 0..BATCH_PACKETS {
            // 5.10.6.1: no more is taken than can be answered, else answers would have to be kept without bound.
            if !self.network.wants_input() {
                return Ok(false);
            }
            let Some(filled) = ring.accept()? else { return Ok(false) };
            let packet = ring.bytes_mut(filled);
            self.network.handle_input(now, packet);
            // Some devices return buffers that they wrote nothing to. A header that was there before would be heard twice.
            packet[..filled.min(HEADER_BYTES)].fill(0);
            ring.recycle();
        }
        Ok(ring.waiting(1)? > 0)
    }

    /// 5.10.6.7: the only event that there is says that the machine was moved.
    fn take_events(&mut self) -> Result<(), Fault> {
        while let Some(filled) = self.events.accept()? {
            let is_reset =
                self.events.bytes(filled).get(..4) == Some(&TRANSPORT_RESET.to_le_bytes());
            self.events.recycle();
            if is_reset {
                self.reset();
            }
        }
        Ok(())
    }

    fn reset(&mut self) {
        match cid(&self.control) {
            Ok(cid) => {
                log::warn!("vsock: the transport was reset; this is machine {cid}");
                self.network.reset(cid);
            }
            Err(error) => {
                log::error!("vsock: the transport was reset: {error:?}");
                self.network.reset(self.network.cid());
            }
        }
    }

    fn give_packets(&mut self, now: Duration) -> Result<(), Fault> {
        let transmit = &mut self.pair.transmit;
        // What the device has read is let go of, too.
        if transmit.in_flight() > 0 {
            transmit.reclaim()?;
        }
        while transmit.has_room()
            && let Some(packet) = self.network.poll_transmit(now)
        {
            transmit.send_with_tail(HEADER_BYTES, packet.payload, |header| {
                header.copy_from_slice(&packet.header);
            });
        }
        Ok(())
    }

    /// Tells the device of buffers that are free again, if it wants to know.
    fn offer_buffers(&mut self) {
        for ring in [&mut self.pair.receive, &mut self.events] {
            if ring.wants_doorbell() {
                ring.ring_doorbell();
            }
        }
    }

    #[cold]
    fn revive(&mut self) {
        self.restarts += 1;
        match self.restart() {
            Ok(()) => log::warn!("vsock: start {} of {RESTARTS_MAX}", self.restarts),
            Err(error) => log::error!("vsock: the device does not start: {error:?}"),
        }
    }

    fn stop(&mut self, fault: Fault) {
        let then = if self.restarts < RESTARTS_MAX { "" } else { "; it is given up" };
        log::error!("vsock: the device was stopped: {fault:?}{then}");
        self.stopped = Some(fault);
        self.control.stop();
        self.network.shut_down();
    }
}

impl fmt::Debug for VirtioVsock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VirtioVsock").field(&self.network).finish()
    }
}

/// 5.10.3: streams are there unless the device says that it has something else alone.
fn negotiate(control: &mut Control) -> Result<(), Error> {
    let mut has_streams = true;
    control.negotiate(STREAM | NO_IMPLIED_STREAM | feature::EVENT_IDX, |offered, _| {
        has_streams = offered & NO_IMPLIED_STREAM == 0 || offered & STREAM != 0;
        offered & !NO_IMPLIED_STREAM
    })?;
    if has_streams { Ok(()) } else { Err(Error::Unsupported("streams")) }
}

/// The machine's number (5.10.4): the first three have other meanings, as the last has, and the upper half is reserved.
fn cid(control: &Control) -> Result<u32, Error> {
    let cid = u32::try_from(control.configuration_u64(CONFIGURATION_CID)).ok();
    let usable = cid.filter(|cid| *cid >= FIRST_CID && *cid != u32::MAX);
    usable.ok_or(Error::Unsupported("a machine's number from 3 on"))
}

fn pair_settings(settings: &Settings) -> PairSettings {
    let Settings { receive_buffers, receive_buffer_bytes, transmit_packets } = *settings;
    PairSettings {
        receive_buffers,
        receive_buffer_bytes,
        transmit_buffers: transmit_packets,
        transmit_bytes: usize::from(transmit_packets) * HEADER_BYTES.next_multiple_of(64),
        transmit_buffer_bytes_max: HEADER_BYTES,
    }
}

/// How often a device that had to be stopped is started anew: a hypervisor that was upgraded or moved under us breaks it once.
const RESTARTS_MAX: u32 = 3;

/// Packets that are taken before others have their turn.
const BATCH_PACKETS: usize = 64;

/// The third queue (5.10.2), whose buffers have room for an event (5.10.6.7) and fill a page.
const EVENT_QUEUE: u16 = 2;
const EVENT_BUFFERS: u16 = 4;
const EVENT_BYTES: usize = 1 << 10;
const TRANSPORT_RESET: u32 = 0;

/// Feature bits (5.10.3).
const STREAM: u64 = 1 << 0;
const NO_IMPLIED_STREAM: u64 = 1 << 2;

/// Places in the configuration (5.10.4).
const CONFIGURATION_CID: usize = 0;
/// Of a guest.
const FIRST_CID: u32 = 3;
