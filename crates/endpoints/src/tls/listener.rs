//! TLS listener: flows whose handshakes are done. Each handshake is a task of its own, so that nobody waits for another's.

use super::handshake::{Failure, Side, run, set_clock};
use super::{TlsConfig, TlsFlow, TlsTraffic};
use ::flow::sync::Queue;
use ::flow::task::{Spawner, TaskId, yield_once};
use ::flow::time::Timers;
use ::flow::{Address, Flow, FlowError, Listener};
use ::tls::ServerContext;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::task::{Context, Poll};

/// Makes TLS flows of the flows of another listener.
///
/// A handshake that takes too long is given up; while there are as many as may be, the oldest gives way to the next, so
/// that strangers who say nothing keep nobody out.
pub struct TlsListener<L: Listener> {
    listener: L,
    shared: Rc<Shared<L::Flow>>,
}

struct Shared<F: Flow> {
    name: &'static str,
    context: ServerContext,
    config: TlsConfig,
    spawner: Spawner,
    timers: Timers,
    /// Flows that nobody accepted yet.
    ready: Queue<TlsFlow<F>>,
    /// Handshakes at work, the oldest first.
    handshakes: RefCell<VecDeque<(u64, Option<TaskId>)>>,
    begun: Cell<u64>,
    /// Steps of handshakes in this turn of the executor.
    steps: Rc<Cell<u32>>,
    traffic: Rc<TlsTraffic>,
}

/// Steps of handshakes in one turn of the executor: each may be a signature, which takes as long as dozens of requests.
const STEPS_MAX: u32 = 4;

impl<L: Listener> TlsListener<L> {
    /// Over the flows of `listener`. `name` is the service's, for the log.
    pub fn new(
        name: &'static str,
        listener: L,
        context: ServerContext,
        config: TlsConfig,
        spawner: &Spawner,
        timers: &Timers,
    ) -> Self {
        let shared = Rc::new(Shared {
            name,
            context,
            config,
            spawner: spawner.clone(),
            timers: timers.clone(),
            ready: Queue::default(),
            handshakes: RefCell::default(),
            begun: Cell::new(0),
            steps: Rc::default(),
            traffic: Rc::default(),
        });
        Self { listener, shared }
    }

    /// What it counts.
    pub fn traffic(&self) -> Rc<TlsTraffic> {
        self.shared.traffic.clone()
    }
}

impl<L: Listener> Listener for TlsListener<L> {
    type Flow = TlsFlow<L::Flow>;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::Flow, FlowError>> {
        loop {
            if let Poll::Ready(flow) = self.shared.ready.poll_pop(cx) {
                return Poll::Ready(Ok(flow));
            }
            match self.listener.poll_accept(cx) {
                Poll::Ready(Ok(flow)) => Shared::begin(&self.shared, flow),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn local(&self) -> Address {
        self.listener.local()
    }
}

impl<F: Flow + 'static> Shared<F> {
    /// Begins a handshake.
    fn begin(shared: &Rc<Self>, flow: F) {
        shared.make_room();
        let number = shared.begun.get();
        shared.begun.set(number + 1);
        let at_work = AtWork { shared: shared.clone(), number };
        shared.handshakes.borrow_mut().push_back((number, None));
        shared.count();
        let task = shared.spawner.spawn("TLS handshake", async move {
            let AtWork { shared, .. } = &at_work;
            let peer = flow.peer();
            let shaken = shared.shake(flow).await;
            match &shaken {
                Ok(flow) => shared.traffic.completed(flow.info()),
                Err(failure) => shared.traffic.failed(failure),
            }
            match shaken {
                Ok(flow) => shared.ready.push(flow),
                // Who opens a connection and says nothing, as scanners and balancers do.
                Err(Failure::Flow(error)) => {
                    log::debug!("{}: no handshake with {peer}: {error}", shared.name);
                }
                Err(failure) => log::info!("{}: no handshake with {peer}: {failure}", shared.name),
            }
        });
        shared.name_task(number, task);
    }

    async fn shake(&self, flow: F) -> Result<TlsFlow<F>, Failure> {
        set_clock(self.context.clock(), &self.config, &self.timers);
        let turn = async || {
            while !self.takes_step() {
                yield_once().await;
            }
        };
        let handshake = self.context.handshake();
        run(Side::Server, flow, handshake, &self.config, &self.timers, turn).await
    }

    /// Whether one more step may be taken in this turn.
    fn takes_step(&self) -> bool {
        let steps = self.steps.get();
        if steps == STEPS_MAX {
            return false;
        }
        if steps == 0 {
            // First of all: a turn that is counted and never ends would be the last one.
            let steps = self.steps.clone();
            self.spawner.spawn("TLS handshakes' turn", async move {
                yield_once().await;
                steps.set(0);
            });
        }
        self.steps.set(steps + 1);
        true
    }

    /// Gives the oldest up, if there are as many as may be.
    fn make_room(&self) {
        while self.handshakes.borrow().len() >= self.config.handshakes_max.max(1) {
            let oldest = self.handshakes.borrow_mut().pop_front();
            if let Some((_, Some(task))) = oldest {
                log::debug!("{}: too many handshakes; the oldest is given up", self.name);
                self.traffic.gave_way();
                self.spawner.cancel(task);
            }
        }
    }

    fn name_task(&self, number: u64, task: TaskId) {
        let mut handshakes = self.handshakes.borrow_mut();
        if let Some((_, own)) = handshakes.iter_mut().rev().find(|(own, _)| *own == number) {
            *own = Some(task);
        }
    }
}

impl<F: Flow> Shared<F> {
    fn count(&self) {
        self.traffic.set_at_work(self.handshakes.borrow().len());
    }
}

/// A handshake is counted until this is dropped.
struct AtWork<F: Flow> {
    shared: Rc<Shared<F>>,
    number: u64,
}

impl<F: Flow> Drop for AtWork<F> {
    fn drop(&mut self) {
        let mut handshakes = self.shared.handshakes.borrow_mut();
        if let Ok(place) = handshakes.binary_search_by_key(&self.number, |(number, _)| *number) {
            handshakes.remove(place);
        }
        drop(handshakes);
        self.shared.count();
    }
}
