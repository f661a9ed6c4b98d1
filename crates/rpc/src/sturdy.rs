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
/// `capnp://insecure@HOST:PORT/SERVICE` for a vat without a key. A vat at a Unix-domain socket has its path in place of
/// host and port: `capnp://sha-256:FINGERPRINT@/run/vat.sock/SERVICE`, where what follows the last slash is the service.
/// A capability file is that text and a line end; it is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SturdyRef {
    /// The key that the vat must prove to have; `None` if it has none.
    pub fingerprint: Option<Fingerprint>,
    /// Where the vat listens.
    pub place: VatPlace,
    /// The name of the service there; empty for the one that everybody gets.
    pub service: Vec<u8>,
}

/// Where a vat listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VatPlace {
    /// At a TCP port of a host.
    Tcp {
        /// A name or address; an IPv6 address without its brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// At a Unix-domain socket of the same machine.
    Unix {
        /// Its absolute path, of at most [`SOCKET_PATH_BYTES_MAX`] letters, digits and `/-._~+,=:@`, so that nothing of it
        /// is escaped in a reference.
        path: String,
    },
}

/// Longest path of a socket, in bytes (unix(7): 108 with the final zero).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Why a text is no sturdy reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseSturdyRefError {
    /// It does not begin with `capnp://`.
    Scheme,
    /// What stands before `@` is neither `insecure` nor `sha-256:` and 43 characters of base64.
    Fingerprint,
    /// What stands after `@` is no host and port, and no path.
    Address,
    /// The service is no base64 or longer than [`SERVICE_BYTES_MAX`].
    Service,
}

impl fmt::Display for ParseSturdyRefError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "a sturdy reference begins with capnp://",
            Self::Fingerprint => {
                "before @ of a sturdy reference stands insecure, or sha-256: and 43 characters of base64"
            }
            Self::Address => "after @ of a sturdy reference stands a host and a port, or a path",
            Self::Service => "the service of a sturdy reference is no base64, or too long",
        })
    }
}

impl core::error::Error for ParseSturdyRefError {}

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
        match &self.place {
            VatPlace::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}")?,
            VatPlace::Tcp { host, port } => write!(f, "{host}:{port}")?,
            // The service begins after the last slash, also an empty one.
            VatPlace::Unix { path } => write!(f, "{path}/")?,
        }
        if self.service.is_empty() {
            return Ok(());
        }
        if matches!(self.place, VatPlace::Tcp { .. }) {
            f.write_str("/")?;
        }
        base64(f, &self.service)
    }
}

impl FromStr for SturdyRef {
    type Err = ParseSturdyRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("capnp://").ok_or(ParseSturdyRefError::Scheme)?;
        let (who, rest) = rest.split_once('@').ok_or(ParseSturdyRefError::Fingerprint)?;
        let (address, service) = match rest.starts_with('/') {
            true => rest.rsplit_once('/'),
            false => rest.split_once('/'),
        }
        .unwrap_or((rest, ""));
        Ok(Self {
            place: parse_place(address).ok_or(ParseSturdyRefError::Address)?,
            fingerprint: parse_fingerprint(who)?,
            service: decode_base64(service)
                .filter(|service| service.len() <= SERVICE_BYTES_MAX)
                .ok_or(ParseSturdyRefError::Service)?,
        })
    }
}

fn parse_place(text: &str) -> Option<VatPlace> {
    if text.starts_with('/') {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~+,=:@".contains(&byte);
        let fits = (2..=SOCKET_PATH_BYTES_MAX).contains(&text.len()) && !text.ends_with('/');
        let path = (fits && text.bytes().all(is_allowed)).then(|| text.into())?;
        return Some(VatPlace::Unix { path });
    }
    let (host, port) = text.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_well_formed = !host.is_empty() && (bare.is_some() || !host.contains(':'));
    if !is_well_formed || bare == Some("") {
        return None;
    }
    Some(VatPlace::Tcp { host: bare.unwrap_or(host).into(), port: port.parse().ok()? })
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
        assert_eq!(sturdy.place, VatPlace::Tcp { host: "127.0.0.1".into(), port: 7000 });
        let fingerprint = sturdy.fingerprint.unwrap();
        assert_eq!(fingerprint.0[..2], [0xDD, 0x38]);
        let text = "sha-256:3Tj5y5Q2qpqN3Sbh0GRPxgORZw98_NtrU2nLI0-Tn6g";
        assert_eq!(alloc::format!("{fingerprint} {fingerprint:?}"), [text, text].join(" "));
        assert_eq!(sturdy.service.len(), 32);
        assert_eq!(sturdy.to_string(), KNOWN);
        assert_eq!(SturdyRef::from_file(&sturdy.to_file()), Ok(sturdy));
    }

    #[test]
    fn every_length_of_service_and_kind_of_host_survives() {
        let tcp = |host: &str| VatPlace::Tcp { host: host.into(), port: 1 };
        let unix = |path: &str| VatPlace::Unix { path: path.into() };
        let hosts = ["vat", "10.0.0.1", "fe80::1"].map(tcp);
        for place in hosts.into_iter().chain(["/a", "/run/a@1:2/vat.sock"].map(unix)) {
            for length in 0..9u8 {
                let service = (0..length).map(|i| i.wrapping_mul(99)).collect();
                let sturdy = SturdyRef { fingerprint: None, place: place.clone(), service };
                assert_eq!(sturdy.to_string().parse(), Ok(sturdy));
            }
        }
    }

    /// As mirage/capnp-rpc writes them: the path is the socket's, and what follows its last slash the service.
    #[test]
    fn a_socket_of_this_machine_is_a_path() {
        let text = KNOWN.replace("127.0.0.1:7000", "/run/vat.sock");
        let sturdy: SturdyRef = text.parse().unwrap();
        assert_eq!(sturdy.place, VatPlace::Unix { path: "/run/vat.sock".into() });
        assert_eq!((sturdy.service.len(), sturdy.to_string()), (32, text));
        let bootstrap = SturdyRef { service: Vec::new(), fingerprint: None, ..sturdy };
        assert_eq!(bootstrap.to_string(), "capnp://insecure@/run/vat.sock/");
    }

    #[test]
    fn what_is_wrong_is_named() {
        use ParseSturdyRefError::{Address, Fingerprint, Scheme, Service};
        for (error, part) in [
            (Scheme, "begins with capnp://"),
            (Fingerprint, "before @ of a sturdy reference stands insecure, or sha-256: and 43"),
            (Address, "after @ of a sturdy reference stands a host and a port, or a path"),
            (Service, "the service of a sturdy reference is no base64, or too long"),
        ] {
            assert!(error.to_string().contains(part), "{error}");
        }
        let long = alloc::format!("capnp://insecure@h:1/{}", "A".repeat(1368));
        let distant = alloc::format!("capnp://insecure@/{}/AAAA", "a".repeat(107));
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
            ("capnp://insecure@/", Address),
            ("capnp://insecure@//", Address),
            ("capnp://insecure@/AAAA", Address),
            ("capnp://insecure@/a b/AAAA", Address),
            ("capnp://insecure@/a%20b/AAAA", Address),
            ("capnp://insecure@/a//AAAA", Address),
            ("capnp://insecure@/run/vat.sock", Service),
            (&*distant, Address),
            ("capnp://insecure@h:1/A", Service),
            ("capnp://insecure@h:1/AB", Service),
            ("capnp://insecure@h:1/A=", Service),
            (&*long, Service),
        ] {
            assert_eq!(text.parse::<SturdyRef>(), Err(error), "{text}");
        }
    }
}
