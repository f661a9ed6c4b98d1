//! Exports: local flows, listeners, connectors and networks as objects.

use super::limit::{FlowLimit, FlowPlace};
use super::{ListenFailure, Network, Rpc, write_outcome};
use crate::network_capnp::{
    self as schema, ConnectFailure, connector, listener, network, opened, reader, writer,
};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::ToString;
use capnp::Error;
use core::cell::{Cell, RefCell};
use core::task::{Context, Poll, ready};
use flow::ledger::Pressure;
use flow::sync::{WakerList, WakerSlot};
use flow::task::wait_fn;
use flow::{ConnectError, Connector, Flow, FlowError, Listener, Target};

/// Bytes in one answer to a read. 64 KiB: a window of a usual connection.
const READ_BYTES_MAX: usize = 64 << 10;
/// Bytes written that the flow has not taken yet. 1 MiB: callers that stream keep below 64 KiB.
const QUEUED_BYTES_MAX: usize = 1 << 20;
/// Longest target of a connector, in bytes: a host name (RFC 1035 section 2.3.4), a colon, a port.
const TARGET_BYTES_MAX: usize = 261;

/// A flow as two objects. It is aborted when all let go of both without having closed it.
pub(super) fn flow<F: Flow + 'static>(
    rpc: &Rpc,
    flow: F,
    place: Option<FlowPlace>,
) -> (reader::Client, writer::Client) {
    let (flow, reading) = (RefCell::new(flow), Cell::new(false));
    let shared = Rc::new(Shared { flow, queue: RefCell::default(), reading, place });
    let held = Rc::new(Held(shared.clone()));
    // One task writes, so that writes keep their order and a call that is given up leaves no half of
    // its bytes behind.
    rpc.spawner.spawn("rpc flow", async move { wait_fn(|cx| shared.poll_pump(cx)).await });
    (rpc.client(ExportedReader(held.clone())), rpc.client(ExportedWriter(held)))
}

struct ExportedReader<F: Flow>(Rc<Held<F>>);

struct ExportedWriter<F: Flow>(Rc<Held<F>>);

/// As long as somebody has one of the two objects.
struct Held<F: Flow>(Rc<Shared<F>>);

struct Shared<F> {
    flow: RefCell<F>,
    queue: RefCell<Queue>,
    reading: Cell<bool>,
    /// Among the flows that there may be, if they are bounded.
    place: Option<FlowPlace>,
}

/// What was written, on its way into the flow.
#[derive(Default)]
struct Queue {
    bytes: VecDeque<u8>,
    /// Bytes that the flow took, since its start.
    taken: u64,
    closing: bool,
    finished: bool,
    /// Nobody has the objects any more.
    abandoned: bool,
    aborted: bool,
    /// How it ended.
    end: Option<Result<(), FlowError>>,
    pump: WakerSlot,
    waiting: WakerList,
}

impl<F: Flow> Drop for Held<F> {
    fn drop(&mut self) {
        let mut queue = self.0.queue.borrow_mut();
        queue.abandoned = true;
        queue.wake();
    }
}

impl Queue {
    fn wake(&mut self) {
        self.pump.wake();
        self.waiting.wake();
    }
}

impl<F: Flow> Shared<F> {
    fn poll_pump(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut queue = self.queue.borrow_mut();
            queue.pump.register(cx);
            if queue.end.is_some() {
                return Poll::Ready(());
            }
            let mut flow = self.flow.borrow_mut();
            if queue.aborted
                || (queue.abandoned && !queue.closing)
                || self.is_over(queue.bytes.len(), cx)
            {
                flow.abort();
                queue.end = Some(Err(FlowError::Closed));
                queue.wake();
                return Poll::Ready(());
            }
            let end = if !queue.bytes.is_empty() {
                let (front, _) = queue.bytes.as_slices();
                let written = ready!(flow.poll_write_with(cx, &mut |space| {
                    let count = space.len().min(front.len());
                    space[..count].copy_from_slice(&front[..count]);
                    count
                }));
                written.map_or_else(
                    |error| Some(Err(error)),
                    |count| {
                        queue.bytes.drain(..count);
                        queue.taken += count as u64;
                        None
                    },
                )
            } else if queue.finished {
                Some(ready!(flow.poll_drained(cx)))
            } else if queue.closing {
                flow.finish();
                queue.finished = true;
                None
            } else {
                return Poll::Pending;
            };
            queue.end = end;
            queue.wake();
        }
    }

    /// So many bytes are held, and that is more than memory has for them.
    fn is_over(&self, held_bytes: usize, cx: &Context<'_>) -> bool {
        self.place.as_ref().is_some_and(|FlowPlace { account, .. }| {
            account.set(held_bytes);
            matches!(account.pressure(cx), Pressure::End(_))
        })
    }

    /// Takes the bytes of a write; gives how many the flow must have taken when it is done.
    fn queue(&self, data: &[u8]) -> Result<u64, Error> {
        let mut queue = self.queue.borrow_mut();
        if queue.closing || queue.end.is_some() {
            return Err(Error::failed("the flow takes no more".into()));
        }
        if queue.bytes.len() + data.len() > QUEUED_BYTES_MAX {
            return Err(Error::overloaded(format!("more than {QUEUED_BYTES_MAX} bytes queued")));
        }
        queue.bytes.extend(data);
        queue.wake();
        Ok(queue.taken + queue.bytes.len() as u64)
    }

    /// Ready when the flow took so many bytes, or ended.
    fn poll_taken(&self, target: u64, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        let queue = self.queue.borrow_mut();
        match queue.end {
            Some(Err(error)) => Poll::Ready(Err(error)),
            _ if queue.taken >= target => Poll::Ready(Ok(())),
            _ => {
                queue.waiting.register(cx);
                Poll::Pending
            }
        }
    }

    fn poll_drained(&self, target: u64, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        if let Err(error) = ready!(self.poll_taken(target, cx)) {
            return Poll::Ready(Err(error));
        }
        if self.queue.borrow().finished { self.poll_end(cx) } else { self.poll_flow_drained(cx) }
    }

    fn poll_flow_drained(&self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        self.flow.borrow_mut().poll_drained(cx)
    }

    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        let queue = self.queue.borrow_mut();
        match queue.end {
            Some(end) => Poll::Ready(end),
            None => {
                queue.waiting.register(cx);
                Poll::Pending
            }
        }
    }
}

