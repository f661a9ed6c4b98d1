//! Pipelines from outside: what goes in, what comes out, and in which order.

mod run;

use pipe::{
    Bounds, Bytes, CHUNK_BYTES, Edge, Either, Expansion, Fault, Next, Node, NodeExt, Piece,
    Pipeline, Refused, branch, branch_prefix, cbor, expect, filter, lz4, map, merge, prepend,
    refuse_prefix, reject, sink, skip, tee, try_map, zlib,
};
use run::run;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Bytes cut into pieces of at most `step`.
fn pieces(message: &[u8], step: usize) -> Vec<Piece> {
    let mut pieces: Vec<_> =
        message.chunks(step).map(|chunk| Piece::part(chunk.to_vec())).collect();
    match pieces.last_mut() {
        Some(last) => last.last = true,
        None => pieces.push(Piece::last("")),
    }
    pieces
}

/// The messages that pieces make up.
fn messages(pieces: &[Piece]) -> Vec<Vec<u8>> {
    let mut messages = vec![vec![]];
    for piece in pieces {
        messages.last_mut().unwrap().extend_from_slice(&piece.bytes);
        if piece.last {
            messages.push(vec![]);
        }
    }
    assert_eq!(messages.pop().unwrap(), b"", "the last message is whole");
    messages
}

/// Not random enough to be incompressible, nor so regular that a match is everything.
fn text(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| b"water"[(at * at / 7 % 5) as usize] ^ (at / 97) as u8).collect()
}

/// Sizes around those of chunks and blocks.
const SIZES: [usize; 9] =
    [0, 1, 100, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 65_536, 65_537, 1_000_000];

fn there_and_back(node: impl Fn() -> Box<dyn Node<Piece, Out = Piece>>) {
    for size in SIZES {
        for step in [1, 7, 1000, CHUNK_BYTES, usize::MAX] {
            if step == 1 && size > 100_000 {
                continue;
            }
            let message = text(size);
            let twice = [pieces(&message, step), pieces(b"next", 3)].concat();
            let (out, end) = run(Dyn(node()), twice);
            assert_eq!(end, Next::End, "{size} {step}");
            assert!(messages(&out) == [message, b"next".to_vec()], "{size} {step}");
        }
    }
}

struct Dyn(Box<dyn Node<Piece, Out = Piece>>);

impl Node<Piece> for Dyn {
    type Out = Piece;

    fn run(&mut self, input: &mut Edge<Piece>, output: &mut Edge<Piece>) {
        self.0.run(input, output);
    }
}

#[test]
fn zlib_goes_there_and_back() {
    there_and_back(|| Box::new(zlib::deflate(6).then(zlib::inflate())));
}

#[test]
fn lz4_goes_there_and_back() {
    there_and_back(|| Box::new(lz4::compress().then(lz4::decompress())));
}

#[test]
fn prefixes_go_there_and_back() {
    there_and_back(|| Box::new(prepend(b"prefix").then(skip(b"prefix"))));
    there_and_back(|| Box::new(prepend(b"").then(skip(b""))));
    there_and_back(|| Box::new(prepend(b"prefix").then(expect(b"prefix")).then(skip(b"prefix"))));
}

#[test]
fn chunks_are_handed_on_and_not_copied() {
    let chunk = Bytes::from(text(1000));
    let node = prepend(b"x").then(map(|piece: Piece| piece)).then(skip(b"x"));
    let (out, _) = run(node, [Piece::last(chunk.clone())]);
    assert_eq!(out[0].bytes.as_ptr(), chunk.as_ptr());
    let node = branch_prefix(b"x", skip(""), skip(""));
    let (out, _) = run(node, [Piece::last(chunk.clone())]);
    assert_eq!(out[0].bytes.as_ptr(), chunk.as_ptr());
}

