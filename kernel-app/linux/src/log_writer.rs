//! Log writer: a bounded queue of lines, and a thread that writes them to standard error, so that nobody waits for a reader
//! who does not read. What does not fit is dropped and counted, and so is what cannot be written (a disk is full, or
//! RLIMIT_FSIZE is reached); the count is written when there is room again, as the image's console does.

use crate::process;
use signal_hook::consts::SIGXFSZ;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, ErrorKind, Write};
use std::mem;
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What waits to be written, at most: some thousand lines. As much again may be with the writer.
const QUEUE_BYTES_MAX: usize = 256 << 10;
/// How long the end of the process waits for the rest to be written.
const END_WAIT: Duration = Duration::from_secs(1);

static QUEUE: LazyLock<Queue> = LazyLock::new(Queue::default);

/// The writing thread's owner: dropped, it waits until all is written, for a second at most.
pub(crate) struct LogWriter(());

impl LogWriter {
    /// Starts the thread. Panics are reported by way of the queue, too: a caught one is no reason to wait for a reader.
    pub(crate) fn start() -> io::Result<Self> {
        // setrlimit(2): a write beyond RLIMIT_FSIZE ends a process that has no handler for this signal, and fails otherwise.
        signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
        thread::Builder::new()
            .name("log writer".into())
            .spawn(|| QUEUE.write_to(&mut io::stderr()))?;
        panic::set_hook(Box::new(|panic| {
            let backtrace = Backtrace::capture();
            let shown = backtrace.status() == BacktraceStatus::Captured;
            note(panic, shown.then(|| backtrace.to_string()));
            write(&format!("{panic}\n"));
            if shown {
                write(&format!("{backtrace}\n"));
            }
        }));
        Ok(Self(()))
    }
}

/// Takes note of a panic, for those who look at them: if it is caught, it is among the process's.
fn note(panic: &PanicHookInfo<'_>, backtrace: Option<String>) {
    let place =
        panic.location().map_or_else(String::new, |it| format!("{}:{}", it.file(), it.line()));
    let message = panic.payload_as_str().unwrap_or("a panic");
    aqueduct::panics::note(process::now(), &place, message, backtrace);
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        QUEUE.wait_until_written(END_WAIT);
    }
}

/// Puts lines, their ends included, at the end of the queue, or drops them when it is full; never waits for a reader.
pub(crate) fn write(lines: &str) {
    QUEUE.push(lines);
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    has_lines: Condvar,
    is_written: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: String,
    /// Behind `lines`: once a line did not fit, none does until the writer has taken the others.
    lost_lines: usize,
    /// The writer has lines that it took.
    is_writing: bool,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.lost_lines == 0
    }
}

impl Queue {
    fn push(&self, lines: &str) {
        let mut waiting = self.lock();
        if waiting.lost_lines > 0 || waiting.lines.len() + lines.len() > QUEUE_BYTES_MAX {
            waiting.lost_lines += count(lines.as_bytes());
        } else {
            waiting.lines.push_str(lines);
        }
        self.has_lines.notify_one();
    }

    /// Writes what comes, for ever.
    fn write_to(&self, out: &mut impl Write) {
        // Lines that the output did not take, of which it could not be told yet.
        let mut unsaid_lines = 0;
        loop {
            let waiting = self.lock();
            let waiting = self.has_lines.wait_while(waiting, |waiting| waiting.is_empty());
            let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
            let taken = Waiting { is_writing: true, ..Waiting::default() };
            let Waiting { lines, lost_lines, .. } = mem::replace(&mut *waiting, taken);
            drop(waiting);
            unsaid_lines = write_batch(out, unsaid_lines, &lines, lost_lines);
            self.lock().is_writing = false;
            self.is_written.notify_all();
        }
    }

    fn wait_until_written(&self, limit: Duration) {
        let unwritten = |waiting: &mut Waiting| waiting.is_writing || !waiting.is_empty();
        // Whether it was in time makes no difference: the process ends.
        drop(self.is_written.wait_timeout_while(self.lock(), limit, unwritten));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes lines, with a note of those that were lost before and behind them. Returns how many lost lines no note has told
/// of yet.
fn write_batch(out: &mut impl Write, lost_before: usize, lines: &str, lost_behind: usize) -> usize {
    let unsaid_lines = write_note(out, lost_before);
    let unwritten_lines =
        if unsaid_lines == 0 { write_all(out, lines) } else { count(lines.as_bytes()) };
    let unsaid_lines = unsaid_lines + unwritten_lines + lost_behind;
    if unwritten_lines > 0 { unsaid_lines } else { write_note(out, unsaid_lines) }
}

/// Tells of lost lines; returns of how many it could not.
fn write_note(out: &mut impl Write, lost_lines: usize) -> usize {
    if lost_lines == 0 || write_all(out, &format!("[log: {lost_lines} lines lost]\n")) == 0 {
        return 0;
    }
    lost_lines
}

/// Writes lines; returns how many of them the output did not take.
fn write_all(out: &mut impl Write, lines: &str) -> usize {
    let mut rest = lines.as_bytes();
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(bytes @ 1..) => rest = &rest[bytes..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
        }
    }
    count(rest)
}

fn count(lines: &[u8]) -> usize {
    lines.iter().filter(|&&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, then fails.
    struct Disk {
        written: Vec<u8>,
        room_bytes: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room_bytes);
            if taken == 0 {
                return Err(ErrorKind::FileTooLarge.into());
            }
            self.room_bytes -= taken;
            self.written.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_told_of_when_they_can() {
        let mut disk = Disk { written: Vec::new(), room_bytes: 4 };
        let unsaid = write_batch(&mut disk, 0, "one\ntwo\nthree\n", 5);
        assert_eq!(unsaid, 7);
        let unsaid = write_batch(&mut disk, unsaid, "four\n", 0);
        assert_eq!(unsaid, 8);
        disk.room_bytes = 1000;
        assert_eq!(write_batch(&mut disk, unsaid, "five\n", 0), 0);
        assert_eq!(String::from_utf8(disk.written).unwrap(), "one\n[log: 8 lines lost]\nfive\n");
    }

    #[test]
    fn a_full_queue_drops_and_counts_until_it_is_taken() {
        let queue = Queue::default();
        let line = "x".repeat(1023) + "\n";
        let lines = QUEUE_BYTES_MAX / line.len();
        for _ in 0..lines + 10 {
            queue.push(&line);
        }
        // This one would fit, but it would come in front of those that were lost before it.
        queue.push("\n");
        let waiting = queue.lock();
        assert_eq!((waiting.lines.len(), waiting.lost_lines), (256 << 10, 11));
    }
}
