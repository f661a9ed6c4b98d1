//! Platform abstraction: what the appliance asks of what is below it, the same few functions in a
//! Linux process and on a bare machine.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::task::Poll;
use core::time::Duration;
use flow::registry::{HostId, Way};
use flow::sync::WakerKey;
use flow::{Connector, Listener, Target, UnixPath};
#[cfg(feature = "shared-memory")]
use flow::{Dispatcher, Listeners};
use net::{ConnectionRow, ListenerRow, Stack};

/// A host for the appliance. Clones are the same host.
pub trait Platform: Clone + 'static {
    /// Where connections come from.
    type Listener: Listener + 'static;
    /// How connections are made.
    type Connector: Connector;

    /// Listens on a TCP port, on all addresses, with room for `backlog` connections that nobody
    /// accepted yet.
    fn listen(&self, port: u16, backlog: usize) -> Result<Self::Listener, ListenError>;

    /// Listens at a Unix-domain socket, of whose file who has these permissions (chmod(2)) may connect. The file is removed
    /// with the listener.
    ///
    /// # Errors
    /// This platform has no such sockets; or what is wrong with this one.
    fn listen_at_path(
        &self,
        path: &UnixPath,
        mode: u32,
        backlog: usize,
    ) -> Result<Self::Listener, ListenError> {
        let _ = (path, mode, backlog);
        let reason = "only a process has Unix-domain sockets, and only on the kernel's network";
        Err(ListenError::Other(reason.into()))
    }

    /// Opens connections.
    fn connector(&self) -> Self::Connector;

    /// The sockets by which this machine and its host reach each other, where there are such.
    #[cfg(feature = "vsock")]
    fn vsock(&self) -> Option<vsock::VsockNetwork> {
        None
    }

    /// Listens at a path for other processes of this host, or at a name for other guests, by memory that is shared with them.
    ///
    /// # Errors
    /// The platform shares no memory, or not there.
    #[cfg(feature = "shared-memory")]
    fn listen_at(&self, path: &str, backlog: usize) -> Result<Listeners, ListenError> {
        let _ = (path, backlog);
        Err(ListenError::Other(
            "this platform shares no memory: a process does over the kernel's sockets, and an image".into(),
        ))
    }

    /// Adds what opens flows through shared memory, where there is such.
    #[cfg(feature = "shared-memory")]
    fn with_shared_memory(&self, connectors: Dispatcher) -> Dispatcher {
        connectors
    }

    /// The flows through shared memory, where there is such.
    #[cfg(feature = "shared-memory")]
    fn shared_memory(&self) -> Option<shared_ring::Rings> {
        None
    }

    /// The way by which others reach what listens at a path of `[shared_memory]`. A path that is relative means something else
    /// for each process, and is none.
    fn shared_memory_way(&self, path: &str) -> Option<Way> {
        let host = self.host_ids().paths.filter(|_| path.starts_with('/'))?;
        Some(Way::on(host, Target::SharedMemory(path.into())))
    }

    /// What others who reach this machine by a path, or by an abstract name, have in common with it.
    fn host_ids(&self) -> HostIds {
        HostIds::default()
    }

    /// An address at which others reach this machine, if there is one.
    fn own_address(&self) -> Option<IpAddr> {
        let mut found = None;
        self.visit_stacks(&mut |_, stack| {
            let mut own = stack.addresses().map(|(own, _)| own);
            found = found.or_else(|| own.find(|own| !is_link_local(*own)));
        });
        found
    }

    /// Servers of DNS, as far as the platform knows any.
    fn name_servers(&self) -> Vec<IpAddr> {
        let mut found = Vec::new();
        self.visit_stacks(&mut |_, stack| found.extend(stack.name_servers()));
        found
    }

    /// Whether it sends datagrams of UDP.
    fn has_datagrams(&self) -> bool {
        let mut has_stack = false;
        self.visit_stacks(&mut |_, _| has_stack = true);
        has_stack
    }

    /// Sends a datagram of UDP, from a port of the platform's choice.
    ///
    /// # Errors
    /// It is not sent, for this reason. Whether it arrives, nobody knows.
    fn send_datagram(&self, to: SocketAddr, content: &[u8]) -> Result<(), String> {
        let mut outcome = Err("this platform sends none".into());
        self.visit_stacks(&mut |_, stack| {
            if outcome.is_err() {
                outcome = stack.send_datagram(to, content).map_err(|error| error.to_string());
            }
        });
        outcome
    }

    /// Time since 1970-01-01 00:00 UTC.
    fn wall_clock(&self) -> Duration;

    /// Fills `bytes` from a cryptographic source.
    fn fill_random(&self, bytes: &mut [u8]);

    /// Bytes of memory that the appliance has for everything.
    fn memory_bytes(&self) -> usize;

    /// Memory as it is in use; `None` where the platform does not know.
    fn memory_use(&self) -> Option<MemoryUse> {
        None
    }

    /// Listens as [`listen`](Self::listen) does, for operators: where the platform has a place that this machine alone
    /// reaches, there, unless somebody chose another.
    fn listen_for_operators(
        &self,
        port: u16,
        backlog: usize,
    ) -> Result<Self::Listener, ListenError> {
        self.listen(port, backlog)
    }

    /// Whether this machine alone reaches what listens for operators.
    fn are_operators_local(&self) -> bool {
        false
    }

    /// Whether sessions may be recorded for replays: where whoever looks for faults in them is.
    fn records_sessions(&self) -> bool {
        false
    }

    /// A clock for measuring, if reading it costs little.
    fn clock(&self) -> Option<fn() -> Duration> {
        None
    }

    /// Begins to sample what runs, so many times a second; none where that cannot be, or somebody does so already.
    fn profile(&self, hertz: u32) -> Option<Box<dyn Profiling>> {
        let _ = hertz;
        None
    }

    /// Shows this platform's own network stacks, with the places of their cards; none where the network is another
    /// system's. To be asked by tasks.
    fn visit_stacks(&self, visit: &mut dyn FnMut(usize, &Stack)) {
        let _ = visit;
    }

    /// Shows all connections.
    fn visit_connections(&self, visit: &mut dyn FnMut(ConnectionRow)) {
        self.visit_stacks(&mut |card, stack| stack.visit_connections(card, visit));
    }

    /// Shows who is woken for each connection, as far as somebody is, and its other end.
    fn visit_peers(&self, visit: &mut dyn FnMut(WakerKey, SocketAddr)) {
        self.visit_connections(&mut |row| {
            if let Some(waker) = row.waker {
                visit(waker, row.remote);
            }
        });
    }

    /// Shows all ports that are listened on.
    fn visit_listeners(&self, visit: &mut dyn FnMut(ListenerRow)) {
        self.visit_stacks(&mut |card, stack| stack.visit_listeners(card, visit));
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// The numbers of a host, as ways of services need them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostIds {
    /// Whoever has it sees the same file at the same path; none where there are no files to meet at.
    pub paths: Option<HostId>,
    /// Whoever has it sees the same socket by the same abstract name (unix(7)).
    pub abstract_names: Option<HostId>,
}

