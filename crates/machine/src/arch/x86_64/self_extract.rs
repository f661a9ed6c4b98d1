//! Self-extraction of the image: code, constants and names of functions are one LZ4 block in it, which
//! lies so that it is used up just before it is written over.
//!
//! `machine-runtime`'s `boot.s` calls this before any Rust code runs, since that is packed too: hence assembly. It is
//! safe on what `cargo xtask image` packed and unpacked itself, and sums tell whether this is still
//! that.

core::arch::global_asm!(include_str!("self_extract.s"), options(att_syntax));

#[cfg(test)]
mod tests {
    use lz4_flex::block::compress;
    use std::vec::Vec;

    unsafe extern "C" {
        fn unpack(to: *mut u8, from: *const u8, end: *const u8) -> *mut u8;
        fn packed_is_whole(from: *const u8, end: *const u8, sums: *const u64) -> bool;
    }

    /// What is read or written behind the ends.
    const SLACK: usize = 32;

    fn unpacked(block: &[u8], bytes: usize) -> Vec<u8> {
        let from = [block, &[0xee; SLACK]].concat();
        let mut to = std::vec![0xee; bytes + SLACK];
        let block = from[..block.len()].as_ptr_range();
        // SAFETY: a whole block and room for what is in it.
        let end = unsafe { unpack(to.as_mut_ptr(), block.start, block.end) };
        assert_eq!(end.addr() - to.as_ptr().addr(), bytes);
        to.truncate(bytes);
        to
    }

    /// Text of which the `n`th repeats the more the larger `n` is.
    fn text(n: u64) -> Vec<u8> {
        let mut state = n | 1;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(n);
            (state >> 33) as usize % below
        };
        let mut text: Vec<u8> = Vec::new();
        for _ in 0..1 + n {
            let back = 1 + random(1 + text.len().min(70_000));
            for _ in 0..random(600) >> random(10) {
                match text.len().checked_sub(back) {
                    Some(at) if !n.is_multiple_of(7) => text.push(text[at]),
                    _ => text.push(random(256) as u8),
                }
            }
            text.extend((0..random(300) >> random(8)).map(|_| random(256) as u8));
        }
        text
    }

    #[test]
    fn another_implementations_blocks_unpack() {
        for n in 0..400 {
            let text = text(n);
            let block = compress(&text);
            assert_eq!(unpacked(&block, text.len()), text, "text {n}");
        }
    }

    /// LZ4 block format: the extreme lengths and distances of each field.
    #[test]
    fn every_form_of_a_sequence_unpacks() {
        for (block, text) in [
            (&b"\x30abc"[..], &b"abc"[..]),
            (b"\x10a\x01\0\x10b", b"aaaaab"),
            (b"\x20ab\x02\0\x00", b"ababab"),
            (b"\x1fa\x01\0\x00\x10b", b"aaaaaaaaaaaaaaaaaaaab"),
            (b"\xf0\x01abcdefghijklmnop\x10\0\x00", b"abcdefghijklmnopabcd"),
            (b"\xfe\x01abcdefghijklmnop\x10\0\x10x", b"abcdefghijklmnopabcdefghijklmnopabx"),
            (b"\xff\x01abcdefghijklmnop\x10\0\x01\x10x", b"abcdefghijklmnopabcdefghijklmnopabcdx"),
        ] {
            assert_eq!(unpacked(block, text.len()), text, "{block:x?}");
        }
    }

    #[test]
    fn a_changed_or_moved_byte_changes_the_sums() {
        #[repr(align(16))]
        struct Packed([u8; 256]);
        let mut packed = Packed(core::array::from_fn(|n| ((n * n) >> 3) as u8));
        let mut sums = [0_u64; 4];
        for words in packed.0.as_chunks::<16>().0 {
            for (lane, word) in words.as_chunks::<8>().0.iter().enumerate() {
                sums[lane] = sums[lane].wrapping_add(u64::from_le_bytes(*word));
                sums[2 + lane] = sums[2 + lane].wrapping_add(sums[lane]);
            }
        }
        // SAFETY: 256 bytes at an aligned address, and four sums.
        let whole = |packed: &Packed| unsafe {
            packed_is_whole(packed.0.as_ptr(), packed.0.as_ptr_range().end, sums.as_ptr())
        };
        assert!(whole(&packed));
        for bit in 0..8 * packed.0.len() {
            packed.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!whole(&packed), "bit {bit}");
            packed.0[bit / 8] ^= 1 << (bit % 8);
        }
        packed.0.rotate_right(16);
        assert!(!whole(&packed));
    }
}
