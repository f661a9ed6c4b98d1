//! Cap'n Proto RPC: calls without parameters, made to the bootstrap object or to the service that the target's path names.

use super::calls::{Failed, Protocol};
use ::capnp::ErrorKind;
use ::capnp::any_pointer;
use ::capnp::capability::Client;
use ::flow::Flow;
use ::flow::task::Spawner;
use ::flow::time::Timers;
use alloc::borrow::ToOwned;
use alloc::string::String;
use endpoints::rpc::{Limits, Rpc};
use load::{Failure, RequestKind};

/// The vat of one thread.
#[derive(Clone)]
pub(crate) struct Capnp {
    rpc: Rpc,
    /// Empty: the one that everybody gets.
    service: String,
}

impl Capnp {
    pub(crate) fn new(service: &str, spawner: &Spawner, timers: &Timers) -> Self {
        let service = service.trim_start_matches('/').to_owned();
        Self { rpc: Rpc::new(Limits::default(), spawner, timers), service }
    }
}

impl Protocol for Capnp {
    type Peer = Client;

    fn connect(&self, flow: impl Flow + Unpin + 'static) -> Client {
        if self.service.is_empty() {
            self.rpc.connect_flow(flow)
        } else {
            self.rpc.restore_flow(flow, self.service.as_bytes())
        }
    }

    async fn call(peer: &Client, kind: &RequestKind) -> Result<(), Failed> {
        // The scenario has one for each kind, or was refused.
        let (interface, method) = kind.call.ok_or(Failure::Protocol)?;
        let request =
            peer.new_call::<any_pointer::Owned, any_pointer::Owned>(interface, method, None);
        match request.send().promise.await {
            Ok(_) => Ok(()),
            // An exception, as HTTP has statuses; but for that of a connection that is lost.
            Err(error) => {
                let (failure, kind) = match error.kind {
                    ErrorKind::Disconnected => (Failure::Reset, "disconnected"),
                    ErrorKind::Overloaded => (Failure::Status, "overloaded"),
                    ErrorKind::Unimplemented => (Failure::Status, "unimplemented"),
                    _ => (Failure::Status, "failed"),
                };
                Err(Failed::saying(failure, kind, &error.extra))
            }
        }
    }
}
