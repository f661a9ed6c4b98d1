//! PostgreSQL client: queries that wait without holding anything else up.
//!
//! [`connect`] opens one connection, a [`Client`]; a [`Pool`] keeps several for whoever asks. A client's methods take `&self`:
//! futures that are polled together are in one pipeline. Values are typed both ways ([`ToSql`], [`FromSql`]).
//!
//! ```no_run
//! # use endpoints::postgres::{ClientError, Environment, Options, Server, Settings, connect};
//! # async fn example(connector: flow::memory::MemoryNetwork, environment: Environment) -> Result<(), ClientError> {
//! let server = Server::plain(connector, "db.example:5432".parse().unwrap());
//! let settings = Settings::new("shop").password("secret");
//! let mut client = connect(&[server], &settings, &Options::default(), &environment).await?;
//! let row = client.query_one("select count(*) from orders where price > $1", &[&100_i64]).await?;
//! let count: i64 = row.get(0)?;
//!
//! let transaction = client.transaction().await?;
//! transaction.execute("delete from orders where id = $1", &[&count]).await?;
//! transaction.commit().await
//! # }
//! ```
//!
//! * **A future that is dropped cancels its query** ([`Client::query`] and the others): by a CancelRequest over a connection of its
//!   own, if nothing of the pipeline is behind it; the rest of its answer is skipped in any case. Nothing else is sent until the
//!   server has seen to it, so that it hits no other query.
//! * **A [`Transaction`] that is dropped is rolled back.**
//! * **Rows wait on the server** while nobody takes them: a [`RowStream`] holds some 200 KiB at most, or one row.
//! * **Statements are prepared once** for each connection, and kept in the order of their last use, or never
//!   ([`Options::statements_max`]).

mod answer;
mod cancel;
mod client;
mod copy;
mod driver;
mod error;
mod notifications;
mod pool;
mod rows;
mod server;
mod shared;
mod statement;
#[cfg(test)]
mod tests;
mod transaction;

pub use self::client::Client;
pub use self::copy::{CopyIn, CopyOut};
pub use self::error::ClientError;
pub use self::notifications::Notifications;
pub use self::pool::{POOL_METRICS, POOLS, Pool, PoolConfig, PoolRow, Pooled, SERVERS, ServerRow};
pub use self::rows::RowStream;
pub use self::server::Server;
#[cfg(feature = "tls")]
pub use self::server::ServerTls;
pub use self::statement::Statement;
pub use self::transaction::Transaction;
pub use ::postgres::{
    ChannelBinding, Column, Date, Format, FromSql, Json, Limits, Methods, Notification, Numeric,
    Oid, Row, ServerError, Settings, Severity, SqlState, Time, Timestamp, ToSql, Uuid, ValueError,
};

use self::shared::Shared;
use ::flow::ledger::ServiceLedger;
use ::flow::task::{Spawner, waiting};
use ::flow::time::Timers;
use core::time::Duration;

/// What clients need of where they run. Clones share it.
#[derive(Clone)]
pub struct Environment {
    /// Runs each connection's task.
    pub spawner: Spawner,
    /// Time.
    pub timers: Timers,
    /// Fills a buffer with random bytes.
    pub entropy: crate::zmq::Entropy,
    /// Weighs what servers make us hold; `None` does not.
    pub ledger: Option<ServiceLedger>,
}

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bounds on servers.
    pub limits: Limits,
    /// From the wish for a connection to the connection, its TLS included. Default 10 s.
    pub connect_timeout: Duration,
    /// How long a server may leave its answer where it is: no row, no end of a statement, nothing more of a long row. What it says
    /// beside, notices and notifications, does not count; what we do not take, or have yet to send of a COPY, is not its fault.
    /// Then the query fails with [`ClientError::QueryTimeout`], is cancelled, and the connection ends, with all that is behind
    /// it. Zero is no limit. Default 30 s.
    pub query_timeout: Duration,
    /// Prepared statements that are kept. Zero is for poolers that hand connections round between transactions: statements have no
    /// names then, and are parsed with each execution. Default 100.
    pub statements_max: usize,
    /// Bytes of rows that [`Client::query`] collects; what is longer is for [`Client::query_stream`]. Default 16 MiB.
    pub result_bytes_max: usize,
    /// Requests in the pipeline of one connection; more wait. Default 256.
    pub pipeline_max: usize,
    /// Notifications of one [`Notifications`] that nobody has taken; what comes then is lost, and that is said. Default 1,000.
    pub notifications_max: usize,
    /// Which of several servers will do. Default any.
    pub target: TargetSession,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            connect_timeout: Duration::from_secs(10),
            query_timeout: Duration::from_secs(30),
            statements_max: 100,
            result_bytes_max: 16 << 20,
            pipeline_max: 256,
            notifications_max: 1000,
            target: TargetSession::Any,
        }
    }
}

