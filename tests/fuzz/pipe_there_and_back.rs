//! Any bytes, in any pieces, through the nodes that write and back: the same bytes.

use pipe::{
    Either, Next, NodeExt, Piece, Pipeline, branch, branch_prefix, lz4, map, prepend, zlib,
};

pub(crate) fn target(data: &[u8]) {
    let [choice, step, input @ ..] = data else { return };
    let prefix: &[u8] = if choice & 1 == 0 { b"z" } else { b"" };
    let level = choice >> 4;
    // Messages go one way or the other by their first piece's length.
    let mut left = true;
    let mut inside = false;
    let there = branch(
        move |piece: Piece| {
            if !inside {
                left = piece.bytes.len().is_multiple_of(2);
            }
            inside = !piece.last;
            if left { Either::Left(piece) } else { Either::Right(piece) }
        },
        zlib::deflate(level).then(prepend(b"Z")),
        lz4::compress().then(prepend(b"4")),
    );
    let back = branch_prefix(
        b"Z",
        zlib::inflate(),
        branch_prefix(b"4", lz4::decompress(), map(|_| panic!("a third way"))),
    );
    let marked = prepend(prefix).then(pipe::skip(prefix));
    let mut pipeline = Pipeline::new(there.then(marked).then(back));
    let step = usize::from(*step).max(1);
    // Every third piece ends a message.
    let mut pieces: Vec<_> = input
        .chunks(step)
        .enumerate()
        .map(|(at, chunk)| Piece { bytes: chunk.to_vec().into(), last: at % 3 == 2 })
        .collect();
    pieces.push(Piece::last(""));
    let sent = joined(&pieces);
    let mut received = Vec::new();
    let mut pieces = pieces.into_iter();
    loop {
        match pipeline.poll() {
            Next::Item(piece) => received.push(piece),
            Next::Starved => match pieces.next() {
                Some(piece) => pipeline.offer_weighing(piece, step).unwrap(),
                None => pipeline.end(),
            },
            Next::End => break,
            Next::Fault(fault) => panic!("{fault}"),
            Next::Over => panic!("the end was not said"),
        }
    }
    assert_eq!(joined(&received), sent);
}

fn joined(pieces: &[Piece]) -> Vec<Vec<u8>> {
    let mut messages = vec![vec![]];
    for piece in pieces {
        messages.last_mut().unwrap().extend_from_slice(&piece.bytes);
        if piece.last {
            messages.push(vec![]);
        }
    }
    messages
}
