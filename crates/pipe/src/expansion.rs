//! Expansion limits: what a compressed message may grow to.

use crate::Fault;

/// Limits on the output of a decompressor, for each message.
#[derive(Clone, Copy, Debug)]
pub struct Expansion {
    /// Bytes of output. Default 128 MiB: twice the largest message of the interoperability
    /// tests.
    pub output_bytes_max: u64,
    /// Bytes of output for each byte of input, once `free_bytes` are out. Default 512: half of
    /// what DEFLATE can reach, a hundred times what real data does.
    pub ratio_max: u64,
    /// Bytes of output before the ratio counts. Default 1 MiB.
    pub free_bytes: u64,
}

impl Default for Expansion {
    fn default() -> Self {
        Self { output_bytes_max: 128 << 20, ratio_max: 512, free_bytes: 1 << 20 }
    }
}

/// Counts one message against its limits.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: Expansion,
    taken: u64,
    given: u64,
}

impl Meter {
    pub(crate) fn new(limits: Expansion) -> Self {
        Self { limits, taken: 0, given: 0 }
    }

    pub(crate) fn restart(&mut self) {
        (self.taken, self.given) = (0, 0);
    }

    pub(crate) fn count(&mut self, taken: usize, given: usize) -> Result<(), Fault> {
        self.taken = self.taken.saturating_add(taken as u64);
        self.given = self.given.saturating_add(given as u64);
        let by_ratio = self.taken.saturating_mul(self.limits.ratio_max);
        let max = by_ratio.max(self.limits.free_bytes).min(self.limits.output_bytes_max);
        if self.given > max { Err(Fault::Bomb) } else { Ok(()) }
    }
}
