//! Pool: connections for whoever asks, made when they are needed and kept while they are good.

mod idle;
mod inspection;
mod status;
mod turnstile;

pub use inspection::{POOL_METRICS, POOLS, PoolRow, SERVERS, ServerRow};

use super::{Client, ClientError, Environment, Options, Server, connect_to_one};
use ::flow::task::waiting;
use ::postgres::{Error, Settings};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::time::Duration;
use idle::Idle;
use status::{Connected, ServerStatus};
use turnstile::{Permit, Turnstile};

/// How a pool behaves.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Connections at once. Default 8; at least 1.
    pub connections_max: usize,
    /// How long somebody waits for one. Default 5 s.
    pub wait_timeout: Duration,
    /// How many may wait; more are refused at once. Default 1,000.
    pub waiting_max: usize,
    /// How long a connection is kept that nobody uses. Default 10 min.
    pub idle_timeout: Duration,
    /// How long a connection is used. Default 1 h, so that all servers behind one name have their share again.
    pub lifetime_max: Duration,
    /// A connection that was idle for longer is asked whether it is good, before it is given out. Default 30 s.
    pub check_after: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            connections_max: 8,
            wait_timeout: Duration::from_secs(5),
            waiting_max: 1000,
            idle_timeout: Duration::from_secs(600),
            lifetime_max: Duration::from_secs(3600),
            check_after: Duration::from_secs(30),
        }
    }
}

/// How long a connection may take to say that it is good.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long one that is given back may take to answer what was given up.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Pauses between attempts to connect: the first, and the longest. Each is twice the one before.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Connections to one database. Clones share them.
#[derive(Clone)]
pub struct Pool(Rc<Shared>);

struct Shared {
    servers: Vec<Server>,
    /// Of each of the servers.
    statuses: Vec<Rc<ServerStatus>>,
    settings: Settings,
    options: Options,
    config: PoolConfig,
    environment: Environment,
    turnstile: Rc<Turnstile>,
    idle: Rc<RefCell<Idle>>,
    /// Attempts to connect that failed since the last that did not.
    failures: Cell<u32>,
    totals: Totals,
}

/// What is counted from the start on.
#[derive(Default)]
struct Totals {
    given: Cell<u64>,
    made: Cell<u64>,
    failed: Cell<u64>,
    timeouts: Cell<u64>,
}

fn count(total: &Cell<u64>) {
    total.set(total.get() + 1);
}

impl Pool {
    /// A pool without connections.
    pub fn new(
        servers: Vec<Server>,
        settings: Settings,
        options: Options,
        config: PoolConfig,
        environment: Environment,
    ) -> Self {
        let turnstile = Turnstile::new(config.connections_max.max(1), config.waiting_max);
        let (idle, failures) = (Rc::default(), Cell::new(0));
        let statuses = servers.iter().map(|_| Rc::default()).collect();
        Self(Rc::new(Shared {
            servers,
            statuses,
            settings,
            options,
            config,
            environment,
            turnstile,
            idle,
            failures,
            totals: Totals::default(),
        }))
    }

    /// Takes a connection, for this one alone until it is dropped. It waits while all are taken, in order, and while none
    /// can be made.
    ///
    /// # Errors
    /// None came free in time, or too many wait already; none could be made, with the last reason.
    #[track_caller]
    pub fn get(&self) -> impl Future<Output = Result<Pooled, ClientError>> {
        waiting(async move {
            let lease = self.0.lease().await;
            let totals = &self.0.totals;
            match &lease {
                Ok(_) => count(&totals.given),
                Err(ClientError::PoolTimeout) => count(&totals.timeouts),
                Err(_) => {}
            }
            Ok(Pooled { lease: Some(lease?), pool: self.clone() })
        })
    }

    /// Connections that wait for somebody.
    pub fn idle_count(&self) -> usize {
        self.0.idle.borrow().len()
    }
}

impl Shared {
    async fn lease(&self) -> Result<Lease, ClientError> {
        let Self { environment: Environment { timers, .. }, config, .. } = self;
        let deadline = timers.now() + config.wait_timeout;
        let permit = timers.before(deadline, self.turnstile.enter()).await;
        let permit = permit.ok().flatten().ok_or(ClientError::PoolTimeout)?;
        let connected = self.connected(deadline).await?;
        Ok(Lease { connected, permit })
    }

    /// An idle connection that is good, or a new one.
    async fn connected(&self, deadline: Duration) -> Result<Connected, ClientError> {
        loop {
            let taken = self.idle.borrow_mut().take();
            let Some(entry) = taken else { break };
            let now = self.environment.timers.now();
            let Connected { client, made, .. } = &entry.connected;
            let is_young = now < *made + self.config.lifetime_max;
            let is_fresh = now < entry.since + self.config.check_after;
            if is_young && !client.is_ended() && (is_fresh || self.is_good(client).await) {
                return Ok(entry.connected);
            }
        }
        self.connect(deadline).await
    }

