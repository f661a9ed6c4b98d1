//! What a program needs that is no appliance, such as a client, a tool or a test: tasks, a clock, and flows over the kernel's sockets.

use crate::process::catch_panic;
use crate::sockets::{KernelConnector, KernelListener, Reactor};
use aqueduct::platform::ListenError;
use aqueduct::settings::network::SocketSettings;
use config::Tcp;
use flow::task::{Executor, Spawner};
use flow::time::{Timers, earlier};
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// One thread's loop over the kernel's sockets. What speaks over flows runs in it as it does in an appliance: a caller of Cap'n Proto is
///
/// ```no_run
/// use aqueduct::appliance_capnp::directory;
/// use aqueduct_linux::Runtime;
/// use endpoints::rpc::{Limits, Rpc};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let runtime = Runtime::new()?;
///     let (rpc, connector) =
///         (Rpc::new(Limits::default(), &runtime.spawner, &runtime.timers), runtime.connector());
///     let services = runtime.run(async move {
///         let directory: directory::Client = rpc.connect(&connector, &"127.0.0.1:7000".parse()?).await?;
///         let answer = directory.list_request().send().promise.await?;
///         Ok::<_, Box<dyn std::error::Error>>(answer.get()?.get_services()?.len())
///     })?;
///     println!("{services} services");
///     Ok(())
/// }
/// ```
pub struct Runtime {
    /// Makes tasks.
    pub spawner: Spawner,
    /// The clock: it began with this runtime.
    pub timers: Timers,
    executor: Executor,
    reactor: Reactor,
    start: Instant,
}

/// Task polls of one turn.
const POLLS_MAX: usize = 1024;
/// For how long what was written last is waited for, at the end.
const LINGER: Duration = Duration::from_secs(10);

impl Runtime {
    /// One without tasks and sockets, with the defaults of `[tcp]`.
    ///
    /// # Errors
    /// The kernel gives no epoll(7).
    pub fn new() -> io::Result<Self> {
        let executor = Executor::new(catch_panic);
        let reactor = Reactor::new(SocketSettings::new(&Tcp::default()))?;
        let (spawner, timers) = (executor.spawner(), Timers::new());
        Ok(Self { spawner, timers, executor, reactor, start: Instant::now() })
    }

    /// Listens at an address of this machine.
    ///
    /// # Errors
    /// It is not free, or not allowed.
    pub fn listen(&self, address: SocketAddr) -> Result<KernelListener, ListenError> {
        let settings = SocketSettings::new(&Tcp::default());
        KernelListener::bind(&self.reactor, address, settings.listen_backlog)
    }

    /// Connects to addresses, names and paths.
    pub fn connector(&self) -> KernelConnector {
        KernelConnector::new(&self.reactor)
    }

    /// Runs `main` and all tasks until `main` ends and the kernel has what was written, for which it waits ten seconds at most. It
    /// may be called again.
    ///
    /// # Panics
    /// `main` panics, or the kernel's wait fails.
    pub fn run<T: 'static>(&self, main: impl Future<Output = T> + 'static) -> T {
        let main = self.spawner.spawn_joinable("main", main);
        let outcome = Rc::new(Cell::new(None));
        let result = outcome.clone();
        self.spawner.spawn("main's end", async move { result.set(Some(main.await)) });
        let mut ended = None;
        let mut give_up_at = None;
        loop {
            let now = self.start.elapsed();
            self.timers.advance(now);
            let busy = self.executor.run(POLLS_MAX) || !self.executor.is_idle();
            self.reactor.flush();
            if ended.is_none()
                && let Some(result) = outcome.take()
            {
                ended = Some(result);
                give_up_at = Some(now + LINGER);
            }
            let is_over = self.reactor.unsent() == 0 || give_up_at.is_some_and(|at| now >= at);
            if is_over && let Some(result) = ended.take() {
                return result.unwrap_or_else(|failure| panic!("{failure}"));
            }
            let deadline = earlier(self.timers.next_deadline(), give_up_at);
            let wait = if busy {
                Some(Duration::ZERO)
            } else {
                deadline.map(|at| at.saturating_sub(self.start.elapsed()))
            };
            self.reactor.wait(wait).expect("epoll");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::{Connector, Flow, FlowExt, Listener, Target};
    use std::net::Ipv4Addr;

    #[test]
    fn flows_lead_over_the_kernels_sockets() {
        let runtime = Runtime::new().unwrap();
        let mut listener = runtime.listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let flow::Address::Ip(address) = listener.local() else { panic!("not of IP") };
        runtime.spawner.spawn("echo", async move {
            let mut flow = listener.accept().await.unwrap();
            flow.write_all(b"water").await.unwrap();
            flow.finish();
        });
        let connector = runtime.connector();
        let read = runtime.run(async move {
            let mut flow = connector.connect(&Target::Address(address)).await.unwrap();
            flow.read_with(|bytes| (bytes.len(), bytes.to_vec())).await.unwrap()
        });
        assert_eq!(read, b"water");
        // And once more.
        let timers = runtime.timers.clone();
        runtime.run(async move { timers.sleep(Duration::from_millis(1)).await });
    }

    #[test]
    #[should_panic(expected = "asked to")]
    fn a_panic_of_main_is_told() {
        Runtime::new().unwrap().run(async { panic!("asked to") });
    }
}
