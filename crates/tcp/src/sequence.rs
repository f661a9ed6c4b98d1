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
}
