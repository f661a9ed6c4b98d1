//! Queue: a deque that needs memory of its own only for more than one element.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::mem;

/// Elements in order, of which the only one lies in the queue itself. An idle connection has none, and one
/// that asks and answers has one.
#[derive(Debug)]
pub(crate) enum Queue<T> {
    Few(Option<T>),
    /// Boxed, so that the queue is no larger than an element.
    #[allow(clippy::box_collection, reason = "it makes the queue smaller")]
    Many(Box<VecDeque<T>>),
}

impl<T> Queue<T> {
    pub(crate) const EMPTY: Self = Self::Few(None);

    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few(None) => 0,
            Self::Few(Some(_)) => 1,
            Self::Many(many) => many.len(),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        match self {
            Self::Few(one) => one.as_ref().filter(|_| index == 0),
            Self::Many(many) => many.get(index),
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        match self {
            Self::Few(one) => one.as_mut().filter(|_| index == 0),
            Self::Many(many) => many.get_mut(index),
        }
    }

    #[inline]
    pub(crate) fn front(&self) -> Option<&T> {
        self.get(0)
    }

    #[inline]
    pub(crate) fn front_mut(&mut self) -> Option<&mut T> {
        self.get_mut(0)
    }

    #[inline]
    pub(crate) fn back_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Few(one) => one.as_mut(),
            Self::Many(many) => many.back_mut(),
        }
    }

    #[inline]
    pub(crate) fn back(&self) -> Option<&T> {
        match self {
            Self::Few(one) => one.as_ref(),
            Self::Many(many) => many.back(),
        }
    }

    #[inline]
    pub(crate) fn push_back(&mut self, element: T) {
        match self {
            Self::Few(one @ None) => *one = Some(element),
            _ => self.many().push_back(element),
        }
    }

    pub(crate) fn insert(&mut self, index: usize, element: T) {
        if self.is_empty() {
            self.push_back(element);
        } else {
            self.many().insert(index, element);
        }
    }

    /// The last one taken out gives the memory back.
    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<T> {
        match self {
            Self::Few(one) => one.take(),
            Self::Many(many) => {
                let element = many.pop_front();
                if many.is_empty() {
                    *self = Self::EMPTY;
                }
                element
            }
        }
    }

    pub(crate) fn remove(&mut self, index: usize) -> Option<T> {
        match self {
            Self::Few(one) if index == 0 => one.take(),
            Self::Few(_) => None,
            Self::Many(many) => many.remove(index),
        }
    }

    /// The index of the first element for which `is_before` does not hold; it must hold for the ones in
    /// front of that and for none behind.
    pub(crate) fn partition_point(&self, mut is_before: impl FnMut(&T) -> bool) -> usize {
        match self {
            Self::Few(one) => usize::from(one.as_ref().is_some_and(is_before)),
            Self::Many(many) => many.partition_point(&mut is_before),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, many) = match self {
            Self::Few(one) => (one.as_ref(), None),
            Self::Many(many) => (None, Some(many.iter())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let (one, many) = match self {
            Self::Few(one) => (one.as_mut(), None),
            Self::Many(many) => (None, Some(many.iter_mut())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    #[cold]
    fn spill(&mut self) {
        if let Self::Few(one) = self {
            let mut many = VecDeque::with_capacity(8);
            many.extend(mem::take(one));
            *self = Self::Many(Box::new(many));
        }
    }

    fn many(&mut self) -> &mut VecDeque<T> {
        self.spill_if_few();
        match self {
            Self::Many(many) => many,
            Self::Few(_) => unreachable!("spilled"),
        }
    }

    fn spill_if_few(&mut self) {
        if matches!(self, Self::Few(_)) {
            self.spill();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn one_element_lies_inside_and_more_do_not() {
        let mut queue = Queue::EMPTY;
        queue.push_back(1);
        assert!(matches!(queue, Queue::Few(Some(1))));
        queue.push_back(3);
        queue.insert(1, 2);
        assert_eq!(queue.iter().copied().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(queue.partition_point(|element| *element < 3), 2);
        assert_eq!((queue.get(2), queue.back(), queue.len()), (Some(&3), Some(&3), 3));
        assert_eq!(queue.remove(1), Some(2));
        assert_eq!(
            (queue.pop_front(), queue.pop_front(), queue.pop_front()),
            (Some(1), Some(3), None)
        );
        assert!(matches!(queue, Queue::Few(None)));
    }

    #[test]
    fn it_is_a_deque_with_none_one_and_several() {
        let mut queue = Queue::EMPTY;
        let mut wanted: Vec<u8> = Vec::new();
        for count in 0..4 {
            let (first, last) = (wanted.first().copied(), wanted.last().copied());
            assert_eq!((queue.len(), queue.is_empty()), (count, count == 0));
            assert_eq!((queue.front().copied(), queue.back().copied()), (first, last));
            let ends = (queue.front_mut().map(|it| *it), queue.back_mut().map(|it| *it));
            assert_eq!(ends, (first, last));
            for index in 0..5 {
                let it = wanted.get(index).copied();
                assert_eq!((queue.get(index).copied(), queue.get_mut(index).copied()), (it, it));
            }
            for bound in 0..5 {
                let point = queue.partition_point(|element| *element < bound * 10);
                assert_eq!(point, wanted.partition_point(|element| *element < bound * 10));
            }
            assert_eq!(queue.iter_mut().map(|it| *it).collect::<Vec<_>>(), wanted);
            assert_eq!(queue.remove(7), None);
            queue.push_back(count as u8 * 10);
            wanted.push(count as u8 * 10);
        }
        queue.insert(0, 99);
        assert_eq!(queue.iter().copied().collect::<Vec<_>>(), [99, 0, 10, 20, 30]);
        // The last one gives the memory back, whichever way it goes.
        let mut queue = Queue::EMPTY;
        queue.insert(0, 1);
        assert!(matches!(queue, Queue::Few(Some(1))));
        assert_eq!((queue.remove(1), queue.remove(0), queue.len()), (None, Some(1), 0));
        queue.push_back(1);
        queue.push_back(2);
        assert_eq!((queue.pop_front(), queue.len()), (Some(1), 1));
        assert!(matches!(queue, Queue::Many(_)));
        assert_eq!((queue.pop_front(), queue.pop_front()), (Some(2), None));
        assert!(matches!(queue, Queue::Few(None)));
    }
}
