//! Pipelines of objects and bytes.
//!
//! A [`Node`] takes items of one type and gives items of another; [`NodeExt::then`] joins two
//! with a bounded [`Edge`], and a [`Pipeline`] is a node with its outer edges: push at one end,
//! pull at the other. Nothing here waits, reads a clock or knows a socket.
//!
//! ```
//! use pipe::{Next, NodeExt, Pipeline, cbor, map, prepend, skip, zlib};
//!
//! let there = cbor::encode().then(zlib::deflate(6)).then(prepend(b"z"));
//! let back = skip(b"z").then(zlib::inflate()).then(cbor::decode());
//! let mut pipeline = Pipeline::new(there.then(back).then(map(|number: u32| number + 1)));
//! pipeline.offer(41).unwrap();
//! pipeline.end();
//! assert_eq!(pipeline.poll(), Next::Item(42));
//! assert_eq!(pipeline.poll(), Next::End);
//! ```
//!
//! Joining nodes that do not fit does not compile:
//!
//! ```compile_fail,E0277
//! use pipe::{NodeExt, map, zlib};
//! // An object into a byte node: `cbor::encode()` is missing between them.
//! let _ = map(|number: u32| number + 1).then(zlib::deflate(6));
//! ```
//!
//! Bytes travel as [`Piece`]s: refcounted chunks, the last of each message marked. A chunk is
//! handed on, not copied, by every node that does not change it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod cbor;
pub mod lz4;
pub mod zlib;

mod cond;
mod edge;
mod expansion;
mod fault;
mod fork;
mod node;
mod object;
mod piece;
mod pipeline;
mod prefix;

pub use bytes::Bytes;
pub use cond::{Clauses, Cond, Condition, Fork, Nothing, StartsWith, When, cond, starts_with};
pub use edge::{Bounds, Edge, Taken};
pub use expansion::Expansion;
pub use fault::Fault;
pub use fork::{Branch, Either, Merge, PrefixBranch, branch, branch_prefix, merge};
pub use node::{Node, NodeExt, Progress, Stage, Then, run_stage};
pub use object::{Filter, Map, Reject, Sink, Tee, TryMap, filter, map, reject, sink, tee, try_map};
pub use piece::{CHUNK_BYTES, Piece};
pub use pipeline::{Next, Pipeline, Refused};
pub use prefix::{Expect, Prepend, RefusePrefix, Skip, expect, prepend, refuse_prefix, skip};
