//! Plain messages: calls, returns and finishes as nearly every peer sends them, read word by word.
//!
//! Plain is a message in one segment whose pointers all lead to structs in it, without capabilities but the target.
//! Such a message is a few words of envelope around the contents, so that its fields are loads behind one check of each
//! pointer. Whatever is not plain, or is wrong, is none here: [`decode`](super::decode) reads it, or says what is wrong.

use super::{CallHeader, Message, Outcome, ReturnHeader, Target};
use crate::framing::Frame;
use alloc::vec::Vec;

/// How deep in a message the contents of a call's parameters or of a return's results lie.
pub(crate) const CONTENT_DEPTH: u32 = 3;

/// Discriminants of `Message` (rpc.capnp).
const CALL: u64 = 2;
const RETURN: u64 = 3;
const FINISH: u64 = 4;

/// What a plain message says. Parameters and results become the root of the frame: whoever reads them does not pass
/// the envelope again.
pub(crate) fn message(frame: &mut Frame) -> Option<Message> {
    let words = Words(frame.single_segment()?);
    let message = words.follow(0)?;
    let body = words.follow(message.pointer(0)?)?;
    match words.data(&message, 0) & 0xffff {
        CALL => {
            let (header, root) = call(&words, &body)?;
            frame.set_root(root);
            Some(Message::Call(header))
        }
        RETURN => {
            let (header, root) = results(&words, &body)?;
            frame.set_root(root);
            Some(Message::Return(header))
        }
        FINISH => {
            let data = words.data(&body, 0);
            // Both flags default to true, so that the bits on the wire are inverted.
            Some(Message::Finish {
                question: data as u32,
                release_results: data >> 32 & 1 == 0,
                deliver_first: data >> 33 & 1 == 0,
            })
        }
        _ => None,
    }
}

fn call(words: &Words<'_>, call: &Struct) -> Option<(CallHeader, u64)> {
    let ids = words.data(call, 0);
    let target = words.follow(call.pointer(0)?)?;
    let to = words.data(&target, 0);
    // `sendResultsTo` is the caller, and the target an import.
    if ids >> 48 != 0 || to >> 32 & 0xffff != 0 {
        return None;
    }
    let header = CallHeader {
        question: ids as u32,
        target: Target::Import(to as u32),
        interface: words.data(call, 1),
        method: (ids >> 32) as u16,
        keep_results: false,
        caps: Vec::new(),
    };
    Some((header, content(words, call.pointer(1)?)?))
}

fn results(words: &Words<'_>, return_: &Struct) -> Option<(ReturnHeader, u64)> {
    let data = words.data(return_, 0);
    // Results, rather than one of the other outcomes.
    if data >> 48 != 0 {
        return None;
    }
    let header = ReturnHeader {
        answer: data as u32,
        // It defaults to true.
        release_params: data >> 32 & 1 == 0,
        no_finish_needed: data >> 33 & 1 == 1,
        outcome: Outcome::Results(Vec::new()),
    };
    Some((header, content(words, return_.pointer(0)?)?))
}

/// The contents of the payload to which the pointer at `at` leads, as a pointer to them from the segment's first word.
/// None where the payload has capabilities.
fn content(words: &Words<'_>, at: usize) -> Option<u64> {
    let payload = words.follow(at)?;
    if payload.pointer(1).is_some_and(|at| words.at(at) != Some(0)) {
        return None;
    }
    let Some(at) = payload.pointer(0) else { return Some(0) };
    let pointer = words.at(at)?;
    // Structs and lists are found by their distance, null is null, and all else stays where it is.
    match pointer {
        0 => Some(0),
        _ if pointer & 0b10 == 0 => moved(pointer, at),
        _ => None,
    }
}

/// The same struct or list, pointed to from `at` words further ahead.
fn moved(pointer: u64, at: usize) -> Option<u64> {
    let distance = distance(pointer).checked_add(i32::try_from(at).ok()?)?;
    // 30 bits, and the sign is one of them.
    if !(-(1 << 29)..1 << 29).contains(&distance) {
        return None;
    }
    Some(pointer & !0xffff_fffc | u64::from((distance << 2) as u32))
}

/// Words between a struct's or a list's pointer and itself.
fn distance(pointer: u64) -> i32 {
    pointer as u32 as i32 >> 2
}

/// The words of the only segment.
struct Words<'a>(&'a [[u8; 8]]);

/// A struct that lies within its segment: where its parts begin, and how many words each has.
struct Struct {
    data: usize,
    data_words: usize,
    pointers: usize,
    pointer_words: usize,
}

