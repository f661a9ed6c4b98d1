//! Choice: one of several candidates, by each of the policies but round robin, which has to remember.
//!
//! All of them look at every candidate. Two that are drawn by lot ("power of two choices") would do nearly as well for
//! less, but less of what costs a few nanoseconds each; what they are for is many clients who all see the same place
//! idle, or counts that are old. Our counts are our own and of this moment, and chance decides among equals.

use core::hash::Hasher;
use core::time::Duration;
use siphasher::sip::SipHasher13;

/// A key for [`Policy::ConsistentHash`](crate::Policy::ConsistentHash) of what requests have in common, as a client's address
/// or a user's name: the same in all programs. Who can choose it can choose the place, but not overload it.
pub fn hash_key(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish()
}

/// One of those that may be chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// What is given back if it is.
    pub(crate) index: usize,
    /// Its weight at present, never zero.
    pub(crate) weight: u64,
    /// Requests that it has already.
    pub(crate) outstanding: u32,
    /// What the next one is expected to take.
    pub(crate) expected: Duration,
    /// By which keys belong to it.
    pub(crate) hash: u64,
    /// The weight by which they do: it does not change with time, or keys would move.
    pub(crate) steady_weight: u64,
}

/// Shorter latencies differ by chance: a machine that is busy for a moment answers some milliseconds late, and would lose its
/// requests to one whose heads come at once and whose bodies crawl.
const LATENCY_MIN: Duration = Duration::from_millis(8);

/// Costs are whole numbers; this keeps the differences that large weights make.
const COST_UNIT: u64 = 1_000_000;

/// The one with the fewest outstanding requests for its weight, each weighed by its latency.
pub(crate) fn least_outstanding(
    candidates: &(impl Iterator<Item = Candidate> + Clone),
    random: u64,
) -> Option<usize> {
    let least = candidates.clone().map(|candidate| candidate.cost()).min()?;
    let equals = || candidates.clone().filter(|candidate| candidate.cost() == least);
    nth(equals(), random % equals().count() as u64)
}

/// One by chance, by their weights.
pub(crate) fn weighted(
    candidates: impl Iterator<Item = Candidate> + Clone,
    random: u64,
) -> Option<usize> {
    let total: u64 = candidates.clone().map(|candidate| candidate.weight).sum();
    let mut rest = random.checked_rem(total)?;
    for candidate in candidates {
        if rest < candidate.weight {
            return Some(candidate.index);
        }
        rest -= candidate.weight;
    }
    None
}

/// The one that a key belongs to, among those that have not more than their part of the load.
pub(crate) fn consistent_hash(
    candidates: &(impl Iterator<Item = Candidate> + Clone),
    key: u64,
    load_percent_max: u32,
) -> Option<usize> {
    let sum = |of: fn(&Candidate) -> u64| candidates.clone().map(|candidate| of(&candidate)).sum();
    let weights: u64 = sum(|candidate| candidate.weight);
    let requests: u64 = sum(|candidate| candidate.outstanding.into());
    // Of the whole load, this request included. At least one candidate has less, since the limits add up to more.
    let load = (requests + 1).saturating_mul(load_percent_max.max(100).into());
    let has_room = |candidate: &Candidate| {
        let part = load.saturating_mul(candidate.weight).div_ceil(100 * weights);
        u64::from(candidate.outstanding) < part
    };
    let free = candidates.clone().filter(has_room);
    free.max_by_key(|candidate| (candidate.score(key), candidate.hash)).map(|found| found.index)
}

impl Candidate {
    /// Latencies count by powers of two: what is not twice as slow is as quick, or the quickest by a hair would get everything.
    fn cost(&self) -> u64 {
        let millis = self.expected.max(LATENCY_MIN).as_millis();
        let requests =
            (u64::from(self.outstanding) + 1).saturating_mul(1 << millis.ilog2().min(31));
        requests.saturating_mul(COST_UNIT) / self.weight
    }

    /// Rendezvous hashing with weights: the weight through minus the logarithm of a hash between 0 and 1 (Schindelhauer
    /// and Schomaker 2005), in whole numbers, which are the same on all machines.
    fn score(&self, key: u64) -> u64 {
        let mut hasher = SipHasher13::new();
        hasher.write(&self.hash.to_le_bytes());
        hasher.write(&key.to_le_bytes());
        (self.steady_weight << 48) / minus_log2(hasher.finish())
    }
}

/// The logarithm to base 2 of 2^64 through a number, with 24 binary places; never zero.
fn minus_log2(number: u64) -> u64 {
    const PLACES: u32 = 24;
    let number = number.max(1);
    let whole = number.ilog2();
    // From 1 to below 2, with 63 binary places; each squaring yields a place of the logarithm.
    let mut mantissa = number << (63 - whole);
    let mut log = u64::from(whole);
    for _ in 0..PLACES {
        let square = (u128::from(mantissa) * u128::from(mantissa)) >> 63;
        let is_two = square >> 64 != 0;
        mantissa = u64::try_from(square >> u32::from(is_two)).unwrap_or(u64::MAX);
        log = (log << 1) | u64::from(is_two);
    }
    (64 << PLACES) - log
}

