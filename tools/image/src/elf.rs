//! What of an ELF file a loader sees (ELF-64 Object File Format, 1.5): its segments, and a file of them again, without
//! sections.

const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const LOAD: u32 = 1;
const NOTE: u32 = 4;

/// A program for a loader.
pub(crate) struct Executable {
    /// The file's header, whose tables are elsewhere in each file.
    header: [u8; HEADER_BYTES],
    pub(crate) segments: Vec<Segment>,
    /// Where the notes are in memory, and how long they are.
    note: (u64, u64),
}

/// What is loaded to one place.
pub(crate) struct Segment {
    pub(crate) flags: u32,
    pub(crate) address: u64,
    pub(crate) bytes: Vec<u8>,
    /// With the zeros behind `bytes`.
    pub(crate) memory_bytes: u64,
}

impl Segment {
    pub(crate) fn read_only(address: u64, bytes: Vec<u8>) -> Self {
        const READ: u32 = 4;
        Self { flags: READ, address, memory_bytes: bytes.len() as u64, bytes }
    }

    pub(crate) fn end(&self) -> u64 {
        self.address + self.bytes.len() as u64
    }
}

impl Executable {
    /// `None` if it is no such file, or nothing in it is loaded.
    pub(crate) fn parse(file: &[u8]) -> Option<Self> {
        let header = *file.first_chunk::<HEADER_BYTES>()?;
        let (start, count) = (number::<8>(file, 32)? as usize, number::<2>(file, 56)? as usize);
        let mut program = Self { header, segments: Vec::new(), note: (0, 0) };
        for at in (0..count).map(|index| start + index * PROGRAM_HEADER_BYTES) {
            let [offset, address, bytes, memory_bytes] =
                [8, 16, 32, 40].map(|field| number::<8>(file, at + field));
            let (flags, address) = (number::<4>(file, at + 4)? as u32, address?);
            match number::<4>(file, at)? as u32 {
                LOAD => {
                    let bytes = file.get(offset? as usize..)?.get(..bytes? as usize)?.to_vec();
                    let memory_bytes = memory_bytes?;
                    program.segments.push(Segment { flags, address, bytes, memory_bytes });
                }
                NOTE => program.note = (address, bytes?),
                _ => {}
            }
        }
        (!program.segments.is_empty()).then_some(program)
    }

    /// A file of the same program.
    pub(crate) fn write(&self) -> Vec<u8> {
        const ALIGN: usize = 16;
        let count = self.segments.len() + 1;
        let mut content = vec![0; HEADER_BYTES + count * PROGRAM_HEADER_BYTES];
        content[..HEADER_BYTES].copy_from_slice(&self.header);
        put::<8>(&mut content, 32, HEADER_BYTES as u64);
        put::<2>(&mut content, 56, count as u64);
        // No sections: their table's place, its entries' number and the names'.
        for (field, bytes) in [(40, 8), (60, 2), (62, 2)] {
            content[field..field + bytes].fill(0);
        }
        let mut note_offset = 0;
        for (index, segment) in self.segments.iter().enumerate() {
            content.resize(content.len().next_multiple_of(ALIGN), 0);
            let offset = content.len() as u64;
            if let Some(inside) = self.note.0.checked_sub(segment.address)
                && inside < segment.bytes.len() as u64
            {
                note_offset = offset + inside;
            }
            content.extend(&segment.bytes);
            let sizes = [segment.bytes.len() as u64, segment.memory_bytes];
            put_header(&mut content, index, LOAD, segment.flags, [offset, segment.address], sizes);
        }
        let (address, bytes) = self.note;
        put_header(&mut content, count - 1, NOTE, 4, [note_offset, address], [bytes, bytes]);
        content
    }

    /// Writes a word of a segment's bytes, by its address in memory; `None` if it is in none.
    pub(crate) fn patch(&mut self, address: u64, word: u64) -> Option<()> {
        self.segments.iter_mut().find_map(|segment| {
            let at = address.checked_sub(segment.address)? as usize;
            segment.bytes.get_mut(at..at + 8)?.copy_from_slice(&word.to_le_bytes());
            Some(())
        })
    }
}

fn put_header(
    file: &mut [u8],
    index: usize,
    kind: u32,
    flags: u32,
    [offset, address]: [u64; 2],
    [bytes, memory_bytes]: [u64; 2],
) {
    let at = HEADER_BYTES + index * PROGRAM_HEADER_BYTES;
    put::<4>(file, at, kind.into());
    put::<4>(file, at + 4, flags.into());
    let align = if kind == NOTE { 4 } else { 1 };
    let fields = [offset, address, address, bytes, memory_bytes, align];
    for (field, value) in fields.into_iter().enumerate() {
        put::<8>(file, at + 8 + 8 * field, value);
    }
}

fn put<const BYTES: usize>(file: &mut [u8], at: usize, value: u64) {
    file[at..at + BYTES].copy_from_slice(&value.to_le_bytes()[..BYTES]);
}

fn number<const BYTES: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let mut value = [0; 8];
    value[..BYTES].copy_from_slice(bytes.get(at..at + BYTES)?);
    Some(u64::from_le_bytes(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_program_is_read_again() {
        let segment = |address, bytes: &[u8], more| Segment {
            flags: 5,
            address,
            bytes: bytes.to_vec(),
            memory_bytes: bytes.len() as u64 + more,
        };
        let mut header = [7; HEADER_BYTES];
        header[..4].copy_from_slice(b"\x7fELF");
        let segments = vec![segment(0x1000, b"boot, note", 0), segment(0x3000, b"12345678", 100)];
        let mut program = Executable { header, segments, note: (0x1006, 4) };
        program.patch(0x3000, 0x3132_3334_3536_3738).unwrap();
        assert!(program.patch(0x3001, 0).is_none());
        let file = program.write();
        let read = Executable::parse(&file).unwrap();
        assert_eq!(read.note, (0x1006, 4));
        assert_eq!((read.segments[1].end(), read.segments[1].memory_bytes), (0x3008, 108));
        assert_eq!(read.segments[1].bytes, b"87654321");
        let note = HEADER_BYTES + 2 * PROGRAM_HEADER_BYTES;
        let offset = number::<8>(&file, note + 8).unwrap() as usize;
        assert_eq!(&file[offset..offset + 4], b"note");
        assert_eq!(read.write(), file);
        for length in 0..file.len() {
            assert!(Executable::parse(&file[..length]).is_none(), "{length}");
        }
    }
}
