//! Admission: which of the peer's calls are taken now, which wait in the stream, which are refused.
//!
//! A stream has one order, so that whoever stops reading at a call also does not read the returns behind it. Two
//! vats that both do would wait for each other for ever. Hence **reading stops only at a call, and only while the
//! peer owes us nothing**: then every call that we have not answered depends on us alone, and the peer, which waits for
//! our answer, reads. While the peer owes us something, calls are taken up to twice as much, and refused beyond. So
//! what resolves or releases (return, finish, release, resolve, disembargo) is always read, but behind a call
//! that waits; and none waits longer than [`Limits::stall_timeout`](crate::Limits::stall_timeout). The reference
//! implementation's flow limit stops at the same place, without the condition.

use crate::call::{Owner, State};
use crate::connection::Connection;
use crate::exception::Exception;
use crate::framing::Frame;
use crate::inbound::Broken;
use crate::limits::Limits;
use crate::vat::{CallId, ConnId, Vat, Work};
use crate::wire::{Descriptor, Message, encode};
use alloc::boxed::Box;
use capnp::message::Reader;
use core::fmt;
use core::time::Duration;

/// A call that waits where the stream was stopped.
pub(crate) struct Held {
    message: Message,
    reader: Reader<Frame>,
    since: Option<Duration>,
}

impl Held {
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.reader.get_segments().bytes()
    }

    /// Since when it waits.
    pub(crate) fn since(&self) -> Option<Duration> {
        self.since
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("message", &self.message).field("since", &self.since).finish()
    }
}

/// What becomes of a call.
enum Admission {
    Taken,
    Waits,
    /// The limit that it would exceed.
    Refused(&'static str),
}

/// Answers that a peer may leave unfinished and still be one that makes us hold nothing.
const ANSWERS_ALONE_MAX: usize = 64;

impl Connection {
    /// Whether the peer has something to say that others here may wait for.
    pub(crate) fn owes(&self) -> bool {
        self.questions.len() + self.embargoes.len() > 0
    }

    fn admission(&self, limits: &Limits, bytes: usize) -> Admission {
        let owes = self.owes();
        if self.kept_bytes > limits.call_bytes_max.saturating_mul(2) {
            // A peer that never finishes answers would wait for itself.
            return Admission::Refused("call_bytes_max exceeded by results that are not finished");
        }
        match self.exceeded(limits, bytes, self.refuses, 1) {
            None => Admission::Taken,
            Some(_) if !owes => Admission::Waits,
            Some(limit) if self.refuses => Admission::Refused(limit),
            Some(_) => match self.exceeded(limits, bytes, false, 2) {
                None => Admission::Taken,
                Some(limit) => Admission::Refused(limit),
            },
        }
    }

    /// Which limit one more call would exceed by so many times.
    fn exceeded(
        &self,
        limits: &Limits,
        bytes: usize,
        short: bool,
        times: usize,
    ) -> Option<&'static str> {
        let unsent_bytes_max = match times {
            1 => limits.unsent_bytes_high,
            _ => limits.unsent_bytes_max / 2,
        };
        // One call alone may be as long as a message may, and may come while memory is short. Answers that are not
        // finished are not nothing.
        let alone = self.unreturned == 0 && self.answers.len() <= ANSWERS_ALONE_MAX;
        if short && !alone {
            Some("memory is short")
        } else if !alone && self.call_bytes + bytes > limits.call_bytes_max.saturating_mul(times) {
            Some("call_bytes_max exceeded")
        } else if self.unreturned >= limits.answers_max.saturating_mul(times) {
            Some("answers_max exceeded")
        } else if self.unsent_bytes() >= unsent_bytes_max {
            Some("unsent_bytes_max exceeded")
        } else {
            None
        }
    }
}

impl Vat {
    /// Whether the peer has to read before more of its calls begin. While it owes us something it may have to wait
    /// for us first.
    pub(crate) fn is_backed_up(&self, conn: ConnId) -> bool {
        self.conns.get(conn.0).is_some_and(|connection| {
            !connection.closed
                && connection.unsent_bytes() >= self.limits.unsent_bytes_high
                && !connection.owes()
        })
    }

