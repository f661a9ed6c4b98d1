//! Sockets of smoltcp, made in the middle of a connection.
//!
//! smoltcp opens connections itself, one socket per attempt, and fixes a socket's buffers for life.
//! Here a socket is *made* in the middle of a connection instead: it is told to connect, and before
//! it has said a word it is fed the SYN-ACK that we write, from which on it expects exactly the
//! sequence numbers that the real peers have agreed on. That one mechanism serves passive opens
//! (after our own compact handshake), active opens, and moving a connection to other rings.
//!
//! The socket's initial sequence number must be ours. smoltcp draws it from a generator that it
//! seeds from a number we give, so we give the number that leads there. The alternative, a
//! per-connection offset, would have to rewrite the acknowledgement number of every received frame,
//! and smoltcp lends frames read-only: each would have to be copied. Whether the aim was right shows
//! at once, since a socket that chose another number does not take our SYN-ACK: with another
//! generator no connection opens, and tests fail.

use crate::device::Discard;
use crate::device::smoltcp::{SmoltcpDevice, internal_caps};
use crate::time::Instant;
use crate::wire::header::TcpHeader;
use crate::wire::segment::SynOptions;
use crate::wire::tuple::Tuple;
use alloc::vec;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::DeviceCapabilities;
use smoltcp::socket::tcp::{Socket, State};
use smoltcp::wire::HardwareAddress;

/// The only socket of a connection's set.
pub(crate) type Sockets = SocketSet<'static>;

/// A connection's state as both ends know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Synchronized {
    pub(crate) tuple: Tuple,
    /// The first sequence number that the peer has not acknowledged.
    pub(crate) snd_nxt: u32,
    /// The first that we have not received.
    pub(crate) rcv_nxt: u32,
    /// What the peer offered, its segment size already limited by our own link's.
    pub(crate) offer: SynOptions,
    /// What the peer's window was last; until its next segment, at most 65,535 count.
    pub(crate) window: u32,
}

/// The set with its closed socket established, which takes its window for announced; whether the peer has
/// been told it is the caller's to know. `None` when smoltcp did not choose the number that it was led
/// to.
///
/// smoltcp compares what it received with the window that it last sent, and panics when that is
/// missing; so a made socket has always sent its first acknowledgement, which nobody sees.
pub(crate) fn established(with: &Synchronized, sockets: Sockets, now: Instant) -> Option<Sockets> {
    let mut maker = Maker::new(with, now);
    let mut sockets = maker.establish(with, sockets)?;
    maker.swallow(&mut sockets);
    Some(sockets)
}

/// What has happened on a connection that gets a socket in the midst of it.
#[derive(Clone, Copy)]
pub(crate) struct Replay<'a> {
    /// Received and not read.
    pub(crate) unread: &'a [u8],
    pub(crate) fin_received: bool,
    /// Written and not acknowledged, in two parts; so many bytes of it have left.
    pub(crate) queue: [&'a [u8]; 2],
    pub(crate) left: usize,
    /// The application wrote its last byte; our end has left.
    pub(crate) finished: bool,
    pub(crate) fin_left: bool,
}

/// What a new socket makes of what has left without an acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum InFlight {
    /// It is on its way.
    Kept,
    /// It is to be sent again.
    Lost,
}

/// An [`established`] socket in the midst of a connection: `with` says where the bytes of `replay` begin. Of what has
/// left, the socket may send more again than it needs to.
pub(crate) fn replayed(
    with: &Synchronized,
    sockets: Sockets,
    replay: &Replay,
    now: Instant,
) -> Option<Sockets> {
    // The window grows until all that has left fits, which the peer's window allowed.
    let mss = u32::from(with.offer.mss);
    let beyond = (replay.left as u32).saturating_sub(SMOLTCP_WINDOW_INITIAL);
    let allowed = Synchronized { window: with.window.max(replay.left as u32), ..*with };
    let mut sockets = grown(&allowed, sockets, beyond.div_ceil(mss).min(SEGMENTS_LEFT_MAX), now)?;
    let mut maker = Maker::new(with, now);
    if !replay.unread.is_empty() || replay.fin_received {
        let window = (with.window >> with.offer.window_scale.unwrap_or(0)).min(0xffff) as u16;
        let ends = (false, replay.fin_received);
        let part = TcpHeader::part(with.rcv_nxt, with.snd_nxt, window, ends);
        maker.hear(&with.tuple, &part, replay.unread, &mut sockets);
    }
    let [first, second] = replay.queue;
    let (first_left, first_waiting) = first.split_at(replay.left.min(first.len()));
    let (second_left, second_waiting) = second.split_at(replay.left - first_left.len());
    let socket = sockets.get_mut::<Socket>(handle());
    for left in [first_left, second_left] {
        socket.send_slice(left).ok()?;
    }
    if replay.fin_left {
        socket.close();
    }
    if replay.left > 0 || replay.fin_left {
        while maker.swallow(&mut sockets) {}
    }
    let socket = sockets.get_mut::<Socket>(handle());
    for waiting in [first_waiting, second_waiting] {
        if !waiting.is_empty() {
            socket.send_slice(waiting).ok()?;
        }
    }
    if replay.finished && !replay.fin_left {
        socket.close();
    }
    Some(sockets)
}

