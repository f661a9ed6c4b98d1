//! Datagrams of UDP (RFC 768) that tasks send, and nothing more: what is answered to them goes to no port of ours.

use crate::counters::Counter;
use crate::device::{Transmit, TxFrame};
use crate::link::neighbours::Hop;
use crate::stack::interface::InterfaceState;
use crate::wire::ETHERNET;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol, Ipv4Packet,
    Ipv4Repr, Ipv6Packet, Ipv6Repr, UdpPacket, UdpRepr,
};

/// Why a datagram is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatagramError {
    /// No way leads there, from an address of ours.
    Unreachable,
    /// The link carries no packet that long, and datagrams are not cut.
    TooLong,
    /// Too many wait already.
    Full,
}

impl fmt::Display for DatagramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "no way leads there",
            Self::TooLong => "it is too long for the link",
            Self::Full => "too many datagrams wait",
        })
    }
}

impl core::error::Error for DatagramError {}

/// Datagrams that tasks have given to the stack since it last looked, or that wait for their next hop to be known.
#[derive(Debug, Default)]
pub(crate) struct Datagrams {
    waiting: RefCell<VecDeque<Datagram>>,
    /// Headers are weighed, too.
    bytes: Cell<usize>,
    /// When they are looked at; none if there are none.
    due: Cell<Option<Duration>>,
}

#[derive(Debug)]
struct Datagram {
    from: IpAddr,
    to: SocketAddr,
    next_hop: IpAddr,
    content: Vec<u8>,
}

/// The port that they leave from: the first that is nobody's (RFC 6335 section 6).
const SOURCE_PORT: u16 = 49_152;
/// What may wait, bytes: twice what the log's sender gives at once.
const WAITING_BYTES_MAX: usize = 128 << 10;
const UDP: usize = 8;
const HOP_LIMIT: u8 = 64;
/// Until a full device is asked again.
const PAUSE: Duration = Duration::from_millis(1);

impl Datagrams {
    /// When they are looked at next.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.due.get()
    }

    pub(crate) fn are_due(&self, now: Duration) -> bool {
        self.due.get().is_some_and(|due| due <= now)
    }

    fn push(&self, datagram: Datagram, now: Duration) -> Result<(), DatagramError> {
        let bytes = self.bytes.get() + datagram.held_bytes();
        if bytes > WAITING_BYTES_MAX {
            return Err(DatagramError::Full);
        }
        self.bytes.set(bytes);
        self.waiting.borrow_mut().push_back(datagram);
        self.due.set(Some(now));
        Ok(())
    }

    fn pop(&self) -> Option<Datagram> {
        let datagram = self.waiting.borrow_mut().pop_front()?;
        self.bytes.set(self.bytes.get() - datagram.held_bytes());
        Some(datagram)
    }
}

impl Datagram {
    fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.content.len()
    }

    fn ip_header_bytes(&self) -> usize {
        if self.to.is_ipv4() { 20 } else { 40 }
    }

    fn frame_bytes(&self) -> usize {
        ETHERNET + self.ip_header_bytes() + UDP + self.content.len()
    }

    fn write(
        &self,
        own: [u8; 6],
        hop: [u8; 6],
        checksums: &ChecksumCapabilities,
        frame: &mut [u8],
    ) {
        let ethertype =
            if self.to.is_ipv4() { EthernetProtocol::Ipv4 } else { EthernetProtocol::Ipv6 };
        let (src_addr, dst_addr) = (EthernetAddress(own), EthernetAddress(hop));
        let ethernet = EthernetRepr { src_addr, dst_addr, ethertype };
        ethernet.emit(&mut EthernetFrame::new_unchecked(&mut *frame));
        let (header, packet) = frame[ETHERNET..].split_at_mut(self.ip_header_bytes());
        let (next_header, payload_len) = (IpProtocol::Udp, UDP + self.content.len());
        match (self.from, self.to.ip()) {
            (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => {
                let hop_limit = HOP_LIMIT;
                let ip = Ipv4Repr { src_addr, dst_addr, next_header, payload_len, hop_limit };
                ip.emit(&mut Ipv4Packet::new_unchecked(header), checksums);
            }
            (IpAddr::V6(src_addr), IpAddr::V6(dst_addr)) => {
                let hop_limit = HOP_LIMIT;
                let ip = Ipv6Repr { src_addr, dst_addr, next_header, payload_len, hop_limit };
                ip.emit(&mut Ipv6Packet::new_unchecked(header));
            }
            // A route's source is of its destination's family.
            _ => return,
        }
        let udp = UdpRepr { src_port: SOURCE_PORT, dst_port: self.to.port() };
        let (from, to) = (self.from.into(), self.to.ip().into());
        let mut packet = UdpPacket::new_unchecked(packet);
        let write = |content: &mut [u8]| content.copy_from_slice(&self.content);
        udp.emit(&mut packet, &from, &to, self.content.len(), write, checksums);
    }
}

impl InterfaceState {
    /// Has a datagram sent with what is sent next, or once its next hop is known.
    pub(crate) fn queue_datagram(
        &self,
        to: SocketAddr,
        content: &[u8],
    ) -> Result<(), DatagramError> {
        let route = self.link.route(to.ip()).ok_or(DatagramError::Unreachable)?;
        let (from, next_hop) = (route.local, route.next_hop);
        let datagram = Datagram { from, to, next_hop, content: content.into() };
        if datagram.frame_bytes() - ETHERNET > self.mtu {
            return Err(DatagramError::TooLong);
        }
        self.datagrams.push(datagram, self.context.now.get().into())
    }

    /// Sends those whose next hop is known, in their order; one whose hop does not answer is lost, and counted.
    pub(crate) fn send_datagrams(&mut self, now: Duration, output: &mut dyn Transmit) {
        if !self.datagrams.are_due(now) {
            return;
        }
        self.datagrams.due.set(None);
        let checksums = self.link.checksums();
        // Those that wait for their hop keep no others waiting.
        let count = self.datagrams.waiting.borrow().len();
        for _ in 0..count {
            let Some(datagram) = self.datagrams.pop() else { break };
            let hop = self.neighbours.find(datagram.next_hop, datagram.from, now, output);
            let again_at = match hop {
                Hop::Silent => {
                    self.context.counters.add(Counter::DatagramsLost);
                    continue;
                }
                Hop::Asked(until) => until,
                Hop::Known(hop) => {
                    let frame = TxFrame::new(datagram.frame_bytes());
                    let own = self.own;
                    if output.transmit(frame, &mut |frame| {
                        datagram.write(own, hop, &checksums, frame);
                    }) {
                        self.context.counters.add(Counter::DatagramsOut);
                        continue;
                    }
                    now + PAUSE
                }
            };
            self.wait_with(datagram, again_at);
        }
    }

    /// Something was learnt of neighbours: those that wait for one are looked at.
    pub(crate) fn retry_datagrams(&self, now: Duration) {
        if self.datagrams.due.get().is_some() {
            self.datagrams.due.set(Some(now));
        }
    }

    fn wait_with(&self, datagram: Datagram, until: Duration) {
        let due = self.datagrams.due.get().map_or(until, |due| due.min(until));
        // It had room before.
        let _ = self.datagrams.push(datagram, due);
        self.datagrams.due.set(Some(due));
    }
}
