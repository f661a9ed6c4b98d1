//! Mailbox between the device, which the stack owns, and the frontend's task.

use crate::pair::Pair;
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};

/// One end of a mailbox; clones are the same box.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mailbox(Rc<Slots>);

#[derive(Debug, Default)]
struct Slots {
    has_order: Cell<bool>,
    lacks_carrier: Cell<bool>,
    has_fault: Cell<bool>,
    order: RefCell<Option<Order>>,
    /// What was given back: a pair, or that there was none.
    returned: RefCell<Option<Option<Pair>>>,
    waker: RefCell<Option<Waker>>,
}

/// What the task wants of the device.
#[derive(Debug)]
pub(crate) enum Order {
    /// Carry frames over this pair.
    Up(Box<Pair>),
    /// Give them back.
    Down,
}

impl Mailbox {
    /// Whether the task wants something. Asked in each round.
    pub(crate) fn has_order(&self) -> bool {
        self.0.has_order.get()
    }

    pub(crate) fn take_order(&self) -> Option<Order> {
        self.0.has_order.set(false);
        self.0.order.take()
    }

    pub(crate) fn give_back(&self, pair: Option<Pair>) {
        self.0.returned.replace(Some(pair));
        self.wake();
    }

    /// The backend has broken the rules.
    pub(crate) fn report_fault(&self) {
        self.0.has_fault.set(true);
        self.wake();
    }

    /// Has the device carry frames over a pair.
    pub(crate) fn bring_up(&self, pair: Pair) {
        self.0.has_fault.set(false);
        self.0.order.replace(Some(Order::Up(Box::new(pair))));
        self.0.has_order.set(true);
    }

    /// Tells the device whether the backend's link is up, which it is at first.
    pub(crate) fn set_carrier(&self, has_carrier: bool) {
        self.0.lacks_carrier.set(!has_carrier);
        // The device need do nothing, but whoever asks it has to ask again.
        self.0.has_order.set(true);
    }

    pub(crate) fn has_carrier(&self) -> bool {
        !self.0.lacks_carrier.get()
    }

    /// Has the device give its rings back, and waits for it.
    pub(crate) async fn take_down(&self) -> Option<Pair> {
        if let Some(Order::Up(pair)) = self.take_order() {
            // The device has not seen it yet.
            return Some(*pair);
        }
        self.0.order.replace(Some(Order::Down));
        self.0.has_order.set(true);
        poll_fn(|cx| match self.0.returned.take() {
            Some(pair) => Poll::Ready(pair),
            None => {
                self.0.waker.replace(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }

    /// Resolves when the device reports a fault.
    pub(crate) fn poll_fault(&self, waker: &Waker) -> Poll<()> {
        if self.0.has_fault.take() {
            return Poll::Ready(());
        }
        self.0.waker.replace(Some(waker.clone()));
        Poll::Pending
    }

    fn wake(&self) {
        if let Some(waker) = self.0.waker.take() {
            waker.wake();
        }
    }
}
