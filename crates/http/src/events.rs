//! Event queue: what came of input and waits to be polled.

/// At most one event, and the end of the content behind it. `E` is the role's type of events.
#[derive(Debug)]
pub(crate) struct Events<E> {
    next: Option<E>,
    /// Content whose last bytes are `next` has ended.
    ends: bool,
}

impl<E> Default for Events<E> {
    fn default() -> Self {
        Events { next: None, ends: false }
    }
}

impl<E> Events<E> {
    /// Whether none waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.next.is_none() && !self.ends
    }

    /// Adds an event. What nobody has polled by then is lost.
    #[inline]
    pub(crate) fn push(&mut self, event: E) {
        self.next = Some(event);
        self.ends = false;
    }

    /// Adds the end of the content behind the event that waits.
    pub(crate) fn push_end(&mut self) {
        self.ends = true;
    }

    /// The event that waits.
    #[inline]
    pub(crate) fn poll(&mut self) -> Option<E> {
        self.next.take()
    }

    /// Whether the content has ended; said once.
    #[inline]
    pub(crate) fn poll_end(&mut self) -> bool {
        core::mem::take(&mut self.ends)
    }
}
