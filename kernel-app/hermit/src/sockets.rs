//! Kernel sockets as flows, listeners and connectors.
//!
//! One thread, and a [`Reactor`] that asks the kernel which sockets are ready, wakes the tasks that wait for them, and sends
//! what tasks wrote once they have all run, so that several writes leave as one.

mod connect;
mod flow;
mod listen;

use alloc::boxed::Box;
use alloc::rc::{Rc, Weak};
use alloc::vec;
use alloc::vec::Vec;
use aqueduct::settings::network::SocketSettings;
use core::cell::{Cell, RefCell};
use core::task::{Context, Poll, Waker};
use hermit_system::socket::{self, BUFFER_BYTES, Poller};

pub(crate) use connect::HermitConnector;
pub(crate) use listen::HermitListener;

use flow::Connection;
use listen::Queue;

/// Bytes moved by one system call; also what a flow holds unsent at most.
const TRANSFER_BYTES: usize = 64 << 10;
/// A quarter of memory is for the kernel's buffers.
const BUFFERS_SHARE: usize = 4;
/// One of this many parts of memory is for each listener's queue, whose places have their buffers from the start.
const QUEUE_SHARE: usize = 128;
/// Places of a queue, however large the memory.
const BACKLOG_MAX: usize = 32;

/// Waits for sockets. Clones are the same reactor.
#[derive(Clone)]
pub(crate) struct Reactor(Rc<Inner>);

struct Inner {
    connections_max: usize,
    backlog_max: usize,
    places: Cell<usize>,
    /// Who asks at each look whether a connection is made, or there is a place for one.
    asking: RefCell<Vec<Waker>>,
    queues: RefCell<Vec<Weak<Queue>>>,
    connections: RefCell<Vec<Weak<Connection>>>,
    poller: RefCell<Poller>,
    unsent: RefCell<Vec<Weak<Connection>>>,
    /// Finished by tasks that are gone, with bytes that the kernel has not taken yet.
    lingering: RefCell<Vec<Rc<Connection>>>,
    scratch: Cell<Box<[u8]>>,
}

impl Reactor {
    /// A reactor without sockets, on a machine with so much memory.
    pub(crate) fn new(settings: SocketSettings, memory_bytes: usize) -> Self {
        // The kernel chooses silence and queues itself; a listener takes the queue as an argument.
        let SocketSettings { connections_max, listen_backlog: _, keep_alive: _ } = settings;
        let room = memory_bytes / BUFFERS_SHARE / BUFFER_BYTES;
        if room < connections_max {
            log::info!("connections: {room} at once, by the memory for Hermit's buffers");
        }
        Self(Rc::new(Inner {
            connections_max: connections_max.min(room),
            backlog_max: (memory_bytes / QUEUE_SHARE / BUFFER_BYTES).clamp(1, BACKLOG_MAX),
            places: Cell::new(0),
            asking: RefCell::default(),
            queues: RefCell::default(),
            connections: RefCell::default(),
            poller: RefCell::default(),
            unsent: RefCell::default(),
            lingering: RefCell::default(),
            scratch: Cell::new(vec![0; TRANSFER_BYTES].into_boxed_slice()),
        }))
    }

    /// Bytes that the buffers of all connections take at most.
    pub(crate) fn buffers_max_bytes(&self) -> usize {
        self.0.connections_max * BUFFER_BYTES
    }

    /// Asks which sockets are ready, and wakes tasks; whether any was.
    pub(crate) fn poll(&self) -> bool {
        let inner = &*self.0;
        let waiting: Vec<Rc<Connection>> = {
            let mut connections = inner.connections.borrow_mut();
            connections.retain(|connection| connection.strong_count() > 0);
            let live = connections.iter().filter_map(Weak::upgrade);
            live.filter(|connection| connection.is_waited_for()).collect()
        };
        let mut poller = inner.poller.borrow_mut();
        poller.clear();
        for connection in &waiting {
            connection.watch(&mut poller);
        }
        let mut any = false;
        for (connection, (readable, writable)) in waiting.iter().zip(poller.poll()) {
            any |= connection.wake(readable, writable);
        }
        inner.asking.take().into_iter().for_each(Waker::wake);
        inner.queues.borrow_mut().retain(|queue| queue.strong_count() > 0);
        for queue in inner.queues.borrow().iter().filter_map(Weak::upgrade) {
            any |= queue.look();
        }
        any
    }

    /// Sends what tasks wrote since the last call.
    pub(crate) fn flush(&self) {
        for connection in self.0.unsent.take().iter().filter_map(Weak::upgrade) {
            connection.send_queued();
        }
        self.0.lingering.borrow_mut().retain(|connection| !connection.send());
    }

    /// Flows whose tasks are gone and whose last bytes the kernel has not taken yet.
    pub(crate) fn unsent(&self) -> usize {
        self.0.lingering.borrow().len()
    }

    /// A place among the connections that there may be; `None` when all are taken. A socket that the kernel still closes
    /// has its buffers, too.
    fn take_place(&self) -> Option<Place> {
        let taken = self.0.places.get();
        let has_place = taken + socket::closing() < self.0.connections_max;
        has_place.then(|| {
            self.0.places.set(taken + 1);
            Place(self.clone())
        })
    }

    /// The same for who waits for one.
    fn poll_place(&self, cx: &Context<'_>) -> Poll<Place> {
        match self.take_place() {
            Some(place) => Poll::Ready(place),
            None => self.ask_again(cx),
        }
    }

    /// Wakes the task after the next look: the kernel tells nobody of what is done in threads.
    fn ask_again<T>(&self, cx: &Context<'_>) -> Poll<T> {
        self.0.asking.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    }

    /// One buffer serves all reads and writes: there is one thread, and one ends before the next.
    fn with_scratch<R>(&self, body: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut scratch = self.0.scratch.take();
        if scratch.is_empty() {
            scratch = vec![0; TRANSFER_BYTES].into_boxed_slice();
        }
        let result = body(&mut scratch);
        self.0.scratch.set(scratch);
        result
    }
}

/// A connection among those that there may be; given up when it is dropped.
struct Place(Reactor);

impl Drop for Place {
    fn drop(&mut self) {
        let places = &self.0.0.places;
        places.set(places.get() - 1);
    }
}
