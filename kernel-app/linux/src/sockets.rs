//! Kernel sockets as flows, listeners and connectors.
//!
//! One thread and one `epoll`: the [`Reactor`] waits for sockets, wakes the tasks that wait for
//! them, and sends what tasks wrote once they have all run, so that several writes leave as one.

mod connect;
mod diagnostics;
mod flow;
mod listen;
mod stream;
pub(crate) mod unix;

use aqueduct::settings::network::SocketSettings;
use mio::event::Source;
use mio::{Events, Interest, Poll, Registry, Token};
use rustix::net::sockopt;
use socket2::SockRef;
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::AsFd;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll as TaskPoll, Waker};
use std::time::{Duration, Instant};

pub use connect::KernelConnector;
pub use flow::KernelFlow;
pub use listen::{KernelListener, every_address};

use ::flow::sync::WakerKey;
use ::net::{ConnectionId, ConnectionRow, ListenerRow, TcpState};
use diagnostics::{Diagnostics, Unasked};
use flow::Outgoing;
use std::net::SocketAddr;
use stream::Stream;

/// Connections of which the kernel is asked for one list; of further ones the list has the addresses only. Each takes some
/// microseconds.
const ASKED_MAX: usize = 1000;
/// Socket events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;
/// Longest silence before a keep-alive probe that the kernel takes (MAX_TCP_KEEPIDLE in Linux' include/net/tcp.h).
/// The configuration allows a day, which our own stack keeps; here nine hours stand for it, since a probe too
/// early costs a packet and a process that does not start costs the service.
const KEEP_IDLE_MAX: Duration = Duration::from_secs(32_767);
/// Bytes moved by one system call; also what a flow holds unsent at most.
const TRANSFER_BYTES: usize = 64 << 10;
/// Bytes that the kernel takes beyond what it has sent (tcp(7), TCP_NOTSENT_LOWAT). The kernel's buffer may hold
/// megabytes, and says that there is room only when a third of it is free, which a slow peer takes a minute for; so
/// the buffer's room says nothing of the peer. With this, there is room whenever half of it has been sent, into a
/// window that the peer's TCP opened. 128 KiB: two of the largest writes, so that a fast peer never waits.
const NOT_SENT_BYTES_MAX: u32 = 128 << 10;
/// What the kernel may hold beyond what it has sent, all the same: it looks before each buffer, the largest of which is
/// one write's.
const NOT_SENT_BYTES_BOUND: usize = NOT_SENT_BYTES_MAX as usize + TRANSFER_BYTES;
/// How exactly the kernel is asked what it has not sent: two seconds of the slowest peer that is served by default.
const NOT_SENT_STEP_BYTES: usize = 1 << 10;
/// How soon accepting is tried again after the process or the system ran out of descriptors: one may be closed by
/// somebody whom the reactor does not see.
const DESCRIPTOR_RETRY: Duration = Duration::from_millis(100);
/// How often the log says so at most.
const DESCRIPTOR_LOG: Duration = Duration::from_secs(60);

/// Waits for sockets. Clones are the same reactor.
#[derive(Clone)]
pub struct Reactor(Rc<Inner>);

