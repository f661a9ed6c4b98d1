//! DHCP client (RFC 2131), by smoltcp's socket.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::dhcpv4::{Event, Socket};
use smoltcp::wire::{DhcpOption, IpCidr};
use spinning_top::Spinlock;

/// Asks for an IPv4 address, and again before its lease ends.
pub(crate) struct DhcpClient {
    socket: SocketHandle,
    /// Since when there is no answer, until that is said.
    silent_since: Option<Duration>,
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
    /// A client that tells its server this name (RFC 2132 section 3.14), if it is not empty.
    pub(crate) fn new(hostname: &str, now: Duration, sockets: &mut SocketSet<'static>) -> Self {
        let mut socket = Socket::new();
        if !hostname.is_empty() {
            socket.set_outgoing_options(name_options(hostname));
        }
        Self { socket: sockets.add(socket), silent_since: Some(now) }
    }

    /// The link came back, perhaps to another network: the lease is asked for anew.
    pub(crate) fn restart(&mut self, now: Duration, sockets: &mut SocketSet<'static>) {
        self.silent_since = Some(now);
        sockets.get_mut::<Socket>(self.socket).reset();
    }

    /// What has changed since this was last asked.
    pub(crate) fn poll(
        &mut self,
        now: Duration,
        sockets: &mut SocketSet<'static>,
    ) -> Option<Change> {
        match sockets.get_mut::<Socket>(self.socket).poll()? {
            Event::Configured(lease) => {
                self.silent_since = None;
                Some(Change::Leased(Lease {
                    address: IpCidr::Ipv4(lease.address),
                    router: lease.router,
                    dns_servers: lease.dns_servers.iter().map(|v4| (*v4).into()).collect(),
                }))
            }
            Event::Deconfigured => {
                self.silent_since.get_or_insert(now);
                Some(Change::Unleased)
            }
        }
    }

    /// Says once that there is no answer.
    pub(crate) fn warn_of_silence(&mut self, now: Duration) {
        if self.warns_at().is_some_and(|at| at <= now) {
            self.silent_since = None;
            log::warn!(
                "DHCP: no answer within {} s; asking on (ip=ADDRESS/PREFIX gives an address)",
                PATIENCE.as_secs()
            );
        }
    }

    /// When it is to be said that there is no answer.
    pub(crate) fn warns_at(&self) -> Option<Duration> {
        self.silent_since.map(|since| since + PATIENCE)
    }
}

/// Until somebody at a console wants to know why there is no address.
const PATIENCE: Duration = Duration::from_secs(10);

/// The option with a name, which smoltcp wants for ever: interfaces come and go, a process has one name.
fn name_options(hostname: &str) -> &'static [DhcpOption<'static>] {
    static KNOWN: Spinlock<Vec<&'static [DhcpOption<'static>; 1]>> = Spinlock::new(Vec::new());
    let mut known = KNOWN.lock();
    if let Some(options) = known.iter().find(|[option]| option.data == hostname.as_bytes()) {
        return *options;
    }
    let data = Box::leak(hostname.as_bytes().into());
    let options: &[_; 1] = Box::leak(Box::new([DhcpOption { kind: HOST_NAME, data }]));
    known.push(options);
    options
}

/// RFC 2132 section 3.14.
const HOST_NAME: u8 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_told_once_after_ten_seconds() {
        let mut sockets = SocketSet::new(Vec::new());
        let mut dhcp = DhcpClient::new("", Duration::from_secs(5), &mut sockets);
        dhcp.warn_of_silence(Duration::from_secs(14));
        assert_eq!(dhcp.warns_at(), Some(Duration::from_secs(15)));
        dhcp.warn_of_silence(Duration::from_secs(15));
        assert_eq!(dhcp.warns_at(), None);
        dhcp.restart(Duration::from_secs(99), &mut sockets);
        assert_eq!(dhcp.warns_at(), Some(Duration::from_secs(109)));
    }

    #[test]
    fn a_name_is_kept_once_for_all_interfaces() {
        let (first, again) = (name_options("one"), name_options("one"));
        assert!(core::ptr::eq(first, again));
        assert_eq!((first[0].kind, first[0].data), (12, &b"one"[..]));
        assert_eq!(name_options("two")[0].data, b"two");
    }
}
