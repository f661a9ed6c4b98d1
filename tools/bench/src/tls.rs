//! `cargo xtask bench tls`: HTTPS by us and by nginx with OpenSSL: the server's processor time for a handshake, a resumed
//! one, a request and a MiB, as processes over loopback, in turns; and instructions, as processes and as guests.

mod instructions;

use super::{cost, measurements::median};
use command::{
    child::Child,
    failure::{Failure, OrSay, Result, fail},
    files, paths,
    programs::{self, Install},
};
use lab::{link, peers, process};
use std::{
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

const ROUNDS: usize = 5;
const START_LIMIT: Duration = Duration::from_secs(20);
const BULK_MIB: usize = 64;
const BULKS: usize = 4;
/// Of /proc/PID/stat.
const TICKS_PER_SECOND: f64 = 100.0;

/// What is measured, and how many times as much of nginx' time ours may take.
const LOADS: [(&str, Load); 4] = [
    ("full handshake, us", handshakes),
    ("resumed handshake, us", resumed),
    ("request on 32 connections, us", requests),
    ("MiB of a file, us", bulk),
];

/// Puts its load on the server; how many units that was.
type Load = fn(SocketAddr) -> Result<f64>;

/// Measures both.
///
/// # Errors
///
/// Something is missing, does not build or does not serve.
pub fn tls(install: Install) -> Result<ExitCode> {
    let clients = [&programs::WRK, &programs::OPENSSL, &programs::CURL];
    programs::need(&[&clients[..], &cost::PROGRAMS].concat(), install)?;
    peers::prepare(&["tls/nginx"], install)?;
    let folder = paths::made("bench-tls")?;
    make_bundle(&folder)?;
    let program = process::build()?;
    let mut costs = [const { [const { Vec::new() }; LOADS.len()] }; 2];
    for _ in 0..ROUNDS {
        for (index, of_server) in costs.iter_mut().enumerate() {
            let address = link::free_address()?;
            let command = if index == 0 {
                ours(&program, &folder, address)?
            } else {
                nginx(&folder, address)?
            };
            let mut server = start(&command)?;
            wait(&mut server, address)?;
            for ((_, load), samples) in LOADS.iter().zip(of_server) {
                let before = processor_seconds(&server)?;
                let units = load(address)?;
                samples.push((processor_seconds(&server)? - before) * 1e6 / units);
            }
        }
    }
    println!(
        "the server's processor time; medians of {ROUNDS} rounds, in turns: ours, nginx, ours as part of nginx'"
    );
    let [ours, nginx] = &mut costs;
    for ((what, _), (ours, nginx)) in LOADS.iter().zip(ours.iter_mut().zip(nginx)) {
        let (ours, nginx) = (median(ours), median(nginx));
        println!("{what:<32} {ours:>8.1} {nginx:>8.1}  {:.2}x", ours / nginx);
    }
    instructions::processes(&program, &folder)?;
    instructions::guests(&folder, install)?;
    Ok(ExitCode::SUCCESS)
}

fn make_bundle(folder: &Path) -> Result {
    for inner in ["site", "tls"] {
        files::make_folder(&folder.join(inner))?;
    }
    files::write(&folder.join("site/index.html"), "hello, world\n")?;
    files::write(&folder.join("site/big"), vec![b'x'; BULK_MIB << 20])?;
    let mut command = programs::command(&programs::OPENSSL)?;
    command.current_dir(folder.join("tls"));
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]);
    command.args(["-keyout", "key.pem", "-out", "cert.pem", "-days", "90", "-subj", "/CN=a"]);
    programs::output(&mut command).map(drop)
}

fn ours(program: &Path, folder: &Path, address: SocketAddr) -> Result<Command> {
    let mut command = Command::new(program);
    command.arg("--bundle").arg(folder).args(["--log", "warn", "--rpc-port", "0"]);
    command.args(["--zmq-port", "0", "--http", &link::free_address()?.to_string()]);
    command.args(["--https-port", &address.port().to_string()]);
    Ok(command)
}

fn nginx(folder: &Path, address: SocketAddr) -> Result<Command> {
    let config = format!(
        "daemon off; master_process off; pid pid; error_log stderr error;
        events {{ worker_connections 4096; }}
        http {{
            access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
            client_body_temp_path body-temp; proxy_temp_path proxy-temp;
            fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
            server {{
                listen {address} ssl; ssl_protocols TLSv1.2 TLSv1.3;
                ssl_certificate tls/cert.pem; ssl_certificate_key tls/key.pem;
                ssl_session_cache shared:a:10m; location / {{ root site; }}
            }}
        }}"
    );
    files::write(&folder.join("nginx.conf"), config)?;
    let mut command = peers::nginx()?;
    command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
    command.args(["-e", "stderr"]);
    Ok(command)
}

fn start(command: &Command) -> Result<Child> {
    Child::start(command, |command| {
        command.stdin(Stdio::null()).stdout(Stdio::null());
    })
}

fn wait(server: &mut Child, address: SocketAddr) -> Result {
    let deadline = Instant::now() + START_LIMIT;
    while TcpStream::connect(address).is_err() {
        if server.ended().is_some() || Instant::now() > deadline {
            fail!("a server does not serve");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// What the server has had of the processors, in its own code and in the kernel's.
fn processor_seconds(server: &Child) -> Result<f64> {
    let path = PathBuf::from(format!("/proc/{}/stat", server.id()));
    let text = files::read_text(&path)?;
    // Behind the name, which may have spaces: user and system time are the 14th and 15th of all fields.
    let fields = text.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<f64>);
    let ticks: f64 =
        ticks.sum::<std::result::Result<f64, _>>().or_say(|| format!("{text}: no times"))?;
    Ok(ticks / TICKS_PER_SECOND)
}

fn handshakes(server: SocketAddr) -> Result<f64> {
    s_time(server, "-new")
}

fn resumed(server: SocketAddr) -> Result<f64> {
    s_time(server, "-reuse")
}

/// Connections with a request each. Of TLS 1.3, whose tickets openssl's tool gets with an answer.
fn s_time(server: SocketAddr, how: &str) -> Result<f64> {
    let mut command = programs::command(&programs::OPENSSL)?;
    command.args(["s_time", "-connect", &server.to_string(), "-tls1_3", "-time", "4"]);
    let report = programs::output(command.args(["-www", "/", how]))?;
    // It tells of two times; the second is by the clock on the wall.
    let line = report.lines().find(|line| line.contains("real seconds"));
    let count = line.and_then(|line| line.split(' ').next()?.parse().ok());
    count.ok_or_else(|| Failure(format!("no count in:\n{report}")))
}

fn requests(server: SocketAddr) -> Result<f64> {
    let mut command = programs::command(&programs::WRK)?;
    command.args(["-t1", "-c32", "-d4s", &format!("https://{server}/")]);
    let report = programs::output(&mut command)?;
    let line = report.lines().find(|line| line.contains(" requests in "));
    let count = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    count.ok_or_else(|| Failure(format!("no count in:\n{report}")))
}

fn bulk(server: SocketAddr) -> Result<f64> {
    let mut command = programs::command(&programs::CURL)?;
    command.args(["--silent", "--fail", "--insecure", "--max-time", "60"]);
    for _ in 0..BULKS {
        command.args(["-o", "/dev/null", &format!("https://{server}/big")]);
    }
    programs::output(&mut command)?;
    Ok((BULKS * BULK_MIB) as f64)
}
