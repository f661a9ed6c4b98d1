//! `cargo xtask bench rpc`: our engine, the appliance, the `capnp-rpc` crate on tokio and the C++ library, over loopback,
//! in turns.

use super::measurements::median;
use command::{
    child::Child,
    failure::{Failure, OrSay, Result, fail},
    paths,
    programs::{self, Install},
};
use lab::{link, peers, process};
use std::{
    ffi::OsString,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

const START_LIMIT: Duration = Duration::from_secs(20);
const ROUNDS: usize = 5;
/// The plain echo is measured by our own peer.
const PLAIN_ECHO: &str = "plain_echo_1_mib";

/// One line of the table: what a peer calls it, what it is, how it compares.
struct Row {
    name: &'static str,
    what: &'static str,
    less_is_better: bool,
}

const ROWS: [Row; 3] = [
    Row { name: "calls_12_in_flight", what: "calls/s, 12 in flight", less_is_better: false },
    Row { name: "lone_call", what: "lone call, us", less_is_better: true },
    Row { name: "echo_1_mib", what: "echo of 1 MiB, MiB/s", less_is_better: false },
];

const MEMORY_ROWS: [(&str, &str); 3] = [
    ("bytes_per_call_early", "bytes allocated per call"),
    ("bytes_per_call_late", "... 310,000 calls later"),
    ("kept_per_call", "... kept per call"),
];

/// One of those that are compared, each by a client of its own kind.
struct SystemUnderTest {
    name: &'static str,
    server: Vec<OsString>,
    client: PathBuf,
    verb: &'static str,
}

impl SystemUnderTest {
    fn with_itself(name: &'static str, program: PathBuf) -> Self {
        let server = vec![program.clone().into(), "serve".into()];
        Self { name, server, client: program, verb: "bench" }
    }

    /// The appliance as a process, called by our peer: a call reads a value of the calculator.
    fn appliance() -> Result<Self> {
        let bundle = paths::made("bench-rpc-bundle")?;
        std::fs::create_dir_all(bundle.join("site")).or_say(|| "cannot make a bundle".into())?;
        let server = vec![process::build()?.into(), "--bundle".into(), bundle.into()];
        Ok(Self { name: "appliance", server, client: peers::rpc(), verb: "bench-appliance" })
    }

    fn serve(&self, address: SocketAddr) -> Result<Child> {
        let mut command = Command::new(&self.server[0]);
        command.args(&self.server[1..]);
        if self.verb == "bench-appliance" {
            let http = link::free_address()?.to_string();
            command.args(["--log", "warn", "--zmq-port", "0", "--http", &http]);
            command.args(["--rpc-port", &address.port().to_string()]);
        } else {
            command.arg(address.to_string());
        }
        Child::start(&command, |command| {
            command.stdin(Stdio::null()).stdout(Stdio::null());
        })
    }

    /// Starts a server, lets a client measure, and gives what that printed.
    fn round(&self) -> Result<String> {
        let address = link::free_address()?;
        let mut server = self.serve(address)?;
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect(address).is_err() {
            if server.ended().is_some() || Instant::now() > deadline {
                fail!("{} does not serve", self.name);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        programs::output(Command::new(&self.client).arg(self.verb).arg(address.to_string()))
    }
}

/// Measures all of them.
///
/// # Errors
///
/// Something is missing, does not build or does not serve.
pub fn rpc(install: Install) -> Result<ExitCode> {
    programs::need(&[&peers::CAPNP, &peers::CAPNP_HEADERS, &peers::CXX], install)?;
    peers::build_rpc()?;
    peers::build_rpc_cpp()?;
    let theirs = peers::build_beside("tests/interop/rpc/bench/capnp-rpc-rs", "capnp-rpc-peer")?;
    let systems = [
        SystemUnderTest::with_itself("ours", peers::rpc()),
        SystemUnderTest::appliance()?,
        SystemUnderTest::with_itself("capnp-rpc", theirs.clone()),
        SystemUnderTest::with_itself("C++", peers::rpc_cpp()?),
    ];
    let mut samples = vec![vec![Vec::new(); systems.len()]; ROWS.len()];
    let mut plain_echo = Vec::new();
    for _ in 0..ROUNDS {
        for (index, system) in systems.iter().enumerate() {
            let text = system.round()?;
            for (row, Row { name, .. }) in samples.iter_mut().zip(&ROWS) {
                row[index].push(value(&text, name)?);
            }
            plain_echo.extend(value(&text, PLAIN_ECHO).ok());
        }
    }
    println!("1 connection over loopback; medians of {ROUNDS} rounds, in turns");
    println!("each is called by its like, the appliance by ours");
    print_speeds(&systems, &mut samples, median(&mut plain_echo));
    print_memory(&peers::rpc(), &theirs)?;
    Ok(ExitCode::SUCCESS)
}

fn print_speeds(systems: &[SystemUnderTest; 4], samples: &mut [Vec<Vec<f64>>], plain_echo: f64) {
    let names = systems.each_ref().map(|system| system.name);
    let [ours, appliance, theirs, cpp] = names;
    println!("{:<26} {ours:>10} {appliance:>10} {theirs:>10} {cpp:>10}  ours to each", "");
    let mut echo = 0.0;
    for (samples, Row { name, what, less_is_better }) in samples.iter_mut().zip(&ROWS) {
        let [ours, appliance, theirs, cpp] = [0, 1, 2, 3].map(|index| median(&mut samples[index]));
        let times = |peer: f64| if *less_is_better { peer / ours } else { ours / peer };
        let (to_theirs, to_cpp) = (times(theirs), times(cpp));
        println!(
            "{what:<26} {ours:>10.1} {appliance:>10.1} {theirs:>10.1} {cpp:>10.1}  {to_theirs:.2}x {to_cpp:.2}x"
        );
        if *name == "echo_1_mib" {
            echo = ours;
        }
    }
    println!("more than 1x: ours is faster; reach: 1.5x and 1x for the calls");
    println!(
        "{:<26} {plain_echo:>10.1}  ours is {:.2} of it; reach: 0.5",
        "plain TCP echo, MiB/s",
        echo / plain_echo
    );
}

/// Both ends of a connection in one process, counted by its allocator.
fn print_memory(ours: &Path, theirs: &Path) -> Result {
    let mut texts = Vec::new();
    for program in [ours, theirs] {
        let address = link::free_address()?.to_string();
        texts.push(programs::output(Command::new(program).arg("memory").arg(address))?);
    }
    println!("both ends together:");
    println!("{:<26} {:>10} {:>10} {:>10}", "", "ours", "", "capnp-rpc");
    for (name, what) in MEMORY_ROWS {
        let (ours, theirs) = (value(&texts[0], name)?, value(&texts[1], name)?);
        println!("{what:<26} {ours:>10.1} {:>10} {theirs:>10.1}", "");
    }
    Ok(())
}

/// The number after a name at the start of a line.
fn value(text: &str, name: &str) -> Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| Failure(format!("no number for {name} in:\n{text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_name() {
        let text = "calls_12_in_flight 101000 per_s\nlone_call 12.5 us\n";
        assert_eq!(value(text, "lone_call").ok(), Some(12.5));
        assert!(value(text, "lone").is_err());
        assert!(value(text, "echo_1_mib").is_err());
    }
}