impl HostIds {
    /// Those that there are.
    pub fn all(self) -> Vec<HostId> {
        [self.paths, self.abstract_names].into_iter().flatten().collect()
    }
}

/// Samples of what runs, taken until this is dropped.
pub trait Profiling {
    /// Takes in what was sampled since the last time; to be called ten times a second.
    fn collect(&mut self);

    /// Ends the samples, and gives the stacks that they show, one after another; pending while names are looked up, after
    /// which nobody wakes the caller.
    fn poll_stack(&mut self) -> Poll<Option<SampledStack>>;
}

/// A stack that was sampled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampledStack {
    /// Its functions, the outermost first, with semicolons between.
    pub frames: String,
    /// How often it was.
    pub samples: u64,
}

/// How much memory there is, and what of it is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// What is in use.
    pub used_bytes: usize,
    /// What there is.
    pub total_bytes: usize,
}

/// The half of a platform that [`runtime::run`](crate::runtime::run) drives.
pub trait Driver {
    /// Time since the start; never goes back.
    fn now(&self) -> Duration;

    /// Takes in what arrived, a bounded batch of it, and wakes the tasks that it concerns. Says
    /// whether more is waiting.
    fn ingress(&mut self, now: Duration) -> bool;

    /// Sends what tasks wrote since the last call.
    fn egress(&mut self, now: Duration);

    /// Connections whose last bytes are still on their way, whoever wrote them: a machine that is
    /// switched off loses them.
    fn undelivered(&self) -> usize;

    /// Somebody asked the appliance to stop.
    fn stop_requested(&mut self) -> bool;

    /// Somebody wants to see all tasks in the log: asked once a turn, after tasks have run.
    fn task_log_requested(&mut self) -> bool {
        false
    }

    /// Idles until something arrives or `deadline` (in the time of [`now`](Self::now)) comes; may
    /// return early.
    fn wait(&mut self, deadline: Option<Duration>);
}

/// A port cannot be listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenError {
    /// Somebody listens there already.
    InUse,
    /// This process may not listen there (ports under 1024 need a privilege).
    NotAllowed,
    /// Anything else that the platform says.
    Other(Cow<'static, str>),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("another program listens there"),
            Self::NotAllowed => f.write_str("this process may not listen there"),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

impl core::error::Error for ListenError {}
