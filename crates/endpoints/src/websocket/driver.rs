//! WebSocket driver: between a flow, the protocol core and the function that the application has for it.

use super::HostShared;
use super::socket::{Error, Link};
use crate::drive::{Core, LongOutput, Transport};
use ::websocket::{CloseCode, ConnectionState};
use alloc::boxed::Box;
use alloc::rc::Rc;
use bytes::Bytes;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use flow::ledger::Pressure;
use flow::{Address, FlowError};

/// The application's function at work.
pub(super) type Handler = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

/// Carries one socket. Its handler runs in the same task, so that most sockets have one.
pub(super) struct Driver {
    host: Rc<HostShared>,
    link: Rc<Link>,
    peer: Address,
    /// None once it is done, or if the socket is used by other tasks.
    handler: Option<Handler>,
    /// What [`Core::long_output`] shows.
    long: Bytes,
}

impl Driver {
    pub(super) fn new(
        host: Rc<HostShared>,
        link: Rc<Link>,
        peer: Address,
        handler: Option<Handler>,
    ) -> Self {
        host.sockets.set(host.sockets.get() + 1);
        Self { host, link, peer, handler, long: Bytes::new() }
    }

    /// The handler, if it is not done.
    pub(super) fn take_handler(&mut self) -> Option<Handler> {
        self.handler.take()
    }

    /// Lets the handler go on.
    fn poll_handler(&mut self, cx: &mut Context<'_>) {
        let Some(handler) = &mut self.handler else { return };
        self.link.is_inside.set(true);
        let polled = self.host.spawner.catch(|| handler.as_mut().poll(cx));
        let code = match polled {
            Ok(Poll::Pending) => {
                if self.link.is_abandoned() {
                    self.link.close(CloseCode::NORMAL, "");
                }
                self.link.is_inside.set(false);
                return;
            }
            Ok(Poll::Ready(Ok(()))) => CloseCode::NORMAL,
            Ok(Poll::Ready(Err(_))) => CloseCode::INTERNAL_ERROR,
            Err(error) => {
                log::error!("websocket: a handler {error}");
                CloseCode::INTERNAL_ERROR
            }
        };
        self.link.close(code, "");
        self.handler = None;
        self.link.is_inside.set(false);
    }

    fn state(&self) -> ConnectionState {
        self.link.core.borrow().state()
    }
}

impl Core for Driver {
    fn begin_turn(&mut self, cx: &mut Context<'_>, now: Duration) {
        let mut slot = self.link.driver.take();
        slot.register(cx);
        self.link.driver.set(slot);
        if self.host.draining.get() {
            self.link.core.borrow_mut().close(now, CloseCode::GOING_AWAY, "");
        }
    }

    fn wants_input(&self) -> bool {
        self.link.core.borrow().wants_input()
    }

    fn handle_input(&mut self, now: Duration, bytes: &mut [u8]) -> usize {
        self.link.core.borrow_mut().handle_input(now, bytes)
    }

    fn handle_end(&mut self, now: Duration, how: Result<(), FlowError>) -> bool {
        if let Err(error) = how {
            self.link.broken.set(Some(error));
        }
        self.link.core.borrow_mut().handle_end(now)
    }

    fn poll_work(&mut self, cx: &mut Context<'_>, _: Duration) -> bool {
        self.link.has_changed.set(false);
        // The handler is asked in this turn anyhow.
        self.link.wake_waiting(self.handler.is_some().then_some(&*cx));
        self.poll_handler(cx);
        if self.handler.is_none() && self.link.is_abandoned() {
            // Nothing was said in another way.
            self.link.close(CloseCode::INTERNAL_ERROR, "");
            // Nobody takes what still comes until the peer's close frame.
            while self.link.core.borrow_mut().poll_event().is_some() {}
        }
        self.link.has_changed.get()
    }

    fn wants_transmit(&mut self, _: &mut Context<'_>) -> bool {
        self.link.core.borrow().wants_transmit()
    }

    fn long_output(&mut self) -> Option<LongOutput<'_>> {
        self.long = self.link.core.borrow().long_output()?.clone();
        Some(LongOutput::Copied(&self.long))
    }

    fn long_output_taken(&mut self, now: Duration, count: usize) {
        self.long = Bytes::new();
        self.link.core.borrow_mut().long_output_taken(now, count);
    }

    fn poll_transmit(&mut self, now: Duration, space: &mut [u8]) -> usize {
        self.link.core.borrow_mut().poll_transmit(now, space)
    }

    /// The peer's close frame may be there already.
    fn output_lost(&mut self, now: Duration, error: FlowError) -> bool {
        self.link.broken.set(Some(error));
        self.link.core.borrow_mut().output_lost(now);
        true
    }

    fn peer_took(&mut self, now: Duration, count: usize) {
        self.link.core.borrow_mut().peer_took(now, count);
    }

    fn next_deadline(&mut self, now: Duration) -> Option<Duration> {
        self.link.core.borrow_mut().next_deadline(now)
    }

    fn handle_timeout(&mut self, now: Duration) {
        self.link.core.borrow_mut().handle_timeout(now);
    }

    fn transport(&mut self, _: &mut Context<'_>, _: Duration) -> Transport {
        match self.state() {
            ConnectionState::Open => Transport::Open,
            ConnectionState::EndOutput => Transport::EndOutput,
            ConnectionState::Drain => Transport::Drain,
            ConnectionState::Closed => Transport::Closed,
            ConnectionState::Abort => Transport::Abort,
        }
    }

    fn held(&self) -> usize {
        self.link.core.borrow().held_bytes() + self.link.kept_bytes.get()
    }

    fn handle_pressure(&mut self, _: Duration, pressure: Pressure) {
        self.link.core.borrow_mut().pause(pressure == Pressure::Pause);
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.host.sockets.set(self.host.sockets.get() - 1);
        self.link.end();
        let failure = self.link.core.borrow().failure();
        match failure.map(|failure| self.link.failed(failure)) {
            None => log::info!("websocket: the connection with {} ended: closed", self.peer),
            Some(why) => log::info!("websocket: the connection with {} ended: {why}", self.peer),
        }
    }
}
