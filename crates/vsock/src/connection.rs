//! Connection: one stream's state, a function of (state, packet or call, time).

use crate::credit::{ReceiveCredit, SendCredit, Violation};
use crate::keep_alive::KeepAlive;
use crate::network::Limits;
use crate::packet::{Header, Operation, PAYLOAD_BYTES_MAX, direction};
use crate::receive_buffer::ReceiveBuffer;
use crate::send_queue::SendQueue;
use bytes::Bytes;
use core::time::Duration;
use flow::{FlowError, Taken};

/// A stream, at one of its ends.
#[derive(Debug)]
pub(crate) struct Connection {
    state: State,
    close_timeout: Duration,
    keep_alive: KeepAlive,
    /// The handshake's packet that is to be sent before all others.
    owed: Option<Operation>,
    pub(crate) unsent: SendQueue,
    send_credit: SendCredit,
    /// What left while somebody waited to write, and who has not heard of it.
    taken: Option<Taken>,
    pub(crate) unread: ReceiveBuffer,
    receive_credit: ReceiveCredit,
    /// Which directions the peer has ended, as it named them.
    peer_ended: u32,
    /// Which ones we said that we ended.
    told_ended: u32,
    /// The peer asked for our credit.
    owes_credit: bool,
    /// We asked for the peer's since it last grew.
    has_asked_for_credit: bool,
    /// Nothing more is written.
    is_finished: bool,
    /// Nobody reads any more, and what was written is still to arrive.
    is_released: bool,
    /// Bytes were written that the peer does not take any more.
    has_lost_bytes: bool,
    deadline: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// We asked for it, and the peer has not answered.
    Opening,
    Open,
    /// There are no more packets of it. Why, unless both sides ended it.
    Over(Option<FlowError>),
}

/// What came of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Nothing that anybody waits for.
    Nothing,
    /// There is something to be read.
    Bytes,
    /// Something else that whoever reads or writes has to know.
    Change,
    /// The connection is over.
    Over,
    /// It is, and the peer is told so.
    OverWithReset,
}

/// A packet's operation, flags, payload and credit, without addresses.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) operation: Operation,
    pub(crate) flags: u32,
    pub(crate) payload: Bytes,
    pub(crate) buffer_bytes: u32,
    pub(crate) forwarded: u32,
}

impl Connection {
    /// One that is asked for.
    pub(crate) fn opening(limits: &Limits, now: Duration) -> Self {
        let deadline = Some(now + limits.connect_timeout);
        Self { deadline, ..Self::new(limits, State::Opening, Operation::Request, now) }
    }

    /// One that a peer asked for with this packet.
    pub(crate) fn accepted(
        limits: &Limits,
        request: &Header,
        now: Duration,
    ) -> Result<Self, Violation> {
        let mut connection = Self::new(limits, State::Open, Operation::Response, now);
        connection.deadline = Some(connection.keep_alive.deadline());
        connection.send_credit.update(request.buffer_bytes, request.forwarded)?;
        Ok(connection)
    }

    fn new(limits: &Limits, state: State, owed: Operation, now: Duration) -> Self {
        Self {
            state,
            close_timeout: limits.close_timeout,
            keep_alive: KeepAlive::new(limits, now),
            owed: Some(owed),
            unsent: SendQueue::new(limits.buffer_bytes as usize),
            send_credit: SendCredit::default(),
            taken: None,
            unread: ReceiveBuffer::default(),
            receive_credit: ReceiveCredit::new(limits.buffer_bytes),
            peer_ended: 0,
            told_ended: 0,
            owes_credit: false,
            has_asked_for_credit: false,
            is_finished: false,
            is_released: false,
            has_lost_bytes: false,
            deadline: None,
        }
    }

