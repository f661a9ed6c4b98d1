//! CBOR as foreign encoders write it: what Python's cbor2 and cbor-x of JavaScript send, what RFC 8949 allows beyond that,
//! and what it does not.

use pipe::cbor::{self, Limits};
use pipe::{Fault, Next, Piece, Pipeline};
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::Ipv4Addr;

fn bytes(hex: &str) -> Vec<u8> {
    let hex: String = hex.split_whitespace().collect();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn decode_pieces<T: DeserializeOwned>(message: &[u8], piece_bytes: usize) -> Result<T, Fault> {
    let mut pipeline = Pipeline::new(cbor::decode::<T>());
    let count = message.chunks(piece_bytes).len().max(1);
    let pieces = message.chunks(piece_bytes).map(<[u8]>::to_vec);
    for (at, piece) in pieces.chain(message.is_empty().then(Vec::new)).enumerate() {
        pipeline.offer(Piece { bytes: piece.into(), last: at + 1 == count }).unwrap();
    }
    match pipeline.poll() {
        Next::Item(object) => Ok(object),
        Next::Fault(fault) => Err(fault),
        other => panic!("{:?}", std::mem::discriminant(&other)),
    }
}

/// The object, which is the same however the message is cut.
fn decode<T: DeserializeOwned + Debug>(hex: &str) -> Result<T, Fault> {
    let message = bytes(hex);
    let whole = decode_pieces(&message, usize::MAX);
    for piece_bytes in [1, 2, 3] {
        let cut = decode_pieces::<T>(&message, piece_bytes);
        assert_eq!(format!("{cut:?}"), format!("{whole:?}"), "{hex} in pieces of {piece_bytes}");
    }
    whole
}

/// What a type is shown that takes anything; of arrays and maps, also for how many it is told to make room.
#[derive(Debug, PartialEq)]
enum Seen {
    Bytes(Vec<u8>),
    Numbers(Vec<u8>, Option<usize>),
    Entries(Vec<(u8, u8)>, Option<usize>),
}

/// What a type is shown that asks for bytes.
#[derive(Debug, PartialEq)]
struct Blob(Seen);

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SeenVisitor)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_byte_buf(SeenVisitor).map(Self)
    }
}

struct SeenVisitor;

