//! Contexts: what all connections of a server, or of a client, have in common.

use crate::by_key::{AnyTime, ByKey};
use crate::engine;
use crate::provider::provider;
use crate::session_store::SessionStore;
use crate::tickets::Tickets;
use crate::trust::{self, ClientCertificates, Trust, TrustError};
use crate::{Clock, Handshake, Identity, SecretKey, TicketKey, TlsError};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use rustls::client::Resumption;
use rustls::pki_types::{DnsName, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};

/// What a server is told.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// What it shows: the first that is for the name which the client asks for, else the first of all.
    pub identities: Vec<Identity>,
    /// The time of day. Without it there are no tickets, and no certificate of a client is in force.
    pub clock: Clock,
    /// Protocols above (RFC 7301), the best first. None here: whatever the client says.
    pub protocols: Vec<Vec<u8>>,
    /// What clients have to show.
    pub clients: ClientCertificates,
    /// The secret of servers that share tickets; none makes keys of its own.
    pub ticket_key: Option<TicketKey>,
}

impl ServerOptions {
    /// With these identities, for any client.
    pub fn new(identities: Vec<Identity>, clock: Clock) -> Self {
        Self {
            identities,
            clock,
            protocols: Vec::new(),
            clients: ClientCertificates::Off,
            ticket_key: None,
        }
    }
}

/// What a client is told.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Whose certificates it accepts.
    pub trust: Trust,
    /// The time of day. Without it no certificate is in force.
    pub clock: Clock,
    /// Protocols above (RFC 7301), the best first.
    pub protocols: Vec<Vec<u8>>,
    /// What it shows to servers that ask.
    pub identity: Option<Identity>,
}

impl ClientOptions {
    /// With this trust, and nothing to show.
    pub fn new(trust: Trust, clock: Clock) -> Self {
        Self { trust, clock, protocols: Vec::new(), identity: None }
    }
}

/// No context can be made of the options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextError {
    /// A server has no identity.
    NoIdentity,
    /// Whom to trust is not usable, or nobody.
    Trust(TrustError),
}

impl fmt::Display for ContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoIdentity => f.write_str("a server needs a certificate"),
            Self::Trust(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ContextError {}

/// What all connections of a server have in common. Clones are the same one.
#[derive(Clone)]
pub struct ServerContext {
    config: Arc<ServerConfig>,
    clock: Clock,
}

impl ServerContext {
    /// Makes it.
    ///
    /// # Errors
    /// See [`ContextError`].
    pub fn new(options: ServerOptions) -> Result<Self, ContextError> {
        let ServerOptions { identities, clock, protocols, clients, ticket_key } = options;
        if identities.is_empty() {
            return Err(ContextError::NoIdentity);
        }
        let provider = provider();
        let asks = !matches!(clients, ClientCertificates::Off);
        let verifier = trust::of_clients(clients, &provider).map_err(ContextError::Trust)?;
        let builder = ServerConfig::builder_with_details(provider, Arc::new(clock.clone()));
        // It knows both versions' suites.
        let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]);
        let builder = builder.map_err(|_| ContextError::NoIdentity)?;
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Identities(identities)));
        config.alpn_protocols = protocols;
        config.enable_secret_extraction = true;
        // Ours: all of them are good, and the first are the fastest here.
        config.ignore_client_order = true;
        // A client's certificate is looked at in each handshake: what is resumed would not show it again. And a
        // ticket's age cannot be known without a clock.
        if asks || clock.seconds().is_none() {
            config.send_tls13_tickets = 0;
        } else {
            config.send_tls13_tickets = 1;
            config.ticketer = Arc::new(Tickets::new(clock.clone(), ticket_key));
        }
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(Self { config: Arc::new(config), clock })
    }

    /// Of a server that shows this key, and asks its clients for theirs, whichever they are: TLS 1.3 only, and each
    /// connection with a whole handshake. Who a client is says [`Info::peer_key`](crate::Info::peer_key).
    ///
    /// # Errors
    /// See [`ContextError`].
    pub fn by_key(key: &SecretKey) -> Result<Self, ContextError> {
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let verifier = Arc::new(ByKey { expected: None, algorithms });
        let builder = ServerConfig::builder_with_details(provider, Arc::new(AnyTime));
        let builder = builder.with_protocol_versions(&[&TLS13]);
        let builder = builder.map_err(|_| ContextError::NoIdentity)?;
        let builder = builder.with_client_cert_verifier(verifier);
        let mut config = builder.with_cert_resolver(Arc::new(Identities([of_key(key)?].into())));
        config.enable_secret_extraction = true;
        config.ignore_client_order = true;
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(Self { config: Arc::new(config), clock: Clock::unset() })
    }

    /// The time of day, to be set before handshakes go on.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Begins with a client that has just connected.
    ///
    /// # Errors
    /// There are no random bytes.
    pub fn handshake(&self) -> Result<Handshake, TlsError> {
        Handshake::new(engine::server(self.config.clone())?)
    }
}

