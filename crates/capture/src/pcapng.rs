//! Blocks of a capture file (draft-ietf-opsawg-pcapng): a section, its interfaces, then packets and statistics as they come. All
//! numbers are little-endian, times are nanoseconds, frames are Ethernet's.

use alloc::vec::Vec;

/// A frame that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The number of its interface, in the order in which [`interface`] wrote them.
    pub interface: u32,
    /// When, since 1970-01-01 00:00 UTC.
    pub unix_nanoseconds: u64,
    /// It was sent, not received.
    pub is_outbound: bool,
    /// Its length, of which less may be kept.
    pub frame_bytes: usize,
    /// Frames since the last packet of the file that were wanted, and for which there was no room.
    pub dropped_before: u64,
}

/// How many frames an interface had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// The number of the interface.
    pub interface: u32,
    /// When, since 1970-01-01 00:00 UTC.
    pub unix_nanoseconds: u64,
    /// Frames that were looked at.
    pub seen: u64,
    /// Those that the filter wanted.
    pub wanted: u64,
    /// Those of them that are not in the file.
    pub dropped: u64,
}

/// Begins a file; `application` is what made it.
pub fn section(out: &mut Vec<u8>, application: &str) {
    const BYTE_ORDER: u32 = 0x1a2b_3c4d;
    const APPLICATION: u16 = 4;
    block(out, 0x0a0d_0d0a, |out| {
        out.extend(BYTE_ORDER.to_le_bytes());
        out.extend([1, 0, 0, 0]);
        // The section's length is not known.
        out.extend(u64::MAX.to_le_bytes());
        option(out, APPLICATION, application.as_bytes());
        end_of_options(out);
    });
}

/// Names an interface, of whose frames at most so many bytes are kept.
pub fn interface(out: &mut Vec<u8>, name: &str, snap_bytes: u32) {
    const ETHERNET: u16 = 1;
    const NAME: u16 = 2;
    const RESOLUTION: u16 = 9;
    block(out, 1, |out| {
        out.extend(ETHERNET.to_le_bytes());
        out.extend([0; 2]);
        out.extend(snap_bytes.to_le_bytes());
        option(out, NAME, name.as_bytes());
        // Ten to the minus ninth.
        option(out, RESOLUTION, &[9]);
        end_of_options(out);
    });
}

/// Adds a frame, of which `kept` are the first bytes, in parts.
pub fn packet(out: &mut Vec<u8>, packet: &Packet, kept: &[&[u8]]) {
    const FLAGS: u16 = 2;
    const DROPPED: u16 = 4;
    block(out, 6, |out| {
        out.extend(packet.interface.to_le_bytes());
        time(out, packet.unix_nanoseconds);
        out.extend((kept.iter().map(|part| part.len()).sum::<usize>() as u32).to_le_bytes());
        out.extend((packet.frame_bytes as u32).to_le_bytes());
        padded(out, kept);
        let direction = if packet.is_outbound { 2_u32 } else { 1 };
        option(out, FLAGS, &direction.to_le_bytes());
        if packet.dropped_before > 0 {
            option(out, DROPPED, &packet.dropped_before.to_le_bytes());
        }
        end_of_options(out);
    });
}

/// Tells how many frames there were.
pub fn statistics(out: &mut Vec<u8>, statistics: &Statistics) {
    const RECEIVED: u16 = 4;
    const ACCEPTED: u16 = 6;
    const DROPPED: u16 = 7;
    block(out, 5, |out| {
        out.extend(statistics.interface.to_le_bytes());
        time(out, statistics.unix_nanoseconds);
        option(out, RECEIVED, &statistics.seen.to_le_bytes());
        option(out, ACCEPTED, &statistics.wanted.to_le_bytes());
        option(out, DROPPED, &statistics.dropped.to_le_bytes());
        end_of_options(out);
    });
}

/// A block: kind, length, content, length.
fn block(out: &mut Vec<u8>, kind: u32, content: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(kind.to_le_bytes());
    out.extend([0; 4]);
    content(out);
    let length = ((out.len() + 4 - start) as u32).to_le_bytes();
    if let Some(place) = out.get_mut(start + 4..start + 8) {
        place.copy_from_slice(&length);
    }
    out.extend(length);
}

/// The higher half comes first.
fn time(out: &mut Vec<u8>, unix_nanoseconds: u64) {
    out.extend(((unix_nanoseconds >> 32) as u32).to_le_bytes());
    out.extend((unix_nanoseconds as u32).to_le_bytes());
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..value.len().min(u16::MAX.into())).unwrap_or_default();
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    padded(out, &[value]);
}

fn end_of_options(out: &mut Vec<u8>) {
    out.extend([0; 4]);
}

/// To the next multiple of four.
fn padded(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let start = out.len();
    parts.iter().for_each(|part| out.extend_from_slice(part));
    let length = out.len() - start;
    out.resize(start + length.next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    /// Kinds and contents of the blocks of a file.
    fn blocks(mut file: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let mut found = Vec::new();
        while !file.is_empty() {
            let length = u32::from_le_bytes(file[4..8].try_into().unwrap()) as usize;
            assert!(length.is_multiple_of(4) && file[length - 4..length] == file[4..8]);
            let kind = u32::from_le_bytes(file[..4].try_into().unwrap());
            found.push((kind, file[8..length - 4].to_vec()));
            file = &file[length..];
        }
        found
    }

    #[test]
    fn a_file_is_a_section_an_interface_and_packets() {
        let mut file = Vec::new();
        section(&mut file, "test");
        interface(&mut file, "net0", 65_535);
        let seen = Packet {
            interface: 0,
            unix_nanoseconds: 0x0102_0304_0506_0708,
            is_outbound: true,
            frame_bytes: 1514,
            dropped_before: 7,
        };
        for length in 0..5_u8 {
            let kept: Vec<u8> = (0..length).collect();
            let (head, tail) = kept.split_at(kept.len() / 2);
            packet(&mut file, &seen, &[head, tail]);
        }
        let counts =
            Statistics { interface: 0, unix_nanoseconds: 1, seen: 9, wanted: 8, dropped: 7 };
        statistics(&mut file, &counts);
        let blocks = blocks(&file);
        let kinds: Vec<_> = blocks.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [0x0a0d_0d0a, 1, 6, 6, 6, 6, 6, 5]);
        assert_eq!(blocks[0].1[..4], [0x4d, 0x3c, 0x2b, 0x1a]);
        let third = &blocks[5].1;
        assert_eq!(third[4..12], [4, 3, 2, 1, 8, 7, 6, 5]);
        assert_eq!(third[12..20], [3, 0, 0, 0, 0xea, 5, 0, 0]);
        assert_eq!(third[20..24], [0, 1, 2, 0]);
        assert_eq!(third[24..32], [2, 0, 4, 0, 2, 0, 0, 0]);
        assert_eq!(third[32..44], [4, 0, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(third[44..], [0; 4]);
        assert_eq!(blocks[7].1[12..28], [4, 0, 8, 0, 9, 0, 0, 0, 0, 0, 0, 0, 6, 0, 8, 0]);
    }

    #[test]
    fn nothing_is_said_of_drops_that_were_none() {
        let mut file = vec![];
        let seen = Packet {
            interface: 1,
            unix_nanoseconds: 0,
            is_outbound: false,
            frame_bytes: 60,
            dropped_before: 0,
        };
        packet(&mut file, &seen, &[]);
        let content = &blocks(&file)[0].1;
        assert_eq!(content[20..], [2, 0, 4, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    }
}
