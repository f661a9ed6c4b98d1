//! TCP demultiplexer: finds the connection of a frame, and answers segments that have none
//! (RFC 9293 section 3.10.7).

use crate::counters::Counter;
use crate::device::tap::Tapped;
use crate::device::{FrameTap, RxFrame, TappedFrame, Transmit};
use crate::link::duplicates::{Claim, Reaction, claim};
use crate::link::echo;
use crate::link::fragmentation::Datagram;
use crate::link::icmp_error::IcmpError;
use crate::link::ingress::{self, Admission, Ours};
use crate::link::multicast::{Record, is_query};
use crate::link::path_mtu::packet_too_big;
use crate::stack::interface::InterfaceState;
use crate::tcp::connection::Connection;
use crate::wire::ETHERNET;
use crate::wire::header::Headers;
use crate::wire::segment::{Frame, Segment};
use crate::wire::tuple::Tuple;
use ::tcp::Flags;
use ::tcp::listen::{self, Listened};
use ::tcp::time_wait::Verdict;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;
use flow::FlowError;
use smoltcp::wire::EthernetAddress;

impl InterfaceState {
    /// Takes a frame from the device.
    pub(crate) fn frame(&mut self, now: Duration, frame: RxFrame<'_>, output: &mut dyn Transmit) {
        self.begin(None);
        self.context.counters.add(Counter::FramesIn);
        self.context.counters.add_many(Counter::BytesIn, frame.len() as u64);
        self.dispatch(now, frame, output);
    }

    /// The same, seen by a tap, as are answers.
    #[cold]
    pub(crate) fn frame_with(
        &mut self,
        tap: &dyn FrameTap,
        now: Duration,
        frame: RxFrame<'_>,
        output: &mut dyn Transmit,
    ) {
        tap.frame(&TappedFrame { is_outbound: false, head: &frame, tail: &[] });
        self.frame(now, frame, &mut Tapped::new(output, tap));
    }

    /// Gives a frame, of the device or put together, to whom it is for.
    #[inline]
    fn dispatch(&mut self, now: Duration, mut frame: RxFrame<'_>, output: &mut dyn Transmit) {
        match Segment::parse(&frame, self.own) {
            Frame::Tcp(segment) => {
                let Some(connection) = self.segment(now, &segment, output) else { return };
                let (source, header, data) =
                    (segment.source, segment.header(), segment.data_range());
                let payload = frame.payload(data, &mut self.context.shared.borrow_mut().memory);
                if connection.receive(source, &header, payload) {
                    self.forget(&connection);
                }
            }
            Frame::Other => self.other(now, &frame, output),
            Frame::Malformed => self.context.counters.add(Counter::Malformed),
            Frame::NotOurs => self.context.counters.add(Counter::NotOurs),
        }
    }

    /// A frame that is not a TCP segment.
    fn other(&mut self, now: Duration, frame: &[u8], output: &mut dyn Transmit) {
        self.is_stirred = true;
        if is_for_another_group(frame) {
            return self.context.counters.add(Counter::NotOurs);
        }
        let owns = |address| self.link.owns(address);
        if let Some(claim) = claim(frame, self.own, owns, |address| self.link.is_on_link(address)) {
            return self.answer_claim(now, claim, frame, output);
        }
        if is_query(frame) {
            let own = self.link.addresses().map(|(address, _)| address);
            return self.neighbours.report(Record::Listening, own, output);
        }
        match ingress::judge(frame, self.own, &self.link) {
            Admission::Pass => {}
            Admission::Error if self.icmp_errors.take(now) => {}
            Admission::Error => return self.context.counters.add(Counter::IcmpErrorsWithheld),
            Admission::Drop => return self.context.counters.add(Counter::NotOurs),
            Admission::Fragment => {
                if let Some(mut whole) = self.reassembly.take(now, frame) {
                    self.dispatch(now, RxFrame::Lent(&mut whole), output);
                }
                return;
            }
        }
        if self.neighbours.learn(frame, now) {
            self.active_opens.retry_now(now);
            self.retry_datagrams(now);
        }
        if let Some(error) = IcmpError::parse(frame) {
            self.icmp_error(&error);
        }
        if frame.len() > ETHERNET + self.mtu
            && let Some(reply) = echo::reply(frame)
        {
            return self.send_long(now, &reply, output);
        }
        self.link.receive(now, frame, output);
    }

    /// Sends what is longer than our link's packets.
    #[cold]
    fn send_long(&self, now: Duration, datagram: &Datagram, output: &mut dyn Transmit) {
        let path = self.context.path_mtus.borrow().get(datagram.ends.1, now.into());
        let mtu = path.map_or(self.mtu, |path| path.min(self.mtu));
        datagram.send_fragments(mtu, self.context.next_fragment_id(), output);
    }

    /// Somebody says something of one of our addresses.
    #[cold]
    fn answer_claim(
        &mut self,
        now: Duration,
        claim: Claim,
        frame: &[u8],
        output: &mut dyn Transmit,
    ) {
        let (address, hardware) = match claim {
            Claim::Asked(address) => return self.neighbours.answer(address, frame, output),
            Claim::Taken(address, hardware) => (address, EthernetAddress(hardware)),
        };
        let may_give_up = self.link.may_give_up(address);
        match self.duplicates.taken(address, may_give_up, now) {
            Reaction::GiveUp => {
                log::error!("{address} is in use by {hardware}: it is given up");
                self.link.give_up(address, now, output);
            }
            Reaction::Defend => {
                log::warn!("{address} is ours, and {hardware} uses it, too");
                self.neighbours.announce(address, output);
            }
            Reaction::Nothing => {}
        }
    }

    /// A router or host says something about a segment that we sent.
    #[cold]
    fn icmp_error(&mut self, error: &IcmpError) {
        let found = self.table.borrow().find(&error.tuple).map(|(_, found)| found.clone());
        let Some(connection) = found else { return };
        if let Some(message) = packet_too_big(error) {
            connection.limit_packets(&message);
        } else if error.is_hard() && connection.refuse(error.seq) {
            self.forget(&connection);
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

    /// Gives back whose segment it is, or deals with one that is nobody's or damaged.
    #[inline]
    fn segment(
        &mut self,
        now: Duration,
        segment: &Segment,
        output: &mut dyn Transmit,
    ) -> Option<Rc<Connection>> {
        let found = self.table.borrow().find(&segment.tuple).map(|(slot, c)| (slot, c.clone()));
        if found.is_none() && !self.is_answerable(&segment.tuple) {
            self.context.counters.add(Counter::NotOurs);
            return None;
        }
        if !segment.is_intact(self.context.verify) {
            self.context.counters.add(Counter::BadChecksum);
            return None;
        }
        let Some((slot, connection)) = found else {
            self.unconnected(now, segment, output);
            return None;
        };
        self.begin(Some(slot));
        Some(connection)
    }

    /// Whether both ends of it are hosts, we the near one and another the far one.
    fn is_answerable(&self, tuple: &Tuple) -> bool {
        let remote = tuple.remote().ip();
        let is_broadcast = match remote {
            IpAddr::V4(remote) => self.link.is_broadcast(remote),
            IpAddr::V6(_) => false,
        };
        tuple.is_answerable()
            && self.link.owns(tuple.local().ip())
            && !self.link.owns(remote)
            && !is_broadcast
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
        self.template(tuple, hop).transmit_bare(&Headers::new(tuple, segment), output);
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
