//! Handshake over a flow: in the time and in the memory that it has.

use super::{TlsConfig, TlsFlow};
use ::flow::ledger::{Account, Pressure};
use ::flow::task::wait_fn;
use ::flow::time::{Expired, Timers};
use ::flow::{Flow, FlowError, FlowExt};
use ::tls::{Clock, Handshake, TlsError};
use alloc::string::String;
use core::task::{Context, Poll, Waker, ready};

/// How a handshake fails.
pub(super) enum Failure {
    Tls(TlsError),
    Flow(FlowError),
    TimedOut,
    /// It holds more memory than there is.
    Overweight,
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Tls(error) => error.fmt(f),
            Self::Flow(error) => error.fmt(f),
            Self::TimedOut => f.write_str("the handshake took too long"),
            Self::Overweight => f.write_str("memory is short"),
        }
    }
}

/// Sets a context's clock.
pub(super) fn set_clock(clock: &Clock, config: &TlsConfig, timers: &Timers) {
    if let Some(start) = config.wall_clock_start {
        clock.set(start + timers.now());
    }
}

/// Makes a TLS flow of `flow`. `turn` is awaited before each step that costs much.
pub(super) async fn run<F: Flow>(
    side: Side,
    flow: F,
    handshake: Result<Handshake, TlsError>,
    config: &TlsConfig,
    timers: &Timers,
    turn: impl AsyncFn(),
) -> Result<TlsFlow<F>, Failure> {
    let handshake = handshake.map_err(Failure::Tls)?;
    let account = config.ledger.as_ref().map(|ledger| ledger.account());
    let deadline = timers.now() + config.handshake_timeout;
    let mut work = Work { side, flow, handshake, account };
    match timers.before(deadline, work.shake(turn)).await {
        Err(Expired) => return Err(Failure::TimedOut),
        Ok(Err(failure)) => {
            if let Failure::Tls(_) = failure {
                let _ = timers.before(deadline, work.tell()).await;
            }
            return Err(failure);
        }
        Ok(Ok(())) => {}
    }
    let Work { flow, handshake, account, .. } = work;
    let session = handshake.into_session().map_err(Failure::Tls)?;
    let info = session.info();
    log::debug!(
        "TLS with {}: {}{}, protocol {:?}",
        flow.peer(),
        info.cipher_suite,
        if info.is_resumed { ", resumed" } else { "" },
        info.protocol.as_ref().map(|name| String::from_utf8_lossy(name)),
    );
    Ok(TlsFlow::new(flow, session, account))
}

/// Whose part in a handshake it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Server,
    Client,
}

/// A handshake at work.
struct Work<F> {
    side: Side,
    flow: F,
    handshake: Handshake,
    account: Option<Account>,
}

/// What a peer that is told of a failure may still send: more than it has on its way is not read.
const LINGER_BYTES_MAX: usize = 64 * 1024;

impl<F: Flow> Work<F> {
    async fn shake(&mut self, turn: impl AsyncFn()) -> Result<(), Failure> {
        while !self.handshake.is_complete() {
            wait_fn(|cx| self.poll_input(cx)).await.map_err(Failure::Flow)?;
            turn().await;
            self.read().await?;
            self.weigh()?;
        }
        match self.side {
            Side::Client => self.send().await,
            // Its tickets wait for nobody: what has no room goes first in the session.
            Side::Server => {
                let sent = wait_fn(|cx| Poll::Ready(self.poll_send(cx))).await;
                let Poll::Ready(Err(error)) = sent else { return Ok(()) };
                Err(Failure::Flow(error))
            }
        }
    }

    /// Waits for input, and sends while it does: neither side waits until the other reads.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        self.flow.poll_read_with(cx, &mut |_| 0).map_ok(drop)
    }

    async fn send(&mut self) -> Result<(), Failure> {
        wait_fn(|cx| self.poll_send(cx)).await.map_err(Failure::Flow)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        let Self { flow, handshake, .. } = self;
        while !handshake.output().is_empty() {
            let count = ready!(flow.poll_write(cx, handshake.output()))?;
            handshake.output_taken(count);
        }
        Poll::Ready(Ok(()))
    }

    /// Takes some input.
    async fn read(&mut self) -> Result<(), Failure> {
        let Self { flow, handshake, .. } = self;
        let mut taken = Ok(0);
        let mut is_end = false;
        let read = flow.read_with(|bytes| {
            is_end = bytes.is_empty();
            taken = handshake.handle_input(bytes);
            (taken.as_ref().map_or(bytes.len(), |count| *count), ())
        });
        read.await.map_err(Failure::Flow)?;
        taken.map_err(Failure::Tls)?;
        if is_end { Err(Failure::Tls(TlsError::Truncated)) } else { Ok(()) }
    }

    /// Sends what is left, which is an alert, and reads on for a while: closing with unread input would reset the
    /// connection, and the peer would not get it.
    async fn tell(&mut self) {
        if self.send().await.is_err() {
            return;
        }
        self.flow.finish();
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            let read = self.flow.read_with(|bytes| (bytes.len(), bytes.len())).await;
            match read {
                Ok(count @ 1..) => left = left.saturating_sub(count),
                _ => return,
            }
        }
    }

    fn weigh(&self) -> Result<(), Failure> {
        let Some(account) = &self.account else { return Ok(()) };
        account.set(self.handshake.held_bytes());
        let context = Context::from_waker(Waker::noop());
        match account.pressure(&context) {
            Pressure::Refuse | Pressure::End(_) => Err(Failure::Overweight),
            Pressure::None | Pressure::Pause => Ok(()),
        }
    }
}
