//! Capability graph. A node is one reference's view of an object: the object itself, a
//! promise, or something that a peer has. Promises end as [`Kind::Forward`].
//!
//! Order is kept by one rule: **what is sent to a node leaves it in that order, and a node turns
//! into a forward only once everything sent to it before has arrived where it forwards to.**

use crate::call::{Call, CallId, State};
use crate::exception::Exception;
use crate::vat::{Cap, ConnId, Event, ObjectId, Vat, Work};
use crate::wire::Path;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// A capability as this vat sees it.
#[derive(Debug)]
pub(crate) struct Node {
    /// Who holds it: the application, payloads, exports, forwards to it. Import tables do not.
    pub(crate) refs: u32,
    pub(crate) kind: Kind,
    /// The call in whose result it lies, kept alive as long as it is not known what it is.
    pub(crate) origin: Option<CallId>,
    /// Where it is exported, and under which number. A tree, since a service's object is exported to all.
    pub(crate) exports: BTreeMap<ConnId, u32>,
    /// Whether the application asked for [`Event::Resolved`].
    pub(crate) watched: bool,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// An object of the application's.
    Object(ObjectId),
    /// A promise at which calls wait.
    Waiting(Box<Waiting>),
    /// The peer's export `id`; `used` once a call was sent to it.
    Import {
        conn: ConnId,
        id: u32,
        promise: bool,
        used: bool,
    },
    /// A capability in the peer's answer to `question`; `used` once a call was sent to it.
    Pipeline {
        conn: ConnId,
        question: u32,
        path: Path,
        used: bool,
    },
    /// A promise that resolved. The chain of forwards never has a cycle.
    Forward(Cap),
    Broken(Exception),
}

#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) queue: VecDeque<Queued>,
    /// What it will forward to, once known.
    pub(crate) target: Option<Cap>,
    /// Disembargoes to come back before it may (rpc.capnp, `Disembargo`).
    pub(crate) embargoes: u32,
    /// Whether it holds a reference to itself, because something waits here.
    pub(crate) held: bool,
}

/// What waits at a promise.
#[derive(Debug)]
pub(crate) enum Queued {
    Call(CallId),
    /// A disembargo that a peer sent along this path, to go back to it from the path's end.
    Barrier {
        conn: ConnId,
        embargo: u32,
    },
}

/// Calls that each wait for the result of the next, at most: the peer decides how many, and each new one looks at all.
const WAITING_CALLS_MAX: usize = 1000;

impl Kind {
    pub(crate) fn waiting() -> Self {
        Self::Waiting(Box::default())
    }

    pub(crate) fn is_promise(&self) -> bool {
        match self {
            Self::Waiting(_) | Self::Pipeline { .. } => true,
            Self::Import { promise, .. } => *promise,
            Self::Object(_) | Self::Forward(_) | Self::Broken(_) => false,
        }
    }

    fn is_used(&self) -> bool {
        matches!(self, Self::Import { used: true, .. } | Self::Pipeline { used: true, .. })
    }
}

impl Vat {
    pub(crate) fn add_node(&mut self, kind: Kind) -> Cap {
        let node = Node { refs: 1, kind, origin: None, exports: BTreeMap::new(), watched: false };
        Cap(self.nodes.insert(node))
    }

    pub(crate) fn release_node(&mut self, cap: Cap) {
        if let Some(node) = self.nodes.get_mut(cap.0) {
            node.refs = node.refs.saturating_sub(1);
            if node.refs == 0 {
                self.work.push_back(Work::FreeNode(cap));
            }
        }
    }

    pub(crate) fn release_caps(&mut self, caps: Vec<Option<Cap>>) {
        for cap in caps.into_iter().flatten() {
            self.release_node(cap);
        }
    }

    pub(crate) fn free_node(&mut self, cap: Cap) {
        // An import may have been mentioned again since.
        if self.nodes.get(cap.0).is_none_or(|node| node.refs > 0) {
            return;
        }
        let Some(node) = self.nodes.remove(cap.0) else {
            return;
        };
        match node.kind {
            Kind::Pipeline { conn, question, path, used: true } => {
                self.remember_used(conn, question, path);
            }
            Kind::Object(object) => self.events.push_back(Event::Released(object)),
            Kind::Import { conn, id, .. } => self.release_import(conn, id),
            Kind::Forward(target) => self.release_node(target),
            Kind::Waiting(waiting) => self.release_caps([waiting.target].into()),
            Kind::Pipeline { .. } | Kind::Broken(_) => {}
        }
        if let Some(call) = node.origin {
            self.unlink_pipeline(call, cap);
        }
    }