impl Words<'_> {
    fn at(&self, index: usize) -> Option<u64> {
        self.0.get(index).map(|word| u64::from_le_bytes(*word))
    }

    /// The struct to which the pointer at `at` leads.
    fn follow(&self, at: usize) -> Option<Struct> {
        let pointer = self.at(at)?;
        // Null stands for defaults; other kinds are lists, far pointers and capabilities.
        if pointer == 0 || pointer & 0b11 != 0 {
            return None;
        }
        let data = (at + 1).checked_add_signed(distance(pointer) as isize)?;
        let (data_words, pointer_words) = ((pointer >> 32) as u16, (pointer >> 48) as u16);
        let (data_words, pointer_words) = (usize::from(data_words), usize::from(pointer_words));
        let pointers = data + data_words;
        let within = pointers + pointer_words <= self.0.len();
        within.then_some(Struct { data, data_words, pointers, pointer_words })
    }

    /// A word of a struct's data, zero where its writer knew of none.
    fn data(&self, of: &Struct, index: usize) -> u64 {
        if index < of.data_words { self.at(of.data + index).unwrap_or(0) } else { 0 }
    }
}

impl Struct {
    /// Where one of its pointers is, if its writer knew of it.
    fn pointer(&self, index: usize) -> Option<usize> {
        (index < self.pointer_words).then_some(self.pointers + index)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{decode, encode};
    use super::*;
    use crate::framing::Deframer;
    use crate::limits::Limits;
    use crate::rpc_capnp::message as schema;
    use capnp::message::{Builder, HeapAllocator, Reader, ReaderOptions};

    type Draft = Builder<HeapAllocator>;

    fn frame(draft: &Draft) -> Frame {
        let mut bytes = Vec::new();
        encode::append(&mut bytes, draft);
        Deframer::default().next(&mut &bytes[..], &Limits::default()).unwrap().unwrap()
    }

    fn draft(write: impl FnOnce(schema::Builder<'_>)) -> Draft {
        let mut draft = Builder::new_default();
        write(draft.init_root());
        draft
    }

    fn a_call(write: impl FnOnce(capnp::any_pointer::Builder<'_>)) -> Draft {
        draft(|message| {
            let mut call = message.init_call();
            call.set_question_id(0xfedc_ba98);
            call.set_interface_id(0x8765_4321_8765_4321);
            call.set_method_id(0xabcd);
            call.reborrow().init_target().set_imported_cap(0xffff_fffe);
            write(call.init_params().get_content());
        })
    }

    fn data(content: capnp::any_pointer::Builder<'_>) {
        let _: capnp::data::Builder<'_> = content.initn_as(9);
    }

    /// What the decoder makes of the same message.
    fn decoded(draft: &Draft) -> Message {
        let reader = Reader::new(frame(draft), ReaderOptions::new());
        decode::message(reader.get_root().unwrap(), &Limits::default()).unwrap()
    }

    #[test]
    fn a_plain_message_says_what_the_decoder_says() {
        let finish = |release, early| {
            draft(|message| {
                let mut finish = message.init_finish();
                finish.set_question_id(7);
                finish.set_release_result_caps(release);
                finish.set_require_early_cancellation_workaround(early);
            })
        };
        let results = |release, needed| {
            draft(|message| {
                let mut return_ = message.init_return();
                return_.set_answer_id(9);
                return_.set_release_param_caps(release);
                return_.set_no_finish_needed(needed);
                return_.init_results();
            })
        };
        let mut drafts = Vec::from([a_call(|_| {}), a_call(data)]);
        for flags in [(false, false), (false, true), (true, false), (true, true)] {
            drafts.push(finish(flags.0, flags.1));
            drafts.push(results(flags.0, flags.1));
        }
        for draft in &drafts {
            assert_eq!(message(&mut frame(draft)), Some(decoded(draft)));
        }
    }

    #[test]
    fn contents_are_the_root_afterwards() {
        let mut frame = frame(&a_call(|content| {
            let text: capnp::data::Builder<'_> = content.initn_as(11);
            text.copy_from_slice(b"hello words");
        }));
        assert!(message(&mut frame).is_some());
        let reader = Reader::new(frame, ReaderOptions::new());
        assert_eq!(reader.get_root::<capnp::data::Reader<'_>>().unwrap(), b"hello words");
        assert!(reader.get_segments().has_content_at_root());
    }

    #[test]
    fn no_contents_are_null() {
        let mut frame = frame(&a_call(|_| {}));
        assert!(message(&mut frame).is_some());
        let reader = Reader::new(frame, ReaderOptions::new());
        assert!(reader.get_root::<capnp::any_pointer::Reader<'_>>().unwrap().is_null());
    }

    #[test]
    fn what_is_not_plain_is_left_as_it_is() {
        let promised = draft(|message| {
            message.init_call().init_target().init_promised_answer().set_question_id(1);
        });
        let kept = draft(|message| {
            let mut call = message.init_call();
            call.reborrow().init_target().set_imported_cap(1);
            call.get_send_results_to().set_yourself(());
        });
        let failed = draft(|message| message.init_return().init_exception().set_reason("no"));
        let bootstrap = draft(|message| message.init_bootstrap().set_question_id(3));
        let with_cap = draft(|message| {
            let mut call = message.init_call();
            call.reborrow().init_target().set_imported_cap(1);
            call.init_params().init_cap_table(1).get(0).set_sender_hosted(5);
        });
        for draft in [promised, kept, failed, bootstrap, with_cap] {
            let mut frame = frame(&draft);
            assert_eq!(message(&mut frame), None);
            assert!(!frame.has_content_at_root());
            let reader = Reader::new(frame, ReaderOptions::new());
            let read = decode::message(reader.get_root().unwrap(), &Limits::default());
            assert_eq!(read, Ok(decoded(&draft)));
        }
    }

    /// Whatever one word of a call is replaced by, it is plain as the decoder reads it, or left to the decoder.
    #[test]
    fn a_wrong_word_is_left_to_the_decoder() {
        let draft = a_call(data);
        let segments = draft.get_segments_for_output();
        let words = segments[0].len() / 8;
        let wrong =
            [0, 1, 2, 3, u64::MAX, u64::MAX << 2, 1 << 31, 0x7fff_fffc, 0xffff << 32, 0xffff << 48];
        for at in 0..words {
            for by in wrong {
                let mut bytes = Vec::new();
                encode::append(&mut bytes, &draft);
                bytes[8 + 8 * at..][..8].copy_from_slice(&by.to_le_bytes());
                let limits = Limits::default();
                let frame = || Deframer::default().next(&mut &bytes[..], &limits).unwrap().unwrap();
                if let Some(plain) = message(&mut frame()) {
                    let reader = Reader::new(frame(), ReaderOptions::new());
                    let read = decode::message(reader.get_root().unwrap(), &limits);
                    assert_eq!(Ok(plain), read, "word {at} replaced by {by:#x}");
                }
            }
        }
    }

    #[test]
    fn what_a_struct_does_not_have_is_zero_or_missing() {
        let all = [1_u64, 2, 3].map(u64::to_le_bytes);
        let words = Words(&all);
        let one = Struct { data: 0, data_words: 1, pointers: 1, pointer_words: 1 };
        assert_eq!([0, 1, 2].map(|index| words.data(&one, index)), [1, 0, 0]);
        assert_eq!([0, 1, 2].map(|index| one.pointer(index)), [Some(1), None, None]);
    }

    /// Far pointers and capabilities are found otherwise than by their distance.
    #[test]
    fn contents_that_are_no_struct_or_list_are_left_to_the_decoder() {
        // A payload of two pointers, the contents, and no table.
        let found = |content: u64| {
            let all = [0x0002_0000_0000_0000, content, 0].map(u64::to_le_bytes);
            super::content(&Words(&all), 0)
        };
        assert_eq!(found(0), Some(0));
        assert_eq!(found(5 << 32), Some(5 << 32 | 1 << 2));
        assert_eq!(found(5 << 32 | 1), Some(5 << 32 | 1 << 2 | 1));
        for other in [2, 3, 6, 5 << 32 | 3] {
            assert_eq!(found(other), None, "{other:#x}");
        }
    }

    #[test]
    fn a_pointer_is_moved_only_as_far_as_its_bits_reach() {
        let pointer = |distance: i32| u64::from((distance << 2) as u32) | 5 << 32 | 1;
        assert_eq!(moved(pointer(3), 10), Some(pointer(13)));
        assert_eq!(moved(pointer(-1), 1), Some(pointer(0)));
        assert_eq!(moved(pointer(-(1 << 29)), 1), Some(pointer(1 - (1 << 29))));
        assert_eq!(moved(pointer((1 << 29) - 2), 1), Some(pointer((1 << 29) - 1)));
        assert_eq!(moved(pointer((1 << 29) - 1), 1), None);
    }
}
