//! Network: all sockets of one machine, as tasks and as the driver of its device use them.

use crate::connection::{Connection, Received};
use crate::counters::{Counter, Counters, Counts};
use crate::flow::VsockFlow;
use crate::inspection::ConnectionRow;
use crate::listener::{ListenTable, VsockListener};
use crate::packet::{HEADER_BYTES, Header, Operation, Packet, STREAM};
use crate::share::Share;
use crate::socket::{Key, Socket};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::time::Duration;
use flow::sync::WakerSlot;
use flow::task::wait_fn;
use flow::time::earlier;
use flow::{ConnectError, Connector, FlowError, Target, VsockAddress};

/// All sockets of one machine. Clones are the same ones. It is a connector, too, for targets of the scheme
/// [`Vsock`](flow::Scheme::Vsock).
#[derive(Clone)]
pub struct VsockNetwork(Rc<Network>);

/// What sockets may hold, and how long peers may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, those included that are closed and not yet forgotten.
    pub connections_max: usize,
    /// Bytes that a connection may hold for its peer, and of its peer's; the memory behind is at most four times as much.
    pub buffer_bytes: u32,
    /// How long a peer may take to accept a connection. Linux has 2 seconds.
    pub connect_timeout: Duration,
    /// How long it may take, when a connection was closed, to take each part of what is left, and to confirm the end; and to
    /// answer when it is asked whether it is there. Linux has 8 seconds.
    pub close_timeout: Duration,
    /// How long it may say nothing before it is asked.
    pub keep_alive: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 128,
            buffer_bytes: 64 << 10,
            connect_timeout: Duration::from_secs(2),
            close_timeout: Duration::from_secs(8),
            keep_alive: Duration::from_secs(120),
        }
    }
}

/// Runs a closure, and turns a panic in it into its message.
type CatchPanic = fn(&mut dyn FnMut()) -> Result<(), String>;

pub(crate) struct Network {
    pub(crate) cid: Cell<u32>,
    limits: Limits,
    /// In the order of their keys. Its memory is there from the start, as that of the next two: a driver does not fail for
    /// want of it.
    table: RefCell<Vec<Rc<Socket>>>,
    /// Those that may have something to send.
    pub(crate) ready: RefCell<VecDeque<Rc<Socket>>>,
    /// Resets that are to be sent before all else.
    resets: RefCell<VecDeque<Header>>,
    listeners: RefCell<ListenTable>,
    /// The connections that we opened.
    opened: Share,
    /// Sockets that exist, with those that only a flow still holds.
    sockets: Cell<usize>,
    next_number: Cell<u64>,
    next_port: Cell<u32>,
    /// As of the driver's last call.
    pub(crate) now: Cell<Duration>,
    /// No connection's deadline is before this.
    deadline: Cell<Option<Duration>>,
    /// No device carries anything any more.
    is_down: Cell<bool>,
    catch: Cell<CatchPanic>,
    pub(crate) counters: Counters,
}

/// Resets that wait for the device, beyond which it is not asked for more packets: else a peer could have us keep as many
/// answers as it likes (5.10.6.1).
const RESETS_MAX: usize = 64;
/// The first of our own ports for connections that we open; those below are for whoever listens.
const FIRST_PORT: u32 = 49_152;
/// Buffers that a connection comes to at most: what it may hold of its peer's, in memory that grows by doubling, and for it.
pub const HELD_MAX: usize = 4;
/// Which is no port (5.10.4).
const ANY_PORT: u32 = u32::MAX;

impl VsockNetwork {
    /// The sockets of the machine of this number.
    pub fn new(cid: u32, limits: Limits) -> Self {
        let connections_max = limits.connections_max;
        Self(Rc::new(Network {
            cid: Cell::new(cid),
            limits,
            table: RefCell::new(Vec::with_capacity(connections_max)),
            ready: RefCell::new(VecDeque::with_capacity(connections_max)),
            resets: RefCell::new(VecDeque::with_capacity(RESETS_MAX + connections_max)),
            listeners: RefCell::default(),
            opened: Share::default(),
            sockets: Cell::new(0),
            next_number: Cell::new(1),
            next_port: Cell::new(FIRST_PORT),
            now: Cell::new(Duration::ZERO),
            deadline: Cell::new(None),
            is_down: Cell::new(false),
            catch: Cell::new(|body| {
                body();
                Ok(())
            }),
            counters: Counters::default(),
        }))
    }

    /// Has a panic end the connection that it was about, and not the driver.
    pub fn catch_panics(&self, catch: CatchPanic) {
        self.0.catch.set(catch);
    }

