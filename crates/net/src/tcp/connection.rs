//! Connection: a TCP engine's connection, the frames that carry it, and who holds it.
//!
//! Segments come in by [`Connection::receive`], go out by [`Connection::transmit`], and what the engine tells
//! of them wakes the flow. A [`TcpFlow`](crate::TcpFlow) is the other way to the engine.

mod input;
mod output;

pub(crate) use output::Transmitted;

use crate::counters::Counter;
use crate::link::path_mtu::PacketTooBig;
use crate::tcp::context::TcpContext;
use crate::time::Instant;
use crate::wire::TCP;
use crate::wire::template::HeaderTemplate;
use crate::wire::tuple::Tuple;
use ::tcp::{CloseReason, Events, State};
use alloc::rc::Rc;
use core::cell::{Ref, RefCell, RefMut};
use flow::sync::{WakerKey, WakerSlot};
use flow::{ConnectError, FlowError};

/// A connection, shared by the table that finds it and the flow that uses it.
pub(crate) struct Connection {
    pub(crate) tuple: Tuple,
    pub(crate) context: Rc<TcpContext>,
    /// Its number among those of the stack, from 1.
    pub(crate) number: u64,
    state: RefCell<Tcb>,
}

/// A transmission control block (RFC 9293 section 3.3.1): the engine's, and what frames and tasks add.
pub(crate) struct Tcb {
    pub(crate) engine: ::tcp::Connection,
    pub(crate) template: HeaderTemplate,
    pub(crate) owner: Owner,
    /// Where the table holds it.
    pub(crate) slot: u32,
    /// Listed among those that may have something to send.
    dirty: bool,
    /// Why the connection ended, where it was not in peace.
    pub(crate) end: Option<FlowError>,
    pub(crate) reader: WakerSlot,
    pub(crate) writer: WakerSlot,
    /// When it must be looked at again.
    pub(crate) deadline: Instant,
    /// The time of its one live entry in the timer heap, never later than the deadline.
    pub(crate) queued_at: Instant,
    pub(crate) opened_at: Instant,
    /// Bytes that the application wrote and read.
    pub(crate) written: u64,
    pub(crate) read: u64,
}

/// Somebody who waits for a connection to open, as long as there is another reference.
pub(crate) trait Opening {
    /// What became of it.
    fn complete(&self, outcome: Result<Rc<Connection>, ConnectError>);
}

/// Who has to do with a connection.
pub(crate) enum Owner {
    /// A task waits for it to open.
    Opening(Rc<dyn Opening>),
    /// A flow.
    Flow,
    /// Nobody since then: what was written is still delivered.
    Orphan(Instant),
}

impl Connection {
    pub(crate) fn new(
        tuple: Tuple,
        context: Rc<TcpContext>,
        engine: ::tcp::Connection,
        template: HeaderTemplate,
        owner: Owner,
    ) -> Rc<Self> {
        let tcb = Tcb {
            engine,
            template,
            owner,
            slot: u32::MAX,
            dirty: false,
            end: None,
            reader: WakerSlot::default(),
            writer: WakerSlot::default(),
            deadline: Instant::NEVER,
            queued_at: Instant::NEVER,
            opened_at: context.now.get(),
            written: 0,
            read: 0,
        };
        let number = context.next_number();
        Rc::new(Self { tuple, context, number, state: RefCell::new(tcb) })
    }

