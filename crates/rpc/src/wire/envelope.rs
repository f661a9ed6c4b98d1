//! Envelope of results: the message, the return and the payload around them, written by hand.
//!
//! While results are built their envelope is one struct of the builder's, behind the root. So making it is one step, and so
//! is finding the contents in it, which is done for every call. The words of that struct are the envelope's, in its order,
//! and are filled in when the results leave; with them goes [`ROOT`], since the builder's own root pointer leads to that
//! one struct.

use super::Descriptor;
use super::encode::{self, Draft};
use crate::rpc_capnp::cap_descriptor;
use capnp::message::{Builder, HeapAllocator};
use capnp::private::layout::{
    PointerBuilder, PointerReader, StructBuilder, StructReader, StructSize,
};
use capnp::traits::{FromPointerBuilder, FromPointerReader};
use capnp::{Word, any_pointer, struct_list};

/// The first word of the message: a pointer to a `Message`, of a word of data and a pointer, behind it.
pub(crate) const ROOT: u64 = 0x0001_0001_0000_0000;

/// The words behind the root. Each pointer leads to what is right behind it.
const ENVELOPE: StructSize = StructSize { data: 5, pointers: 2 };
/// `Message`: its discriminant, and the pointer to a `Return` of two words of data and a pointer.
const DISCRIMINANT: usize = 0;
const RETURN_POINTER: usize = 1;
/// `Return`: its flags and numbers, its second word, and the pointer to a `Payload` of two pointers.
const RETURN: usize = 2;
const PAYLOAD_POINTER: usize = 4;
/// `Payload`: the contents, and the table of the capabilities in them.
const CONTENT: usize = 0;
const CAP_TABLE: usize = 1;

/// Empty results, with room for `words` words in the first segment.
pub(crate) fn draft(words: u32) -> Draft {
    /// The root and the envelope, and a table of a few capabilities: more make a second segment.
    const ENVELOPE_WORDS: u32 = 24;
    let words = words.saturating_add(ENVELOPE_WORDS).min(encode::FIRST_SEGMENT_WORDS_MAX);
    let mut draft = Builder::new(HeapAllocator::new().first_segment_words(words));
    draft.init_root::<Envelope<'_>>();
    draft
}

/// The contents.
pub(crate) fn content(draft: &Draft) -> capnp::Result<any_pointer::Reader<'_>> {
    let envelope = draft.get_root_as_reader::<ReadEnvelope<'_>>()?;
    Ok(any_pointer::Reader::new(envelope.0.get_pointer_field(CONTENT)))
}

/// The contents, to be written.
pub(crate) fn content_mut(draft: &mut Draft) -> capnp::Result<any_pointer::Builder<'_>> {
    let envelope = draft.get_root::<Envelope<'_>>()?;
    Ok(any_pointer::Builder::new(envelope.0.get_pointer_field(CONTENT)))
}

/// Fills in the envelope; all but the root is there then.
pub(crate) fn fill(
    draft: &mut Draft,
    answer: u32,
    no_finish_needed: bool,
    caps: &[Descriptor],
) -> capnp::Result<()> {
    /// Discriminant of `Message` (rpc.capnp).
    const MESSAGE_RETURN: u64 = 3;
    /// `releaseParamCaps` defaults to true, so that its bit on the wire is inverted: false.
    const KEEP_PARAM_CAPS: u64 = 1 << 32;
    const NO_FINISH_NEEDED: u64 = 1 << 33;
    let flags = if no_finish_needed { KEEP_PARAM_CAPS | NO_FINISH_NEEDED } else { KEEP_PARAM_CAPS };
    let envelope = draft.get_root::<Envelope<'_>>()?.0;
    envelope.set_data_field(DISCRIMINANT, MESSAGE_RETURN);
    envelope.set_data_field(RETURN_POINTER, 0x0001_0002_0000_0000_u64);
    envelope.set_data_field(RETURN, u64::from(answer) | flags);
    envelope.set_data_field(PAYLOAD_POINTER, 0x0002_0000_0000_0000_u64);
    if !caps.is_empty() {
        let table = any_pointer::Builder::new(envelope.get_pointer_field(CAP_TABLE));
        let table: struct_list::Builder<'_, cap_descriptor::Owned> =
            table.initn_as(caps.len() as u32);
        encode::write_caps(table, caps);
    }
    Ok(())
}

struct Envelope<'a>(StructBuilder<'a>);

impl<'a> FromPointerBuilder<'a> for Envelope<'a> {
    fn init_pointer(builder: PointerBuilder<'a>, _: u32) -> Self {
        Self(builder.init_struct(ENVELOPE))
    }

    fn get_from_pointer(
        builder: PointerBuilder<'a>,
        default: Option<&'a [Word]>,
    ) -> capnp::Result<Self> {
        builder.get_struct(ENVELOPE, default).map(Self)
    }
}

struct ReadEnvelope<'a>(StructReader<'a>);

impl<'a> FromPointerReader<'a> for ReadEnvelope<'a> {
    fn get_from_pointer(
        reader: &PointerReader<'a>,
        default: Option<&'a [Word]>,
    ) -> capnp::Result<Self> {
        reader.get_struct(default).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Message, Outcome, ReturnHeader, decode};
    use super::*;
    use crate::framing::{Deframer, Frame};
    use crate::limits::Limits;
    use crate::rpc_capnp::{message, return_};
    use alloc::vec;
    use alloc::vec::Vec;
    use capnp::message::{Reader, ReaderOptions};

    /// The message that leaves, as the peer finds it.
    fn sent(draft: &Draft) -> Reader<Frame> {
        let mut bytes = Vec::new();
        encode::append_results(&mut bytes, draft);
        let frame = Deframer::default().next(&mut &bytes[..], &Limits::default()).unwrap().unwrap();
        Reader::new(frame, ReaderOptions::new())
    }

    fn written(words: u32, content: &[u8]) -> Draft {
        let mut draft = draft(words);
        let place: capnp::data::Builder<'_> =
            content_mut(&mut draft).unwrap().initn_as(content.len() as u32);
        place.copy_from_slice(content);
        draft
    }

    #[test]
    fn what_leaves_is_the_return_that_the_schema_has() {
        for no_finish_needed in [false, true] {
            for caps in [vec![], vec![Descriptor::SenderHosted(3), Descriptor::None]] {
                let mut draft = written(4, b"contents");
                fill(&mut draft, u32::MAX, no_finish_needed, &caps).unwrap();
                let reader = sent(&draft);
                let header = ReturnHeader {
                    answer: u32::MAX,
                    release_params: false,
                    no_finish_needed,
                    outcome: Outcome::Results(caps),
                };
                let read = decode::message(reader.get_root().unwrap(), &Limits::default());
                assert_eq!(read, Ok(Message::Return(header)));
            }
        }
    }

    #[test]
    fn contents_of_any_length_are_found_where_they_are_built_and_where_they_arrive() {
        for length in [0, 1, 300, 100_000] {
            let content: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let mut draft = written(0, &content);
            let built: capnp::data::Reader<'_> = super::content(&draft).unwrap().get_as().unwrap();
            assert_eq!(built, content);
            fill(&mut draft, 1, true, &[]).unwrap();
            let reader = sent(&draft);
            let message::Return(return_) =
                reader.get_root::<message::Reader<'_>>().unwrap().which().unwrap()
            else {
                panic!("a return");
            };
            let return_::Results(results) = return_.unwrap().which().unwrap() else {
                panic!("results");
            };
            let arrived: capnp::data::Reader<'_> = results.unwrap().get_content().get_as().unwrap();
            assert_eq!(arrived, content);
        }
    }
}
