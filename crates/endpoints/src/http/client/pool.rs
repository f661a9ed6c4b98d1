//! Connection pool: idle connections, kept for later requests (RFC 9112 section 9.3).

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

struct Shared<F> {
    idle: RefCell<Idle<F>>,
    idle_max: usize,
    spawner: Spawner,
    timers: Timers,
}

struct Idle<F> {
    /// The oldest first; so deadlines are in order too.
    connections: VecDeque<(Target, F, Connection)>,
    /// A task waits for the first deadline.
    swept: bool,
}

impl<F> Clone for Pool<F> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<F: Flow + 'static> Pool<F> {
    pub(super) fn new(idle_max: usize, spawner: &Spawner, timers: &Timers) -> Self {
        let idle = RefCell::new(Idle { connections: VecDeque::new(), swept: false });
        Self(Rc::new(Shared { idle, idle_max, spawner: spawner.clone(), timers: timers.clone() }))
    }

    /// The youngest idle connection to `target` on which the server neither ended nor said anything.
    pub(super) fn take(&self, target: &Target) -> Option<(F, Connection)> {
        let now = self.0.timers.now();
        loop {
            let mut idle = self.0.idle.borrow_mut();
            let place = idle.connections.iter().rposition(|(own, _, _)| own == target)?;
            let (_, mut flow, core) = idle.connections.remove(place)?;
            drop(idle);
            if core.next_deadline().is_none_or(|deadline| deadline > now) && is_silent(&mut flow) {
                return Some((flow, core));
            }
        }
    }

    /// Keeps a connection that can be used again.
    pub(super) fn put(&self, target: Target, flow: F, core: Connection) {
        let mut idle = self.0.idle.borrow_mut();
        idle.connections.push_back((target, flow, core));
        if idle.connections.len() > self.0.idle_max {
            idle.connections.pop_front();
        }
        if !core::mem::replace(&mut idle.swept, true) {
            let sweeping = sweep(Rc::downgrade(&self.0), self.0.timers.clone());
            self.0.spawner.spawn("http client idle", sweeping);
        }
    }
}

impl<F: Flow> Shared<F> {
    /// Closes what was idle for too long; when to look again, if anything is left.
    fn sweep(&self, now: Duration) -> Option<Duration> {
        let mut idle = self.idle.borrow_mut();
        while let Some((_, _, core)) = idle.connections.front() {
            match core.next_deadline() {
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
