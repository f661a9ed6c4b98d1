//! KVM: a PC that knows the rate of its time stamp counter, by a leaf or by the paravirtual clock (pvclock;
//! Linux, Documentation/virt/kvm/x86/msr.rst and cpuid.rst).

use super::Hypervisor;
use super::native::{Pc, frequency_leaf_rate, rate_of};
use crate::arch::instructions::{self, cpuid};
use hermit_sync::ExclusiveCell;

static KVM: Pc = Pc { rate };

/// KVM, if it is there.
pub(crate) fn find() -> Option<&'static dyn Hypervisor> {
    leaf_base().map(|_| &KVM as &dyn Hypervisor)
}

/// Nanoseconds per tick, times 2^32, by whoever tells.
fn rate() -> Option<u64> {
    let base = leaf_base()?;
    frequency_leaf_rate().or_else(|| told_rate(base)).or_else(|| clock_rate(base))
}

/// By the leaf that VMware began and KVM shares.
fn told_rate(base: u32) -> Option<u64> {
    const FREQUENCY: u32 = 0x10;
    let kilohertz =
        if cpuid(base, 0).eax >= base + FREQUENCY { cpuid(base + FREQUENCY, 0).eax } else { 0 };
    (kilohertz != 0).then(|| rate_of(u64::from(kilohertz) * 1000))
}

/// Where KVM's leaves begin.
fn leaf_base() -> Option<u32> {
    instructions::hypervisor_leaf(b"KVMKVMKVM\0\0\0")
}

/// What KVM writes: the first 24 of these bytes count nanoseconds, the rest says how.
#[repr(C, align(64))]
struct SystemTime([u32; 8]);

static SYSTEM_TIME: ExclusiveCell<SystemTime> = ExclusiveCell::new(SystemTime([0; 8]));

/// By the paravirtual clock; `None` where KVM has none.
fn clock_rate(base: u32) -> Option<u64> {
    const FEATURES: u32 = 1;
    const HAS_CLOCK: u32 = 1 << 3;
    const MSR_SYSTEM_TIME: u32 = 0x4b56_4d01;
    const ENABLE: u64 = 1;
    const MULTIPLIER: usize = 6;
    const SHIFT: usize = 7;
    if cpuid(base + FEATURES, 0).eax & HAS_CLOCK == 0 {
        return None;
    }
    let place = &raw mut SYSTEM_TIME.take()?.0;
    // SAFETY: the feature says that the register exists; what it names is there for just this.
    unsafe { instructions::write_msr(MSR_SYSTEM_TIME, place as u64 | ENABLE) }
    // SAFETY: KVM filled it before the write was over, and changes it again only on this CPU's entry.
    let time_info = unsafe { place.read_volatile() };
    // SAFETY: as above; KVM writes no more.
    unsafe { instructions::write_msr(MSR_SYSTEM_TIME, 0) }
    scaled_rate(time_info[MULTIPLIER], time_info[SHIFT] as i8)
}

/// Nanoseconds are `(ticks << shift) * multiplier / 2^32`.
fn scaled_rate(multiplier: u32, shift: i8) -> Option<u64> {
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
    use crate::arch::instructions::fake::set_leaves;

    /// The CPU's leaf 0x15 first, then KVM's 0x10, each where there are so many (cpuid.rst; Intel SDM volume 2).
    #[test]
    fn a_rate_is_told_by_the_first_leaf_that_knows_it() {
        const IS_GUEST: (u32, [u32; 4]) = (1, [0, 0, 1 << 31, 0]);
        let words = |text: &[u8; 4]| u32::from_le_bytes(*text);
        let kvm = |base, last| (base, [last, words(b"KVMK"), words(b"VMKV"), words(b"M\0\0\0")]);
        // 24 MHz, 250 to 2: 3 GHz.
        let crystal = (0x15, [2, 250, 24_000_000, 0]);
        let (third, half) = (Some((1 << 32) / 3), Some(1 << 31));
        for (last, base, told_last, kilohertz, expected) in [
            (0x15, 0x4000_0000, 0x4000_0010, 2_000_000, third),
            (0x14, 0x4000_0000, 0x4000_0010, 2_000_000, half),
            (0x14, 0x4000_0100, 0x4000_0110, 2_000_000, half),
            (0x14, 0x4000_0100, 0x4000_010f, 2_000_000, None),
            (0x14, 0x4000_0000, 0x4000_0010, 0, None),
            (0x16, 0x4000_0000, 0x4000_0001, 0, third),
        ] {
            let told = (base + 0x10, [kilohertz, 0, 0, 0]);
            let leaves = [(0, [last, 0, 0, 0]), IS_GUEST, crystal, kvm(base, told_last), told];
            set_leaves(&leaves);
            assert_eq!(rate(), expected, "{last:#x} {told_last:#x}");
            assert!(find().is_some());
        }
        // No guest, and one of somebody else's.
        set_leaves(&[(0, [0x15, 0, 0, 0]), crystal, kvm(0x4000_0000, 0x4000_0010)]);
        assert!(rate().is_none() && find().is_none());
        set_leaves(&[(0, [0x15, 0, 0, 0]), crystal, IS_GUEST, (0x4000_0000, [0x4000_0010; 4])]);
        assert!(rate().is_none() && find().is_none());
    }

    #[test]
    fn rates_below_and_above_a_gigahertz() {
        assert_eq!(scaled_rate(0xcccc_cccc, -1), Some(0x6666_6666)); // 2.5 GHz
        assert_eq!(scaled_rate(0x8000_0000, 2), Some(2 << 32)); // 500 MHz
        assert_eq!(scaled_rate(0, 0), None);
        assert_eq!(scaled_rate(1, -128), None);
        assert_eq!((scaled_rate(1, 31), scaled_rate(1, 32)), (Some(1 << 31), None));
        let most = u32::MAX;
        assert_eq!((scaled_rate(most, -31), scaled_rate(most, -32)), (Some(1), None));
    }
}
