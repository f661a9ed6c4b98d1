//! Cap'n Proto RPC for pages. A [`Client`] is the vat of `crates/rpc`, one connection, and the interfaces of a schema that was
//! compiled by `capnp compile -o-`: calls come in and go out as JSON, so that JavaScript needs to know nothing of messages.
//!
//! `exports` is what the page calls when this is WebAssembly; `aqueduct.js` beside this crate carries bytes between it and a
//! WebSocket, and makes objects and promises of the JSON. [`Client`] does no I/O and reads no clock, as the vat.
//!
//! | Cap'n Proto | JSON | on the page |
//! |---|---|---|
//! | integers of 64 bits | `{"$int": "123"}` | `bigint` |
//! | other numbers | a number; `{"$float": "NaN"}`, `"Infinity"`, `"-Infinity"` | `number` |
//! | `Text`, enums | a string; a number for an enumerant that the schema does not know | `string` |
//! | `Data` | `{"$data": "base64"}` | `Uint8Array` |
//! | structs, groups | an object; of a union the field that is set | object |
//! | interfaces, `AnyPointer` with a capability | `{"$cap": 7}` | object with the methods |
//! | null pointers, `Void` | `null` | `null` |
//!
//! What a peer may nest, and so what is recursed on, is bounded by the vat's `nesting_max`.
#![deny(unsafe_code)]

mod client;
mod decode;
mod encode;
#[cfg(target_family = "wasm")]
mod exports;
mod raw;
mod schema;
mod table;

pub use client::Client;
pub use schema::Schema;
