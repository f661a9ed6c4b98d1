//! Sequence numbers: a circle of 2^32, compared by the shorter way round (RFC 9293 section 3.4).

use core::ops::{Add, Sub};

/// A sequence or acknowledgement number.
///
/// `a.is_before(b)` is the RFC's `a < b`; numbers that are compared must be less than 2^31 apart, which
/// windows of at most 2^30 bytes see to (RFC 7323 section 2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeqNumber(pub u32);

impl SeqNumber {
    /// This number comes earlier than `other`.
    #[inline]
    pub const fn is_before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// This number comes later than `other`.
    #[inline]
    pub const fn is_after(self, other: Self) -> bool {
        other.is_before(self)
    }

    /// This number is `other` or comes later.
    #[inline]
    pub const fn is_at_or_after(self, other: Self) -> bool {
        !self.is_before(other)
    }

    /// This number is in `[start, start + len)`.
    #[inline]
    pub const fn is_in(self, start: Self, len: u32) -> bool {
        self.0.wrapping_sub(start.0) < len
    }

    /// Octets from `earlier` to here, which must not be later.
    #[inline]
    pub const fn distance_from(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// The later of both.
    #[must_use]
    pub const fn or_later(self, other: Self) -> Self {
        if other.is_after(self) { other } else { self }
    }

    /// The earlier of both.
    #[must_use]
    pub const fn or_earlier(self, other: Self) -> Self {
        if other.is_before(self) { other } else { self }
    }
}

impl Add<u32> for SeqNumber {
    type Output = Self;

    #[inline]
    fn add(self, octets: u32) -> Self {
        Self(self.0.wrapping_add(octets))
    }
}

impl Sub<u32> for SeqNumber {
    type Output = Self;

    #[inline]
    fn sub(self, octets: u32) -> Self {
        Self(self.0.wrapping_sub(octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_9293_3_4_numbers_wrap() {
        let (old, new) = (SeqNumber(u32::MAX - 1), SeqNumber(3));
        assert!(old.is_before(new) && new.is_after(old) && !new.is_before(old));
        assert!(old.is_at_or_after(old) && !old.is_before(old));
        assert_eq!((new.distance_from(old), old + 5, new - 5), (5, new, old));
        assert!(new.is_in(old, 6) && !new.is_in(old, 5));
        assert_eq!((old.or_later(new), old.or_earlier(new)), (new, old));
    }

    #[test]
    fn rfc_9293_3_4_numbers_are_compared_by_the_shorter_way() {
        let here = SeqNumber(0xffff_fff0);
        for (ahead, is_after, is_before) in [
            (0, false, false),
            (1, true, false),
            (0x7fff_ffff, true, false),
            (u32::MAX, false, true),
        ] {
            let there = here + ahead;
            assert_eq!((there.is_after(here), there.is_before(here)), (is_after, is_before));
            assert_eq!((here.is_before(there), here.is_after(there)), (is_after, is_before));
            assert_eq!(
                (there.is_at_or_after(here), there.distance_from(here)),
                (!is_before, ahead)
            );
            let (later, earlier) = if is_before { (here, there) } else { (there, here) };
            assert_eq!((there.or_later(here), here.or_later(there)), (later, later));
            assert_eq!((there.or_earlier(here), here.or_earlier(there)), (earlier, earlier));
            assert_eq!(there - ahead, here);
        }
        for (offset, len, is_in) in
            [(0, 0, false), (0, 1, true), (1, 1, false), (31, 32, true), (32, 32, false)]
        {
            assert_eq!((here + offset).is_in(here, len), is_in, "{offset} in {len}");
        }
        assert!(!(here - 1).is_in(here, 0x7fff_ffff));
    }
}
