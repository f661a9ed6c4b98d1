//! Making a smoltcp socket that is already connected.
//!
//! smoltcp opens connections itself, one socket per attempt, and fixes a socket's buffers for life.
//! Here a socket is *made* in the middle of a connection instead: a listening socket is fed a SYN
//! that we write, its SYN-ACK goes nowhere, and it then expects exactly the sequence numbers that
//! the real peers have agreed on. That one mechanism serves passive opens (after our own compact
//! handshake), active opens, and moving a connection to larger or smaller rings.
//!
//! The socket's initial sequence number must be ours. smoltcp draws it from a generator that it
//! seeds from a number we give, so we give the number that leads there. The alternative, a
//! per-connection offset, would have to rewrite the acknowledgement number of every received frame,
//! and smoltcp lends frames read-only: each would have to be copied. That the aim was right is
//! checked on the SYN-ACK itself: with another generator no connection opens, and tests fail.

use crate::packet;
use crate::port::{Output, Port};
use crate::segment::Offer;
use crate::tuple::Tuple;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, DeviceCapabilities, Medium, PacketMeta};
use smoltcp::socket::tcp::Socket;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, TcpControl, TcpPacket, TcpRepr};

/// The only socket of a connection's set.
pub(crate) type Sockets = SocketSet<'static>;

/// A connection's state as both ends know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Synchronized {
    pub(crate) tuple: Tuple,
    /// The first sequence number that the peer has not acknowledged.
    pub(crate) send_next: u32,
    /// The first that we have not received.
    pub(crate) receive_next: u32,
    /// What the peer offered, its segment size already limited by our own link's.
    pub(crate) offer: Offer,
}

/// A socket that waits for the handshake's last segment; `socket` configures it before it listens,
/// `at` is when our SYN-ACK left, from which the round trip is measured.
pub(crate) fn syn_received(
    with: &Synchronized,
    socket: Socket<'static>,
    at: Duration,
) -> Option<Sockets> {
    let mut maker = Maker::new(with, at);
    maker.listen(with, socket)
}

/// A socket that is established; `window` bytes are what the peer last offered.
pub(crate) fn established(
    with: &Synchronized,
    socket: Socket<'static>,
    window: u32,
    at: Duration,
) -> Option<Sockets> {
    let mut maker = Maker::new(with, at);
    let mut sockets = maker.listen(with, socket)?;
    let back = with.tuple.reversed();
    let mut ack = packet::bare(&back, TcpControl::None, with.receive_next, Some(with.send_next));
    ack.window_len = (window >> with.offer.scale.unwrap_or(0)).min(0xffff) as u16;
    maker.feed(&back, &ack, &mut sockets);
    Some(sockets)
}

/// smoltcp's own window scale for a ring of `capacity` bytes, which its packets use.
pub(crate) fn window_shift(capacity: usize, peer_scales: bool) -> u8 {
    let bits = usize::BITS - capacity.leading_zeros();
    if peer_scales { bits.saturating_sub(16) as u8 } else { 0 }
}

/// Every connection's socket is the only one in its set.
pub(crate) fn handle() -> SocketHandle {
    SocketHandle::default()
}

/// A throw-away interface without a wire, whose next initial sequence number is known.
struct Maker {
    interface: Interface,
    caps: DeviceCapabilities,
    now: Instant,
    swallow: Swallow,
}

impl Maker {
    fn new(with: &Synchronized, at: Duration) -> Self {
        let mut caps = DeviceCapabilities::default();
        caps.medium = Medium::Ip;
        caps.max_transmission_unit = 0xffff;
        caps.checksum = ChecksumCapabilities::ignored();
        let mut swallow = Swallow { syn_ack: None, ip_header_len: with.tuple.ip_header_len() };
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = aim::seed_for(with.send_next.wrapping_sub(1));
        let now = Instant::from_micros(at.as_micros() as i64);
        let mut interface = Interface::new(config, &mut Port::new(&caps, &mut swallow), now);
        interface.set_any_ip(true);
        Self { interface, caps, now, swallow }
    }

