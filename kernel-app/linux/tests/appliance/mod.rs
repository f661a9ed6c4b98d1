//! The process, as the tests of this folder start it.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for what should come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// A file that fits in no buffer on its way.
pub(crate) const LARGE_BYTES: usize = 16 << 20;

/// A folder with a site and a configuration; it goes with its owner.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(config: &str) -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let name =
            format!("aqueduct-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("site")).unwrap();
        fs::write(path.join("site/index.html"), "hello").unwrap();
        fs::write(path.join("site/large"), vec![b'x'; LARGE_BYTES]).unwrap();
        fs::write(path.join("appliance.toml"), config).unwrap();
        Self(path)
    }

    /// The process, which says what it logs, as a shell starts it that did something `before`.
    pub(crate) fn command_after(&self, before: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{before}\nexec \"$0\" \"$@\"")]);
        command.arg(env!("CARGO_BIN_EXE_aqueduct"));
        command.arg("--bundle").arg(&self.0).stderr(Stdio::piped());
        command
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that serves; it ends with its owner.
pub(crate) struct Appliance {
    pub(crate) child: Child,
    /// HTTP's.
    pub(crate) port: u16,
    pub(crate) _folder: Folder,
}

impl Drop for Appliance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts a process and waits until it listens; `None` if it has ended instead.
pub(crate) fn wait_for_port(command: &mut Command, port: u16) -> Option<Child> {
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("nothing listens");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(child)
}
