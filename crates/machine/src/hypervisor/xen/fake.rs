//! What fake backends in a test process have in common: they reach what they were granted and nothing else.

use super::grant;
use crate::memory::dma::host;
use alloc::vec::Vec;

/// Where a page of a ring is; panics when it is not granted for reading and writing.
pub(crate) fn ring_page(reference: u32) -> u64 {
    match grant::fake::look_up(reference) {
        Some((page, true)) => page,
        other => panic!("no ring is granted: {other:?}"),
    }
}

/// Writes into a granted page; panics when it is not.
pub fn write_page(reference: u32, offset: usize, bytes: &[u8]) {
    match grant::fake::look_up(reference) {
        Some((page, true)) => host::write(page + offset as u64, bytes),
        other => panic!("a write to what is not granted: {other:?}"),
    }
}

/// Reads a granted page; panics when it is not.
pub fn read_page(reference: u32, offset: usize, bytes: usize) -> Vec<u8> {
    match grant::fake::look_up(reference) {
        Some((page, _)) => host::read(page + offset as u64, bytes),
        None => panic!("a read of what is not granted"),
    }
}

/// Whether a page is granted.
pub fn is_granted(reference: u32) -> bool {
    grant::fake::look_up(reference).is_some()
}

/// Maps a granted page for good, or lets go of it.
pub fn hold(reference: u32, hold: bool) {
    grant::fake::hold(reference, hold);
}

pub(crate) fn word(at: u64, nth: usize) -> u32 {
    let bytes = host::read(at + 4 * nth as u64, 4);
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

pub(crate) fn set_word(at: u64, nth: usize, value: u32) {
    host::write(at + 4 * nth as u64, &value.to_le_bytes());
}
