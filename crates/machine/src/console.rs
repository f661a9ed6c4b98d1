//! Console: a log ring in front of the hypervisor's transmitter.
//!
//! Writing copies into a ring and returns; the ring drains while the machine idles or its loop
//! comes by. A ring that is full drops what is new, and says later how much, so that nobody ever
//! waits for a slow console.

use crate::hypervisor;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use heapless::Deque;
use hermit_sync::OneShotMutex;

#[cfg(any(test, feature = "fake"))]
pub mod fake;

/// Bytes that wait for the transmitter: some 200 log lines.
const RING_BYTES: usize = 16 << 10;
/// Polls of a stuck transmitter before an emergency message goes on without it.
const POLLS_MAX: u32 = 1_000_000;

static CONSOLE: OneShotMutex<Console> = OneShotMutex::new(Console::new());

/// Queues text for the console, as much as fits.
pub fn write(text: &str) {
    CONSOLE.lock().push(text.as_bytes());
}

/// Hands queued bytes to the transmitter if it has room. Cheap when there are none.
pub fn pump() {
    CONSOLE.lock().pump();
}

/// For each turn of a loop that may be too busy to idle: feeds the transmitter about as fast as a
/// serial line drains it, and costs a comparison otherwise.
pub fn pump_sometimes(now: Duration) {
    /// A transmitter's FIFO at 115,200 baud.
    const PAUSE: Duration = Duration::from_millis(1);
    /// When to pump again, in nanoseconds since the start.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    if now < Duration::from_nanos(NEXT.load(Ordering::Relaxed)) {
        return;
    }
    NEXT.store(u64::try_from((now + PAUSE).as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    pump();
}

/// Waits until everything queued was sent. For the end of the machine only.
pub fn flush() {
    CONSOLE.lock().flush();
}

/// Finds the transmitter; from now on text goes out.
pub(crate) fn start() {
    hypervisor::current().console().start();
}

/// Turns the transmitter's interrupt on, once there are interrupts.
pub(crate) fn start_interrupt() {
    hypervisor::current().console().start_interrupt();
    CONSOLE.lock().want_interrupt();
}

/// The console in the hands of a dying machine: everything queued goes out first, then each line,
/// without interrupts and without waiting for ever.
pub struct Emergency(());

impl Emergency {
    /// Takes the console over, even from code that died while it held it.
    pub fn take() -> Self {
        if CONSOLE.try_lock().is_none() {
            // SAFETY: one CPU; whoever held the lock was interrupted by this and never goes on.
            unsafe { CONSOLE.force_unlock() }
        }
        flush();
        Self(())
    }

    /// Writes a line.
    pub fn line(&mut self, text: fmt::Arguments<'_>) {
        self.text(text);
        self.text(format_args!("\n"));
    }

    /// Writes a part of a line.
    pub fn text(&mut self, text: fmt::Arguments<'_>) {
        // Writing to the port cannot fail; a Display that does has nothing more to say.
        let _ = self.write_fmt(text);
    }
}

impl Write for Emergency {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut console = CONSOLE.lock();
        console.push(text.as_bytes());
        console.flush();
        Ok(())
    }
}

struct Console {
    ring: Deque<u8, RING_BYTES>,
    dropped_bytes: usize,
}

impl Console {
    const fn new() -> Self {
        Self { ring: Deque::new(), dropped_bytes: 0 }
    }

    /// Whole lines only: a part of one would run into the next.
    fn push(&mut self, bytes: &[u8]) {
        /// Room for the words about what is lost.
        const NOTE_BYTES: usize = 64;
        let note_bytes = if self.dropped_bytes > 0 { NOTE_BYTES } else { 0 };
        if RING_BYTES - self.ring.len() < bytes.len() + note_bytes {
            self.dropped_bytes += bytes.len();
            return;
        }
        if self.dropped_bytes > 0 {
            let dropped = core::mem::take(&mut self.dropped_bytes);
            let _ = writeln!(Raw(self), "[console: {dropped} bytes lost]");
        }
        self.push_raw(bytes);
        self.want_interrupt();
    }

    fn push_raw(&mut self, bytes: &[u8]) {
        // There is room: `push` has made sure of it.
        let _ = bytes.iter().try_for_each(|&byte| self.ring.push_back(byte));
    }

    fn pump(&mut self) {
        hypervisor::current().console().acknowledge();
        if !self.ring.is_empty() {
            self.send();
            self.want_interrupt();
        }
    }

    fn flush(&mut self) {
        let mut polls = 0;
        while !self.ring.is_empty() && polls < POLLS_MAX {
            polls = if self.send() { 0 } else { polls + 1 };
        }
    }

    /// Hands to the transmitter what it has room for; whether that was anything.
    fn send(&mut self) -> bool {
        let sent = hypervisor::current().console().send(&mut self.ring.iter().copied());
        for _ in 0..sent {
            self.ring.pop_front();
        }
        sent > 0
    }

