//! Account: what one peer makes us hold, and how it is held back.

use super::Service;
use crate::sync::{WakerKey, WakerSlot};
use alloc::rc::Rc;
use core::cell::Cell;
use core::fmt;
use core::task::Context;

/// What one peer makes us hold. Its owner is the peer's connection; dropped, only [`Weight`]s are left of it.
pub struct Account(Rc<Entry>);

/// Takes weights on an account, for parts that do not own it. Clones are of the same account.
#[derive(Clone)]
pub struct Holder(Rc<Entry>);

/// Bytes that are held on an account, until this is dropped.
pub struct Weight {
    entry: Rc<Entry>,
    bytes: usize,
}

/// How a peer is to be held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// Not at all.
    None,
    /// Nothing is read of it that makes us hold more. Its task is woken when that changes.
    Pause,
    /// It is read, and what is new is refused.
    Refuse,
    /// It is to end at once.
    End(Overload),
}

/// Whose limit an account was told to end for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overload {
    /// The peer's own.
    Peer,
    /// The service's, of whose peers it held the most.
    Service,
    /// The machine's, of whose peers it held the most.
    Machine,
}

pub(super) struct Entry {
    service: Rc<Service>,
    /// What the connection says of itself, and all with the weights.
    stated: Cell<usize>,
    held: Cell<usize>,
    is_large: Cell<bool>,
    ending: Cell<Option<Overload>>,
    /// Its task, to be woken when it may go on, or is to end.
    task: Cell<WakerSlot>,
    is_waiting: Cell<bool>,
    /// Its task is known, and there is nothing to be said to it while memory is not short.
    is_quiet: Cell<bool>,
}

impl Account {
    pub(super) fn new(service: &Rc<Service>) -> Self {
        Self(Rc::new(Entry {
            service: service.clone(),
            stated: Cell::new(0),
            held: Cell::new(0),
            is_large: Cell::new(false),
            ending: Cell::new(None),
            task: Cell::default(),
            is_waiting: Cell::new(false),
            is_quiet: Cell::new(false),
        }))
    }

    /// The connection itself holds so many bytes from now on.
    #[inline]
    pub fn set(&self, bytes: usize) {
        self.0.state(bytes);
    }

    /// Holds so many bytes more, until the weight is dropped.
    pub fn take(&self, bytes: usize) -> Weight {
        Weight::new(&self.0, bytes)
    }

    /// By which others take weights on this account.
    pub fn holder(&self) -> Holder {
        Holder(self.0.clone())
    }

    /// Bytes held, with all weights.
    pub fn held_bytes(&self) -> usize {
        self.0.held()
    }

    /// What it is called in the log.
    pub fn service_name(&self) -> &'static str {
        self.0.service.name
    }

    /// How the peer is to be held back now. The task of `cx` is woken when it may be read again after a
    /// [`Pause`](Pressure::Pause), and when it is to [end](Pressure::End).
    #[inline]
    pub fn pressure(&self, cx: &Context<'_>) -> Pressure {
        if self.0.is_at_rest() { Pressure::None } else { self.0.pressure(cx) }
    }

    /// Nothing holds it back, nor is about to.
    #[inline]
    pub fn is_calm(&self) -> bool {
        self.0.is_at_rest()
    }

    /// Something new of this peer is refused: see [`ServiceLedger::make_room`](super::ServiceLedger::make_room).
    pub fn make_room(&self) {
        self.0.service.make_room();
    }

    /// The connection holds so many bytes still, and is not held back.
    #[inline]
    pub fn is_at_rest(&self, bytes: usize) -> bool {
        self.0.stated.get() == bytes && self.0.is_at_rest()
    }
}

impl Drop for Account {
    /// What was said of the connection itself is no longer held.
    fn drop(&mut self) {
        self.0.task.take();
        self.0.is_waiting.set(false);
        self.set(0);
        // It may have gone on above the mark, and what is left is not read.
        self.0.give_way();
        self.0.service.resume();
    }
}

impl Holder {
    /// As [`Account::set`]: for whoever takes from the connection, which need not be woken for that.
    pub fn set(&self, bytes: usize) {
        self.0.state(bytes);
    }

    /// Holds so many bytes more, until the weight is dropped.
    pub fn take(&self, bytes: usize) -> Weight {
        Weight::new(&self.0, bytes)
    }
}

impl Weight {
    fn new(entry: &Rc<Entry>, bytes: usize) -> Self {
        entry.change(0, bytes);
        Self { entry: entry.clone(), bytes }
    }

