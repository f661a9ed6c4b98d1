//! Where load may go: to this machine, and to what the operator says is theirs.

use alloc::format;
use alloc::string::String;
use config::Cidr;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

/// Addresses that begin alike: of any network, also those in which no machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix(Cidr);

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no ADDRESS/PREFIX, as 10.9.0.0/24 or fd00::/64");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let prefix_max = bits(address);
        let prefix = prefix.unwrap_or(prefix_max);
        if prefix > prefix_max { Err(wrong()) } else { Ok(Self(Cidr { address, prefix })) }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<IpAddr> for Prefix {
    /// That address alone.
    fn from(address: IpAddr) -> Self {
        Self(Cidr { address, prefix: bits(address) })
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Whether load may go to an address: this machine's own always, another's if one of these has it.
pub fn is_allowed(address: IpAddr, allowed: &[Prefix]) -> bool {
    // One of IPv4 in the form of IPv6 goes where the former does (RFC 4291 section 2.5.5.2).
    let address = address.to_canonical();
    // What goes to no address goes to this machine (connect(2) of Linux).
    address.is_loopback()
        || address.is_unspecified()
        || allowed.iter().any(|prefix| prefix.0.contains(address))
}

/// Why load may not go to an address; `how` is what an operator writes to allow it, before the addresses.
pub fn refusal(address: IpAddr, how: &str) -> String {
    format!(
        "{address} is not this machine. Load on others' machines is an attack, so it goes to loopback \
         addresses only, unless you say that the machine is yours: {how}{}",
        Prefix::from(address)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn check(address: &str, allowed: &[&str]) -> bool {
        let allowed: Vec<Prefix> = allowed.iter().map(|text| text.parse().unwrap()).collect();
        is_allowed(address.parse().unwrap(), &allowed)
    }

    #[test]
    fn load_goes_to_this_machine_alone_unless_somebody_says_otherwise() {
        for address in ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0"] {
            assert!(check(address, &[]), "{address}");
        }
        for address in ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "128.0.0.1"] {
            assert!(!check(address, &["10.9.0.0/24", "fd00::/8"]), "{address}");
            let refusal = refusal(address.parse().unwrap(), "--allow ");
            assert!(refusal.contains("is an attack") && refusal.contains("--allow "), "{refusal}");
        }
        for (address, allow) in [
            ("192.0.2.255", "192.0.2.0/24"),
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7", "0.0.0.0/0"),
            ("2001:db8::1", "2001:db8::/32"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ] {
            assert!(check(address, &[allow]), "{address} {allow}");
        }
        for (address, allow) in [
            ("192.0.3.0", "192.0.2.0/24"),
            ("192.0.2.8", "192.0.2.7"),
            ("2001:db9::1", "2001:db8::/32"),
            ("2001:db8::1", "0.0.0.0/0"),
        ] {
            assert!(!check(address, &[allow]), "{address} {allow}");
        }
    }

    #[test]
    fn prefixes_are_addresses_with_a_length_that_they_can_have() {
        for text in ["", "x/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "10.0.0/8"] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }
}