/// What all connections of a client have in common, tickets of servers among it. Clones are the same one.
#[derive(Clone)]
pub struct ClientContext {
    config: Arc<ClientConfig>,
    clock: Clock,
}

impl ClientContext {
    /// Makes it.
    ///
    /// # Errors
    /// See [`ContextError`].
    pub fn new(options: ClientOptions) -> Result<Self, ContextError> {
        Self::of_versions(options, &[&TLS13, &TLS12])
    }

    /// One that speaks nothing newer.
    #[cfg(test)]
    pub(crate) fn tls12(options: ClientOptions) -> Result<Self, ContextError> {
        Self::of_versions(options, &[&TLS12])
    }

    fn of_versions(
        options: ClientOptions,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Self, ContextError> {
        let ClientOptions { trust, clock, protocols, identity } = options;
        let provider = provider();
        let verifier = trust::of_servers(trust, &provider).map_err(ContextError::Trust)?;
        let builder = ClientConfig::builder_with_details(provider, Arc::new(clock.clone()));
        let builder = builder.with_protocol_versions(versions);
        let builder = builder.map_err(|_| ContextError::NoIdentity)?;
        // Ours asks rustls' own, and accepts certificates that are known one by one.
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { key, .. }) => {
                let key = CertifiedKey::clone(&key);
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
            }
        };
        config.alpn_protocols = protocols;
        config.enable_secret_extraction = true;
        config.resumption = Resumption::store(Arc::new(SessionStore::new()));
        Ok(Self { config: Arc::new(config), clock })
    }

    /// Of a client that shows this key, to the one server that has the key of this
    /// [fingerprint](SecretKey::fingerprint), whatever it is called: TLS 1.3 only, and each connection with a whole
    /// handshake. A server with another key does not get to see the client's.
    ///
    /// # Errors
    /// See [`ContextError`].
    pub fn by_key(key: &SecretKey, server: [u8; 32]) -> Result<Self, ContextError> {
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let verifier = Arc::new(ByKey { expected: Some(server), algorithms });
        let builder = ClientConfig::builder_with_details(provider, Arc::new(AnyTime));
        let builder = builder.with_protocol_versions(&[&TLS13]);
        let builder = builder.map_err(|_| ContextError::NoIdentity)?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let shown = CertifiedKey::clone(&of_key(key)?.key);
        let mut config = builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
        config.enable_sni = false;
        config.enable_secret_extraction = true;
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), clock: Clock::unset() })
    }

    /// The time of day, to be set before handshakes go on.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Begins with a server that has this name, or this address.
    ///
    /// # Errors
    /// It is no name that a certificate can have, or there are no random bytes.
    pub fn handshake(&self, server: &str) -> Result<Handshake, TlsError> {
        let name = ServerName::try_from(server.to_string());
        let name = name.map_err(|_| TlsError::Handshake("a server's name is no host".into()))?;
        Handshake::new(engine::client(self.config.clone(), name)?)
    }
}

/// What is shown of a key: a certificate without a name of its own.
fn of_key(key: &SecretKey) -> Result<Identity, ContextError> {
    Identity::of_key(key, &["capnp"]).map_err(|_| ContextError::NoIdentity)
}

/// A server's identities, of which the client's hello chooses one (RFC 6066 section 3).
#[derive(Debug)]
struct Identities(Vec<Identity>);

impl ResolvesServerCert for Identities {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable = |identity: &&Identity| {
            identity.key.key.choose_scheme(hello.signature_schemes()).is_some()
        };
        let name = hello.server_name().and_then(|name| DnsName::try_from(name).ok());
        let named = name
            .map(ServerName::DnsName)
            .and_then(|name| self.0.iter().filter(usable).find(|identity| identity.is_for(&name)));
        // One that nobody has gets the first: the client sees whose it is, and decides.
        let found = named.or_else(|| self.0.iter().find(usable)).or(self.0.first())?;
        Some(found.key.clone())
    }
}
