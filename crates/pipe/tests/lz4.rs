//! LZ4 frames byte by byte (lz4_Frame_format.md 1.6.4): what is written, and what of the format is read.

use pipe::{Fault, Next, Node, Piece, Pipeline, lz4};

/// One message through a node, or its fault.
fn run(node: impl Node<Piece, Out = Piece>, message: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut pipeline = Pipeline::new(node);
    pipeline.offer(Piece::last(message.to_vec())).unwrap();
    let mut out = Vec::new();
    loop {
        match pipeline.poll() {
            Next::Item(piece) => out.extend_from_slice(&piece.bytes),
            Next::Fault(fault) => return Err(fault),
            _ => return Ok(out),
        }
    }
}

/// Magic number, descriptor, then what is given.
fn frame(parts: &[&[u8]]) -> Vec<u8> {
    [&[0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82][..], &parts.concat()].concat()
}

const END: &[u8] = &[0; 4];

#[test]
fn a_block_that_would_not_shrink_is_stored() {
    // Literals only; a match that saves as much as it costs.
    for text in [&b"abc"[..], b"abcdefghabcdijklmnopqrst"] {
        let stored = frame(&[&[text.len() as u8, 0, 0, 0x80], text, END]);
        assert_eq!(run(lz4::compress(), text), Ok(stored));
    }
    // A match that saves one byte: 8 literals, 5 bytes from 8 back, and 12 literals.
    let block = b"\x81abcdefgh\x08\x00\xc0ijklmnopqrst";
    let packed = frame(&[&[block.len() as u8, 0, 0, 0], block, END]);
    assert_eq!(run(lz4::compress(), b"abcdefghabcdeijklmnopqrst"), Ok(packed.clone()));
    assert_eq!(run(lz4::decompress(), &packed), Ok(b"abcdefghabcdeijklmnopqrst".to_vec()));
}

fn bytes(hex: &str) -> Vec<u8> {
    let hex: String = hex.split_whitespace().collect();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

const TEXT: &[u8] = b"one block, and another block; one block, and another block; end";

/// As liblz4 1.9.4 writes that text in three blocks: linked ones, those with a sum each, the whole with its length, or with a sum,
/// and all of it.
const FRAMES: [&str; 5] = [
    "04224d18 4040c0 1e000080 6f6e6520626c6f636b2c20616e6420616e6f7468657220626c6f636b3b20
     0a000000 0f1e0006506f636b3b20 03000080 656e64 00000000",
    "04224d18 7040ad 1e000080 6f6e6520626c6f636b2c20616e6420616e6f7468657220626c6f636b3b20 6d7b2df3
     1e000080 6f6e6520626c6f636b2c20616e6420616e6f7468657220626c6f636b3b20 6d7b2df3 03000080 656e64 1a03c0f8 00000000",
    "04224d18 6840 3f00000000000000 b7 1e000080 6f6e6520626c6f636b2c20616e6420616e6f7468657220626c6f636b3b20
     1e000080 6f6e6520626c6f636b2c20616e6420616e6f7468657220626c6f636b3b20 03000080 656e64 00000000",
    "04224d18 6440a7 1e000080 6f6e6520626c6f636b2c20616e6420616e6f7468657220626c6f636b3b20
     1e000080 6f6e6520626c6f636b2c20616e6420616e6f7468657220626c6f636b3b20 03000080 656e64 00000000 97c3b5ef",
    "04224d18 5c40 3f00000000000000 1a 1e000080 6f6e6520626c6f636b2c20616e6420616e6f7468657220626c6f636b3b20 6d7b2df3
     0a000000 0f1e0006506f636b3b20 628fb9c4 03000080 656e64 1a03c0f8 00000000 97c3b5ef",
];

#[test]
fn frames_of_other_writers_are_read() {
    for frame in FRAMES {
        assert_eq!(run(lz4::decompress(), &bytes(frame)), Ok(TEXT.to_vec()), "{frame}");
    }
}

/// Of the last frame every byte is checked.
#[test]
fn no_byte_of_a_frame_with_sums_can_change() {
    let frame = bytes(FRAMES[4]);
    for at in 0..frame.len() {
        for bit in 0..8 {
            let mut changed = frame.clone();
            changed[at] ^= 1 << bit;
            let read = run(lz4::decompress(), &changed);
            assert!(read.is_err(), "bit {bit} of byte {at}: {read:?}");
        }
    }
}

#[test]
fn a_frame_is_as_its_descriptor_says() {
    // The four sizes of blocks, each with a block of that size and one of a byte more.
    for (descriptor, block_bytes) in
        [("6040 82", 1 << 16), ("6050 fb", 1 << 18), ("6060 51", 1 << 20), ("6070 73", 1 << 22)]
    {
        let head = [bytes("04224d18"), bytes(descriptor)].concat();
        for (len, end) in [(block_bytes, Ok(block_bytes)), (block_bytes + 1, Err(CORRUPT))] {
            let field = (len as u32 | 1 << 31).to_le_bytes();
            let message = [&head[..], &field, &vec![7; len], END].concat();
            assert_eq!(run(lz4::decompress(), &message).map(|it| it.len()), end, "{descriptor}");
        }
    }
    for (what, head) in [
        ("another magic number", "04224d19 6040 82"),
        ("another version", "04224d18 a040 0f"),
        ("an older version", "04224d18 2040 03"),
        ("a reserved bit", "04224d18 6240 f0"),
        ("a dictionary", "04224d18 6140 a1"),
        ("a reserved bit of the block's", "04224d18 60c0 2a"),
        ("another one", "04224d18 6041 bd"),
        ("a reserved size of blocks", "04224d18 6030 d4"),
        ("another sum", "04224d18 6040 83"),
    ] {
        let message = [&bytes(head)[..], END].concat();
        assert_eq!(run(lz4::decompress(), &message), Err(CORRUPT), "{what}");
    }
    let tail = frame(&[END, b"no frame"]);
    assert_eq!(run(lz4::decompress(), &tail), Err(Fault::TrailingBytes));
}

#[test]
fn linked_blocks_look_back_64_kib() {
    let text: Vec<u8> = (0..70_000_u64).map(|at| (at * at / 56) as u8).collect();
    let mut message = bytes("04224d18 4040c0");
    for block in [&text[..65_536], &text[65_536..]] {
        message.extend_from_slice(&(block.len() as u32 | 1 << 31).to_le_bytes());
        message.extend_from_slice(block);
    }
    // Four bytes from 65,535 back, and five as they are.
    message.extend_from_slice(b"\x09\0\0\0\x00\xff\xff\x50abcde");
    message.extend_from_slice(END);
    let from = text.len() - 65_535;
    let expected = [&text[..], &text[from..from + 4], b"abcde"].concat();
    assert!(run(lz4::decompress(), &message) == Ok(expected));
}

const CORRUPT: Fault = Fault::Corrupt("lz4");
