//! Counters: what happened since the start, each with its metric, said in one place.

use core::cell::Cell;

/// Makes an enumeration of what is counted, its metrics as `COUNTER_METRICS`, and the types [`Counters`] and [`Counts`] for it:
///
/// ```
/// mod counters {
///     inspect::counters! {
///         /// One thing that is counted of a cache.
///         pub enum Counter as "cache_";
///         /// Pages that were there.
///         Hits = counter "hits",
///         /// Bytes read from the disk.
///         BytesRead = byte_counter "read",
///     }
/// }
/// use counters::{COUNTER_METRICS, Counter, Counters};
///
/// let counters = Counters::new();
/// counters.add(Counter::Hits);
/// counters.add_many(Counter::BytesRead, 4096);
/// assert_eq!(counters.counts().get(Counter::BytesRead), 4096);
/// assert_eq!(COUNTER_METRICS.len(), 2);
/// ```
///
/// A name stands behind the prefix, and the help is the comment.
#[macro_export]
macro_rules! counters {
    (
        $(#[doc = $about:literal])* $visibility:vis enum $counter:ident as $prefix:literal;
        $($(#[doc = $help:literal])* $name:ident = $metric:ident $text:literal,)*
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility enum $counter {
            $($(#[doc = $help])* $name,)*
        }

        impl From<$counter> for usize {
            fn from(counter: $counter) -> usize {
                counter as usize
            }
        }

        const ALL: &[$counter] = &[$($counter::$name,)*];

        /// All counters, as they were when they were asked for.
        pub type Counts = $crate::Counts<{ ALL.len() }>;
        /// All counters.
        pub(crate) type Counters = $crate::Counters<{ ALL.len() }>;

        /// Their metrics.
        pub static COUNTER_METRICS: &[$crate::Metric<Counts>] = &[$(
            $crate::Metric::$metric(
                concat!($prefix, $text),
                concat!($($help),*).trim_ascii(),
                |counts| counts.get($counter::$name),
            ),
        )*];
    };
}

/// Counters by their places in an enumeration that [`counters!`](crate::counters) made.
#[derive(Debug)]
pub struct Counters<const COUNT: usize>([Cell<u64>; COUNT]);

impl<const COUNT: usize> Counters<COUNT> {
    /// Nothing has happened yet.
    pub const fn new() -> Self {
        Self([const { Cell::new(0) }; COUNT])
    }

    /// It happened once more.
    #[inline]
    pub fn add(&self, counter: impl Into<usize>) {
        self.add_many(counter, 1);
    }

    /// It happened so many times more.
    #[inline]
    pub fn add_many(&self, counter: impl Into<usize>, many: u64) {
        let cell = &self.0[counter.into()];
        cell.set(cell.get() + many);
    }

    /// How often it happened.
    #[inline]
    pub fn get(&self, counter: impl Into<usize>) -> u64 {
        self.0[counter.into()].get()
    }

    /// All of them, as they are now.
    pub fn counts(&self) -> Counts<COUNT> {
        Counts(self.0.each_ref().map(Cell::get))
    }
}

impl<const COUNT: usize> Default for Counters<COUNT> {
    fn default() -> Self {
        Self::new()
    }
}

/// Counters as they were at some time.
#[derive(Clone, Debug)]
pub struct Counts<const COUNT: usize>([u64; COUNT]);

impl<const COUNT: usize> Counts<COUNT> {
    /// What `count` says of each, by its place in the enumeration.
    pub fn of(count: impl Fn(usize) -> u64) -> Self {
        Self(core::array::from_fn(count))
    }

    /// How often it had happened.
    pub fn get(&self, counter: impl Into<usize>) -> u64 {
        self.0[counter.into()]
    }
}
