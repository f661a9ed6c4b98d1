//! Message handling: what the peer's messages do. One function for each, in the order of a call's life.

use crate::call::{Owner, State};
use crate::connection::Answer;
use crate::exception::Exception;
use crate::framing::Frame;
use crate::node::Kind;
use crate::payload::Payload;
use crate::received::Received;
use crate::slot::Slot;
use crate::vat::{CallId, Cap, ConnId, Event, ObjectId, Vat};
use crate::wire::{
    CallHeader, Descriptor, Message, Outcome, Refused, ReturnHeader, Target, decode, encode, plain,
};
use alloc::rc::Rc;
use alloc::vec::Vec;
use capnp::message::{Reader, ReaderOptions};

/// The peer broke the protocol or a limit: the reason that it is told.
pub(crate) type Broken = &'static str;
/// Why a promise for a part of a result breaks.
pub(crate) const NO_CAP_HERE: &str = "no capability at this place in the results";

impl Vat {
    /// Takes one message.
    pub(crate) fn handle_frame(&mut self, conn: ConnId, mut frame: Frame) {
        let plain = plain::message(&mut frame);
        let reader = Reader::new(frame, self.reader_options(plain.is_some()));
        let decoded = match plain {
            Some(message) => Ok(message),
            None => {
                let root = reader.get_root().map_err(decode::Refusal::from);
                root.and_then(|root| decode::message(root, &self.limits))
            }
        };
        let outcome = match decoded {
            Ok(message) => self.handle_message(conn, message, reader),
            Err(refusal) => Err(refusal.0),
        };
        if let Err(reason) = outcome {
            self.abort(conn, reason);
        }
    }

    /// What may be read of a message; whether the envelope was read already.
    fn reader_options(&self, plain: bool) -> ReaderOptions {
        let depth = if plain { plain::CONTENT_DEPTH } else { 0 };
        let nesting = self.limits.nesting_max.saturating_sub(depth);
        let mut options = ReaderOptions::new();
        options.traversal_limit_in_words(Some(self.limits.traversal_words_max));
        options.nesting_limit(nesting.try_into().unwrap_or(i32::MAX));
        options
    }

    fn handle_message(
        &mut self,
        conn: ConnId,
        message: Message,
        reader: Reader<Frame>,
    ) -> Result<(), Broken> {
        match message {
            Message::Bootstrap { .. } | Message::Call(_) => self.admit(conn, message, reader),
            Message::Return(header) => self.on_return(conn, header, reader),
            Message::Finish { question, release_results, deliver_first } => {
                self.on_finish(conn, question, release_results, deliver_first)
            }
            Message::Resolve { promise, to } => self.on_resolve(conn, promise, to),
            Message::Release { export, count } => self.release_export(conn, export, count),
            Message::DisembargoRequest { target, embargo } => {
                self.on_disembargo_request(conn, &target, embargo)
            }
            Message::DisembargoReply { embargo } => self.on_disembargo_reply(conn, embargo),
            Message::Abort(reason) => {
                self.disconnect(conn, reason);
                Ok(())
            }
            Message::Unimplemented(refused) => self.on_unimplemented(conn, &refused),
            Message::Unknown => {
                if let Some(out) = self.out(conn) {
                    encode::unimplemented(out.messages(), reader.into_segments());
                }
                Ok(())
            }
        }
    }

    /// Takes a call or a bootstrap message for which there is room.
    pub(crate) fn handle_call(
        &mut self,
        conn: ConnId,
        message: Message,
        reader: Reader<Frame>,
    ) -> Result<(), Broken> {
        match message {
            Message::Bootstrap { question, service } => self.on_bootstrap(conn, question, service),
            Message::Call(header) => self.on_call(conn, &header, reader),
            _ => Ok(()),
        }
    }

    /// The peer asks for what we offer to whoever connects, or for a service by its name.
    fn on_bootstrap(
        &mut self,
        conn: ConnId,
        question: u32,
        service: Vec<u8>,
    ) -> Result<(), Broken> {
        let offered = self.open(conn).and_then(|connection| connection.offered);
        let call = self.add_call(Owner::Answer { conn, answer: question }, State::Delivered, 0, 0);
        self.add_answer(conn, question, call, false, 0)?;
        if !service.is_empty() {
            self.events.push_back(Event::Restore { call, service });
            return Ok(());
        }
        let result = offered
            .map(|cap| self.retain(cap))
            .ok_or_else(|| Exception::unimplemented("this vat offers no bootstrap capability"));
        let result = result.and_then(|cap| {
            let mut payload = Payload::results(0);
            payload.build(&[Some(cap)], |mut root| root.set_as_capability(Slot(0).hook()))?;
            Ok(Rc::new(payload))
        });
        self.finish_call(call, result);
        Ok(())
    }

