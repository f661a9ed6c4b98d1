//! Requests and responses as the ring has them (Xen, public/io/blkif.h, in the layout of `x86_64-abi`).

use super::RequestError;
use crate::memory::PAGE_BYTES;

/// What the protocol counts in, whatever a disk's blocks are.
pub const SECTOR_BYTES: usize = 512;
/// Pages that a request itself names (`BLKIF_MAX_SEGMENTS_PER_REQUEST`); more are named in a page of their own.
pub const DIRECT_PAGES_MAX: usize = 11;

/// 112 bytes: a header of 24, and 11 segments.
pub(super) const REQUEST_WORDS: usize = HEADER_WORDS + DIRECT_PAGES_MAX * SEGMENT_WORDS;
/// As far as there is something in it.
pub(super) const RESPONSE_WORDS: usize = 3;
const HEADER_WORDS: usize = 6;
const SEGMENT_WORDS: usize = 2;
/// Segments that a page lists.
pub(super) const LIST_SEGMENTS: usize = PAGE_BYTES / (4 * SEGMENT_WORDS);

const READ: u8 = 0;
const WRITE: u8 = 1;
const WRITE_BARRIER: u8 = 2;
const FLUSH_DISKCACHE: u8 = 3;
const INDIRECT: u8 = 6;

/// What a disk is asked for. Data is whole blocks of the disk, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// So many bytes from a sector on.
    Read {
        /// The first sector.
        sector: u64,
        /// How much.
        bytes: usize,
    },
    /// Bytes to be written from a sector on.
    Write {
        /// The first sector.
        sector: u64,
        /// What.
        data: &'a [u8],
    },
    /// What was written before is to outlive a loss of power.
    Flush,
    /// The same, for backends that know no other: a barrier with nothing to write.
    Barrier,
}

/// A page of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Its grant.
    pub(super) reference: u32,
    /// How many sectors of it, from its first on.
    pub(super) sectors: usize,
}

impl Segment {
    fn words(self) -> [u32; SEGMENT_WORDS] {
        let (first, last) = (0, self.sectors as u32 - 1);
        [self.reference, first | last << 8]
    }
}

impl Request<'_> {
    /// How much data goes with it.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Read { bytes, .. } => *bytes,
            Self::Write { data, .. } => data.len(),
            Self::Flush | Self::Barrier => 0,
        }
    }

    pub(super) fn is_read(&self) -> bool {
        matches!(self, Self::Read { .. })
    }

    /// By what the backend calls it, also in its answer.
    pub(super) fn operation(&self) -> u8 {
        match self {
            Self::Read { .. } => READ,
            Self::Write { .. } => WRITE,
            Self::Flush => FLUSH_DISKCACHE,
            Self::Barrier => WRITE_BARRIER,
        }
    }

    /// `blkif_request`: with the pages in it.
    pub(super) fn direct(
        &self,
        device: u16,
        id: u64,
        segments: &[Segment],
    ) -> [u32; REQUEST_WORDS] {
        let first =
            u32::from(self.operation()) | (segments.len() as u32) << 8 | u32::from(device) << 16;
        let mut words = self.header(first, id);
        let places = words[HEADER_WORDS..].chunks_exact_mut(SEGMENT_WORDS);
        for (place, segment) in places.zip(segments) {
            place.copy_from_slice(&segment.words());
        }
        words
    }

    /// `blkif_request_indirect`: with the pages in a list.
    pub(super) fn indirect(
        &self,
        device: u16,
        id: u64,
        segments: usize,
        list: u32,
    ) -> [u32; REQUEST_WORDS] {
        let first =
            u32::from(INDIRECT) | u32::from(self.operation()) << 8 | (segments as u32) << 16;
        let mut words = self.header(first, id);
        words[HEADER_WORDS..HEADER_WORDS + 2].copy_from_slice(&[u32::from(device), list]);
        words
    }

    fn header(&self, first: u32, id: u64) -> [u32; REQUEST_WORDS] {
        let sector = match self {
            Self::Read { sector, .. } | Self::Write { sector, .. } => *sector,
            Self::Flush | Self::Barrier => 0,
        };
        let mut words = [0; REQUEST_WORDS];
        words[0] = first;
        for (at, value) in [(2, id), (4, sector)] {
            words[at..at + 2].copy_from_slice(&[value as u32, (value >> 32) as u32]);
        }
        words
    }
}

