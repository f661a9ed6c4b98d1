//! Channel: the event channel of one connection, by which each side wakes the other.

use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::task::{Context, Poll};
use flow::sync::{Notify, WakerSlot};
use machine::xen::event::Port;
use shared_ring::{Doorbell, Peer};

/// One end of an event channel, and who is to be told of what comes.
pub(crate) struct Channel {
    port: Port,
    peer: RefCell<Option<Peer>>,
    /// Waits for something to come before there is a flow.
    waiting: RefCell<WakerSlot>,
    /// The other end was bound: from then on it is missed when it is not.
    had_other_end: Cell<bool>,
    is_gone: Cell<bool>,
    /// There was an event since somebody asked.
    has_news: Cell<bool>,
    /// Told when this is dropped.
    ended: Rc<Notify>,
}

/// The doorbell of a flow.
pub struct Bell(Rc<Channel>);

impl Channel {
    /// An end that the other side has yet to bind, or that of a side that is there.
    pub(crate) fn new(port: Port, had_other_end: bool) -> Rc<Self> {
        Rc::new(Self {
            port,
            peer: RefCell::default(),
            waiting: RefCell::default(),
            had_other_end: Cell::new(had_other_end),
            is_gone: Cell::default(),
            has_news: Cell::default(),
            ended: Rc::default(),
        })
    }

    /// By what the other side binds it.
    pub(crate) fn number(&self) -> u32 {
        self.port.number()
    }

    /// Told once this has ended.
    pub(crate) fn ended(&self) -> Rc<Notify> {
        self.ended.clone()
    }

    /// Has the other side's doings told to this one's flow.
    pub(crate) fn attach(&self, peer: Peer) {
        self.had_other_end.set(true);
        self.peer.replace(Some(peer));
    }

    /// Takes an event, and where it is due, looks whether the other side is still there.
    pub(crate) fn poll(&self, is_due: bool) {
        let was_notified = self.port.take();
        self.has_news.set(was_notified || self.has_news.get());
        let is_lost = !self.port.is_open();
        let is_gone = is_lost || (is_due && self.misses_other_end());
        let is_news = is_gone && !self.is_gone.replace(true);
        match (is_news, is_lost) {
            // A restored domain shares nothing that it did.
            (true, true) => self.tell(Peer::handle_lost),
            (true, false) => self.tell(Peer::handle_gone),
            (false, _) if was_notified => self.tell(Peer::handle_notification),
            (false, _) => {}
        }
    }

    /// Whether there was an event since this was last asked.
    pub(crate) fn take_news(&self) -> bool {
        self.has_news.replace(false)
    }

    /// Ready when there was an event and `is_there` holds, with true; or once the other side is gone, with false.
    pub(crate) fn poll_until(&self, cx: &Context<'_>, is_there: impl Fn() -> bool) -> Poll<bool> {
        if is_there() {
            return Poll::Ready(true);
        }
        if self.is_gone.get() {
            return Poll::Ready(false);
        }
        self.waiting.borrow_mut().register(cx);
        Poll::Pending
    }

    fn misses_other_end(&self) -> bool {
        let has_other_end = self.port.has_other_end();
        let had_other_end = self.had_other_end.get();
        // One that was bound and closed before there was a flow may be bound again.
        had_other_end && !has_other_end
    }

    fn tell(&self, what: fn(&Peer)) {
        if let Some(peer) = &*self.peer.borrow() {
            what(peer);
        }
        let mut waiting = self.waiting.borrow_mut().take();
        waiting.wake();
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.ended.notify();
    }
}

impl Bell {
    pub(crate) fn new(channel: Rc<Channel>) -> Self {
        Self(channel)
    }
}

impl Doorbell for Bell {
    fn ring(&self) {
        self.0.port.notify();
    }
}
