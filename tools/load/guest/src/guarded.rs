//! A connector that goes where load may go, whatever name led there.

use crate::place::HOW;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use flow::{ConnectError, Connector, Target};
use load::{Prefix, is_allowed, refusal};

/// Connections by TCP to addresses that are allowed.
#[derive(Clone)]
pub(crate) struct Guarded<C> {
    connector: C,
    allowed: Rc<[Prefix]>,
    /// One line says it for thousands of connections.
    has_said: Rc<Cell<bool>>,
}

impl<C> Guarded<C> {
    pub(crate) fn new(connector: C, allowed: Vec<Prefix>) -> Self {
        Self { connector, allowed: allowed.into(), has_said: Rc::default() }
    }
}

impl<C: Connector> Connector for Guarded<C> {
    type Flow = C::Flow;

    async fn connect(&self, target: &Target) -> Result<C::Flow, ConnectError> {
        match target {
            Target::Address(address) if is_allowed(address.ip(), &self.allowed) => {
                self.connector.connect(target).await
            }
            _ if self.has_said.replace(true) => Err(ConnectError::NotAllowed),
            Target::Address(address) => {
                log::error!("{}", refusal(address.ip(), HOW));
                Err(ConnectError::NotAllowed)
            }
            _ => {
                log::error!("{target} may be anybody's: a service that is asked has an address");
                Err(ConnectError::NotAllowed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::memory::MemoryNetwork;
    use flow::registry::{ResolvingConnector, StaticRegistry, Ways};
    use flow::task::block_on;
    use flow::time::Timers;

    #[test]
    fn a_name_leads_nowhere_that_its_address_does_not() {
        let network = MemoryNetwork::new(64, 10);
        let targets = ["10.9.0.2:80", "10.9.1.2:80", "h.example:80"];
        let _listeners = targets.map(|target| network.listen(&target.parse().unwrap()).unwrap());
        let names = b"yes a http 10.9.0.2:80\nno a http 10.9.1.2:80\nname a http h.example:80\n";
        let registry = Rc::new(StaticRegistry::parse(names).unwrap());
        let allowed = Vec::from(["10.9.0.0/24".parse().unwrap()]);
        let guarded = Guarded::new(network, allowed);
        let ways = Ways::new(flow::registry::WayPolicy::default(), &Timers::new());
        let connector = ResolvingConnector::new(guarded, registry, ways);
        for (target, is_reached) in [
            ("10.9.0.2:80", true),
            ("service://yes", true),
            ("10.9.1.2:80", false),
            ("service://no", false),
            ("service://name", false),
            ("h.example:80", false),
        ] {
            let connected = block_on(connector.connect(&target.parse().unwrap()));
            assert_eq!(connected.is_ok(), is_reached, "{target}");
        }
    }
}
