//! Configuration: what one side of a connection is told before it starts.

use crate::{Heartbeat, Limits, SocketType};
use alloc::sync::Arc;
use bytes::Bytes;
use core::fmt;

/// Settings of a connection.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our socket type.
    pub socket_type: SocketType,
    /// Our identity: at most 255 bytes, not starting with zero; empty for none.
    pub identity: Bytes,
    /// The security mechanism, the same for both sides.
    pub security: Security,
    /// What the peer may ask of us.
    pub limits: Limits,
    /// Heartbeats, if we are to send them. A peer's are answered always.
    pub heartbeat: Option<Heartbeat>,
}

impl Config {
    /// The NULL mechanism, default limits, no heartbeats of ours.
    pub fn new(socket_type: SocketType) -> Self {
        Self {
            socket_type,
            identity: Bytes::new(),
            security: Security::Null,
            limits: Limits::default(),
            heartbeat: None,
        }
    }
}

/// A ZMTP security mechanism and our part in it. Client and server are independent of which
/// side binds.
#[derive(Clone)]
pub enum Security {
    /// No security (RFC 37).
    Null,
    /// PLAIN (RFC 24) as the client: a name and a password in clear text, 255 bytes each.
    PlainClient {
        /// The user's name.
        username: Bytes,
        /// The password.
        password: Bytes,
    },
    /// PLAIN as the server, which asks this authority.
    PlainServer(Arc<dyn Authority>),
    /// CURVE (RFC 26) as the client.
    CurveClient(CurveClient),
    /// CURVE as the server.
    CurveServer(CurveServer),
}

/// A CURVE client's keys.
#[derive(Clone)]
pub struct CurveClient {
    /// The server's long-term public key.
    pub server_public_key: [u8; 32],
    /// Our long-term secret key; the public one follows from it.
    pub secret_key: [u8; 32],
}

/// A CURVE server's key, and who may come in.
#[derive(Clone)]
pub struct CurveServer {
    /// Our long-term secret key; the public one follows from it.
    pub secret_key: [u8; 32],
    /// Asked for each client's long-term public key.
    pub authority: Arc<dyn Authority>,
}

/// Who may connect. Refusal ends the connection with ERROR.
pub trait Authority: Send + Sync {
    /// Whether PLAIN's name and password are right. Compare in constant time.
    fn admits_password(&self, username: &[u8], password: &[u8]) -> bool {
        let _ = (username, password);
        false
    }

    /// Whether the owner of this CURVE long-term public key may connect.
    fn admits_key(&self, public_key: &[u8; 32]) -> bool {
        let _ = public_key;
        false
    }
}

impl Security {
    /// The name in the greeting.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::PlainClient { .. } | Self::PlainServer(_) => "PLAIN",
            Self::CurveClient(_) | Self::CurveServer(_) => "CURVE",
        }
    }

    /// The as-server bit of the greeting.
    pub(crate) fn is_server(&self) -> bool {
        matches!(self, Self::PlainServer(_) | Self::CurveServer(_))
    }
}

impl fmt::Debug for Security {
    // Secrets stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = if self.is_server() { "server" } else { "client" };
        write!(f, "{} {role}", self.name())
    }
}
