//! A peer that the test plays, message by message, and the vat that it talks to.

#![allow(dead_code)]

use rpc::rpc_capnp::{exception, message, message_target, return_};
use rpc::{CallId, ConnId, Event, Kind, Limits, ObjectId, Payload, Vat};
use std::time::Duration;

/// When nothing waits for time.
pub(crate) const NOW: Duration = Duration::ZERO;

type Draft = capnp::message::Builder<capnp::message::HeapAllocator>;

/// A vat with one connection, whose other end is the test's.
pub(crate) struct Peer {
    pub(crate) vat: Vat,
    pub(crate) conn: ConnId,
    /// What the vat has not taken.
    pub(crate) unread: Vec<u8>,
}

/// What the vat said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Call { question: u32, on_import: Option<u32> },
    Results { question: u32, finish_needed: bool },
    Failed { question: u32, kind: Kind, reason: String, finish_needed: bool },
    Unimplemented(Vec<u8>),
    Abort(String),
    Other,
}

impl Peer {
    pub(crate) fn new(limits: Limits) -> Self {
        let mut vat = Vat::new(limits);
        let offered = vat.object(ObjectId(1));
        let conn = vat.connect(Some(offered));
        Self { vat, conn, unread: Vec::new() }
    }

    /// Sends; what the vat does not take waits.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.send_at(NOW, bytes);
    }

    pub(crate) fn send_at(&mut self, now: Duration, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        let taken = self.vat.handle_input(now, self.conn, &self.unread);
        assert!(taken == self.unread.len() || !self.vat.wants_input(self.conn));
        self.unread.drain(..taken);
    }

    /// The calls that arrived.
    pub(crate) fn asked(&mut self) -> Vec<(CallId, Payload)> {
        let mut asked = Vec::new();
        while let Some(event) = self.vat.poll_event() {
            if let Event::Call { call, params, .. } = event {
                asked.push((call, params));
            }
        }
        asked
    }

    pub(crate) fn output(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.vat.poll_transmit(NOW, self.conn, &mut buffer) {
                0 => return bytes,
                count => bytes.extend_from_slice(&buffer[..count]),
            }
        }
    }

    pub(crate) fn said(&mut self) -> Vec<Said> {
        said(&self.output())
    }

    /// The questions that failed.
    pub(crate) fn failures(&mut self) -> Vec<(u32, Kind)> {
        let failure = |said| match said {
            Said::Failed { question, kind, .. } => Some((question, kind)),
            _ => None,
        };
        self.said().into_iter().filter_map(failure).collect()
    }

    /// The connection lives, and a call by it is answered.
    #[track_caller]
    pub(crate) fn is_served(&mut self) {
        self.asked();
        self.output();
        self.send(&[bootstrap(1000), call_on_answer(1001, 1000, &[])].concat());
        let (call, _) = self.asked().pop().expect("a call that arrives");
        self.vat.reply(call, Payload::results(0));
        let said = self.said();
        let answered = |said: &Said| matches!(said, Said::Results { question: 1001, .. });
        assert!(said.iter().any(answered), "{said:?}");
        self.send(&finish(1000));
    }
}

/// What messages say.
pub(crate) fn said(bytes: &[u8]) -> Vec<Said> {
    let mut rest = bytes;
    let mut all = Vec::new();
    let options = capnp::message::ReaderOptions::new();
    while let Ok(read) = capnp::serialize::read_message_from_flat_slice(&mut rest, options) {
        let root: message::Reader<'_> = read.get_root().unwrap();
        all.push(match root.which().unwrap() {
            message::Call(call) => {
                let call = call.unwrap();
                let on_import = match call.get_target().unwrap().which().unwrap() {
                    message_target::ImportedCap(id) => Some(id),
                    message_target::PromisedAnswer(_) => None,
                };
                Said::Call { question: call.get_question_id(), on_import }
            }
            message::Return(return_) => returned(return_.unwrap()),
            message::Unimplemented(theirs) => {
                let mut draft = Draft::new_default();
                draft.set_root(theirs.unwrap()).unwrap();
                Said::Unimplemented(bytes_of(&draft))
            }
            message::Abort(reason) => {
                Said::Abort(reason.unwrap().get_reason().unwrap().to_string().unwrap())
            }
            _ => Said::Other,
        });
    }
    all
}

