//! Calls of other protocols than HTTP, one at a time on each connection.

use super::counted::Counted;
use super::shared::{Seat, Shared, failure};
use ::flow::task::wait_fn;
use ::flow::{Connector, Flow};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use load::{Failure, Outcome, RequestKind};

/// A protocol by which calls are made.
pub(crate) trait Protocol: Clone + 'static {
    /// The other end of a connection.
    type Peer;

    /// Begins on a flow that was just opened.
    fn connect(&self, flow: impl Flow + Unpin + 'static) -> Self::Peer;

    /// Makes one call and judges its answer. If it fails, the connection is given up.
    fn call(peer: &Self::Peer, kind: &RequestKind) -> impl Future<Output = Result<(), Failed>>;
}

/// Why a call failed.
pub(crate) struct Failed {
    failure: Failure,
    /// What was said of it: the kind and the text.
    said: Option<(&'static str, String)>,
}

impl Failed {
    pub(crate) fn saying(failure: Failure, kind: &'static str, text: &dyn ToString) -> Self {
        Self { failure, said: Some((kind, text.to_string())) }
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { failure, said: None }
    }
}

/// Makes calls until none is left.
pub(crate) async fn run<C: Connector, P: Protocol>(shared: Rc<Shared>, connector: C, protocol: P) {
    let seat = Rc::new(Seat::default());
    let requests_max = shared.scenario().connection.requests_max;
    let (mut peer, mut made) = (None, 0);
    match shared.open(&connector).await {
        Ok(flow) => peer = Some(protocol.connect(Counted::new(flow, &shared))),
        Err(error) => shared.count_unopened(error),
    }
    shared.count(|counts| counts.ready += 1);
    while let Some(job) = wait_fn(|cx| shared.poll_job(cx, &seat, shared.timers().now())).await {
        let opened = match peer.take() {
            Some(peer) => Ok(peer),
            None => shared.open(&connector).await.map(|flow| {
                made = 0;
                protocol.connect(Counted::new(flow, &shared))
            }),
        };
        let outcome = match opened {
            Err(error) => Err(Failed::saying(failure(error), "connection", &error)),
            Ok(opened) => {
                let deadline = job.made() + shared.scenario().timeout;
                let called =
                    shared.timers().before(deadline, P::call(&opened, shared.kind(&job))).await;
                let outcome = called.unwrap_or(Err(Failure::Timeout.into()));
                made += 1;
                let is_kept = requests_max == 0 || made < requests_max;
                // An answer that is not as expected is an answer: the connection is as good as before.
                let is_answer =
                    |failed: &Failed| matches!(failed.failure, Failure::Status | Failure::Body);
                let is_sound = outcome.as_ref().err().is_none_or(is_answer);
                peer = Some(opened).filter(|_| is_kept && is_sound);
                outcome
            }
        };
        let now = shared.timers().now();
        let has_failed = outcome.is_err();
        let outcome = match outcome {
            Ok(()) => Outcome::Success,
            Err(Failed { failure, said }) => {
                if let Some((kind, text)) = said {
                    shared.note_error(failure, kind, &text);
                }
                Outcome::Failure(failure)
            }
        };
        shared.finish(now, job, outcome);
        if peer.is_none() && has_failed {
            shared.rest().await;
        }
        if let Some(until) = shared.think_until(now) {
            shared.timers().sleep_until(until).await;
        }
    }
    shared.count(|counts| counts.ended += 1);
}

/// Whether what is expected is in an answer.
pub(crate) fn judge(kind: &RequestKind, content: &[u8]) -> Result<(), Failed> {
    match &kind.expect_body {
        Some(expected) if memchr::memmem::find(content, expected.as_bytes()).is_none() => {
            Err(Failure::Body.into())
        }
        _ => Ok(()),
    }
}
