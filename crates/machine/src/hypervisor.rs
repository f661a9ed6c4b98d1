//! Hypervisors: what is under the machine, chosen once at the start.
//!
//! Clock, console, power and the delivery of interrupts differ; all else is the same machine. Whoever
//! needs one of them asks [`current`], and nobody asks which hypervisor that is. Nothing here knows the
//! implementations ([`native`], [`kvm`], [`xen`]): the boot sequence registers the one that is there.

#[cfg(test)]
pub(crate) mod fake;
pub(crate) mod kvm;
pub(crate) mod native;
pub mod xen;

use crate::image_layout::Handlers;
use core::time::Duration;
use hermit_sync::OnceCell;

/// What a hypervisor gives. Times are in nanoseconds since the start of its clock.
pub(crate) trait Hypervisor: Send + Sync {
    /// Begins to learn the clock's rate, which takes less waiting the more is done until
    /// [`Hypervisor::start_clock`].
    fn begin_clock(&self);
    /// Starts clock and timer; the wall-clock time now, since 1970-01-01 00:00 UTC.
    fn start_clock(&self) -> Duration;
    /// The time; never goes back.
    fn nanos(&self) -> u64;
    /// Has this CPU idle until an interrupt line is raised, an event comes that nobody took, or the time `at`, which is
    /// after the time `now`. It may return early.
    fn wait(&self, at: Option<u64>, now: u64);

    /// Whether its timer can interrupt what runs, to take samples of it.
    fn can_sample(&self) -> bool {
        false
    }
    /// Has the timer interrupt what runs, after that many nanoseconds, and nothing else do so.
    fn begin_samples(&self, period_nanos: u64) {
        let _ = period_nanos;
    }
    /// Has it do so again, from inside the interrupt.
    fn next_sample(&self, period_nanos: u64) {
        let _ = period_nanos;
    }
    /// Turns interrupts off again, and gives the timer back to [`Hypervisor::wait`].
    fn end_samples(&self) {}

    /// Where text goes.
    fn console(&self) -> &'static dyn Transmitter;

    /// Turns interrupt controllers on, where interrupts come by them, and points its own vectors at their handlers.
    fn start_interrupts(&self, handlers: &Handlers);

    /// Arms the power button, if it is the hypervisor's.
    fn start_power(&self);
    /// Somebody pressed the power button since this was last asked.
    fn take_power_button(&self) -> bool;
    /// Ends the machine; returns where there is no way.
    fn shut_down(&self, reason: Shutdown);
}

/// Why the machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// It is done.
    Off,
    /// It wants to be started again.
    Reboot,
    /// It cannot go on.
    Crash,
}

/// The sending side of a console.
pub(crate) trait Transmitter: Sync {
    /// Finds the device; text goes out from now on.
    fn start(&self);
    /// Has it interrupt, once there are interrupts.
    fn start_interrupt(&self);
    /// Takes bytes as long as it has room; how many it took.
    fn send(&self, bytes: &mut dyn Iterator<Item = u8>) -> usize;
    /// Forgets the interrupt that said there is room.
    fn acknowledge(&self);
    /// Whether an interrupt is to say when there is room.
    fn want_interrupt(&self, wanted: bool);
}

static CURRENT: OnceCell<&'static dyn Hypervisor> = OnceCell::new();

/// The one that is there.
pub(crate) fn current() -> &'static dyn Hypervisor {
    CURRENT.get().copied().unwrap_or(&Host)
}

/// Whether there is one.
#[cfg(any(test, feature = "fake"))]
pub(crate) fn is_chosen() -> bool {
    CURRENT.get().is_some()
}

/// Chooses the one that is there. Called once.
pub(crate) fn choose(found: &'static dyn Hypervisor) {
    assert!(CURRENT.set(found).is_ok(), "one hypervisor");
}

/// A process on a host, where tests run: time stands still but in waits ([`idle::fake`](crate::idle)), and text goes nowhere.
struct Host;

impl Hypervisor for Host {
    fn begin_clock(&self) {}

    fn start_clock(&self) -> Duration {
        Duration::ZERO
    }

    fn nanos(&self) -> u64 {
        #[cfg(any(test, feature = "fake"))]
        return crate::idle::fake::nanos();
        #[cfg(not(any(test, feature = "fake")))]
        0
    }

    fn wait(&self, _at: Option<u64>, _now: u64) {}

    fn console(&self) -> &'static dyn Transmitter {
        &Host
    }

    fn start_interrupts(&self, _handlers: &Handlers) {}

    fn start_power(&self) {}

    fn take_power_button(&self) -> bool {
        false
    }

    fn shut_down(&self, _reason: Shutdown) {}
}

impl Transmitter for Host {
    fn start(&self) {}

    fn start_interrupt(&self) {}

    fn send(&self, bytes: &mut dyn Iterator<Item = u8>) -> usize {
        #[cfg(test)]
        return fake::send(bytes);
        #[cfg(not(test))]
        bytes.count()
    }

    fn acknowledge(&self) {}

    fn want_interrupt(&self, _wanted: bool) {
        #[cfg(test)]
        fake::WANTED.set(Some(_wanted));
    }
}
