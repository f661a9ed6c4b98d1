//! TCP demultiplexer: finds the connection of a frame, and answers segments that have none
//! (RFC 9293 section 3.10.7).

use crate::counters::Counter;
use crate::device::{Transmit, TxFrame};
use crate::link::path_mtu::packet_too_big;
use crate::stack::interface::InterfaceState;
use crate::wire::header::{Headers, fill_checksum};
use crate::wire::segment::{Frame, Segment};
use crate::wire::template;
use crate::wire::tuple::Tuple;
use ::tcp::Flags;
use ::tcp::listen::{self, Listened};
use ::tcp::time_wait::Verdict;
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
        self.is_stirred = true;
        if is_for_another_group(frame) {
            return self.context.counters.add(Counter::NotOurs);
        }
        if self.neighbours.learn(frame, now) {
            self.active_opens.retry_now(now);
        }
        if let Some(message) = packet_too_big(frame) {
            let table = self.table.borrow();
            if let Some((_, connection)) = table.find(&message.tuple) {
                connection.limit_packets(&message);
            }
        }
        self.link.receive(now, frame, output);
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
            if connection.receive(segment) {
                self.forget(&connection);
            }
            return;
        }
        if !segment.tuple.is_answerable() || !self.link.owns(segment.tuple.local().ip()) {
            self.context.counters.add(Counter::NotOurs);
            return;
        }
        if !segment.is_intact(self.context.verify) {
            self.context.counters.add(Counter::BadChecksum);
            return;
        }
        self.unconnected(now, segment, output);
    }

    /// A segment of no connection: it opens one, or repeats the end of one, or is a mistake.
    fn unconnected(&mut self, now: Duration, segment: &Segment, output: &mut dyn Transmit) {
        self.is_stirred = true;
        let mut used = None;
        let header = segment.header();
        let data_len = segment.data.len() as u32;
        if let Some(mut rest) = self.time_wait.find(&segment.tuple, now) {
            let until = rest.until;
            let lasts = self.context.limits.time_wait.into();
            match rest.handle_segment(now.into(), &header, data_len, lasts) {
                Verdict::Drop => return,
                Verdict::Reset => return self.time_wait.remove(&segment.tuple),
                Verdict::Answer(answer) => {
                    if rest.until != until {
                        self.time_wait.insert(segment.tuple, &rest, now);
                    }
                    return self.send(&segment.tuple, segment.source, &answer, output);
                }
                Verdict::Reopen => {
                    used = Some(rest.next);
                    self.time_wait.remove(&segment.tuple);
                    self.context.counters.add(Counter::TimeWaitReused);
                }
            }
        }
        if segment.flags.has(Flags::RST) {
            return self.refuse_half_open(segment);
        }
        let answer = if self.listen_table.find(segment.tuple.local_port).is_none() {
            listen::closed(&header, data_len)
        } else {
            match listen::listen(&header) {
                Listened::Open => return self.open(now, segment, used, output),
                Listened::Reset(_) if self.complete(now, segment) => return,
                Listened::Reset(reset) => Some(reset),
                Listened::Drop => None,
            }
        };
        if let Some(reset) = answer {
            self.reset(now, segment, &reset, output);
        }
    }

    /// Answers a segment that belongs to nobody, but not too often (RFC 9293 section 3.5.2).
    fn reset(
        &mut self,
        now: Duration,
        segment: &Segment,
        reset: &::tcp::Segment,
        output: &mut dyn Transmit,
    ) {
        if !self.resets.take(now) {
            self.context.counters.add(Counter::ResetsWithheld);
            return;
        }
        self.context.counters.add(Counter::ResetsOut);
        self.send(&segment.tuple, segment.source, reset, output);
    }

    /// Sends a segment of our own; one that the device has no room for is lost, as on a wire.
    pub(crate) fn send(
        &self,
        tuple: &Tuple,
        hop: [u8; 6],
        segment: &::tcp::Segment,
        output: &mut dyn Transmit,
    ) {
        let headers = Headers::new(tuple, segment);
        output.transmit(TxFrame::new(ETHERNET + headers.len()), &mut |frame| {
            let (ethernet, packet) = frame.split_at_mut(ETHERNET);
            ethernet.copy_from_slice(&template::ethernet(tuple, self.own, hop));
            headers.emit(0, packet);
            if self.context.checksum {
                fill_checksum(tuple, packet);
            }
        });
    }
}

const ETHERNET: usize = 14;

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
