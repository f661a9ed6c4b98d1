//! Addresses and routes of the interface: which are ours, and the way to a remote one.

use crate::config::Config;
use crate::link::slaac::{self, Slaac};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use smoltcp::iface::Interface;
use smoltcp::wire::{IpAddress, IpCidr};

/// How a remote address is reached.
pub(crate) struct Route {
    pub(crate) local: IpAddr,
    pub(crate) next_hop: IpAddr,
}

/// The way to `remote`: the source address, and the neighbour to which packets go.
pub(crate) fn route(interface: &Interface, remote: IpAddr) -> Option<Route> {
    let address = IpAddress::from(remote);
    let local: IpAddr = interface.get_source_address(&address)?.into();
    let on_link = interface.ip_addrs().iter().any(|cidr| cidr.contains_addr(&address));
    let next_hop = if on_link { remote } else { gateway(interface, remote.is_ipv4())? };
    interface.has_ip_addr(local).then_some(Route { local, next_hop })
}

fn gateway(interface: &Interface, v4: bool) -> Option<IpAddr> {
    let routes = interface.routes();
    let route = if v4 { routes.get_default_ipv4_route() } else { routes.get_default_ipv6_route() };
    route.map(|route| route.via_router.into())
}

/// Gives the interface its configured addresses and gateways, and a link-local address where it has
/// any for IPv6.
pub(crate) fn assign(interface: &mut Interface, config: &Config, own: [u8; 6]) {
    let mut cidrs: Vec<IpCidr> = config
        .addresses
        .iter()
        .map(|(address, prefix)| IpCidr::new((*address).into(), (*prefix).min(bits(address))))
        .filter(|cidr| cidr.address().is_unicast())
        .collect();
    if config.slaac || config.addresses.iter().any(|(address, _)| address.is_ipv6()) {
        cidrs.push(IpCidr::new(IpAddress::Ipv6(slaac::link_local(own)), 64));
    }
    interface.update_ip_addrs(|addresses| {
        for cidr in cidrs {
            if addresses.push(cidr).is_err() {
                log::warn!("more addresses than an interface can have: {cidr} is ignored");
            }
        }
    });
    for gateway in &config.gateways {
        // One default route per version fits; a second one replaces the first.
        let _ = match gateway {
            IpAddr::V4(v4) => interface.routes_mut().add_default_ipv4_route(*v4),
            IpAddr::V6(v6) => interface.routes_mut().add_default_ipv6_route(*v6),
        };
    }
}

/// Takes another IPv4 address in the place of all others, or none.
pub(crate) fn replace_v4(interface: &mut Interface, address: Option<IpCidr>) {
    interface.update_ip_addrs(|addresses| {
        addresses.retain(|cidr| matches!(cidr, IpCidr::Ipv6(_)));
        if let Some(address) = address {
            // The lease comes first among addresses, so there is room for it.
            let _ = addresses.insert(0, address);
        }
    });
}

/// Takes the addresses of advertised prefixes in the place of those that were before.
pub(crate) fn replace_advertised(interface: &mut Interface, slaac: &Slaac) {
    let identifier = slaac.identifier();
    let wanted: Vec<_> =
        slaac.addresses().map(|own| IpCidr::new(own.into(), slaac::PREFIX_BITS)).collect();
    interface.update_ip_addrs(|addresses| {
        addresses.retain(|cidr| match cidr.address() {
            // The link-local address ends alike, and stays; so does one that the configuration has, too.
            IpAddress::Ipv6(own) => {
                own.octets()[8..] != identifier
                    || own.is_unicast_link_local()
                    || wanted.contains(cidr)
            }
            IpAddress::Ipv4(_) => true,
        });
        for cidr in wanted {
            if !addresses.contains(&cidr) && addresses.push(cidr).is_err() {
                log::warn!("more addresses than an interface can have: {cidr} is ignored");
            }
        }
    });
}

/// Sends IPv6 packets by another router, or none.
pub(crate) fn replace_v6_router(interface: &mut Interface, router: Option<Ipv6Addr>) {
    match router {
        // The table has room for one route of each kind; the old one is replaced.
        Some(router) => drop(interface.routes_mut().add_default_ipv6_route(router)),
        None => drop(interface.routes_mut().remove_default_ipv6_route()),
    }
}

fn bits(address: &IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}