#[test]
fn a_missing_prefix_names_the_byte_that_was_there() {
    for (message, fault) in [
        (&b"axy"[..], Fault::UnknownPrefix(Some(b'a'))),
        (b"xa", Fault::UnknownPrefix(Some(b'x'))),
        (b"x", Fault::UnknownPrefix(None)),
        (b"", Fault::UnknownPrefix(None)),
    ] {
        for step in [1, 3] {
            assert_eq!(run(skip(b"xy"), pieces(message, step)), (vec![], Next::Fault(fault)));
            assert_eq!(run(expect(b"xy"), pieces(message, step)).1, Next::Fault(fault));
        }
    }
}

#[test]
fn a_prefix_must_be_whole_when_the_input_ends() {
    for (piece, end) in [
        (Piece::part("x"), Next::Fault(Fault::Truncated)),
        (Piece::part("xy"), Next::End),
        (Piece::last("xyz"), Next::End),
    ] {
        assert_eq!(run(skip("xy"), [piece]).1, end);
    }
    assert_eq!(run(skip("xy"), []).1, Next::End);
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    name: String,
    lines: Vec<(u32, f64)>,
    notes: BTreeMap<String, Option<bool>>,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Plain,
    Gift { to: String },
}

fn order(lines: u32) -> Order {
    Order {
        name: "pipes".into(),
        lines: (0..lines).map(|line| (line, f64::from(line) / 3.0)).collect(),
        notes: [("urgent".into(), Some(true)), ("x".into(), None)].into(),
        kind: if lines.is_multiple_of(2) { Kind::Plain } else { Kind::Gift { to: "ada".into() } },
    }
}

/// Cuts every piece to at most this many bytes.
fn cut(step: usize) -> impl Node<Piece, Out = Piece> {
    struct Cut(usize);
    impl pipe::Stage<Piece> for Cut {
        type Out = Piece;
        fn accept(&mut self, piece: Piece, _: usize, out: &mut Edge<Piece>) -> Result<(), Fault> {
            for mut cut in pieces(&piece.bytes, self.0) {
                cut.last &= piece.last;
                out.put(cut, 0);
            }
            Ok(())
        }
    }
    impl Node<Piece> for Cut {
        type Out = Piece;
        fn run(&mut self, input: &mut Edge<Piece>, output: &mut Edge<Piece>) {
            pipe::run_stage(self, input, output);
        }
    }
    Cut(step)
}

#[test]
fn objects_survive_every_cut() {
    let orders: Vec<_> = [0, 1, 2, 50, 10_000].map(order).into();
    for step in [1, 2, 3, 1000, usize::MAX] {
        let whole = cbor::encode().then(cut(step)).then(cbor::decode::<Order>());
        let (out, end) = run(whole, orders.clone());
        assert!(out == orders && end == Next::End, "{step}");
        let sequence =
            cbor::encode_sequence().then(cut(step)).then(cbor::decode_sequence::<Order>());
        let (out, end) = run(sequence, orders.clone());
        assert!(out == orders && end == Next::End, "{step}");
    }
}

#[test]
fn bad_cbor_names_its_cause() {
    let deep = |depth: usize| [vec![0x81; depth], vec![0xF6]].concat();
    #[derive(Debug, PartialEq, Deserialize)]
    struct Deep(Vec<Deep>);
    let (_, end) = run(cbor::decode::<Deep>(), [Piece::last(deep(100_000))]);
    assert_eq!(end, Next::Fault(Fault::TooDeep));
    let (_, end) = run(cbor::decode::<serde::de::IgnoredAny>(), [Piece::last(deep(100_000))]);
    assert_eq!(end, Next::Fault(Fault::TooDeep));
    for (message, fault) in [
        (&b""[..], Fault::Truncated),
        (b"\x82\x01", Fault::Truncated),
        (b"\x9B\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", Fault::Truncated),
        (b"\x61a", Fault::Shape("cbor")),
        (b"\x1c", Fault::Corrupt("cbor")),
        (b"\x81\x01\x01", Fault::TrailingBytes),
    ] {
        let (_, end) = run(cbor::decode::<Vec<u32>>(), [Piece::last(message)]);
        assert_eq!(end, Next::Fault(fault), "{message:?}");
    }
    let lying_string = b"\x7B\x00\x00\x00\xFF\xFF\xFF\xFF\xFFx";
    let (_, end) = run(cbor::decode::<String>(), [Piece::last(&lying_string[..])]);
    assert_eq!(end, Next::Fault(Fault::Truncated));
}