    /// The end of the chain of forwards from `cap`, which is made short on the way.
    pub(crate) fn follow(&mut self, cap: Cap) -> Cap {
        let mut at = cap;
        while let Some(Kind::Forward(next)) = self.nodes.get(at.0).map(|node| &node.kind) {
            let next = *next;
            if let Some(Kind::Forward(after)) = self.nodes.get(next.0).map(|node| &node.kind) {
                let after = self.retain(*after);
                if let Some(node) = self.nodes.get_mut(at.0) {
                    node.kind = Kind::Forward(after);
                }
                self.release_node(next);
                continue;
            }
            at = next;
        }
        at
    }

    /// Whether `from` stands, or will stand, for `sought`.
    fn leads_to(&self, from: Cap, sought: Cap) -> bool {
        let mut at = from;
        loop {
            if at == sought {
                return true;
            }
            at = match self.nodes.get(at.0).map(|node| &node.kind) {
                Some(Kind::Forward(next)) => *next,
                Some(Kind::Waiting(waiting)) => match waiting.target {
                    Some(next) => next,
                    None => return false,
                },
                _ => return false,
            };
        }
    }

    /// `to`, or something broken if `promise` would come to stand for itself.
    fn without_cycle(&mut self, promise: Cap, to: Cap) -> Cap {
        if !self.leads_to(to, promise) {
            return to;
        }
        self.release_node(to);
        self.broken(Exception::failed("a promise resolved to itself"))
    }

    /// Gives a promise at which calls wait its target, and takes over the reference to that.
    pub(crate) fn resolve_promise(&mut self, promise: Cap, to: Cap) {
        let to = self.without_cycle(promise, to);
        if let Some(Kind::Waiting(waiting)) = self.kind_mut(promise)
            && waiting.target.is_none()
        {
            waiting.target = Some(to);
            if !core::mem::replace(&mut waiting.held, true) {
                self.retain(promise);
            }
            self.work.push_back(Work::Flush(promise));
            return;
        }
        self.release_node(to);
    }

    /// Passes on all that waits at `promise` and makes it a forward. More may arrive meanwhile.
    pub(crate) fn flush(&mut self, promise: Cap) {
        loop {
            let Some(Kind::Waiting(waiting)) = self.kind_mut(promise) else {
                return;
            };
            let Some(target) = waiting.target.filter(|_| waiting.embargoes == 0) else {
                return;
            };
            match waiting.queue.pop_front() {
                Some(Queued::Call(call)) => self.route_call(call, target),
                Some(Queued::Barrier { conn, embargo }) => {
                    self.route_barrier(conn, embargo, target);
                }
                None => {
                    let held = core::mem::take(&mut waiting.held);
                    waiting.target = None;
                    self.settle(promise, target);
                    if held {
                        self.release_node(promise);
                    }
                    return;
                }
            }
        }
    }

    /// Makes a promise at which nothing waits forward to `to`, whose reference it takes over, and
    /// tells everyone who knows it as a promise.
    pub(crate) fn settle(&mut self, promise: Cap, to: Cap) {
        let to = self.without_cycle(promise, to);
        let Some(node) = self.nodes.get_mut(promise.0) else {
            self.release_node(to);
            return;
        };
        let used = node.kind.is_used();
        node.kind = Kind::Forward(to);
        let watched = core::mem::take(&mut node.watched);
        self.detach_origin(promise);
        let end = self.follow(to);
        if used {
            // Its calls are under way to the same peer, so they count as sent to what it is now:
            // should that resolve to something of ours, they must come back first
            // (mirage/capnp-rpc #78).
            self.mark_used(end);
        }
        self.announce(promise, end);
        if watched {
            self.events.push_back(Event::Resolved(promise));
        }
    }

    /// Makes a promise of the peer's, to which calls are under way, wait until they have come
    /// back to us and only then forward to `to`, whose reference it takes over.
    pub(crate) fn embargo(&mut self, promise: Cap, to: Cap, embargoes: u32) {
        let to = self.without_cycle(promise, to);
        self.retain(promise);
        if let Some(node) = self.nodes.get_mut(promise.0) {
            let target = Some(to);
            let waiting = Waiting { target, embargoes, held: true, ..Waiting::default() };
            node.kind = Kind::Waiting(Box::new(waiting));
        }
        self.detach_origin(promise);
    }

    /// One disembargo for `promise` came back.
    pub(crate) fn lift_embargo(&mut self, promise: Cap) {
        if let Some(Kind::Waiting(waiting)) = self.kind_mut(promise) {
            waiting.embargoes = waiting.embargoes.saturating_sub(1);
            if waiting.embargoes == 0 {
                self.work.push_back(Work::Flush(promise));
            }
        }
    }

