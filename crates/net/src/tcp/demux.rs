//! TCP demultiplexer: finds the connection of a frame, and answers segments that have none
//! (RFC 9293 section 3.10.7).

use crate::counters::Counter;
use crate::device::{Transmit, TxFrame};
use crate::link::path_mtu::{PacketTooBig, packet_too_big};
use crate::stack::interface::InterfaceState;
use crate::tcp::time_wait::TimeWaitEntry;
use crate::wire::header::TcpHeader;
use crate::wire::segment::{Flags, Frame, Segment};
use crate::wire::sequence::before;
use crate::wire::tuple::Tuple;
use alloc::vec::Vec;
use core::time::Duration;
use flow::FlowError;

impl InterfaceState {
    /// Takes a frame.
    pub(crate) fn frame(&mut self, now: Duration, frame: &[u8], output: &mut dyn Transmit) {
        self.begin(None);
        let counters = &self.context.counters;
        counters.add(Counter::FramesIn);
        counters.add_many(Counter::BytesIn, frame.len() as u64);
        match Segment::parse(frame, self.own) {
            Frame::Tcp(segment) => self.segment(now, &segment, output),
            Frame::Other => self.other(now, frame, output),
            Frame::Malformed => counters.add(Counter::Malformed),
            Frame::NotOurs => counters.add(Counter::NotOurs),
        }
    }

    fn other(&mut self, now: Duration, frame: &[u8], output: &mut dyn Transmit) {
        if is_for_another_group(frame) {
            return self.context.counters.add(Counter::NotOurs);
        }
        if self.neighbours.learn(frame, now) {
            self.active_opens.retry_now(now);
        }
        if let Some(message) = packet_too_big(frame) {
            self.limit_packets(&message);
        }
        self.link.receive(now, frame, output);
    }

    /// Shortens the segments of the connection that a router's message is about.
    fn limit_packets(&self, message: &PacketTooBig) {
        let table = self.table.borrow();
        if let Some((_, connection)) = table.find(&message.tuple) {
            connection.tcb().limit_packets(message.seq, message.mtu);
        }
    }

    /// Ends connections whose local address we lost.
    pub(crate) fn drop_unaddressed(&mut self) {
        let lost = |tuple: &Tuple| !self.link.owns(tuple.local().ip());
        let table = self.table.borrow();
        let lost: Vec<_> = table.iter().filter(|c| lost(&c.tuple)).cloned().collect();
        drop(table);
        for connection in lost {
            connection.cut(FlowError::Down);
            self.forget(&connection);
        }
    }

    fn segment(&mut self, now: Duration, segment: &Segment, output: &mut dyn Transmit) {
        let found = self.table.borrow().find(&segment.tuple).map(|(slot, c)| (slot, c.clone()));
        if let Some((slot, connection)) = found {
            self.begin(Some(slot));
            if connection.receive(&mut self.lower_layer(), segment, output) {
                self.forget(&connection);
            }
            return;
        }
        if !segment.tuple.is_answerable() || !self.link.owns(segment.tuple.local().ip()) {
            self.context.counters.add(Counter::NotOurs);
            return;
        }
        if self.verify && !segment.checksums_are_right() {
            self.context.counters.add(Counter::BadChecksum);
            return;
        }
        self.unconnected(now, segment, output);
    }

    /// A segment of no connection: it opens one, or repeats the end of one, or is a mistake.
    fn unconnected(&mut self, now: Duration, segment: &Segment, output: &mut dyn Transmit) {
        if self.answered(now, segment, output) {
            return;
        }
        let mut used = None;
        if let Some(entry) = self.time_wait.find(&segment.tuple, now) {
            // RFC 9293 section 3.6.1: a SYN beyond the old connection's numbers opens a new one.
            let reopens = segment.flags.is_opening() && before(entry.rcv_nxt, segment.seq);
            if !reopens {
                return self.repeat_end(segment, &entry, output);
            }
            used = Some(entry.snd_nxt);
            self.time_wait.remove(&segment.tuple);
            self.context.counters.add(Counter::TimeWaitReused);
        }
        if segment.flags.is_opening() {
            self.open(now, segment, used, output);
        } else if segment.flags.has(Flags::RST) {
            self.refuse_half_open(segment);
        } else if !segment.flags.has(Flags::ACK) || !self.complete(now, segment, output) {
            self.reset(now, segment, output);
        }
    }

    /// TIME-WAIT acknowledges what the peer repeats, and ignores resets (RFC 1337).
    fn repeat_end(&mut self, segment: &Segment, entry: &TimeWaitEntry, output: &mut dyn Transmit) {
        if segment.flags.has(Flags::RST) || segment.sequence_len() == 0 {
            return;
        }
        let tuple = &segment.tuple;
        let ack = TcpHeader::ack(entry.snd_nxt, entry.rcv_nxt);
        self.send(tuple, segment.source, &ack, output);
    }

    /// Answers a segment that belongs to nobody (RFC 9293 section 3.5.2).
    pub(crate) fn reset(&mut self, now: Duration, segment: &Segment, output: &mut dyn Transmit) {
        if segment.flags.has(Flags::RST) {
            return;
        }
        if !self.resets.take(now) {
            self.context.counters.add(Counter::ResetsWithheld);
            return;
        }
        let tuple = &segment.tuple;
        let reset = if segment.flags.has(Flags::ACK) {
            TcpHeader::reset(segment.ack, None)
        } else {
            let next = segment.seq.wrapping_add(segment.sequence_len());
            TcpHeader::reset(0, Some(next))
        };
        self.context.counters.add(Counter::ResetsOut);
        self.send(tuple, segment.source, &reset, output);
    }

    /// Sends a packet of our own; one that the device has no room for is lost, as on a wire.
    pub(crate) fn send(
        &self,
        tuple: &Tuple,
        hop: [u8; 6],
        header: &TcpHeader,
        output: &mut dyn Transmit,
    ) {
        let len = 14 + header.packet_len(tuple);
        output.transmit(TxFrame::new(len), &mut |frame| {
            let (ethernet, packet) = frame.split_at_mut(14);
            ethernet.copy_from_slice(&self.ethernet(tuple, hop));
            header.emit(tuple, &[], self.checksum, packet);
        });
    }

    /// The header of frames that carry this connection's packets to `hop`.
    pub(crate) fn ethernet(&self, tuple: &Tuple, hop: [u8; 6]) -> [u8; 14] {
        let [a, b, c, d, e, f] = self.own;
        let [high, low]: [u8; 2] = if tuple.is_v4() { [0x08, 0x00] } else { [0x86, 0xdd] };
        let mut header = [0, 0, 0, 0, 0, 0, a, b, c, d, e, f, high, low];
        header[..6].copy_from_slice(&hop);
        header
    }
}

/// Whether it was sent to an IPv6 group that no address makes us join (RFC 2464 section 7): routers
/// and reports of members, for example, of which a network is full when a link comes up.
fn is_for_another_group(frame: &[u8]) -> bool {
    const ALL_NODES: [u8; 4] = [0, 0, 0, 1];
    const SOLICITED_NODE: u8 = 0xff;
    match *frame {
        [0x33, 0x33, a, b, c, d, ..] => [a, b, c, d] != ALL_NODES && a != SOLICITED_NODE,
        _ => false,
    }
}
