//! Relay between two TAPs: a path with a delay, loss, reordering, a rate and a queue, by a seed.
//!
//! It is a wire: frames are single segments, since neither TAP has offloads, so that whoever sends has his long frames cut
//! by the kernel before they come here. So it works on kernels without netem, and the same for every system behind it.

mod direction;

use command::failure::{OrSay, Result};
use direction::Direction;
pub use direction::{Bottleneck, Counts, Impairments};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    io::ErrorKind,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

/// Longest frame that is taken.
const FRAME_BYTES_MAX: usize = 70_000;
/// Frames taken before those that are due go on.
const BATCH: usize = 32;
/// How often a relay that has nothing to do looks for new impairments.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Two threads, one for each direction; they end when it is dropped.
pub struct Relay {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    impairments: Mutex<Impairments>,
    /// Counts changes of the impairments.
    generation: AtomicU64,
    /// Which generation a direction has seen.
    seen: [AtomicU64; 2],
    counts: [Mutex<Counts>; 2],
    is_ended: AtomicBool,
}

impl Relay {
    /// Makes two TAPs in the network namespace that we run in, and hands on what comes by either to the other. Interfaces are
    /// not yet up, and may be moved to other namespaces.
    ///
    /// # Errors
    ///
    /// The TAPs cannot be made.
    pub fn start(names: [&str; 2]) -> Result<Self> {
        let taps = [open(names[0])?, open(names[1])?];
        let shared = Arc::new(Shared {
            impairments: Mutex::new(Impairments::NONE),
            generation: AtomicU64::new(0),
            seen: Default::default(),
            counts: Default::default(),
            is_ended: AtomicBool::new(false),
        });
        let threads = [0, 1].map(|index| {
            let (from, to) = (taps[index].clone(), taps[1 - index].clone());
            let shared = shared.clone();
            std::thread::spawn(move || run(index, &from, &to, &shared))
        });
        Ok(Self { shared, threads: threads.into() })
    }

    /// From now on the path is this one: what is on its way is forgotten, and numbers are drawn from the beginning.
    pub fn set(&self, impairments: Impairments) {
        *lock(&self.shared.impairments) = impairments;
        let generation = self.shared.generation.fetch_add(1, Ordering::AcqRel) + 1;
        while self.shared.seen.iter().any(|seen| seen.load(Ordering::Acquire) < generation)
            && !self.threads.iter().any(JoinHandle::is_finished)
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// What became of the frames since then: those from the first TAP, those from the second.
    #[must_use]
    pub fn counts(&self) -> [Counts; 2] {
        self.shared.counts.each_ref().map(|counts| *lock(counts))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.is_ended.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn open(name: &str) -> Result<Arc<SyncDevice>> {
    let say = || format!("cannot make the TAP {name}");
    let device = DeviceBuilder::new()
        .name(name)
        .layer(Layer::L2)
        .inherit_enable_state()
        .build_sync()
        .or_say(say)?;
    device.set_nonblocking(true).or_say(say)?;
    Ok(Arc::new(device))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One direction, until the end.
fn run(index: usize, from: &SyncDevice, to: &SyncDevice, shared: &Shared) {
    let origin = Instant::now();
    let mut buffer = vec![0; FRAME_BYTES_MAX];
    let mut direction = Direction::new(Impairments::NONE, index);
    let mut generation = 0;
    while !shared.is_ended.load(Ordering::Acquire) {
        let newest = shared.generation.load(Ordering::Acquire);
        if newest != generation {
            generation = newest;
            direction = Direction::new(lock(&shared.impairments).clone(), index);
            shared.seen[index].store(generation, Ordering::Release);
        }
        let mut is_drained = false;
        for _ in 0..BATCH {
            match from.recv(&mut buffer) {
                Ok(bytes) => direction.take(origin.elapsed(), &buffer[..bytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    is_drained = true;
                    break;
                }
                // An interface that is gone, with its namespace.
                Err(_) => {
                    std::thread::sleep(LOOK_EVERY);
                    break;
                }
            }
        }
        while let Some(frame) = direction.due(origin.elapsed()) {
            // An interface that is down loses frames as any does.
            let _ = to.send(&frame);
            direction.recycle(frame);
        }
        *lock(&shared.counts[index]) = direction.counts();
        if is_drained {
            let now = origin.elapsed();
            let next = direction.next_due().map(|due| due.saturating_sub(now));
            wait(from, next.unwrap_or(LOOK_EVERY).min(LOOK_EVERY));
        }
    }
}

/// Until there is a frame, or for so long.
fn wait(device: &SyncDevice, time: Duration) {
    let Ok(time) = Timespec::try_from(time) else { return };
    let _ = poll(&mut [PollFd::new(device, PollFlags::IN)], Some(&time));
}
