use super::*;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;

/// A frame of IPv4 from 10.0.0.1 to 10.0.0.2 with this protocol and these ports.
fn ipv4(protocol: u8, ports: [u16; 2]) -> Vec<u8> {
    let mut frame = ether(IPV4);
    frame.extend([0x45, 0, 0, 40, 0, 0, 0, 0, 64, protocol, 0, 0]);
    frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend(ports.map(u16::to_be_bytes).concat());
    frame.extend([0; 16]);
    frame
}

/// From fd00::1 to fd00::2, with this behind the header.
fn ipv6(next: u8, rest: &[u8]) -> Vec<u8> {
    let mut frame = ether(IPV6);
    frame.extend([0x60, 0, 0, 0, 0, 20, next, 64]);
    for last in [1, 2] {
        frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    frame.extend(rest);
    frame
}

fn arp() -> Vec<u8> {
    let mut frame = ether(ARP);
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1]);
    frame.extend([0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    frame
}

fn ether(ether_type: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    frame.extend(ether_type.to_be_bytes());
    frame
}

fn ports(source: u16, destination: u16) -> Vec<u8> {
    [source.to_be_bytes(), destination.to_be_bytes()].concat()
}

fn wants(text: &str, frame: &[u8]) -> bool {
    let filter: Filter = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    filter.matches(frame, frame.len())
}

#[test]
fn each_primitive_holds_and_does_not() {
    let tcp = ipv4(6, [1000, 80]);
    let udp = ipv4(17, [53, 5000]);
    let tcp6 = ipv6(6, &ports(443, 2000));
    for (text, frame, wanted) in [
        ("", &tcp, true),
        ("  ", &arp(), true),
        ("tcp", &tcp, true),
        ("udp", &tcp, false),
        ("ip", &tcp, true),
        ("ip6", &tcp, false),
        ("arp", &arp(), true),
        ("ether", &arp(), true),
        ("icmp", &ipv4(1, [0, 0]), true),
        ("icmp6", &ipv4(58, [0, 0]), false),
        ("icmp6", &ipv6(58, &[]), true),
        ("tcp", &tcp6, true),
        ("host 10.0.0.1", &tcp, true),
        ("host 10.0.0.3", &tcp, false),
        ("10.0.0.2", &tcp, true),
        ("src host 10.0.0.1", &tcp, true),
        ("src 10.0.0.2", &tcp, false),
        ("dst 10.0.0.2", &tcp, true),
        ("src and dst host 10.0.0.1", &tcp, false),
        ("src or dst host 10.0.0.1", &tcp, true),
        ("src or dst port 80", &tcp, true),
        ("src and dst port 80", &ipv4(6, [80, 80]), true),
        ("host 10.0.0.2", &arp(), true),
        ("arp host 10.0.0.1", &arp(), true),
        ("ip host 10.0.0.1", &arp(), false),
        ("host fd00::1", &tcp6, true),
        ("ip6 dst host fd00::1", &tcp6, false),
        ("net 10.0.0.0/8", &tcp, true),
        ("net 10.0.0.2/31", &tcp, true),
        ("dst net 10.0.0.0/31", &tcp, false),
        ("net 0.0.0.0/0", &tcp, true),
        ("net ::/0", &tcp, false),
        ("net fd00::/64", &tcp6, true),
        ("net fd01::/16", &tcp6, false),
        ("port 80", &tcp, true),
        ("src port 80", &tcp, false),
        ("tcp port 80", &tcp, true),
        ("udp port 80", &tcp, false),
        ("udp port 53", &udp, true),
        ("port 443", &tcp6, true),
        ("portrange 70-80", &tcp, true),
        ("portrange 81-90", &tcp, false),
        ("tcp dst portrange 80-80", &tcp, true),
        ("port 80", &ipv4(1, [80, 80]), false),
        ("ether host 02:00:00:00:00:01", &tcp, true),
        ("ether dst 2:0:0:0:0:1", &tcp, false),
        ("less 54", &tcp, true),
        ("less 53", &tcp, false),
        ("greater 54", &tcp, true),
        ("greater 55", &tcp, false),
    ] {
        assert_eq!(wants(text, frame), wanted, "{text}");
    }
}

#[test]
fn fragments_behind_the_first_have_no_ports() {
    let mut frame = ipv4(6, [80, 80]);
    frame[14 + 7] = 1;
    assert!(!wants("port 80", &frame) && wants("tcp", &frame));
    let fragment =
        |offset: u8| ipv6(44, &[&[6, 0, 0, offset][..], &[0; 4], &ports(80, 1)].concat());
    assert!(wants("port 80", &fragment(1)));
    assert!(!wants("port 80", &fragment(8)) && wants("tcp", &fragment(8)));
}

#[test]
fn ports_are_found_behind_headers_of_any_length() {
    let mut options = ipv4(6, [0, 0]);
    options[14] = 0x46;
    options[14 + 24..14 + 28].copy_from_slice(&ports(80, 81));
    assert!(wants("port 81", &options));
    let hop = [&[60, 0][..], &[0; 6], &[6, 1], &[0; 14], &ports(80, 81)].concat();
    assert!(wants("tcp port 81", &ipv6(0, &hop)));
    // Longer than anybody sends.
    let endless = [60, 0, 0, 0, 0, 0, 0, 0].repeat(9);
    assert!(!wants("tcp", &ipv6(60, &endless)));
}

#[test]
fn what_is_cut_off_or_tagged_matches_nothing() {
    let whole = ipv4(6, [80, 80]);
    for text in ["ip", "tcp", "port 80", "host 10.0.0.1", "ether host 02:00:00:00:00:01"] {
        let filter: Filter = text.parse().unwrap();
        let first = (0..=whole.len()).find(|length| filter.matches(&whole[..*length], whole.len()));
        assert!(first.is_some_and(|first| first >= 12), "{text}");
    }
    let mut tagged = whole.clone();
    tagged.splice(12..12, [0x81, 0, 0, 1]);
    assert!(!wants("ip", &tagged) && !wants("host 10.0.0.1", &tagged) && wants("ether", &tagged));
}

/// Each with what pcap-filter(7) makes of it for frames where A, B, C hold or not.
#[test]
fn operators_bind_as_pcap_s_do() {
    let (a, b, c) = ("port 1", "port 2", "tcp");
    for (text, meaning) in [
        (format!("{a} and {b} or {c}"), (|a, b, c| (a && b) || c) as fn(bool, bool, bool) -> bool),
        (format!("{a} or {b} and {c}"), |a, b, c| (a || b) && c),
        (format!("{a} or ({b} and {c})"), |a, b, c| a || (b && c)),
        (format!("not {a} and {b}"), |a, b, _| !a && b),
        (format!("not ({a} and {b})"), |a, b, _| !(a && b)),
        (format!("!{a}||!{b}&&!!{c}"), |a, b, c| (!a || !b) && c),
        (format!("not (not {a} or ({b} && !({c})))"), |a, b, c| !(!a || (b && !c))),
        ("port 1 or 2".to_string(), |a, b, _| a || b),
        ("not port 1 and not 2".to_string(), |a, b, _| !a && !b),
        (format!("({a})"), |a, _, _| a),
    ] {
        for (source, destination, protocol) in
            [1, 3].into_iter().flat_map(|s| [2, 4].map(|d| [6, 17].map(|p| (s, d, p)))).flatten()
        {
            let frame = ipv4(protocol, [source, destination]);
            let expected = meaning(source == 1, destination == 2, protocol == 6);
            assert_eq!(wants(&text, &frame), expected, "{text}: {source} {destination} {protocol}");
        }
    }
}

#[test]
fn what_is_no_filter_says_where_and_what_is_allowed() {
    for (text, at) in [
        ("tcpp", 0),
        ("tcp port", 8),
        ("tcp port http", 9),
        ("port 65536", 5),
        ("portrange 2-1", 10),
        ("portrange 80", 10),
        ("port 1-2", 5),
        ("host 10.0.0", 5),
        ("host 10.0.0.0/8", 5),
        ("net 10.0.0.0", 4),
        ("net 10.0.0.0/33", 4),
        ("net fd00::/129", 4),
        ("tcp host 10.0.0.1", 9),
        ("ip port 80", 8),
        ("icmp port 80", 10),
        ("ether host 1:2:3:4:5", 11),
        ("ether host 1:2:3:4:5:6:7", 11),
        ("ether host 1:2:3:4:5:123", 11),
        ("and", 0),
        ("tcp and", 7),
        ("tcp tcp", 4),
        ("not", 3),
        ("(tcp", 4),
        ("tcp)", 3),
        ("()", 1),
        ("tcp & udp", 4),
        ("less", 4),
        ("less -1", 5),
        ("tcp[13] = 2", 0),
        ("häuser", 0),
    ] {
        let error = text.parse::<Filter>().unwrap_err();
        assert_eq!(error.at, at, "{text}: {error}");
        assert!(error.to_string().ends_with("is allowed here"));
    }
}

#[test]
fn filters_have_a_longest() {
    let of = |count: usize, word: &str| vec![word; count].join(" or ");
    assert!(of(64, "tcp").parse::<Filter>().is_ok());
    assert!(of(65, "tcp").parse::<Filter>().is_err());
    let deep = |count: usize| format!("{}tcp{}", "(".repeat(count), ")".repeat(count));
    assert!(deep(64).parse::<Filter>().is_ok());
    assert!(deep(65).parse::<Filter>().is_err());
    assert!(String::from(" ").repeat(1024).parse::<Filter>().is_ok());
    assert!(String::from(" ").repeat(1025).parse::<Filter>().is_err());
    // All of the stack is used.
    let right = format!("{}tcp{}", "udp or (".repeat(31), ")".repeat(31));
    assert!(wants(&right, &ipv4(6, [1, 1])));
}
