//! Connector: opens connections through the kernel.

use super::listen::is_exhausted;
use super::{KernelFlow, Reactor, unix};
use flow::{ConnectError, Connector, Target, UnixPath};
use mio::Interest;
use mio::net::TcpStream;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::task::Poll;

/// Opens flows over kernel sockets.
#[derive(Clone)]
pub struct KernelConnector {
    reactor: Reactor,
}

impl KernelConnector {
    /// A connector whose flows belong to `reactor`.
    pub fn new(reactor: &Reactor) -> Self {
        Self { reactor: reactor.clone() }
    }

    fn connect_to_path(&self, path: &UnixPath) -> Result<KernelFlow, ConnectError> {
        if !self.reactor.has_place() {
            return Err(ConnectError::Exhausted);
        }
        let flow = unix::connect(path).and_then(|stream| KernelFlow::new(&self.reactor, stream));
        flow.map_err(|error| meaning(&error))
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<KernelFlow, ConnectError> {
        if !self.reactor.has_place() {
            return Err(ConnectError::Exhausted);
        }
        let mut stream = TcpStream::connect(address).map_err(|error| meaning(&error))?;
        self.reactor.apply_settings(&stream).map_err(|error| meaning(&error))?;
        let registration = self
            .reactor
            .register(&mut stream, Interest::READABLE | Interest::WRITABLE)
            .map_err(|error| meaning(&error))?;
        registration.ready.writable.up.set(false);
        poll_fn(|cx| {
            if !registration.ready.writable.poll(cx.waker()) {
                return Poll::Pending;
            }
            if let Ok(Some(error)) | Err(error) = stream.take_error() {
                return Poll::Ready(Err(meaning(&error)));
            }
            match stream.peer_addr() {
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    registration.ready.writable.lower(cx.waker());
                    Poll::Pending
                }
                outcome => Poll::Ready(outcome.map_err(|error| meaning(&error))),
            }
        })
        .await?;
        // The flow registers the socket anew, under its own slot.
        let _ = self.reactor.0.registry.deregister(&mut stream);
        drop(registration);
        KernelFlow::new(&self.reactor, stream).map_err(|error| meaning(&error))
    }
}

impl Connector for KernelConnector {
    type Flow = KernelFlow;

    /// Names are resolved by the C library, which blocks the process for that time: the process is
    /// for development, and the appliance has a resolver of its own.
    async fn connect(&self, target: &Target) -> Result<KernelFlow, ConnectError> {
        let addresses: Vec<SocketAddr> = match target {
            Target::Address(address) => vec![*address],
            Target::Name(name, port) => (name.as_str(), *port)
                .to_socket_addrs()
                .map_err(|_| ConnectError::NotFound)?
                .collect(),
            Target::Unix(path) => return self.connect_to_path(path),
            _ => return Err(ConnectError::Unsupported),
        };
        let mut outcome = Err(ConnectError::NotFound);
        for address in addresses {
            outcome = self.connect_to(address).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }
}

fn meaning(error: &io::Error) -> ConnectError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectError::Refused,
        io::ErrorKind::TimedOut => ConnectError::TimedOut,
        _ if is_exhausted(error) => ConnectError::Exhausted,
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => ConnectError::Exhausted,
        // Of the Unix domain: no room among those who wait to be accepted, no file, no permission for it.
        io::ErrorKind::WouldBlock => ConnectError::Exhausted,
        io::ErrorKind::NotFound => ConnectError::NoSuchPath,
        io::ErrorKind::PermissionDenied => ConnectError::NotAllowed,
        _ => ConnectError::Unreachable,
    }
}
