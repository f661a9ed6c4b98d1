//! What was on the wire, for Wireshark.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

/// Writes frames with their times in the classic format (magic a1b2c3d4, Ethernet).
pub(crate) fn write(path: &Path, frames: &[(Duration, Vec<u8>)]) -> std::io::Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 0x0004_0000, 1] {
        file.write_all(&word.to_le_bytes())?;
    }
    for (at, frame) in frames {
        let length = frame.len() as u32;
        for word in [at.as_secs() as u32, at.subsec_micros(), length, length] {
            file.write_all(&word.to_le_bytes())?;
        }
        file.write_all(frame)?;
    }
    file.flush()
}
