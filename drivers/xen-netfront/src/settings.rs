//! Settings of the driver: sizes of its rings.

/// Sizes of an interface's rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Pages that frames can arrive in while nobody polls: a power of two, 32 to 256.
    pub receive_pages: u16,
    /// Frames of up to a page that can be on their way out, at most 64. A page each.
    pub transmit_pages: usize,
    /// Longer frames, for the backend to cut into segments, at most 15. 64 KiB each; with none, no
    /// frames are left to it.
    pub transmit_runs: usize,
}

impl Settings {
    /// For a machine with that much RAM, in bytes: 200 KiB up to 7 MiB of it, 2.2 MiB from 64 MiB
    /// on.
    pub fn for_ram(bytes: u64) -> Self {
        let (receive_pages, transmit_pages, transmit_runs) = match bytes >> 20 {
            0..=6 => (32, 16, 0),
            7..=31 => (64, 32, 3),
            32..=63 => (128, 64, 6),
            _ => (256, 64, 15),
        };
        Self { receive_pages, transmit_pages, transmit_runs }
    }
}

impl Settings {
    /// Whether a frame that spreads over many pages has room to arrive.
    pub(crate) fn scatters(&self) -> bool {
        self.receive_pages >= 32
    }
}

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
            (0, (32, 16, 0)),
            (6, (32, 16, 0)),
            (7, (64, 32, 3)),
            (31, (64, 32, 3)),
            (32, (128, 64, 6)),
            (63, (128, 64, 6)),
            (64, (256, 64, 15)),
            (1 << 20, (256, 64, 15)),
        ] {
            let Settings { receive_pages, transmit_pages, transmit_runs } =
                Settings::for_ram((mib << 20) + 1);
            assert_eq!((receive_pages, transmit_pages, transmit_runs), expected, "{mib} MiB");
        }
    }

    #[test]
    fn a_long_frame_takes_room_in_the_ring() {
        let of = |receive_pages| Settings { receive_pages, ..Settings::default() };
        assert!(!of(16).scatters() && of(32).scatters());
    }
}