impl<F: Flow + 'static> reader::Server for ExportedReader<F> {
    async fn read(
        self: Rc<Self>,
        params: reader::ReadParams,
        mut results: reader::ReadResults,
    ) -> Result<(), Error> {
        let shared = &self.0.0;
        let bytes_max = (params.get()?.get_bytes_max() as usize).clamp(1, READ_BYTES_MAX);
        let _turn = Turn::take(&shared.reading)?;
        let mut ended = false;
        let read = wait_fn(|cx| {
            shared.flow.borrow_mut().poll_read_with(cx, &mut |bytes| {
                let shown = &bytes[..bytes.len().min(bytes_max)];
                ended = bytes.is_empty();
                results.get().set_data(shown);
                shown.len()
            })
        });
        let outcome = match read.await {
            Ok(_) if ended => Err(FlowError::Closed),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        write_outcome(results.get().init_outcome(), outcome);
        Ok(())
    }

    async fn abort(self: Rc<Self>, _: reader::AbortParams) -> Result<(), Error> {
        let mut queue = self.0.0.queue.borrow_mut();
        queue.aborted = true;
        queue.wake();
        Ok(())
    }
}

impl<F: Flow + 'static> writer::Server for ExportedWriter<F> {
    // What is before `async` happens in the order of the calls.
    fn write(
        self: Rc<Self>,
        params: writer::WriteParams,
    ) -> impl Future<Output = Result<(), Error>> + 'static {
        let target =
            params.get().and_then(|params| params.get_data()).and_then(|data| self.0.0.queue(data));
        async move {
            let target = target?;
            let taken = wait_fn(|cx| self.0.0.poll_taken(target, cx)).await;
            taken.map_err(|error| Error::failed(error.to_string()))
        }
    }

    async fn close(self: Rc<Self>, _: writer::CloseParams) -> Result<(), Error> {
        let mut queue = self.0.0.queue.borrow_mut();
        queue.closing = true;
        queue.wake();
        Ok(())
    }

    fn drain(
        self: Rc<Self>,
        _: writer::DrainParams,
        mut results: writer::DrainResults,
    ) -> impl Future<Output = Result<(), Error>> + 'static {
        let (target, closing) = {
            let queue = self.0.0.queue.borrow();
            (queue.taken + queue.bytes.len() as u64, queue.closing)
        };
        async move {
            let shared = &self.0.0;
            let outcome = match closing {
                true => wait_fn(|cx| shared.poll_end(cx)).await,
                false => wait_fn(|cx| shared.poll_drained(target, cx)).await,
            };
            write_outcome(results.get().init_outcome(), outcome);
            Ok(())
        }
    }
}

/// Keeps others from what only one may do at a time.
struct Turn<'a>(&'a Cell<bool>);

