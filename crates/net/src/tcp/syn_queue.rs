//! SYN queue: handshakes that are not complete (RFC 4987), 64 bytes each, in a table that never grows. A
//! flood of SYNs fills it and does nothing else, since SYN cookies carry on where it is full.

use crate::wire::tuple::{Tuple, TupleHasher};
use ::tcp::options::Timestamps;
use ::tcp::{Flags, Options, Segment};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

/// What a peer's SYN offers, as far as it fits into a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SynOffer {
    /// The largest segment that it takes, in bytes of data and options.
    pub(crate) mss: u16,
    /// The window scale or [`NOT_SCALED`], and [`ECN`].
    packed: u8,
    /// It understands selective acknowledgements (RFC 2018).
    pub(crate) sack_permitted: bool,
}

impl SynOffer {
    pub(crate) fn new(mss: u16, window_scale: Option<u8>, sack_permitted: bool) -> Self {
        Self { mss, packed: window_scale.unwrap_or(NOT_SCALED), sack_permitted }
    }

    /// The same of a peer that asks, or does not ask, for congestion notification (RFC 3168).
    pub(crate) fn with_ecn(self, asks: bool) -> Self {
        let packed = if asks { self.packed | ECN } else { self.packed & !ECN };
        Self { packed, ..self }
    }

    /// It asks for explicit congestion notification (RFC 3168 section 6.1.1).
    pub(crate) fn ecn(self) -> bool {
        self.packed & ECN != 0
    }

    /// Of a SYN. An absent or absurd segment size counts as the default (RFC 9293 section 3.7.1).
    pub(crate) fn of(syn: &Segment, is_v4: bool) -> Self {
        let options = &syn.options;
        let mss = options.mss.filter(|mss| *mss > 0).unwrap_or(if is_v4 { 536 } else { 1220 });
        Self::new(mss, options.window_scale, options.sack_permitted)
            .with_ecn(syn.flags.has(Flags::ECE | Flags::CWR))
    }

    /// Its window scale (RFC 7323), at most 14; `None` when it does not scale.
    pub(crate) fn window_scale(self) -> Option<u8> {
        let scale = self.packed & NOT_SCALED;
        (scale != NOT_SCALED).then_some(scale)
    }

    /// The options of the SYN, with that timestamp; without one, if it is 0.
    pub(crate) fn options(self, timestamp: u32) -> Options {
        let timestamps = Timestamps { value: timestamp, echo: 0 };
        Options {
            mss: Some(self.mss),
            window_scale: self.window_scale(),
            sack_permitted: self.sack_permitted,
            timestamps: (timestamp != 0).then_some(timestamps),
            ..Options::NONE
        }
    }
}

const NOT_SCALED: u8 = 0xf;
const ECN: u8 = 0x10;

/// A SYN that was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HalfOpen {
    pub(crate) tuple: Tuple,
    /// IRS and ISS: the initial sequence number of the peer, and ours (RFC 9293 section 3.3.1).
    pub(crate) irs: u32,
    pub(crate) iss: u32,
    pub(crate) offer: SynOffer,
    /// The timestamp of the SYN (RFC 7323); 0 when it had none, or that one, with which we do without.
    pub(crate) timestamp: u32,
    pub(crate) hop: [u8; 6],
    /// SYN-ACKs sent.
    attempts: u8,
    /// When the next one is due, in milliseconds of the stack's time.
    due: u32,
}

impl HalfOpen {
    pub(crate) fn new(
        tuple: Tuple,
        numbers: (u32, u32),
        offer: SynOffer,
        timestamp: u32,
        hop: [u8; 6],
    ) -> Self {
        let (irs, iss) = numbers;
        Self { tuple, irs, iss, offer, timestamp, hop, attempts: 0, due: 0 }
    }

    /// SYN-ACKs sent again.
    pub(crate) fn retransmissions(&self) -> u32 {
        self.attempts.saturating_sub(1).into()
    }

    /// The SYN-ACK was sent more than once: its answer tells nothing of the round trip (RFC 6298 section 3).
    pub(crate) fn was_repeated(&self) -> bool {
        self.attempts > 1
    }

