//! Scoreboard: what was sent and is not acknowledged, and what became of it (RFC 2018, RFC 6675, RFC 8985).

use crate::options::SackBlock;
use crate::queue::Queue;
use crate::sequence::SeqNumber;
use crate::time::{Duration, Instant};

/// Ranges of sequence space in flight, in order, without gaps and overlaps. Each transmission is one, however
/// many segments a device cuts it into; acknowledgements cut it where that is needed.
#[derive(Debug)]
pub(crate) struct Scoreboard {
    records: Queue<Record>,
    /// Octets that are on their way: neither acknowledged in any way nor believed lost. RFC 6675's pipe.
    in_flight: u32,
    /// Octets that the peer has, above a gap (or for which it sent duplicates, without SACK).
    sacked: u32,
    /// Octets believed lost and not sent again.
    lost: u32,
    /// No lost record is before this number.
    lost_from: SeqNumber,
    /// The highest number that was selectively or cumulatively acknowledged (RFC 8985: RACK.fack).
    forward: SeqNumber,
}

/// What was sent together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) start: SeqNumber,
    pub(crate) len: u32,
    pub(crate) sent_at: Instant,
    /// See [`Stamp`]; one by one, which is smaller.
    delivered: u32,
    delivered_at: u32,
    first_sent_at: u32,
    is_app_limited: bool,
    status: Status,
    /// How often it was sent again.
    pub(crate) retransmissions: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    InFlight,
    Sacked,
    Lost,
}

/// The state of the delivery when something was sent, for those who estimate rates
/// (draft-ietf-ccwg-bbr, delivery rate samples).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stamp {
    /// Octets delivered before, modulo 2^32.
    pub(crate) delivered: u32,
    /// When they were, and when the first of the flight was sent: microseconds modulo 2^32.
    pub(crate) delivered_at: u32,
    pub(crate) first_sent_at: u32,
    /// The application had no more to send.
    pub(crate) is_app_limited: bool,
}

/// What an acknowledgement tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    /// Octets acknowledged in sequence, those that SACK told of before included.
    pub(crate) acknowledged: u32,
    /// Octets that arrived, as far as nobody knew: RFC 9937's DeliveredData.
    pub(crate) delivered: u32,
    /// The longest and the shortest time since the transmission, of what was sent once.
    pub(crate) rtt: Option<(Duration, Duration)>,
    /// The last transmission that is known to have arrived.
    pub(crate) latest: Option<Latest>,
    /// Something that was sent once arrived; the latest transmission of those.
    pub(crate) original_sent_at: Option<Instant>,
    /// Something arrived below what had arrived, without having been sent again (RFC 8985 section 6.2).
    pub(crate) is_reordered: bool,
    /// Octets newly believed lost.
    pub(crate) lost: u32,
}

/// A transmission that arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latest {
    pub(crate) sent_at: Instant,
    pub(crate) end: SeqNumber,
    pub(crate) is_retransmission: bool,
    pub(crate) stamp: Stamp,
}

impl Delivery {
    pub(crate) const NONE: Self = Self {
        acknowledged: 0,
        delivered: 0,
        rtt: None,
        latest: None,
        original_sent_at: None,
        is_reordered: false,
        lost: 0,
    };

    /// A part of `record` that ends at `end` has arrived.
    #[inline]
    fn note(&mut self, record: &Record, end: SeqNumber, now: Instant) {
        let is_retransmission = record.retransmissions > 0;
        if !is_retransmission {
            // RFC 6298 section 3, Karn: no sample from what was sent twice.
            let rtt = now.since(record.sent_at);
            self.rtt = Some(match self.rtt {
                None => (rtt, rtt),
                Some((longest, shortest)) => (longest.max(rtt), shortest.min(rtt)),
            });
            let sent_at = self.original_sent_at.map_or(record.sent_at, |at| at.max(record.sent_at));
            self.original_sent_at = Some(sent_at);
        }
        let is_later = self.latest.is_none_or(|latest| {
            (record.sent_at > latest.sent_at)
                || (record.sent_at == latest.sent_at && end.is_after(latest.end))
        });
        if is_later {
            let (sent_at, stamp) = (record.sent_at, record.stamp());
            self.latest = Some(Latest { sent_at, end, is_retransmission, stamp });
        }
    }
}

