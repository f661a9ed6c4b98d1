//! Clock: time since the start, wall-clock time, and waking up in time.

use crate::cpu::Cpu;
use crate::hypervisor;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

/// Seconds since 1970 at the start.
static WALL_START: AtomicU64 = AtomicU64::new(0);

/// Time since the start; never goes back.
pub fn now() -> Duration {
    Duration::from_nanos(hypervisor::current().nanos())
}

/// Time since 1970-01-01 00:00 UTC, as the hypervisor told it at the start.
pub fn wall() -> Duration {
    Duration::from_secs(WALL_START.load(Ordering::Relaxed)) + now()
}

/// Arms the timer for `deadline`; false when that has come. A timer that fires early is left
/// alone: arming costs an exit to the hypervisor.
pub(crate) fn wake_at(deadline: Option<Duration>) -> bool {
    let Some(deadline) = deadline else { return true };
    let at = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX);
    let hypervisor = hypervisor::current();
    let now = hypervisor.nanos();
    if at <= now {
        return false;
    }
    let timer = &Cpu::current().timer;
    if timer.armed() > at {
        timer.set_armed(hypervisor.arm_timer(at, now));
    }
    true
}

/// Something woke the CPU: a timer whose time has come is no longer armed.
pub(crate) fn woken() {
    let (hypervisor, timer) = (hypervisor::current(), &Cpu::current().timer);
    if hypervisor.take_timer() || timer.armed() <= hypervisor.nanos() {
        timer.disarm();
    }
}

/// Starts the clock.
pub(crate) fn start() {
    let wall = hypervisor::current().start_clock();
    WALL_START.store(wall.as_secs(), Ordering::Relaxed);
}
