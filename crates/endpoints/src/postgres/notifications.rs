//! Notifications of a channel, for one that waits for them.

use super::ClientError;
use super::client::Handle;
use ::flow::sync::Queue;
use ::flow::task::wait_fn;
use ::postgres::Notification;
use alloc::rc::Rc;
use core::cell::Cell;
use core::fmt;
use core::task::{Context, Poll};

/// What comes of a channel. Dropped, it takes nothing more; the server goes on sending until the connection ends.
pub struct Notifications {
    inbox: Rc<Inbox>,
    _connection: Rc<Handle>,
}

impl Notifications {
    pub(super) fn new(inbox: Rc<Inbox>, connection: Rc<Handle>) -> Self {
        Self { inbox, _connection: connection }
    }

    /// Waits for the next notification. Cancel-safe.
    ///
    /// # Errors
    /// [`ClientError::NotificationsLost`] where some are missing; the end of the connection.
    #[expect(clippy::should_implement_trait, reason = "it waits, and is no iterator's")]
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Result<Notification, ClientError>> {
        wait_fn(|cx| self.inbox.poll_next(cx))
    }
}

impl fmt::Debug for Notifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notifications({} wait)", self.inbox.queue.len())
    }
}

/// Notifications that nobody has taken, up to a number.
pub(super) struct Inbox {
    queue: Queue<Result<Notification, ClientError>>,
    items_max: usize,
    held_bytes: Cell<usize>,
    lost: Cell<usize>,
}

/// Bytes of notifications that wait; PostgreSQL's have 8,000 each at most.
const HELD_BYTES_MAX: usize = 1 << 20;

impl Inbox {
    pub(super) fn new(items_max: usize) -> Self {
        Self { queue: Queue::default(), items_max, held_bytes: Cell::new(0), lost: Cell::new(0) }
    }

    pub(super) fn push(&self, notification: Notification) {
        let held_bytes = self.held_bytes.get() + bytes_of(&notification);
        if self.queue.len() < self.items_max && held_bytes <= HELD_BYTES_MAX {
            self.held_bytes.set(held_bytes);
            self.queue.push(Ok(notification));
        } else {
            self.lost.set(self.lost.get() + 1);
        }
    }

    pub(super) fn end(&self, error: ClientError) {
        self.queue.push(Err(error));
    }

    /// Those that were lost came after those that wait.
    fn poll_next(&self, cx: &Context<'_>) -> Poll<Result<Notification, ClientError>> {
        if self.queue.is_empty() && self.lost.get() > 0 {
            return Poll::Ready(Err(ClientError::NotificationsLost(self.lost.take())));
        }
        let next = self.queue.poll_pop(cx);
        if let Poll::Ready(Ok(notification)) = &next {
            self.held_bytes.set(self.held_bytes.get() - bytes_of(notification));
        }
        next
    }
}

fn bytes_of(notification: &Notification) -> usize {
    notification.channel.len() + notification.payload.len()
}
