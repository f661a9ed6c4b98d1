//! Connector: what tasks ask of active opens and of DNS, and how they are answered.

use crate::request::{LookupRequest, Request};
use crate::tcp::connection::{Connection, Opening};
use crate::tcp::flow::TcpFlow;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::{IpAddr, SocketAddr};
use flow::{ConnectError, Connector, Target};

/// Opens connections through one stack. Clones share it.
#[derive(Clone)]
pub struct TcpConnector {
    pub(crate) requests: Rc<Requests>,
}

impl Connector for TcpConnector {
    type Flow = TcpFlow;

    /// Tries the addresses of a name one after the other, IPv6 first where there is a route, each
    /// for as long as [`Limits::connect`](crate::Limits::connect) says.
    async fn connect(&self, target: &Target) -> Result<TcpFlow, ConnectError> {
        let (addresses, port) = match target {
            Target::Address(address) => (vec![address.ip()], address.port()),
            Target::Name(name, port) => (self.resolve(name).await?, *port),
            _ => return Err(ConnectError::Unsupported),
        };
        let mut failure = ConnectError::NotFound;
        for address in addresses {
            let request = Request::new(SocketAddr::new(address, port));
            self.requests.connects.borrow_mut().push(request.clone());
            match request.completed().await {
                Ok(flow) => return Ok(flow),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

impl TcpConnector {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ConnectError> {
        let request = Request::new(String::from(name));
        self.requests.lookups.borrow_mut().push(request.clone());
        request.completed().await
    }
}

/// What tasks have asked for since the stack last looked.
#[derive(Default)]
pub(crate) struct Requests {
    pub(crate) connects: RefCell<Vec<Rc<ConnectRequest>>>,
    pub(crate) lookups: RefCell<Vec<Rc<LookupRequest>>>,
}

impl Requests {
    /// There is something to be taken up.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        !self.connects.borrow().is_empty() || !self.lookups.borrow().is_empty()
    }
}

pub(crate) type ConnectRequest = Request<SocketAddr, TcpFlow>;

impl Opening for ConnectRequest {
    fn complete(&self, outcome: Result<Rc<Connection>, ConnectError>) {
        Request::complete(self, outcome.map(TcpFlow::new));
    }
}
