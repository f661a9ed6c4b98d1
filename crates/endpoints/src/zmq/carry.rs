//! One connection: bytes between a flow and the socket.

use super::{Closing, Shared};
use ::zmq::{Error, PeerId};
use alloc::rc::Rc;
use core::future::poll_fn;
use core::task::{Context, Poll};
use core::time::Duration;
use flow::time::Timer;
use flow::{Flow, FlowError};
use log::{debug, info};

/// Turns of reading and writing before other tasks have theirs.
const TURNS_MAX: usize = 16;
/// How long a peer whose connection we end may take to read why. What it sends meanwhile is read
/// and dropped: closing over unread bytes would reset the connection, and the reason with it.
const FAREWELL: Duration = Duration::from_secs(2);

/// Carries bytes until either side ends; whether the handshake was done.
pub(super) async fn carry(shared: Rc<Shared>, flow: &mut dyn Flow) -> bool {
    let mut entropy = [0; 48];
    (shared.host.entropy)(&mut entropy);
    let now = shared.now();
    let Some(id) = shared.with(|socket| socket.add_peer(now, &entropy)) else {
        info!("zmq: {}: too many peers", flow.peer());
        return false;
    };
    let mut carrier = Carrier { timer: shared.host.timers.timer(), shared, id, farewell: None };
    let ended = poll_fn(|cx| carrier.poll(flow, cx)).await;
    if let Ended::Flow(error) = ended {
        debug!("zmq: {}: {error}", flow.peer());
    }
    flow.finish();
    carrier.shared.socket.borrow().peer(id).is_some()
}

#[derive(Debug)]
enum Ended {
    Peer,
    Us,
    Flow(FlowError),
}

struct Carrier {
    shared: Rc<Shared>,
    id: PeerId,
    timer: Timer,
    farewell: Option<Farewell>,
}

/// We end the connection, once what there is to send has gone.
struct Farewell {
    give_up_at: Duration,
    finished: bool,
}

impl Carrier {
    fn poll(&mut self, flow: &mut dyn Flow, cx: &mut Context<'_>) -> Poll<Ended> {
        self.register(cx);
        if self.shared.closing.get() == Closing::Now {
            return Poll::Ready(Ended::Us);
        }
        for _ in 0..TURNS_MAX {
            match self.turn(flow, cx) {
                Ok(true) => {}
                Ok(false) => return self.idle(flow, cx),
                Err(ended) => return Poll::Ready(ended),
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

    /// Sends and takes what there is; whether anything moved.
    fn turn(&mut self, flow: &mut dyn Flow, cx: &mut Context<'_>) -> Result<bool, Ended> {
        let wrote = self.write(flow, cx)?;
        if self.farewell.is_none() && self.shared.socket.borrow().is_leaving(self.id) {
            info!("zmq: {}: sent away", flow.peer());
            self.say_farewell();
        }
        if let Some(farewell) = &mut self.farewell
            && !farewell.finished
            && !self.shared.socket.borrow().has_output(self.id)
        {
            farewell.finished = true;
            flow.finish();
        }
        Ok(self.read(flow, cx)? || wrote)
    }

    fn say_farewell(&mut self) {
        let give_up_at = self.shared.now().saturating_add(FAREWELL);
        self.farewell.get_or_insert(Farewell { give_up_at, finished: false });
    }

    /// Sends what there is to send; whether anything went.
    fn write(&mut self, flow: &mut dyn Flow, cx: &mut Context<'_>) -> Result<bool, Ended> {
        let mut any = false;
        while self.shared.socket.borrow().has_output(self.id) {
            let (shared, id) = (&self.shared, self.id);
            let long = shared.socket.borrow().long_output(id);
            let written = match long {
                Some(bytes) => flow.poll_write(cx, &bytes).map_ok(|count| {
                    shared.with(|socket| socket.transmitted(id, count));
                    count
                }),
                None => flow.poll_write_with(cx, &mut |space| {
                    shared.with(|socket| socket.poll_transmit(id, space))
                }),
            };
            match written {
                Poll::Pending => return Ok(any),
                Poll::Ready(Ok(written)) => any |= written > 0,
                Poll::Ready(Err(error)) => return Err(Ended::Flow(error)),
            }
        }
        if self.shared.is_closing() { Err(Ended::Us) } else { Ok(any) }
    }

    /// Takes what has come, if there is room for it; whether anything was taken.
    fn read(&mut self, flow: &mut dyn Flow, cx: &mut Context<'_>) -> Result<bool, Ended> {
        let drops = self.farewell.is_some();
        if !drops && !self.shared.socket.borrow().has_input_room(self.id) {
            return Ok(false);
        }
        let (shared, id) = (&self.shared, self.id);
        let mut ended = false;
        let mut failed = None;
        let now = shared.now();
        let taken = flow.poll_read_with(cx, &mut |bytes| {
            ended = bytes.is_empty();
            if drops || ended {
                return bytes.len();
            }
            let taken = shared.with(|socket| socket.handle_input(now, id, bytes));
            taken.unwrap_or_else(|error| {
                failed = Some(error);
                bytes.len()
            })
        });
        if let Some(error) = failed {
            self.failed(&error, flow);
            return Ok(true);
        }
        match taken {
            _ if ended => Err(Ended::Peer),
            Poll::Ready(Ok(taken)) => Ok(taken > 0),
            Poll::Ready(Err(error)) => Err(Ended::Flow(error)),
            Poll::Pending => Ok(false),
        }
    }

    /// The peer broke the protocol; the socket has queued what there is to say about it.
    fn failed(&mut self, error: &Error, flow: &dyn Flow) {
        info!("zmq: {}: {error}", flow.peer());
        self.say_farewell();
    }

    /// Waits for the flow, the socket or the clock.
    fn idle(&mut self, flow: &dyn Flow, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            let due = match &self.farewell {
                Some(farewell) => Some(farewell.give_up_at),
                None => self.shared.socket.borrow().next_deadline(self.id),
            };
            if self.timer.poll_until(due, cx).is_pending() {
                return Poll::Pending;
            }
            if self.farewell.is_some() {
                return Poll::Ready(Ended::Us);
            }
            let (now, id) = (self.shared.now(), self.id);
            if let Err(error) = self.shared.with(|socket| socket.handle_deadline(now, id)) {
                self.failed(&error, flow);
            }
            if self.farewell.is_some() || self.shared.socket.borrow().has_output(self.id) {
                // An ERROR or a PING to send.
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
