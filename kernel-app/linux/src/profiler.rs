//! Profiler: samples of this process, by a timer of the CPU's time and its signal.

use aqueduct::platform::{Profiling, SampledStack};
use pprof::{ProfilerGuardBuilder, Report};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel, sync_channel};
use std::task::Poll;
use std::thread;
use std::time::Duration;

/// Code whose stack cannot be walked: the walk itself, whose locks it may hold, and what the kernel maps.
const UNSAFE_LIBRARIES: [&str; 2] = ["libgcc", "vdso"];

/// Somebody takes samples.
static IS_BUSY: AtomicBool = AtomicBool::new(false);

/// Begins, unless samples are taken already.
pub(crate) fn start(hertz: u32) -> Option<Box<dyn Profiling>> {
    let hertz = i32::try_from(hertz).ok()?;
    if IS_BUSY.swap(true, Ordering::Relaxed) {
        return None;
    }
    let busy = Busy;
    // It looks at all libraries first, and names need longer still: neither is for the loop to wait for.
    let (end, ended) = channel();
    let (sender, stacks) = sync_channel(1);
    let profile = move || {
        let _busy = busy;
        // Whoever asked may be gone.
        let _ = sender.send(profile(hertz, &ended));
    };
    match thread::Builder::new().name("profile".into()).spawn(profile) {
        Ok(_) => Some(Box::new(Profiler { end: Some(end), stacks, named: VecDeque::new() })),
        Err(error) => {
            log::warn!("no thread takes samples: {error}");
            None
        }
    }
}

/// Dropped, others may begin.
struct Busy;

impl Drop for Busy {
    fn drop(&mut self) {
        IS_BUSY.store(false, Ordering::Relaxed);
    }
}

/// The functions that ran most often in this time, the innermost first; none if nothing ran, or somebody takes samples already.
pub(crate) fn most_frequent(time: Duration) -> Option<Vec<String>> {
    const HERTZ: i32 = 99;
    const FUNCTIONS_MAX: usize = 32;
    if IS_BUSY.swap(true, Ordering::Relaxed) {
        return None;
    }
    let _busy = Busy;
    let (end, ended) = channel();
    let ending = thread::spawn(move || {
        thread::sleep(time);
        drop(end);
    });
    let stacks = profile(HERTZ, &ended);
    let _ = ending.join();
    let most = stacks.into_iter().max_by_key(|stack| stack.samples)?;
    Some(most.frames.rsplit(';').take(FUNCTIONS_MAX).map(ToOwned::to_owned).collect())
}

/// Takes samples until the other end is dropped.
fn profile(hertz: i32, ended: &Receiver<Infallible>) -> VecDeque<SampledStack> {
    let builder = ProfilerGuardBuilder::default().frequency(hertz).blocklist(&UNSAFE_LIBRARIES);
    let report = builder.build().and_then(|guard| {
        let _ = ended.recv();
        guard.report().build()
    });
    match report {
        Ok(report) => folded(&report),
        Err(error) => {
            log::warn!("no samples are taken: {error}");
            VecDeque::new()
        }
    }
}

struct Profiler {
    /// Dropped, the samples end.
    end: Option<Sender<Infallible>>,
    stacks: Receiver<VecDeque<SampledStack>>,
    named: VecDeque<SampledStack>,
}

impl Profiling for Profiler {
    /// The signal's handler has done it.
    fn collect(&mut self) {}

    fn poll_stack(&mut self) -> Poll<Option<SampledStack>> {
        self.end = None;
        match self.stacks.try_recv() {
            Ok(stacks) => self.named = stacks,
            Err(TryRecvError::Empty) => return Poll::Pending,
            Err(TryRecvError::Disconnected) => {}
        }
        Poll::Ready(self.named.pop_front())
    }
}

fn folded(report: &Report) -> VecDeque<SampledStack> {
    let stacks = report.data.iter().map(|(frames, count)| {
        // A frame has the functions that were inlined into it, the innermost first.
        let functions = frames.frames.iter().rev().flat_map(|frame| frame.iter().rev());
        let names = functions.map(|function| function.name().replace(';', ","));
        let frames = names.collect::<Vec<_>>().join(";");
        SampledStack { frames, samples: u64::try_from(*count).unwrap_or(0) }
    });
    stacks.collect()
}
