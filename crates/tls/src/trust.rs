//! Trust: whose certificates are accepted, of servers and of clients.

use crate::fingerprint;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

/// Whose certificates are accepted: those that lead to an authority, and those of these fingerprints, which need no
/// authority and do not expire.
#[derive(Clone, Debug)]
pub struct Trust {
    authorities: RootCertStore,
    fingerprints: Vec<[u8; 32]>,
    servers: Servers,
}

/// How much of a server's certificate is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Servers {
    /// Who vouches for it, and whether it is for the name that was asked for.
    Named,
    /// Who vouches for it.
    Vouched,
    /// Nothing: whoever stands between can be the server.
    Any,
}

/// The list of authorities is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustError;

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no `BEGIN CERTIFICATE` of an authority in it, or one that is damaged")
    }
}

impl core::error::Error for TrustError {}

impl Trust {
    /// Nobody's.
    pub fn nobody() -> Self {
        let authorities = RootCertStore::empty();
        Self { authorities, fingerprints: Vec::new(), servers: Servers::Named }
    }

    /// Any server's, whoever vouches for it or nobody, in force or not. It keeps out who only listens, and nobody who stands
    /// between; of clients it trusts nobody.
    pub fn any_server() -> Self {
        Self { servers: Servers::Any, ..Self::nobody() }
    }

    /// Those of these fingerprints, each the SHA-256 of a certificate.
    pub fn fingerprints(fingerprints: impl IntoIterator<Item = [u8; 32]>) -> Self {
        Self { fingerprints: fingerprints.into_iter().collect(), ..Self::nobody() }
    }

    /// Also those that lead to one of these authorities, in PEM (RFC 7468).
    ///
    /// # Errors
    /// There is none, or one is damaged.
    pub fn and_authorities(mut self, pem: &[u8]) -> Result<Self, TrustError> {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let added = self.authorities.add(certificate.map_err(|_| TrustError)?);
            added.map_err(|_| TrustError)?;
        }
        if self.authorities.is_empty() { Err(TrustError) } else { Ok(self) }
    }

    /// Servers may have another name than the one that was asked for: any that one of the authorities vouches for is as good.
    #[must_use]
    pub fn without_names(mut self) -> Self {
        if self.servers == Servers::Named {
            self.servers = Servers::Vouched;
        }
        self
    }

    /// Nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.fingerprints.is_empty() && self.servers != Servers::Any
    }
}

/// What a server asks of its clients.
#[derive(Clone, Debug)]
pub enum ClientCertificates {
    /// Nothing.
    Off,
    /// A certificate, if the client has one; another than those that are accepted ends the handshake.
    Optional(Trust),
    /// A certificate.
    Required(Trust),
}

/// A server's verifier of clients; none if it asks for nothing.
pub(crate) fn of_clients(
    clients: ClientCertificates,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TrustError> {
    let (trust, is_required) = match clients {
        ClientCertificates::Off => return Ok(None),
        ClientCertificates::Optional(trust) => (trust, false),
        ClientCertificates::Required(trust) => (trust, true),
    };
    let Trust { authorities, fingerprints, servers: _ } = trust;
    let by_authority = if authorities.is_empty() {
        None
    } else {
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider.clone());
        Some(builder.build().map_err(|_| TrustError)?)
    };
    let known = Known { fingerprints, algorithms: provider.signature_verification_algorithms };
    Ok(Some(Arc::new(OfClients { known, by_authority, is_required })))
}

/// A client's verifier of servers.
pub(crate) fn of_servers(
    trust: Trust,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TrustError> {
    let Trust { authorities, fingerprints, servers } = trust;
    let known = Known { fingerprints, algorithms: provider.signature_verification_algorithms };
    let check = match servers {
        Servers::Any => Check::Nothing,
        Servers::Vouched => Check::Authority(authorities),
        Servers::Named if authorities.is_empty() => Check::Authority(authorities),
        Servers::Named => {
            let authorities = Arc::new(authorities);
            let builder =
                WebPkiServerVerifier::builder_with_provider(authorities, provider.clone());
            Check::All(builder.build().map_err(|_| TrustError)?)
        }
    };
    Ok(Arc::new(OfServers { known, check }))
}

/// Certificates that are known, and how their signatures are checked.
#[derive(Debug)]
struct Known {
    fingerprints: Vec<[u8; 32]>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Known {
    fn contains(&self, certificate: &CertificateDer<'_>) -> bool {
        !self.fingerprints.is_empty() && self.fingerprints.contains(&fingerprint(certificate))
    }
}

const UNKNOWN: Error = Error::InvalidCertificate(CertificateError::UnknownIssuer);

#[derive(Debug)]
struct OfClients {
    known: Known,
    by_authority: Option<Arc<dyn ClientCertVerifier>>,
    is_required: bool,
}

impl ClientCertVerifier for OfClients {
    fn client_auth_mandatory(&self) -> bool {
        self.is_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        match &self.by_authority {
            // Whoever is known by a fingerprint has none of these authorities, and would show nothing.
            Some(verifier) if self.known.fingerprints.is_empty() => verifier.root_hint_subjects(),
            _ => &[],
        }
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.known.contains(end_entity) {
            return Ok(ClientCertVerified::assertion());
        }
        let verifier = self.by_authority.as_ref().ok_or(UNKNOWN)?;
        verifier.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.known.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.known.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.known.algorithms.supported_schemes()
    }
}

#[derive(Debug)]
struct OfServers {
    known: Known,
    check: Check,
}

/// What is looked at of a certificate that is not known by its fingerprint.
#[derive(Debug)]
enum Check {
    Nothing,
    Authority(RootCertStore),
    All(Arc<WebPkiServerVerifier>),
}

impl ServerCertVerifier for OfServers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.known.contains(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        match &self.check {
            Check::Nothing => {}
            Check::Authority(authorities) if authorities.is_empty() => return Err(UNKNOWN),
            Check::Authority(authorities) => verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(end_entity)?,
                authorities,
                intermediates,
                now,
                self.known.algorithms.all,
            )?,
            Check::All(verifier) => {
                verifier.verify_server_cert(
                    end_entity,
                    intermediates,
                    server_name,
                    ocsp_response,
                    now,
                )?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.known.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.known.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.known.algorithms.supported_schemes()
    }
}
