//! Wire formats: segments are parsed, headers written, sequence numbers compared.

pub(crate) mod header;
pub(crate) mod segment;
pub(crate) mod sequence;
pub(crate) mod template;
pub(crate) mod tuple;
