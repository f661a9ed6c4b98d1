//! `cargo xtask bench shared`: two processes of one host by memory that both share and by TCP over loopback, in turns. Each
//! end is the same program either way.

mod guests;

pub use guests::{GuestOptions, Host, SHARED_VERB, guests, guests_worker};

use super::{
    cost::{self, Cost, Subject, Verdict},
    measurements::median,
    rpc::value,
};
use command::{
    cargo,
    child::Child,
    failure::{OrSay, Result, fail},
    files, paths,
    programs::{self, Install},
};
use lab::{link, process};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

const ROUNDS: usize = 7;
const BULK_MIB: &str = "2048";
const ROUND_TRIPS: &str = "50000";
const CALLS: &str = "20000";
/// Calls over which the server's cost is counted.
const COUNTED_CALLS: u32 = 2_000;
const START_LIMIT: Duration = Duration::from_secs(20);
const PEER: &str = "flow-peer";

/// What the columns are.
const WAYS: [&str; 2] = ["shared", "TCP"];

/// One line of the table: the peer's verb, how much, what it prints, and what is to be reached.
struct Row {
    verb: &'static str,
    number: &'static str,
    name: &'static str,
    what: &'static str,
    less_is_better: bool,
    reach: &'static str,
}

const BULK: Row = Row {
    verb: "bulk",
    number: BULK_MIB,
    name: "bulk",
    what: "bulk, MiB/s",
    less_is_better: false,
    reach: "at least 3",
};
const ROUND_TRIP: Row = Row {
    verb: "round-trips",
    number: ROUND_TRIPS,
    name: "round_trip",
    what: "a byte there and back, us",
    less_is_better: true,
    reach: "at least 2",
};
const LONE_CALL: Row = Row {
    verb: "calls",
    number: CALLS,
    name: "lone_call",
    what: "a lone call of RPC, us",
    less_is_better: true,
    reach: "at least 2",
};

/// Builds, measures and prints.
///
/// # Errors
/// Something is missing, does not build, or does not do its work.
pub fn shared(install: Install) -> Result<ExitCode> {
    programs::need(&cost::PROGRAMS, install)?;
    cargo::build(cargo::command().args(["build", "--release", "--package", PEER]), "our peer")?;
    let folder = paths::made("bench-shared")?;
    files::make_folder(&folder)?;
    println!("two processes of one host; medians of {ROUNDS} rounds, in turns");
    print_head(WAYS);
    plain(&folder)?;
    calls(&folder)?;
    Ok(ExitCode::SUCCESS)
}

fn peer() -> PathBuf {
    paths::target().join("release").join(PEER)
}

/// Our flows without a protocol.
fn plain(folder: &Path) -> Result {
    let path = folder.join("plain.shm");
    let targets = [format!("shm:{}", path.display()), link::free_address()?.to_string()];
    let start = |target: &String| {
        let mut command = Command::new(peer());
        command.args(["serve", target]);
        Child::start(&command, |command| {
            command.stdin(Stdio::null());
        })
    };
    let mut servers = targets.iter().map(start).collect::<Result<Vec<_>>>()?;
    cost::wait_for(&mut servers[1], address(&targets[1])?, PEER, START_LIMIT)?;
    wait_for_path(&path)?;
    for row in [BULK, ROUND_TRIP] {
        measure(&row, ROUNDS, |way| put(&row, &targets[way]))?;
    }
    Ok(())
}

/// Has a client put a load on a server: the figure that it gives.
fn put(row: &Row, target: &str) -> Result<f64> {
    value(&programs::output(Command::new(peer()).args([row.verb, target, row.number]))?, row.name)
}

