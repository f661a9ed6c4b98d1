//! Identity: a certificate with its chain, and its private key.

use crate::der::{CONTEXT_0, GENERALIZED_TIME, OID, Reader, SEQUENCE, UTC_TIME};
use crate::provider::provider;
use crate::{SecretKey, fingerprint, self_made};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;

/// What a server, or a client that is asked, shows of itself.
#[derive(Clone)]
pub struct Identity {
    pub(crate) key: Arc<CertifiedKey>,
    fingerprint: [u8; 32],
    validity: Validity,
}

/// When a certificate begins and when it expires, as far as that can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Validity {
    not_before_seconds: Option<u64>,
    not_after_seconds: Option<u64>,
}

/// An identity cannot be made of this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// The first text has no certificate in PEM.
    NoCertificate,
    /// The second text has no private key in PEM.
    NoKey,
    /// The key is encrypted, and nobody is there to ask for its password.
    EncryptedKey,
    /// The key is of a kind that is not known, or damaged.
    BadKey(String),
    /// Key and certificate do not belong together.
    Mismatch,
    /// A certificate is none: the first, or one of those behind it.
    BadCertificate,
    /// There are no random bytes to make a key of.
    NoRandom,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str(
                "there is no text from `-----BEGIN CERTIFICATE-----` to `-----END CERTIFICATE-----` in it, each at the start of a line",
            ),
            Self::NoKey => f.write_str(
                "there is no private key in it, as `BEGIN PRIVATE KEY`, `BEGIN EC PRIVATE KEY` or `BEGIN RSA PRIVATE KEY`",
            ),
            Self::EncryptedKey => {
                f.write_str("the private key is encrypted: `openssl pkey` writes it in the clear")
            }
            Self::BadKey(reason) => write!(
                f,
                "the private key is none of ECDSA (P-256, P-384), Ed25519 and RSA (2048 to 4096 bits): {reason}"
            ),
            Self::Mismatch => f.write_str("the private key is of another certificate"),
            Self::BadCertificate => f.write_str("a certificate in it is damaged"),
            Self::NoRandom => f.write_str("there are no random bytes to make a key of"),
        }
    }
}

impl core::error::Error for IdentityError {}

impl Identity {
    /// From PEM (RFC 7468): the certificate first, then those that lead to its authority; the key as PKCS#8, SEC1 or
    /// PKCS#1, of ECDSA (P-256, P-384), Ed25519 or RSA (2048 bits and more).
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain = CertificateDer::pem_slice_iter(certificates);
        let chain: Result<Vec<_>, _> = chain.collect();
        let chain = chain.map_err(|_| IdentityError::NoCertificate)?;
        Self::new(chain, private_key(key)?)
    }

    /// A new key, and a certificate of its own making for these names and addresses: others can know it by its
    /// fingerprint only.
    ///
    /// # Errors
    /// There are no random bytes.
    pub fn self_made(names: &[&str]) -> Result<Self, IdentityError> {
        Self::of_key(&SecretKey::generate()?, names)
    }

    /// A certificate of a key's own making for these names and addresses.
    ///
    /// # Errors
    /// There are no random bytes.
    pub fn of_key(key: &SecretKey, names: &[&str]) -> Result<Self, IdentityError> {
        let certificate = self_made::certificate(&*key.signing, names);
        let certificate = CertificateDer::from(certificate.ok_or(IdentityError::NoRandom)?);
        let fingerprint = fingerprint(&certificate);
        let validity = validity(&certificate);
        let key = CertifiedKey::new(Vec::from([certificate]), key.signing.clone());
        Ok(Self { key: Arc::new(key), fingerprint, validity })
    }

    /// SHA-256 of the certificate, by which it is known.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// When the certificate comes into force, in seconds since 1970-01-01 00:00 UTC.
    pub fn not_before_seconds(&self) -> Option<u64> {
        self.validity.not_before_seconds
    }

    /// When the certificate expires, in seconds since 1970-01-01 00:00 UTC.
    pub fn not_after_seconds(&self) -> Option<u64> {
        self.validity.not_after_seconds
    }

    /// Whether each certificate's issuer is the subject of the one behind it (RFC 8446 section 4.4.2): some clients do not look
    /// for another order, and none wants what does not belong there.
    pub fn is_chain_in_order(&self) -> bool {
        let chain = &self.key.cert;
        chain.iter().zip(chain.iter().skip(1)).all(|(one, next)| {
            let (issuer, subject) = (field(one, ISSUER), field(next, SUBJECT));
            issuer.is_some() && issuer == subject
        })
    }

    /// Whether the certificate is for this host.
    pub(crate) fn is_for(&self, name: &ServerName<'_>) -> bool {
        let parsed =
            self.key.end_entity_cert().ok().map(rustls::server::ParsedCertificate::try_from);
        let Some(Ok(parsed)) = parsed else { return false };
        rustls::client::verify_server_name(&parsed, name).is_ok()
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, IdentityError> {
        let first = chain.first().ok_or(IdentityError::NoCertificate)?;
        let validity = validity(first);
        // The peer reads all of them.
        if chain.iter().any(|it| rustls::server::ParsedCertificate::try_from(it).is_err()) {
            return Err(IdentityError::BadCertificate);
        }
        let fingerprint = fingerprint(first);
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => IdentityError::Mismatch,
            error => IdentityError::BadKey(error.to_string()),
        })?;
        Ok(Self { key: Arc::new(key), fingerprint, validity })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", crate::hex(&self.fingerprint))
    }
}

