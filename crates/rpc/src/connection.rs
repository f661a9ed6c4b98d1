//! Connection: the four tables of one (questions, answers, exports, imports), and bytes in and out.

use crate::admission::Held;
use crate::call::{Call, Owner};
use crate::exception::Exception;
use crate::framing::FramingError;
use crate::node::Node;
use crate::stream::{Encoding, Incoming, Outgoing};
use crate::table::{OwnIds, PeerIds};
use crate::vat::{CallId, Cap, ConnId, Event, Vat, Work};
use crate::wire::{Path, encode};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;
use pace::Late;

#[derive(Debug, Default)]
pub(crate) struct Connection {
    pub(crate) questions: OwnIds<Question>,
    pub(crate) answers: PeerIds<Answer>,
    pub(crate) exports: OwnIds<Export>,
    pub(crate) imports: PeerIds<Import>,
    /// Promises under embargo, by the number of the disembargo that is under way.
    pub(crate) embargoes: OwnIds<Cap>,
    /// What the peer gets when it asks for our bootstrap capability.
    pub(crate) offered: Option<Cap>,
    /// The peer's calls that are not answered, and their bytes.
    pub(crate) unreturned: usize,
    pub(crate) call_bytes: usize,
    /// Bytes of answers that the peer has not finished.
    pub(crate) kept_bytes: usize,
    /// The call at which the stream is stopped.
    pub(crate) held: Option<Box<Held>>,
    /// Memory is short: calls are refused or wait, but one at a time.
    pub(crate) refuses: bool,
    pub(crate) closed: bool,
    /// Why it closed.
    end: Option<Exception>,
    /// The abort is written, and nothing may follow it.
    aborted: bool,
    incoming: Incoming,
    outgoing: Outgoing,
}

/// A call of ours at the peer, until it returned and was finished.
#[derive(Debug)]
pub(crate) struct Question {
    /// `None` once cancelled: finish was sent, and only the return is missing.
    pub(crate) call: Option<CallId>,
    /// Exports named in the parameters, which the return may release.
    pub(crate) param_exports: Vec<u32>,
    /// Parts of the result that calls were sent to, and that nobody holds any more.
    pub(crate) used_paths: Vec<Path>,
    /// The peer keeps the results, to take them from here itself.
    pub(crate) keep_results: bool,
    pub(crate) returned: bool,
}

/// A call of the peer's, until it finished it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) call: CallId,
    /// Exports named in the results, which finish may release.
    pub(crate) result_exports: Vec<u32>,
    /// The results are for a question of the peer's own (`sendResultsTo.yourself`).
    pub(crate) keep_results: bool,
    pub(crate) returned: bool,
    /// Of the call, until it returned; then of the results, as long as they are kept.
    pub(crate) bytes: usize,
}

/// A capability that the peer holds.
#[derive(Debug)]
pub(crate) struct Export {
    pub(crate) node: Cap,
    pub(crate) refs: u32,
    /// It was described as a promise that is still to be resolved.
    pub(crate) promise: bool,
    /// The peer was told what it resolved to.
    pub(crate) resolved: bool,
}

/// A capability that we hold of the peer.
#[derive(Debug)]
pub(crate) struct Import {
    /// Without a reference: the entry goes when the node goes.
    pub(crate) node: Cap,
    /// How often the peer named it.
    pub(crate) refs: u32,
}

/// How many entries the tables of a connection have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableSizes {
    /// Our calls that the peer has not returned.
    pub questions: usize,
    /// The peer's calls that it has not finished.
    pub answers: usize,
    /// Capabilities that the peer holds of us.
    pub exports: usize,
    /// Capabilities that we hold of the peer.
    pub imports: usize,
    /// Disembargoes under way.
    pub embargoes: usize,
}

impl Connection {
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.outgoing.unsent_bytes()
    }

    fn table_sizes(&self) -> TableSizes {
        TableSizes {
            questions: self.questions.len(),
            answers: self.answers.len(),
            exports: self.exports.len(),
            imports: self.imports.len(),
            embargoes: self.embargoes.len(),
        }
    }

    /// What the tables' entries stand for costs besides their places: a call for a question or an answer, a node for
    /// an export or an import.
    fn held_bytes(&self) -> usize {
        let calls = self.questions.len() + self.answers.len();
        let nodes = self.exports.len() + self.imports.len() + self.embargoes.len();
        let tables = self.questions.held_bytes()
            + self.answers.held_bytes()
            + self.exports.held_bytes()
            + self.imports.held_bytes()
            + self.embargoes.held_bytes();
        size_of::<Self>()
            + tables
            + calls * size_of::<Call>()
            + nodes * size_of::<Node>()
            + self.call_bytes
            + self.kept_bytes
            + self.incoming.held_bytes()
            + self.outgoing.held_bytes()
            + self.held.as_ref().map_or(0, |held| held.bytes())
    }
}

