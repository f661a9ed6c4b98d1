//! Stall: a thread that sees when the loop makes no turn for long, in which nobody is answered, and says once where it is. The
//! loop itself then says where all tasks wait, if its turn ever ends: they are its own, which no other thread may look at.

use crate::{process, profiler};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

/// A turn that takes longer is a stall.
const TURN_MAX: Duration = Duration::from_secs(5);
/// How often the thread looks.
const PAUSE: Duration = Duration::from_secs(1);
/// How long it is sampled where the loop is.
const SAMPLED: Duration = Duration::from_millis(500);

static HEART: Heart = Heart::new();
/// Somebody wants to see all tasks in the log.
static TASK_LOG: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Whether somebody wants to see all tasks in the log: so does this, after a stall.
pub(crate) fn task_log() -> Arc<AtomicBool> {
    TASK_LOG.clone()
}

/// A turn of the loop begins.
pub(crate) fn turn_begins(now: Duration) {
    HEART.begin(now);
}

/// The loop waits for something to do.
pub(crate) fn loop_waits() {
    HEART.rest();
}

/// Starts the thread.
pub(crate) fn watch() -> io::Result<()> {
    thread::Builder::new().name("stall".into()).spawn(|| {
        loop {
            thread::sleep(PAUSE);
            if let Some(time) = HEART.stalled(process::now()) {
                tell(time);
            }
        }
    })?;
    Ok(())
}

fn tell(time: Duration) {
    log::error!("the loop has made no turn for {} s; nobody is answered meanwhile", time.as_secs());
    match profiler::most_frequent(SAMPLED) {
        Some(functions) => {
            log::error!("it is here:");
            for (number, function) in functions.iter().enumerate() {
                log::error!("  {number:2}: {function}");
            }
        }
        None if is_runnable() => {
            log::error!("it does not run: it waits for a processor, which others have");
        }
        None => log::error!("it does not run: it waits for the kernel"),
    }
    TASK_LOG.store(true, Ordering::Relaxed);
}

/// Whether the loop's thread, the process' first, could run (proc(5), `/proc/pid/task/tid/stat`).
fn is_runnable() -> bool {
    let process = std::process::id();
    let stat = std::fs::read_to_string(format!("/proc/self/task/{process}/stat"));
    stat.is_ok_and(|stat| state_of(&stat) == Some("R"))
}

/// The third field of such a file, behind the name, in which there may be anything.
fn state_of(stat: &str) -> Option<&str> {
    stat.rsplit_once(") ")?.1.split(' ').next()
}

/// What the loop says of itself.
struct Heart {
    /// When the turn began that is under way, in nanoseconds since the start; 0 between turns.
    began: AtomicU64,
    /// When the turn began that was told of.
    told: AtomicU64,
}

impl Heart {
    const fn new() -> Self {
        Self { began: AtomicU64::new(0), told: AtomicU64::new(0) }
    }

    fn begin(&self, now: Duration) {
        self.began.store(nanos(now).max(1), Ordering::Relaxed);
    }

    fn rest(&self) {
        self.began.store(0, Ordering::Relaxed);
    }

    /// How long the turn has taken, the first time that this is too long.
    fn stalled(&self, now: Duration) -> Option<Duration> {
        let began = self.began.load(Ordering::Relaxed);
        let time = now.checked_sub(Duration::from_nanos(began))?;
        let is_stalled =
            began != 0 && time > TURN_MAX && self.told.load(Ordering::Relaxed) != began;
        is_stalled.then(|| {
            self.told.store(began, Ordering::Relaxed);
            time
        })
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_thread_is_found_behind_any_name() {
        assert_eq!(state_of("7 (a) R (b) S 1 7 7 0"), Some("S"));
        assert_eq!(state_of(""), None);
        let own = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        assert_eq!(state_of(&own), Some("R"), "who reads it runs");
    }

    #[test]
    fn a_stall_is_told_once_and_waiting_is_none() {
        let heart = Heart::new();
        let seconds = Duration::from_secs;
        assert_eq!(heart.stalled(seconds(100)), None, "it has not begun");
        heart.begin(seconds(100));
        assert_eq!(heart.stalled(seconds(105)), None);
        assert_eq!(heart.stalled(seconds(106)), Some(seconds(6)));
        assert_eq!(heart.stalled(seconds(107)), None, "it is told of");
        heart.rest();
        assert_eq!(heart.stalled(seconds(200)), None);
        heart.begin(seconds(200));
        assert_eq!(heart.stalled(seconds(206)), Some(seconds(6)), "the next one is told of, too");
    }
}
