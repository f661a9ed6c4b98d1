//! Memory of a connection, which has a place until nobody else has any of it.

use crate::Inner;
use crate::channel::Channel;
use alloc::rc::{Rc, Weak};
use core::cell::Cell;
use machine::xen::shared_pages::SharedPages;
use shared_ring::SharedMemory;
use shared_ring::control::TELLS_ENDS;

/// Pages that another domain uses, too: rings lie in them.
pub struct Memory {
    /// Until it is dropped.
    pages: Option<SharedPages>,
    /// By which the other domain tells that it has let go of granted ones.
    channel: Option<Rc<Channel>>,
    /// None of mapped ones.
    granted: Option<Granted>,
    place: Place,
    vchans: Weak<Inner>,
}

/// One of the connections that there may be.
#[derive(Clone)]
pub(crate) struct Place {
    _of_all: Rc<()>,
    _at_listener: Option<Rc<()>>,
}

/// So many pages are granted, until this is dropped.
pub(crate) struct Granted {
    pages: usize,
    of_all: Rc<Cell<usize>>,
}

/// Pages that another domain has not let go of.
pub(crate) struct Kept {
    pub(crate) pages: SharedPages,
    pub(crate) channel: Option<Rc<Channel>>,
    _granted: Option<Granted>,
    _place: Place,
}

impl Memory {
    /// Granted pages.
    pub(crate) fn granted(
        pages: SharedPages,
        channel: &Rc<Channel>,
        place: Place,
        granted: Granted,
        vchans: Weak<Inner>,
    ) -> Self {
        let (channel, granted) = (Some(channel.clone()), Some(granted));
        Self { pages: Some(pages), channel, granted, place, vchans }
    }

    /// Mapped pages.
    pub(crate) fn mapped(pages: SharedPages, place: Place, vchans: Weak<Inner>) -> Self {
        Self { pages: Some(pages), channel: None, granted: None, place, vchans }
    }

    fn pages(&self) -> &SharedPages {
        self.pages.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let Some(mut pages) = self.pages.take() else { return };
        let vchans = self.vchans.upgrade();
        if let Some(vchans) = vchans.filter(|_| !pages.end()) {
            let (channel, place) = (self.channel.take(), self.place.clone());
            let kept = Kept { pages, channel, _granted: self.granted.take(), _place: place };
            vchans.kept.borrow_mut().push(kept);
        }
    }
}

impl Place {
    pub(crate) fn new(all: &Rc<()>, listener: Option<&Rc<()>>) -> Self {
        Self { _of_all: all.clone(), _at_listener: listener.cloned() }
    }
}

impl Granted {
    pub(crate) fn new(of_all: &Rc<Cell<usize>>, pages: usize) -> Self {
        of_all.update(|all| all + pages);
        Self { pages, of_all: of_all.clone() }
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        self.of_all.update(|all| all - self.pages);
    }
}

impl SharedMemory for Memory {
    fn bytes(&self) -> usize {
        self.pages().bytes()
    }

    fn load_word(&self, offset: usize) -> u32 {
        self.pages().load_word(offset)
    }

    fn store_word(&self, offset: usize, word: u32) {
        self.pages().store_word(offset, word);
    }

    fn load_byte(&self, offset: usize) -> u8 {
        // Whoever looks before he is told that nothing is there any more must not take that for an end.
        if self.pages().is_lost() { TELLS_ENDS } else { self.pages().load_byte(offset) }
    }

    fn store_byte(&self, offset: usize, byte: u8) {
        self.pages().store_byte(offset, byte);
    }

    fn set_bits(&self, offset: usize, bits: u8) {
        self.pages().set_bits(offset, bits);
    }

    fn clear_bits(&self, offset: usize, bits: u8) -> u8 {
        self.pages().clear_bits(offset, bits)
    }

    fn copy_out(&self, offset: usize, into: &mut [u8]) {
        self.pages().copy_out(offset, into);
    }

    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        self.pages().copy_in(offset, bytes);
    }
}
