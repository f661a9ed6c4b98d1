//! The network of another vat as this one's: connections are opened from there, and HTTP is served there, too (`[relay]`).

use super::NETWORK;
use super::capabilities::Pauses;
use crate::Platform;
use crate::appliance_capnp::directory;
use crate::context::Context;
use crate::service::Admission;
use crate::settings::relay::RelaySettings;
use crate::vat::NoCapability;
use alloc::string::{String, ToString};
use capnp::capability::FromClientHook;
use endpoints::network_capnp::network;
use endpoints::rpc::network::{RemoteFlow, RemoteListener, RemoteNetwork};
use endpoints::server::Server;
use flow::{ConnectError, Connector, Target};
use web::server::ServerCore;

/// Opens connections from another appliance's network.
pub(crate) struct ThroughConnector<P: Platform> {
    context: Context<P>,
    /// In `[capabilities]`.
    through: String,
}

impl<P: Platform> ThroughConnector<P> {
    /// By the network that the configuration names, if it names one.
    pub(crate) fn new(context: &Context<P>) -> Option<Self> {
        let through = RelaySettings::new(&context.config.relay).through?;
        Some(Self { context: context.clone(), through })
    }
}

impl<P: Platform> Clone for ThroughConnector<P> {
    fn clone(&self) -> Self {
        Self { context: self.context.clone(), through: self.through.clone() }
    }
}

impl<P: Platform> Connector for ThroughConnector<P> {
    type Flow = RemoteFlow;

    async fn connect(&self, target: &Target) -> Result<RemoteFlow, ConnectError> {
        match network(&self.context, &self.through) {
            Ok(network) => network.connector().connect(target).await,
            Err(error) => {
                log::warn!("{target} through {}: {error}", self.through);
                Err(ConnectError::Unreachable)
            }
        }
    }
}

/// Serves what `server` serves at another appliance's port, too, if the configuration says so; made anew whenever it breaks.
pub(crate) fn serve<P: Platform, C: ServerCore>(context: &Context<P>, server: &Server<C>) {
    let RelaySettings { through, http_port, .. } = RelaySettings::new(&context.config.relay);
    let (Some(through), Some(port)) = (through, http_port) else { return };
    let (context, server) = (context.clone(), server.clone());
    context.clone().spawner.spawn("http through another", async move {
        context.sessions.admitted().await;
        Serving { context, through, port }.run(server).await;
    });
}

struct Serving<P: Platform> {
    context: Context<P>,
    through: String,
    port: u16,
}

impl<P: Platform> Serving<P> {
    async fn run<C: ServerCore>(&self, server: Server<C>) {
        let Self { context, through, port } = self;
        let (pauses, mut said) = (Pauses::default(), None);
        while !context.services.are_draining() {
            context.timers.sleep(pauses.before_attempt(context.timers.now())).await;
            let listening = self.listen().await;
            pauses.attempted(context.timers.now());
            match listening {
                Ok(listener) => {
                    log::info!("http on port {port} of {through}");
                    said = None;
                    server.clone().serve(Admission::new(listener, &context.spawner)).await;
                }
                Err(reason) if said.as_ref() == Some(&reason) => {}
                Err(reason) => {
                    log::warn!("not yet on port {port} of {through}: {reason}");
                    said = Some(reason);
                }
            }
        }
    }

    async fn listen(&self) -> Result<RemoteListener, String> {
        let network = network(&self.context, &self.through).map_err(|error| error.to_string())?;
        network.listen(self.port).await.map_err(|error| error.to_string())
    }
}

/// The other's network, out of its directory. Calls go out at once.
fn network<P: Platform>(
    context: &Context<P>,
    through: &str,
) -> Result<RemoteNetwork, NoCapability> {
    let directory: directory::Client = context.capability(through)?;
    let mut request = directory.get_request();
    request.get().set_name(NETWORK);
    let service = request.send().pipeline.get_service().as_cap();
    Ok(RemoteNetwork::new(network::Client::new(service)))
}