impl Reactor {
    /// A reactor without sockets.
    pub fn new(settings: SocketSettings) -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        Ok(Self(Rc::new(Inner {
            poll: RefCell::new(poll),
            registry,
            settings,
            connections: Cell::new(0),
            opened: Cell::new(0),
            unasked: Unasked::default(),
            refused: RefCell::default(),
            starved: RefCell::default(),
            slots: RefCell::new(Vec::new()),
            free: RefCell::new(Vec::new()),
            unsent: RefCell::new(Vec::new()),
            lingering: RefCell::new(Vec::new()),
            events: RefCell::new(Events::with_capacity(EVENTS_MAX)),
            scratch: Cell::new(vec![0; TRANSFER_BYTES].into_boxed_slice()),
        })))
    }

    /// Waits until a socket is ready, or for `timeout` (`None`: for ever), and wakes tasks.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<()> {
        let mut events = self.0.events.borrow_mut();
        let retry =
            self.0.starved.borrow().retry_at.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = retry.into_iter().chain(timeout).min();
        match self.0.poll.borrow_mut().poll(&mut events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            outcome => outcome?,
        }
        self.retry_starved();
        for event in &*events {
            let ready = self.0.slots.borrow().get(event.token().0).cloned().flatten();
            if let Some(ready) = ready {
                if let Some(observer) = &*ready.observer.borrow() {
                    observer.handle_ready(event.is_read_closed() || event.is_error());
                }
                if event.is_read_closed() || event.is_error() {
                    ready.input_ends.set(true);
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    ready.readable.raise();
                }
                if event.is_writable() || event.is_write_closed() || event.is_error() {
                    ready.writable.raise();
                    self.0.unsent.borrow_mut().extend(ready.blocked.take());
                }
            }
        }
        Ok(())
    }

    /// Sends what tasks wrote since the last call.
    pub fn flush(&self) {
        let mut unsent = std::mem::take(&mut *self.0.unsent.borrow_mut());
        for outgoing in unsent.drain(..).filter_map(|outgoing| outgoing.upgrade()) {
            outgoing.send_or_wait();
        }
        let mut next = self.0.unsent.borrow_mut();
        if next.is_empty() && unsent.capacity() <= EVENTS_MAX {
            *next = unsent;
        }
        drop(next);
        self.0.lingering.borrow_mut().retain(|outgoing| !outgoing.send());
    }

    /// Shows all connections, as the kernel knows them.
    pub fn visit_connections(&self, visit: &mut dyn FnMut(ConnectionRow)) {
        let kernel = self.diagnostics();
        let mut asked = 0;
        self.visit_seen(&mut |ready, seen| {
            let Seen::Connection { number, local, peer, since } = *seen else { return };
            asked += 1;
            let kernel = kernel.as_ref().filter(|_| asked <= ASKED_MAX);
            let known = kernel.and_then(|kernel| kernel.ask(local, Some(peer)).ok());
            let info = known.map(|known| known.connection(local, peer, since.elapsed()));
            visit(ConnectionRow {
                id: ConnectionId::Open(0, number),
                state: info.as_ref().map_or(TcpState::Established, |info| info.state),
                local,
                remote: peer,
                waker: ready.waker(),
                task: None,
                retransmissions: info.as_ref().map(|info| info.retransmits),
                info,
            });
        });
    }

    /// Shows who is woken for each connection, and its other end: without asking the kernel.
    pub fn visit_peers(&self, visit: &mut dyn FnMut(WakerKey, SocketAddr)) {
        self.visit_seen(&mut |ready, seen| {
            if let (Seen::Connection { peer, .. }, Some(waker)) = (seen, ready.waker()) {
                visit(waker, *peer);
            }
        });
    }

    /// Shows all listeners, as the kernel knows them.
    pub fn visit_listeners(&self, visit: &mut dyn FnMut(ListenerRow)) {
        let kernel = self.diagnostics();
        self.visit_seen(&mut |ready, seen| {
            let Seen::Listener { local, backlog_max } = *seen else { return };
            let known = kernel.as_ref().and_then(|kernel| kernel.ask(local, None).ok());
            visit(ListenerRow {
                card: 0,
                local,
                service: None,
                waker: ready.waker(),
                task: None,
                backlog: known.as_ref().map(|known| known.receive_queue as usize),
                backlog_max: known.map_or(backlog_max, |known| known.send_queue as usize),
                half_open: None,
            });
        });
    }

    /// A way to ask the kernel about sockets; where there is none, the log says so once.
    fn diagnostics(&self) -> Option<Diagnostics> {
        Diagnostics::new().map_err(|error| self.0.unasked.tell(&error)).ok()
    }

    fn visit_seen(&self, visit: &mut dyn FnMut(&Ready, &Seen)) {
        let slots = self.0.slots.borrow();
        for ready in slots.iter().flatten() {
            if let Some(seen) = &*ready.seen.borrow() {
                visit(ready, seen);
            }
        }
    }

    fn next_number(&self) -> u64 {
        self.0.opened.set(self.0.opened.get() + 1);
        self.0.opened.get()
    }

    /// For events that end a wait and concern no flow: their token is no slot's.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    pub(crate) fn register(
        &self,
        source: &mut impl Source,
        interest: Interest,
    ) -> io::Result<Registration> {
        let ready = Rc::new(Ready::default());
        let mut slots = self.0.slots.borrow_mut();
        let slot = self.0.free.borrow_mut().pop().unwrap_or(slots.len());
        if slot == slots.len() {
            slots.push(None);
        }
        slots[slot] = Some(ready.clone());
        self.0.registry.register(source, Token(slot), interest)?;
        Ok(Registration { reactor: self.clone(), slot, ready })
    }

    /// Ready while there are fewer connections than there may be.
    fn poll_place(&self, cx: &mut Context<'_>) -> TaskPoll<()> {
        if self.has_place() {
            return TaskPoll::Ready(());
        }
        self.0.refused.borrow_mut().push(cx.waker().clone());
        TaskPoll::Pending
    }

    fn has_place(&self) -> bool {
        self.0.connections.get() < self.0.settings.connections_max
    }

    /// Has the task woken when a descriptor may be free again.
    pub(crate) fn wait_for_descriptor(&self, cx: &Context<'_>, error: &io::Error) {
        let mut starved = self.0.starved.borrow_mut();
        let now = Instant::now();
        if starved.logged_at.is_none_or(|at| now - at > DESCRIPTOR_LOG) {
            starved.logged_at = Some(now);
            log::warn!("connections wait until there is a descriptor for them: {error}");
        }
        starved.waiting.push(cx.waker().clone());
        starved.retry_at = Some(now + DESCRIPTOR_RETRY);
    }

    fn retry_starved(&self) {
        let mut starved = self.0.starved.borrow_mut();
        if starved.retry_at.is_some_and(|at| at <= Instant::now()) {
            starved.wake();
        }
    }

    /// What the operator said of connections, and what makes writing wait for the peer. A listener's are inherited by what it accepts (tcp(7)).
    fn apply_settings(&self, socket: impl AsFd) -> io::Result<()> {
        let SocketSettings { keep_alive, connections_max: _, listen_backlog: _ } = self.0.settings;
        SockRef::from(&socket).set_tcp_notsent_lowat(NOT_SENT_BYTES_MAX)?;
        if let Some(silence) = keep_alive {
            sockopt::set_tcp_keepidle(&socket, silence.min(KEEP_IDLE_MAX))?;
            sockopt::set_socket_keepalive(&socket, true)?;
        }
        Ok(())
    }

    fn take_place(&self) -> Place {
        self.0.connections.set(self.0.connections.get() + 1);
        Place(self.clone())
    }

    /// One buffer serves all reads: the reactor has one thread, and a read ends before the next.
    fn with_scratch<R>(&self, body: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut scratch = self.0.scratch.take();
        if scratch.is_empty() {
            scratch = vec![0; TRANSFER_BYTES].into_boxed_slice();
        }
        let result = body(&mut scratch);
        self.0.scratch.set(scratch);
        result
    }

    /// Flows whose tasks are gone and whose last bytes the kernel has not taken yet.
    pub fn unsent(&self) -> usize {
        self.0.lingering.borrow().len()
    }

    fn linger(&self, outgoing: &Rc<Outgoing>) {
        self.0.lingering.borrow_mut().push(outgoing.clone());
    }

    fn will_send(&self, outgoing: &Rc<Outgoing>) {
        self.0.unsent.borrow_mut().push(Rc::downgrade(outgoing));
    }
}

