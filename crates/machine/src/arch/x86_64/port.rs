//! I/O ports (Intel SDM volume 1, chapter 19), one instruction each.

use core::arch::asm;

/// Reads one byte.
///
/// # Safety
/// Reading this port has no effect that breaks memory safety.
pub(crate) unsafe fn read8(port: u16) -> u8 {
    let value;
    // SAFETY: the caller's duty.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack)) }
    value
}

/// Reads four bytes.
///
/// # Safety
/// Reading this port has no effect that breaks memory safety.
pub(crate) unsafe fn read32(port: u16) -> u32 {
    let value;
    // SAFETY: the caller's duty.
    unsafe { asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack)) }
    value
}

/// Reads two bytes.
///
/// # Safety
/// Reading this port has no effect that breaks memory safety.
pub(crate) unsafe fn read16(port: u16) -> u16 {
    let value;
    // SAFETY: the caller's duty.
    unsafe { asm!("in ax, dx", in("dx") port, out("ax") value, options(nomem, nostack)) }
    value
}

/// Writes one byte.
///
/// # Safety
/// What the device does with it does not break memory safety.
pub(crate) unsafe fn write8(port: u16, value: u8) {
    // SAFETY: the caller's duty.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack)) }
}

/// Writes two bytes.
///
/// # Safety
/// What the device does with it does not break memory safety.
pub(crate) unsafe fn write16(port: u16, value: u16) {
    // SAFETY: the caller's duty.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack)) }
}

/// Writes four bytes.
///
/// # Safety
/// What the device does with it does not break memory safety.
pub(crate) unsafe fn write32(port: u16, value: u32) {
    // SAFETY: the caller's duty.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack)) }
}
