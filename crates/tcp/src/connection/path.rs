//! Path MTU: what routers say (RFC 1191, RFC 8201), and what they do not (RFC 8899, RFC 4821).

use super::schedule::{Part, PartKind};
use super::{Connection, Events, Probe};
use crate::config::Shared;
use crate::sequence::SeqNumber;
use alloc::boxed::Box;

/// No path is believed to take less: a router that says so would make us send headers (RFC 5927 section 7.2).
const MSS_MIN: u16 = 216;
/// Time-outs of full segments after which a black hole is suspected.
const BLACK_HOLE_TIMEOUTS: u8 = 2;
/// Bytes of the options that are in every segment, if there are any: timestamps.
const OPTIONS_MIN: u32 = 12;
/// The search for the largest size ends when it is known to so many bytes.
const SEARCH_STEP: u16 = 16;

/// RFC 8899 section 5.2: the search for the largest segment that passes, after a black hole was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    /// A size that did not pass. The one that does is the connection's MSS.
    too_large: u16,
    /// The segment that is on its way to find out, and its size.
    probe: Option<(SeqNumber, SeqNumber, u16)>,
}

impl Connection {
    /// The path takes segments of at most so many bytes of data and options. `seq` is the number in the segment
    /// that was too large, as the router quotes it: others are not believed (RFC 5927 section 7.2). `None` when
    /// it is known from elsewhere, such as another connection to the same destination.
    pub fn handle_path_mss(&mut self, mss: u16, seq: Option<u32>) {
        let flight = self.send.next.distance_from(self.send.unacknowledged);
        let is_ours = seq.is_none_or(|seq| seq.wrapping_sub(self.send.unacknowledged.0) < flight);
        if is_ours && mss < self.send.mss {
            self.search = None;
            self.shrink_segments(mss.max(MSS_MIN));
        }
    }

    /// Time-outs in a row may mean that large segments vanish: smaller ones show whether they do, and smaller ones
    /// still. They may also mean that the peer is gone for a while; so nobody is told before a search has shown what
    /// passes and what does not.
    pub(super) fn find_black_hole(&mut self, shared: &mut Shared) {
        let timeouts = self.rtt.backoff();
        let is_time = timeouts > 0 && timeouts.is_multiple_of(BLACK_HOLE_TIMEOUTS);
        if !shared.config.path_mtu_probing || !is_time {
            return;
        }
        let base = shared.config.mss_base;
        let smaller = if self.send.mss > base { base } else { (self.send.mss / 2).max(MSS_MIN) };
        // With whatever options, the smaller size would have made it smaller.
        let is_large =
            self.scoreboard.front().is_some_and(|front| front.len + OPTIONS_MIN > smaller.into());
        if !is_large || smaller >= self.send.mss {
            return;
        }
        shared.counters.black_holes += 1;
        // The path may take anything up to what failed first.
        let too_large = self.search.as_ref().map_or(self.send.mss, |search| search.too_large);
        self.search = Some(Box::new(Search { too_large, probe: None }));
        self.shrink_segments(smaller);
    }

    /// A segment of a size that is not known to pass: new data, with enough behind it to show its loss soon.
    pub(super) fn search_part(&mut self, mss: u32, room: u32) -> Option<Part> {
        let largest = self.send.mss;
        let search = self.search.as_deref().filter(|search| search.probe.is_none())?;
        let size = largest + search.too_large.saturating_sub(largest) / 2;
        let len = mss + u32::from(size - largest);
        let shows = len + 3 * mss;
        let is_time = self.recovery.is_calm()
            && self.scoreboard.is_plain()
            && self.unsent() >= shows
            && self.usable_window() >= shows
            && room >= len;
        if !is_time {
            return None;
        }
        let start = self.send.next;
        if let Some(search) = &mut self.search {
            search.probe = Some((start, start + len, size));
        }
        Some(Part { start, len, kind: PartKind::New })
    }

    /// That is the probe, which is not to be cut.
    pub(super) fn is_search_probe(&self, part: &Part) -> bool {
        let probe = self.search.as_ref().and_then(|search| search.probe);
        probe.is_some_and(|(start, ..)| start == part.start) && part.kind == PartKind::New
    }

    /// Has the probe passed, or was it the only thing that did not? Octets of `lost` that count as congestion.
    pub(super) fn resolve_search(&mut self, lost: u32) -> u32 {
        let Some((start, end, size)) = self.search.as_ref().and_then(|search| search.probe) else {
            return lost;
        };
        if self.send.unacknowledged.is_at_or_after(end) {
            self.send.mss = size;
            self.congestion.set_mss(self.data_mss());
            self.end_search_probe(None);
            return lost;
        }
        let len = end.distance_from(start);
        let is_alone = lost == len && self.scoreboard.next_lost(len) == Some((start, len));
        if is_alone {
            // RFC 8899 section 3: the loss of a probe is no sign of congestion.
            self.end_search_probe(Some(size));
            return 0;
        }
        lost
    }

    /// The probe has passed, or it is not known to, which counts as too large.
    pub(super) fn end_search_probe(&mut self, too_large: Option<u16>) {
        let Some(search) = &mut self.search else { return };
        search.probe = None;
        search.too_large = too_large.unwrap_or(search.too_large);
        if search.too_large.saturating_sub(self.send.mss) <= SEARCH_STEP {
            self.search = None;
            self.events.add(Events::PATH_MSS);
        }
    }

    /// The timer expired: nothing is known of the probe.
    pub(super) fn give_up_search_probe(&mut self) {
        if let Some((.., size)) = self.search.as_ref().and_then(|search| search.probe) {
            self.end_search_probe(Some(size));
        }
    }

    /// What is in flight was too large and is sent again at once; that is no congestion.
    fn shrink_segments(&mut self, mss: u16) {
        self.send.mss = mss;
        self.congestion.set_mss(self.data_mss());
        if self.scoreboard.lose_all() > 0 && self.state.may_send() {
            self.pending.probe = Probe::Retransmission;
        }
    }
}
