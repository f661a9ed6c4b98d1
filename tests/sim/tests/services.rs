//! One stack against a router made by hand: leases, advertisements, names, ping.

use flow::registry::{ResolvingConnector, StaticRegistry, WayPolicy, Ways};
use flow::time::Timers;
use flow::{ConnectError, Connector, Target};
use net::Config;
use sim::{Lone, MAC, router_advertisement};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::Duration as SmolDuration;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress,
    EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv4Packet, Icmpv4Repr, Icmpv6Packet,
    Icmpv6Repr, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr,
    NdiscPrefixInfoFlags, NdiscPrefixInformation, NdiscRepr, UdpPacket, UdpRepr,
};
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::Duration;

const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const LEASED: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);
const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

/// A network with a router, which does what its fields say.
struct Network {
    lone: Lone,
    leases: bool,
    /// Each request is answered by a DHCPNAK.
    refuses: bool,
    offers: Ipv4Addr,
    mask: Ipv4Addr,
    /// The gateway that goes with the lease.
    gateway: Ipv4Addr,
    /// The neighbours whose hardware addresses were asked for.
    sought: Vec<Ipv4Addr>,
    /// The address that was declined last, and the server that it was said to.
    declined: Option<(Option<Ipv4Addr>, Option<Ipv4Addr>)>,
    lease_seconds: u32,
    advertises: bool,
    /// What the name server answers: the name in wire form, and the address.
    name: Option<(Vec<u8>, Ipv4Addr)>,
    requests: u32,
    /// What the last of them called the machine (RFC 2132 section 3.14).
    hostname: Option<String>,
    pongs: u32,
    /// Of members of groups.
    reports: u32,
    tcp: Vec<Vec<u8>>,
}

impl Network {
    fn new(config: &Config) -> Self {
        Self {
            lone: Lone::new(config),
            leases: true,
            refuses: false,
            offers: LEASED,
            mask: Ipv4Addr::new(255, 255, 255, 0),
            gateway: ROUTER,
            sought: Vec::new(),
            declined: None,
            lease_seconds: 100,
            advertises: true,
            name: None,
            requests: 0,
            hostname: None,
            pongs: 0,
            reports: 0,
            tcp: Vec::new(),
        }
    }

    /// Lets `period` pass; how often the stack wanted to be called.
    fn pass(&mut self, period: Duration) -> u32 {
        let until = self.lone.now + period;
        let mut turns = 0;
        loop {
            for frame in self.lone.turn() {
                self.answer(&frame);
            }
            turns += 1;
            if !self.lone.step(until) {
                return turns;
            }
        }
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.lone.stack.addresses().map(|(address, _)| address).collect()
    }

    fn answer(&mut self, frame: &[u8]) {
        let ethernet = EthernetFrame::new_checked(frame).unwrap();
        match ethernet.ethertype() {
            EthernetProtocol::Arp => self.answer_arp(ethernet.payload()),
            EthernetProtocol::Ipv4 => self.answer_v4(ethernet.payload(), frame),
            EthernetProtocol::Ipv6 => self.answer_v6(ethernet.payload()),
            other => panic!("{other}"),
        }
    }

