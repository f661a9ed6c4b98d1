//! What goes before each frame (virtio 1.2, 5.1.6).

use crate::Transport;
use core::num::NonZeroU16;

/// The frame's checksum must be completed.
pub const NEEDS_CHECKSUM: u8 = 1;
/// The device has checked the frame's checksum.
pub const CHECKSUM_VALID: u8 = 2;

/// How a frame is to be cut into segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segmentation {
    /// As TCP over IPv4.
    Tcp4 = 1,
    /// As TCP over IPv6.
    Tcp6 = 4,
}

/// A header of a frame to be sent, as the two words that it is in memory: both fit in registers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Header {
    first: u64,
    second: u32,
}

impl Header {
    /// Its length with all features that concern us, in bytes.
    pub const BYTES: usize = 12;

    /// Leaves the checksum of a TCP or UDP packet to the card (5.1.6.2), and its segmentation if told
    /// how long segments are. `frame` is all of its `frame_bytes`, or begins them with its headers.
    pub fn leaving(frame: &mut [u8], frame_bytes: usize, segment: Option<NonZeroU16>) -> Self {
        let Some(transport) = Transport::find_at_start(frame, frame_bytes) else {
            return Self::default();
        };
        let at = transport.start + transport.checksum_offset();
        if let Some(field) = frame.get_mut(at..at + 2) {
            field.copy_from_slice(&transport.pseudo_header_sum());
        }
        let header = Self::with_checksum(transport.start, transport.checksum_offset());
        let Some(segment) = segment.filter(|_| transport.is_tcp) else { return header };
        let tcp_bytes =
            frame.get(transport.start + 12).map_or(20, |byte| usize::from(byte >> 4) * 4);
        let kind = if transport.is_ipv6 { Segmentation::Tcp6 } else { Segmentation::Tcp4 };
        header.cut(kind, transport.start + tcp_bytes, segment.get())
    }

    /// For a frame whose checksum covers what is from `start` on, and goes `offset` bytes behind
    /// that.
    fn with_checksum(start: usize, offset: usize) -> Self {
        let first = u64::from(NEEDS_CHECKSUM) | (start as u64 & 0xffff) << 48;
        Self { first, second: offset as u32 & 0xffff }
    }

    /// Has the frame cut into segments that hold `segment_bytes` of payload each and repeat its
    /// first `headers_bytes`.
    fn cut(self, kind: Segmentation, headers_bytes: usize, segment_bytes: u16) -> Self {
        let headers = (headers_bytes as u64 & 0xffff) << 16;
        let first = self.first | (kind as u64) << 8 | headers | u64::from(segment_bytes) << 32;
        Self { first, ..self }
    }

    /// Its bytes, for a frame that is in one buffer.
    pub fn emit(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.first.to_le_bytes());
        bytes[8..].copy_from_slice(&self.second.to_le_bytes());
        bytes
    }
}

/// What matters in the header of a received frame: its flags, and over how many buffers the frame
/// is spread.
pub fn parse(header: &[u8; Header::BYTES]) -> (u8, u16) {
    (header[0], u16::from_le_bytes([header[10], header[11]]))
}