/// Messages that are taken of a peer before others have their turn.
const MESSAGES_AT_ONCE: usize = 64;

impl Vat {
    /// A new connection, whose peer gets `offered` as its bootstrap capability; the reference is
    /// the connection's from then on.
    pub fn connect(&mut self, offered: Option<Cap>) -> ConnId {
        self.connect_as(offered, Encoding::Plain)
    }

    /// As [`connect`](Self::connect), where both ends agreed on an encoding.
    pub fn connect_as(&mut self, offered: Option<Cap>, encoding: Encoding) -> ConnId {
        let pace = self.limits.pace();
        let incoming = Incoming::new(encoding, pace);
        let outgoing = Outgoing::new(encoding, pace);
        let connection = Connection { offered, incoming, outgoing, ..Connection::default() };
        ConnId(self.conns.insert(connection))
    }

    /// Takes bytes from the peer, cut anywhere; how many. It stops after some dozens of messages, and where there is no
    /// room for the peer's next call: what is left is to be given again once [`wants_input`](Self::wants_input)
    /// says so. Input to a closed connection is dropped.
    #[must_use]
    pub fn handle_input(&mut self, now: Duration, conn: ConnId, bytes: &[u8]) -> usize {
        let limits = self.limits;
        let mut rest = bytes;
        let mut messages = 0;
        while let Some(connection) = self.open(conn) {
            if connection.held.is_some() {
                self.note_held(now, conn);
                return bytes.len() - rest.len();
            }
            if messages == MESSAGES_AT_ONCE {
                // A message has just ended, so that what came is no progress of another.
                connection.incoming.moved(now, 0);
                return bytes.len() - rest.len();
            }
            messages += 1;
            match connection.incoming.next(&mut rest, &limits) {
                Ok(Some(frame)) => self.handle_frame(conn, frame),
                Ok(None) => {
                    connection.incoming.moved(now, bytes.len());
                    break;
                }
                Err(error) => self.abort(conn, framing_reason(error)),
            }
            self.run();
        }
        bytes.len()
    }

    /// Whether the peer's bytes should be read: not while its next call waits for room. When they
    /// should again, [`take_transmittable`](Self::take_transmittable) names the connection.
    pub fn wants_input(&self, conn: ConnId) -> bool {
        let connection = self.conns.get(conn.0);
        connection.is_some_and(|connection| !connection.closed && connection.held.is_none())
    }

    /// Whether the peer's bytes must be read although memory is short: what it owes us, or what lets go of what we
    /// hold for it, comes by them. Else a long message may stop half way.
    pub fn needs_input(&self, conn: ConnId) -> bool {
        /// Of an unfinished message, that is not long.
        const SHORT_BYTES: usize = 64 << 10;
        self.conns.get(conn.0).is_some_and(|connection| {
            connection.owes()
                || connection.kept_bytes > 0
                || connection.incoming.held_bytes() < SHORT_BYTES
        })
    }

    /// Whether the peer's calls are to be refused, or to wait, since memory is short.
    pub fn refuse_calls(&mut self, conn: ConnId, refuse: bool) {
        if let Some(connection) = self.open(conn) {
            connection.refuses = refuse;
        }
        self.made_room(conn);
        self.run();
    }

    /// Moves bytes for the peer to `buffer`; how many. Also after the connection closed, so that
    /// the peer learns why.
    pub fn poll_transmit(&mut self, now: Duration, conn: ConnId, buffer: &mut [u8]) -> usize {
        let connection = self.conns.get_mut(conn.0);
        let count = connection.map_or(0, |connection| connection.outgoing.take(now, buffer));
        self.transmitted(conn);
        count
    }

