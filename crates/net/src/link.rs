//! Everything of the network that is not TCP: ARP, neighbour discovery, ping, DHCP, router
//! advertisements. A smoltcp interface of its own sees those frames only.

pub(crate) mod dns;
pub(crate) mod neighbours;
pub(crate) mod path_mtu;

use crate::config::Config;
use crate::device::smoltcp::{SmoltcpDevice, ethernet_caps};
use crate::device::{NetDevice, Transmit};
use crate::link::dns::DnsResolver;
use crate::tcp::connector::LookupRequest;
use crate::time::{self, Instant};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;
use smoltcp::iface::{Config as InterfaceConfig, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::DeviceCapabilities;
use smoltcp::socket::dhcpv4;
use smoltcp::wire::{DhcpOption, EthernetAddress, HardwareAddress, IpAddress, IpCidr};

/// The service interface and its sockets.
pub(crate) struct Link {
    interface: Interface,
    sockets: SocketSet<'static>,
    caps: DeviceCapabilities,
    dhcp: Option<SocketHandle>,
    /// When the interface wants to be polled.
    due: Option<Duration>,
    dns: DnsResolver,
    slaac: bool,
    /// Polls in a row that were due and had nothing to send.
    fruitless: u32,
    /// Our addresses have changed since this was last asked.
    changed: bool,
}

/// How a remote address is reached.
pub(crate) struct Route {
    pub(crate) local: IpAddr,
    pub(crate) next_hop: IpAddr,
}

impl Link {
    pub(crate) fn new(
        device: &mut dyn NetDevice,
        config: &Config,
        own: [u8; 6],
        seed: u64,
        now: Duration,
    ) -> Self {
        let caps = ethernet_caps(&device.capabilities().limited_to(config.limits.mtu_bytes));
        let hardware = HardwareAddress::Ethernet(EthernetAddress(own));
        let mut interface_config = InterfaceConfig::new(hardware);
        interface_config.random_seed = seed;
        interface_config.slaac = config.slaac;
        let mut device = SmoltcpDevice::new(&caps, device.transmitter());
        let mut interface =
            Interface::new(interface_config, &mut device, Instant::new(now).to_smoltcp());
        assign(&mut interface, config, own);
        let mut sockets = SocketSet::new(Vec::new());
        let dhcp = config.dhcp.then(|| sockets.add(dhcp_client(&config.hostname)));
        let dns = DnsResolver::new(&config.name_servers, &mut sockets);
        let due = Some(now);
        Self {
            interface,
            sockets,
            caps,
            dhcp,
            due,
            dns,
            slaac: config.slaac,
            fruitless: 0,
            changed: false,
        }
    }

    /// Whether the address is one of ours.
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        self.interface.has_ip_addr(address)
    }

    /// Our addresses with their prefix lengths.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (IpAddr, u8)> + '_ {
        self.interface.ip_addrs().iter().map(|cidr| (cidr.address().into(), cidr.prefix_len()))
    }

    /// The way to `remote`: the source address, and the neighbour to which packets go.
    pub(crate) fn route(&self, remote: IpAddr) -> Option<Route> {
        let address = IpAddress::from(remote);
        let local: IpAddr = self.interface.get_source_address(&address)?.into();
        let on_link = self.interface.ip_addrs().iter().any(|cidr| cidr.contains_addr(&address));
        let next_hop = if on_link { remote } else { self.gateway(remote.is_ipv4())? };
        self.owns(local).then_some(Route { local, next_hop })
    }

    fn gateway(&self, v4: bool) -> Option<IpAddr> {
        let routes = self.interface.routes();
        let route =
            if v4 { routes.get_default_ipv4_route() } else { routes.get_default_ipv6_route() };
        route.map(|route| route.via_router.into())
    }

    /// Takes a frame, and answers it where an answer is due.
    pub(crate) fn receive(&mut self, now: Duration, frame: &[u8], output: &mut dyn Transmit) {
        let mut device = SmoltcpDevice::new(&self.caps, output);
        device.received = Some(frame);
        self.interface.poll_ingress_single(
            Instant::new(now).to_smoltcp(),
            &mut device,
            &mut self.sockets,
        );
        self.due = Some(now);
        self.fruitless = 0;
    }

    /// Asks for the addresses of a name.
    pub(crate) fn look_up(&mut self, lookup: Rc<LookupRequest>, now: Duration) {
        let has_v6 = self.route(GLOBAL_V6.into()).is_some();
        self.dns.look_up(lookup, has_v6, self.interface.context(), &mut self.sockets);
        self.due = Some(now);
    }

    /// Sends what is due and takes over what servers said; true when our addresses have changed.
    pub(crate) fn poll(&mut self, now: Duration, output: &mut dyn Transmit) -> bool {
        if self.due.is_none_or(|due| due > now) {
            return core::mem::take(&mut self.changed);
        }
        let instant = Instant::new(now).to_smoltcp();
        if self.slaac {
            let before = self.interface.ip_addrs().to_vec();
            self.interface.poll_maintenance(instant);
            self.changed |= self.interface.ip_addrs() != before;
        }
        self.dns.settle(&mut self.sockets);
        for _ in 0..ROUNDS_MAX {
            let mut device = SmoltcpDevice::new(&self.caps, output);
            let round = self.interface.poll_egress(instant, &mut device, &mut self.sockets);
            self.take_lease();
            if round == PollResult::None {
                break;
            }
            self.fruitless = 0;
        }
        let next = self.interface.poll_at(instant, &self.sockets);
        self.due = next.map(|at| self.patient(Instant::from_smoltcp(at), now));
        core::mem::take(&mut self.changed)
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.due
    }

    /// The link came back, perhaps to another network: the lease is asked for anew.
    pub(crate) fn restart(&mut self, now: Duration) {
        if let Some(dhcp) = self.dhcp {
            self.sockets.get_mut::<dhcpv4::Socket>(dhcp).reset();
        }
        self.due = Some(now);
    }

    /// smoltcp 0.14 calls for a poll for ever when no router answers its solicitations; what is
    /// overdue and fruitless is asked for ever more rarely.
    fn patient(&mut self, at: Instant, now: Duration) -> Duration {
        let now = Instant::new(now);
        if at > now + time::Duration::TICK {
            return at.since_start();
        }
        self.fruitless = (self.fruitless + 1).min(PATIENCE_MAX);
        (now + time::Duration::TICK).since_start()
            + time::Duration::TICK.to_core() * ((1 << self.fruitless) - 2)
    }

    fn take_lease(&mut self) {
        let Some(dhcp) = self.dhcp else { return };
        match self.sockets.get_mut::<dhcpv4::Socket>(dhcp).poll() {
            None => (),
            Some(dhcpv4::Event::Configured(lease)) => {
                let (address, router) = (IpCidr::Ipv4(lease.address), lease.router);
                let servers: Vec<IpAddr> =
                    lease.dns_servers.iter().map(|v4| (*v4).into()).collect();
                match router {
                    Some(router) => log::info!("DHCP: {address}, gateway {router}"),
                    None => log::info!("DHCP: {address}, no gateway"),
                }
                self.dns.use_servers(&servers, &mut self.sockets);
                self.replace_v4(Some(address));
                if let Some(router) = router {
                    // The table has room for one route of each kind; the old one is replaced.
                    let _ = self.interface.routes_mut().add_default_ipv4_route(router);
                }
            }
            Some(dhcpv4::Event::Deconfigured) => {
                // smoltcp says so at the start too, when there is nothing to lose.
                if self.interface.ipv4_addr().is_some() {
                    log::warn!("DHCP: the lease has ended");
                }
                self.replace_v4(None);
                self.interface.routes_mut().remove_default_ipv4_route();
            }
        }
    }

    fn replace_v4(&mut self, address: Option<IpCidr>) {
        self.interface.update_ip_addrs(|addresses| {
            addresses.retain(|cidr| matches!(cidr, IpCidr::Ipv6(_)));
            if let Some(address) = address {
                // The lease comes first among addresses, so there is room for it.
                let _ = addresses.insert(0, address);
            }
        });
        self.changed = true;
    }
}

