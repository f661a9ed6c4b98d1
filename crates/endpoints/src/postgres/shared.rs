//! What a client and its connection's task share: the core, and who waits for which answer.

use super::answer::{Answer, Slot};
use super::statement::Cache;
use super::{ClientError, Environment, Options, Server, TargetSession};
use ::flow::sync::{WakerList, WakerSlot};
use ::flow::task::wait_fn;
use ::postgres::{Connection, Error, Event, Notification, SendError, TransactionStatus};
use alloc::collections::VecDeque;
use alloc::rc::{Rc, Weak};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::task::{Context, Poll};
use core::time::Duration;

/// Bytes of output at which requests wait.
const OUTPUT_BYTES_MAX: usize = 256 << 10;

pub(super) struct Shared {
    pub(super) server: Server,
    pub(super) options: Options,
    pub(super) environment: Environment,
    pub(super) statements: RefCell<Cache>,
    pub(super) state: RefCell<State>,
    /// Those who wait until a request can be sent.
    room: WakerList,
}

pub(super) struct State {
    pub(super) core: Connection,
    /// Whose answers are due, in order.
    pub(super) slots: VecDeque<Rc<Slot>>,
    /// The connection's task.
    pub(super) driver: WakerSlot,
    /// Why it ended.
    pub(super) end: Option<ClientError>,
    pub(super) channels: Vec<(String, Weak<super::notifications::Inbox>)>,
    /// A query is being cancelled, so that nothing else may be sent.
    is_cancelling: bool,
    /// A COPY has the connection for itself.
    is_exclusive: bool,
    /// A transaction was dropped, and is to be rolled back.
    is_rollback_due: bool,
    /// Statements that nobody needs any more.
    forgotten: Vec<String>,
    /// When the answer that is due has to have gone on.
    answer_due: Option<Duration>,
    is_standby: bool,
    is_read_only: bool,
}

impl Shared {
    pub(super) fn new(
        core: Connection,
        server: Server,
        options: Options,
        environment: Environment,
    ) -> Rc<Self> {
        let mut tag = [0; 4];
        (environment.entropy)(&mut tag);
        let statements = RefCell::new(Cache::new(options.statements_max, u32::from_ne_bytes(tag)));
        // The answer to the start.
        let slots = VecDeque::from([Rc::<Slot>::default()]);
        let state = RefCell::new(State {
            core,
            slots,
            driver: WakerSlot::default(),
            end: None,
            channels: Vec::new(),
            is_cancelling: false,
            is_exclusive: false,
            is_rollback_due: false,
            forgotten: Vec::new(),
            answer_due: None,
            is_standby: false,
            is_read_only: false,
        });
        let room = WakerList::default();
        Rc::new(Self { server, options, environment, statements, state, room })
    }

    /// The answer to the start.
    pub(super) fn start(self: &Rc<Self>) -> Answer {
        let slot = self.state.borrow().slots.front().cloned().unwrap_or_default();
        Answer::new(self.clone(), slot)
    }

    /// Sends what `write` writes, once there is room; its answer.
    pub(super) async fn ask(
        self: &Rc<Self>,
        mut write: impl FnMut(&mut Connection) -> Result<(), SendError>,
    ) -> Result<Answer, ClientError> {
        wait_fn(|cx| {
            let mut state = self.state.borrow_mut();
            if !state.has_room(&self.options) {
                self.room.register(cx);
                return Poll::Pending;
            }
            Poll::Ready(self.send(&mut state, &mut write))
        })
        .await
    }

    /// As [`ask`](Self::ask), once nothing else is under way, and until its answer is complete.
    pub(super) async fn ask_alone(
        self: &Rc<Self>,
        mut write: impl FnMut(&mut Connection) -> Result<(), SendError>,
    ) -> Result<Answer, ClientError> {
        wait_fn(|cx| {
            let mut state = self.state.borrow_mut();
            if state.end.is_none() && !(state.has_room(&self.options) && state.slots.is_empty()) {
                self.room.register(cx);
                return Poll::Pending;
            }
            let answer = self.send(&mut state, &mut write);
            state.is_exclusive = answer.is_ok();
            Poll::Ready(answer)
        })
        .await
    }

