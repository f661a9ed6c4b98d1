//! Flow: one side of a pair of rings as tasks use it, through [`flow::Flow`].

use crate::counters::{Counter, Counters};
use crate::inspection::{FlowInfo, FlowRow};
use crate::rings::{AnyLine, Doorbell, OpenFlow, Peer, Rings};
use crate::watch::{Watcher, Watchers};
use crate::{Fill, Readable, Ring, SharedMemory, Violation, Waits};
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::task::{Context, Poll};
use flow::sync::WakerSlot;
use flow::{Address, Flow, FlowError, Unread};

/// A flow through memory that two sides share.
///
/// What was written is the other side's once it is in the ring: dropping the flow after [`finish`](Flow::finish) loses none of
/// it as long as the memory lasts.
pub struct RingFlow<M: SharedMemory + 'static, D: Doorbell> {
    line: Rc<Line<M, D>>,
    /// Copied out of the ring, and not consumed.
    unread: Unread,
    _open: OpenFlow,
}

impl<M: SharedMemory + 'static, D: Doorbell> RingFlow<M, D> {
    pub(crate) fn new(line: Rc<Line<M, D>>) -> Self {
        let open = line.rings.count_open();
        Self { line, unread: Unread::default(), _open: open }
    }

    /// By which the transport tells what it learns of the other side.
    pub fn other_side(&self) -> Peer {
        let line: Rc<dyn AnyLine> = self.line.clone();
        Peer::new(Rc::downgrade(&line))
    }

    /// Has `write` write where there is room, which it is told; waits where there is none.
    fn poll_write_by(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(&Line<M, D>, usize) -> Result<usize, Violation>,
    ) -> Poll<Result<usize, FlowError>> {
        match self.line.poll_room(cx) {
            Poll::Ready(Ok(room)) => {
                let written = write(&self.line, room).map_err(|Violation| self.line.fail())?;
                self.line.count(Counter::BytesOut, written);
                self.line.note(written);
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<M: SharedMemory + 'static, D: Doorbell> Flow for RingFlow<M, D> {
    fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        if !self.unread.is_empty() {
            return Poll::Ready(Ok(self.unread.take(take)));
        }
        let line = self.line.clone();
        match line.poll_readable(cx) {
            Poll::Ready(Ok(Some(_))) => {}
            Poll::Ready(Ok(None)) => {
                take(&mut []);
                return Poll::Ready(Ok(0));
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
        // A copy is what the other side cannot change any more.
        let outcome = line.rings.with_scratch(|scratch| {
            let count = line.state.borrow_mut().ring.read(scratch)?;
            let consumed = take(&mut scratch[..count]).min(count);
            self.unread.keep(&scratch[consumed..count]);
            line.count(Counter::BytesIn, count);
            line.note(count);
            Ok(consumed)
        });
        Poll::Ready(outcome.map_err(|Violation| line.fail()))
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        // Not in the ring itself, which the other side could change while it is filled.
        self.poll_write_by(cx, |line, room| {
            line.rings.with_scratch(|scratch| {
                let space = room.min(scratch.len());
                let filled = fill(&mut scratch[..space]).min(space);
                line.state.borrow_mut().ring.write(&scratch[..filled])
            })
        })
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, FlowError>> {
        self.poll_write_by(cx, |line, _| line.state.borrow_mut().ring.write(bytes))
    }

    /// Ready when the other side has read everything.
    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        self.line.poll_delivered(cx)
    }

    fn finish(&mut self) {
        let mut state = self.line.state.borrow_mut();
        if !state.is_finished && state.error.is_none() {
            state.is_finished = true;
            state.ring.finish();
            drop(state);
            self.line.mark();
        }
    }

    fn abort(&mut self) {
        self.unread = Unread::default();
        self.line.end(FlowError::Closed);
    }

    fn peer(&self) -> Address {
        self.line.ends.peer
    }

    fn local(&self) -> Address {
        self.line.ends.local
    }
}

impl<M: SharedMemory + 'static, D: Doorbell> Drop for RingFlow<M, D> {
    fn drop(&mut self) {
        // Whoever has not finished is cut off by this: the other side sees that no end was said.
        self.line.end(FlowError::Closed);
    }
}

impl<M: SharedMemory + 'static, D: Doorbell> fmt::Debug for RingFlow<M, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ends { local, peer, .. } = self.line.ends;
        write!(f, "RingFlow({local} to {peer})")
    }
}

/// Bytes of which the other side is notified before the turn ends: a quarter of a ring, so that both sides work at the same time
/// and a ring takes few notifications, but no less than is moved at once.
const NOTIFY_BYTES_MIN: usize = 64 << 10;
const NOTIFY_SHARE: usize = 4;

