//! Our client of PostgreSQL against Debian's server, over the kernel's sockets, and the appliance with a `[[database]]`, as a process and
//! as a guest: one server for all checks, with a user, a folder and addresses of its own.

use super::http::restart;
use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    files,
    programs::{self, CURL, OPENSSL, Program},
};
use lab::{
    harness::{
        Case, GUEST_ADDRESS, Harness, PROCESS_ADDRESS, Server, Setup, contains, curl, equal,
    },
    link, peers,
};
use rustix::process::Signal;
use std::{
    fs::Permissions,
    io::{BufRead, BufReader, Lines},
    net::{SocketAddr, TcpStream},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

/// The version that Debian 12 has; its package brings `initdb`, too.
const POSTGRES: Program =
    Program { name: "/usr/lib/postgresql/15/bin/postgres", package: "postgresql-15" };
const INITDB: Program =
    Program { name: "/usr/lib/postgresql/15/bin/initdb", package: "postgresql-15" };

pub(crate) const CASES: &[Case] = &[
    Case::new("postgres/client", &[&POSTGRES, &INITDB, &OPENSSL], 300, client),
    Case::new("postgres/appliance", &[&POSTGRES, &INITDB, &OPENSSL, &CURL], 300, appliance),
];

/// As the checks have them: `tests/flow-peer/src/database.rs`.
const USER: &str = "admin";
const PASSWORD: &str = "pencil";

/// An address of the loopback interface that nobody else has.
const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 54)), 54_321);

/// Addresses from which guests ask, and processes that ask at the same address.
const GUESTS: &str = "10.9.0.0/24";

/// Whom a server runs as that root starts, since it refuses to be root: `nobody`.
const NOBODY: u32 = 65_534;

const START_LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// Every check of the peer, then a server that is killed under a query and comes back.
fn client(harness: &mut Harness) -> Result {
    let cluster = Cluster::make(harness)?;
    let server = cluster.start()?;
    for check in ["start", "types", "pipeline", "rows", "cancel", "copy", "notify", "transactions"]
    {
        said_done(check, &[])?;
    }
    let certificate = cluster.path("certificate.pem");
    said_done("tls", &[&certificate])?;
    outlives_its_server(&cluster, server)
}

fn outlives_its_server(cluster: &Cluster, mut server: Child) -> Result {
    let mut peer = Child::start(&peer("restart", &[]), |command| {
        command.stdout(Stdio::piped());
    })?;
    let Some(output) = peer.streams().stdout.take() else { fail!("the peer has no output") };
    let mut lines = BufReader::new(output).lines();
    wait_for(&mut lines, "connected")?;
    // Its processes go with it, since they notice.
    server.signal(Signal::KILL);
    server.wait(START_LIMIT);
    wait_for(&mut lines, "lost")?;
    let _server = cluster.start()?;
    wait_for(&mut lines, "done")
}

/// The appliance asks as its configuration says, as a process and then as a guest, which outlives a server that is killed under a
/// query.
fn appliance(harness: &mut Harness) -> Result {
    // For the address at which the server listens.
    harness.tap()?;
    let cluster = Cluster::make(harness)?;
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
    process.stop(START_LIMIT)?;
    let setup = Setup { bundle: Some(bundle), ..Setup::trial() };
    let mut guest = Server::Guest(Box::new(harness.boot(&setup)?));
    let asked = guest_asks(harness, &cluster, &mut server);
    guest.judge(asked)
}

