//! `[tls]`: HTTPS, and whom connections to others trust.

use alloc::{string::String, vec::Vec};
use core::{fmt, str::FromStr, time::Duration};

/// `[tls]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// TCP port of HTTPS; none is off. Default off: a certificate is somebody's decision.
    pub port: Option<u16>,
    /// Files of the bundle with certificates in PEM, each with those that lead to its authority. Default none, which is
    /// `tls/cert.pem` if the bundle has it, and else a certificate of the appliance's own making.
    pub certificates: Vec<String>,
    /// Files of the bundle with the private keys of these, in the same order. Default none, which is `tls/key.pem`.
    pub keys: Vec<String>,
    /// What is asked of clients. Default off.
    pub clients: ClientCertificates,
    /// The file of the bundle with the authorities of clients' certificates, in PEM. Default none.
    pub client_authorities: String,
    /// SHA-256 of clients' certificates that need no authority. Default none.
    pub client_fingerprints: Vec<Octets32>,
    /// What several appliances derive the keys of session tickets from. Default none: each has its own.
    pub ticket_key: Option<Octets32>,
    /// HTTP requests are sent on to HTTPS. Default false: whoever needs HTTP keeps it.
    pub redirect: bool,
    /// For how long browsers are told to use nothing but HTTPS (RFC 6797); zero does not tell them. Default zero: it cannot
    /// be taken back.
    pub hsts: Duration,
    /// A handshake must be complete in this time. Default 10 s.
    pub handshake_timeout: Duration,
    /// Handshakes at once; the oldest gives way to the next. Default 256: some 10 KiB each.
    pub handshakes_max: usize,
    /// The file of the bundle with the authorities that servers are trusted by to which the appliance connects, in PEM.
    /// Default none: no server is.
    pub authorities: String,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            port: None,
            certificates: Vec::new(),
            keys: Vec::new(),
            clients: ClientCertificates::Off,
            client_authorities: String::new(),
            client_fingerprints: Vec::new(),
            ticket_key: None,
            redirect: false,
            hsts: Duration::ZERO,
            handshake_timeout: Duration::from_secs(10),
            handshakes_max: 256,
            authorities: String::new(),
        }
    }
}

/// What a TLS server asks of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Nothing.
    Off,
    /// A certificate, if there is one.
    Optional,
    /// A certificate.
    Required,
}

/// 32 bytes, written as 64 hexadecimal digits: a SHA-256, or a secret of that length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Octets32(pub [u8; 32]);

impl FromStr for Octets32 {
    type Err = ();

    /// Colons between the bytes are allowed, as openssl writes them.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut digits = text.chars().filter(|digit| *digit != ':').map(|digit| digit.to_digit(16));
        let mut bytes = [0; 32];
        for byte in &mut bytes {
            let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else {
                return Err(());
            };
            *byte = (16 * high + low) as u8;
        }
        digits.next().is_none().then_some(Self(bytes)).ok_or(())
    }
}

/// In hexadecimal digits, whatever it is.
impl fmt::Display for Octets32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// It may be a secret.
impl fmt::Debug for Octets32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Octets32(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn what_may_be_a_secret_is_not_shown_for_debugging() {
        let octets: Octets32 = "0a:F0".repeat(16).parse().unwrap();
        assert_eq!((octets.0[0], octets.0[31]), (0x0a, 0xf0));
        assert_eq!(format!("{octets}"), "0af0".repeat(16));
        assert_eq!(format!("{octets:?}"), "Octets32(..)");
    }
}
