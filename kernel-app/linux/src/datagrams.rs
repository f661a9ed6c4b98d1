//! Datagrams: UDP by the kernel's sockets, one for each family, which nobody waits for.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::OnceLock;

/// Sends one; a socket whose buffer is full loses it, as the network may.
pub(crate) fn send(to: SocketAddr, content: &[u8]) -> io::Result<()> {
    static IPV4: OnceLock<UdpSocket> = OnceLock::new();
    static IPV6: OnceLock<UdpSocket> = OnceLock::new();
    let (socket, any) = match to {
        SocketAddr::V4(_) => (&IPV4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
        SocketAddr::V6(_) => (&IPV6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
    };
    let socket = match socket.get() {
        Some(socket) => socket,
        None => {
            let new = UdpSocket::bind(any)?;
            new.set_nonblocking(true)?;
            socket.get_or_init(|| new)
        }
    };
    socket.send_to(content, to).map(drop)
}