fn guest_asks(harness: &Harness, cluster: &Cluster, server: &mut Child) -> Result {
    asks(harness, GUEST_ADDRESS, 2)?;
    // The database kept what the process saved of the session.
    equal("a visit after the restart", &restart::visit(harness, GUEST_ADDRESS)?, &2)?;
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

fn said_done(check: &str, words: &[&str]) -> Result {
    let said = programs::output(&mut peer(check, words))?;
    contains(check, &said, "done")
}

fn peer(check: &str, words: &[&str]) -> Command {
    let mut command = Command::new(peers::flow());
    command.args(["database", &ADDRESS.to_string(), check]).args(words);
    command
}

/// A server's folder.
struct Cluster(PathBuf);

impl Cluster {
    fn make(harness: &Harness) -> Result<Self> {
        let cluster = Self(harness.scratch.path("postgres"));
        // The server comes through the folder of the case, which is ours alone, and need not see what is in it.
        std::fs::set_permissions(harness.scratch.path(""), Permissions::from_mode(0o711))
            .or_say(|| "no way for a server".into())?;
        std::fs::create_dir_all(&cluster.0).or_say(|| "no folder for a server".into())?;
        std::fs::write(cluster.0.join("password"), PASSWORD).or_say(|| "no password".into())?;
        cluster.make_certificate()?;
        cluster.give_away()?;
        let mut command = programs::command(&INITDB)?;
        command.args(["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
        command.args(["-U", USER, "--pwfile", &cluster.path("password")]);
        command.args(["-D", &cluster.path("data")]).current_dir(&cluster.0);
        Self::as_nobody(&mut command);
        programs::output(&mut command)?;
        let rules = cluster.0.join("data/pg_hba.conf");
        let all = files::read_text(&rules)? + &format!("hostssl all all {GUESTS} scram-sha-256\n");
        std::fs::write(&rules, all).or_say(|| "no rules for a server".into())?;
        Ok(cluster)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// One that is its own authority, whose key signs an address for the server.
    fn make_certificate(&self) -> Result {
        let (authority, address) = ("basicConstraints=critical,CA:TRUE", ADDRESS.ip());
        self.openssl(
            &["-x509", "-subj", "/CN=authority", "-addext", authority],
            "ca.key",
            "certificate.pem",
        )?;
        let names = format!("subjectAltName=IP:{address},IP:{}", link::HOST_IPV4);
        let by = ["-CA", "certificate.pem", "-CAkey", "ca.key", "-x509", "-subj", "/CN=server"];
        let extensions = ["-addext", &names, "-addext", "basicConstraints=critical,CA:FALSE"];
        self.openssl(&[&by[..], &extensions].concat(), "server.key", "server.pem")
    }

    fn openssl(&self, words: &[&str], key: &str, certificate: &str) -> Result {
        let mut command = programs::command(&OPENSSL)?;
        command.args(["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        command.args(words).args(["-days", "30", "-keyout", key, "-out", certificate]);
        programs::output(command.current_dir(&self.0)).map(drop)
    }

    /// The folder and what is in it is the server's.
    fn give_away(&self) -> Result {
        if !programs::is_root() {
            return Ok(());
        }
        let give = |path: &Path| {
            chown(path, Some(NOBODY), Some(NOBODY))
                .or_say(|| format!("cannot give {}", path.display()))
        };
        give(&self.0)?;
        for file in files::list(&self.0)? {
            give(&file)?;
        }
        Ok(())
    }

    fn as_nobody(command: &mut Command) {
        if programs::is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
    }

    /// Starts the server, again if processes of one that was killed are still about.
    fn start(&self) -> Result<Child> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let failed = match self.try_start(deadline)? {
                Ok(server) => return Ok(server),
                Err(log) => log,
            };
            if Instant::now() > deadline {
                fail!("PostgreSQL does not start:\n{failed}");
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// A server, or what its log says.
    fn try_start(&self, deadline: Instant) -> Result<std::result::Result<Child, String>> {
        let mut command = programs::command(&POSTGRES)?;
        command.args(["-D", &self.path("data"), "-k", ""]);
        command.args(["-p", &ADDRESS.port().to_string()]);
        let settings = [
            // Where there is no tap, there is no second one, which is no fault.
            format!("listen_addresses={},{}", ADDRESS.ip(), link::HOST_IPV4),
            "fsync=off".into(),
            "ssl=on".into(),
            format!("ssl_cert_file={}", self.path("server.pem")),
            format!("ssl_key_file={}", self.path("server.key")),
        ];
        for setting in &settings {
            command.args(["-c", setting]);
        }
        command.current_dir(&self.0);
        let log = self.0.join("log");
        let said = std::fs::File::create(&log).or_say(|| "no log".into())?;
        let mut server = Child::start(&command, |command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
            Self::as_nobody(command);
        })?;
        // It listens before it is ready; who comes too early is told so, and comes again.
        while TcpStream::connect(ADDRESS).is_err() || !is_ready(&log) {
            if server.ended().is_some() || Instant::now() > deadline {
                return Ok(Err(files::read_text(&log)?));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(Ok(server))
    }
}

fn is_ready(log: &Path) -> bool {
    std::fs::read_to_string(log).is_ok_and(|text| text.contains("ready to accept connections"))
}