    /// Breaks a promise or import of any kind.
    pub(crate) fn break_node(&mut self, cap: Cap, reason: Exception) {
        match self.kind_mut(cap) {
            Some(Kind::Waiting(waiting)) => {
                // It may be under embargo by a connection that is gone: what waits cannot be put in order.
                waiting.embargoes = 0;
                let before = waiting.target.take();
                let broken = self.broken(reason);
                if let Some(Kind::Waiting(waiting)) = self.kind_mut(cap) {
                    waiting.target = Some(broken);
                }
                self.release_caps([before].into());
                self.work.push_back(Work::Flush(cap));
            }
            Some(Kind::Import { .. } | Kind::Pipeline { .. }) => {
                let broken = self.broken(reason);
                self.settle(cap, broken);
            }
            Some(Kind::Object(_) | Kind::Forward(_) | Kind::Broken(_)) | None => {}
        }
    }

    /// Sends a call on its way from `cap`.
    pub(crate) fn route_call(&mut self, call: CallId, cap: Cap) {
        let cap = self.follow(cap);
        match self.kind_mut(cap) {
            Some(Kind::Object(object)) => {
                let object = *object;
                self.deliver(call, object);
            }
            Some(Kind::Waiting(_)) => self.wait_at(cap, call),
            Some(Kind::Import { .. } | Kind::Pipeline { .. }) => self.send_call(call, cap),
            Some(Kind::Broken(reason)) => {
                let reason = reason.clone();
                self.finish_call(call, Err(reason));
            }
            Some(Kind::Forward(_)) | None => {
                self.finish_call(call, Err(Exception::failed("no such capability")));
            }
        }
    }

    /// Lets a call wait at a promise, unless it would wait for itself.
    fn wait_at(&mut self, cap: Cap, call: CallId) {
        if self.waits_for(cap, call) {
            let reason = "a call waits for its own result, or for those of too many others";
            return self.finish_call(call, Err(Exception::failed(reason)));
        }
        if let Some(record) = self.calls.get_mut(call.0) {
            record.waits_at = Some(cap);
        }
        self.enqueue(cap, Queued::Call(call));
    }

    /// Whether what `cap` stands for is known only when the result of `call` is: as a part of that, or of what a call is
    /// answered with that waits for it. Also where that cannot be seen in so many steps.
    fn waits_for(&self, cap: Cap, call: CallId) -> bool {
        let mut at = cap;
        for _ in 0..WAITING_CALLS_MAX {
            let Some(Node { kind: Kind::Waiting(waiting), origin, .. }) = self.nodes.get(at.0)
            else {
                return false;
            };
            if let Some(target) = waiting.target {
                at = target;
                continue;
            }
            let Some(origin) = origin.map(|origin| self.answers_for(origin)) else { return false };
            if origin == call {
                return true;
            }
            match self.calls.get(origin.0) {
                Some(Call { state: State::Waiting(_), waits_at: Some(next), .. }) => at = *next,
                _ => return false,
            }
        }
        true
    }

    /// Sends a disembargo of the peer's after the calls that it follows, and back from where the
    /// path leaves this vat or ends in it. It must wait behind every embargo on the way, since
    /// the calls before it do (capnproto-rust #529, mirage/capnp-rpc #59).
    pub(crate) fn route_barrier(&mut self, conn: ConnId, embargo: u32, cap: Cap) {
        let cap = self.follow(cap);
        match self.kind_mut(cap) {
            Some(Kind::Waiting(waiting)) if waiting.target.is_some() => {
                self.enqueue(cap, Queued::Barrier { conn, embargo });
            }
            _ => self.send_disembargo_reply(conn, embargo, cap),
        }
    }

    fn enqueue(&mut self, cap: Cap, item: Queued) {
        if let Some(Kind::Waiting(waiting)) = self.kind_mut(cap) {
            waiting.queue.push_back(item);
            if !core::mem::replace(&mut waiting.held, true) {
                self.retain(cap);
            }
        }
    }

    pub(crate) fn mark_used(&mut self, cap: Cap) {
        if let Some(Kind::Import { used, .. } | Kind::Pipeline { used, .. }) = self.kind_mut(cap) {
            *used = true;
        }
    }

    pub(crate) fn is_used(&self, cap: Cap) -> bool {
        self.nodes.get(cap.0).is_some_and(|node| node.kind.is_used())
    }

    pub(crate) fn kind_mut(&mut self, cap: Cap) -> Option<&mut Kind> {
        self.nodes.get_mut(cap.0).map(|node| &mut node.kind)
    }

    fn detach_origin(&mut self, cap: Cap) {
        if let Some(call) = self.nodes.get_mut(cap.0).and_then(|node| node.origin.take()) {
            self.unlink_pipeline(call, cap);
        }
    }
}
