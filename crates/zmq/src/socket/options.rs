//! Socket options: a socket's settings.

use crate::{Config, SocketType};

/// Settings of a [`Socket`](crate::Socket).
#[derive(Clone, Debug)]
pub struct Options {
    /// Settings of each of its connections.
    pub config: Config,
    /// Messages that may wait to be sent to one peer. Default 1,000, as libzmq's.
    pub send_messages_max: usize,
    /// Bytes of bodies that may wait to be sent to one peer; a longer message goes alone.
    /// Default 4 MiB: some hundred times what a flow takes at once.
    pub send_bytes_max: usize,
    /// Messages of one peer that may wait to be received. Default 1,000, as libzmq's.
    pub receive_messages_max: usize,
    /// Bytes of bodies of one peer that may wait to be received; a longer message waits alone.
    /// Default 4 MiB.
    pub receive_bytes_max: usize,
    /// Bytes of messages that are not yet whole, over all peers. When they grow past it, the peer
    /// that holds most of them is sent away. Default 256 MiB: two messages of the longest kind.
    pub unfinished_bytes_max: usize,
    /// A part longer than this is received in pieces: its start, at least so much of it, as a
    /// message from [`Socket::recv_from`](crate::Socket::recv_from), and the rest by
    /// [`Socket::recv_chunk`](crate::Socket::recv_chunk). `Limits::message_bytes_max` then bounds the
    /// start only. Default none: all messages are received whole.
    pub stream_over_bytes: Option<usize>,
    /// PUSH, DEALER: [`Socket::poll_moved`](crate::Socket::poll_moved) says to whom messages of a lost peer
    /// went. Default off.
    pub tells_moves: bool,
    /// Peers at a time. Default 10,000: each costs under 1 KiB while it is idle.
    pub peers_max: usize,
    /// REQ: a new request may be sent while a reply is awaited, and gives that reply up
    /// (libzmq's REQ_RELAXED). Default off.
    pub request_relaxed: bool,
    /// REQ: number the requests, and drop replies to others (libzmq's REQ_CORRELATE).
    /// Default off.
    pub request_correlate: bool,
    /// ROUTER: refuse a message to an unknown or full peer instead of dropping it.
    /// Default off, as libzmq's.
    pub router_mandatory: bool,
    /// ROUTER: while a peer has no room, its messages are not received, and what is sent to it is
    /// queued past the marks. For services: a caller that reads no replies holds back itself and
    /// nobody else. Default off.
    pub router_holds: bool,
    /// ROUTER: a new peer takes over the identity of one that is there; else it is refused.
    /// Default off, as libzmq's.
    pub router_handover: bool,
}

impl Options {
    /// The defaults for a socket type.
    pub fn new(socket_type: SocketType) -> Self {
        Self {
            config: Config::new(socket_type),
            send_messages_max: 1000,
            send_bytes_max: 4 << 20,
            receive_messages_max: 1000,
            receive_bytes_max: 4 << 20,
            unfinished_bytes_max: 256 << 20,
            stream_over_bytes: None,
            tells_moves: false,
            peers_max: 10_000,
            request_relaxed: false,
            request_correlate: false,
            router_mandatory: false,
            router_holds: false,
            router_handover: false,
        }
    }
}
