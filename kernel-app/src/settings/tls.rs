//! `[tls]`: HTTPS, and whom connections to others trust.

use alloc::string::String;
use alloc::vec::Vec;
use config::{ClientCertificates, Octets32, Tls};
use core::time::Duration;

/// What `[tls]` comes to. Files are named by their paths in the bundle.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// The TCP port of HTTPS; none is off.
    pub port: Option<u16>,
    /// Files of certificates, each with that of its key; none is `tls/cert.pem` and `tls/key.pem`, if they are there.
    pub identities: Vec<(String, String)>,
    /// What clients have to show.
    pub clients: ClientCertificates,
    /// The file of the authorities by which they are known.
    pub client_authorities: Option<String>,
    /// SHA-256 of the certificates by which they are known.
    pub client_fingerprints: Vec<[u8; 32]>,
    /// What the keys of session tickets are derived from, if others have it, too.
    pub ticket_key: Option<Octets32>,
    /// HTTP sends everybody on to HTTPS.
    pub redirect: bool,
    /// For how long browsers are told to use nothing but HTTPS, if they are.
    pub hsts: Option<Duration>,
    /// From a connection to the end of its handshake.
    pub handshake_timeout: Duration,
    /// Handshakes at once.
    pub handshakes_max: usize,
    /// The file of the authorities by which servers are known.
    pub authorities: Option<String>,
}

impl TlsSettings {
    /// From the section.
    pub fn new(section: &Tls) -> Self {
        let Tls {
            port,
            certificates,
            keys,
            clients,
            client_authorities,
            client_fingerprints,
            ticket_key,
            redirect,
            hsts,
            handshake_timeout,
            handshakes_max,
            authorities,
        } = section.clone();
        Self {
            port,
            identities: certificates.into_iter().zip(keys).collect(),
            clients,
            client_authorities: named(client_authorities),
            client_fingerprints: client_fingerprints.iter().map(|Octets32(it)| *it).collect(),
            ticket_key,
            redirect,
            hsts: (!hsts.is_zero()).then_some(hsts),
            handshake_timeout,
            handshakes_max,
            authorities: named(authorities),
        }
    }
}

fn named(path: String) -> Option<String> {
    (!path.is_empty()).then_some(path)
}
