//! What goes before each frame (virtio 1.2, 5.1.6).

/// The frame's checksum must be completed.
pub(crate) const NEEDS_CHECKSUM: u8 = 1;
/// The device has checked the frame's checksum.
pub(crate) const CHECKSUM_VALID: u8 = 2;

/// How a frame is to be cut into segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Segmentation {
    #[default]
    None = 0,
    Tcp4 = 1,
    Tcp6 = 4,
}

/// A header of a frame to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) flags: u8,
    pub(crate) segmentation: Segmentation,
    /// Bytes of headers that each segment repeats.
    pub(crate) headers_bytes: u16,
    /// Payload bytes in each segment.
    pub(crate) segment_bytes: u16,
    /// Where the checksummed part starts in the frame.
    pub(crate) checksum_start: u16,
    /// Where the checksum is in that part.
    pub(crate) checksum_offset: u16,
}

impl Header {
    /// Its length with all features that concern us, in bytes.
    pub(crate) const BYTES: usize = 12;

    pub(crate) fn emit(self) -> [u8; Self::BYTES] {
        let first = u64::from(self.flags)
            | (self.segmentation as u64) << 8
            | u64::from(self.headers_bytes) << 16
            | u64::from(self.segment_bytes) << 32
            | u64::from(self.checksum_start) << 48;
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&first.to_le_bytes());
        bytes[8..].copy_from_slice(&u32::from(self.checksum_offset).to_le_bytes());
        bytes
    }
}

/// What matters in the header of a received frame: its flags, and over how many buffers the frame
/// is spread.
pub(crate) fn parse(header: &[u8; Header::BYTES]) -> (u8, u16) {
    (header[0], u16::from_le_bytes([header[10], header[11]]))
}