    fn answer_arp(&mut self, payload: &[u8]) {
        let request = ArpRepr::parse(&ArpPacket::new_checked(payload).unwrap()).unwrap();
        let ArpRepr::EthernetIpv4 { operation, source_protocol_addr, target_protocol_addr, .. } =
            request
        else {
            panic!("{request}")
        };
        self.sought.push(target_protocol_addr);
        if operation != ArpOperation::Request || target_protocol_addr != ROUTER {
            return;
        }
        let answer = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: EthernetAddress(MAC[1]),
            source_protocol_addr: ROUTER,
            target_hardware_addr: EthernetAddress(MAC[0]),
            target_protocol_addr: source_protocol_addr,
        };
        self.send(EthernetProtocol::Arp, answer.buffer_len(), |payload| {
            answer.emit(&mut ArpPacket::new_unchecked(payload));
        });
    }

    fn answer_v4(&mut self, payload: &[u8], frame: &[u8]) {
        let caps = ChecksumCapabilities::default();
        let packet = Ipv4Packet::new_checked(payload).unwrap();
        let ip = Ipv4Repr::parse(&packet, &caps).unwrap();
        match ip.next_header {
            IpProtocol::Tcp => self.tcp.push(frame.to_vec()),
            IpProtocol::Icmp => {
                let message = Icmpv4Packet::new_checked(packet.payload()).unwrap();
                let message = Icmpv4Repr::parse(&message, &caps).unwrap();
                self.pongs += u32::from(matches!(message, Icmpv4Repr::EchoReply { seq_no: 5, .. }));
            }
            IpProtocol::Udp => {
                let udp = UdpPacket::new_checked(packet.payload()).unwrap();
                match udp.dst_port() {
                    67 => self.answer_dhcp(udp.payload()),
                    53 => self.answer_dns(udp.payload(), ip.src_addr, udp.src_port()),
                    other => panic!("port {other}"),
                }
            }
            other => panic!("{other}"),
        }
    }

    fn answer_dhcp(&mut self, payload: &[u8]) {
        let packet = DhcpPacket::new_checked(payload).unwrap();
        let request = DhcpRepr::parse(&packet).unwrap();
        if request.message_type == DhcpMessageType::Decline {
            self.declined = Some((request.requested_ip, request.server_identifier));
            return;
        }
        self.requests += 1;
        let name = packet.options().find(|option| option.kind == 12);
        self.hostname = name.map(|name| String::from_utf8_lossy(name.data).into_owned());
        if !self.leases {
            return;
        }
        let message_type = match request.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            _ if self.refuses => DhcpMessageType::Nak,
            _ => DhcpMessageType::Ack,
        };
        let servers = [ROUTER].into_iter().collect();
        let answer = DhcpRepr {
            message_type,
            your_ip: self.offers,
            server_ip: ROUTER,
            router: Some(self.gateway),
            subnet_mask: Some(self.mask),
            server_identifier: Some(ROUTER),
            dns_servers: Some(servers),
            lease_duration: Some(self.lease_seconds),
            parameter_request_list: None,
            requested_ip: None,
            max_size: None,
            client_identifier: None,
            ..request
        };
        let mut bytes = vec![0; answer.buffer_len()];
        answer.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..])).unwrap();
        self.send_udp(Ipv4Addr::BROADCAST, (67, 68), &bytes);
    }

    fn answer_dns(&mut self, query: &[u8], to: Ipv4Addr, port: u16) {
        let Some((name, address)) = self.name.clone() else { return };
        let question = &query[12..];
        let known = question.starts_with(&name) && question[name.len()..] == [0, 1, 0, 1];
        let mut answer = query.to_vec();
        // A response; no such name unless it is known (RFC 1035 section 4.1.1).
        answer[2..4].copy_from_slice(&if known { [0x81, 0x80] } else { [0x81, 0x83] });
        if known {
            answer[7] = 1;
            answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            answer.extend_from_slice(&address.octets());
        }
        self.send_udp(to, (53, port), &answer);
    }

    fn answer_v6(&mut self, payload: &[u8]) {
        let caps = ChecksumCapabilities::default();
        let packet = Ipv6Packet::new_checked(payload).unwrap();
        let (source, destination) = (packet.src_addr(), packet.dst_addr());
        if packet.next_header() == IpProtocol::HopByHop {
            return self.reports += 1;
        }
        let message = Icmpv6Packet::new_checked(packet.payload()).unwrap();
        let message = Icmpv6Repr::parse(&source, &destination, &message, &caps).unwrap();
        if !matches!(message, Icmpv6Repr::Ndisc(NdiscRepr::RouterSolicit { .. }))
            || !self.advertises
        {
            return;
        }
        let prefix = NdiscPrefixInformation {
            prefix_len: 64,
            flags: NdiscPrefixInfoFlags::ON_LINK | NdiscPrefixInfoFlags::ADDRCONF,
            valid_lifetime: SmolDuration::from_secs(10_000),
            preferred_lifetime: SmolDuration::from_secs(10_000),
            prefix: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
        };
        let answer = Icmpv6Repr::Ndisc(router_advertisement(1_800, Some(prefix)));
        let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        let ip = Ipv6Repr {
            src_addr: ROUTER_V6,
            dst_addr: all,
            next_header: IpProtocol::Icmpv6,
            payload_len: answer.buffer_len(),
            hop_limit: 255,
        };
        self.send(EthernetProtocol::Ipv6, 40 + answer.buffer_len(), |payload| {
            ip.emit(&mut Ipv6Packet::new_unchecked(&mut payload[..40]));
            let mut message = Icmpv6Packet::new_unchecked(&mut payload[40..]);
            answer.emit(&ROUTER_V6, &all, &mut message, &caps);
        });
    }

    fn send_udp(&mut self, to: Ipv4Addr, ports: (u16, u16), bytes: &[u8]) {
        let caps = ChecksumCapabilities::default();
        let udp = UdpRepr { src_port: ports.0, dst_port: ports.1 };
        let ip = Ipv4Repr {
            src_addr: ROUTER,
            dst_addr: to,
            next_header: IpProtocol::Udp,
            payload_len: 8 + bytes.len(),
            hop_limit: 64,
        };
        self.send(EthernetProtocol::Ipv4, 28 + bytes.len(), |payload| {
            ip.emit(&mut Ipv4Packet::new_unchecked(&mut payload[..]), &caps);
            let (from, to) = (IpAddress::Ipv4(ROUTER), IpAddress::Ipv4(to));
            let mut packet = UdpPacket::new_unchecked(&mut payload[20..]);
            let copy = |place: &mut [u8]| place.copy_from_slice(bytes);
            udp.emit(&mut packet, &from, &to, bytes.len(), copy, &caps);
        });
    }

    fn ping(&mut self, to: Ipv4Addr) {
        let caps = ChecksumCapabilities::default();
        let request = Icmpv4Repr::EchoRequest { ident: 1, seq_no: 5, data: b"water" };
        let ip = Ipv4Repr {
            src_addr: ROUTER,
            dst_addr: to,
            next_header: IpProtocol::Icmp,
            payload_len: request.buffer_len(),
            hop_limit: 64,
        };
        self.send(EthernetProtocol::Ipv4, 20 + request.buffer_len(), |payload| {
            ip.emit(&mut Ipv4Packet::new_unchecked(&mut payload[..]), &caps);
            request.emit(&mut Icmpv4Packet::new_unchecked(&mut payload[20..]), &caps);
        });
    }

    fn send(&mut self, ethertype: EthernetProtocol, len: usize, fill: impl FnOnce(&mut [u8])) {
        let (src_addr, dst_addr) = (EthernetAddress(MAC[1]), EthernetAddress(MAC[0]));
        let mut frame = vec![0; 14 + len];
        let header = EthernetRepr { src_addr, dst_addr, ethertype };
        header.emit(&mut EthernetFrame::new_unchecked(&mut frame[..]));
        fill(&mut frame[14..]);
        self.lone.wire.inject(0, frame);
    }

    /// The outcome of a connection attempt.
    fn connect(&mut self, target: Target) -> Result<(), ConnectError> {
        let connector = self.lone.stack.connector();
        self.connect_by(connector, target)
    }

    fn connect_by(
        &mut self,
        connector: impl Connector,
        target: Target,
    ) -> Result<(), ConnectError> {
        let outcome = Rc::new(RefCell::new(None));
        let result = outcome.clone();
        self.lone.executor.spawner().spawn("connect", async move {
            let flow = connector.connect(&target).await;
            *result.borrow_mut() = Some(flow.map(drop));
        });
        for _ in 0..200 {
            self.pass(Duration::from_millis(500));
            if let Some(outcome) = outcome.borrow_mut().take() {
                return outcome;
            }
        }
        panic!("no outcome");
    }
}