    /// How long ago the last SYN-ACK left: the round trip, when its answer comes in at `now`.
    pub(crate) fn age(&self, now: Duration) -> Duration {
        let sent = self.due.wrapping_sub(wait(self.attempts.saturating_sub(1)));
        Duration::from_millis(u64::from(millis(now).wrapping_sub(sent)))
    }

    /// Notes that a SYN-ACK leaves now.
    pub(crate) fn answer(&mut self, now: Duration) {
        self.due = millis(now).wrapping_add(wait(self.attempts));
        self.attempts = self.attempts.saturating_add(1);
    }

    /// The peer is there and must wait: the timer begins anew, and when it expires asks the peer for
    /// another last segment.
    pub(crate) fn hold(&mut self, now: Duration) {
        self.attempts = 0;
        self.answer(now);
    }

    /// Answers are repeated by the timer; one to a repeated SYN is not counted as such.
    fn is_spent(&self) -> bool {
        self.attempts >= ATTEMPTS_MAX
    }
}

/// All of them. A connection can be in one small bucket only, so that finding it is O(1).
pub(crate) struct SynQueue {
    slots: Vec<Option<HalfOpen>>,
    hasher: TupleHasher,
    used: usize,
    sweep: Option<Duration>,
}

impl SynQueue {
    /// A table of `entries_max` slots, rounded up to whole buckets.
    pub(crate) fn new(hasher: TupleHasher, entries_max: usize) -> Self {
        let slots = vec![None; entries_max.next_multiple_of(WAYS).max(WAYS)];
        Self { slots, hasher, used: 0, sweep: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.used
    }

    /// Looks at every slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &HalfOpen> {
        self.slots.iter().flatten()
    }

    pub(crate) fn find(&mut self, tuple: &Tuple) -> Option<&mut HalfOpen> {
        if self.used == 0 {
            return None;
        }
        self.bucket(tuple).iter_mut().flatten().find(|entry| entry.tuple == *tuple)
    }

    /// Takes in an entry that is not there yet and has just been answered; false when its bucket is
    /// full.
    pub(crate) fn insert(&mut self, entry: HalfOpen, now: Duration) -> bool {
        let Some(slot) = self.bucket(&entry.tuple).iter_mut().find(|slot| slot.is_none()) else {
            return false;
        };
        *slot = Some(entry);
        self.used += 1;
        self.sweep.get_or_insert(now + SWEEP);
        true
    }

    pub(crate) fn remove(&mut self, tuple: &Tuple) {
        let is_it = |slot: &&mut Option<HalfOpen>| slot.is_some_and(|entry| entry.tuple == *tuple);
        if let Some(slot) = self.bucket(tuple).iter_mut().find(is_it) {
            *slot = None;
            self.used -= 1;
        }
    }

    /// When [`sweep`](Self::sweep) is due.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.sweep
    }

    /// Shows `repeat` each entry whose SYN-ACK is to be sent again, and forgets those that were
    /// answered often enough; the result is how many those were. A sweep looks at every slot, but
    /// only once in half a second, and only while something is half open.
    pub(crate) fn sweep(&mut self, now: Duration, mut repeat: impl FnMut(&HalfOpen)) -> usize {
        if self.sweep.is_none_or(|at| at > now) {
            return 0;
        }
        // In a flood most addresses are forged, and who is there repeats its SYN: nobody is sent more than he sent.
        let may_repeat = self.used <= self.slots.len() / 4;
        let mut expired = 0;
        for slot in &mut self.slots {
            let Some(entry) = slot else { continue };
            if (millis(now).wrapping_sub(entry.due) as i32) < 0 {
                continue;
            }
            if entry.is_spent() {
                *slot = None;
                expired += 1;
            } else {
                entry.answer(now);
                if may_repeat {
                    repeat(entry);
                }
            }
        }
        self.used -= expired;
        self.sweep = (self.used > 0).then_some(now + SWEEP);
        expired
    }

    fn bucket(&mut self, tuple: &Tuple) -> &mut [Option<HalfOpen>] {
        let buckets = self.slots.len() / WAYS;
        let at = (self.hasher.hash(tuple) >> 32) as usize % buckets * WAYS;
        &mut self.slots[at..at + WAYS]
    }
}

