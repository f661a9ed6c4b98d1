//! Table: what is said in the region's first pages, read once and checked, and claimed by compare-and-swap.

use crate::RegionMemory;
use crate::layout::{self, Layout, NAME_BYTES_MAX, NAMES, PEERS, name, peer, slot};
use alloc::vec::Vec;

/// The tables of a region.
#[derive(Clone)]
pub(crate) struct Table<M> {
    pub(crate) memory: M,
    pub(crate) layout: Layout,
}

/// The number of a peer's incarnation, never zero.
pub(crate) type Incarnation = u32;

/// Which side of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// It connected, and laid out the rings.
    Client,
    /// It was connected to.
    Server,
}

impl Side {
    fn offset(self) -> usize {
        match self {
            Self::Client => slot::CLIENT,
            Self::Server => slot::SERVER,
        }
    }
}

impl<M: RegionMemory> Table<M> {
    /// Whether it still is what it was when its layout was read.
    pub(crate) fn is_sound(&self) -> bool {
        self.memory.load_word(layout::SIGNATURE) == self.layout.word()
    }

    // Peers.

    /// Claims an entry for a new incarnation; none if all are taken.
    pub(crate) fn join(&self, own: Incarnation) -> Option<usize> {
        let index = (0..PEERS).find(|index| {
            self.memory.compare_exchange(layout::peer_at(*index) + peer::OWNER, 0, own)
        })?;
        let at = layout::peer_at(index);
        // Whatever an earlier owner was told.
        (0..peer::NEWS_BYTES).for_each(|byte| self.memory.store_byte(at + peer::NEWS + byte, 0));
        self.memory.store_word(at + peer::ANSWERED, self.memory.load_word(at + peer::ASKED));
        self.memory.store_word(at + peer::DEVICE, self.memory.own_device().into());
        Some(index)
    }

    /// Strikes an incarnation from the table. What it held is free by that.
    pub(crate) fn strike(&self, index: usize, incarnation: Incarnation) {
        self.memory.compare_exchange(layout::peer_at(index) + peer::OWNER, incarnation, 0);
    }

    /// Who has an entry.
    pub(crate) fn owner(&self, index: usize) -> Option<Incarnation> {
        let owner = self.memory.load_word(layout::peer_at(index) + peer::OWNER);
        (owner != 0).then_some(owner)
    }

    /// Where the entry of an incarnation is.
    pub(crate) fn find(&self, incarnation: Incarnation) -> Option<usize> {
        (0..PEERS).find(|index| self.owner(*index) == Some(incarnation))
    }

    /// All that have an entry.
    pub(crate) fn peers(&self) -> impl Iterator<Item = (usize, Incarnation)> {
        (0..PEERS).filter_map(|index| Some((index, self.owner(index)?)))
    }

    /// By which number the owner of an entry is rung at.
    pub(crate) fn device(&self, index: usize) -> Option<u16> {
        u16::try_from(self.memory.load_word(layout::peer_at(index) + peer::DEVICE)).ok()
    }

    fn ring(&self, index: usize) {
        if let Some(device) = self.device(index) {
            self.memory.ring(device);
        }
    }

    /// Asks whether the owner of an entry is there; the question's number.
    pub(crate) fn ask(&self, index: usize) -> u32 {
        let asked = layout::peer_at(index) + peer::ASKED;
        // Who asks at the same time asks by the same number, and has the same answer.
        let question = self.memory.load_word(asked).wrapping_add(1);
        self.memory.store_word(asked, question);
        self.ring(index);
        question
    }

    /// Rings once more.
    pub(crate) fn ask_again(&self, index: usize) {
        self.ring(index);
    }

    /// Whether a question, or a later one, is answered.
    pub(crate) fn is_answered(&self, index: usize, question: u32) -> bool {
        let answered = self.memory.load_word(layout::peer_at(index) + peer::ANSWERED);
        answered.wrapping_sub(question).cast_signed() >= 0
    }

    /// Answers what was asked of the owner of an entry.
    pub(crate) fn answer(&self, index: usize) {
        let at = layout::peer_at(index);
        let asked = self.memory.load_word(at + peer::ASKED);
        if self.memory.load_word(at + peer::ANSWERED) != asked {
            self.memory.store_word(at + peer::ANSWERED, asked);
        }
    }

    /// Whether [`answer`](Self::answer) or [`take_news`](Self::take_news) has something to do.
    pub(crate) fn has_news(&self, index: usize) -> bool {
        let at = layout::peer_at(index);
        let word = |offset: usize| self.memory.load_word(at + offset);
        let mut news = (peer::NEWS..peer::NEWS + peer::NEWS_BYTES).step_by(4);
        word(peer::ASKED) != word(peer::ANSWERED) || news.any(|offset| word(offset) != 0)
    }

    /// Tells the owner of an entry that something happened in a slot.
    pub(crate) fn tell(&self, index: usize, slot: usize) {
        self.memory.set_bits(layout::peer_at(index) + peer::NEWS + slot / 8, 1 << (slot % 8));
        self.ring(index);
    }

