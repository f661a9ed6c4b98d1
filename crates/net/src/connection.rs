//! One connection: its socket, and what smoltcp does not keep of it.

use crate::establish::{self, Sockets};
use crate::packet;
use crate::port::{Departed, Nowhere, Output, Port, Stamp};
use crate::rings;
use crate::segment::{Flags, Offer, Segment, before};
use crate::shared::Shared;
use crate::tally::Count;
use crate::tuple::Tuple;
use alloc::rc::Rc;
use core::cell::{RefCell, RefMut};
use core::task::Waker;
use core::time::Duration;
use flow::FlowError;
use smoltcp::iface::Interface;
use smoltcp::phy::{ChecksumCapabilities, DeviceCapabilities, PacketMeta};
use smoltcp::socket::tcp::{Socket, State};
use smoltcp::time::Instant;
use smoltcp::wire::TcpControl;

/// A connection, shared by the table that finds it and the flow that uses it.
pub(crate) struct Connection {
    pub(crate) tuple: Tuple,
    pub(crate) shared: Rc<Shared>,
    state: RefCell<Tcb>,
}

/// A transmission control block (RFC 9293 section 3.3.1), as far as it is ours.
pub(crate) struct Tcb {
    pub(crate) sockets: Sockets,
    /// Where the table holds it.
    pub(crate) slot: u32,
    pub(crate) offer: Offer,
    /// The next hop towards the peer: where its last segment came from.
    pub(crate) hop: [u8; 6],
    /// The shift that the peer applies to our windows.
    pub(crate) window_shift: u8,
    /// Listed among those that may have something to send.
    dirty: bool,
    /// A flow holds the connection; else it is an orphan.
    pub(crate) held: bool,
    /// The application wrote its last byte.
    pub(crate) finished: bool,
    /// An acknowledgement is due that the socket does not know of.
    pub(crate) owes_ack: bool,
    /// The largest part of the receive ring that was ever in use, since it was made.
    pub(crate) receive_peak: usize,
    /// The application found the transmit ring full, since it was made.
    pub(crate) write_starved: bool,
    /// Why the connection ended, where it was not in peace.
    pub(crate) end: Option<FlowError>,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
    pub(crate) schedule: Schedule,
    /// The peer's window after its last acceptable segment.
    pub(crate) peer_window: u32,
    /// The sequence number of the first byte of each direction.
    pub(crate) send_base: u32,
    pub(crate) receive_base: u32,
    /// Bytes that the application wrote and read.
    pub(crate) written: u64,
    pub(crate) read: u64,
    /// The sequence number after the last one sent.
    pub(crate) sent_end: u32,
    pub(crate) retransmits: u32,
    pub(crate) round_trip: RoundTrip,
    pub(crate) opened_at: Duration,
    pub(crate) heard_at: Duration,
    /// Since when something unacknowledged is on its way.
    waiting_since: Option<Duration>,
}

/// When the connection must be looked at again.
#[derive(Default)]
pub(crate) struct Schedule {
    pub(crate) deadline: Option<Duration>,
    /// The time of its one live entry in the timer heap, never later than the deadline.
    pub(crate) queued_at: Option<Duration>,
    /// When an orphan is given up.
    orphan_until: Option<Duration>,
}

/// RFC 6298's smoothed round-trip time, for the operator's eyes.
#[derive(Default)]
pub(crate) struct RoundTrip {
    /// An acknowledgement of this number ends the measurement begun then.
    probe: Option<(u32, Duration)>,
    pub(crate) smoothed: Option<Duration>,
}

/// What became of a connection in a round of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Lives,
    /// The device is full; the connection must be asked again.
    Blocked,
    /// Both ends are done, and ours ended first.
    TimeWait {
        send_next: u32,
        receive_next: u32,
    },
    Gone,
}

/// What a connection's packets pass through.
pub(crate) struct Path<'a> {
    pub(crate) interface: &'a mut Interface,
    pub(crate) caps: &'a DeviceCapabilities,
    /// Our hardware address.
    pub(crate) own: [u8; 6],
    /// TCP checksums are ours to write.
    pub(crate) checksum: bool,
    pub(crate) now: Duration,
    /// The same in smoltcp's form.
    pub(crate) instant: Instant,
}

