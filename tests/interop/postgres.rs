//! Our client of PostgreSQL against Debian's server, over the kernel's sockets, and the appliance with a `[[database]]`, as a process and
//! as a guest: one server for all checks, with a user, a folder and addresses of its own.

use super::http::restart;
use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    programs::{self, CURL, OPENSSL},
};
use lab::{
    harness::{
        Case, GUEST_ADDRESS, Harness, PROCESS_ADDRESS, Server, Setup, contains, curl, equal,
    },
    link, peers,
    postgres::{Cluster, INITDB, PASSWORD, PGBOUNCER, POSTGRES, USER},
};
use rustix::process::Signal;
use std::{
    fs::Permissions,
    io::{BufRead, BufReader, Lines},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

pub(crate) const CASES: &[Case] = &[
    Case::new("postgres/client", &[&POSTGRES, &INITDB, &OPENSSL], 300, client),
    Case::new("postgres/pgbouncer", &[&POSTGRES, &INITDB, &OPENSSL, &PGBOUNCER], 300, pgbouncer),
    Case::new("postgres/appliance", &[&POSTGRES, &INITDB, &OPENSSL, &CURL], 300, appliance),
];

/// An address of the loopback interface that nobody else has.
const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 54)), 54_321);

/// Where the pooler in front of it listens.
const POOLER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 54)), 6432);
/// Connections that it has.
const POOLED: usize = 2;

/// Addresses from which guests ask, and processes that ask at the same address.
const GUESTS: &str = "10.9.0.0/24";

/// As `kernel-app/src/handlers/samples/chat.rs` has it.
const CHAT_LINES_MAX: usize = 50;

const START_LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// Every check of the peer, then a server that is killed under a query and comes back.
fn client(harness: &mut Harness) -> Result {
    let cluster = Site::make(harness)?;
    let server = cluster.start()?;
    let checks = [
        "start",
        "passwords",
        "types",
        "pipeline",
        "rows",
        "cancel",
        "copy",
        "notify",
        "transactions",
    ];
    for check in checks {
        said_done(ADDRESS, check, &[])?;
    }
    let certificate = cluster.path("certificate.pem");
    said_done(ADDRESS, "tls", &[&certificate])?;
    outlives(&peer(ADDRESS, "restart", &[]), server, || cluster.start()).map(drop)
}

/// Without names of statements all of it goes through a pooler of transactions, which may be killed, as may the server behind it.
fn pgbouncer(harness: &mut Harness) -> Result {
    let cluster = Site::make(harness)?;
    let server = cluster.start()?;
    let start = || cluster.0.start_pooler(POOLER, POOLED);
    let pooler = start()?;
    said_done(POOLER, "pooler", &[])?;
    let _pooler = outlives(&peer(POOLER, "pooler-restart", &[]), pooler, start)?;
    outlives(&peer(POOLER, "pooler-restart", &[]), server, || cluster.start()).map(drop)
}

/// The peer's pool loses what is killed under a query, and finds what is started instead, which is given.
fn outlives(
    peer: &Command,
    mut killed: Child,
    start: impl FnOnce() -> Result<Child>,
) -> Result<Child> {
    let mut peer = Child::start(peer, |command| {
        command.stdout(Stdio::piped());
    })?;
    let Some(output) = peer.streams().stdout.take() else { fail!("the peer has no output") };
    let mut lines = BufReader::new(output).lines();
    wait_for(&mut lines, "connected")?;
    // Its processes go with it, since they notice.
    killed.signal(Signal::KILL);
    killed.wait(START_LIMIT);
    wait_for(&mut lines, "lost")?;
    let started = start()?;
    wait_for(&mut lines, "done")?;
    Ok(started)
}

