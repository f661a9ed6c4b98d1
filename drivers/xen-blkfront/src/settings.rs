//! Settings of the driver: how much is asked for at a time.

/// How large the driver's memory is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Requests that the backend has at a time: up to 32 in a ring of one page, more where it takes more pages.
    pub requests_max: usize,
    /// The longest of them, at most 2 MiB: each has so much memory of its own. Without the backend's indirect segments it is
    /// 44 KiB at most.
    pub request_bytes_max: usize,
}

impl Settings {
    /// What suits a machine with so much memory: depth enough for a queue on the host's side to be worth it, in at most a
    /// sixteenth of the memory.
    pub fn for_ram(ram_bytes: u64) -> Self {
        let (requests_max, request_bytes_max) = match ram_bytes >> 20 {
            0..=15 => (8, 16 << 10),
            16..=63 => (16, 16 << 10),
            64..=255 => (16, 64 << 10),
            _ => (64, 64 << 10),
        };
        Self { requests_max, request_bytes_max }
    }
}
