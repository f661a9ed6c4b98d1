//! CBOR codec (RFC 8949), by serde.

mod decode;
mod deserializer;
mod encode;
mod numbers;

pub use decode::{Decode, decode, decode_sequence, decode_sequence_within, decode_within};
pub use encode::{Encode, encode, encode_sequence, encode_within};

/// Limits on one object.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest encoding, bytes. Default 128 MiB: twice the largest message of the
    /// interoperability tests. An object's memory is some multiple of it that its type decides.
    pub object_bytes_max: usize,
    /// Deepest nesting of arrays, maps, options and enums. Default 64: decoding uses the stack,
    /// some 300 bytes a level.
    pub nesting_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { object_bytes_max: 128 << 20, nesting_max: 64 }
    }
}
