//! Events: what came of input and waits to be polled.

use crate::message::Message;
use crate::{Columns, Error, Format, Oid, Rows, ServerError};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

/// What came of input, or of time. Those of steps come in the order of the steps.
#[derive(Debug)]
pub enum Event {
    /// The server is ready for the first step.
    Started,
    /// A parameter of the server's, now and whenever it changes.
    Parameter {
        /// Such as `server_version`.
        name: String,
        /// Its value.
        value: String,
    },
    /// The server wants something to be known.
    Notice(Box<ServerError>),
    /// Somebody notified a channel that this connection listens to.
    Notification(Notification),
    /// A statement was parsed.
    Parsed,
    /// The types of a statement's parameters.
    Parameters(Vec<Oid>),
    /// The columns of a statement's rows, or of the rows that follow; none if it has no rows.
    Columns(Columns),
    /// Rows of the statement at work.
    Rows(Rows),
    /// A statement is done.
    Complete(Completion),
    /// COPY FROM STDIN waits for data, of that form.
    CopyIn(Format),
    /// COPY TO STDOUT follows, of that form.
    CopyOut(Format),
    /// Some of it. Where rows begin is not the protocol's.
    CopyData(Vec<u8>),
    /// A step failed; what follows up to the next [`sync`](crate::Connection::sync) is skipped.
    Error(Box<ServerError>),
    /// A group of steps is answered.
    Ready(TransactionStatus),
    /// The connection is over. Nothing follows.
    Failed(Error),
}

/// What a statement came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// How many rows it read or changed.
    pub rows: u64,
    /// It was `ROLLBACK`, which is also what becomes of `COMMIT` in a transaction that failed.
    pub is_rollback: bool,
}

/// A message of `NOTIFY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The channel.
    pub channel: String,
    /// The text, which may be empty.
    pub payload: String,
    /// The server's process that notified: see [`CancelKey::process`](crate::CancelKey::process).
    pub process: u32,
}

/// Whether there is a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// There is none.
    Idle,
    /// There is one.
    Active,
    /// There is one that failed, and takes nothing but its end.
    Failed,
}

impl TransactionStatus {
    pub(super) fn from_code(code: u8) -> Option<Self> {
        match code {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::Active),
            b'E' => Some(Self::Failed),
            _ => None,
        }
    }
}

/// Events and the bytes that they hold.
#[derive(Default)]
pub(super) struct Events {
    queue: VecDeque<(Event, usize)>,
    held_bytes: usize,
}

/// Bytes that an event costs beside its own: so many empty ones are weighed, too.
const EVENT_BYTES: usize = size_of::<(Event, usize)>();

impl Events {
    pub(super) fn push(&mut self, event: Event, bytes: usize) {
        let bytes = bytes + EVENT_BYTES;
        self.held_bytes += bytes;
        self.queue.push_back((event, bytes));
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        let (event, bytes) = self.queue.pop_front()?;
        self.held_bytes -= bytes;
        Some(event)
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Adds a row to those that came just before.
    pub(super) fn push_row(&mut self, message: Message<'_>, columns: u16) -> Result<(), Error> {
        if !matches!(self.queue.back(), Some((Event::Rows(_), _))) {
            self.push(Event::Rows(Rows::default()), 0);
        }
        let Some((Event::Rows(rows), bytes)) = self.queue.back_mut() else { return Ok(()) };
        let before = rows.held_bytes();
        rows.push(message, columns)?;
        let grown = rows.held_bytes() - before;
        *bytes += grown;
        self.held_bytes += grown;
        Ok(())
    }

    /// Adds COPY data to what came just before.
    pub(super) fn push_copy_data(&mut self, data: &[u8]) {
        if !matches!(self.queue.back(), Some((Event::CopyData(_), _))) {
            self.push(Event::CopyData(Vec::new()), 0);
        }
        let Some((Event::CopyData(held), bytes)) = self.queue.back_mut() else { return };
        let before = held.capacity();
        held.extend_from_slice(data);
        let grown = held.capacity() - before;
        *bytes += grown;
        self.held_bytes += grown;
    }
}
