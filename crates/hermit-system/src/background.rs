//! Threads for what blocks: the kernel returns from a call that connects when the peer has answered, and the application has
//! one thread.
//!
//! One thread for each such call, [`THREADS_MAX`] at a time; more calls wait for their turn.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::sync::atomic::{AtomicUsize, Ordering};
use hermit_abi::{NORMAL_PRIO, spawn2};
use hermit_sync::TicketMutex;

/// Calls under way; each has a stack, and the kernel two more for its thread.
const THREADS_MAX: usize = 16;
const STACK_BYTES: usize = 64 << 10;
/// Calls that wait for a thread.
const WAITING_MAX: usize = 64;

static RUNNING: AtomicUsize = AtomicUsize::new(0);
static WAITING: TicketMutex<VecDeque<Job>> = TicketMutex::new(VecDeque::new());

/// A call that blocks. It may run in another thread, and must not panic there.
type Job = Box<dyn FnOnce() + Send>;

/// Runs the job in a thread, as soon as there is one for it; false, and the job is not run, when too many wait already.
pub(crate) fn run(job: impl FnOnce() + Send + 'static) -> bool {
    if WAITING.lock().len() >= WAITING_MAX {
        return false;
    }
    WAITING.lock().push_back(Box::new(job));
    start_waiting();
    true
}

/// Starts jobs that wait for their turn, as far as threads have become free.
pub(crate) fn start_waiting() {
    while RUNNING.load(Ordering::Acquire) < THREADS_MAX {
        let Some(job) = WAITING.lock().pop_front() else { return };
        RUNNING.fetch_add(1, Ordering::AcqRel);
        let job = Box::into_raw(Box::new(job));
        // SAFETY: the function takes a job as it is made here, once. The kernel chooses the CPU, of which there is one.
        unsafe { spawn2(thread, job.expose_provenance(), NORMAL_PRIO.into(), STACK_BYTES, -1) };
    }
}

/// Jobs that are not done.
pub(crate) fn count() -> usize {
    RUNNING.load(Ordering::Acquire) + WAITING.lock().len()
}

extern "C" fn thread(job: usize) {
    let job: *mut Job = core::ptr::with_exposed_provenance_mut(job);
    // SAFETY: `start_waiting` made it for this thread alone.
    let job = unsafe { Box::from_raw(job) };
    job();
    RUNNING.fetch_sub(1, Ordering::AcqRel);
}
