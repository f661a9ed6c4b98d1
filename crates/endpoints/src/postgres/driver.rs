//! Connection driver: carries bytes between a flow and the core, and events to those who wait for them.

use super::shared::{Shared, end_of};
use super::{ClientError, cancel};
use crate::drive::{Core, Transport, drive};
use ::flow::ledger::ServiceLedger;
use ::flow::time::earlier;
use ::flow::{Flow, FlowError};
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::task::Context;
use core::time::Duration;

/// Carries bytes until either side ends.
pub(super) async fn carry(shared: Rc<Shared>, flow: Box<dyn Flow>) {
    let account = shared.environment.ledger.as_ref().map(ServiceLedger::account);
    let timers = shared.environment.timers.clone();
    drive(flow, Driver(shared), &timers).weighed(account).await;
}

struct Driver(Rc<Shared>);

impl Driver {
    /// Gives events to those who wait, as long as they have room; whether there was one.
    fn give_events(&mut self) -> bool {
        let mut state = self.0.state.borrow_mut();
        let mut has_given = false;
        while state.slots.front().is_none_or(|slot| slot.has_room()) {
            let Some(event) = state.core.poll_event() else { break };
            state.give(event);
            has_given = true;
        }
        has_given
    }

    /// Gives all that is left, since nothing follows.
    fn give_last_events(&mut self) {
        let mut state = self.0.state.borrow_mut();
        while let Some(event) = state.core.poll_event() {
            state.give(event);
        }
    }
}

impl Core for Driver {
    fn begin_turn(&mut self, cx: &mut Context<'_>, _: Duration) {
        self.0.state.borrow_mut().driver.register(cx);
    }

    fn wants_input(&self) -> bool {
        self.0.state.borrow().core.wants_input()
    }

    fn handle_input(&mut self, now: Duration, bytes: &mut [u8]) -> usize {
        let mut state = self.0.state.borrow_mut();
        let taken = state.core.handle_input(now, bytes);
        state.note_part();
        taken
    }

    fn handle_end(&mut self, _: Duration, how: Result<(), FlowError>) -> bool {
        // What came before it is given first.
        self.give_last_events();
        let mut state = self.0.state.borrow_mut();
        let was_ended = state.core.is_ended();
        state.core.handle_end();
        if !was_ended {
            state.fail(end_of(how));
        }
        !was_ended
    }

    fn poll_work(&mut self, cx: &mut Context<'_>, _: Duration) -> bool {
        let mut state = self.0.state.borrow_mut();
        if state.core.is_computing() {
            state.core.compute();
            // One slice in a turn, whose further rounds would be as many: others have theirs between.
            cx.waker().wake_by_ref();
        }
        let has_sent = state.poll_due();
        drop(state);
        let has_given = self.give_events();
        if has_given {
            // An answer that nobody waits for may be next, and somebody may have waited for its end.
            cancel::if_due(&self.0);
            self.0.wake_waiting();
        }
        has_sent || has_given
    }

    fn wants_transmit(&mut self, _: &mut Context<'_>) -> bool {
        self.0.state.borrow().core.wants_transmit()
    }

    fn poll_transmit(&mut self, now: Duration, space: &mut [u8]) -> usize {
        let count = self.0.state.borrow_mut().core.poll_transmit(now, space);
        self.0.wake_waiting();
        count
    }

    /// Each round reads first, so that what the server said before it stopped listening is known.
    fn output_lost(&mut self, _: Duration, error: FlowError) -> bool {
        self.0.state.borrow_mut().fail(ClientError::Flow(error));
        false
    }

    fn next_deadline(&mut self, now: Duration) -> Option<Duration> {
        let mut state = self.0.state.borrow_mut();
        let answer = state.answer_deadline(now, self.0.options.query_timeout);
        earlier(state.core.next_deadline(now), answer)
    }

    fn handle_timeout(&mut self, now: Duration) {
        let mut state = self.0.state.borrow_mut();
        state.core.handle_timeout(now);
        let is_late = state.is_answer_late(now);
        drop(state);
        if is_late {
            cancel::late(&self.0);
        }
    }

    fn transport(&mut self, _: &mut Context<'_>, _: Duration) -> Transport {
        if self.0.state.borrow().core.is_ended() { Transport::Closed } else { Transport::Open }
    }

    fn held(&self) -> usize {
        self.0.state.borrow().held_bytes()
    }
}

impl Drop for Driver {
    /// Whatever ended it, nobody is left waiting.
    fn drop(&mut self) {
        self.give_last_events();
        self.0.state.borrow_mut().fail(ClientError::Closed);
        self.0.wake_waiting();
    }
}
