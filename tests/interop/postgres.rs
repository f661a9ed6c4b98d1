//! Our client of PostgreSQL against Debian's server, over the kernel's sockets: one server for all checks, with a user, a folder and
//! an address of its own.

use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    files,
    programs::{self, OPENSSL, Program},
};
use lab::{
    harness::{Case, Harness, contains},
    peers,
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

pub(crate) const CASES: &[Case] =
    &[Case::new("postgres/client", &[&POSTGRES, &INITDB, &OPENSSL], 300, client)];

/// As the checks have them: `tests/flow-peer/src/database.rs`.
const USER: &str = "admin";
const PASSWORD: &str = "pencil";

/// An address of the loopback interface that nobody else has.
const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 54)), 54_321);

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
        let names = format!("subjectAltName=IP:{address}");
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
            format!("listen_addresses={}", ADDRESS.ip()),
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
