//! Stateless address autoconfiguration (RFC 4862) and router discovery (RFC 4861 section 6.3): addresses from the
//! prefixes that routers advertise, and routers to send by.

use alloc::vec::Vec;
use core::net::Ipv6Addr;
use core::time::Duration;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, Icmpv6Message, Icmpv6Packet, IpProtocol, Ipv6Packet,
};

/// What routers said, and when they are asked.
pub(crate) struct Slaac {
    /// Our interface identifier.
    identifier: [u8; 8],
    prefixes: Vec<Prefix>,
    /// Default routers, and until when they are.
    routers: Vec<(Ipv6Addr, Duration)>,
    /// When the next solicitation is due; `None` once a router has answered.
    solicit_at: Option<Duration>,
    /// Time between the last solicitation and the next.
    interval: Duration,
    has_changed: bool,
}

struct Prefix {
    prefix: [u8; 8],
    valid_until: Duration,
    /// Somebody else has our address of it.
    is_taken: bool,
}

impl Slaac {
    /// Begins to ask for routers.
    pub(crate) fn new(own: [u8; 6], now: Duration) -> Self {
        let [.., a, b, c, d, e, f, g, h] = link_local(own).octets();
        Self {
            identifier: [a, b, c, d, e, f, g, h],
            prefixes: Vec::new(),
            routers: Vec::new(),
            solicit_at: Some(now),
            interval: SOLICITATION_INTERVAL,
            has_changed: false,
        }
    }

    /// The link came back, perhaps to another network: routers are asked again, and until they say something else,
    /// what they said counts.
    pub(crate) fn restart(&mut self, now: Duration) {
        (self.solicit_at, self.interval) = (Some(now), SOLICITATION_INTERVAL);
    }

    /// Whether a solicitation is due; the next will be later (RFC 7559 section 2).
    pub(crate) fn is_solicitation_due(&mut self, now: Duration) -> bool {
        let is_due = self.solicit_at.is_some_and(|at| at <= now);
        if is_due {
            self.solicit_at = Some(now + self.interval);
            self.interval = (self.interval * 2).min(SOLICITATION_INTERVAL_MAX);
        }
        is_due
    }

    /// Takes a frame that may hold a router's advertisement.
    pub(crate) fn receive(&mut self, now: Duration, frame: &[u8]) {
        let _ = self.take(now, frame);
    }

    fn take(&mut self, now: Duration, frame: &[u8]) -> Option<()> {
        let ethernet = EthernetFrame::new_checked(frame).ok()?;
        if ethernet.ethertype() != EthernetProtocol::Ipv6 {
            return None;
        }
        let ip = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
        if ip.next_header() != IpProtocol::Icmpv6 {
            return None;
        }
        let message = Icmpv6Packet::new_checked(ip.payload()).ok()?;
        let router = ip.src_addr();
        // RFC 4861 section 6.1.2.
        let is_valid = message.msg_type() == Icmpv6Message::RouterAdvert
            && message.msg_code() == 0
            && ip.hop_limit() == 255
            && router.is_unicast_link_local()
            && message.verify_checksum(&router, &ip.dst_addr());
        let (head, options) = ip.payload().split_first_chunk::<16>().filter(|_| is_valid)?;
        self.take_router(now, router, u16::from_be_bytes([head[6], head[7]]));
        self.take_options(now, options);
        Some(())
    }

    fn take_router(&mut self, now: Duration, router: Ipv6Addr, lifetime_seconds: u16) {
        let known = self.routers.iter().position(|(known, _)| *known == router);
        let until = now + Duration::from_secs(lifetime_seconds.into());
        match known {
            // The time of one that is none any more is over now.
            Some(index) => self.routers[index].1 = until,
            None if lifetime_seconds > 0 && self.routers.len() < ROUTERS_MAX => {
                self.routers.push((router, until));
                self.has_changed = true;
            }
            None => {}
        }
        if lifetime_seconds > 0 {
            self.solicit_at = None;
        }
    }