/// An [`established`] socket of a connection whose peer knows the window; its congestion window is
/// RFC 6928's: about ten segments.
pub(crate) fn resumed(with: &Synchronized, sockets: Sockets, now: Instant) -> Option<Sockets> {
    let mss = u32::from(with.offer.mss);
    let segments = ((WINDOW_INITIAL - SMOLTCP_WINDOW_INITIAL) / mss).min(SEGMENTS_MAX);
    grown(with, sockets, segments, now)
}

/// An [`established`] socket whose congestion window has grown by so many segments. smoltcp begins
/// with 2 KiB and has no setter, but takes acknowledgements of segments that we pretend to have sent
/// before.
fn grown(with: &Synchronized, sockets: Sockets, segments: u32, now: Instant) -> Option<Sockets> {
    let mss = u32::from(with.offer.mss);
    let room = sockets.get::<Socket>(handle()).send_capacity() as u32 / mss;
    let segments = segments.min(room);
    let mut snd_nxt = with.snd_nxt.wrapping_sub(segments * mss);
    let mut sockets = established(&Synchronized { snd_nxt, ..*with }, sockets, now)?;
    let mut maker = Maker::new(with, now);
    let window = with.window >> with.offer.window_scale.unwrap_or(0);
    for _ in 0..segments {
        snd_nxt = snd_nxt.wrapping_add(mss);
        let socket = sockets.get_mut::<Socket>(handle());
        socket.send(|ring| (ring.len().min(mss as usize), ())).ok()?;
        let mut ack = TcpHeader::ack(with.rcv_nxt, snd_nxt);
        ack.window = window.min(0xffff) as u16;
        maker.hear(&with.tuple, &ack, &[], &mut sockets);
    }
    (sockets.get::<Socket>(handle()).send_queue() == 0).then_some(sockets)
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
    discard: Discard,
}

impl Maker {
    fn new(with: &Synchronized, now: Instant) -> Self {
        let caps = internal_caps();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = aim::seed_for(with.snd_nxt.wrapping_sub(1));
        let mut discard = Discard::default();
        let mut device = SmoltcpDevice::new(&caps, &mut discard);
        let mut interface = Interface::new(config, &mut device, now.to_smoltcp());
        interface.set_any_ip(true);
        Self { interface, caps, now, discard }
    }

    fn establish(&mut self, with: &Synchronized, mut sockets: Sockets) -> Option<Sockets> {
        let (local, remote) = (with.tuple.local(), with.tuple.remote());
        let socket = sockets.get_mut::<Socket>(handle());
        socket.connect(self.interface.context(), remote, local).ok()?;
        let seq = with.rcv_nxt.wrapping_sub(1);
        let window = with.window.min(0xffff) as u16;
        let syn_ack = TcpHeader::syn(seq, Some(with.snd_nxt), with.offer, window);
        self.hear(&with.tuple, &syn_ack, &[], &mut sockets);
        let state = sockets.get::<Socket>(handle()).state();
        (state == State::Established).then_some(sockets)
    }

    /// Takes from the socket the next segment that it has to send, if there is one.
    fn swallow(&mut self, sockets: &mut Sockets) -> bool {
        let mut device = SmoltcpDevice::new(&self.caps, &mut self.discard);
        self.interface.poll_egress(self.now.to_smoltcp(), &mut device, sockets);
        device.sent.packets > 0
    }

    /// Shows the socket a segment as if its peer had sent it.
    fn hear(&mut self, tuple: &Tuple, segment: &TcpHeader, payload: &[u8], sockets: &mut Sockets) {
        let back = tuple.reversed();
        let mut packet = vec![0; segment.packet_len(&back) + payload.len()];
        segment.emit(&back, payload, false, &mut packet);
        let mut device = SmoltcpDevice::new(&self.caps, &mut self.discard);
        device.received = Some(&packet);
        self.interface.poll_ingress_single(self.now.to_smoltcp(), &mut device, sockets);
    }
}

