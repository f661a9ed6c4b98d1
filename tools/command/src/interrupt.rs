//! Ctrl-C and SIGTERM: while nobody attends to them, they end this program and all that it started.

use crate::{
    child,
    failure::{OrSay, Result},
};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
    low_level::signal_name,
};
use std::{
    io,
    process::exit,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// Whether somebody counts signals, and does himself what they ask for.
static IS_ATTENDED: AtomicBool = AtomicBool::new(false);

/// From now on, Ctrl-C and SIGTERM end this program at once, its children and theirs before it, with the exit code that shells
/// have for that: 128 and the signal's number.
///
/// # Errors
///
/// The system does not let us watch.
pub fn end_with_children() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if !IS_ATTENDED.load(Ordering::Acquire) {
                eprintln!("\nxtask: ended by {}", signal_name(signal).unwrap_or("a signal"));
                child::kill_all();
                exit(128 + signal);
            }
        }
    });
    Ok(())
}

/// The same signals, counted instead: whoever has this does what they ask for.
pub struct Attended {
    count: Arc<AtomicUsize>,
}

impl Attended {
    /// Counts from now on.
    ///
    /// # Errors
    ///
    /// The system does not let us watch.
    pub fn new() -> Result<Self> {
        let count = Arc::new(AtomicUsize::new(0));
        let mut signals =
            Signals::new([SIGINT, SIGTERM]).or_say(|| "cannot watch for Ctrl-C".into())?;
        IS_ATTENDED.store(true, Ordering::Release);
        let counter = count.clone();
        std::thread::spawn(move || {
            for _ in signals.forever() {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(Self { count })
    }

    /// How many have come.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child::Child;
    use rustix::process::{Pid, Signal, kill_process, test_kill_process};
    use std::{
        io::{BufRead, BufReader},
        process::{Command, Stdio},
        time::{Duration, Instant},
    };

    /// Set for the process that is ended.
    const VICTIM: &str = "AQUEDUCT_INTERRUPT_TEST";
    const NAME: &str = "interrupt::tests::a_signal_ends_children_and_theirs";

    #[test]
    fn a_signal_ends_children_and_theirs() {
        if std::env::var_os(VICTIM).is_some() {
            end_with_children().unwrap();
            let mut shell = Command::new("sh");
            shell.args(["-c", "sleep 1000 & echo $!; wait"]);
            let mut child = Child::start(&shell, |_| {}).unwrap();
            child.wait(Duration::from_secs(60));
            panic!("nobody has ended it");
        }
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args([NAME, "--exact", "--nocapture"])
            .env(VICTIM, "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        // The name of the test may be in front of it.
        let number = |line: String| line.split_whitespace().next_back()?.parse().ok();
        let grandchild = lines.map_while(std::result::Result::ok).find_map(number);
        let grandchild = Pid::from_raw(grandchild.expect("a number")).unwrap();
        assert!(test_kill_process(grandchild).is_ok());
        kill_process(Pid::from_child(&victim), Signal::TERM).unwrap();
        assert_eq!(victim.wait().unwrap().code(), Some(128 + SIGTERM));
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_alive(grandchild) {
            assert!(Instant::now() < deadline, "what the child has started lives");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether a process is there, and not only waited for.
    fn is_alive(process: Pid) -> bool {
        let status = format!("/proc/{}/status", process.as_raw_nonzero());
        std::fs::read_to_string(status).is_ok_and(|text| !text.contains("State:\tZ"))
    }
}