fn dhcp() -> Config {
    Config { slaac: false, ..Config::default() }
}

#[test]
fn a_lease_is_taken_renewed_and_lost() {
    let mut network = Network::new(&dhcp());
    network.pass(Duration::from_secs(2));
    assert_eq!(network.addresses(), [IpAddr::V4(LEASED)]);
    assert_eq!(network.requests, 2);
    network.pass(Duration::from_secs(500));
    assert_eq!(network.addresses(), [IpAddr::V4(LEASED)]);
    assert!(network.requests > 6, "{} requests", network.requests);
    network.leases = false;
    network.pass(Duration::from_secs(200));
    assert!(network.addresses().is_empty());
    network.leases = true;
    network.pass(Duration::from_secs(200));
    assert_eq!(network.addresses(), [IpAddr::V4(LEASED)]);
}

#[test]
fn rfc_2131_3_1_a_leased_address_that_another_has_is_declined() {
    let mut network = Network::new(&dhcp());
    network.pass(Duration::from_secs(1));
    assert_eq!(network.addresses(), [IpAddr::V4(LEASED)]);
    let claim = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: EthernetAddress(MAC[1]),
        source_protocol_addr: LEASED,
        target_hardware_addr: EthernetAddress(MAC[0]),
        target_protocol_addr: Ipv4Addr::UNSPECIFIED,
    };
    network.send(EthernetProtocol::Arp, claim.buffer_len(), |payload| {
        claim.emit(&mut ArpPacket::new_unchecked(payload));
    });
    let other = Ipv4Addr::new(10, 0, 0, 78);
    network.offers = other;
    // At least ten seconds before it asks again.
    network.pass(Duration::from_secs(9));
    assert_eq!(network.declined, Some((Some(LEASED), Some(ROUTER))));
    assert_eq!((network.requests, network.addresses()), (2, vec![]));
    network.pass(Duration::from_secs(2));
    assert_eq!((network.requests, network.addresses()), (4, vec![IpAddr::V4(other)]));
}

