//! The vat: what an application holds and calls. Everything here is a thin entrance; the graph of
//! capabilities is in [`crate::node`], the life of a call in [`crate::call`].

use crate::call::{Call, Owner, State};
use crate::connection::Connection;
use crate::exception::Exception;
use crate::limits::Limits;
use crate::node::{Kind, Node};
use crate::payload::Payload;
use crate::table::{Key, Slab};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// A capability that this vat holds: one reference, given back by [`Vat::release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cap(pub(crate) Key);

/// A call made or received, until it is released or answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub(crate) Key);

/// A connection to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub(crate) Key);

/// The application's name for an object of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub u64);

/// What happened, in order.
#[derive(Debug)]
pub enum Event {
    /// Somebody called an object. Answer with [`Vat::reply`], [`Vat::fail`] or [`Vat::tail_call`].
    /// The references in `params` are the application's now.
    Call {
        /// The call to answer.
        call: CallId,
        /// The object it is for.
        object: ObjectId,
        /// The interface's schema id.
        interface: u64,
        /// The method's number in it.
        method: u16,
        /// The parameters.
        params: Payload,
    },
    /// The peer asked for a service by name. Answer as a call, with a capability at the root.
    Restore {
        /// The call to answer.
        call: CallId,
        /// The name, of at most [`SERVICE_BYTES_MAX`](crate::SERVICE_BYTES_MAX) bytes.
        service: Vec<u8>,
    },
    /// Nobody wants the answer of this received call any more; answering does nothing.
    Cancelled(CallId),
    /// A call that the application made has ended: see [`Vat::result`].
    Returned(CallId),
    /// A capability that was [watched](Vat::watch) resolved or broke.
    Resolved(Cap),
    /// No reference to this object is left anywhere.
    Released(ObjectId),
    /// The connection is gone, and all that depended on it is broken. Bytes may be left to send.
    Disconnected {
        /// Which.
        conn: ConnId,
        /// Why; the peer's own words if it aborted.
        reason: Exception,
    },
}

/// Something to do before the current entrance returns. Doing it from a queue keeps chains that
/// the peer can make long from becoming recursion.
#[derive(Debug)]
pub(crate) enum Work {
    /// A promise with a target, free to pass on what waits at it.
    Flush(Cap),
    /// A call whose result is another's has that result now.
    Follow(CallId, Result<Rc<Payload>, Exception>),
    FreeNode(Cap),
    FreeCall(CallId),
    /// A broken capability was described as a promise: say that it is broken.
    AnnounceBroken(ConnId, u32),
    Disconnect(ConnId, Exception),
    /// A call waits there, and may find room now.
    RetryHeld(ConnId),
}

/// One party of any number of connections: its objects, the capabilities it holds, its calls.
///
/// A pure state machine. Bytes and `now` go in by [`handle_input`](Self::handle_input); bytes come
/// out of [`poll_transmit`](Self::poll_transmit), events out of [`poll_event`](Self::poll_event).
/// Capabilities that arrive on one connection can be passed on another; calls are then forwarded.
#[derive(Debug, Default)]
pub struct Vat {
    pub(crate) limits: Limits,
    pub(crate) nodes: Slab<Node>,
    pub(crate) calls: Slab<Call>,
    pub(crate) conns: Slab<Connection>,
    pub(crate) work: VecDeque<Work>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) transmittable: Vec<ConnId>,
    /// Received calls that nobody waits for any more, but that are to be seen before they are cancelled (rpc.capnp,
    /// `Finish.requireEarlyCancellationWorkaround`): each with how many events are to be seen before.
    pub(crate) finished: VecDeque<(usize, CallId)>,
}

impl Vat {
    /// A vat whose connections each have `limits`.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// A capability for an object of the application's.
    pub fn object(&mut self, object: ObjectId) -> Cap {
        self.add_node(Kind::Object(object))
    }

    /// A capability that stands for another, to be [resolved](Self::resolve) later. Calls wait.
    pub fn promise(&mut self) -> Cap {
        self.add_node(Kind::waiting())
    }

    /// A capability on which every call fails.
    pub fn broken(&mut self, reason: Exception) -> Cap {
        self.add_node(Kind::Broken(reason))
    }

    /// Lets `promise` stand for `to`, whose reference it takes over. Only the first time counts.
    pub fn resolve(&mut self, promise: Cap, to: Cap) {
        self.resolve_promise(promise, to);
        self.run();
    }

    /// Breaks `promise`. Only the first resolution counts.
    pub fn reject(&mut self, promise: Cap, reason: Exception) {
        let broken = self.broken(reason);
        self.resolve(promise, broken);
    }