/// Fruitless polls come at last every 65 s.
const PATIENCE_MAX: u32 = 16;
/// Any address beyond the link.
const GLOBAL_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// Packets per poll; a ping flood must not keep connections waiting.
const ROUNDS_MAX: usize = 8;

/// A DHCP client that says the machine's name (RFC 2132 section 3.14). The name lives as long as the
/// process, as interfaces do.
fn dhcp_client(hostname: &str) -> dhcpv4::Socket<'static> {
    let mut client = dhcpv4::Socket::new();
    if !hostname.is_empty() {
        let data = Box::leak(hostname.as_bytes().into());
        let option = DhcpOption { kind: HOST_NAME, data };
        client.set_outgoing_options(Box::leak(Box::new([option])));
    }
    client
}

/// RFC 2132 section 3.14.
const HOST_NAME: u8 = 12;

fn assign(interface: &mut Interface, config: &Config, own: [u8; 6]) {
    let mut cidrs: Vec<IpCidr> = config
        .addresses
        .iter()
        .map(|(address, prefix)| IpCidr::new((*address).into(), (*prefix).min(bits(address))))
        .filter(|cidr| cidr.address().is_unicast())
        .collect();
    if config.slaac || config.addresses.iter().any(|(address, _)| address.is_ipv6()) {
        cidrs.push(IpCidr::new(IpAddress::Ipv6(link_local(own)), 64));
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

fn bits(address: &IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// RFC 4291 appendix A: the interface identifier from the hardware address.
fn link_local(own: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = own.map(u16::from);
    Ipv6Addr::new(0xfe80, 0, 0, 0, (a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f)
}