#[test]
fn every_truncation_and_every_tail_of_a_compressed_message_is_a_fault() {
    let message = text(300);
    let kinds: [fn() -> (Dyn, Dyn); 2] = [
        || (Dyn(Box::new(zlib::deflate(6))), Dyn(Box::new(zlib::inflate()))),
        || (Dyn(Box::new(lz4::compress())), Dyn(Box::new(lz4::decompress()))),
    ];
    for nodes in kinds {
        let packed = messages(&run(nodes().0, pieces(&message, 1000)).0).remove(0);
        for step in [1, 1000] {
            for cut in 0..packed.len() {
                let (_, end) = run(nodes().1, pieces(&packed[..cut], step));
                assert_eq!(end, Next::Fault(Fault::Truncated), "{cut}");
                // The stream of pieces breaks off without an end of the message.
                let mut open = pieces(&packed[..cut], step);
                open.last_mut().unwrap().last = false;
                if cut > 0 {
                    assert_eq!(run(nodes().1, open).1, Next::Fault(Fault::Truncated), "{cut}");
                }
            }
            let tail = [&packed[..], b"!"].concat();
            let (_, end) = run(nodes().1, pieces(&tail, step));
            assert_eq!(end, Next::Fault(Fault::TrailingBytes));
        }
    }
}

/// A peer may say with an empty piece that what came before was all.
#[test]
fn a_compressed_message_may_end_with_an_empty_piece() {
    for nodes in [
        (Dyn(Box::new(zlib::deflate(6))), Dyn(Box::new(zlib::inflate()))),
        (Dyn(Box::new(lz4::compress())), Dyn(Box::new(lz4::decompress()))),
    ] {
        let packed = messages(&run(nodes.0, [Piece::last("abc")]).0).remove(0);
        let message = || [Piece::part(packed.clone()), Piece::last("")];
        let (out, end) = run(nodes.1, message().into_iter().chain(message()));
        assert_eq!((messages(&out), end), (vec![b"abc".to_vec(); 2], Next::End));
    }
}

#[test]
fn lz4_frames_follow_each_other_and_skippable_ones_are_skipped() {
    let packed = |text: &[u8]| messages(&run(lz4::compress(), pieces(text, 1000)).0).remove(0);
    let skipped = |number: u8, len: usize| {
        let head = [0x50 | number, 0x2A, 0x4D, 0x18];
        [&head[..], &(len as u32).to_le_bytes(), &vec![7; len]].concat()
    };
    let (one, two) = (text(100_000), text(300));
    let both = [&one[..], &two].concat();
    let cases = [
        (vec![packed(&one), packed(&two)], &both),
        (
            vec![skipped(0, 0), packed(&one), skipped(15, 70_000), packed(&two), skipped(3, 1)],
            &both,
        ),
        (vec![packed(&two), packed(b""), packed(b"")], &two),
        (vec![skipped(1, 5)], &vec![]),
    ];
    for (frames, plain) in cases {
        let message = frames.concat();
        for step in [1, 7, 1000, usize::MAX] {
            let twice = [pieces(&message, step), pieces(&packed(b"next"), 3)].concat();
            let (out, end) = run(lz4::decompress(), twice);
            assert_eq!(end, Next::End, "{step}");
            assert!(messages(&out) == [plain.clone(), b"next".to_vec()], "{step}");
            for cut in [1, 4, 6] {
                if frames.last().is_some_and(|last| last.len() >= cut + 4) {
                    let cut = pieces(&message[..message.len() - cut], step);
                    assert_eq!(run(lz4::decompress(), cut).1, Next::Fault(Fault::Truncated));
                }
            }
        }
    }
    // The limits hold for the message, not for each frame.
    let limits = Expansion { output_bytes_max: 150_000, ..Expansion::default() };
    let twice = [packed(&one), packed(&one)].concat();
    assert_eq!(
        run(lz4::decompress_within(limits), pieces(&twice, 999)).1,
        Next::Fault(Fault::Bomb)
    );
}

