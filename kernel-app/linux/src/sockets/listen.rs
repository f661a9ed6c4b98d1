//! Listener: a listening socket of the kernel's.

use super::unix::{SocketFile, UnixSocket};
use super::{KernelFlow, Reactor, Registration, Seen, Stream};
use aqueduct::platform::ListenError;
use flow::{Address, FlowError, Listener, UnixPath};
use mio::Interest;
use mio::net::{TcpListener, UnixListener};
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll, ready};

/// Listens on a kernel socket.
pub struct KernelListener {
    socket: Listening,
    registration: Registration,
    local: Address,
}

enum Listening {
    Tcp(TcpListener),
    /// The file is held, not read: it is removed with the listener.
    Unix(UnixListener, #[expect(dead_code, reason = "removed when dropped")] Option<SocketFile>),
}

/// The address that stands for all of this machine's: IPv6 and IPv4, or IPv4 alone where the kernel has no IPv6.
pub fn every_address() -> IpAddr {
    match Socket::new(Domain::IPV6, Type::STREAM, None) {
        Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}

impl KernelListener {
    /// Listens on `address` (`[::]`: all addresses, IPv4's too; port 0: any) with room for `backlog` connections that nobody accepted
    /// yet (the kernel may allow fewer). The error names the call that failed, and what the kernel says.
    pub fn bind(
        reactor: &Reactor,
        address: SocketAddr,
        backlog: usize,
    ) -> Result<Self, ListenError> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)
            .map_err(|error| failed("making a socket", &error))?;
        let set = |error| failed("setting a socket option", &error);
        socket.set_reuse_address(true).map_err(set)?;
        socket.set_nonblocking(true).map_err(set)?;
        if address.is_ipv6() {
            // Whatever the system's default is (ipv6(7), IPV6_V6ONLY).
            socket.set_only_v6(false).map_err(set)?;
        }
        socket.bind(&address.into()).map_err(|error| not_bound(address, &error))?;
        reactor.apply_settings(&socket).map_err(set)?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX)).map_err(|error| {
            match error.kind() {
                io::ErrorKind::AddrInUse => ListenError::InUse,
                _ => failed("listening", &error),
            }
        })?;
        let mut socket = TcpListener::from_std(socket.into());
        let registration = reactor
            .register(&mut socket, Interest::READABLE)
            .map_err(|error| failed("waiting for connections", &error))?;
        let local = socket.local_addr().map_err(|error| failed("asking for the port", &error))?;
        registration.ready.seen.replace(Some(Seen::Listener { local, backlog_max: backlog }));
        Ok(Self { socket: Listening::Tcp(socket), registration, local: Address::Ip(local) })
    }

    /// Listens at a path, to which only who has these permissions (chmod(2)) may connect; or at a name, to which all of this
    /// network namespace may. The path is removed with the listener.
    pub fn bind_path(
        reactor: &Reactor,
        path: &UnixPath,
        mode: u32,
        backlog: usize,
    ) -> Result<Self, ListenError> {
        let UnixSocket { socket, file } = UnixSocket::bind(path, mode)?;
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        socket.listen(backlog).map_err(|error| failed("listening", &error))?;
        let mut socket = UnixListener::from_std(socket.into());
        let registration = reactor
            .register(&mut socket, Interest::READABLE)
            .map_err(|error| failed("waiting for connections", &error))?;
        let local = Address::Unix { user: rustix::process::geteuid().as_raw() };
        Ok(Self { socket: Listening::Unix(socket, file), registration, local })
    }
}

impl Listening {
    fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(socket) => Ok(socket.accept()?.0.into()),
            Self::Unix(socket, _) => Ok(socket.accept()?.0.into()),
        }
    }
}

impl Listener for KernelListener {
    type Flow = KernelFlow;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<KernelFlow, FlowError>> {
        ready!(self.registration.reactor.poll_place(cx));
        let readable = &self.registration.ready.readable;
        while readable.poll(cx.waker()) {
            match self.socket.accept() {
                // A connection that died in the queue is not the listener's failure.
                Ok(stream) => {
                    if let Ok(flow) = KernelFlow::new(&self.registration.reactor, stream) {
                        return Poll::Ready(Ok(flow));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    readable.lower(cx.waker());
                }
                Err(error) if transient(&error) => {}
                // Whoever waits to be accepted is still there, and no event will tell of him again.
                Err(error) if is_exhausted(&error) => {
                    self.registration.reactor.wait_for_descriptor(cx, &error);
                    break;
                }
                Err(error) => {
                    log::warn!("cannot accept a connection: {error}");
                    readable.lower(cx.waker());
                }
            }
        }
        Poll::Pending
    }

    fn local(&self) -> Address {
        self.local
    }
}

/// Why an address was not bound (bind(2)).
fn not_bound(address: SocketAddr, error: &io::Error) -> ListenError {
    match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse,
        io::ErrorKind::PermissionDenied => ListenError::NotAllowed,
        io::ErrorKind::AddrNotAvailable => {
            failed(&format!("{} is no address of this machine", address.ip()), error)
        }
        _ => failed(&format!("binding {address}"), error),
    }
}

/// What was tried, and the kernel's word for why it failed.
fn failed(what: &str, error: &io::Error) -> ListenError {
    ListenError::Other(format!("{what}: {error}").into())
}

