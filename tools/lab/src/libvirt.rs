//! libvirt: its daemon with all that it keeps in folders of its own, and `virsh`.

use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    files, paths,
    paths::Scratch,
    programs::{self, Program},
};
use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// The daemon.
pub const LIBVIRTD: Program = Program { name: "libvirtd", package: "libvirt-daemon" };
/// What it runs QEMU by.
pub const QEMU_DRIVER: Program = Program {
    name: "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so",
    package: "libvirt-daemon-driver-qemu",
};
/// Its command line.
pub const VIRSH: Program = Program { name: "virsh", package: "libvirt-clients" };

/// The definition that operators take.
const DEFINITION: &str = "deploy/libvirt.xml";
const START_LIMIT: Duration = Duration::from_secs(60);
/// The first process of the daemon's: the daemon keeps all below these folders, which nobody else sees, and its number where no
/// other looks for theirs; it finds the user that it was compiled for, whom another package would make; guests end with it.
const INIT: &str = "\
for folder in /run/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /etc/libvirt; do
    mkdir -p $folder && mount -t tmpfs tmpfs $folder || exit 1
done
cp \"$1/qemu.conf\" \"$1/libvirtd.conf\" /etc/libvirt/
{ cat /etc/passwd && echo libvirt-qemu:x:64055:64055::/:/bin/false; } > \"$1/passwd\"
{ cat /etc/group && echo libvirt-qemu:x:64055:; } > \"$1/group\"
for list in passwd group; do
    mount --bind \"$1/$list\" /etc/$list || exit 1
done
libvirtd --config /etc/libvirt/libvirtd.conf --pid-file \"$1/pid\" &
while :; do wait; done";
/// No user, policy or process of the system's own has a part in it.
const QEMU_CONF: &str = "\
user = \"root\"
group = \"root\"
security_driver = \"none\"
stdio_handler = \"file\"
remember_owner = 0
namespaces = []
cgroup_controllers = []
";

/// A daemon of its own; it ends with this value, and its guests, too.
pub struct Libvirt {
    _daemon: Child,
    scratch: Scratch,
}

impl Libvirt {
    /// Starts it, in the network namespace that we are in.
    ///
    /// # Errors
    ///
    /// We are not root, or it does not start.
    pub fn start() -> Result<Self> {
        let scratch = Scratch::new()?;
        let folder = scratch.path("");
        files::write(&scratch.path("qemu.conf"), QEMU_CONF)?;
        let sockets = folder.display();
        let conf = format!(
            "unix_sock_dir = \"{sockets}\"\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n\
             log_outputs = \"3:file:{sockets}log\"\n"
        );
        files::write(&scratch.path("libvirtd.conf"), conf)?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["sh", "-c", INIT, "sh"]).arg(&folder);
        let said =
            std::fs::File::create(scratch.path("said")).or_say(|| "cannot write a log".into())?;
        let daemon = Child::start(&command, |command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        })?;
        let mut libvirt = Self { _daemon: daemon, scratch };
        libvirt.wait_until("an answer of libvirtd", |it| Ok(it.virsh(&["version"]).is_ok()))?;
        Ok(libvirt)
    }

    /// Defines the domain of `deploy/libvirt.xml`, changed only where that names files, addresses and networks: it has this TAP,
    /// and writes its serial line to a file.
    ///
    /// # Errors
    ///
    /// The definition does not say what is changed, or libvirt refuses it.
    pub fn define(&self, kernel: &Path, bundle: &Path, words: &str, tap: &str) -> Result {
        let mut text = files::read_text(&paths::root().join(DEFINITION))?;
        let serial = format!(
            "<serial type='file'><source path='{}' append='on'/></serial>",
            self.file("serial")
        );
        for (usual, own) in [
            ("/var/lib/aqueduct/aqueduct.elf", kernel.display().to_string()),
            ("/var/lib/aqueduct/bundle.cpio", bundle.display().to_string()),
            ("ip=dhcp", words.to_owned()),
            ("<interface type='network'>", "<interface type='ethernet'>".into()),
            ("<source network='default'/>", format!("<target dev='{tap}' managed='no'/>")),
            ("<serial type='pty'/>", serial),
            ("<console type='pty'/>", String::new()),
        ] {
            if !text.contains(usual) {
                fail!("{DEFINITION} has no `{usual}`");
            }
            text = text.replace(usual, &own);
        }
        let file = self.scratch.path("domain.xml");
        files::write(&file, text)?;
        self.virsh(&["define", "--validate", &self.file("domain.xml")]).map(drop)
    }

    /// The path of a file of its folder.
    pub fn file(&self, name: &str) -> String {
        self.scratch.path(name).display().to_string()
    }

    /// What the guest has written to its serial line.
    pub fn serial(&self) -> String {
        std::fs::read_to_string(self.scratch.path("serial")).unwrap_or_default()
    }

    /// What `virsh` prints.
    ///
    /// # Errors
    ///
    /// It fails.
    pub fn virsh(&self, words: &[&str]) -> Result<String> {
        let mut virsh = programs::command(&VIRSH)?;
        let uri = format!("qemu+unix:///system?socket={}", self.file("libvirt-sock"));
        programs::output(virsh.args(["--connect", &uri]).args(words))
    }

    /// Waits until a fact holds.
    ///
    /// # Errors
    ///
    /// It does not in time, or asking fails.
    pub fn wait_until(
        &mut self,
        what: &str,
        mut holds: impl FnMut(&Self) -> Result<bool>,
    ) -> Result {
        let deadline = Instant::now() + START_LIMIT;
        while !holds(self)? {
            if Instant::now() > deadline {
                let [log, said] = ["log", "said"].map(|name| {
                    std::fs::read_to_string(self.scratch.path(name)).unwrap_or_default()
                });
                fail!(
                    "no {what} within {START_LIMIT:?}; the serial line:\n{}\nlibvirtd:\n{log}{said}",
                    self.serial()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}
