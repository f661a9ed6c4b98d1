//! Load for a length of time, and what a process used meanwhile.

use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    files, paths, programs,
};
use lab::{http_client, load as crowd, peers};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// How wrk uses its connections.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reuse {
    Keep,
    New,
    /// Kept, and no request is like another.
    KeepAndVary,
}

const VARY: &str = "local n = 0\n\
    function request() n = n + 1 return wrk.format(nil, wrk.path .. \"?\" .. n) end\n";

/// What wrk saw.
pub(crate) struct Wrk {
    pub(crate) requests: f64,
    pub(crate) per_second: f64,
}

pub(crate) fn wrk(
    server: SocketAddr,
    connections: usize,
    seconds: u64,
    reuse: Reuse,
) -> Result<Wrk> {
    let mut command = programs::command(&programs::WRK)?;
    command
        .args(["-t1", "--timeout", "5s"])
        .arg(format!("-c{connections}"))
        .arg(format!("-d{seconds}s"));
    match reuse {
        Reuse::Keep => {}
        Reuse::New => {
            command.args(["-H", "Connection: close"]);
        }
        Reuse::KeepAndVary => {
            let script = paths::made("bench")?.join("vary.lua");
            files::write(&script, VARY)?;
            command.arg("-s").arg(script);
        }
    }
    let report = programs::output(command.arg(format!("http://{server}/")))?;
    let word_before = |sign: &str| {
        report
            .split_once(sign)
            .and_then(|(before, _)| before.split_whitespace().last())
            .and_then(|word| word.parse().ok())
    };
    let word_after = |sign: &str| {
        report
            .split_once(sign)
            .and_then(|(_, after)| after.split_whitespace().next())
            .and_then(|word| word.parse().ok())
    };
    match (word_before(" requests in"), word_after("Requests/sec:")) {
        (Some(requests), Some(per_second)) if requests > 0.0 => Ok(Wrk { requests, per_second }),
        _ => fail!("wrk got no answers: {report}"),
    }
}

/// Requests one after the other on one connection.
pub(crate) fn in_turn(server: SocketAddr, count: usize) -> Result {
    let say = || "cannot connect".to_owned();
    let mut stream = TcpStream::connect_timeout(&server, ANSWER_LIMIT).or_say(say)?;
    stream.set_nodelay(true).or_say(say)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT)).or_say(say)?;
    for number in 0..count {
        if http_client::get_again(&mut stream, server, "/")
            .is_none_or(|answer| answer.status != 200)
        {
            fail!("request {number} of {count} was not answered");
        }
    }
    Ok(())
}

/// The same by FastCGI, as nginx asks with the variables that it has by default and keeps its connection.
pub(crate) fn fastcgi_in_turn(server: SocketAddr, count: usize) -> Result {
    let say = || "cannot connect by FastCGI".to_owned();
    let mut stream = TcpStream::connect_timeout(&server, ANSWER_LIMIT).or_say(say)?;
    stream.set_nodelay(true).or_say(say)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT)).or_say(say)?;
    let request = fastcgi_request();
    for number in 0..count {
        let ended = stream.write_all(&request).and_then(|()| read_records(&mut stream));
        ended.or_say(|| format!("request {number} of {count} by FastCGI was not answered"))?;
    }
    Ok(())
}

