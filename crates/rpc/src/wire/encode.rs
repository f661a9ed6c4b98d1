//! Encoder: one function for each message, into the queue of bytes that leave. Messages of fixed
//! shape are laid out by hand, since every call sends some; the tests read them back.

use super::{Descriptor, Path, Target, envelope};
use crate::exception::{Exception, Kind};
use crate::framing::Frame;
use crate::rpc_capnp::{cap_descriptor, exception, message, message_target, promised_answer};
use alloc::vec::Vec;
use capnp::OutputSegments;
use capnp::message::{Builder, HeapAllocator, Reader, ReaderOptions};
use capnp::struct_list;

/// A message being written.
pub(crate) type Draft = Builder<HeapAllocator>;

/// Discriminants of `Message` (rpc.capnp).
const FINISH: u64 = 4;
const RELEASE: u64 = 6;

/// Beyond this the allocator adds segments as they fill.
pub(super) const FIRST_SEGMENT_WORDS_MAX: u32 = 1 << 20;

/// An empty message whose first segment has room for `words` beside the envelope.
pub(crate) fn draft(words: u32) -> Draft {
    /// Envelope of a call: root, message, call, target, payload.
    const ENVELOPE_WORDS: u32 = 24;
    let words = words.saturating_add(ENVELOPE_WORDS).min(FIRST_SEGMENT_WORDS_MAX);
    Builder::new(HeapAllocator::new().first_segment_words(words))
}

/// Appends `draft` to `out` with its segment table.
pub(crate) fn append(out: &mut Vec<u8>, draft: &Draft) {
    let segments = draft.get_segments_for_output();
    let bytes: usize = segments.iter().map(|segment| segment.len()).sum();
    out.reserve(table_bytes(segments.len()) + bytes);
    append_table(out, draft);
    for segment in segments.iter() {
        out.extend_from_slice(segment);
    }
}

/// Appends results whose envelope was filled in.
pub(crate) fn append_results(out: &mut Vec<u8>, draft: &Draft) {
    let root = envelope::ROOT.to_le_bytes();
    if let OutputSegments::SingleSegment([segment]) = draft.get_segments_for_output()
        && let Some((_, rest)) = segment.split_first_chunk::<8>()
    {
        // As most are: a table of one segment is its length, behind four zero bytes.
        out.reserve(16 + rest.len());
        out.extend_from_slice(&((segment.len() as u64 / 8) << 32).to_le_bytes());
        out.extend_from_slice(&root);
        out.extend_from_slice(rest);
        return;
    }
    let start = out.len();
    append(out, draft);
    let at = start + table_bytes(draft.get_segments_for_output().len());
    if let Some(place) = out.get_mut(at..).and_then(|bytes| bytes.first_chunk_mut()) {
        *place = root;
    }
}

/// Appends the segment table of `draft`.
pub(crate) fn append_table(out: &mut Vec<u8>, draft: &Draft) {
    let segments = draft.get_segments_for_output();
    let start = out.len();
    out.extend_from_slice(&(segments.len() as u32).wrapping_sub(1).to_le_bytes());
    for segment in segments.iter() {
        out.extend_from_slice(&((segment.len() / 8) as u32).to_le_bytes());
    }
    out.resize(start + table_bytes(segments.len()), 0);
}

/// Length of the table of so many segments.
fn table_bytes(segments: usize) -> usize {
    (4 + 4 * segments).next_multiple_of(8)
}

pub(crate) fn bootstrap(out: &mut Vec<u8>, question: u32, service: &[u8]) {
    let mut draft = draft(0);
    let mut bootstrap = draft.init_root::<message::Builder<'_>>().init_bootstrap();
    bootstrap.set_question_id(question);
    if !service.is_empty() {
        let bytes = u32::try_from(service.len()).unwrap_or(u32::MAX);
        // As text, which ends with a zero byte.
        let place: capnp::data::Builder<'_> =
            bootstrap.init_deprecated_object_id().initn_as(bytes.saturating_add(1));
        for (to, from) in place.iter_mut().zip(service) {
            *to = *from;
        }
    }
    append(out, &draft);
}