#[test]
fn rfc_2131_4_4_1_a_server_that_refuses_everything_is_asked_every_ten_seconds() {
    let mut network = Network::new(&dhcp());
    network.refuses = true;
    network.pass(Duration::from_secs(60));
    assert!((10..=14).contains(&network.requests), "{} requests", network.requests);
    assert!(network.addresses().is_empty());
    network.refuses = false;
    network.pass(Duration::from_secs(11));
    assert_eq!(network.addresses(), [IpAddr::V4(LEASED)]);
}

#[test]
fn rfc_2131_4_4_1_a_lease_that_is_taken_back_is_asked_for_after_a_pause() {
    let mut network = Network::new(&dhcp());
    network.pass(Duration::from_secs(2));
    network.refuses = true;
    // Renewed after half of 100 s, and refused.
    network.pass(Duration::from_secs(55));
    assert_eq!((network.requests, network.addresses()), (3, vec![]));
    network.pass(Duration::from_secs(6));
    assert_eq!((network.requests, network.addresses()), (5, vec![]));
}

#[test]
fn a_lease_of_no_time_is_not_taken() {
    for seconds in [0, 1, 4] {
        let mut network = Network::new(&dhcp());
        network.lease_seconds = seconds;
        network.pass(Duration::from_secs(60));
        assert!(network.requests <= 16, "{} requests", network.requests);
        assert!(network.addresses().is_empty());
        network.lease_seconds = 100;
        network.pass(Duration::from_secs(5));
        assert_eq!(network.addresses(), [IpAddr::V4(LEASED)]);
    }
}

#[test]
fn an_address_that_no_host_can_have_is_not_taken() {
    let (net, all) = (Ipv4Addr::new(255, 255, 255, 0), Ipv4Addr::UNSPECIFIED);
    for (offer, mask) in [
        ([127, 0, 0, 1], net),
        ([240, 0, 0, 1], net),
        ([10, 0, 0, 0], net),
        ([10, 0, 0, 255], net),
        ([10, 0, 0, 7], all),
    ] {
        let mut network = Network::new(&dhcp());
        (network.offers, network.mask) = (offer.into(), mask);
        network.pass(Duration::from_secs(10));
        assert!(network.addresses().is_empty(), "{:?}", network.addresses());
        assert!(network.requests <= 3, "{} requests", network.requests);
        (network.offers, network.mask) = (LEASED, net);
        network.pass(Duration::from_secs(5));
        assert_eq!(network.addresses(), [IpAddr::V4(LEASED)]);
    }
}

