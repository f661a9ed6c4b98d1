//! Message heads (RFC 9112 sections 2 to 5): parsed once, in one pass.

mod field_lines;
mod framing;
mod partial;

pub(crate) use field_lines::parse_fields;
pub(crate) use framing::{Coding, Expect, Framing};
pub(crate) use partial::PartialHead;