    /// Listens on a port, with room for so many connections that nobody accepted yet; `None` when somebody listens there.
    pub fn listen(&self, port: u32, backlog: usize) -> Option<VsockListener> {
        let accept_queue = self.0.listeners.borrow_mut().open(port, backlog.max(1))?;
        Some(VsockListener { network: self.0.clone(), accept_queue })
    }

    /// The number of this machine.
    pub fn cid(&self) -> u32 {
        self.0.cid.get()
    }

    /// What happened since the start.
    pub fn counts(&self) -> Counts {
        self.0.counters.counts()
    }

    /// How many there may be. Of them, an eighth is kept for each port that is listened on and has fewer, and for
    /// connections that we open.
    pub fn connections_max(&self) -> usize {
        self.0.limits.connections_max
    }

    /// Sockets that exist.
    pub fn connections(&self) -> usize {
        self.0.sockets.get()
    }

    /// Bytes that wait in all connections, to be read or to leave; those that are shared with whoever wrote them included.
    /// To be asked by tasks.
    pub fn buffered_bytes(&self) -> usize {
        let of = |socket: &Rc<Socket>| {
            socket.try_state().map_or(0, |state| state.connection.buffered_bytes())
        };
        self.0.table.borrow().iter().map(of).sum()
    }

    /// What the memory behind may come to: buffers of both directions, which grow by doubling.
    pub fn buffer_bytes_max(&self) -> usize {
        let Limits { connections_max, buffer_bytes, .. } = self.0.limits;
        connections_max * HELD_MAX * buffer_bytes as usize
    }

    /// Shows all connections. To be asked by tasks.
    pub fn visit_connections(&self, visit: &mut dyn FnMut(ConnectionRow)) {
        let table = self.0.table.borrow();
        table.iter().for_each(|socket| visit(ConnectionRow::of(socket)));
    }

    /// Connections with bytes, or an end, that no packet has taken yet, and closed ones that peers have not confirmed.
    pub fn undelivered(&self) -> usize {
        let table = self.0.table.borrow();
        let is_undelivered = |socket: &&Rc<Socket>| socket.state().connection.is_undelivered();
        table.iter().filter(is_undelivered).count()
    }

    /// Packets may come: there is room for their answers.
    pub fn wants_input(&self) -> bool {
        self.0.resets.borrow().len() < RESETS_MAX
    }

    /// Takes a packet, whatever is in it: a header, its payload, and perhaps more, which is ignored.
    pub fn handle_input(&self, now: Duration, packet: &[u8]) {
        self.0.now.set(now);
        self.0.counters.add(Counter::PacketsIn);
        let header = Header::parse(packet);
        let Some(header) = header.filter(|header| header.destination.cid == self.0.cid.get())
        else {
            return self.0.counters.add(Counter::Dropped);
        };
        let payload = packet.get(HEADER_BYTES..).unwrap_or_default();
        let caught = (self.0.catch.get())(&mut || self.0.dispatch(&header, payload));
        if let Err(message) = caught {
            let key = Key::of(&header);
            let is_known = self.0.find(key).is_some();
            self.0.abandon(key, &message);
            if !is_known {
                // Else whoever asked would wait for an answer.
                self.0.refuse(&header);
            }
        }
    }

    /// The next packet that is to leave, if there is one.
    pub fn poll_transmit(&self, now: Duration) -> Option<Packet> {
        self.0.now.set(now);
        let packet = self.0.next_reset().or_else(|| self.0.next_packet(now))?;
        self.0.counters.add(Counter::PacketsOut);
        self.0.counters.add_many(Counter::BytesOut, packet.payload.len() as u64);
        Some(packet)
    }

    /// Whether there may be a packet that is to leave.
    pub fn wants_transmit(&self) -> bool {
        !self.0.resets.borrow().is_empty() || !self.0.ready.borrow().is_empty()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.0.deadline.get()
    }

    /// Says what time it is: peers whose time is over are given up.
    pub fn handle_timeout(&self, now: Duration) {
        self.0.now.set(now);
        if self.0.deadline.get().is_some_and(|deadline| deadline <= now) {
            self.0.expire(now);
        }
    }

    /// The transport was reset, as when the machine was moved to another host: all connections end, listeners stay, and
    /// this is the machine's number from now on (5.10.6.7).
    pub fn reset(&self, cid: u32) {
        self.0.cid.set(cid);
        self.0.is_down.set(false);
        self.0.end_all(FlowError::Reset);
    }

    /// Nothing carries packets any more, until [`reset`](Self::reset) says otherwise: all connections end, and none is opened.
    pub fn shut_down(&self) {
        self.0.is_down.set(true);
        self.0.end_all(FlowError::Down);
    }
}

impl Connector for VsockNetwork {
    type Flow = VsockFlow;

