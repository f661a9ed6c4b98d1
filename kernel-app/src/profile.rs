//! Profile: samples of what runs, put together by where they were taken.

use crate::platform::SampledStack;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::string::String;
use alloc::vec::Vec;
use core::task::Poll;

/// How often each stack was sampled, by its addresses, with their names once it is all over.
#[derive(Default)]
pub struct Stacks {
    counts: BTreeMap<Vec<u64>, u64>,
    /// Addresses in all of them.
    addresses: usize,
    lost: u64,
    names: BTreeMap<(u64, bool), String>,
}

/// Addresses in all stacks: samples of further ones are lost, and counted.
const ADDRESSES_MAX: usize = 64 << 10;
/// Names that are kept, since most addresses are in many stacks.
const NAMES_MAX: usize = 4096;
/// Names that are asked for at once: each costs a search.
const NAMES_AT_ONCE: usize = 4;
/// What samples are called that found no room.
const LOST: &str = "[lost]";

impl Stacks {
    /// Counts a sample: where it was, and the return addresses of its callers, the innermost first.
    pub fn add(&mut self, addresses: &[u64]) {
        if let Some(count) = self.counts.get_mut(addresses) {
            *count += 1;
        } else if self.addresses + addresses.len() <= ADDRESSES_MAX {
            self.addresses += addresses.len();
            self.counts.insert(addresses.to_vec(), 1);
        } else {
            self.lost += 1;
        }
    }

    /// Counts samples that others have lost.
    pub fn lose(&mut self, samples: u64) {
        self.lost += samples;
    }

    /// Takes one of them, with the names that `name` gives to addresses, of which it is told whether they are of returns. Pending
    /// while there are more to ask for than it is asked at once. Last come those that were lost.
    pub fn poll_pop(&mut self, name: fn(u64, bool) -> String) -> Poll<Option<SampledStack>> {
        let Self { counts, names, lost, .. } = self;
        let Some(first) = counts.first_entry() else {
            let samples = core::mem::take(lost);
            let is_any = samples > 0;
            return Poll::Ready(is_any.then(|| SampledStack { frames: LOST.into(), samples }));
        };
        if names.len() > NAMES_MAX {
            names.clear();
        }
        let mut asked = 0;
        for (place, &address) in first.key().iter().enumerate() {
            if let Entry::Vacant(vacant) = names.entry((address, place > 0)) {
                if asked == NAMES_AT_ONCE {
                    return Poll::Pending;
                }
                asked += 1;
                vacant.insert(name(address, place > 0));
            }
        }
        let (addresses, samples) = first.remove_entry();
        let name = |(place, address): (usize, &u64)| names.get(&(*address, place > 0));
        let mut frames = String::new();
        for name in addresses.iter().enumerate().rev().filter_map(name) {
            if !frames.is_empty() {
                frames.push(';');
            }
            frames.extend(name.chars().map(|letter| if letter == ';' { ',' } else { letter }));
        }
        Poll::Ready(Some(SampledStack { frames, samples }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn name(address: u64, is_return: bool) -> String {
        format!("f{address}{}", if is_return { ";r" } else { "" })
    }

    fn all(stacks: &mut Stacks) -> Vec<(String, u64)> {
        let next = || {
            loop {
                if let Poll::Ready(stack) = stacks.poll_pop(name) {
                    return stack;
                }
            }
        };
        core::iter::from_fn(next).map(|it| (it.frames, it.samples)).collect()
    }

    #[test]
    fn equal_stacks_are_counted_and_begin_with_the_outermost_caller() {
        let mut stacks = Stacks::default();
        for addresses in [&[3, 2, 1][..], &[2, 1], &[3, 2, 1]] {
            stacks.add(addresses);
        }
        stacks.lose(5);
        let expected = [("f1,r;f2".into(), 1), ("f1,r;f2,r;f3".into(), 2), ("[lost]".into(), 5)];
        assert_eq!(all(&mut stacks), expected);
        assert_eq!(all(&mut stacks), []);
    }

    #[test]
    fn only_so_many_names_are_asked_for_at_once() {
        let mut stacks = Stacks::default();
        let deep: Vec<u64> = (0..2 * NAMES_AT_ONCE as u64 + 1).collect();
        stacks.add(&deep);
        let polls = (1..).find(|_| stacks.poll_pop(name).is_ready());
        assert_eq!(polls, Some(3));
    }

    #[test]
    fn only_so_many_addresses_are_kept() {
        let mut stacks = Stacks::default();
        for address in 0..ADDRESSES_MAX as u64 {
            stacks.add(&[address]);
        }
        stacks.add(&[u64::MAX]);
        stacks.add(&[0]);
        let all = all(&mut stacks);
        assert_eq!((all.len(), all.last().unwrap().1), (65_537, 1));
        assert!(all.contains(&("f0".into(), 2)));
    }
}
