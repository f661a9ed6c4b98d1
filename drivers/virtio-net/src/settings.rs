//! Settings of the driver: sizes of its rings and buffers.

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
    /// For a machine with that much RAM, in bytes: from 64 KiB for the smallest, where long frames do
    /// not fit, over 256 KiB from 6 MiB on, to 1.5 MiB from 64 MiB on.
    pub fn for_ram(bytes: u64) -> Self {
        let (buffers, receive_buffer_bytes, transmit_bytes) = match bytes >> 20 {
            0..=5 => (16, 2048, 32 << 10),
            6..=16 => (64, 2048, LONG_FRAMES_BYTES),
            17..=63 => (128, 2048, 2 * LONG_FRAMES_BYTES),
            _ => (256, 4096, 4 * LONG_FRAMES_BYTES),
        };
        Self {
            receive_buffers: buffers,
            receive_buffer_bytes,
            transmit_frames: buffers,
            transmit_bytes,
        }
    }
}

/// Room for two of the longest frames with what is lost between them.
const LONG_FRAMES_BYTES: usize = 132 << 10;

impl Default for Settings {
    fn default() -> Self {
        Self::for_ram(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_as_large_as_the_machine() {
        for (mib, expected) in [
            (0, (16, 2048, 16, 32_768)),
            (5, (16, 2048, 16, 32_768)),
            (6, (64, 2048, 64, 135_168)),
            (16, (64, 2048, 64, 135_168)),
            (17, (128, 2048, 128, 270_336)),
            (63, (128, 2048, 128, 270_336)),
            (64, (256, 4096, 256, 540_672)),
            (1 << 20, (256, 4096, 256, 540_672)),
        ] {
            let Settings { receive_buffers, receive_buffer_bytes, transmit_frames, transmit_bytes } =
                Settings::for_ram((mib << 20) + 1);
            let sizes = (receive_buffers, receive_buffer_bytes, transmit_frames, transmit_bytes);
            assert_eq!(sizes, expected, "{mib} MiB");
        }
    }
}
