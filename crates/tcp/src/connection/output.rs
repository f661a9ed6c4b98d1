//! Segments to be sent: what, how much and when (RFC 9293 sections 3.7 and 3.8).

use super::schedule::{Part, PartKind};
use super::{AckState, Connection, Probe, State};
use crate::config::Shared;
use crate::options::{Options, SackBlocks, Timestamps};
use crate::segment::{Ecn, Flags, Segment};
use crate::send_buffer::Slices;
use crate::sequence::SeqNumber;
use crate::time::Instant;

/// A segment to be sent; or several of equal size, which a device or who drives it cuts.
#[derive(Clone, Copy, Debug)]
pub struct Transmit {
    /// The header. Of several segments it is the first one's: the others count SEQ on by
    /// [`mss`](Self::mss); FIN and PSH are for the last, CWR for the first.
    pub segment: Segment,
    /// Bytes of data; see [`Connection::payload`].
    pub len: u32,
    /// Bytes of data in each segment but the last, if there are more than one.
    pub mss: u32,
    /// It was sent before.
    pub is_retransmission: bool,
}

impl Connection {
    /// The next segment to be sent, with at most so many bytes of data (or one full segment); `None` when there is nothing, or nothing
    /// may leave now. Its state is that of a segment which was sent: who cannot send it has lost it. To be called
    /// until there is nothing, after every other call.
    #[inline]
    pub fn poll_transmit(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        max_bytes: usize,
    ) -> Option<Transmit> {
        if self.pending.reset.is_some() {
            return self.transmit_reset(shared);
        }
        let transmit = match self.state {
            State::Closed => return None,
            State::SynSent | State::SynReceived => return self.transmit_syn(shared, now),
            State::FinWait2 | State::TimeWait => None,
            _ => {
                let transmit = self.transmit_data(shared, now, max_bytes as u32);
                if transmit.is_none()
                    && let Some(episode) = self.recovery.active_mut()
                {
                    episode.all_sent();
                }
                transmit
            }
        };
        transmit.or_else(|| self.transmit_acknowledgement(shared, now))
    }

