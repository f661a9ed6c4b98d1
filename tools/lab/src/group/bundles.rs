//! Bundles of a group: what each member is made of, with its key and its references to services of others.
//!
//! Keys are made once and kept, so that references are the same in each run. References follow from the key and the
//! service's name, so that they are known before anything runs.

use super::{
    Capability, Group, Kind, Member,
    file::{Settings, settings_of},
    user_network,
};
use command::{
    failure::{Failure, OrSay, Result, fail},
    files, programs,
};
use config::{CONFIG_FILE, Config, NAMES_FILE};
use image_builder::bundle;
use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

/// Where a vat's key is by default.
const KEY_FILE: &str = "rpc/key.pem";
const KEY_FOLDER: &str = "rpc";
/// Where members have each other's services, unless they say another port.
const SECURE_PORT: u16 = 7001;
/// What stands for references until those of all are known.
const PLACEHOLDER: &str = "capnp://insecure@placeholder:1";

/// A bundle for each member, in the order of the group file.
pub struct Bundles {
    pub(super) archives: Vec<PathBuf>,
    /// What they configure.
    pub(super) configs: Vec<Config>,
}

impl Bundles {
    /// Makes them in the folder `state`, where keys are kept from one time to the next; `process` is the appliance as a process.
    ///
    /// # Errors
    ///
    /// A folder of the group has no usable content, a capability is of no service that there is, or an appliance would refuse to start.
    pub fn make(group: &Group, kind: Kind, state: &Path, process: &Path) -> Result<Self> {
        let maker = Maker { group, kind, state, process };
        let of = |result: Result<Config>, member: &Member| {
            result.map_err(|failure| Failure(format!("{}: {failure}", member.name)))
        };
        let mut configs = Vec::new();
        for (place, member) in group.members.iter().enumerate() {
            configs.push(of(maker.folder(place), member)?);
        }
        let names = maker.names(&configs);
        // What a vat lists is no part of its references.
        let mut of_all = Vec::new();
        for member in &group.members {
            of_all.push(maker.references(member, &configs)?);
        }
        let mut archives = Vec::new();
        for (place, member) in group.members.iter().enumerate() {
            let listed = maker.listed(member)?;
            configs[place] = of(maker.configure(place, &of_all[place], &listed), member)?;
            archives.push(maker.pack(member, &names)?);
        }
        Ok(Self { archives, configs })
    }

    /// The archives as they are now, in the order of the group file.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    pub fn bytes(&self) -> Result<Vec<Vec<u8>>> {
        self.archives.iter().map(|file| files::read(file)).collect()
    }
}

struct Maker<'a> {
    group: &'a Group,
    kind: Kind,
    state: &'a Path,
    process: &'a Path,
}