fn fastcgi_request() -> Vec<u8> {
    let variables = [
        ("QUERY_STRING", ""),
        ("REQUEST_METHOD", "GET"),
        ("CONTENT_TYPE", ""),
        ("CONTENT_LENGTH", ""),
        ("SCRIPT_NAME", "/"),
        ("REQUEST_URI", "/"),
        ("DOCUMENT_URI", "/"),
        ("DOCUMENT_ROOT", "/usr/share/nginx/html"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("REQUEST_SCHEME", "http"),
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("SERVER_SOFTWARE", "nginx/1.22.1"),
        ("REMOTE_ADDR", "10.9.0.1"),
        ("REMOTE_PORT", "40000"),
        ("SERVER_ADDR", "10.9.0.2"),
        ("SERVER_PORT", "80"),
        ("SERVER_NAME", "appliance"),
        ("HTTP_HOST", "10.9.0.2"),
    ];
    let mut params = Vec::new();
    for (name, value) in variables {
        params.extend_from_slice(&[name.len() as u8, value.len() as u8]);
        params.extend_from_slice(name.as_bytes());
        params.extend_from_slice(value.as_bytes());
    }
    let [high, low] = (params.len() as u16).to_be_bytes();
    let begin = b"\x01\x01\0\x01\0\x08\0\0\0\x01\x01\0\0\0\0\0";
    let end = b"\x01\x04\0\x01\0\0\0\0\x01\x05\0\x01\0\0\0\0";
    [&begin[..], &[1, 4, 0, 1, high, low, 0, 0], &params, end].concat()
}

/// Reads to the end of the request; an answer of another status than 200 is an error.
fn read_records(stream: &mut TcpStream) -> std::io::Result<()> {
    const OUTPUT: u8 = 6;
    const END: u8 = 3;
    let mut text = Vec::new();
    loop {
        let mut header = [0; 8];
        stream.read_exact(&mut header)?;
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let mut content = vec![0; length + usize::from(header[6])];
        stream.read_exact(&mut content)?;
        match header[1] {
            OUTPUT => text.extend_from_slice(&content[..length]),
            END if text.starts_with(b"Status: 200 ") => return Ok(()),
            END => return Err(std::io::ErrorKind::InvalidData.into()),
            _ => {}
        }
    }
}

/// Calls to the appliance's calculator by our RPC peer, so many of them together.
pub(crate) fn rpc_calls(server: SocketAddr, calls: u32, in_flight: u32) -> Result {
    let mut command = Command::new(peers::rpc());
    command.args(["calls-appliance".to_owned(), server.to_string()]);
    programs::output(command.args([calls.to_string(), in_flight.to_string()])).map(drop)
}

/// One download: MiB and MiB per second.
pub(crate) fn bulk(server: SocketAddr) -> Result<(f64, f64)> {
    let started = Instant::now();
    match http_client::get(server, "/big", ANSWER_LIMIT) {
        Some(answer) if answer.status == 200 => {
            let mib = answer.body_bytes as f64 / f64::from(1 << 20);
            Ok((mib, mib / started.elapsed().as_secs_f64()))
        }
        _ => fail!("the bulk file was not served"),
    }
}

/// The hidden verb of a process that opens connections, asks on each, and holds them until it is ended.
pub const HOLD_VERB: &str = "hold";

/// Such a process.
pub(crate) struct Holder {
    _child: Child,
}

impl Holder {
    /// Returns when every connection has been answered.
    pub(crate) fn start(server: SocketAddr, count: usize) -> Result<Self> {
        let own = std::env::current_exe().or_say(|| "cannot find xtask itself".into())?;
        let mut command = Command::new(own);
        command.arg(HOLD_VERB).arg(server.to_string()).arg(count.to_string());
        let mut child = Child::start(&command, |command| {
            command.stdin(Stdio::null()).stdout(Stdio::piped());
        })?;
        let mut word = String::new();
        if let Some(stdout) = child.streams().stdout.take() {
            BufReader::new(stdout).read_line(&mut word).or_say(|| "a holder".into())?;
        }
        if word.trim() == HOLD_VERB {
            Ok(Self { _child: child })
        } else {
            fail!("not all of {count} connections were answered")
        }
    }
}

/// What such a process does: opens the connections, says so, and holds them.
///
/// # Errors
///
/// One is not answered.
pub fn hold(server: SocketAddr, count: usize) -> Result<ExitCode> {
    crowd::allow_sockets(count as u64)?;
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        // Each asks at once: a connection without a request is not kept for long.
        let mut one = crowd::open(server, 1)?;
        crowd::ask_each(&mut one, server, "/")?;
        connections.append(&mut one);
    }
    println!("{HOLD_VERB}");
    loop {
        std::thread::park();
    }
}

/// CPU time of all threads of a process so far, by the scheduler's account.
pub(crate) fn cpu_time(process: u32) -> Result<Duration> {
    let folder = format!("/proc/{process}/task");
    let threads = std::fs::read_dir(&folder).or_say(|| format!("cannot read {folder}"))?;
    let of_thread = |path: std::path::PathBuf| -> Option<u64> {
        std::fs::read_to_string(path.join("schedstat"))
            .ok()?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    };
    Ok(Duration::from_nanos(threads.flatten().filter_map(|thread| of_thread(thread.path())).sum()))
}

/// Resident bytes of the guest's memory: the mapping of exactly that size.
pub(crate) fn guest_resident_bytes(process: u32, memory_mib: u32) -> Result<u64> {
    let file = format!("/proc/{process}/smaps");
    let text = std::fs::read_to_string(&file).or_say(|| format!("cannot read {file}"))?;
    let mut size_kib = 0;
    for line in text.lines() {
        let kib = |sign: &str| {
            line.strip_prefix(sign)
                .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
        };
        if let Some(kib) = kib("Size:") {
            size_kib = kib;
        }
        if let Some(kib) = kib("Rss:").filter(|_| size_kib == u64::from(memory_mib) * 1024) {
            return Ok(kib * 1024);
        }
    }
    fail!("the guest's memory is not in {file}")
}