impl<'de> Visitor<'de> for SeenVisitor {
    type Value = Seen;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("bytes, numbers or entries")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Seen, E> {
        Ok(Seen::Bytes(bytes.to_vec()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Seen, A::Error> {
        let (mut numbers, hint) = (Vec::new(), seq.size_hint());
        assert!(hint.is_none_or(|hint| hint <= 3), "{hint:?}");
        while let Some(number) = seq.next_element()? {
            numbers.push(number);
        }
        Ok(Seen::Numbers(numbers, hint))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seen, A::Error> {
        let (mut entries, hint) = (Vec::new(), map.size_hint());
        assert!(hint.is_none_or(|hint| hint <= 4), "{hint:?}");
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Seen::Entries(entries, hint))
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Unit,
    New(u32),
    Pair(u8, u8),
    Struct { a: u8 },
    Empty(()),
    Maybe(Option<u8>),
}

#[test]
fn an_enum_is_a_text_or_a_map_of_one_entry_whatever_its_header() {
    for (hex, kind) in [
        ("64 556e6974", Kind::Unit),
        ("a1 63 4e6577 05", Kind::New(5)),
        // cbor-x writes the number of entries in two bytes.
        ("b9 0001 63 4e6577 05", Kind::New(5)),
        ("b8 01 63 4e6577 05", Kind::New(5)),
        ("ba 00000001 63 4e6577 05", Kind::New(5)),
        ("bb 0000000000000001 63 4e6577 05", Kind::New(5)),
        ("bf 63 4e6577 05 ff", Kind::New(5)),
        ("bf 7f 61 4e 62 6577 ff 05 ff", Kind::New(5)),
        ("a1 64 50616972 82 01 02", Kind::Pair(1, 2)),
        ("b9 0001 64 50616972 9f 01 02 ff", Kind::Pair(1, 2)),
        ("a1 66 537472756374 a1 61 61 01", Kind::Struct { a: 1 }),
        ("b9 0001 66 537472756374 b9 0001 61 61 01", Kind::Struct { a: 1 }),
        ("bf 66 537472756374 bf 61 61 01 ff ff", Kind::Struct { a: 1 }),
        ("a1 64 556e6974 f6", Kind::Unit),
        ("b9 0001 64 556e6974 f7", Kind::Unit),
        ("a1 65 456d707479 f6", Kind::Empty(())),
        ("a1 65 456d707479 80", Kind::Empty(())),
        ("a1 65 4d61796265 f6", Kind::Maybe(None)),
        ("a1 65 4d61796265 07", Kind::Maybe(Some(7))),
        ("d9d9f7 b9 0001 c1 63 4e6577 c1 05", Kind::New(5)),
    ] {
        assert_eq!(decode(hex), Ok(kind), "{hex}");
    }
    for hex in [
        // No entry, two, a variant that is not there, content of another shape, a variant without its content.
        "a0",
        "bf ff",
        "a2 63 4e6577 05 64 556e6974 f6",
        "bf 63 4e6577 05 64 556e6974 f6 ff",
        "a1 61 78 05",
        "61 78",
        "a1 63 4e6577 61 35",
        "a1 64 556e6974 05",
        "63 4e6577",
        "64 50616972",
        "66 537472756374",
        "a1 64 50616972 81 01",
        "a1 64 50616972 83 01 02 03",
        "05",
        "f6",
        "82 63 4e6577 05",
    ] {
        assert_eq!(decode::<Kind>(hex), Err(Fault::Shape("cbor")), "{hex}");
    }
}

#[test]
fn a_float_is_taken_in_any_precision_and_as_a_whole_number() {
    // As cbor2 writes them, and as it does in canonical form.
    for (hex, value) in [
        ("fb 0000000000000000", 0.0),
        ("f9 0000", 0.0),
        ("f9 8000", -0.0),
        ("fb 3ff8000000000000", 1.5),
        ("f9 3e00", 1.5),
        ("f9 c100", -2.5),
        ("f9 7bff", 65504.0),
        ("f9 0001", 5.960_464_477_539_063e-8),
        ("f9 03ff", 6.097_555_160_522_461e-5),
        ("f9 0400", 6.103_515_625e-5),
        ("fb 3fb999999999999a", 0.1),
        ("f9 7c00", f64::INFINITY),
        ("f9 fc00", f64::NEG_INFINITY),
        ("fa 7f7fffff", 3.402_823_466_385_288_6e38),
        ("00", 0.0),
        ("18 ff", 255.0),
        ("1b 0020000000000000", 9_007_199_254_740_992.0),
        ("1b ffffffffffffffff", 18_446_744_073_709_551_615.0),
        ("20", -1.0),
        ("3b 7fffffffffffffff", -9_223_372_036_854_775_808.0),
        ("c2 49 010000000000000000", 18_446_744_073_709_551_616.0),
        ("c1 fb 3ff8000000000000", 1.5),
    ] {
        let decoded: f64 = decode(hex).unwrap_or_else(|fault| panic!("{hex}: {fault}"));
        assert_eq!(decoded.to_bits(), value.to_bits(), "{hex}");
        assert_eq!(decode::<f32>(hex).map(f32::to_bits), Ok((value as f32).to_bits()), "{hex}");
    }
    assert!(decode::<f64>("f9 7e00").unwrap().is_nan());
    for hex in ["f6", "f5", "61 31", "80"] {
        assert_eq!(decode::<f64>(hex), Err(Fault::Shape("cbor")), "{hex}");
    }
}

#[test]
fn a_whole_number_is_taken_as_an_integral_float_and_in_any_length() {
    for (hex, value) in [
        ("03", 3),
        ("18 03", 3),
        ("1b 0000000000000003", 3),
        ("f9 4200", 3),
        ("fa 40400000", 3),
        ("fb 4008000000000000", 3),
        ("f9 c200", -3),
        ("f9 8000", 0),
        ("22", -3),
        ("fb 430c6bf526340000", 1_000_000_000_000_000),
        ("fb c3e0000000000000", i64::MIN),
        ("3b 7fffffffffffffff", i64::MIN),
        ("c2 41 05", 5),
        ("c3 41 04", -5),
        ("c2 55 000000000000000000000000000000000000000005", 5),
        ("c2 40", 0),
        ("d9 03e8 03", 3),
    ] {
        assert_eq!(decode::<i64>(hex), Ok(value), "{hex}");
        assert_eq!(decode::<i128>(hex), Ok(value.into()), "{hex}");
        let unsigned = u64::try_from(value).map_err(|_| Fault::Shape("cbor"));
        assert_eq!(decode::<u64>(hex), unsigned, "{hex}");
        let byte = u8::try_from(value).map_err(|_| Fault::Shape("cbor"));
        assert_eq!(decode::<u8>(hex), byte, "{hex}");
    }
    assert_eq!(decode::<u64>("fb 43e0000000000000"), Ok(1 << 63));
    assert_eq!(decode::<u128>("c2 50 ffffffffffffffffffffffffffffffff"), Ok(u128::MAX));
    assert_eq!(decode::<i128>("c3 50 7fffffffffffffffffffffffffffffff"), Ok(i128::MIN));
    assert_eq!(decode::<i128>("3b ffffffffffffffff"), Ok(-(1 << 64)));
    for hex in [
        "f9 4300",                                  // 3.5
        "f9 7e00",                                  // NaN
        "f9 7c00",                                  // infinity
        "fb 43f0000000000000",                      // 2^64
        "fb c3f0000000000000",                      // -2^64
        "c2 49 010000000000000000",                 // 2^64
        "c2 51 0100000000000000000000000000000000", // 2^128
        "c3 50 ffffffffffffffffffffffffffffffff",   // -2^128
        "c2 61 35",
        "f4",
        "61 35",
    ] {
        assert_eq!(decode::<u64>(hex), Err(Fault::Shape("cbor")), "{hex}");
    }
}

#[test]
fn tags_are_read_over_wherever_they_stand() {
    let map = || BTreeMap::from([("a".to_owned(), vec![Some(1_u8), None])]);
    assert_eq!(decode("d9d9f7 a1 61 61 82 01 f6"), Ok(map()));
    assert_eq!(decode("d9d9f7 d9d9f7 a1 d8 20 61 61 c0 82 c1 01 d818 f6"), Ok(map()));
    assert_eq!(decode("d903e8 d820 61 78"), Ok("x".to_owned()));
    assert_eq!(decode("db ffffffffffffffff f5"), Ok(true));
    assert_eq!(decode("c1 1a 6955b900"), Ok(1_767_225_600_u64));
    assert_eq!(decode("c2 61 78"), Ok("x".to_owned()), "a number's tag says nothing of a text");
    assert_eq!(decode("c1 f6"), Ok(()));
    assert!(decode::<IgnoredAny>("d9d9f7 82 c1 01 d903e8 a0").is_ok());
    // However many: they are no nesting.
    assert_eq!(decode_pieces(&[vec![0xc1; 100_000], vec![0x05]].concat(), 4096), Ok(5_u8));
    assert_eq!(decode::<u8>("c1"), Err(Fault::Truncated));
    assert_eq!(decode::<u8>("dc 05"), Err(Fault::Corrupt("cbor")));
}

#[test]
fn nothing_is_null_undefined_or_an_empty_array() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Nothing;
    for hex in ["f6", "f7", "80", "d9d9f7 f6"] {
        assert_eq!((decode(hex), decode(hex)), (Ok(()), Ok(Nothing)), "{hex}");
    }
    for hex in ["00", "81 00", "a0", "60", "f4"] {
        assert_eq!(decode::<()>(hex), Err(Fault::Shape("cbor")), "{hex}");
    }
    assert_eq!(decode::<Option<u8>>("f7"), Ok(None));
}

/// A length that is not said is no fault of the bytes; where there can be none, it is.
#[test]
fn an_item_of_another_kind_is_of_the_wrong_shape_if_it_is_one() {
    for hex in ["40", "5f ff", "60", "7f ff", "80", "9f ff", "a0", "bf ff", "f6", "f9 7e00"] {
        assert_eq!(decode::<u8>(hex), Err(Fault::Shape("cbor")), "{hex}");
    }
    for first in [0x1c, 0x3c, 0x5c, 0x7c, 0x9c, 0xbc, 0xdc, 0xfc] {
        for low in 0..=2 {
            let message = [first + low, 0, 0];
            assert_eq!(decode_pieces::<u8>(&message, 1), Err(Fault::Corrupt("cbor")));
        }
    }
    for hex in ["1f", "3f", "df 00", "ff"] {
        assert_eq!(decode::<u8>(hex), Err(Fault::Corrupt("cbor")), "{hex}");
    }
}

/// Types that have a form for people and one for programs have the latter, as for all encoders of Rust's.
#[test]
fn an_address_is_its_bytes() {
    let address = Ipv4Addr::new(10, 0, 0, 2);
    assert_eq!(decode("84 0a 00 00 02"), Ok(address));
    let mut pipeline = Pipeline::new(cbor::encode());
    pipeline.offer(address).unwrap();
    assert_eq!(pipeline.poll(), Next::Item(Piece::last(bytes("84 0a 00 00 02"))));
}

/// As cbor-x 1.6 writes it without options.
#[test]
fn what_javascript_sends_is_read() {
    // `5_000_000_000`, `2n ** 70n` and `-5n`: numbers beyond 32 bits are floats.
    assert_eq!(decode("fb 41f2a05f20000000"), Ok(5_000_000_000_u64));
    assert_eq!(decode("fb c1f2a05f20000000"), Ok(-5_000_000_000_i64));
    assert_eq!(decode("c2 49 400000000000000000"), Ok(1_u128 << 70));
    assert_eq!(decode("3b 0000000000000004"), Ok(-5_i8));
    // `new Map([["New", 5]])`, `new Date(0)`, `new Uint8Array([1, 2])` and a `Buffer`.
    assert_eq!(decode("d90103 a1 63 4e6577 05"), Ok(Kind::New(5)));
    assert_eq!(decode("c1 1a 00000000"), Ok(0_u32));
    for hex in ["d840 42 0102", "42 0102", "5f 41 01 41 02 ff", "82 01 02"] {
        assert_eq!((decode(hex), decode(hex)), (Ok(vec![1_u8, 2]), Ok([1_u8, 2])), "{hex}");
    }
    let two = || vec![1, 2];
    for hex in ["d840 42 0102", "42 0102", "5f 41 01 41 02 ff"] {
        assert_eq!(decode(hex), Ok(Seen::Bytes(two())), "{hex}");
        assert_eq!(decode(hex), Ok(Blob(Seen::Bytes(two()))), "{hex}");
    }
    assert_eq!(decode("82 01 02"), Ok(Blob(Seen::Numbers(two(), Some(2)))));
    assert_eq!(decode::<Blob>("62 6162"), Err(Fault::Shape("cbor")));
    assert_eq!(decode::<[u8; 2]>("43 010203"), Err(Fault::Shape("cbor")));
    assert_eq!(decode::<Vec<String>>("42 0102"), Err(Fault::Shape("cbor")));
    assert_eq!(decode::<Vec<u8>>("42 01"), Err(Fault::Truncated));
}

#[test]
fn a_type_that_takes_anything_is_given_what_there_is() {
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(untagged)]
    enum Any {
        Nothing(()),
        Flag(bool),
        Whole(i64),
        Float(f64),
        Text(String),
        List(Vec<Any>),
        Map(BTreeMap<String, Any>),
    }
    let list = vec![Any::Nothing(()), Any::Flag(true), Any::Whole(-1), Any::Float(1.5)];
    assert_eq!(decode("84 f6 f5 20 f9 3e00"), Ok(Any::List(list)));
    let map = [("a".to_owned(), Any::Text("b".to_owned()))];
    assert_eq!(decode("d9d9f7 bf 61 61 c0 61 62 ff"), Ok(Any::Map(map.into())));
}

#[test]
fn a_fault_says_whether_bytes_or_shape_are_wrong() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Point {
        x: u8,
        y: u8,
    }
    assert_eq!(decode("bf 61 79 02 61 78 01 ff"), Ok(Point { x: 1, y: 2 }));
    for (hex, fault) in [
        ("", Fault::Truncated),
        ("a2 61 78 01 61 79", Fault::Truncated),
        ("bf 61 78 01 61 79 02", Fault::Truncated),
        ("a2 61 78 01 61 79 02 00", Fault::TrailingBytes),
        ("a1 61 78 01", Fault::Shape("cbor")),
        ("a2 61 78 01 61 79 61 32", Fault::Shape("cbor")),
        ("a2 01 01 02 02", Fault::Shape("cbor")),
        ("82 01 02", Fault::Shape("cbor")),
        ("ff", Fault::Corrupt("cbor")),
        ("bc", Fault::Corrupt("cbor")),
        ("a2 61 78 1c", Fault::Corrupt("cbor")),
        ("a2 61 78 ff", Fault::Corrupt("cbor")),
        ("a2 61 ff 01", Fault::Corrupt("cbor")),
        ("a3 61 78 01 61 79 02 61 7a fc", Fault::Corrupt("cbor")),
    ] {
        assert_eq!(decode::<Point>(hex), Err(fault), "{hex}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    for kind in [
        Kind::Unit,
        Kind::New(70_000),
        Kind::Pair(1, 2),
        Kind::Struct { a: 3 },
        Kind::Empty(()),
        Kind::Maybe(None),
    ] {
        let text = format!("{kind:?}");
        let mut pipeline = Pipeline::new(cbor::encode::<Kind>());
        pipeline.offer(kind).unwrap();
        let Next::Item(piece) = pipeline.poll() else { panic!("{text}") };
        let read = decode_pieces::<Kind>(&piece.bytes, usize::MAX);
        assert_eq!(read.map(|kind| format!("{kind:?}")), Ok(text));
    }
}

/// Whatever arrives: no panic, no more memory than what is there asks for, no deeper than allowed.
#[test]
fn damaged_messages_are_faults() {
    type Everything = BTreeMap<String, Vec<(Option<f64>, Kind, i128, (), bool)>>;
    let message = bytes(
        "d9d9f7 bf 62 6162 82 85 f9 3e00 b9 0001 63 4e6577 05 c2 42 0102 f6 f5 9f fb 3ff8000000000000 a1 66 537472756374 a1 61 61 01 20 80 f4 ff ff",
    );
    assert!(decode_pieces::<Everything>(&message, usize::MAX).is_ok());
    for at in 0..message.len() {
        for value in 0..=255 {
            let mut damaged = message.clone();
            damaged[at] = value;
            let _ = decode_pieces::<Everything>(&damaged, 7);
            let _ = decode_pieces::<IgnoredAny>(&damaged, usize::MAX);
        }
        let cut = decode_pieces::<Everything>(&message[..at], usize::MAX);
        assert_eq!(cut.err(), Some(Fault::Truncated), "{at}");
    }
}

#[test]
fn a_length_that_is_claimed_makes_no_room() {
    for hex in ["9b 00000000ffffffff 00", "bb 00000000ffffffff 00 00", "5b 00000000ffffffff 00"] {
        assert_eq!(decode::<IgnoredAny>(hex).err(), Some(Fault::Truncated), "{hex}");
    }
    // Of a list of four thousand million of elements two bytes are there: so many elements at most.
    assert_eq!(decode::<Vec<u64>>("9b 00000000ffffffff 00 00"), Err(Fault::Truncated));
    let numbers = || vec![1, 2, 3];
    assert_eq!(decode("83 01 02 03"), Ok(Seen::Numbers(numbers(), Some(3))));
    assert_eq!(decode::<Seen>("9b 00000000ffffffff 01 02 03"), Err(Fault::Truncated));
    assert_eq!(decode("9f 01 02 03 ff"), Ok(Seen::Numbers(numbers(), None)));
    let (entries, none) = (vec![(1, 2), (3, 4)], vec![]);
    assert_eq!(decode("a2 01 02 03 04"), Ok(Seen::Entries(entries.clone(), Some(2))));
    assert_eq!(decode("a0"), Ok(Seen::Entries(none, Some(0))));
    assert_eq!(decode("bf 01 02 03 04 ff"), Ok(Seen::Entries(entries, None)));
    assert_eq!(decode::<Seen>("bb 00000000ffffffff 01 02"), Err(Fault::Truncated));
    let limits = Limits { nesting_max: 3, ..Limits::default() };
    let mut pipeline = Pipeline::new(cbor::decode_within::<IgnoredAny>(limits));
    pipeline.offer(Piece::last(vec![0x81, 0x81, 0x81, 0x81, 0])).unwrap();
    assert!(matches!(pipeline.poll(), Next::Fault(Fault::TooDeep)));
}
