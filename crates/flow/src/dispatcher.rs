//! Dispatchers: flows of any scheme, opened by the connector that is for it, or accepted at any of several places.

use crate::{Address, ConnectError, Connector, Flow, FlowError, Listener, Scheme, Target};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::pin::Pin;
use core::task::{Context, Poll};

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

/// A [`Listener`] as an object.
trait DynListener {
    fn poll_accept_boxed(&mut self, cx: &mut Context<'_>)
    -> Poll<Result<Box<dyn Flow>, FlowError>>;

    fn local_address(&self) -> Address;
}

impl<L: Listener> DynListener for L {
    fn poll_accept_boxed(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Box<dyn Flow>, FlowError>> {
        self.poll_accept(cx).map_ok(|flow| Box::new(flow) as Box<dyn Flow>)
    }

    fn local_address(&self) -> Address {
        self.local()
    }
}

/// A listener at several places, of whatever schemes: who is served need not know by which of them others come.
///
/// The places take turns, so that a busy one does not keep another's flows waiting. One that ends is left out; the
/// last one's end is the listener's.
///
/// ```
/// use flow::memory::MemoryNetwork;
/// use flow::{Connector, Flow, Listener, Listeners};
///
/// # flow::task::block_on(async {
/// let (inside, outside) = (MemoryNetwork::new(1024, 1), MemoryNetwork::new(1024, 1));
/// let target = "memory:echo".parse().unwrap();
/// let mut listeners = Listeners::new(inside.listen(&target).unwrap())
///     .with(outside.listen(&target).unwrap());
/// let _first = outside.connect(&target).await.unwrap();
/// let _second = inside.connect(&target).await.unwrap();
/// assert!(listeners.accept().await.is_ok() && listeners.accept().await.is_ok());
/// # });
/// ```
pub struct Listeners {
    places: Vec<Box<dyn DynListener>>,
    /// Whose turn it is.
    next: usize,
    local: Address,
}

impl Listeners {
    /// At one place, which is also what [`local`](Listener::local) says.
    pub fn new(listener: impl Listener + 'static) -> Self {
        let local = listener.local();
        Self { places: Vec::from([Box::new(listener) as Box<dyn DynListener>]), next: 0, local }
    }

    /// At one more.
    pub fn with(mut self, listener: impl Listener + 'static) -> Self {
        self.places.push(Box::new(listener));
        self
    }

    /// At those of another, too.
    pub fn and(mut self, mut other: Self) -> Self {
        self.places.append(&mut other.places);
        self
    }

    /// Where it listens, as far as those places have not ended.
    pub fn places(&self) -> impl Iterator<Item = Address> + '_ {
        self.places.iter().map(|place| place.local_address())
    }
}

impl Listener for Listeners {
    type Flow = Box<dyn Flow>;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<Box<dyn Flow>, FlowError>> {
        let mut asked = 0;
        while asked < self.places.len() {
            let at = self.next % self.places.len();
            match self.places[at].poll_accept_boxed(cx) {
                Poll::Pending => {
                    asked += 1;
                    self.next = at + 1;
                }
                Poll::Ready(Ok(flow)) => {
                    self.next = at + 1;
                    return Poll::Ready(Ok(flow));
                }
                Poll::Ready(Err(error)) => {
                    drop(self.places.remove(at));
                    if self.places.is_empty() {
                        return Poll::Ready(Err(error));
                    }
                }
            }
        }
        if self.places.is_empty() { Poll::Ready(Err(FlowError::Closed)) } else { Poll::Pending }
    }

    fn local(&self) -> Address {
        self.local
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{self, MemoryFlow};
    use alloc::collections::VecDeque;
    use core::net::{Ipv4Addr, SocketAddr};
    use core::task::Waker;
    use std::vec;

    /// Has so many flows to give, then waits or ends.
    struct Place {
        port: u16,
        flows: VecDeque<MemoryFlow>,
        ends: bool,
    }

    impl Place {
        fn new(port: u16, flows: usize, ends: bool) -> Self {
            let flows = (0..flows).map(|_| memory::pair(16).0).collect();
            Self { port, flows, ends }
        }
    }

    impl Listener for Place {
        type Flow = MemoryFlow;

        fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<Result<MemoryFlow, FlowError>> {
            match self.flows.pop_front() {
                Some(flow) => Poll::Ready(Ok(flow)),
                None if self.ends => Poll::Ready(Err(FlowError::Down)),
                None => Poll::Pending,
            }
        }

        fn local(&self) -> Address {
            Address::Ip(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))
        }
    }

    fn accept(listeners: &mut Listeners) -> Poll<Result<(), FlowError>> {
        listeners.poll_accept(&mut Context::from_waker(Waker::noop())).map_ok(drop)
    }

    fn ports(listeners: &Listeners) -> Vec<u16> {
        let port = |address| match address {
            Address::Ip(address) => address.port(),
            _ => 0,
        };
        listeners.places().map(port).collect()
    }

    #[test]
    fn a_busy_place_does_not_keep_another_waiting() {
        let mut listeners = Listeners::new(Place::new(1, 100, false)).with(Place::new(2, 1, true));
        // The second one's only flow is among the first two; then it ends and is left out.
        for _ in 0..2 {
            assert_eq!(accept(&mut listeners), Poll::Ready(Ok(())));
        }
        assert_eq!(ports(&listeners), vec![1, 2]);
        for _ in 2..4 {
            assert_eq!(accept(&mut listeners), Poll::Ready(Ok(())));
        }
        assert_eq!(ports(&listeners), vec![1], "it has been asked again");
        for _ in 4..101 {
            assert_eq!(accept(&mut listeners), Poll::Ready(Ok(())));
        }
        assert_eq!((accept(&mut listeners), ports(&listeners)), (Poll::Pending, vec![1]));
    }

    #[test]
    fn a_silent_place_does_not_keep_another_waiting() {
        let mut listeners = Listeners::new(Place::new(1, 0, false)).with(Place::new(2, 1, false));
        assert_eq!(accept(&mut listeners), Poll::Ready(Ok(())));
        assert_eq!(accept(&mut listeners), Poll::Pending);
    }

    #[test]
    fn the_last_places_end_is_the_listeners() {
        let second = Listeners::new(Place::new(2, 0, true));
        let mut listeners = Listeners::new(Place::new(1, 0, true)).and(second);
        for _ in 0..2 {
            let ended = accept(&mut listeners);
            assert!(matches!(ended, Poll::Ready(Err(_))), "{ended:?}");
        }
        assert_eq!(listeners.local(), Place::new(1, 0, true).local());
    }
}
