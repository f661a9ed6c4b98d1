//! Segments out: from the engine into frames, and what its timers set off.

use super::{Connection, Owner, Tcb};
use crate::counters::Counter;
use crate::device;
use crate::tcp::context::TcpContext;
use crate::time::Instant;
use crate::wire::header::Headers;
use crate::wire::tuple::Tuple;
use ::tcp::{Flags, State, TimeWait, Transmit};
use alloc::rc::Rc;
use core::num::NonZeroU16;

/// What became of a connection when it was asked what it has to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transmitted {
    /// It waits for segments, calls or its deadline, which may be earlier than the timer heap knows.
    Open { is_earlier: bool },
    /// The device is full.
    Blocked,
    /// This is all that has to be kept of it.
    TimeWait(TimeWait),
    /// It is over.
    Closed,
}

impl Connection {
    /// Does what is due and sends what can be sent.
    pub(crate) fn transmit(self: &Rc<Self>, output: &mut dyn device::Transmit) -> Transmitted {
        let context = &*self.context;
        let now = context.now.get();
        let mut tcb = self.tcb();
        tcb.dirty = false;
        if tcb.engine.next_deadline() <= now {
            tcb.engine.handle_timeout(&mut context.shared.borrow_mut(), now);
        }
        tcb.give_up_waiting(context, now);
        let has_left = tcb.send(&self.tuple, context, now, output);
        tcb.deadline = tcb.engine.next_deadline();
        if let Owner::Orphan(since) = tcb.owner {
            tcb.deadline = tcb.deadline.min(tcb.orphan_until(since, context));
        }
        let outcome = if !has_left {
            self.mark(&mut tcb);
            Transmitted::Blocked
        } else if tcb.engine.is_over() {
            Transmitted::Closed
        } else if let State::TimeWait = tcb.engine.state()
            && let Some(time_wait) = tcb.engine.time_wait()
        {
            Transmitted::TimeWait(time_wait)
        } else {
            Transmitted::Open { is_earlier: tcb.deadline < tcb.queued_at }
        };
        self.deliver(tcb);
        outcome
    }
}

impl Tcb {
    /// Sends until nothing is left; false when the device was full before.
    #[inline]
    fn send(
        &mut self,
        tuple: &Tuple,
        context: &TcpContext,
        now: Instant,
        output: &mut dyn device::Transmit,
    ) -> bool {
        let shared = &mut context.shared.borrow_mut();
        let max = context.offload_bytes(tuple);
        loop {
            // What the engine describes counts as sent: a device that is full is not asked afterwards.
            if !output.is_ready() {
                return false;
            }
            let Some(transmit) = self.engine.poll_transmit(shared, now, max) else { return true };
            if transmit.len > transmit.mss && transmit.segment.flags.has(Flags::CWR) {
                self.send_cut(tuple, context, &transmit, output);
            } else {
                self.send_one(tuple, context, &transmit, output);
            }
        }
    }

    #[inline]
    fn send_one(
        &self,
        tuple: &Tuple,
        context: &TcpContext,
        transmit: &Transmit,
        output: &mut dyn device::Transmit,
    ) {
        let mut headers = Headers::new(tuple, &transmit.segment);
        if self.template.may_fragment {
            headers.fragment_id = Some(context.next_fragment_id());
        }
        let segment_bytes =
            if transmit.len > transmit.mss { NonZeroU16::new(transmit.mss as u16) } else { None };
        let payload = || self.engine.payload(transmit);
        context.counters.add(Counter::PacketsOut);
        self.template.transmit(&headers, transmit.len as usize, payload, segment_bytes, output);
    }

    /// RFC 3168 section 6.1.2: CWR is for the first segment only, which not all devices that cut know. What there
    /// is no room for is lost, as on a wire.
    #[cold]
    fn send_cut(
        &self,
        tuple: &Tuple,
        context: &TcpContext,
        transmit: &Transmit,
        output: &mut dyn device::Transmit,
    ) {
        for (segment, _, len) in transmit.segments() {
            let part = Transmit { segment, len, ..*transmit };
            self.send_one(tuple, context, &part, output);
        }
    }

    /// Ends what nobody waits for any more: an open whose task has gone, and an orphan without progress.
    #[inline]
    fn give_up_waiting(&mut self, context: &TcpContext, now: Instant) {
        let is_in_vain = match &self.owner {
            Owner::Flow => false,
            Owner::Opening(request) => Rc::strong_count(request) == 1,
            Owner::Orphan(since) => now >= self.orphan_until(*since, context),
        };
        if is_in_vain {
            self.abort(context);
        }
    }

    /// A peer that has not acknowledged everything has the time of any other; one that has is only to end.
    fn orphan_until(&self, since: Instant, context: &TcpContext) -> Instant {
        let limit = match self.engine.state() {
            State::FinWait2 => context.orphan_timeout,
            _ => context.user_timeout,
        };
        self.engine.progress_at().max(since) + limit
    }
}
