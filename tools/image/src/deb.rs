//! The Debian package of the process: its programs, a unit for systemd, configuration, manual pages and completions.

use command::{
    failure::{OrSay, Result, fail},
    files,
    paths::{self, Scratch},
    programs::{self, Install, Program},
};
use flate2::{Compression, GzBuilder};
use std::{
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// The package's name.
pub const NAME: &str = "aqueduct";

/// The programs that it has.
pub struct Programs<'a> {
    /// The appliance as a process.
    pub aqueduct: &'a Path,
    /// What looks into it.
    pub aqueductctl: &'a Path,
    /// What puts load on servers.
    pub load: &'a Path,
}

/// Who makes the package, where nobody else is named. The host is one that RFC 2606 keeps for examples.
pub const MAINTAINER: &str = "The Aqueduct developers <aqueduct@example.org>";

/// Needed beside the programs.
const NEEDED: [&Program; 2] = [&programs::DPKG, &programs::STRIP];
/// Shells, and where Debian has what completes for them.
const SHELLS: [(&str, &str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions", ""),
    ("zsh", "usr/share/zsh/vendor-completions", "_"),
    ("fish", "usr/share/fish/vendor_completions.d", ""),
];
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];
const MODE_FILE: u32 = 0o644;
const MODE_PROGRAM: u32 = 0o755;

/// Writes the package, of a maintainer with an address, as [`MAINTAINER`]. The same programs and files give the same bytes.
///
/// # Errors
///
/// A file is missing or cannot be written, the maintainer is none, or `dpkg-deb` refuses.
pub fn write(programs: &Programs<'_>, maintainer: &str, file: &Path, install: Install) -> Result {
    let is_one = maintainer.ends_with('>') && maintainer.contains(" <");
    if !is_one || maintainer.contains(char::is_control) {
        fail!("`{maintainer}` is no maintainer; allowed: a name and an address, as {MAINTAINER}");
    }
    programs::need(&NEEDED, install)?;
    let scratch = Scratch::new()?;
    let tree = Tree { root: scratch.path("tree") };
    tree.add_programs(programs)?;
    tree.add_service()?;
    let settings = tree.add_settings(&paths::root().join("config"))?;
    tree.add_documents()?;
    tree.add_control(maintainer, &settings)?;
    let mut command = programs::command(&programs::DPKG)?;
    command.args(["--root-owner-group", "-Zxz", "--build"]).arg(&tree.root).arg(file);
    // dpkg-deb takes the time of the archive's members from it. Any time will do that is not from before there was Debian.
    if std::env::var_os("SOURCE_DATE_EPOCH").is_none() {
        command.env("SOURCE_DATE_EPOCH", "1704067200");
    }
    programs::output(&mut command).map(drop)
}

/// The files as they will be installed.
struct Tree {
    root: PathBuf,
}

impl Tree {
    fn add(&self, path: &str, bytes: impl AsRef<[u8]>, mode: u32) -> Result {
        let file = self.root.join(path);
        let folder = file.parent().unwrap_or(&self.root);
        files::make_folder(folder)?;
        // Whatever the umask is.
        let mut made = Some(folder);
        while let Some(folder) = made.filter(|folder| folder.starts_with(&self.root)) {
            permit(folder, MODE_PROGRAM)?;
            made = folder.parent();
        }
        files::write(&file, bytes)?;
        permit(&file, mode)
    }

    fn add_programs(&self, from: &Programs<'_>) -> Result {
        let Programs { aqueduct, aqueductctl, load } = from;
        for (name, program, is_verb) in [
            ("aqueduct", aqueduct, false),
            ("aqueductctl", aqueductctl, true),
            ("aqueduct-load", load, false),
        ] {
            let inside = format!("usr/bin/{name}");
            self.add(&inside, files::read(program)?, MODE_PROGRAM)?;
            let mut strip = programs::command(&programs::STRIP)?;
            let sections = ["--remove-section=.comment", "--remove-section=.note"];
            programs::output(strip.args(sections).arg(self.root.join(&inside)))?;
            let said = |word: &str, more: &[&str]| {
                let word = if is_verb { word.to_owned() } else { format!("--{word}") };
                programs::output(Command::new(program).arg(word).args(more))
            };
            let page = said("man", &[])?;
            self.add(&format!("usr/share/man/man1/{name}.1.gz"), compressed(&page)?, MODE_FILE)?;
            for (shell, folder, before) in SHELLS {
                let after = if shell == "fish" { ".fish" } else { "" };
                let text = said("completions", &[shell])?;
                self.add(&format!("{folder}/{before}{name}{after}"), text, MODE_FILE)?;
            }
        }
        Ok(())
    }