#[test]
fn a_gateway_outside_the_leased_network_is_ignored() {
    let stranger = Ipv4Addr::new(10, 0, 1, 1);
    for (mask, is_sought) in [([255, 255, 255, 0], false), ([255; 4], true)] {
        let mut network = Network::new(&dhcp());
        (network.gateway, network.mask) = (stranger, mask.into());
        network.pass(Duration::from_secs(2));
        assert_eq!(network.addresses(), [IpAddr::V4(LEASED)]);
        let outcome = network.connect("198.51.100.1:80".parse().unwrap());
        assert!(outcome.is_err());
        // A network of one address has its gateway outside.
        assert_eq!(network.sought.contains(&stranger), is_sought);
    }
}

#[test]
fn rfc_2131_4_1_a_lost_discover_is_sent_again_after_four_seconds() {
    let mut network = Network::new(&dhcp());
    network.leases = false;
    network.pass(Duration::from_secs(3));
    assert_eq!(network.requests, 1);
    network.leases = true;
    network.pass(Duration::from_secs(2));
    assert_eq!(network.addresses(), [IpAddr::V4(LEASED)]);
}

#[test]
fn the_dhcp_server_is_told_the_hostname() {
    for (hostname, told) in [("alpha", Some("alpha")), ("", None)] {
        let mut network = Network::new(&Config { hostname: hostname.into(), ..dhcp() });
        network.pass(Duration::from_secs(2));
        assert_eq!(network.requests, 2);
        assert_eq!(network.hostname.as_deref(), told);
    }
}

#[test]
fn a_link_that_comes_back_asks_for_a_lease_at_once() {
    let mut network = Network::new(&dhcp());
    network.pass(Duration::from_secs(2));
    network.lone.wire.set_link_up(false);
    network.pass(Duration::from_millis(1));
    network.lone.wire.set_link_up(true);
    network.pass(Duration::from_secs(2));
    assert_eq!((network.requests, network.addresses()), (4, vec![IpAddr::V4(LEASED)]));
}

#[test]
fn router_advertisements_give_an_address() {
    let mut network = Network::new(&Config { dhcp: false, ..Config::default() });
    network.pass(Duration::from_secs(2));
    let addresses = network.addresses();
    assert!(addresses.contains(&"fe80::ff:fe00:1".parse().unwrap()), "{addresses:?}");
    assert!(addresses.contains(&"2001:db8::ff:fe00:1".parse().unwrap()), "{addresses:?}");
}

#[test]
fn rfc_3810_6_1_groups_are_joined_twice() {
    let mut network = Network::new(&Config { dhcp: false, ..Config::default() });
    network.pass(Duration::from_secs(5));
    assert_eq!((network.addresses().len(), network.reports), (2, 4));
}

#[test]
fn a_lease_is_renewed_in_time_where_no_router_answers() {
    let renewals = |slaac: bool| {
        let mut network = Network::new(&Config { slaac, ..dhcp() });
        network.advertises = false;
        network.pass(Duration::from_secs(1_000));
        network.requests
    };
    assert!(renewals(false) > 15);
    assert_eq!(renewals(true), renewals(false));
}

#[test]
fn ping_is_answered() {
    let mut network = Network::new(&dhcp());
    network.pass(Duration::from_secs(2));
    for _ in 0..3 {
        network.ping(LEASED);
        network.pass(Duration::from_millis(10));
    }
    assert!(network.pongs >= 2, "{} answers", network.pongs);
}