impl Record {
    /// What it tells that this has arrived, in order.
    #[inline]
    pub(crate) fn arrived(&self, round_trip: Duration) -> Delivery {
        let (sent_at, end) = (self.sent_at, self.end());
        let stamp = self.stamp();
        Delivery {
            acknowledged: self.len,
            delivered: self.len,
            rtt: Some((round_trip, round_trip)),
            latest: Some(Latest { sent_at, end, is_retransmission: false, stamp }),
            original_sent_at: Some(sent_at),
            is_reordered: false,
            lost: 0,
        }
    }

    fn stamp(&self) -> Stamp {
        let Self { delivered, delivered_at, first_sent_at, is_app_limited, .. } = *self;
        Stamp { delivered, delivered_at, first_sent_at, is_app_limited }
    }

    fn set_stamp(&mut self, stamp: Stamp) {
        let Stamp { delivered, delivered_at, first_sent_at, is_app_limited } = stamp;
        (self.delivered, self.delivered_at) = (delivered, delivered_at);
        (self.first_sent_at, self.is_app_limited) = (first_sent_at, is_app_limited);
    }

    fn end(&self) -> SeqNumber {
        self.start + self.len
    }
}

impl Scoreboard {
    pub(crate) fn new(start: SeqNumber) -> Self {
        Self {
            records: Queue::EMPTY,
            in_flight: 0,
            sacked: 0,
            lost: 0,
            lost_from: start,
            forward: start,
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// RFC 6675 section 4: pipe.
    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(crate) fn sacked(&self) -> u32 {
        self.sacked
    }

    #[inline]
    pub(crate) fn lost(&self) -> u32 {
        self.lost
    }

    /// Nothing but plain transmissions are in it.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.sacked == 0 && self.lost == 0
    }

    pub(crate) fn front(&self) -> Option<&Record> {
        self.records.front()
    }

    /// The last transmission in sequence, and how much of sequence space it has.
    pub(crate) fn back(&self) -> Option<&Record> {
        self.records.back()
    }

    pub(crate) fn records(&self) -> usize {
        self.records.len()
    }

    /// Something new was sent behind all that is here.
    #[inline]
    pub(crate) fn sent(&mut self, start: SeqNumber, len: u32, now: Instant, stamp: Stamp) {
        if self.records.is_empty() {
            (self.lost_from, self.forward) = (start, start);
        }
        self.in_flight += len;
        let Stamp { delivered, delivered_at, first_sent_at, is_app_limited } = stamp;
        let (status, retransmissions, sent_at) = (Status::InFlight, 0, now);
        self.records.push_back(Record {
            start,
            len,
            sent_at,
            delivered,
            delivered_at,
            first_sent_at,
            is_app_limited,
            status,
            retransmissions,
        });
    }

    /// The peer has everything before `to`.
    #[inline]
    pub(crate) fn acknowledge(&mut self, to: SeqNumber, now: Instant, delivery: &mut Delivery) {
        let forward = self.forward;
        let mut was_resent = false;
        while let Some(record) = self.records.front_mut() {
            if !record.start.is_before(to) {
                break;
            }
            let count = to.distance_from(record.start).min(record.len);
            let before = *record;
            record.start = record.start + count;
            record.len -= count;
            let is_done = record.len == 0;
            if is_done {
                self.records.pop_front();
            }
            delivery.acknowledged += count;
            was_resent |= before.retransmissions > 0;
            match before.status {
                Status::Sacked => {
                    self.sacked -= count;
                    continue;
                }
                Status::InFlight => self.in_flight -= count,
                Status::Lost => self.lost -= count,
            }
            delivery.delivered += count;
            let end = before.start + count;
            delivery.is_reordered |= before.retransmissions == 0 && end.is_before(forward);
            delivery.note(&before, end, now);
        }
        if was_resent {
            // What filled the gap was sent again; what was behind it may have waited there for long.
            (delivery.rtt, delivery.original_sent_at) = (None, None);
        }
        self.forward = self.forward.or_later(to);
        self.lost_from = self.lost_from.or_later(to);
    }

    /// The peer has exactly what was sent first, and that only once: what that was. `None` when it is otherwise.
    #[inline]
    pub(crate) fn acknowledge_first(&mut self, to: SeqNumber) -> Option<Record> {
        let record = *self.records.front()?;
        if record.end() != to || record.retransmissions > 0 || record.status != Status::InFlight {
            return None;
        }
        self.records.pop_front();
        self.in_flight -= record.len;
        (self.forward, self.lost_from) = (self.forward.or_later(to), to);
        Some(record)
    }

    /// The peer has what is in `block` (RFC 2018 section 3). True when that was new.
    pub(crate) fn sack(&mut self, block: SackBlock, now: Instant, delivery: &mut Delivery) -> bool {
        let mut index = self.records.partition_point(|record| !record.end().is_after(block.start));
        if self.records.get(index).is_some_and(|record| record.status != Status::Sacked) {
            index = self.split_at(block.start);
        }
        let forward = self.forward;
        let mut is_new = false;
        while let Some(record) = self.records.get(index).copied() {
            if !record.start.is_before(block.end) {
                break;
            }
            if record.status != Status::Sacked {
                if record.end().is_after(block.end) {
                    self.split_at(block.end);
                }
                let Some(record) = self.records.get_mut(index) else { break };
                let count = record.len;
                match record.status {
                    Status::InFlight => self.in_flight -= count,
                    _ => self.lost -= count,
                }
                record.status = Status::Sacked;
                self.sacked += count;
                is_new = true;
                delivery.delivered += count;
                let record = *record;
                delivery.is_reordered |=
                    record.retransmissions == 0 && record.end().is_before(forward);
                delivery.note(&record, record.end(), now);
                self.forward = self.forward.or_later(record.end());
            }
            index += 1;
        }
        if is_new {
            self.join_sacked(index);
        }
        is_new
    }

    /// The next range to send again, of at most `max` octets.
    pub(crate) fn next_lost(&mut self, max: u32) -> Option<(SeqNumber, u32)> {
        if self.lost == 0 {
            return None;
        }
        let from = self.lost_from;
        let mut index = self.records.partition_point(|record| !record.end().is_after(from));
        while let Some(record) = self.records.get(index) {
            if record.status == Status::Lost {
                self.lost_from = record.start;
                return Some((record.start, record.len.min(max)));
            }
            index += 1;
        }
        debug_assert!(false, "lost octets are in a record");
        None
    }

    /// A range was sent again.
    pub(crate) fn resent(&mut self, start: SeqNumber, len: u32, now: Instant, stamp: Stamp) {
        self.split_at(start);
        self.split_at(start + len);
        let from = self.records.partition_point(|record| record.start.is_before(start));
        let mut index = from;
        while let Some(record) = self.records.get_mut(index) {
            if !record.start.is_before(start + len) {
                break;
            }
            match record.status {
                Status::Lost => {
                    self.lost -= record.len;
                    self.in_flight += record.len;
                }
                Status::Sacked => {
                    index += 1;
                    continue;
                }
                Status::InFlight => {}
            }
            record.status = Status::InFlight;
            record.sent_at = now;
            record.set_stamp(stamp);
            record.retransmissions = record.retransmissions.saturating_add(1);
            index += 1;
        }
    }

    /// The last record, which is sent again, grows by what was never sent.
    pub(crate) fn extend_last(&mut self, len: u32) {
        if let Some(record) = self.records.back_mut() {
            record.len += len;
            match record.status {
                Status::InFlight => self.in_flight += len,
                Status::Lost => self.lost += len,
                Status::Sacked => self.sacked += len,
            }
        }
    }

    /// RFC 8985 section 6.2, step 5: believes lost what was sent `window` and a round trip before `latest`,
    /// and is not acknowledged. The rest of the time until the next one would be, if there is one.
    pub(crate) fn detect_lost(
        &mut self,
        latest: (Instant, SeqNumber),
        round_trip: Duration,
        window: Duration,
        now: Instant,
        delivery: &mut Delivery,
    ) -> Option<Duration> {
        let mut wait = None;
        for record in self.records.iter_mut() {
            let is_before = record.sent_at < latest.0
                || (record.sent_at == latest.0 && record.end().is_before(latest.1));
            if !is_before {
                if record.retransmissions == 0 {
                    // What follows was sent later still.
                    break;
                }
                continue;
            }
            if record.status != Status::InFlight {
                continue;
            }
            let deadline = record.sent_at + round_trip.plus(window);
            if deadline <= now {
                record.status = Status::Lost;
                self.in_flight -= record.len;
                self.lost += record.len;
                self.lost_from = self.lost_from.or_earlier(record.start);
                delivery.lost += record.len;
            } else {
                let rest = deadline.since(now);
                wait = Some(wait.map_or(rest, |longest: Duration| longest.max(rest)));
            }
        }
        wait
    }

    /// Believes the first octets lost: RFC 6582 section 3.2, RFC 6298 section 5.4.
    pub(crate) fn lose_front(&mut self, max: u32) -> u32 {
        let Some(front) = self.records.front().filter(|front| front.status == Status::InFlight)
        else {
            return 0;
        };
        let count = front.len.min(max);
        self.split_at(front.start + count);
        self.lose_where(|index, _| index == 0)
    }

    /// Believes lost what was sent before `time` (RFC 8985 section 6.3), and the first record.
    pub(crate) fn lose_sent_before(&mut self, time: Instant) -> u32 {
        self.lose_where(|index, record| index == 0 || record.sent_at <= time)
    }

    /// Believes everything lost that did not arrive.
    pub(crate) fn lose_all(&mut self) -> u32 {
        self.lose_where(|_, _| true)
    }

    /// RFC 2018 section 8: the peer has dropped what it had told of.
    pub(crate) fn forget_sacked(&mut self) {
        for record in self.records.iter_mut().filter(|record| record.status == Status::Sacked) {
            record.status = Status::InFlight;
            self.sacked -= record.len;
            self.in_flight += record.len;
        }
        if let Some(front) = self.records.front() {
            self.forward = front.start;
        }
    }

    /// The first octets were selectively acknowledged, which a peer that kept them would not say.
    pub(crate) fn is_reneged(&self) -> bool {
        self.records.front().is_some_and(|front| front.status == Status::Sacked)
    }

    /// What was believed lost and not sent again is on its way after all.
    pub(crate) fn undo_lost(&mut self) {
        for record in self.records.iter_mut().filter(|record| record.status == Status::Lost) {
            record.status = Status::InFlight;
            self.lost -= record.len;
            self.in_flight += record.len;
        }
    }

    fn lose_where(&mut self, mut is_lost: impl FnMut(usize, &Record) -> bool) -> u32 {
        let mut count = 0;
        for (index, record) in self.records.iter_mut().enumerate() {
            if record.status == Status::InFlight && is_lost(index, record) {
                record.status = Status::Lost;
                count += record.len;
                self.lost_from = self.lost_from.or_earlier(record.start);
            }
        }
        self.in_flight -= count;
        self.lost += count;
        count
    }

    /// Makes a record begin at `at`, if it is inside of one; the index of the first that does not end before.
    fn split_at(&mut self, at: SeqNumber) -> usize {
        let index = self.records.partition_point(|record| !record.end().is_after(at));
        let Some(record) = self.records.get_mut(index).filter(|record| record.start.is_before(at))
        else {
            return index;
        };
        let first = at.distance_from(record.start);
        let second = Record { start: at, len: record.len - first, ..*record };
        record.len = first;
        self.records.insert(index + 1, second);
        index + 1
    }

    /// Joins sacked records that touch, around the ones before `index`.
    fn join_sacked(&mut self, mut index: usize) {
        let is_sacked =
            |record: Option<&Record>| record.is_some_and(|it| it.status == Status::Sacked);
        if !is_sacked(self.records.get(index)) {
            index = index.saturating_sub(1);
        }
        while index > 0
            && is_sacked(self.records.get(index))
            && is_sacked(self.records.get(index - 1))
        {
            let Some(second) = self.records.remove(index) else { return };
            index -= 1;
            if let Some(first) = self.records.get_mut(index) {
                first.len += second.len;
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn check(&self) {
        let mut sums = [0; 3];
        let mut end = None;
        for record in self.records.iter() {
            assert!(record.len > 0 && end.is_none_or(|end| end == record.start));
            end = Some(record.end());
            sums[record.status as usize] += record.len;
        }
        assert_eq!(sums, [self.in_flight, self.sacked, self.lost]);
    }
}

#[cfg(test)]
mod tests;