/// The appliance asks as its configuration says, as a process and then as a guest, which outlives a server that is killed under a
/// query.
fn appliance(harness: &mut Harness) -> Result {
    // For the address at which the server listens.
    harness.tap()?;
    let cluster = Site::make(harness)?;
    let mut server = cluster.start()?;
    let certificate =
        std::fs::read(cluster.path("certificate.pem")).or_say(|| "no certificate".into())?;
    let config = format!(
        "[rpc]\nport = 0\n[zmq]\nport = 0\n[[database]]\nservers = [\"{}:{}\"]\nuser = \"{USER}\"\ndatabase = \"postgres\"\n\
         password_file = \"database/password\"\nauthorities = \"database/authority.pem\"\nwait_timeout_seconds = 60\n\
         [sessions]\ncarry_over = \"database:main\"\n",
        link::HOST_IPV4,
        ADDRESS.port()
    );
    let password = format!("{PASSWORD}\n");
    let bundle = harness.bundle(
        &config,
        &[("database/password", password.as_bytes()), ("database/authority.pem", &certificate)],
    )?;
    let mut process = Server::Process(Box::new(harness.trial_process(&bundle)?));
    asks(harness, PROCESS_ADDRESS, 1)?;
    equal("the first visit", &restart::visit(harness, PROCESS_ADDRESS)?, &1)?;
    chats(harness)?;
    process.stop(START_LIMIT)?;
    let setup = Setup { bundle: Some(bundle), ..Setup::trial() };
    let mut guest = Server::Guest(Box::new(harness.boot(&setup)?));
    let asked = guest_asks(harness, &cluster, &mut server);
    guest.judge(asked)
}

fn guest_asks(harness: &Harness, cluster: &Site, server: &mut Child) -> Result {
    asks(harness, GUEST_ADDRESS, 2)?;
    // The database kept what the process saved of the session.
    equal("a visit after the restart", &restart::visit(harness, GUEST_ADDRESS)?, &2)?;
    let page = curl(&[&format!("http://{GUEST_ADDRESS}/samples/chat")])?;
    let lines = page.split("<li>").filter(|line| line.contains("</b>: line ")).count();
    equal("lines of the chat", &lines, &CHAT_LINES_MAX)?;
    contains("the newest line", &page, &format!(": line {CHAT_LINES_MAX}</ul>"))?;
    let mut sleep = programs::command(&CURL)?;
    sleep.args([
        "--silent",
        "--max-time",
        "120",
        "-w",
        "%{http_code}",
        &url(GUEST_ADDRESS, "main/sleep"),
    ]);
    let sleeping = std::thread::spawn(move || programs::output(&mut sleep));
    let deadline = Instant::now() + START_LIMIT;
    while ask(GUEST_ADDRESS, "main/sleepers")? != "1 200" {
        if Instant::now() > deadline {
            fail!("no query is asleep");
        }
        std::thread::sleep(PAUSE);
    }
    server.signal(Signal::KILL);
    server.wait(START_LIMIT);
    let Ok(answer) = sleeping.join() else { fail!("curl was not to be started") };
    contains("a query whose server is killed", &answer?, "503")?;
    *server = cluster.start()?;
    asks(harness, GUEST_ADDRESS, 3)
}

/// Asks by TLS, in vain for what is not there, and plays a game that is the so many-th in the scores.
fn asks(harness: &Harness, appliance: SocketAddr, games: u32) -> Result {
    equal("a user", &ask(appliance, "main/user")?, &format!("{USER} by TLSv1.3 200"))?;
    let missing = ask(appliance, "other/user")?;
    equal(
        "another name",
        &missing,
        &"no [[database]] has the name `other`; there is main 404".into(),
    )?;
    let page = play(harness, appliance)?;
    let of_line = |line: &str| line.split(" in ").next()?.parse::<u32>().ok();
    let scores = page.split("<br>").skip(1).filter_map(of_line);
    equal("games in the scores", &scores.sum(), &games)
}

/// A visitor says one line more than are kept, and who comes later is to see the others.
fn chats(harness: &Harness) -> Result {
    let jar = harness.scratch.path("chat").display().to_string();
    let url = format!("http://{PROCESS_ADDRESS}/samples/chat");
    for number in 0..=CHAT_LINES_MAX {
        let text = format!("text=line {number}");
        curl(&["-b", &jar, "-c", &jar, "-o", "/dev/null", "-d", &text, &url])?;
    }
    Ok(())
}

