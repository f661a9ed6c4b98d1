//! Memory copy routines: `memcpy` and its kin, which compiled code calls by name. A process on a host has
//! its own; the image's linker script gives these their names.
//!
//! Copies of up to 64 bytes are overlapping loads before stores; longer ones go by 64 bytes, and
//! where the CPU has AVX by 512 and 2048. String instructions are not used: an emulator runs them a
//! word at a time.

use core::arch::global_asm;

global_asm!(include_str!("memcpy.s"), options(att_syntax));

/// Copies bytes of which others may write some at the same time, or read them: the compiler, which knows nothing of what this
/// does, assumes nothing of them.
///
/// # Safety
/// Both ranges are mapped and do not overlap, and no reference of this program reaches what others write.
pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, count: usize) {
    unsafe extern "C" {
        fn bytes_copy(to: *mut u8, from: *const u8, count: usize) -> *mut u8;
    }
    // SAFETY: the caller vouches for both ranges.
    unsafe { bytes_copy(to, from, count) };
}

/// Lets long copies use AVX, whose state must have been enabled.
pub(super) fn use_avx() {
    unsafe extern "C" {
        static mut bytes_have_avx: u8;
    }
    // SAFETY: one CPU and one byte, read by the assembly alone.
    unsafe { bytes_have_avx = 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    unsafe extern "C" {
        fn bytes_copy(to: *mut u8, from: *const u8, count: usize) -> *mut u8;
        fn bytes_move(to: *mut u8, from: *const u8, count: usize) -> *mut u8;
        fn bytes_set(to: *mut u8, value: i32, count: usize) -> *mut u8;
        fn bytes_compare(one: *const u8, other: *const u8, count: usize) -> i32;
        fn bytes_length(text: *const u8) -> usize;
    }

    const EDGE: usize = 8;

    fn counts() -> impl Iterator<Item = usize> {
        (0..200).chain([
            255, 511, 512, 1023, 1024, 1025, 1087, 1088, 1089, 2047, 2048, 2049, 8191, 8192, 8193,
            11_000,
        ])
    }

    fn pattern(count: usize) -> Vec<u8> {
        (0..count).map(|n| (n * 7 + n / 251) as u8).collect()
    }

    #[test]
    fn copies_are_exact_and_touch_nothing_else() {
        for avx in [false, true] {
            if avx && std::is_x86_feature_detected!("avx") {
                use_avx();
            }
            for count in counts() {
                let from = pattern(count);
                let mut to = std::vec![0xee; count + 2 * EDGE];
                // SAFETY: both are long enough and distinct.
                unsafe { bytes_copy(to[EDGE..].as_mut_ptr(), from.as_ptr(), count) };
                assert_eq!(to[EDGE..EDGE + count], from[..], "{count} bytes");
                assert!(to[..EDGE].iter().chain(&to[EDGE + count..]).all(|&byte| byte == 0xee));
            }
        }
    }

    #[test]
    fn moves_survive_every_overlap() {
        for count in counts() {
            for shift in [0, 1, 3, 8, 17, 40, 63, 64, 65, 130, 600] {
                let whole = pattern(count + shift);
                for forth in [false, true] {
                    let mut memory = whole.clone();
                    let (from, to) = if forth { (0, shift) } else { (shift, 0) };
                    let start = memory.as_mut_ptr();
                    // SAFETY: both ends lie inside `memory`.
                    unsafe { bytes_move(start.wrapping_add(to), start.wrapping_add(from), count) };
                    let mut expected = whole.clone();
                    expected.copy_within(from..from + count, to);
                    assert_eq!(memory, expected, "{count} bytes from {from} to {to}");
                }
            }
        }
    }

    #[test]
    fn setting_and_comparing_and_measuring() {
        if std::is_x86_feature_detected!("avx") {
            use_avx();
        }
        for count in counts() {
            let mut memory = std::vec![1; count + 2 * EDGE];
            // SAFETY: inside `memory`.
            unsafe { bytes_set(memory[EDGE..].as_mut_ptr(), 0x1a5, count) };
            let set = memory.iter().enumerate().all(|(at, &byte)| {
                byte == if (EDGE..EDGE + count).contains(&at) { 0xa5 } else { 1 }
            });
            assert!(set, "{count} bytes");
            let one = pattern(count);
            for at in 0..count {
                let mut other = one.clone();
                other[at] ^= 0x80;
                // SAFETY: both are `count` bytes long.
                let order = unsafe { bytes_compare(one.as_ptr(), other.as_ptr(), count) };
                assert_eq!(order.signum(), one.cmp(&other) as i32, "{count} bytes, at {at}");
            }
            // SAFETY: both are `count` bytes long.
            assert_eq!(unsafe { bytes_compare(one.as_ptr(), one.clone().as_ptr(), count) }, 0);
        }
        // SAFETY: the text ends in a zero.
        assert_eq!(unsafe { bytes_length(c"four".as_ptr().cast()) }, 4);
    }
}
