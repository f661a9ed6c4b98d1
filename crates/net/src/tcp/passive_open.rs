//! Passive open: the handshake of connections that peers begin, by SYN queue or SYN cookie
//! (RFC 9293 section 3.5, RFC 4987).

use crate::counters::Counter;
use crate::device::Transmit;
use crate::stack::interface::InterfaceState;
use crate::tcp::connection::buffer_pool::BufferSizes;
use crate::tcp::connection::socket::Synchronized;
use crate::tcp::connection::{Connection, Tcb};
use crate::tcp::flow::TcpFlow;
use crate::tcp::isn::COOKIE_SLOT;
use crate::tcp::listener::AcceptQueue;
use crate::tcp::syn_queue::HalfOpen;
use crate::time;
use crate::wire::header::TcpHeader;
use crate::wire::segment::{Flags, Segment, SynOptions};
use crate::wire::sequence::before;
use crate::wire::template::HeaderTemplate;
use crate::wire::tuple::Tuple;
use alloc::rc::Rc;
use core::time::Duration;

impl InterfaceState {
    /// Answers a SYN; `used` is the number after the last of the connection that it takes over.
    pub(crate) fn open(
        &mut self,
        now: Duration,
        segment: &Segment,
        used: Option<u32>,
        output: &mut dyn Transmit,
    ) {
        if self.listen_table.find(segment.tuple.local_port).is_none() {
            return self.reset(now, segment, output);
        }
        self.context.counters.add(Counter::SynsIn);
        let tuple = segment.tuple;
        if let Some(known) = self.syn_queue.find(&tuple) {
            if known.irs == segment.seq {
                known.hop = segment.source;
                let entry = *known;
                return self.answer(&entry, output);
            }
            // The peer has begun anew, or an old SYN came late: the last one counts, and a peer
            // that does not know it answers with a reset.
            self.syn_queue.remove(&tuple);
        }
        let offer = segment.offer();
        let initial = self.isn_generator.generate(&tuple, now);
        let iss = used.map_or(initial, |used| beyond(used, initial));
        let mut entry = HalfOpen::new(tuple, (segment.seq, iss), offer, segment.source);
        entry.answer(now);
        if !self.syn_queue.insert(entry, now) {
            entry.iss = self.isn_generator.cookie(&tuple, segment.seq, &offer, now);
            self.cookies_until = now + 2 * COOKIE_SLOT;
            self.context.counters.add(Counter::CookiesOut);
        }
        self.answer(&entry, output);
    }

    /// Repeats answers that got lost.
    pub(crate) fn answer_again(&mut self, now: Duration, output: &mut dyn Transmit) {
        if self.syn_queue.next_deadline().is_none_or(|at| at > now) {
            return;
        }
        let mut due = alloc::vec::Vec::new();
        let expired = self.syn_queue.sweep(now, |entry| {
            entry.answer(now);
            due.push(*entry);
        });
        self.context.counters.add_many(Counter::HalfOpenExpired, expired as u64);
        for entry in due {
            self.answer(&entry, output);
        }
    }

    /// A reset of a half-open connection counts when its number is exact (RFC 5961 section 3.2).
    pub(crate) fn refuse_half_open(&mut self, segment: &Segment) {
        let is_exact = |entry: &mut HalfOpen| segment.seq == entry.irs.wrapping_add(1);
        if self.syn_queue.find(&segment.tuple).is_some_and(is_exact) {
            self.syn_queue.remove(&segment.tuple);
        }
    }

    /// Takes the segment that completes a handshake; false when it completes none.
    pub(crate) fn complete(
        &mut self,
        now: Duration,
        segment: &Segment,
        output: &mut dyn Transmit,
    ) -> bool {
        if segment.flags.has(Flags::SYN) {
            return false;
        }
        let Some((with, sent_at)) = self.agreed(now, segment) else { return false };
        let Some(accept_queue) = self.listen_table.find(segment.tuple.local_port) else {
            return false;
        };
        let full = if accept_queue.is_full() {
            Some(Counter::BacklogFull)
        } else if self.table.borrow().len() >= self.context.limits.connections_max {
            Some(Counter::ConnectionsFull)
        } else {
            None
        };
        if let Some(full) = full {
            self.context.counters.add(full);
            if let Some(entry) = self.syn_queue.find(&segment.tuple) {
                entry.hold(now);
            }
            return true;
        }
        self.syn_queue.remove(&segment.tuple);
        self.accept(now, segment, &with, sent_at, &accept_queue, output);
        true
    }

