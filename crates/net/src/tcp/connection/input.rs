//! Segments in: from a frame to the engine, and from the engine to the tasks that wait.

use super::{Connection, Owner};
use crate::counters::Counter;
use crate::wire::segment::Segment;
use ::tcp::Payload;
use alloc::rc::Rc;

impl Connection {
    /// Takes a segment that was sent to this connection and wakes whom it concerns; true when it was the last,
    /// and nothing is to be sent any more.
    pub(crate) fn receive(self: &Rc<Self>, segment: &Segment) -> bool {
        let context = &*self.context;
        if !segment.is_intact(context.verify) {
            context.counters.add(Counter::BadChecksum);
            return false;
        }
        let now = context.now.get();
        let mut tcb = self.tcb();
        let header = segment.header();
        let payload = Payload::Slice(segment.data);
        // Only an acceptable segment may move the next hop: a blind forger's must not.
        if tcb.template.ethernet[..6] != segment.source
            && tcb.engine.is_acceptable(&header, segment.data.len() as u32)
        {
            tcb.template.ethernet[..6].copy_from_slice(&segment.source);
        }
        tcb.engine.handle_segment(&mut context.shared.borrow_mut(), now, &header, payload);
        if matches!(tcb.owner, Owner::Orphan(_)) {
            tcb.discard_received(context);
        }
        let is_over = tcb.engine.is_over();
        if !is_over {
            self.mark(&mut tcb);
        }
        self.deliver(tcb);
        is_over
    }
}
