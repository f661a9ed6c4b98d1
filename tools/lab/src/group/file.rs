//! Group file: TOML in which each appliance of a group has a table. What is wrong in it is said with its line.

use super::{Capability, Group, MEMBERS_MAX, Member};
use crate::run::MEMORY_MIB_MIN;
use command::{
    failure::{Failure, OrSay, Result},
    files,
};
use config::Config;
use image_builder::image;
use std::{
    collections::BTreeMap,
    fmt::Display,
    ops::Range,
    path::{Path, PathBuf},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A section's keys, each with its value as TOML.
pub(super) type Section = BTreeMap<String, String>;

/// Sections of `appliance.toml`.
pub(super) type Settings = BTreeMap<String, Section>;

/// The port at which the first member answers on this machine, unless the file says another.
const PORT_FIRST: u16 = 8080;
const MEMORY_MIB: u32 = 64;
/// More than any of these machines is given.
const MEMORY_MIB_MAX: u32 = 64 << 10;

impl Group {
    /// Reads a group file. Folders in it are beside it.
    ///
    /// # Errors
    ///
    /// It cannot be read, or something in it is not allowed: with its line.
    pub fn read(file: &Path) -> Result<Self> {
        Self::parse(file, &files::read_text(file)?)
    }

    fn parse(file: &Path, text: &str) -> Result<Self> {
        let reader = Reader { file, text };
        let document = DeTable::parse(text)
            .map_err(|error| reader.refuse(error.span().unwrap_or(0..0), error.message()))?;
        let mut members = Vec::new();
        for (key, value) in document.get_ref() {
            match key.get_ref().as_ref() {
                "appliances" => {
                    for (name, member) in reader.table(value)? {
                        members.push((name.span(), reader.member(name, member)?));
                    }
                }
                _ => return Err(reader.unknown(key, "[appliances.NAME]")),
            }
        }
        // In the order of the file: TOML's tables have none.
        members.sort_by_key(|(span, _)| span.start);
        let members: Vec<_> = members.into_iter().map(|(_, member)| member).collect();
        if members.is_empty() || members.len() > MEMBERS_MAX {
            let found = members.len();
            let sentence = format!(
                "{found} appliances; allowed: 1 to {MEMBERS_MAX}, each a table [appliances.NAME]"
            );
            return Err(reader.refuse(0..0, sentence));
        }
        reader.finished(members)
    }
}

/// The file, for errors to name places in it.
struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
}

type Table<'a> = DeTable<'a>;
type Value<'a> = Spanned<DeValue<'a>>;
type Key<'a> = Spanned<std::borrow::Cow<'a, str>>;