#[test]
fn changed_compressed_bytes_never_panic() {
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    let message = text(3000);
    let zlib = messages(&run(zlib::deflate(6), pieces(&message, 1000)).0).remove(0);
    let lz4 = messages(&run(lz4::compress(), pieces(&message, 1000)).0).remove(0);
    for round in 0..3000 {
        let packed = if round % 2 == 0 { &zlib } else { &lz4 };
        let mut changed = packed.clone();
        for _ in 0..=round % 3 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let at = (seed >> 8) as usize % changed.len();
            changed[at] = seed as u8;
        }
        let step = 1 + (seed >> 40) as usize % 500;
        if round % 2 == 0 {
            run(zlib::inflate().then(cbor::decode_sequence::<Order>()), pieces(&changed, step));
        } else {
            run(lz4::decompress().then(cbor::decode_sequence::<Order>()), pieces(&changed, step));
        }
    }
}

#[test]
fn a_decompression_bomb_is_stopped_by_ratio_and_by_size() {
    let zeros = || (0..1000).map(|_| Piece::part(vec![0; 100_000]));
    let limits = Expansion { ratio_max: 100, free_bytes: 1 << 20, ..Expansion::default() };
    let by_size = Expansion { output_bytes_max: 1 << 20, ratio_max: 10_000, free_bytes: 1 << 20 };
    for limits in [limits, by_size] {
        for count in [10, 1000] {
            let bomb = zeros().take(count).chain([Piece::last("")]);
            let node = zlib::deflate(9).then(zlib::inflate_within(limits));
            let (out, end) = run(node, bomb);
            let bytes: usize = out.iter().map(|piece| piece.bytes.len()).sum();
            if count == 10 {
                assert_eq!((bytes, end), (1_000_000, Next::End));
            } else {
                assert_eq!(end, Next::Fault(Fault::Bomb));
                assert!(bytes <= (1 << 20) + 100 * 110_000, "{bytes}");
            }
        }
    }
    let node = lz4::compress().then(lz4::decompress_within(by_size));
    assert_eq!(run(node, zeros()).1, Next::Fault(Fault::Bomb));
}

#[test]
fn a_message_may_grow_to_its_limits_and_not_by_a_byte_more() {
    let packed = messages(&run(zlib::deflate(9), [Piece::last(vec![0; 10_000])]).0).remove(0);
    let by_ratio = 10_000_u64.div_ceil(packed.len() as u64);
    for (output_bytes_max, ratio_max, free_bytes, end) in [
        (10_000, 0, 10_000, Next::End),
        (9_999, 0, 10_000, Next::Fault(Fault::Bomb)),
        (10_000, 0, 9_999, Next::Fault(Fault::Bomb)),
        (10_000, by_ratio, 0, Next::End),
        (10_000, by_ratio - 1, 0, Next::Fault(Fault::Bomb)),
    ] {
        let limits = Expansion { output_bytes_max, ratio_max, free_bytes };
        let node = zlib::inflate_within(limits);
        assert_eq!(run(node, [Piece::last(packed.clone())]).1, end, "{limits:?}");
    }
}

#[test]
fn faults_say_what_is_wrong() {
    for (fault, text) in [
        (Fault::Truncated, "input ends in the middle"),
        (Fault::TrailingBytes, "bytes after the end"),
        (Fault::Corrupt("zlib"), "not valid zlib"),
        (Fault::Shape("cbor"), "cbor of another shape than expected"),
        (Fault::TooLong("cbor"), "too long for cbor"),
        (Fault::Bomb, "expands beyond the limit"),
        (Fault::TooDeep, "nested too deep"),
        (Fault::UnknownPrefix(Some(7)), "unknown prefix byte 0x07"),
        (Fault::UnknownPrefix(None), "prefix missing"),
        (Fault::Unwritable, "object cannot be written"),
        (Fault::Source("connection lost"), "connection lost"),
    ] {
        assert_eq!(fault.to_string(), text);
    }
}