struct Inner {
    poll: RefCell<Poll>,
    registry: Registry,
    settings: SocketSettings,
    connections: Cell<usize>,
    /// Connections that there were.
    opened: Cell<u64>,
    unasked: Unasked,
    /// Who waits for there to be fewer.
    refused: RefCell<Vec<Waker>>,
    starved: RefCell<Starved>,
    slots: RefCell<Vec<Option<Rc<Ready>>>>,
    free: RefCell<Vec<usize>>,
    unsent: RefCell<Vec<Weak<Outgoing>>>,
    /// Finished by tasks that are gone, with bytes that the kernel has not taken yet.
    lingering: RefCell<Vec<Rc<Outgoing>>>,
    /// What the last wait ended with, so that each has room for it at once.
    events: RefCell<Events>,
    scratch: Cell<Box<[u8]>>,
}

/// Who waits for a descriptor, of which the process or the system has no more.
#[derive(Default)]
struct Starved {
    waiting: Vec<Waker>,
    /// When to try again, whether or not a connection of ours has ended; none while nobody waits.
    retry_at: Option<Instant>,
    logged_at: Option<Instant>,
}

impl Starved {
    fn wake(&mut self) {
        self.retry_at = None;
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

/// A connection among those that there may be; given up when it is dropped.
struct Place(Reactor);

impl Drop for Place {
    fn drop(&mut self) {
        let inner = &*self.0.0;
        inner.connections.set(inner.connections.get() - 1);
        inner.refused.take().into_iter().for_each(Waker::wake);
        inner.starved.borrow_mut().wake();
    }
}

/// A socket's place in the reactor; given up when it is dropped (the kernel forgets a closed
/// socket by itself).
pub(crate) struct Registration {
    reactor: Reactor,
    slot: usize,
    ready: Rc<Ready>,
}

impl Registration {
    /// Whether reading is worth trying; if not, the task is woken when it is.
    pub(crate) fn poll_readable(&self, cx: &Context<'_>) -> bool {
        self.ready.readable.poll(cx.waker())
    }

    /// Reading would have blocked: has the task woken when it does not.
    pub(crate) fn await_readable(&self, cx: &Context<'_>) {
        self.ready.readable.lower(cx.waker());
    }

    /// Has `observer` told of each event.
    pub(crate) fn observe(&self, observer: Rc<dyn Observer>) {
        self.ready.observer.replace(Some(observer));
    }
}

/// Who learns of a socket's events as they come, whether or not a task waits for them.
pub(crate) trait Observer {
    /// There is something to read, or room to write; or the other side is gone.
    fn handle_ready(&self, is_closed: bool);
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.reactor.0.slots.borrow_mut()[self.slot] = None;
        self.reactor.0.free.borrow_mut().push(self.slot);
    }
}

/// What is known of one socket. Events are edges: a direction counts as ready until a call on it
/// would have blocked.
#[derive(Default)]
struct Ready {
    readable: Edge,
    writable: Edge,
    /// The peer's end was announced, or an error: behind the last bytes there is something to read that no other event
    /// will tell of.
    input_ends: Cell<bool>,
    /// Holds bytes that the kernel had no room for, which go out when it has, whether or not a
    /// task waits for that.
    blocked: Cell<Option<Weak<Outgoing>>>,
    observer: RefCell<Option<Rc<dyn Observer>>>,
    /// What others are shown of it.
    seen: RefCell<Option<Seen>>,
}

/// What can be seen of a socket.
enum Seen {
    Connection { number: u64, local: SocketAddr, peer: SocketAddr, since: Instant },
    Listener { local: SocketAddr, backlog_max: usize },
}

impl Ready {
    /// Who is woken for it.
    fn waker(&self) -> Option<WakerKey> {
        self.readable.waker().or_else(|| self.writable.waker())
    }
}

struct Edge {
    up: Cell<bool>,
    waiting: Cell<Option<Waker>>,
}

impl Default for Edge {
    fn default() -> Self {
        Self { up: Cell::new(true), waiting: Cell::new(None) }
    }
}

impl Edge {
    fn waker(&self) -> Option<WakerKey> {
        let waiting = self.waiting.take();
        let key = waiting.as_ref().map(WakerKey::of);
        self.waiting.set(waiting);
        key
    }

    fn raise(&self) {
        self.up.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// Whether it is worth trying; if not, the waker is called when it is.
    fn poll(&self, waker: &Waker) -> bool {
        if !self.up.get() {
            self.waiting.set(Some(waker.clone()));
        }
        self.up.get()
    }

    /// The next call would block, as the last one showed.
    fn exhaust(&self) {
        self.up.set(false);
    }

    /// A call would have blocked.
    fn lower(&self, waker: &Waker) {
        self.up.set(false);
        self.waiting.set(Some(waker.clone()));
    }
}
