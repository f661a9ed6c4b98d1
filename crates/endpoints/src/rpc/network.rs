//! Network interfaces as RPC boundaries: flows, listeners, connectors, whole networks and settings as objects, after
//! `schema/network.capnp`.
//!
//! They are what appliances of a group use each other's network and settings by. Whoever has such an object can reach
//! whatever its owner lets it reach, so that it is given to known peers only, by a secure channel.
//!
//! [`Rpc::export_flow`], [`Rpc::export_listener`], [`Rpc::export_connector`], [`Rpc::export_network`] and
//! [`Rpc::export_conf`] make objects of what is local; [`RemoteFlow`], [`RemoteListener`],
//! [`RemoteConnector`], [`RemoteNetwork`] and [`RemoteConf`] make of such objects what code that knows only [`flow`]
//! or [`Conf`] can use. So one appliance uses another's network:
//!
//! ```no_run
//! # use endpoints::rpc::{Rpc, network::RemoteConnector};
//! # use flow::{Connector, ConnectError, Target};
//! # async fn example(
//! #     rpc: Rpc, local: impl Connector, other_appliance: Target, target: Target,
//! # ) -> Result<(), ConnectError> {
//! let connector = RemoteConnector::new(rpc.connect(&local, &other_appliance).await?);
//! let flow = connector.connect(&target).await?;
//! # Ok(())
//! # }
//! ```

mod conf;
mod export;
mod import;
mod limit;

use super::Rpc;
use crate::network_capnp::{
    conf as conf_schema, connector, listener, network, outcome, reader, writer,
};
use capnp::{Error, ErrorKind};
use conf::ExportedConf;
use core::fmt;
use export::{ExportedConnector, ExportedListener, ExportedNetwork};
use flow::{Address, Connector, Flow, FlowError, Listener};

pub use conf::{Conf, ConfLimits, LocalConf, LocalWatch, RemoteConf, RemoteWatch, Watch};
pub use import::{RemoteConnector, RemoteFlow, RemoteListener, RemoteNetwork};
pub use limit::FlowLimit;

/// A network as others may use it.
pub trait Network: 'static {
    /// What listening gives.
    type Listener: Listener + 'static;
    /// What connects, and refuses what is not allowed.
    type Connector: Connector;

    /// Listens at a port of all addresses.
    fn listen(&self, port: u16) -> Result<Self::Listener, ListenFailure>;

    /// What opens connections.
    fn connector(&self) -> Self::Connector;
}

/// Why a network does not listen for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenFailure {
    /// The other may not have that port.
    NotAllowed,
    /// Another listens there.
    InUse,
}

impl fmt::Display for ListenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAllowed => "it does not let us listen at that port",
            Self::InUse => "another listens at that port",
        })
    }
}

impl core::error::Error for ListenFailure {}

impl Rpc {
    /// A flow as an object for each direction. It is aborted when all let go of both without having
    /// closed it.
    pub fn export_flow(&self, flow: impl Flow + 'static) -> (reader::Client, writer::Client) {
        export::flow(self, flow, None)
    }

    /// A listener as an object; it ends with the object.
    pub fn export_listener(&self, listener: impl Listener + 'static) -> listener::Client {
        self.client(ExportedListener::new(self, listener, None))
    }

    /// A connector as an object: whoever has it can reach whatever the connector can.
    pub fn export_connector(&self, connector: impl Connector) -> connector::Client {
        self.client(ExportedConnector::new(self, connector, None))
    }

    /// A network as an object. `limit` bounds the flows that come of it and of others with the same limit.
    pub fn export_network(&self, network: impl Network, limit: &FlowLimit) -> network::Client {
        self.client(ExportedNetwork::new(self, network, limit))
    }

    /// A table of settings as an object.
    pub fn export_conf(&self, conf: impl Conf) -> conf_schema::Client {
        self.client(ExportedConf::new(self, conf))
    }
}

fn write_outcome(mut to: outcome::Builder<'_>, result: Result<(), FlowError>) {
    match result {
        Ok(()) => to.set_ok(()),
        Err(FlowError::Closed) => to.set_closed(()),
        Err(FlowError::Reset) => to.set_error(outcome::Failure::Reset),
        Err(FlowError::TimedOut) => to.set_error(outcome::Failure::TimedOut),
        Err(FlowError::Down) => to.set_error(outcome::Failure::Down),
    }
}

fn read_outcome(from: Result<outcome::Reader<'_>, Error>) -> Result<(), FlowError> {
    match from.and_then(|outcome| Ok(outcome.which()?)) {
        Ok(outcome::Ok(())) => Ok(()),
        Ok(outcome::Closed(())) => Err(FlowError::Closed),
        Ok(outcome::Error(Ok(outcome::Failure::TimedOut))) => Err(FlowError::TimedOut),
        Ok(outcome::Error(Ok(outcome::Failure::Down))) => Err(FlowError::Down),
        // What is not in the schema ended it all the same.
        Ok(outcome::Error(_)) | Err(_) => Err(FlowError::Reset),
    }
}

/// What an exception means for a flow: without its object there is no network below.
fn flow_error(error: &Error) -> FlowError {
    match error.kind {
        ErrorKind::Disconnected => FlowError::Down,
        _ => FlowError::Reset,
    }
}

/// An address in the text of a message; what cannot be read is the address of nobody.
fn read_address(text: capnp::Result<capnp::text::Reader<'_>>) -> Address {
    let text = text.ok().and_then(|text| text.to_str().ok()).unwrap_or_default();
    if let Some(number) = text.strip_prefix("memory:") {
        return Address::Memory(number.parse().unwrap_or_default());
    }
    if let Some(number) = text.strip_prefix("shm:") {
        return Address::SharedMemory(number.parse().unwrap_or_default());
    }
    let nobody = Address::Memory(0);
    if let Some(vsock) = text.strip_prefix("vsock:") {
        return vsock.parse().map_or(nobody, Address::Vsock);
    }
    match text.strip_prefix("unix:user=") {
        Some(user) => user.parse().map_or(nobody, |user| Address::Unix { user }),
        None => text.parse().map_or(nobody, Address::Ip),
    }
}
