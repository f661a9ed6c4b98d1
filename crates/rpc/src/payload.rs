//! Payloads: parameters and results, their contents and the capabilities in them.

use crate::framing::Frame;
use crate::rpc_capnp::message;
use crate::slot;
use crate::vat::Cap;
use crate::wire::Path;
use crate::wire::encode::{Draft, draft};
use crate::wire::envelope;
use alloc::rc::Rc;
use alloc::vec::Vec;
use capnp::any_pointer;
use capnp::private::capability::PipelineOp;
use capnp::private::layout::CapTable;
use capnp::traits::{Imbue, ImbueMut};

/// The parameters of a call or its results: contents, and a table of the capabilities in them.
/// Contents that are built here already lie in the envelope they will be sent in, so that sending
/// fills in a few fields and copies once.
pub struct Payload {
    body: Body,
    /// What the capability pointers in the contents stand for; `None` is a null capability.
    /// Each entry owns one reference.
    pub(crate) caps: Vec<Option<Cap>>,
}

enum Body {
    Params(Draft),
    Results(Draft),
    Received(capnp::message::Reader<Frame>),
    /// The contents of another, with another table.
    Shared(Rc<Payload>),
}

impl Payload {
    /// Empty parameters, with room for `words` words.
    pub fn params(words: u32) -> Self {
        let mut draft = draft(words);
        draft.init_root::<message::Builder<'_>>().init_call().init_params();
        Self { body: Body::Params(draft), caps: Vec::new() }
    }

    /// Empty results, with room for `words` words.
    pub fn results(words: u32) -> Self {
        Self { body: Body::Results(envelope::draft(words)), caps: Vec::new() }
    }

    pub(crate) fn received(reader: capnp::message::Reader<Frame>, caps: Vec<Option<Cap>>) -> Self {
        Self { body: Body::Received(reader), caps }
    }

    /// The contents of `other` with `caps` as their table.
    pub(crate) fn sharing(other: Rc<Self>, caps: Vec<Option<Cap>>) -> Self {
        Self { body: Body::Shared(other), caps }
    }