    /// As [`poll_transmit`](Self::poll_transmit) without a copy: shows the next bytes to `write`,
    /// which says how many of them it took.
    pub fn transmit_with(
        &mut self,
        now: Duration,
        conn: ConnId,
        write: impl FnOnce(&[u8]) -> usize,
    ) -> usize {
        let connection = self.conns.get_mut(conn.0);
        let count = connection.map_or(0, |connection| connection.outgoing.take_with(now, write));
        self.transmitted(conn);
        count
    }

    fn transmitted(&mut self, conn: ConnId) {
        self.made_room(conn);
        if !self.work.is_empty() {
            self.run();
        }
    }

    /// Whether there are bytes to send.
    pub fn has_output(&self, conn: ConnId) -> bool {
        self.conns.get(conn.0).is_some_and(|connection| connection.outgoing.unsent_bytes() > 0)
    }

    /// A connection that has bytes to send since it last had none, or is to be read again.
    pub fn take_transmittable(&mut self) -> Option<ConnId> {
        self.transmittable.pop()
    }

    /// The peer took so many bytes of output that was taken before from here.
    pub fn peer_took(&mut self, now: Duration, conn: ConnId, count: usize) {
        if let Some(connection) = self.conns.get_mut(conn.0) {
            connection.outgoing.peer_took(now, count);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due if the peer makes no progress. A
    /// connection that closed has one too, until its last bytes have left.
    pub fn next_deadline(&mut self, now: Duration, conn: ConnId) -> Option<Duration> {
        let connection = self.conns.get_mut(conn.0)?;
        let unsent = connection.outgoing.deadline(now);
        let midway = connection.incoming.wait.map(|wait| wait.deadline);
        let held = connection.held.as_ref().and_then(|held| held.since());
        let held = held.map(|since| since.saturating_add(self.limits.stall_timeout));
        [midway, unsent, held].into_iter().flatten().min()
    }

    /// If the deadline has passed, closes the connection; or, if that was done before and the peer
    /// does not take the last bytes, forgets those.
    pub fn handle_timeout(&mut self, now: Duration, conn: ConnId) {
        if self.next_deadline(now, conn).is_none_or(|deadline| deadline > now) {
            return;
        }
        let pace = self.limits.pace();
        let Some(connection) = self.conns.get_mut(conn.0) else { return };
        if connection.closed {
            return connection.outgoing.clear();
        }
        let waits = [connection.incoming.wait, connection.outgoing.wait];
        match waits.into_iter().find_map(|wait| pace.late(wait, now)) {
            Some(late) => {
                let limit = match late {
                    Late::Stalled => "stall_timeout without progress",
                    Late::TooSlow => "less than bytes_per_second_min",
                };
                connection.outgoing.wait = None;
                self.close(conn, Exception::disconnected(limit));
            }
            None => {
                self.refuse_held(conn);
                self.run();
            }
        }
    }

    /// Bytes that the connection holds for its peer, with what it costs to hold them.
    pub fn held_bytes(&self, conn: ConnId) -> usize {
        self.conns.get(conn.0).map_or(0, Connection::held_bytes)
    }

    /// Ends the connection from this side, telling the peer why as far as bytes can still leave.
    pub fn close(&mut self, conn: ConnId, reason: Exception) {
        self.write_abort(conn, &reason);
        self.disconnect(conn, reason);
        self.run();
    }

    /// The transport ended.
    pub fn handle_end(&mut self, conn: ConnId) {
        self.handle_loss(conn, Exception::disconnected("the peer closed the connection"));
    }

    /// The transport broke.
    pub fn handle_loss(&mut self, conn: ConnId, reason: Exception) {
        self.disconnect(conn, reason);
        self.run();
    }

    /// Why the connection ended, once it has.
    pub fn closed_by(&self, conn: ConnId) -> Option<&Exception> {
        self.conns.get(conn.0)?.end.as_ref()
    }

    /// Whether the connection has ended. Bytes may be left to send.
    pub fn is_closed(&self, conn: ConnId) -> bool {
        self.conns.get(conn.0).is_none_or(|connection| connection.closed)
    }

    /// Forgets a connection, ending it if need be.
    pub fn forget(&mut self, conn: ConnId) {
        // Without a reason where one is known: that would take memory, of which there may be none.
        if !self.is_closed(conn) {
            self.handle_end(conn);
        }
        self.conns.remove(conn.0);
    }

    /// How full the tables of a connection are.
    pub fn table_sizes(&self, conn: ConnId) -> TableSizes {
        self.conns.get(conn.0).map_or_else(TableSizes::default, Connection::table_sizes)
    }

    /// How full those of all connections are together.
    pub fn all_table_sizes(&self) -> TableSizes {
        let all = self.conns.values().map(Connection::table_sizes);
        all.fold(TableSizes::default(), |sum, one| TableSizes {
            questions: sum.questions + one.questions,
            answers: sum.answers + one.answers,
            exports: sum.exports + one.exports,
            imports: sum.imports + one.imports,
            embargoes: sum.embargoes + one.embargoes,
        })
    }

    /// The connection, unless it ended.
    pub(crate) fn open(&mut self, conn: ConnId) -> Option<&mut Connection> {
        self.conns.get_mut(conn.0).filter(|connection| !connection.closed)
    }

    /// Where to write a message for the peer; `None` when the connection ended, or ends now
    /// because the peer leaves too much unread.
    pub(crate) fn out(&mut self, conn: ConnId) -> Option<&mut Outgoing> {
        let unsent_bytes_max = self.limits.unsent_bytes_max;
        let connection = self.open(conn)?;
        if connection.outgoing.unsent_bytes() > unsent_bytes_max {
            self.end(conn, Exception::overloaded("unsent_bytes_max exceeded"));
        }
        self.out_of_any_length(conn)
    }

    /// As [`out`](Self::out), whatever waits there: for an abort, which is short and comes once.
    fn out_of_any_length(&mut self, conn: ConnId) -> Option<&mut Outgoing> {
        let connection = self.conns.get_mut(conn.0);
        let connection = connection.filter(|known| !known.closed && !known.aborted)?;
        if !core::mem::replace(&mut connection.outgoing.signalled, true) {
            self.transmittable.push(conn);
        }
        Some(&mut connection.outgoing)
    }

    /// The peer broke the protocol or a limit: tells it, and ends the connection.
    pub(crate) fn abort(&mut self, conn: ConnId, reason: &'static str) {
        let reason = Exception::failed(reason);
        self.write_abort(conn, &reason);
        self.disconnect(conn, reason);
    }

    /// As [`abort`](Self::abort), from amid something else that uses the connection: it ends once
    /// that is done.
    pub(crate) fn end(&mut self, conn: ConnId, reason: Exception) {
        self.write_abort(conn, &reason);
        self.work.push_back(Work::Disconnect(conn, reason));
    }

    fn write_abort(&mut self, conn: ConnId, reason: &Exception) {
        if let Some(out) = self.out_of_any_length(conn) {
            encode::abort(out.messages(), reason);
        }
        if let Some(connection) = self.open(conn) {
            connection.aborted = true;
        }
    }

    /// Breaks all that depended on the connection. Bytes written before stay to be sent.
    pub(crate) fn disconnect(&mut self, conn: ConnId, reason: Exception) {
        let Some(connection) = self.open(conn) else {
            return;
        };
        connection.closed = true;
        connection.end = Some(reason.clone());
        connection.incoming = Incoming::default();
        connection.held = None;
        (connection.unreturned, connection.call_bytes, connection.kept_bytes) = (0, 0, 0);
        let offered = connection.offered.take();
        let questions: Vec<_> = connection.questions.drain().collect();
        let answers: Vec<_> = connection.answers.drain().collect();
        let exports: Vec<_> = connection.exports.drain().collect();
        let imports: Vec<_> = connection.imports.drain().collect();
        let embargoes: Vec<_> = connection.embargoes.drain().collect();
        let lost = Exception::disconnected(reason.reason.as_str());
        for call in questions.into_iter().filter_map(|question| question.call) {
            self.finish_call(call, Err(lost.clone()));
        }
        for node in imports.into_iter().map(|import| import.node).chain(embargoes) {
            self.break_node(node, lost.clone());
        }
        for call in answers.into_iter().map(|answer| answer.call) {
            self.disown(call);
        }
        for node in exports.into_iter().map(|export| export.node).chain(offered) {
            if let Some(node) = self.nodes.get_mut(node.0) {
                node.exports.remove(&conn);
            }
            self.release_node(node);
        }
        self.events.push_back(Event::Disconnected { conn, reason });
    }

    /// The peer no longer wants the result of its call.
    pub(crate) fn disown(&mut self, call: CallId) {
        if let Some(record) = self.calls.get_mut(call.0) {
            record.owner = Owner::None;
        }
        self.unref_call(call);
    }
}

fn framing_reason(error: FramingError) -> &'static str {
    match error {
        FramingError::Segments => "segments_max exceeded",
        FramingError::Words => "message_words_max exceeded",
        FramingError::Empty => "an empty message",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ObjectId;
    use crate::call::State;
    use crate::limits::Limits;

    #[test]
    fn every_part_of_a_connection_weighs() {
        let mut vat = Vat::new(Limits::default());
        let node = vat.object(ObjectId(1));
        let call = vat.add_call(Owner::None, State::Delivered, 0, 0);
        let (of_call, of_node) = (size_of::<Call>(), size_of::<Node>());
        let mut connection = Connection::default();
        assert_eq!(connection.held_bytes(), size_of::<Connection>());
        let mut weighed = connection.held_bytes();
        let mut grown = |connection: &Connection| {
            let before = core::mem::replace(&mut weighed, connection.held_bytes());
            connection.held_bytes() - before
        };
        connection.questions.insert(Question {
            call: None,
            param_exports: Vec::new(),
            used_paths: Vec::new(),
            keep_results: false,
            returned: false,
        });
        assert_eq!(grown(&connection), connection.questions.held_bytes() + of_call);
        let result_exports = Vec::new();
        let answer =
            Answer { call, result_exports, keep_results: false, returned: false, bytes: 9 };
        connection.answers.insert(0, answer);
        assert_eq!(grown(&connection), connection.answers.held_bytes() + of_call);
        connection.exports.insert(Export { node, refs: 1, promise: false, resolved: false });
        assert_eq!(grown(&connection), connection.exports.held_bytes() + of_node);
        connection.imports.insert(0, Import { node, refs: 1 });
        assert_eq!(grown(&connection), connection.imports.held_bytes() + of_node);
        connection.embargoes.insert(node);
        assert_eq!(grown(&connection), connection.embargoes.held_bytes() + of_node);
        connection.call_bytes = 1_000;
        assert_eq!(grown(&connection), 1_000);
        connection.kept_bytes = 300;
        assert_eq!(grown(&connection), 300);
        let mut head = &[0, 0, 0, 0, 0xFF, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8][..];
        assert!(connection.incoming.next(&mut head, &Limits::default()).unwrap().is_none());
        assert_eq!(grown(&connection), 255 * 8);
        connection.outgoing.messages().reserve_exact(500);
        assert_eq!(grown(&connection), 500);
    }

    #[test]
    fn the_tables_of_all_connections_are_added_up() {
        let mut vat = Vat::new(Limits::default());
        let node = vat.object(ObjectId(1));
        let call = vat.add_call(Owner::None, State::Delivered, 0, 0);
        for count in 1..=3 {
            let conn = vat.connect(None);
            let connection = vat.open(conn).unwrap();
            for id in 0..count {
                connection.imports.insert(id, Import { node, refs: 1 });
                connection.embargoes.insert(node);
                connection.embargoes.insert(node);
                for id in 3 * id..3 * id + 3 {
                    let result_exports = Vec::new();
                    let (keep_results, returned) = (false, false);
                    let answer = Answer { call, result_exports, keep_results, returned, bytes: 0 };
                    connection.answers.insert(id, answer);
                }
            }
        }
        let all = TableSizes { answers: 18, imports: 6, embargoes: 12, ..TableSizes::default() };
        assert_eq!(vat.all_table_sizes(), all);
    }

    /// A peer that leaves everything unread is let go beyond the limit, and not at it.
    #[test]
    fn unsent_bytes_max_bytes_may_wait() {
        let mut vat = Vat::new(Limits { unsent_bytes_max: 1_000, ..Limits::default() });
        let conn = vat.connect(None);
        vat.open(conn).unwrap().outgoing.messages().resize(1_000, 0);
        assert!(vat.out(conn).is_some());
        vat.run();
        assert!(!vat.is_closed(conn));
        vat.open(conn).unwrap().outgoing.messages().push(0);
        assert!(vat.out(conn).is_none());
        vat.run();
        assert_eq!(vat.closed_by(conn).unwrap().reason, "unsent_bytes_max exceeded");
        assert!(vat.transmit_with(Duration::ZERO, conn, <[u8]>::len) > 1_001, "and an abort");
        assert!(!vat.has_output(conn));
    }
}
