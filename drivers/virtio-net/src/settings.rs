//! How much memory a card takes.

/// Sizes of a card's rings. Numbers of buffers become powers of two that the device can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Frames (or pieces of coalesced ones) that can arrive while nobody polls.
    pub receive_buffers: u16,
    /// Bytes in each receive buffer; more where a frame must fit into one.
    pub receive_buffer_bytes: usize,
    /// Frames that can be on their way out.
    pub transmit_frames: u16,
    /// Bytes of memory for frames on their way out. Half of it is the longest frame handed to the
    /// device for segmentation, up to 64 KiB.
    pub transmit_bytes: usize,
}

impl Settings {
    /// For a machine with that much RAM, in bytes: 256 KiB up to 16 MiB of it, 1 MiB from 64 MiB
    /// on. Below 132 KiB for either direction, 64 KiB frames would not fit.
    pub fn for_ram(bytes: u64) -> Self {
        let (buffers, transmit_bytes) = match bytes >> 20 {
            0..=5 => (16, 32 << 10),
            6..=16 => (64, 132 << 10),
            17..=63 => (128, 264 << 10),
            _ => (256, 512 << 10),
        };
        Self {
            receive_buffers: buffers,
            receive_buffer_bytes: 2048,
            transmit_frames: buffers,
            transmit_bytes,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::for_ram(u64::MAX)
    }
}
