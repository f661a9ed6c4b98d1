//! Inspection: what a network of vsocks lets others see, as `ss --vsock` does.

use crate::connection::State;
use crate::network::VsockNetwork;
use crate::socket::Socket;
use core::time::Duration;
use flow::VsockAddress;
use flow::sync::WakerKey;
use flow::task::TaskId;
use inspect::{Column, Metric, Table, Value};

/// The gauges of a network of vsocks.
pub static GAUGE_METRICS: &[Metric<VsockNetwork>] = &[
    Metric::gauge(
        "vsock_connections",
        "Connections by vsock, those included that are closed and not yet forgotten.",
        |network| network.connections() as u64,
    ),
    Metric::gauge(
        "vsock_connections_max",
        "Connections by vsock that there may be at once: connections_max of [vsock], or what the memory has room for.",
        |network| network.connections_max() as u64,
    ),
];

/// A row of [`CONNECTIONS`]. What a connection holds is none while it is in use.
#[derive(Clone, Debug)]
pub struct ConnectionRow {
    /// Never given twice.
    pub number: u64,
    /// Our end.
    pub local: VsockAddress,
    /// The other end.
    pub peer: VsockAddress,
    /// Who is woken for it.
    pub waker: Option<WakerKey>,
    /// The task that this is: for whoever knows the tasks to fill in.
    pub task: Option<TaskId>,
    /// Since it was opened.
    pub age: Duration,
    /// All else.
    pub info: Option<ConnectionInfo>,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// `opening`, `open` or `over`.
    pub state: &'static str,
    /// Bytes of the stream that came.
    pub received_bytes: u64,
    /// Bytes of it that left.
    pub sent_bytes: u64,
    /// Bytes that nobody has read.
    pub unread_bytes: usize,
    /// Bytes that have not left.
    pub unsent_bytes: usize,
    /// Bytes that the peer has room for.
    pub credit_bytes: u32,
}

impl ConnectionRow {
    pub(crate) fn of(socket: &Socket) -> Self {
        let info = socket.try_state().map(|state| ConnectionInfo {
            state: match state.connection.state() {
                State::Opening => "opening",
                State::Open => "open",
                State::Over(_) => "over",
            },
            received_bytes: state.received_bytes,
            sent_bytes: state.sent_bytes,
            unread_bytes: state.connection.unread.len(),
            unsent_bytes: state.connection.unsent.len(),
            credit_bytes: state.connection.credit_bytes(),
        });
        Self {
            number: socket.number,
            local: socket.local(),
            peer: socket.key.peer,
            waker: socket.waker(),
            task: None,
            age: socket.network.now.get().saturating_sub(socket.opened_at),
            info,
        }
    }

    fn number(&self, read: impl FnOnce(&ConnectionInfo) -> u64) -> Value<'_> {
        self.info.as_ref().map_or(Value::Null, |info| Value::Number(read(info)))
    }
}

/// All connections by vsock.
pub static CONNECTIONS: Table<ConnectionRow> = Table {
    name: "vsock_connections",
    help: "Connections by vsock, with the host and its other machines.",
    columns: &[
        Column::number("id", "Names the connection.", |row| Value::Number(row.number)),
        Column::maybe_text("state", "`opening`, `open` or `over`.", |row| {
            row.info.as_ref().map_or(Value::Null, |info| Value::Text(info.state))
        }),
        Column::text("local", "Our machine's number and port.", |row| Value::Shown(&row.local)),
        Column::text("remote", "The peer's; machine 2 is the host.", |row| Value::Shown(&row.peer)),
        Column::maybe_text("task", "The task that waits for it.", |row| {
            Value::shown(row.task.as_ref())
        }),
        Column::number("age_ms", "Since it was opened.", |row| {
            Value::Number(u64::try_from(row.age.as_millis()).unwrap_or(u64::MAX))
        }),
        Column::maybe_number("received_bytes", "Bytes of the stream that came.", |row| {
            row.number(|info| info.received_bytes)
        }),
        Column::maybe_number("sent_bytes", "Bytes of the stream that left.", |row| {
            row.number(|info| info.sent_bytes)
        }),
        Column::maybe_number("unread_bytes", "Bytes that nobody has read.", |row| {
            row.number(|info| info.unread_bytes as u64)
        }),
        Column::maybe_number("unsent_bytes", "Bytes that have not left.", |row| {
            row.number(|info| info.unsent_bytes as u64)
        }),
        Column::maybe_number("credit_bytes", "Bytes that the peer has room for.", |row| {
            row.number(|info| info.credit_bytes.into())
        }),
    ],
};
