//! Peer of a vat: who is at the other end.

use ::rpc::Fingerprint;
use flow::Address;

/// What is known of the peer of a connection; what it is offered can depend on that. With a key are the peers of a
/// `SecureVat`, and those of other channels whose flows are given to [`Rpc::serve_flow`](super::Rpc::serve_flow).
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
