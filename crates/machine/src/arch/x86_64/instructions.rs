//! Instructions that safe Rust has no words for, one each (Intel SDM volume 2).

use core::arch::asm;
use core::arch::x86_64::__cpuid_count;

pub(crate) const MSR_APIC_BASE: u32 = 0x1b;
pub(crate) const MSR_TSC_DEADLINE: u32 = 0x6e0;

/// A CPUID leaf's registers.
#[cfg_attr(test, derive(Clone, Copy, Default))]
pub(crate) struct Leaf {
    pub(crate) eax: u32,
    pub(crate) ebx: u32,
    pub(crate) ecx: u32,
    pub(crate) edx: u32,
}

/// Leaves and subleaves that do not exist read as zero or as another leaf: check the maximum.
pub(crate) fn cpuid(leaf: u32, subleaf: u32) -> Leaf {
    #[cfg(test)]
    if let Some(leaf) = fake::leaf(leaf) {
        return leaf;
    }
    let found = __cpuid_count(leaf, subleaf);
    Leaf { eax: found.eax, ebx: found.ebx, ecx: found.ecx, edx: found.edx }
}

/// The base of the hypervisor's CPUID leaves whose signature is `signature`, if it is there
/// (hypervisors may offer several, 0x100 apart; more than two have not been seen).
pub(crate) fn hypervisor_leaf(signature: &[u8; 12]) -> Option<u32> {
    if cpuid(1, 0).ecx & 1 << 31 == 0 {
        return None;
    }
    (0x4000_0000..0x4000_1000).step_by(0x100).find(|&base| {
        let leaf = cpuid(base, 0);
        let words = [leaf.ebx, leaf.ecx, leaf.edx].map(u32::to_le_bytes);
        words.as_flattened() == signature
    })
}

/// # Safety
/// The register exists on this CPU.
pub(crate) unsafe fn read_msr(register: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller knows that the register exists.
    unsafe {
        asm!("rdmsr", in("ecx") register, out("eax") low, out("edx") high, options(nomem, nostack));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// # Safety
/// The register exists on this CPU and the value keeps the machine as Rust expects it.
pub(crate) unsafe fn write_msr(register: u32, value: u64) {
    let (low, high) = (value as u32, (value >> 32) as u32);
    // SAFETY: the caller's duty.
    unsafe { asm!("wrmsr", in("ecx") register, in("eax") low, in("edx") high, options(nostack)) }
}

/// Makes SSE and, where they are, AVX usable; `boot.s` has enabled SSE itself.
pub(crate) fn enable_vectors() {
    const AVX: u32 = 1 << 28;
    const XSAVE: u32 = 1 << 26;
    let features = cpuid(1, 0).ecx;
    if features & XSAVE == 0 || features & AVX == 0 {
        return;
    }
    // SAFETY: CR4.OSXSAVE may be set where XSAVE exists.
    unsafe {
        asm!("mov {0}, cr4", "or {0}, 0x40000", "mov cr4, {0}", out(reg) _, options(nostack));
    }
    // SAFETY: XCR0 with x87, SSE and AVX is valid where AVX exists.
    unsafe { asm!("xsetbv", in("ecx") 0, in("eax") 7, in("edx") 0, options(nostack)) }
    super::memcpy::use_avx();
}

/// Keeps interrupts of this priority class and those below away (Intel SDM volume 3, section 11.8.6).
pub(crate) fn set_task_priority(class: u8) {
    // SAFETY: interrupts that are kept away stay pending.
    unsafe { asm!("mov cr8, {}", in(reg) u64::from(class), options(nostack)) }
}

/// # Safety
/// Handlers of all interrupts that may come keep what the code from here on has, its red zone and its vector registers
/// among it.
pub(crate) unsafe fn enable_interrupts() {
    // SAFETY: the caller's duty.
    unsafe { asm!("sti", options(nostack)) }
}

pub(crate) fn disable_interrupts() {
    // SAFETY: interrupts stay pending, as they do in all code but for samples.
    unsafe { asm!("cli", options(nostack)) }
}

/// A random number from the CPU's generator (RDSEED, else RDRAND); `None` when it has none, or that has no
/// number to give.
pub(crate) fn random() -> Option<u64> {
    const TRIES: usize = 100;
    let has_rdseed = cpuid(0, 0).eax >= 7 && cpuid(7, 0).ebx & 1 << 18 != 0;
    let has_rdrand = cpuid(1, 0).ecx & 1 << 30 != 0;
    let seeded = if has_rdseed { (0..TRIES).find_map(|_| rdseed()) } else { None };
    match seeded {
        None if has_rdrand => (0..TRIES).find_map(|_| rdrand()),
        found => found,
    }
}

fn rdseed() -> Option<u64> {
    let (word, valid): (u64, u8);
    // SAFETY: the caller saw in CPUID that the instruction exists.
    unsafe { asm!("rdseed {}", "setc {}", out(reg) word, out(reg_byte) valid, options(nostack)) }
    (valid != 0).then_some(word)
}

fn rdrand() -> Option<u64> {
    let (word, valid): (u64, u8);
    // SAFETY: the caller saw in CPUID that the instruction exists.
    unsafe { asm!("rdrand {}", "setc {}", out(reg) word, out(reg_byte) valid, options(nostack)) }
    (valid != 0).then_some(word)
}

/// Shuts the CPU down by a triple fault, which resets the machine: with `-no-reboot` QEMU exits with code
/// 0.
pub(crate) fn reset() -> ! {
    #[repr(C, packed)]
    struct Pointer(u16, u64);
    let empty = Pointer(0, 0);
    // SAFETY: without handlers the next exception shuts the CPU down, which resets the machine.
    unsafe { asm!("lidt [{}]", "ud2", in(reg) &raw const empty, options(nostack)) }
    halt_forever()
}

/// Stops this CPU for good.
fn halt_forever() -> ! {
    loop {
        // SAFETY: with interrupts off the CPU sleeps and changes nothing.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) }
    }
}

/// A CPU that says what a test wants.
#[cfg(test)]
pub(crate) mod fake {
    use super::Leaf;
    use core::cell::RefCell;
    use std::thread_local;
    use std::vec::Vec;

    thread_local! {
        static LEAVES: RefCell<Option<Vec<(u32, Leaf)>>> = const { RefCell::new(None) };
    }

    /// The leaves of this thread's CPU from now on: EAX, EBX, ECX and EDX of each. All others are zeros.
    pub(crate) fn set_leaves(leaves: &[(u32, [u32; 4])]) {
        let leaf =
            |&(leaf, [eax, ebx, ecx, edx]): &(u32, [u32; 4])| (leaf, Leaf { eax, ebx, ecx, edx });
        LEAVES.set(Some(leaves.iter().map(leaf).collect()));
    }

    pub(super) fn leaf(number: u32) -> Option<Leaf> {
        LEAVES.with_borrow(|leaves| {
            let mut leaves = leaves.as_ref()?.iter();
            Some(leaves.find(|leaf| leaf.0 == number).map_or_else(Leaf::default, |leaf| leaf.1))
        })
    }
}