    /// Each prefix; what is malformed ends the list.
    fn take_options(&mut self, now: Duration, mut options: &[u8]) {
        while let [kind, len, ..] = *options {
            let Some((option, rest)) = options.split_at_checked(usize::from(len) * 8) else {
                return;
            };
            if option.is_empty() {
                return;
            }
            if let (PREFIX_INFORMATION, Some(option)) = (kind, option.first_chunk::<32>()) {
                self.take_prefix(now, option);
            }
            options = rest;
        }
    }

    /// RFC 4862 section 5.5.3.
    fn take_prefix(&mut self, now: Duration, option: &[u8; 32]) {
        let word = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| option[at + byte]));
        let (valid, preferred) = (word(4), word(8));
        let prefix = [16, 17, 18, 19, 20, 21, 22, 23].map(|at| option[at]);
        let is_link_local = prefix[0] == 0xfe && prefix[1] & 0xc0 == 0x80;
        let is_usable = option[3] & AUTONOMOUS != 0
            && !is_link_local
            && prefix[0] != 0xff
            && preferred <= valid
            && option[2] == PREFIX_BITS;
        if !is_usable {
            return;
        }
        let valid = if valid == u32::MAX { FOREVER } else { Duration::from_secs(valid.into()) };
        let has_room = self.prefixes.len() < PREFIXES_MAX;
        match self.prefixes.iter_mut().find(|known| known.prefix == prefix) {
            Some(known) => {
                // (e): nobody takes an address away in less than two hours, who could not prove that he may.
                let left = known.valid_until.saturating_sub(now);
                if valid > TWO_HOURS || valid > left {
                    known.valid_until = now + valid;
                } else if left > TWO_HOURS {
                    known.valid_until = now + TWO_HOURS;
                }
            }
            None if valid > Duration::ZERO && has_room => {
                let valid_until = now + valid;
                self.prefixes.push(Prefix { prefix, valid_until, is_taken: false });
                self.has_changed = true;
            }
            None => {}
        }
    }

    /// Forgets what has expired; true when addresses or routers have changed since this was last asked.
    pub(crate) fn poll(&mut self, now: Duration) -> bool {
        let before = (self.prefixes.len(), self.routers.len());
        self.prefixes.retain(|prefix| now < prefix.valid_until);
        self.routers.retain(|(_, until)| now < *until);
        if self.routers.is_empty() && before.1 > 0 {
            self.restart(now);
        }
        let has_expired = before != (self.prefixes.len(), self.routers.len());
        core::mem::take(&mut self.has_changed) || has_expired
    }

    /// When something is due.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let prefixes = self.prefixes.iter().map(|prefix| prefix.valid_until);
        let routers = self.routers.iter().map(|(_, until)| *until);
        prefixes.chain(routers).chain(self.solicit_at).min()
    }

    /// Somebody else has this address.
    pub(crate) fn give_up(&mut self, address: Ipv6Addr) {
        for prefix in &mut self.prefixes {
            prefix.is_taken |= address.octets()[..8] == prefix.prefix;
        }
    }

    /// Our addresses, one of each prefix; all of them are of [`PREFIX_BITS`].
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Ipv6Addr> + '_ {
        self.prefixes.iter().filter(|prefix| !prefix.is_taken).map(|prefix| {
            let mut octets = [0; 16];
            octets[..8].copy_from_slice(&prefix.prefix);
            octets[8..].copy_from_slice(&self.identifier);
            Ipv6Addr::from(octets)
        })
    }

    /// What all of them end with.
    pub(crate) fn identifier(&self) -> [u8; 8] {
        self.identifier
    }

    /// The router to send by.
    pub(crate) fn router(&self) -> Option<Ipv6Addr> {
        self.routers.first().map(|(router, _)| *router)
    }
}

