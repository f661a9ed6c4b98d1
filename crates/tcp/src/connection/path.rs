//! Path MTU: what routers say (RFC 1191, RFC 8201), and what they do not (RFC 8899, RFC 4821).

use super::schedule::{Part, PartKind};
use super::{Connection, Events, Probe};
use crate::config::Shared;
use crate::sequence::SeqNumber;
use crate::time::{Duration, Instant};
use alloc::boxed::Box;

/// No path is believed to take less: a router that says so would make us send headers (RFC 5927 section 7.2).
const MSS_MIN: u16 = 216;
/// Time-outs of full segments after which a black hole is suspected.
const BLACK_HOLE_TIMEOUTS: u8 = 2;
/// Bytes of the options that are in every segment, if there are any: timestamps.
const OPTIONS_MIN: u32 = 12;
/// The search for the largest size ends when it is known to so many bytes.
const SEARCH_STEP: u16 = 16;
/// RFC 8899 section 5.1.1, PROBE_TIMER.
const PROBE_AGAIN_AFTER: Duration = Duration::from_secs(15);
/// RFC 8899 section 5.1.2, MAX_PROBES: before a size that passed is believed to pass no longer.
const PROBES_MAX: u8 = 3;
/// RFC 8899 section 5.1.1, PMTU_RAISE_TIMER; RFC 1191 section 6.3: after so long the path may have become better.
const RAISE_AFTER: Duration = Duration::from_secs(600);

/// RFC 8899 section 5.2: the search for the largest segment that passes. There is one as long as that is less than what
/// both ends take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    /// What peer and link take.
    largest: u16,
    /// A size of which a probe did not pass, or more than the largest. The size that does is the connection's MSS.
    too_large: u16,
    /// Nothing larger is tried before.
    resume_at: Instant,
    /// The segment that is on its way to find out, and its size.
    probe: Option<(SeqNumber, SeqNumber, u16)>,
    /// What was known before the time-outs for which segments are smaller now.
    suspected: Option<Suspected>,
}

/// The size that passed before there were time-outs, and when a larger one was to be tried: if it still passes, it was
/// not for their size that segments were lost.
#[derive(Clone, Copy, Debug)]
struct Suspected {
    mss: u16,
    resume_at: Instant,
    /// Probes of that size that were lost, while smaller segments were not.
    lost_probes: u8,
}

impl Search {
    /// What passes is known, for now.
    fn waiting(largest: u16, now: Instant) -> Self {
        let too_large = largest.saturating_add(1);
        Self { largest, too_large, resume_at: now + RAISE_AFTER, probe: None, suspected: None }
    }

    #[cfg(test)]
    pub(super) fn too_large(&self) -> u16 {
        self.too_large
    }

    /// The size to be tried: the one that passed before time-outs, the largest, for a path that has become better, and
    /// then halfway.
    fn next_size(&self, passes: u16) -> u16 {
        if let Some(suspected) = self.suspected {
            return suspected.mss.min(self.too_large - 1);
        }
        if self.too_large > self.largest {
            return self.largest;
        }
        passes + self.too_large.saturating_sub(passes) / 2
    }
}

impl Connection {
    /// The path takes segments of at most so many bytes of data and options. `seq` is the number in the segment
    /// that was too large, as the router quotes it: others are not believed (RFC 5927 section 7.2). `None` when
    /// it is known from elsewhere, such as another connection to the same destination. After ten minutes larger ones
    /// are tried again.
    pub fn handle_path_mss(&mut self, now: Instant, mss: u16, seq: Option<u32>) {
        let flight = self.send.next.distance_from(self.send.unacknowledged);
        let is_ours = seq.is_none_or(|seq| seq.wrapping_sub(self.send.unacknowledged.0) < flight);
        let mss = mss.max(MSS_MIN);
        if is_ours && mss < self.send.mss {
            self.search = Some(Box::new(Search::waiting(self.largest_mss(), now)));
            self.shrink_segments(mss);
        } else if let Some(search) = &mut self.search
            && let Some((start, _, size)) = search.probe
            && seq == Some(start.0)
            && mss < size
        {
            // The router says what the search is for. That the probe is lost is seen soon.
            search.too_large = search.too_large.min(mss + 1);
        }
    }

    /// The peer takes no larger segments.
    pub(super) fn limit_search(&mut self, peer_mss: u16) {
        let passes = self.send.mss;
        self.search = self.search.take().and_then(|mut search| {
            search.largest = search.largest.min(peer_mss);
            search.too_large = search.largest + 1;
            (search.largest > passes).then_some(search)
        });
    }

