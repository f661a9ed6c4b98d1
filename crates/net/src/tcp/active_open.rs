//! Connections that we open: the handshake from the first SYN.

use crate::counters::Count;
use crate::device::Transmit;
use crate::link::neighbours::Hop;
use crate::tcp::connection::Connection;
use crate::tcp::connection::socket::Synchronized;
use crate::tcp::connector::{Dial, Wishes};
use crate::tcp::demux::Core;
use crate::tcp::flow::TcpFlow;
use crate::tcp::passive_open::beyond;
use crate::time::Span;
use crate::wire::header::Bare;
use crate::wire::segment::{Flags, Offer, Segment};
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
pub(crate) struct Dialing {
    pub(crate) wishes: Rc<Wishes>,
    /// Boxed: a tree moves what is in it.
    by_name: BTreeMap<Name, Box<Attempt>>,
    /// When each attempt must be looked at; others' entries and old ones are ignored.
    deadlines: BinaryHeap<Reverse<(Duration, Name)>>,
    /// RFC 6056 section 3.3.3: added to the hash of the destination.
    ports_given: u16,
}

impl Dialing {
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.peek().map(|Reverse((at, _))| *at)
    }

    /// Something changed that attempts wait for: all are looked at.
    pub(crate) fn hurry(&mut self, now: Duration) {
        for (name, attempt) in &mut self.by_name {
            if attempt.syns == 0 {
                attempt.due = now;
                self.deadlines.push(Reverse((now, *name)));
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// There is nothing to do now.
    fn is_idle(&self, now: Duration) -> bool {
        self.wishes.dials.borrow().is_empty() && self.next_deadline().is_none_or(|at| at > now)
    }

    fn insert(&mut self, attempt: Box<Attempt>) {
        let name = attempt.tuple.words();
        self.deadlines.push(Reverse((attempt.due, name)));
        self.by_name.insert(name, attempt);
    }

    fn take_due(&mut self, now: Duration) -> Option<Box<Attempt>> {
        while let Some(Reverse((at, name))) = self.deadlines.peek().copied() {
            if at > now {
                return None;
            }
            self.deadlines.pop();
            if self.by_name.get(&name).is_some_and(|attempt| attempt.due == at) {
                return self.by_name.remove(&name);
            }
        }
        None
    }
}

type Name = [u64; 5];

/// One connection being opened.
struct Attempt {
    tuple: Tuple,
    /// The next hop's protocol address, and ours.
    next_hop: IpAddr,
    own: u32,
    /// What the peer sent, when both sides opened at once (RFC 9293 section 3.5).
    peer: Option<(u32, Offer)>,
    syns: u8,
    sent_at: Duration,
    due: Duration,
    gives_up: Duration,
    dial: Rc<Dial>,
}

impl Core {
    /// Takes up what tasks want opened, and repeats SYNs.
    pub(crate) fn dial(&mut self, now: Duration, output: &mut dyn Transmit) {
        if self.dialing.is_idle(now) {
            return;
        }
        let wanted = core::mem::take(&mut *self.dialing.wishes.dials.borrow_mut());
        for dial in wanted {
            match self.attempt(&dial, now) {
                Ok(attempt) => self.advance(Box::new(attempt), now, output),
                Err(error) => dial.fulfil(Err(error)),
            }
        }
        while let Some(attempt) = self.dialing.take_due(now) {
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
        let name = segment.tuple.words();
        if self.dialing.is_empty() {
            return false;
        }
        let Some(attempt) = self.dialing.by_name.get_mut(&name) else { return false };
        let flags = segment.flags;
        if flags.has(Flags::ACK) && segment.ack != attempt.own.wrapping_add(1) {
            // RFC 9293 section 3.10.7.3: what acknowledges something else is old.
            self.reset(now, segment, output);
            return true;
        }
        if flags.has(Flags::RST) {
            if flags.has(Flags::ACK)
                && let Some(attempt) = self.dialing.by_name.remove(&name)
            {
                attempt.dial.fulfil(Err(ConnectError::Refused));
            }
            return true;
        }
        if flags.has(Flags::SYN) {
            attempt.peer = Some((segment.seq, segment.offer()));
        }
        let Some((peer, offer)) = attempt.peer else { return true };
        if !flags.has(Flags::ACK) {
            return self.answer_open(peer, segment, output);
        }
        if let Some(attempt) = self.dialing.by_name.remove(&name) {
            self.connected(&attempt, (peer, offer), now, segment);
        }
        true
    }

    /// Both sides opened at once: our SYN is repeated as a SYN-ACK.
    fn answer_open(&self, peer: u32, segment: &Segment, output: &mut dyn Transmit) -> bool {
        let Some(attempt) = self.dialing.by_name.get(&segment.tuple.words()) else { return true };
        let offer = self.own_offer(&attempt.tuple);
        let syn = Bare::syn(attempt.own, Some(peer.wrapping_add(1)), offer, self.first_window());
        self.send(&attempt.tuple, segment.source, &syn, output);
        true
    }

    fn attempt(&mut self, dial: &Rc<Dial>, now: Duration) -> Result<Attempt, ConnectError> {
        let remote = dial.wanted;
        let open = self.table.borrow().len() + self.dialing.by_name.len();
        if open >= self.shared.limits.connections_max {
            self.shared.tally.add(Count::ConnectionsFull);
            return Err(ConnectError::Exhausted);
        }
        let route = self.services.route(remote.ip()).ok_or(ConnectError::Unreachable)?;
        let probe = Tuple::new(SocketAddr::new(route.local, 0), remote);
        if !probe.is_answerable() {
            return Err(ConnectError::Unreachable);
        }
        let tuple = self.free_port(probe, now).ok_or(ConnectError::Exhausted)?;
        let mut own = self.sequencer.initial(&tuple, now);
        if let Some(remains) = self.time_wait.find(&tuple, now) {
            own = beyond(remains.send_next, own);
            self.time_wait.remove(&tuple);
            self.shared.tally.add(Count::TimeWaitReused);
        }
        Ok(Attempt {
            tuple,
            next_hop: route.next_hop,
            own,
            peer: None,
            syns: 0,
            sent_at: now,
            due: now,
            gives_up: now + self.shared.limits.connect_timeout,
            dial: dial.clone(),
        })
    }

    /// RFC 6056 section 3.3.3: from a hash of the destination, the next port that is free; one in
    /// TIME-WAIT only when there is no other.
    fn free_port(&mut self, probe: Tuple, now: Duration) -> Option<Tuple> {
        let (first, last) = self.shared.limits.ephemeral_ports;
        let count = u32::from(last.saturating_sub(first)) + 1;
        let offset = self.sequencer.port_offset(&probe);
        let table = self.table.borrow();
        let mut resting = None;
        for step in 0..count {
            let place = offset.wrapping_add(u32::from(self.dialing.ports_given)).wrapping_add(step);
            let local_port = first + (place % count) as u16;
            let tuple = probe.with_local_port(local_port);
            let in_use =
                table.find(&tuple).is_some() || self.dialing.by_name.contains_key(&tuple.words());
            if in_use {
                continue;
            }
            if self.time_wait.find(&tuple, now).is_none() {
                self.dialing.ports_given = self.dialing.ports_given.wrapping_add(step as u16 + 1);
                return Some(tuple);
            }
            resting.get_or_insert(tuple);
        }
        resting
    }

    /// Does the next step of an attempt, or ends it.
    fn advance(&mut self, mut attempt: Box<Attempt>, now: Duration, output: &mut dyn Transmit) {
        if attempt.dial.is_abandoned() {
            return;
        }
        if now >= attempt.gives_up {
            return attempt.dial.fulfil(Err(ConnectError::TimedOut));
        }
        if !output.is_ready() {
            // A burst of SYNs passes a full device one by one, not once a second.
            attempt.due = now + PAUSE;
            return self.dialing.insert(attempt);
        }
        let local = attempt.tuple.local().ip();
        match self.neighbours.find(attempt.next_hop, local, now, output) {
            Hop::Silent => return attempt.dial.fulfil(Err(ConnectError::Unreachable)),
            Hop::Asked(until) => attempt.due = until.min(attempt.gives_up),
            Hop::Known(hop) => {
                let offer = self.own_offer(&attempt.tuple);
                let syn = Bare::syn(attempt.own, None, offer, self.first_window());
                self.send(&attempt.tuple, hop, &syn, output);
                attempt.sent_at = now;
                attempt.due = (now + RETRY * (1 << attempt.syns.min(6))).min(attempt.gives_up);
                attempt.syns += 1;
            }
        }
        self.dialing.insert(attempt);
    }

    fn connected(
        &mut self,
        attempt: &Attempt,
        (peer, offer): (u32, Offer),
        now: Duration,
        segment: &Segment,
    ) {
        let tuple = attempt.tuple;
        let offer = Offer { mss: offer.mss.min(self.own_mss(&tuple)), ..offer };
        let (send_next, receive_next) = (attempt.own.wrapping_add(1), peer.wrapping_add(1));
        let shift = if segment.flags.has(Flags::SYN) { 0 } else { offer.scale.unwrap_or(0) };
        let window = u32::from(segment.window) << shift;
        let with = Synchronized { tuple, send_next, receive_next, offer, window };
        let mut tcb = self.control_block(&with, segment.source);
        // The acknowledgement that ends the handshake.
        tcb.owes_window = true;
        if attempt.syns == 1 {
            tcb.measure(Span::new(now.saturating_sub(attempt.sent_at)));
        }
        let connection = Rc::new(Connection::new(tuple, self.shared.clone(), tcb));
        self.table.borrow_mut().insert(connection.clone());
        connection.mark(&mut connection.tcb());
        self.shared.tally.add(Count::Connected);
        attempt.dial.fulfil(Ok(TcpFlow::new(connection)));
    }

    fn own_offer(&self, tuple: &Tuple) -> Offer {
        let scale = Some(self.shared.window_shift);
        Offer { mss: self.own_mss(tuple), scale, sack: true }
    }
}

/// Until a full device is asked again.
const PAUSE: Duration = Duration::from_millis(1);
/// Until the SYN is sent again; each later one waits twice as long (RFC 6298 section 2.1).
const RETRY: Duration = Duration::from_secs(1);