    /// The data of a segment, where it lies.
    pub fn payload(&self, transmit: &Transmit) -> Slices<'_> {
        self.send_buffer.slices(transmit.segment.seq, transmit.len)
    }

    #[cold]
    fn transmit_reset(&mut self, shared: &mut Shared) -> Option<Transmit> {
        let seq = self.pending.reset.take()?;
        shared.counters.segments_sent += 1;
        // RFC 9293 section 3.10.7.1: with an acknowledgement, but as the answer to one.
        let is_end = self.state == State::Closed;
        let (ack, flags) = if is_end {
            (self.receive.next, Flags::RST | Flags::ACK)
        } else {
            (SeqNumber(0), Flags::RST)
        };
        Some(Transmit::empty(Segment::new(seq, ack, flags)))
    }

    fn transmit_syn(&mut self, shared: &mut Shared, now: Instant) -> Option<Transmit> {
        if !core::mem::take(&mut self.pending.syn) {
            return self.transmit_acknowledgement(shared, now);
        }
        let is_answer = self.state == State::SynReceived;
        let mss = self.receive.mss;
        let clock = self.timestamp(now);
        let offers = Options {
            window_scale: self.features.window_scaling.then_some(0),
            sack_permitted: self.features.sack,
            timestamps: self
                .features
                .timestamps
                .then_some(Timestamps { value: self.receive.timestamp, echo: 0 }),
            ..Options::NONE
        };
        let mut segment = Segment::new(self.send.initial, SeqNumber(0), Flags::SYN);
        segment.options = shared.config.syn_options(mss, clock, Some(&offers));
        if is_answer {
            segment.flags = segment.flags | Flags::ACK;
            segment.ack = self.receive.next;
            self.acknowledgement_sent();
        }
        if self.features.ecn {
            // RFC 3168 section 6.1.1.
            let asks = if is_answer { Flags::ECE } else { Flags::ECE | Flags::CWR };
            segment.flags = segment.flags | asks;
        }
        // RFC 7323 section 2.2: never scaled here.
        let window = self.receive_window.limit().min(u16::MAX.into());
        segment.window = window as u16;
        self.receive.advertised = self.receive.advertised.or_later(self.receive.next + window);
        self.send.next = self.send.initial + 1;
        self.sent_at = now;
        self.arm_syn(shared, now);
        shared.counters.segments_sent += 1;
        Some(Transmit::empty(segment))
    }

    /// Data, a FIN, or a probe.
    fn transmit_data(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        max_bytes: u32,
    ) -> Option<Transmit> {
        if self.send.next == self.send_buffer.end() + u32::from(self.state.is_finishing())
            && self.scoreboard.lost() == 0
            && self.pending.probe == Probe::None
        {
            // Everything was sent: rates say nothing of the path.
            self.congestion.on_app_limited(self.scoreboard.in_flight());
            return None;
        }
        let options = self.options(now);
        let mss = u32::from(self.send.mss) - (options.emitted_len() as u32).min(40);
        let part = self.next_part(shared, now, mss, max_bytes.max(mss));
        let Some(part) = part else {
            self.nothing_to_send(shared, now);
            return None;
        };
        let mss = if self.is_search_probe(&part) { part.len } else { mss };
        Some(self.transmit_part(shared, now, &part, options, mss))
    }

    fn transmit_part(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        part: &Part,
        options: Options,
        mss: u32,
    ) -> Transmit {
        let end = part.start + part.len;
        let has_fin = self.state.is_finishing() && end.is_after(self.send_buffer.end());
        let len = part.len - u32::from(has_fin);
        let mut flags = Flags::ACK;
        if has_fin {
            flags = flags | Flags::FIN;
        }
        if len > 0 && part.start + len == self.send_buffer.end() {
            // RFC 9293 section 3.9.1.2: the last of what was written.
            flags = flags | Flags::PSH;
        }
        let is_new = part.kind == PartKind::New;
        if is_new && core::mem::take(&mut self.pending.window_reduced) {
            flags = flags | Flags::CWR;
        }
        let mut segment = self.header(shared, part.start, flags, options);
        // RFC 3168 section 6.1.5: not when sent again.
        if self.features.ecn && is_new && len > 0 {
            segment.ecn = Ecn::Capable0;
        }
        self.note_sent(shared, now, part);
        shared.counters.segments_sent += u64::from(len.div_ceil(mss).max(1));
        Transmit { segment, len, mss, is_retransmission: !is_new }
    }

    /// The state of the sender after a transmission.
    fn note_sent(&mut self, shared: &mut Shared, now: Instant, part: &Part) {
        if self.scoreboard.is_empty() && !self.timers.is_probing_window() {
            self.progress_at = now;
            let idle = now.since(self.sent_at);
            if idle > shared.config.rto_min {
                let timeout = self.rtt.timeout(&shared.config);
                self.congestion.on_idle(&shared.config, idle, timeout);
            }
        }
        let stamp = self.congestion.stamp(now, self.scoreboard.in_flight());
        self.sent_at = now;
        if part.kind == PartKind::New {
            self.scoreboard.sent(part.start, part.len, now, stamp);
            self.send.next = part.start + part.len;
        } else {
            self.scoreboard.resent(part.start, part.len, now, stamp);
            self.note_search_probe_resent(now, part);
            self.resent = self.resent.wrapping_add(1);
            shared.counters.segments_retransmitted += 1;
            shared.counters.bytes_retransmitted += u64::from(part.len);
        }
        let timestamp = self.timestamp(now);
        if let Some(episode) = self.recovery.active_mut() {
            episode.sent(part.len);
            if part.kind == PartKind::Again {
                episode.resent(part.start, part.len, timestamp);
            }
        }
        self.pace(shared, now, part.len);
        self.arm_after_sending(shared, now);
    }

    /// There is something, and the window does not let it leave: then it is probed.
    fn nothing_to_send(&mut self, shared: &Shared, now: Instant) {
        if self.unsent() > 0 && !self.timers.is_paced {
            self.arm_window_probe(shared, now);
        }
    }

    fn transmit_acknowledgement(&mut self, shared: &mut Shared, now: Instant) -> Option<Transmit> {
        if core::mem::take(&mut self.pending.keep_alive) {
            // RFC 9293 section 3.8.4: a number that was acknowledged, which the peer has to correct.
            let seq = self.send.next - 1;
            let options = self.options(now);
            let segment = self.header(shared, seq, Flags::ACK, options);
            shared.counters.segments_sent += 1;
            return Some(Transmit::empty(segment));
        }
        if self.pending.acknowledgement != AckState::Now || self.state == State::SynSent {
            return None;
        }
        let options = self.options(now);
        // An octet that probes a closed window is not in it: the peer would not accept what follows.
        let edge = self.send.unacknowledged + self.send.window;
        let seq = if self.timers.is_probing_window() {
            self.send.next.or_earlier(edge)
        } else {
            self.send.next
        };
        let segment = self.header(shared, seq, Flags::ACK, options);
        shared.counters.segments_sent += 1;
        Some(Transmit::empty(segment))
    }

    /// The header of a segment, which acknowledges all that there is.
    #[inline]
    fn header(
        &mut self,
        shared: &Shared,
        seq: SeqNumber,
        mut flags: Flags,
        options: Options,
    ) -> Segment {
        if self.pending.echo_congestion {
            flags = flags | Flags::ECE;
        }
        let mut segment = Segment::new(seq, self.receive.next, flags);
        segment.window = self.advertise(&shared.memory);
        segment.options = options;
        self.acknowledgement_sent();
        segment
    }

    fn acknowledgement_sent(&mut self) {
        self.receive.acknowledged = self.receive.next;
        self.pending.acknowledgement = AckState::None;
        self.pending.duplicate = None;
        self.timers.acknowledge_at = Instant::NEVER;
    }

    /// RFC 7323 section 3.2, RFC 2018 section 3, RFC 2883 section 4.
    #[inline]
    fn options(&self, now: Instant) -> Options {
        let mut options = Options::NONE;
        if self.features.timestamps {
            let (value, echo) = (self.timestamp(now), self.receive.timestamp);
            options.timestamps = Some(Timestamps { value, echo });
        }
        if self.features.sack
            && (!self.receive_buffer.is_in_order() || self.pending.duplicate.is_some())
        {
            self.sack_options(&mut options);
        }
        options
    }

    #[cold]
    fn sack_options(&self, options: &mut Options) {
        let max = if options.timestamps.is_some() {
            SackBlocks::MAX_BESIDE_TIMESTAMPS
        } else {
            SackBlocks::MAX
        };
        if let Some((start, end)) = self.pending.duplicate {
            options.sack.push(start, end);
        }
        self.receive_buffer.sack_blocks(&mut options.sack, max);
    }
}

