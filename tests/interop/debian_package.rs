//! The package of Debian, as Debian's own tools see it: checked, installed into a folder of its own, started, and removed.

use command::{
    failure::{OrSay, Result, fail},
    files, paths,
    programs::{self, DPKG, Install, Program},
};
use image_builder::deb::{self, Programs};
use lab::{
    harness::{Case, Harness, PROCESS_ADDRESS, contains, equal},
    http_client, process,
};
use std::{
    os::unix::fs::symlink,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

const LINTIAN: Program = Program { name: "lintian", package: "lintian" };
const START_STOP: Program = Program { name: "start-stop-daemon", package: "dpkg" };
const LIMIT: Duration = Duration::from_secs(20);

pub(crate) const CASES: &[Case] =
    &[Case::new("interop/debian_package", &[&DPKG, &LINTIAN, &START_STOP], 900, is_installed)];

fn is_installed(harness: &mut Harness) -> Result {
    let (ctl, load) = (process::build_ctl()?, process::build_load()?);
    let programs = Programs { aqueduct: harness.process_path(), aqueductctl: &ctl, load: &load };
    let (package, again) = (harness.scratch.path("a.deb"), harness.scratch.path("b.deb"));
    deb::write(&programs, deb::MAINTAINER, &package, Install::OnlyTell)?;
    deb::write(&programs, deb::MAINTAINER, &again, Install::OnlyTell)?;
    if files::read(&package)? != files::read(&again)? {
        fail!("the same programs give two packages");
    }
    // Errors, of which there are none, end it.
    let mut lintian = programs::command(&LINTIAN)?;
    programs::output(lintian.args(["--fail-on", "error", "--allow-root"]).arg(&package))?;
    let root = harness.scratch.path("root");
    for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/log"] {
        files::make_folder(&root.join(folder))?;
    }
    files::write(&root.join("var/lib/dpkg/status"), "")?;
    let dpkg = |words: &[&str]| {
        let mut dpkg = Command::new("dpkg");
        dpkg.arg(format!("--root={}", root.display()));
        // What it depends on is this machine's, not the folder's.
        dpkg.args(["--force-script-chrootless", "--force-depends", "--force-not-root"]);
        programs::output(dpkg.args(words).env("PATH", SYSTEM_PATH))
    };
    dpkg(&["--install", &package.display().to_string()])?;
    contains("the state", &dpkg(&["--status", deb::NAME])?, "Status: install ok installed")?;
    let (settings, page) = (root.join("etc/aqueduct"), root.join("usr/share/man/man1"));
    for name in ["aqueduct", "aqueductctl", "aqueduct-load"] {
        let program = root.join("usr/bin").join(name);
        contains(name, &programs::output(Command::new(program).arg("--version"))?, name)?;
        if !page.join(format!("{name}.1.gz")).is_file() {
            fail!("there is no page for {name}");
        }
    }
    let unit = files::read_text(&root.join("usr/lib/systemd/system/aqueduct.service"))?;
    contains("the unit", &unit, "ExecStart=/usr/bin/aqueduct --bundle /etc/aqueduct")?;
    contains("the unit", &unit, "[Unit]\nDocumentation=man:aqueduct(1)\n")?;
    serves(&root, &settings)?;
    // What an operator changed stays until it is purged.
    files::write(&settings.join("appliance.toml"), "[http]\nport = 8081\n")?;
    for added in ["keys/key.pem", "site/more/added.html"] {
        let file = settings.join(added);
        files::make_folder(file.parent().unwrap_or(&settings))?;
        files::write(&file, "an operator's")?;
    }
    // As `systemctl enable` makes it.
    let wants = root.join("etc/systemd/system/multi-user.target.wants");
    files::make_folder(&wants)?;
    let enabled = wants.join("aqueduct.service");
    symlink("/usr/lib/systemd/system/aqueduct.service", &enabled).or_say(|| "a link".into())?;
    dpkg(&["--remove", deb::NAME])?;
    equal("the program is there", &root.join("usr/bin/aqueduct").exists(), &false)?;
    equal("the unit is enabled", &enabled.is_symlink(), &false)?;
    equal("the configuration is there", &settings.join("appliance.toml").exists(), &true)?;
    equal("the keys are there", &settings.join("keys/key.pem").exists(), &true)?;
    dpkg(&["--purge", deb::NAME])?;
    equal("the configuration is there", &settings.exists(), &false)
}

/// Where dpkg looks for what scripts may call.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// As docs/deploy/debian.md has it, where there is no systemd.
fn serves(root: &Path, settings: &Path) -> Result {
    let pid = root.join("aqueduct.pid");
    let daemon = |words: &[&str]| -> Result<Command> {
        let mut daemon = programs::command(&START_STOP)?;
        daemon.arg("--pidfile").arg(&pid).arg("--exec").arg(root.join("usr/bin/aqueduct"));
        daemon.args(words);
        Ok(daemon)
    };
    let mut start = daemon(&["--start", "--background", "--make-pidfile", "--", "--bundle"])?;
    programs::output(start.arg(settings).args(["--http", &PROCESS_ADDRESS.to_string()]))?;
    let deadline = Instant::now() + LIMIT;
    let answer = loop {
        let answer = http_client::get(PROCESS_ADDRESS, "/", Duration::from_secs(2));
        if answer.is_some() || Instant::now() > deadline {
            break answer;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let page = files::read(&paths::root().join("config/site/index.html"))?.len();
    let found = answer.map(|answer| (answer.status, answer.body_bytes));
    let stopped = daemon(&["--stop", "--retry", "TERM/20/KILL/5"])?
        .status()
        .or_say(|| "cannot stop it".into())?;
    equal("the page of the installed site", &found, &Some((200, page)))?;
    equal("it stopped", &stopped.success(), &true)
}
