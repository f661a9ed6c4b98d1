//! Status: what a pool remembers of each of its servers, for operators.

use super::{Client, ClientError, count};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::cell::{Cell, RefCell};
use core::time::Duration;

/// Of an error's text, characters that are kept: a server's may be long.
const ERROR_CHARS_MAX: usize = 200;

/// What became of attempts to connect to one server.
#[derive(Default)]
pub(super) struct ServerStatus {
    pub(super) made: Cell<u64>,
    pub(super) failed: Cell<u64>,
    pub(super) last_error: RefCell<Option<LastError>>,
}

/// Why an attempt to connect failed, or a connection ended, and when.
#[derive(Clone)]
pub(super) struct LastError {
    pub(super) text: String,
    pub(super) at: Duration,
}

impl ServerStatus {
    /// Connections that there are to it.
    pub(super) fn connections(self: &Rc<Self>) -> usize {
        Rc::strong_count(self) - 1
    }

    pub(super) fn note_failure(&self, error: &ClientError, now: Duration) {
        count(&self.failed);
        self.note(error, now);
    }

    /// Of a connection that ended while somebody had it.
    pub(super) fn note_end(&self, client: &Client, now: Duration) {
        if let Some(error) = &client.shared().state.borrow().end {
            self.note(error, now);
        }
    }

    fn note(&self, error: &ClientError, now: Duration) {
        let text = error.to_string().chars().take(ERROR_CHARS_MAX).collect();
        self.last_error.replace(Some(LastError { text, at: now }));
    }
}

/// A connection of a pool.
pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) made: Duration,
    /// Of the server that it is to.
    pub(super) status: Rc<ServerStatus>,
}
