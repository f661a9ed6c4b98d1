//! Resolving connector: connects to services by name.

use super::{Query, Registry};
use crate::{ConnectError, Connector, Target};
use alloc::rc::Rc;
use alloc::string::ToString;

/// A connector that also knows services by name: it opens flows to the targets that
/// [`Query::target`] makes, by looking them up, and hands all others on.
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

/// No host name has it, so that the two cannot be mistaken for each other.
const MARK: char = '@';

impl Query {
    /// As what a [`ResolvingConnector`] connector is asked to reach.
    pub fn target(&self) -> Target {
        let host = self.host.as_ref().map_or("", |host| host.as_str());
        Target::Name([self.name.as_str(), host].join(&MARK.to_string()), 0)
    }

    fn of_target(target: &Target) -> Option<Self> {
        let Target::Name(text, 0) = target else {
            return None;
        };
        text.contains(MARK).then_some(())?;
        text.strip_suffix(MARK).unwrap_or(text).parse().ok()
    }
}

impl<C: Connector> Connector for ResolvingConnector<C> {
    type Flow = C::Flow;

    /// Tries the services that are meant, in the order in which the registry gives them.
    async fn connect(&self, target: &Target) -> Result<C::Flow, ConnectError> {
        let Some(query) = Query::of_target(target) else {
            return self.connector.connect(target).await;
        };
        let found = self.registry.look_up(&query).await.map_err(|_| ConnectError::NotFound)?;
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
    use super::super::StaticRegistry;
    use super::*;
    use crate::Listener;
    use crate::memory::MemoryNetwork;
    use crate::task::block_on;

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
}