/// RPC to the appliance.
fn calls(folder: &Path) -> Result {
    let appliance = Appliance::new(folder)?;
    let (tcp, shared) = (link::free_address()?, appliance.target());
    let mut server = Child::start(&appliance.server(tcp)?, |command| {
        command.stdin(Stdio::null()).stdout(Stdio::null());
    })?;
    cost::wait_for(&mut server, tcp, "the appliance", START_LIMIT)?;
    let targets = [shared.clone(), tcp.to_string()];
    measure(&LONE_CALL, ROUNDS, |way| put(&LONE_CALL, &targets[way]))?;
    drop(server);
    let client = |target: &str, calls: u32| {
        let mut command = Command::new(peer());
        command.args(["calls", target, &calls.to_string()]);
        command
    };
    let cost = |is_shared: bool| -> Result<Cost> {
        let subject = Subject {
            name: "the appliance",
            server: &|address| appliance.server(address),
            client: &|address, calls| {
                let target = if is_shared { shared.clone() } else { address.to_string() };
                client(&target, calls)
            },
        };
        subject.cost(COUNTED_CALLS)
    };
    let costs = [cost(true)?, cost(false)?];
    println!(
        "\nthe server alone, for a lone call; reach: half of TCP's, the kernel's part included"
    );
    let column = |value: fn(&Cost) -> f64| costs.iter().map(value).collect::<Vec<_>>();
    let verdict = Verdict::OfPeers(&[Some(0.5)]);
    cost::print(
        "instructions outside of the kernel",
        &column(|cost| cost.instructions),
        &Verdict::OfPeers(&[]),
    );
    cost::print("CPU, us", &column(|cost| cost.cpu_microseconds), &verdict);
    cost::print("system calls", &column(|cost| cost.system_calls), &Verdict::OfPeers(&[]));
    Ok(())
}

fn print_head([one, other]: [&str; 2]) {
    println!("{:<28} {one:>10} {other:>10} {:>8}  reach", "", "times");
}

/// Has the same done by both ways in turns, of which the first is shared memory.
fn measure(row: &Row, rounds: usize, mut put: impl FnMut(usize) -> Result<f64>) -> Result {
    let mut samples = [const { Vec::new() }; 2];
    for _ in 0..rounds {
        for (way, samples) in samples.iter_mut().enumerate() {
            samples.push(put(way)?);
        }
    }
    let [ours, other] = samples.each_mut().map(|samples| median(samples));
    let times = if row.less_is_better { other / ours } else { ours / other };
    println!("{:<28} {ours:>10.2} {other:>10.2} {times:>8.2}  {}", row.what, row.reach);
    Ok(())
}

/// The appliance as a process, which offers its calculator both ways.
struct Appliance {
    process: PathBuf,
    bundle: PathBuf,
    path: PathBuf,
}

impl Appliance {
    fn new(folder: &Path) -> Result<Self> {
        let (bundle, path) = (folder.join("bundle"), folder.join("rpc.shm"));
        files::make_folder(&bundle.join("site"))?;
        files::write(&bundle.join("site/index.html"), "")?;
        let config = format!(
            "[rpc]\nstrangers = [\"calculator\"]\n[shared_memory]\nrpc_path = \"{}\"\n",
            path.display()
        );
        files::write(&bundle.join(config::CONFIG_FILE), config)?;
        Ok(Self { process: process::build()?, bundle, path })
    }

    fn target(&self) -> String {
        format!("shm:{}", self.path.display())
    }

    fn server(&self, address: SocketAddr) -> Result<Command> {
        let mut command = Command::new(&self.process);
        command.arg("--bundle").arg(&self.bundle).args(["--log", "warn", "--zmq-port", "0"]);
        command.args(["--http", &link::free_address()?.to_string()]);
        command.args(["--rpc-port", &address.port().to_string()]);
        Ok(command)
    }
}

fn address(text: &str) -> Result<SocketAddr> {
    text.parse().or_say(|| format!("{text} is no address"))
}

fn wait_for_path(path: &Path) -> Result {
    let start = Instant::now();
    while !path.exists() {
        if start.elapsed() > START_LIMIT {
            fail!("nobody listens at {}", path.display());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
