//! Profile: samples of what runs, by an interrupt of the timer.
//!
//! Rust code is not interrupted otherwise. While samples are taken, interrupts are on outside of [`idle`](crate::idle), too, and
//! the task priority keeps all but the timer's away. Its handler runs on the stack of exceptions, since the code below may
//! use the red zone; it keeps all registers, and writes nothing but addresses into memory that was there before.

use crate::hypervisor;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use hermit_sync::OnceCell;

/// Samples are taken until this is dropped.
#[derive(Debug)]
pub struct Sampling(());

/// Samples a second, at most: each costs some ten microseconds.
pub const HERTZ_MAX: u32 = 1000;
/// Callers of a sample that are kept, the innermost first.
pub const FRAMES_MAX: usize = 48;
/// Words of samples that wait to be taken, each with a word more than it has addresses.
const WORDS_MAX: usize = 8192;

static IS_ON: AtomicBool = AtomicBool::new(false);
static PERIOD_NANOS: AtomicU64 = AtomicU64::new(0);
/// When the next sample is due, by the clock; and how long it would have been until then when samples were paused. What runs in
/// short pieces between two waits is met as often as what runs in one.
static DUE_NANOS: AtomicU64 = AtomicU64::new(0);
static LEFT_NANOS: AtomicU64 = AtomicU64::new(0);
/// The code that pauses and goes on takes some time itself, which nobody wants to see.
const LEFT_NANOS_MIN: u64 = 10_000;
/// Once it was wanted it stays: an interrupt may be on its way.
static BUFFER: OnceCell<Buffer> = OnceCell::new();

/// Begins to take so many samples a second, of a CPU that is not idle; none where no timer interrupts, where there is no memory
/// for them, or somebody takes them already.
pub fn start(hertz: u32) -> Option<Sampling> {
    if IS_ON.load(Ordering::Relaxed) || !hypervisor::current().can_sample() {
        return None;
    }
    if BUFFER.get().is_none() {
        BUFFER.set(Buffer::new(WORDS_MAX)?).ok()?;
    }
    BUFFER.get()?.clear();
    let period = 1_000_000_000 / u64::from(hertz.clamp(1, HERTZ_MAX));
    PERIOD_NANOS.store(period, Ordering::Relaxed);
    LEFT_NANOS.store(period, Ordering::Relaxed);
    IS_ON.store(true, Ordering::Relaxed);
    begin();
    Some(Sampling(()))
}

impl Sampling {
    /// Shows the samples since the last time: where the CPU was, and the return addresses of its callers, the innermost first.
    /// How many found no room since then.
    pub fn take(&mut self, visit: &mut dyn FnMut(&[u64])) -> u64 {
        let _paused = pause();
        BUFFER.get().map_or(0, |buffer| buffer.take(visit))
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        end();
        IS_ON.store(false, Ordering::Relaxed);
    }
}

/// No sample is taken until this is dropped, and interrupts are off, as they are without samples.
pub(crate) struct Paused(());

/// Pauses, if samples are taken.
#[inline]
pub(crate) fn pause() -> Option<Paused> {
    IS_ON.load(Ordering::Relaxed).then(|| {
        end();
        Paused(())
    })
}

fn begin() {
    let left = LEFT_NANOS.load(Ordering::Relaxed);
    DUE_NANOS.store(hypervisor::current().nanos() + left, Ordering::Relaxed);
    hypervisor::current().begin_samples(left);
}

fn end() {
    hypervisor::current().end_samples();
    let left = DUE_NANOS.load(Ordering::Relaxed).saturating_sub(hypervisor::current().nanos());
    LEFT_NANOS.store(left.max(LEFT_NANOS_MIN), Ordering::Relaxed);
}

impl Drop for Paused {
    fn drop(&mut self) {
        begin();
    }
}

/// Takes a sample: what `walk` gives, innermost first, until it is told to end. For the interrupt's handler alone.
pub fn sample(walk: impl FnOnce(&mut dyn FnMut(u64) -> bool)) {
    if let Some(buffer) = BUFFER.get() {
        buffer.add(walk);
    }
    let period = PERIOD_NANOS.load(Ordering::Relaxed);
    DUE_NANOS.store(hypervisor::current().nanos() + period, Ordering::Relaxed);
    hypervisor::current().next_sample(period);
}

/// Samples that wait to be taken, each with its length before it.
struct Buffer {
    words: Vec<AtomicU64>,
    used: AtomicUsize,
    lost: AtomicU64,
}