    /// The contents, without capabilities: imbue the reader to read those.
    pub fn content(&self) -> capnp::Result<any_pointer::Reader<'_>> {
        match &self.body {
            Body::Params(draft) => content_of(draft.get_root_as_reader()?),
            Body::Results(draft) => envelope::content(draft),
            Body::Received(reader) if reader.get_segments().has_content_at_root() => {
                reader.get_root()
            }
            Body::Received(reader) => content_of(reader.get_root()?),
            Body::Shared(other) => other.content(),
        }
    }

    /// The contents, to be written; imbue the builder to write capabilities. Fails on contents
    /// that were received.
    pub fn content_mut(&mut self) -> capnp::Result<any_pointer::Builder<'_>> {
        match &mut self.body {
            Body::Results(draft) => envelope::content_mut(draft),
            Body::Params(draft) => match draft.get_root::<message::Builder<'_>>()?.which()? {
                message::Call(call) => Ok(call?.get_params()?.get_content()),
                _ => Err(wrong_shape()),
            },
            Body::Received(_) | Body::Shared(_) => Err(wrong_shape()),
        }
    }

    /// Writes contents in which [`Slot`](crate::slot::Slot) `n` stands for `caps[n]`. The payload owns the `caps`
    /// from then on.
    pub fn build<R>(
        &mut self,
        caps: &[Option<Cap>],
        write: impl FnOnce(any_pointer::Builder<'_>) -> R,
    ) -> capnp::Result<R> {
        let mut table = CapTable::new();
        let mut content = self.content_mut()?;
        content.imbue_mut(&mut table);
        let result = write(content);
        self.caps = table
            .iter()
            .map(|hook| slot::index_of(hook.as_deref()?).and_then(|index| *caps.get(index)?))
            .collect();
        Ok(result)
    }

    /// The capabilities in the table, by index.
    pub fn caps(&self) -> &[Option<Cap>] {
        &self.caps
    }

    /// Which entry of the table the capability pointer at `path` names.
    pub(crate) fn cap_index_at(&self, path: &Path) -> Option<usize> {
        if self.caps.is_empty() {
            return None;
        }
        let table = slot::table(self.caps.len());
        let mut content = self.content().ok()?;
        content.imbue(&table);
        let ops: Vec<_> = path.iter().map(|field| PipelineOp::GetPointerField(*field)).collect();
        slot::index_of(&*content.get_pipelined_cap(&ops).ok()?)
    }

    /// Calls `read` with contents in which [`Slot`](crate::slot::Slot) `n` stands for entry `n` of the table.
    pub fn read<R>(
        &self,
        read: impl FnOnce(any_pointer::Reader<'_>) -> capnp::Result<R>,
    ) -> capnp::Result<R> {
        let table = slot::table(self.caps.len());
        let mut content = self.content()?;
        content.imbue(&table);
        read(content)
    }

    /// The envelope to send as parameters, with what its table names; the references stay with
    /// this payload.
    pub(crate) fn take_params(&mut self) -> capnp::Result<(Draft, Vec<Option<Cap>>)> {
        if let Body::Params(draft) = &mut self.body {
            return Ok((core::mem::replace(draft, self::draft(0)), self.caps.clone()));
        }
        let mut copy = Self::params(self.size_hint());
        copy.copy_from(self)?;
        match copy.body {
            Body::Params(draft) => Ok((draft, copy.caps)),
            _ => Err(wrong_shape()),
        }
    }

    /// The envelope to send as results, if these were built as such and can be sent as they are.
    pub(crate) fn results_draft(&mut self) -> Option<(&mut Draft, &[Option<Cap>])> {
        match &mut self.body {
            Body::Results(draft) => Some((draft, &self.caps)),
            _ => None,
        }
    }

    /// A copy that can be sent as results; the references stay with this payload.
    pub(crate) fn copied_results(&self) -> capnp::Result<Self> {
        let mut copy = Self::results(self.size_hint());
        copy.copy_from(self)?;
        Ok(copy)
    }

    /// Bytes that the contents take, about.
    pub(crate) fn bytes(&self) -> usize {
        match &self.body {
            Body::Params(draft) | Body::Results(draft) => draft.size_in_words() * 8,
            Body::Received(reader) => reader.get_segments().bytes(),
            Body::Shared(other) => other.bytes(),
        }
    }

    /// What it takes to hold it.
    pub(crate) fn held_bytes(&self) -> usize {
        /// What a builder reserves for small contents at most, see [`draft`].
        const DRAFT_BYTES: usize = 56 * 8;
        let caps = self.caps.capacity() * size_of::<Option<Cap>>();
        size_of::<Self>() + caps + self.bytes().max(DRAFT_BYTES)
    }

    /// Words that the contents take, about.
    pub(crate) fn size_hint(&self) -> u32 {
        u32::try_from(self.bytes() / 8).unwrap_or(u32::MAX)
    }

    fn copy_from(&mut self, other: &Self) -> capnp::Result<()> {
        let from = slot::table(other.caps.len());
        let mut content = other.content()?;
        content.imbue(&from);
        self.build(&other.caps, |mut to| to.set_as(content))?
    }
}

fn content_of(root: message::Reader<'_>) -> capnp::Result<any_pointer::Reader<'_>> {
    match root.which()? {
        message::Call(call) => Ok(call?.get_params()?.get_content()),
        message::Return(return_) => match return_?.which()? {
            crate::rpc_capnp::return_::Results(results) => Ok(results?.get_content()),
            _ => Err(wrong_shape()),
        },
        _ => Err(wrong_shape()),
    }
}

fn wrong_shape() -> capnp::Error {
    capnp::Error::failed(alloc::string::String::from("not the message this payload is made of"))
}

impl core::fmt::Debug for Payload {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Payload").field("bytes", &self.bytes()).field("caps", &self.caps).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_payload_holds_is_weighed() {
        let mut payload = Payload::results(0);
        let own = size_of::<Payload>();
        assert_eq!(payload.held_bytes() - own, 448, "what a builder reserves");
        payload.caps = Vec::with_capacity(10);
        assert_eq!(payload.held_bytes() - own, 448 + 120);
        let mut content = payload.content_mut().unwrap();
        content.set_as::<capnp::data::Owned>(&[7; 8_000][..]).unwrap();
        assert_eq!(payload.bytes(), 8_072);
        assert_eq!(payload.held_bytes() - own, 8_072 + 120);
        assert_eq!(payload.size_hint(), 1_009);
    }

    /// An application that prints its events prints no contents.
    #[test]
    fn its_debug_text_has_sizes_only() {
        let mut payload = Payload::params(0);
        payload.content_mut().unwrap().set_as::<capnp::text::Owned>("secret").unwrap();
        let text = alloc::format!("{payload:?}");
        assert_eq!(text, "Payload { bytes: 96, caps: [] }");
    }
}