/// Bytes of RFC 6928's initial window, and of smoltcp's.
const WINDOW_INITIAL: u32 = 14_600;
const SMOLTCP_WINDOW_INITIAL: u32 = 2_048;
/// Pretended acknowledgements at most, where segments are small: each costs as much as a real one.
const SEGMENTS_MAX: u32 = 8;
/// As many where they make it believe that a queue has left: the largest ring's worth, usually.
const SEGMENTS_LEFT_MAX: u32 = 200;

/// The way back through smoltcp's generator (`rand.rs`, a 64-bit linear congruence whose upper bits
/// are the output). An interface draws one number for itself and then one per connecting socket.
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
    use crate::device::{Transmit, TxFrame};
    use alloc::vec::Vec;
    use smoltcp::socket::tcp::SocketBuffer;
    use std::time::Duration;

    fn synchronized(snd_nxt: u32, rcv_nxt: u32, scale: Option<u8>) -> Synchronized {
        Synchronized {
            tuple: Tuple::v4([10, 0, 0, 1], [10, 0, 0, 2], 80, 5000),
            snd_nxt,
            rcv_nxt,
            offer: SynOptions { mss: 1460, window_scale: scale, sack_permitted: true },
            window: 100_000,
        }
    }

    fn socket(receive: usize, transmit: usize) -> Sockets {
        let ring = |bytes| SocketBuffer::new(std::vec![0; bytes]);
        let mut sockets = Sockets::new(Vec::new());
        sockets.add(Socket::new(ring(receive), ring(transmit)));
        sockets
    }

    #[test]
    fn a_socket_starts_at_any_sequence_number() {
        let now = Instant::new(Duration::from_secs(1));
        let mut number = 1_u32;
        for _ in 0..2_000 {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            for snd_nxt in [number, number & 0xff, number | 0xffff_ff00, 0, 1] {
                let with = synchronized(snd_nxt, number.rotate_left(7), Some(7));
                assert!(established(&with, socket(64, 64), now).is_some(), "{snd_nxt}");
            }
        }
    }

    /// Keeps the sequence number and the payload's length of what is sent.
    #[derive(Default)]
    struct Noted(Vec<(u32, usize)>);

    impl Transmit for Noted {
        fn is_ready(&mut self) -> bool {
            true
        }

        fn transmit(&mut self, frame: TxFrame, build: &mut dyn FnMut(&mut [u8])) -> bool {
            let len = frame.bytes();
            let mut packet = vec![0; len];
            build(&mut packet);
            let seq = packet[24..28].iter().fold(0, |seq, byte| seq << 8 | u32::from(*byte));
            self.0.push((seq, len - 40));
            true
        }
    }

    #[test]
    fn what_has_left_is_on_its_way_for_a_socket_made_in_the_midst() {
        let now = Instant::new(Duration::from_secs(1));
        let with = synchronized(u32::MAX - 70_000, 9, Some(7));
        let queue = [&[b'a'; 300][..], &[b'b'; 199_700]];
        for left in [0, 299, 300, 301, 2_048, 14_600, 100_000, 200_000] {
            let replay = Replay {
                unread: &[],
                fin_received: false,
                queue,
                left,
                finished: false,
                fin_left: false,
            };
            let mut sockets = replayed(&with, socket(64, 262_144), &replay, now).unwrap();
            assert_eq!(sockets.get::<Socket>(handle()).send_queue(), 200_000);
            let mut maker = Maker::new(&with, now);
            let next = with.snd_nxt.wrapping_add(left as u32);
            let mut ack = TcpHeader::ack(with.rcv_nxt, next);
            ack.window = 1_000;
            maker.hear(&with.tuple, &ack, &[], &mut sockets);
            let mut noted = Noted::default();
            let mut device = SmoltcpDevice::new(&maker.caps, &mut noted);
            maker.interface.poll_egress(now.to_smoltcp(), &mut device, &mut sockets);
            let expected = if left == 200_000 { vec![] } else { vec![(next, 1_460)] };
            assert_eq!(noted.0, expected, "{left}");
        }
    }

    #[test]
    fn the_window_shift_is_smoltcps_own() {
        assert_eq!(window_shift(1024, true), 0);
        assert_eq!(window_shift(65_535, true), 0);
        assert_eq!(window_shift(65_536, true), 1);
        assert_eq!(window_shift(262_144, true), 3);
        assert_eq!(window_shift(262_144, false), 0);
    }
}
