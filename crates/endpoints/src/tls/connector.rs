//! TLS connector: flows to servers that proved to be who they should be.

use super::handshake::{Side, run, set_clock};
use super::{TlsConfig, TlsFlow};
use ::flow::time::Timers;
use ::flow::{ConnectError, Connector, Target};
use ::tls::ClientContext;
use alloc::rc::Rc;
use alloc::string::ToString;
use core::net::{IpAddr, SocketAddr};

/// Makes TLS flows of the flows of another connector. Clones share what is below.
pub struct TlsConnector<C> {
    connector: C,
    shared: Rc<Shared>,
}

struct Shared {
    context: ClientContext,
    config: TlsConfig,
    timers: Timers,
}

impl<C> TlsConnector<C> {
    /// Over the flows of `connector`.
    pub fn new(connector: C, context: ClientContext, config: TlsConfig, timers: &Timers) -> Self {
        let shared = Shared { context, config, timers: timers.clone() };
        Self { connector, shared: Rc::new(shared) }
    }
}

impl<C: Clone> Clone for TlsConnector<C> {
    fn clone(&self) -> Self {
        Self { connector: self.connector.clone(), shared: self.shared.clone() }
    }
}

impl<C: Connector> Connector for TlsConnector<C> {
    type Flow = TlsFlow<C::Flow>;

    /// Opens a flow to a target of the scheme `tls`, to one of TCP that has a name or an address for the
    /// certificate, or to a Unix-domain socket, whose name is `localhost`.
    async fn connect(&self, target: &Target) -> Result<Self::Flow, ConnectError> {
        let (name, below) = match target {
            Target::Tls(name, port) => (name.clone(), below(name, *port)),
            Target::Name(name, _) => (name.clone(), target.clone()),
            Target::Address(address) => (address.ip().to_string(), target.clone()),
            // Whose certificate is known by its key has any name.
            Target::Unix(_) => (target.authority(), target.clone()),
            Target::Service(_)
            | Target::Vsock(_)
            | Target::SharedMemory(_)
            | Target::Vchan(_)
            | Target::Memory(_) => {
                return Err(ConnectError::Unsupported);
            }
        };
        self.connect_to(&below, &name).await
    }
}

impl<C: Connector> TlsConnector<C> {
    /// Opens a flow to a target of any kind, whose certificate is to be for this name or address.
    ///
    /// # Errors
    /// As of the connector below; or there is no TLS with who is there.
    pub async fn connect_to(
        &self,
        target: &Target,
        name: &str,
    ) -> Result<TlsFlow<C::Flow>, ConnectError> {
        let Shared { context, config, timers } = &*self.shared;
        let flow = self.connector.connect(target).await?;
        set_clock(context.clock(), config, timers);
        let handshake = context.handshake(name);
        let made = run(Side::Client, flow, handshake, config, timers, async || {}).await;
        made.map_err(|failure| {
            log::warn!("no TLS with {target}: {failure}");
            ConnectError::Untrusted
        })
    }
}

/// Where the TCP connection goes.
fn below(name: &str, port: u16) -> Target {
    match name.parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, port).into(),
        Err(_) => Target::Name(name.into(), port),
    }
}
