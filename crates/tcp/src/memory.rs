//! Buffer memory: one budget for all connections, and a pool of buffers that are used again.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// The memory of all connections' buffers. What a connection holds is counted by capacity, not by the
/// bytes in it, so that a peer that sends single bytes is charged for what they cost.
pub struct Memory {
    limit_bytes: usize,
    held_bytes: usize,
    /// Bytes in order found no room, since somebody asked for that.
    was_refused: bool,
    spares: [Vec<Box<[u8]>>; CLASSES.len()],
}

/// The largest buffers: for what a device receives in one piece, an IP packet of any length behind the headers
/// of link and device.
pub const PAGE_BYTES: usize = (64 << 10) + 128;

/// Sizes of buffers, and how many of each are kept when nobody uses them: of the largest as many as a turn of the loop
/// fills before a reader gives them back.
const CLASSES: [(usize, usize); 3] = [(2 << 10, 128), (16 << 10, 16), (PAGE_BYTES, 32)];

/// What is kept of each size is at most this part of the budget: on a small machine, which has better use for it, little.
const SPARE_SHARE: usize = 32;

/// Where buffers of so many bytes are, or the largest.
#[inline]
const fn class_of(bytes: usize) -> usize {
    if bytes <= CLASSES[0].0 {
        0
    } else if bytes <= CLASSES[1].0 {
        1
    } else {
        2
    }
}

impl Memory {
    /// With so many bytes for all buffers.
    pub fn new(limit_bytes: usize) -> Self {
        let spares = CLASSES.map(|(_, count)| Vec::with_capacity(count));
        Self { limit_bytes, held_bytes: 0, was_refused: false, spares }
    }

    /// Bytes that connections hold now.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// So little is left that windows and buffers must not grow: less than a quarter.
    #[inline]
    pub fn is_scarce(&self) -> bool {
        self.held_bytes > self.limit_bytes - self.limit_bytes / 4
    }

    /// What a connection's send buffer may hold for want of memory, where it would hold `usual` without: the less is
    /// left, the less each gets, and the last of it is for those that have nothing yet. A thousand peers that ask and
    /// do not read must not keep the next one from being answered.
    #[inline]
    pub(crate) fn send_share(&self, usual: u32) -> u32 {
        let eighth = self.limit_bytes / 8;
        match self.held_bytes {
            held if held <= 4 * eighth => usual,
            held if held <= 5 * eighth => usual.min(SHARE_SHORT),
            _ => usual.min(SHARE_LAST),
        }
    }

    /// Less than half is left of what may be sent: buffers do not grow beyond their first size.
    #[inline]
    pub(crate) fn is_short_for_sending(&self) -> bool {
        self.held_bytes > self.limit_bytes / 4
    }

    /// A writer that found nothing would find something now.
    pub fn has_room_to_send(&self) -> bool {
        let (smallest, _) = CLASSES[0];
        self.available(Purpose::Send) >= smallest
    }

    /// A buffer of at least so many bytes, or of the largest size for which the budget has room; `None` when it has for
    /// none.
    #[inline]
    pub(crate) fn take(&mut self, bytes: usize, purpose: Purpose) -> Option<Buffer> {
        let mut class = class_of(bytes);
        while !self.hold(CLASSES[class].0, purpose) {
            class = class.checked_sub(1)?;
        }
        Some(Buffer { bytes: self.spare(class), start: 0, end: 0 })
    }

    /// A buffer for bytes that are received in order, as [`take`](Self::take); `is_first` if the connection holds none that
    /// are unread. That one gets a small buffer also of the last that there is: a peer that has sent little must be
    /// heard beside those that have sent much.
    #[inline]
    pub(crate) fn take_in_order(&mut self, bytes: usize, is_first: bool) -> Option<Buffer> {
        let usual = self.take(bytes, Purpose::InOrder);
        if usual.is_some() {
            return usual;
        }
        let last = if is_first { self.take(1, Purpose::First) } else { None };
        self.was_refused |= last.is_none();
        last
    }

    /// Whether bytes in order found no room, and nobody [took](Self::take_refusal) notice.
    #[inline]
    pub fn was_refused(&self) -> bool {
        self.was_refused
    }

    /// Whether bytes in order found no room since this was asked for the last time: somebody has to give some back.
    pub fn take_refusal(&mut self) -> bool {
        core::mem::take(&mut self.was_refused)
    }

    /// Memory that nobody holds yet, of [`PAGE_BYTES`]: for a device to receive into.
    pub fn page(&mut self) -> Box<[u8]> {
        self.spare(CLASSES.len() - 1)
    }

