//! TLS 1.3 (RFC 8446) and 1.2 (RFC 5246) without I/O: handshakes, records, certificates.
//!
//! A [`ServerContext`] or [`ClientContext`] is made once. Each connection begins as a [`Handshake`] and becomes a
//! [`Session`], which opens records where they arrived and seals them where they will be sent from:
//!
//! ```
//! use tls::{ClientContext, ClientOptions, Clock, Handshake, Identity, Opened, ServerContext, ServerOptions, Trust};
//!
//! let identity = Identity::self_made(&["web.example"])?;
//! let trust = Trust::fingerprints([identity.fingerprint()]);
//! let clock = Clock::new(core::time::Duration::from_secs(1_800_000_000));
//! let server = ServerContext::new(ServerOptions::new(vec![identity], clock.clone()))?;
//! let client = ClientContext::new(ClientOptions::new(trust, clock))?;
//!
//! let (mut here, mut there) = (client.handshake("web.example")?, server.handshake()?);
//! while !(here.is_complete() && there.is_complete()) {
//!     pass(&mut here, &mut there)?;
//!     pass(&mut there, &mut here)?;
//! }
//! let (mut here, mut there) = (here.into_session()?, there.into_session()?);
//!
//! let mut record = [0; 64];
//! let start = here.prefix_bytes();
//! record[start..start + 5].copy_from_slice(b"hello");
//! let count = here.seal(&mut record, 5)?;
//! let Opened::Data { plaintext, .. } = there.open(&mut record[..count])? else { panic!() };
//! assert_eq!(&record[plaintext], b"hello");
//!
//! fn pass(from: &mut Handshake, to: &mut Handshake) -> Result<(), tls::TlsError> {
//!     let taken = to.handle_input(from.output())?;
//!     from.output_taken(taken);
//!     Ok(())
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What makes keys is rustls, behind a small trait (`engine.rs`); the algorithms are *ring*'s and, for ML-KEM, libcrux's
//! (`provider.rs`). Random bytes come from `getrandom(2)`, which an image answers itself.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod by_key;
mod clock;
mod context;
mod der;
mod end_point;
mod engine;
mod error;
mod handshake;
mod identity;
mod names;
mod provider;
mod record;
mod secret_key;
mod self_made;
mod session;
mod session_store;
#[cfg(test)]
mod tests;
mod tickets;
mod trust;

pub use clock::Clock;
pub use context::{ClientContext, ClientOptions, ContextError, ServerContext, ServerOptions};
pub use engine::Info;
pub use error::{Alert, TlsError};
pub use handshake::{HANDSHAKE_BYTES_MAX, Handshake};
pub use identity::{Identity, IdentityError};
pub use names::hex;
pub use record::{OVERHEAD_BYTES_MAX, PLAINTEXT_BYTES_MAX, RECORD_BYTES_MAX};
pub use secret_key::SecretKey;
pub use session::{Opened, Session};
pub use tickets::TicketKey;
pub use trust::{ClientCertificates, Trust, TrustError};

/// SHA-256 of a certificate's bytes, or of a public key's, by which it is known.
fn fingerprint(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest.as_ref());
    fingerprint
}
