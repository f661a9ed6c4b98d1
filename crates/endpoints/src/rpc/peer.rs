//! Who is at the other end.

use core::fmt;
use flow::Address;

/// SHA-256 of a peer's public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha-256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What is known of the peer of a connection. The seam for a secure channel: it hands over its
/// flow together with the fingerprint that it checked, and the service offered can depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it is.
    pub address: Address,
    /// Its key, if the channel proved that it has it.
    pub fingerprint: Option<Fingerprint>,
}

impl Peer {
    /// A peer that proved nothing.
    pub fn unknown(address: Address) -> Self {
        Self { address, fingerprint: None }
    }
}
