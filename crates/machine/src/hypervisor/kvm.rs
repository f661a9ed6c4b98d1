//! KVM's paravirtual clock (Linux, Documentation/virt/kvm/x86/msr.rst and cpuid.rst), as far as it is
//! needed: it tells the time stamp counter's rate.

use crate::arch::instructions as cpu;
use core::cell::UnsafeCell;

/// What KVM writes: the first 24 of these bytes count nanoseconds, the rest says how.
#[repr(C, align(64))]
struct SystemTime(UnsafeCell<[u32; 8]>);

// SAFETY: KVM writes it while this CPU waits for the MSR's write, and it is read here only.
unsafe impl Sync for SystemTime {}

static SYSTEM_TIME: SystemTime = SystemTime(UnsafeCell::new([0; 8]));

/// Nanoseconds per tick, times 2^32; `None` where KVM is not below, or does not tell.
pub(crate) fn rate() -> Option<u64> {
    const FEATURES: u32 = 1;
    const HAS_CLOCK: u32 = 1 << 3;
    const MSR_SYSTEM_TIME: u32 = 0x4b56_4d01;
    const ENABLE: u64 = 1;
    const MULTIPLIER: usize = 6;
    const SHIFT: usize = 7;
    let base = cpu::hypervisor_leaf(b"KVMKVMKVM\0\0\0")?;
    if cpu::cpuid(base + FEATURES, 0).eax & HAS_CLOCK == 0 {
        return None;
    }
    let place = SYSTEM_TIME.0.get();
    // SAFETY: the feature says that the register exists; what it names is there for just this.
    unsafe { cpu::write_msr(MSR_SYSTEM_TIME, place as u64 | ENABLE) }
    // SAFETY: KVM filled it before the write was over, and changes it again only on this CPU's entry.
    let told = unsafe { place.read_volatile() };
    // SAFETY: as above; KVM writes no more.
    unsafe { cpu::write_msr(MSR_SYSTEM_TIME, 0) }
    rate_of(told[MULTIPLIER], told[SHIFT] as i8)
}

/// Nanoseconds are `(ticks << shift) * multiplier / 2^32`.
fn rate_of(multiplier: u32, shift: i8) -> Option<u64> {
    let multiplier = u64::from(multiplier);
    let rate = match shift {
        0..=31 => multiplier << shift,
        -31..=-1 => multiplier >> -shift,
        _ => 0,
    };
    (rate != 0).then_some(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_below_and_above_a_gigahertz() {
        assert_eq!(rate_of(0xcccc_cccc, -1), Some(0x6666_6666)); // 2.5 GHz
        assert_eq!(rate_of(0x8000_0000, 2), Some(2 << 32)); // 500 MHz
        assert_eq!(rate_of(0, 0), None);
        assert_eq!(rate_of(1, -128), None);
    }
}
