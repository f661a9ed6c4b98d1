//! `cargo xtask bench rpc`: our engine, the appliance, the `capnp-rpc` crate on tokio and the C++ library, over loopback,
//! in turns.

use super::{
    cost::{self, Cost, Subject, Verdict},
    measurements::median,
};
use command::{
    child::Child,
    failure::{Failure, Result},
    files, paths,
    programs::{self, Install},
};
use lab::{link, peers, process};
use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

const START_LIMIT: Duration = Duration::from_secs(20);
const ROUNDS: usize = 5;
/// Calls over which the server's cost is counted: a multiple of those in flight.
const COUNTED_CALLS: u32 = 2_400;
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
        files::make_folder(&bundle.join("site"))?;
        files::write(&bundle.join("site/index.html"), "")?;
        files::write(&bundle.join(config::CONFIG_FILE), "[rpc]\nstrangers = [\"calculator\"]\n")?;
        let key = bundle.join("rpc/key.pem");
        files::make_folder(&bundle.join("rpc"))?;
        let words = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"];
        programs::output(programs::command(&programs::OPENSSL)?.args(words).arg(key))?;
        let server = vec![process::build()?.into(), "--bundle".into(), bundle.into()];
        Ok(Self { name: "appliance", server, client: peers::rpc(), verb: "bench-appliance" })
    }

    fn server(&self, address: SocketAddr) -> Result<Command> {
        let mut command = Command::new(&self.server[0]);
        command.args(&self.server[1..]);
        if self.is_appliance() {
            let http = link::free_address()?.to_string();
            command.args(["--log", "warn", "--zmq-port", "0", "--http", &http]);
            command.args(["--rpc-port", &address.port().to_string()]);
        } else {
            command.arg(address.to_string());
        }
        Ok(command)
    }

    fn is_appliance(&self) -> bool {
        self.verb == "bench-appliance"
    }

    /// Starts a server, lets a client measure, and gives what that printed.
    fn round(&self) -> Result<String> {
        let address = link::free_address()?;
        let mut server = Child::start(&self.server(address)?, |command| {
            command.stdin(Stdio::null()).stdout(Stdio::null());
        })?;
        cost::wait_for(&mut server, address, self.name, START_LIMIT)?;
        programs::output(Command::new(&self.client).arg(self.verb).arg(address.to_string()))
    }

    /// What a call costs the server, so many being sent together by our peer, whoever serves.
    fn cost(&self, in_flight: u32) -> Result<Cost> {
        let verb = if self.is_appliance() { "calls-appliance" } else { "calls" };
        let subject = Subject {
            name: self.name,
            server: &|address| self.server(address),
            client: &|address, calls| {
                let mut command = Command::new(peers::rpc());
                command.args([verb, &address.to_string()]);
                command.args([calls.to_string(), in_flight.to_string()]);
                command
            },
        };
        subject.cost(COUNTED_CALLS)
    }
}

/// Measures all of them.
///
/// # Errors
///
/// Something is missing, does not build or does not serve.
pub fn rpc(install: Install) -> Result<ExitCode> {
    let programs = [&peers::CAPNP, &peers::CAPNP_HEADERS, &peers::CXX, &programs::OPENSSL];
    programs::need(&[&programs[..], &cost::PROGRAMS].concat(), install)?;
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
    secure(&systems[1])?;
    println!("\nthe server alone, for each call; all are called by ours");
    println!("{:<34} {}  ours to each", "", cost::names(&names(&systems)));
    print_costs(&systems, 12, [0.6, 0.4], 0.25)?;
    print_costs(&systems, 1, [0.6, 0.4], 2.0)?;
    Ok(ExitCode::SUCCESS)
}

fn print_speeds(systems: &[SystemUnderTest; 4], samples: &mut [Vec<Vec<f64>>], plain_echo: f64) {
    let [ours, appliance, theirs, cpp] = names(systems);
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

/// How many of its peers' instructions a call of ours may take, and how many system calls.
fn print_costs(
    systems: &[SystemUnderTest; 4],
    in_flight: u32,
    [of_theirs, of_cpp]: [f64; 2],
    system_calls: f64,
) -> Result {
    let costs = systems.iter().map(|system| system.cost(in_flight)).collect::<Result<Vec<_>>>()?;
    let what = |of: &str| match in_flight {
        1 => format!("{of}, a lone call"),
        _ => format!("{of}, {in_flight} in flight"),
    };
    let column = |value: fn(&Cost) -> f64| costs.iter().map(value).collect::<Vec<_>>();
    // The appliance is no peer.
    let ratios = [None, Some(of_theirs), Some(of_cpp)];
    cost::print(
        &what("instructions"),
        &column(|cost| cost.instructions),
        &Verdict::OfPeers(&ratios),
    );
    cost::print(&what("CPU, us"), &column(|cost| cost.cpu_microseconds), &Verdict::OfPeers(&[]));
    cost::print(
        &what("system calls"),
        &column(|cost| cost.system_calls),
        &Verdict::AtMost(system_calls),
    );
    Ok(())
}

/// The appliance by TLS, beside the same in the clear, in turns.
fn secure(appliance: &SystemUnderTest) -> Result {
    let [plain, secure] = [link::free_address()?, link::free_address()?];
    let mut command = appliance.server(plain)?;
    command.args(["--rpc-secure-port", &secure.port().to_string()]);
    let mut server = Child::start(&command, |command| {
        command.stdin(Stdio::null()).stdout(Stdio::null());
    })?;
    cost::wait_for(&mut server, secure, appliance.name, START_LIMIT)?;
    let service = format!("calculator@{secure}");
    let mut asked = Command::new(&appliance.server[0]);
    let asked = asked.args(&appliance.server[1..]).args(["--capability", &service]);
    let reference: String = programs::output(asked)?;
    // The directory, as in the clear.
    let (bootstrap, _) = reference.rsplit_once('/').unwrap_or((&reference, ""));
    let bench = |verb: &str, address: &str| {
        programs::output(Command::new(peers::rpc()).args([verb, address]))
    };
    let mut samples = vec![[Vec::new(), Vec::new()]; ROWS.len()];
    for _ in 0..ROUNDS {
        let texts = [
            bench("bench-appliance", &plain.to_string())?,
            bench("bench-secure-appliance", bootstrap)?,
        ];
        for (row, Row { name, .. }) in samples.iter_mut().zip(&ROWS) {
            for (samples, text) in row.iter_mut().zip(&texts) {
                samples.push(value(text, name)?);
            }
        }
    }
    println!("\nthe appliance, in the clear and by TLS with keys; reach: 0.6 of the calls");
    for ([plain, secure], Row { what, less_is_better, .. }) in samples.iter_mut().zip(&ROWS) {
        let (plain, secure) = (median(plain), median(secure));
        let of_plain = if *less_is_better { plain / secure } else { secure / plain };
        println!("{what:<26} {plain:>10.1} {secure:>10.1}  {of_plain:.2} of it");
    }
    Ok(())
}

fn names(systems: &[SystemUnderTest; 4]) -> [&'static str; 4] {
    systems.each_ref().map(|system| system.name)
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
pub(crate) fn value(text: &str, name: &str) -> Result<f64> {
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
