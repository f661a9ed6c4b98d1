//! Platform over the kernel: its sockets, the system's clocks, signals as the power button.

use crate::shared_memory::SharedMemory;
use crate::sockets::{KernelConnector, KernelListener, Reactor, every_address};
use crate::{datagrams, host_ids, log_writer, memory, profiler, stall};
use aqueduct::log_ring::Outlet;
use aqueduct::platform::{Driver, HostIds, ListenError, Platform, Profiling};
use aqueduct::settings::network::SocketSettings;
use aqueduct::settings::shared_memory::SharedMemorySettings;
use flow::sync::WakerKey;
use flow::time::Timers;
use flow::{Dispatcher, Listeners, Scheme, UnixPath};
use mio::{Interest, Registry, Token};
use net::{ConnectionRow, ListenerRow};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::rand::GetRandomFlags;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The log goes to standard error.
pub(crate) const LOG: Outlet = Outlet { write: log_writer::write, now };

/// Time since the process was started; never goes back.
pub(crate) fn now() -> Duration {
    START.elapsed()
}

/// Time since 1970-01-01 00:00 UTC.
pub(crate) fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Fills `bytes` from the kernel's generator.
pub(crate) fn fill_random(bytes: &mut [u8]) {
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("the kernel gives no random bytes: {error}"),
        }
    }
}

/// Runs the closure; a panic in it becomes its message.
pub(crate) fn catch_panic(body: &mut dyn FnMut()) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
    })
}

/// What signals ask for: the power button, and the tasks in the log.
pub(crate) struct Signals {
    stop: Arc<AtomicBool>,
    task_log: Arc<AtomicBool>,
    /// What arrives here ends a wait.
    woken: mio::net::UnixStream,
}

impl Signals {
    /// Lets SIGINT, SIGTERM and SIGHUP (the terminal is gone) ask for a stop, SIGUSR1 for the tasks in the log, and all end a
    /// wait of the registry's poll. The second signal that asks for a stop ends the process at once. Under `nohup`, SIGHUP goes
    /// on being ignored.
    pub(crate) fn await_on(registry: &Registry) -> io::Result<Self> {
        let (stop, task_log) = (Arc::new(AtomicBool::new(false)), stall::task_log());
        let (wakes, woken) = UnixStream::pair()?;
        let hangup = (!is_ignored(SIGHUP)).then_some(SIGHUP);
        for signal in [SIGINT, SIGTERM].into_iter().chain(hangup) {
            signal_hook::flag::register_conditional_shutdown(
                signal,
                crate::ENDED_AT_ONCE.into(),
                stop.clone(),
            )?;
            signal_hook::flag::register(signal, stop.clone())?;
            // One that comes just before a wait must still end it.
            signal_hook::low_level::pipe::register(signal, wakes.try_clone()?)?;
        }
        signal_hook::flag::register(SIGUSR1, task_log.clone())?;
        signal_hook::low_level::pipe::register(SIGUSR1, wakes)?;
        woken.set_nonblocking(true)?;
        let mut woken = mio::net::UnixStream::from_std(woken);
        registry.register(&mut woken, Token(usize::MAX), Interest::READABLE)?;
        Ok(Self { stop, task_log, woken })
    }

    pub(crate) fn ask_for_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether they asked for the tasks in the log, or a stall did, since this was last asked.
    pub(crate) fn ask_for_task_log(&mut self) -> bool {
        if !self.task_log.load(Ordering::Relaxed) {
            return false;
        }
        // Or there would be no room for the next ones, one day.
        let _ = self.woken.read(&mut [0; 64]);
        self.task_log.swap(false, Ordering::Relaxed)
    }
}

/// Whether whoever started the process has it ignore a signal (proc(5), `SigIgn`).
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Lets the process have as many descriptors, of which each connection is one, as its hard limit allows
/// (setrlimit(2)): the soft one is 1,024 on most systems.
fn raise_descriptor_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => log::debug!("descriptors: {maximum:?} instead of {current:?}"),
        Err(error) => log::warn!("descriptors: no more than {current:?}: {error}"),
    }
}

