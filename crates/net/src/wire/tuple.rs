//! Tuple: the addresses and ports that identify a connection (RFC 9293 section 3.3.1), and the keyed hash
//! by which it is found.

use core::hash::{BuildHasher, Hasher};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use foldhash::fast::FixedState;

/// Both ends of a connection, 36 bytes whatever the IP version: an IPv4 address is held in its
/// IPv4-mapped form (RFC 4291 section 2.5.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuple {
    local: [u32; 4],
    remote: [u32; 4],
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
}

impl Tuple {
    pub(crate) fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            local: words(local.ip()),
            remote: words(remote.ip()),
            local_port: local.port(),
            remote_port: remote.port(),
        }
    }

    /// From the address bytes of an IPv4 header, as they lie there.
    pub(crate) fn v4(local: [u8; 4], remote: [u8; 4], local_port: u16, remote_port: u16) -> Self {
        Self {
            local: [0, 0, MAPPED, u32::from_be_bytes(local)],
            remote: [0, 0, MAPPED, u32::from_be_bytes(remote)],
            local_port,
            remote_port,
        }
    }

    /// From the address bytes of an IPv6 header, as they lie there.
    pub(crate) fn v6(local: &[u8; 16], remote: &[u8; 16], ports: (u16, u16)) -> Self {
        Self {
            local: v6_words(local),
            remote: v6_words(remote),
            local_port: ports.0,
            remote_port: ports.1,
        }
    }

    /// This tuple with another local port.
    pub(crate) fn with_local_port(self, local_port: u16) -> Self {
        Self { local_port, ..self }
    }

    pub(crate) fn is_v4(&self) -> bool {
        self.remote[..3] == [0, 0, MAPPED]
    }

    /// Bytes of the IP header that this connection's packets carry.
    pub(crate) fn ip_header_len(&self) -> usize {
        if self.is_v4() { 20 } else { 40 }
    }

    /// Our and the peer's IPv4 address, of a connection that has such.
    pub(crate) fn v4_ends(&self) -> (u32, u32) {
        (self.local[3], self.remote[3])
    }

    /// Our and the peer's IPv6 address, as they stand in a header.
    pub(crate) fn v6_ends(&self) -> ([u8; 16], [u8; 16]) {
        (v6_octets(self.local), v6_octets(self.remote))
    }

    pub(crate) fn local(&self) -> SocketAddr {
        SocketAddr::new(address(self.local), self.local_port)
    }

    pub(crate) fn remote(&self) -> SocketAddr {
        SocketAddr::new(address(self.remote), self.remote_port)
    }

    /// A peer that can be answered, and not ourselves.
    pub(crate) fn is_answerable(&self) -> bool {
        let (local, remote) = (self.local().ip(), self.remote().ip());
        is_host(remote) && is_host(local) && remote != local && self.remote_port != 0
    }

    /// The whole of it as 64-bit words, for hashing.
    pub(crate) fn words(&self) -> [u64; 5] {
        let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        [
            pair(self.local[0], self.local[1]),
            pair(self.local[2], self.local[3]),
            pair(self.remote[0], self.remote[1]),
            pair(self.remote[2], self.remote[3]),
            u64::from(self.local_port) << 16 | u64::from(self.remote_port),
        ]
    }
}

/// The address is that of one host, beyond this one: RFC 1122 section 4.2.3.10 bans replies to broadcast and multicast
/// addresses, section 3.2.1.3 to the unspecified one and those of loopback; RFC 1112 section 4 reserves what is above.
pub(crate) fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !matches!(v4.octets()[0], 0 | 127 | 224..),
        IpAddr::V6(v6) => {
            !(v6.is_unspecified() || v6.is_loopback() || v6.is_multicast())
                && v6.to_ipv4_mapped().is_none()
        }
    }
}

/// Hashes tuples for tables. The seed comes from entropy, so that nobody outside can aim
/// connections at one bucket.
#[derive(Clone)]
pub(crate) struct TupleHasher(FixedState);

impl TupleHasher {
    pub(crate) fn new(seed: u64) -> Self {
        Self(FixedState::with_seed(seed))
    }

    pub(crate) fn hash(&self, tuple: &Tuple) -> u64 {
        let mut hasher = self.0.build_hasher();
        let [local, local_low, remote, remote_low, ports] = tuple.words();
        if !tuple.is_v4() {
            hasher.write_u64(local);
            hasher.write_u64(remote);
        }
        // Of an IPv4 address, all else is the same.
        hasher.write_u64(local_low);
        hasher.write_u64(remote_low);
        hasher.write_u64(ports);
        hasher.finish()
    }
}

const MAPPED: u32 = 0xffff;

