//! Active open: connections that we begin, until the way to the next hop is known; then the engine's SYN-SENT
//! takes over (RFC 9293 section 3.5).

use crate::counters::Counter;
use crate::device::Transmit;
use crate::link::neighbours::Hop;
use crate::stack::interface::InterfaceState;
use crate::tcp::connection::{Connection, Owner};
use crate::tcp::connector::{ConnectRequest, Requests};
use crate::tcp::passive_open::beyond;
use crate::wire::tuple::Tuple;
use ::tcp::SeqNumber;
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
            attempt.due = now;
            self.deadlines.push(Reverse((now, *key)));
        }
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
            iss = beyond(entry.next, iss);
            self.time_wait.remove(&tuple);
            self.context.counters.add(Counter::TimeWaitReused);
        }
        Ok(Attempt {
            tuple,
            next_hop: route.next_hop,
            iss,
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
            Hop::Known(hop) => return self.begin_open(&attempt, hop),
        }
        self.active_opens.insert(attempt);
    }

    /// The engine's SYN leaves with the next transmission.
    fn begin_open(&mut self, attempt: &Attempt, hop: [u8; 6]) {
        let tuple = attempt.tuple;
        let open = self.open_parameters(&tuple, SeqNumber(attempt.iss));
        let now = self.context.now.get();
        let engine = ::tcp::Connection::connect(&mut self.context.shared.borrow_mut(), now, &open);
        let template = self.template(&tuple, hop);
        let owner = Owner::Opening(attempt.request.clone());
        let connection = Connection::new(tuple, self.context.clone(), engine, template, owner);
        self.table.borrow_mut().insert(connection.clone());
        connection.mark(&mut connection.tcb());
    }
}

/// Ports that are looked at before one in TIME-WAIT is taken: all of them may be, and a connection must
/// not cost more for that.
const PORTS_SEARCHED_MAX: u32 = 64;
/// Until a full device is asked again.
const PAUSE: Duration = Duration::from_millis(1);
