//! Request heads as this protocol receives them (RFC 9112 section 3), and what frames them.

mod parse;

pub(crate) use parse::{host_of, is_authority, parse_request};

use crate::body::BodyFraming;
use crate::head::Framing;
use crate::server::CachedResponse;
use core::cell::OnceCell;
use web::RequestHead;

/// A request's head: what a handler sees of it, and what frames its message.
#[derive(Debug, Default)]
pub(crate) struct ParsedRequest {
    pub(crate) head: RequestHead,
    pub(crate) framing: Framing,
    pub(crate) body: BodyFraming,
    /// What is answered whenever this head comes.
    pub(crate) response: OnceCell<CachedResponse>,
}

/// Compares to the end whatever it finds, so that the time it takes tells nobody how much of
/// another client's request he has guessed.
pub(crate) fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let difference = |a: &[u8; 16], b| u128::from_ne_bytes(*a) ^ u128::from_ne_bytes(b);
    match (a.last_chunk(), b.last_chunk()) {
        // The last block overlaps the one before it.
        (Some(a_last), Some(b_last)) => {
            let blocks = a.as_chunks().0.iter().zip(b.as_chunks().0);
            blocks.fold(difference(a_last, *b_last), |sum, (a, b)| sum | difference(a, *b)) == 0
        }
        _ => a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn every_byte_counts() {
        for len in 0..70 {
            let bytes: Vec<u8> = (0..len).collect();
            assert!(is_same(&bytes, &bytes.clone()));
            assert!(!is_same(&bytes, &[&*bytes, &[0]].concat()));
            for at in 0..bytes.len() {
                let mut other = bytes.clone();
                other[at] ^= 0x80;
                assert!(!is_same(&bytes, &other), "byte {at} of {len}");
            }
        }
    }

    #[test]
    fn differences_that_are_alike_do_not_make_up_for_each_other() {
        for len in 0..50 {
            let bytes: Vec<u8> = (0..len).collect();
            for (one, other) in (0..bytes.len()).flat_map(|at| (0..at).map(move |to| (at, to))) {
                let mut changed = bytes.clone();
                changed[one] ^= 0x41;
                changed[other] ^= 0x41;
                assert!(!is_same(&bytes, &changed), "bytes {other} and {one} of {len}");
            }
        }
    }
}