impl Buffer {
    fn new(words_max: usize) -> Option<Self> {
        let mut words = Vec::new();
        words.try_reserve_exact(words_max).ok()?;
        words.resize_with(words_max, AtomicU64::default);
        Some(Self { words, used: AtomicUsize::new(0), lost: AtomicU64::new(0) })
    }

    fn clear(&self) {
        self.used.store(0, Ordering::Relaxed);
        self.lost.store(0, Ordering::Relaxed);
    }

    fn add(&self, walk: impl FnOnce(&mut dyn FnMut(u64) -> bool)) {
        let start = self.used.load(Ordering::Relaxed);
        let mut count = 0;
        let mut is_full = start >= self.words.len();
        walk(&mut |address| {
            match self.words.get(start + 1 + count) {
                Some(word) => word.store(address, Ordering::Relaxed),
                None => is_full = true,
            }
            count += 1;
            !is_full && count < FRAMES_MAX
        });
        match self.words.get(start) {
            Some(length) if !is_full => {
                length.store(count as u64, Ordering::Relaxed);
                self.used.store(start + 1 + count, Ordering::Release);
            }
            _ => self.lost.store(self.lost.load(Ordering::Relaxed) + 1, Ordering::Relaxed),
        }
    }

    fn take(&self, visit: &mut dyn FnMut(&[u64])) -> u64 {
        let used = self.used.load(Ordering::Acquire);
        let mut words = self.words.iter().take(used).map(|word| word.load(Ordering::Relaxed));
        let mut sample = [0; FRAMES_MAX];
        while let Some(length) = words.next() {
            let length = (length as usize).min(FRAMES_MAX);
            for (place, word) in sample.iter_mut().zip(words.by_ref().take(length)) {
                *place = word;
            }
            visit(&sample[..length]);
        }
        self.used.store(0, Ordering::Relaxed);
        self.lost.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(buffer: &Buffer, addresses: &[u64]) {
        buffer.add(|visit| {
            let _ = addresses.iter().all(|address| visit(*address));
        });
    }

    fn take(buffer: &Buffer) -> (Vec<Vec<u64>>, u64) {
        let mut samples = Vec::new();
        let lost = buffer.take(&mut |sample| samples.push(sample.to_vec()));
        (samples, lost)
    }

    #[test]
    fn samples_are_taken_once_in_their_order() {
        let buffer = Buffer::new(100).unwrap();
        add(&buffer, &[1, 2, 3]);
        add(&buffer, &[]);
        add(&buffer, &[4]);
        assert_eq!(take(&buffer), ([[1, 2, 3].to_vec(), [].to_vec(), [4].to_vec()].into(), 0));
        assert_eq!(take(&buffer), ([].into(), 0));
    }

    #[test]
    fn what_finds_no_room_is_lost_whole_and_counted() {
        let buffer = Buffer::new(6).unwrap();
        add(&buffer, &[1, 2, 3]);
        add(&buffer, &[4, 5]);
        add(&buffer, &[6]);
        assert_eq!(take(&buffer), ([[1, 2, 3].to_vec(), [6].to_vec()].into(), 1));
        add(&buffer, &[1, 2, 3, 4, 5]);
        assert_eq!(take(&buffer), ([[1, 2, 3, 4, 5].to_vec()].into(), 0));
        add(&buffer, &[1, 2, 3, 4, 5]);
        add(&buffer, &[]);
        assert_eq!(take(&buffer), ([[1, 2, 3, 4, 5].to_vec()].into(), 1));
    }

    #[test]
    fn deep_stacks_keep_their_innermost_callers() {
        let buffer = Buffer::new(100).unwrap();
        let deep: Vec<u64> = (0..60).collect();
        add(&buffer, &deep);
        assert_eq!(take(&buffer), ([deep[..FRAMES_MAX].to_vec()].into(), 0));
    }

    /// All tests of what all of a process has are here.
    #[test]
    fn the_next_sample_is_due_a_period_later_and_none_once_nobody_wants_them() {
        assert!(start(100).is_none(), "a host has no samples");
        PERIOD_NANOS.store(7, Ordering::Relaxed);
        sample(|_| {});
        assert_eq!(DUE_NANOS.load(Ordering::Relaxed), 7, "by a clock that stands at 0");
        IS_ON.store(true, Ordering::Relaxed);
        drop(Sampling(()));
        assert!(pause().is_none());
    }
}
