//! Active open: the handshake of connections that we begin, from SYN-SENT on (RFC 9293 section 3.5).

use crate::counters::Counter;
use crate::device::Transmit;
use crate::link::neighbours::Hop;
use crate::stack::interface::InterfaceState;
use crate::tcp::connection::Connection;
use crate::tcp::connection::socket::Synchronized;
use crate::tcp::connector::{ConnectRequest, Requests};
use crate::tcp::flow::TcpFlow;
use crate::tcp::passive_open::beyond;
use crate::time;
use crate::wire::header::TcpHeader;
use crate::wire::segment::{Flags, Segment, SynOptions};
use crate::wire::tuple::Tuple;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::rc::Rc;
use core::cmp::Reverse;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use flow::ConnectError;

/// Connections being opened.
#[derive(Default)]
pub(crate) struct ActiveOpens {
    pub(crate) requests: Rc<Requests>,
    /// Boxed: a tree moves what is in it.
    by_tuple: BTreeMap<TupleKey, Box<Attempt>>,
    /// When each attempt must be looked at; others' entries and old ones are ignored.
    deadlines: BinaryHeap<Reverse<(Duration, TupleKey)>>,
    /// RFC 6056 section 3.3.3: added to the hash of the destination.
    ports_given: u16,
}

impl ActiveOpens {
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.peek().map(|Reverse((at, _))| *at)
    }

    /// Something changed that attempts wait for: all are looked at.
    pub(crate) fn retry_now(&mut self, now: Duration) {
        for (key, attempt) in &mut self.by_tuple {
            if attempt.syns == 0 {
                attempt.due = now;
                self.deadlines.push(Reverse((now, *key)));
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_tuple.is_empty()
    }

    /// There is nothing to do now.
    fn is_idle(&self, now: Duration) -> bool {
        self.requests.connects.borrow().is_empty() && self.next_deadline().is_none_or(|at| at > now)
    }

    fn insert(&mut self, attempt: Box<Attempt>) {
        let key = attempt.tuple.words();
        self.deadlines.push(Reverse((attempt.due, key)));
        self.by_tuple.insert(key, attempt);
    }

    fn take_due(&mut self, now: Duration) -> Option<Box<Attempt>> {
        while let Some(Reverse((at, key))) = self.deadlines.peek().copied() {
            if at > now {
                return None;
            }
            self.deadlines.pop();
            if self.by_tuple.get(&key).is_some_and(|attempt| attempt.due == at) {
                return self.by_tuple.remove(&key);
            }
        }
        None
    }
}

/// A connection by the words of its addresses and ports, to be sought and ordered by.
type TupleKey = [u64; 5];

/// One connection being opened.
struct Attempt {
    tuple: Tuple,
    /// The next hop's protocol address, and ours.
    next_hop: IpAddr,
    /// ISS: our initial sequence number.
    iss: u32,
    /// IRS, the initial receive sequence number, and offer of the peer, when both sides opened at once (RFC 9293 section 3.5).
    peer_syn: Option<(u32, SynOptions)>,
    syns: u8,
    sent_at: Duration,
    due: Duration,
    gives_up: Duration,
    request: Rc<ConnectRequest>,
}

impl InterfaceState {
    /// Takes up what tasks want opened, and repeats SYNs.
    pub(crate) fn open_actively(&mut self, now: Duration, output: &mut dyn Transmit) {
        if self.active_opens.is_idle(now) {
            return;
        }
        let wanted = core::mem::take(&mut *self.active_opens.requests.connects.borrow_mut());
        for request in wanted {
            match self.attempt(&request, now) {
                Ok(attempt) => self.advance(Box::new(attempt), now, output),
                Err(error) => request.complete(Err(error)),
            }
        }
        while let Some(attempt) = self.active_opens.take_due(now) {
            self.advance(attempt, now, output);
        }
    }

    /// Takes a segment for a connection that is being opened; false when there is none.
    pub(crate) fn answered(
        &mut self,
        now: Duration,
        segment: &Segment,
        output: &mut dyn Transmit,
    ) -> bool {
        let key = segment.tuple.words();
        if self.active_opens.is_empty() {
            return false;
        }
        let Some(attempt) = self.active_opens.by_tuple.get_mut(&key) else { return false };
        let flags = segment.flags;
        if flags.has(Flags::ACK) && segment.ack != attempt.iss.wrapping_add(1) {
            // RFC 9293 section 3.10.7.3: what acknowledges something else is old.
            self.reset(now, segment, output);
            return true;
        }
        if flags.has(Flags::RST) {
            if flags.has(Flags::ACK)
                && let Some(attempt) = self.active_opens.by_tuple.remove(&key)
            {
                attempt.request.complete(Err(ConnectError::Refused));
            }
            return true;
        }
        if flags.has(Flags::SYN) {
            attempt.peer_syn = Some((segment.seq, segment.offer()));
        }
        let Some((irs, offer)) = attempt.peer_syn else { return true };
        if !flags.has(Flags::ACK) {
            return self.answer_open(irs, segment, output);
        }
        if let Some(attempt) = self.active_opens.by_tuple.remove(&key) {
            self.connected(&attempt, (irs, offer), now, segment);
        }
        true
    }

    /// Both sides opened at once: our SYN is repeated as a SYN-ACK.
    fn answer_open(&self, irs: u32, segment: &Segment, output: &mut dyn Transmit) -> bool {
        let Some(attempt) = self.active_opens.by_tuple.get(&segment.tuple.words()) else {
            return true;
        };
        let offer = self.own_offer(&attempt.tuple);
        let syn =
            TcpHeader::syn(attempt.iss, Some(irs.wrapping_add(1)), offer, self.first_window());
        self.send(&attempt.tuple, segment.source, &syn, output);
        true
    }

    fn attempt(
        &mut self,
        request: &Rc<ConnectRequest>,
        now: Duration,
    ) -> Result<Attempt, ConnectError> {
        let remote = request.wanted;
        let open = self.table.borrow().len() + self.active_opens.by_tuple.len();
        if open >= self.context.limits.connections_max {
            self.context.counters.add(Counter::ConnectionsFull);
            return Err(ConnectError::Exhausted);
        }
        let route = self.link.route(remote.ip()).ok_or(ConnectError::Unreachable)?;
        let probe = Tuple::new(SocketAddr::new(route.local, 0), remote);
        if !probe.is_answerable() {
            return Err(ConnectError::Unreachable);
        }
        let tuple = self.free_port(probe, now).ok_or(ConnectError::Exhausted)?;
        let mut iss = self.isn_generator.generate(&tuple, now);
        if let Some(entry) = self.time_wait.find(&tuple, now) {
            iss = beyond(entry.snd_nxt, iss);
            self.time_wait.remove(&tuple);
            self.context.counters.add(Counter::TimeWaitReused);
        }
        Ok(Attempt {
            tuple,
            next_hop: route.next_hop,
            iss,
            peer_syn: None,
            syns: 0,
            sent_at: now,
            due: now,
            gives_up: now + self.context.limits.connect_timeout,
            request: request.clone(),
        })
    }

    /// RFC 6056 section 3.3.3: from a hash of the destination, the next port that is free; one in
    /// TIME-WAIT only when none of the next [`PORTS_SEARCHED_MAX`] is.
    fn free_port(&mut self, probe: Tuple, now: Duration) -> Option<Tuple> {
        let (first, last) = self.context.limits.ephemeral_ports;
        let count = u32::from(last.saturating_sub(first)) + 1;
        let offset = self.isn_generator.port_offset(&probe);
        let table = self.table.borrow();
        let mut resting = None;
        for step in 0..count {
            if step >= PORTS_SEARCHED_MAX && resting.is_some() {
                break;
            }
            let place =
                offset.wrapping_add(u32::from(self.active_opens.ports_given)).wrapping_add(step);
            let local_port = first + (place % count) as u16;
            let tuple = probe.with_local_port(local_port);
            let in_use = table.find(&tuple).is_some()
                || self.active_opens.by_tuple.contains_key(&tuple.words());
            if in_use {
                continue;
            }
            if self.time_wait.find(&tuple, now).is_none() {
                self.active_opens.ports_given =
                    self.active_opens.ports_given.wrapping_add(step as u16 + 1);
                return Some(tuple);
            }
            resting.get_or_insert(tuple);
        }
        resting
    }

    /// Does the next step of an attempt, or ends it.
    fn advance(&mut self, mut attempt: Box<Attempt>, now: Duration, output: &mut dyn Transmit) {
        if attempt.request.is_abandoned() {
            return;
        }
        if now >= attempt.gives_up {
            return attempt.request.complete(Err(ConnectError::TimedOut));
        }
        if !output.is_ready() {
            // A burst of SYNs passes a full device one by one, not once a second.
            attempt.due = now + PAUSE;
            return self.active_opens.insert(attempt);
        }
        let local = attempt.tuple.local().ip();
        match self.neighbours.find(attempt.next_hop, local, now, output) {
            Hop::Silent => return attempt.request.complete(Err(ConnectError::Unreachable)),
            Hop::Asked(until) => attempt.due = until.min(attempt.gives_up),
            Hop::Known(hop) => {
                let offer = self.own_offer(&attempt.tuple);
                let syn = TcpHeader::syn(attempt.iss, None, offer, self.first_window());
                self.send(&attempt.tuple, hop, &syn, output);
                attempt.sent_at = now;
                attempt.due = (now + RETRY * (1 << attempt.syns.min(6))).min(attempt.gives_up);
                attempt.syns += 1;
            }
        }
        self.active_opens.insert(attempt);
    }

    fn connected(
        &mut self,
        attempt: &Attempt,
        (irs, offer): (u32, SynOptions),
        now: Duration,
        segment: &Segment,
    ) {
        let tuple = attempt.tuple;
        let offer = SynOptions { mss: offer.mss.min(self.own_mss(&tuple)), ..offer };
        let (snd_nxt, rcv_nxt) = (attempt.iss.wrapping_add(1), irs.wrapping_add(1));
        let shift = if segment.flags.has(Flags::SYN) { 0 } else { offer.window_scale.unwrap_or(0) };
        let window = u32::from(segment.window) << shift;
        let with = Synchronized { tuple, snd_nxt, rcv_nxt, offer, window };
        let mut tcb = self.control_block(&with, segment.source);
        // The acknowledgement that ends the handshake.
        tcb.owes_window_update = true;
        if attempt.syns == 1 {
            tcb.measure(time::Duration::new(now.saturating_sub(attempt.sent_at)));
        }
        let connection = Rc::new(Connection::new(tuple, self.context.clone(), tcb));
        self.table.borrow_mut().insert(connection.clone());
        connection.mark(&mut connection.tcb());
        self.context.counters.add(Counter::Connected);
        attempt.request.complete(Ok(TcpFlow::new(connection)));
    }

    fn own_offer(&self, tuple: &Tuple) -> SynOptions {
        let scale = Some(self.context.window_shift);
        SynOptions { mss: self.own_mss(tuple), window_scale: scale, sack_permitted: true }
    }
}

/// Ports that are looked at before one in TIME-WAIT is taken: all of them may be, and a connection must
/// not cost more for that.
const PORTS_SEARCHED_MAX: u32 = 64;
/// Until a full device is asked again.
const PAUSE: Duration = Duration::from_millis(1);
/// Until the SYN is sent again; each later one waits twice as long (RFC 6298 section 2.1).
const RETRY: Duration = Duration::from_secs(1);
