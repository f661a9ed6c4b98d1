//! Turnstile: so many may be inside; the others wait in order, and so many may wait.

use ::flow::sync::OneShot;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};

pub(super) struct Turnstile {
    free: Cell<usize>,
    waiting: RefCell<VecDeque<Rc<OneShot<Permit>>>>,
    waiting_max: usize,
}

/// Whoever holds it is inside.
pub(super) struct Permit(Rc<Turnstile>);

impl Turnstile {
    pub(super) fn new(inside_max: usize, waiting_max: usize) -> Rc<Self> {
        let (free, waiting) = (Cell::new(inside_max), RefCell::default());
        Rc::new(Self { free, waiting, waiting_max })
    }

    /// Places that nobody has.
    pub(super) fn free(&self) -> usize {
        self.free.get()
    }

    /// Those who wait for one.
    pub(super) fn waiting(&self) -> usize {
        let waiting = self.waiting.borrow();
        waiting.iter().filter(|place| Rc::strong_count(place) > 1).count()
    }

    /// Waits for a place; none if too many wait already. Cancel-safe: a permit that nobody takes goes to the next.
    pub(super) async fn enter(self: &Rc<Self>) -> Option<Permit> {
        if self.free.get() > 0 {
            self.free.set(self.free.get() - 1);
            return Some(Permit(self.clone()));
        }
        let place = {
            let mut waiting = self.waiting.borrow_mut();
            // Those who have given up hold no place.
            waiting.retain(|place| Rc::strong_count(place) > 1);
            if waiting.len() >= self.waiting_max {
                return None;
            }
            let place = Rc::<OneShot<Permit>>::default();
            waiting.push_back(place.clone());
            place
        };
        Some(place.take().await)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let next = loop {
            let next = self.0.waiting.borrow_mut().pop_front();
            match next {
                Some(place) if Rc::strong_count(&place) == 1 => {}
                next => break next,
            }
        };
        match next {
            Some(place) => place.set(Self(self.0.clone())),
            None => self.0.free.set(self.0.free.get() + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};

    #[test]
    fn places_go_to_those_who_wait_in_order_and_not_to_those_who_left() {
        let cx = &mut Context::from_waker(Waker::noop());
        let turnstile = Turnstile::new(1, 3);
        let Poll::Ready(Some(inside)) = pin!(turnstile.enter()).poll(cx) else { panic!() };
        let mut first = std::boxed::Box::pin(turnstile.enter());
        let mut second = std::boxed::Box::pin(turnstile.enter());
        let mut third = std::boxed::Box::pin(turnstile.enter());
        assert!(first.as_mut().poll(cx).is_pending());
        assert!(second.as_mut().poll(cx).is_pending());
        assert!(third.as_mut().poll(cx).is_pending());
        assert!(matches!(pin!(turnstile.enter()).poll(cx), Poll::Ready(None)));
        drop(first);
        assert_eq!((turnstile.free(), turnstile.waiting()), (0, 2));
        drop(inside);
        // It has a permit that it never sees.
        drop(second);
        let Poll::Ready(Some(inside)) = third.as_mut().poll(cx) else { panic!() };
        drop(third);
        drop(inside);
        assert_eq!((turnstile.free.get(), turnstile.waiting.borrow().len()), (1, 0));
    }
}