    fn send(
        self: &Rc<Self>,
        state: &mut State,
        write: &mut impl FnMut(&mut Connection) -> Result<(), SendError>,
    ) -> Result<Answer, ClientError> {
        if let Some(error) = &state.end {
            return Err(error.clone());
        }
        state.forget_statements();
        write(&mut state.core)?;
        let slot = Rc::<Slot>::default();
        state.slots.push_back(slot.clone());
        state.driver.wake();
        Ok(Answer::new(self.clone(), slot))
    }

    /// Lets the connection's task see what was done to the core.
    pub(super) fn wake_driver(&self) {
        self.state.borrow_mut().driver.wake();
    }

    /// Lets those who wait for room look again.
    pub(super) fn wake_waiting(&self) {
        self.room.wake();
    }

    /// Waits until so little is left to be sent that more may be added, or the connection is over.
    pub(super) fn poll_output_room(&self, cx: &Context<'_>) -> Poll<()> {
        let state = self.state.borrow();
        if state.end.is_none() && state.core.output_bytes() > OUTPUT_BYTES_MAX {
            self.room.register(cx);
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Waits until all answers are there.
    pub(super) fn poll_settled(&self, cx: &Context<'_>) -> Poll<()> {
        let state = self.state.borrow();
        let is_busy = !state.slots.is_empty() || state.is_cancelling || state.is_rollback_due;
        if state.end.is_none() && is_busy {
            self.room.register(cx);
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Waits until the connection is over.
    pub(super) fn poll_ended(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_ended() {
            return Poll::Ready(());
        }
        self.room.register(cx);
        Poll::Pending
    }

    pub(super) fn is_ended(&self) -> bool {
        self.state.borrow().end.is_some()
    }

    /// Ends the connection in order: nobody needs it any more.
    pub(super) fn terminate(&self) {
        let mut state = self.state.borrow_mut();
        state.core.terminate();
        state.end.get_or_insert(ClientError::Closed);
        state.driver.wake();
    }

    /// A transaction was given up.
    pub(super) fn roll_back(&self) {
        let mut state = self.state.borrow_mut();
        state.is_rollback_due = true;
        state.driver.wake();
    }

    /// The cancel request has been seen to, or could not be made.
    pub(super) fn cancelled(&self) {
        let mut state = self.state.borrow_mut();
        state.is_cancelling = false;
        state.driver.wake();
        drop(state);
        self.room.wake();
    }

    /// A statement that nobody needs any more is closed with the next request.
    pub(super) fn forget(&self, name: String) {
        self.state.borrow_mut().forgotten.push(name);
    }
}

impl State {
    /// Whether a request is sent at once, or fails at once.
    fn has_room(&self, options: &Options) -> bool {
        let is_blocked = self.is_cancelling || self.is_exclusive || self.is_rollback_due;
        self.end.is_some()
            || !is_blocked
                && self.slots.len() < options.pipeline_max
                && self.core.is_open()
                && self.core.output_bytes() <= OUTPUT_BYTES_MAX
    }

    fn forget_statements(&mut self) {
        for name in self.forgotten.drain(..) {
            // Closing goes with the request's Sync; a COPY and a simple query have none, and come later.
            let _ = self.core.close_statement(&name);
        }
    }

    /// Does what is due between requests; whether something was sent.
    pub(super) fn poll_due(&mut self) -> bool {
        let is_blocked = self.is_cancelling || self.is_exclusive || !self.core.is_open();
        if !self.is_rollback_due || is_blocked {
            return false;
        }
        self.is_rollback_due = false;
        let is_sent = self.core.query("ROLLBACK").is_ok();
        if is_sent {
            self.slots.push_back(Slot::abandoned());
        }
        is_sent
    }

    /// Whether the query at work is one that nobody waits for, and nothing behind it would be hit by a cancel request:
    /// nothing more is sent from now on until [`Shared::cancelled`].
    pub(super) fn begin_cancel(&mut self) -> bool {
        let [slot] = self.slots.make_contiguous() else { return false };
        let is_due = slot.is_cancel_due() && !self.is_cancelling && self.core.is_open();
        if is_due {
            slot.cancel_asked();
            self.is_cancelling = true;
        }
        is_due
    }

    /// When [`is_answer_late`](Self::is_answer_late) is to be asked. Only while it is the server's turn.
    pub(super) fn answer_deadline(&mut self, now: Duration, timeout: Duration) -> Option<Duration> {
        let is_awaited = self.slots.front().is_some_and(|slot| slot.has_room());
        let is_open = self.end.is_none() && self.core.is_open() && !self.core.is_copying_in();
        if timeout.is_zero() || !is_awaited || !is_open {
            self.answer_due = None;
            return None;
        }
        Some(*self.answer_due.get_or_insert(now.saturating_add(timeout)))
    }

    /// Whether the server had all the time that there is for its answer.
    pub(super) fn is_answer_late(&self, now: Duration) -> bool {
        self.end.is_none() && self.answer_due.is_some_and(|due| due <= now)
    }

    /// A long row that is coming is progress, too.
    pub(super) fn note_part(&mut self) {
        if self.core.is_in_row() {
            self.answer_due = None;
        }
    }

    /// Ends a connection whose answer is late; whether a cancel request is under way already.
    pub(super) fn give_up(&mut self) -> bool {
        self.fail(ClientError::QueryTimeout);
        self.core.terminate();
        core::mem::replace(&mut self.is_cancelling, true)
    }

    /// Gives an event to whoever waits for it.
    pub(super) fn give(&mut self, event: Event) {
        match event {
            Event::Parameter { name, value } => self.note_parameter(&name, &value),
            Event::Notice(notice) => log::info!("postgres: {:?}: {notice}", notice.severity),
            Event::Notification(notification) => self.notify(&notification),
            Event::Failed(error) => self.fail(ClientError::Protocol(error)),
            Event::Started | Event::Ready(_) => {
                self.is_exclusive = false;
                self.answer_due = None;
                if let Some(slot) = self.slots.pop_front() {
                    slot.complete(event);
                }
            }
            event => {
                self.answer_due = None;
                let Some(slot) = self.slots.front() else { return };
                if let (Event::CopyIn(_), true) = (&event, slot.is_abandoned()) {
                    // The server waits for data, where it hears of no cancel request.
                    let _ = self.core.copy_fail("given up");
                }
                slot.give(event);
            }
        }
    }

    /// The connection is over: so are all that wait.
    pub(super) fn fail(&mut self, error: ClientError) {
        let error = self.end.get_or_insert(error).clone();
        self.slots.drain(..).for_each(|slot| slot.fail(error.clone()));
        for (_, inbox) in self.channels.drain(..) {
            if let Some(inbox) = inbox.upgrade() {
                inbox.end(error.clone());
            }
        }
    }

    fn notify(&mut self, notification: &Notification) {
        self.channels.retain(|(channel, inbox)| {
            let inbox = inbox.upgrade();
            if *channel == notification.channel
                && let Some(inbox) = &inbox
            {
                inbox.push(notification.clone());
            }
            inbox.is_some()
        });
    }

    fn note_parameter(&mut self, name: &str, value: &str) {
        match name {
            "in_hot_standby" => self.is_standby = value == "on",
            "default_transaction_read_only" => self.is_read_only = value == "on",
            _ => {}
        }
    }

    pub(super) fn is_target(&self, target: TargetSession) -> bool {
        let takes_changes = !self.is_standby && !self.is_read_only;
        match target {
            TargetSession::Any => true,
            TargetSession::ReadWrite => takes_changes,
            TargetSession::ReadOnly => !takes_changes,
            TargetSession::Primary => !self.is_standby,
            TargetSession::Standby => self.is_standby,
        }
    }

    /// Whether the next client finds it as the last one did.
    pub(super) fn is_clean(&self) -> bool {
        let is_idle = self.core.transaction_status() == TransactionStatus::Idle;
        self.end.is_none() && self.slots.is_empty() && is_idle
    }

    /// What those hold who wait, and the core.
    pub(super) fn held_bytes(&self) -> usize {
        let waiting: usize = self.slots.front().map_or(0, |slot| slot.held_bytes());
        self.core.held_bytes() + waiting
    }
}

/// Why a flow that ended in the midst of it all ended.
pub(super) fn end_of(how: Result<(), ::flow::FlowError>) -> ClientError {
    how.map_or_else(ClientError::Flow, |()| ClientError::Protocol(Error::Ended))
}
