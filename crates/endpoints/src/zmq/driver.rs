//! ZMTP connection: a peer of the socket as the protocol loop drives it.

use super::attach::Share;
use super::{Carrier, Closing, Shared};
use crate::drive::{Core, LongOutput, Transport, drive};
use ::zmq::{Bytes, Error, PeerId};
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::fmt;
use core::task::Context;
use core::time::Duration;
use flow::ledger::{Account, Holder, Pressure, ServiceLedger};
use flow::{Address, Flow, FlowError};
use log::info;

/// How long a peer whose connection we end may take to read why. What it sends meanwhile is read
/// and dropped: closing over unread bytes would reset the connection, and the reason with it.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// Carries bytes until either side ends; whether the handshake was done.
///
/// The flow is an object so that there is one loop in the code, and not one for each kind of flow: a
/// message, or a batch of them, is a call or two.
pub(super) async fn carry(shared: Rc<Shared>, flow: Box<dyn Flow>, share: Option<&Share>) -> bool {
    let ledger = shared.host.ledger.clone();
    if let Some(ledger) = ledger.as_ref().filter(|ledger| ledger.refuses()) {
        ledger.make_room();
        info!("zmq: {}: refused: too little memory is left", flow.peer());
        return false;
    }
    // First what may fail: a peer that is added is removed by its driver.
    let account = ledger.as_ref().map(ServiceLedger::account);
    let mut entropy = [0; 48];
    (shared.host.entropy)(&mut entropy);
    let now = shared.now();
    let Some(id) = shared.with(|socket| socket.add_peer(now, &entropy)) else {
        info!("zmq: {}: too many peers", flow.peer());
        return false;
    };
    if let Some(share) = share {
        share.begin(&shared, id);
    }
    let timers = shared.host.timers.clone();
    let holder = account.as_ref().map(Account::holder);
    let peer = flow.peer();
    let driver =
        Driver { peer, shared, id, holder, end: End::None, reason: None, long: Bytes::new() };
    let mut connection = drive(flow, driver, &timers).weighed(account);
    (&mut connection).await;
    connection.core().is_introduced()
}

/// One peer of the socket. Dropped, it is removed from it.
struct Driver {
    shared: Rc<Shared>,
    id: PeerId,
    peer: Address,
    holder: Option<Holder>,
    end: End,
    /// Why it ends: the first cause.
    reason: Option<Reason>,
    /// What [`Core::long_output`] shows.
    long: Bytes,
}

/// How far the connection's end has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It goes on.
    None,
    /// We end it, once what there is to send has gone; given up at this time.
    Farewell(Duration),
    /// The peer ended it, or did not read our farewell in time.
    Over,
    /// The peer does not take what is there for it.
    Abort,
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The peer sent its last.
    Peer,
    /// The flow below broke.
    Flow(FlowError),
    /// The peer broke the protocol, was too slow, or was sent away.
    Protocol(Error),
    /// This side closed the socket.
    Closed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer => f.write_str("closed by the peer"),
            Self::Flow(error) => error.fmt(f),
            Self::Protocol(error) => error.fmt(f),
            Self::Closed => f.write_str("closed by this side"),
        }
    }
}

impl Driver {
    /// The handshake is done.
    fn is_introduced(&self) -> bool {
        self.shared.socket.borrow().peer(self.id).is_some()
    }

    fn has_output(&self) -> bool {
        self.shared.socket.borrow().has_output(self.id)
    }

    /// Ends it for this reason, once what there is to say has been said.
    fn say_farewell(&mut self, now: Duration, why: Error) {
        self.reason.get_or_insert(Reason::Protocol(why));
        if self.end == End::None {
            self.end = End::Farewell(now.saturating_add(FAREWELL_TIMEOUT));
        }
    }
}

impl Core for Driver {
    fn begin_turn(&mut self, cx: &mut Context<'_>, _: Duration) {
        let mut carriers = self.shared.carriers.borrow_mut();
        if carriers.get(&self.id).is_none_or(|it| !it.waker.will_wake(cx.waker())) {
            let (waker, holder) = (cx.waker().clone(), self.holder.clone());
            carriers.insert(self.id, Carrier { waker, address: self.peer, holder });
        }
    }

    fn wants_input(&self) -> bool {
        match self.end {
            _ if self.shared.is_closed() => false,
            End::None => self.shared.socket.borrow().has_input_room(self.id),
            End::Farewell(_) => true,
            End::Over | End::Abort => false,
        }
    }

