//! One direction of the path: what becomes of a frame, and when. Time is an argument, so that it is tested without any.

use crate::random::Random;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

/// What a path does to frames, in both directions.
#[derive(Clone, Debug)]
pub struct Impairments {
    /// From one end to the other.
    pub delay: Duration,
    /// Of a thousand frames, so many never arrive.
    pub lost_per_thousand: u64,
    /// Of a thousand frames, so many are late, and overtaken by those behind them.
    pub late_per_thousand: u64,
    /// By how much, at most: evenly distributed.
    pub late_by: Duration,
    /// The narrowest link of the path; none has no limit.
    pub bottleneck: Option<Bottleneck>,
    /// Of the random numbers: it repeats a run.
    pub seed: u64,
}

/// A link that is narrower than the others, and the queue in front of it.
#[derive(Clone, Debug)]
pub struct Bottleneck {
    /// Bits of a second, Ethernet's header included.
    pub bits_per_second: u64,
    /// Frames that wait for it, at most; what comes then is lost.
    pub queue_frames: usize,
}

impl Impairments {
    /// A wire that does nothing.
    pub const NONE: Self = Self {
        delay: Duration::ZERO,
        lost_per_thousand: 0,
        late_per_thousand: 0,
        late_by: Duration::ZERO,
        bottleneck: None,
        seed: 1,
    };
}

/// What became of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// That came.
    pub taken: u64,
    /// By chance.
    pub lost: u64,
    /// Since the bottleneck's queue was full.
    pub overflowed: u64,
    /// Made late.
    pub late: u64,
    /// That went on.
    pub given: u64,
}

/// Frames on their way in one direction.
pub(super) struct Direction {
    impairments: Impairments,
    random: Random,
    /// By the time at which they are there, then in the order in which they came.
    on_the_way: BinaryHeap<Reverse<Travelling>>,
    /// When the bottleneck is done with each frame in its queue.
    queue: VecDeque<Duration>,
    counts: Counts,
    /// Memory of frames that have gone on.
    spare: Vec<Vec<u8>>,
}

/// A frame that has not arrived.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Travelling {
    due: Duration,
    number: u64,
    frame: Vec<u8>,
}

impl Direction {
    /// An empty path; both directions of one seed draw other numbers.
    pub(super) fn new(impairments: Impairments, index: usize) -> Self {
        let random = Random::new(impairments.seed.wrapping_mul(2).wrapping_add(index as u64));
        Self {
            impairments,
            random,
            on_the_way: BinaryHeap::new(),
            queue: VecDeque::new(),
            counts: Counts::default(),
            spare: Vec::new(),
        }
    }

    /// A frame enters the path.
    pub(super) fn take(&mut self, now: Duration, bytes: &[u8]) {
        self.counts.taken += 1;
        // Both are drawn for each frame, so that one does not move the other's numbers.
        let is_lost = self.random.per_thousand(self.impairments.lost_per_thousand);
        let is_late = self.random.per_thousand(self.impairments.late_per_thousand);
        if is_lost {
            self.counts.lost += 1;
            return;
        }
        let Some(sent) = self.through_bottleneck(now, bytes.len()) else {
            self.counts.overflowed += 1;
            return;
        };
        let mut due = sent + self.impairments.delay;
        if is_late {
            self.counts.late += 1;
            let part = 1 + self.random.next() % 1000;
            due += self.impairments.late_by.mul_f64(part as f64 / 1e3);
        }
        let mut frame = self.spare.pop().unwrap_or_default();
        frame.clear();
        frame.extend_from_slice(bytes);
        self.on_the_way.push(Reverse(Travelling { due, number: self.counts.taken, frame }));
    }

    /// When its last bit has left the narrowest link; `None` if there is no room to wait for that.
    fn through_bottleneck(&mut self, now: Duration, bytes: usize) -> Option<Duration> {
        let Some(link) = &self.impairments.bottleneck else { return Some(now) };
        while self.queue.front().is_some_and(|done| *done <= now) {
            self.queue.pop_front();
        }
        if self.queue.len() >= link.queue_frames {
            return None;
        }
        let begins = self.queue.back().copied().unwrap_or(now);
        let nanoseconds = bytes as u64 * 8 * 1_000_000_000 / link.bits_per_second;
        let done = begins + Duration::from_nanos(nanoseconds);
        self.queue.push_back(done);
        Some(done)
    }

    /// The next frame that is there by now.
    pub(super) fn due(&mut self, now: Duration) -> Option<Vec<u8>> {
        if self.next_due()? > now {
            return None;
        }
        self.counts.given += 1;
        self.on_the_way.pop().map(|Reverse(travelling)| travelling.frame)
    }

