//! Outcomes: whom a segment wakes, and what a round of sending made of a connection.

/// What became of a connection in a round of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EgressOutcome {
    Open,
    /// The device is full; the connection must be asked again.
    Blocked,
    /// Both ends are done, and ours ended first.
    TimeWait {
        snd_nxt: u32,
        rcv_nxt: u32,
    },
    Closed,
}

/// Whom a segment concerns.
#[derive(Default)]
pub(crate) struct IngressWakeups {
    pub(crate) reader: bool,
    pub(crate) writer: bool,
    /// There may be something to send.
    pub(crate) egress: bool,
    /// Both ends are done, and there is nothing to remember.
    pub(crate) gone: bool,
}
