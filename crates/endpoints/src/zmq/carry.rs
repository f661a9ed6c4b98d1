//! One connection: bytes between a flow and the socket.

use super::{Closing, Shared};
use ::zmq::{Error, PeerId};
use alloc::rc::Rc;
use core::future::poll_fn;
use core::task::{Context, Poll};
use flow::time::Timer;
use flow::{Flow, FlowError};
use log::{debug, info};

/// Turns of reading and writing before other tasks have theirs.
const TURNS_MAX: usize = 16;

/// Carries bytes until either side ends; whether the handshake was done.
pub(super) async fn carry<F: Flow>(shared: Rc<Shared>, mut flow: F) -> bool {
    let mut entropy = [0; 48];
    (shared.host.entropy)(&mut entropy);
    let now = shared.now();
    let Some(id) = shared.with(|socket| socket.add_peer(now, &entropy)) else {
        info!("zmq: {}: too many peers", flow.peer());
        return false;
    };
    let mut carrier = Carrier { timer: shared.host.timers.timer(), shared, id, failed: false };
    let ended = poll_fn(|cx| carrier.poll(&mut flow, cx)).await;
    match ended {
        Ended::Protocol(error) => info!("zmq: {}: {error}", flow.peer()),
        Ended::Flow(error) => debug!("zmq: {}: {error}", flow.peer()),
        Ended::Peer | Ended::Us => {}
    }
    flow.finish();
    carrier.shared.socket.borrow().peer(id).is_some()
}

#[derive(Debug)]
enum Ended {
    Peer,
    Us,
    Flow(FlowError),
    Protocol(Error),
}

struct Carrier {
    shared: Rc<Shared>,
    id: PeerId,
    timer: Timer,
    // What is left to send is the reason for the end.
    failed: bool,
}

impl Carrier {
    fn poll(&mut self, flow: &mut impl Flow, cx: &mut Context<'_>) -> Poll<Ended> {
        self.register(cx);
        if self.shared.closing.get() == Closing::Now {
            return Poll::Ready(Ended::Us);
        }
        for _ in 0..TURNS_MAX {
            let wrote = match self.write(flow, cx) {
                Ok(wrote) => wrote,
                Err(ended) => return Poll::Ready(ended),
            };
            let read = match self.read(flow, cx) {
                Ok(read) => read,
                Err(ended) => {
                    // One last time: the peer may read why.
                    let _ = self.write(flow, cx);
                    return Poll::Ready(ended);
                }
            };
            if !wrote && !read {
                return self.idle(cx);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn register(&self, cx: &Context<'_>) {
        let mut carriers = self.shared.carriers.borrow_mut();
        if carriers.get(&self.id).is_none_or(|waker| !waker.will_wake(cx.waker())) {
            carriers.insert(self.id, cx.waker().clone());
        }
    }

    /// Sends what there is to send; whether anything went.
    fn write(&mut self, flow: &mut impl Flow, cx: &mut Context<'_>) -> Result<bool, Ended> {
        let mut any = false;
        while self.shared.socket.borrow().has_output(self.id) {
            let (shared, id) = (&self.shared, self.id);
            let written = flow.poll_write_with(cx, &mut |space| {
                shared.with(|socket| socket.poll_transmit(id, space))
            });
            match written {
                Poll::Pending => return Ok(any),
                Poll::Ready(Ok(written)) => any |= written > 0,
                Poll::Ready(Err(error)) => return Err(Ended::Flow(error)),
            }
        }
        if self.shared.is_closing() { Err(Ended::Us) } else { Ok(any) }
    }

    /// Takes what has come, if there is room for it; whether anything was taken.
    fn read(&mut self, flow: &mut impl Flow, cx: &mut Context<'_>) -> Result<bool, Ended> {
        if self.failed || !self.shared.socket.borrow().has_input_room(self.id) {
            return Ok(false);
        }
        let (shared, id) = (&self.shared, self.id);
        let mut ended = None;
        let now = shared.now();
        let taken = flow.poll_read_with(cx, &mut |bytes| {
            if bytes.is_empty() {
                ended = Some(Ended::Peer);
                return 0;
            }
            match shared.with(|socket| socket.handle_input(now, id, bytes)) {
                Ok(taken) => taken,
                Err(error) => {
                    ended = Some(Ended::Protocol(error));
                    bytes.len()
                }
            }
        });
        match (ended, taken) {
            (Some(ended), _) => {
                self.failed = true;
                Err(ended)
            }
            (None, Poll::Ready(Ok(taken))) => Ok(taken > 0),
            (None, Poll::Ready(Err(error))) => Err(Ended::Flow(error)),
            (None, Poll::Pending) => Ok(false),
        }
    }

    /// Waits for the flow, the socket or the clock.
    fn idle(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            self.timer.set(self.shared.socket.borrow().next_deadline(self.id));
            if self.timer.poll_expired(cx).is_pending() {
                return Poll::Pending;
            }
            let (now, id) = (self.shared.now(), self.id);
            if let Err(error) = self.shared.with(|socket| socket.handle_deadline(now, id)) {
                return Poll::Ready(Ended::Protocol(error));
            }
            if self.shared.socket.borrow().has_output(self.id) {
                // A PING to send.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.shared.carriers.borrow_mut().remove(&self.id);
        let id = self.id;
        self.shared.with(|socket| socket.remove_peer(id));
        if let Some(closer) = self.shared.closer.borrow_mut().take() {
            closer.wake();
        }
    }
}
