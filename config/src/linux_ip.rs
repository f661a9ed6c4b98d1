//! Linux's `ip=` (Documentation/admin-guide/nfs/nfsroot.rst): all of a network interface in one word,
//! `CLIENT:SERVER:GATEWAY:NETMASK:HOSTNAME:DEVICE:AUTOCONF:DNS0:DNS1:NTP0`, of which any may be empty or, at the end, missing.
//! Server, device and time server mean nothing here.

use crate::Cidr;
use alloc::{borrow::ToOwned, format, string::String};
use core::net::{IpAddr, Ipv4Addr};

/// What such a word says. Texts are unchecked.
pub(crate) struct LinuxIp<'a> {
    /// `None` asks DHCP.
    pub(crate) address: Option<Cidr>,
    pub(crate) gateway: Option<&'a str>,
    pub(crate) hostname: Option<&'a str>,
    pub(crate) name_servers: [&'a str; 2],
}

impl<'a> LinuxIp<'a> {
    /// Reads the word behind `ip=`; the error is what is allowed instead.
    pub(crate) fn parse(text: &'a str) -> Result<Self, String> {
        const FIELDS_MAX: usize = 10;
        const ALLOWED: &str = "ip=dhcp or an address with a prefix length, as ip=10.9.0.2/24, or Linux's \
                               ip=CLIENT::GATEWAY:NETMASK:HOSTNAME::AUTOCONF:DNS0:DNS1";
        // One field alone is how addresses are acquired.
        let text = if matches!(text, "on" | "any" | "both") { "::::::dhcp" } else { text };
        let mut fields = [""; FIELDS_MAX];
        let mut given = text.split(':');
        fields.iter_mut().zip(&mut given).for_each(|(field, text)| *field = text);
        if given.next().is_some() || !text.contains(':') {
            return Err(ALLOWED.to_owned());
        }
        let [client, _, gateway, netmask, hostname, _, autoconf, dns0, dns1, _] = fields;
        let some = |text: &'a str| Some(text).filter(|text| !text.is_empty());
        let address = match (autoconf, some(client)) {
            ("dhcp" | "on" | "any" | "both", _) | ("", None) => None,
            ("" | "off" | "none" | "static", Some(client)) => Some(cidr(client, netmask)?),
            _ => return Err(ALLOWED.to_owned()),
        };
        let name_servers = [dns0, dns1];
        Ok(Self { address, gateway: some(gateway), hostname: some(hostname), name_servers })
    }
}

fn cidr(client: &str, netmask: &str) -> Result<Cidr, String> {
    let mask = netmask.parse::<Ipv4Addr>().map(Ipv4Addr::to_bits).unwrap_or_default();
    let prefix = mask.leading_ones();
    if mask.count_ones() != prefix || !client.parse().is_ok_and(|address: IpAddr| address.is_ipv4())
    {
        return Err(
            "an IPv4 address and its netmask, as ip=10.9.0.2::10.9.0.1:255.255.255.0".to_owned()
        );
    }
    let allowed = || "an address that one machine can have, and its netmask".to_owned();
    format!("{client}/{prefix}").parse().map_err(|()| allowed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<Option<Cidr>, String> {
        LinuxIp::parse(text).map(|said| said.address)
    }

    #[test]
    fn a_client_has_its_address_by_netmask() {
        for (text, expected) in [
            ("10.9.0.2::10.9.0.1:255.255.255.0", "10.9.0.2/24"),
            ("10.9.0.2:::255.255.255.254:::off", "10.9.0.2/31"),
            ("10.9.0.2:::128.0.0.0::eth0:none:::", "10.9.0.2/1"),
        ] {
            assert_eq!(address(text), Ok(Some(expected.parse().unwrap())), "{text}");
        }
    }

    #[test]
    fn dhcp_is_asked_where_the_word_says_so_or_nothing() {
        for text in
            ["on", "any", "::::::dhcp", ":::::eth0:any", "10.9.0.2:::255.255.255.0:::dhcp", ":"]
        {
            assert_eq!(address(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, allowed) in [
            ("10.9.0.2", "ip=dhcp or an address"),
            ("10.9.0.2/24x", "ip=dhcp or an address"),
            ("10.9.0.2:", "its netmask"),
            ("10.9.0.2:::255.0.255.0", "its netmask"),
            ("10.9.0.2:::24", "its netmask"),
            ("fd00::2", "its netmask"),
            ("10.9.0.255:::255.255.255.0", "that one machine can have"),
            ("::::::bootp", "ip=dhcp or an address"),
            ("::::::off", "ip=dhcp or an address"),
            ("::::::dhcp:::10.0.0.1:x", "ip=dhcp or an address"),
        ] {
            let error = address(text).expect_err(text);
            assert!(error.contains(allowed), "{text}: {error}");
        }
    }
}