    /// Whether it answers.
    async fn is_good(&self, client: &Client) -> bool {
        let timers = &self.environment.timers;
        let deadline = timers.now() + CHECK_TIMEOUT;
        matches!(timers.before(deadline, client.batch("")).await, Ok(Ok(())))
    }

    /// Connects, again and again with pauses that grow, where the reason may pass.
    async fn connect(&self, deadline: Duration) -> Result<Connected, ClientError> {
        let timers = &self.environment.timers;
        let note_failure = |place: usize, error: &ClientError| {
            if let Some(status) = self.statuses.get(place) {
                status.note_failure(error, timers.now());
            }
        };
        loop {
            let Self { servers, settings, options, environment, .. } = self;
            let connecting = connect_to_one(servers, settings, options, environment, note_failure);
            let error = match timers.before(deadline, connecting).await {
                Ok(Ok((place, client))) => {
                    self.failures.set(0);
                    count(&self.totals.made);
                    let status = self.statuses.get(place).cloned().unwrap_or_default();
                    count(&status.made);
                    return Ok(Connected { client, made: timers.now(), status });
                }
                Ok(Err(error)) => error,
                Err(_) => return Err(ClientError::PoolTimeout),
            };
            count(&self.totals.failed);
            let failures = self.failures.get().saturating_add(1);
            self.failures.set(failures);
            let pause = pause_after(failures);
            if !may_pass(&error) || timers.now() + pause >= deadline {
                return Err(error);
            }
            timers.sleep(pause).await;
        }
    }
}

/// The pause after so many failures in a row.
fn pause_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (PAUSE_MIN * 2_u32.pow(doublings)).min(PAUSE_MAX)
}

/// Whether another attempt may fare better: not where the server knows us, and refuses.
fn may_pass(error: &ClientError) -> bool {
    match error {
        ClientError::Protocol(Error::Server(error)) => {
            // Connections, resources, and operators' interventions, such as a start that goes on.
            matches!(&error.state.class(), b"08" | b"53" | b"57" | b"58")
        }
        ClientError::Protocol(error) => matches!(error, Error::Ended | Error::StartTimeout),
        ClientError::Connect(_) | ClientError::Flow(_) | ClientError::Closed => true,
        ClientError::NoServer => true,
        _ => false,
    }
}

/// A connection of a pool, which has it again when this is dropped. What was changed of the session (`SET`, temporary tables)
/// stays for the next one: `SET LOCAL` in a transaction does not.
pub struct Pooled {
    /// None once it is given back.
    lease: Option<Lease>,
    pool: Pool,
}

struct Lease {
    connected: Connected,
    permit: Permit,
}

impl Deref for Pooled {
    type Target = Client;

    fn deref(&self) -> &Client {
        match &self.lease {
            Some(lease) => &lease.connected.client,
            None => unreachable!("it is given back only when it is dropped"),
        }
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Client {
        match &mut self.lease {
            Some(lease) => &mut lease.connected.client,
            None => unreachable!("it is given back only when it is dropped"),
        }
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        let Connected { client, status, .. } = &lease.connected;
        if client.is_ended() {
            return status.note_end(client, self.pool.0.environment.timers.now());
        }
        if client.shared().state.borrow().is_clean() {
            return self.pool.give_back(lease);
        }
        // What was given up is still under way.
        let pool = self.pool.clone();
        let spawner = self.pool.0.environment.spawner.clone();
        spawner.spawn("postgres settles", async move { pool.settle(lease).await });
    }
}

impl Pool {
    /// Keeps a connection once everything is answered and no transaction is left open.
    async fn settle(&self, lease: Lease) {
        let timers = &self.0.environment.timers;
        let deadline = timers.now() + SETTLE_TIMEOUT;
        let shared = lease.connected.client.shared().clone();
        let settled = ::flow::task::wait_fn(|cx| shared.poll_settled(cx));
        let is_settled = timers.before(deadline, settled).await.is_ok();
        if is_settled && shared.state.borrow().is_clean() {
            self.give_back(lease);
        }
    }

    fn give_back(&self, lease: Lease) {
        let Lease { connected, permit } = lease;
        let Environment { spawner, timers, .. } = &self.0.environment;
        Idle::put(&self.0.idle, connected, self.0.config.idle_timeout, spawner, timers);
        // The next one finds it there.
        drop(permit);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({:?}, {} idle)", self.0.servers, self.idle_count())
    }
}

impl fmt::Debug for Pooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound() {
        let pauses: Vec<_> = (1..=8).map(|count| pause_after(count).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(pause_after(u32::MAX), Duration::from_secs(5));
    }
}