    #[inline]
    fn spare(&mut self, class: usize) -> Box<[u8]> {
        let spare = self.spares[class].pop();
        spare.unwrap_or_else(|| vec![0; CLASSES[class].0].into_boxed_slice())
    }

    /// Takes a buffer back.
    #[inline]
    pub(crate) fn give(&mut self, buffer: Buffer) {
        self.release(buffer.bytes.len());
        self.keep(buffer.bytes);
    }

    /// Keeps memory to use it again, if there is little of its size.
    #[inline]
    pub(crate) fn keep(&mut self, bytes: Box<[u8]>) {
        let class = class_of(bytes.len());
        let (size, count) = CLASSES[class];
        let spares = &mut self.spares[class];
        let is_little = (spares.len() + 1) * size <= self.limit_bytes / SPARE_SHARE;
        // Room for all that are kept was reserved.
        if bytes.len() == size && spares.len() < count && is_little {
            spares.push(bytes);
        }
    }

    /// Bytes that can be held beside those that are.
    #[inline]
    pub(crate) fn available(&self, purpose: Purpose) -> usize {
        (self.limit_bytes - self.reserve(purpose)).saturating_sub(self.held_bytes)
    }

    #[inline]
    fn reserve(&self, purpose: Purpose) -> usize {
        match purpose {
            Purpose::First => 0,
            Purpose::InOrder => self.limit_bytes / 16,
            Purpose::OutOfOrder => self.limit_bytes / 8,
            Purpose::Send => self.limit_bytes / 4,
        }
    }

    /// Counts memory from elsewhere; false when the budget is used up.
    #[inline]
    pub(crate) fn hold(&mut self, bytes: usize, purpose: Purpose) -> bool {
        let fits = bytes <= self.available(purpose);
        if fits {
            self.held_bytes += bytes;
        }
        fits
    }

    /// That memory is no longer held.
    pub(crate) fn release(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.held_bytes, "what is released was held");
        self.held_bytes = self.held_bytes.saturating_sub(bytes);
    }
}

/// Bytes that a send buffer holds while memory is short, and when the last of it is given out.
const SHARE_SHORT: u32 = 16 << 10;
const SHARE_LAST: u32 = 2 << 10;

/// What memory is for. The last of it is for data that is received in order, since that is what lets all others
/// be given back in the end: two ends that have filled it with what they want to send would wait for ever. And the last of
/// that is for connections that hold none: peers that have sent much to readers that wait would keep all others from being
/// heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// In order, by a connection that holds nothing that is unread.
    First,
    InOrder,
    OutOfOrder,
    Send,
}

/// A piece of memory, with bytes in the middle of it.
#[derive(Debug)]
pub struct Buffer {
    bytes: Box<[u8]>,
    start: u32,
    end: u32,
}

impl Buffer {
    /// Takes the memory over, of which the bytes in `range` count.
    pub(crate) fn around(bytes: Box<[u8]>, range: Range<usize>) -> Self {
        let end = range.end.min(bytes.len());
        Self { start: range.start.min(end) as u32, end: end as u32, bytes }
    }

