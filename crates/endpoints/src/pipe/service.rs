//! Message format of services: what requests and replies look like, as pipelines.
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
use super::scale::Scale;
use ::pipe::{
    Either, Expansion, NodeExt, Piece, branch, branch_prefix, cbor, map, prepend, refuse_prefix,
    zlib,
};
use ::zmq::{Limits, Options, SocketType};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use core::time::Duration;
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

/// What callers may ask of a service. One whose messages exceed a limit loses its connection; a request
/// that cannot be read within the others is answered with the cause.
#[derive(Clone, Copy, Debug)]
pub struct ServiceLimits {
    /// Longest request, bytes, as it comes and as it is decompressed. Default 16 MiB: a list of a
    /// million integers fits.
    pub message_bytes_max: usize,
    /// Bytes of requests that are not whole yet, over all callers; beyond it the one that holds most
    /// of them goes. Default 32 MiB: two of the longest.
    pub unfinished_bytes_max: usize,
    /// Parts of one message. Default 1,024: envelopes need under ten.
    pub parts_max: usize,
    /// Longest command, bytes. Default 8 KiB: READY with generous metadata.
    pub command_bytes_max: u64,
    /// Nesting of arrays and maps in a request. Default 64: decoding uses the stack, some 300 bytes a
    /// level.
    pub nesting_max: usize,
    /// Bytes that a byte of a compressed request may become. Default 512: half of what DEFLATE can
    /// reach, a hundred times what real data does.
    pub expansion_ratio_max: u64,
    /// Bytes of a decompressed request before the ratio counts. Default 1 MiB.
    pub expansion_free_bytes: u64,
    /// Callers at a time. Default 10,000: each costs under 1 KiB while it is idle.
    pub peers_max: usize,
    /// Requests being handled at a time; further ones wait in their connections. One caller has no more
    /// than there are places free. Default 1,024: each costs a task and its request.
    pub requests_max: usize,
    /// Replies that may wait to be sent to one caller. Default 1,000, libzmq's mark.
    pub send_messages_max: usize,
    /// Bytes of them; a longer reply goes alone. Default 4 MiB.
    pub send_bytes_max: usize,
    /// Requests of one caller that may wait to be handled. Default 1,000, libzmq's mark.
    pub receive_messages_max: usize,
    /// Bytes of them; a longer request waits alone. Default 4 MiB.
    pub receive_bytes_max: usize,
    /// From a connection's start to the end of its handshake. Default 30 s, libzmq's.
    pub handshake_timeout: Duration,
    /// How long a request may lack bytes of which none comes. Default 60 s.
    pub stall_timeout: Duration,
    /// How long a caller may take nothing of what is there for it. Default 60 s, as for HTTP.
    pub write_timeout: Duration,
    /// Bytes per second at which a request must come, and what is there for a caller must be taken, on the whole; zero is
    /// no least rate. Default 500.
    pub bytes_per_second_min: u32,
}

impl Default for ServiceLimits {
    fn default() -> Self {
        Self {
            message_bytes_max: 16 << 20,
            unfinished_bytes_max: 32 << 20,
            parts_max: 1024,
            command_bytes_max: 8 << 10,
            nesting_max: 64,
            expansion_ratio_max: 512,
            expansion_free_bytes: 1 << 20,
            peers_max: 10_000,
            requests_max: 1024,
            send_messages_max: 1000,
            send_bytes_max: 4 << 20,
            receive_messages_max: 1000,
            receive_bytes_max: 4 << 20,
            handshake_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            bytes_per_second_min: 500,
        }
    }
}

impl ServiceLimits {
    /// The socket on which callers are served: within these limits, and such that a caller that reads
    /// no replies holds back its own requests, and no other caller.
    pub(super) fn options(&self) -> Options {
        let message_bytes_max = self.message_bytes_max.saturating_add(ENVELOPE_BYTES);
        let mut options = Options::new(SocketType::Router);
        options.config.limits = Limits {
            // A part is no longer than its message.
            frame_bytes_max: message_bytes_max as u64,
            message_bytes_max,
            parts_max: self.parts_max,
            command_bytes_max: self.command_bytes_max,
            handshake_timeout: self.handshake_timeout,
            stall_timeout: self.stall_timeout,
            write_timeout: Some(self.write_timeout),
            bytes_per_second_min: self.bytes_per_second_min,
            ..Limits::default()
        };
        options.send_messages_max = self.send_messages_max;
        options.send_bytes_max = self.send_bytes_max;
        options.receive_messages_max = self.receive_messages_max;
        options.receive_bytes_max = self.receive_bytes_max;
        options.unfinished_bytes_max = self.unfinished_bytes_max;
        options.peers_max = self.peers_max;
        options.router_holds = true;
        options
    }
}

/// Room for what stands before a request: route, caller's envelope, mark.
const ENVELOPE_BYTES: usize = 1024;

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
    scale: Rc<Scale>,
) -> Codec<Piece, Marked<T>> {
    let object = cbor::Limits {
        object_bytes_max: limits.message_bytes_max,
        nesting_max: limits.nesting_max,
    };
    let expansion = Expansion {
        output_bytes_max: limits.message_bytes_max as u64,
        ratio_max: limits.expansion_ratio_max,
        free_bytes: limits.expansion_free_bytes,
    };
    let read = move |compress| {
        let scale = scale.clone();
        map(move |piece| scale.add(piece))
            .then(cbor::decode_within::<T>(object))
            .then(map(move |object| Marked { object, compress }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    /// But for the length of messages, and for callers who take nothing, a service's socket is any socket's.
    #[test]
    fn defaults_are_those_of_sockets() {
        let service = ServiceLimits::default().options();
        let socket = Options::new(SocketType::Router);
        let limits = Limits {
            frame_bytes_max: service.config.limits.frame_bytes_max,
            message_bytes_max: service.config.limits.message_bytes_max,
            write_timeout: service.config.limits.write_timeout,
            ..socket.config.limits.clone()
        };
        assert_eq!(format!("{limits:?}"), format!("{:?}", service.config.limits));
        let marks = |options: &Options| {
            let send = (options.send_messages_max, options.send_bytes_max);
            let receive = (options.receive_messages_max, options.receive_bytes_max);
            (options.peers_max, send, receive)
        };
        assert_eq!(marks(&service), marks(&socket));
        let expansion = Expansion::default();
        let ServiceLimits { expansion_ratio_max, expansion_free_bytes, nesting_max, .. } =
            ServiceLimits::default();
        assert_eq!(
            (expansion.ratio_max, expansion.free_bytes),
            (expansion_ratio_max, expansion_free_bytes)
        );
        assert_eq!(cbor::Limits::default().nesting_max, nesting_max);
    }
}
