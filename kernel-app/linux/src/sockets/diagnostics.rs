//! Diagnostics: what the kernel knows of our connections and listeners, by the questions that `ss` asks (sock_diag(7)).

use net::{ConnectionInfo, TcpState};
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{recv, sendto, socket_with};
use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// A netlink socket by which the kernel is asked.
pub(super) struct Diagnostics(OwnedFd);

/// Whether the log has said that the kernel cannot be asked.
#[derive(Default)]
pub(super) struct Unasked {
    is_told: Cell<bool>,
}

/// What the kernel says of a socket.
pub(super) struct SocketInfo {
    pub(super) state: TcpState,
    /// Of a connection, bytes that nobody has read; of a listener, connections that nobody has accepted.
    pub(super) receive_queue: u32,
    /// Of a connection, bytes that are not acknowledged; of a listener, how many connections may wait.
    pub(super) send_queue: u32,
    tcp: TcpInfo,
}

impl Diagnostics {
    pub(super) fn new() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let family = AddressFamily::NETLINK;
        Ok(Self(socket_with(family, SocketType::DGRAM, flags, Some(SOCK_DIAG))?))
    }

    /// What the kernel says of a socket of ours: a connection, or, without a remote address, a listener.
    pub(super) fn ask(
        &self,
        local: SocketAddr,
        remote: Option<SocketAddr>,
    ) -> io::Result<SocketInfo> {
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(&self.0, &question(local, remote), SendFlags::empty(), &kernel)?;
        let mut answer = [0; ANSWER_BYTES_MAX];
        let (_, count) = recv(&self.0, &mut answer, RecvFlags::empty())?;
        let answer = answer.get(..count).unwrap_or_default();
        SocketInfo::parse(answer).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Unasked {
    /// There is no netlink socket: the first time, the log says what that means.
    pub(super) fn tell(&self, error: &io::Error) {
        if let Some(warning) = self.warning(error) {
            log::warn!("{warning}");
        }
    }

    fn warning(&self, error: &io::Error) -> Option<String> {
        let is_first = !self.is_told.replace(true);
        is_first.then(|| {
            format!(
                "the kernel cannot be asked about connections, so their queues, windows and times are not known: netlink: {error}; \
                 a unit of systemd allows it by AF_NETLINK in RestrictAddressFamilies"
            )
        })
    }
}

impl SocketInfo {
    /// How long ago a connection sent data last, new or again; none if the kernel does not say.
    pub(super) fn data_sent_ago(&self) -> Option<Duration> {
        read_u32(&self.tcp.0, LAST_DATA_SENT).map(|millis| Duration::from_millis(millis.into()))
    }

    /// Bytes that a connection took and has not sent for the first time; none if the kernel does not say.
    pub(super) fn not_sent(&self) -> Option<usize> {
        read_u32(&self.tcp.0, NOTSENT_BYTES).map(|bytes| bytes as usize)
    }

    /// As our own stack describes its connections. What the kernel does not say is zero.
    pub(super) fn connection(
        &self,
        local: SocketAddr,
        peer: SocketAddr,
        age: Duration,
    ) -> ConnectionInfo {
        let tcp = &self.tcp;
        let mss = tcp.u32(SND_MSS);
        let segments = |at| tcp.u32(at).saturating_mul(mss);
        let micros =
            |at| Some(tcp.u32(at)).filter(|it| *it > 0).map(|it| Duration::from_micros(it.into()));
        let millis = |at| Duration::from_millis(tcp.u32(at).into());
        let rate = |at| Some(tcp.u64(at)).filter(|rate| (1..u64::MAX).contains(rate));
        ConnectionInfo {
            local,
            peer,
            state: self.state,
            is_orphan: false,
            age,
            silent_for: millis(LAST_DATA_RECV).min(millis(LAST_ACK_RECV)),
            bytes_in: tcp.u64(BYTES_RECEIVED),
            bytes_out: tcp.u64(BYTES_SENT),
            receive_queue: self.receive_queue as usize,
            receive_limit: tcp.u32(RCV_SPACE) as usize,
            out_of_order: 0,
            send_queue: self.send_queue as usize,
            in_flight: segments(UNACKED),
            congestion_window: segments(SND_CWND),
            peer_window: tcp.u32(SND_WND),
            // Only captures of frames need them, and there are none.
            window_shifts: [0; 2],
            mss: mss.min(u16::MAX.into()) as u16,
            retransmits: tcp.u32(TOTAL_RETRANS),
            timeouts: tcp.u8(BACKOFF),
            round_trip: micros(RTT),
            round_trip_variation: micros(RTTVAR),
            round_trip_min: micros(MIN_RTT).filter(|it| it.as_micros() < u32::MAX.into()),
            retransmission_timeout: Duration::from_micros(tcp.u32(RTO).into()),
            slow_start_threshold: (tcp.u32(SND_SSTHRESH) < SSTHRESH_NONE)
                .then(|| segments(SND_SSTHRESH)),
            receive_window: tcp.u32(RCV_WND),
            sacked: segments(SACKED),
            lost: segments(LOST),
            pacing_rate: rate(PACING_RATE),
            delivery_rate: rate(DELIVERY_RATE),
            is_recovering: matches!(tcp.u8(CA_STATE), CA_RECOVERY | CA_LOSS),
        }
    }

    /// Reads an answer: a message of netlink (linux/netlink.h) with one of sock_diag (linux/inet_diag.h) and attributes.
    fn parse(answer: &[u8]) -> Option<Self> {
        if read_u16(answer, 4)? != SOCK_DIAG_BY_FAMILY {
            return None;
        }
        let message = answer.get(HEADER_BYTES..)?;
        let mut attributes = message.get(MESSAGE_BYTES..)?;
        let mut tcp = TcpInfo(Vec::new());
        while let Some(length) = read_u16(attributes, 0).map(usize::from).filter(|it| *it >= 4) {
            if read_u16(attributes, 2)? == INET_DIAG_INFO {
                tcp.0 = attributes.get(4..length)?.to_vec();
            }
            attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Some(Self {
            state: state(*message.get(1)?)?,
            receive_queue: read_u32(message, 56)?,
            send_queue: read_u32(message, 60)?,
            tcp,
        })
    }
}

/// The kernel's `struct tcp_info` (linux/tcp.h), which is as long as the kernel is new.
struct TcpInfo(Vec<u8>);

impl TcpInfo {
    fn u8(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(0)
    }

    fn u32(&self, at: usize) -> u32 {
        read_u32(&self.0, at).unwrap_or(0)
    }

    fn u64(&self, at: usize) -> u64 {
        let bytes = self.0.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_ne_bytes)
    }
}

// Where fields of `struct tcp_info` are.
const CA_STATE: usize = 1;
const BACKOFF: usize = 4;
const RTO: usize = 8;
const SND_MSS: usize = 16;
const UNACKED: usize = 24;
const SACKED: usize = 28;
const LOST: usize = 32;
const LAST_DATA_SENT: usize = 44;
const LAST_DATA_RECV: usize = 52;
const LAST_ACK_RECV: usize = 56;
const RTT: usize = 68;
const RTTVAR: usize = 72;
const SND_SSTHRESH: usize = 76;
const SND_CWND: usize = 80;
const RCV_SPACE: usize = 96;
const TOTAL_RETRANS: usize = 100;
const PACING_RATE: usize = 104;
const BYTES_RECEIVED: usize = 128;
const NOTSENT_BYTES: usize = 144;
const MIN_RTT: usize = 148;
const DELIVERY_RATE: usize = 160;
const BYTES_SENT: usize = 200;
const SND_WND: usize = 228;
const RCV_WND: usize = 232;

/// TCP_CA_Recovery and TCP_CA_Loss.
const CA_RECOVERY: u8 = 3;
const CA_LOSS: u8 = 4;
/// TCP_INFINITE_SSTHRESH
const SSTHRESH_NONE: u32 = 0x7fff_ffff;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const INET_DIAG_INFO: u16 = 2;
/// struct nlmsghdr
const HEADER_BYTES: usize = 16;
/// struct inet_diag_msg
const MESSAGE_BYTES: usize = 72;
/// struct nlmsghdr and struct inet_diag_req_v2
const QUESTION_BYTES: usize = 72;
/// More than any kernel says of one socket.
const ANSWER_BYTES_MAX: usize = 4096;

/// Asks for one socket (struct inet_diag_req_v2).
fn question(local: SocketAddr, remote: Option<SocketAddr>) -> [u8; QUESTION_BYTES] {
    let nobody = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    let other = remote.unwrap_or(nobody);
    let family = if local.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let mut bytes = [0; QUESTION_BYTES];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, &(QUESTION_BYTES as u32).to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &NLM_F_REQUEST.to_ne_bytes());
    put(16, &[family.as_raw() as u8, IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1)]);
    // All states.
    put(20, &u32::MAX.to_ne_bytes());
    put(24, &local.port().to_be_bytes());
    put(26, &other.port().to_be_bytes());
    put(28, &octets(local.ip()));
    put(44, &octets(other.ip()));
    // INET_DIAG_NOCOOKIE, twice.
    put(64, &[0xff; 8]);
    bytes
}