/// Fills the envelope of `draft`, which holds the parameters.
pub(crate) fn call(draft: &mut Draft, header: &super::CallHeader) -> capnp::Result<()> {
    let root = draft.get_root::<message::Builder<'_>>()?;
    let message::Call(call) = root.which()? else {
        return Err(capnp::Error::from_kind(capnp::ErrorKind::Failed));
    };
    let mut call = call?;
    call.set_question_id(header.question);
    call.set_interface_id(header.interface);
    call.set_method_id(header.method);
    if header.keep_results {
        call.reborrow().get_send_results_to().set_yourself(());
    }
    write_target(call.reborrow().init_target(), &header.target);
    if !header.caps.is_empty() {
        write_caps(call.get_params()?.init_cap_table(header.caps.len() as u32), &header.caps);
    }
    Ok(())
}

/// How a call ended other than with results.
pub(crate) enum NoResults<'a> {
    Exception(&'a Exception),
    Canceled,
    SentElsewhere,
    TakeFrom(u32),
}

pub(crate) fn no_results(out: &mut Vec<u8>, answer: u32, ending: &NoResults<'_>) {
    let mut draft = draft(match ending {
        NoResults::Exception(reason) => words_of(reason),
        _ => 0,
    });
    let mut return_ = draft.init_root::<message::Builder<'_>>().init_return();
    return_.set_answer_id(answer);
    return_.set_release_param_caps(false);
    match ending {
        NoResults::Exception(reason) => write_exception(return_.init_exception(), reason),
        NoResults::Canceled => return_.set_canceled(()),
        NoResults::SentElsewhere => return_.set_results_sent_elsewhere(()),
        NoResults::TakeFrom(question) => return_.set_take_from_other_question(*question),
    }
    append(out, &draft);
}

/// Answers a call that was not taken: nothing of it is left, nor of the capabilities that it brought.
pub(crate) fn refusal(out: &mut Vec<u8>, answer: u32, release_params: bool, reason: &Exception) {
    let mut draft = draft(words_of(reason));
    let mut return_ = draft.init_root::<message::Builder<'_>>().init_return();
    return_.set_answer_id(answer);
    return_.set_release_param_caps(release_params);
    return_.set_no_finish_needed(true);
    write_exception(return_.init_exception(), reason);
    append(out, &draft);
}

pub(crate) fn finish(out: &mut Vec<u8>, question: u32, release_results: bool) {
    // `releaseResultCaps` and `requireEarlyCancellationWorkaround` default to true, so the bits on
    // the wire are inverted; the second workaround is for peers before C++ 1.0.2 and not wanted.
    let flags = u64::from(!release_results) | 2;
    fixed(out, FINISH, u64::from(question) | flags << 32);
}

pub(crate) fn release(out: &mut Vec<u8>, import: u32, count: u32) {
    fixed(out, RELEASE, u64::from(import) | u64::from(count) << 32);
}

/// One segment of four words: the root pointer, `Message` (one data word, one pointer), and the
/// message's only word of data.
fn fixed(out: &mut Vec<u8>, discriminant: u64, data: u64) {
    const TABLE: u64 = 4 << 32;
    const ROOT: u64 = 0x0001_0001_0000_0000;
    const INNER: u64 = 0x0000_0001_0000_0000;
    let mut bytes = [0; 40];
    for (place, word) in bytes.chunks_exact_mut(8).zip([TABLE, ROOT, discriminant, INNER, data]) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&bytes);
}

pub(crate) fn resolve(out: &mut Vec<u8>, promise: u32, to: &Result<Descriptor, Exception>) {
    let mut draft = draft(8);
    let mut resolve = draft.init_root::<message::Builder<'_>>().init_resolve();
    resolve.set_promise_id(promise);
    match to {
        Ok(descriptor) => write_descriptor(resolve.init_cap(), descriptor),
        Err(reason) => write_exception(resolve.init_exception(), reason),
    }
    append(out, &draft);
}