#[test]
fn a_side_branch_has_its_end_and_what_it_gives_then() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = seen.clone();
    let side = cbor::encode_sequence().then(sink(move |it: Piece| log.borrow_mut().push(it)));
    assert_eq!(run(tee(side), [1, 2]), (vec![1, 2], Next::End));
    assert_eq!(*seen.borrow(), [Piece::last(&b"\x01\x02"[..])]);
    // One that is not done is a fault of the whole.
    let side = cbor::decode::<u32>().then(sink(drop));
    assert_eq!(run(tee(side), [Piece::part(&b"\x19"[..])]).1, Next::Fault(Fault::Truncated));
}

/// Their state is long, and says nothing.
#[test]
fn codecs_are_shown_by_their_names() {
    let shown = format!("{:?} {:?}", zlib::deflate(6), zlib::inflate());
    assert_eq!(shown, "Deflate Inflate");
    let shown = format!("{:?} {:?}", lz4::compress(), lz4::decompress());
    assert_eq!(shown, "Compress Decompress");
}

#[test]
fn objects_are_mapped_filtered_and_observed_in_order() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = seen.clone();
    let node = filter(|number: &u32| number % 2 == 1)
        .then(tee(
            map(|number: u32| number * 10).then(sink(move |number| log.borrow_mut().push(number)))
        ))
        .then(try_map(
            |number: u32| if number < 7 { Ok(number) } else { Err(Fault::Source("seven")) },
        ));
    let (out, end) = run(node, 0..1000);
    assert_eq!((out, end), (vec![1, 3, 5], Next::Fault(Fault::Source("seven"))));
    assert_eq!(seen.borrow()[..4], [10, 30, 50, 70]);
}

#[test]
fn a_fault_in_a_side_branch_ends_the_whole() {
    let side = try_map(|number: u32| if number < 3 { Ok(()) } else { Err(Fault::Source("side")) });
    let (_, end) = run(tee(side.then(sink(drop))), 0..10);
    assert_eq!(end, Next::Fault(Fault::Source("side")));
}

#[test]
fn branches_keep_order_and_messages_never_mix() {
    // Long orders are compressed and marked, short ones are not.
    let write = branch(
        |order: Order| {
            if order.lines.len() > 100 { Either::Left(order) } else { Either::Right(order) }
        },
        cbor::encode().then(zlib::deflate(6)).then(prepend(b"z")),
        cbor::encode().then(prepend(b"p")),
    );
    let read = branch_prefix(
        b"z",
        zlib::inflate().then(cbor::decode()).then(map(|order: Order| (order, true))),
        branch_prefix(
            b"p",
            cbor::decode().then(map(|order: Order| (order, false))),
            refuse_prefix(),
        ),
    );
    let orders: Vec<_> =
        (0..60).map(|number| order([0, 5000, 3, 200, 40_000][number % 5])).collect();
    let (out, end) = run(write.then(read), orders.clone());
    assert_eq!(end, Next::End);
    assert_eq!(out.len(), orders.len());
    for ((read, packed), written) in out.into_iter().zip(orders) {
        assert_eq!(packed, written.lines.len() > 100);
        assert!(read == written);
    }
}

#[test]
fn a_way_gives_all_that_it_has_before_the_other_begins() {
    let long = |piece: Piece| {
        if piece.bytes.len() > 1 { Either::Left(piece) } else { Either::Right(piece) }
    };
    // A hundred pieces of one: more than an edge has room for, so that the rest waits in the way
    // while the next message is there already.
    let node = branch(long, cut(1), map(|piece: Piece| piece));
    let mut pipeline = Pipeline::new(node);
    for message in ["a".repeat(100), "b".into(), "c".repeat(100), "d".repeat(100)] {
        pipeline.offer(Piece::last(message)).unwrap();
    }
    pipeline.end();
    let mut out = Vec::new();
    while let Next::Item(piece) = pipeline.poll() {
        out.push(piece);
    }
    let expected = [b"a".repeat(100), b"b".to_vec(), b"c".repeat(100), b"d".repeat(100)];
    assert_eq!(messages(&out), expected);
}

