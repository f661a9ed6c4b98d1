//! Connection: the transmission control block (TCB, RFC 9293 section 3.3.1), and who holds it.
//!
//! What moves its bytes is an [`engine`]: the [`fast_path`] while each segment is the expected one, else a
//! smoltcp [`socket`]. Segments come in by [`input`] and go out by [`output`]; [`timers`],
//! [`retransmission`] and [`buffers`] are what happens beside.

pub(crate) mod buffer_pool;
pub(crate) mod buffers;
pub(crate) mod engine;
pub(crate) mod fast_path;
pub(crate) mod input;
pub(crate) mod lower_layer;
pub(crate) mod outcome;
pub(crate) mod output;
pub(crate) mod retransmission;
pub(crate) mod rto;
pub(crate) mod socket;
pub(crate) mod timers;
pub(crate) mod zero_copy;

use crate::device::Transmit;
use crate::tcp::connection::buffer_pool::BufferSizes;
use crate::tcp::connection::engine::Engine;
use crate::tcp::connection::fast_path::FastPath;
use crate::tcp::connection::rto::RetransmissionTimer;
use crate::tcp::connection::socket::Synchronized;
use crate::tcp::connection::{lower_layer::LowerLayer, outcome::EgressOutcome};
use crate::tcp::context::TcpContext;
use crate::time::{Duration, Instant};
use crate::wire::segment::{Segment, SynOptions};
use crate::wire::template::HeaderTemplate;
use crate::wire::tuple::Tuple;
use alloc::rc::Rc;
use core::cell::{RefCell, RefMut};
use flow::FlowError;
use flow::sync::WakerSlot;
use smoltcp::socket::tcp::State;

/// A connection, shared by the table that finds it and the flow that uses it.
pub(crate) struct Connection {
    pub(crate) tuple: Tuple,
    pub(crate) context: Rc<TcpContext>,
    state: RefCell<Tcb>,
}

/// A transmission control block (RFC 9293 section 3.3.1), as far as it is ours.
pub(crate) struct Tcb {
    pub(crate) engine: Engine,
    /// Where the table holds it.
    pub(crate) slot: u32,
    pub(crate) template: HeaderTemplate,
    pub(crate) offer: SynOptions,
    /// Listed among those that may have something to send.
    dirty: bool,
    /// A flow holds the connection; else it is an orphan.
    pub(crate) held: bool,
    /// The application wrote its last byte.
    pub(crate) finished: bool,
    /// The application found the transmit ring full, since it was made.
    pub(crate) send_buffer_was_full: bool,
    /// Why the connection ended, where it was not in peace.
    pub(crate) end: Option<FlowError>,
    /// The largest part of the receive ring that was ever in use, since it was made.
    pub(crate) receive_peak: usize,
    /// A window update (RFC 9293 section 3.8.6) is due: smoltcp takes a new socket's window for announced,
    /// and the peer does not know it.
    pub(crate) owes_window_update: bool,
    pub(crate) reader: WakerSlot,
    pub(crate) writer: WakerSlot,
    /// When it must be looked at again.
    pub(crate) deadline: Instant,
    /// The time of its one live entry in the timer heap, never later than the deadline.
    pub(crate) queued_at: Instant,
    /// When an orphan is given up.
    pub(crate) orphan_until: Instant,
    pub(crate) opened_at: Instant,
    pub(crate) last_heard_at: Instant,
    /// Since when something unacknowledged is on its way.
    pub(crate) waiting_since: Option<Instant>,
    /// When it is sent again.
    pub(crate) rto: RetransmissionTimer,
    /// The peer's window after its last acceptable segment.
    pub(crate) snd_wnd: u32,
    /// The sequence number of the first byte of each direction.
    snd_start: u32,
    rcv_start: u32,
    /// Bytes that the application wrote and read.
    pub(crate) written: u64,
    pub(crate) read: u64,
    /// The sequence number after the last one sent.
    pub(crate) snd_nxt: u32,
    pub(crate) retransmits: u32,
    /// Bytes received since anything was sent.
    pub(crate) received_unacked: u32,
    /// An acknowledgement of this number ends the measurement begun then.
    pub(crate) probe: Option<(u32, Instant)>,
    /// RFC 6298's smoothed round-trip time.
    pub(crate) srtt: Option<Duration>,
}

impl Connection {
    pub(crate) fn new(tuple: Tuple, context: Rc<TcpContext>, tcb: Tcb) -> Self {
        Self { tuple, context, state: RefCell::new(tcb) }
    }

