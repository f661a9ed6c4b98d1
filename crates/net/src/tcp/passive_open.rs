//! Passive open: the handshake of connections that peers begin, by SYN queue or SYN cookie
//! (RFC 9293 section 3.5, RFC 4987).

use crate::counters::Counter;
use crate::device::Transmit;
use crate::stack::interface::InterfaceState;
use crate::tcp::connection::{Connection, Owner};
use crate::tcp::flow::TcpFlow;
use crate::tcp::isn::{COOKIE_SLOT, IsnGenerator};
use crate::tcp::listener::AcceptQueue;
use crate::tcp::syn_queue::{HalfOpen, SynOffer};
use crate::time;
use crate::wire::segment::Segment;
use crate::wire::template::{self, HeaderTemplate};
use crate::wire::tuple::Tuple;
use ::tcp::{Flags, Handshake, Open, Payload, SeqNumber};
use core::time::Duration;

impl InterfaceState {
    /// Answers a SYN; `used` is the number after the last of the connection that it takes over.
    pub(crate) fn open(
        &mut self,
        now: Duration,
        segment: &Segment,
        used: Option<SeqNumber>,
        output: &mut dyn Transmit,
    ) {
        self.context.counters.add(Counter::SynsIn);
        let tuple = segment.tuple;
        if let Some(known) = self.syn_queue.find(&tuple) {
            if known.irs == segment.seq.0 {
                known.hop = segment.source;
                let entry = *known;
                return self.answer(&entry, self.clock(&tuple), output);
            }
            // The peer has begun anew, or an old SYN came late: the last one counts, and a peer
            // that does not know it answers with a reset.
            self.syn_queue.remove(&tuple);
        }
        let syn = segment.header();
        let offer = SynOffer::of(&syn, tuple.is_v4());
        let timestamp = syn.options.timestamps.map_or(0, |timestamps| timestamps.value);
        let initial = self.isn_generator.generate(&tuple, now);
        let iss = used.map_or(initial, |used| beyond(used, initial));
        let numbers = (segment.seq.0, iss);
        let mut entry = HalfOpen::new(tuple, numbers, offer, timestamp, segment.source);
        entry.answer(now);
        let mut clock = self.clock(&tuple);
        if !self.syn_queue.insert(entry, now) {
            entry.iss = self.isn_generator.cookie(&tuple, segment.seq.0, &offer, now);
            clock = IsnGenerator::cookie_timestamp(clock, &offer);
            self.cookies_until = now + 2 * COOKIE_SLOT;
            self.context.counters.add(Counter::CookiesOut);
        }
        self.answer(&entry, clock, output);
    }

    /// Repeats answers that got lost.
    pub(crate) fn answer_again(&mut self, now: Duration, output: &mut dyn Transmit) {
        if self.syn_queue.next_deadline().is_none_or(|at| at > now) {
            return;
        }
        let mut due = alloc::vec::Vec::new();
        let expired = self.syn_queue.sweep(now, |entry| due.push(*entry));
        self.context.counters.add_many(Counter::HalfOpenExpired, expired as u64);
        for entry in due {
            self.answer(&entry, self.clock(&entry.tuple), output);
        }
    }

    /// A reset of a half-open connection counts when its number is exact (RFC 5961 section 3.2).
    pub(crate) fn refuse_half_open(&mut self, segment: &Segment) {
        let is_exact = |entry: &mut HalfOpen| segment.seq.0 == entry.irs.wrapping_add(1);
        if self.syn_queue.find(&segment.tuple).is_some_and(is_exact) {
            self.syn_queue.remove(&segment.tuple);
        }
    }

    /// Takes the segment that completes a handshake; false when it completes none.
    pub(crate) fn complete(&mut self, now: Duration, segment: &Segment) -> bool {
        if segment.flags.has(Flags::SYN) {
            return false;
        }
        let Some(handshake) = self.agreed(now, segment) else { return false };
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
        self.accept(segment, &handshake, &accept_queue);
        true
    }

    /// What both ends have agreed on, if `segment` proves that its sender got our SYN-ACK.
    fn agreed(&mut self, now: Duration, segment: &Segment) -> Option<Handshake> {
        let tuple = segment.tuple;
        let header = segment.header();
        let iss = segment.ack.0.wrapping_sub(1);
        let (irs, offer, timestamp, round_trip) = match self.syn_queue.find(&tuple) {
            Some(entry) => {
                let ahead = segment.seq.0.wrapping_sub(entry.irs.wrapping_add(1));
                let fits = iss == entry.iss && ahead < FIRST_WINDOW_MAX;
                // Half-open connections count in milliseconds, so that zero is less than one.
                let round_trip = time::Duration::from(entry.age(now).max(MILLISECOND));
                let round_trip = (!entry.was_repeated()).then_some(round_trip);
                fits.then_some((entry.irs, entry.offer, entry.timestamp, round_trip))?
            }
            None if now < self.cookies_until => {
                let irs = segment.seq.0.wrapping_sub(1);
                let timestamps = header.options.timestamps;
                let offer = self.isn_generator.open_cookie(&tuple, (irs, iss), timestamps, now)?;
                self.context.counters.add(Counter::CookiesIn);
                (irs, offer, timestamps.map_or(0, |theirs| theirs.value), None)
            }
            None => return None,
        };
        let offered = offer.options(timestamp);
        let config = &self.context.shared.borrow().config;
        Some(Handshake {
            peer_initial: SeqNumber(irs),
            answered: config.syn_options(self.own_mss(&tuple), 0, Some(&offered)),
            offered,
            window: header.window,
            advertised: self.first_window(&tuple).into(),
            ecn: offer.ecn(),
            round_trip,
        })
    }

