//! The stack: one network interface and the phases in which the platform's loop drives it.

mod datagrams;
pub(crate) mod diagnostics;
pub(crate) mod inspection;
pub(crate) mod interface;
pub(crate) mod panics;

use crate::config::Config;
use crate::counters::Counter;
use crate::datagrams::DatagramError;
use crate::device::tap::Tapped;
use crate::device::{NetDevice, Transmit};
use crate::link::neighbours::Hop;
use crate::stack::diagnostics::{ConnectionInfo, Gauges, StackView, TcpState};
use crate::stack::interface::InterfaceState;
use crate::tcp::connection::{Connection, Transmitted};
use crate::tcp::connector::TcpConnector;
use crate::tcp::listener::{AcceptQueue, TcpListener};
use crate::time::{self, Instant};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use flow::FlowError;
use flow::task::CatchPanic;
use flow::time::earlier;

/// A TCP/IP interface over one device.
///
/// The platform's loop calls its phases, and nothing happens in between: [`ingress`](Self::ingress)
/// takes frames and wakes tasks, the tasks run, [`egress`](Self::egress) sends what they wrote with
/// the acknowledgements of what they read. When there is nothing left to do, the loop waits for the
/// device's interrupt or for [`next_deadline`](Self::next_deadline).
///
/// An image with several devices has a stack for each; [`listen_on`](Self::listen_on) lets one
/// listener accept from all of them. They share nothing else.
pub struct Stack {
    device: Box<dyn NetDevice>,
    state: InterfaceState,
    link_up: bool,
    /// Our neighbours may have a wrong idea of where our addresses are.
    unannounced: bool,
    /// Nothing is solicited before.
    quiet_until: Duration,
}

impl Stack {
    /// A stack over `device`, an Ethernet device with the unicast address `hardware_address`.
    /// `seed` is 64 bytes of entropy: sequence numbers, ports and hash tables hang off it.
    pub fn new(
        mut device: impl NetDevice + 'static,
        config: &Config,
        hardware_address: [u8; 6],
        seed: [u8; 64],
        now: Duration,
    ) -> Self {
        let state = InterfaceState::new(&mut device, config, hardware_address, seed, now);
        let link_up = device.link_up();
        let quiet_until = if config.dhcp { now } else { now + quiet(seed) };
        Self { device: Box::new(device), state, link_up, unannounced: true, quiet_until }
    }

    /// Listens on `port` of every address; `None` when somebody already does.
    pub fn listen(&mut self, port: u16) -> Option<TcpListener> {
        let accept_queue = AcceptQueue::new(port, self.state.context.limits.listen_backlog);
        self.state.listen_table.open(&accept_queue).then_some(TcpListener { accept_queue })
    }

    /// Lets a listener of another stack accept here, too; false when somebody already listens on
    /// its port.
    pub fn listen_on(&mut self, listener: &TcpListener) -> bool {
        self.state.listen_table.open(&listener.accept_queue)
    }

    /// Lets the listeners of another stack accept here, too: for a device that comes late.
    pub fn listen_as(&mut self, other: &Self) {
        self.state.listen_table.open_all(&other.state.listen_table);
    }

    /// From now on a panic inside a phase, which nobody expects, is caught by `catch`, and ends the
    /// connection that it was about and no more.
    pub fn catch_panics(&mut self, catch: CatchPanic) {
        self.state.catch = catch;
    }

    /// Opens connections through this stack.
    pub fn connector(&self) -> TcpConnector {
        TcpConnector { requests: self.state.active_opens.requests.clone() }
    }

    /// Sends a datagram of UDP, with what is sent next. It is lost if nobody answers at its next hop's address.
    ///
    /// # Errors
    /// No way leads there, the link does not carry it whole, or 128 KiB wait already.
    pub fn send_datagram(&self, to: SocketAddr, content: &[u8]) -> Result<(), DatagramError> {
        self.state.queue_datagram(to, content)
    }

