//! `[admin]`: what operators look at.

use alloc::string::String;
use alloc::vec::Vec;
use config::{Admin, Octets32, Token};

/// What `[admin]` comes to.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    /// The TCP port; none is off.
    pub port: Option<u16>,
    /// What requests have to show.
    pub token: Option<Token>,
    /// It is served by TLS.
    pub tls: bool,
    /// The file of the authorities by which clients are known, in the bundle.
    pub client_authorities: Option<String>,
    /// SHA-256 of the certificates by which they are known.
    pub client_fingerprints: Vec<[u8; 32]>,
    /// Names by which it may be asked, beside addresses, `localhost` and the host's name.
    pub hosts: Vec<String>,
    /// `/healthz` and `/readyz` are on the port of HTTP, too.
    pub health_on_http: bool,
}

impl AdminSettings {
    /// Clients may be known by their certificates.
    pub fn knows_clients(&self) -> bool {
        self.client_authorities.is_some() || !self.client_fingerprints.is_empty()
    }

    /// From the section.
    pub fn new(section: &Admin) -> Self {
        let Admin {
            port,
            token,
            tls,
            client_authorities,
            client_fingerprints,
            hosts,
            health_on_http,
        } = section.clone();
        Self {
            port,
            token,
            tls,
            client_authorities: (!client_authorities.is_empty()).then_some(client_authorities),
            client_fingerprints: client_fingerprints.iter().map(|Octets32(it)| *it).collect(),
            hosts,
            health_on_http,
        }
    }
}