    pub(crate) fn tcb(&self) -> RefMut<'_, Tcb> {
        self.state.borrow_mut()
    }

    /// None while its flow shows received bytes, or space, to its owner.
    pub(crate) fn try_tcb(&self) -> Option<Ref<'_, Tcb>> {
        self.state.try_borrow().ok()
    }

    /// Who would be woken for it.
    pub(crate) fn waker(&self) -> Option<WakerKey> {
        let tcb = self.try_tcb()?;
        tcb.reader.key().or_else(|| tcb.writer.key())
    }

    /// Makes sure that the connection is asked what it has to send.
    pub(crate) fn mark(&self, tcb: &mut Tcb) {
        if !tcb.dirty {
            tcb.dirty = true;
            self.context.dirty.borrow_mut().push(tcb.slot);
        }
    }

    /// Ends the connection at once, without a word to the peer.
    pub(crate) fn cut(self: &Rc<Self>, reason: FlowError) {
        let mut tcb = self.tcb();
        tcb.end.get_or_insert(reason);
        tcb.engine.abort(&mut self.context.shared.borrow_mut());
        tcb.engine.release(&mut self.context.shared.borrow_mut());
        self.deliver(tcb);
    }

    /// The flow is gone: what was finished is still delivered, all else is reset.
    pub(crate) fn release(&self) {
        let mut tcb = self.tcb();
        tcb.owner = Owner::Orphan(self.context.now.get());
        (tcb.reader, tcb.writer) = (WakerSlot::default(), WakerSlot::default());
        if tcb.engine.state().may_queue() {
            tcb.abort(&self.context);
        } else {
            tcb.discard_received(&self.context);
        }
        self.mark(&mut tcb);
    }

    /// A router says that a packet was too long. Whether it is believed is the engine's to say.
    pub(crate) fn limit_packets(&self, message: &PacketTooBig) {
        let mut tcb = self.tcb();
        let before = tcb.engine.mss();
        let mss = self.context.mss(&self.tuple, message.mtu);
        tcb.engine.handle_path_mss(self.context.now.get(), mss, Some(message.seq));
        if tcb.engine.mss() < before {
            tcb.template.may_fragment |= message.is_absurd;
            self.remember_path(&tcb);
            self.mark(&mut tcb);
        }
    }

    /// A host or router says that the peer cannot be reached, about the segment with that number; true when that was
    /// the end of an open. A connection that exists lives on (RFC 5461 section 4.1).
    pub(crate) fn refuse(self: &Rc<Self>, seq: u32) -> bool {
        let mut tcb = self.tcb();
        tcb.engine.handle_unreachable(&mut self.context.shared.borrow_mut(), seq);
        let is_over = tcb.engine.is_over();
        self.deliver(tcb);
        is_over
    }

    /// New connections to the same destination begin with what this one has found.
    #[cold]
    fn remember_path(&self, tcb: &Tcb) {
        let mtu = usize::from(tcb.engine.mss()) + self.tuple.ip_header_len() + TCP;
        let remote = self.tuple.remote().ip();
        self.context.path_mtus.borrow_mut().insert(remote, mtu, self.context.now.get());
    }

    /// Tells whom it concerns what the engine tells, if it tells anything, once nothing is borrowed any more.
    #[inline]
    fn deliver(self: &Rc<Self>, mut tcb: RefMut<'_, Tcb>) {
        const READER: u16 = Events::READABLE | Events::PEER_FINISHED | Events::CLOSED;
        const WRITER: u16 = Events::WRITABLE | Events::DRAINED | Events::CLOSED;
        let events = tcb.engine.take_events();
        if !events.has(READER | WRITER | RARE) {
            return;
        }
        let mut reader = if events.has(READER) { tcb.reader.take() } else { WakerSlot::default() };
        let mut writer = if events.has(WRITER) { tcb.writer.take() } else { WakerSlot::default() };
        drop(tcb);
        if events.has(RARE) {
            self.handle_rare(events);
        }
        reader.wake();
        writer.wake();
    }

    /// Something that does not happen for each segment; nothing may be borrowed.
    #[cold]
    fn handle_rare(self: &Rc<Self>, events: Events) {
        let mut tcb = self.tcb();
        if events.has(Events::PATH_MSS) {
            self.remember_path(&tcb);
        }
        if events.has(Events::CLOSED) {
            tcb.end = tcb.end.or(flow_error(tcb.engine.close_reason()));
        }
        let Owner::Opening(request) = &tcb.owner else { return };
        let request = request.clone();
        if tcb.engine.state() == State::Closed {
            tcb.owner = Owner::Orphan(Instant::START);
            let failure = connect_error(tcb.engine.close_reason());
            drop(tcb);
            request.complete(Err(failure));
        } else if events.has(Events::CONNECTED) {
            tcb.owner = Owner::Flow;
            drop(tcb);
            self.context.counters.add(Counter::Connected);
            request.complete(Ok(self.clone()));
        }
    }
}

/// What does not happen for each segment.
const RARE: u16 = Events::CONNECTED | Events::PATH_MSS | Events::CLOSED;

/// Why a flow ended; nothing if it was in peace.
fn flow_error(reason: CloseReason) -> Option<FlowError> {
    match reason {
        CloseReason::Finished => None,
        CloseReason::Aborted => Some(FlowError::Closed),
        CloseReason::Refused | CloseReason::Reset => Some(FlowError::Reset),
        CloseReason::TimedOut => Some(FlowError::TimedOut),
        CloseReason::Unreachable => Some(FlowError::Down),
    }
}

/// Why no connection came to be.
fn connect_error(reason: CloseReason) -> ConnectError {
    match reason {
        CloseReason::Finished | CloseReason::Refused | CloseReason::Reset => ConnectError::Refused,
        CloseReason::TimedOut => ConnectError::TimedOut,
        CloseReason::Aborted | CloseReason::Unreachable => ConnectError::Unreachable,
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A panic may have left it borrowed; the memory is then lost to the budget.
        if let Ok(mut shared) = self.context.shared.try_borrow_mut() {
            self.state.get_mut().engine.release(&mut shared);
        }
    }
}

impl Tcb {
    /// Ends both directions, by a reset.
    pub(crate) fn abort(&mut self, context: &TcpContext) {
        self.end.get_or_insert(FlowError::Closed);
        self.engine.abort(&mut context.shared.borrow_mut());
    }

    /// An orphan's peer may go on sending until it sees our end; nobody reads that.
    fn discard_received(&mut self, context: &TcpContext) {
        let shared = &mut context.shared.borrow_mut();
        loop {
            let count = self.engine.received_mut().len();
            if count == 0 {
                return;
            }
            self.engine.consume(shared, context.now.get(), count);
            self.read += count as u64;
        }
    }
}