    fn on_call(
        &mut self,
        conn: ConnId,
        header: &CallHeader,
        reader: Reader<Frame>,
    ) -> Result<(), Broken> {
        let bytes = reader.get_segments().bytes();
        let target = self.target(conn, &header.target)?;
        let caps = match self.receive_all(conn, &header.caps) {
            Ok(caps) => caps.into_iter().map(|cap| cap.map(|(cap, _)| cap)).collect(),
            Err(reason) => {
                self.release_node(target);
                return Err(reason);
            }
        };
        let params = Payload::received(reader, caps);
        let owner = Owner::Answer { conn, answer: header.question };
        let added = match self.object_at(target) {
            // Behind what messages before it have set going, such as the end of another call.
            Some(object) if self.work.is_empty() => {
                self.deliver_at_once(conn, header, owner, object, params, bytes)
            }
            _ => {
                let state = State::Waiting(params);
                let call = self.add_call(owner, state, header.interface, header.method);
                let added =
                    self.add_answer(conn, header.question, call, header.keep_results, bytes);
                if added.is_ok() {
                    self.route_call(call, target);
                }
                added
            }
        };
        self.release_node(target);
        added
    }

    /// The application's object that `cap` is by now, if it is one.
    pub(crate) fn object_at(&mut self, cap: Cap) -> Option<ObjectId> {
        let cap = self.follow(cap);
        match self.kind_mut(cap) {
            Some(Kind::Object(object)) => Some(*object),
            _ => None,
        }
    }

    /// Hands a call to the application that has nothing to wait for, as most have.
    fn deliver_at_once(
        &mut self,
        conn: ConnId,
        header: &CallHeader,
        owner: Owner,
        object: ObjectId,
        params: Payload,
        bytes: usize,
    ) -> Result<(), Broken> {
        let (interface, method) = (header.interface, header.method);
        let call = self.add_call(owner, State::Delivered, interface, method);
        let added = self.add_answer(conn, header.question, call, header.keep_results, bytes);
        if added.is_ok() {
            self.events.push_back(Event::Call { call, object, interface, method, params });
        } else if let Some(record) = self.calls.get_mut(call.0) {
            // It was not handed over, and lets go of its parameters as such a call does.
            record.state = State::Waiting(params);
        }
        added
    }

    /// Enters a call of the peer's, which owns `call` then; without that, `call` is released.
    fn add_answer(
        &mut self,
        conn: ConnId,
        question: u32,
        call: CallId,
        keep_results: bool,
        bytes: usize,
    ) -> Result<(), Broken> {
        let outcome = match self.open(conn) {
            None => Err("the connection is closed"),
            Some(connection) if connection.answers.get(question).is_some() => {
                Err("a question number in use")
            }
            Some(connection) => {
                connection.call_bytes += bytes;
                connection.unreturned += 1;
                let answer = Answer {
                    call,
                    result_exports: Vec::new(),
                    keep_results,
                    returned: false,
                    bytes,
                };
                connection.answers.insert(question, answer);
                Ok(())
            }
        };
        if outcome.is_err() {
            self.disown(call);
        }
        outcome
    }

    fn on_return(
        &mut self,
        conn: ConnId,
        header: ReturnHeader,
        reader: Reader<Frame>,
    ) -> Result<(), Broken> {
        let connection = self.open(conn).ok_or("the connection is closed")?;
        let number = header.answer;
        let question = connection.questions.get_mut(number).ok_or("a return to no question")?;
        if core::mem::replace(&mut question.returned, true) {
            return Err("a second return to one question");
        }
        let param_exports = core::mem::take(&mut question.param_exports);
        let (call, keep_results) = (question.call, question.keep_results);
        if header.release_params {
            for export in param_exports {
                self.release_export(conn, export, 1)?;
            }
        }
        let Some(call) = call else {
            // Cancelled: finish said that the peer releases the results itself.
            self.remove_question(conn, number);
            return Ok(());
        };
        let result = match header.outcome {
            Outcome::Results(caps) => {
                let caps = self.receive_all(conn, &caps)?;
                let revived = self.revive_used(conn, number, call);
                let results = self.adopt_results(conn, number, call, &caps, reader);
                self.release_caps(revived);
                Ok(Rc::new(results))
            }
            Outcome::Exception(reason) => Err(reason),
            Outcome::Canceled => Err(Exception::failed("the call was cancelled")),
            // Calls that the peer pipelined on ours may still come this way, so the question
            // stays until it needs ours no more.
            Outcome::SentElsewhere if keep_results => return Ok(()),
            Outcome::SentElsewhere => return Err("results sent elsewhere unasked"),
            Outcome::TakeFrom(other) => {
                let revived = self.revive_used(conn, number, call);
                let taken = self.take_from(conn, number, call, other);
                self.release_caps(revived);
                taken?;
                self.finish_question(conn, number, header.no_finish_needed);
                return Ok(());
            }
        };
        self.finish_question(conn, number, header.no_finish_needed);
        self.finish_call(call, result);
        Ok(())
    }

