//! Message sending: what this vat tells its peers.

use crate::call::{Owner, State};
use crate::connection::{Export, Question};
use crate::exception::Exception;
use crate::node::Kind;
use crate::payload::Payload;
use crate::vat::{CallId, Cap, ConnId, Vat, Work};
use crate::wire::encode::{self, NoResults};
use crate::wire::{CallHeader, Descriptor, Path, Target, envelope};
use alloc::rc::Rc;
use alloc::vec::Vec;

impl Vat {
    /// Asks the peer for a service, without a name for its bootstrap capability: a promise for the
    /// result's root.
    pub(crate) fn ask_bootstrap(&mut self, conn: ConnId, service: &[u8]) -> Cap {
        let questions_max = self.limits.questions_max;
        let Some(connection) = self.open(conn) else {
            return self.broken(Exception::disconnected("the connection is closed"));
        };
        if connection.questions.len() >= questions_max {
            return self.broken(Exception::overloaded("questions_max exceeded"));
        }
        let question = connection.questions.insert(Question {
            call: None,
            param_exports: Vec::new(),
            used_paths: Vec::new(),
            keep_results: false,
            returned: false,
        });
        self.made_room(conn);
        let call = self.add_call(Owner::None, State::Sent { conn, question }, 0, 0);
        self.set_question_call(conn, question, call);
        if let Some(out) = self.out(conn) {
            encode::bootstrap(out.messages(), question, service);
        }
        let cap = self.pipelined(call, Vec::new());
        self.unref_call(call);
        cap
    }

    /// Sends a call to `target`, which is an import or lies in an answer of the peer's.
    pub(crate) fn send_call(&mut self, call: CallId, target: Cap) {
        // It may have been cancelled while it waited.
        let Some(State::Waiting(_)) = self.calls.get(call.0).map(|record| &record.state) else {
            return;
        };
        if let Err(reason) = self.try_send_call(call, target) {
            self.finish_call(call, Err(reason));
        }
    }

    fn try_send_call(&mut self, call: CallId, target: Cap) -> Result<(), Exception> {
        let (conn, wire_target) = self.wire_target(target)?;
        self.check_parts(conn, &wire_target)?;
        let tail_of = self.tail_answer(call, conn);
        let (mut draft, caps, interface, method, owned) = {
            let record = self.calls.get_mut(call.0).ok_or_else(closed)?;
            let (interface, method) = (record.interface, record.method);
            let State::Waiting(params) = &mut record.state else {
                return Err(closed());
            };
            let (draft, caps) = params.take_params()?;
            (draft, caps, interface, method, core::mem::take(&mut params.caps))
        };
        let sent = self
            .check_room(conn, caps.len())
            .and_then(|()| self.check_unsent(conn, || draft.size_in_words() * 8))
            .map(|()| self.describe_all(conn, &caps));
        self.release_caps(owned);
        let (descriptors, param_exports) = sent?;
        let connection = self.open(conn).ok_or_else(closed)?;
        let keep_results = tail_of.is_some();
        let question = connection.questions.insert(Question {
            call: Some(call),
            param_exports,
            used_paths: Vec::new(),
            keep_results,
            returned: false,
        });
        self.made_room(conn);
        let header = CallHeader {
            question,
            target: wire_target,
            interface,
            method,
            keep_results,
            caps: descriptors,
        };
        encode::call(&mut draft, &header)?;
        if let Some(out) = self.out(conn) {
            out.append(&mut draft);
        }
        if let Some(record) = self.calls.get_mut(call.0) {
            record.state = State::Sent { conn, question };
        }
        self.mark_used(target);
        self.send_pipelines(call);
        if let Some(answer) = tail_of {
            self.send_take_from(conn, answer, question);
        }
        Ok(())
    }

    fn wire_target(&mut self, target: Cap) -> Result<(ConnId, Target), Exception> {
        match self.kind_mut(target) {
            Some(Kind::Import { conn, id, .. }) => Ok((*conn, Target::Import(*id))),
            Some(Kind::Pipeline { conn, question, path, .. }) => {
                Ok((*conn, Target::Answer(*question, path.clone())))
            }
            _ => Err(closed()),
        }
    }

    /// Calls to one more part of a result can be sent only while few enough are remembered.
    fn check_parts(&mut self, conn: ConnId, target: &Target) -> Result<(), Exception> {
        let parts_max = self.limits.parts_max;
        if let Target::Answer(question, path) = target
            && let Some(entry) = self.open(conn).and_then(|open| open.questions.get(*question))
            && entry.used_paths.len() >= parts_max
            && !entry.used_paths.contains(path)
        {
            return Err(Exception::overloaded("parts_max exceeded"));
        }
        Ok(())
    }