    /// The segments that peer and link take, whatever the path.
    fn largest_mss(&self) -> u16 {
        self.search.as_ref().map_or(self.send.mss, |search| search.largest)
    }

    /// A segment is on its way whose fate says something of the path.
    #[inline]
    pub(super) fn is_probing_path(&self) -> bool {
        self.search.as_ref().is_some_and(|search| search.probe.is_some())
    }

    /// Time-outs in a row may mean that large segments vanish: smaller ones show whether they do, and smaller ones
    /// still. They may also mean that the link or the peer is gone for a while: what is known of the path stays, nobody is
    /// told, and the first probe has the size that passed before.
    pub(super) fn find_black_hole(&mut self, shared: &mut Shared, now: Instant) {
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
        let largest = self.largest_mss();
        let search = self.search.get_or_insert_with(|| Box::new(Search::waiting(largest, now)));
        let (mss, resume_at) = (self.send.mss, search.resume_at);
        let is_first = search.suspected.is_none();
        search.suspected.get_or_insert(Suspected { mss, resume_at, lost_probes: 0 });
        search.resume_at = now;
        if is_first {
            // Segments of another size are another question: that the last ones were not answered does not delay them.
            self.rtt.end_backoff();
        }
        self.shrink_segments(smaller);
    }

    /// A segment of a size that is not known to pass: new data, with enough behind it to show its loss soon.
    pub(super) fn search_part(&mut self, now: Instant, mss: u32, room: u32) -> Option<Part> {
        let passes = self.send.mss;
        let search = self.search.as_deref()?;
        if search.probe.is_some() || now < search.resume_at {
            return None;
        }
        let size = search.next_size(passes);
        let len = mss + u32::from(size - passes);
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
    pub(super) fn resolve_search(&mut self, now: Instant, lost: u32) -> u32 {
        let Some((start, end, size)) = self.search.as_ref().and_then(|search| search.probe) else {
            return lost;
        };
        if self.send.unacknowledged.is_at_or_after(end) {
            self.send.mss = size;
            self.congestion.set_mss(self.data_mss());
            self.end_search_probe(now, None);
            return lost;
        }
        let len = end.distance_from(start);
        let is_alone = lost == len && self.scoreboard.next_lost(len) == Some((start, len));
        if is_alone {
            // RFC 8899 section 3: the loss of a probe is no sign of congestion.
            self.end_search_probe(now, Some(size));
            return 0;
        }
        lost
    }

    /// The probe has passed, or it was too large, since only that was lost.
    fn end_search_probe(&mut self, now: Instant, too_large: Option<u16>) {
        let Some(search) = &mut self.search else { return };
        search.probe = None;
        if let Some(mut suspected) = search.suspected.take() {
            if too_large.is_none() {
                // Nothing was learned of the path: what was known lasts no longer than before.
                search.resume_at = suspected.resume_at;
                self.search = self.search.take().filter(|search| self.send.mss < search.largest);
                return;
            }
            suspected.lost_probes += 1;
            if suspected.lost_probes < PROBES_MAX {
                search.suspected = Some(suspected);
                return;
            }
        }
        search.too_large = search.too_large.min(too_large.unwrap_or(search.too_large));
        if search.too_large.saturating_sub(self.send.mss) > SEARCH_STEP {
            return;
        }
        if self.send.mss < search.largest {
            **search = Search::waiting(search.largest, now);
        } else {
            self.search = None;
        }
        self.events.add(Events::PATH_MSS);
    }

    /// Nothing is known of the probe, as after a time-out: its size is tried again.
    pub(super) fn give_up_search_probe(&mut self, now: Instant) {
        if let Some(search) = &mut self.search
            && search.probe.take().is_some()
        {
            search.resume_at = now + PROBE_AGAIN_AFTER;
        }
    }

    /// Of a probe that was lost beside others nothing is known either; it goes again in segments that pass, whose
    /// acknowledgement says nothing of its size.
    pub(super) fn note_search_probe_resent(&mut self, now: Instant, part: &Part) {
        let probe = self.search.as_ref().and_then(|search| search.probe);
        if probe.is_some_and(|(start, end, _)| {
            part.start.is_before(end) && (part.start + part.len).is_after(start)
        }) {
            self.give_up_search_probe(now);
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
