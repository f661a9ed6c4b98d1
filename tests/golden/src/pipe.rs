//! Pipelines: nodes that read, and nodes that write, whose bytes are compared.

use crate::{input, pieces, shown, word};
use pipe::{
    Expansion, Next, Node, NodeExt, Piece, Pipeline, branch_prefix, cbor, lz4, prepend,
    refuse_prefix, skip, zlib,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

const LIMITS: Expansion =
    Expansion { output_bytes_max: 1 << 16, ratio_max: 100, free_bytes: 1 << 12 };

#[derive(Debug, Serialize, Deserialize)]
enum Tree {
    Leaf(Option<u64>, String),
    Branch(Vec<Tree>),
    Named { map: BTreeMap<String, Tree>, flag: bool, scale: f32 },
}

pub(crate) fn run(case: &Value, piece: usize) -> Vec<String> {
    let bytes = input(case);
    match word(case, "of") {
        "inflate" => outcome(zlib::inflate_within(LIMITS), &bytes, piece),
        "decompress" => outcome(lz4::decompress_within(LIMITS), &bytes, piece),
        "deflate" => outcome(zlib::deflate(6), &bytes, piece),
        "compress" => outcome(lz4::compress(), &bytes, piece),
        "there and back" => {
            let there = zlib::deflate(9).then(prepend(b"z"));
            outcome(there.then(skip(b"z")).then(zlib::inflate()), &bytes, piece)
        }
        "cbor" => outcome(cbor::decode::<Tree>(), &bytes, piece),
        "cbor sequence" => outcome(cbor::decode_sequence::<Tree>(), &bytes, piece),
        "cbor again" => outcome(cbor::decode::<Tree>().then(cbor::encode()), &bytes, piece),
        "prefix" => {
            let plain = branch_prefix(b"p", skip(b""), refuse_prefix());
            outcome(branch_prefix(b"z", zlib::inflate_within(LIMITS), plain), &bytes, piece)
        }
        other => panic!("no {other}"),
    }
}

fn outcome<N: Node<Piece>>(node: N, input: &[u8], piece: usize) -> Vec<String>
where
    N::Out: Shown,
{
    let mut pipeline = Pipeline::new(node);
    let (mut gives, mut bytes) = (Vec::new(), Vec::new());
    let mut chunks = pieces(input, piece).peekable();
    let mut is_ended = false;
    let end = loop {
        match pipeline.poll() {
            Next::Item(item) => item.add_to(&mut bytes, &mut gives),
            // How much came before it depends on the pieces.
            Next::Fault(fault) => break format!("fault: {fault}"),
            Next::End => break "end".to_owned(),
            Next::Over => panic!("the end was not said"),
            Next::Starved if is_ended => pipeline.end(),
            Next::Starved => {
                let chunk = chunks.next().unwrap_or_default().to_vec();
                is_ended = chunks.peek().is_none();
                let length = chunk.len();
                let piece = Piece { bytes: chunk.into(), last: is_ended };
                pipeline.offer_weighing(piece, length).expect("it starves");
            }
        }
    };
    if end == "end" && !bytes.is_empty() {
        gives.push(format!("bytes: {}", shown(&bytes)));
    }
    gives.push(end);
    gives
}

trait Shown {
    fn add_to(self, bytes: &mut Vec<u8>, gives: &mut Vec<String>);
}

impl Shown for Piece {
    fn add_to(self, bytes: &mut Vec<u8>, _: &mut Vec<String>) {
        bytes.extend_from_slice(&self.bytes);
    }
}

impl Shown for Tree {
    fn add_to(self, _: &mut Vec<u8>, gives: &mut Vec<String>) {
        gives.push(format!("{self:?}"));
    }
}
