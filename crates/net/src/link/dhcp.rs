//! DHCP client (RFC 2131), by smoltcp's socket, and what that lacks: to decline an address that somebody else has, to
//! look at what is offered, and to pause before it begins anew.

mod reply;

use self::reply::Verdict;
use crate::wire::{ETHERNET, IPV4, UDP};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::dhcpv4::{Event, RetryConfig, Socket};
use smoltcp::wire::{
    DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr,
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpCidr, IpProtocol, Ipv4Cidr,
    Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};
use spinning_top::Spinlock;

/// Asks for an IPv4 address, and again before its lease ends.
pub(crate) struct DhcpClient {
    state: State,
    options: &'static [DhcpOption<'static>],
    /// The address that is leased, and the identifier of its server.
    lease: Option<(Ipv4Addr, Ipv4Addr)>,
    /// Since when there is no answer, until that is said.
    silent_since: Option<Duration>,
    /// It was said that a server's reply is of no use; there was no lease since.
    has_complained: bool,
}

enum State {
    Asking(SocketHandle),
    /// An address was declined, refused or lost: nothing is asked before.
    Waiting(Duration),
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
        let options = if hostname.is_empty() { &[] } else { name_options(hostname) };
        let state = State::Waiting(now);
        let mut client =
            Self { state, options, lease: None, silent_since: None, has_complained: false };
        client.restart(now, sockets);
        client
    }

    /// The link came back, perhaps to another network: the lease is asked for anew.
    pub(crate) fn restart(&mut self, now: Duration, sockets: &mut SocketSet<'static>) {
        self.silent_since = Some(now);
        // It is given up without a pause.
        self.lease = None;
        match self.state {
            State::Asking(socket) => sockets.get_mut::<Socket>(socket).reset(),
            State::Waiting(_) => {
                let mut retry = RetryConfig::default();
                retry.discover_timeout = DISCOVER_TIMEOUT.into();
                let mut socket = Socket::new();
                socket.set_retry_config(retry);
                socket.set_outgoing_options(self.options);
                self.state = State::Asking(sockets.add(socket));
            }
        }
    }

    /// Somebody else has the address. If that was leased, the frame that tells the server so (RFC 2131 section 4.4.4); it is
    /// asked for another in ten seconds.
    pub(crate) fn decline(
        &mut self,
        address: Ipv4Addr,
        own: EthernetAddress,
        now: Duration,
        sockets: &mut SocketSet<'static>,
    ) -> Option<Vec<u8>> {
        let (leased, server) = self.lease.filter(|(leased, _)| *leased == address)?;
        let State::Asking(socket) = self.state else { return None };
        self.pause(socket, now, sockets);
        Some(decline(own, leased, server, now))
    }

    fn pause(&mut self, socket: SocketHandle, now: Duration, sockets: &mut SocketSet<'static>) {
        sockets.remove(socket);
        self.state = State::Waiting(now + PAUSE);
        (self.lease, self.silent_since) = (None, None);
    }

    /// Whether smoltcp may see a frame: an offer or a lease that no host can use is as if it had not come, and a refusal
    /// makes us pause.
    pub(crate) fn admits(
        &mut self,
        frame: &[u8],
        own: EthernetAddress,
        now: Duration,
        sockets: &mut SocketSet<'static>,
    ) -> bool {
        let State::Asking(socket) = self.state else { return true };
        match reply::judge(frame, own) {
            Verdict::Pass => true,
            // That of a lease is smoltcp's to judge, which knows the transaction: the lease ends if it is believed.
            Verdict::Refusal if self.lease.is_some() => true,
            Verdict::Refusal => {
                self.complain("the server refuses its own offer");
                self.pause(socket, now, sockets);
                false
            }
            Verdict::Unusable(reason) => {
                self.complain(reason);
                false
            }
        }
    }

    fn complain(&mut self, reason: &str) {
        if !core::mem::replace(&mut self.has_complained, true) {
            log::warn!("DHCP: a reply is not taken: {reason}; asking on");
        }
    }

    /// Asks again if the pause is over; true when it is.
    pub(crate) fn resume(&mut self, now: Duration, sockets: &mut SocketSet<'static>) -> bool {
        let is_time = self.resumes_at().is_some_and(|at| at <= now);
        if is_time {
            self.restart(now, sockets);
        }
        is_time
    }

    /// When it asks again, if it pauses.
    pub(crate) fn resumes_at(&self) -> Option<Duration> {
        match self.state {
            State::Asking(_) => None,
            State::Waiting(until) => Some(until),
        }
    }

    /// What has changed since this was last asked.
    pub(crate) fn poll(
        &mut self,
        now: Duration,
        sockets: &mut SocketSet<'static>,
    ) -> Option<Change> {
        let State::Asking(socket) = self.state else { return None };
        let Event::Configured(lease) = sockets.get_mut::<Socket>(socket).poll()? else {
            // smoltcp says so at the start too, when there is nothing to lose.
            if self.lease.is_some() {
                self.pause(socket, now, sockets);
            }
            return Some(Change::Unleased);
        };
        self.lease = Some((lease.address.address(), lease.server.identifier));
        (self.silent_since, self.has_complained) = (None, false);
        Some(Change::Leased(Lease {
            address: IpCidr::Ipv4(lease.address),
            router: lease.router.filter(|router| is_reachable(*router, lease.address)),
            dns_servers: lease.dns_servers.iter().map(|v4| (*v4).into()).collect(),
        }))
    }

    /// Says once that there is no answer, as a warning unless there is a static IPv4 address.
    pub(crate) fn tell_of_silence(&mut self, now: Duration, has_address: bool) {
        if self.warns_at().is_none_or(|at| at > now) {
            return;
        }
        self.silent_since = None;
        let seconds = PATIENCE.as_secs();
        if has_address {
            log::info!(
                "DHCP: no answer within {seconds} s; asking on, besides the static address (`dhcp = false` in [network] ends that)"
            );
        } else {
            log::warn!(
                "DHCP: no answer within {seconds} s; asking on (ip=ADDRESS/PREFIX gives an address)"
            );
        }
    }

    /// When it is to be said that there is no answer.
    pub(crate) fn warns_at(&self) -> Option<Duration> {
        self.silent_since.map(|since| since + PATIENCE)
    }
}

