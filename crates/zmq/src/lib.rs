//! Sans-I/O ZMTP 3.1, with peers of 3.0 and 2.0, and the ZeroMQ socket patterns.
//!
//! Two layers, both without a socket, a clock or an executor:
//!
//! * [`Connection`] is one side of one ZMTP conversation (RFC 37/ZMTP): greeting, security
//!   handshake, frames, heartbeats. Bodies go in and out in pieces.
//! * [`Socket`] is a ZeroMQ socket of one [`SocketType`] over many connections (RFC 28/REQREP,
//!   29/PUBSUB, 30/PIPELINE): fair queueing in, round robin out, high-water marks, lock-step.
//!
//! Both run over a stream of bytes; [`WebSocketFraming`] makes messages of WebSockets of it (RFC 45, ZWS 2.0).
//!
//! Time is an argument: a [`core::time::Duration`] since an epoch of the caller's choice.
//! Every length that a peer states is compared with a field of [`Limits`] first.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod command;
mod config;
mod connection;
mod error;
mod frame;
mod greeting;
mod greeting_v2;
mod heartbeat;
mod limits;
mod mechanism;
mod message;
mod metadata;
mod outbox;
mod socket;
mod socket_type;
#[cfg(test)]
mod turns;
mod websocket;

pub use bytes::Bytes;
pub use config::{Authority, Config, CurveClient, CurveServer, Security};
pub use connection::{Body, Connection, Event};
pub use error::{Error, SendError};
pub use heartbeat::Heartbeat;
pub use limits::Limits;
pub use mechanism::curve::{public_key, z85_decode, z85_encode};
pub use message::Message;
pub use metadata::Peer as PeerInfo;
pub use socket::{
    Chunk, Options, PeerId, Received, RecvError, Refusal, Refused, Socket, SocketEvent,
};
pub use socket_type::SocketType;
pub use websocket::{PLAIN_SUBPROTOCOL, WebSocketFraming, websocket_subprotocols};