pub(crate) fn disembargo_request(out: &mut Vec<u8>, target: &Target, embargo: u32) {
    let mut draft = draft(8);
    let mut disembargo = draft.init_root::<message::Builder<'_>>().init_disembargo();
    write_target(disembargo.reborrow().init_target(), target);
    disembargo.get_context().set_sender_loopback(embargo);
    append(out, &draft);
}

pub(crate) fn disembargo_reply(out: &mut Vec<u8>, target: &Target, embargo: u32) {
    let mut draft = draft(8);
    let mut disembargo = draft.init_root::<message::Builder<'_>>().init_disembargo();
    write_target(disembargo.reborrow().init_target(), target);
    disembargo.get_context().set_receiver_loopback(embargo);
    append(out, &draft);
}

pub(crate) fn abort(out: &mut Vec<u8>, reason: &Exception) {
    let mut draft = draft(16);
    write_exception(draft.init_root::<message::Builder<'_>>().init_abort(), reason);
    append(out, &draft);
}

/// Sends a message back as not known (rpc.capnp, `Message.unimplemented`). One that would be longer than it
/// came, since its pointers overlap, or that cannot be copied, being malformed, is answered by an empty one.
pub(crate) fn unimplemented(out: &mut Vec<u8>, theirs: Frame) {
    let words = theirs.bytes() / 8;
    let mut options = ReaderOptions::new();
    options.traversal_limit_in_words(Some(words));
    let reader = Reader::new(theirs, options);
    let mut draft = draft(u32::try_from(words).unwrap_or(u32::MAX));
    let copied = reader
        .get_root()
        .and_then(|theirs| draft.init_root::<message::Builder<'_>>().set_unimplemented(theirs));
    if copied.is_err() {
        draft = self::draft(0);
        draft.init_root::<message::Builder<'_>>().init_unimplemented();
    }
    append(out, &draft);
}

fn write_target(mut to: message_target::Builder<'_>, target: &Target) {
    match target {
        Target::Import(id) => to.set_imported_cap(*id),
        Target::Answer(question, path) => {
            write_promised(to.init_promised_answer(), *question, path);
        }
        // Never ours.
        Target::TooLong => {}
    }
}

fn write_promised(mut to: promised_answer::Builder<'_>, question: u32, path: &Path) {
    to.set_question_id(question);
    let mut transform = to.init_transform(path.len() as u32);
    for (index, field) in (0..).zip(path) {
        transform.reborrow().get(index).set_get_pointer_field(*field);
    }
}

/// Fills a table that has a place for each.
pub(super) fn write_caps(
    mut table: struct_list::Builder<'_, cap_descriptor::Owned>,
    caps: &[Descriptor],
) {
    for (index, cap) in (0..).zip(caps) {
        write_descriptor(table.reborrow().get(index), cap);
    }
}

fn write_descriptor(mut to: cap_descriptor::Builder<'_>, descriptor: &Descriptor) {
    match descriptor {
        Descriptor::None => to.set_none(()),
        Descriptor::SenderHosted(id) => to.set_sender_hosted(*id),
        Descriptor::SenderPromise(id) => to.set_sender_promise(*id),
        Descriptor::ReceiverHosted(id) => to.set_receiver_hosted(*id),
        Descriptor::ReceiverAnswer(question, path) => {
            write_promised(to.init_receiver_answer(), *question, path);
        }
        // Never ours.
        Descriptor::TooLong | Descriptor::Unknown => to.set_none(()),
    }
}

/// What an exception's text takes; its final zero has room in the envelope's.
fn words_of(reason: &Exception) -> u32 {
    u32::try_from(reason.reason.len().div_ceil(8)).unwrap_or(u32::MAX)
}

fn write_exception(mut to: exception::Builder<'_>, reason: &Exception) {
    to.set_reason(reason.reason.as_str());
    to.set_type(match reason.kind {
        Kind::Failed => exception::Type::Failed,
        Kind::Overloaded => exception::Type::Overloaded,
        Kind::Disconnected => exception::Type::Disconnected,
        Kind::Unimplemented => exception::Type::Unimplemented,
    });
}

#[cfg(test)]
mod tests {
    use super::super::{Message, Outcome, decode};
    use super::*;
    use crate::framing::Deframer;
    use crate::limits::Limits;
    use alloc::vec;

    fn read(bytes: &[u8]) -> Message {
        let limits = Limits::default();
        let frame = Deframer::default().next(&mut &bytes[..], &limits).unwrap().unwrap();
        let reader = Reader::new(frame, ReaderOptions::new());
        decode::message(reader.get_root().unwrap(), &limits).unwrap()
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Message {
        let mut out = Vec::new();
        write(&mut out);
        read(&out)
    }

    #[test]
    fn messages_laid_out_by_hand_read_back() {
        for release_results in [false, true] {
            assert_eq!(
                written(|out| finish(out, 7, release_results)),
                Message::Finish { question: 7, release_results, deliver_first: false }
            );
        }
        assert_eq!(
            written(|out| release(out, 3, u32::MAX)),
            Message::Release { export: 3, count: u32::MAX }
        );
    }

    /// Each in the one segment that was made for it, and copied to where nothing is reserved in vain.
    #[test]
    fn messages_of_known_length_have_one_segment() {
        let mut params = draft(20_000);
        let call = params.init_root::<message::Builder<'_>>().init_call();
        let _: capnp::data::Builder<'_> = call.init_params().init_content().initn_as(160_000);
        let mut results = envelope::draft(20_000);
        let _: capnp::data::Builder<'_> =
            envelope::content_mut(&mut results).unwrap().initn_as(160_000);
        for draft in [params, results] {
            let mut out = Vec::new();
            append(&mut out, &draft);
            assert_eq!(out[..4], [0; 4], "one segment");
            assert_eq!(out.capacity(), out.len());
        }
        for length in [0, 1, 7, 8, 500, 1_023, 1_024] {
            let reason = Exception::failed(alloc::string::String::from("x").repeat(length));
            let mut out = Vec::new();
            no_results(&mut out, 5, &NoResults::Exception(&reason));
            refusal(&mut out, 5, true, &reason);
            let (returned, refused) = out.split_at(out.len() / 2);
            for bytes in [returned, refused] {
                assert_eq!(bytes[..4], [0; 4], "{length} bytes");
                let Message::Return(header) = read(bytes) else { panic!("a return") };
                assert_eq!(header.outcome, Outcome::Exception(reason.clone()));
            }
        }
    }

    #[test]
    fn every_other_message_reads_back() {
        let reason = Exception::overloaded("later");
        let target = Target::Answer(4, vec![1, 0, 9]);
        assert_eq!(
            written(|out| bootstrap(out, 9, b"x")),
            Message::Bootstrap { question: 9, service: b"x".to_vec() }
        );
        assert_eq!(written(|out| abort(out, &reason)), Message::Abort(reason.clone()));
        assert_eq!(
            written(|out| disembargo_request(out, &target, 2)),
            Message::DisembargoRequest { target: target.clone(), embargo: 2 }
        );
        assert_eq!(
            written(|out| disembargo_reply(out, &target, 2)),
            Message::DisembargoReply { embargo: 2 }
        );
        for to in [
            Ok(Descriptor::None),
            Ok(Descriptor::SenderHosted(1)),
            Ok(Descriptor::SenderPromise(2)),
            Ok(Descriptor::ReceiverHosted(3)),
            Ok(Descriptor::ReceiverAnswer(4, vec![5])),
            Err(reason.clone()),
        ] {
            assert_eq!(
                written(|out| resolve(out, 1, &to)),
                Message::Resolve { promise: 1, to: to.clone() }
            );
        }
        let Message::Return(header) =
            written(|out| no_results(out, 5, &NoResults::Exception(&reason)))
        else {
            panic!("a return");
        };
        assert_eq!(header.outcome, Outcome::Exception(reason));
        assert!(!header.release_params);
    }
}