    /// The connection that a received call came by, if by any, and whether that is backed up; nothing once nobody wants
    /// its answer any more.
    pub(crate) fn origin(&self, call: CallId) -> Option<Option<(ConnId, bool)>> {
        let call = self.calls.get(call.0).filter(|call| matches!(call.state, State::Delivered))?;
        Some(match call.owner {
            Owner::Answer { conn, .. } => Some((conn, self.is_backed_up(conn))),
            Owner::App | Owner::None => None,
        })
    }

    /// Takes a call or bootstrap message if there is room; else it waits, or is refused.
    pub(crate) fn admit(
        &mut self,
        conn: ConnId,
        message: Message,
        reader: Reader<Frame>,
    ) -> Result<(), Broken> {
        let limits = self.limits;
        let Some(connection) = self.open(conn) else { return Ok(()) };
        match connection.admission(&limits, reader.get_segments().bytes()) {
            Admission::Taken => return self.handle_call(conn, message, reader),
            Admission::Waits => {
                connection.held = Some(Box::new(Held { message, reader, since: None }));
            }
            Admission::Refused(limit) => self.refuse(conn, &message, limit),
        }
        Ok(())
    }

    /// Notes since when a call waits.
    pub(crate) fn note_held(&mut self, now: Duration, conn: ConnId) {
        if let Some(held) = self.open(conn).and_then(|connection| connection.held.as_mut()) {
            held.since.get_or_insert(now);
        }
    }

    /// Looks again at a call that waits, where there may be room now.
    pub(crate) fn retry_held(&mut self, conn: ConnId) {
        let limits = self.limits;
        let Some(connection) = self.open(conn) else { return };
        let Some(held) = connection.held.take() else { return };
        match connection.admission(&limits, held.reader.get_segments().bytes()) {
            Admission::Waits => {
                connection.held = Some(held);
                return;
            }
            Admission::Taken => {
                let Held { message, reader, .. } = *held;
                if let Err(reason) = self.handle_call(conn, message, reader) {
                    self.abort(conn, reason);
                }
            }
            Admission::Refused(limit) => self.refuse(conn, &held.message, limit),
        }
        // Its stream is to be read again.
        self.transmittable.push(conn);
    }

    /// A call has waited for too long.
    pub(crate) fn refuse_held(&mut self, conn: ConnId) {
        let held = self.open(conn).and_then(|connection| connection.held.take());
        if let Some(held) = held {
            self.refuse(conn, &held.message, "stall_timeout without room for this call");
            self.transmittable.push(conn);
        }
    }

    /// There may be room for a call that waits at this connection, if one does.
    pub(crate) fn made_room(&mut self, conn: ConnId) {
        if self.open(conn).is_some_and(|connection| connection.held.is_some()) {
            self.work.push_back(Work::RetryHeld(conn));
        }
    }