#[test]
fn names_are_resolved_by_the_leased_server() {
    let mut network = Network::new(&dhcp());
    assert_eq!(network.connect("db.example:9".parse().unwrap()), Err(ConnectError::Unreachable));
    network.pass(Duration::from_secs(2));
    network.name = Some((b"\x02db\x07example\0".to_vec(), Ipv4Addr::new(192, 0, 2, 9)));
    // The name leads to the gateway, where nobody takes the SYN.
    assert_eq!(network.connect("db.example:9".parse().unwrap()), Err(ConnectError::TimedOut));
    let syn = EthernetFrame::new_checked(&network.tcp[0]).unwrap();
    assert_eq!(Ipv4Packet::new_checked(syn.payload()).unwrap().dst_addr().octets(), [192, 0, 2, 9]);
    assert_eq!(network.connect("other.example:9".parse().unwrap()), Err(ConnectError::NotFound));
    assert_eq!(network.connect("a..b:9".parse().unwrap()), Err(ConnectError::NotFound));
    // So is the host of a service, each time that somebody connects to it.
    let registry = StaticRegistry::parse(b"web here http db.example:9").unwrap();
    let ways = Ways::new(WayPolicy::default(), &Timers::new());
    let connector = network.lone.stack.connector();
    let connector = ResolvingConnector::new(connector, Rc::new(registry), ways);
    for address in [[192, 0, 2, 10], [192, 0, 2, 11]] {
        network.tcp.clear();
        network.name = Some((b"\x02db\x07example\0".to_vec(), address.into()));
        let service = "service://web".parse().unwrap();
        assert_eq!(network.connect_by(connector.clone(), service), Err(ConnectError::TimedOut));
        let syn = EthernetFrame::new_checked(&network.tcp[0]).unwrap();
        assert_eq!(Ipv4Packet::new_checked(syn.payload()).unwrap().dst_addr().octets(), address);
    }
    network.name = None;
    assert_eq!(network.connect("db.example:9".parse().unwrap()), Err(ConnectError::NotFound));
}

#[test]
fn a_neighbour_that_is_not_there_is_unreachable() {
    let mut network = Network::new(&dhcp());
    network.pass(Duration::from_secs(2));
    let nobody = Target::Address("10.0.0.200:80".parse().unwrap());
    assert_eq!(network.connect(nobody), Err(ConnectError::Unreachable));
    let elsewhere = Target::Address("[2001:db8::1]:80".parse().unwrap());
    assert_eq!(network.connect(elsewhere), Err(ConnectError::Unreachable));
}

#[test]
fn an_idle_stack_is_left_alone() {
    let addresses = vec![(IpAddr::V4(LEASED), 24)];
    let mut network = Network::new(&Config {
        addresses: addresses.clone(),
        dhcp: false,
        slaac: false,
        ..Config::default()
    });
    // Until it has asked whether its addresses are its own.
    network.pass(Duration::from_secs(5));
    assert_eq!(network.lone.stack.next_deadline(), None);
    let mut network = Network::new(&Config { addresses, dhcp: false, ..Config::default() });
    network.advertises = false;
    network.pass(Duration::from_secs(100));
    let turns = network.pass(Duration::from_secs(1_000));
    assert!(turns < 30, "{turns} turns without a router");
    let mut network = Network::new(&dhcp());
    network.pass(Duration::from_secs(2));
    let turns = network.pass(Duration::from_secs(40));
    assert!(turns < 5, "{turns} turns with a lease");
}

#[test]
fn what_a_lease_gives_goes_with_it_and_configured_name_servers_come_first() {
    let configured = Ipv4Addr::new(10, 0, 0, 53);
    let name_servers = vec![configured.into()];
    let mut network = Network::new(&Config { name_servers, ..dhcp() });
    let servers = |network: &Network| network.lone.stack.name_servers().collect::<Vec<_>>();
    assert_eq!(servers(&network), [IpAddr::V4(configured)]);
    network.pass(Duration::from_secs(2));
    assert_eq!(servers(&network), [IpAddr::V4(configured), IpAddr::V4(ROUTER)]);
    // Once more, they are not there twice.
    network.pass(Duration::from_secs(100));
    assert_eq!(servers(&network).len(), 2);
    let far = || "198.51.100.1:9".parse().unwrap();
    assert_eq!(network.connect(far()), Err(ConnectError::TimedOut));
    network.leases = false;
    network.pass(Duration::from_secs(200));
    assert!(network.addresses().is_empty());
    let before = network.tcp.len();
    assert_eq!(network.connect(far()), Err(ConnectError::Unreachable));
    assert_eq!(network.tcp.len(), before);
}