/// Errors of the process or the system, which has no room for another socket for now (accept(2)).
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| exhausted.contains(&Errno::from_raw_os_error(code)))
}

/// Errors of the connection rather than of the listener (accept(2), "Error handling").
fn transient(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkUnreachable,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | HostUnreachable | Interrupted | NetworkUnreachable
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use aqueduct::settings::network::SocketSettings;
    use flow::Flow;
    use rustix::net::sockopt;
    use std::net::TcpStream;
    use std::task::Waker;
    use std::time::Duration;

    #[test]
    fn every_silence_that_the_configuration_allows_is_taken() {
        for (seconds, kept) in [(1, 1), (32_767, 32_767), (32_768, 32_767), (86_400, 32_767)] {
            let keep_alive = Duration::from_secs(seconds);
            let tcp = config::Tcp { keep_alive, ..config::Tcp::default() };
            let reactor = Reactor::new(SocketSettings::new(&tcp)).unwrap();
            let address = "127.0.0.1:0".parse().unwrap();
            let listener = KernelListener::bind(&reactor, address, 8).unwrap();
            let kept = Duration::from_secs(kept);
            let Listening::Tcp(socket) = &listener.socket else { unreachable!() };
            assert_eq!(sockopt::tcp_keepidle(socket).unwrap(), kept);
        }
    }

    #[test]
    fn an_error_names_the_call_that_failed_and_what_the_kernel_says() {
        let refused = |settings: SocketSettings, address: SocketAddr| {
            let reactor = Reactor::new(settings).unwrap();
            KernelListener::bind(&reactor, address, 8).err().unwrap()
        };
        // An address of RFC 5737, which no machine has.
        let said = refused(settings(1), "192.0.2.1:0".parse().unwrap()).to_string();
        assert!(said.starts_with("192.0.2.1 is no address of this machine: "), "{said}");
        let (_reactor, listener) = listen(1);
        assert_eq!(refused(settings(1), at(&listener)), ListenError::InUse);
    }

    fn at(listener: &KernelListener) -> SocketAddr {
        let Address::Ip(at) = listener.local() else { panic!("no address of TCP") };
        at
    }

    fn settings(connections_max: usize) -> SocketSettings {
        let tcp = config::Tcp {
            connections_max,
            keep_alive: Duration::from_secs(33),
            ..config::Tcp::default()
        };
        SocketSettings::new(&tcp)
    }

    fn listen(connections_max: usize) -> (Reactor, KernelListener) {
        let reactor = Reactor::new(settings(connections_max)).unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        let listener = KernelListener::bind(&reactor, address, 8).unwrap();
        (reactor, listener)
    }

    fn accept(reactor: &Reactor, listener: &mut KernelListener) -> Option<KernelFlow> {
        reactor.wait(Some(Duration::from_millis(100))).unwrap();
        match listener.poll_accept(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(flow) => Some(flow.unwrap()),
            Poll::Pending => None,
        }
    }

    #[test]
    fn connections_beyond_the_most_wait_for_one_to_end() {
        let (reactor, mut listener) = listen(2);
        let clients: Vec<_> = (0..3).map(|_| TcpStream::connect(at(&listener)).unwrap()).collect();
        let first = accept(&reactor, &mut listener).unwrap();
        let mut second = accept(&reactor, &mut listener).unwrap();
        assert!(accept(&reactor, &mut listener).is_none());
        drop(first);
        assert!(accept(&reactor, &mut listener).is_some());
        assert!(accept(&reactor, &mut listener).is_none());
        second.finish();
        drop((second, clients));
    }

    #[test]
    fn an_accepted_socket_has_the_settings_of_its_listener() {
        let (reactor, mut listener) = listen(1);
        let client = TcpStream::connect(at(&listener)).unwrap();
        let flow = accept(&reactor, &mut listener).unwrap();
        // The kernel's would reset who reads slowly.
        assert_eq!(sockopt::tcp_user_timeout(flow.stream()).unwrap(), 0);
        assert_eq!(sockopt::tcp_keepidle(flow.stream()).unwrap(), Duration::from_secs(33));
        assert!(sockopt::socket_keepalive(flow.stream()).unwrap());
        let not_sent = socket2::SockRef::from(flow.stream()).tcp_notsent_lowat().unwrap();
        assert_eq!(not_sent, 128 << 10);
        drop(client);
    }

    #[test]
    fn the_address_for_all_takes_both_families_and_tells_them_apart() {
        let reactor = Reactor::new(settings(4)).unwrap();
        let all = SocketAddr::new(every_address(), 0);
        let mut listener = KernelListener::bind(&reactor, all, 8).unwrap();
        let port = at(&listener).port();
        for address in ["127.0.0.1", "::1"] {
            let address: IpAddr = address.parse().unwrap();
            // A machine may have no IPv6.
            if std::net::TcpListener::bind((address, 0)).is_err() && address.is_ipv6() {
                continue;
            }
            let client = TcpStream::connect((address, port)).unwrap();
            let flow = accept(&reactor, &mut listener).unwrap();
            assert_eq!(flow.peer(), Address::Ip(client.local_addr().unwrap()));
            assert_eq!(flow.local(), Address::Ip(client.peer_addr().unwrap()));
        }
    }
}