    /// Bytes that it stands for.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.entry.change(self.bytes, 0);
    }
}

impl Entry {
    #[inline]
    fn state(self: &Rc<Self>, bytes: usize) {
        let before = self.stated.get();
        if bytes != before {
            self.change(before, bytes);
            self.stated.set(bytes);
        }
    }

    /// Its task, as far as it is known.
    pub(super) fn waker(&self) -> Option<WakerKey> {
        let task = self.task.take();
        let key = task.key();
        self.task.set(task);
        key
    }

    #[inline]
    pub(super) fn held(&self) -> usize {
        self.held.get()
    }

    #[inline]
    fn is_at_rest(&self) -> bool {
        self.is_quiet.get() && !self.service.is_tense.get()
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.get().is_some()
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.is_waiting.get()
    }

    /// Tells it to end.
    pub(super) fn end(&self, overload: Overload) {
        if self.ending.get().is_some() {
            return;
        }
        self.ending.set(Some(overload));
        let held = self.held();
        self.service.ended.update(|count| count + 1);
        self.service.scope.change_ending(0, held);
        self.service.machine.scope.change_ending(0, held);
        self.wake();
    }

    /// Wakes the task.
    pub(super) fn wake(&self) {
        self.is_waiting.set(false);
        let mut task = self.task.take();
        task.take().wake();
        self.is_quiet.set(false);
    }

    /// By which the scopes know it.
    fn number(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    fn pressure(&self, cx: &Context<'_>) -> Pressure {
        let mut task = self.task.take();
        task.register(cx);
        self.task.set(task);
        self.is_quiet.set(!self.is_large.get() && self.ending.get().is_none());
        self.is_waiting.set(false);
        if let Some(overload) = self.ending.get() {
            return Pressure::End(overload);
        }
        if self.is_above_mark() || (self.is_large.get() && !self.is_admitted()) {
            self.is_waiting.set(true);
            return Pressure::Pause;
        }
        if self.service.refuses() { Pressure::Refuse } else { Pressure::None }
    }

    /// It holds so much itself that it waits, however much room there is.
    fn is_above_mark(&self) -> bool {
        self.held() >= self.service.peer_limit_bytes / 2
    }

    fn is_admitted(&self) -> bool {
        let (service, machine) = (&self.service.scope, &self.service.machine.scope);
        (!service.pauses() || service.admits(self.number()))
            && (!machine.pauses() || machine.admits(self.number()))
    }

    /// A part of what it holds was `before` and is `after`.
    fn change(self: &Rc<Self>, before: usize, after: usize) {
        let held = self.held().wrapping_add(after).wrapping_sub(before);
        if (held > self.service.share()) != self.is_large.get() {
            self.sort(!self.is_large.get());
        }
        self.held.set(held);
        self.service.change(before, after);
        if self.is_ending() {
            let (service, machine) = (&self.service.scope, &self.service.machine.scope);
            service.change_ending(before, after);
            machine.change_ending(before, after);
        }
        if after > before { self.has_grown() } else { self.has_shrunk() }
    }

    /// Puts it among the large ones of its service, or takes it away.
    fn sort(self: &Rc<Self>, is_large: bool) {
        let mut large = self.service.large.borrow_mut();
        if is_large {
            large.push(Rc::downgrade(self));
        } else if let Some(at) = large.iter().position(|other| other.as_ptr() == Rc::as_ptr(self)) {
            large.swap_remove(at);
        }
        self.is_large.set(is_large);
        self.is_quiet.set(false);
    }

    fn has_grown(&self) {
        if self.held() > self.service.peer_limit_bytes {
            self.end(Overload::Peer);
        }
        self.service.end_greediest(self);
    }

    fn has_shrunk(&self) {
        if !self.is_large.get() {
            self.give_way();
        }
        if self.is_waiting.get() && !self.is_above_mark() {
            self.wake();
        }
        self.service.resume();
    }

    /// It no longer needs to go on above the marks.
    fn give_way(&self) {
        self.service.scope.gives_way(self.number());
        self.service.machine.scope.gives_way(self.number());
    }
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Peer => "more than one peer may",
            Self::Service => "the most of all while the service has no memory left",
            Self::Machine => "the most of all while the machine has no memory left",
        })
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({}: {} bytes)", self.service_name(), self.held_bytes())
    }
}

impl fmt::Debug for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Weight({} bytes)", self.bytes)
    }
}
