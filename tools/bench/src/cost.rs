//! Cost of a server: instructions, CPU time and system calls for one operation, whatever its client costs.
//!
//! Wall-clock ratios hang on what a system call costs on the machine, and on what else runs there. Instructions and system
//! calls do not.

use command::{
    child::Child,
    failure::{Failure, OrSay, Result, fail},
    paths::Scratch,
    programs::{self, Program},
};
use lab::link;
use rustix::process::Signal;
use std::{
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Counts instructions.
const VALGRIND: Program = Program { name: "valgrind", package: "valgrind" };
/// Counts system calls.
const STRACE: Program = Program { name: "strace", package: "strace" };
/// What must be there.
pub(crate) const PROGRAMS: [&Program; 2] = [&VALGRIND, &STRACE];

/// Under valgrind a start takes a second or two.
const START_LIMIT: Duration = Duration::from_secs(60);
const END_LIMIT: Duration = Duration::from_secs(60);
const LOAD_LIMIT: Duration = Duration::from_secs(300);
const REST_LIMIT: Duration = Duration::from_secs(120);
/// A server that used no CPU time for so long has done what it was given.
const REST: Duration = Duration::from_millis(100);
/// So much longer than counting takes is the load for CPU time, of which the kernel tells hundredths of a second.
const CPU_TIMES: u32 = 20;

/// A server that lives until it is ended, and a load of as many operations as one likes.
pub(crate) struct Subject<'a> {
    pub(crate) name: &'a str,
    /// The server at an address.
    pub(crate) server: &'a dyn Fn(SocketAddr) -> Result<Command>,
    /// A client of it that ends after so many operations.
    pub(crate) client: &'a dyn Fn(SocketAddr, u32) -> Command,
}

/// What one operation costs the server.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    /// Outside of the kernel.
    pub(crate) instructions: f64,
    pub(crate) cpu_microseconds: f64,
    pub(crate) system_calls: f64,
}

impl Subject<'_> {
    /// Counts instructions and system calls over so many operations, CPU time over twenty times as many.
    pub(crate) fn cost(&self, operations: u32) -> Result<Cost> {
        Ok(Cost {
            instructions: self.counted(&Tool::Valgrind, operations)?,
            cpu_microseconds: self.cpu_microseconds(operations)?,
            system_calls: self.counted(&Tool::Strace, operations)?,
        })
    }

    /// Counts instructions alone.
    pub(crate) fn instructions(&self, operations: u32) -> Result<f64> {
        self.counted(&Tool::Valgrind, operations)
    }

    /// The difference of two runs, so that the start and the end do not count.
    fn counted(&self, tool: &Tool, operations: u32) -> Result<f64> {
        let short = self.count(tool, operations)?;
        let long = self.count(tool, 3 * operations)?;
        Ok((long - short) / f64::from(2 * operations))
    }

    fn count(&self, tool: &Tool, operations: u32) -> Result<f64> {
        let scratch = Scratch::new()?;
        let report = scratch.path("report");
        let (mut server, address) = self.serve(Some((tool, &report)))?;
        self.load(&mut server, address, operations)?;
        server.signal(Signal::TERM);
        if server.wait(END_LIMIT).is_none() {
            fail!("{} does not end", self.name);
        }
        let text = std::fs::read_to_string(&report).or_say(|| format!("no {}", tool.name()))?;
        tool.total(&text)
            .ok_or_else(|| Failure(format!("{} counted nothing:\n{text}", tool.name())))
    }

    fn cpu_microseconds(&self, operations: u32) -> Result<f64> {
        let (mut server, address) = self.serve(None)?;
        self.load(&mut server, address, operations)?;
        let before = cpu_time(server.id())?;
        self.load(&mut server, address, CPU_TIMES * operations)?;
        let used = cpu_time(server.id())? - before;
        Ok(used.as_secs_f64() * 1e6 / f64::from(CPU_TIMES * operations))
    }

    /// Starts the server, alone or under a tool that reports to a file.
    fn serve(&self, tool: Option<(&Tool, &Path)>) -> Result<(Child, SocketAddr)> {
        let address = link::free_address()?;
        let server = (self.server)(address)?;
        let command = match tool {
            Some((tool, report)) => tool.over(&server, report)?,
            None => server,
        };
        let mut child = Child::start(&command, |command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        })?;
        wait_for(&mut child, address, self.name, START_LIMIT)?;
        Ok((child, address))
    }

    /// Returns when the client has ended and the server has nothing left to do.
    fn load(&self, server: &mut Child, address: SocketAddr, operations: u32) -> Result {
        let mut client = Child::start(&(self.client)(address, operations), |command| {
            command.stdin(Stdio::null()).stdout(Stdio::null());
        })?;
        let deadline = Instant::now() + LOAD_LIMIT;
        while client.ended().is_none() {
            // A client waits for a server that comes back.
            if server.ended().is_some() || Instant::now() > deadline {
                fail!("{} died, or did not do {operations} operations", self.name);
            }
            std::thread::sleep(REST / 20);
        }
        if !client.ended().is_some_and(|status| status.success()) {
            fail!("a client of {} failed", self.name);
        }
        let deadline = Instant::now() + REST_LIMIT;
        let mut used = cpu_time(server.id())?;
        loop {
            std::thread::sleep(REST);
            let now = cpu_time(server.id())?;
            if now == used {
                return Ok(());
            }
            if Instant::now() > deadline {
                fail!("{} does not come to rest", self.name);
            }
            used = now;
        }
    }
}

impl Cost {
    /// That of a peer that could not be measured, which is told: the others are compared all the same.
    pub(crate) fn unknown(reason: &Failure) -> Self {
        eprintln!("xtask: {reason}");
        Self { instructions: f64::NAN, cpu_microseconds: f64::NAN, system_calls: f64::NAN }
    }
}