impl Reader<'_> {
    fn member(&self, name: &Key<'_>, table: &Value<'_>) -> Result<Member> {
        let mut member = Member {
            name: self.name(name)?,
            line: self.line(name.span()),
            folder: None,
            memory_mib: MEMORY_MIB,
            services: None,
            load: false,
            port: None,
            ports: Vec::new(),
            uplink: false,
            capabilities: Vec::new(),
            settings: Settings::new(),
        };
        for (key, value) in self.table(table)? {
            match key.get_ref().as_ref() {
                "folder" => member.folder = Some(self.folder(value)?),
                "memory_mib" => member.memory_mib = self.memory_mib(value)?,
                "services" => member.services = Some(self.services(value)?),
                "load" => member.load = self.flag(value)?,
                "port" => member.port = Some(self.port(value)?),
                "ports" => member.ports = self.ports(value)?,
                "uplink" => member.uplink = self.flag(value)?,
                "capabilities" => member.capabilities = self.capabilities(value)?,
                "settings" => member.settings = self.settings(value)?,
                _ => {
                    let allowed = "folder, memory_mib, services, load, port, ports, uplink, capabilities, settings";
                    return Err(self.unknown(key, allowed));
                }
            }
        }
        Ok(member)
    }

    /// A host name, since that is what it becomes.
    fn name(&self, key: &Key<'_>) -> Result<String> {
        let name = key.get_ref().as_ref();
        let text = format!("[network]\nhostname = \"{}\"\n", name.escape_default());
        match Config::parse("", &text) {
            Ok(_) => Ok(name.to_owned()),
            Err(error) => Err(self.found(key.span(), &error.allowed)),
        }
    }

    fn folder(&self, value: &Value<'_>) -> Result<PathBuf> {
        let folder = self.beside(self.string(value, "a folder beside this file, as \"origin\"")?);
        if !folder.is_dir() {
            let sentence = format!("{} is no folder", folder.display());
            return Err(self.refuse(value.span(), sentence));
        }
        Ok(folder)
    }

    fn beside(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    fn memory_mib(&self, value: &Value<'_>) -> Result<u32> {
        let allowed = format!("MiB from {MEMORY_MIB_MIN} to {MEMORY_MIB_MAX}");
        let mib = self.number(value).filter(|it| (MEMORY_MIB_MIN..=MEMORY_MIB_MAX).contains(it));
        mib.ok_or_else(|| self.found(value.span(), &allowed))
    }

    fn port(&self, value: &Value<'_>) -> Result<u16> {
        let port = self.number(value).and_then(|port| u16::try_from(port).ok());
        port.ok_or_else(|| self.found(value.span(), "a port of this machine, or 0 for none"))
    }

    fn ports(&self, value: &Value<'_>) -> Result<Vec<u16>> {
        let allowed = "a list of ports, as [8090]";
        let ports = value.get_ref().as_array().ok_or_else(|| self.found(value.span(), allowed))?;
        let port = |value| match self.port(value) {
            Ok(0) => Err(self.found(value.span(), "ports from 1 to 65535")),
            port => port,
        };
        ports.iter().map(port).collect()
    }

    fn number(&self, value: &Value<'_>) -> Option<u32> {
        let digits = value.get_ref().as_integer()?;
        u32::from_str_radix(digits.as_str(), digits.radix()).ok()
    }

    fn flag(&self, value: &Value<'_>) -> Result<bool> {
        value.get_ref().as_bool().ok_or_else(|| self.found(value.span(), "true or false"))
    }

    /// With a comma between two.
    fn services(&self, value: &Value<'_>) -> Result<String> {
        let allowed = "names of services, as [\"http\", \"vats\"]";
        let wrong = || self.found(value.span(), allowed);
        let names = value.get_ref().as_array().ok_or_else(wrong)?;
        let names: Option<Vec<_>> = names.iter().map(|name| name.get_ref().as_str()).collect();
        let list = names.ok_or_else(wrong)?.join(",");
        image::Options::default()
            .with_services(&list)
            .map_err(|failure| self.refuse(value.span(), failure))?;
        Ok(list)
    }

    fn capabilities(&self, value: &Value<'_>) -> Result<Vec<Capability>> {
        let capability = |(name, value): (&Key<'_>, &Value<'_>)| {
            let allowed = "an appliance of this file and a service of it, as \"origin site\"";
            let text = self.string(value, allowed)?;
            let (of, service) =
                text.split_once(' ').ok_or_else(|| self.found(value.span(), allowed))?;
            Ok(Capability {
                name: name.get_ref().to_string(),
                of: of.to_owned(),
                service: service.trim().to_owned(),
                line: self.line(value.span()),
            })
        };
        self.table(value)?.iter().map(capability).collect()
    }

    fn settings(&self, value: &Value<'_>) -> Result<Settings> {
        let mut settings = Settings::new();
        for (section, keys) in self.table(value)? {
            for (key, value) in self.table(keys)? {
                let raw = self.setting(section, key, value)?;
                let section = settings.entry(section.get_ref().to_string()).or_default();
                section.insert(key.get_ref().to_string(), raw);
            }
        }
        Ok(settings)
    }

    /// The value as it is in the file, if an appliance would take it.
    fn setting(&self, section: &Key<'_>, key: &Key<'_>, value: &Value<'_>) -> Result<String> {
        let own = match (section.get_ref().as_ref(), key.get_ref().as_ref()) {
            ("network", "addresses" | "gateways" | "dhcp") => Some("the group gives addresses"),
            ("capabilities", _) => Some("say it in [appliances.NAME.capabilities]"),
            _ => None,
        };
        if let Some(sentence) = own {
            return Err(self.refuse(key.span(), sentence));
        }
        let raw = &self.text[value.span()];
        let alone = format!("[{}]\n{} = {raw}\n", section.get_ref(), key.get_ref());
        match Config::parse("", &alone) {
            Ok(_) => Ok(raw.to_owned()),
            Err(error) => {
                let at = if error.line == 1 { section.span() } else { key.span() };
                let sentence = format!("found {}; allowed: {}", error.found, error.allowed);
                Err(self.refuse(at, sentence))
            }
        }
    }

    /// What holds between members.
    fn finished(&self, mut members: Vec<Member>) -> Result<Group> {
        for index in 0..members.len() {
            let (before, from) = members.split_at(index);
            let member = &from[0];
            if let Some(bad) = member
                .capabilities
                .iter()
                .find(|it| members.iter().all(|other| other.name != it.of))
            {
                let sentence = format!("there is no appliance `{}` in this file", bad.of);
                return Err(self.refuse_line(bad.line, sentence));
            }
            if member.load && member.services.is_some() {
                let sentence = format!("{}: load = true is an image without services", member.name);
                return Err(self.refuse_line(member.line, sentence));
            }
            let own: Vec<_> = member.reached().collect();
            if let Some(other) = before.iter().find(|it| it.reached().any(|it| own.contains(&it))) {
                let sentence = format!("{} and {} have the same port", other.name, member.name);
                return Err(self.refuse_line(member.line, sentence));
            }
        }
        let mut free = PORT_FIRST..;
        for index in 0..members.len() {
            if members[index].port.is_none() {
                members[index].port =
                    free.find(|port| members.iter().all(|it| it.reached().all(|it| it != *port)));
            }
        }
        Ok(Group { file: self.file.to_owned(), members })
    }

    fn table<'b, 'c>(&self, value: &'b Value<'c>) -> Result<&'b Table<'c>> {
        value.get_ref().as_table().ok_or_else(|| self.found(value.span(), "a table"))
    }

    fn string<'b>(&self, value: &'b Value<'_>, allowed: &str) -> Result<&'b str> {
        value.get_ref().as_str().ok_or_else(|| self.found(value.span(), allowed))
    }

    fn unknown(&self, key: &Key<'_>, allowed: &str) -> Failure {
        self.refuse(key.span(), format!("found `{}`; allowed: {allowed}", key.get_ref()))
    }

    fn found(&self, span: Range<usize>, allowed: &str) -> Failure {
        let text = self.text.get(span.clone()).unwrap_or_default();
        let first = text.lines().next().unwrap_or_default();
        self.refuse(span, format!("found `{first}`; allowed: {allowed}"))
    }

    fn refuse(&self, span: Range<usize>, sentence: impl Display) -> Failure {
        self.refuse_line(self.line(span), sentence)
    }

    fn refuse_line(&self, line: usize, sentence: impl Display) -> Failure {
        Failure(format!("{}:{line}: {sentence}", self.file.display()))
    }

    fn line(&self, span: Range<usize>) -> usize {
        1 + self.text.bytes().take(span.start).filter(|byte| *byte == b'\n').count()
    }
}