    fn listen(&mut self, with: &Synchronized, mut socket: Socket<'static>) -> Option<Sockets> {
        socket.listen(with.tuple.local_port).ok()?;
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        sockets.add(socket);
        let back = with.tuple.reversed();
        let syn = packet::syn(&back, with.receive_next.wrapping_sub(1), None, &with.offer);
        self.feed(&back, &syn, &mut sockets);
        let mut port = Port::new(&self.caps, &mut self.swallow);
        self.interface.poll_egress(self.now, &mut port, &mut sockets);
        (self.swallow.syn_ack == Some(with.send_next.wrapping_sub(1))).then_some(sockets)
    }

    /// Lets the socket receive `segment`, which comes from `back`'s local end.
    fn feed(&mut self, back: &Tuple, segment: &TcpRepr, sockets: &mut Sockets) {
        let mut frame = [0; packet::BARE_MAX];
        let frame = &mut frame[..packet::packet_len(back, segment)];
        packet::emit(back, segment, &self.caps.checksum, frame);
        let mut port = Port::new(&self.caps, &mut self.swallow);
        port.frame = Some(frame);
        self.interface.poll_ingress_single(self.now, &mut port, sockets);
    }
}

/// Where a maker's packets end; the first one tells the sequence number.
struct Swallow {
    syn_ack: Option<u32>,
    ip_header_len: usize,
}

impl Output for Swallow {
    fn ready(&mut self) -> bool {
        true
    }

    fn send(&mut self, len: usize, _: PacketMeta, fill: &mut dyn FnMut(&mut [u8])) -> bool {
        let mut frame = vec![0; len];
        fill(&mut frame);
        if self.syn_ack.is_none() {
            let tcp = TcpPacket::new_unchecked(&frame[self.ip_header_len..]);
            self.syn_ack = Some(tcp.seq_number().0 as u32);
        }
        true
    }
}

/// The way back through smoltcp's generator (`rand.rs`, a 64-bit linear congruence whose upper bits
/// are the output). An interface draws one number for itself and then one per listening socket.
mod aim {
    const MULTIPLIER: u64 = 0xbb2e_fcec_3c39_611d;
    const INCREMENT: u64 = 0x7590_ef39;
    const INVERSE: u64 = inverse(MULTIPLIER);

    pub(super) fn seed_for(sequence: u32) -> u64 {
        // With zero in the top three bits, the output is what lies above the lowest 29.
        let mut target = u64::from(sequence) << 29;
        loop {
            let first = before(target);
            let output = (first >> (29 - (first >> 61))) as u32;
            // Drawing a zero here would make the interface draw again.
            if (output ^ output >> 16) as u16 != 0 {
                return before(first);
            }
            target += 1;
        }
    }

    fn before(state: u64) -> u64 {
        state.wrapping_sub(INCREMENT).wrapping_mul(INVERSE)
    }

    /// Newton's iteration doubles the right bits; an odd number is its own inverse modulo 8.
    const fn inverse(odd: u64) -> u64 {
        let mut inverse = odd;
        let mut round = 0;
        while round < 5 {
            inverse = inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)));
            round += 1;
        }
        inverse
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::socket::tcp::{SocketBuffer, State};

    fn synchronized(send_next: u32, receive_next: u32, scale: Option<u8>) -> Synchronized {
        Synchronized {
            tuple: Tuple::v4([10, 0, 0, 1], [10, 0, 0, 2], 80, 5000),
            send_next,
            receive_next,
            offer: Offer { mss: 1460, scale, sack: true },
        }
    }

    fn socket(receive: usize, transmit: usize) -> Socket<'static> {
        Socket::new(SocketBuffer::new(vec![0; receive]), SocketBuffer::new(vec![0; transmit]))
    }

    #[test]
    fn a_socket_starts_at_any_sequence_number() {
        let mut number = 1_u32;
        for _ in 0..2_000 {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            for send_next in [number, number & 0xff, number | 0xffff_ff00, 0, 1] {
                let with = synchronized(send_next, number.rotate_left(7), Some(7));
                let mut sockets = established(&with, socket(64, 64), 1000, Duration::ZERO).unwrap();
                let state = sockets.get_mut::<Socket>(handle()).state();
                assert_eq!(state, State::Established, "{send_next}");
            }
        }
    }

    #[test]
    fn the_window_shift_is_smoltcps_own() {
        assert_eq!(window_shift(1024, true), 0);
        assert_eq!(window_shift(65_535, true), 0);
        assert_eq!(window_shift(65_536, true), 1);
        assert_eq!(window_shift(262_143, true), 2);
        assert_eq!(window_shift(262_143, false), 0);
    }
}
