//! Wire formats: segments are parsed, headers and frames written.

pub(crate) mod extension;
pub(crate) mod header;
pub(crate) mod segment;
pub(crate) mod template;
pub(crate) mod tuple;
