//! The link layer and all that is not TCP: ARP (RFC 826), neighbour discovery (RFC 4861), ICMP echo,
//! DHCP, SLAAC and DNS. A smoltcp interface of its own sees those frames only, and of them those that
//! [`ingress`] lets through.

pub(crate) mod addresses;
pub(crate) mod dhcp;
pub(crate) mod dns;
pub(crate) mod duplicates;
pub(crate) mod echo;
pub(crate) mod fragmentation;
pub(crate) mod icmp_error;
pub(crate) mod ingress;
pub(crate) mod multicast;
pub(crate) mod neighbours;
pub(crate) mod path_mtu;
pub(crate) mod reassembly;
pub(crate) mod slaac;

use crate::config::Config;
use crate::device::smoltcp::{SmoltcpDevice, ethernet_caps};
use crate::device::{NetDevice, Transmit, TxFrame};
use crate::link::addresses::Route;
use crate::link::dhcp::{Change, DhcpClient, Lease};
use crate::link::dns::DnsResolver;
use crate::link::ingress::Ours;
use crate::link::neighbours::Neighbours;
use crate::link::slaac::Slaac;
use crate::request::LookupRequest;
use crate::time::{from_smoltcp, to_smoltcp};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use smoltcp::iface::{Config as InterfaceConfig, Interface, PollResult, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, DeviceCapabilities};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};