impl<'a> Turn<'a> {
    fn take(taken: &'a Cell<bool>) -> Result<Self, Error> {
        if taken.replace(true) {
            return Err(Error::failed("one at a time: a call before waits still".into()));
        }
        Ok(Self(taken))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// A listener as an object.
pub(super) struct ExportedListener<L> {
    rpc: Rpc,
    listener: RefCell<L>,
    accepting: Cell<bool>,
    limit: Option<FlowLimit>,
}

impl<L: Listener> ExportedListener<L> {
    pub(super) fn new(rpc: &Rpc, listener: L, limit: Option<FlowLimit>) -> Self {
        let listener = RefCell::new(listener);
        Self { rpc: rpc.clone(), listener, accepting: Cell::new(false), limit }
    }
}

impl<L: Listener + 'static> listener::Server for ExportedListener<L> {
    async fn accept(
        self: Rc<Self>,
        _: listener::AcceptParams,
        mut results: listener::AcceptResults,
    ) -> Result<(), Error> {
        let _turn = Turn::take(&self.accepting)?;
        let accepted = wait_fn(|cx| {
            // Without a place for it, it waits in the listener's backlog.
            if let Some(limit) = &self.limit {
                ready!(limit.poll_room(cx));
            }
            self.listener.borrow_mut().poll_accept(cx)
        });
        let outcome = accepted.await.map(|flow| {
            let place = self.limit.as_ref().map(FlowLimit::take);
            write_opened(results.get().init_opened(), &self.rpc, flow, place);
        });
        write_outcome(results.get().init_outcome(), outcome);
        Ok(())
    }

    async fn local(
        self: Rc<Self>,
        _: listener::LocalParams,
        mut results: listener::LocalResults,
    ) -> Result<(), Error> {
        results.get().set_local(&*self.listener.borrow().local().to_string());
        Ok(())
    }
}

/// A connector as an object.
pub(super) struct ExportedConnector<C> {
    rpc: Rpc,
    connector: C,
    limit: Option<FlowLimit>,
}

impl<C: Connector> ExportedConnector<C> {
    pub(super) fn new(rpc: &Rpc, connector: C, limit: Option<FlowLimit>) -> Self {
        Self { rpc: rpc.clone(), connector, limit }
    }
}

impl<C: Connector> connector::Server for ExportedConnector<C> {
    async fn connect(
        self: Rc<Self>,
        params: connector::ConnectParams,
        mut results: connector::ConnectResults,
    ) -> Result<(), Error> {
        let target = params.get()?.get_target()?.to_str()?;
        let target: Option<Target> =
            Some(target).filter(|text| text.len() <= TARGET_BYTES_MAX).and_then(|t| t.parse().ok());
        let Some(target) = target else {
            return Err(Error::failed("the target is not ADDRESS:PORT or NAME:PORT".into()));
        };
        if self.limit.as_ref().is_some_and(|limit| !limit.has_room()) {
            results.get().set_failure(ConnectFailure::Exhausted);
            return Ok(());
        }
        // Taken at once: each that is on its way counts.
        let place = self.limit.as_ref().map(FlowLimit::take);
        match self.connector.connect(&target).await {
            Ok(flow) => {
                write_opened(results.get().init_opened(), &self.rpc, flow, place);
            }
            Err(error) => results.get().set_failure(match error {
                ConnectError::Refused => ConnectFailure::Refused,
                ConnectError::TimedOut => ConnectFailure::TimedOut,
                ConnectError::Unreachable => ConnectFailure::Unreachable,
                ConnectError::NotFound | ConnectError::NoSuchPath => ConnectFailure::NotFound,
                ConnectError::Exhausted => ConnectFailure::Exhausted,
                ConnectError::Unsupported => ConnectFailure::NotFound,
                ConnectError::Untrusted => ConnectFailure::Refused,
                ConnectError::NotAllowed => ConnectFailure::NotAllowed,
            }),
        }
        Ok(())
    }
}

/// A network as an object.
pub(super) struct ExportedNetwork<N> {
    rpc: Rpc,
    network: N,
    limit: FlowLimit,
}

impl<N: Network> ExportedNetwork<N> {
    pub(super) fn new(rpc: &Rpc, network: N, limit: &FlowLimit) -> Self {
        Self { rpc: rpc.clone(), network, limit: limit.clone() }
    }
}

impl<N: Network> network::Server for ExportedNetwork<N> {
    async fn listen(
        self: Rc<Self>,
        params: network::ListenParams,
        mut results: network::ListenResults,
    ) -> Result<(), Error> {
        match self.network.listen(params.get()?.get_port()) {
            Ok(listener) => {
                let exported = ExportedListener::new(&self.rpc, listener, Some(self.limit.clone()));
                results.get().set_listener(self.rpc.client(exported));
            }
            Err(failure) => results.get().set_failure(match failure {
                ListenFailure::NotAllowed => schema::ListenFailure::NotAllowed,
                ListenFailure::InUse => schema::ListenFailure::InUse,
            }),
        }
        Ok(())
    }

    async fn connector(
        self: Rc<Self>,
        _: network::ConnectorParams,
        mut results: network::ConnectorResults,
    ) -> Result<(), Error> {
        let (connector, limit) = (self.network.connector(), Some(self.limit.clone()));
        let exported = ExportedConnector::new(&self.rpc, connector, limit);
        results.get().set_connector(self.rpc.client(exported));
        Ok(())
    }
}

fn write_opened(
    mut to: opened::Builder<'_>,
    rpc: &Rpc,
    flow: impl Flow + 'static,
    place: Option<FlowPlace>,
) {
    to.set_peer(&*flow.peer().to_string());
    to.set_local(&*flow.local().to_string());
    let (reader, writer) = self::flow(rpc, flow, place);
    to.set_reader(reader);
    to.set_writer(writer);
}