    async fn connect(&self, target: &Target) -> Result<VsockFlow, ConnectError> {
        let Target::Vsock(peer) = target else { return Err(ConnectError::Unsupported) };
        // Dropped, it gives up.
        let flow = self.0.open_actively(*peer)?;
        wait_fn(|cx| flow.poll_opened(cx)).await?;
        self.0.counters.add(Counter::Connected);
        Ok(flow)
    }
}

impl Network {
    pub(crate) fn begin_socket(&self) -> u64 {
        self.sockets.set(self.sockets.get() + 1);
        self.next_number.replace(self.next_number.get() + 1)
    }

    pub(crate) fn end_socket(&self) {
        self.sockets.set(self.sockets.get() - 1);
    }

    /// A connection has a deadline, which may be the next.
    pub(crate) fn note_deadline(&self, deadline: Option<Duration>) {
        self.deadline.set(earlier(self.deadline.get(), deadline));
    }

    /// A connection is over: it is forgotten, and the peer told, if it is to be.
    pub(crate) fn leave(&self, socket: &Rc<Socket>, is_told: bool) {
        let mut table = self.table.borrow_mut();
        if let Ok(place) = table.binary_search_by_key(&socket.key, |other| other.key)
            && Rc::ptr_eq(&table[place], socket)
        {
            table.remove(place);
            if is_told {
                self.send_reset(Header::reset(socket.local(), socket.key.peer, STREAM));
            }
        }
    }

    fn dispatch(self: &Rc<Self>, header: &Header, payload: &[u8]) {
        if header.socket_type != STREAM {
            return self.refuse(header);
        }
        match self.find(Key::of(header)) {
            Some(socket) => self.deliver(&socket, header, payload),
            None if header.operation == Operation::Request => self.open_passively(header),
            None => self.refuse(header),
        }
    }

    fn find(&self, key: Key) -> Option<Rc<Socket>> {
        let table = self.table.borrow();
        let place = table.binary_search_by_key(&key, |socket| socket.key).ok()?;
        Some(table[place].clone())
    }

    fn insert(&self, socket: &Rc<Socket>) {
        let mut table = self.table.borrow_mut();
        if let Err(place) = table.binary_search_by_key(&socket.key, |other| other.key) {
            table.insert(place, socket.clone());
        }
    }

    /// 5.10.6.4.1: a request that is not taken, and any other packet of no connection, is answered by a reset of its type, but
    /// for resets.
    fn refuse(&self, packet: &Header) {
        if packet.operation != Operation::Reset {
            self.counters.add(Counter::ResetsOut);
            self.send_reset(Header::reset(packet.destination, packet.source, packet.socket_type));
        }
    }

    fn send_reset(&self, reset: Header) {
        self.resets.borrow_mut().push_back(reset);
    }

    fn open_passively(self: &Rc<Self>, request: &Header) {
        let listener = self.listeners.borrow().find(request.destination.port);
        let Some(listener) = listener else { return self.refuse(request) };
        if listener.is_full() || self.is_full(&listener.share) {
            self.counters.add(Counter::Full);
            return self.refuse(request);
        }
        let Ok(connection) = Connection::accepted(&self.limits, request, self.now.get()) else {
            self.counters.add(Counter::Violations);
            return self.refuse(request);
        };
        self.note_deadline(connection.deadline());
        let socket = Socket::new(self, Key::of(request), &listener.share, connection);
        self.forget_reset(socket.key);
        self.insert(&socket);
        socket.mark(&mut socket.state());
        self.counters.add(Counter::Accepted);
        listener.push(VsockFlow::new(socket));
    }

    /// A peer that asks anew knows that the connection before is over: a reset that is still to be sent would seem to be the
    /// answer.
    fn forget_reset(&self, key: Key) {
        let is_of_it =
            |reset: &Header| reset.destination == key.peer && reset.source.port == key.port;
        self.resets.borrow_mut().retain(|reset| !is_of_it(reset));
    }

    fn open_actively(self: &Rc<Self>, peer: VsockAddress) -> Result<VsockFlow, ConnectError> {
        if self.is_down.get() {
            return Err(ConnectError::Unreachable);
        }
        if self.is_full(&self.opened) {
            return Err(ConnectError::Exhausted);
        }
        let connection = Connection::opening(&self.limits, self.now.get());
        self.note_deadline(connection.deadline());
        let socket = Socket::new(self, self.free_key(peer), &self.opened, connection);
        self.insert(&socket);
        socket.mark(&mut socket.state());
        Ok(VsockFlow::new(socket))
    }

