//! Calls: the life of one, made, sent or delivered, answered, released.

use crate::exception::Exception;
use crate::node::Kind;
use crate::payload::Payload;
pub(crate) use crate::vat::CallId;
use crate::vat::{Cap, ConnId, Event, ObjectId, Vat, Work};
use crate::wire::Path;
use alloc::rc::Rc;
use alloc::vec::Vec;

#[derive(Debug)]
pub(crate) struct Call {
    /// Who needs it: its owner, calls that have its result, capabilities of its result.
    pub(crate) refs: u32,
    pub(crate) owner: Owner,
    pub(crate) state: State,
    /// The promise at which it waits, if it does.
    pub(crate) waits_at: Option<Cap>,
    pub(crate) interface: u64,
    pub(crate) method: u16,
    /// Capabilities of the result that were asked for before it was there.
    pub(crate) pipelines: Vec<(Path, Cap)>,
    /// Results as far as pipelined calls need them, from an application that has not answered.
    pub(crate) early: Option<Rc<Payload>>,
    /// Promises for parts of the result that calls sent before it must pass through, each with a
    /// reference: they take those parts' places in the result.
    pub(crate) embargoed: Vec<(Path, Cap)>,
    /// Calls that have this call's result as theirs.
    pub(crate) followers: Vec<CallId>,
}

/// Who is told of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    None,
    App,
    Answer { conn: ConnId, answer: u32 },
}

#[derive(Debug)]
pub(crate) enum State {
    /// On its way in this vat, perhaps at a promise.
    Waiting(Payload),
    /// The peer was asked.
    Sent {
        conn: ConnId,
        question: u32,
    },
    /// The application was asked.
    Delivered,
    /// Its result will be another's, to which it holds a reference.
    Forwarded(CallId),
    Done(Result<Rc<Payload>, Exception>),
}

impl Vat {
    pub(crate) fn add_call(
        &mut self,
        owner: Owner,
        state: State,
        interface: u64,
        method: u16,
    ) -> CallId {
        CallId(self.calls.insert(Call {
            refs: 1,
            owner,
            state,
            waits_at: None,
            interface,
            method,
            pipelines: Vec::new(),
            early: None,
            embargoed: Vec::new(),
            followers: Vec::new(),
        }))
    }

    pub(crate) fn unref_call(&mut self, call: CallId) {
        if let Some(record) = self.calls.get_mut(call.0) {
            record.refs = record.refs.saturating_sub(1);
            if record.refs == 0 {
                self.work.push_back(Work::FreeCall(call));
            }
        }
    }

    pub(crate) fn ref_call(&mut self, call: CallId) {
        if let Some(record) = self.calls.get_mut(call.0) {
            record.refs += 1;
        }
    }

    /// Nobody needs it: cancels what is under way.
    pub(crate) fn free_call(&mut self, call: CallId) {
        if self.calls.get(call.0).is_none_or(|record| record.refs > 0) {
            return;
        }
        let Some(record) = self.calls.remove(call.0) else {
            return;
        };
        for (_, promise) in record.embargoed {
            self.release_node(promise);
        }
        self.release_results(record.early.as_deref());
        match record.state {
            State::Waiting(params) => self.release_caps(params.caps),
            State::Sent { conn, question } => self.cancel_question(conn, question),
            State::Delivered => self.events.push_back(Event::Cancelled(call)),
            State::Forwarded(other) => {
                if let Some(other) = self.calls.get_mut(other.0) {
                    other.followers.retain(|follower| *follower != call);
                }
                self.unref_call(other);
            }
            State::Done(result) => self.release_results(result.ok().as_deref()),
        }
    }

    pub(crate) fn is_delivered(&self, call: CallId) -> bool {
        self.calls.get(call.0).is_some_and(|record| matches!(record.state, State::Delivered))
    }

    /// The answer for which alone the result of a call is wanted, if nothing depends on it in this vat.
    pub(crate) fn awaited_by_answer_alone(&self, call: CallId) -> Option<(ConnId, u32)> {
        let Call { refs, owner, state, early, .. } = self.calls.get(call.0)?;
        // A part of its result has a reference to it, and a call that has its result, too.
        let alone = *refs == 1 && matches!(state, State::Delivered) && early.is_none();
        match owner {
            Owner::Answer { conn, answer } if alone => Some((*conn, *answer)),
            _ => None,
        }
    }

