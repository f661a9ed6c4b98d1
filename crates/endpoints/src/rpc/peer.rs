//! Peer of a vat: who is at the other end.

use ::rpc::Fingerprint;
use flow::Address;

/// What is known of the peer of a connection.
///
/// This is the seam for a secure channel. As a server it accepts a flow, makes it secure, and hands
/// that over with the fingerprint that it checked; the service offered can depend on it:
///
/// ```ignore
/// let (flow, fingerprint) = channel.accept(listener.accept().await?).await?;
/// let peer = Peer { address: flow.peer(), fingerprint: Some(fingerprint) };
/// rpc.serve_flow(flow, &peer, |peer| services_for(peer.fingerprint));
/// ```
///
/// As a client it checks the fingerprint that a sturdy reference names:
///
/// ```ignore
/// let flow = channel.connect(connector.connect(&target).await?, reference.fingerprint).await?;
/// let service: echo::Client = rpc.restore_flow(flow, &reference.service);
/// ```
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