/// Which of several servers will do (`target_session_attrs` of libpq).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetSession {
    /// The first that takes the connection.
    #[default]
    Any,
    /// One that takes changes.
    ReadWrite,
    /// One that takes none: a standby, or one whose transactions are read-only by default.
    ReadOnly,
    /// One that no other is the primary of.
    Primary,
    /// One that follows another.
    Standby,
}

/// Opens a connection to the first of `servers` that takes it and will do.
///
/// # Errors
/// None does: the last one's reason.
#[track_caller]
pub fn connect(
    servers: &[Server],
    settings: &Settings,
    options: &Options,
    environment: &Environment,
) -> impl Future<Output = Result<Client, ClientError>> {
    waiting(async move {
        let (_, client) =
            connect_to_one(servers, settings, options, environment, |_, _| {}).await?;
        Ok(client)
    })
}

/// The same: the server's place, too, and `note_failure` hears the places of those that do not take it, and why.
async fn connect_to_one(
    servers: &[Server],
    settings: &Settings,
    options: &Options,
    environment: &Environment,
    note_failure: impl Fn(usize, &ClientError),
) -> Result<(usize, Client), ClientError> {
    let mut last = ClientError::NoServer;
    for (place, server) in servers.iter().enumerate() {
        last = match connect_to(server, settings, options, environment).await {
            Ok(client) if client.is_target(options.target) => return Ok((place, client)),
            Ok(_) => ClientError::NoServer,
            Err(error) => error,
        };
        note_failure(place, &last);
    }
    Err(last)
}

async fn connect_to(
    server: &Server,
    settings: &Settings,
    options: &Options,
    environment: &Environment,
) -> Result<Client, ClientError> {
    if !server.is_of_3_0() {
        match begin(server, settings.clone(), options, environment).await {
            Err(error) if is_version_refused(&error) => server.note_3_0(),
            outcome => return outcome,
        }
    }
    begin(server, settings.clone().protocol_3_0(), options, environment).await
}

/// What stands between may refuse a version that it does not know, where it should decline it: PgBouncer before 1.20. If the reason is
/// another, it comes again.
fn is_version_refused(error: &ClientError) -> bool {
    matches!(error.state(), Some(SqlState::ProtocolViolation | SqlState::FeatureNotSupported))
}

async fn begin(
    server: &Server,
    settings: Settings,
    options: &Options,
    environment: &Environment,
) -> Result<Client, ClientError> {
    let Environment { timers, spawner, entropy, .. } = environment;
    let deadline = timers.now() + options.connect_timeout;
    let opened = timers.before(deadline, server.open()).await;
    let opened = opened.unwrap_or(Err(::flow::ConnectError::TimedOut));
    let opened = opened.map_err(ClientError::Connect)?;
    let mut nonce = [0; 18];
    entropy(&mut nonce);
    let settings = opened.bind(settings);
    let core = ::postgres::Connection::new(settings, options.limits.clone(), nonce);
    let shared = Shared::new(core, server.clone(), options.clone(), environment.clone());
    let peer = opened.flow.peer();
    let task = spawner.spawn("postgres", driver::carry(shared.clone(), opened.flow));
    spawner.describe(task, alloc::format!("{peer}"));
    Client::started(shared).await
}
