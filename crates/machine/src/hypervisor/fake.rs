//! The transmitter of a test: each thread has its own.

use core::cell::{Cell, RefCell};
use std::string::String;
use std::thread_local;

thread_local! {
    /// For how many bytes it has room when it is looked at for so many times already.
    static ROOM: Cell<fn(u32) -> usize> = const { Cell::new(|_| usize::MAX) };
    static LOOKS: Cell<u32> = const { Cell::new(0) };
    static SENT: RefCell<String> = const { RefCell::new(String::new()) };
    /// What was last said of its interrupt.
    pub(crate) static WANTED: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Has it room from now on as `room` says of each look, of which the first is number 0.
pub(crate) fn set_room(room: fn(u32) -> usize) {
    ROOM.set(room);
    LOOKS.set(0);
}

/// How often it was looked at since then.
pub(crate) fn looks() -> u32 {
    LOOKS.get()
}

/// What it took since this was last asked.
pub(crate) fn take_sent() -> String {
    SENT.take()
}

pub(super) fn send(bytes: &mut dyn Iterator<Item = u8>) -> usize {
    let look = LOOKS.replace(LOOKS.get() + 1);
    let taken = bytes.take(ROOM.get()(look)).map(char::from);
    SENT.with_borrow_mut(|sent| taken.map(|character| sent.push(character)).count())
}
