//! permessage-deflate: messages compressed and decompressed (RFC 7692 section 7.2).

mod compress;
mod decompress;
#[cfg(test)]
mod tests;

pub(crate) use compress::Compression;
pub use compress::SharedCompressor;
pub(crate) use decompress::{DECOMPRESSOR_BYTES, Decompressor};

/// What ends each flushed run of DEFLATE blocks, and is left out on the wire (RFC 7692 section 7.2.1).
const FLUSHED: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