    /// Hands the call to the application.
    pub(crate) fn deliver(&mut self, call: CallId, object: ObjectId) {
        // It may have been cancelled while it waited.
        let Some(record) = self.calls.get_mut(call.0) else {
            return;
        };
        if let State::Waiting(params) = core::mem::replace(&mut record.state, State::Delivered) {
            let (interface, method) = (record.interface, record.method);
            self.events.push_back(Event::Call { call, object, interface, method, params });
        }
    }

    /// Lets pipelined calls go to the capabilities in `early`, which `call` will be answered with.
    pub(crate) fn set_early(&mut self, call: CallId, early: Payload) {
        let Some(record) = self.calls.get_mut(call.0) else {
            return self.release_caps(early.caps);
        };
        if record.early.is_some() {
            return self.release_caps(early.caps);
        }
        let early = Rc::new(early);
        record.early = Some(early.clone());
        for (path, promise) in core::mem::take(&mut record.pipelines) {
            let to = self.cap_in(&early, &path);
            self.resolve_promise(promise, to);
        }
    }

    /// Lets the result of `next` be that of `call`.
    pub(crate) fn forward(&mut self, call: CallId, next: CallId) {
        self.ref_call(next);
        if let Some(State::Done(result)) = self.calls.get(next.0).map(|next| &next.state) {
            let result = result.clone();
            self.retain_results(&result);
            self.finish_call(call, result);
            self.unref_call(next);
            return;
        }
        if let Some(next) = self.calls.get_mut(next.0) {
            next.followers.push(call);
        }
        let Some(record) = self.calls.get_mut(call.0) else {
            return;
        };
        record.state = State::Forwarded(next);
        for (path, promise) in core::mem::take(&mut record.pipelines) {
            let to = self.pipelined(next, path);
            self.resolve_promise(promise, to);
        }
    }

    /// The call whose result `call` will have: itself, unless it was answered by another.
    pub(crate) fn answers_for(&self, call: CallId) -> CallId {
        let mut at = call;
        while let Some(State::Forwarded(next)) = self.calls.get(at.0).map(|call| &call.state) {
            at = *next;
        }
        at
    }

    /// The call ended. The references in `result` become the call's.
    pub(crate) fn finish_call(&mut self, call: CallId, mut result: Result<Rc<Payload>, Exception>) {
        let Some(record) = self.calls.get_mut(call.0) else {
            self.release_results(result.ok().as_deref());
            return;
        };
        let owner = record.owner;
        let early = record.early.take();
        let embargoed = core::mem::take(&mut record.embargoed);
        record.pipelines.reverse();
        let followers = core::mem::take(&mut record.followers);
        if !embargoed.is_empty() {
            result = self.with_embargoed(result, embargoed);
        }
        self.release_results(early.as_deref());
        // One by one: where memory ends, the call fails, and so do the parts that are left.
        while let Some((path, promise)) = self.last_pipeline(call) {
            let to = self.part_of(&result, &path);
            if let Some(record) = self.calls.get_mut(call.0) {
                record.pipelines.pop();
            }
            match self.kind_mut(promise) {
                Some(Kind::Waiting(_)) => self.resolve_promise(promise, to),
                _ => self.settle(promise, to),
            }
        }
        for follower in followers {
            self.retain_results(&result);
            self.work.push_back(Work::Follow(follower, result.clone()));
        }
        if let Owner::Answer { conn, answer } = owner {
            self.send_return(conn, answer, &mut result);
        }
        self.set_done(call, result);
        if owner == Owner::App {
            self.events.push_back(Event::Returned(call));
        }
    }

    /// The part of a call's result that is to be resolved next, which stays in its list; with its path, which does not.
    fn last_pipeline(&mut self, call: CallId) -> Option<(Path, Cap)> {
        let (path, promise) = self.calls.get_mut(call.0)?.pipelines.last_mut()?;
        Some((core::mem::take(path), *promise))
    }

    /// The same result with promises in the places of some of its parts.
    fn with_embargoed(
        &mut self,
        result: Result<Rc<Payload>, Exception>,
        embargoed: Vec<(Path, Cap)>,
    ) -> Result<Rc<Payload>, Exception> {
        let payload = match result {
            Ok(payload) => payload,
            Err(reason) => {
                self.release_caps(embargoed.into_iter().map(|(_, cap)| Some(cap)).collect());
                return Err(reason);
            }
        };
        let mut caps = payload.caps.clone();
        for (path, promise) in embargoed {
            let index = payload.cap_index_at(&path);
            let before = match index.and_then(|index| caps.get_mut(index)) {
                Some(part) => part.replace(promise),
                None => Some(promise),
            };
            self.release_caps([before].into());
        }
        Ok(Rc::new(Payload::sharing(payload, caps)))
    }