    /// One more reference to `cap`.
    pub fn retain(&mut self, cap: Cap) -> Cap {
        if let Some(node) = self.nodes.get_mut(cap.0) {
            node.refs += 1;
        }
        cap
    }

    /// One reference to `cap` less.
    pub fn release(&mut self, cap: Cap) {
        self.release_node(cap);
        self.run();
    }

    /// Gives back the references of a payload that [`Event::Call`] brought.
    pub fn release_payload(&mut self, payload: Payload) {
        self.release_caps(payload.caps);
        self.run();
    }

    /// What `cap` is known to stand for by now: itself, unless it is a promise that resolved.
    /// No reference is added.
    pub fn resolved(&mut self, cap: Cap) -> Cap {
        self.follow(cap)
    }

    /// Whether `cap` may yet come to stand for something else.
    pub fn is_promise(&mut self, cap: Cap) -> bool {
        let cap = self.follow(cap);
        self.nodes.get(cap.0).is_some_and(|node| node.kind.is_promise())
    }

    /// Why every call on `cap` fails, if so.
    pub fn broken_by(&mut self, cap: Cap) -> Option<Exception> {
        let cap = self.follow(cap);
        match &self.nodes.get(cap.0)?.kind {
            Kind::Broken(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    /// Asks for one [`Event::Resolved`] when `cap`, a promise, resolves.
    pub fn watch(&mut self, cap: Cap) {
        if let Some(node) = self.nodes.get_mut(cap.0) {
            node.watched = true;
        }
    }

    /// Calls a method. The references in `params` are the vat's from then on. The result is the
    /// application's until [`release_call`](Self::release_call).
    pub fn call(&mut self, target: Cap, interface: u64, method: u16, params: Payload) -> CallId {
        let call = self.add_call(Owner::App, State::Waiting(params), interface, method);
        self.route_call(call, target);
        self.run();
        call
    }

    /// The capability at `path` in the result of `call`, which need not have returned.
    pub fn pipeline(&mut self, call: CallId, path: &[u16]) -> Cap {
        let cap = self.pipelined(call, path.to_vec());
        self.run();
        cap
    }

    /// The capability that the peer offers to whoever connects.
    pub fn bootstrap(&mut self, conn: ConnId) -> Cap {
        self.restore(conn, &[])
    }

    /// The capability that the peer has under this name (level 2).
    pub fn restore(&mut self, conn: ConnId, service: &[u8]) -> Cap {
        let cap = self.ask_bootstrap(conn, service);
        self.run();
        cap
    }

    /// The application wants nothing more of a call it made. If it has not returned, and no
    /// capability of its result is held, it is cancelled.
    pub fn release_call(&mut self, call: CallId) {
        if let Some(record) = self.calls.get_mut(call.0) {
            record.owner = Owner::None;
        }
        self.unref_call(call);
        self.run();
    }

    /// How a call that the application made ended; `None` before that. The references in it stay
    /// the vat's: retain what is kept.
    pub fn result(&self, call: CallId) -> Option<Result<Rc<Payload>, Exception>> {
        match &self.calls.get(call.0)?.state {
            State::Done(result) => Some(result.clone()),
            _ => None,
        }
    }

    /// Lets calls pipelined on a received call go to the capabilities in `results` before the call
    /// is answered; the answer must have the same ones. The references in `results` are the vat's
    /// from then on. Only the first time counts.
    pub fn set_pipeline(&mut self, call: CallId, results: Payload) {
        if self.is_delivered(call) {
            self.set_early(call, results);
        } else {
            self.release_caps(results.caps);
        }
        self.run();
    }

    /// Answers a received call. The references in `results` are the vat's from then on.
    pub fn reply(&mut self, call: CallId, results: Payload) {
        self.reply_shared(call, Rc::new(results));
    }

    /// As [`reply`](Self::reply), with results for which there is memory already.
    pub(crate) fn reply_shared(&mut self, call: CallId, results: Rc<Payload>) {
        if self.is_delivered(call) {
            self.finish_call(call, Ok(results));
        } else if let Some(results) = Rc::into_inner(results) {
            self.release_caps(results.caps);
        }
        self.run();
    }

    /// Answers a received call with results without capabilities, if that takes no more than to send them; else they
    /// are to be given to [`reply_shared`](Self::reply_shared), and nothing is done.
    pub(crate) fn reply_alone(&mut self, call: CallId, results: &mut Payload) -> bool {
        let sent = self.send_alone(call, results);
        if sent {
            self.run();
        }
        sent
    }

    /// Answers a received call with an exception.
    pub fn fail(&mut self, call: CallId, reason: Exception) {
        if self.is_delivered(call) {
            self.finish_call(call, Err(reason));
        }
        self.run();
    }

    /// Answers a received call with whatever another call answers. If that one goes to where this
    /// one came from, its results do not travel.
    pub fn tail_call(
        &mut self,
        call: CallId,
        target: Cap,
        interface: u64,
        method: u16,
        params: Payload,
    ) {
        if self.is_delivered(call) {
            let next = self.add_call(Owner::None, State::Waiting(params), interface, method);
            self.forward(call, next);
            self.route_call(next, target);
            self.unref_call(next);
        } else {
            self.release_caps(params.caps);
        }
        self.run();
    }

    /// The next event, if any.
    #[inline]
    pub fn poll_event(&mut self) -> Option<Event> {
        if !self.finished.is_empty() {
            self.end_finished();
        }
        let event = self.events.pop_front();
        if event.is_some() { event } else { self.last_event() }
    }

    /// Ends finished calls that whoever asks for events has seen, before what came behind their finish; one event more
    /// will be seen then.
    fn end_finished(&mut self) {
        while let Some((_, call)) = self.finished.pop_front_if(|(before, _)| *before == 0) {
            let later = core::mem::take(&mut self.events);
            self.disown(call);
            self.run();
            let mut told = core::mem::replace(&mut self.events, later);
            let is_end = |event: &Event| matches!(event, Event::Cancelled(own) if *own == call);
            if let Some(end) = told.iter().position(is_end).and_then(|at| told.remove(at)) {
                self.events.push_front(end);
                self.finished.iter_mut().for_each(|(before, _)| *before += 1);
            }
            // What else came of it stays behind: an object may go with it that is called before.
            self.events.append(&mut told);
        }
        self.finished.iter_mut().for_each(|(before, _)| *before -= 1);
    }

    /// Whether there are no events, and no connections to look after.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.events.is_empty() && self.finished.is_empty() && self.transmittable.is_empty()
    }

    /// There are no more events, but of what was put off until now.
    fn last_event(&mut self) -> Option<Event> {
        /// Room that is kept for the next events.
        const EVENTS_KEPT: usize = 1024;
        if self.events.capacity() > EVENTS_KEPT {
            self.events = VecDeque::new();
        }
        None
    }

    /// Nodes and calls alive: zero when the application and all peers have let go.
    pub fn live(&self) -> (usize, usize) {
        (self.nodes.len(), self.calls.len())
    }

    /// Does all that is queued. Every public entrance that can queue work ends here.
    pub(crate) fn run(&mut self) {
        /// Room that is kept for the next work.
        const WORK_KEPT: usize = 1024;
        while let Some(work) = self.work.pop_front() {
            match work {
                Work::Flush(promise) => self.flush(promise),
                Work::Follow(call, result) => self.finish_call(call, result),
                Work::FreeNode(cap) => self.free_node(cap),
                Work::FreeCall(call) => self.free_call(call),
                Work::AnnounceBroken(conn, export) => self.announce_broken(conn, export),
                Work::Disconnect(conn, reason) => self.disconnect(conn, reason),
                Work::RetryHeld(conn) => self.retry_held(conn),
            }
        }
        if self.work.capacity() > WORK_KEPT {
            self.work = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a burst took is given back once it is done with; room for the usual is kept.
    #[test]
    fn queues_give_back_what_a_burst_took() {
        for (count, kept) in [(1_024, 1_024), (1_025, 0), (5_000, 0)] {
            let mut vat = Vat::new(Limits::default());
            assert!(vat.is_at_rest());
            let caps = (0..count).map(|id| Some(vat.object(ObjectId(id)))).collect();
            let mut payload = Payload::params(0);
            payload.caps = caps;
            vat.release_payload(payload);
            assert_eq!(vat.work.capacity(), kept, "{count} of work");
            assert!(!vat.is_at_rest());
            for id in 0..count {
                assert!(
                    matches!(vat.poll_event(), Some(Event::Released(ObjectId(known))) if known == id)
                );
            }
            assert!(vat.events.capacity() >= 1_024, "there may be more");
            assert!(vat.poll_event().is_none());
            assert_eq!(vat.events.capacity(), kept, "{count} events");
            assert!(vat.is_at_rest());
        }
    }

    #[test]
    fn a_promise_is_one_until_it_resolves() {
        let mut vat = Vat::new(Limits::default());
        let [first, second] = [vat.promise(), vat.promise()];
        let object = vat.object(ObjectId(1));
        vat.watch(second);
        vat.resolve(first, object);
        let is_promise = [first, second, object].map(|cap| vat.is_promise(cap));
        assert_eq!(is_promise, [false, true, false]);
        assert!(vat.poll_event().is_none());
        vat.resolve(second, first);
        assert!(matches!(vat.poll_event(), Some(Event::Resolved(cap)) if cap == second));
        assert_eq!(vat.resolved(second), object);
    }
}
