//! DHCP client (RFC 2131), by smoltcp's socket.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::dhcpv4::{Event, Socket};
use smoltcp::wire::{DhcpOption, IpCidr};

/// Asks for an IPv4 address, and again before its lease ends.
pub(crate) struct DhcpClient {
    socket: SocketHandle,
}

/// What a server said.
pub(crate) enum Change {
    Leased(Lease),
    /// There is no lease, or no longer.
    Unleased,
}

pub(crate) struct Lease {
    pub(crate) address: IpCidr,
    pub(crate) router: Option<Ipv4Addr>,
    pub(crate) dns_servers: Vec<IpAddr>,
}

impl DhcpClient {
    /// A client that tells its server this name (RFC 2132 section 3.14), if it is not empty. The
    /// name lives as long as the process, as interfaces do.
    pub(crate) fn new(hostname: &str, sockets: &mut SocketSet<'static>) -> Self {
        let mut socket = Socket::new();
        if !hostname.is_empty() {
            let data = Box::leak(hostname.as_bytes().into());
            let option = DhcpOption { kind: HOST_NAME, data };
            socket.set_outgoing_options(Box::leak(Box::new([option])));
        }
        Self { socket: sockets.add(socket) }
    }

    /// The link came back, perhaps to another network: the lease is asked for anew.
    pub(crate) fn restart(&self, sockets: &mut SocketSet<'static>) {
        sockets.get_mut::<Socket>(self.socket).reset();
    }

    /// What has changed since this was last asked.
    pub(crate) fn poll(&self, sockets: &mut SocketSet<'static>) -> Option<Change> {
        match sockets.get_mut::<Socket>(self.socket).poll()? {
            Event::Configured(lease) => Some(Change::Leased(Lease {
                address: IpCidr::Ipv4(lease.address),
                router: lease.router,
                dns_servers: lease.dns_servers.iter().map(|v4| (*v4).into()).collect(),
            })),
            Event::Deconfigured => Some(Change::Unleased),
        }
    }
}

/// RFC 2132 section 3.14.
const HOST_NAME: u8 = 12;