/// CPU time of a process so far, of threads that have ended, too.
fn cpu_time(process: u32) -> Result<Duration> {
    let file = format!("/proc/{process}/stat");
    let text = std::fs::read_to_string(&file).or_say(|| format!("cannot read {file}"))?;
    let ticks = cpu_ticks(&text).ok_or_else(|| Failure(format!("no times in {file}: {text}")))?;
    Ok(Duration::from_secs(ticks) / rustix::param::clock_ticks_per_second() as u32)
}

/// User and system time: the 14th and 15th of the fields, the second of which is a name that may have spaces
/// (proc_pid_stat(5)).
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map_while(|field| field.parse::<u64>().ok());
    Some(times.next()? + times.next()?)
}

/// Waits until somebody listens there.
pub(crate) fn wait_for(
    server: &mut Child,
    address: SocketAddr,
    name: &str,
    limit: Duration,
) -> Result {
    let deadline = Instant::now() + limit;
    while TcpStream::connect(address).is_err() {
        if server.ended().is_some() || Instant::now() > deadline {
            fail!("{name} does not serve");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// What counts while a program runs, and reports when that ends.
enum Tool {
    Valgrind,
    Strace,
}

impl Tool {
    fn name(&self) -> &'static str {
        match self {
            Self::Valgrind => VALGRIND.name,
            Self::Strace => STRACE.name,
        }
    }

    /// The same command under the tool.
    fn over(&self, server: &Command, report: &Path) -> Result<Command> {
        let report = report.display();
        let mut command = match self {
            Self::Valgrind => {
                let mut command = programs::command(&VALGRIND)?;
                // The cheapest of its tools that counts.
                command.args(["--tool=cachegrind", "--cache-sim=no"]);
                command.arg("--cachegrind-out-file=/dev/null").arg(format!("--log-file={report}"));
                command
            }
            Self::Strace => {
                let mut command = programs::command(&STRACE)?;
                command.args(["-f", "-c", "-o"]).arg(report.to_string());
                command
            }
        };
        command.arg("--").arg(server.get_program()).args(server.get_args());
        Ok(command)
    }

    fn total(&self, report: &str) -> Option<f64> {
        match self {
            Self::Valgrind => {
                let line = report.lines().find(|line| line.contains("I   refs:"))?;
                line.split_whitespace().last()?.replace(',', "").parse().ok()
            }
            // `% time  seconds  usecs/call  calls  errors  syscall`; the errors may be missing.
            Self::Strace => {
                let line = report.lines().rev().find(|line| line.trim_end().ends_with(" total"))?;
                line.split_whitespace().nth(3)?.parse().ok()
            }
        }
    }
}

/// What the first column, which is ours, is to reach.
pub(crate) enum Verdict<'a> {
    /// As many times each of the others, in their order, as far as there is a figure.
    OfPeers(&'a [Option<f64>]),
    /// A figure of its own.
    AtMost(f64),
}

impl Verdict<'_> {
    /// The reach, and whether it is missed.
    fn of(&self, values: &[f64]) -> (String, bool) {
        let Some((ours, others)) = values.split_first() else { return (String::new(), false) };
        match self {
            Self::AtMost(limit) => (format!("at most {limit}"), ours > limit),
            Self::OfPeers(times) => {
                let reaches = times.iter().flatten().map(|times| format!("{times}"));
                let missed = others
                    .iter()
                    .zip(*times)
                    .any(|(other, times)| times.is_some_and(|times| *ours > times * other));
                (reaches.collect::<Vec<_>>().join(" and "), missed)
            }
        }
    }
}

/// The head of the columns.
pub(crate) fn names(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name:>10}")).collect::<Vec<_>>().join(" ")
}

/// One line of the table: a column for each system, then ours in terms of each other.
pub(crate) fn print(what: &str, values: &[f64], verdict: &Verdict) {
    let columns: Vec<_> = values.iter().map(|value| format!("{value:>10.2}")).collect();
    let ratios: Vec<_> =
        values.iter().skip(1).map(|other| format!("{:.2}", values[0] / other)).collect();
    let (reach, missed) = verdict.of(values);
    let reach = if reach.is_empty() { reach } else { format!("  reach: {reach}") };
    let missed = if missed { "  (missed)" } else { "" };
    println!("{what:<34} {}  {}{reach}{missed}", columns.join(" "), ratios.join(" "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_found_in_the_reports() {
        let valgrind = "==7== Command: serve\n==7== \n==7== I   refs:      12,345,678\n";
        assert_eq!(Tool::Valgrind.total(valgrind), Some(12_345_678.0));
        let strace = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 90.00    0.000100           2        40         1 read
------ ----------- ----------- --------- --------- ----------------
100.00    0.000110           2        41         1 total
";
        assert_eq!(Tool::Strace.total(strace), Some(41.0));
        assert_eq!(Tool::Strace.total("strace: cannot attach\n"), None);
        assert_eq!(Tool::Valgrind.total(""), None);
    }

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 9 1 1";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
    }

    #[test]
    fn what_is_missed_is_said() {
        let half = Verdict::OfPeers(&[None, Some(0.5), Some(0.25)]);
        assert_eq!(half.of(&[5.0, 1.0, 10.0, 20.0]), ("0.5 and 0.25".to_owned(), false));
        assert!(half.of(&[5.1, 1.0, 10.0, 30.0]).1);
        assert!(half.of(&[5.0, 1.0, 10.0, 19.9]).1);
        assert!(Verdict::AtMost(2.0).of(&[2.1]).1);
        assert!(!Verdict::AtMost(2.0).of(&[2.0]).1);
        assert!(!Verdict::OfPeers(&[]).of(&[9.0, 1.0]).1);
    }
}
