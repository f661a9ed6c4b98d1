//! Load that curl and wrk cannot make: many connections at once, endless new ones, clients that dawdle, half-open floods.

use crate::{http_client, link};
use command::failure::{OrSay, Result, fail};
use rustix::{
    net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Lets this process have many sockets.
pub fn allow_sockets(count: u64) -> Result {
    let limit = getrlimit(Resource::Nofile);
    let wanted = count + 100;
    if limit.current.is_some_and(|current| current < wanted) {
        let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
            .or_say(|| format!("cannot have {wanted} open files"))?;
    }
    Ok(())
}

/// Opens connections that then stay as they are. One address of ours has about 28,000 ports for one server.
pub fn open(server: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    allow_sockets(count as u64)?;
    let mut streams = Vec::with_capacity(count);
    for number in 0..count {
        let stream = TcpStream::connect_timeout(&server, CONNECT_LIMIT)
            .or_say(|| format!("connection {number} of {count}"))?;
        stream.set_read_timeout(Some(CONNECT_LIMIT)).or_say(|| "cannot set a time limit".into())?;
        stream.set_nodelay(true).or_say(|| "cannot set TCP_NODELAY".into())?;
        streams.push(stream);
    }
    Ok(streams)
}

/// One request on each connection; every one must be answered with 200.
pub fn ask_each(streams: &mut [TcpStream], server: SocketAddr, path: &str) -> Result {
    for (number, stream) in streams.iter_mut().enumerate() {
        match http_client::get_again(stream, server, path) {
            Some(answer) if answer.status == 200 => {}
            Some(answer) => fail!("connection {number} was answered {}", answer.status),
            None => fail!("connection {number} was not answered"),
        }
    }
    Ok(())
}

/// A new connection for each request, one after the other, for a length of time: how many were answered.
pub fn churn(server: SocketAddr, path: &str, how_long: Duration) -> Result<usize> {
    let deadline = Instant::now() + how_long;
    let mut answered = 0;
    while Instant::now() < deadline {
        match http_client::get(server, path, CONNECT_LIMIT) {
            Some(answer) if answer.status == 200 => answered += 1,
            Some(answer) => fail!("request {answered} was answered {}", answer.status),
            None => fail!("request {answered} was not answered"),
        }
    }
    Ok(answered)
}

/// Clients that send a request's head one byte at a time and never end it.
pub struct Dawdlers {
    streams: Vec<TcpStream>,
    sent: usize,
}

impl Dawdlers {
    /// Connects so many to a server.
    ///
    /// # Errors
    ///
    /// One does not connect.
    pub fn new(server: SocketAddr, count: usize) -> Result<Self> {
        Ok(Self { streams: open(server, count)?, sent: 0 })
    }

    /// One more byte from each; the number of connections that still take it.
    pub fn step(&mut self) -> usize {
        const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: slow\r\nX-Long: ";
        let byte = HEAD.get(self.sent).copied().unwrap_or(b'x');
        self.sent += 1;
        self.streams.retain_mut(|stream| stream.write_all(&[byte]).is_ok());
        self.streams.len()
    }
}

/// Sends `count` TCP SYNs to the guest from addresses that never answer.
pub fn syn_flood(port: u16, count: u32) -> Result {
    let IpAddr::V4(guest) = link::GUEST_IPV4 else { fail!("the guest's address is not IPv4") };
    let socket = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW))
        .or_say(|| "a raw socket needs root".into())?;
    let to = SocketAddr::from((guest, port));
    for number in 0..count {
        // 10.9.0.3 to 10.9.0.250: on the wire's network, so that the guest asks for each and gets no answer.
        let from = Ipv4Addr::new(10, 9, 0, 3 + (number % 248) as u8);
        let packet = syn(from, guest, 1024 + (number / 248 % 60_000) as u16, port, number);
        sendto(&socket, &packet, SendFlags::empty(), &to).or_say(|| "cannot send".into())?;
    }
    Ok(())
}

/// An IPv4 packet (RFC 791) with a TCP SYN (RFC 9293) in it.
fn syn(from: Ipv4Addr, to: Ipv4Addr, from_port: u16, to_port: u16, sequence: u32) -> [u8; 40] {
    let mut packet = [0u8; 40];
    packet[0] = 0x45;
    packet[3] = 40;
    packet[8] = 64;
    packet[9] = 6;
    packet[12..16].copy_from_slice(&from.octets());
    packet[16..20].copy_from_slice(&to.octets());
    packet[20..22].copy_from_slice(&from_port.to_be_bytes());
    packet[22..24].copy_from_slice(&to_port.to_be_bytes());
    packet[24..28].copy_from_slice(&sequence.to_be_bytes());
    packet[32] = 5 << 4;
    packet[33] = 0x02;
    packet[34..36].copy_from_slice(&64_240u16.to_be_bytes());
    // The pseudo-header's protocol and length; its addresses are in the packet.
    let tcp = checksum(&packet[12..40], 6 + 20);
    packet[36..38].copy_from_slice(&tcp.to_be_bytes());
    let ip = checksum(&packet[..20], 0);
    packet[10..12].copy_from_slice(&ip.to_be_bytes());
    packet
}

/// RFC 1071.
fn checksum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = start
        + bytes
            .chunks(2)
            .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
            .sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syn_has_sound_checksums() {
        let packet = syn(Ipv4Addr::new(10, 9, 0, 3), Ipv4Addr::new(10, 9, 0, 2), 1024, 80, 7);
        assert_eq!(checksum(&packet[..20], 0), 0);
        assert_eq!(checksum(&packet[12..], 26), 0);
        // RFC 1071 section 3's example.
        assert_eq!(!checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 0), 0xddf2);
    }
}
