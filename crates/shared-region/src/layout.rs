//! Layout of version 1: where everything is. Words are little-endian, of 32 bits; offsets are in bytes from the region's
//! first.
//!
//! | from | what |
//! |---|---|
//! | 0 | the signature: `AQ` in the upper half, the version, and the base-two logarithm of a ring's bytes |
//! | 4 KiB | [`PEERS`] peers of [`PEER_BYTES`] |
//! | 8 KiB | [`NAMES`] names of [`NAME_BYTES`] |
//! | 16 KiB | [`SLOTS_MAX`] slots' entries of [`SLOT_BYTES`] |
//! | 32 KiB | the slots' memory: a control page and two rings each |

use shared_ring::Geometry;

pub(crate) const SIGNATURE: usize = 0;
/// What is in the signature besides the rings' order.
const MAGIC: u32 = 0x4151_0100;
const ORDER_MASK: u32 = 0xff;

pub(crate) const PEERS: usize = 64;
const PEERS_AT: usize = 4 << 10;
const PEER_BYTES: usize = 64;

pub(crate) const NAMES: usize = 64;
const NAMES_AT: usize = 8 << 10;
const NAME_BYTES: usize = 128;

pub(crate) const SLOTS_MAX: usize = 128;
const SLOTS_AT: usize = 16 << 10;
const SLOT_BYTES: usize = 128;

const MEMORY_AT: usize = 32 << 10;

/// So many slots have room before rings are as large as they may be, and so large are rings before there are more slots.
const SLOTS_FIRST: usize = 16;
const RING_BYTES_FIRST: usize = 64 << 10;

/// Bytes of the longest name: that of a path, as `shm:` takes it.
pub(crate) const NAME_BYTES_MAX: usize = 107;

/// Places in a peer's entry.
pub(crate) mod peer {
    /// The number of its incarnation; zero of nobody.
    pub(crate) const OWNER: usize = 0;
    /// By which it is rung at.
    pub(crate) const DEVICE: usize = 4;
    /// Questions whether it is there, and the last of them that it answered.
    pub(crate) const ASKED: usize = 8;
    pub(crate) const ANSWERED: usize = 12;
    /// A bit for each slot in which somebody did something for it.
    pub(crate) const NEWS: usize = 16;
    pub(crate) const NEWS_BYTES: usize = super::SLOTS_MAX / 8;
}

/// Places in a name's entry.
pub(crate) mod name {
    /// Who listens; zero is nobody.
    pub(crate) const OWNER: usize = 0;
    /// Bytes of the name, which follow; zero until they are there.
    pub(crate) const TEXT: usize = 4;
}

/// Places in a slot's entry.
pub(crate) mod slot {
    /// Who connected; zero of a slot that is free, unless a server is in it still.
    pub(crate) const CLIENT: usize = 0;
    /// Who is connected to.
    pub(crate) const SERVER: usize = 4;
    /// One of the numbers below.
    pub(crate) const STATE: usize = 8;
    /// Bytes of the name that is asked for, and the name.
    pub(crate) const TEXT: usize = 12;

    /// The server is asked.
    pub(crate) const ASKED: u32 = 1;
    /// It has a flow.
    pub(crate) const ACCEPTED: u32 = 2;
    /// It has none.
    pub(crate) const REFUSED: u32 = 3;
}

/// Why a region cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadRegion {
    /// Another version, or something else.
    Unknown(u32),
    /// There is not room for a slot.
    TooSmall,
}

impl core::fmt::Display for BadRegion {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unknown(word) => {
                write!(f, "it begins with {word:#010x}: another use, or another version")
            }
            Self::TooSmall => f.write_str("it has no room for two rings"),
        }
    }
}

/// A region's sizes, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    signature: u32,
    geometry: Geometry,
    pub(crate) slots: usize,
}

