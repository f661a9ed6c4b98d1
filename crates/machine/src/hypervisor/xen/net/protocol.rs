//! What both rings share of the protocol (Xen, public/io/netif.h): limits, flags, and what can be wrong.

use crate::hypervisor::xen::ring::TooManyResponses;
use core::fmt;

/// What a backend did that it must not. The interface is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It answered more requests than there were.
    ResponseIndex,
    /// It spread a frame over more pages than any frame needs.
    FrameSlots,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ResponseIndex => "more answers than requests",
            Self::FrameSlots => "a frame over too many pages",
        })
    }
}

impl core::error::Error for Fault {}

impl From<TooManyResponses> for Fault {
    fn from(_: TooManyResponses) -> Self {
        Self::ResponseIndex
    }
}

/// What a backend got wrong in single answers, which were refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Answers to requests that were not made, or not in that order.
    pub ids: u64,
    /// Frames that lie outside their pages, or are longer than any.
    pub bounds: u64,
    /// Frames that the backend itself calls failed.
    pub statuses: u64,
    /// Frames in pages that the backend did not let go of.
    pub held: u64,
    /// Extra information of an unknown kind.
    pub extras: u64,
}

impl Refusals {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.ids + self.bounds + self.statuses + self.held + self.extras
    }
}

/// Entries of either ring, which fill one page.
pub(super) const ENTRIES: u32 = 256;
/// Longest frame: an IP packet's limit with its Ethernet header and a VLAN tag.
pub const FRAME_BYTES_MAX: usize = 65_535 + 18;
/// Pages that the longest frame takes.
pub(super) const FRAME_PAGES_MAX: usize = FRAME_BYTES_MAX.div_ceil(crate::memory::PAGE_BYTES);
/// Extra information goes with at most that many entries: one of each kind.
pub(super) const EXTRAS_MAX: usize = 5;

pub(super) const MORE_DATA: u16 = 1 << 2;
pub(super) const EXTRA_INFO: u16 = 1 << 3;
pub(super) const EXTRA_GSO: u8 = 1;
pub(super) const EXTRA_MORE: u8 = 1;
