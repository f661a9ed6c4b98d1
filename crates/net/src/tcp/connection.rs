//! One connection: its socket, and what smoltcp does not keep of it.

pub(crate) mod buffers;
pub(crate) mod engine;
pub(crate) mod fast_path;
pub(crate) mod output;
pub(crate) mod pooled_buffer;
pub(crate) mod retransmission;
pub(crate) mod socket;
pub(crate) mod zero_copy;

use crate::device::Transmit;
use crate::tcp::connection::buffers::Sizes;
use crate::tcp::connection::engine::Body;
use crate::tcp::connection::fast_path::Calm;
use crate::tcp::connection::output::{Outcome, Path};
use crate::tcp::connection::retransmission::Clock;
use crate::tcp::connection::socket::Synchronized;
use crate::tcp::context::Shared;
use crate::time::{Moment, Span};
use crate::wire::segment::{Offer, Segment};
use crate::wire::template::HeaderTemplate;
use crate::wire::tuple::Tuple;
use alloc::rc::Rc;
use core::cell::{RefCell, RefMut};
use core::task::Waker;
use flow::FlowError;
use smoltcp::socket::tcp::State;

/// A connection, shared by the table that finds it and the flow that uses it.
pub(crate) struct Connection {
    pub(crate) tuple: Tuple,
    pub(crate) shared: Rc<Shared>,
    state: RefCell<Tcb>,
}

/// A transmission control block (RFC 9293 section 3.3.1), as far as it is ours.
pub(crate) struct Tcb {
    pub(crate) body: Body,
    /// Where the table holds it.
    pub(crate) slot: u32,
    pub(crate) template: HeaderTemplate,
    pub(crate) offer: Offer,
    /// Listed among those that may have something to send.
    dirty: bool,
    /// A flow holds the connection; else it is an orphan.
    pub(crate) held: bool,
    /// The application wrote its last byte.
    pub(crate) finished: bool,
    /// The application found the transmit ring full, since it was made.
    pub(crate) write_starved: bool,
    /// Why the connection ended, where it was not in peace.
    pub(crate) end: Option<FlowError>,
    /// The largest part of the receive ring that was ever in use, since it was made.
    pub(crate) receive_peak: usize,
    /// The peer has not been told of this socket's window, which smoltcp takes for announced.
    pub(crate) owes_window: bool,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
    /// When it must be looked at again.
    pub(crate) deadline: Moment,
    /// The time of its one live entry in the timer heap, never later than the deadline.
    pub(crate) queued_at: Moment,
    /// When an orphan is given up.
    pub(crate) orphan_until: Moment,
    pub(crate) opened_at: Moment,
    pub(crate) heard_at: Moment,
    /// Since when something unacknowledged is on its way.
    pub(crate) waiting_since: Option<Moment>,
    /// When it is sent again.
    pub(crate) clock: Clock,
    /// The peer's window after its last acceptable segment.
    pub(crate) peer_window: u32,
    /// The sequence number of the first byte of each direction.
    send_base: u32,
    receive_base: u32,
    /// Bytes that the application wrote and read.
    pub(crate) written: u64,
    pub(crate) read: u64,
    /// The sequence number after the last one sent.
    pub(crate) sent_end: u32,
    pub(crate) retransmits: u32,
    /// Bytes received since anything was sent.
    pub(crate) unanswered: u32,
    /// An acknowledgement of this number ends the measurement begun then.
    pub(crate) probe: Option<(u32, Moment)>,
    /// RFC 6298's smoothed round-trip time.
    pub(crate) round_trip: Option<Span>,
}

impl Connection {
    pub(crate) fn new(tuple: Tuple, shared: Rc<Shared>, tcb: Tcb) -> Self {
        Self { tuple, shared, state: RefCell::new(tcb) }
    }

