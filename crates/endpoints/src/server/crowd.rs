//! Crowd: the connections of a server that has a bound for all of them together. When one more comes, the one that has been idle
//! longest makes room.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::task::Waker;

/// For a handful of connections: looking for the idle ones goes through all.
#[derive(Default)]
pub(super) struct Crowd {
    /// Zero is no bound.
    connections_max: Cell<usize>,
    members: RefCell<Vec<Rc<Member>>>,
    /// How often one became idle.
    clock: Cell<u64>,
}

/// A connection, as others see it.
struct Member {
    /// When it became idle, as of the crowd's clock; none while a request is open.
    idle_since: Cell<Option<u64>>,
    is_leaving: Cell<bool>,
    waker: RefCell<Waker>,
}

/// A connection's place among the others, until this is dropped.
pub(super) struct Seat {
    crowd: Rc<Crowd>,
    own: Rc<Member>,
}

impl Crowd {
    /// So many from now on; zero is no bound. Those that began without one do not count.
    pub(super) fn limit(&self, connections_max: usize) {
        self.connections_max.set(connections_max);
    }

    /// A place for one that comes now; none where there is no bound.
    ///
    /// # Errors
    /// There are enough, and a request is open on each.
    pub(super) fn enter(crowd: &Rc<Self>) -> Result<Option<Seat>, ()> {
        let connections_max = crowd.connections_max.get();
        if connections_max == 0 {
            return Ok(None);
        }
        let staying = crowd.members.borrow().iter().filter(|it| !it.is_leaving.get()).count();
        if staying >= connections_max && !crowd.ask_to_leave() {
            return Err(());
        }
        let own = Rc::new(Member {
            idle_since: Cell::new(Some(crowd.tick())),
            is_leaving: Cell::new(false),
            waker: RefCell::new(Waker::noop().clone()),
        });
        crowd.members.borrow_mut().push(own.clone());
        Ok(Some(Seat { crowd: crowd.clone(), own }))
    }

    /// Asks the one that has been idle longest; whether there is one.
    fn ask_to_leave(&self) -> bool {
        let members = self.members.borrow();
        let idle = members.iter().filter(|it| !it.is_leaving.get());
        let idle = idle.filter_map(|it| Some((it.idle_since.get()?, it)));
        let Some((_, oldest)) = idle.min_by_key(|(since, _)| *since) else { return false };
        oldest.is_leaving.set(true);
        let waker = oldest.waker.borrow().clone();
        drop(members);
        waker.wake();
        true
    }

    fn tick(&self) -> u64 {
        self.clock.set(self.clock.get() + 1);
        self.clock.get()
    }
}

impl Seat {
    /// Whom to wake when it is to leave.
    pub(super) fn attend(&self, waker: &Waker) {
        self.own.waker.borrow_mut().clone_from(waker);
    }

    /// Whether no request is open on the connection now.
    pub(super) fn set_idle(&self, is_idle: bool) {
        let since = &self.own.idle_since;
        if is_idle != since.get().is_some() {
            since.set(is_idle.then(|| self.crowd.tick()));
        }
    }

    /// Whether the connection is to end as soon as it is idle.
    pub(super) fn is_leaving(&self) -> bool {
        self.own.is_leaving.get()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.crowd.members.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.own));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_idle_longest_makes_room() {
        let crowd = Rc::new(Crowd::default());
        assert!(Crowd::enter(&crowd).unwrap().is_none());
        crowd.limit(3);
        let enter = || Crowd::enter(&crowd).map(Option::unwrap);
        let seats = [enter().unwrap(), enter().unwrap(), enter().unwrap()];
        // The first is at work, and idle again after the others.
        seats[0].set_idle(false);
        seats[0].set_idle(true);
        seats[0].set_idle(true);
        let leaving = || seats.each_ref().map(Seat::is_leaving);
        assert_eq!(leaving(), [false; 3]);
        let fourth = enter().unwrap();
        assert_eq!(leaving(), [false, true, false]);
        fourth.set_idle(false);
        seats[2].set_idle(false);
        let fifth = enter().unwrap();
        assert_eq!(leaving(), [true, true, false]);
        fifth.set_idle(false);
        assert!(enter().is_err(), "a request is open on all that stay");
        drop(fifth);
        assert!(enter().is_ok());
        drop((fourth, seats));
        assert!(crowd.members.borrow().is_empty());
    }
}
