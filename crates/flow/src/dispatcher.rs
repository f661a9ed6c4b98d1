//! Dispatcher: opens flows of any scheme, by the connector that is for it.

use crate::{ConnectError, Connector, Flow, Scheme, Target};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::pin::Pin;

/// A [`Connector`] as an object.
trait DynConnector {
    fn connect_boxed<'a>(&'a self, target: &'a Target) -> Connecting<'a>;
}

/// A flow on its way. Dropping it gives it up.
type Connecting<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn Flow>, ConnectError>> + 'a>>;

impl<C: Connector> DynConnector for C {
    fn connect_boxed<'a>(&'a self, target: &'a Target) -> Connecting<'a> {
        Box::pin(async move {
            let flow = self.connect(target).await?;
            Ok(Box::new(flow) as Box<dyn Flow>)
        })
    }
}

/// A connector for targets of several schemes. Clones share what is below.
///
/// ```
/// use flow::memory::MemoryNetwork;
/// use flow::{ConnectError, Connector, Dispatcher, Scheme};
///
/// # flow::task::block_on(async {
/// let network = MemoryNetwork::new(1024, 1);
/// let _listener = network.listen(&"memory:echo".parse().unwrap());
/// let connector = Dispatcher::new().with(Scheme::Memory, network);
/// assert!(connector.connect(&"memory:echo".parse().unwrap()).await.is_ok());
/// let refused = connector.connect(&"db.example:80".parse().unwrap()).await;
/// assert_eq!(refused.err(), Some(ConnectError::Unsupported));
/// # });
/// ```
#[derive(Clone, Default)]
pub struct Dispatcher(Vec<(Scheme, Rc<dyn DynConnector>)>);

impl Dispatcher {
    /// A connector for no scheme.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens flows to targets of `scheme` by `connector`, in place of an earlier one for it.
    pub fn with(mut self, scheme: Scheme, connector: impl Connector) -> Self {
        self.0.retain(|(other, _)| *other != scheme);
        self.0.push((scheme, Rc::new(connector)));
        self
    }
}

impl Connector for Dispatcher {
    type Flow = Box<dyn Flow>;

    async fn connect(&self, target: &Target) -> Result<Box<dyn Flow>, ConnectError> {
        let scheme = target.scheme();
        let found = self.0.iter().find(|(other, _)| *other == scheme);
        let (_, connector) = found.ok_or(ConnectError::Unsupported)?;
        connector.connect_boxed(target).await
    }
}