#[test]
fn both_ways_end_when_the_input_does_first_the_one_in_use() {
    let even = |number: u32| {
        if number.is_multiple_of(2) { Either::Left(number) } else { Either::Right(number) }
    };
    for (numbers, sequences) in [([2, 1], [[1], [2]]), ([1, 2], [[2], [1]])] {
        let node = branch(even, cbor::encode_sequence(), cbor::encode_sequence());
        let (out, end) = run(node, numbers);
        assert_eq!((messages(&out), end), (sequences.map(Vec::from).to_vec(), Next::End));
    }
}

#[test]
fn a_fault_of_the_source_goes_through_ways() {
    let mut pipeline = Pipeline::new(branch(Either::Left, map(|it| it), map(|it: u32| it)));
    pipeline.offer(1).unwrap();
    pipeline.fail(Fault::Source("connection lost"));
    assert_eq!(pipeline.poll(), Next::Item(1));
    assert_eq!(pipeline.poll(), Next::Fault(Fault::Source("connection lost")));
}

#[test]
fn first_bytes_decide_however_they_are_cut() {
    for step in [1, 2, 100] {
        let node = branch_prefix(b"abc", prepend(b"yes:"), prepend(b"no:"));
        let input = [&b"abcd"[..], b"abc", b"ab", b"", b"abd", b"xabc"];
        let input: Vec<_> = input.iter().flat_map(|message| pieces(message, step)).collect();
        let (out, end) = run(node, input);
        assert_eq!(end, Next::End);
        let expected = ["yes:d", "yes:", "no:ab", "no:", "no:abd", "no:xabc"];
        assert_eq!(messages(&out), expected.map(|text| text.as_bytes().to_vec()), "{step}");
    }
}

#[test]
fn an_unknown_prefix_is_named_and_rejections_say_what_they_are_told() {
    let (_, end) = run(branch_prefix(b"a", skip(""), refuse_prefix()), pieces(b"bc", 9));
    assert_eq!(end, Next::Fault(Fault::UnknownPrefix(Some(b'b'))));
    let (_, end) = run(reject::<u32>(Fault::Source("no")), [1]);
    assert_eq!(end, Next::Fault(Fault::Source("no")));
}

#[test]
fn two_ways_merge_into_one() {
    let node = merge(map(|number: u32| number.to_string()), map(|text: &str| text.to_string()));
    let (out, end) = run(node, [Either::Left(1), Either::Right("two"), Either::Left(3)]);
    assert_eq!((out, end), (vec!["1".to_string(), "two".into(), "3".into()], Next::End));
}

#[test]
fn a_fault_of_the_source_comes_after_what_came_before_it() {
    let mut pipeline = Pipeline::new(
        cbor::encode().then(zlib::deflate(1)).then(zlib::inflate()).then(cbor::decode::<u32>()),
    );
    pipeline.offer(7).unwrap();
    pipeline.fail(Fault::Source("connection lost"));
    pipeline.end();
    assert_eq!(pipeline.poll(), Next::Item(7));
    assert_eq!(pipeline.poll(), Next::Fault(Fault::Source("connection lost")));
    assert_eq!(pipeline.poll(), Next::Over);
    assert_eq!(pipeline.offer(8), Err(Refused::Closed(8)));
}

#[test]
fn a_full_pipeline_takes_no_more_and_loses_nothing() {
    let tight = Bounds { items: 2, bytes: 1 << 20 };
    let node = map(|number: u32| number).then(map(|number: u32| number)).bounded(tight);
    let mut pipeline = Pipeline::bounded(node, tight, tight);
    let mut offered = 0;
    while pipeline.offer(offered).is_ok() {
        offered += 1;
        assert!(offered < 100, "no bound holds");
    }
    assert_eq!(offered, 6, "two on each of three edges");
    pipeline.end();
    let out: Vec<_> = std::iter::from_fn(|| match pipeline.poll() {
        Next::Item(item) => Some(item),
        _ => None,
    })
    .collect();
    assert_eq!(out, (0..6).collect::<Vec<_>>());
}
