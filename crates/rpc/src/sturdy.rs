//! Sturdy references, which outlive connections: who has a service, where, and its name there.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

/// Longest name of a service, in bytes: what base64 of 256 bits and any readable name need.
pub const SERVICE_BYTES_MAX: usize = 1024;

/// SHA-256 of a vat's public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha-256:")?;
        base64(f, &self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A service of a vat. As text `capnp://sha-256:FINGERPRINT@HOST:PORT/SERVICE`, where fingerprint
/// and service are base64 of the URL alphabet without padding (RFC 4648 section 5), or
/// `capnp://insecure@HOST:PORT/SERVICE` for a vat without a key. A capability file is that text
/// and a line end; it is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SturdyRef {
    /// The key that the vat must prove to have; `None` if it has none.
    pub fingerprint: Option<Fingerprint>,
    /// A name or address; an IPv6 address without its brackets.
    pub host: String,
    /// A TCP port.
    pub port: u16,
    /// The name of the service there; empty for the one that everybody gets.
    pub service: Vec<u8>,
}

/// Why a text is no sturdy reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseSturdyRefError {
    /// It does not begin with `capnp://`.
    Scheme,
    /// What stands before `@` is neither `insecure` nor `sha-256:` and 43 characters of base64.
    Fingerprint,
    /// What stands after `@` is no host and port.
    Address,
    /// The service is no base64 or longer than [`SERVICE_BYTES_MAX`].
    Service,
}

impl SturdyRef {
    /// The contents of a capability file.
    pub fn to_file(&self) -> String {
        alloc::format!("{self}\n")
    }

    /// Reads the contents of a capability file.
    pub fn from_file(contents: &str) -> Result<Self, ParseSturdyRefError> {
        contents.trim_end_matches(['\r', '\n']).parse()
    }
}

impl fmt::Display for SturdyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("capnp://")?;
        match &self.fingerprint {
            Some(fingerprint) => write!(f, "{fingerprint}@")?,
            None => f.write_str("insecure@")?,
        }
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port)?,
            false => write!(f, "{}:{}", self.host, self.port)?,
        }
        if self.service.is_empty() {
            return Ok(());
        }
        f.write_str("/")?;
        base64(f, &self.service)
    }
}

impl FromStr for SturdyRef {
    type Err = ParseSturdyRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("capnp://").ok_or(ParseSturdyRefError::Scheme)?;
        let (who, rest) = rest.split_once('@').ok_or(ParseSturdyRefError::Fingerprint)?;
        let (address, service) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = address.rsplit_once(':').ok_or(ParseSturdyRefError::Address)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let well_formed = !host.is_empty() && (bare.is_some() || !host.contains(':'));
        if !well_formed || bare == Some("") {
            return Err(ParseSturdyRefError::Address);
        }
        Ok(Self {
            fingerprint: parse_fingerprint(who)?,
            host: bare.unwrap_or(host).into(),
            port: port.parse().map_err(|_| ParseSturdyRefError::Address)?,
            service: decode_base64(service)
                .filter(|service| service.len() <= SERVICE_BYTES_MAX)
                .ok_or(ParseSturdyRefError::Service)?,
        })
    }
}

fn parse_fingerprint(text: &str) -> Result<Option<Fingerprint>, ParseSturdyRefError> {
    if text == "insecure" {
        return Ok(None);
    }
    let digest = text.strip_prefix("sha-256:").and_then(decode_base64);
    let digest = digest.and_then(|digest| digest.try_into().ok());
    digest.map(|digest| Some(Fingerprint(digest))).ok_or(ParseSturdyRefError::Fingerprint)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// RFC 4648 section 5, without padding.
fn base64(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .enumerate()
            .fold(0u32, |bits, (index, byte)| bits | u32::from(*byte) << (16 - 8 * index));
        for index in 0..=group.len() {
            let six = (bits >> (18 - 6 * index)) & 63;
            fmt::Write::write_char(f, char::from(ALPHABET[six as usize]))?;
        }
    }
    Ok(())
}

/// `None` for other characters, an impossible length, or bits left over that are not zero: a
/// reference has one text only.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len().min(2 * SERVICE_BYTES_MAX) * 3 / 4);
    for group in text.as_bytes().chunks(4) {
        let mut bits = 0u32;
        for (index, character) in group.iter().enumerate() {
            let six = ALPHABET.iter().position(|known| known == character)?;
            bits |= (six as u32) << (18 - 6 * index);
        }
        let [_, first, second, third] = bits.to_be_bytes();
        let (used, spare) = match group.len() {
            4 => (&[first, second, third][..], 0),
            3 => (&[first, second][..], bits & 0xFF),
            2 => (&[first][..], bits & 0xFFFF),
            _ => return None,
        };
        if spare != 0 {
            return None;
        }
        bytes.extend_from_slice(used);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    /// From the documentation of mirage/capnp-rpc.
    const KNOWN: &str = "capnp://sha-256:3Tj5y5Q2qpqN3Sbh0GRPxgORZw98_NtrU2nLI0-Tn6g@127.0.0.1:7000\
                         /eBIndzZyoVDxaJdZ8uh_xBx5V1lfXWTJCDX-qEkgNZ4";

    #[test]
    fn a_known_reference_reads_and_prints() {
        let sturdy: SturdyRef = KNOWN.parse().unwrap();
        assert_eq!((&*sturdy.host, sturdy.port), ("127.0.0.1", 7000));
        assert_eq!(sturdy.fingerprint.unwrap().0[..2], [0xDD, 0x38]);
        assert_eq!(sturdy.service.len(), 32);
        assert_eq!(sturdy.to_string(), KNOWN);
        assert_eq!(SturdyRef::from_file(&sturdy.to_file()), Ok(sturdy));
    }

    #[test]
    fn every_length_of_service_and_kind_of_host_survives() {
        for host in ["vat", "10.0.0.1", "fe80::1"] {
            for length in 0..9u8 {
                let service = (0..length).map(|i| i.wrapping_mul(99)).collect();
                let sturdy = SturdyRef { fingerprint: None, host: host.into(), port: 1, service };
                assert_eq!(sturdy.to_string().parse(), Ok(sturdy));
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        use ParseSturdyRefError::{Address, Fingerprint, Scheme, Service};
        let long = alloc::format!("capnp://insecure@h:1/{}", "A".repeat(1368));
        for (text, error) in [
            ("http://insecure@h:1", Scheme),
            ("capnp://h:1", Fingerprint),
            ("capnp://sha-256:AAAA@h:1", Fingerprint),
            ("capnp://sha-1:AAAA@h:1", Fingerprint),
            ("capnp://insecure@h", Address),
            ("capnp://insecure@:1", Address),
            ("capnp://insecure@[]:1", Address),
            ("capnp://insecure@fe80::1:1", Address),
            ("capnp://insecure@h:65536", Address),
            ("capnp://insecure@h:1/A", Service),
            ("capnp://insecure@h:1/AB", Service),
            ("capnp://insecure@h:1/A=", Service),
            (&*long, Service),
        ] {
            assert_eq!(text.parse::<SturdyRef>(), Err(error), "{text}");
        }
    }
}