    /// Enters the result, and lets go of what the state before held.
    fn set_done(&mut self, call: CallId, result: Result<Rc<Payload>, Exception>) {
        let Some(record) = self.calls.get_mut(call.0) else {
            return;
        };
        match core::mem::replace(&mut record.state, State::Done(result)) {
            State::Waiting(params) => self.release_caps(params.caps),
            State::Forwarded(other) => self.unref_call(other),
            State::Sent { .. } | State::Delivered | State::Done(_) => {}
        }
    }

    /// The capability at `path` in the result of `call`, with a reference: a new promise if the
    /// result is not there.
    pub(crate) fn pipelined(&mut self, call: CallId, path: Path) -> Cap {
        let mut at = call;
        while let Some(record) = self.calls.get(at.0)
            && let State::Forwarded(next) = record.state
        {
            // Calls sent earlier are still on their way back to here.
            if let Some((_, promise)) = record.embargoed.iter().find(|(known, _)| *known == path) {
                let promise = *promise;
                return self.retain(promise);
            }
            at = next;
        }
        let Some(record) = self.calls.get(at.0) else {
            return self.broken(Exception::failed("the call was released"));
        };
        if let Some((_, known)) = record.pipelines.iter().find(|(known, _)| *known == path) {
            let known = *known;
            return self.retain(known);
        }
        if let Some(early) = record.early.clone() {
            return self.cap_in(&early, &path);
        }
        let kind = match &record.state {
            State::Done(result) => {
                let result = result.clone();
                return self.part_of(&result, &path);
            }
            State::Sent { conn, question } => {
                let (conn, question) = (*conn, *question);
                let used = self.was_used(conn, question, &path);
                Kind::Pipeline { conn, question, path: path.clone(), used }
            }
            _ => Kind::waiting(),
        };
        let cap = self.add_node(kind);
        if let Some(node) = self.nodes.get_mut(cap.0) {
            node.origin = Some(at);
        }
        if let Some(record) = self.calls.get_mut(at.0) {
            record.refs += 1;
            record.pipelines.push((path, cap));
        }
        cap
    }

    /// Whether so many parts of the result were asked for before it is there, and not this one.
    pub(crate) fn has_parts(&self, call: CallId, parts: usize, path: &[u16]) -> bool {
        self.calls.get(call.0).is_some_and(|record| {
            record.pipelines.len() >= parts
                && record.pipelines.iter().all(|(known, _)| known != path)
        })
    }

    /// The call was sent: what waits for its result can follow it to the peer.
    pub(crate) fn send_pipelines(&mut self, call: CallId) {
        let Some(record) = self.calls.get_mut(call.0) else {
            return;
        };
        for (path, promise) in core::mem::take(&mut record.pipelines) {
            let to = self.pipelined(call, path);
            self.resolve_promise(promise, to);
        }
    }

    /// The capability at `path` in how a call ended, with a reference.
    fn part_of(&mut self, result: &Result<Rc<Payload>, Exception>, path: &Path) -> Cap {
        match result {
            Ok(results) => self.cap_in(results, path),
            Err(reason) => self.broken(reason.clone()),
        }
    }

    /// The capability at `path` in `results`, with a reference.
    fn cap_in(&mut self, results: &Payload, path: &Path) -> Cap {
        match results.cap_index_at(path).and_then(|index| *results.caps.get(index)?) {
            Some(cap) => self.retain(cap),
            None => self.broken(Exception::failed(crate::inbound::NO_CAP_HERE)),
        }
    }

    /// The capability `cap` is no longer a promise for a part of the result of `call`.
    pub(crate) fn unlink_pipeline(&mut self, call: CallId, cap: Cap) {
        if let Some(record) = self.calls.get_mut(call.0) {
            record.pipelines.retain(|(_, pipelined)| *pipelined != cap);
        }
        self.unref_call(call);
    }

    pub(crate) fn retain_results(&mut self, result: &Result<Rc<Payload>, Exception>) {
        if let Ok(payload) = result {
            for cap in payload.caps.iter().flatten() {
                self.retain(*cap);
            }
        }
    }

