//! Entropy: random bytes.
//!
//! A ChaCha12 generator keyed from the CPU (RDSEED, else RDRAND) and from whatever else
//! [`add`] is given, such as a virtio entropy device; from timing jitter where there is neither, which
//! [`is_by_jitter`] tells. Without any source nothing is handed out: predictable sequence numbers and keys
//! are worse than no boot.

mod jitter;

use crate::arch::instructions;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use spinning_top::Spinlock;

/// There was nothing but jitter to seed the generator with.
static BY_JITTER: AtomicBool = AtomicBool::new(false);
static POOL: Spinlock<Option<ChaCha12Rng>> = Spinlock::new(None);

/// No source of entropy: the CPU has no RDSEED or RDRAND, no device gave any, and its counter is too regular.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEntropy;

impl fmt::Display for NoEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no entropy: give the guest a CPU with RDRAND or a virtio-rng device")
    }
}

impl core::error::Error for NoEntropy {}

/// Fills `bytes` with random ones.
pub fn fill(bytes: &mut [u8]) -> Result<(), NoEntropy> {
    let mut pool = POOL.lock();
    if pool.is_none() {
        let seed = cpu_seed().or_else(|| {
            BY_JITTER.store(true, Ordering::Relaxed);
            jitter::seed()
        });
        *pool = Some(ChaCha12Rng::from_seed(seed.ok_or(NoEntropy)?));
    }
    pool.as_mut().ok_or(NoEntropy)?.fill_bytes(bytes);
    Ok(())
}

/// Whether timing jitter is all there was, which is worth a warning.
pub fn is_by_jitter() -> bool {
    BY_JITTER.load(Ordering::Relaxed)
}

/// Mixes in what the CPU gives now, or timing jitter: for a machine of which there may be a copy.
pub(crate) fn renew() {
    if let Some(seed) = cpu_seed().or_else(jitter::seed) {
        mix(&seed);
    }
}

/// Mixes a seed from another source in; it can only add.
pub fn add(seed: &[u8; 32]) {
    mix(seed);
    BY_JITTER.store(false, Ordering::Relaxed);
}

fn mix(seed: &[u8; 32]) {
    let mut mixed = *seed;
    let mut pool = POOL.lock();
    let mut old = [0; 32];
    if let Some(generator) = pool.as_mut() {
        generator.fill_bytes(&mut old);
    } else if let Some(seed) = cpu_seed() {
        old = seed;
    }
    mixed.iter_mut().zip(old).for_each(|(byte, old)| *byte ^= old);
    *pool = Some(ChaCha12Rng::from_seed(mixed));
}

/// 256 bits from the CPU.
fn cpu_seed() -> Option<[u8; 32]> {
    let mut seed = [0; 32];
    for word in seed.chunks_exact_mut(8) {
        word.copy_from_slice(&instructions::random()?.to_le_bytes());
    }
    Some(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_differ_and_seeds_mix_in() {
        add(&[7; 32]);
        let (mut one, mut two) = ([0; 32], [0; 32]);
        fill(&mut one).unwrap();
        fill(&mut two).unwrap();
        assert_ne!(one, two);
        add(&[7; 32]);
        let mut three = [0; 32];
        fill(&mut three).unwrap();
        assert_ne!(one, three);
        // What was there before is not lost: the new key is both.
        let mut old = POOL.lock().clone().expect("a generator");
        let mut key = [0; 32];
        old.fill_bytes(&mut key);
        key.iter_mut().for_each(|byte| *byte ^= 9);
        let mut expected = [0; 32];
        let mut expected_pool = ChaCha12Rng::from_seed(key);
        expected_pool.fill_bytes(&mut expected);
        BY_JITTER.store(true, Ordering::Relaxed);
        assert!(is_by_jitter());
        add(&[9; 32]);
        assert!(!is_by_jitter(), "there is something better now");
        fill(&mut three).unwrap();
        assert_eq!(three, expected);
        renew();
        expected_pool.fill_bytes(&mut expected);
        fill(&mut three).unwrap();
        assert_ne!(three, expected, "a copy of the machine goes on otherwise");
    }

    #[test]
    fn a_machine_without_entropy_is_told_how_to_have_some() {
        let text = std::string::ToString::to_string(&NoEntropy);
        assert!(text.contains("RDRAND") && text.contains("virtio-rng"), "{text}");
    }
}