impl Transmit {
    fn empty(segment: Segment) -> Self {
        Self { segment, len: 0, mss: 0, is_retransmission: false }
    }

    /// The headers of the segments that this is, for a device that does not cut: with where their data begins in
    /// this one's, and how long it is.
    pub fn segments(&self) -> impl Iterator<Item = (Segment, u32, u32)> + use<> {
        let this = *self;
        let mss = this.mss.max(1);
        let count = this.len.div_ceil(mss).max(1);
        (0..count).map(move |index| {
            let from = index * mss;
            let len = (this.len - from).min(mss);
            let mut segment = this.segment;
            segment.seq = segment.seq + from;
            if index + 1 < count {
                segment.flags = segment.flags.without(Flags::FIN | Flags::PSH);
            }
            if index > 0 {
                segment.flags = segment.flags.without(Flags::CWR);
            }
            (segment, from, len)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_segments_are_cut_into_their_headers() {
        let segment =
            Segment::new(SeqNumber(7), SeqNumber(0), Flags::ACK | Flags::PSH | Flags::CWR);
        let transmit = Transmit { segment, len: 2_500, mss: 1_000, is_retransmission: false };
        let cut: std::vec::Vec<_> = transmit
            .segments()
            .map(|(segment, from, len)| (segment.seq.0, segment.flags, from, len))
            .collect();
        assert_eq!(
            cut,
            [
                (7, Flags::ACK | Flags::CWR, 0, 1_000),
                (1_007, Flags::ACK, 1_000, 1_000),
                (2_007, Flags::ACK | Flags::PSH, 2_000, 500),
            ]
        );
    }
}
