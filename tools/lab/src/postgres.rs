//! A server of PostgreSQL: Debian's, with a folder and addresses of its own.

use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    files,
    programs::{self, Program},
};
use std::{
    net::{IpAddr, SocketAddr, TcpStream},
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// The version that Debian 12 has; its package brings `initdb`, too.
pub const POSTGRES: Program =
    Program { name: "/usr/lib/postgresql/15/bin/postgres", package: "postgresql-15" };
/// What makes a server's folder.
pub const INITDB: Program =
    Program { name: "/usr/lib/postgresql/15/bin/initdb", package: "postgresql-15" };

/// Its first user, who may do anything. `tests/flow-peer/src/database.rs` has both, too.
pub const USER: &str = "admin";
/// The password of that one.
pub const PASSWORD: &str = "pencil";

/// Whom a server runs as that root starts, since it refuses to be root: `nobody`.
const NOBODY: u32 = 65_534;
const START_LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// A pooler of connections.
pub const PGBOUNCER: Program = Program { name: "pgbouncer", package: "pgbouncer" };

/// A server's folder.
pub struct Cluster {
    folder: PathBuf,
    address: SocketAddr,
}

impl Cluster {
    /// Makes the folder, below one that anybody may go through. `prepare` adds files to it, which are the server's, too.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn make(
        folder: PathBuf,
        address: SocketAddr,
        prepare: impl FnOnce(&Path) -> Result,
    ) -> Result<Self> {
        let cluster = Self { folder, address };
        let folder = &cluster.folder;
        std::fs::create_dir_all(folder).or_say(|| "no folder for a server".into())?;
        std::fs::write(folder.join("password"), PASSWORD).or_say(|| "no password".into())?;
        prepare(folder)?;
        give_away(folder)?;
        let mut command = programs::command(&INITDB)?;
        command.args(["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
        command.args(["-U", USER, "--pwfile", &cluster.path("password")]);
        command.args(["-D", &cluster.path("data")]).current_dir(folder);
        as_nobody(&mut command);
        programs::output(&mut command)?;
        Ok(cluster)
    }

    /// The path of something in it.
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds lines to those that say who may come from where (`pg_hba.conf`).
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn admit(&self, rules: &str) -> Result {
        let file = self.folder.join("data/pg_hba.conf");
        let all = files::read_text(&file)? + rules;
        std::fs::write(&file, all).or_say(|| "no rules for a server".into())
    }

    /// Starts the server, again if processes of one that was killed are still about. It listens at these addresses, too, as far
    /// as there are such.
    ///
    /// # Errors
    ///
    /// It does not start; its log says why.
    pub fn start(&self, more: &[IpAddr], settings: &[&str]) -> Result<Child> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let failed = match self.try_start(more, settings, deadline)? {
                Ok(server) => return Ok(server),
                Err(log) => log,
            };
            if Instant::now() > deadline {
                fail!("PostgreSQL does not start:\n{failed}");
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Starts PgBouncer in front of the server, which hands so many connections to it round between transactions.
    ///
    /// # Errors
    ///
    /// It does not start; its log says why.
    pub fn start_pooler(&self, address: SocketAddr, connections_max: usize) -> Result<Child> {
        let file = |name: &str, text: String| -> Result {
            files::write(Path::new(&self.path(name)), text)
        };
        file("users.txt", format!("\"{USER}\" \"{PASSWORD}\"\n"))?;
        let (to, at) = (self.address, address);
        let settings = format!(
            "[databases]\npostgres = host={} port={} dbname=postgres\n\
             [pgbouncer]\nlisten_addr = {}\nlisten_port = {}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\n\
             default_pool_size = {connections_max}\nmax_client_conn = 500\nserver_login_retry = 1\n",
            to.ip(),
            to.port(),
            at.ip(),
            at.port(),
            self.path("users.txt")
        );
        file("pooler.ini", settings)?;
        give_away(&self.folder)?;
        let log = self.folder.join("pooler.log");
        let said = std::fs::File::create(&log).or_say(|| "no log".into())?;
        let mut command = programs::command(&PGBOUNCER)?;
        command.arg(self.path("pooler.ini")).current_dir(&self.folder);
        let mut pooler = Child::start(&command, |command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
            as_nobody(command);
        })?;
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect(address).is_err() {
            if pooler.ended().is_some() || Instant::now() > deadline {
                fail!("PgBouncer does not start:\n{}", files::read_text(&log)?);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(pooler)
    }

    /// A server, or what its log says.
    fn try_start(
        &self,
        more: &[IpAddr],
        settings: &[&str],
        deadline: Instant,
    ) -> Result<std::result::Result<Child, String>> {
        let addresses: Vec<_> =
            [self.address.ip()].iter().chain(more).map(ToString::to_string).collect();
        let mut command = programs::command(&POSTGRES)?;
        command.args(["-D", &self.path("data"), "-k", "", "-c", "fsync=off"]);
        command.args(["-p", &self.address.port().to_string()]);
        command.args(["-c", &format!("listen_addresses={}", addresses.join(","))]);
        for setting in settings {
            command.args(["-c", setting]);
        }
        command.current_dir(&self.folder);
        let log = self.folder.join("log");
        let said = std::fs::File::create(&log).or_say(|| "no log".into())?;
        let mut server = Child::start(&command, |command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
            as_nobody(command);
        })?;
        // It listens before it is ready; who comes too early is told so, and comes again.
        while TcpStream::connect(self.address).is_err() || !is_ready(&log) {
            if server.ended().is_some() || Instant::now() > deadline {
                return Ok(Err(files::read_text(&log)?));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(Ok(server))
    }
}

/// A folder and what is in it becomes the server's.
fn give_away(folder: &Path) -> Result {
    if !programs::is_root() {
        return Ok(());
    }
    let give = |path: &Path| {
        chown(path, Some(NOBODY), Some(NOBODY)).or_say(|| format!("cannot give {}", path.display()))
    };
    give(folder)?;
    files::list(folder)?.iter().try_for_each(|file| give(file))
}

/// Runs as the server does, which is not as root.
pub fn as_nobody(command: &mut Command) {
    if programs::is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
}

fn is_ready(log: &Path) -> bool {
    std::fs::read_to_string(log).is_ok_and(|text| text.contains("ready to accept connections"))
}
