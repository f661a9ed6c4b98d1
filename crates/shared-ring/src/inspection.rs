//! Inspection: what each flow through shared memory lets others see.

use crate::counters::{Counter, Counts};
use crate::{Fill, Ring, Role, SharedMemory, Waits};
use flow::Address;
use flow::sync::WakerKey;
use flow::task::TaskId;
use inspect::{Column, Table, Value};

/// A row of [`FLOWS`]. What a flow holds is none while it is in use.
#[derive(Clone, Debug)]
pub struct FlowRow {
    /// Never given twice.
    pub number: u64,
    /// Our end.
    pub local: Address,
    /// The other end.
    pub peer: Address,
    /// Who is woken for it.
    pub waker: Option<WakerKey>,
    /// The task that this is: for whoever knows the tasks to fill in.
    pub task: Option<TaskId>,
    /// All else.
    pub info: Option<FlowInfo>,
}

/// How far a flow is, and what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowInfo {
    /// Which side we are.
    pub role: Role,
    /// How full the rings are.
    pub fill: Fill,
    /// What tasks of this side wait for.
    pub waits: Waits,
    /// What the other side has asked to be notified of.
    pub peer_waits: Waits,
    /// Bytes read.
    pub received_bytes: u64,
    /// Bytes written.
    pub sent_bytes: u64,
    /// Notifications that came.
    pub notifications_in: u64,
    /// Notifications sent.
    pub notifications_out: u64,
    /// Times that the other side was not notified, since it did not ask.
    pub notifications_suppressed: u64,
    /// Waits since there was nothing to read.
    pub stalls_empty: u64,
    /// Waits since the other side had not read.
    pub stalls_full: u64,
}

impl FlowInfo {
    pub(crate) fn new<M: SharedMemory>(ring: &Ring<M>, counts: &Counts, waits: Waits) -> Self {
        Self {
            role: ring.role(),
            fill: ring.fill(),
            waits,
            peer_waits: ring.peer_waits(),
            received_bytes: counts.get(Counter::BytesIn),
            sent_bytes: counts.get(Counter::BytesOut),
            notifications_in: counts.get(Counter::NotificationsIn),
            notifications_out: counts.get(Counter::NotificationsOut),
            notifications_suppressed: counts.get(Counter::Suppressed),
            stalls_empty: counts.get(Counter::EmptyStalls),
            stalls_full: counts.get(Counter::FullStalls),
        }
    }

    /// Bytes moved in both directions for each notification that came, on the average: how little a wake-up costs.
    pub fn bytes_per_wake(&self) -> Option<u64> {
        (self.received_bytes + self.sent_bytes).checked_div(self.notifications_in)
    }
}

impl FlowRow {
    fn number(&self, read: impl FnOnce(&FlowInfo) -> Option<u64>) -> Value<'_> {
        self.info.as_ref().and_then(read).map_or(Value::Null, Value::Number)
    }

    fn text(&self, read: impl FnOnce(&FlowInfo) -> Option<&'static str>) -> Value<'_> {
        self.info.as_ref().and_then(read).map_or(Value::Null, Value::Text)
    }
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

impl Waits {
    fn name(self) -> Option<&'static str> {
        match (self.for_bytes, self.for_room) {
            (true, true) => Some("bytes and room"),
            (true, false) => Some("bytes"),
            (false, true) => Some("room"),
            (false, false) => None,
        }
    }
}

/// All flows through shared memory.
pub static FLOWS: Table<FlowRow> = Table {
    name: "shared_memory_flows",
    help: "Flows through memory that is shared with processes or machines of the same host.",
    columns: &[
        Column::number("id", "Names the flow.", |row| Value::Number(row.number)),
        Column::text("local", "Our end.", |row| Value::Shown(&row.local)),
        Column::text("remote", "The other end.", |row| Value::Shown(&row.peer)),
        Column::maybe_text(
            "role",
            "`server` is who laid the rings out, `client` the other.",
            |row| row.text(|info| Some(info.role.name())),
        ),
        Column::maybe_text("task", "The task that waits for it.", |row| {
            Value::shown(row.task.as_ref())
        }),
        Column::maybe_number("received_bytes", "Bytes read.", |row| {
            row.number(|info| Some(info.received_bytes))
        }),
        Column::maybe_number("sent_bytes", "Bytes written.", |row| {
            row.number(|info| Some(info.sent_bytes))
        }),
        Column::maybe_number(
            "incoming_ring_bytes",
            "The ring that the other side writes.",
            |row| row.number(|info| Some(info.fill.incoming_ring_bytes as u64)),
        ),
        Column::maybe_number("unread_bytes", "In it, what we have not read.", |row| {
            row.number(|info| info.fill.unread_bytes.map(|bytes| bytes as u64))
        }),
        Column::maybe_number("outgoing_ring_bytes", "The ring that we write.", |row| {
            row.number(|info| Some(info.fill.outgoing_ring_bytes as u64))
        }),
        Column::maybe_number(
            "undelivered_bytes",
            "In it, what the other side has not read.",
            |row| row.number(|info| info.fill.undelivered_bytes.map(|bytes| bytes as u64)),
        ),
        Column::maybe_text(
            "waits_for",
            "What we wait for: `bytes`, or `room` that the other side makes by reading.",
            |row| row.text(|info| info.waits.name()),
        ),
        Column::maybe_text("peer_waits_for", "What the other side waits for.", |row| {
            row.text(|info| info.peer_waits.name())
        }),
        Column::maybe_number("notifications_in", "Notifications that came.", |row| {
            row.number(|info| Some(info.notifications_in))
        }),
        Column::maybe_number("notifications_out", "Notifications sent.", |row| {
            row.number(|info| Some(info.notifications_out))
        }),
        Column::maybe_number(
            "notifications_suppressed",
            "Times that the other side was not notified, since it did not ask.",
            |row| row.number(|info| Some(info.notifications_suppressed)),
        ),
        Column::maybe_number(
            "bytes_per_wake",
            "Bytes read and written for each notification that came.",
            |row| row.number(FlowInfo::bytes_per_wake),
        ),
        Column::maybe_number("stalls_empty", "Waits since there was nothing to read.", |row| {
            row.number(|info| Some(info.stalls_empty))
        }),
        Column::maybe_number("stalls_full", "Waits since the other side had not read.", |row| {
            row.number(|info| Some(info.stalls_full))
        }),
    ],
};
