//! ZeroMQ over WebSockets (RFC 45, ZWS 2.0), as what lies between a [`Connection`](crate::Connection) and messages of a WebSocket:
//! each frame is a message, of a flags octet and the body, and what ZMTP's greeting says the subprotocol says.
//!
//! The connection speaks ZMTP 3.0 for the subprotocols with a mechanism, whose subscriptions are messages, as RFC 45 has them,
//! and ZMTP 2.0 for the one without: there the first message of each side is its identity.

use crate::frame::{COMMAND, HEADER_BYTES_MAX, Header, MORE};
use crate::greeting::{GREETING_BYTES, Greeting, VERSION_BYTES};
use crate::{Config, Security, SocketType};
use alloc::vec::Vec;

/// No mechanism: what a page can ask for, since browsers let it name tokens only (RFC 9110 section 5.6.2), which have no `/`.
pub const PLAIN_SUBPROTOCOL: &str = "ZWS2.0";

/// The flags of RFC 45, "Framing".
mod flag {
    pub(super) const LAST: u8 = 0;
    pub(super) const MORE: u8 = 1;
    pub(super) const COMMAND: u8 = 2;
}

/// Of ZMTP's frames, by which a length has eight bytes (RFC 37, "Framing").
const LONG: u8 = 2;
/// The shortest header.
const HEADER_BYTES: usize = 2;
/// ZMTP 2.0's greeting up to the identity, which is a frame (RFC 15).
const GREETING_V2_BYTES: usize = VERSION_BYTES + 1;

/// The subprotocols that a socket speaks, the best first.
pub fn websocket_subprotocols(security: &Security) -> &'static [&'static str] {
    match security {
        Security::Null => &["ZWS2.0/NULL", PLAIN_SUBPROTOCOL],
        Security::PlainClient { .. } | Security::PlainServer(_) => &["ZWS2.0/PLAIN"],
        Security::CurveClient(_) | Security::CurveServer(_) => &["ZWS2.0/CURVE"],
    }
}

/// Makes messages of what a connection says, and the other way.
#[derive(Debug)]
pub struct WebSocketFraming {
    /// The peer's greeting, which it does not send.
    preamble: Vec<u8>,
    has_commands: bool,
    state: State,
    is_greeting: bool,
}

/// Of the output.
#[derive(Debug)]
enum State {
    /// The greeting lacks so many bytes.
    Greeting(usize),
    /// A frame's header, as far as it is there.
    Header([u8; HEADER_BYTES_MAX], usize),
    /// A frame's body lacks so many bytes.
    Body(u64),
}

impl WebSocketFraming {
    /// For a connection with these settings, by a subprotocol that is among
    /// [`websocket_subprotocols`]; none by another.
    pub fn new(config: &Config, subprotocol: &str) -> Option<Self> {
        let security = &config.security;
        if !websocket_subprotocols(security).contains(&subprotocol) {
            return None;
        }
        let has_commands = subprotocol != PLAIN_SUBPROTOCOL;
        let is_secured = !matches!(security, Security::Null);
        let greeting = Greeting {
            minor: 0,
            ..Greeting::new(security.name(), is_secured && !security.is_server())
        };
        let mut preamble = greeting.encode().to_vec();
        let mut greeting_bytes = GREETING_BYTES;
        if !has_commands {
            greeting_bytes = GREETING_V2_BYTES;
            preamble.truncate(VERSION_BYTES);
            preamble[VERSION_BYTES - 1] = 1;
            preamble.push(counterpart(config.socket_type).number());
        }
        Some(Self {
            preamble,
            has_commands,
            state: State::Greeting(greeting_bytes),
            is_greeting: true,
        })
    }

    /// What the connection is to read before the first message.
    pub fn preamble(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.preamble)
    }

    /// How many bytes of output are sure to be of one message; at least one.
    pub fn wanted_bytes(&self) -> usize {
        match &self.state {
            State::Greeting(left) => *left,
            State::Header(header, taken) => header_bytes(header) - taken,
            State::Body(left) => usize::try_from(*left).unwrap_or(usize::MAX),
        }
    }

    /// Takes note of output, at most so many bytes; whether they end a message, which is then for [`encode`](Self::encode).
    pub fn advance(&mut self, bytes: &[u8]) -> bool {
        match &mut self.state {
            State::Greeting(left) => *left -= bytes.len().min(*left),
            State::Body(left) => *left -= (bytes.len() as u64).min(*left),
            State::Header(header, taken) => {
                let end = HEADER_BYTES_MAX.min(*taken + bytes.len());
                header[*taken..end].copy_from_slice(&bytes[..end - *taken]);
                *taken = end;
                if let Ok(Some((parsed, _))) = Header::parse(&header[..end]) {
                    self.state = State::Body(parsed.len);
                }
            }
        }
        let is_end = matches!(self.state, State::Greeting(0) | State::Body(0));
        if is_end {
            self.state = State::Header([0; HEADER_BYTES_MAX], 0);
        }
        is_end
    }

    /// The message of the WebSocket for bytes that ended; none for the greeting.
    pub fn encode(&mut self, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        if core::mem::take(&mut self.is_greeting) {
            return None;
        }
        let (header, used) = Header::parse(&bytes).ok()??;
        bytes[used - 1] = match header.flags {
            COMMAND => flag::COMMAND,
            MORE => flag::MORE,
            _ => flag::LAST,
        };
        bytes.drain(..used - 1);
        Some(bytes)
    }

    /// What the connection is to read for a message of the WebSocket; none if it is no frame.
    pub fn decode(&self, message: &[u8]) -> Option<Vec<u8>> {
        let (flags, body) = message.split_first()?;
        let flags = match *flags {
            flag::LAST => 0,
            flag::MORE => MORE,
            flag::COMMAND if self.has_commands => COMMAND,
            _ => return None,
        };
        let (header, used) = Header { flags, len: body.len() as u64 }.encode();
        Some([&header[..usize::from(used)], body].concat())
    }
}

/// How long the header is that begins so; zeros where nothing has come.
fn header_bytes(header: &[u8; HEADER_BYTES_MAX]) -> usize {
    if header[0] & LONG != 0 { HEADER_BYTES_MAX } else { HEADER_BYTES }
}

/// The type that a peer of this one has, where it does not say: all that the type allows are treated alike.
fn counterpart(own: SocketType) -> SocketType {
    match own {
        SocketType::Req => SocketType::Rep,
        SocketType::Rep => SocketType::Req,
        SocketType::Pub | SocketType::XPub => SocketType::Sub,
        SocketType::Sub | SocketType::XSub => SocketType::Pub,
        SocketType::Push => SocketType::Pull,
        SocketType::Pull => SocketType::Push,
        SocketType::Router => SocketType::Dealer,
        SocketType::Dealer => SocketType::Router,
    }
}

#[cfg(test)]
mod tests;
