//! Listener: a listening socket of the kernel's.

use super::{KernelFlow, Reactor, Registration};
use flow::{Address, FlowError, Listener};
use mio::Interest;
use mio::net::TcpListener;
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

/// Listens on a kernel socket.
pub struct KernelListener {
    socket: TcpListener,
    registration: Registration,
    local: SocketAddr,
}

impl KernelListener {
    /// Listens on `address` (port 0: any) with room for `backlog` connections that nobody accepted
    /// yet (the kernel may allow fewer).
    pub fn bind(reactor: &Reactor, address: SocketAddr, backlog: usize) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        let mut socket = TcpListener::from_std(socket.into());
        let registration = reactor.register(&mut socket, Interest::READABLE)?;
        let local = socket.local_addr()?;
        Ok(Self { socket, registration, local })
    }
}

impl Listener for KernelListener {
    type Flow = KernelFlow;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<KernelFlow, FlowError>> {
        let readable = &self.registration.ready.readable;
        while readable.poll(cx.waker()) {
            match self.socket.accept() {
                // A connection that died in the queue is not the listener's failure.
                Ok((stream, _)) => {
                    if let Ok(flow) = KernelFlow::new(&self.registration.reactor, stream) {
                        return Poll::Ready(Ok(flow));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    readable.lower(cx.waker());
                }
                Err(error) if transient(&error) => {}
                Err(error) => {
                    log::warn!("cannot accept a connection: {error}");
                    readable.lower(cx.waker());
                }
            }
        }
        Poll::Pending
    }

    fn local(&self) -> Address {
        Address::Ip(self.local)
    }
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
