//! Idle connections: given out the youngest first, and closed when they are idle for too long.

use super::Connected;
use ::flow::task::Spawner;
use ::flow::time::Timers;
use alloc::collections::VecDeque;
use alloc::rc::{Rc, Weak};
use core::cell::RefCell;
use core::time::Duration;

#[derive(Default)]
pub(super) struct Idle {
    /// In the order in which they became idle.
    entries: VecDeque<Entry>,
    /// A task waits for the first one's time.
    is_swept: bool,
}

pub(super) struct Entry {
    pub(super) connected: Connected,
    pub(super) since: Duration,
}

impl Idle {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn take(&mut self) -> Option<Entry> {
        self.entries.pop_back()
    }

    /// Keeps a connection until its time has come.
    pub(super) fn put(
        idle: &Rc<RefCell<Self>>,
        connected: Connected,
        timeout: Duration,
        spawner: &Spawner,
        timers: &Timers,
    ) {
        let mut this = idle.borrow_mut();
        this.entries.push_back(Entry { connected, since: timers.now() });
        if !core::mem::replace(&mut this.is_swept, true) {
            let sweeping = sweep(Rc::downgrade(idle), timeout, timers.clone());
            spawner.spawn("postgres idle", sweeping);
        }
    }

    /// Those whose time has come; and when that of the next one does.
    fn expired(&mut self, now: Duration, timeout: Duration) -> (VecDeque<Entry>, Option<Duration>) {
        let count = self.entries.iter().take_while(|entry| entry.since + timeout <= now).count();
        let rest = self.entries.split_off(count);
        let expired = core::mem::replace(&mut self.entries, rest);
        let next = self.entries.front().map(|entry| entry.since + timeout);
        self.is_swept = next.is_some();
        (expired, next)
    }
}

async fn sweep(idle: Weak<RefCell<Idle>>, timeout: Duration, timers: Timers) {
    loop {
        let Some(strong) = idle.upgrade() else { return };
        let (expired, next) = strong.borrow_mut().expired(timers.now(), timeout);
        drop((expired, strong));
        let Some(next) = next else { return };
        timers.sleep_until(next).await;
    }
}
