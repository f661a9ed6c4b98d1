//! Crowds of sessions: 50,000 at once in a guest of 256 MiB, and a flood of visitors without cookies that nobody else notices.

use command::failure::{Failure, OrSay, Result, fail};
use lab::harness::{GUEST_ADDRESS, Harness, PROCESS_ADDRESS, Server, Setup, equal};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const SESSIONS: usize = 50_000;
const FLOOD: usize = 100_000;
/// Requests that are sent before the first answer is read.
const AT_ONCE: usize = 20;
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

pub(super) fn many_on_guest(harness: &mut Harness) -> Result {
    let config = "[sessions]\nsessions_max = 50_001\nnewcomers_percent_max = 100\n[tasks]\ntasks_max = 100_000\n";
    let bundle = harness.bundle(config, &[])?;
    let guest = harness.boot(&Setup { bundle: Some(bundle), ..Setup::trial() })?;
    Server::Guest(Box::new(guest)).judge(many(GUEST_ADDRESS))
}

/// The first and the last of so many sessions go on.
fn many(server: SocketAddr) -> Result {
    let mut visits = Visits::new(server)?;
    let first = visits.begin(1)?;
    visits.begin(SESSIONS - 2)?;
    let last = visits.begin(1)?;
    equal("the first session", &visits.again(&first)?, &2)?;
    equal("the last session", &visits.again(&last)?, &2)?;
    equal("the first session again", &visits.again(&first)?, &3)
}

pub(super) fn flood_of_process(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("[sessions]\nsessions_max = 4_000\n", &[])?;
    let child = harness.trial_process(&bundle)?;
    let result = flood(child.id());
    Server::Process(Box::new(child)).judge(result)
}

fn flood(process: u32) -> Result {
    let mut visits = Visits::new(PROCESS_ADDRESS)?;
    let known = visits.begin(1)?;
    equal("a visitor", &visits.again(&known)?, &2)?;
    // Until all newcomers there may be are there.
    visits.begin(10_000)?;
    let before = resident_kib(process)?;
    visits.begin(FLOOD)?;
    let grown = resident_kib(process)?.saturating_sub(before);
    if grown > before / 10 {
        fail!("{FLOOD} visitors without cookies took {grown} KiB");
    }
    equal("a visitor beside the flood", &visits.again(&known)?, &3)
}

fn resident_kib(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))
        .or_say(|| "the process is not there".into())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    match line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()) {
        Some(kib) => Ok(kib),
        None => fail!("no VmRSS in {status}"),
    }
}

/// Visits over one connection.
struct Visits {
    stream: BufReader<TcpStream>,
}

impl Visits {
    fn new(server: SocketAddr) -> Result<Self> {
        let say = || "cannot connect".to_owned();
        let stream = TcpStream::connect(server).or_say(say)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT)).or_say(say)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// So many visits without a cookie; gives the last one's.
    fn begin(&mut self, count: usize) -> Result<String> {
        let mut cookie = None;
        for first in (0..count).step_by(AT_ONCE) {
            let now = AT_ONCE.min(count - first);
            self.send(&request("").repeat(now))?;
            for _ in 0..now {
                let answer = self.answer()?;
                equal("a first visit", &answer.visits, &1)?;
                cookie = answer.cookie;
            }
        }
        cookie.ok_or_else(|| Failure::new("no cookie"))
    }

    /// The number of a visit with this cookie.
    fn again(&mut self, cookie: &str) -> Result<u32> {
        self.send(&request(&format!("Cookie: {cookie}\r\n")))?;
        Ok(self.answer()?.visits)
    }

    fn send(&mut self, requests: &str) -> Result {
        self.stream.get_mut().write_all(requests.as_bytes()).or_say(|| "cannot send".into())
    }

    fn answer(&mut self) -> Result<Answer> {
        let (mut cookie, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).or_say(|| "no answer".into())?;
            let line = line.trim_end();
            if let Some(set) = line.strip_prefix("Set-Cookie: ") {
                cookie = set.split(';').next().map(str::to_owned);
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.parse().or_say(|| format!("a length of {value}"))?;
            }
            if line.starts_with("HTTP/1.1 ") && line != "HTTP/1.1 200 OK" {
                fail!("a visit is answered {line}");
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).or_say(|| "half an answer".into())?;
        let body = String::from_utf8_lossy(&body);
        match body.trim_end().split_once(' ').and_then(|(_, visits)| visits.parse().ok()) {
            Some(visits) => Ok(Answer { visits, cookie }),
            None => fail!("a visit is answered {body:?}"),
        }
    }
}

struct Answer {
    visits: u32,
    cookie: Option<String>,
}

fn request(cookie: &str) -> String {
    format!("GET /_test/session HTTP/1.1\r\nHost: a\r\n{cookie}\r\n")
}