/// The private key of a text in PEM.
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, IdentityError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let encrypted = b"ENCRYPTED";
        let is_encrypted = pem.windows(encrypted.len()).any(|text| text == encrypted);
        if is_encrypted { IdentityError::EncryptedKey } else { IdentityError::NoKey }
    })
}

/// `subjectPublicKeyInfo` of a certificate, as it stands there.
pub(crate) fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    fields_from(certificate, PUBLIC_KEY)?.whole(SEQUENCE)
}

/// The algorithm of a certificate's signature, as an OBJECT IDENTIFIER's content.
pub(crate) fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    Reader::new(field(certificate, SIGNATURE)?).expect(OID)
}

/// The places of a certificate's fields behind the version (RFC 5280 section 4.1).
const SIGNATURE: usize = 1;
const ISSUER: usize = 2;
const VALIDITY: usize = 3;
const SUBJECT: usize = 4;
const PUBLIC_KEY: usize = 5;

/// The content of a field of a certificate.
fn field(certificate: &[u8], place: usize) -> Option<&[u8]> {
    fields_from(certificate, place)?.next().map(|(_, content)| content)
}

/// The fields of a certificate from this place on.
fn fields_from(certificate: &[u8], place: usize) -> Option<Reader<'_>> {
    let mut content = Reader::new(Reader::new(certificate).expect(SEQUENCE)?);
    let mut fields = Reader::new(content.expect(SEQUENCE)?);
    // The version has a default, and is left out then.
    let mut ahead = fields;
    if ahead.next()?.0 == CONTEXT_0 {
        fields = ahead;
    }
    for _ in 0..place {
        fields.next()?;
    }
    Some(fields)
}

/// RFC 5280 section 4.1.2.5.
fn validity(certificate: &[u8]) -> Validity {
    let Some(content) = field(certificate, VALIDITY) else { return Validity::default() };
    let mut times = Reader::new(content);
    let mut next = || times.next().and_then(|(tag, text)| seconds(tag, text));
    Validity { not_before_seconds: next(), not_after_seconds: next() }
}

/// RFC 5280 section 4.1.2.5: the two forms of a time.
fn seconds(tag: u8, text: &[u8]) -> Option<u64> {
    let number = |from: usize, to: usize| -> Option<u64> {
        core::str::from_utf8(text.get(from..to)?).ok()?.parse().ok()
    };
    let (year, rest) = match tag {
        // Two digits: from 1950 to 2049.
        UTC_TIME => (number(0, 2)? + if number(0, 2)? < 50 { 2000 } else { 1900 }, 2),
        GENERALIZED_TIME => (number(0, 4)?, 4),
        _ => return None,
    };
    let part = |index: usize| number(rest + 2 * index, rest + 2 * index + 2);
    let days = days_since_1970(year, part(0)?, part(1)?)?;
    Some(days * 86_400 + part(2)? * 3600 + part(3)? * 60 + part(4)?)
}

/// Days of the Gregorian calendar; none before 1970.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years begin in March, so that a leap day is the last of one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    days.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_self_made_identity_is_for_its_names_only() {
        let identity = Identity::self_made(&["a.example", "10.0.0.2", "fe80::2"]).unwrap();
        let is_for = |name: &str| identity.is_for(&ServerName::try_from(name).unwrap());
        assert!(is_for("a.example") && is_for("10.0.0.2") && is_for("fe80::2"));
        assert!(!is_for("b.example") && !is_for("10.0.0.3"));
        // 9999-12-31 23:59:59.
        assert_eq!(identity.not_after_seconds(), Some(253_402_300_799));
        // 2020-01-01 00:00:00.
        assert_eq!(identity.not_before_seconds(), Some(1_577_836_800));
        let other = Identity::self_made(&["a.example"]).unwrap();
        assert_ne!(identity.fingerprint(), other.fingerprint());
    }

    #[test]
    fn rfc5280_4_1_2_5_times_of_both_forms() {
        // As date(1) has them.
        for (tag, text, expected) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (UTC_TIME, "500101000000Z", None),
            (GENERALIZED_TIME, "20240229120001Z", Some(1_709_208_001)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "2050010100000", None),
            (GENERALIZED_TIME, "20501301000000Z", None),
            (OTHER, "20240229120001Z", None),
        ] {
            assert_eq!(seconds(tag, text.as_bytes()), expected, "{text}");
        }
    }

    const OTHER: u8 = 0x13;
}
