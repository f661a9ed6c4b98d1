//! Connection pool: idle connections, kept for later requests (RFC 9112 section 9.3).

use crate::places::Location;
use ::http::client::Connection;
use alloc::collections::VecDeque;
use alloc::rc::{Rc, Weak};
use core::cell::RefCell;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use flow::task::Spawner;
use flow::time::Timers;
use flow::{Flow, Target};

/// Idle connections of one client. Clones share them.
pub(super) struct Pool<F>(Rc<Shared<F>>);

/// A connection, and when it was opened.
pub(super) struct Opened<F> {
    pub(super) flow: F,
    pub(super) core: Connection,
    pub(super) since: Duration,
}

/// Which connections are kept.
#[derive(Clone, Copy)]
pub(super) struct PoolLimits {
    /// Of all targets.
    pub(super) idle_max: usize,
    pub(super) idle_per_target_max: usize,
    pub(super) age_max: Duration,
    /// Of those to a service's name that nobody follows.
    pub(super) service_age_max: Duration,
}

struct Shared<F> {
    idle: RefCell<Idle<F>>,
    limits: PoolLimits,
    spawner: Spawner,
    timers: Timers,
}

struct Idle<F> {
    /// The oldest first; so deadlines are in order too.
    connections: VecDeque<(Location, Opened<F>)>,
    /// A task waits for the first deadline.
    swept: bool,
}

impl<F> Clone for Pool<F> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<F: Flow + 'static> Pool<F> {
    pub(super) fn new(limits: PoolLimits, spawner: &Spawner, timers: &Timers) -> Self {
        let idle = RefCell::new(Idle { connections: VecDeque::new(), swept: false });
        Self(Rc::new(Shared { idle, limits, spawner: spawner.clone(), timers: timers.clone() }))
    }

    /// The youngest idle connection to there on which the server neither ended nor said anything.
    pub(super) fn take(&self, to: &Location) -> Option<Opened<F>> {
        let now = self.0.timers.now();
        let has_moved = |own: &Location| own.target == to.target && own.moves < to.moves;
        self.0.idle.borrow_mut().connections.retain(|(own, _)| !has_moved(own));
        loop {
            let mut idle = self.0.idle.borrow_mut();
            let place = idle.connections.iter().rposition(|(own, _)| own == to)?;
            let (_, mut opened) = idle.connections.remove(place)?;
            drop(idle);
            let is_in_time = opened.core.next_deadline().is_none_or(|deadline| deadline > now);
            if is_in_time && !self.is_old(to, &opened) && is_silent(&mut opened.flow) {
                return Some(opened);
            }
        }
    }

    /// Keeps a connection that can be used again.
    pub(super) fn put(&self, to: &Location, mut opened: Opened<F>) {
        if self.is_old(to, &opened) {
            return opened.flow.finish();
        }
        let PoolLimits { idle_max, idle_per_target_max, .. } = self.0.limits;
        let mut idle = self.0.idle.borrow_mut();
        idle.connections.push_back((to.clone(), opened));
        let is_own = |connection: &&(Location, Opened<F>)| connection.0 == *to;
        if idle.connections.iter().filter(is_own).count() > idle_per_target_max {
            let oldest = idle.connections.iter().position(|(own, _)| own == to);
            oldest.and_then(|place| idle.connections.remove(place));
        }
        if idle.connections.len() > idle_max {
            idle.connections.pop_front();
        }
        if !core::mem::replace(&mut idle.swept, true) {
            let sweeping = sweep(Rc::downgrade(&self.0), self.0.timers.clone());
            self.0.spawner.spawn("http client idle", sweeping);
        }
    }
}

impl<F> Pool<F> {
    fn is_old(&self, to: &Location, opened: &Opened<F>) -> bool {
        let PoolLimits { age_max, service_age_max, .. } = self.0.limits;
        let is_name = matches!(to.target, Target::Service(_));
        let age_max = if is_name && to.moves == 0 { service_age_max } else { age_max };
        self.0.timers.now().saturating_sub(opened.since) >= age_max
    }
}

impl<F: Flow> Shared<F> {
    /// Closes what was idle for too long; when to look again, if anything is left.
    fn sweep(&self, now: Duration) -> Option<Duration> {
        let mut idle = self.idle.borrow_mut();
        while let Some((_, opened)) = idle.connections.front() {
            match opened.core.next_deadline() {
                Some(deadline) if deadline > now => return Some(deadline),
                _ => drop(idle.connections.pop_front()),
            }
        }
        idle.swept = false;
        None
    }
}

/// Closes connections as they become too old, until there are none.
async fn sweep<F: Flow + 'static>(pool: Weak<Shared<F>>, timers: Timers) {
    loop {
        let Some(deadline) = pool.upgrade().and_then(|pool| pool.sweep(timers.now())) else {
            return;
        };
        timers.sleep_until(deadline).await;
    }
}

/// Whether nothing came, not even the end: whatever comes between requests answers none (RFC 9112 section 9.2).
fn is_silent(flow: &mut impl Flow) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(flow.poll_read_with(&mut context, &mut |_| 0), Poll::Pending)
}
