//! Geometry: where the rings lie, and which sizes can be.

use crate::control::{GRANTS, PAGE_BYTES};
use core::fmt;
use core::ops::Range;

/// Where the two rings lie. The left one is written by the client, the right one by the server.
///
/// A ring of order 10 or 11 lies in the control page, at the offset that is its size; larger ones are pages of their own,
/// which follow the control page: the left ring's, then the right one's. Under Xen each of those pages has a grant, and the
/// list of these must fit in front of a ring in the control page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    left_order: u8,
    right_order: u8,
}

/// There can be no such rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadGeometry;

impl fmt::Display for BadGeometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rings are of orders {ORDER_MIN} to {ORDER_MAX}, one of them at most within the control page"
        )
    }
}

impl core::error::Error for BadGeometry {}

/// 1 KiB: less has no place in the layout.
const ORDER_MIN: u8 = 10;
/// 1 MiB, the most of libxenvchan's.
const ORDER_MAX: u8 = 20;
const PAGE_ORDER: u8 = PAGE_BYTES.trailing_zeros() as u8;
const GRANT_BYTES: usize = 4;

impl Geometry {
    /// Rings of these orders, the base-two logarithms of their bytes.
    ///
    /// # Errors
    /// Orders that cannot be, alone or together.
    pub fn new(left_order: u16, right_order: u16) -> Result<Self, BadGeometry> {
        let geometry =
            Self { left_order: checked(left_order)?, right_order: checked(right_order)? };
        if left_order == right_order && geometry.left_order < PAGE_ORDER {
            return Err(BadGeometry);
        }
        let grants_end = geometry.grant_offset(geometry.pages());
        let fits = geometry.in_page_rings().all(|ring| grants_end <= ring.start);
        if fits && grants_end <= PAGE_BYTES { Ok(geometry) } else { Err(BadGeometry) }
    }

    /// The largest rings of one size that so many bytes have room for, or the smallest that there are.
    pub fn within(ring_bytes: usize) -> Self {
        let order = ring_bytes.max(PAGE_BYTES).ilog2().min(ORDER_MAX.into()) as u8;
        Self { left_order: order, right_order: order }
    }

    /// As the control page's word says them.
    pub(crate) fn from_word(word: u32) -> Result<Self, BadGeometry> {
        Self::new(word as u16, (word >> 16) as u16)
    }

    pub(crate) fn to_word(self) -> u32 {
        u32::from(self.left_order) | u32::from(self.right_order) << 16
    }

    /// The left ring, in bytes from the control page's first.
    pub fn left(&self) -> Range<usize> {
        place(self.left_order, PAGE_BYTES)
    }

    /// The right ring.
    pub fn right(&self) -> Range<usize> {
        place(self.right_order, PAGE_BYTES * (1 + own_pages(self.left_order)))
    }

    /// Pages behind the control page.
    pub fn pages(&self) -> usize {
        own_pages(self.left_order) + own_pages(self.right_order)
    }

    /// Bytes of all, the control page included.
    pub fn bytes(&self) -> usize {
        PAGE_BYTES * (1 + self.pages())
    }

    /// Where in the control page the grant of a page stands, counted from that behind it.
    pub fn grant_offset(&self, page: usize) -> usize {
        GRANTS + GRANT_BYTES * page
    }

    fn in_page_rings(&self) -> impl Iterator<Item = Range<usize>> {
        [self.left(), self.right()].into_iter().filter(|ring| ring.start < PAGE_BYTES)
    }
}

fn checked(order: u16) -> Result<u8, BadGeometry> {
    let order = u8::try_from(order).map_err(|_| BadGeometry)?;
    if (ORDER_MIN..=ORDER_MAX).contains(&order) { Ok(order) } else { Err(BadGeometry) }
}

fn own_pages(order: u8) -> usize {
    if order < PAGE_ORDER { 0 } else { 1 << (order - PAGE_ORDER) }
}

fn place(order: u8, behind: usize) -> Range<usize> {
    let bytes = 1_usize << order;
    let start = if order < PAGE_ORDER { bytes } else { behind };
    start..start + bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_lie_where_libxenvchan_has_them() {
        let places = |left, right| {
            let geometry = Geometry::new(left, right).unwrap();
            (geometry.left(), geometry.right(), geometry.bytes())
        };
        assert_eq!(places(10, 11), (1024..2048, 2048..4096, 4096));
        assert_eq!(places(11, 10), (2048..4096, 1024..2048, 4096));
        assert_eq!(places(12, 12), (4096..8192, 8192..12288, 12288));
        assert_eq!(places(11, 13), (2048..4096, 4096..12288, 12288));
        assert_eq!(places(13, 10), (4096..12288, 1024..2048, 12288));
        assert_eq!(places(20, 20).2, (2 << 20) + 4096);
    }

    #[test]
    fn orders_that_cannot_be_are_refused() {
        for (left, right) in [
            (10, 10),
            (11, 11),
            (9, 12),
            (12, 9),
            (21, 12),
            (12, 21),
            (0, 0),
            (268, 12),
            (12, 65535),
        ] {
            assert_eq!(Geometry::new(left, right), Err(BadGeometry), "{left}, {right}");
        }
    }

    #[test]
    fn the_list_of_grants_ends_in_front_of_a_ring_in_the_page() {
        // 128 grants of four bytes are in front of the ring at 1024; 256 are not, but are in front of that at 2048.
        assert!(Geometry::new(10, 19).is_ok());
        assert_eq!(Geometry::new(10, 20), Err(BadGeometry));
        assert!(Geometry::new(20, 11).is_ok());
        let geometry = Geometry::new(20, 20).unwrap();
        assert_eq!(geometry.grant_offset(geometry.pages()), 24 + 4 * 512);
    }

    #[test]
    fn a_word_says_what_the_orders_are() {
        let geometry = Geometry::new(11, 17).unwrap();
        assert_eq!(geometry.to_word(), 0x0011_000B);
        assert_eq!(Geometry::from_word(0x0011_000B), Ok(geometry));
        assert_eq!(Geometry::from_word(0), Err(BadGeometry));
    }

    #[test]
    fn rings_are_as_large_as_there_is_room_for() {
        let left = |bytes| Geometry::within(bytes).left().len();
        assert_eq!(
            [0, 4096, 8191, 8192, 1 << 20, 1 << 30].map(left),
            [4096, 4096, 4096, 8192, 1 << 20, 1 << 20]
        );
    }
}
