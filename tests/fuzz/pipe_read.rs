//! Any bytes, in any pieces, to the nodes that read: no panic, limits kept, and the pieces make no
//! difference.

use pipe::{
    Expansion, Next, Node, NodeExt, Piece, Pipeline, branch_prefix, cbor, lz4, refuse_prefix, skip,
    zlib,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const LIMITS: Expansion =
    Expansion { output_bytes_max: 1 << 20, ratio_max: 100, free_bytes: 1 << 16 };

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf(Option<u64>, String),
    Branch(Vec<Tree>),
    Named { map: BTreeMap<String, Tree>, flag: bool, scale: f32 },
}

pub(crate) fn target(data: &[u8]) {
    let [choice, step, input @ ..] = data else { return };
    let step = usize::from(*step).max(1);
    match choice % 6 {
        0 => same(|| zlib::inflate_within(LIMITS), input, step),
        1 => same(|| lz4::decompress_within(LIMITS), input, step),
        2 => same(cbor::decode::<Tree>, input, step),
        3 => same(cbor::decode_sequence::<Tree>, input, step),
        4 => same(cbor::decode::<serde::de::IgnoredAny>, input, step),
        _ => same(
            || {
                branch_prefix(
                    b"zz",
                    zlib::inflate_within(LIMITS).then(cbor::decode_sequence::<Tree>()),
                    branch_prefix(
                        b"z4",
                        lz4::decompress_within(LIMITS).then(cbor::decode::<Tree>()),
                        branch_prefix(
                            b"p",
                            skip(b"").then(cbor::decode::<Tree>()),
                            refuse_prefix(),
                        ),
                    ),
                )
            },
            input,
            step,
        ),
    }
}

fn same<N: Node<Piece>>(node: impl Fn() -> N, input: &[u8], step: usize)
where
    N::Out: Essence,
{
    let whole = outcome(node(), input, usize::MAX);
    let pieces = outcome(node(), input, step);
    // How much came out before a fault depends on the pieces; whether there was one does not.
    assert_eq!(whole.1, pieces.1, "{whole:?} {pieces:?}");
    if !whole.1 {
        assert_eq!(whole.0, pieces.0);
    }
}

fn outcome<N: Node<Piece>>(node: N, input: &[u8], step: usize) -> (Vec<u8>, bool)
where
    N::Out: Essence,
{
    let mut pipeline = Pipeline::new(node);
    let mut out = Vec::new();
    let mut chunks = input.chunks(step.min(input.len().max(1))).peekable();
    let mut offered_last = false;
    loop {
        match pipeline.poll() {
            Next::Item(item) => item.add_to(&mut out),
            Next::Fault(_) => return (out, true),
            Next::End | Next::Over => return (out, false),
            Next::Starved if offered_last => pipeline.end(),
            Next::Starved => {
                let chunk = chunks.next().unwrap_or_default().to_vec();
                offered_last = chunks.peek().is_none();
                let len = chunk.len();
                let piece = Piece { bytes: chunk.into(), last: offered_last };
                pipeline.offer_weighing(piece, len).unwrap();
            }
        }
        assert!(out.len() <= 2 << 20, "limits let too much through");
    }
}

/// What an item says, as bytes.
trait Essence {
    fn add_to(self, out: &mut Vec<u8>);
}

impl Essence for Piece {
    fn add_to(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
    }
}

impl Essence for Tree {
    fn add_to(self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{self:?}").as_bytes());
        // A short encoding may print long; that is not what is looked at here.
        out.truncate(1 << 20);
    }
}

impl Essence for serde::de::IgnoredAny {
    fn add_to(self, out: &mut Vec<u8>) {
        out.push(1);
    }
}
