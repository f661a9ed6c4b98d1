//! Edge: the bounded queue between two nodes.

use crate::Fault;
use alloc::collections::VecDeque;

/// How much an edge holds. A producer looks for room before each item, so an edge holds at most
/// these and the one item that crossed the bound.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Items. Default 64.
    pub items: usize,
    /// Bytes: of chunks, and of objects what their producer says they weigh. Default 128 KiB,
    /// four chunks: one being read, one being written, and slack between.
    pub bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { items: 64, bytes: 4 * crate::CHUNK_BYTES }
    }
}

/// A queue of items with a bound and an end. The end, or the fault, comes after all items and
/// once.
#[derive(Debug)]
pub struct Edge<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    bounds: Bounds,
    end: End,
    cancelled: bool,
    moves: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Waiting(Option<Fault>),
    Taken,
}

/// What [`Edge::take`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<T> {
    /// An item and what it weighs, bytes.
    Item(T, usize),
    /// Nothing now.
    Empty,
    /// All items are taken and the end stands next: see [`Edge::take_end`].
    AtEnd,
}

impl<T> Default for Edge<T> {
    fn default() -> Self {
        Self::new(Bounds::default())
    }
}

impl<T> Edge<T> {
    /// An empty edge.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            items: VecDeque::new(),
            bytes: 0,
            bounds,
            end: End::Open,
            cancelled: false,
            moves: 0,
        }
    }

    /// Changes the bounds; what is over them stays.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Whether a producer may put an item.
    pub fn has_room(&self) -> bool {
        self.items.len() < self.bounds.items && self.bytes < self.bounds.bytes
    }

    /// Whether no item waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether items are of no use any more: it has ended, or its consumer has given up.
    pub fn is_closed(&self) -> bool {
        self.cancelled || self.end != End::Open
    }

    /// Puts an item that weighs so many bytes. On a closed edge it is dropped.
    pub fn put(&mut self, item: T, weight_bytes: usize) {
        if self.is_closed() {
            return;
        }
        self.moves += 1;
        self.bytes += weight_bytes;
        self.items.push_back((item, weight_bytes));
    }

    /// Ends it in order. Only the first end counts.
    pub fn end(&mut self) {
        self.set_end(None);
    }

    /// Ends it with a fault. Only the first end counts.
    pub fn fail(&mut self, fault: Fault) {
        self.set_end(Some(fault));
    }

    fn set_end(&mut self, fault: Option<Fault>) {
        if self.end == End::Open {
            self.moves += 1;
            self.end = End::Waiting(fault);
        }
    }

    /// The next item.
    pub fn take(&mut self) -> Taken<T> {
        match self.items.pop_front() {
            Some((item, weight_bytes)) => {
                self.moves += 1;
                self.bytes -= weight_bytes;
                Taken::Item(item, weight_bytes)
            }
            None if matches!(self.end, End::Waiting(_)) => Taken::AtEnd,
            None => Taken::Empty,
        }
    }

    /// The end, once, after the last item: in order, or a fault.
    pub fn take_end(&mut self) -> Option<Result<(), Fault>> {
        match self.end {
            End::Waiting(fault) if self.items.is_empty() => {
                self.moves += 1;
                self.end = End::Taken;
                Some(fault.map_or(Ok(()), Err))
            }
            _ => None,
        }
    }

    /// The fault that waits behind the last item, if one does.
    pub(crate) fn fault_ahead(&self) -> Option<Fault> {
        match self.end {
            End::Waiting(fault) => fault,
            _ => None,
        }
    }

    /// The consumer gives up: what waits is dropped, and what comes too.
    pub fn cancel(&mut self) {
        if !self.cancelled {
            self.moves += 1;
            self.cancelled = true;
            self.items.clear();
            self.bytes = 0;
            self.end = End::Taken;
        }
    }

    /// Grows with every change, so that a loop can tell when nothing moves.
    pub fn moves(&self) -> u64 {
        self.moves
    }

    /// Moves items to `to` as far as it has room.
    pub(crate) fn pour(&mut self, to: &mut Self) {
        while to.has_room() {
            match self.take() {
                Taken::Item(item, weight_bytes) => to.put(item, weight_bytes),
                Taken::Empty | Taken::AtEnd => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_hold() {
        let mut edge = Edge::new(Bounds { items: 2, bytes: 10 });
        edge.put("a", 1);
        assert!(edge.has_room() && !edge.is_empty());
        edge.put("b", 1);
        assert!(!edge.has_room(), "two items");
        assert_eq!(edge.take(), Taken::Item("a", 1));
        edge.take();
        edge.put("c", 10);
        assert!(!edge.has_room(), "ten bytes");
    }

    #[test]
    fn the_first_end_comes_once_and_after_all_items() {
        let mut edge = Edge::default();
        edge.put(1, 0);
        edge.fail(Fault::Bomb);
        edge.end();
        edge.put(2, 0);
        assert_eq!(edge.take_end(), None);
        assert_eq!(edge.take(), Taken::Item(1, 0));
        assert_eq!(edge.take(), Taken::AtEnd);
        assert_eq!(edge.take_end(), Some(Err(Fault::Bomb)));
        assert_eq!(edge.take_end(), None);
        assert_eq!(edge.take(), Taken::Empty);
    }

    /// A loop goes on as long as something does.
    #[test]
    fn every_change_moves_and_what_changes_nothing_does_not() {
        let mut edge = Edge::default();
        let mut last = edge.moves();
        let mut has_moved = |edge: &Edge<u8>| core::mem::replace(&mut last, edge.moves()) < last;
        edge.take();
        edge.take_end();
        assert!(!has_moved(&edge), "nothing was there");
        edge.put(1, 1);
        assert!(has_moved(&edge), "put");
        edge.end();
        assert!(has_moved(&edge), "ended");
        edge.end();
        edge.put(2, 1);
        edge.take_end();
        assert!(!has_moved(&edge), "it has ended, and has an item");
        edge.take();
        assert!(has_moved(&edge), "taken");
        edge.take();
        assert!(!has_moved(&edge), "the end stays");
        edge.take_end();
        assert!(has_moved(&edge), "its end was taken");
        edge.cancel();
        assert!(has_moved(&edge), "cancelled");
        edge.cancel();
        assert!(!has_moved(&edge), "once");
    }

    #[test]
    fn a_cancelled_edge_takes_nothing() {
        let mut edge = Edge::default();
        edge.put(1, 5);
        edge.cancel();
        edge.put(2, 5);
        assert_eq!((edge.take(), edge.take_end()), (Taken::Empty, None));
    }
}