/// A flow's state, which its transport reaches, too.
pub(crate) struct Line<M, D> {
    rings: Rings,
    ends: Ends,
    /// Its part of what the rings count.
    counters: Counters,
    watchers: Watchers,
    state: RefCell<State<M>>,
    doorbell: D,
    /// It is among those that may have to notify.
    is_marked: Cell<bool>,
    /// So many bytes are told of at once.
    notify_bytes: usize,
    /// Bytes that were read and written since the other side was told last.
    unnotified: Cell<usize>,
    /// It is among those whose other side is to be asked.
    is_heard: Cell<bool>,
    this: alloc::rc::Weak<Self>,
}

/// What a flow is known by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    /// Never given twice.
    pub(crate) number: u64,
    pub(crate) local: Address,
    pub(crate) peer: Address,
}

struct State<M> {
    ring: Ring<M>,
    reader: WakerSlot,
    writer: WakerSlot,
    awaited: Awaited,
    is_finished: bool,
    /// Why nothing more can be done on this side.
    error: Option<FlowError>,
}

/// What tasks wait for.
#[derive(Clone, Copy, Default)]
struct Awaited {
    bytes: bool,
    room: bool,
    delivery: bool,
}

impl From<Awaited> for Waits {
    fn from(awaited: Awaited) -> Self {
        Self { for_bytes: awaited.bytes, for_room: awaited.room || awaited.delivery }
    }
}

impl<M: SharedMemory> State<M> {
    /// Whether there is any of what tasks wait for, as these ways to look say. A rule that the other side broke, and its going,
    /// are for them to find.
    fn has_come(
        &mut self,
        readable: impl Fn(&mut Ring<M>) -> Result<Readable, Violation>,
        room: impl Fn(&mut Ring<M>) -> Result<usize, Violation>,
        undelivered: impl Fn(&mut Ring<M>) -> Result<usize, Violation>,
    ) -> bool {
        let (awaited, ring) = (self.awaited, &mut self.ring);
        // Each is asked for, whatever the others give.
        let bytes = awaited.bytes && readable(ring) != Ok(Readable::Nothing);
        let room = awaited.room && room(ring) != Ok(0);
        let delivery = awaited.delivery && !matches!(undelivered(ring), Ok(1..));
        let is_gone = (awaited.room || awaited.delivery) && !ring.has_peer();
        bytes || room || delivery || is_gone
    }
}