    /// In which slots something happened for the owner of an entry, since this was last asked.
    pub(crate) fn take_news(&self, index: usize) -> Vec<usize> {
        let mut slots = Vec::new();
        for byte in 0..peer::NEWS_BYTES {
            let at = layout::peer_at(index) + peer::NEWS + byte;
            if self.memory.load_byte(at) == 0 {
                continue;
            }
            let bits = self.memory.clear_bits(at, u8::MAX);
            slots.extend((0..8).filter(|bit| bits >> bit & 1 != 0).map(|bit| 8 * byte + bit));
        }
        // There are bits for more slots than there may be.
        slots.retain(|slot| *slot < self.layout.slots);
        slots
    }

    // Names.

    /// Says that `own` listens at a name; the entry, or none if all are taken.
    pub(crate) fn publish(&self, own: Incarnation, text: &str) -> Option<usize> {
        let index = (0..NAMES).find(|index| {
            let owner = layout::name_at(*index) + name::OWNER;
            let before = self.memory.load_word(owner);
            self.is_free(before) && self.memory.compare_exchange(owner, before, own)
        })?;
        self.put_text(layout::name_at(index) + name::TEXT, text);
        Some(index)
    }

    /// Gives a name's entry back.
    pub(crate) fn withdraw(&self, own: Incarnation, index: usize) {
        self.memory.compare_exchange(layout::name_at(index) + name::OWNER, own, 0);
    }

    /// Who listens at a name, as far as they are in the table of peers.
    ///
    /// An entry whose owner changes just now may have the name of the last one: who is asked for a name that is not his
    /// refuses.
    pub(crate) fn listeners(&self, text: &str) -> Vec<(usize, Incarnation)> {
        let listener = |index: usize| {
            let at = layout::name_at(index);
            let owner = self.memory.load_word(at + name::OWNER);
            let is_it =
                owner != 0 && self.text(at + name::TEXT).as_deref() == Some(text.as_bytes());
            is_it.then(|| Some((self.find(owner)?, owner))).flatten()
        };
        (0..NAMES).filter_map(listener).collect()
    }

    // Slots.

    /// Claims a slot that neither side is in, and that is none of those `held` here whatever is said of them; none if there is
    /// none.
    pub(crate) fn claim(&self, own: Incarnation, held: impl Fn(usize) -> bool) -> Option<usize> {
        (0..self.layout.slots).filter(|slot| !held(*slot)).find(|slot| {
            let [client, server] =
                [Side::Client, Side::Server].map(|side| self.holder(*slot, side));
            let is_free = self.is_free(client) && self.is_free(server);
            is_free && self.hold(*slot, client, own)
        })
    }

    /// Takes a free slot, unless somebody else was quicker.
    fn hold(&self, slot: usize, before: u32, own: Incarnation) -> bool {
        let client = layout::slot_at(slot) + slot::CLIENT;
        if !self.memory.compare_exchange(client, before, own) {
            return false;
        }
        // A peer that came and went between the look and the claim may have left its server behind.
        if self.is_free(self.holder(slot, Side::Server)) {
            return true;
        }
        self.release(slot, Side::Client, own);
        false
    }

    /// Asks a peer for a flow in a claimed slot, in which the rings are.
    pub(crate) fn request(&self, slot: usize, server: (usize, Incarnation), text: &str) {
        let at = layout::slot_at(slot);
        // First what is not true of it any more.
        self.memory.store_word(at + slot::STATE, 0);
        self.put_text(at + slot::TEXT, text);
        self.memory.store_word(at + slot::SERVER, server.1);
        self.memory.store_word(at + slot::STATE, slot::ASKED);
        self.tell(server.0, slot);
    }

    /// The name that is asked for in a slot; none if it cannot be one.
    pub(crate) fn requested(&self, slot: usize) -> Option<Vec<u8>> {
        self.text(layout::slot_at(slot) + slot::TEXT)
    }

    pub(crate) fn state(&self, slot: usize) -> u32 {
        self.memory.load_word(layout::slot_at(slot) + slot::STATE)
    }

    /// Changes what was asked into an answer, or into nothing; whether nobody did before.
    pub(crate) fn decide(&self, slot: usize, state: u32) -> bool {
        self.memory.compare_exchange(layout::slot_at(slot) + slot::STATE, slot::ASKED, state)
    }

    /// Who is on a side of a slot; zero is nobody.
    pub(crate) fn holder(&self, slot: usize, side: Side) -> u32 {
        self.memory.load_word(layout::slot_at(slot) + side.offset())
    }

    /// Leaves a side of a slot.
    pub(crate) fn release(&self, slot: usize, side: Side, own: Incarnation) {
        self.memory.compare_exchange(layout::slot_at(slot) + side.offset(), own, 0);
    }

    /// Whether what has this holder has none: nobody, or a peer who is gone.
    fn is_free(&self, holder: u32) -> bool {
        holder == 0 || self.find(holder).is_none()
    }

    // Texts: their bytes' number, and these.

    fn put_text(&self, at: usize, text: &str) {
        self.memory.store_word(at, 0);
        self.memory.copy_in(at + 4, text.as_bytes());
        self.memory.store_word(at, text.len() as u32);
    }

    fn text(&self, at: usize) -> Option<Vec<u8>> {
        let bytes = self.memory.load_word(at) as usize;
        if !(1..=NAME_BYTES_MAX).contains(&bytes) {
            return None;
        }
        let mut text = alloc::vec![0; bytes];
        self.memory.copy_out(at + 4, &mut text);
        Some(text)
    }
}
