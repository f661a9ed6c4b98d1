//! Cancelling: a request over a connection of its own, and nothing else sent until the server has seen to it.

use super::shared::Shared;
use ::flow::FlowExt;
use alloc::rc::Rc;
use core::time::Duration;

/// How long a cancel request may take; then the query runs on, and others wait behind it.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// Until it is asked again whether the query is to be cancelled; twice as long each time.
const CANCEL_PAUSE: Duration = Duration::from_millis(50);
/// Until it is first looked whether the query has ended; twice as long each time.
const LOOK_PAUSE: Duration = Duration::from_millis(1);

/// Begins to cancel the query at work, if nobody waits for it and nothing is behind it.
pub(super) fn if_due(shared: &Rc<Shared>) {
    if !shared.state.borrow_mut().begin_cancel() {
        return;
    }
    let cancelling = Cancelling(shared.clone());
    shared.environment.spawner.spawn("postgres cancel", async move { cancelling.run().await });
}

/// Ends a connection whose server did not go on with its answer in time. What it is at is cancelled, since a server learns
/// only by an answer that nobody is there; all that a late request could hit has failed.
pub(super) fn late(shared: &Rc<Shared>) {
    let is_cancelled = shared.state.borrow_mut().give_up();
    shared.wake_waiting();
    if !is_cancelled {
        let cancelling = Cancelling(shared.clone());
        shared.environment.spawner.spawn("postgres cancel", async move { cancelling.run().await });
    }
}

/// A cancel request under way. Its end, whichever, lets others go on.
struct Cancelling(Rc<Shared>);

impl Cancelling {
    /// Asks until the query has ended: a signal that overtakes the query itself, which a busy server reads late, finds nothing
    /// to end. What is sent next waits meanwhile, so that no signal is for that.
    async fn run(&self) {
        let timers = &self.0.environment.timers;
        let deadline = timers.now() + CANCEL_TIMEOUT;
        let slot = self.0.state.borrow().slots.front().cloned();
        let is_at_work = || {
            let state = self.0.state.borrow();
            state.slots.front().zip(slot.as_ref()).is_some_and(|(own, slot)| Rc::ptr_eq(own, slot))
        };
        let mut pause = CANCEL_PAUSE;
        while timers.before(deadline, self.ask()).await == Ok(true) {
            let (mut look, until) = (LOOK_PAUSE, timers.now() + pause);
            while is_at_work() && timers.now() < until {
                timers.sleep(look).await;
                look = (2 * look).min(CANCEL_PAUSE);
            }
            if !is_at_work() {
                return;
            }
            pause *= 2;
        }
        log::info!("postgres: a query could not be cancelled, and runs on");
    }

    /// Sends the request and waits until the server ends the connection, which it does once the query was signalled.
    async fn ask(&self) -> bool {
        let key = self.0.state.borrow().core.cancel_key().cloned();
        let Some(key) = key else { return false };
        let Ok(opened) = self.0.server.open().await else { return false };
        let mut flow = opened.flow;
        if flow.write_all(&key.request()).await.is_err() {
            return false;
        }
        // It answers nothing; a reset is an end, too.
        while let Ok(1..) = flow.read_with(|bytes| (bytes.len(), bytes.len())).await {}
        flow.finish();
        true
    }
}

impl Drop for Cancelling {
    fn drop(&mut self) {
        self.0.cancelled();
    }
}
