//! Subscriptions: topic prefixes, counted.

use crate::message::body_held_bytes;
use alloc::collections::BTreeMap;
use bytes::Bytes;

/// What a prefix costs beside its bytes: its share of two trees, whose nodes are half full at worst.
const PREFIX_BYTES: usize = 128;

/// A set of prefixes, each as often as it was added.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    prefixes: BTreeMap<Bytes, usize>,
    held_bytes: usize,
    // How many distinct prefixes there are of each length: a topic is looked up once per length.
    lengths: BTreeMap<usize, usize>,
}

impl Subscriptions {
    /// Distinct prefixes.
    pub(super) fn len(&self) -> usize {
        self.prefixes.len()
    }

    /// Bytes that they take in memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Bytes that one more would take.
    pub(super) fn weight_bytes(prefix: &Bytes) -> usize {
        PREFIX_BYTES + body_held_bytes(prefix)
    }

    /// Whether this is the first time.
    pub(super) fn add(&mut self, prefix: Bytes) -> bool {
        let (len, bytes) = (prefix.len(), Self::weight_bytes(&prefix));
        let count = self.prefixes.entry(prefix).or_default();
        *count += 1;
        let first = *count == 1;
        if first {
            self.held_bytes += bytes;
            *self.lengths.entry(len).or_default() += 1;
        }
        first
    }

    /// Whether this was the last time.
    pub(super) fn remove(&mut self, prefix: &[u8]) -> bool {
        let Some(count) = self.prefixes.get_mut(prefix) else {
            return false;
        };
        *count -= 1;
        if *count > 0 {
            return false;
        }
        if let Some((prefix, _)) = self.prefixes.remove_entry(prefix) {
            self.held_bytes -= Self::weight_bytes(&prefix);
        }
        if let Some(same_length) = self.lengths.get_mut(&prefix.len()) {
            *same_length -= 1;
            if *same_length == 0 {
                self.lengths.remove(&prefix.len());
            }
        }
        true
    }

    pub(super) fn contains(&self, prefix: &[u8]) -> bool {
        self.prefixes.contains_key(prefix)
    }

    /// Whether some prefix is one of this topic's.
    pub(super) fn matches(&self, topic: &[u8]) -> bool {
        self.lengths
            .keys()
            .map_while(|&len| topic.get(..len))
            .any(|prefix| self.prefixes.contains_key(prefix))
    }

    /// The distinct prefixes.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.prefixes.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_match_and_count() {
        let mut topics = Subscriptions::default();
        assert!(!topics.matches(b"anything"));
        assert!(topics.add("weather".into()));
        assert!(!topics.add("weather".into()));
        assert!(topics.add("we".into()));
        assert!(topics.matches(b"weather.oslo"));
        assert!(topics.matches(b"west"));
        assert!(!topics.matches(b"w"));
        assert!(!topics.remove(b"weather"));
        assert!(topics.remove(b"we"));
        assert!(!topics.matches(b"west"));
        assert!(topics.remove(b"weather"));
        assert!(!topics.remove(b"weather"));
        assert!(topics.add(Bytes::new()));
        assert!(topics.matches(b""));
    }

    #[test]
    fn each_prefix_weighs_once_and_nothing_stays_of_those_that_are_removed() {
        let mut topics = Subscriptions::default();
        for prefix in ["ab", "cd", "ab", "long"] {
            topics.add(prefix.into());
        }
        assert_eq!(topics.held_bytes(), 3 * (128 + 32) + 2 + 2 + 4);
        assert!(topics.remove(b"cd"));
        assert!(topics.matches(b"about"), "one of the same length is there");
        assert!(!topics.remove(b"ab"));
        assert_eq!(topics.held_bytes(), 2 * (128 + 32) + 2 + 4);
        assert!(topics.remove(b"ab") && topics.remove(b"long"));
        assert_eq!((topics.held_bytes(), topics.len(), topics.lengths.len()), (0, 0, 0));
    }
}