impl Layout {
    /// Of a region of so many bytes, for rings of at most `ring_bytes`: of less where there is no room for sixteen slots, down to
    /// 64 KiB.
    pub(crate) fn signature(ring_bytes: usize, bytes: usize) -> u32 {
        let each = bytes.saturating_sub(MEMORY_AT) / SLOTS_FIRST;
        let ring = |bytes: usize| Geometry::within(bytes).left().len();
        let mut ring_bytes = ring(ring_bytes);
        while ring_bytes > RING_BYTES_FIRST && Geometry::within(ring_bytes).bytes() > each {
            ring_bytes = ring(ring_bytes / 2);
        }
        MAGIC | ring_bytes.ilog2()
    }

    /// Of a region of so many bytes that begins with this word.
    pub(crate) fn new(signature: u32, bytes: usize) -> Result<Self, BadRegion> {
        let order = (signature & ORDER_MASK) as u16;
        let geometry = Geometry::new(order, order);
        let geometry = geometry.ok().filter(|_| signature & !ORDER_MASK == MAGIC);
        let geometry = geometry.ok_or(BadRegion::Unknown(signature))?;
        let slots = bytes.saturating_sub(MEMORY_AT) / geometry.bytes();
        match slots.min(SLOTS_MAX) {
            0 => Err(BadRegion::TooSmall),
            slots => Ok(Self { signature, geometry, slots }),
        }
    }

    pub(crate) fn word(&self) -> u32 {
        self.signature
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Where a slot's memory is.
    pub(crate) fn memory(&self, slot: usize) -> usize {
        MEMORY_AT + slot * self.geometry.bytes()
    }
}

/// Where a peer's entry is.
pub(crate) fn peer_at(index: usize) -> usize {
    PEERS_AT + index * PEER_BYTES
}

/// Where a name's entry is.
pub(crate) fn name_at(index: usize) -> usize {
    NAMES_AT + index * NAME_BYTES
}

/// Where a slot's entry is.
pub(crate) fn slot_at(index: usize) -> usize {
    SLOTS_AT + index * SLOT_BYTES
}

const _: () = {
    assert!(PEERS_AT + PEERS * PEER_BYTES <= NAMES_AT);
    assert!(NAMES_AT + NAMES * NAME_BYTES <= SLOTS_AT);
    assert!(SLOTS_AT + SLOTS_MAX * SLOT_BYTES <= MEMORY_AT);
    assert!(peer::NEWS + peer::NEWS_BYTES <= PEER_BYTES);
    assert!(name::TEXT + 4 + NAME_BYTES_MAX <= NAME_BYTES);
    assert!(slot::TEXT + 4 + NAME_BYTES_MAX <= SLOT_BYTES);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_as_many_slots_as_there_is_room_for() {
        let signature = Layout::signature(4096, 1 << 20);
        assert_eq!(signature, 0x4151_010c);
        let slots = |bytes| Layout::new(signature, bytes).map(|layout| layout.slots);
        let one = (32 << 10) + 3 * 4096;
        assert_eq!(slots(one - 1), Err(BadRegion::TooSmall));
        assert_eq!(slots(0), Err(BadRegion::TooSmall));
        assert_eq!((slots(one), slots(one + 3 * 4096 - 1)), (Ok(1), Ok(1)));
        assert_eq!(slots(one + 3 * 4096), Ok(2));
        assert_eq!(slots(1 << 30), Ok(128));
        let layout = Layout::new(signature, one).unwrap();
        assert_eq!((layout.memory(0), layout.memory(1)), (32 << 10, one));
    }

    #[test]
    fn a_small_region_has_smaller_rings() {
        let made = |mebibytes: usize| {
            let bytes = mebibytes << 20;
            let layout = Layout::new(Layout::signature(1 << 20, bytes), bytes).unwrap();
            (layout.geometry().left().len() >> 10, layout.slots)
        };
        assert_eq!(
            [1, 2, 8, 16, 64, 1024].map(made),
            [(64, 7), (64, 15), (128, 31), (256, 31), (1024, 31), (1024, 128)]
        );
    }

    #[test]
    fn what_is_no_region_of_this_version_is_told_from_one() {
        for word in [0, 0x4151_020c, 0x4151_0100, 0x4151_010b, 0x4151_0115, u32::MAX] {
            assert_eq!(Layout::new(word, 1 << 30), Err(BadRegion::Unknown(word)));
        }
        assert!(Layout::new(0x4151_0114, 1 << 30).is_ok());
    }
}