fn words(ip: IpAddr) -> [u32; 4] {
    match ip {
        IpAddr::V4(v4) => [0, 0, MAPPED, v4.to_bits()],
        IpAddr::V6(v6) => v6_words(&v6.octets()),
    }
}

fn v6_words(octets: &[u8; 16]) -> [u32; 4] {
    let bits = u128::from_be_bytes(*octets);
    [(bits >> 96) as u32, (bits >> 64) as u32, (bits >> 32) as u32, bits as u32]
}

fn address(words: [u32; 4]) -> IpAddr {
    if words[..3] == [0, 0, MAPPED] {
        return IpAddr::V4(Ipv4Addr::from_bits(words[3]));
    }
    IpAddr::V6(Ipv6Addr::from_octets(v6_octets(words)))
}

fn v6_octets(words: [u32; 4]) -> [u8; 16] {
    words.iter().fold(0_u128, |bits, word| bits << 32 | u128::from(*word)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_round_trip() {
        for (local, remote) in
            [("10.0.0.1:80", "10.0.0.2:5000"), ("[fe80::1]:80", "[2001:db8::2]:9")]
        {
            let tuple = Tuple::new(local.parse().unwrap(), remote.parse().unwrap());
            assert_eq!(tuple.local(), local.parse().unwrap());
            assert_eq!(tuple.remote(), remote.parse().unwrap());
        }
    }

    #[test]
    fn an_ipv4_mapped_tuple_equals_the_one_from_header_bytes() {
        let parsed = Tuple::new("10.0.0.1:80".parse().unwrap(), "10.0.0.2:5000".parse().unwrap());
        assert_eq!(parsed, Tuple::v4([10, 0, 0, 1], [10, 0, 0, 2], 80, 5000));
        assert!(parsed.is_v4() && parsed.is_answerable());
    }

    #[test]
    fn nobody_answers_who_is_no_host_oneself_or_port_zero() {
        for remote in [
            "255.255.255.255:1",
            "240.0.0.1:1",
            "224.0.0.1:1",
            "0.0.0.0:1",
            "127.0.0.1:1",
            "10.0.0.1:1",
            "[ff02::1]:1",
            "[::1]:1",
            "10.0.0.2:0",
        ] {
            let tuple = Tuple::new("10.0.0.1:80".parse().unwrap(), remote.parse().unwrap());
            assert!(!tuple.is_answerable(), "{remote}");
        }
    }

    #[test]
    fn the_seed_decides_the_hash() {
        let tuple = Tuple::v4([10, 0, 0, 1], [10, 0, 0, 2], 80, 5000);
        assert_ne!(TupleHasher::new(1).hash(&tuple), TupleHasher::new(2).hash(&tuple));
    }

    #[test]
    fn every_word_of_both_ends_and_both_ports_counts() {
        let tuple = |own: &str, peer: &str| Tuple::new(own.parse().unwrap(), peer.parse().unwrap());
        let v6 = tuple("[1:2:3:4:5:6:7:8]:9", "[a:b:c:d:e:f:10:11]:18");
        assert_eq!(
            v6.words(),
            [
                0x0001_0002_0003_0004,
                0x0005_0006_0007_0008,
                0x000a_000b_000c_000d,
                0x000e_000f_0010_0011,
                0x0000_0000_0009_0012,
            ]
        );
        let v4 = tuple("1.2.3.4:65535", "5.6.7.8:65534");
        assert_eq!(v4.words(), [0, 0xffff_0102_0304, 0, 0xffff_0506_0708, 0xffff_fffe]);
        let other_port = v4.with_local_port(80);
        assert_eq!((other_port.local_port, other_port.remote_port), (80, 65_534));
        assert_eq!((other_port.local().ip(), other_port.remote()), (v4.local().ip(), v4.remote()));
        // One bit of each byte, and of each port, makes another hash.
        let hasher = TupleHasher::new(1);
        for tuple in [v4, v6] {
            let mut hashes = std::vec::Vec::from([hasher.hash(&tuple)]);
            for word in if tuple.is_v4() { 3..4 } else { 0..4 } {
                for byte in 0..4 {
                    let (mut local, mut remote) = (tuple, tuple);
                    local.local[word] ^= 1 << (8 * byte);
                    remote.remote[word] ^= 1 << (8 * byte);
                    hashes.extend([hasher.hash(&local), hasher.hash(&remote)]);
                }
            }
            for bit in [0, 8] {
                let (mut local, mut remote) = (tuple, tuple);
                local.local_port ^= 1 << bit;
                remote.remote_port ^= 1 << bit;
                hashes.extend([hasher.hash(&local), hasher.hash(&remote)]);
            }
            let count = hashes.len();
            hashes.sort_unstable();
            hashes.dedup();
            assert_eq!(hashes.len(), count);
        }
    }
}