/// Writes the list of a request's pages.
pub(super) fn write_list(page: &mut [u8], segments: &[Segment]) {
    for (place, segment) in page.chunks_exact_mut(4 * SEGMENT_WORDS).zip(segments) {
        let [reference, sectors] = segment.words().map(u32::to_le_bytes);
        place[..4].copy_from_slice(&reference);
        place[4..].copy_from_slice(&sectors);
    }
}

/// `blkif_response`, as the backend wrote it.
pub(super) struct Response {
    pub(super) id: u64,
    pub(super) operation: u8,
    status: i16,
}

impl Response {
    pub(super) fn new([low, high, last]: [u32; RESPONSE_WORDS]) -> Self {
        Self {
            id: u64::from(high) << 32 | u64::from(low),
            operation: last as u8,
            status: (last >> 16) as i16,
        }
    }

    /// What it says came of the request; a status that is not known is no success.
    pub(super) fn outcome(&self) -> Result<(), RequestError> {
        const OKAY: i16 = 0;
        const NOT_SUPPORTED: i16 = -2;
        match self.status {
            OKAY => Ok(()),
            NOT_SUPPORTED => Err(RequestError::Unsupported),
            _ => Err(RequestError::Failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: u64 = 0x0807_0605_0403_0201;
    const SECTOR: u64 = 0x1817_1615_1413_1211;

    /// public/io/blkif.h, `struct blkif_request`: operation, segments, handle, id, sector, then 8 bytes for each segment.
    #[test]
    fn a_request_names_its_pages_or_the_list_of_them() {
        let read = Request::Read { sector: SECTOR, bytes: 4096 + 512 };
        let segments = [(0x3231_3029, 8), (0x4241_4039, 1)];
        let segments = segments.map(|(reference, sectors)| Segment { reference, sectors });
        let words = read.direct(0xca01, ID, &segments);
        let expected = [
            0xca01_0200,
            0,
            0x0403_0201,
            0x0807_0605,
            0x1413_1211,
            0x1817_1615,
            0x3231_3029,
            0x700,
        ];
        assert_eq!(words[..8], expected);
        assert_eq!((words[8], words[9], words[10..].iter().max()), (0x4241_4039, 0, Some(&0)));
        let write = Request::Write { sector: SECTOR, data: &[0; 1024] };
        let words = write.indirect(0xca01, ID, 0x102, 0x3231_3029);
        let expected = [0x0102_0106, 0, 0x0403_0201, 0x0807_0605, 0x1413_1211, 0x1817_1615, 0xca01];
        assert_eq!((&words[..7], words[7]), (&expected[..], 0x3231_3029));
        let mut page = [0xaa; 24];
        write_list(&mut page, &segments);
        assert_eq!(page[..8], [0x29, 0x30, 0x31, 0x32, 0, 7, 0, 0]);
        assert_eq!(page[8..16], [0x39, 0x40, 0x41, 0x42, 0, 0, 0, 0]);
        assert_eq!(page[16..], [0xaa; 8]);
        let kinds = [read, write, Request::Flush, Request::Barrier];
        assert_eq!(kinds.map(|one| one.operation()), [0, 1, 3, 2]);
        assert_eq!(kinds.map(|one| one.bytes()), [4608, 1024, 0, 0]);
        assert_eq!(kinds.map(|one| one.is_read()), [true, false, false, false]);
        assert_eq!(Request::Flush.direct(1, 2, &[])[..6], [0x0001_0003, 0, 2, 0, 0, 0]);
    }

    #[test]
    fn an_answer_is_a_success_only_where_it_says_so() {
        for (last, operation, outcome) in [
            (1, 1, Ok(())),
            (0xfffe_0003, 3, Err(RequestError::Unsupported)),
            (0xffff_0000, 0, Err(RequestError::Failed)),
            (0x0002_0000, 0, Err(RequestError::Failed)),
            (0x0001_0100, 0, Err(RequestError::Failed)),
        ] {
            let response = Response::new([0x0403_0201, 0x0807_0605, last]);
            assert_eq!(
                (response.id, response.operation, response.outcome()),
                (ID, operation, outcome)
            );
        }
    }
}
