//! Secret key: what a peer without a name is known by.

use crate::fingerprint;
use crate::identity::{IdentityError, private_key};
use crate::provider::provider;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use base64ct::{Base64, Encoding};
use core::fmt;
use ring::hkdf;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;
use zeroize::{Zeroize, Zeroizing};

/// A private key, and the name that follows from it: whoever has the key is who the name says. Clones are the same key.
#[derive(Clone)]
pub struct SecretKey {
    pub(crate) signing: Arc<dyn SigningKey>,
    fingerprint: [u8; 32],
    /// Further secrets are made of it (RFC 5869).
    secrets: hkdf::Prk,
}

impl SecretKey {
    /// From PEM (RFC 7468), of the kinds that [`Identity::from_pem`](crate::Identity::from_pem) takes.
    ///
    /// # Errors
    /// There is no usable key in it.
    pub fn from_pem(pem: &[u8]) -> Result<Self, IdentityError> {
        Self::new(private_key(pem)?)
    }

    /// A new one, of P-256.
    ///
    /// # Errors
    /// There are no random bytes.
    pub fn generate() -> Result<Self, IdentityError> {
        Self::new(PrivateKeyDer::Pkcs8(new_pkcs8()?))
    }

    /// A new one, of P-256, as the text of a file: PKCS#8 in PEM.
    ///
    /// # Errors
    /// There are no random bytes.
    pub fn generate_pem() -> Result<Zeroizing<String>, IdentityError> {
        let mut der = new_pkcs8()?;
        let text = pem(der.secret_pkcs8_der());
        der.zeroize();
        Ok(text)
    }

    /// SHA-256 of the public key: of its SubjectPublicKeyInfo in DER (RFC 5280 section 4.1.2.7).
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// A secret that nobody without the key can make, the same each time for the same parts: HKDF-SHA-256 over the key's
    /// DER as its file has it, with the parts one after another as the context. The same key in another form makes others.
    pub fn derive(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut secret = [0; 32];
        let made = self.secrets.expand(parts, hkdf::HKDF_SHA256);
        let filled = made.and_then(|made| made.fill(&mut secret));
        // RFC 5869 section 2.3: up to 255 times a digest's length can be made.
        filled.expect("one digest's length is not too long");
        secret
    }

    fn new(der: PrivateKeyDer<'static>) -> Result<Self, IdentityError> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"aqueduct secret key");
        let secrets = salt.extract(der.secret_der());
        let loaded = provider().key_provider.load_private_key(der);
        let signing = loaded.map_err(|error| IdentityError::BadKey(error.to_string()))?;
        let public = signing.public_key().map(|public| fingerprint(public.as_ref()));
        let fingerprint =
            public.ok_or_else(|| IdentityError::BadKey("it has no public key".into()))?;
        Ok(Self { signing, fingerprint, secrets })
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", crate::hex(&self.fingerprint))
    }
}

fn new_pkcs8() -> Result<PrivatePkcs8KeyDer<'static>, IdentityError> {
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let made = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new());
    let made = made.map_err(|_| IdentityError::NoRandom)?;
    Ok(PrivatePkcs8KeyDer::from(made.as_ref().to_vec()))
}

/// RFC 7468 section 10: lines of 64 characters of base64.
fn pem(der: &[u8]) -> Zeroizing<String> {
    const LINE_BYTES: usize = 48;
    let mut text = Zeroizing::new(String::with_capacity(2 * der.len() + 64));
    text.push_str("-----BEGIN PRIVATE KEY-----\n");
    let mut line = Zeroizing::new([0; 64]);
    for bytes in der.chunks(LINE_BYTES) {
        text.push_str(Base64::encode(bytes, &mut *line).unwrap_or_default());
        text.push('\n');
    }
    text.push_str("-----END PRIVATE KEY-----\n");
    text
}