    /// Takes frames from the device, up to
    /// [`Limits::ingress_batch`](crate::Limits::ingress_batch), and wakes the tasks that they
    /// concern; true when more may be waiting.
    pub fn ingress(&mut self, now: Duration) -> bool {
        if self.link_up != self.device.link_up() {
            self.link_up = !self.link_up;
            self.link_changed(now);
        }
        let Self { device, state, .. } = self;
        state.context.now.set(now.into());
        let tap = state.context.tap();
        let (mut left, mut more) = (state.context.limits.ingress_batch, true);
        while more && left > 0 {
            state.catch_panic(&mut |state| {
                while more && left > 0 {
                    left -= 1;
                    more = device.receive(&mut |frame, output| match &tap {
                        None => state.frame(now, frame, output),
                        Some(tap) => state.frame_with(&**tap, now, frame, output),
                    });
                }
            });
        }
        more
    }

    /// Sends what is due: of connections only those that were touched since the last call or whose
    /// time has come. True when the device was full: call again when it has room.
    pub fn egress(&mut self, now: Duration) -> bool {
        let instant = Instant::from(now);
        self.state.context.now.set(instant);
        if self.state.is_stirred
            || instant >= self.state.calm_until
            || self.state.active_opens.requests.is_pending()
            || self.state.datagrams.are_due(now)
        {
            self.keep_house_guarded(now);
        }
        let Self { device, state, .. } = self;
        state.table.borrow_mut().expire(instant);
        let blocked = match state.context.tap() {
            None => state.transmit(now, device.transmitter()),
            Some(tap) => state.transmit(now, &mut Tapped::new(device.transmitter(), &*tap)),
        };
        if state.lacks_memory() {
            state.feed_starved(instant);
        }
        device.flush();
        blocked
    }

    /// A panic beside connections is nobody's: what was being done waits a second, and connections go on.
    #[inline(never)]
    fn keep_house_guarded(&mut self, now: Duration) {
        self.state.begin(None);
        let catch = self.state.catch;
        if let Err(message) = catch(&mut || self.keep_house(now)) {
            self.state.drop_culprit(&message);
            self.state.is_stirred = false;
            self.state.calm_until = Instant::from(now + AFTER_PANIC);
        }
    }

    /// Does what is due beside connections: names, addresses, handshakes.
    fn keep_house(&mut self, now: Duration) {
        let Self { device, state, link_up, unannounced, quiet_until } = self;
        let tap = state.context.tap();
        let mut tapped;
        let output: &mut dyn Transmit = match &tap {
            None => device.transmitter(),
            Some(tap) => {
                tapped = Tapped::new(device.transmitter(), &**tap);
                &mut tapped
            }
        };
        if state.look_up(now) {
            *quiet_until = now;
        }
        if *quiet_until <= now && state.link.poll(now, &state.neighbours, output) {
            state.drop_unaddressed();
            *unannounced = true;
        }
        if *link_up && *unannounced {
            *unannounced = false;
            state.announce(now, output);
        }
        state.duplicates.poll(now, &state.neighbours, output);
        state.answer_again(now, output);
        state.open_actively(now, output);
        state.send_datagrams(now, output);
        state.is_stirred = false;
        self.state.calm_until = self.next_housekeeping();
    }

    /// When something is due beside connections.
    fn next_housekeeping(&self) -> Instant {
        let state = &self.state;
        let deadlines = [
            state.link.next_deadline().map(|due| due.max(self.quiet_until)),
            state.duplicates.next_deadline(),
            state.syn_queue.next_deadline(),
            state.active_opens.next_deadline(),
            state.datagrams.next_deadline(),
        ];
        deadlines.into_iter().fold(None, earlier).map_or(Instant::NEVER, Instant::from)
    }

    /// Turns the device's interrupts on, so that the loop may wait for one; false when there is
    /// something to do already.
    pub fn prepare_to_wait(&mut self) -> bool {
        self.device.prepare_to_wait()
    }

    /// When the phases must run again without any event; `None`: never.
    pub fn next_deadline(&self) -> Option<Duration> {
        let state = &self.state;
        let house = if state.is_stirred { self.next_housekeeping() } else { state.calm_until };
        // A full device interrupts when it has room; this is for one that does not.
        let retry = if state.context.dirty.borrow().is_empty() {
            Instant::NEVER
        } else {
            state.context.now.get() + RETRY
        };
        let connections = state.table.borrow().next_deadline().unwrap_or(Instant::NEVER);
        let relief =
            if state.lacks_memory() { state.relieved_at + RELIEF_PAUSE } else { Instant::NEVER };
        let next = house.min(connections).min(retry).min(relief);
        (next < Instant::NEVER).then(|| next.into())
    }

