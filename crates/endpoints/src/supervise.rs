//! Supervision: a task that serves others survives what one of them makes it do.

use core::fmt::Display;
use core::ops::ControlFlow;
use core::task::Poll;
use core::time::Duration;
use flow::task::{Spawner, wait_fn};
use flow::time::Timers;
use flow::{FlowError, Listener};
use log::{error, warn};

/// Runs `work` to its end, from its start again whenever it panics. What it had in hand then is lost;
/// what others wait for is not. `what` names it in the log.
pub(crate) async fn supervised(
    spawner: &Spawner,
    timers: &Timers,
    what: &str,
    work: impl AsyncFn(),
) {
    let mut pauses = Pauses::new(timers);
    while let Err(failure) = spawner.catching(work()).await {
        error!("{what}: {failure}; it goes on");
        pauses.pause().await;
    }
}

/// Accepts flows until the listener fails, and gives each to `take`, which says when that is enough. A panic in either,
/// as for want of memory, costs that one flow.
pub(crate) async fn accept_each<L: Listener>(
    spawner: &Spawner,
    timers: &Timers,
    what: &str,
    listener: &mut L,
    mut take: impl FnMut(L::Flow) -> ControlFlow<()>,
) -> FlowError {
    let mut pauses = Pauses::new(timers);
    loop {
        let accepted = wait_fn(|cx| match spawner.catch(|| listener.poll_accept(cx)) {
            Ok(accepted) => accepted.map(Ok),
            Err(failure) => Poll::Ready(Err(failure)),
        });
        let taken = match accepted.await {
            Ok(Ok(flow)) => spawner.catch(|| take(flow)),
            Ok(Err(error)) => return error,
            Err(failure) => Err(failure),
        };
        match taken {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return FlowError::Closed,
            Err(failure) => {
                say_lost(what, &failure);
                pauses.pause().await;
            }
        }
    }
}

fn say_lost(what: &str, failure: &dyn Display) {
    warn!("{what}: a connection is lost: {failure}; others are accepted");
}

/// The pauses after panics: each twice the one before, so that what panics each time does not keep others from the
/// machine, and short again after a while without one.
struct Pauses<'a> {
    timers: &'a Timers,
    next: Duration,
    /// When the last one ended.
    ended: Duration,
}

impl<'a> Pauses<'a> {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);
    const QUIET: Duration = Duration::from_secs(10);

    fn new(timers: &'a Timers) -> Self {
        Self { timers, next: Self::FIRST, ended: Duration::ZERO }
    }

    async fn pause(&mut self) {
        if self.timers.now().saturating_sub(self.ended) > Self::QUIET {
            self.next = Self::FIRST;
        }
        self.timers.sleep(self.next).await;
        self.next = (self.next * 2).min(Self::LONGEST);
        self.ended = self.timers.now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::Address;
    use flow::memory::{self, MemoryFlow};
    use flow::task::Executor;
    use std::cell::{Cell, RefCell};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;
    use std::string::String;
    use std::vec::Vec;

    /// Panics at every second call, and has a flow at the others.
    struct Shaky(Rc<Cell<u32>>);

    impl Listener for Shaky {
        type Flow = MemoryFlow;

        fn poll_accept(
            &mut self,
            _: &mut core::task::Context<'_>,
        ) -> Poll<Result<MemoryFlow, FlowError>> {
            self.0.set(self.0.get() + 1);
            assert!(self.0.get().is_multiple_of(2), "shaky");
            Poll::Ready(if self.0.get() > 12 {
                Err(FlowError::Closed)
            } else {
                Ok(memory::pair(1).0)
            })
        }

        fn local(&self) -> Address {
            Address::Memory(0)
        }
    }

    /// Runs until nothing is left to do, and says when each call of `taken` was, in milliseconds.
    fn run(work: impl AsyncFn(&Spawner, &Timers, &dyn Fn()) + 'static) -> Vec<u128> {
        let executor = Executor::new(|body| {
            catch_unwind(AssertUnwindSafe(body)).map_err(|_| String::from("panic"))
        });
        let (timers, times) = (Timers::new(), Rc::<RefCell<Vec<u128>>>::default());
        let (spawner, clock, seen) = (executor.spawner(), timers.clone(), times.clone());
        executor.spawner().spawn("work", async move {
            let note = || seen.borrow_mut().push(clock.now().as_millis());
            work(&spawner, &clock, &note).await;
        });
        loop {
            executor.run_until_stalled();
            if executor.spawner().tasks().is_empty() {
                return times.take();
            }
            timers.advance(timers.next_deadline().expect("all wait for what does not come"));
        }
    }

    #[test]
    fn a_panic_while_accepting_costs_a_flow_and_a_growing_pause() {
        let calls = Rc::new(Cell::new(0));
        let times = run(async move |spawner, timers, note| {
            let mut listener = Shaky(calls.clone());
            let taken = Cell::new(0);
            let ended = accept_each(spawner, timers, "test", &mut listener, |_| {
                note();
                taken.set(taken.get() + 1);
                assert_ne!(taken.get(), 2, "this one panics");
                ControlFlow::Continue(())
            });
            assert_eq!(ended.await, FlowError::Closed);
        });
        // Calls 1, 3, 5 panic, and so does what is done with the second flow.
        assert_eq!(times, [10, 30, 150, 310, 630, 1270]);
    }

    #[test]
    fn it_may_be_enough() {
        let times = run(async move |spawner, timers, note| {
            let mut listener = Shaky(Rc::new(Cell::new(1)));
            let take = |_| {
                note();
                ControlFlow::Break(())
            };
            let ended = accept_each(spawner, timers, "test", &mut listener, take);
            assert_eq!(ended.await, FlowError::Closed);
        });
        assert_eq!(times, [0]);
    }

    #[test]
    fn what_panics_begins_anew_and_after_a_quiet_time_at_once() {
        let count = Cell::new(0);
        let times = run(async move |spawner, timers, note| {
            let work = async || {
                note();
                count.set(count.get() + 1);
                if count.get() == 4 {
                    timers.sleep(Duration::from_secs(100)).await;
                }
                assert!(count.get() > 5, "not yet");
            };
            supervised(spawner, timers, "test", work).await;
        });
        assert_eq!(times, [0, 10, 30, 70, 100_080, 100_100]);
    }
}