fn returned(return_: return_::Reader<'_>) -> Said {
    let (question, finish_needed) = (return_.get_answer_id(), !return_.get_no_finish_needed());
    match return_.which().unwrap() {
        return_::Exception(reason) => {
            let reason = reason.unwrap();
            let kind = match reason.get_type().unwrap() {
                exception::Type::Failed => Kind::Failed,
                exception::Type::Overloaded => Kind::Overloaded,
                exception::Type::Disconnected => Kind::Disconnected,
                exception::Type::Unimplemented => Kind::Unimplemented,
            };
            let reason = reason.get_reason().unwrap().to_string().unwrap();
            Said::Failed { question, kind, reason, finish_needed }
        }
        return_::Results(_) => Said::Results { question, finish_needed },
        _ => Said::Other,
    }
}

fn bytes_of(draft: &Draft) -> Vec<u8> {
    let mut out = Vec::new();
    capnp::serialize::write_message(&mut out, draft).unwrap();
    out
}

pub(crate) fn build(write: impl FnOnce(message::Builder<'_>)) -> Vec<u8> {
    let mut draft = Draft::new_default();
    write(draft.init_root());
    bytes_of(&draft)
}

/// The same message as a copy of it lies.
pub(crate) fn canonical(bytes: &[u8]) -> Vec<u8> {
    let options = capnp::message::ReaderOptions::new();
    let read = capnp::serialize::read_message_from_flat_slice(&mut &bytes[..], options).unwrap();
    let mut draft = Draft::new_default();
    draft.set_root(read.get_root::<message::Reader<'_>>().unwrap()).unwrap();
    bytes_of(&draft)
}

pub(crate) fn bootstrap(question: u32) -> Vec<u8> {
    build(|message| message.init_bootstrap().set_question_id(question))
}

pub(crate) fn finish(question: u32) -> Vec<u8> {
    build(|message| message.init_finish().set_question_id(question))
}

/// A call on a part of an answer.
pub(crate) fn call_on_answer(question: u32, answer: u32, path: &[u16]) -> Vec<u8> {
    call_with(question, answer, path, 0)
}

/// As [`call_on_answer`], with so many words of parameters.
pub(crate) fn call_with(question: u32, answer: u32, path: &[u16], words: u32) -> Vec<u8> {
    build(|message| {
        let mut call = message.init_call();
        call.set_question_id(question);
        let mut target = call.reborrow().init_target().init_promised_answer();
        target.set_question_id(answer);
        let mut transform = target.init_transform(path.len() as u32);
        for (index, field) in (0..).zip(path) {
            transform.reborrow().get(index).set_get_pointer_field(*field);
        }
        if words > 0 {
            let _: capnp::data::Builder<'_> = call.init_params().get_content().initn_as(8 * words);
        }
    })
}

pub(crate) fn return_to(question: u32) -> Vec<u8> {
    build(|message| {
        let mut return_ = message.init_return();
        return_.set_answer_id(question);
        return_.init_results();
    })
}

/// An unknown message with a list of so many pointers that all lead to one text of as many words.
pub(crate) fn overlapping(count: u64) -> Vec<u8> {
    // `Message` with the discriminant of `provide`, whose target is the list.
    let (pointers, text) = (count, count);
    let mut words = vec![
        0x0001_0001_0000_0000,
        10,
        // A list of pointers, right behind.
        1 | (6 << 32) | (pointers << 35),
    ];
    for index in 0..pointers {
        let offset = pointers - index - 1;
        words.push(1 | (offset << 2) | (2 << 32) | ((text * 8) << 35));
    }
    words.extend(std::iter::repeat_n(0x0101_0101_0101_0101, text as usize));
    let table = (words.len() as u64) << 32;
    std::iter::once(table).chain(words).flat_map(u64::to_le_bytes).collect()
}

/// Whether the first message, a return, releases the capabilities of its call's parameters.
pub(crate) fn releases_params(bytes: &[u8]) -> bool {
    let options = capnp::message::ReaderOptions::new();
    let read = capnp::serialize::read_message_from_flat_slice(&mut &bytes[..], options).unwrap();
    let root: message::Reader<'_> = read.get_root().unwrap();
    let Ok(message::Return(return_)) = root.which() else { panic!("a return") };
    return_.unwrap().get_release_param_caps()
}