impl<M: SharedMemory + 'static, D: Doorbell> Line<M, D> {
    pub(crate) fn new(rings: Rings, ring: Ring<M>, doorbell: D, ends: Ends) -> Rc<Self> {
        let (reader, writer) = (WakerSlot::default(), WakerSlot::default());
        let awaited = Awaited::default();
        let Fill { incoming_ring_bytes, outgoing_ring_bytes, .. } = ring.fill();
        let smaller = incoming_ring_bytes.min(outgoing_ring_bytes);
        let state = State { ring, reader, writer, awaited, is_finished: false, error: None };
        Rc::new_cyclic(|this| Self {
            rings,
            ends,
            counters: Counters::default(),
            watchers: Watchers::default(),
            state: RefCell::new(state),
            doorbell,
            is_marked: Cell::new(false),
            notify_bytes: NOTIFY_BYTES_MIN.max(smaller / NOTIFY_SHARE),
            unnotified: Cell::new(0),
            is_heard: Cell::new(false),
            this: this.clone(),
        })
    }

    /// Counts for this flow, and for all. Each is a step that is watched: the state must not be in use.
    fn count(&self, counter: Counter, many: usize) {
        let many = many as u64;
        self.counters.add_many(counter, many);
        self.rings.counters().add_many(counter, many);
        self.show();
    }

    fn show(&self) {
        self.watchers.show(|| self.info());
    }

    /// None while the state is in use.
    fn info(&self) -> Option<FlowInfo> {
        let state = self.state.try_borrow().ok()?;
        Some(FlowInfo::new(&state.ring, &self.counters.counts(), state.awaited.into()))
    }

    /// The other side may have to be notified, at the end of the turn.
    pub(crate) fn mark(&self) {
        if let (false, Some(this)) = (self.is_marked.get(), self.this.upgrade()) {
            self.is_marked.set(true);
            self.rings.owe(this);
        }
    }

    /// So much was read or written. The other side may have to be notified at the end of the turn, and of much at once, so that
    /// both sides work at the same time.
    fn note(&self, bytes: usize) {
        self.unnotified.set(self.unnotified.get() + bytes);
        if self.unnotified.get() < self.notify_bytes {
            self.mark();
        } else {
            self.notify_of_all();
        }
    }

    fn notify_of_all(&self) {
        self.unnotified.set(0);
        let mut state = self.state.borrow_mut();
        if !state.ring.may_transmit() {
            return;
        }
        let is_asked = state.ring.poll_transmit();
        drop(state);
        if is_asked {
            self.doorbell.ring();
        }
        let counter = if is_asked { Counter::NotificationsOut } else { Counter::Suppressed };
        self.count(counter, 1);
    }

    /// The other side is to be asked, before the loop sleeps, to notify this one.
    fn hear(&self) {
        if !self.is_heard.replace(true) {
            self.rings.hear(self.this.clone());
        }
    }

    /// Bytes to read; none at the end.
    fn poll_readable(&self, cx: &Context<'_>) -> Poll<Result<Option<usize>, FlowError>> {
        let mut state = self.state.borrow_mut();
        if let Some(error) = state.error {
            return Poll::Ready(Err(error));
        }
        match state.ring.readable() {
            Ok(Readable::Bytes(count)) => Poll::Ready(Ok(Some(count))),
            Ok(Readable::End) => Poll::Ready(Ok(None)),
            Ok(Readable::CutOff) => Poll::Ready(Err(FlowError::Reset)),
            Ok(Readable::Nothing) => {
                state.reader.register(cx);
                state.awaited.bytes = true;
                drop(state);
                self.hear();
                self.count(Counter::EmptyStalls, 1);
                Poll::Pending
            }
            Err(Violation) => {
                drop(state);
                Poll::Ready(Err(self.fail()))
            }
        }
    }

    fn poll_room(&self, cx: &Context<'_>) -> Poll<Result<usize, FlowError>> {
        let mut state = self.state.borrow_mut();
        match state.error {
            Some(error) => return Poll::Ready(Err(error)),
            None if state.is_finished => return Poll::Ready(Err(FlowError::Closed)),
            None if !state.ring.has_peer() => return Poll::Ready(Err(FlowError::Reset)),
            None => {}
        }
        match state.ring.room() {
            Ok(0) => {
                state.writer.register(cx);
                state.awaited.room = true;
                drop(state);
                self.hear();
                self.count(Counter::FullStalls, 1);
                Poll::Pending
            }
            Ok(room) => Poll::Ready(Ok(room)),
            Err(Violation) => {
                drop(state);
                Poll::Ready(Err(self.fail()))
            }
        }
    }

    fn poll_delivered(&self, cx: &Context<'_>) -> Poll<Result<(), FlowError>> {
        let mut state = self.state.borrow_mut();
        if let Some(error) = state.error {
            return Poll::Ready(Err(error));
        }
        // Whether it is there before what it has read: it may have read all and gone.
        let has_peer = state.ring.has_peer();
        match state.ring.undelivered() {
            Ok(0) => Poll::Ready(Ok(())),
            Ok(_) if !has_peer => Poll::Ready(Err(FlowError::Reset)),
            Ok(_) => {
                state.writer.register(cx);
                state.awaited.delivery = true;
                self.hear();
                Poll::Pending
            }
            Err(Violation) => {
                drop(state);
                Poll::Ready(Err(self.fail()))
            }
        }
    }

    /// The other side broke the rules.
    fn fail(&self) -> FlowError {
        if self.state.borrow().error.is_none() {
            self.count(Counter::Violations, 1);
            log::warn!("shared memory: {Violation}; the connection is cut");
            self.end(FlowError::Reset);
        }
        FlowError::Reset
    }

    /// Ends both directions on this side, and tells the other.
    fn end(&self, why: FlowError) {
        let mut state = self.state.borrow_mut();
        state.error.get_or_insert(why);
        state.ring.close();
        drop(state);
        self.show();
        self.mark();
    }

    fn wake(&self) {
        let mut state = self.state.borrow_mut();
        state.awaited = Awaited::default();
        let (mut reader, mut writer) = (state.reader.take(), state.writer.take());
        drop(state);
        reader.wake();
        writer.wake();
    }
}

impl<M: SharedMemory + 'static, D: Doorbell> AnyLine for Line<M, D> {
    fn notify(&self) {
        self.is_marked.set(false);
        self.notify_of_all();
    }

    fn poll(&self) -> bool {
        let found = self.state.borrow_mut().has_come(Ring::readable, Ring::room, Ring::undelivered);
        if found {
            self.wake();
        }
        found
    }

    fn ask(&self) -> bool {
        self.is_heard.set(false);
        let found = self.state.borrow_mut().has_come(
            Ring::await_readable,
            Ring::await_room,
            Ring::await_delivery,
        );
        if found {
            self.wake();
        }
        found
    }

    fn number(&self) -> u64 {
        self.ends.number
    }

    fn row(&self) -> FlowRow {
        let Ends { number, local, peer } = self.ends;
        // Whoever looks may be the flow's own task, in the middle of its work.
        let state = self.state.try_borrow().ok();
        let waker = state.and_then(|state| state.reader.key().or_else(|| state.writer.key()));
        FlowRow { number, local, peer, waker, task: None, info: self.info() }
    }

    fn watch(&self, watcher: &Rc<dyn Watcher>) {
        self.watchers.add(watcher);
    }

    fn handle_notification(&self) {
        self.count(Counter::NotificationsIn, 1);
        self.wake();
    }

    fn handle_gone(&self) {
        self.state.borrow_mut().ring.handle_gone();
        self.wake();
    }

    fn handle_lost(&self) {
        self.end(FlowError::Reset);
        self.wake();
    }
}