impl Maker<'_> {
    /// The folder that a member's bundle is made of, all but its references.
    fn folder(&self, place: usize) -> Result<Config> {
        let member = &self.group.members[place];
        let folder = self.bundle_folder(member);
        if folder.exists() {
            fs::remove_dir_all(&folder).or_say(|| format!("cannot empty {}", folder.display()))?;
        }
        make_private(&folder.join(KEY_FOLDER))?;
        match &member.folder {
            Some(from) => link_all(from, &folder)?,
            None => page(&folder, &member.name)?,
        }
        let key = folder.join(KEY_FILE);
        if !key.exists() {
            let kept = self.kept_key(member)?;
            files::write_secret(&key, kept)?;
        }
        let placeholders: Vec<_> =
            member.capabilities.iter().map(|_| PLACEHOLDER.to_owned()).collect();
        self.configure(place, &placeholders, &[])
    }

    /// Made the first time.
    fn kept_key(&self, member: &Member) -> Result<Vec<u8>> {
        let file = self.state.join(&member.name).join("key.pem");
        if !file.exists() {
            let mut openssl = programs::command(&programs::OPENSSL)?;
            let p256 = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
            let key = programs::output(openssl.arg("genpkey").args(p256))?;
            files::write_secret(&file, key)?;
        }
        files::read(&file)
    }

    /// Writes a member's `appliance.toml`; `listed` are `peers` that it has besides its own.
    fn configure(&self, place: usize, references: &[String], listed: &[String]) -> Result<Config> {
        let member = &self.group.members[place];
        let mut settings = match &member.folder {
            None => Settings::new(),
            Some(folder) => {
                bundle::configuration(folder)?;
                settings_of(&folder.join(CONFIG_FILE))?
            }
        };
        for (section, keys) in &member.settings {
            settings.entry(section.clone()).or_default().extend(keys.clone());
        }
        self.place_in_group(place, &mut settings);
        let named = settings.entry("capabilities".into()).or_default();
        for (Capability { name, .. }, reference) in member.capabilities.iter().zip(references) {
            named.insert(name.clone(), quoted(reference));
        }
        if !listed.is_empty() {
            let rpc = settings.entry("rpc".into()).or_default();
            let peers = rpc.entry("peers".into()).or_insert_with(|| "[]".into());
            *peers = with_first(listed, peers);
        }
        let folder = self.bundle_folder(member);
        files::write_secret(&folder.join(CONFIG_FILE), text(&settings, &self.group.file))?;
        bundle::configuration(&folder)
    }

    /// Where it is, by what name, and whether others have its services.
    fn place_in_group(&self, place: usize, settings: &mut Settings) {
        let member = &self.group.members[place];
        let address = self.kind.address(place);
        let network = settings.entry("network".into()).or_default();
        network.entry("hostname".into()).or_insert_with(|| quoted(&member.name));
        if self.kind == Kind::Guests {
            // Nobody gives addresses in the group's network, and settings are those of all cards.
            network.insert("dhcp".into(), "false".into());
            let user_address = user_network::address(place);
            let addresses = format!("[\"{address}/24\", \"{user_address}/24\"]");
            network.insert("addresses".into(), addresses);
            if member.uplink {
                network.insert("gateways".into(), format!("[\"{}\"]", user_network::GATEWAY));
                network.insert("dns".into(), format!("[\"{}\"]", user_network::NAME_SERVER));
            } else {
                network.remove("gateways");
            }
        }
        let mut capabilities = self.group.members.iter().flat_map(|it| &it.capabilities);
        if capabilities.any(|it| it.of == member.name) {
            let rpc = settings.entry("rpc".into()).or_default();
            rpc.entry("secure_port".into()).or_insert_with(|| SECURE_PORT.to_string());
            rpc.entry("host".into()).or_insert_with(|| quoted(&address.to_string()));
        }
    }

    fn references(&self, member: &Member, configs: &[Config]) -> Result<Vec<String>> {
        let reference = |capability: &Capability| {
            self.reference(capability, configs).map_err(|failure| {
                let file = self.group.file.display();
                Failure(format!("{file}:{}: {failure}", capability.line))
            })
        };
        member.capabilities.iter().map(reference).collect()
    }

    fn reference(&self, capability: &Capability, configs: &[Config]) -> Result<String> {
        let Capability { of, service, .. } = capability;
        let Some(place) = self.group.place(of) else { fail!("there is no appliance `{of}`") };
        let Some(port) = configs[place].rpc.secure_port else {
            fail!("{of} has no secure_port in [rpc]");
        };
        let address = SocketAddr::new(self.kind.address(place), port);
        self.printed(&self.group.members[place], &format!("{service}@{address}"))
    }

    /// Who may have what of a member that nobody has by a reference alone.
    fn listed(&self, member: &Member) -> Result<Vec<String>> {
        let mut listed = Vec::new();
        for other in &self.group.members {
            let capabilities = other.capabilities.iter();
            for it in capabilities.filter(|it| it.of == member.name && it.is_for_listed()) {
                let fingerprint = self.fingerprint(other)?;
                listed.push(quoted(&format!("{fingerprint} {}", it.service)));
            }
        }
        Ok(listed)
    }

    /// What a member's vat is called: what a reference that has no token says of it.
    fn fingerprint(&self, member: &Member) -> Result<String> {
        let reference = self.printed(member, "network@placeholder:1")?;
        let between = reference.strip_prefix("capnp://").and_then(|rest| rest.split_once('@'));
        match between {
            Some((fingerprint, _)) => Ok(fingerprint.to_owned()),
            None => fail!("{} has no key", member.name),
        }
    }

    fn printed(&self, member: &Member, capability: &str) -> Result<String> {
        let mut asked = Command::new(self.process);
        asked.arg("--bundle").arg(self.bundle_folder(member));
        let printed = programs::output(asked.args(["--capability", capability]))?;
        Ok(printed.trim().to_owned())
    }

    /// By which members find each other's web servers, as `[affinity]` wants it.
    fn names(&self, configs: &[Config]) -> String {
        let line = |(place, config): (usize, &Config)| {
            let host = &config.network.hostname;
            format!("http {host} http {}\n", self.web_address(place, config))
        };
        configs.iter().enumerate().map(line).collect()
    }

    /// Where other members have its HTTP.
    fn web_address(&self, place: usize, config: &Config) -> SocketAddr {
        match self.kind {
            Kind::Guests => SocketAddr::new(self.kind.address(place), config.http.port),
            Kind::Processes => self.group.listens_at(place),
        }
    }

    fn pack(&self, member: &Member, names: &str) -> Result<PathBuf> {
        let folder = self.bundle_folder(member);
        if !folder.join(NAMES_FILE).exists() {
            files::write(&folder.join(NAMES_FILE), names)?;
        }
        let archive = bundle::pack(&folder)
            .map_err(|failure| Failure(format!("{}: {failure}", member.name)))?;
        let file = self.state.join(&member.name).join("bundle.cpio");
        files::write_secret(&file, archive)?;
        Ok(file)
    }

    fn bundle_folder(&self, member: &Member) -> PathBuf {
        self.state.join(&member.name).join("bundle")
    }
}