    pub(crate) fn tcb(&self) -> RefMut<'_, Tcb> {
        self.state.borrow_mut()
    }

    /// Makes sure that the connection is asked what it has to send.
    pub(crate) fn mark(&self, tcb: &mut Tcb) {
        if !tcb.dirty {
            tcb.dirty = true;
            self.context.dirty.borrow_mut().push(tcb.slot);
        }
    }

    /// Takes a segment that was sent to this connection and wakes whom it concerns; true when it
    /// was the last.
    pub(crate) fn receive(
        &self,
        lower: &mut LowerLayer,
        segment: &Segment,
        output: &mut dyn Transmit,
    ) -> bool {
        let mut tcb = self.tcb();
        let wakeups = tcb.receive(self, lower, segment, output);
        if wakeups.egress {
            self.mark(&mut tcb);
        }
        let mut reader = if wakeups.reader { tcb.reader.take() } else { WakerSlot::default() };
        let mut writer = if wakeups.writer { tcb.writer.take() } else { WakerSlot::default() };
        drop(tcb);
        reader.wake();
        writer.wake();
        wakeups.gone
    }

    /// Sends what can be sent.
    pub(crate) fn transmit(
        &self,
        lower: &mut LowerLayer,
        output: &mut dyn Transmit,
    ) -> EgressOutcome {
        let mut tcb = self.tcb();
        tcb.dirty = false;
        let outcome = tcb.transmit(self, lower, output);
        if tcb.end.is_some() {
            let (mut reader, mut writer) = (tcb.reader.take(), tcb.writer.take());
            drop(tcb);
            reader.wake();
            writer.wake();
        }
        outcome
    }

    /// Ends the connection at once, without a word to the peer.
    pub(crate) fn cut(&self, reason: FlowError) {
        let mut tcb = self.tcb();
        tcb.end.get_or_insert(reason);
        tcb.engine.abort();
        let (mut reader, mut writer) = (tcb.reader.take(), tcb.writer.take());
        drop(tcb);
        reader.wake();
        writer.wake();
    }

    /// The flow is gone: what was finished is still delivered, all else is reset.
    pub(crate) fn release(&self) {
        let mut tcb = self.tcb();
        tcb.held = false;
        (tcb.reader, tcb.writer) = (WakerSlot::default(), WakerSlot::default());
        if tcb.finished {
            tcb.orphan_until = self.context.now.get() + self.context.timeouts.orphan;
            tcb.discard_received(&self.context);
        } else {
            tcb.abort();
        }
        self.mark(&mut tcb);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.state.get_mut().engine.release(&self.context);
    }
}

impl Tcb {
    /// A connection established at `now`, in whose handshake we advertised rings of
    /// these sizes.
    pub(crate) fn new(
        sizes: BufferSizes,
        with: &Synchronized,
        template: HeaderTemplate,
        now: Instant,
    ) -> Self {
        let rcv_adv = with.rcv_nxt.wrapping_add(sizes.receive as u32);
        Self {
            engine: Engine::FastPath(FastPath::new(sizes, rcv_adv)),
            slot: u32::MAX,
            template,
            offer: with.offer,
            dirty: false,
            held: true,
            finished: false,
            send_buffer_was_full: false,
            end: None,
            receive_peak: 0,
            owes_window_update: false,
            reader: WakerSlot::default(),
            writer: WakerSlot::default(),
            deadline: Instant::NEVER,
            queued_at: Instant::NEVER,
            orphan_until: Instant::NEVER,
            opened_at: now,
            last_heard_at: now,
            waiting_since: None,
            rto: RetransmissionTimer::STOPPED,
            snd_wnd: with.window,
            snd_start: with.snd_nxt,
            rcv_start: with.rcv_nxt,
            written: 0,
            read: 0,
            snd_nxt: with.snd_nxt,
            retransmits: 0,
            received_unacked: 0,
            probe: None,
            srtt: None,
        }
    }

    /// RFC 9293's name of its state.
    pub(crate) fn state(&self) -> State {
        self.engine.state(self.finished)
    }

    /// The first sequence number of our own that the peer has not acknowledged, data only.
    pub(crate) fn snd_una(&self) -> u32 {
        self.write_seq().wrapping_sub(self.engine.queued() as u32)
    }

    /// The sequence number after the last byte that the application wrote.
    pub(crate) fn write_seq(&self) -> u32 {
        self.snd_start.wrapping_add(self.written as u32)
    }

    /// The first sequence number of the peer's that has not arrived; its FIN takes one.
    #[inline]
    pub(crate) fn rcv_nxt(&self) -> u32 {
        let arrived = self.engine.unread() as u32 + u32::from(self.engine.fin_received());
        self.read_seq().wrapping_add(arrived)
    }

    /// The sequence number of the first byte that the application has not read.
    pub(crate) fn read_seq(&self) -> u32 {
        self.rcv_start.wrapping_add(self.read as u32)
    }

    /// Ends both directions, by a reset.
    pub(crate) fn abort(&mut self) {
        self.end.get_or_insert(FlowError::Closed);
        self.engine.abort();
    }

    pub(crate) fn measure(&mut self, sample: Duration) {
        self.probe = None;
        self.srtt = Some(self.srtt.map_or(sample, |old| old.smoothed(sample)));
    }

    /// An orphan's peer may go on sending until it sees our end; nobody reads that.
    pub(crate) fn discard_received(&mut self, context: &TcpContext) {
        while let Ok(count @ 1..) = self.engine.read(context, |bytes| (bytes.len(), bytes.len())) {
            self.read += count as u64;
        }
    }
}
