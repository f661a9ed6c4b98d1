//! Wire: the frames of the appliance's own stacks, for whoever looks at them. A stack has a tap only while somebody does.

use crate::Platform;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ops::Deref;
use core::time::Duration;
use flow::time::Timers;
use net::device::{FrameTap, TappedFrame};
use web::{Content, Response, Status};

/// Those who look at once: each costs a look at every frame.
const WATCHERS_MAX: usize = 8;

/// Somebody who looks at frames.
pub(super) trait Watcher {
    /// A frame of the card at this place, at a time since the start.
    fn frame(&self, card: usize, now: Duration, frame: &TappedFrame<'_>);
}

/// All cards. Clones are the same ones.
#[derive(Clone)]
pub(super) struct Wire<P> {
    platform: P,
    timers: Timers,
    watchers: Watchers,
}

type Watchers = Rc<RefCell<Vec<Weak<dyn Watcher>>>>;

/// A watcher that is shown all frames until this is dropped.
pub(super) struct Watching<P: Platform, W: Watcher> {
    wire: Wire<P>,
    watcher: Option<Rc<W>>,
}

/// So many look already.
pub(super) struct TooMany;

impl<P: Platform> Wire<P> {
    pub(super) fn new(platform: &P, timers: &Timers) -> Self {
        Self { platform: platform.clone(), timers: timers.clone(), watchers: Rc::default() }
    }

    /// How many cards there are; none where the network is another system's.
    pub(super) fn cards(&self) -> usize {
        let mut cards = 0;
        self.platform.visit_stacks(&mut |card, _| cards = cards.max(card + 1));
        cards
    }

    /// Shows it all frames from now on.
    pub(super) fn watch<W: Watcher + 'static>(
        &self,
        watcher: W,
    ) -> Result<Watching<P, W>, TooMany> {
        let watcher = Rc::new(watcher);
        let mut watchers = self.watchers.borrow_mut();
        if watchers.len() == WATCHERS_MAX {
            return Err(TooMany);
        }
        let one: Rc<dyn Watcher> = watcher.clone();
        watchers.push(Rc::downgrade(&one));
        self.platform.visit_stacks(&mut |card, stack| {
            let tap = Tap { card, timers: self.timers.clone(), watchers: self.watchers.clone() };
            stack.view().set_tap(Some(Rc::new(tap)));
        });
        Ok(Watching { wire: self.clone(), watcher: Some(watcher) })
    }

    /// Takes the taps away if nobody looks any more.
    fn tidy(&self) {
        let mut watchers = self.watchers.borrow_mut();
        watchers.retain(|watcher| watcher.strong_count() > 0);
        if watchers.is_empty() {
            self.platform.visit_stacks(&mut |_, stack| stack.view().set_tap(None));
        }
    }
}

impl<P: Platform, W: Watcher> Deref for Watching<P, W> {
    type Target = W;

    fn deref(&self) -> &W {
        self.watcher.as_ref().expect("it is there until the drop")
    }
}

impl<P: Platform, W: Watcher> Drop for Watching<P, W> {
    fn drop(&mut self) {
        self.watcher = None;
        self.wire.tidy();
    }
}

/// The head of an answer that is written while frames come. Who it is for, the guard says.
pub(super) fn stream_of(media_type: &str) -> Response {
    let head = Response::new(Status::OK).carrying(Content::Stream(None));
    head.with_header("Content-Type", media_type)
}

/// The tap of one card.
struct Tap {
    card: usize,
    timers: Timers,
    watchers: Watchers,
}

impl FrameTap for Tap {
    fn frame(&self, frame: &TappedFrame<'_>) {
        for watcher in self.watchers.borrow().iter().filter_map(Weak::upgrade) {
            watcher.frame(self.card, self.timers.now(), frame);
        }
    }
}