    pub(crate) fn tcb(&self) -> RefMut<'_, Tcb> {
        self.state.borrow_mut()
    }

    /// Makes sure that the connection is asked what it has to send.
    pub(crate) fn mark(&self, tcb: &mut Tcb) {
        if !tcb.dirty {
            tcb.dirty = true;
            self.shared.dirty.borrow_mut().push(tcb.slot);
        }
    }

    /// Takes a segment that was sent to this connection and wakes whom it concerns; true when it
    /// was the last.
    pub(crate) fn receive(
        &self,
        path: &mut Path,
        segment: &Segment,
        output: &mut dyn Transmit,
    ) -> bool {
        let mut tcb = self.tcb();
        let wakes = tcb.receive(self, path, segment, output);
        if wakes.egress {
            self.mark(&mut tcb);
        }
        let reader = if wakes.reader { tcb.reader.take() } else { None };
        let writer = if wakes.writer { tcb.writer.take() } else { None };
        drop(tcb);
        wake(reader, writer);
        wakes.gone
    }

    /// Sends what can be sent.
    pub(crate) fn transmit(&self, path: &mut Path, output: &mut dyn Transmit) -> Outcome {
        let mut tcb = self.tcb();
        tcb.dirty = false;
        let outcome = tcb.transmit(self, path, output);
        if tcb.end.is_some() {
            let (reader, writer) = (tcb.reader.take(), tcb.writer.take());
            drop(tcb);
            wake(reader, writer);
        }
        outcome
    }

    /// Ends the connection at once, without a word to the peer.
    pub(crate) fn cut(&self, reason: FlowError) {
        let mut tcb = self.tcb();
        tcb.end.get_or_insert(reason);
        tcb.body.abort();
        let (reader, writer) = (tcb.reader.take(), tcb.writer.take());
        drop(tcb);
        wake(reader, writer);
    }

    /// The flow is gone: what was finished is still delivered, all else is reset.
    pub(crate) fn release(&self) {
        let mut tcb = self.tcb();
        tcb.held = false;
        (tcb.reader, tcb.writer) = (None, None);
        if tcb.finished {
            tcb.orphan_until = self.shared.now.get() + self.shared.spans.orphan;
            tcb.discard_received(&self.shared);
        } else {
            tcb.abort();
        }
        self.mark(&mut tcb);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        buffers::give_back(&self.shared, &mut self.state.get_mut().body);
    }
}

fn wake(reader: Option<Waker>, writer: Option<Waker>) {
    if let Some(reader) = reader {
        reader.wake();
    }
    if let Some(writer) = writer {
        writer.wake();
    }
}

impl Tcb {
    /// A connection that came to be at `now`, in whose handshake the peer was told of rings of
    /// these sizes.
    pub(crate) fn new(
        sizes: Sizes,
        with: &Synchronized,
        template: HeaderTemplate,
        now: Moment,
    ) -> Self {
        let told = with.receive_next.wrapping_add(sizes.receive as u32);
        Self {
            body: Body::Calm(Calm::new(sizes, told)),
            slot: u32::MAX,
            template,
            offer: with.offer,
            dirty: false,
            held: true,
            finished: false,
            write_starved: false,
            end: None,
            receive_peak: 0,
            owes_window: false,
            reader: None,
            writer: None,
            deadline: Moment::NEVER,
            queued_at: Moment::NEVER,
            orphan_until: Moment::NEVER,
            opened_at: now,
            heard_at: now,
            waiting_since: None,
            clock: Clock::STOPPED,
            peer_window: with.window,
            send_base: with.send_next,
            receive_base: with.receive_next,
            written: 0,
            read: 0,
            sent_end: with.send_next,
            retransmits: 0,
            unanswered: 0,
            probe: None,
            round_trip: None,
        }
    }

    /// RFC 9293's name of its state.
    pub(crate) fn state(&self) -> State {
        self.body.state(self.finished)
    }

    /// The first sequence number of our own that the peer has not acknowledged, data only.
    pub(crate) fn unacknowledged(&self) -> u32 {
        self.queue_end().wrapping_sub(self.body.queued() as u32)
    }

    /// The sequence number after the last byte that the application wrote.
    pub(crate) fn queue_end(&self) -> u32 {
        self.send_base.wrapping_add(self.written as u32)
    }

    /// The first sequence number of the peer's that has not arrived; its FIN takes one.
    #[inline]
    pub(crate) fn receive_next(&self) -> u32 {
        let arrived = self.body.unread() as u32 + u32::from(self.body.peer_ended());
        self.read_next().wrapping_add(arrived)
    }

    /// The sequence number of the first byte that the application has not read.
    pub(crate) fn read_next(&self) -> u32 {
        self.receive_base.wrapping_add(self.read as u32)
    }

    /// Ends both directions; the peer is told.
    pub(crate) fn abort(&mut self) {
        self.end.get_or_insert(FlowError::Closed);
        self.body.abort();
    }

    pub(crate) fn measure(&mut self, sample: Span) {
        self.probe = None;
        self.round_trip = Some(self.round_trip.map_or(sample, |old| old.smoothed(sample)));
    }

    /// An orphan's peer may go on sending until it sees our end; nobody reads that.
    pub(crate) fn discard_received(&mut self, shared: &Shared) {
        while let Ok(count @ 1..) = self.body.read(shared, |bytes| (bytes.len(), bytes.len())) {
            self.read += count as u64;
        }
    }
}
