//! Connector: opens connections through the kernel.

use super::Reactor;
use super::flow::HermitFlow;
use core::future::poll_fn;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use flow::{ConnectError, Connector, Target};
use hermit_system::socket::Socket;

/// Opens flows over kernel sockets.
#[derive(Clone)]
pub(crate) struct HermitConnector {
    reactor: Reactor,
}

impl HermitConnector {
    /// A connector whose flows belong to `reactor`.
    pub(crate) fn new(reactor: &Reactor) -> Self {
        Self { reactor: reactor.clone() }
    }
}

impl Connector for HermitConnector {
    type Flow = HermitFlow;

    /// To IPv4 addresses: this kernel has no IPv6, and looks up no names.
    async fn connect(&self, target: &Target) -> Result<HermitFlow, ConnectError> {
        let &Target::Address(SocketAddr::V4(address)) = target else {
            return Err(ConnectError::Unsupported);
        };
        let place = self.reactor.take_place().ok_or(ConnectError::Exhausted)?;
        let mut connecting = Socket::connect(address).map_err(|_| ConnectError::Exhausted)?;
        let outcome = poll_fn(|cx| match connecting.take() {
            Some(outcome) => core::task::Poll::Ready(outcome),
            None => self.reactor.ask_again(cx),
        });
        // The kernel has one error for all: nobody listens there.
        let socket = outcome.await.map_err(|_| ConnectError::Refused)?;
        let local = socket.local().unwrap_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        Ok(HermitFlow::new(&self.reactor, place, socket, local, address))
    }
}
