//! Golden files of the protocol cores: what comes of an input, in words.
//!
//! `vectors/CORE.json` is a list of cases. `input` has the bytes, each a character up to U+00FF, `of` says to what they are
//! given, and `gives` what comes of them. TCP's are the packet scripts of `crates/tcp/tests/scripts`, which give nothing
//! where they hold; RPC's are in `wasm/tests`.
//!
//! `tests/host.rs` runs them here, whole and in pieces, and `tests/node.mjs` in Node, where this is the module of WebAssembly
//! (`cargo xtask test interop golden_in_node`).
//! Another result of any case fails there as here. `AQUEDUCT_WRITE_GOLDEN=1 cargo test -p golden` writes `gives` anew.
#![deny(unsafe_code)]

#[cfg(target_family = "wasm")]
mod exports;
mod http;
mod pipe;
mod web;
mod websocket;
mod zmq;

use serde_json::Value;

/// The cores that have a file in `vectors/`.
pub const CORES: &[&str] = &["http", "pipe", "web", "websocket", "zmq"];

/// What comes of a case, whose input arrives in pieces of at most `piece` bytes.
///
/// # Panics
/// It is no case of this core.
pub fn run(core: &str, case: &Value, piece: usize) -> Vec<String> {
    let piece = piece.max(1);
    match core {
        "http" => http::run(case, piece),
        "pipe" => pipe::run(case, piece),
        "tcp" => tcp_script::run(word(case, "script")).err().into_iter().collect(),
        "web" => web::run(case, piece),
        "websocket" => websocket::run(case, piece),
        "zmq" => zmq::run(case, piece),
        other => panic!("no core {other}"),
    }
}

fn word<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap_or_else(|| panic!("{name} is missing in {case}"))
}

/// The input's bytes.
fn input(case: &Value) -> Vec<u8> {
    let byte = |letter| u8::try_from(letter).unwrap_or_else(|_| panic!("{letter:?} is no byte"));
    word(case, "input").chars().map(byte).collect()
}

/// The input as it arrives; once nothing if there is none.
fn pieces(bytes: &[u8], piece: usize) -> impl Iterator<Item = &[u8]> {
    let nothing = bytes.is_empty().then_some(bytes);
    bytes.chunks(piece).chain(nothing)
}

/// Bytes as text that shows all of them.
fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
