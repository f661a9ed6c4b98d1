//! HTTP client: requests over any connector, and connections that serve more than one.

mod balanced;
mod driver;
mod pool;
mod response;

pub use ::http::client::Request;
pub use balanced::BalancedClient;
pub use response::Response;

use crate::places::{Location, NoPlace};
use ::http::Limits;
use ::http::client::Connection;
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::fmt;
use core::time::Duration;
use driver::Driver;
use flow::task::Spawner;
use flow::task::waiting;
use flow::time::Timers;
use flow::{ConnectError, Connector, FlowError, Target};
use pool::{Opened, Pool, PoolLimits};
use web::{ContentWriter, Method, Producing};

/// What a client is told beside its connector.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Bounds on servers. As [`Limits`] has them, but for bodies: default 16 MiB.
    pub limits: Limits,
    /// From the wish for a connection to the connection. Default 10 s.
    pub connect_timeout: Duration,
    /// Idle connections kept for later requests, over all targets. Default 16: a gateway talks to a few
    /// servers. Beyond it the oldest is closed.
    pub idle_connections_max: usize,
    /// Idle connections kept to one target. Default 16.
    pub idle_per_target_max: usize,
    /// A connection that is older serves no further request. Default 1 h: it is opened again by then where the name leads
    /// now.
    pub connection_age_max: Duration,
    /// The same for connections to a service by its name, which may have moved while the place that was is still there: a
    /// name server's leases are about as long. Default 10 s. A [`BalancedClient`] hears of a move, and needs no bound.
    pub service_connection_age_max: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        let connect_timeout = Duration::from_secs(10);
        let limits = Limits { body_bytes_max: 16 << 20, ..Limits::default() };
        Self {
            limits,
            connect_timeout,
            idle_connections_max: 16,
            idle_per_target_max: 16,
            connection_age_max: Duration::from_secs(3600),
            service_connection_age_max: Duration::from_secs(10),
        }
    }
}

/// Why there is no response, or not all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The request cannot be put on the wire, or the response broke the protocol or its limits.
    Protocol(http::Error),
    /// No connection came to be.
    Connect(ConnectError),
    /// Of a service with several places, none can be asked.
    NoPlace(NoPlace),
    /// The connection broke.
    Flow(FlowError),
    /// The body is longer than the caller said it would take.
    TooLong,
    /// The producer of a streamed body abandoned it, or wrote more or less than the request declares.
    StreamLength,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => error.fmt(f),
            Self::Connect(error) => error.fmt(f),
            Self::NoPlace(error) => error.fmt(f),
            Self::Flow(error) => error.fmt(f),
            Self::TooLong => f.write_str("the body is longer than allowed"),
            Self::StreamLength => {
                f.write_str("the streamed body was abandoned or differs from its declared length")
            }
        }
    }
}

impl core::error::Error for ClientError {}

impl From<http::Error> for ClientError {
    fn from(error: http::Error) -> Self {
        Self::Protocol(error)
    }
}

/// An HTTP client. Clones share its idle connections.
///
/// Everything runs in the task that asks: a response whose body nobody reads holds its server back, and
/// dropping it ends the connection.
pub struct Client<C: Connector> {
    connector: C,
    timers: Timers,
    config: Rc<ClientConfig>,
    limits: Rc<Limits>,
    pool: Pool<C::Flow>,
}

impl<C: Connector> Clone for Client<C> {
    fn clone(&self) -> Self {
        Self {
            connector: self.connector.clone(),
            timers: self.timers.clone(),
            config: self.config.clone(),
            limits: self.limits.clone(),
            pool: self.pool.clone(),
        }
    }
}

impl<C: Connector> Client<C> {
    /// A client without connections. `spawner` runs the task that closes those idle for too long.
    pub fn new(config: ClientConfig, connector: C, spawner: &Spawner, timers: &Timers) -> Self {
        let pool_limits = PoolLimits {
            idle_max: config.idle_connections_max,
            idle_per_target_max: config.idle_per_target_max,
            age_max: config.connection_age_max,
            service_age_max: config.service_connection_age_max.min(config.connection_age_max),
        };
        let pool = Pool::new(pool_limits, spawner, timers);
        let limits = Rc::new(config.limits.clone());
        Self { connector, timers: timers.clone(), config: Rc::new(config), limits, pool }
    }

    /// GET of a path at a target, whose name is the `Host` too: see [`Target::authority`].
    ///
    /// # Errors
    /// See [`ClientError`].
    #[track_caller]
    pub fn get(
        &self,
        target: &Target,
        path: &str,
    ) -> impl Future<Output = Result<Response<C::Flow>, ClientError>> {
        waiting(async move {
            let request = Request::new(Method::Get, &target.authority(), path)?;
            self.send(target, request).await
        })
    }