    /// Promises again, with a reference each, for parts that calls are under way to and that
    /// nobody holds: whoever comes next to such a part must stay behind those calls.
    fn revive_used(&mut self, conn: ConnId, number: u32, call: CallId) -> Vec<Option<Cap>> {
        let question = self.open(conn).and_then(|open| open.questions.get(number));
        let paths = question.map(|question| question.used_paths.clone()).unwrap_or_default();
        paths.into_iter().map(|path| Some(self.pipelined(call, path))).collect()
    }

    /// Makes results of what was received. Promises for parts of them, to which calls are under
    /// way, wait for a disembargo where the part turns out to be ours; and the part in the
    /// results is then that promise, so that whoever uses it stays behind those calls.
    fn adopt_results(
        &mut self,
        conn: ConnId,
        question: u32,
        call: CallId,
        received: &[Option<Received>],
        reader: Reader<Frame>,
    ) -> Payload {
        let caps = received.iter().map(|cap| cap.map(|(cap, _)| cap)).collect();
        let mut payload = Payload::received(reader, caps);
        let Some(record) = self.calls.get_mut(call.0) else {
            return payload;
        };
        let mut joined: Vec<(usize, Cap)> = Vec::new();
        for (path, promise) in core::mem::take(&mut record.pipelines) {
            let index = payload.cap_index_at(&path);
            let part = index.and_then(|index| Some((index, (*received.get(index)?)?)));
            let Some((index, (cap, reflected))) = part else {
                self.break_node(promise, Exception::failed(NO_CAP_HERE));
                continue;
            };
            if !(reflected && self.needs_embargo(promise, cap)) {
                let cap = self.retain(cap);
                self.settle(promise, cap);
                continue;
            }
            // Several paths to one part: all their calls must be back before any is let through.
            let joint = joined.iter().find(|(known, _)| *known == index).map(|(_, joint)| *joint);
            match joint {
                None => {
                    let cap = self.retain(cap);
                    self.embargo(promise, cap, 1);
                    joined.push((index, promise));
                }
                Some(joint) => {
                    if let Some(Kind::Waiting(waiting)) = self.kind_mut(joint) {
                        waiting.embargoes += 1;
                    }
                    let joint = self.retain(joint);
                    self.settle(promise, joint);
                }
            }
            let waiting = joint.unwrap_or(promise);
            self.send_disembargo(conn, &Target::Answer(question, path), waiting);
        }
        for (index, promise) in joined {
            if let Some(Some(part)) = payload.caps.get_mut(index) {
                let before = core::mem::replace(part, promise);
                self.retain(promise);
                self.release_node(before);
            }
        }
        payload
    }

    /// Whether calls sent to `promise` may still come back to us, now that it turned out to be
    /// `to`, which is ours or in our keeping.
    fn needs_embargo(&mut self, promise: Cap, to: Cap) -> bool {
        let to = self.follow(to);
        self.is_used(promise) && !matches!(self.kind_mut(to), Some(Kind::Broken(_)))
    }

    /// The result of `call` is that of the peer's question `other` to us (a tail call). What was
    /// pipelined on `call` is on its way back here (capnproto C++ #876).
    fn take_from(
        &mut self,
        conn: ConnId,
        question: u32,
        call: CallId,
        other: u32,
    ) -> Result<(), Broken> {
        let answer = self.open(conn).and_then(|connection| connection.answers.get(other));
        let answer = answer.filter(|answer| answer.keep_results);
        let source = answer.map(|answer| answer.call).ok_or("results from no kept answer")?;
        if self.answers_for(source) == call {
            return Err("a result that is its own");
        }
        let Some(record) = self.calls.get_mut(call.0) else {
            return Ok(());
        };
        for (path, promise) in core::mem::take(&mut record.pipelines) {
            let to = self.pipelined(source, path.clone());
            if self.needs_embargo(promise, to) {
                self.embargo(promise, to, 1);
                self.send_disembargo(conn, &Target::Answer(question, path.clone()), promise);
                self.retain(promise);
                if let Some(record) = self.calls.get_mut(call.0) {
                    record.embargoed.push((path, promise));
                }
            } else {
                self.settle(promise, to);
            }
        }
        self.forward(call, source);
        Ok(())
    }