impl Connection {
    pub(crate) fn new(tuple: Tuple, shared: Rc<Shared>, tcb: Tcb) -> Self {
        shared.connections.set(shared.connections.get() + 1);
        let connection = Self { tuple, shared, state: RefCell::new(tcb) };
        let rings = rings::bytes(&connection.state.borrow().sockets);
        connection.shared.ring_bytes.set(connection.shared.ring_bytes.get() + rings);
        connection
    }

    pub(crate) fn tcb(&self) -> RefMut<'_, Tcb> {
        self.state.borrow_mut()
    }

    /// Makes sure that the connection is asked what it has to send.
    pub(crate) fn mark(&self, tcb: &mut Tcb) {
        if !tcb.dirty {
            tcb.dirty = true;
            self.shared.dirty.borrow_mut().push(tcb.slot);
        }
    }

    /// Takes a segment that was sent to this connection and wakes whom it concerns.
    pub(crate) fn receive(&self, path: &mut Path, segment: &Segment, output: &mut dyn Output) {
        let mut tcb = self.tcb();
        let wakers = tcb.receive(self, path, segment, output);
        self.mark(&mut tcb);
        drop(tcb);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Sends what can be sent.
    pub(crate) fn transmit(&self, path: &mut Path, output: &mut dyn Output) -> Outcome {
        let mut tcb = self.tcb();
        tcb.dirty = false;
        let outcome = tcb.transmit(self, path, output);
        let wakers = if tcb.end.is_some() { tcb.take_wakers() } else { [None, None] };
        drop(tcb);
        wakers.into_iter().flatten().for_each(Waker::wake);
        outcome
    }

    /// Ends the connection at once, without a word to the peer.
    pub(crate) fn cut(&self, reason: FlowError) {
        let mut tcb = self.tcb();
        tcb.end.get_or_insert(reason);
        tcb.socket().abort();
        let wakers = tcb.take_wakers();
        drop(tcb);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// The flow is gone: what was finished is still delivered, all else is reset.
    pub(crate) fn release(&self) {
        let mut tcb = self.tcb();
        tcb.held = false;
        (tcb.reader, tcb.writer) = (None, None);
        if tcb.finished {
            tcb.schedule.orphan_until = Some(self.shared.now.get() + self.shared.limits.orphan);
            tcb.discard_received();
        } else {
            tcb.abort();
        }
        self.mark(&mut tcb);
    }

    fn stamp(&self, tcb: &mut Tcb, path: &Path) -> Stamp {
        let mut ethernet = [0; 14];
        ethernet[..6].copy_from_slice(&tcb.hop);
        ethernet[6..12].copy_from_slice(&path.own);
        let kind: [u8; 2] = if self.tuple.is_v4() { [0x08, 0x00] } else { [0x86, 0xdd] };
        ethernet[12..].copy_from_slice(&kind);
        let scales = tcb.offer.scale.is_some();
        let capacity = tcb.socket().recv_capacity();
        Stamp {
            tuple: self.tuple,
            ethernet,
            window_shift_in: establish::window_shift(capacity, scales),
            window_shift_out: tcb.window_shift,
            mss: tcb.offer.mss,
            checksum: path.checksum,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let shared = &self.shared;
        let rings = rings::bytes(&self.state.get_mut().sockets);
        shared.ring_bytes.set(shared.ring_bytes.get().saturating_sub(rings));
        shared.connections.set(shared.connections.get().saturating_sub(1));
    }
}

impl Tcb {
    /// A connection that came to be at `now`; `send_next` and `receive_next` are the sequence
    /// numbers after both SYNs.
    pub(crate) fn new(
        sockets: Sockets,
        offer: Offer,
        hop: [u8; 6],
        numbers: (u32, u32),
        shift: u8,
        now: Duration,
    ) -> Self {
        let (send_next, receive_next) = numbers;
        Self {
            sockets,
            slot: u32::MAX,
            offer,
            hop,
            window_shift: shift,
            dirty: false,
            held: true,
            finished: false,
            owes_ack: false,
            receive_peak: 0,
            write_starved: false,
            end: None,
            reader: None,
            writer: None,
            schedule: Schedule::default(),
            peer_window: 0,
            send_base: send_next,
            receive_base: receive_next,
            written: 0,
            read: 0,
            sent_end: send_next,
            retransmits: 0,
            round_trip: RoundTrip::default(),
            opened_at: now,
            heard_at: now,
            waiting_since: None,
        }
    }

    pub(crate) fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(establish::handle())
    }

    /// The first sequence number of our own that the peer has not acknowledged, data only.
    pub(crate) fn unacknowledged(&mut self) -> u32 {
        let queued = self.socket().send_queue() as u32;
        self.send_base.wrapping_add(self.written as u32).wrapping_sub(queued)
    }

    /// The first sequence number of the peer's that has not arrived; its FIN takes one.
    pub(crate) fn receive_next(&mut self) -> u32 {
        let socket = self.socket();
        let ended = matches!(
            socket.state(),
            State::CloseWait | State::Closing | State::LastAck | State::TimeWait
        );
        let queued = socket.recv_queue() as u32 + u32::from(ended);
        self.receive_base.wrapping_add(self.read as u32).wrapping_add(queued)
    }

    /// Ends both directions; the peer is told.
    pub(crate) fn abort(&mut self) {
        self.end.get_or_insert(FlowError::Closed);
        self.socket().abort();
    }

    pub(crate) fn take_wakers(&mut self) -> [Option<Waker>; 2] {
        [self.reader.take(), self.writer.take()]
    }

    fn receive(
        &mut self,
        connection: &Connection,
        path: &mut Path,
        segment: &Segment,
        output: &mut dyn Output,
    ) -> [Option<Waker>; 2] {
        let socket = self.socket();
        let before_it = (socket.state(), socket.recv_queue(), socket.send_queue());
        let stamp = connection.stamp(self, path);
        let mut port = Port::new(path.caps, output);
        port.frame = Some(segment.packet);
        port.stamp = Some(&stamp);
        path.interface.poll_ingress_single(path.instant, &mut port, &mut self.sockets);
        let departed = port.departed;
        self.depart(connection, departed);
        self.heard(path.now, segment);
        let socket = self.socket();
        let (state, received, queued) = (socket.state(), socket.recv_queue(), socket.send_queue());
        let capacity = socket.send_capacity();
        if state == State::Closed && before_it.0 != State::Closed && segment.flags.has(Flags::RST) {
            self.end.get_or_insert(FlowError::Reset);
            connection.shared.tally.add(Count::ResetsIn);
        }
        self.receive_peak = self.receive_peak.max(received);
        if !self.held {
            self.discard_received();
        }
        let changed = state != before_it.0;
        // A writer is worth waking for a third of the ring, not for every acknowledgement.
        let roomy = queued < before_it.2 && (queued <= capacity - capacity / 3);
        [
            if changed || received != before_it.1 { self.reader.take() } else { None },
            if changed || roomy { self.writer.take() } else { None },
        ]
    }

    /// What a segment says about the path and the peer, beyond what smoltcp takes from it.
    fn heard(&mut self, now: Duration, segment: &Segment) {
        self.heard_at = now;
        let next = self.receive_next();
        let near = segment.seq.wrapping_sub(next).wrapping_add(WINDOW_REACH) < 2 * WINDOW_REACH;
        // Only a segment that fits the stream may move the next hop: a blind forger's must not.
        if near && self.hop != segment.source {
            self.hop = segment.source;
        }
        if let Some((seq, at)) = self.round_trip.probe
            && !before(segment.ack, seq)
        {
            self.round_trip.sample(now.saturating_sub(at));
        }
        let unacknowledged = self.unacknowledged();
        if segment.ack == unacknowledged || segment.ack == unacknowledged.wrapping_add(1) {
            let shift = self.offer.scale.unwrap_or(0);
            self.peer_window = u32::from(segment.window) << shift;
        }
    }

    fn transmit(
        &mut self,
        connection: &Connection,
        path: &mut Path,
        output: &mut dyn Output,
    ) -> Outcome {
        self.check_patience(connection, path.now);
        let stamp = connection.stamp(self, path);
        let now = path.instant;
        let deadline = loop {
            let mut port = Port::new(path.caps, output);
            port.stamp = Some(&stamp);
            path.interface.poll_egress(now, &mut port, &mut self.sockets);
            let (departed, blocked) = (port.departed, port.blocked);
            self.depart(connection, departed);
            if blocked {
                return Outcome::Blocked;
            }
            let mut next = path.interface.poll_at(now, &self.sockets);
            if next.is_none() && self.socket().send_queue() > 0 {
                self.revive(connection, path);
                next = path.interface.poll_at(now, &self.sockets);
            }
            if departed.packets == 0 || next.is_none_or(|next| next > now) {
                break next;
            }
        };
        let asks = self.must_ask(connection, path.now);
        if (self.owes_ack || asks) && !self.acknowledge(connection, path, &stamp, asks, output) {
            return Outcome::Blocked;
        }
        self.settle(connection, path.now, deadline)
    }

    /// Decides what comes after a round of sending.
    fn settle(
        &mut self,
        connection: &Connection,
        now: Duration,
        deadline: Option<Instant>,
    ) -> Outcome {
        let deadline = deadline.map(|at| Duration::from_micros(at.total_micros().max(0) as u64));
        let socket = self.socket();
        match socket.state() {
            State::Closed if socket.remote_endpoint().is_none() => return Outcome::Gone,
            State::TimeWait => {
                // Our FIN took one number after the last byte.
                let send_next = self.unacknowledged().wrapping_add(1);
                let receive_next = self.receive_next();
                return Outcome::TimeWait { send_next, receive_next };
            }
            State::FinWait1 | State::Closing | State::LastAck => (),
            State::FinWait2 => self.waiting_since = None,
            _ if self.sent_end == self.unacknowledged() => self.waiting_since = None,
            _ => (),
        }
        let limits = &connection.shared.limits;
        let patience =
            self.waiting_since.map(|since| since.max(self.heard_at) + limits.user_timeout);
        let idle = rings::shrink_at(self, &connection.shared);
        let ask = limits.keep_alive.map(|silence| {
            (self.heard_at + silence).max(now + limits.user_timeout / KEEP_ALIVE_PROBES)
        });
        self.schedule.deadline = [deadline, patience, self.schedule.orphan_until, idle, ask]
            .into_iter()
            .flatten()
            .min()
            // What was due now and could not be sent waits for an event, or a moment.
            .map(|at| at.max(now + TICK));
        Outcome::Lives
    }

    /// Gives up a peer that stays silent, and an orphan whose time is over.
    fn check_patience(&mut self, connection: &Connection, now: Duration) {
        let limits = &connection.shared.limits;
        let silent_since = self.waiting_since.map(|since| since.max(self.heard_at));
        let asked_since = limits.keep_alive.map(|silence| self.heard_at + silence);
        let gives_up = |since: Duration| now >= since + limits.user_timeout;
        if silent_since.is_some_and(gives_up) || asked_since.is_some_and(gives_up) {
            self.end.get_or_insert(FlowError::TimedOut);
            connection.shared.tally.add(Count::TimedOut);
            self.socket().abort();
        }
        if self.schedule.orphan_until.is_some_and(|until| now >= until) {
            self.abort();
        }
        if let Some(at) = rings::shrink_at(self, &connection.shared)
            && now >= at
        {
            rings::shrink(connection, self);
        }
    }

    /// Notes what left.
    fn depart(&mut self, connection: &Connection, departed: Departed) {
        if departed.packets == 0 {
            return;
        }
        let tally = &connection.shared.tally;
        tally.add_many(Count::PacketsOut, u64::from(departed.packets));
        self.owes_ack = false;
        let now = connection.shared.now.get();
        if before(self.sent_end, departed.seq_end) {
            self.sent_end = departed.seq_end;
            self.waiting_since.get_or_insert(now);
            self.round_trip.probe.get_or_insert((departed.seq_end, now));
        } else if before(departed.seq, departed.seq_end) && self.waiting_since.is_some() {
            self.retransmits += 1;
            tally.add(Count::Retransmits);
            // Karn's rule: an answer to one of two copies measures nothing.
            self.round_trip.probe = None;
        }
    }

    /// The peer has been silent for so long that it is asked whether it lives.
    fn must_ask(&mut self, connection: &Connection, now: Duration) -> bool {
        let limits = &connection.shared.limits;
        limits.keep_alive.is_some_and(|silence| now >= self.heard_at + silence)
            && matches!(self.socket().state(), State::Established | State::CloseWait)
    }

    /// smoltcp forgets its timers when a retransmission falls due while the window is closed, which
    /// happens when acknowledgements overtake each other. Hearing of the closed window once more
    /// lets it begin to probe.
    fn revive(&mut self, connection: &Connection, path: &mut Path) {
        let back = connection.tuple.reversed();
        let (receive_next, unacknowledged) = (self.receive_next(), self.unacknowledged());
        let ack = packet::bare(&back, TcpControl::None, receive_next, Some(unacknowledged));
        let mut buffer = [0; packet::BARE_MAX];
        let frame = &mut buffer[..packet::packet_len(&back, &ack)];
        packet::emit(&back, &ack, &ChecksumCapabilities::default(), frame);
        let mut nowhere = Nowhere;
        let mut port = Port::new(path.caps, &mut nowhere);
        port.frame = Some(frame);
        path.interface.poll_ingress_single(path.instant, &mut port, &mut self.sockets);
    }

    /// Sends the acknowledgement that a new socket does not know to be due, or one that asks for
    /// an answer (RFC 9293 section 3.8.4: its number is one too low).
    fn acknowledge(
        &mut self,
        connection: &Connection,
        path: &Path,
        stamp: &Stamp,
        asks: bool,
        output: &mut dyn Output,
    ) -> bool {
        let tuple = &connection.tuple;
        let receive_next = self.receive_next();
        let seq = self.sent_end.wrapping_sub(u32::from(asks));
        let mut ack = packet::bare(tuple, TcpControl::None, seq, Some(receive_next));
        let socket = self.socket();
        let free = socket.recv_capacity() - socket.recv_queue();
        ack.window_len = (free >> stamp.window_shift_in).min(0xffff) as u16;
        let mut port = Port::new(path.caps, output);
        port.stamp = Some(stamp);
        port.send(packet::packet_len(tuple, &ack), PacketMeta::default(), &mut |packet| {
            packet::emit(tuple, &ack, &path.caps.checksum, packet);
        });
        let departed = port.departed;
        self.depart(connection, departed);
        departed.packets > 0
    }

    /// An orphan's peer may go on sending until it sees our end; nobody reads that.
    fn discard_received(&mut self) {
        let socket = self.socket();
        let mut discarded = 0;
        while let Ok(count @ 1..) = socket.recv(|ring| (ring.len(), ring.len())) {
            discarded += count as u64;
        }
        self.read += discarded;
    }
}

impl RoundTrip {
    pub(crate) fn sample(&mut self, sample: Duration) {
        self.probe = None;
        self.smoothed = Some(match self.smoothed {
            Some(smoothed) => (smoothed * 7 + sample) / 8,
            None => sample,
        });
    }
}

/// smoltcp's form of an instant.
pub(crate) fn instant(now: Duration) -> Instant {
    Instant::from_micros(now.as_micros() as i64)
}

/// How far from the expected number a segment may be and still belong to the stream.
const WINDOW_REACH: u32 = 1 << 20;
/// Questions to a silent peer before it is given up.
const KEEP_ALIVE_PROBES: u32 = 4;
/// The shortest time that a connection waits for its next turn.
const TICK: Duration = Duration::from_millis(1);
