//! Loss recovery: what is lost (RACK), how much replaces it (PRR), and whether it was lost at all.

mod episode;
mod rack;

pub(crate) use episode::{Episode, Kind};
pub(crate) use rack::Rack;

use crate::sequence::SeqNumber;
use alloc::boxed::Box;

/// What is known of losses. An episode is made when there is one.
#[derive(Debug)]
pub(crate) struct Recovery {
    pub(crate) rack: Rack,
    episode: Option<Box<Episode>>,
    pub(crate) tail_probe: Option<TailProbe>,
    /// RFC 5681 section 2, of peers without SACK: duplicate acknowledgements.
    pub(crate) duplicates: u16,
}

/// A probe that is not acknowledged (RFC 8985 section 7).
#[derive(Clone, Copy, Debug)]
pub(crate) struct TailProbe {
    /// TLP.end_seq.
    pub(crate) end: SeqNumber,
    /// TLP.is_retrans.
    pub(crate) is_retransmission: bool,
    /// Probes since the last one that was acknowledged, this one included.
    pub(crate) count: u8,
}

impl Recovery {
    pub(crate) fn new() -> Self {
        Self { rack: Rack::NEW, episode: None, tail_probe: None, duplicates: 0 }
    }

    /// Nothing is going on, or was lately.
    #[inline]
    pub(crate) fn is_calm(&self) -> bool {
        self.episode.is_none() && self.tail_probe.is_none()
    }

    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        self.episode.as_ref().is_some_and(|episode| !episode.is_over)
    }

    /// The one that goes on.
    #[inline]
    pub(crate) fn active(&self) -> Option<&Episode> {
        self.episode.as_deref().filter(|episode| !episode.is_over)
    }

    #[inline]
    pub(crate) fn active_mut(&mut self) -> Option<&mut Episode> {
        self.episode.as_deref_mut().filter(|episode| !episode.is_over)
    }

    /// The one that goes on, or ended a round trip ago at most.
    pub(crate) fn last_mut(&mut self) -> Option<&mut Episode> {
        self.episode.as_deref_mut()
    }

    pub(crate) fn begin(&mut self, episode: Episode) {
        self.episode = Some(Box::new(episode));
    }

    pub(crate) fn forget(&mut self) {
        self.episode = None;
    }
}
