//! TLS to the admin port: the server is known by an authority, or by the SHA-256 of its certificate, which need not lead
//! anywhere then.

use crate::admin::Failure;
use crate::options::Options;
use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WantsClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, StreamOwned,
};
use std::fmt;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
    TransportAdapter,
};

/// SHA-256 of a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 32]);

/// Goes on by TLS where the URL says `https`.
#[derive(Debug)]
pub(crate) struct TlsConnector(Arc<ClientConfig>);

impl TlsConnector {
    /// With whom the command line trusts and what it shows.
    pub(crate) fn new(options: &Options) -> Result<Self, Failure> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| Failure(error.to_string()))?;
        let verifier = match (options.fingerprint, &options.cacert) {
            (Some(expected), _) => Arc::new(ByFingerprint { expected, provider }),
            (None, Some(path)) => by_authority(path, &provider)?,
            (None, None) => return Err(Failure(UNTRUSTED.into())),
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        Ok(Self(Arc::new(showing(builder, options)?)))
    }
}

const UNTRUSTED: &str = "whom is trusted? --cacert FILE has an authority, and --fingerprint is the server's certificate's SHA-256, as \
     its log says it";

fn by_authority(
    path: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Failure> {
    let said = |error: &dyn fmt::Display| Failure(format!("{}: {error}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| said(&error))? {
        let added = roots.add(certificate.map_err(|error| said(&error))?);
        added.map_err(|error| said(&error))?;
    }
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    builder.build().map(|it| it as Arc<dyn ServerCertVerifier>).map_err(|error| said(&error))
}

/// With the certificate of the command line, if it has one.
fn showing(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    options: &Options,
) -> Result<ClientConfig, Failure> {
    let (Some(path), Some(key_path)) = (&options.cert, &options.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let said =
        |path: &Path, error: &dyn fmt::Display| Failure(format!("{}: {error}", path.display()));
    let chain = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let chain = chain.map_err(|error| said(path, &error))?;
    let key = PrivateKeyDer::from_pem_file(key_path).map_err(|error| said(key_path, &error))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| said(path, &error))
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|error| ureq::Error::Other(Box::new(error)))?;
        let failed = |error| ureq::Error::Other(Box::new(error));
        let mut connection = ClientConnection::new(self.0.clone(), name).map_err(failed)?;
        let mut below = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        below.set_timeout(details.timeout);
        connection.complete_io(&mut below)?;
        let config = &details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        let stream = StreamOwned::new(connection, below);
        Ok(Some(Either::B(TlsTransport { buffers, stream })))
    }
}

/// A connection by TLS, over another.
pub(crate) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        Ok(self.stream.write_all(&self.buffers.output()[..amount])?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

/// Accepts the one certificate of this fingerprint, whatever its names and times are.
#[derive(Debug)]
struct ByFingerprint {
    expected: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ByFingerprint {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = Fingerprint::of(end_entity);
        if found == self.expected {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::General(format!("the server's certificate has another SHA-256, {found}")))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl Fingerprint {
    fn of(certificate: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, certificate).as_ref());
        Self(bytes)
    }
}

/// 64 hexadecimal digits; colons between the bytes are allowed, as openssl writes them.
impl std::str::FromStr for Fingerprint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str =
            "64 hexadecimal digits, as `openssl x509 -fingerprint -sha256` has them";
        let digits: Vec<_> = text.chars().filter(|digit| *digit != ':').collect();
        let digits: Option<Vec<_>> = digits.iter().map(|digit| digit.to_digit(16)).collect();
        let digits = digits.filter(|digits| digits.len() == 64).ok_or(WRONG)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = u8::try_from(16 * pair[0] + pair[1]).map_err(|_| WRONG)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_64_digits_with_or_without_colons() {
        let plain = "0f".repeat(32);
        let with_colons = ["0F"; 32].join(":");
        let read = |text: &str| text.parse::<Fingerprint>();
        assert_eq!(read(&plain), Ok(Fingerprint([15; 32])));
        assert_eq!(read(&with_colons), read(&plain));
        assert_eq!(read(&plain).unwrap().to_string(), plain);
        for wrong in [&plain[1..], &format!("{plain}0"), &plain.replace('f', "g"), ""] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn another_certificate_is_refused_and_its_fingerprint_said() {
        let expected = Fingerprint::of(b"a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = ByFingerprint { expected, provider };
        let name = ServerName::try_from("a.example").unwrap();
        let verified = |bytes: &'static [u8]| {
            let certificate = CertificateDer::from(bytes);
            verifier.verify_server_cert(
                &certificate,
                &[],
                &name,
                &[],
                UnixTime::since_unix_epoch(Default::default()),
            )
        };
        assert!(verified(b"a certificate").is_ok());
        let error = verified(b"another one").unwrap_err().to_string();
        assert!(error.contains(&Fingerprint::of(b"another one").to_string()), "{error}");
    }
}