fn nth(mut candidates: impl Iterator<Item = Candidate>, index: u64) -> Option<usize> {
    candidates.nth(usize::try_from(index).unwrap_or(0)).map(|candidate| candidate.index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn candidate(index: usize, weight: u64, outstanding: u32) -> Candidate {
        let mut hasher = SipHasher13::new();
        hasher.write(&[b'a' + index as u8]);
        Candidate {
            index,
            weight,
            outstanding,
            expected: Duration::from_millis(10),
            hash: hasher.finish(),
            steady_weight: weight,
        }
    }

    fn of(rows: &[(u64, u32)]) -> Vec<Candidate> {
        rows.iter().enumerate().map(|(index, row)| candidate(index, row.0, row.1)).collect()
    }

    #[test]
    fn the_least_loaded_for_its_weight_is_chosen_and_chance_decides_among_equals() {
        let choose = |rows: &[(u64, u32)], random| least_outstanding(&of(rows).into_iter(), random);
        assert_eq!(choose(&[(1, 3), (1, 2), (1, 4)], 7), Some(1));
        assert_eq!(choose(&[(1, 0), (4, 2)], 7), Some(1), "3/4 is less than 1");
        assert_eq!(choose(&[(1, 0), (4, 4)], 7), Some(0), "5/4 is more");
        let equals = [(1, 1), (1, 0), (1, 2), (1, 0)];
        assert_eq!(
            [0, 1, 2, 3].map(|random| choose(&equals, random)),
            [Some(1), Some(3), Some(1), Some(3)]
        );
        assert_eq!(choose(&[], 0), None);
    }

    #[test]
    fn what_is_twice_as_slow_counts_twice() {
        let mut two = of(&[(1, 1), (1, 0)]);
        two[0].expected = Duration::from_millis(8);
        for (millis, chosen) in [(15, 1), (32, 0)] {
            two[1].expected = Duration::from_millis(millis);
            assert_eq!(least_outstanding(&two.iter().copied(), 0), Some(chosen), "{millis}");
        }
        two[0].expected = Duration::from_millis(1);
        two[1].expected = Duration::from_millis(15);
        assert_eq!(
            least_outstanding(&two.iter().copied(), 0),
            Some(1),
            "less than the least that counts"
        );
    }

    #[test]
    fn chance_goes_by_weight() {
        let three = of(&[(1, 9), (3, 0), (2, 0)]);
        let chosen: Vec<_> = (0..7).map(|random| weighted(three.iter().copied(), random)).collect();
        assert_eq!(chosen, [0, 1, 1, 1, 2, 2, 0].map(Some));
        assert_eq!(weighted(core::iter::empty(), 1), None);
    }

    #[test]
    fn keys_belong_to_places_by_weight_and_only_those_of_a_lost_one_move() {
        let three = of(&[(1, 0), (1, 0), (2, 0)]);
        let owner = |among: &[Candidate], key| consistent_hash(&among.iter().copied(), key, 10_000);
        let mut counts = [0_u32; 3];
        for key in 0..4000 {
            let own = owner(&three, key).unwrap();
            counts[own] += 1;
            if own != 1 {
                assert_eq!(owner(&[three[0], three[2]], key), Some(own));
            }
        }
        assert!(counts[0].abs_diff(1000) < 100 && counts[1].abs_diff(1000) < 100, "{counts:?}");
        assert!(counts[2].abs_diff(2000) < 120, "{counts:?}");
    }

    #[test]
    fn no_place_has_more_than_its_part_of_the_load() {
        let mut three = of(&[(1, 0), (1, 0), (1, 0)]);
        for begun in 0..90_u32 {
            let chosen = consistent_hash(&three.iter().copied(), 5, 125).unwrap();
            three[chosen].outstanding += 1;
            let most = three.iter().map(|candidate| candidate.outstanding).max().unwrap();
            assert!(most <= ((begun + 1) * 125).div_ceil(300), "{most} of {begun}");
        }
        let own = consistent_hash(&of(&[(1, 0), (1, 0), (1, 0)]).into_iter(), 5, 125).unwrap();
        assert_eq!(three[own].outstanding, 38, "the key's own place is full");
    }

    #[test]
    fn logarithms_are_right() {
        let as_float = |number: u64| (64.0 - (number as f64).log2()) * f64::from(1 << 24);
        for number in [1, 2, 3, 1 << 40, 0x1234_5678_9ABC_DEF0, 1 << 63, u64::MAX / 3 * 2] {
            let (log, expected) = (minus_log2(number) as f64, as_float(number));
            assert!((log - expected).abs() <= 2.0, "{number}: {log} {expected}");
        }
        assert_eq!(minus_log2(0), 64 << 24);
        assert!(minus_log2(u64::MAX) > 0);
    }
}
