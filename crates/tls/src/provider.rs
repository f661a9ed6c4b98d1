//! Provider: the algorithms that handshakes use.

mod hybrid;
#[cfg(test)]
mod known_answers;

use alloc::sync::Arc;
use alloc::vec;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring as algorithms;

/// *ring*'s algorithms, and X25519MLKEM768 in front of its groups.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        kx_groups: vec![
            &hybrid::X25519MLKEM768,
            algorithms::kx_group::X25519,
            algorithms::kx_group::SECP256R1,
            algorithms::kx_group::SECP384R1,
        ],
        ..algorithms::default_provider()
    })
}