    /// Sends a request to `target` and waits for the response's head.
    ///
    /// It goes over an idle connection if there is one. If that breaks before the response begins, a request that
    /// can be repeated is, once, over a new one (RFC 9112 section 9.3.1).
    ///
    /// # Errors
    /// See [`ClientError`].
    #[track_caller]
    pub fn send(
        &self,
        target: &Target,
        request: Request,
    ) -> impl Future<Output = Result<Response<C::Flow>, ClientError>> {
        waiting(async move { self.send_to(&target.into(), request).await })
    }

    /// As [`send`](Self::send), with a body that `produce` writes as the server takes it. The request's own body is
    /// to be [`Content::Stream`](web::Content::Stream).
    ///
    /// # Errors
    /// See [`ClientError`].
    #[track_caller]
    pub fn send_stream<P: Future<Output = ()> + 'static>(
        &self,
        target: &Target,
        request: Request,
        produce: impl FnOnce(ContentWriter) -> P + 'static,
    ) -> impl Future<Output = Result<Response<C::Flow>, ClientError>> {
        waiting(async move {
            let produce = |writer| -> Producing { Box::pin(produce(writer)) };
            let sent = self.send_once(&target.into(), request, Some(Box::new(produce))).await;
            sent.map_err(Unanswered::into)
        })
    }

    async fn send_to(
        &self,
        to: &Location,
        request: Request,
    ) -> Result<Response<C::Flow>, ClientError> {
        let again = request.is_repeatable().then(|| request.clone());
        match (self.send_once(to, request, None).await, again) {
            (Err(Unanswered { is_stale: true, .. }), Some(again)) => {
                self.send_anew(to, again).await
            }
            (outcome, _) => outcome.map_err(Unanswered::into),
        }
    }

    /// Sends a request over an idle connection if there is one, else over a new one.
    async fn send_once(
        &self,
        to: &Location,
        request: Request,
        produce: Option<Produce>,
    ) -> Result<Response<C::Flow>, Unanswered> {
        let (opened, was_idle) = match self.pool.take(to) {
            Some(idle) => (idle, true),
            None => (self.connect(&to.target).await?, false),
        };
        let sent = self.send_over(to, opened, request, produce).await;
        sent.map_err(|error| Unanswered { error, is_stale: was_idle && is_broken(error) })
    }

    /// Sends a request over a new connection.
    async fn send_anew(
        &self,
        to: &Location,
        request: Request,
    ) -> Result<Response<C::Flow>, ClientError> {
        let opened = self.connect(&to.target).await?;
        self.send_over(to, opened, request, None).await
    }

    async fn connect(&self, target: &Target) -> Result<Opened<C::Flow>, ClientError> {
        let deadline = self.timers.now() + self.config.connect_timeout;
        let connected = self.timers.before(deadline, self.connector.connect(target)).await;
        let connected = connected.unwrap_or(Err(ConnectError::TimedOut));
        let flow = connected.map_err(ClientError::Connect)?;
        let core = Connection::new(self.limits.clone());
        Ok(Opened { flow, core, since: self.timers.now() })
    }

    async fn send_over(
        &self,
        to: &Location,
        opened: Opened<C::Flow>,
        request: Request,
        produce: Option<Produce>,
    ) -> Result<Response<C::Flow>, ClientError> {
        let Opened { flow, core, since } = opened;
        let mut driver = Driver::new(flow, core, &self.timers, produce);
        driver.begin(request)?;
        let head = driver.head().await?;
        Ok(Response::new(head, driver, since, to.clone(), self.pool.clone()))
    }
}

/// Why there is no response.
struct Unanswered {
    error: ClientError,
    /// The connection had been idle, and was perhaps closed before the request came: that says nothing of the server.
    is_stale: bool,
}

impl From<ClientError> for Unanswered {
    fn from(error: ClientError) -> Self {
        Self { error, is_stale: false }
    }
}

impl From<Unanswered> for ClientError {
    fn from(unanswered: Unanswered) -> Self {
        unanswered.error
    }
}

/// Whether the connection ended before the response began.
fn is_broken(error: ClientError) -> bool {
    matches!(error, ClientError::Protocol(http::Error::NoResponse) | ClientError::Flow(_))
}

/// Makes the future that writes a request's body.
type Produce = Box<dyn FnOnce(ContentWriter) -> Producing>;