    /// Remembers that calls are under way to a part of a result, though its promise goes.
    pub(crate) fn remember_used(&mut self, conn: ConnId, question: u32, path: Path) {
        if let Some(entry) = self.open(conn).and_then(|open| open.questions.get_mut(question))
            && !entry.used_paths.contains(&path)
        {
            entry.used_paths.push(path);
        }
    }

    /// Whether calls were sent to this part of a result by a promise that is gone.
    pub(crate) fn was_used(&mut self, conn: ConnId, question: u32, path: &Path) -> bool {
        let entry = self.open(conn).and_then(|open| open.questions.get(question));
        entry.is_some_and(|entry| entry.used_paths.contains(path))
    }

    /// The answer that `call` alone completes, if that goes to `conn`: then the peer can take the
    /// results from itself.
    fn tail_answer(&self, call: CallId, conn: ConnId) -> Option<u32> {
        let mut at = self.calls.get(call.0)?;
        if at.owner != Owner::None {
            return None;
        }
        while at.owner == Owner::None && at.followers.len() == 1 {
            at = self.calls.get(at.followers[0].0)?;
        }
        match at.owner {
            Owner::Answer { conn: asker, answer } if asker == conn => {
                let entry = self.conns.get(conn.0)?.answers.get(answer)?;
                (!entry.returned && !entry.keep_results).then_some(answer)
            }
            _ => None,
        }
    }

    fn send_take_from(&mut self, conn: ConnId, answer: u32, question: u32) {
        if let Some(connection) = self.open(conn)
            && let Some(entry) = connection.answers.get_mut(answer)
        {
            entry.returned = true;
            connection.call_bytes -= core::mem::take(&mut entry.bytes);
            connection.unreturned -= 1;
        }
        self.made_room(conn);
        if let Some(out) = self.out(conn) {
            encode::no_results(out.messages(), answer, &NoResults::TakeFrom(question));
        }
    }

    /// Answers the peer's call. The references in `result` stay where they are.
    pub(crate) fn send_return(
        &mut self,
        conn: ConnId,
        answer: u32,
        result: &mut Result<Rc<Payload>, Exception>,
    ) {
        let Some(connection) = self.open(conn) else {
            return;
        };
        let Some(entry) = connection.answers.get_mut(answer) else {
            return;
        };
        if core::mem::replace(&mut entry.returned, true) {
            return;
        }
        connection.call_bytes -= core::mem::take(&mut entry.bytes);
        connection.unreturned -= 1;
        if entry.keep_results {
            if let Some(out) = self.out(conn) {
                encode::no_results(out.messages(), answer, &NoResults::SentElsewhere);
            }
        } else {
            let sent = match result {
                Ok(payload) => self.send_results(conn, answer, payload),
                Err(reason) => Err(reason.clone()),
            };
            if let Err(reason) = sent
                && let Some(out) = self.out(conn)
            {
                encode::no_results(out.messages(), answer, &NoResults::Exception(&reason));
            }
        }
        self.note_kept(conn, answer, result);
        self.made_room(conn);
    }

    /// Answers the peer's call and forgets it, in one step, as most calls are answered: the results have no capabilities,
    /// so that nothing can be asked of them any more, and nobody but the peer waits for them. Whether it was so; if not,
    /// nothing was done.
    pub(crate) fn send_alone(&mut self, call: CallId, results: &mut Payload) -> bool {
        let Some((conn, answer)) = self.awaited_by_answer_alone(call) else { return false };
        let entry = self.open(conn).and_then(|connection| connection.answers.get(answer));
        if !entry.is_some_and(|entry| !entry.returned && !entry.keep_results) {
            return false;
        }
        if !results.caps.is_empty() || self.check_unsent(conn, || results.bytes()).is_err() {
            return false;
        }
        let Some((draft, _)) = results.results_draft() else { return false };
        if envelope::fill(draft, answer, true, &[]).is_err() {
            return false;
        }
        let Some(out) = self.out(conn) else { return false };
        out.append_results(draft);
        // Memory may end before here, and then the call fails.
        if let Some(connection) = self.open(conn)
            && let Some(entry) = connection.answers.remove(answer)
        {
            connection.call_bytes -= entry.bytes;
            connection.unreturned -= 1;
        }
        self.calls.discard(call.0);
        self.made_room(conn);
        true
    }

    /// Weighs what is kept of an answer until the peer finishes it.
    fn note_kept(&mut self, conn: ConnId, answer: u32, result: &Result<Rc<Payload>, Exception>) {
        let Some(connection) = self.open(conn) else { return };
        if let Some(entry) = connection.answers.get_mut(answer) {
            entry.bytes = match result {
                Ok(payload) => payload.held_bytes(),
                Err(reason) => reason.reason.len(),
            };
            connection.kept_bytes += entry.bytes;
        }
    }