const IPPROTO_TCP: u8 = 6;

/// An address in 16 bytes, the first four of which are IPv4's.
fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(address) => address.octets(),
        IpAddr::V4(address) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&address.octets());
            octets
        }
    }
}

/// The state of that number (net/tcp_states.h). LISTEN is shown as closed, since no connection is in it.
fn state(number: u8) -> Option<TcpState> {
    Some(match number {
        1 => TcpState::Established,
        2 => TcpState::SynSent,
        3 => TcpState::SynReceived,
        4 => TcpState::FinWait1,
        5 => TcpState::FinWait2,
        6 => TcpState::TimeWait,
        7 | 10 => TcpState::Closed,
        8 => TcpState::CloseWait,
        9 => TcpState::LastAck,
        11 => TcpState::Closing,
        _ => return None,
    })
}

fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_kernel_tells_of_a_connection_what_it_is_asked() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut server, peer) = listener.accept().unwrap();
            client.write_all(&[7; 3000]).unwrap();
            server.read_exact(&mut [0; 1000]).unwrap();
            let local = listener.local_addr().unwrap();
            let info = Diagnostics::new().unwrap().ask(local, Some(peer)).unwrap();
            let age = Duration::from_secs(1);
            let connection = info.connection(local, peer, age);
            assert_eq!((connection.state, connection.age), (TcpState::Established, age));
            assert_eq!((connection.bytes_in, connection.receive_queue), (3000, 2000));
            assert!(connection.congestion_window > 0 && connection.mss > 500);
            assert!(connection.round_trip.is_some() && connection.receive_window > 0);
            assert!(connection.retransmission_timeout >= Duration::from_millis(100));
        }
    }

    #[test]
    fn that_the_kernel_cannot_be_asked_is_said_once_and_with_the_remedy() {
        let unasked = Unasked::default();
        let refused = io::Error::from_raw_os_error(rustix::io::Errno::AFNOSUPPORT.raw_os_error());
        let warning = unasked.warning(&refused).unwrap();
        assert!(warning.contains("not known") && warning.contains("AF_NETLINK"), "{warning}");
        assert_eq!(unasked.warning(&refused), None);
    }

    #[test]
    fn a_listener_s_queues_are_its_backlog() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let _waiting = TcpStream::connect(local).unwrap();
        let info = Diagnostics::new().unwrap().ask(local, None).unwrap();
        assert_eq!((info.receive_queue, info.send_queue > 1), (1, true));
    }

    #[test]
    fn what_is_gone_is_not_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        drop(listener);
        let asked = Diagnostics::new().unwrap().ask(local, None);
        assert_eq!(asked.err().unwrap().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn answers_that_are_cut_anywhere_are_no_answers_or_short_ones() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let diagnostics = Diagnostics::new().unwrap();
        let local = listener.local_addr().unwrap();
        let kernel = SocketAddrNetlink::new(0, 0);
        let asked = question(local, None);
        sendto(&diagnostics.0, &asked, SendFlags::empty(), &kernel).unwrap();
        let mut answer = [0; ANSWER_BYTES_MAX];
        let (_, count) = recv(&diagnostics.0, &mut answer, RecvFlags::empty()).unwrap();
        for end in 0..count {
            if let Some(info) = SocketInfo::parse(&answer[..end]) {
                assert!(end >= HEADER_BYTES + MESSAGE_BYTES);
                assert_eq!(info.connection(local, local, Duration::ZERO).retransmits, 0);
            }
        }
    }
}