    /// When the next frame is there.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.on_the_way.peek().map(|Reverse(travelling)| travelling.due)
    }

    /// Takes the memory of a frame that has gone on.
    pub(super) fn recycle(&mut self, frame: Vec<u8>) {
        self.spare.push(frame);
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);
    const COUNT: u32 = 20_000;

    /// Sends frames at even distances through a path: their numbers and times of arrival.
    fn through(impairments: Impairments, every: Duration) -> (Vec<(u32, Duration)>, Counts) {
        let mut direction = Direction::new(impairments, 0);
        let mut arrived = Vec::new();
        let mut arrive = |direction: &mut Direction, until: Duration| {
            while let Some(due) = direction.next_due().filter(|due| *due <= until) {
                let frame = direction.due(due).expect("it is due");
                arrived.push((u32::from_be_bytes(frame[..4].try_into().expect("four")), due));
                direction.recycle(frame);
            }
        };
        for number in 0..COUNT {
            let now = every * number;
            arrive(&mut direction, now);
            let mut frame = [0; 1250];
            frame[..4].copy_from_slice(&number.to_be_bytes());
            direction.take(now, &frame);
        }
        arrive(&mut direction, Duration::MAX);
        let counts = direction.counts();
        (arrived, counts)
    }

    #[test]
    fn a_path_without_impairments_gives_everything_in_order_at_once() {
        let (arrived, counts) = through(Impairments::NONE, MILLISECOND);
        assert_eq!(arrived, (0..COUNT).map(|n| (n, MILLISECOND * n)).collect::<Vec<_>>());
        let all = u64::from(COUNT);
        assert_eq!(counts, Counts { taken: all, given: all, ..Counts::default() });
    }

    #[test]
    fn a_delay_is_the_same_for_all() {
        let delay = 25 * MILLISECOND;
        let (arrived, _) = through(Impairments { delay, ..Impairments::NONE }, MILLISECOND / 10);
        let expected = (0..COUNT).map(|n| (n, MILLISECOND / 10 * n + delay));
        assert_eq!(arrived, expected.collect::<Vec<_>>());
    }

    #[test]
    fn so_many_are_lost_as_are_asked_for_and_a_seed_repeats_it() {
        let lossy = |seed| Impairments { lost_per_thousand: 50, seed, ..Impairments::NONE };
        let (arrived, counts) = through(lossy(1), MILLISECOND);
        assert_eq!(counts.lost + counts.given, u64::from(COUNT));
        // 1,000 are expected, with a standard deviation of 31.
        assert!((850..1150).contains(&counts.lost), "{counts:?}");
        assert!(arrived.is_sorted());
        assert_eq!(through(lossy(1), MILLISECOND).0, arrived);
        assert_ne!(through(lossy(2), MILLISECOND).0, arrived);
    }

    #[test]
    fn so_many_are_late_as_are_asked_for_and_none_is_lost() {
        let path = Impairments {
            delay: 5 * MILLISECOND,
            late_per_thousand: 5,
            late_by: 5 * MILLISECOND,
            ..Impairments::NONE
        };
        let (arrived, counts) = through(path.clone(), MILLISECOND / 100);
        assert_eq!((counts.given, counts.lost), (u64::from(COUNT), 0));
        // 100 are expected, with a standard deviation of 10.
        assert!((50..150).contains(&counts.late), "{counts:?}");
        let overtaken = arrived.windows(2).filter(|pair| pair[1].0 < pair[0].0).count() as u64;
        assert!(overtaken > counts.late * 9 / 10 && overtaken <= counts.late, "{overtaken}");
        for (number, at) in arrived {
            let took = at - MILLISECOND / 100 * number;
            assert!((path.delay..=path.delay + path.late_by).contains(&took), "{number}: {took:?}");
        }
    }

    #[test]
    fn a_bottleneck_has_a_rate_and_a_queue() {
        // A frame of 1250 bytes takes a millisecond.
        let link = Bottleneck { bits_per_second: 10_000_000, queue_frames: 60 };
        let path = Impairments { bottleneck: Some(link), ..Impairments::NONE };
        let (slow, counts) = through(path.clone(), 2 * MILLISECOND);
        assert_eq!(counts.overflowed, 0);
        assert!(slow.iter().all(|(number, at)| *at == 2 * MILLISECOND * *number + MILLISECOND));
        let (fast, counts) = through(path, MILLISECOND / 2);
        assert!(fast.windows(2).all(|pair| pair[1].1 - pair[0].1 == MILLISECOND));
        // Half of them have passed when the last comes, and sixty wait.
        assert_eq!(counts.given, u64::from(COUNT) / 2 - 1 + 60);
        assert_eq!(counts.given + counts.overflowed, u64::from(COUNT));
        let longest = fast.iter().map(|(number, at)| *at - MILLISECOND / 2 * *number).max();
        assert_eq!(longest, Some(60 * MILLISECOND));
    }
}