    /// Connections whose peer has not acknowledged everything yet, the end included. Looks at all of
    /// them: for a machine that is about to stop.
    pub fn undelivered(&self) -> usize {
        let ends = [TcpState::FinWait1, TcpState::Closing, TcpState::LastAck];
        let connections = self.view().connections();
        let open = |info: &&ConnectionInfo| info.send_queue > 0 || ends.contains(&info.state);
        connections.iter().filter(open).count()
    }

    /// The interface's addresses with their prefix lengths in bits, leased and advertised ones
    /// included.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, u8)> + '_ {
        self.state.link.addresses()
    }

    /// Servers of DNS that are asked, leased ones included.
    pub fn name_servers(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.state.link.name_servers()
    }

    /// The device's link went up or down, and its capabilities may have changed. Connections
    /// outlive that; a lease is asked for again when the link is up.
    fn link_changed(&mut self, now: Duration) {
        self.state.adopt_capabilities(&self.device.capabilities());
        self.state.is_stirred = true;
        if self.link_up {
            self.state.link.restart(now);
            self.state.duplicates.restart();
            self.unannounced = true;
        }
    }

    /// A view of the stack for tasks.
    pub fn view(&self) -> StackView {
        StackView::new(&self.state)
    }

    /// Every connection, in no order.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.view().connections()
    }

    /// How many there are of each thing that takes memory.
    pub fn gauges(&self) -> Gauges {
        self.state.gauges()
    }

    /// How many connections were looked at so far, once for each time.
    #[cfg(feature = "count-visits")]
    pub fn connections_visited(&self) -> u64 {
        self.state.table.borrow().visits()
    }

    /// How often it happened.
    pub fn count(&self, count: Counter) -> u64 {
        self.state.context.count(count)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        for connection in self.state.table.borrow().iter() {
            connection.cut(FlowError::Down);
        }
    }
}

impl core::fmt::Debug for Stack {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Stack({} connections)", self.state.table.borrow().len())
    }
}

/// How long nothing is done beside connections after that has panicked.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// How long to wait before a full device is asked again without an event.
const RETRY: time::Duration = time::Duration::from_millis(1);

/// How long a new stack asks nobody: up to a second, says RFC 4861 section 6.3.7, so that machines that
/// start together do not ask together. Who waits for this machine to start comes first, too; that is
/// also why its addresses are announced at once: a neighbour that asked for them in vain would ask
/// again after a second only.
fn quiet(seed: [u8; 64]) -> Duration {
    Duration::from_millis(100 + u64::from(seed[63]))
}

impl InterfaceState {
    /// Asks our neighbours whether our addresses are theirs, and tells them where they are.
    fn announce(&mut self, now: Duration, output: &mut dyn Transmit) {
        self.duplicates.probe(self.link.addresses().map(|(address, _)| address), now);
        self.duplicates.poll(now, &self.neighbours, output);
        for (address, _) in self.link.addresses() {
            self.neighbours.announce(address, output);
        }
    }

    /// Takes up the names that tasks want resolved; false when there are none.
    fn look_up(&mut self, now: Duration) -> bool {
        if self.active_opens.requests.lookups.borrow().is_empty() {
            return false;
        }
        let wanted = core::mem::take(&mut *self.active_opens.requests.lookups.borrow_mut());
        for lookup in wanted {
            self.link.look_up(lookup, now);
        }
        true
    }

    /// Lets every marked connection send; true when the device was full.
    fn transmit(&mut self, now: Duration, output: &mut dyn Transmit) -> bool {
        if self.context.dirty.borrow().is_empty() {
            return false;
        }
        // What is marked meanwhile has its turn in the next round.
        let mut round = core::mem::take(&mut self.next_round);
        core::mem::swap(&mut round, &mut *self.context.dirty.borrow_mut());
        let (mut sent, mut blocked) = (0, false);
        while sent < round.len() && !blocked {
            self.catch_panic(&mut |state| {
                while let Some(slot) = round.get(sent)
                    && !blocked
                {
                    sent += 1;
                    blocked = state.transmit_one(*slot, now, output);
                }
            });
        }
        if blocked {
            self.context.counters.add(Counter::DeviceFull);
            self.context.dirty.borrow_mut().extend_from_slice(&round[sent..]);
        }
        round.clear();
        self.next_round = round;
        blocked
    }