    fn handle_input(&mut self, now: Duration, bytes: &mut [u8]) -> usize {
        if self.end != End::None {
            return bytes.len();
        }
        let id = self.id;
        let taken = self.shared.with(|socket| socket.handle_input(now, id, bytes));
        taken.unwrap_or_else(|error| {
            self.say_farewell(now, error);
            bytes.len()
        })
    }

    fn handle_end(&mut self, _: Duration, how: Result<(), FlowError>) -> bool {
        self.reason.get_or_insert(how.map_or_else(Reason::Flow, |()| Reason::Peer));
        self.end = End::Over;
        true
    }

    fn poll_work(&mut self, _: &mut Context<'_>, now: Duration) -> bool {
        if self.end == End::None {
            let why = self.shared.socket.borrow().leaving(self.id).cloned();
            if let Some(why) = why {
                self.say_farewell(now, why);
            }
        }
        false
    }

    fn wants_transmit(&mut self, _: &mut Context<'_>) -> bool {
        !matches!(self.end, End::Over | End::Abort) && !self.shared.is_closed() && self.has_output()
    }

    fn long_output(&mut self) -> Option<LongOutput<'_>> {
        self.long = self.shared.socket.borrow().long_output(self.id)?;
        Some(LongOutput::Copied(&self.long))
    }

    fn long_output_taken(&mut self, now: Duration, count: usize) {
        self.long = Bytes::new();
        self.shared.with(|socket| socket.long_output_taken(now, self.id, count));
    }

    fn poll_transmit(&mut self, now: Duration, space: &mut [u8]) -> usize {
        self.shared.with(|socket| socket.poll_transmit(now, self.id, space))
    }

    fn output_lost(&mut self, _: Duration, error: FlowError) -> bool {
        self.reason.get_or_insert(Reason::Flow(error));
        false
    }

    fn transport(&mut self, _: &mut Context<'_>, _: Duration) -> Transport {
        match (self.shared.closing.get(), self.end) {
            (_, End::Abort) => Transport::Abort,
            (Closing::Now, _) | (_, End::Over) => Transport::Closed,
            (Closing::Draining, _) if self.shared.has_drained() && !self.has_output() => {
                Transport::Closed
            }
            (_, End::Farewell(_)) if !self.has_output() => Transport::EndOutput,
            _ => Transport::Open,
        }
    }

    fn handle_pressure(&mut self, _: Duration, pressure: Pressure) {
        let (id, is_paused) = (self.id, pressure == Pressure::Pause);
        self.shared.with(|socket| socket.pause(id, is_paused));
    }

    fn held(&self) -> usize {
        self.shared.socket.borrow().peer_held_bytes(self.id)
    }

    fn peer_took(&mut self, now: Duration, count: usize) {
        self.shared.socket.borrow_mut().peer_took(now, self.id, count);
    }

    fn next_deadline(&mut self, now: Duration) -> Option<Duration> {
        match self.end {
            End::Farewell(until) => Some(until),
            _ => self.shared.socket.borrow_mut().next_deadline(now, self.id),
        }
    }

    fn handle_timeout(&mut self, now: Duration) {
        match self.end {
            End::Farewell(_) => self.end = End::Over,
            _ => {
                let outcome = self.shared.with(|socket| socket.handle_timeout(now, self.id));
                match outcome {
                    Ok(()) => {}
                    // It would not read a farewell, either.
                    Err(error @ (Error::OutputStalled | Error::OutputTooSlow)) => {
                        self.reason.get_or_insert(Reason::Protocol(error));
                        self.end = End::Abort;
                    }
                    Err(error) => self.say_farewell(now, error),
                }
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.carriers.borrow_mut().remove(&self.id);
        let id = self.id;
        let is_short = self.shared.host.ledger.as_ref().is_some_and(ServiceLedger::refuses);
        self.shared.with(|socket| {
            // While memory is short, what nobody has received of it is dropped with it.
            if is_short {
                socket.disconnect(id);
            }
            socket.remove_peer(id);
        });
        self.shared.closer.notify();
        let is_closing = self.shared.is_closing();
        let reason = self.reason.take().or(is_closing.then_some(Reason::Closed));
        if let Some(reason) = &reason {
            self.shared.ended.replace(Some(reason.clone()));
            self.shared.ends.notify();
        }
        match reason {
            Some(reason) => info!("zmq: the connection with {} ended: {reason}", self.peer),
            // A panic, or too much memory: that is in the log already.
            None => info!("zmq: the connection with {} ended: given up", self.peer),
        }
    }
}