    fn is_full(&self, share: &Share) -> bool {
        let listeners = self.listeners.borrow();
        let all = listeners.shares().chain([self.opened.clone()]);
        share.is_full(self.sockets.get(), self.limits.connections_max, all)
    }

    /// The next of our ports that has no connection to the peer: there are more ports than connections.
    fn free_key(&self, peer: VsockAddress) -> Key {
        loop {
            let port = self.next_port.get();
            self.next_port.set(if port + 1 == ANY_PORT { FIRST_PORT } else { port + 1 });
            let key = Key { peer, port };
            if self.find(key).is_none() {
                return key;
            }
        }
    }

    fn deliver(&self, socket: &Rc<Socket>, header: &Header, payload: &[u8]) {
        let mut state = socket.state();
        let payload = payload.get(..header.payload_bytes as usize);
        let received =
            payload.map(|payload| state.connection.handle_input(self.now.get(), header, payload));
        let Some(Ok(received)) = received else {
            drop(state);
            return self.end_for_violation(socket);
        };
        if let Received::Bytes = received {
            state.received_bytes += u64::from(header.payload_bytes);
            self.counters.add_many(Counter::BytesIn, header.payload_bytes.into());
        }
        let (mut reader, mut writer) = match received {
            Received::Nothing => (WakerSlot::default(), WakerSlot::default()),
            Received::Bytes => (state.reader.take(), WakerSlot::default()),
            _ => (state.reader.take(), state.writer.take()),
        };
        self.note_deadline(state.connection.deadline());
        socket.mark(&mut state);
        drop(state);
        match received {
            Received::Over => self.leave(socket, false),
            Received::OverWithReset => self.leave(socket, true),
            Received::Nothing | Received::Bytes | Received::Change => {}
        }
        reader.wake();
        writer.wake();
    }

    fn end_for_violation(&self, socket: &Rc<Socket>) {
        self.counters.add(Counter::Violations);
        log::debug!("vsock: {} broke the rules and is reset", socket.key.peer);
        self.end(socket, FlowError::Reset, true);
    }

    fn end(&self, socket: &Rc<Socket>, why: FlowError, is_told: bool) {
        let mut state = socket.state();
        state.connection.end(Some(why));
        let (mut reader, mut writer) = (state.reader.take(), state.writer.take());
        drop(state);
        self.leave(socket, is_told);
        reader.wake();
        writer.wake();
    }

    /// A panic came of a packet: the connection that it is of may be in any state.
    #[cold]
    fn abandon(&self, key: Key, message: &str) {
        self.counters.add(Counter::Panics);
        log::error!("vsock: a panic: {message}; the connection with {} is dropped", key.peer);
        let Some(socket) = self.find(key) else { return };
        if let Err(message) = (self.catch.get())(&mut || self.end(&socket, FlowError::Down, true)) {
            log::error!("vsock: another panic: {message}");
        }
    }

    fn next_reset(&self) -> Option<Packet> {
        let header = self.resets.borrow_mut().pop_front()?;
        Some(Packet { header: header.to_bytes(), payload: Bytes::new() })
    }

    /// Of each connection in turn, so that a busy one does not keep another's packets waiting.
    fn next_packet(&self, now: Duration) -> Option<Packet> {
        loop {
            let socket = self.ready.borrow_mut().pop_front()?;
            let mut packet = None;
            let caught = (self.catch.get())(&mut || packet = socket.poll_transmit(now));
            if let Err(message) = caught {
                self.abandon(socket.key, &message);
            }
            if packet.is_some() {
                self.ready.borrow_mut().push_back(socket);
                return packet;
            }
        }
    }

    /// Ends what has waited too long, and finds the next deadline.
    fn expire(&self, now: Duration) {
        self.deadline.set(None);
        let mut place = 0;
        while let Some(socket) = self.at(place) {
            let mut state = socket.state();
            let is_due = state.connection.handle_timeout(now);
            self.note_deadline(state.connection.deadline());
            socket.mark(&mut state);
            drop(state);
            if is_due {
                log::info!("vsock: {} is given up: it does not answer", socket.key.peer);
                self.counters.add(Counter::TimedOut);
                self.end(&socket, FlowError::TimedOut, true);
            } else {
                place += 1;
            }
        }
    }

    fn end_all(&self, why: FlowError) {
        self.resets.borrow_mut().clear();
        self.deadline.set(None);
        while let Some(socket) = self.at(0) {
            self.end(&socket, why, false);
        }
        self.ready.borrow_mut().clear();
    }

    fn at(&self, place: usize) -> Option<Rc<Socket>> {
        self.table.borrow().get(place).cloned()
    }
}

impl fmt::Debug for VsockNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VsockNetwork({}, {} connections)", self.cid(), self.connections())
    }
}
