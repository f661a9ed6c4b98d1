//! Stream: a connected socket of the kernel's, of TCP or of the Unix domain, and where the two differ.

use super::NOT_SENT_BYTES_MAX;
use flow::Address;
use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use rustix::net::sockopt;
use socket2::SockRef;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// What the kernel takes of a Unix-domain socket beyond what its peer has read, before it doubles it (socket(7), SO_SNDBUF).
/// The socket is writable again when a quarter of the doubled number is left (Linux' net/unix/af_unix.c, `unix_writable`), and what is read
/// counts once a whole buffer is, which is half of it at most: so a slow peer is seen to read within 32 KiB.
const UNIX_SEND_BYTES: usize = 32 << 10;

/// A connected socket.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Both ends of a stream.
pub(super) struct Ends {
    pub(super) local: Address,
    pub(super) peer: Address,
}

impl Stream {
    /// Prepares it, and says between whom it is.
    pub(super) fn prepare(&self) -> io::Result<Ends> {
        match self {
            Self::Tcp(stream) => {
                stream.set_nodelay(true)?;
                // A socket for both families has IPv4 addresses as IPv6 maps them (ipv6(7)); who is told of them knows IPv4.
                let local = Address::Ip(canonical(stream.local_addr()?));
                Ok(Ends { local, peer: Address::Ip(canonical(stream.peer_addr()?)) })
            }
            Self::Unix(stream) => {
                SockRef::from(stream).set_send_buffer_size(UNIX_SEND_BYTES)?;
                let peer = sockopt::socket_peercred(stream)?.uid.as_raw();
                let own = rustix::process::geteuid().as_raw();
                Ok(Ends { local: Address::Unix { user: own }, peer: Address::Unix { user: peer } })
            }
        }
    }

    pub(super) fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }

    /// Ends it at once, so that what was cut off does not look whole, as far as the domain can say so.
    pub(super) fn abort(&self) {
        match self {
            // A reset at once (connect(2), AF_UNSPEC): a shutdown would send FIN first.
            Self::Tcp(stream) => {
                let _ = rustix::net::connect_unspec(stream);
            }
            // The peer hears of a reset when the socket is closed with bytes of its that were not read (unix(7)), and of an
            // end otherwise.
            Self::Unix(stream) => {
                if rustix::io::ioctl_fionread(stream).is_ok_and(|unread| unread == 0) {
                    let _ = stream.shutdown(Shutdown::Both);
                }
            }
        }
    }

    /// Closing it is to cut off what is not sent.
    pub(super) fn reset_on_close(&self) {
        if let Self::Tcp(stream) = self {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    pub(super) fn shutdown_write(&self) {
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    /// Has the socket be writable while the kernel holds fewer bytes than this that were not sent; of the Unix domain, that the
    /// peer did not read.
    pub(super) fn set_writable_below(&self, bytes: usize) -> io::Result<()> {
        match self {
            // Half of it (Linux' net/ipv4/tcp.c, `tcp_stream_memory_free`).
            Self::Tcp(stream) => SockRef::from(stream).set_tcp_notsent_lowat(2 * bytes as u32),
            // A quarter of what the kernel makes of it, which is the double.
            Self::Unix(stream) => SockRef::from(stream).set_send_buffer_size(2 * bytes),
        }
    }

    /// Takes that back.
    pub(super) fn set_writable_as_usual(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT_BYTES_MAX),
            Self::Unix(stream) => SockRef::from(stream).set_send_buffer_size(UNIX_SEND_BYTES),
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

impl Read for &Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&*stream).read(bytes),
            Stream::Unix(stream) => (&*stream).read(bytes),
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&*stream).write(bytes),
            Stream::Unix(stream) => (&*stream).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Source for Stream {
    fn register(&mut self, to: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.register(to, token, interest),
            Self::Unix(stream) => stream.register(to, token, interest),
        }
    }

    fn reregister(&mut self, to: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.reregister(to, token, interest),
            Self::Unix(stream) => stream.reregister(to, token, interest),
        }
    }

    fn deregister(&mut self, from: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.deregister(from),
            Self::Unix(stream) => stream.deregister(from),
        }
    }
}
