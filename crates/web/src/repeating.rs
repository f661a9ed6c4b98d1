//! Repeating: until when answers that follow from a head alone ([`Response::repeatable`](crate::Response::repeatable)) may be given
//! again.

use core::sync::atomic::{AtomicU64, Ordering};

/// How often all of them were taken back. One for all servers of a machine: it is rare, and what is taken back too much is made
/// again.
static EPOCH: AtomicU64 = AtomicU64::new(0);

/// From now on no answer is given again that was made before: content has changed.
pub fn take_back() {
    EPOCH.fetch_add(1, Ordering::Relaxed);
}

/// What has to be the same for an answer to be given again.
#[inline]
pub fn epoch() -> u64 {
    EPOCH.load(Ordering::Relaxed)
}