    /// What both ends have agreed on, if `segment` proves that its sender got our SYN-ACK; and when
    /// that left, if we remember.
    fn agreed(
        &mut self,
        now: Duration,
        segment: &Segment,
    ) -> Option<(Synchronized, Option<Duration>)> {
        let tuple = segment.tuple;
        let iss = segment.ack.wrapping_sub(1);
        let (irs, offer, sent_at) = match self.syn_queue.find(&tuple) {
            Some(entry) => {
                let ahead = segment.seq.wrapping_sub(entry.irs.wrapping_add(1));
                let fits = iss == entry.iss && ahead < FIRST_WINDOW_MAX;
                fits.then_some((entry.irs, entry.offer, Some(now.saturating_sub(entry.age(now)))))?
            }
            None if now < self.cookies_until => {
                let irs = segment.seq.wrapping_sub(1);
                let offer = self.isn_generator.open_cookie(&tuple, irs, iss, now)?;
                self.context.counters.add(Counter::CookiesIn);
                (irs, offer, None)
            }
            None => return None,
        };
        let offer = SynOptions { mss: offer.mss.min(self.own_mss(&tuple)), ..offer };
        let (snd_nxt, rcv_nxt) = (segment.ack, irs.wrapping_add(1));
        let window = u32::from(segment.window) << offer.window_scale.unwrap_or(0);
        Some((Synchronized { tuple, snd_nxt, rcv_nxt, offer, window }, sent_at))
    }

    fn accept(
        &mut self,
        now: Duration,
        segment: &Segment,
        with: &Synchronized,
        sent_at: Option<Duration>,
        accept_queue: &AcceptQueue,
        output: &mut dyn Transmit,
    ) {
        let mut tcb = self.control_block(with, segment.source);
        if let Some(sent_at) = sent_at {
            // Half-open connections count in milliseconds, so that zero is less than one.
            tcb.measure(time::Duration::new(now.saturating_sub(sent_at)).max(time::Duration::TICK));
        }
        let connection = Rc::new(Connection::new(with.tuple, self.context.clone(), tcb));
        self.table.borrow_mut().insert(connection.clone());
        if segment.sequence_len() > 0 {
            connection.receive(&mut self.lower_layer(), segment, output);
        } else {
            self.await_first(&connection);
        }
        self.context.counters.add(Counter::Accepted);
        accept_queue.push(TcpFlow::new(connection));
    }

    /// A peer that opened a connection and says nothing is asked some day whether it lives.
    fn await_first(&self, connection: &Connection) {
        connection.tcb().deadline = self.context.now.get() + self.context.timeouts.keep_alive;
        self.table.borrow_mut().schedule(connection);
    }

    /// A connection's state at its start.
    pub(crate) fn control_block(&self, with: &Synchronized, hop: [u8; 6]) -> Tcb {
        let template = HeaderTemplate {
            tuple: with.tuple,
            ethernet: self.ethernet(&with.tuple, hop),
            window_shift_in: 0,
            window_shift_out: with.offer.window_scale.map_or(0, |_| self.context.window_shift),
            mss: with.offer.mss,
            may_fragment: false,
            checksum: self.checksum,
        };
        Tcb::new(BufferSizes::initial(&self.context), with, template, self.context.now.get())
    }

    /// The largest segment that we take.
    pub(crate) fn own_mss(&self, tuple: &Tuple) -> u16 {
        (self.mtu - tuple.ip_header_len() - 20).min(0xffff) as u16
    }

    /// The window of a SYN, which is never scaled.
    pub(crate) fn first_window(&self) -> u16 {
        BufferSizes::initial(&self.context).receive.min(0xffff) as u16
    }

    fn answer(&self, entry: &HalfOpen, output: &mut dyn Transmit) {
        let offer = SynOptions {
            mss: self.own_mss(&entry.tuple),
            window_scale: entry.offer.window_scale.map(|_| self.context.window_shift),
            sack_permitted: entry.offer.sack_permitted,
        };
        let next = entry.irs.wrapping_add(1);
        let syn_ack = TcpHeader::syn(entry.iss, Some(next), offer, self.first_window());
        self.context.counters.add(Counter::SynAcksOut);
        self.send(&entry.tuple, entry.hop, &syn_ack, output);
    }
}

/// RFC 1122 section 4.2.2.13: a sequence number after everything that the old connection `used`.
pub(crate) fn beyond(used: u32, initial: u32) -> u32 {
    if before(used, initial) { initial } else { used.wrapping_add(1 << 17) }
}

/// How far ahead of the handshake the completing segment may be: later segments can overtake it,
/// within the window of a SYN-ACK.
const FIRST_WINDOW_MAX: u32 = 0xffff;