/// RFC 4291 appendix A: the interface identifier from the hardware address.
pub(crate) fn link_local(own: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = own.map(u16::from);
    Ipv6Addr::new(0xfe80, 0, 0, 0, (a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f)
}

/// RFC 4861 section 4.6.2: an option of four times eight bytes, with a flag for those who make addresses.
const PREFIX_INFORMATION: u8 = 3;
const AUTONOMOUS: u8 = 0x40;
/// What an interface identifier of 64 bits leaves.
pub(crate) const PREFIX_BITS: u8 = 64;
const TWO_HOURS: Duration = Duration::from_secs(7_200);
/// A century, for what does not expire.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);
/// Prefixes and routers remembered.
const PREFIXES_MAX: usize = 4;
const ROUTERS_MAX: usize = 4;
/// RFC 7559 section 2.1: IRT and MRT.
const SOLICITATION_INTERVAL: Duration = Duration::from_secs(4);
const SOLICITATION_INTERVAL_MAX: Duration = Duration::from_secs(3_600);

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::vec::Vec;

    const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

    /// An advertisement with prefixes 2001:db8:N::/64: N, valid and preferred lifetime.
    pub(crate) fn advertisement(lifetime: u16, prefixes: &[(u8, u32, u32)]) -> Vec<u8> {
        let [high, low] = lifetime.to_be_bytes();
        let mut body = std::vec![134, 0, 0, 0, 64, 0, high, low, 0, 0, 0, 0, 0, 0, 0, 0];
        for (number, valid, preferred) in prefixes {
            body.extend([3, 4, 64, 0xc0]);
            body.extend([valid.to_be_bytes(), preferred.to_be_bytes(), [0; 4]].concat());
            body.extend([0x20, 1, 0xd, 0xb8, 0, *number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        }
        let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        Icmpv6Packet::new_unchecked(&mut body).fill_checksum(&ROUTER, &all_nodes);
        let mut frame = std::vec![0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd];
        frame.extend([0x60, 0, 0, 0, 0, body.len() as u8, 58, 255]);
        frame.extend([ROUTER.octets(), all_nodes.octets()].concat());
        frame.extend(body);
        frame
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn slaac() -> Slaac {
        Slaac::new([2, 0, 0, 0, 0, 1], Duration::ZERO)
    }

    /// The same bytes with the right checksum, from a router or somebody else.
    fn sealed(mut frame: Vec<u8>, router: Ipv6Addr) -> Vec<u8> {
        frame[22..38].copy_from_slice(&router.octets());
        let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        Icmpv6Packet::new_unchecked(&mut frame[54..]).fill_checksum(&router, &all_nodes);
        frame
    }

    /// When the first prefix expires.
    fn valid_until(slaac: &Slaac) -> Duration {
        slaac.prefixes[0].valid_until
    }

    #[test]
    fn rfc_4862_5_5_3_each_prefix_makes_an_address() {
        let mut slaac = slaac();
        slaac.receive(seconds(1), &advertisement(1800, &[(1, 9000, 9000), (2, 600, 300)]));
        assert!(slaac.poll(seconds(1)) && !slaac.poll(seconds(1)));
        let addresses: Vec<_> = slaac.addresses().collect();
        let expected = ["2001:db8:1::ff:fe00:1", "2001:db8:2::ff:fe00:1"];
        assert_eq!(addresses, expected.map(|address| address.parse::<Ipv6Addr>().unwrap()));
        assert_eq!(slaac.router(), Some(ROUTER));
        assert_eq!(slaac.next_deadline(), Some(seconds(601)));
        assert!(slaac.poll(seconds(601)));
        assert_eq!(slaac.addresses().count(), 1);
        assert!(slaac.poll(seconds(1801)));
        assert_eq!(slaac.router(), None);
        assert!(slaac.is_solicitation_due(seconds(1801)), "the last router is gone");
    }

    #[test]
    fn rfc_4862_5_5_3_e_nobody_shortens_a_lifetime_below_two_hours() {
        let mut slaac = slaac();
        let advertise = |slaac: &mut Slaac, now, valid: u32| {
            slaac.receive(seconds(now), &advertisement(1800, &[(1, valid, valid)]));
            valid_until(slaac).as_secs() - now
        };
        assert_eq!(advertise(&mut slaac, 0, 10_000), 10_000);
        // 1: more than two hours, or more than is left.
        assert_eq!(advertise(&mut slaac, 0, 8_000), 8_000);
        assert_eq!(advertise(&mut slaac, 0, 20_000), 20_000);
        // 3: otherwise two hours.
        assert_eq!(advertise(&mut slaac, 0, 0), 7_200);
        // 2: where less is left, nothing.
        assert_eq!(advertise(&mut slaac, 200, 0), 7_000);
        assert_eq!(advertise(&mut slaac, 200, 6_999), 7_000);
        assert_eq!(advertise(&mut slaac, 200, 7_001), 7_001);
    }

    #[test]
    fn rfc_4862_5_5_3_d_prefixes_that_make_no_address() {
        // The length of the prefix, its flags, and its first bytes.
        for (at, bytes) in [(72, &[63][..]), (73, &[0x80]), (86, &[0xfe, 0x80]), (86, &[0xff])] {
            let mut frame = advertisement(1800, &[(1, 9000, 9000)]);
            frame[at..at + bytes.len()].copy_from_slice(bytes);
            let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
            Icmpv6Packet::new_unchecked(&mut frame[54..]).fill_checksum(&ROUTER, &all_nodes);
            let mut slaac = slaac();
            slaac.receive(seconds(1), &frame);
            assert_eq!((slaac.router(), slaac.addresses().count()), (Some(ROUTER), 0), "{at}");
        }
        let mut slaac = slaac();
        slaac.receive(seconds(1), &advertisement(1800, &[(1, 10, 20)]));
        assert_eq!(slaac.addresses().count(), 0, "preferred for longer than valid");
    }

    #[test]
    fn rfc_7559_2_routers_are_asked_ever_more_rarely() {
        let mut slaac = slaac();
        let mut asked = Vec::new();
        for second in 0..100 {
            if slaac.is_solicitation_due(seconds(second)) {
                asked.push(second);
            }
        }
        assert_eq!(asked, [0, 4, 12, 28, 60]);
        slaac.receive(seconds(100), &advertisement(1800, &[]));
        assert!(!slaac.is_solicitation_due(seconds(1_000)));
    }

    #[test]
    fn advertisements_cut_anywhere_and_with_any_wrong_byte_are_survived() {
        let whole = advertisement(1800, &[(1, 9000, 9000)]);
        let mut slaac = slaac();
        for length in 0..whole.len() {
            slaac.receive(seconds(1), &whole[..length]);
        }
        for at in 0..whole.len() {
            for value in 0..=255 {
                let mut frame = whole.clone();
                frame[at] = value;
                // Ethernet's header has no checksum of its own, nor have flow label and traffic class.
                let mut other = Slaac::new([2, 0, 0, 0, 0, 1], Duration::ZERO);
                other.receive(seconds(1), &frame);
                assert!(at < 18 || frame == whole || other.addresses().count() == 0, "{at}");
            }
        }
        for number in 0..20 {
            slaac.receive(seconds(1), &advertisement(1800, &[(number, 9000, 9000)]));
        }
        assert_eq!(slaac.addresses().count(), PREFIXES_MAX);
    }

    #[test]
    fn rfc_4291_appendix_a_each_byte_of_the_hardware_address_is_in_the_identifier() {
        let own = [0x52, 0x54, 0x12, 0x34, 0x56, 0x78];
        assert_eq!(link_local(own), "fe80::5054:12ff:fe34:5678".parse::<Ipv6Addr>().unwrap());
        let mut slaac = Slaac::new(own, Duration::ZERO);
        slaac.receive(seconds(1), &advertisement(1800, &[(1, 9000, 9000)]));
        let expected = "2001:db8:1:0:5054:12ff:fe34:5678".parse::<Ipv6Addr>().unwrap();
        assert_eq!(slaac.addresses().collect::<Vec<_>>(), [expected]);
        // Of another prefix, or with another end, it is not ours.
        slaac.give_up("2001:db8:2:0:5054:12ff:fe34:5678".parse().unwrap());
        assert_eq!(slaac.addresses().count(), 1);
        slaac.give_up(expected);
        assert_eq!(slaac.addresses().count(), 0);
    }

    #[test]
    fn rfc_4861_6_1_2_advertisements_that_are_not_valid_are_ignored() {
        // The ends of fe80::/10, and who has come from elsewhere.
        for (router, is_taken) in [
            ("fe80::2", true),
            ("febf::2", true),
            ("fec0::2", false),
            ("2001:db8::2", false),
            ("::", false),
        ] {
            let frame = sealed(advertisement(1800, &[(1, 9000, 9000)]), router.parse().unwrap());
            let mut slaac = slaac();
            slaac.receive(seconds(1), &frame);
            let seen = (slaac.router().is_some(), slaac.addresses().count() == 1);
            assert_eq!(seen, (is_taken, is_taken), "{router}");
        }
        // The hop limit, the type and the code.
        for (at, value) in [(21, 254), (54, 133), (54, 135), (55, 1)] {
            let mut frame = advertisement(1800, &[(1, 9000, 9000)]);
            frame[at] = value;
            let mut slaac = slaac();
            slaac.receive(seconds(1), &sealed(frame, ROUTER));
            assert_eq!((slaac.router(), slaac.addresses().count()), (None, 0), "{at}");
        }
    }

    #[test]
    fn rfc_4861_6_3_4_routers_come_stay_and_go_by_their_lifetimes() {
        let mut slaac = slaac();
        slaac.receive(seconds(1), &advertisement(0, &[]));
        assert_eq!((slaac.router(), slaac.poll(seconds(1))), (None, false));
        assert!(slaac.is_solicitation_due(seconds(1)), "that was no default router");
        slaac.receive(seconds(2), &advertisement(10, &[]));
        assert!(slaac.poll(seconds(2)));
        // Said again, it lasts from then on, and nothing has changed.
        slaac.receive(seconds(7), &advertisement(10, &[]));
        assert!(!slaac.poll(seconds(16)));
        assert_eq!((slaac.router(), slaac.next_deadline()), (Some(ROUTER), Some(seconds(17))));
        assert!(slaac.poll(seconds(17)));
        assert_eq!(slaac.router(), None);
        slaac.receive(seconds(18), &advertisement(0x1234, &[]));
        assert!(slaac.poll(seconds(18)));
        assert_eq!(slaac.next_deadline(), Some(seconds(18 + 0x1234)));
        slaac.receive(seconds(19), &advertisement(0, &[]));
        assert!(slaac.poll(seconds(19)), "it is one no more");
        assert_eq!(slaac.router(), None);
        assert!(
            slaac.is_solicitation_due(seconds(19)),
            "the last one has gone: perhaps there are others"
        );
        // Of many, the first four are remembered, and the first is sent by.
        for number in 1..10 {
            let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number);
            slaac.receive(seconds(20), &sealed(advertisement(10, &[]), router));
        }
        assert_eq!(slaac.routers.len(), 4);
        assert_eq!(slaac.router(), Some("fe80::1".parse().unwrap()));
    }

    #[test]
    fn rfc_4861_4_6_options_are_walked_through_and_one_that_lies_ends_the_list() {
        let prefix = advertisement(1800, &[(1, 9000, 9000)])[70..].to_vec();
        let with = |before: &[u8], option: &[u8]| {
            let mut frame = advertisement(1800, &[]);
            frame.extend_from_slice(before);
            frame.extend_from_slice(option);
            frame[19] = (frame.len() - 54) as u8;
            let mut slaac = slaac();
            slaac.receive(seconds(1), &sealed(frame, ROUTER));
            assert_eq!(slaac.router(), Some(ROUTER), "the head counts in any case");
            slaac.addresses().count()
        };
        assert_eq!(with(&[1, 1, 2, 0, 0, 0, 0, 2], &prefix), 1);
        assert_eq!(with(&[5, 2, 0, 0, 0, 0, 5, 220, 0, 0, 0, 0, 0, 0, 0, 0], &prefix), 1);
        assert_eq!(with(&[1, 0, 2, 0, 0, 0, 0, 2], &prefix), 0, "without a length");
        assert_eq!(with(&[1, 6, 2, 0, 0, 0, 0, 2], &prefix), 0, "longer than the message");
        let short = [&[3, 3][..], &prefix[2..24]].concat();
        assert_eq!(with(&[], &short), 0, "no whole prefix");
        let other = [&[4][..], &prefix[1..]].concat();
        assert_eq!(with(&[], &other), 0, "no prefix");
    }

    #[test]
    fn rfc_4862_5_5_3_lifetimes_and_prefixes_at_their_limits() {
        let taken = |valid, preferred| {
            let mut slaac = slaac();
            slaac.receive(seconds(1), &advertisement(1800, &[(1, valid, preferred)]));
            slaac.prefixes.first().map(|prefix| prefix.valid_until - seconds(1))
        };
        assert_eq!(
            (taken(10, 10), taken(0, 0), taken(1, 0)),
            (Some(seconds(10)), None, Some(seconds(1)))
        );
        // Each byte counts; 0xffffffff means for ever, here a century.
        assert_eq!(taken(0x0102_0304, 0x0102_0304), Some(seconds(0x0102_0304)));
        assert_eq!(taken(0x0102_0304, 0x0102_0305), None);
        assert_eq!(taken(u32::MAX, 5), Some(seconds(3_153_600_000)));
        assert_eq!(taken(u32::MAX - 1, 5), Some(seconds(4_294_967_294)));
        // Link-local ones are fe80::/10, and groups begin with ff.
        for (first, makes_address) in [
            ([0xfe, 0x80], false),
            ([0xfe, 0xbf], false),
            ([0xfe, 0xc0], true),
            ([0xfe, 0x7f], true),
            ([0xfd, 0x80], true),
            ([0xff, 2], false),
        ] {
            let mut frame = advertisement(1800, &[(1, 9000, 9000)]);
            frame[86..88].copy_from_slice(&first);
            let mut slaac = slaac();
            slaac.receive(seconds(1), &sealed(frame, ROUTER));
            assert_eq!(slaac.addresses().count() == 1, makes_address, "{first:x?}");
        }
        // One that is known is prolonged where there is no room for others.
        let mut slaac = slaac();
        let all: Vec<_> = (1..=5).map(|number| (number, 100, 100)).collect();
        slaac.receive(seconds(1), &advertisement(1800, &all));
        assert!(slaac.poll(seconds(1)));
        slaac.receive(seconds(2), &advertisement(1800, &[(4, 9000, 9000), (5, 9000, 9000)]));
        assert!(!slaac.poll(seconds(100)));
        assert!(slaac.poll(seconds(101)));
        let left: Vec<_> = slaac.addresses().collect();
        assert_eq!(left, ["2001:db8:4::ff:fe00:1".parse::<Ipv6Addr>().unwrap()]);
    }

    #[test]
    fn rfc_7559_2_1_no_more_than_an_hour_is_between_two_solicitations() {
        let mut slaac = slaac();
        let mut last = Duration::ZERO;
        let mut pauses = Vec::new();
        for _ in 0..14 {
            let at = slaac.next_deadline().unwrap();
            assert!(slaac.is_solicitation_due(at) && !slaac.is_solicitation_due(at));
            pauses.push((at - last).as_secs());
            last = at;
        }
        assert_eq!(pauses, [0, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600, 3600]);
        slaac.restart(last);
        assert!(slaac.is_solicitation_due(last));
        assert_eq!(slaac.next_deadline(), Some(last + seconds(4)));
    }
}