    /// The unit starts the program where packages have it, as the user that the package makes.
    fn add_service(&self) -> Result {
        let unit = files::read_text(&paths::root().join("deploy/aqueduct.service"))?;
        let (program, user) = ("/usr/local/bin/aqueduct", "DynamicUser=yes\n");
        if !unit.contains(program) || !unit.contains(user) {
            fail!("deploy/aqueduct.service has no {program}, or no {user}");
        }
        let unit = unit.replace(program, "/usr/bin/aqueduct");
        let unit = unit.replace(user, "User=aqueduct\nGroup=aqueduct\n");
        let unit = unit.replace("docs/deploy/systemd.md", "docs/deploy/debian.md");
        // Only who has the package has the page.
        let unit = unit.replace("[Unit]\n", "[Unit]\nDocumentation=man:aqueduct(1)\n");
        self.add("usr/lib/systemd/system/aqueduct.service", unit, MODE_FILE)
    }

    /// The default configuration and the sample site, which are the operator's to change; their paths.
    fn add_settings(&self, config: &Path) -> Result<Vec<String>> {
        let mut settings = Vec::new();
        for item in config::folder::files(config).or_say(|| "the configuration".into())? {
            let path = format!("etc/aqueduct/{}", item.path);
            self.add(&path, &item.bytes, MODE_FILE)?;
            settings.push(path);
        }
        Ok(settings)
    }

    fn add_documents(&self) -> Result {
        let root = paths::root();
        let text = |name: &str| files::read_text(&root.join(name));
        let folder = format!("usr/share/doc/{NAME}");
        let mit = text("LICENSE-MIT")?;
        let (holder, terms) = mit.split_once('\n').unwrap_or((&mit, ""));
        let copyright = format!(
            "Aqueduct is licensed under the MIT licence or the Apache licence 2.0, as you like.\n\n{holder}\n\
             {terms}\n\nOn Debian systems the Apache licence 2.0 is in /usr/share/common-licenses/Apache-2.0.\n"
        );
        self.add(&format!("{folder}/copyright"), copyright, MODE_FILE)?;
        let changes = compressed(&text("CHANGELOG.md")?)?;
        self.add(&format!("{folder}/changelog.gz"), changes, MODE_FILE)
    }

    fn add_control(&self, maintainer: &str, settings: &[String]) -> Result {
        let mut lines = Vec::new();
        sums(&self.root, &self.root, &mut lines)?;
        let kibibytes = lines.iter().map(|(_, bytes, _)| bytes.div_ceil(1024)).sum::<u64>();
        lines.sort();
        let sums: String = lines.iter().map(|(path, _, sum)| format!("{sum}  {path}\n")).collect();
        let version = env!("CARGO_PKG_VERSION");
        let control = format!(
            "Package: {NAME}\nVersion: {version}\nArchitecture: amd64\nMaintainer: {maintainer}\n\
             Installed-Size: {kibibytes}\nDepends: {DEPENDS}\nSection: httpd\nPriority: optional\n\
             Description: {DESCRIPTION}"
        );
        let conffiles: String = settings.iter().map(|path| format!("/{path}\n")).collect();
        self.add("DEBIAN/control", control, MODE_FILE)?;
        self.add("DEBIAN/conffiles", conffiles, MODE_FILE)?;
        self.add("DEBIAN/md5sums", sums, MODE_FILE)?;
        for script in SCRIPTS {
            let text = files::read(&paths::root().join("deploy/debian").join(script))?;
            self.add(&format!("DEBIAN/{script}"), text, MODE_PROGRAM)?;
        }
        Ok(())
    }
}

/// What the programs are linked with, and what the scripts call.
const DEPENDS: &str = "libc6 (>= 2.34), libgcc-s1 (>= 3.0), adduser";
const DESCRIPTION: &str = "network appliance for HTTP, RPC, ZeroMQ, FastCGI and Gopher
 Serves a site, services of Cap'n Proto RPC, ZeroMQ pipes and what else its
 configuration says, as one process; the same appliance boots as a unikernel.
 .
 The package has the server, aqueductctl, which looks into a running one, and
 aqueduct-load, which puts load on servers.
";

/// Path, bytes and MD5 of each file.
type Sums = Vec<(String, u64, String)>;

fn sums(root: &Path, folder: &Path, lines: &mut Sums) -> Result {
    for path in files::list(folder)? {
        if path.is_dir() {
            sums(root, &path, lines)?;
            continue;
        }
        let inside = path.strip_prefix(root).or_say(|| "a path".into())?.display().to_string();
        let bytes = files::read(&path)?.len() as u64;
        let said = programs::output(Command::new("md5sum").arg(&path))?;
        let sum = said.split(' ').next().unwrap_or_default().to_owned();
        lines.push((inside, bytes, sum));
    }
    Ok(())
}

fn permit(path: &Path, mode: u32) -> Result {
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).or_say(|| path.display().to_string())
}

/// By gzip, without time and name: the same text gives the same bytes.
fn compressed(text: &str) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes()).or_say(|| "gzip".into())?;
    encoder.finish().or_say(|| "gzip".into())
}