    fn accept(&mut self, segment: &Segment, handshake: &Handshake, accept_queue: &AcceptQueue) {
        let tuple = segment.tuple;
        let open = self.open_parameters(&tuple, segment.ack - 1);
        let now = self.context.now.get();
        let engine = ::tcp::Connection::from_handshake(
            &mut self.context.shared.borrow_mut(),
            now,
            &open,
            handshake,
        );
        let template = self.template(&tuple, segment.source);
        let context = self.context.clone();
        let connection = Connection::new(tuple, context, engine, template, Owner::Flow);
        self.table.borrow_mut().insert(connection.clone());
        self.context.counters.add(Counter::Accepted);
        if segment.data.is_empty() && !segment.flags.has(Flags::FIN) {
            // A peer that opened a connection and says nothing is asked some day whether it lives.
            let mut tcb = connection.tcb();
            tcb.deadline = tcb.engine.next_deadline();
            drop(tcb);
            self.table.borrow_mut().schedule(&connection);
        } else if connection.receive(
            segment.source,
            &segment.header(),
            Payload::Slice(segment.data),
        ) {
            self.forget(&connection);
        }
        accept_queue.push(TcpFlow::new(connection));
    }

    /// What an engine needs to know of the world.
    pub(crate) fn open_parameters(&self, tuple: &Tuple, initial: SeqNumber) -> Open {
        let now = self.context.now.get();
        let path = self.context.path_mtus.borrow().get(tuple.remote().ip(), now);
        Open {
            initial,
            mss: self.own_mss(tuple),
            path_mss: path.map(|mtu| self.context.mss(tuple, mtu)),
            timestamp_offset: self.isn_generator.timestamp_offset(tuple),
        }
    }

    pub(crate) fn template(&self, tuple: &Tuple, hop: [u8; 6]) -> HeaderTemplate {
        HeaderTemplate {
            ethernet: template::ethernet(tuple, self.own, hop),
            checksum: self.context.checksum,
            may_fragment: false,
        }
    }

    /// The largest segment that we take, in bytes of data and options.
    fn own_mss(&self, tuple: &Tuple) -> u16 {
        self.context.mss(tuple, self.mtu)
    }

    /// The window of a SYN-ACK, which is never scaled: two segments when memory is short.
    fn first_window(&self, tuple: &Tuple) -> u16 {
        let shared = self.context.shared.borrow();
        let mss = self.own_mss(tuple);
        let window = shared.config.first_window(mss);
        let window =
            if shared.memory.is_scarce() { window.min(2 * u32::from(mss)) } else { window };
        window.min(0xffff) as u16
    }

    /// The clock of timestamps of a connection that is not open yet, in milliseconds.
    fn clock(&self, tuple: &Tuple) -> u32 {
        let millis = (self.context.now.get().micros() / 1_000) as u32;
        millis.wrapping_add(self.isn_generator.timestamp_offset(tuple))
    }

    fn answer(&self, entry: &HalfOpen, clock: u32, output: &mut dyn Transmit) {
        let tuple = &entry.tuple;
        let next = SeqNumber(entry.irs) + 1;
        let mut syn_ack = ::tcp::Segment::new(SeqNumber(entry.iss), next, Flags::SYN | Flags::ACK);
        if entry.offer.ecn() {
            // RFC 3168 section 6.1.1: agreed.
            syn_ack.flags = syn_ack.flags | Flags::ECE;
        }
        let offered = entry.offer.options(entry.timestamp);
        let config = &self.context.shared.borrow().config;
        syn_ack.options = config.syn_options(self.own_mss(tuple), clock, Some(&offered));
        syn_ack.window = self.first_window(tuple);
        self.context.counters.add(Counter::SynAcksOut);
        self.send(tuple, entry.hop, &syn_ack, output);
    }
}

/// RFC 1122 section 4.2.2.13: a sequence number after everything that the old connection `used`.
pub(crate) fn beyond(used: SeqNumber, initial: u32) -> u32 {
    if used.is_before(SeqNumber(initial)) { initial } else { (used + (1 << 17)).0 }
}

/// How far ahead of the handshake the completing segment may be: later segments can overtake it,
/// within the window of a SYN-ACK.
const FIRST_WINDOW_MAX: u32 = 0xffff;
const MILLISECOND: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_1122_4_2_2_13_numbers_begin_after_those_that_were_used() {
        for (used, initial, expected) in [
            (100, 101, 101),
            (100, 100, 131_172),
            (100, 99, 131_172),
            (100, 0x8000_0063, 0x8000_0063),
            (u32::MAX, 0, 0),
            (u32::MAX, u32::MAX - 1, 131_071),
        ] {
            assert_eq!(beyond(SeqNumber(used), initial), expected, "{used} {initial}");
        }
    }
}
