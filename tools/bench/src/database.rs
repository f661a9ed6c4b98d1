//! `cargo xtask bench database`: clients of PostgreSQL beside one another on one server, in turns: ours, tokio-postgres and libpq; and how
//! soon the appliance answers others while a hundred sessions wait for a database.

use super::{
    cost::{self, Verdict},
    generators::{number_after, serve},
    measurements::median,
};
use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    files, paths,
    programs::{self, Install, Program},
};
use lab::{
    http_client, link, peers,
    postgres::{Cluster, INITDB, PASSWORD, POSTGRES, USER},
    process,
};
use std::{
    fs::Permissions,
    io::Write,
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

const LIBPQ_HEADERS: Program =
    Program { name: "/usr/include/postgresql/libpq-fe.h", package: "libpq-dev" };
const LIBPQ_CLIENT: &str = include_str!("database.c");
const PSQL: Program =
    Program { name: "/usr/lib/postgresql/15/bin/psql", package: "postgresql-client-15" };

const ROUNDS: usize = 5;
const GOODS: &str = "create table goods (id int4 primary key, name text not null); \
    insert into goods select g, 'goods ' || g from generate_series(0, 999) g; analyze goods";
const LONE: u32 = 20_000;
const PIPELINED: u32 = 100_000;
/// Queries under way at once.
const WIDTH: u32 = 50;
const ROWS: u32 = 1_000_000;

const SLEEPERS: usize = 100;
const WAKE: &str = "select pg_terminate_backend(pid, 5000) from pg_stat_activity \
    where usename = current_user and pid <> pg_backend_pid()";
/// Rounds of what is measured with sleepers and without, each of some seconds: a median of few is noise.
const SLEEPERS_ROUNDS: usize = 9;
const RATE: &str = "2000";
const SECONDS: &str = "4s";
const START_LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// What a load takes of each client, in the order of [`NAMES`]; none where it has no such thing.
struct Load {
    what: &'static str,
    /// The unit of what is printed: seconds of this many queries are 1.
    scale: f64,
    count: u32,
    /// What a client is told to do.
    verb: &'static str,
    /// Of how many times the others' time ours is at most to take; fewer than there are others where the last has no such thing.
    reach: &'static [Option<f64>],
    is_by_cpu: bool,
}

/// The last has no groups of one Sync.
const NAMES: [&str; 3] = ["ours", "libpq", "tokio"];

const LOADS: [Load; 5] = [
    Load {
        what: "a query by itself, us",
        scale: 1e6 / LONE as f64,
        count: LONE,
        verb: "lone",
        reach: &[Some(1.0), Some(1.0)],
        is_by_cpu: false,
    },
    Load {
        what: "the same, us of CPU",
        scale: 1e6 / LONE as f64,
        count: LONE,
        verb: "lone",
        reach: &[Some(1.0), Some(1.0)],
        is_by_cpu: true,
    },
    Load {
        what: "a query of 50, us of CPU",
        scale: 1e6 / PIPELINED as f64,
        count: PIPELINED,
        verb: "pipelined",
        reach: &[Some(0.83), Some(0.83)],
        is_by_cpu: true,
    },
    Load {
        what: "the same in one group",
        scale: 1e6 / PIPELINED as f64,
        count: PIPELINED,
        verb: "one-sync",
        reach: &[Some(0.83)],
        is_by_cpu: true,
    },
    Load {
        what: "a million rows, s of CPU",
        scale: 1.0,
        count: ROWS,
        verb: "rows",
        reach: &[None, Some(0.8)],
        is_by_cpu: true,
    },
];

/// Measures all.
///
/// # Errors
///
/// Something is missing, does not build or does not serve.
pub fn database(install: Install) -> Result<ExitCode> {
    let programs = [&POSTGRES, &INITDB, &PSQL, &programs::CC, &programs::LIBC_HEADERS];
    programs::need(&[&programs[..], &[&LIBPQ_HEADERS]].concat(), install)?;
    peers::prepare(&["postgres/"], install)?;
    let scratch = paths::Scratch::new()?;
    // The server comes through it, and need not see what is in it.
    std::fs::set_permissions(scratch.path(""), Permissions::from_mode(0o711))
        .or_say(|| "no way for a server".into())?;
    let clients = [peers::flow(), libpq_client(&scratch)?, tokio_client()?];
    let address = link::free_address()?;
    let cluster = Cluster::make(scratch.path("postgres"), address, |_| Ok(()))?;
    let _server = cluster.start(&[], &["max_connections=200"])?;
    sql(address, GOODS)?;
    clients_beside_one_another(&clients, address)?;
    sleepers(address)?;
    Ok(ExitCode::SUCCESS)
}

fn clients_beside_one_another(clients: &[PathBuf; 3], server: SocketAddr) -> Result {
    println!("medians of {ROUNDS} rounds, in turns; then ours as part of each other's");
    println!("{:<34} {}", "", cost::names(&NAMES));
    for load in &LOADS {
        let clients = &clients[..=load.reach.len()];
        let mut samples = vec![Vec::new(); clients.len()];
        for _ in 0..ROUNDS {
            for (index, (client, samples)) in clients.iter().zip(&mut samples).enumerate() {
                let mut command = Command::new(client);
                if index == 0 {
                    command.args(["database", &server.to_string()]);
                } else {
                    command.arg(words(server));
                }
                command.args([load.verb, &*load.count.to_string(), &WIDTH.to_string()]);
                samples.push(load.measure(&mut command)?);
            }
        }
        let values: Vec<_> = samples.iter_mut().map(|samples| median(samples)).collect();
        cost::print(load.what, &values, &Verdict::OfPeers(load.reach));
    }
    println!("in one group: one Sync for all {WIDTH}, so that an error takes all of them along");
    Ok(())
}

impl Load {
    /// Runs a client, which prints its processor time and the time that passed.
    fn measure(&self, client: &mut Command) -> Result<f64> {
        let said = programs::output(client)?;
        let times: Vec<f64> = said.split_whitespace().filter_map(|it| it.parse().ok()).collect();
        match times[..] {
            [cpu, passed] => Ok(self.scale * if self.is_by_cpu { cpu } else { passed }),
            _ => fail!("a client says no times: {said}"),
        }
    }
}

/// As libpq reads them, and tokio-postgres, too.
fn words(server: SocketAddr) -> String {
    let (host, port) = (server.ip(), server.port());
    format!(
        "host={host} port={port} user={USER} password={PASSWORD} dbname=postgres sslmode=disable"
    )
}

fn sql(server: SocketAddr, script: &str) -> Result {
    let mut command = programs::command(&PSQL)?;
    command.args([&words(server), "-q", "-X", "-v", "ON_ERROR_STOP=1", "-c", script]);
    programs::output(&mut command).map(drop)
}

fn tokio_client() -> Result<PathBuf> {
    peers::build_beside("tests/interop/postgres/bench/tokio-postgres", "tokio-postgres-client")
}

fn libpq_client(scratch: &paths::Scratch) -> Result<PathBuf> {
    let (source, program) = (scratch.path("database.c"), scratch.path("libpq-client"));
    files::write(&source, LIBPQ_CLIENT)?;
    let mut command = programs::command(&programs::CC)?;
    command.args(["-O2", "-Wall", "-I/usr/include/postgresql", "-o"]).arg(&program).arg(source);
    programs::output(command.arg("-lpq"))?;
    Ok(program)
}

/// The 99th percentile of a plain page's latency, with sessions that wait for the database, without, and without again: how far the
/// last two are apart is noise.
fn sleepers(database: SocketAddr) -> Result {
    let (appliance, load) = (process::build_trial()?, process::build_load()?);
    let bundle = paths::made("bench-database-bundle")?;
    files::make_folder(&bundle.join("site"))?;
    files::write(&bundle.join("site/index.html"), "hello, world\n")?;
    let config = format!(
        "[http]\naccess_log = false\n[[database]]\nname = \"main\"\nservers = [\"{database}\"]\n\
         user = \"{USER}\"\npassword = \"{PASSWORD}\"\ndatabase = \"postgres\"\nsslmode = \"disable\"\n\
         connections_max = {}\n",
        SLEEPERS + 1
    );
    files::write(&bundle.join("appliance.toml"), config)?;
    let mut samples = [const { Vec::new() }; 3];
    for round in 0..SLEEPERS_ROUNDS {
        // Each is first as often as it is last.
        for place in 0..samples.len() {
            let which = (round + place) % samples.len();
            let address = link::free_address()?;
            let mut server = serve(&appliance, &bundle, address)?;
            let visitors = if which == 0 { sleep(address, &mut server)? } else { Vec::new() };
            samples[which].push(latency(&load, address)?);
            drop((visitors, server));
            // A server does not notice that who sleeps has gone.
            sql(database, WAKE)?;
        }
    }
    println!();
    println!(
        "a page's latency at {RATE} requests/s, with {SLEEPERS} sessions that wait for a query, and without; \
         medians of {SLEEPERS_ROUNDS} rounds, in turns"
    );
    println!("{:<34} {}", "", cost::names(&["with", "without", "again"]));
    for (what, of) in [
        ("50 %, ms", (|it: &Percentiles| it.median) as fn(&Percentiles) -> f64),
        ("99 %, ms", |it| it.p99),
    ] {
        let values = samples.each_ref().map(|samples| {
            let mut values: Vec<f64> = samples.iter().map(of).collect();
            median(&mut values)
        });
        cost::print(what, &values, &Verdict::OfPeers(&[Some(1.1), None]));
    }
    Ok(())
}

/// Visitors each of whose sessions waits for a query; they wait as long as they are kept.
fn sleep(appliance: SocketAddr, server: &mut Child) -> Result<Vec<TcpStream>> {
    let visitors = (0..SLEEPERS).map(|_| {
        let mut stream = TcpStream::connect(appliance).or_say(|| "no visitor".into())?;
        let request = "GET /_test/sleeper HTTP/1.1\r\nHost: a\r\n\r\n";
        stream.write_all(request.as_bytes()).or_say(|| "no visitor".into())?;
        Ok(stream)
    });
    let visitors = visitors.collect::<Result<Vec<_>>>()?;
    let deadline = Instant::now() + START_LIMIT;
    // Fewer have fewer digits.
    let asleep = format!("{SLEEPERS}\n").len();
    while http_client::get(appliance, "/_test/database/main/sleepers", START_LIMIT)
        .is_none_or(|answer| answer.status != 200 || answer.body_bytes != asleep)
    {
        if server.ended().is_some() || Instant::now() > deadline {
            fail!("not all sessions wait for the database");
        }
        std::thread::sleep(PAUSE);
    }
    Ok(visitors)
}

/// Of a page's latency, milliseconds.
struct Percentiles {
    median: f64,
    p99: f64,
}

fn latency(program: &Path, appliance: SocketAddr) -> Result<Percentiles> {
    let mut command = Command::new(program);
    command.args(["-c", "16", "--rate", RATE, "--duration", SECONDS, "--json", "-", "-q"]);
    let report = programs::output(command.arg(format!("http://{appliance}/")))?;
    let latency = report.split_once("\"latency\": {").map(|(_, latency)| latency);
    let number = |name: &str| latency.and_then(|latency| number_after(latency, name));
    match (number("\"p50\": "), number("\"p99\": ")) {
        (Some(median), Some(p99)) => Ok(Percentiles { median, p99 }),
        _ => fail!("no latency in:\n{report}"),
    }
}