    /// Takes a packet of the peer's.
    ///
    /// # Errors
    /// The peer broke the rules: the connection is to be [reset](Self::end).
    pub(crate) fn handle_input(
        &mut self,
        now: Duration,
        header: &Header,
        payload: &[u8],
    ) -> Result<Received, Violation> {
        self.keep_alive.heard(now);
        if header.operation == Operation::Reset {
            self.end(Some(FlowError::Reset));
            return Ok(Received::Over);
        }
        if self.send_credit.update(header.buffer_bytes, header.forwarded)? {
            self.has_asked_for_credit = false;
        }
        if self.told_ended == direction::BOTH && self.send_credit.is_all_forwarded() {
            // The peer is to confirm that by a reset, and some forget. What it could lose it has forwarded: this is as good.
            self.end(None);
            return Ok(Received::OverWithReset);
        }
        match (self.state, header.operation) {
            (State::Opening, Operation::Response) => {
                self.state = State::Open;
                self.deadline = Some(self.keep_alive.deadline());
                Ok(Received::Change)
            }
            (State::Open, Operation::Data) => self.take_in(payload),
            (State::Open, Operation::Shutdown) => Ok(self.peer_ends(header.flags)),
            (State::Open, Operation::CreditUpdate) => Ok(Received::Nothing),
            (State::Open, Operation::CreditRequest) => {
                self.owes_credit = true;
                Ok(Received::Nothing)
            }
            _ => Err(Violation),
        }
    }

    fn take_in(&mut self, payload: &[u8]) -> Result<Received, Violation> {
        self.receive_credit.receive(payload.len())?;
        if self.peer_ended & direction::SEND != 0 {
            return Err(Violation);
        }
        if self.is_released {
            self.receive_credit.forward(payload.len());
            return Ok(Received::Nothing);
        }
        // Memory that is not there is as credit that was not given: the stream cannot go on.
        self.unread.push(payload).map_err(|_| Violation)?;
        Ok(Received::Bytes)
    }

    /// 5.10.6.6: what a peer ended once stays ended, and both directions ended are answered by a reset.
    fn peer_ends(&mut self, flags: u32) -> Received {
        self.peer_ended |= flags & direction::BOTH;
        if self.peer_ended & direction::RECEIVE != 0 && !self.unsent.is_empty() {
            self.has_lost_bytes = true;
            self.unsent.clear();
        }
        if self.peer_ended != direction::BOTH {
            return Received::Change;
        }
        self.end(None);
        Received::OverWithReset
    }

    /// The next packet to send, if there is one.
    pub(crate) fn poll_transmit(&mut self, now: Duration) -> Option<Outgoing> {
        if let State::Over(_) = self.state {
            return None;
        }
        if let Some(operation) = self.owed.take() {
            return Some(self.packet(operation, 0, Bytes::new()));
        }
        if self.state == State::Opening {
            return None;
        }
        let available = self.send_credit.available();
        if available > 0 && !self.unsent.is_empty() {
            return Some(self.data(now, available));
        }
        if let Some(directions) = self.ends_to_tell(now) {
            return Some(self.packet(Operation::Shutdown, directions, Bytes::new()));
        }
        if core::mem::take(&mut self.owes_credit) || self.receive_credit.owes_update() {
            return Some(self.packet(Operation::CreditUpdate, 0, Bytes::new()));
        }
        if self.keep_alive.take_question() {
            return Some(self.packet(Operation::CreditRequest, 0, Bytes::new()));
        }
        // A peer should say by itself that it has room again; some count differently.
        if !self.unsent.is_empty() && !core::mem::replace(&mut self.has_asked_for_credit, true) {
            return Some(self.packet(Operation::CreditRequest, 0, Bytes::new()));
        }
        None
    }

    fn data(&mut self, now: Duration, available: u32) -> Outgoing {
        let payload = self.unsent.take(PAYLOAD_BYTES_MAX.min(available as usize));
        self.send_credit.spend(payload.len() as u32);
        if self.unsent.is_waited_for() {
            let before = self.taken.map_or(0, |taken| taken.bytes);
            self.taken = Some(Taken { bytes: before + payload.len(), at: now });
        }
        if self.is_released {
            // The peer takes what is left: it has as long as before for the next part.
            self.deadline = Some(now + self.close_timeout);
        }
        self.packet(Operation::Data, 0, payload)
    }

    /// The directions that are ended, if the peer does not know it and has all that comes before.
    fn ends_to_tell(&mut self, now: Duration) -> Option<u32> {
        if !self.is_finished || !self.unsent.is_empty() {
            return None;
        }
        let ended = if self.is_released { direction::BOTH } else { direction::SEND };
        if core::mem::replace(&mut self.told_ended, ended) == ended {
            return None;
        }
        if ended == direction::BOTH {
            self.deadline = Some(now + self.close_timeout);
        }
        Some(ended)
    }