/// The service interface and its sockets.
pub(crate) struct Link {
    interface: Interface,
    sockets: SocketSet<'static>,
    caps: DeviceCapabilities,
    dhcp: Option<DhcpClient>,
    /// When the interface wants to be polled, for DHCP and DNS.
    due: Option<Duration>,
    dns: DnsResolver,
    slaac: Option<Slaac>,
    /// The configuration says by which router IPv6 packets go.
    has_own_router: bool,
    /// Our addresses have changed since this was last asked.
    changed: bool,
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
        let mut device = SmoltcpDevice::new(&caps, device.transmitter());
        let mut interface = Interface::new(interface_config, &mut device, to_smoltcp(now.into()));
        addresses::assign(&mut interface, config, own);
        let mut sockets = SocketSet::new(Vec::new());
        let dhcp = config.dhcp.then(|| DhcpClient::new(&config.hostname, now, &mut sockets));
        let dns = DnsResolver::new(&config.name_servers, &mut sockets);
        let due = Some(now);
        Self {
            interface,
            sockets,
            caps,
            dhcp,
            due,
            dns,
            slaac: config.slaac.then(|| Slaac::new(own, now)),
            has_own_router: config.gateways.iter().any(IpAddr::is_ipv6),
            changed: false,
        }
    }

    /// Whether the address is one of ours.
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        self.interface.has_ip_addr(address)
    }

    /// Whether the address is in one of our networks.
    pub(crate) fn is_on_link(&self, address: Ipv4Addr) -> bool {
        let address = IpAddress::Ipv4(address);
        self.interface.ip_addrs().iter().any(|cidr| cidr.contains_addr(&address))
    }

    /// Whether an address that somebody else has is given up: not an IPv4 address that was written down.
    pub(crate) fn may_give_up(&self, address: IpAddr) -> bool {
        address.is_ipv6() || self.dhcp.is_some()
    }

    /// Stops using an address that somebody else has, and tells the server that leased it.
    pub(crate) fn give_up(&mut self, address: IpAddr, now: Duration, output: &mut dyn Transmit) {
        if let (Some(dhcp), IpAddr::V4(address)) = (&mut self.dhcp, address)
            && let HardwareAddress::Ethernet(own) = self.interface.hardware_addr()
            && let Some(frame) = dhcp.decline(address, own, now, &mut self.sockets)
        {
            output.transmit(TxFrame::new(frame.len()), &mut |place| place.copy_from_slice(&frame));
            self.interface.routes_mut().remove_default_ipv4_route();
        }
        if let (Some(slaac), IpAddr::V6(address)) = (&mut self.slaac, address) {
            slaac.give_up(address);
        }
        let address = IpAddress::from(address);
        self.interface.update_ip_addrs(|own| own.retain(|cidr| cidr.address() != address));
        self.changed = true;
    }

    /// Our addresses with their prefix lengths.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (IpAddr, u8)> + '_ {
        self.interface.ip_addrs().iter().map(|cidr| (cidr.address().into(), cidr.prefix_len()))
    }

    /// Servers of DNS.
    pub(crate) fn name_servers(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.dns.servers()
    }

    /// Which checksums are to be written, and which the device writes.
    pub(crate) fn checksums(&self) -> ChecksumCapabilities {
        self.caps.checksum.clone()
    }

    /// The way to `remote`.
    pub(crate) fn route(&self, remote: IpAddr) -> Option<Route> {
        addresses::route(&self.interface, remote)
    }

    /// Takes a frame, and answers it where an answer is due.
    pub(crate) fn receive(&mut self, now: Duration, frame: &[u8], output: &mut dyn Transmit) {
        if let Some(slaac) = &mut self.slaac {
            slaac.receive(now, frame);
        }
        if let (Some(dhcp), HardwareAddress::Ethernet(own)) =
            (&mut self.dhcp, self.interface.hardware_addr())
            && !dhcp.admits(frame, own, now, &mut self.sockets)
        {
            return;
        }
        let mut device = SmoltcpDevice::new(&self.caps, output);
        device.received = Some(frame);
        self.interface.poll_ingress_single(to_smoltcp(now.into()), &mut device, &mut self.sockets);
        self.due = Some(now);
    }

    /// Asks for the addresses of a name.
    pub(crate) fn look_up(&mut self, lookup: Rc<LookupRequest>, now: Duration) {
        let has_v6 = self.route(GLOBAL_V6.into()).is_some();
        self.dns.look_up(lookup, has_v6, self.interface.context(), &mut self.sockets);
        self.due = Some(now);
    }

    /// Sends what is due and takes over what servers and routers said; true when our addresses have changed.
    pub(crate) fn poll(
        &mut self,
        now: Duration,
        neighbours: &Neighbours,
        output: &mut dyn Transmit,
    ) -> bool {
        self.poll_slaac(now, neighbours, output);
        if let Some(dhcp) = &mut self.dhcp {
            dhcp.tell_of_silence(now, self.interface.ipv4_addr().is_some());
            if dhcp.resume(now, &mut self.sockets) {
                self.due = Some(now);
            }
        }
        if self.due.is_some_and(|due| due <= now) {
            self.poll_sockets(now, output);
        }
        core::mem::take(&mut self.changed)
    }

    fn poll_sockets(&mut self, now: Duration, output: &mut dyn Transmit) {
        let instant = to_smoltcp(now.into());
        self.dns.deliver_answers(&mut self.sockets);
        // A lease that was just refused must not be asked for before the pause.
        self.take_lease(now);
        for _ in 0..ROUNDS_MAX {
            let mut device = SmoltcpDevice::new(&self.caps, output);
            let round = self.interface.poll_egress(instant, &mut device, &mut self.sockets);
            self.take_lease(now);
            if round == PollResult::None {
                break;
            }
        }
        let next = self.interface.poll_at(instant, &self.sockets);
        self.due = next.map(|at| Duration::from(from_smoltcp(at)).max(now + TICK));
    }

    fn poll_slaac(&mut self, now: Duration, neighbours: &Neighbours, output: &mut dyn Transmit) {
        let Some(slaac) = &mut self.slaac else { return };
        if slaac.is_solicitation_due(now) {
            neighbours.solicit_routers(output);
        }
        if !slaac.poll(now) {
            return;
        }
        addresses::replace_advertised(&mut self.interface, slaac);
        if !self.has_own_router {
            addresses::replace_v6_router(&mut self.interface, slaac.router());
        }
        self.changed = true;
    }

    /// When something is due: each service has its own time.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let slaac = self.slaac.as_ref().and_then(Slaac::next_deadline);
        let warning = self.dhcp.as_ref().and_then(DhcpClient::warns_at);
        let asking = self.dhcp.as_ref().and_then(DhcpClient::resumes_at);
        [self.due, slaac, warning, asking].into_iter().flatten().min()
    }

    /// The link came back, perhaps to another network: the lease is asked for anew.
    pub(crate) fn restart(&mut self, now: Duration) {
        if let Some(dhcp) = &mut self.dhcp {
            dhcp.restart(now, &mut self.sockets);
        }
        if let Some(slaac) = &mut self.slaac {
            slaac.restart(now);
        }
        self.due = Some(now);
    }

    fn take_lease(&mut self, now: Duration) {
        let sockets = &mut self.sockets;
        let Some(change) = self.dhcp.as_mut().and_then(|dhcp| dhcp.poll(now, sockets)) else {
            return;
        };
        match change {
            Change::Leased(Lease { address, router, dns_servers }) => {
                match router {
                    Some(router) => log::info!("DHCP: {address}, gateway {router}"),
                    None => log::info!("DHCP: {address}, no gateway"),
                }
                self.dns.use_servers(&dns_servers, &mut self.sockets);
                addresses::replace_v4(&mut self.interface, Some(address));
                if let Some(router) = router {
                    // The table has room for one route of each kind; the old one is replaced.
                    let _ = self.interface.routes_mut().add_default_ipv4_route(router);
                }
            }
            Change::Unleased => {
                // smoltcp says so at the start too, when there is nothing to lose.
                if self.interface.ipv4_addr().is_some() {
                    log::warn!("DHCP: the lease has ended");
                }
                addresses::replace_v4(&mut self.interface, None);
                self.interface.routes_mut().remove_default_ipv4_route();
            }
        }
        self.changed = true;
    }
}

impl Ours for Link {
    fn owns(&self, address: IpAddr) -> bool {
        self.owns(address)
    }

    fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        self.interface.ip_addrs().iter().any(|cidr| match cidr {
            IpCidr::Ipv4(cidr) => cidr.broadcast() == Some(address),
            IpCidr::Ipv6(_) => false,
        })
    }

    fn awaits_names(&self) -> bool {
        self.dns.is_waiting()
    }
}

/// Any address beyond the link.
const GLOBAL_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// The shortest time between two polls, whatever smoltcp says.
const TICK: Duration = Duration::from_millis(1);
/// Packets per poll; a ping flood must not keep connections waiting.
const ROUNDS_MAX: usize = 8;
