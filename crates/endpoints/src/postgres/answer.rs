//! Answers: events of one request, for whoever waits for them.

use super::ClientError;
use super::cancel;
use super::shared::Shared;
use ::flow::sync::Queue;
use ::flow::task::wait_fn;
use ::postgres::{Completion, Event, ServerError};
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::Cell;

/// Bytes of rows and data of one answer that wait to be taken; then the connection is not read.
const HELD_BYTES_MAX: usize = 64 << 10;

/// Events that most answers have: rows, the end of the statement, that of the request.
const USUAL_EVENTS: usize = 3;

/// Where the events of a request go.
pub(super) struct Slot {
    events: Queue<Result<Event, ClientError>>,
    held_bytes: Cell<usize>,
    stage: Cell<Stage>,
    /// Nobody takes them.
    is_abandoned: Cell<bool>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Due,
    /// The end follows: it has failed, or was asked to be cancelled.
    Ending,
    /// All events are there.
    Complete,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            events: Queue::with_capacity(USUAL_EVENTS),
            held_bytes: Cell::default(),
            stage: Cell::default(),
            is_abandoned: Cell::default(),
        }
    }
}

impl Slot {
    /// That of a request for whose answer nobody waits, and that is not to be cancelled.
    pub(super) fn abandoned() -> Rc<Self> {
        let slot = Self::default();
        slot.is_abandoned.set(true);
        slot.stage.set(Stage::Ending);
        Rc::new(slot)
    }

    /// Whether more events are taken.
    pub(super) fn has_room(&self) -> bool {
        self.held_bytes.get() <= HELD_BYTES_MAX
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes.get()
    }

    pub(super) fn give(&self, event: Event) {
        if let Event::Error(_) = event {
            self.stage.set(Stage::Ending);
        }
        if self.is_abandoned.get() {
            return;
        }
        self.held_bytes.set(self.held_bytes.get() + held_bytes_of(&event));
        self.events.push(Ok(event));
    }

    /// The last event.
    pub(super) fn complete(&self, event: Event) {
        self.give(event);
        self.stage.set(Stage::Complete);
    }

    pub(super) fn fail(&self, error: ClientError) {
        self.stage.set(Stage::Complete);
        self.events.push(Err(error));
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.is_abandoned.get()
    }

    pub(super) fn is_cancel_due(&self) -> bool {
        self.is_abandoned.get() && self.stage.get() == Stage::Due
    }

    pub(super) fn cancel_asked(&self) {
        if self.stage.get() == Stage::Due {
            self.stage.set(Stage::Ending);
        }
    }
}

fn held_bytes_of(event: &Event) -> usize {
    let own = match event {
        Event::Rows(rows) => rows.held_bytes(),
        Event::CopyData(data) => data.capacity(),
        Event::Columns(columns) => size_of_val(&**columns),
        _ => 0,
    };
    size_of::<Event>() + own
}

/// The answer to a request. Dropped before its end, it cancels the request, or skips what is left.
pub(super) struct Answer {
    shared: Rc<Shared>,
    slot: Rc<Slot>,
    /// Why it failed, while what the server skips is awaited.
    error: Option<Box<ServerError>>,
}

impl Answer {
    pub(super) fn new(shared: Rc<Shared>, slot: Rc<Slot>) -> Self {
        Self { shared, slot, error: None }
    }

    /// The next event, but for an error: that ends the answer. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            match (self.next_as_is().await?, self.error.take()) {
                (Event::Error(error), _) => self.error = Some(error),
                // What the server skipped ends here, so that the next request begins in step.
                (Event::Ready(_), Some(error)) => return Err(ClientError::Server(error)),
                (_, error @ Some(_)) => self.error = error,
                (event, None) => return Ok(event),
            }
        }
    }

    /// The end, of an answer of which nothing else is of interest.
    pub(super) async fn finish(&mut self) -> Result<Completion, ClientError> {
        let mut last = Completion::default();
        loop {
            match self.next().await? {
                Event::Complete(completion) => last = completion,
                Event::Ready(_) | Event::Started => return Ok(last),
                Event::CopyIn(_) => {
                    let _ = self.with(|core| core.copy_fail("there are no data"));
                }
                _ => {}
            }
        }
    }

    pub(super) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }

    /// Does something with the core.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut ::postgres::Connection) -> T) -> T {
        let done = work(&mut self.shared.state.borrow_mut().core);
        self.shared.wake_driver();
        done
    }

    /// Its end follows by itself, so that there is nothing to cancel.
    pub(super) fn end_follows(&self) {
        self.slot.cancel_asked();
    }

    async fn next_as_is(&mut self) -> Result<Event, ClientError> {
        let slot = &self.slot;
        let event = wait_fn(|cx| slot.events.poll_pop(cx)).await?;
        let had_room = slot.has_room();
        slot.held_bytes.set(slot.held_bytes.get() - held_bytes_of(&event));
        if !had_room && slot.has_room() {
            self.shared.wake_driver();
        }
        Ok(event)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let slot = &self.slot;
        slot.is_abandoned.set(true);
        while slot.events.try_pop().is_some() {}
        slot.held_bytes.set(0);
        if slot.stage.get() == Stage::Complete {
            return;
        }
        self.shared.wake_driver();
        cancel::if_due(&self.shared);
    }
}
