//! Resolving connector: connects to services by name.

use super::Registry;
use crate::{ConnectError, Connector, Target};
use alloc::rc::Rc;

/// A connector that also knows services by name: it looks [`Target::Service`] up and opens a flow to
/// where the service is, and hands all other targets on. What is below may be a
/// [`Dispatcher`](crate::Dispatcher), so that services can be reached in any way.
#[derive(Clone)]
pub struct ResolvingConnector<C> {
    connector: C,
    registry: Rc<dyn Registry>,
}

impl<C> ResolvingConnector<C> {
    /// Looks services up in `registry`, and opens flows by `connector`.
    pub fn new(connector: C, registry: Rc<dyn Registry>) -> Self {
        Self { connector, registry }
    }
}

impl<C: Connector> Connector for ResolvingConnector<C> {
    type Flow = C::Flow;

    /// Tries the services that are meant, in the order in which the registry gives them.
    async fn connect(&self, target: &Target) -> Result<C::Flow, ConnectError> {
        let Target::Service(query) = target else {
            return self.connector.connect(target).await;
        };
        let found = self.registry.look_up(query).await.map_err(|_| ConnectError::NotFound)?;
        let mut outcome = Err(ConnectError::NotFound);
        for service in found {
            outcome = self.connector.connect(&service.target).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Query, StaticRegistry};
    use super::*;
    use crate::memory::MemoryNetwork;
    use crate::task::block_on;
    use crate::{Dispatcher, Listener, Scheme};

    #[test]
    fn whatever_connects_connects_by_name() {
        let network = MemoryNetwork::new(100, 10);
        let mut there = network.listen(&"beta.example:80".parse().unwrap()).unwrap();
        let table = b"web alpha http alpha.example:80\nweb beta http beta.example:80";
        let connector =
            ResolvingConnector::new(network, Rc::new(StaticRegistry::parse(table).unwrap()));
        let connect = |target: Target| block_on(connector.connect(&target)).map(drop);
        // Nobody listens at the first.
        for name in ["web", "web@beta"] {
            let query: Query = name.parse().unwrap();
            assert_eq!(connect(query.target()), Ok(()), "{name}");
            block_on(there.accept()).unwrap();
        }
        let query: Query = "web@alpha".parse().unwrap();
        assert_eq!(connect(query.target()), Err(ConnectError::Refused));
        let query: Query = "mail".parse().unwrap();
        assert_eq!(connect(query.target()), Err(ConnectError::NotFound));
        assert_eq!(connect("beta.example:80".parse().unwrap()), Ok(()));
    }

    #[test]
    fn a_service_may_be_anywhere_that_the_connector_below_reaches() {
        let (inside, outside) = (MemoryNetwork::new(100, 10), MemoryNetwork::new(100, 10));
        let mut web = inside.listen(&"memory:web".parse().unwrap()).unwrap();
        let mut mail = outside.listen(&"mail.example:25".parse().unwrap()).unwrap();
        let table = b"web here http memory:web\nmail there smtp mail.example:25";
        let below = Dispatcher::new().with(Scheme::Memory, inside).with(Scheme::Tcp, outside);
        let connector =
            ResolvingConnector::new(below, Rc::new(StaticRegistry::parse(table).unwrap()));
        let connect = |text: &str| block_on(connector.connect(&text.parse().unwrap())).map(drop);
        assert_eq!(connect("service://web"), Ok(()));
        block_on(web.accept()).unwrap();
        assert_eq!(connect("service://mail@there"), Ok(()));
        block_on(mail.accept()).unwrap();
        assert_eq!(connect("service://mail@here"), Err(ConnectError::NotFound));
        assert_eq!(connect("memory:mail"), Err(ConnectError::Refused));
    }
}
