//! Who is at the other end.

use ::rpc::Fingerprint;
use flow::Address;

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