    /// Lets a connection send, if it still exists; true when the device was full.
    fn transmit_one(&mut self, slot: u32, now: Duration, output: &mut dyn Transmit) -> bool {
        let connection = self.table.borrow().get(slot).cloned();
        let Some(connection) = connection else { return false };
        self.begin(Some(slot));
        let outcome = connection.transmit(output);
        self.settle(&connection, &outcome, now, output);
        outcome == Transmitted::Blocked
    }

    /// The peer is silent: perhaps its hardware address has changed.
    #[cold]
    fn resolve_neighbour_again(
        &mut self,
        connection: &Connection,
        now: Duration,
        output: &mut dyn Transmit,
    ) {
        let (local, remote) = (connection.tuple.local().ip(), connection.tuple.remote().ip());
        let Some(route) = self.link.route(remote) else { return };
        if let Hop::Known(hop) = self.neighbours.find(route.next_hop, local, now, output) {
            connection.tcb().template.ethernet[..6].copy_from_slice(&hop);
        }
    }

    #[inline]
    fn settle(
        &mut self,
        connection: &Rc<Connection>,
        outcome: &Transmitted,
        now: Duration,
        output: &mut dyn Transmit,
    ) {
        match outcome {
            Transmitted::Open { is_earlier: true } => {
                self.table.borrow_mut().schedule(connection);
                // Its timer was set anew, perhaps since it expired.
                if connection.tcb().engine.timeouts() >= SILENT_TIMEOUTS {
                    self.resolve_neighbour_again(connection, now, output);
                }
            }
            Transmitted::Open { .. } | Transmitted::Blocked => {}
            Transmitted::TimeWait(state) => {
                if self.time_wait.insert(connection.tuple, state, now) {
                    self.context.counters.add(Counter::TimeWaitRecycled);
                }
                self.forget(connection);
            }
            Transmitted::Closed => self.forget(connection),
        }
    }

    /// Somebody waits for buffer memory: a writer, or a peer whose bytes were dropped for want of it.
    #[inline]
    fn lacks_memory(&self) -> bool {
        !self.context.starved.is_empty() || self.context.shared.borrow().memory.was_refused()
    }

    /// Writers go on if there is buffer memory again. If there is none, for them or for a peer's bytes, the connection
    /// ends that holds the most, sent or received, of those that do not move: their peers take nothing, and nobody reads
    /// what they sent.
    #[cold]
    fn feed_starved(&mut self, now: Instant) {
        if self.context.shared.borrow().memory.has_room_to_send() {
            self.context.shared.borrow_mut().memory.take_refusal();
            return self.context.starved.wake();
        }
        if now < self.relieved_at + RELIEF_PAUSE {
            return;
        }
        self.relieved_at = now;
        self.context.shared.borrow_mut().memory.take_refusal();
        let is_stalled = |connection: &&Rc<Connection>| {
            let engine = &connection.tcb().engine;
            let is_read = engine.read_at().is_some_and(|read_at| now.since(read_at) < STALLED);
            !is_read && now.since(engine.progress_at()) >= STALLED
        };
        let held = |connection: &&Rc<Connection>| connection.tcb().engine.held_bytes();
        let greediest = self.table.borrow().iter().filter(is_stalled).max_by_key(held).cloned();
        let Some(greediest) = greediest else { return };
        log::warn!(
            "net: {} is reset: it does not move, and no buffer memory is left for others",
            greediest.tuple.remote()
        );
        self.context.counters.add(Counter::Relieved);
        let mut tcb = greediest.tcb();
        tcb.end.get_or_insert(FlowError::TimedOut);
        tcb.abort(&self.context);
        greediest.mark(&mut tcb);
    }

    /// The table no longer knows the connection; a flow may still read what it holds.
    pub(crate) fn forget(&mut self, connection: &Connection) {
        let slot = connection.tcb().slot;
        self.table.borrow_mut().remove(slot);
        self.context.counters.add(Counter::Closed);
    }
}

/// While memory is short, so often one connection ends whose peer has taken nothing for so long.
const RELIEF_PAUSE: time::Duration = time::Duration::from_millis(100);
const STALLED: time::Duration = time::Duration::from_secs(1);
/// Time-outs in a row after which the next hop is asked for again.
const SILENT_TIMEOUTS: u8 = 2;
