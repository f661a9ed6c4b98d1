//! Timing jitter: a seed from how long memory accesses take by the time stamp counter, where nothing better is.
//!
//! The raw numbers go through the health tests of NIST SP 800-90B, section 4.4, for at least one bit in each, and a clock
//! that is too regular fails them. Eight times as many are gathered as a seed has bits.

use crate::arch::tsc;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

const SEED_BYTES: usize = 32;
/// Samples for a seed.
const SAMPLES: usize = 8 * 8 * SEED_BYTES;

/// Steps of a walk between two looks at the counter: the fewest that do. A counter that goes in coarse steps, as some
/// hypervisors' do, shows differences only after long walks. The longest takes a second or two under emulation.
const STEPS: [u32; 4] = [16, 128, 1024, 8192];

/// A seed, or nothing where the counter is too regular.
pub(super) fn seed() -> Option<[u8; SEED_BYTES]> {
    seed_by(&mut tsc::ticks)
}

fn seed_by(ticks: &mut dyn FnMut() -> u64) -> Option<[u8; SEED_BYTES]> {
    let mut walk = Walk { memory: [0; WALK_BYTES], at: 0, before: ticks() };
    STEPS.iter().find_map(|&steps| condense(&mut || walk.sample(steps, ticks)))
}

/// Makes a seed of samples that are healthy, all of them.
fn condense(sample: &mut dyn FnMut() -> u8) -> Option<[u8; SEED_BYTES]> {
    let mut health = Health::new(sample());
    let mut seed = [0; SEED_BYTES];
    for _ in 0..SAMPLES / SEED_BYTES {
        for byte in &mut seed {
            let sample = sample();
            health.accept(sample)?;
            *byte ^= sample;
        }
        // A keystream says nothing of its key, and each bit of it hangs on all of the key's.
        ChaCha12Rng::from_seed(seed).fill_bytes(&mut seed);
    }
    Some(seed)
}

const WALK_BYTES: usize = 4096;

/// A walk through memory whose way hangs on how long the last step took.
struct Walk {
    memory: [u8; WALK_BYTES],
    at: usize,
    before: u64,
}

impl Walk {
    /// The low bits of the time that `steps` took.
    fn sample(&mut self, steps: u32, ticks: &mut dyn FnMut() -> u64) -> u8 {
        const STRIDE: usize = 67;
        for _ in 0..steps {
            self.at = (self.at + STRIDE + usize::from(self.memory[self.at])) % WALK_BYTES;
            self.memory[self.at] = self.memory[self.at].wrapping_add(1);
        }
        let now = ticks();
        let took = now.wrapping_sub(self.before);
        self.before = now;
        self.at = (self.at + took as usize) % WALK_BYTES;
        // Some counters go in steps: what differs is in the low bits all the same.
        (took ^ took >> 8) as u8
    }
}

/// Continuous health tests: both fail by chance once in 2^20 windows of a source of one bit per sample.
struct Health {
    last: u8,
    repeated: u32,
    first_of_window: u8,
    in_window: u32,
    like_first: u32,
}

impl Health {
    fn new(first: u8) -> Self {
        Self { last: first, repeated: 1, first_of_window: first, in_window: 1, like_first: 1 }
    }

    /// `None` when the source has failed.
    fn accept(&mut self, sample: u8) -> Option<()> {
        /// Repetition count test (4.4.1): 1 + 20 bits / 1 bit.
        const REPEATED_MAX: u32 = 21;
        /// Adaptive proportion test (4.4.2), for samples that are not single bits.
        const WINDOW: u32 = 512;
        const LIKE_FIRST_MAX: u32 = 325;
        self.repeated = if sample == self.last { self.repeated + 1 } else { 1 };
        self.last = sample;
        if self.in_window == WINDOW {
            (self.first_of_window, self.in_window, self.like_first) = (sample, 0, 0);
        }
        self.in_window += 1;
        self.like_first += u32::from(sample == self.first_of_window);
        (self.repeated < REPEATED_MAX && self.like_first < LIKE_FIRST_MAX).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many samples are accepted before the source is given up, of a thousand windows at most.
    fn accepted(mut sample: impl FnMut(u32) -> u8) -> u32 {
        let mut health = Health::new(sample(0));
        (1..512_000).find(|&at| health.accept(sample(at)).is_none()).unwrap_or(u32::MAX)
    }

    #[test]
    fn the_same_again_and_again_fails_after_twenty_one() {
        assert_eq!(accepted(|_| 7), 20);
        assert_eq!(accepted(|at| if at < 100 { at as u8 } else { 7 }), 120);
        // One less is a matter of chance.
        assert_eq!(accepted(|at| (at / 20) as u8), u32::MAX);
    }

    #[test]
    fn one_that_is_too_frequent_fails_within_its_window() {
        // Two of three are alike, but never many in a row.
        let failed = accepted(|at| if at % 3 < 2 { 7 } else { at as u8 });
        assert!((325..512).contains(&failed), "{failed}");
        assert_eq!(accepted(|at| if at % 2 == 0 { 7 } else { at as u8 }), u32::MAX);
    }

    #[test]
    fn a_seed_hangs_on_every_sample() {
        let seed = |changed: usize| {
            let mut at = 0;
            condense(&mut || {
                at += 1;
                (at as u8) ^ u8::from(at == changed)
            })
        };
        let usual = seed(0).unwrap();
        for changed in 2..=SAMPLES + 1 {
            assert_ne!(seed(changed).unwrap(), usual, "sample {changed}");
        }
        assert_eq!(seed(SAMPLES + 2).unwrap(), usual);
    }

    /// The low byte of what passed, and the one above it.
    #[test]
    fn a_sample_is_the_difference_between_two_looks() {
        let mut walk = Walk { memory: [0; WALK_BYTES], at: 0, before: u64::MAX };
        let mut looks = [0x0502, 0x0502, 0x0601_0503].into_iter();
        let mut ticks = || looks.next().expect("a look for each sample");
        let samples = [(); 3].map(|()| walk.sample(16, &mut ticks));
        assert_eq!(samples, [0x03 ^ 0x05, 0, 0x01]);
        assert_eq!(walk.memory.iter().map(|&byte| u64::from(byte)).sum::<u64>(), 48, "steps");
    }

    #[test]
    fn a_clock_that_stands_still_gives_no_seed() {
        assert_eq!(condense(&mut || 0), None);
    }

    #[test]
    fn a_coarse_counter_is_looked_at_less_often() {
        // It stands still while walks are short, as a coarse one seems to.
        let mut looks = 0u64;
        let mut coarse = || {
            looks += 1;
            if looks < 30 { 0 } else { looks * looks / 7 }
        };
        assert!(seed_by(&mut coarse).is_some());
        assert_eq!(seed_by(&mut || 0), None);
    }

    #[test]
    fn this_computer_gives_seeds_that_differ() {
        assert_ne!(seed().unwrap(), seed().unwrap());
    }
}