    fn want_interrupt(&self) {
        hypervisor::current().console().want_interrupt(!self.ring.is_empty());
    }
}

/// Formats into the ring without the bookkeeping of `push`.
struct Raw<'a>(&'a mut Console);

impl Write for Raw<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_raw(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::fake;
    use std::boxed::Box;
    use std::string::String;

    fn text(console: &Console) -> String {
        String::from_utf8(console.ring.iter().copied().collect()).unwrap()
    }

    #[test]
    fn a_full_ring_drops_and_says_so_when_there_is_room() {
        let mut console = Box::new(Console::new());
        for _ in 0..RING_BYTES / 8 + 2 {
            console.push(b"1234567\n");
        }
        assert!(console.ring.is_full());
        assert_eq!(console.dropped_bytes, 16);
        for _ in 0..1000 {
            console.ring.pop_front();
        }
        console.push(b"later\n");
        assert!(text(&console).ends_with("[console: 16 bytes lost]\nlater\n"));
    }

    /// The line about what was lost has to have room beside it.
    #[test]
    fn a_ring_is_filled_to_its_last_byte_and_left_alone_until_the_note_fits() {
        let mut console = Box::new(Console::new());
        console.push(&[b'x'; RING_BYTES - 6]);
        console.push(b"1234567");
        assert_eq!((console.ring.len(), console.dropped_bytes), (RING_BYTES - 6, 7));
        for _ in 0..63 {
            console.ring.pop_front();
        }
        console.push(b"123456");
        assert_eq!((console.ring.len(), console.dropped_bytes), (RING_BYTES - 69, 13));
        console.ring.pop_front();
        console.push(b"123456");
        assert!(text(&console).ends_with("x[console: 13 bytes lost]\n123456"));
        assert_eq!(console.dropped_bytes, 0);
        let mut console = Box::new(Console::new());
        console.push(&[b'x'; RING_BYTES - 6]);
        console.push(b"123456");
        assert_eq!((console.ring.len(), console.dropped_bytes), (RING_BYTES, 0));
    }

    /// A process's transmitter takes all that there is.
    #[test]
    fn what_is_queued_goes_out_at_the_latest_with_a_flush() {
        for send in [Console::pump, Console::flush] {
            let mut console = Box::new(Console::new());
            console.push(b"text");
            send(&mut console);
            assert!(console.ring.is_empty());
        }
    }

    /// All tests of the console that all of a process has are here.
    #[test]
    fn a_busy_loop_feeds_the_transmitter_once_in_a_millisecond_and_a_dying_one_at_once() {
        let is_empty = || CONSOLE.lock().ring.is_empty();
        for (micros, goes) in [(0, true), (999, false), (1000, true), (1001, false), (2000, true)] {
            write("text");
            assert!(!is_empty());
            pump_sometimes(Duration::from_micros(micros));
            assert_eq!(is_empty(), goes, "{micros}");
        }
        for send in [pump, flush] {
            write("text");
            send();
            assert!(is_empty());
        }
        write("text");
        core::mem::forget(CONSOLE.lock());
        fake::take_sent();
        let mut emergency = Emergency::take();
        assert_eq!((is_empty(), &*fake::take_sent()), (true, "text"));
        emergency.line(format_args!("{} line", 1));
        emergency.text(format_args!("and more"));
        assert_eq!((is_empty(), &*fake::take_sent()), (true, "1 line\nand more"));
    }

    #[test]
    fn an_interrupt_is_wanted_while_there_is_text() {
        let mut console = Box::new(Console::new());
        console.want_interrupt();
        assert_eq!(fake::WANTED.take(), Some(false));
        console.push(b"text");
        assert_eq!(fake::WANTED.take(), Some(true));
        fake::set_room(|_| 3);
        console.pump();
        assert_eq!((&*fake::take_sent(), fake::WANTED.take()), ("tex", Some(true)));
        console.pump();
        assert_eq!((&*fake::take_sent(), fake::WANTED.take()), ("t", Some(false)));
        console.pump();
        assert_eq!((&*fake::take_sent(), fake::WANTED.take(), fake::looks()), ("", None, 2));
    }

    /// A million looks without a byte, counted from the last byte that went.
    #[test]
    fn a_transmitter_that_is_stuck_is_given_up() {
        let mut console = Box::new(Console::new());
        console.push(b"text");
        fake::set_room(|_| 0);
        console.flush();
        assert_eq!((fake::looks(), &*text(&console)), (1_000_000, "text"));
        fake::set_room(|look| usize::from(look == 999_999));
        console.flush();
        assert_eq!((fake::looks(), &*text(&console)), (2_000_000, "ext"));
        fake::set_room(|_| 1);
        console.flush();
        assert_eq!((fake::looks(), &*text(&console), &*fake::take_sent()), (3, "", "text"));
    }
}