    /// The memory, without what is in it.
    pub(crate) fn into_memory(self) -> Box<[u8]> {
        self.bytes
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// What is free behind the bytes.
    #[inline]
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.end as usize..).unwrap_or_default()
    }

    pub(crate) fn room_len(&self) -> usize {
        self.bytes.len() - self.end as usize
    }

    /// So many bytes of the room count from now on.
    #[inline]
    pub(crate) fn filled(&mut self, count: usize) {
        debug_assert!(count <= self.room_len(), "no more than there was room for");
        self.end = (self.end as usize + count).min(self.bytes.len()) as u32;
    }

    /// Copies as much of `bytes` as there is room for.
    #[inline]
    pub(crate) fn append(&mut self, bytes: &[u8]) -> usize {
        let room = self.room();
        let count = room.len().min(bytes.len());
        if let (Some(room), Some(bytes)) = (room.get_mut(..count), bytes.get(..count)) {
            room.copy_from_slice(bytes);
        }
        self.filled(count);
        count
    }

    /// So many bytes at the front are done with. An empty buffer is filled from its start again.
    #[inline]
    pub(crate) fn advance(&mut self, count: usize) {
        self.start = (self.start as usize + count).min(self.end as usize) as u32;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Drops bytes at the end, so that at most so many are left.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.end = (self.start as usize + len).min(self.end as usize) as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_counted_by_their_size_and_used_again() {
        let mut memory = Memory::new(80 << 10);
        let mut buffer = memory.take(1, Purpose::InOrder).unwrap();
        assert_eq!((buffer.capacity(), memory.held_bytes()), (2 << 10, 2 << 10));
        assert_eq!((buffer.append(b"abc"), buffer.bytes()), (3, &b"abc"[..]));
        buffer.advance(1);
        assert_eq!(buffer.bytes_mut(), b"bc");
        memory.give(buffer);
        assert_eq!((memory.held_bytes(), memory.take(9, Purpose::InOrder).unwrap().len()), (0, 0));
    }

    #[test]
    fn an_empty_budget_gives_nothing() {
        let mut memory = Memory::new(2 * PAGE_BYTES);
        let large = memory.take_in_order(1 << 20, true).unwrap();
        assert_eq!(large.capacity(), PAGE_BYTES);
        for capacity in [16 << 10, 16 << 10, 16 << 10] {
            let rest = memory.take_in_order(64 << 10, true).unwrap();
            assert_eq!(rest.capacity(), capacity);
        }
        while memory.take(1, Purpose::InOrder).is_some() {}
        assert!(memory.is_scarce() && !memory.take_refusal());
        assert!(memory.take_in_order(1, false).is_none());
        assert!(memory.take_refusal() && !memory.take_refusal());
        memory.give(large);
        assert!(!memory.is_scarce());
    }

    /// A sixteenth, in small buffers.
    #[test]
    fn the_last_of_it_is_for_who_holds_nothing() {
        let mut memory = Memory::new(640 << 10);
        while memory.take_in_order(2 << 10, false).is_some() {}
        assert_eq!(memory.held_bytes(), 600 << 10);
        assert!(memory.take_refusal());
        for _ in 0..20 {
            assert_eq!(memory.take_in_order(60_000, true).unwrap().capacity(), 2 << 10);
        }
        assert!(!memory.take_refusal());
        assert!(memory.take_in_order(1, true).is_none() && memory.take_refusal());
    }

    #[test]
    fn memory_from_elsewhere_is_used_again_if_it_has_the_size_of_a_page() {
        let mut memory = Memory::new(4 << 20);
        let page = memory.page();
        let place = page.as_ptr();
        memory.keep(page);
        memory.keep(vec![0; PAGE_BYTES - 1].into_boxed_slice());
        let again = memory.page();
        assert_eq!(again.as_ptr(), place);
        assert_eq!((memory.page().len(), memory.held_bytes()), (PAGE_BYTES, 0));
    }

    #[test]
    fn little_is_kept_of_a_small_budget() {
        for (limit_bytes, kept) in [(1 << 20, 0), (16 << 20, 7), (256 << 20, 32)] {
            let mut memory = Memory::new(limit_bytes);
            (0..100).for_each(|_| memory.keep(vec![0; PAGE_BYTES].into_boxed_slice()));
            assert_eq!(memory.spares[2].len(), kept, "{limit_bytes}");
        }
    }

    #[test]
    fn a_buffer_keeps_what_is_cut_out_of_it() {
        let mut buffer = Buffer::around(Box::from(&b"-abcd-"[..]), 1..5);
        buffer.advance(1);
        buffer.truncate(2);
        assert_eq!(buffer.bytes(), b"bc");
        buffer.truncate(9);
        assert_eq!((buffer.bytes(), buffer.room_len()), (&b"bc"[..], 2));
    }

    #[test]
    fn what_is_left_decides_what_may_be_taken_for_what() {
        let mut memory = Memory::new(16_000);
        let purposes = [Purpose::First, Purpose::InOrder, Purpose::OutOfOrder, Purpose::Send];
        assert_eq!(
            purposes.map(|purpose| memory.available(purpose)),
            [16_000, 15_000, 14_000, 12_000]
        );
        assert!(!memory.hold(12_001, Purpose::Send) && memory.held_bytes() == 0);
        assert!(memory.hold(12_000, Purpose::Send) && memory.held_bytes() == 12_000);
        assert_eq!(purposes.map(|purpose| memory.available(purpose)), [4_000, 3_000, 2_000, 0]);
        assert!(
            !memory.hold(2_001, Purpose::OutOfOrder) && memory.hold(2_000, Purpose::OutOfOrder)
        );
        assert!(!memory.hold(1_001, Purpose::InOrder) && memory.hold(1_000, Purpose::InOrder));
        assert!(!memory.hold(1_001, Purpose::First) && memory.hold(1_000, Purpose::First));
        assert_eq!(purposes.map(|purpose| memory.available(purpose)), [0; 4]);
        memory.release(15_999);
        assert_eq!(memory.held_bytes(), 1);
    }

    #[test]
    fn the_less_is_left_the_less_each_may_send() {
        let mut memory = Memory::new(64_000);
        for (held, share, is_short, has_room, is_scarce) in [
            (16_000, 50_000, false, true, false),
            (16_001, 50_000, true, true, false),
            (32_000, 50_000, true, true, false),
            (32_001, 16_384, true, true, false),
            (40_000, 16_384, true, true, false),
            (40_001, 2_048, true, true, false),
            (45_952, 2_048, true, true, false),
            (45_953, 2_048, true, false, false),
            (48_000, 2_048, true, false, false),
            (48_001, 2_048, true, false, true),
        ] {
            assert!(memory.hold(held - memory.held_bytes(), Purpose::First));
            assert_eq!(memory.send_share(50_000), share, "{held}");
            assert_eq!(memory.send_share(1_000), 1_000, "{held}");
            assert_eq!(memory.is_short_for_sending(), is_short, "{held}");
            assert_eq!(memory.has_room_to_send(), has_room, "{held}");
            assert_eq!(memory.is_scarce(), is_scarce, "{held}");
        }
    }

    #[test]
    fn buffers_have_the_size_that_does_and_a_smaller_one_when_that_is_all() {
        let mut memory = Memory::new(1 << 20);
        for (bytes, capacity) in [
            (0, 2_048),
            (1, 2_048),
            (2_048, 2_048),
            (2_049, 16_384),
            (16_384, 16_384),
            (16_385, 65_664),
            (1 << 20, 65_664),
        ] {
            let before = memory.held_bytes();
            let buffer = memory.take(bytes, Purpose::InOrder).unwrap();
            assert_eq!((buffer.capacity(), memory.held_bytes() - before), (capacity, capacity));
            assert_eq!((buffer.len(), buffer.room_len()), (0, capacity));
        }
        let mut memory = Memory::new(80_000);
        assert_eq!(memory.take(60_000, Purpose::Send).unwrap().capacity(), 16_384);
        assert_eq!(memory.held_bytes(), 16_384);
        assert_eq!(memory.take_in_order(60_000, false).unwrap().capacity(), 16_384);
        assert!(memory.hold(40_000, Purpose::InOrder) && !memory.was_refused());
        assert_eq!(memory.take_in_order(60_000, false).unwrap().capacity(), 2_048);
        assert!(memory.take_in_order(60_000, false).is_none() && memory.was_refused());
        assert!(memory.was_refused() && memory.take_refusal() && !memory.was_refused());
    }

    #[test]
    fn memory_is_kept_up_to_a_number_of_each_size_and_a_part_of_the_budget() {
        for (limit_bytes, kept) in [(64 << 20, [128, 16, 31]), (1 << 20, [16, 2, 0])] {
            let mut memory = Memory::new(limit_bytes);
            for (class, bytes) in [2 << 10, 16 << 10, PAGE_BYTES].into_iter().enumerate() {
                for _ in 0..150 {
                    memory.keep(vec![0; bytes].into_boxed_slice());
                    memory.keep(vec![0; bytes - 1].into_boxed_slice());
                }
                assert_eq!(memory.spares[class].len(), kept[class], "{bytes} of {limit_bytes}");
            }
            assert_eq!(memory.held_bytes(), 0);
        }
    }

    #[test]
    fn a_buffer_takes_no_more_than_it_has_room_for() {
        let mut buffer = Buffer::around(Box::from(&b"abcdef"[..]), 2..4);
        assert_eq!((buffer.len(), buffer.bytes(), buffer.room_len()), (2, &b"cd"[..], 2));
        assert_eq!((buffer.append(b"xyz"), buffer.bytes()), (2, &b"cdxy"[..]));
        assert_eq!((buffer.append(b"z"), buffer.room_len()), (0, 0));
        buffer.advance(3);
        assert_eq!((buffer.bytes(), buffer.room_len()), (&b"y"[..], 0));
        // What is done with whole is filled from its start again.
        buffer.advance(1);
        assert_eq!((buffer.len(), buffer.room_len(), buffer.capacity()), (0, 6, 6));
        buffer.room()[..2].copy_from_slice(b"12");
        buffer.filled(2);
        assert_eq!(buffer.bytes(), b"12");
        assert_eq!(&buffer.into_memory()[..], b"12cdxy");
        for (range, bytes) in [(1..9, &b"bc"[..]), (4..9, b""), (3..3, b"")] {
            assert_eq!(Buffer::around(Box::from(&b"abc"[..]), range).bytes(), bytes);
        }
    }
}