/// The half that the loop drives.
pub(crate) struct Process {
    reactor: Reactor,
    shared_memory: SharedMemory,
    address: IpAddr,
    operators: IpAddr,
    hosts: HostIds,
    signals: Signals,
    /// The wait before this turn has asked which sockets are ready.
    asked: bool,
}

impl Process {
    /// A process whose services listen on `address` (none: all that the machine has), and for operators on `operators`
    /// (none: loopback), and that SIGINT, SIGTERM and SIGHUP stop.
    pub(crate) fn new(
        address: Option<IpAddr>,
        operators: Option<IpAddr>,
        settings: SocketSettings,
        shared_memory: SharedMemorySettings,
        timers: &Timers,
    ) -> io::Result<Self> {
        raise_descriptor_limit();
        let address = address.unwrap_or_else(every_address);
        match address {
            IpAddr::V6(ip) if ip.is_unspecified() => {
                log::info!("listening on all addresses, [::], IPv6 and IPv4");
            }
            IpAddr::V4(ip) if ip.is_unspecified() => {
                log::info!("listening on all IPv4 addresses, {ip}");
            }
            _ => log::info!("listening on {address}"),
        }
        let reactor = Reactor::new(settings)?;
        let shared_memory = SharedMemory::new(&reactor, shared_memory, timers);
        let signals = Signals::await_on(reactor.registry())?;
        let operators = operators.unwrap_or(Ipv4Addr::LOCALHOST.into());
        let hosts = host_ids::read();
        Ok(Self { reactor, shared_memory, address, operators, hosts, signals, asked: false })
    }

    /// What its waits can be ended by.
    pub(crate) fn registry(&self) -> &Registry {
        self.reactor.registry()
    }

    /// The half that the application sees.
    pub(crate) fn platform(&self) -> KernelPlatform {
        let (address, operators) = (self.address, self.operators);
        let (reactor, shared_memory) = (self.reactor.clone(), self.shared_memory.clone());
        KernelPlatform { reactor, shared_memory, address, operators, hosts: self.hosts }
    }
}

impl Driver for Process {
    fn now(&self) -> Duration {
        now()
    }

    /// The kernel takes in what arrives; all that is left is to ask which sockets it concerns.
    fn ingress(&mut self, now: Duration) -> bool {
        stall::turn_begins(now);
        if std::mem::take(&mut self.asked) {
            return false;
        }
        if let Err(error) = self.reactor.wait(Some(Duration::ZERO)) {
            log::error!("waiting for sockets: {error}");
        }
        false
    }

    fn egress(&mut self, _now: Duration) {
        self.reactor.flush();
        self.shared_memory.notify();
    }

    /// What the kernel has taken over, it delivers when the process is gone.
    fn undelivered(&self) -> usize {
        self.reactor.unsent()
    }

    fn stop_requested(&mut self) -> bool {
        self.signals.ask_for_stop()
    }

    fn task_log_requested(&mut self) -> bool {
        self.signals.ask_for_task_log()
    }

    fn wait(&mut self, deadline: Option<Duration>) {
        stall::loop_waits();
        let timeout = deadline.map(|deadline| deadline.saturating_sub(self.now()));
        match self.shared_memory.wait(timeout, |timeout| self.reactor.wait(timeout)) {
            Ok(()) => self.asked = true,
            Err(error) => log::error!("waiting for sockets: {error}"),
        }
    }
}

/// The kernel's sockets and clocks.
#[derive(Clone)]
pub(crate) struct KernelPlatform {
    reactor: Reactor,
    shared_memory: SharedMemory,
    address: IpAddr,
    operators: IpAddr,
    hosts: HostIds,
}