    fn send_results(
        &mut self,
        conn: ConnId,
        answer: u32,
        payload: &mut Rc<Payload>,
    ) -> Result<(), Exception> {
        self.check_exports(conn, payload.caps.len())?;
        self.check_unsent(conn, || payload.bytes())?;
        let mut copy;
        let (draft, caps) = match Rc::get_mut(payload).and_then(Payload::results_draft) {
            Some(built) => built,
            None => {
                copy = payload.copied_results()?;
                copy.results_draft().ok_or_else(closed)?
            }
        };
        let (descriptors, result_exports) = self.describe_all(conn, caps);
        // Without capabilities nothing can be asked of the answer any more.
        let no_finish_needed = caps.is_empty();
        envelope::fill(draft, answer, no_finish_needed, &descriptors)?;
        match self.out(conn) {
            Some(out) if no_finish_needed => out.append_results(draft),
            // Calls pipelined on it may look into the results again.
            Some(out) => encode::append_results(out.messages(), draft),
            None => {}
        }
        let Some(connection) = self.open(conn) else {
            return Ok(());
        };
        if no_finish_needed {
            if let Some(entry) = connection.answers.remove(answer) {
                self.disown(entry.call);
            }
        } else if let Some(entry) = connection.answers.get_mut(answer) {
            entry.result_exports = result_exports;
        }
        Ok(())
    }

    fn check_room(&mut self, conn: ConnId, caps: usize) -> Result<(), Exception> {
        let questions_max = self.limits.questions_max;
        let connection = self.open(conn).ok_or_else(closed)?;
        if connection.questions.len() >= questions_max {
            return Err(Exception::overloaded("questions_max exceeded"));
        }
        self.check_exports(conn, caps)
    }

    /// What would make the peer's queue too long fails, rather than the connection.
    fn check_unsent(
        &mut self,
        conn: ConnId,
        bytes: impl FnOnce() -> usize,
    ) -> Result<(), Exception> {
        // The rest is for what must be said in any case.
        let unsent_bytes_max = self.limits.unsent_bytes_max - self.limits.unsent_bytes_max / 4;
        let unsent_bytes = self.open(conn).ok_or_else(closed)?.unsent_bytes();
        // One message alone may be as long as it likes.
        if unsent_bytes > 0 && unsent_bytes.saturating_add(bytes()) > unsent_bytes_max {
            return Err(Exception::overloaded("unsent_bytes_max exceeded"));
        }
        Ok(())
    }

    fn check_exports(&mut self, conn: ConnId, caps: usize) -> Result<(), Exception> {
        let exports_max = self.limits.exports_max;
        let connection = self.open(conn).ok_or_else(closed)?;
        if connection.exports.len().saturating_add(caps) > exports_max {
            return Err(Exception::overloaded("exports_max exceeded"));
        }
        Ok(())
    }

    /// How to name each of `caps` to the peer, and which exports got a reference by that.
    fn describe_all(&mut self, conn: ConnId, caps: &[Option<Cap>]) -> (Vec<Descriptor>, Vec<u32>) {
        let mut exports = Vec::new();
        let descriptors = caps
            .iter()
            .map(|cap| {
                let descriptor = cap.map_or(Descriptor::None, |cap| self.describe(conn, cap));
                if let Descriptor::SenderHosted(id) | Descriptor::SenderPromise(id) = descriptor {
                    exports.push(id);
                }
                descriptor
            })
            .collect();
        (descriptors, exports)
    }

    /// How to name `cap` to the peer; an export gets one reference by that.
    fn describe(&mut self, conn: ConnId, cap: Cap) -> Descriptor {
        let cap = self.follow(cap);
        match self.kind_mut(cap) {
            Some(Kind::Import { conn: of, id, .. }) if *of == conn => {
                Descriptor::ReceiverHosted(*id)
            }
            Some(Kind::Pipeline { conn: of, question, path, .. }) if *of == conn => {
                Descriptor::ReceiverAnswer(*question, path.clone())
            }
            Some(Kind::Broken(_)) => {
                // rpc.capnp has no broken capability: it is a promise that then fails.
                let export = self.add_export(conn, cap, true);
                self.work.push_back(Work::AnnounceBroken(conn, export));
                Descriptor::SenderPromise(export)
            }
            Some(kind) if kind.is_promise() => {
                Descriptor::SenderPromise(self.export(conn, cap, true))
            }
            Some(_) => Descriptor::SenderHosted(self.export(conn, cap, false)),
            None => Descriptor::None,
        }
    }