    /// Answers a call that is not taken: nothing of it is left, nor of what it brought.
    fn refuse(&mut self, conn: ConnId, message: &Message, limit: &'static str) {
        let (question, release_params) = match message {
            Message::Bootstrap { question, .. } => (*question, false),
            Message::Call(header) => {
                let brought = header.caps.iter().any(|cap| !matches!(cap, Descriptor::None));
                (header.question, brought)
            }
            _ => return,
        };
        if let Some(out) = self.out(conn) {
            let reason = Exception::overloaded(limit);
            encode::refusal(out.messages(), question, release_params, &reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::CallId;
    use crate::connection::{Answer, Question};
    use crate::table::Slab;
    use alloc::vec::Vec;

    /// A connection as its peer made it.
    #[derive(Clone, Copy, Default)]
    struct State {
        /// Calls at work, and their bytes.
        calls: (usize, usize),
        unfinished: u32,
        kept_bytes: usize,
        unsent_bytes: usize,
        owes: bool,
        refuses: bool,
    }

    /// What becomes of a call of 100 bytes: nothing if it waits, or whether it is taken, or the limit.
    fn admitted(state: State) -> Option<Result<(), &'static str>> {
        let limits = Limits {
            answers_max: 10,
            call_bytes_max: 1_000,
            unsent_bytes_high: 500,
            unsent_bytes_max: 8_000,
            ..Limits::default()
        };
        let mut vat = Vat::new(limits);
        let conn = vat.connect(None);
        vat.out(conn).unwrap().messages().resize(state.unsent_bytes, 0);
        let call = CallId(Slab::default().insert(()));
        let connection = vat.open(conn).unwrap();
        (connection.unreturned, connection.call_bytes) = state.calls;
        (connection.kept_bytes, connection.refuses) = (state.kept_bytes, state.refuses);
        for id in 0..state.unfinished {
            let (keep_results, returned) = (false, true);
            let result_exports = Vec::new();
            let answer = Answer { call, result_exports, keep_results, returned, bytes: 0 };
            connection.answers.insert(id, answer);
        }
        if state.owes {
            connection.questions.insert(Question {
                call: None,
                param_exports: Vec::new(),
                used_paths: Vec::new(),
                keep_results: false,
                returned: false,
            });
        }
        match connection.admission(&limits, 100) {
            Admission::Taken => Some(Ok(())),
            Admission::Waits => None,
            Admission::Refused(limit) => Some(Err(limit)),
        }
    }

    /// Up to each limit calls are taken; beyond it they wait, of a peer that owes nothing.
    #[test]
    fn a_call_beyond_a_limit_waits() {
        let idle = State::default();
        for (taken, waits) in [
            (State { calls: (9, 0), ..idle }, State { calls: (10, 0), ..idle }),
            (State { calls: (1, 900), ..idle }, State { calls: (1, 901), ..idle }),
            (State { unsent_bytes: 499, ..idle }, State { unsent_bytes: 500, ..idle }),
            // Alone it may be as long as it likes, and come while memory is short.
            (State { calls: (0, 901), ..idle }, State { calls: (1, 901), ..idle }),
            (State { refuses: true, ..idle }, State { refuses: true, calls: (1, 0), ..idle }),
            (
                State { refuses: true, unfinished: 64, ..idle },
                State { refuses: true, unfinished: 65, ..idle },
            ),
        ] {
            assert_eq!((admitted(taken), admitted(waits)), (Some(Ok(())), None));
        }
    }

    /// A peer that owes something gets twice as much, but not while memory is short; a call beyond it fails.
    #[test]
    fn a_call_beyond_a_limit_of_a_peer_that_owes_something_is_refused() {
        let owes = State { owes: true, ..State::default() };
        let short = State { refuses: true, ..owes };
        for (taken, refused, limit) in [
            ((19, 0, 0), (20, 0, 0), "answers_max exceeded"),
            ((1, 1_900, 0), (1, 1_901, 0), "call_bytes_max exceeded"),
            ((0, 0, 3_999), (0, 0, 4_000), "unsent_bytes_max exceeded"),
        ] {
            let state = |(calls, bytes, unsent_bytes)| State {
                calls: (calls, bytes),
                unsent_bytes,
                ..owes
            };
            assert_eq!(admitted(state(taken)), Some(Ok(())));
            assert_eq!(admitted(state(refused)), Some(Err(limit)));
        }
        assert_eq!(admitted(short), Some(Ok(())));
        let second = State { calls: (1, 0), ..short };
        assert_eq!(admitted(second), Some(Err("memory is short")));
    }

    #[test]
    fn whoever_finishes_nothing_is_refused_whether_it_owes_or_not() {
        for owes in [false, true] {
            let state = |kept_bytes| State { kept_bytes, owes, ..State::default() };
            assert_eq!(admitted(state(2_000)), Some(Ok(())));
            let limit = "call_bytes_max exceeded by results that are not finished";
            assert_eq!(admitted(state(2_001)), Some(Err(limit)));
        }
    }
}
