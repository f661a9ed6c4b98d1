//! What requests and replies look like, as pipelines.
//!
//! A message is a CBOR object behind one byte that says what was done to it:
//!
//! | byte | request | reply |
//! |---|---|---|
//! | `p` | plain | plain |
//! | `z` | compressed by zlib, and so may the reply be | compressed by zlib |
//! | `c` | plain, and the reply may be compressed | |
//! | `e` | | the request failed: a text that says why |

use super::codec::{BoxedNode, Codec};
use ::pipe::{
    Either, Expansion, NodeExt, Piece, branch, branch_prefix, cbor, map, prepend, refuse_prefix,
    zlib,
};
use alloc::boxed::Box;
use alloc::string::String;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What to compress in a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compress {
    /// Nothing.
    #[default]
    No,
    /// The reply.
    Reply,
    /// The request and the reply.
    Both,
}

/// What callers may ask of a service.
#[derive(Clone, Copy, Debug)]
pub struct ServiceLimits {
    /// Longest request, bytes, as it comes and as it is decompressed. Of all callers together,
    /// twice as many may be on their way. Default 128 MiB.
    pub request_bytes: usize,
}

impl Default for ServiceLimits {
    fn default() -> Self {
        Self { request_bytes: 128 << 20 }
    }
}

/// An object and what is to be done to it.
#[derive(Debug)]
pub(super) struct Marked<T> {
    pub(super) object: T,
    pub(super) compress: Compress,
}

/// What a caller hears.
pub(super) type Answer<T> = Result<T, String>;

/// zlib's level: fast, since a message's latency counts more here than its last bytes.
const LEVEL: u8 = 3;

/// Requests as bytes.
pub(super) fn request_writer<T: Serialize + 'static>() -> Codec<Marked<T>, Piece> {
    Codec::new(|| {
        Box::new(branch(
            |request: Marked<T>| match request.compress {
                Compress::Both => Either::Left(request.object),
                Compress::Reply => Either::Right(Either::Left(request.object)),
                Compress::No => Either::Right(Either::Right(request.object)),
            },
            cbor::encode().then(zlib::deflate(LEVEL)).then(prepend(b"z")),
            ::pipe::merge(cbor::encode().then(prepend(b"c")), cbor::encode().then(prepend(b"p"))),
        ))
    })
}

/// Bytes as requests.
pub(super) fn request_reader<T: DeserializeOwned + 'static>(
    limits: ServiceLimits,
) -> Codec<Piece, Marked<T>> {
    let object_bytes = limits.request_bytes;
    let object = cbor::Limits { object_bytes, ..cbor::Limits::default() };
    let expansion = Expansion { output_bytes: object_bytes as u64, ..Expansion::default() };
    let read = move |compress| {
        cbor::decode_within::<T>(object).then(map(move |object| Marked { object, compress }))
    };
    Codec::new(move || {
        Box::new(branch_prefix(
            b"p",
            read(Compress::No),
            branch_prefix(
                b"z",
                zlib::inflate_within(expansion).then(read(Compress::Both)),
                branch_prefix(b"c", read(Compress::Reply), refuse_prefix()),
            ),
        )) as BoxedNode<_, _>
    })
}

/// Replies as bytes.
pub(super) fn reply_writer<T: Serialize + 'static>() -> Codec<Marked<Answer<T>>, Piece> {
    Codec::new(|| {
        Box::new(branch(
            |reply: Marked<Answer<T>>| match (reply.object, reply.compress) {
                (Ok(object), Compress::No) => Either::Right(Either::Left(object)),
                (Ok(object), _) => Either::Left(object),
                (Err(why), _) => Either::Right(Either::Right(why)),
            },
            cbor::encode().then(zlib::deflate(LEVEL)).then(prepend(b"z")),
            ::pipe::merge(cbor::encode().then(prepend(b"p")), cbor::encode().then(prepend(b"e"))),
        ))
    })
}

/// Bytes as replies.
pub(super) fn reply_reader<T: DeserializeOwned + 'static>() -> Codec<Piece, Answer<T>> {
    Codec::new(|| {
        Box::new(branch_prefix(
            b"p",
            cbor::decode::<T>().then(map(Ok)),
            branch_prefix(
                b"z",
                zlib::inflate().then(cbor::decode::<T>()).then(map(Ok)),
                branch_prefix(b"e", cbor::decode::<String>().then(map(Err)), refuse_prefix()),
            ),
        ))
    })
}
