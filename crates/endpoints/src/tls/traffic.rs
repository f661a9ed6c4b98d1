//! Traffic: what a TLS listener counts.

use super::handshake::Failure;
use ::tls::{Info, TlsError};
use core::cell::Cell;
use inspect::Metric;

/// What became of a listener's handshakes.
#[derive(Debug, Default)]
pub struct TlsTraffic {
    at_work: Cell<usize>,
    /// Of TLS 1.2 and of 1.3.
    completed: [Cell<u64>; 2],
    resumed: Cell<u64>,
    failed: [Cell<u64>; REASONS.len()],
}

/// The metrics of TLS listeners.
pub static METRICS: &[Metric<TlsTraffic>] = &[
    Metric::counter_by(
        "tls_handshakes",
        "version",
        "Handshakes that were completed.",
        |it, visit| {
            for (version, count) in VERSIONS.iter().zip(&it.completed) {
                visit(version, count.get());
            }
        },
    ),
    Metric::counter(
        "tls_resumptions",
        "Of these, what went on from an earlier connection.",
        |it| it.resumed.get(),
    ),
    Metric::counter_by(
        "tls_handshake_failures",
        "reason",
        "Handshakes that failed: what came is no TLS, the protocol or a certificate was not accepted, the peer sent an alert, the \
         connection ended, it took too long, memory was short, or others needed its place.",
        |it, visit| {
            for (reason, count) in REASONS.iter().zip(&it.failed) {
                visit(reason, count.get());
            }
        },
    ),
    Metric::gauge("tls_handshakes_at_work", "Handshakes that are at work.", |it| {
        it.at_work.get() as u64
    }),
];

const VERSIONS: [&str; 2] = ["1.2", "1.3"];
const REASONS: [&str; 7] =
    ["not_tls", "protocol", "alert", "connection", "timeout", "memory", "crowded"];
/// The last of them.
const CROWDED: usize = REASONS.len() - 1;

impl TlsTraffic {
    pub(super) fn set_at_work(&self, count: usize) {
        self.at_work.set(count);
    }

    pub(super) fn completed(&self, info: &Info) {
        add(&self.completed[usize::from(info.is_tls13)]);
        if info.is_resumed {
            add(&self.resumed);
        }
    }

    pub(super) fn failed(&self, failure: &Failure) {
        let reason = match failure {
            Failure::Tls(TlsError::NotTls) => 0,
            Failure::Tls(TlsError::Received(_)) => 2,
            Failure::Tls(TlsError::Truncated) | Failure::Flow(_) => 3,
            Failure::Tls(_) => 1,
            Failure::TimedOut => 4,
            Failure::Overweight => 5,
        };
        add(&self.failed[reason]);
    }

    /// The oldest has given way to another.
    pub(super) fn gave_way(&self) {
        add(&self.failed[CROWDED]);
    }
}

fn add(count: &Cell<u64>) {
    count.set(count.get() + 1);
}