/// RFC 2131 section 3.1, step 5: at least ten seconds, so that no two clients chase each other through the addresses.
/// Section 4.4.1 wants up to ten before any beginning; a server that refuses all, or takes all leases back, is not asked
/// more often.
const PAUSE: Duration = Duration::from_secs(10);
/// RFC 2131 section 4.1: the first retransmission comes after four seconds.
const DISCOVER_TIMEOUT: Duration = Duration::from_secs(4);

/// Whether a router can be asked for its hardware address. A network of one address has none inside: there, hosts
/// reach it all the same.
fn is_reachable(router: Ipv4Addr, own: Ipv4Cidr) -> bool {
    let inside = Ipv4Cidr::new(router, own.prefix_len());
    let is_reachable = router != own.address()
        && reply::is_host_of(inside)
        && (own.prefix_len() == 32 || own.contains_addr(&router));
    if !is_reachable {
        log::warn!("DHCP: {router} is ignored: it is no router in the network of {own}");
    }
    is_reachable
}

/// A DHCPDECLINE (RFC 2131 table 5): to all, since we have no address.
fn decline(own: EthernetAddress, declined: Ipv4Addr, server: Ipv4Addr, now: Duration) -> Vec<u8> {
    let (none, all) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
    let message = DhcpRepr {
        message_type: DhcpMessageType::Decline,
        transaction_id: now.subsec_nanos(),
        secs: 0,
        client_hardware_address: own,
        client_ip: none,
        your_ip: none,
        server_ip: none,
        router: None,
        subnet_mask: None,
        relay_agent_ip: none,
        broadcast: false,
        requested_ip: Some(declined),
        client_identifier: Some(own),
        server_identifier: Some(server),
        parameter_request_list: None,
        max_size: None,
        lease_duration: None,
        renew_duration: None,
        rebind_duration: None,
        dns_servers: None,
        additional_options: &[],
    };
    let ip = Ipv4Repr {
        src_addr: none,
        dst_addr: all,
        next_header: IpProtocol::Udp,
        payload_len: UDP + message.buffer_len(),
        hop_limit: 64,
    };
    let ethernet = EthernetRepr {
        src_addr: own,
        dst_addr: EthernetAddress::BROADCAST,
        ethertype: EthernetProtocol::Ipv4,
    };
    let udp = UdpRepr { src_port: DHCP_CLIENT_PORT, dst_port: DHCP_SERVER_PORT };
    let checksums = ChecksumCapabilities::default();
    let mut frame = vec![0; ETHERNET + IPV4 + ip.payload_len];
    ethernet.emit(&mut EthernetFrame::new_unchecked(&mut frame));
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut frame[ETHERNET..]), &checksums);
    let mut packet = UdpPacket::new_unchecked(&mut frame[ETHERNET + IPV4..]);
    let emit = |payload: &mut [u8]| {
        // There is room for it.
        let _ = message.emit(&mut DhcpPacket::new_unchecked(payload));
    };
    udp.emit(&mut packet, &none.into(), &all.into(), message.buffer_len(), emit, &checksums);
    frame
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
        dhcp.tell_of_silence(Duration::from_secs(14), false);
        assert_eq!(dhcp.warns_at(), Some(Duration::from_secs(15)));
        dhcp.tell_of_silence(Duration::from_secs(15), false);
        assert_eq!(dhcp.warns_at(), None);
        dhcp.restart(Duration::from_secs(99), &mut sockets);
        assert_eq!(dhcp.warns_at(), Some(Duration::from_secs(109)));
        dhcp.tell_of_silence(Duration::from_secs(109), true);
        assert_eq!(dhcp.warns_at(), None, "with an address of its own it is told of, too");
    }

    #[test]
    fn a_name_is_kept_once_for_all_interfaces() {
        let (first, again) = (name_options("one"), name_options("one"));
        assert!(core::ptr::eq(first, again));
        assert_eq!((first[0].kind, first[0].data), (12, &b"one"[..]));
        assert_eq!(name_options("two")[0].data, b"two");
    }

    #[test]
    fn a_router_is_another_host_of_the_leased_network() {
        for (router, own, is_one) in [
            ([10, 0, 0, 2], ([10, 0, 0, 1], 24), true),
            ([10, 0, 0, 1], ([10, 0, 0, 1], 24), false),
            ([10, 0, 0, 0], ([10, 0, 0, 1], 24), false),
            ([10, 0, 0, 255], ([10, 0, 0, 1], 24), false),
            ([10, 0, 1, 2], ([10, 0, 0, 1], 24), false),
            ([10, 0, 1, 2], ([10, 0, 0, 1], 23), true),
            ([10, 0, 0, 0], ([10, 0, 0, 1], 31), true),
            ([10, 0, 0, 2], ([10, 0, 0, 1], 31), false),
            // A network of one address has none inside.
            ([10, 0, 1, 2], ([10, 0, 0, 1], 32), true),
            ([10, 0, 0, 1], ([10, 0, 0, 1], 32), false),
            ([127, 0, 0, 1], ([10, 0, 0, 1], 32), false),
            ([224, 0, 0, 1], ([10, 0, 0, 1], 32), false),
        ] {
            let cidr = Ipv4Cidr::new(own.0.into(), own.1);
            assert_eq!(is_reachable(router.into(), cidr), is_one, "{router:?} {own:?}");
        }
    }
}