/// A folder for secrets, and those that it is in.
fn make_private(folder: &Path) -> Result {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(folder).or_say(|| format!("cannot make the folder {}", folder.display()))
}

/// Has all that is in a folder in another one, too, but for its configuration; a key may be added to it.
fn link_all(from: &Path, to: &Path) -> Result {
    let from = from.canonicalize().or_say(|| format!("cannot read {}", from.display()))?;
    for path in files::list(&from)? {
        match path.file_name() {
            Some(name) if name == CONFIG_FILE => {}
            Some(name) if name == KEY_FOLDER => {
                for key in files::list(&path)? {
                    link(&key, &to.join(KEY_FOLDER))?;
                }
            }
            _ => link(&path, to)?,
        }
    }
    Ok(())
}

fn link(path: &Path, folder: &Path) -> Result {
    let name = path.file_name().unwrap_or_default();
    symlink(path, folder.join(name)).or_say(|| format!("cannot link to {}", path.display()))
}

fn page(folder: &Path, name: &str) -> Result {
    files::make_folder(&folder.join("site"))?;
    let page = format!("<!doctype html><title>{name}</title><p>This is {name}.\n");
    files::write(&folder.join("site/index.html"), page)
}

/// A list of TOML with these items before its own: behind the last of those may stand a comment.
fn with_first(items: &[String], list: &str) -> String {
    let own = list.trim_start().strip_prefix('[').unwrap_or_default();
    format!("[{}, {own}", items.join(", "))
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn text(settings: &Settings, file: &Path) -> String {
    let mut text = format!("# Made of {}: changes are lost in the next run.\n", file.display());
    for (section, keys) in settings.iter().filter(|(_, keys)| !keys.is_empty()) {
        text += &format!("\n[{section}]\n");
        text.extend(keys.iter().map(|(key, value)| format!("{key} = {value}\n")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use command::paths::Scratch;

    fn parsed(settings: &Settings) -> Config {
        Config::parse("made", &text(settings, Path::new("group.toml"))).unwrap()
    }

    #[test]
    fn what_is_made_of_settings_is_read_as_them() {
        let hosts = "[\"a.example\", # why\n \"b.example\"]";
        let settings = [
            ("http", vec![("hosts", hosts), ("port", "0x51")]),
            ("log", vec![("level", "'debug'")]),
            ("zmq", Vec::new()),
        ];
        let owned = |keys: Vec<(&str, &str)>| {
            keys.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        let settings = settings.map(|(section, keys)| (section.to_owned(), owned(keys)));
        let config = parsed(&settings.into_iter().collect());
        assert_eq!(config.http.hosts, ["a.example", "b.example"]);
        assert_eq!((config.http.port, config.log.level.as_str()), (81, "DEBUG"));
    }

    #[test]
    fn who_is_listed_stands_before_those_of_the_folder() {
        let vat =
            |name: &str| format!("\"sha-256:3Tj5y5Q2qpqN3Sbh0GRPxgORZw98_NtrU2nLI0-Tn6g {name}\"");
        for (own, expected) in [
            ("[]".to_owned(), vec!["network", "site"]),
            (format!("[ {} ]", vat("admin")), vec!["network", "site", "admin"]),
            (format!("[\n{}, # who\n]", vat("admin")), vec!["network", "site", "admin"]),
        ] {
            let peers = with_first(&[vat("network"), vat("site")], &own);
            let section = [("peers".to_owned(), peers)].into();
            let config = parsed(&[("rpc".to_owned(), section)].into());
            let services: Vec<_> = config.rpc.peers.iter().flat_map(|it| &it.services).collect();
            assert_eq!(services, expected, "{own}");
        }
    }

    #[test]
    fn all_of_a_folder_is_had_but_its_settings_and_a_key_may_be_added() {
        let (from, to) = (Scratch::new().unwrap(), Scratch::new().unwrap());
        for folder in ["site", "rpc"] {
            fs::create_dir_all(from.path(folder)).unwrap();
        }
        fs::create_dir_all(to.path("rpc")).unwrap();
        for (file, content) in
            [("site/index.html", "hello"), (CONFIG_FILE, ""), ("rpc/other.pem", "other")]
        {
            fs::write(from.path(file), content).unwrap();
        }
        link_all(&from.path(""), &to.path("")).unwrap();
        files::write_secret(&to.path(KEY_FILE), "key").unwrap();
        assert_eq!(files::read_text(&to.path("site/index.html")).unwrap(), "hello");
        assert_eq!(files::read_text(&to.path("rpc/other.pem")).unwrap(), "other");
        assert!(!to.path(CONFIG_FILE).exists() && !from.path(KEY_FILE).exists());
    }
}