/// Slots per bucket.
const WAYS: usize = 8;
/// The first repetition; each later one waits twice as long (RFC 6298 section 2.1).
const RETRY: Duration = Duration::from_secs(1);
/// SYN-ACKs per handshake: at 0, 1 and 3 s; given up at 7 s. Far less than the six of other
/// systems, since a peer that is there repeats its own segments, too.
const ATTEMPTS_MAX: u8 = 3;
const SWEEP: Duration = Duration::from_millis(500);

/// Milliseconds until the SYN-ACK after this many is due.
fn wait(attempts: u8) -> u32 {
    (RETRY.as_millis() as u32) << attempts.min(8)
}

fn millis(now: Duration) -> u32 {
    now.as_millis() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(port: u16) -> HalfOpen {
        let offer = SynOffer::new(1460, Some(7), true);
        HalfOpen::new(Tuple::v4([10, 0, 0, 1], [10, 0, 0, 2], 80, port), (1, 2), offer, 9, [2; 6])
    }

    fn table() -> SynQueue {
        SynQueue::new(TupleHasher::new(3), 64)
    }

    #[test]
    fn an_entry_takes_64_bytes() {
        assert!(size_of::<Option<HalfOpen>>() <= 64);
    }

    #[test]
    fn a_flood_fills_the_table_and_no_more() {
        let mut table = table();
        let taken = (1..10_000).filter(|port| table.insert(entry(*port), Duration::ZERO)).count();
        assert_eq!(taken, 64);
        assert_eq!((table.len(), table.slots.len()), (64, 64));
    }

    #[test]
    fn entries_are_answered_again_and_then_forgotten() {
        let mut table = table();
        let mut first = entry(1);
        first.answer(Duration::ZERO);
        assert!(table.insert(first, Duration::ZERO));
        let mut answers = 0;
        let mut expired = 0;
        for tick in 0..100 {
            let now = Duration::from_millis(tick * 100);
            expired += table.sweep(now, |_| answers += 1);
        }
        assert_eq!((answers, expired, table.len()), (2, 1, 0));
        assert_eq!(table.next_deadline(), None);
    }

    #[test]
    fn in_a_crowd_answers_are_not_repeated_and_everyone_is_forgotten_in_time() {
        for (count, repeats) in [(16, 2 * 16), (17, 0)] {
            let mut table = SynQueue::new(TupleHasher::new(3), 64);
            let mut ports = 1..;
            while table.len() < count {
                let mut new = entry(ports.next().unwrap());
                new.answer(Duration::ZERO);
                table.insert(new, Duration::ZERO);
            }
            let (mut answers, mut expired) = (0, 0);
            for tick in 0..100 {
                let now = Duration::from_millis(tick * 100);
                expired += table.sweep(now, |_| answers += 1);
            }
            assert_eq!((answers, expired, table.len()), (repeats, count, 0));
        }
    }

    #[test]
    fn what_is_removed_makes_room() {
        let mut table = table();
        while table.insert(entry(table.len() as u16 + 1), Duration::ZERO) {}
        let full = table.len();
        table.remove(&entry(1).tuple);
        assert!(table.find(&entry(1).tuple).is_none());
        assert!(table.insert(entry(1), Duration::ZERO));
        assert_eq!(table.len(), full);
    }

    #[test]
    fn rfc_9293_3_7_1_and_rfc_3168_6_1_1_what_a_syn_offers() {
        use ::tcp::SeqNumber;
        let of = |mss, flags, is_v4| {
            let mut syn = Segment::new(SeqNumber(7), SeqNumber(0), flags);
            syn.options =
                Options { mss, window_scale: Some(14), sack_permitted: true, ..Options::NONE };
            SynOffer::of(&syn, is_v4)
        };
        for (mss, v4, v6) in [
            (None, 536, 1_220),
            (Some(0), 536, 1_220),
            (Some(1), 1, 1),
            (Some(9_000), 9_000, 9_000),
        ] {
            assert_eq!((of(mss, Flags::SYN, true).mss, of(mss, Flags::SYN, false).mss), (v4, v6));
        }
        for (flags, ecn) in [
            (Flags::SYN, false),
            (Flags::SYN | Flags::ECE, false),
            (Flags::SYN | Flags::CWR, false),
            (Flags::SYN | Flags::ECE | Flags::CWR, true),
        ] {
            assert_eq!(of(None, flags, true).ecn(), ecn);
        }
        let offer = SynOffer::new(1_400, Some(14), true);
        assert_eq!((offer.ecn(), offer.with_ecn(true).with_ecn(true).ecn()), (false, true));
        assert_eq!(offer.with_ecn(true).with_ecn(false), offer);
        assert_eq!(
            (
                offer.with_ecn(true).window_scale(),
                SynOffer::new(1, None, false).with_ecn(true).window_scale()
            ),
            (Some(14), None)
        );
        let options = offer.with_ecn(true).options(5);
        assert_eq!(
            (options.mss, options.window_scale, options.sack_permitted),
            (Some(1_400), Some(14), true)
        );
        assert_eq!(options.timestamps, Some(Timestamps { value: 5, echo: 0 }));
        let bare = SynOffer::new(1_400, None, false).options(0);
        assert_eq!((bare.window_scale, bare.sack_permitted, bare.timestamps), (None, false, None));
    }

    #[test]
    fn rfc_6298_3_a_round_trip_is_from_the_last_syn_ack_and_counts_if_it_was_the_only_one() {
        let millis = Duration::from_millis;
        let mut entry = entry(1);
        assert_eq!((entry.retransmissions(), entry.was_repeated()), (0, false));
        for (at, repeated) in [(70, 0), (1_100, 1), (3_200, 2)] {
            entry.answer(millis(at));
            assert_eq!((entry.retransmissions(), entry.was_repeated()), (repeated, repeated > 0));
            assert_eq!(
                (entry.age(millis(at)), entry.age(millis(at + 37))),
                (millis(0), millis(37))
            );
        }
        entry.hold(millis(9_000));
        assert_eq!((entry.retransmissions(), entry.age(millis(9_500))), (0, millis(500)));
    }

    #[test]
    fn syn_acks_leave_again_after_one_second_and_two_and_four_later_all_is_forgotten() {
        let mut table = table();
        let at = |millis: u64| Duration::from_millis(100 + millis);
        let mut new = entry(1);
        new.answer(at(0));
        assert!(table.insert(new, at(0)));
        assert_eq!(table.next_deadline(), Some(at(500)));
        let mut events = Vec::new();
        for tick in 0..8_000 {
            let mut answers = 0;
            let expired = table.sweep(at(tick), |_| answers += 1);
            if answers + expired > 0 {
                events.push((tick, answers, expired));
            }
        }
        assert_eq!(events, [(1_000, 1, 0), (3_000, 1, 0), (7_000, 0, 1)]);
        // The time of a whole machine does not fit into what an entry has: it goes round.
        let end = Duration::from_millis(u64::from(u32::MAX) - 200);
        let mut new = entry(2);
        new.answer(end);
        assert!(table.insert(new, end));
        assert_eq!(new.age(end + Duration::from_millis(400)), Duration::from_millis(400));
        let mut answers = 0;
        table.sweep(end + Duration::from_millis(999), |_| answers += 1);
        assert_eq!(answers, 0);
        table.sweep(end + Duration::from_millis(1_499), |_| answers += 1);
        assert_eq!((answers, table.len()), (1, 1));
    }

    #[test]
    fn a_table_has_whole_buckets_and_one_at_least() {
        for (entries_max, slots) in [(0, 8), (1, 8), (8, 8), (9, 16), (4_096, 4_096)] {
            assert_eq!(SynQueue::new(TupleHasher::new(3), entries_max).slots.len(), slots);
        }
        let mut table = table();
        assert!(table.find(&entry(1).tuple).is_none());
        table.remove(&entry(1).tuple);
        table.insert(entry(1), Duration::ZERO);
        table.insert(entry(2), Duration::ZERO);
        assert_eq!(table.find(&entry(2).tuple).map(|found| found.tuple), Some(entry(2).tuple));
        assert_eq!((table.iter().count(), table.len()), (2, 2));
        table.remove(&entry(2).tuple);
        table.remove(&entry(2).tuple);
        assert_eq!((table.iter().count(), table.len()), (1, 1));
        assert!(table.find(&entry(1).tuple).is_some());
    }
}
