//! Path MTU: what routers say (RFC 1191, RFC 8201), and what they do not (RFC 8899, RFC 4821).

use super::{Connection, Events, Probe};
use crate::config::Shared;

/// No path is believed to take less: a router that says so would make us send headers (RFC 5927 section 7.2).
const MSS_MIN: u16 = 216;
/// Time-outs of full segments after which a black hole is suspected.
const BLACK_HOLE_TIMEOUTS: u8 = 2;

impl Connection {
    /// The path takes segments of at most so many bytes of data and options. `seq` is the number in the segment
    /// that was too large, as the router quotes it: others are not believed (RFC 5927 section 7.2). `None` when
    /// it is known from elsewhere, such as another connection to the same destination.
    pub fn handle_path_mss(&mut self, shared: &mut Shared, mss: u16, seq: Option<u32>) {
        let flight = self.send.next.distance_from(self.send.unacknowledged);
        let is_ours = seq.is_none_or(|seq| seq.wrapping_sub(self.send.unacknowledged.0) < flight);
        if is_ours && mss < self.send.mss {
            self.shrink_segments(shared, mss.max(MSS_MIN));
        }
    }

    /// Time-outs in a row may mean that large segments vanish: smaller ones show whether they do.
    pub(super) fn find_black_hole(&mut self, shared: &mut Shared) {
        let is_full =
            self.scoreboard.front().is_some_and(|front| front.len >= u32::from(self.data_mss()));
        let base = shared.config.mss_base;
        if shared.config.path_mtu_probing
            && self.rtt.backoff() >= BLACK_HOLE_TIMEOUTS
            && is_full
            && self.send.mss > base
        {
            shared.counters.black_holes += 1;
            self.shrink_segments(shared, base);
            self.events.add(Events::PATH_MSS);
        }
    }

    /// What is in flight was too large and is sent again at once; that is no congestion.
    fn shrink_segments(&mut self, shared: &mut Shared, mss: u16) {
        self.send.mss = mss;
        self.congestion.set_mss(self.data_mss());
        if self.scoreboard.lose_all() > 0 && self.state.may_send() {
            self.pending.probe = Probe::Retransmission;
        }
        let _ = shared;
    }
}