    fn export(&mut self, conn: ConnId, cap: Cap, promise: bool) -> u32 {
        let known = self.nodes.get(cap.0).and_then(|node| node.exports.get(&conn).copied());
        if let Some(id) = known
            && let Some(entry) = self.open(conn).and_then(|open| open.exports.get_mut(id))
        {
            entry.refs += 1;
            return id;
        }
        let id = self.add_export(conn, cap, promise);
        if let Some(node) = self.nodes.get_mut(cap.0) {
            node.exports.insert(conn, id);
        }
        id
    }

    fn add_export(&mut self, conn: ConnId, cap: Cap, promise: bool) -> u32 {
        let node = self.retain(cap);
        let entry = Export { node, refs: 1, promise, resolved: false };
        self.open(conn).map_or(0, |connection| connection.exports.insert(entry))
    }

    /// Tells every peer that knows `promise` as a promise that it is `to`.
    pub(crate) fn announce(&mut self, promise: Cap, to: Cap) {
        let Some(node) = self.nodes.get(promise.0) else { return };
        let exports = node.exports.clone();
        for (conn, export) in exports {
            let Some(entry) = self.open(conn).and_then(|open| open.exports.get_mut(export)) else {
                continue;
            };
            if !entry.promise || core::mem::replace(&mut entry.resolved, true) {
                continue;
            }
            let to = match self.kind_mut(to) {
                Some(Kind::Broken(reason)) => Err(reason.clone()),
                _ => self.check_exports(conn, 1).map(|()| self.describe(conn, to)),
            };
            if let Some(out) = self.out(conn) {
                encode::resolve(out.messages(), export, &to);
            }
        }
    }

    pub(crate) fn announce_broken(&mut self, conn: ConnId, export: u32) {
        let Some(entry) = self.open(conn).and_then(|open| open.exports.get_mut(export)) else {
            return;
        };
        entry.resolved = true;
        let node = entry.node;
        if let Some(Kind::Broken(reason)) = self.kind_mut(node) {
            let reason = Err(reason.clone());
            if let Some(out) = self.out(conn) {
                encode::resolve(out.messages(), export, &reason);
            }
        }
    }

    /// Asks the peer to send back a message after all calls that we sent to `target`.
    pub(crate) fn send_disembargo(&mut self, conn: ConnId, target: &Target, promise: Cap) {
        let embargoes_max = self.limits.embargoes_max;
        let Some(connection) = self.open(conn) else {
            return;
        };
        if connection.embargoes.len() >= embargoes_max {
            self.end(conn, Exception::overloaded("embargoes_max exceeded"));
            return;
        }
        let embargo = connection.embargoes.insert(promise);
        if let Some(out) = self.out(conn) {
            encode::disembargo_request(out.messages(), target, embargo);
        }
    }

    pub(crate) fn send_disembargo_reply(&mut self, conn: ConnId, embargo: u32, cap: Cap) {
        let target = match self.wire_target(cap) {
            Ok((of, target)) if of == conn => target,
            _ => Target::Import(0),
        };
        if let Some(out) = self.out(conn) {
            encode::disembargo_reply(out.messages(), &target, embargo);
        }
    }

    /// Nobody wants the result of our question any more.
    pub(crate) fn cancel_question(&mut self, conn: ConnId, number: u32) {
        let Some(question) =
            self.open(conn).and_then(|connection| connection.questions.get_mut(number))
        else {
            return;
        };
        question.call = None;
        let returned = question.returned;
        if let Some(out) = self.out(conn) {
            encode::finish(out.messages(), number, true);
        }
        if returned {
            self.remove_question(conn, number);
        }
    }

    /// Our question returned and is done with; the results' capabilities are kept.
    pub(crate) fn finish_question(&mut self, conn: ConnId, number: u32, no_finish_needed: bool) {
        if !no_finish_needed && let Some(out) = self.out(conn) {
            encode::finish(out.messages(), number, false);
        }
        self.remove_question(conn, number);
    }

    pub(crate) fn remove_question(&mut self, conn: ConnId, number: u32) {
        if let Some(connection) = self.open(conn) {
            connection.questions.remove(number);
        }
    }

    /// An import's node is gone or stands for something else: the peer's export can go.
    pub(crate) fn release_import(&mut self, conn: ConnId, id: u32) {
        let import = self.open(conn).and_then(|connection| connection.imports.remove(id));
        if let Some(import) = import
            && let Some(out) = self.out(conn)
        {
            encode::release(out.messages(), id, import.refs);
        }
    }

    fn set_question_call(&mut self, conn: ConnId, number: u32, call: CallId) {
        if let Some(question) =
            self.open(conn).and_then(|connection| connection.questions.get_mut(number))
        {
            question.call = Some(call);
        }
    }
}

fn closed() -> Exception {
    Exception::disconnected("the connection is closed")
}