impl Platform for KernelPlatform {
    type Listener = KernelListener;
    type Connector = KernelConnector;

    fn listen(&self, port: u16, backlog: usize) -> Result<KernelListener, ListenError> {
        let address = SocketAddr::new(self.address, port);
        KernelListener::bind(&self.reactor, address, backlog)
    }

    fn listen_for_operators(
        &self,
        port: u16,
        backlog: usize,
    ) -> Result<KernelListener, ListenError> {
        let address = SocketAddr::new(self.operators, port);
        KernelListener::bind(&self.reactor, address, backlog)
    }

    fn listen_at_path(
        &self,
        path: &UnixPath,
        mode: u32,
        backlog: usize,
    ) -> Result<KernelListener, ListenError> {
        KernelListener::bind_path(&self.reactor, path, mode, backlog)
    }

    fn are_operators_local(&self) -> bool {
        self.operators.is_loopback()
    }

    fn connector(&self) -> KernelConnector {
        KernelConnector::new(&self.reactor)
    }

    fn listen_at(&self, path: &str, backlog: usize) -> Result<Listeners, ListenError> {
        self.shared_memory.listen(Path::new(path), backlog).map(Listeners::new)
    }

    fn with_shared_memory(&self, connectors: Dispatcher) -> Dispatcher {
        connectors.with(Scheme::SharedMemory, self.shared_memory.connector())
    }

    fn shared_memory(&self) -> Option<shared_ring::Rings> {
        Some(self.shared_memory.rings().clone())
    }

    fn host_ids(&self) -> HostIds {
        self.hosts
    }

    /// The one that it listens on, if that is one.
    fn own_address(&self) -> Option<IpAddr> {
        Some(self.address).filter(|address| !address.is_unspecified())
    }

    /// Those that the C library asks, too (resolv.conf(5)).
    fn name_servers(&self) -> Vec<IpAddr> {
        let file = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        name_servers_of(&file)
    }

    fn has_datagrams(&self) -> bool {
        true
    }

    fn send_datagram(&self, to: SocketAddr, content: &[u8]) -> Result<(), String> {
        datagrams::send(to, content).map_err(|error| error.to_string())
    }

    fn wall_clock(&self) -> Duration {
        wall_clock()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        fill_random(bytes);
    }

    fn memory_bytes(&self) -> usize {
        memory::available_bytes()
    }

    fn visit_connections(&self, visit: &mut dyn FnMut(ConnectionRow)) {
        self.reactor.visit_connections(visit);
    }

    fn visit_peers(&self, visit: &mut dyn FnMut(WakerKey, SocketAddr)) {
        self.reactor.visit_peers(visit);
    }

    fn visit_listeners(&self, visit: &mut dyn FnMut(ListenerRow)) {
        self.reactor.visit_listeners(visit);
    }

    fn profile(&self, hertz: u32) -> Option<Box<dyn Profiling>> {
        profiler::start(hertz)
    }

    fn records_sessions(&self) -> bool {
        true
    }

    fn clock(&self) -> Option<fn() -> Duration> {
        Some(now)
    }
}

/// The servers that a file of the C library's resolver names. One of a link of this machine only is none: its zone is not read.
fn name_servers_of(file: &str) -> Vec<IpAddr> {
    let words = file.lines().map(str::split_ascii_whitespace);
    let servers = words.filter_map(|mut words| {
        let is_server = words.next() == Some("nameserver");
        words.next().filter(|_| is_server)?.parse().ok()
    });
    servers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_as_the_c_library_has_them() {
        let file = "# nameserver 1.1.1.1\nsearch a.example\nnameserver 127.0.0.53\n nameserver\tfd00::53 \nnameserver fe80::1%eth0\nnameserver\n";
        let expected: [IpAddr; 2] = ["127.0.0.53".parse().unwrap(), "fd00::53".parse().unwrap()];
        assert_eq!(name_servers_of(file), expected);
    }
}
