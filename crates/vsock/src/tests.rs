//! Networks against a peer that the test is, packet by packet, and against each other.

extern crate std;

mod closing;
mod hostile;
mod liveness;
mod opening;
mod transfer;

use crate::network::{Limits, VsockNetwork};
use crate::packet::{HEADER_BYTES, Header, Operation, Packet, STREAM};
use crate::{VsockFlow, VsockListener};
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use flow::{Connector, Flow, FlowError, Listener, VsockAddress};

const NOW: Duration = Duration::from_secs(100);
const GUEST: u32 = 3;
const PORT: u32 = 9000;
/// The peer of most tests, at the host.
const PEER: VsockAddress = VsockAddress { cid: 2, port: 1234 };
const LIMITS: Limits = Limits {
    connections_max: 8,
    buffer_bytes: 1000,
    connect_timeout: Duration::from_secs(2),
    close_timeout: Duration::from_secs(8),
    keep_alive: Duration::from_secs(120),
};
/// What the peer of most tests buffers.
const PEER_BUFFER: u32 = 500;

/// A network, and the test as its only device.
struct World {
    network: VsockNetwork,
    now: Duration,
    /// What packets with data say that the peer forwarded.
    forwarded: u32,
}

impl World {
    fn new() -> Self {
        let network = VsockNetwork::new(GUEST, LIMITS);
        network.handle_timeout(NOW);
        Self { network, now: NOW, forwarded: 0 }
    }

    fn listen(&self) -> VsockListener {
        self.network.listen(PORT, 4).unwrap()
    }

    /// A connection that the peer opened.
    fn accepted(&self) -> VsockFlow {
        let mut listener = self.listen();
        self.send(&request(PEER));
        let Some(response) = self.next() else { panic!("no answer") };
        assert_eq!(response.0.operation, Operation::Response);
        accept(&mut listener).expect("a flow")
    }

    fn send(&self, header: &Header) {
        self.network.handle_input(self.now, &header.to_bytes());
    }

    fn send_data(&self, payload: &[u8]) {
        let forwarded = self.forwarded;
        let payload_bytes = payload.len() as u32;
        let header = Header { payload_bytes, forwarded, ..packet(Operation::Data) };
        self.network.handle_input(self.now, &[&header.to_bytes(), payload].concat());
    }

    /// The next packet that leaves.
    fn next(&self) -> Option<(Header, Vec<u8>)> {
        let Packet { header, payload } = self.network.poll_transmit(self.now)?;
        let header = Header::parse(&header).unwrap();
        assert_eq!(header.payload_bytes as usize, payload.len());
        Some((header, payload.to_vec()))
    }

    /// The operations of all packets that leave.
    fn operations(&self) -> Vec<Operation> {
        core::iter::from_fn(|| self.next()).map(|(header, _)| header.operation).collect()
    }

    fn advance(&mut self, to: Duration) {
        self.now = to;
        self.network.handle_timeout(to);
    }
}

/// A packet of the peer's connection to the listener.
fn packet(operation: Operation) -> Header {
    Header {
        source: PEER,
        destination: VsockAddress { cid: GUEST, port: PORT },
        payload_bytes: 0,
        socket_type: STREAM,
        operation,
        flags: 0,
        buffer_bytes: PEER_BUFFER,
        forwarded: 0,
    }
}

fn request(source: VsockAddress) -> Header {
    Header { source, ..packet(Operation::Request) }
}

fn shutdown(flags: u32) -> Header {
    Header { flags, ..packet(Operation::Shutdown) }
}

fn forwarded(bytes: u32) -> Header {
    Header { forwarded: bytes, ..packet(Operation::CreditUpdate) }
}

fn accept(listener: &mut VsockListener) -> Option<VsockFlow> {
    match listener.poll_accept(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(flow) => Some(flow.unwrap()),
        Poll::Pending => None,
    }
}

/// All that can be read now, and how it ends: `None` if more may come.
fn read(flow: &mut VsockFlow) -> (Vec<u8>, Option<Result<(), FlowError>>) {
    let mut all = Vec::new();
    loop {
        let before = all.len();
        let outcome = flow.poll_read_with(&mut Context::from_waker(Waker::noop()), &mut |bytes| {
            all.extend_from_slice(bytes);
            bytes.len()
        });
        match outcome {
            Poll::Pending => return (all, None),
            Poll::Ready(Err(error)) => return (all, Some(Err(error))),
            Poll::Ready(Ok(_)) if all.len() == before => return (all, Some(Ok(()))),
            Poll::Ready(Ok(_)) => {}
        }
    }
}

fn write(flow: &mut VsockFlow, bytes: &[u8]) -> Poll<Result<usize, FlowError>> {
    flow.poll_write(&mut Context::from_waker(Waker::noop()), bytes)
}

fn drained(flow: &mut VsockFlow) -> Poll<Result<(), FlowError>> {
    flow.poll_drained(&mut Context::from_waker(Waker::noop()))
}

/// Counts how often it wakes.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connect that is polled by hand.
type Connecting<'a> =
    Pin<alloc::boxed::Box<dyn Future<Output = Result<VsockFlow, flow::ConnectError>> + 'a>>;

fn poll<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
