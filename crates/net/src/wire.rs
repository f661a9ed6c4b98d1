//! Wire formats: frames and segments as bytes.

pub(crate) mod header;
pub(crate) mod segment;
pub(crate) mod sequence;
pub(crate) mod template;
pub(crate) mod tuple;
