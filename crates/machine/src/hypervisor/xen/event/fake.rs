//! Event channels whose ends are both in a test's process.

use super::SHARED;
use alloc::collections::BTreeMap;
use core::sync::atomic::Ordering;
use spinning_top::Spinlock;

/// The ports that are open, each with the port at its other end, if there is one.
static PORTS: Spinlock<BTreeMap<u32, Option<u32>>> = Spinlock::new(BTreeMap::new());
/// Tests of ports open some below it.
const FIRST: u32 = 256;

pub(super) fn allocate() -> u32 {
    add(&mut PORTS.lock(), None)
}

/// None if there is no such port, or it is bound already.
pub(super) fn bind(remote: u32) -> Option<u32> {
    let mut ports = PORTS.lock();
    if ports.get(&remote) != Some(&None) {
        return None;
    }
    let number = add(&mut ports, Some(remote));
    ports.insert(remote, Some(number));
    Some(number)
}

pub(super) fn other_end(number: u32) -> Option<u32> {
    PORTS.lock().get(&number).copied().flatten()
}

pub(super) fn notify(number: u32) {
    if let Some(other) = other_end(number) {
        let word = &SHARED.pending[other as usize / 64];
        word.fetch_or(1 << (other % 64), Ordering::AcqRel);
    }
}

pub(super) fn close(number: u32) {
    let mut ports = PORTS.lock();
    if let Some(other) = ports.remove(&number).flatten() {
        ports.insert(other, None);
    }
}

fn add(ports: &mut BTreeMap<u32, Option<u32>>, other: Option<u32>) -> u32 {
    let number = (FIRST..).find(|number| !ports.contains_key(number)).expect("a free port");
    ports.insert(number, other);
    number
}