    fn on_finish(
        &mut self,
        conn: ConnId,
        question: u32,
        release_results: bool,
        deliver_first: bool,
    ) -> Result<(), Broken> {
        let connection = self.open(conn).ok_or("the connection is closed")?;
        let Some(answer) = connection.answers.remove(question) else {
            // rpc.capnp, `Return.noFinishNeeded`: a finish may still come and means nothing.
            return Ok(());
        };
        if answer.returned {
            connection.kept_bytes -= answer.bytes;
        } else {
            connection.call_bytes -= answer.bytes;
            connection.unreturned -= 1;
        }
        if release_results {
            for export in answer.result_exports {
                self.release_export(conn, export, 1)?;
            }
        }
        if !answer.returned
            && let Some(out) = self.out(conn)
        {
            encode::no_results(out.messages(), question, &encode::NoResults::Canceled);
        }
        if deliver_first && self.is_delivered(answer.call) {
            self.finished.push_back((self.events.len(), answer.call));
        } else {
            self.disown(answer.call);
        }
        self.made_room(conn);
        Ok(())
    }

    fn on_resolve(
        &mut self,
        conn: ConnId,
        promise: u32,
        to: Result<Descriptor, Exception>,
    ) -> Result<(), Broken> {
        let to = match to {
            Ok(descriptor) => self.receive(conn, &descriptor)?.ok_or(()),
            Err(reason) => Ok((self.broken(reason), false)),
        };
        let (to, reflected) = match to {
            Ok(received) => received,
            Err(()) => (self.broken(Exception::failed("resolved to nothing")), false),
        };
        let connection = self.open(conn).ok_or("the connection is closed")?;
        let Some(import) = connection.imports.get(promise) else {
            // Released before the peer knew.
            self.release_node(to);
            return Ok(());
        };
        let node = import.node;
        if !matches!(self.kind_mut(node), Some(Kind::Import { promise: true, .. })) {
            self.release_node(to);
            return Err("a resolve of what is no promise");
        }
        // The node may go with its last reference, which is not before the queued work.
        let needs_embargo = reflected && self.needs_embargo(node, to);
        if needs_embargo {
            self.embargo(node, to, 1);
            self.send_disembargo(conn, &Target::Import(promise), node);
        } else {
            self.settle(node, to);
        }
        self.release_import(conn, promise);
        Ok(())
    }

    /// Takes back `count` references that the peer had to one of our exports.
    pub(crate) fn release_export(
        &mut self,
        conn: ConnId,
        export: u32,
        count: u32,
    ) -> Result<(), Broken> {
        let connection = self.open(conn).ok_or("the connection is closed")?;
        let entry = connection.exports.get_mut(export).ok_or("a release of no export")?;
        entry.refs = entry.refs.checked_sub(count).ok_or("a release count too high")?;
        if entry.refs == 0 {
            let node = entry.node;
            connection.exports.remove(export);
            if let Some(node) = self.nodes.get_mut(node.0) {
                // A broken capability may be exported more than once, and is found under none.
                if node.exports.get(&conn) == Some(&export) {
                    node.exports.remove(&conn);
                }
            }
            self.release_node(node);
        }
        Ok(())
    }

    fn on_disembargo_request(
        &mut self,
        conn: ConnId,
        target: &Target,
        embargo: u32,
    ) -> Result<(), Broken> {
        // Only what we said is the peer's own can be disembargoed.
        let connection = self.open(conn).ok_or("the connection is closed")?;
        let told = match target {
            Target::Import(id) => connection.exports.get(*id).is_some_and(|e| e.resolved),
            Target::Answer(id, _) => connection.answers.get(*id).is_some_and(|a| a.returned),
            Target::TooLong => false,
        };
        if !told {
            return Err("a disembargo of what was not resolved");
        }
        let target = self.target(conn, target)?;
        self.route_barrier(conn, embargo, target);
        self.release_node(target);
        Ok(())
    }

    fn on_disembargo_reply(&mut self, conn: ConnId, embargo: u32) -> Result<(), Broken> {
        let connection = self.open(conn).ok_or("the connection is closed")?;
        let promise = connection.embargoes.remove(embargo).ok_or("a disembargo of no embargo")?;
        self.lift_embargo(promise);
        Ok(())
    }

    /// Undoes what the peer did not understand.
    fn on_unimplemented(&mut self, conn: ConnId, refused: &Refused) -> Result<(), Broken> {
        match refused {
            Refused::Question(number) => {
                let number = *number;
                let connection = self.open(conn).ok_or("the connection is closed")?;
                let question = connection.questions.get(number).ok_or("no such question")?;
                let call = question.call;
                self.remove_question(conn, number);
                if let Some(call) = call {
                    let reason = Exception::unimplemented("the peer does not know this message");
                    self.finish_call(call, Err(reason));
                }
                Ok(())
            }
            Refused::Resolve(Descriptor::SenderHosted(id) | Descriptor::SenderPromise(id)) => {
                self.release_export(conn, *id, 1)
            }
            Refused::Resolve(_) | Refused::Other => Ok(()),
        }
    }
}
