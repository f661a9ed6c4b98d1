//! Entropy: random bytes of the CPU (Intel SDM volume 1, section 7.3.17).
//!
//! Not the kernel's `read_entropy`: where the CPU has no RDSEED it gives what follows from the number before, and says
//! that it succeeded.

use core::arch::x86_64::{__cpuid, _rdrand64_step};
use core::fmt;

/// The CPU has no RDRAND, or that has no number to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEntropy;

impl fmt::Display for NoEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no entropy: give the guest a CPU with RDRAND")
    }
}

impl core::error::Error for NoEntropy {}

/// Fills `bytes` with random ones.
pub fn fill_random(bytes: &mut [u8]) -> Result<(), NoEntropy> {
    for part in bytes.chunks_mut(8) {
        part.copy_from_slice(&random()?.to_le_bytes()[..part.len()]);
    }
    Ok(())
}

fn random() -> Result<u64, NoEntropy> {
    const HAS_RDRAND: u32 = 1 << 30;
    const TRIES: usize = 100;
    if __cpuid(1).ecx & HAS_RDRAND == 0 {
        return Err(NoEntropy);
    }
    let mut word = 0;
    // SAFETY: the instruction exists.
    let mut is_random = || unsafe { _rdrand64_step(&mut word) == 1 };
    if (0..TRIES).any(|_| is_random()) { Ok(word) } else { Err(NoEntropy) }
}
