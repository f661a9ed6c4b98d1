//! Segments in: from a frame to the engine, and from the engine to the tasks that wait.

use super::{Connection, Owner};
use ::tcp::{Payload, Segment};
use alloc::rc::Rc;

impl Connection {
    /// Takes a segment that was sent to this connection, from the hardware address `source`, and wakes whom it
    /// concerns; true when it was the last, and nothing is to be sent any more.
    pub(crate) fn receive(
        self: &Rc<Self>,
        source: [u8; 6],
        header: &Segment,
        payload: Payload<'_>,
    ) -> bool {
        let context = &*self.context;
        let now = context.now.get();
        let mut tcb = self.tcb();
        // Only an acceptable segment may move the next hop: a blind forger's must not.
        if tcb.template.ethernet[..6] != source
            && tcb.engine.is_acceptable(header, payload.len() as u32)
        {
            tcb.template.ethernet[..6].copy_from_slice(&source);
        }
        tcb.engine.handle_segment(&mut context.shared.borrow_mut(), now, header, payload);
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
