//! Load of a service: the requests that are being handled, and whose they are.

use crate::zmq::{PeerId, ZmqSocket};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::Poll;
use flow::sync::WakerList;

/// The requests that are being handled.
///
/// A caller may have as many as there are places free; beyond that its further ones wait in its connection
/// (dynamic thresholds, as switches have them for shared buffers: Choudhury and Hahne 1998). So one
/// caller alone has half of all places at most, and there is always one for somebody else.
pub(super) struct Load {
    socket: ZmqSocket,
    requests_max: usize,
    live: Cell<usize>,
    /// Those that there ever were.
    begun: Cell<u64>,
    draining: Cell<bool>,
    callers: RefCell<BTreeMap<PeerId, Caller>>,
    /// Callers that are held back.
    held_back: Cell<usize>,
    /// Who waits for there to be fewer requests.
    waiting: WakerList,
}

#[derive(Default)]
struct Caller {
    live: usize,
    is_held_back: bool,
}

/// A request's place among those being handled; free again when this is dropped, however that comes.
pub(super) struct Slot {
    load: Rc<Load>,
    caller: PeerId,
}

impl Load {
    pub(super) fn new(socket: &ZmqSocket, requests_max: usize) -> Rc<Self> {
        Rc::new(Self {
            socket: socket.clone(),
            requests_max,
            live: Cell::default(),
            begun: Cell::default(),
            draining: Cell::default(),
            callers: RefCell::default(),
            held_back: Cell::default(),
            waiting: WakerList::default(),
        })
    }

    /// Requests that are being handled.
    pub(super) fn live(&self) -> usize {
        self.live.get()
    }

    /// Requests that were or are being handled.
    pub(super) fn begun(&self) -> u64 {
        self.begun.get()
    }

    /// Takes no more of them.
    pub(super) fn drain(&self) {
        self.draining.set(true);
        self.waiting.wake();
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Waits for a free place.
    pub(super) async fn has_room(&self) {
        self.falls_below(self.requests_max).await;
    }

    /// Waits until no request is being handled.
    pub(super) async fn is_over(&self) {
        self.falls_below(1).await;
    }

    async fn falls_below(&self, count: usize) {
        poll_fn(|cx| {
            if self.live() < count {
                return Poll::Ready(());
            }
            self.waiting.register(cx);
            Poll::Pending
        })
        .await;
    }

    /// Whether a caller with so many requests must wait with its next.
    fn is_too_many(&self, live: usize) -> bool {
        live > 0 && live >= self.requests_max.saturating_sub(self.live())
    }

    /// Places are free again: callers that waited for them go on.
    fn let_go_on(&self) {
        if self.held_back.get() == 0 {
            return;
        }
        for (&peer, caller) in self.callers.borrow_mut().iter_mut() {
            if caller.is_held_back && !self.is_too_many(caller.live) {
                caller.is_held_back = false;
                self.held_back.update(|count| count - 1);
                self.socket.hold_back(peer, false);
            }
        }
    }
}

impl Slot {
    /// For a request of this caller.
    pub(super) fn take(load: &Rc<Load>, peer: PeerId) -> Self {
        let mut callers = load.callers.borrow_mut();
        let caller = callers.entry(peer).or_default();
        load.live.update(|live| live + 1);
        load.begun.update(|begun| begun + 1);
        caller.live += 1;
        if !caller.is_held_back && load.is_too_many(caller.live) {
            caller.is_held_back = true;
            load.held_back.update(|count| count + 1);
            load.socket.hold_back(peer, true);
        }
        Self { load: load.clone(), caller: peer }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let load = &self.load;
        load.live.update(|live| live - 1);
        if let Some(caller) = load.callers.borrow_mut().get_mut(&self.caller) {
            caller.live -= 1;
        }
        load.let_go_on();
        let mut callers = load.callers.borrow_mut();
        if callers.get(&self.caller).is_some_and(|caller| caller.live == 0) {
            callers.remove(&self.caller);
        }
        drop(callers);
        load.waiting.wake();
    }
}
