//! For tests of what waits: a world whose clock jumps to the next deadline, so that an hour takes no time.

use crate::memory::{MemoryListener, MemoryNetwork};
use crate::task::{Executor, Spawner};
use crate::time::Timers;
use alloc::rc::Rc;
use core::cell::Cell;
use core::time::Duration;

/// Tasks, a clock and a network in memory. A panic of a task ends the test.
///
/// ```
/// use core::time::Duration;
/// use flow::testing::World;
///
/// let world = World::new();
/// let timers = world.timers.clone();
/// let woken = world.run(async move {
///     timers.sleep(Duration::from_secs(600)).await;
///     timers.now()
/// });
/// assert_eq!(woken, Duration::from_secs(600));
/// ```
pub struct World {
    /// Makes tasks.
    pub spawner: Spawner,
    /// The clock, which begins at zero.
    pub timers: Timers,
    /// Connects whoever [listens](Self::listen): a connector, by targets such as `memory:echo`.
    pub network: MemoryNetwork,
    executor: Executor,
}

/// Bytes that a flow of the network holds in each direction.
const FLOW_BYTES: usize = 64 << 10;
/// Connections that may wait to be accepted.
const WAITING_MAX: usize = 128;
/// What waits for longer in the world's time waits for ever.
const TIME_MAX: Duration = Duration::from_secs(24 * 3600);

impl World {
    /// A world in which nothing has happened.
    pub fn new() -> Self {
        let executor = Executor::new(|body| {
            body();
            Ok(())
        });
        let network = MemoryNetwork::new(FLOW_BYTES, WAITING_MAX);
        Self { spawner: executor.spawner(), timers: Timers::new(), network, executor }
    }

    /// Listens by a name.
    ///
    /// # Panics
    ///
    /// It is no name, or somebody listens by it.
    pub fn listen(&self, name: &str) -> MemoryListener {
        let target =
            alloc::format!("memory:{name}").parse().expect("letters, digits, `-`, `_` and `.`");
        self.network.listen(&target).expect("nobody else listens by this name")
    }

    /// Runs `main` to its end, with all tasks that there are.
    ///
    /// # Panics
    ///
    /// All wait for something that does not come, or for more than a day of the world's time; and where a task panics.
    pub fn run<T: 'static>(&self, main: impl Future<Output = T> + 'static) -> T {
        let done = Rc::new(Cell::new(None));
        let result = done.clone();
        self.spawner.spawn("main", async move { result.set(Some(main.await)) });
        loop {
            self.executor.run_until_stalled();
            if let Some(result) = done.take() {
                return result;
            }
            let next = self.timers.next_deadline().expect("all wait for what does not come");
            assert!(next < TIME_MAX, "nothing happens for a day");
            self.timers.advance(next);
        }
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Connector, Flow, FlowExt, Listener};

    #[test]
    fn flows_lead_to_who_listens() {
        let world = World::new();
        let (mut listener, network) = (world.listen("echo"), world.network.clone());
        let timers = world.timers.clone();
        world.spawner.spawn("echo", async move {
            let mut flow = listener.accept().await.unwrap();
            timers.sleep(Duration::from_secs(60)).await;
            flow.write_all(b"late").await.unwrap();
            flow.finish();
        });
        let bytes = world.run(async move {
            let mut flow = network.connect(&"memory:echo".parse().unwrap()).await.unwrap();
            flow.read_with(|bytes| (bytes.len(), bytes.len())).await.unwrap()
        });
        assert_eq!((bytes, world.timers.now()), (4, Duration::from_secs(60)));
    }

    #[test]
    #[should_panic(expected = "all wait for what does not come")]
    fn what_waits_for_ever_is_told() {
        World::new().run(core::future::pending::<()>());
    }

    fn wait(seconds: u64) {
        let world = World::new();
        let timers = world.timers.clone();
        world.run(async move { timers.sleep(Duration::from_secs(seconds)).await });
        assert_eq!(world.timers.now(), Duration::from_secs(seconds));
    }

    #[test]
    #[should_panic(expected = "nothing happens for a day")]
    fn a_day_is_for_ever() {
        wait(86_399);
        wait(86_400);
    }

    #[test]
    #[should_panic(expected = "asked to")]
    fn a_panic_of_a_task_ends_the_test() {
        World::new().run(async { panic!("asked to") });
    }
}