/// The settings of a folder's `appliance.toml`, which the caller has checked.
///
/// # Errors
///
/// It cannot be read.
pub(super) fn settings_of(file: &Path) -> Result<Settings> {
    if !file.exists() {
        return Ok(Settings::new());
    }
    let text = files::read_text(file)?;
    let document = DeTable::parse(&text).or_say(|| file.display().to_string())?;
    let mut settings = Settings::new();
    for (section, keys) in document.get_ref() {
        let section = settings.entry(section.get_ref().to_string()).or_default();
        for (key, value) in keys.get_ref().as_table().into_iter().flatten() {
            section.insert(key.get_ref().to_string(), text[value.span()].to_owned());
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use command::paths;

    fn parse(text: &str) -> Result<Group> {
        Group::parse(Path::new("g.toml"), text)
    }

    #[test]
    fn a_group_reads_in_the_order_of_its_file() {
        let group = parse(
            "[appliances.store]\nmemory_mib = 32\nport = 0\nuplink = true\n\
             [appliances.front]\nservices = [\"vats\", \"http\"]\n\
             capabilities.origin = \"store site\"\n\
             settings.conf.from = \"origin\"\nsettings.http.hosts = [\"a.example\", # why\n \"b.example\"]\n\
             [appliances.another]\nport = 8080\nports = [8081]\n",
        )
        .unwrap();
        let [store, front, another] = &group.members[..] else { panic!("{group:?}") };
        assert_eq!((store.name.as_str(), store.memory_mib, store.port), ("store", 32, Some(0)));
        assert!(store.uplink && !front.uplink);
        assert_eq!(front.services.as_deref(), Some("vats,http"));
        let Capability { name, of, service, .. } = &front.capabilities[0];
        assert_eq!((name.as_str(), of.as_str(), service.as_str()), ("origin", "store", "site"));
        assert_eq!(front.settings["conf"]["from"], "\"origin\"");
        assert!(front.settings["http"]["hosts"].contains("b.example"));
        // The first that is free.
        assert_eq!((front.port, another.port), (Some(8082), Some(8080)));
    }

    #[test]
    fn faults_are_said_with_their_lines() {
        let too_many: String =
            (0..=MEMBERS_MAX).map(|number| format!("[appliances.a{number}]\n")).collect();
        for (text, said) in [
            ("", "1: 0 appliances; allowed: 1 to 16"),
            (too_many.as_str(), "1: 17 appliances"),
            ("[appliances.a]\nfolder =\n", "2: "),
            ("[appliance.a]\n", "1: found `appliance`; allowed: [appliances.NAME]"),
            ("[appliances]\na = 1\n", "2: found `1`; allowed: a table"),
            ("[appliances.\"a b\"]\n", "1: found `\"a b\"`; allowed: 1 to 63 letters"),
            ("[appliances.a]\n[appliances.a]\n", "2: "),
            ("[appliances.a]\nport = 80\nmemory = 1\n", "3: found `memory`; allowed: folder, "),
            ("[appliances.a]\nfolder = \"none\"\n", "2: none is no folder"),
            ("[appliances.a]\nfolder = 7\n", "2: found `7`; allowed: a folder"),
            ("[appliances.a]\nmemory_mib = 2\n", "2: found `2`; allowed: MiB from 3 to 65536"),
            ("[appliances.a]\nmemory_mib = 65537\n", "2: found `65537`"),
            ("[appliances.a]\nport = 65536\n", "2: found `65536`; allowed: a port"),
            ("[appliances.a]\nport = -1\n", "2: found `-1`"),
            ("[appliances.a]\nports = 1\n", "2: found `1`; allowed: a list of ports"),
            ("[appliances.a]\nports = [1, 0]\n", "2: found `0`; allowed: ports from 1"),
            ("[appliances.a]\nuplink = 1\n", "2: found `1`; allowed: true or false"),
            ("[appliances.a]\nload = 1\n", "2: found `1`; allowed: true or false"),
            (
                "[appliances.a]\nload = true\nservices = [\"http\"]\n",
                "1: a: load = true is an image without services",
            ),
            ("[appliances.a]\nservices = \"http\"\n", "2: found `\"http\"`; allowed: names"),
            ("[appliances.a]\nservices = [\"htp\"]\n", "2: there is no service `htp`"),
            ("[appliances.a]\ncapabilities.b = \"a\"\n", "2: found `\"a\"`; allowed: an appliance"),
            (
                "[appliances.a]\n[appliances.a.capabilities]\nb = \"c site\"\n",
                "3: there is no appliance `c` in this file",
            ),
            (
                "[appliances.a]\nport = 90\n[appliances.b]\nport = 90\n",
                "3: a and b have the same port",
            ),
            (
                "[appliances.a]\nport = 90\n[appliances.b]\nports = [91, 90]\n",
                "3: a and b have the same port",
            ),
            ("[appliances.a]\nsettings.htp.port = 1\n", "2: found `htp`; allowed: the sections"),
            ("[appliances.a]\nsettings.http.prt = 1\n", "2: found `prt`; allowed: in [http]"),
            (
                "[appliances.a]\nsettings.http.port = 0\n",
                "2: found `0`; allowed: a port from 1 to 65535",
            ),
            ("[appliances.a]\nsettings.network.dhcp = true\n", "2: the group gives addresses"),
            (
                "[appliances.a]\n[appliances.a.settings.capabilities]\nb = \"c\"\n",
                "3: say it in [appliances.NAME.capabilities]",
            ),
        ] {
            let sentence = parse(text).unwrap_err().to_string();
            let said = format!("g.toml:{said}");
            assert!(sentence.starts_with(&said), "{text}: {sentence}");
        }
    }

    #[test]
    fn settings_of_a_file_are_as_they_stand_there() {
        let settings = settings_of(&paths::root().join("config/appliance.toml")).unwrap();
        assert!(settings.values().all(Section::is_empty), "all is commented out");
        assert!(settings.contains_key("http"));
        assert!(settings_of(Path::new("none.toml")).unwrap().is_empty());
    }
}