    fn packet(&mut self, operation: Operation, flags: u32, payload: Bytes) -> Outgoing {
        let (buffer_bytes, forwarded) = self.receive_credit.tell();
        self.owes_credit = false;
        Outgoing { operation, flags, payload, buffer_bytes, forwarded }
    }

    /// What left since writing had to wait, or since this was asked last.
    pub(crate) fn newly_taken(&mut self) -> Option<Taken> {
        self.taken.take()
    }

    /// So many of the unread bytes were read.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.unread.consume(bytes);
        self.receive_credit.forward(bytes);
    }

    /// Nothing more is written.
    pub(crate) fn finish(&mut self) {
        self.is_finished = true;
    }

    /// Its flow is gone; whether it is over by that and the peer is to be told.
    pub(crate) fn release(&mut self, now: Duration) -> bool {
        if let State::Over(_) = self.state {
            self.unread.clear();
            return false;
        }
        if !self.is_finished {
            return self.abort();
        }
        self.consume(self.unread.len());
        self.is_released = true;
        self.deadline = Some(now + self.close_timeout);
        false
    }

    /// Ends both directions at once; whether the peer is to be told.
    pub(crate) fn abort(&mut self) -> bool {
        let is_known = self.is_known_to_peer();
        self.end(Some(FlowError::Closed));
        self.unread.clear();
        is_known
    }

    /// The time has come to give the peer up, if it has; the connection is over then, and the peer is told. Else the peer
    /// may have to be asked whether it is there.
    pub(crate) fn handle_timeout(&mut self, now: Duration) -> bool {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return false;
        }
        if self.state == State::Open && !self.is_released && !self.keep_alive.is_over(now) {
            self.deadline = Some(self.keep_alive.deadline());
            return false;
        }
        self.end(Some(FlowError::TimedOut));
        true
    }

    /// There are no more packets of it.
    pub(crate) fn end(&mut self, why: Option<FlowError>) {
        if let State::Over(_) = self.state {
            return;
        }
        self.state = State::Over(why);
        self.has_lost_bytes |= !self.unsent.is_empty();
        self.unsent.clear();
        self.deadline = None;
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Bytes that wait here.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.unread.len() + self.unsent.len()
    }

    /// Bytes that may be sent now.
    pub(crate) fn credit_bytes(&self) -> u32 {
        self.send_credit.available()
    }

    /// There is something that the peer has to be told, or may have to be.
    pub(crate) fn may_transmit(&self) -> bool {
        let has_cause = self.owed.is_some()
            || !self.unsent.is_empty()
            || self.is_finished
            || self.owes_credit
            || self.keep_alive.has_question()
            || self.receive_credit.owes_update();
        has_cause && !matches!(self.state, State::Over(_))
    }

    /// Something was written, or is to be ended, that is not yet sent; or all is, and the peer has not said that it took
    /// notice.
    pub(crate) fn is_undelivered(&self) -> bool {
        let has_end = self.is_finished && self.told_ended == 0;
        self.state == State::Open && (has_end || self.is_released || !self.unsent.is_empty())
    }

    /// Nothing more comes that is not here already: an end of the stream, or why it broke.
    pub(crate) fn read_end(&self) -> Option<Result<(), FlowError>> {
        match self.state {
            _ if self.peer_ended & direction::SEND != 0 => Some(Ok(())),
            State::Over(why) => Some(Err(why.unwrap_or(FlowError::Reset))),
            State::Opening | State::Open => None,
        }
    }

    /// Whether bytes can be written, as far as there is room.
    pub(crate) fn may_write(&self) -> Result<(), FlowError> {
        match self.state {
            _ if self.is_finished => Err(FlowError::Closed),
            State::Over(why) => Err(why.unwrap_or(FlowError::Reset)),
            _ if self.peer_ended & direction::RECEIVE != 0 => Err(FlowError::Reset),
            State::Opening | State::Open => Ok(()),
        }
    }

    /// Whether all that was written is with the device, or can no longer be.
    pub(crate) fn is_drained(&self) -> Result<bool, FlowError> {
        match self.state {
            State::Over(Some(why)) => Err(why),
            _ if self.has_lost_bytes => Err(FlowError::Reset),
            _ => Ok(self.unsent.is_empty()),
        }
    }

    fn is_known_to_peer(&self) -> bool {
        self.state != State::Opening || self.owed.is_none()
    }
}