/// What the page says that follows the right guess.
fn play(harness: &Harness, appliance: SocketAddr) -> Result<String> {
    let jar = harness.scratch.path("guess").display().to_string();
    let url = format!("http://{appliance}/samples/guess");
    curl(&["-b", &jar, "-c", &jar, &url])?;
    let (mut low, mut high) = (1, 100);
    while low <= high {
        let guess = (low + high) / 2;
        let words = ["-L", "-b", &jar, "-c", &jar, "-d", &format!("guess={guess}"), &url];
        let page = curl(&words)?;
        if page.contains("too small") {
            low = guess + 1;
        } else if page.contains("too large") {
            high = guess - 1;
        } else {
            return Ok(page);
        }
    }
    fail!("no number is right")
}

/// What the trial's route says, and its status.
fn ask(appliance: SocketAddr, what: &str) -> Result<String> {
    let answer = curl(&["-w", "%{http_code}", &url(appliance, what)])?;
    Ok(answer.replace('\n', " "))
}

fn url(appliance: SocketAddr, what: &str) -> String {
    format!("http://{appliance}/_test/database/{what}")
}

fn wait_for(lines: &mut Lines<BufReader<ChildStdout>>, word: &str) -> Result {
    for line in lines {
        if line.or_say(|| "the peer's output".into())? == word {
            return Ok(());
        }
    }
    fail!("the peer ended before it said `{word}`")
}

fn said_done(at: SocketAddr, check: &str, words: &[&str]) -> Result {
    let said = programs::output(&mut peer(at, check, words))?;
    contains(check, &said, "done")
}

fn peer(at: SocketAddr, check: &str, words: &[&str]) -> Command {
    let mut command = Command::new(peers::flow());
    command.args(["database", &at.to_string(), check]).args(words);
    command
}

/// A server's folder, with a certificate, and a way in for guests.
struct Site(Cluster);

impl Site {
    fn make(harness: &Harness) -> Result<Self> {
        // The server comes through the folder of the case, which is ours alone, and need not see what is in it.
        std::fs::set_permissions(harness.scratch.path(""), Permissions::from_mode(0o711))
            .or_say(|| "no way for a server".into())?;
        let cluster = Cluster::make(harness.scratch.path("postgres"), ADDRESS, make_certificate)?;
        cluster.admit(&format!("hostssl all all {GUESTS} scram-sha-256\n"))?;
        Ok(Self(cluster))
    }

    fn path(&self, name: &str) -> String {
        self.0.path(name)
    }

    /// Where there is no tap, the server does not listen there, which is no fault.
    fn start(&self) -> Result<Child> {
        let files = ["server.pem", "server.key"].map(|name| self.path(name));
        let [certificate, key] = files;
        let settings =
            ["ssl=on", &format!("ssl_cert_file={certificate}"), &format!("ssl_key_file={key}")];
        self.0.start(&[link::HOST_IPV4], &settings)
    }
}

/// One that is its own authority, whose key signs an address for the server.
fn make_certificate(folder: &Path) -> Result {
    let (authority, address) = ("basicConstraints=critical,CA:TRUE", ADDRESS.ip());
    let words = ["-x509", "-subj", "/CN=authority", "-addext", authority];
    openssl(folder, &words, "ca.key", "certificate.pem")?;
    let names = format!("subjectAltName=IP:{address},IP:{}", link::HOST_IPV4);
    let by = ["-CA", "certificate.pem", "-CAkey", "ca.key", "-x509", "-subj", "/CN=server"];
    let extensions = ["-addext", &names, "-addext", "basicConstraints=critical,CA:FALSE"];
    openssl(folder, &[&by[..], &extensions].concat(), "server.key", "server.pem")
}

fn openssl(folder: &Path, words: &[&str], key: &str, certificate: &str) -> Result {
    let mut command = programs::command(&OPENSSL)?;
    command.args(["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    command.args(words).args(["-days", "30", "-keyout", key, "-out", certificate]);
    programs::output(command.current_dir(folder)).map(drop)
}