    fn release_results(&mut self, results: Option<&Payload>) {
        for cap in results.into_iter().flat_map(|results| results.caps.iter().flatten()) {
            self.release_node(*cap);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::rpc_capnp::message;
    use crate::slot::Slot;
    use alloc::vec;
    use core::time::Duration;

    const NOW: Duration = Duration::ZERO;

    fn sent(write: impl FnOnce(message::Builder<'_>)) -> Vec<u8> {
        let mut draft = capnp::message::Builder::new_default();
        write(draft.init_root());
        capnp::serialize::write_message_to_words(&draft)
    }

    fn asks(question: u32, words: u32, kept: bool) -> Vec<u8> {
        sent(|message| {
            let mut call = message.init_call();
            call.set_question_id(question);
            call.reborrow().init_target().init_promised_answer();
            if kept {
                call.reborrow().get_send_results_to().set_yourself(());
            }
            let _: capnp::data::Builder<'_> = call.init_params().init_content().initn_as(8 * words);
        })
    }

    /// A vat that was asked twice, and the first call.
    fn asked(limits: Limits, kept: bool) -> (Vat, ConnId, CallId) {
        let mut vat = Vat::new(limits);
        let offered = vat.object(ObjectId(1));
        let conn = vat.connect(Some(offered));
        let bootstrap = sent(|message| message.init_bootstrap().set_question_id(0));
        let bytes = [bootstrap, asks(1, 100, kept), asks(2, 30, false)].concat();
        assert_eq!(vat.handle_input(NOW, conn, &bytes), bytes.len());
        let Some(Event::Call { call, .. }) = vat.poll_event() else { panic!("a call") };
        assert!(vat.transmit_with(NOW, conn, <[u8]>::len) > 0);
        (vat, conn, call)
    }

    fn accounts(vat: &mut Vat, conn: ConnId) -> (usize, usize, usize, usize) {
        let connection = vat.open(conn).unwrap();
        let (calls, answers) = (connection.unreturned, connection.answers.len());
        (calls, connection.call_bytes, connection.kept_bytes, answers)
    }

    #[test]
    fn an_answer_that_nobody_else_waits_for_is_forgotten_as_it_is_sent() {
        let (mut vat, conn, call) = asked(Limits::default(), false);
        let both = accounts(&mut vat, conn);
        assert!(vat.reply_alone(call, &mut Payload::results(0)));
        // The call without its parameters has 15 words.
        assert_eq!((both.0, both.1, both.3), (2, 2 * 120 + 8 * 130, 3));
        assert_eq!(accounts(&mut vat, conn), (1, 120 + 8 * 30, both.2, 2));
        assert_eq!(vat.live(), (1, 2), "the bootstrap's, and the other");
        assert!(vat.has_output(conn));
        assert!(!vat.reply_alone(call, &mut Payload::results(0)), "twice");
    }

    #[test]
    fn an_answer_that_others_wait_for_is_not() {
        let no_room = Limits { unsent_bytes_max: 300, ..Limits::default() };
        for case in 0..6 {
            let limits = if case == 4 { no_room } else { Limits::default() };
            let (mut vat, conn, call) = asked(limits, case == 0);
            let mut results = Payload::results(0);
            match case {
                // The peer keeps the results.
                0 => {}
                // Calls on the results are answered from what they will be.
                1 => vat.set_pipeline(call, Payload::results(0)),
                // A part of them was asked for.
                2 => drop(vat.pipelined(call, vec![0])),
                // They bring capabilities, for whose finish the answer waits.
                3 => {
                    let cap = vat.object(ObjectId(7));
                    let write = |mut content: capnp::any_pointer::Builder<'_>| {
                        content.set_as_capability(Slot(0).hook());
                    };
                    results.build(&[Some(cap)], write).unwrap();
                }
                // The peer leaves too much unread.
                4 => vat.out(conn).unwrap().messages().resize(220, 0),
                // Another call answers.
                _ => {
                    let object = vat.object(ObjectId(7));
                    vat.tail_call(call, object, 1, 1, Payload::params(0));
                }
            }
            let before = accounts(&mut vat, conn);
            let unsent = vat.has_output(conn);
            assert!(!vat.reply_alone(call, &mut results), "case {case}");
            assert_eq!((accounts(&mut vat, conn), vat.has_output(conn)), (before, unsent));
        }
    }
}
