//! Kernel command line: words that override `appliance.toml`.
//!
//! | word | sets |
//! |---|---|
//! | `ip=dhcp` | `[network] dhcp = true` and no static IPv4 address |
//! | `ip=ADDR/PREFIX` | the static addresses of that family; an IPv4 one turns DHCP off |
//! | `gw=ADDR` | the gateway of that family |
//! | `dns=ADDR` | the name servers |
//! | `http_port=PORT` | `[http] port` |
//! | `rpc_port=PORT` | `[rpc] port`; 0 is off |
//! | `zmq_port=PORT` | `[zmq] port`; 0 is off |
//! | `fastcgi_port=PORT` | `[fastcgi] port`; 0 is off |
//! | `gopher_port=PORT` | `[gopher] port`; 0 is off |
//! | `https_port=PORT` | `[tls] port`; 0 is off |
//! | `rpc_secure_port=PORT` | `[rpc] secure_port`; 0 is off |
//! | `log_references=true` | `[rpc] log_references` |
//! | `admin_port=PORT` | `[admin] port`; 0 is off |
//! | `log=LEVEL` | `[log] level` |
//!
//! `ip`, `gw` and `dns` may be given more than once. `ip` is understood as Linux has it, too (Documentation/admin-guide/nfs/
//! nfsroot.rst): `linux_ip.rs`. All other words are somebody else's; [`unknown_words`] names them.

use crate::{
    Bundle, CONFIG_FILE, Cidr, Config, ConfigError, check,
    check::databases,
    error::{Origin, quoted},
    keys::{self, ADDRESSES_MAX, Value},
    linux_ip::LinuxIp,
    network::is_host,
    places::Places,
    toml,
};
use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::net::IpAddr;

/// Longest command line, in bytes: what Xen and Linux's own loaders carry, doubled.
const COMMAND_LINE_BYTES_MAX: usize = 4096;
/// As many name servers as the file may name.
const DNS_MAX: usize = 3;
const WORDS: &[&str] = &[
    "ip",
    "gw",
    "dns",
    "http_port",
    "rpc_port",
    "zmq_port",
    "fastcgi_port",
    "gopher_port",
    "https_port",
    "rpc_secure_port",
    "log_references",
    "admin_port",
    "log",
];

/// The words of a kernel command line that set nothing here, but for those by which QEMU lists its devices: other
/// kernels', or spelling mistakes.
pub fn unknown_words(command_line: &str) -> impl Iterator<Item = &str> {
    command_line.split_ascii_whitespace().filter(|word| {
        let name = word.split('=').next().unwrap_or_default();
        !WORDS.contains(&name) && !word.starts_with("virtio_mmio.")
    })
}

impl Config {
    /// The configuration of a bundle (the defaults, where it has no `appliance.toml`) under a command line.
    ///
    /// # Errors
    /// The faults in the file, or the first in the command line, with their places; or settings that contradict
    /// each other or the bundle: no way to an address, a gateway that is no neighbour, two services on
    /// a port, no site.
    pub fn load(bundle: &Bundle<'_>, command_line: &str) -> Result<Self, ConfigError> {
        let text = match bundle.get(CONFIG_FILE) {
            Some(file) => core::str::from_utf8(file.bytes).map_err(|error| {
                let valid = file.bytes.get(..error.valid_up_to()).unwrap_or(&[]);
                let text = core::str::from_utf8(valid).unwrap_or("");
                let origin = Origin { file: CONFIG_FILE, text };
                origin.error(text.len(), "bytes that are not text".to_owned(), "UTF-8".to_owned())
            })?,
            None => "",
        };
        let (mut config, mut places) = toml::read(Origin { file: CONFIG_FILE, text })?;
        config.override_with(command_line, &mut places)?;
        let contradictions = check::whole(&config, bundle).into_iter();
        let mut errors: Vec<_> = contradictions.map(|it| places.error(it)).collect();
        let faults = databases::check(&config, bundle).into_iter();
        let faults = faults.chain(check::site::check(&config, bundle));
        errors.extend(faults.map(|fault| places.error_in(fault)));
        match ConfigError::all(errors) {
            Some(error) => Err(error),
            None => Ok(config),
        }
    }

    /// Applies the words of a kernel command line. The error is the first that has a value that is not allowed.
    fn override_with<'a>(
        &mut self,
        command_line: &'a str,
        places: &mut Places<'a>,
    ) -> Result<(), ConfigError> {
        let origin = Origin { file: "command line", text: command_line };
        if command_line.len() > COMMAND_LINE_BYTES_MAX {
            let allowed = alloc::format!("at most {COMMAND_LINE_BYTES_MAX} bytes");
            return Err(origin.error(COMMAND_LINE_BYTES_MAX, "more".to_owned(), allowed));
        }
        places.read_line(origin);
        let mut overrides =
            Overrides { config: self, ipv4: false, ipv6: false, gateways: false, dns: false };
        for word in command_line.split_ascii_whitespace() {
            // `split_ascii_whitespace` gives parts of the line, so the difference of addresses is the offset.
            let offset = word.as_ptr() as usize - command_line.as_ptr() as usize;
            match overrides.word(word) {
                Ok(Some((section, name))) => places.in_line(section, name, offset),
                Ok(None) => {}
                Err(allowed) => return Err(origin.error(offset, quoted(word), allowed)),
            }
        }
        Ok(())
    }
}

/// What the command line has replaced so far: a list's first word replaces, the next ones add.
struct Overrides<'a> {
    config: &'a mut Config,
    ipv4: bool,
    ipv6: bool,
    gateways: bool,
    dns: bool,
}

impl Overrides<'_> {
    /// Says which key the word has set; the error is what is allowed instead.
    fn word(&mut self, word: &str) -> Result<Option<(&'static str, &'static str)>, String> {
        let (name, value) =
            word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        Ok(Some(match (name, value) {
            ("ip", Some("dhcp")) => {
                self.dhcp();
                ("network", "dhcp")
            }
            ("ip", Some("off" | "none")) => {
                self.static_ipv4();
                ("network", "dhcp")
            }
            ("ip", Some(text)) => match text.parse() {
                Ok(cidr) => {
                    self.address(cidr)?;
                    ("network", "addresses")
                }
                Err(()) => self.linux_ip(text)?,
            },
            ("gw", Some(text)) => {
                self.gateway(text)?;
                ("network", "gateways")
            }
            ("dns", Some(text)) => {
                self.name_server(text)?;
                ("network", "dns")
            }
            ("http_port", Some(text)) => self.port("http", text)?,
            ("rpc_port", Some(text)) => self.port("rpc", text)?,
            ("zmq_port", Some(text)) => self.port("zmq", text)?,
            ("fastcgi_port", Some(text)) => self.port("fastcgi", text)?,
            ("gopher_port", Some(text)) => self.port("gopher", text)?,
            ("https_port", Some(text)) => self.port("tls", text)?,
            ("rpc_secure_port", Some(text)) => {
                let port = text.parse().map_or(Value::Other, Value::Number);
                self.set("rpc", "secure_port", port)?;
                ("rpc", "secure_port")
            }
            ("log_references", Some(text)) => {
                let flag = text.parse().map_or(Value::Other, Value::Flag);
                self.set("rpc", "log_references", flag)?;
                ("rpc", "log_references")
            }
            ("admin_port", Some(text)) => self.port("admin", text)?,
            ("log", Some(text)) => {
                self.set("log", "level", Value::Text(text))?;
                ("log", "level")
            }
            (name, None) if WORDS.contains(&name) => return Err(alloc::format!("{name}=VALUE")),
            _ => return Ok(None),
        }))
    }

    fn dhcp(&mut self) {
        self.config.network.dhcp = true;
        self.config.network.addresses.retain(|cidr| !cidr.address.is_ipv4());
        self.ipv4 = true;
    }

    /// No IPv4 address but those of the command line.
    fn static_ipv4(&mut self) {
        if !core::mem::replace(&mut self.ipv4, true) {
            self.config.network.addresses.retain(|other| !other.address.is_ipv4());
            self.config.network.dhcp = false;
        }
    }

    /// Says which key the word has set first of all.
    fn linux_ip(&mut self, text: &str) -> Result<(&'static str, &'static str), String> {
        let said = LinuxIp::parse(text)?;
        if let Some(name) = said.hostname {
            self.set("network", "hostname", Value::Text(name))?;
        }
        if let Some(gateway) = said.gateway {
            self.gateway(gateway)?;
        }
        for server in said.name_servers.into_iter().filter(|server| !server.is_empty()) {
            self.name_server(server)?;
        }
        let Some(address) = said.address else {
            self.dhcp();
            return Ok(("network", "dhcp"));
        };
        self.address(address)?;
        Ok(("network", "addresses"))
    }

    fn address(&mut self, cidr: Cidr) -> Result<(), String> {
        if cidr.address.is_ipv4() {
            self.static_ipv4();
        } else if !core::mem::replace(&mut self.ipv6, true) {
            self.config.network.addresses.retain(|other| other.address.is_ipv4());
        }
        let network = &mut self.config.network;
        if network.addresses.len() >= ADDRESSES_MAX {
            return Err(alloc::format!("at most {ADDRESSES_MAX} addresses"));
        }
        if network.addresses.iter().any(|other| other.address == cidr.address) {
            return Err("each address once".to_owned());
        }
        network.addresses.push(cidr);
        Ok(())
    }

    fn gateway(&mut self, text: &str) -> Result<(), String> {
        if !core::mem::replace(&mut self.gateways, true) {
            self.config.network.gateways.clear();
        }
        self.set("network", "gateways", Value::Text(text))
    }

    fn name_server(&mut self, text: &str) -> Result<(), String> {
        let network = &mut self.config.network;
        if !core::mem::replace(&mut self.dns, true) {
            network.dns.clear();
        }
        match text.parse::<IpAddr>() {
            Ok(address) if is_host(address) && network.dns.len() < DNS_MAX => {
                network.dns.push(address);
                Ok(())
            }
            _ => Err(alloc::format!("at most {DNS_MAX} addresses of name servers, as dns=9.9.9.9")),
        }
    }

    fn port(
        &mut self,
        section: &'static str,
        text: &str,
    ) -> Result<(&'static str, &'static str), String> {
        self.set(section, "port", text.parse().map_or(Value::Other, Value::Number))?;
        Ok((section, "port"))
    }

    /// Sets a key of the file by its rule.
    fn set(&mut self, section: &str, name: &str, value: Value<'_>) -> Result<(), String> {
        let (_, key) = keys::find(section, name).ok_or("nothing here")?;
        if key.rule.set(self.config, value) { Ok(()) } else { Err(key.rule.allowed()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use std::{string::ToString, vec::Vec};

    fn load(command_line: &str) -> Result<Config, ConfigError> {
        Config::load(&Bundle::default(), command_line)
    }

    fn load_with(file: &str, command_line: &str) -> Result<Config, ConfigError> {
        let mut writer = crate::cpio::Writer::new();
        writer.file(CONFIG_FILE, file.as_bytes(), 0).unwrap();
        writer.file("site/index.html", b"hello", 0).unwrap();
        let archive = writer.finish();
        Config::load(&Bundle::parse(&archive).unwrap(), command_line)
    }

    #[test]
    fn nothing_changes_nothing() {
        assert_eq!(load("").unwrap(), Config::default());
        assert_eq!(load("  virtio_mmio.device=512@0xfeb00e00:12 ").unwrap(), Config::default());
    }

    #[test]
    fn words_of_others_are_named_and_change_nothing() {
        let line = "console=ttyS0 quiet virtio_mmio.device=512@0xfeb00e00:12 root=/dev/vda1 http_prot=80 log=info";
        assert_eq!(load(line).unwrap(), Config::default());
        let unknown: Vec<_> = unknown_words(line).collect();
        assert_eq!(unknown, ["console=ttyS0", "quiet", "root=/dev/vda1", "http_prot=80"]);
    }

    #[test]
    fn linux_says_the_same_in_one_word() {
        let short = "ip=10.9.0.2/24 gw=10.9.0.1 dns=9.9.9.9 dns=1.1.1.1";
        let long =
            "ip=10.9.0.2:10.9.0.7:10.9.0.1:255.255.255.0:web:eth0:off:9.9.9.9:1.1.1.1:10.9.0.8";
        let mut expected = load(short).unwrap();
        expected.network.hostname = "web".to_owned();
        assert_eq!(load(long).unwrap(), expected);
        for dhcp in ["ip=:::::eth0:dhcp", "ip=on", "ip=any", "ip=:::::eth0"] {
            assert_eq!(load(dhcp).unwrap(), load("ip=dhcp").unwrap(), "{dhcp}");
        }
        for off in ["ip=off", "ip=none"] {
            let network = load(off).unwrap().network;
            assert!(!network.dhcp && network.addresses.is_empty(), "{off}");
        }
    }

    #[test]
    fn every_word_sets_its_key() {
        let config = load("ip=10.9.0.2/24 gw=10.9.0.1 dns=9.9.9.9 dns=fd00::9 http_port=8080 rpc_port=7001 zmq_port=0 fastcgi_port=9000 gopher_port=70 https_port=443 rpc_secure_port=7002 log_references=true admin_port=9001 log=debug ip=fd00::2/64")
            .unwrap();
        let addresses: Vec<_> = config.network.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.9.0.2/24", "fd00::2/64"]);
        assert!(!config.network.dhcp && config.network.slaac);
        assert_eq!(config.network.gateways, ["10.9.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(config.network.dns.len(), 2);
        assert_eq!((config.http.port, config.rpc.port, config.zmq.port), (8080, Some(7001), None));
        assert_eq!((config.fastcgi.port, config.gopher.port), (Some(9000), Some(70)));
        assert_eq!((config.tls.port, config.admin.port), (Some(443), Some(9001)));
        assert_eq!((config.rpc.secure_port, config.rpc.log_references), (Some(7002), true));
        assert_eq!(config.log.level, log::LevelFilter::Debug);
        assert_eq!(config.shutdown.drain, Duration::from_secs(5));
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let file = "[network]\ndhcp = false\naddresses = [\"10.0.0.1/8\", \"fd00::1/64\"]\ngateways = [\"10.0.0.9\"]\n";
        let config = load_with(file, "ip=dhcp gw=10.0.0.8").unwrap();
        assert!(config.network.dhcp);
        assert_eq!(config.network.gateways, ["10.0.0.8".parse::<IpAddr>().unwrap()]);
        // What it says of one family says nothing of the other.
        for (line, expected) in [
            ("ip=dhcp", &["fd00::1/64"][..]),
            ("ip=off", &["fd00::1/64"]),
            ("ip=10.0.0.2/8 ip=10.0.0.3/8", &["fd00::1/64", "10.0.0.2/8", "10.0.0.3/8"]),
            ("ip=fd00::2/64 ip=fd00::3/64", &["10.0.0.1/8", "fd00::2/64", "fd00::3/64"]),
        ] {
            let file = file.replace("gateways = [\"10.0.0.9\"]\n", "");
            let addresses = load_with(&file, line).unwrap().network.addresses;
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            assert_eq!(addresses, expected, "{line}");
        }
    }

    #[test]
    fn faults_have_a_place_and_a_remedy() {
        for (line, column, allowed) in [
            ("ip=10.9.0.2", 1, "ip=dhcp or an address"),
            ("log=info ip=10.9.0.2/33", 10, "ip=dhcp or an address"),
            ("gw=nowhere", 1, "addresses of routers"),
            ("gw=10.0.0.1 gw=10.0.0.2", 13, "one per family"),
            ("ip=10.9.0.2/24 ip=fd00::2/64 ip=10.9.0.2/8", 30, "each address once"),
            ("ip=127.0.0.1/8", 1, "ip=dhcp or an address"),
            ("ip=10.9.0.255/24", 1, "ip=dhcp or an address"),
            ("gw=127.0.0.1", 1, "addresses of routers"),
            ("ip=10.9.0.2/24 gw=10.9.0.2", 16, "10.9.0.2 is this machine's own"),
            ("ip=10.9.0.2/24 gw=10.9.0.255", 16, "10.9.0.255 is no machine's"),
            ("ip=10.9.0.2/24 gw=10.9.0.0", 16, "10.9.0.0 is no machine's"),
            ("ip=fd00::2/64 gw=fd00::2", 15, "fd00::2 is this machine's own"),
            ("log=info rpc_port=80", 10, "80 is two services'"),
            ("ip=10.9.0.2/24 gw=10.9.1.1", 16, "as 10.9.1.1 is not"),
            ("log=loud", 1, "\"trace\""),
            ("http_port=0", 1, "from 1 to 65535"),
            ("http_port=-1", 1, "from 1 to 65535"),
            ("zmq_port=70000", 1, "or 0 for off"),
            ("rpc_secure_port=-1", 1, "or 0 for off"),
            ("log_references=yes", 1, "true or false"),
            ("rpc_secure_port=5555", 1, "`secure_port` of [rpc]"),
            ("ip", 1, "ip=VALUE"),
            ("quiet log", 7, "log=VALUE"),
            ("dns=1.1.1.1 dns=1.1.1.2 dns=1.1.1.3 dns=1.1.1.4", 37, "at most 3"),
        ] {
            let error = load(line).unwrap_err();
            assert_eq!((error.line, error.column), (1, column), "{line}");
            assert!(error.allowed.contains(allowed), "{line}: {error}");
        }
    }

    #[test]
    fn limits_are_reached() {
        let five: String = (1..=5).map(|n| std::format!("ip=10.0.0.{n}/8 ")).collect();
        assert!(load(&five).unwrap_err().allowed.contains("at most 4"));
        let long = "x".repeat(COMMAND_LINE_BYTES_MAX + 1);
        assert!(load(&long).unwrap_err().allowed.contains("4096"));
        let spaces = " ".repeat(COMMAND_LINE_BYTES_MAX);
        assert_eq!(load(&spaces).unwrap(), Config::default());
    }

    #[test]
    fn contradictions_are_refused_where_they_stand() {
        for (file, line, sentence) in [
            (
                "[network]\ndhcp = false\nslaac = false",
                "",
                "appliance.toml:2:1: found `dhcp = false`; allowed: a way to an address",
            ),
            (
                "[network]\nslaac = false\naddresses = [\"10.9.0.2/24\"]\ndhcp = false\ngateways = [\"10.9.1.1\"]",
                "",
                "appliance.toml:5:1: found `gateways = [\"10.9.1.1\"]`; allowed: gateways within",
            ),
            (
                "[network]\nslaac = false\ngateways = [\"fd00::1\"]",
                "",
                "appliance.toml:3:1: found `gateways = [\"fd00::1\"]`; allowed: gateways within",
            ),
            (
                "[network]\ngateways = [\"10.9.1.1\"]",
                "ip=10.9.0.2/24",
                "appliance.toml:2:1: found `gateways = [\"10.9.1.1\"]`; allowed: gateways within",
            ),
            (
                "[network]\nmtu_bytes = 1279",
                "",
                "appliance.toml:2:1: found `mtu_bytes = 1279`; allowed: at least 1280 while IPv6 is on",
            ),
            (
                "[network]\nslaac = false\nmtu_bytes = 576",
                "ip=fd00::2/64",
                "appliance.toml:3:1: found `mtu_bytes = 576`; allowed: at least 1280 while IPv6 is on",
            ),
            (
                "[zmq]\nport = 80\n",
                "",
                "appliance.toml:2:1: found `port = 80`; allowed: a port for each service, and 80 is",
            ),
            (
                "[zmq]\nport = 9000\n",
                "http_port=9000",
                "command line:1:1: found `http_port=9000`; allowed: a port for each service",
            ),
            (
                "[http]\nsite_root = \"sit\"",
                "",
                "appliance.toml:2:1: found `site_root = \"sit\"`; allowed: a folder of the bundle with files",
            ),
        ] {
            let error = load_with(file, line).expect_err(file).to_string();
            assert!(error.starts_with(sentence), "{error}");
        }
    }

    #[test]
    fn a_shared_port_is_refused_at_one_of_its_two_services() {
        for (file, line, sentence, one, other) in [
            ("[rpc]\nport = 7000\n[zmq]\nport = 7000", "", "appliance.toml:2:1", "rpc", "zmq"),
            ("[http]\nport = 8080\n[rpc]\nport = 5555", "", "appliance.toml:4:1", "rpc", "zmq"),
            ("[zmq]\nport = 9\n[rpc]\nport = 80", "", "appliance.toml:4:1", "http", "rpc"),
            ("[rpc]\nport = 9\n[zmq]\nport = 80", "", "appliance.toml:4:1", "http", "zmq"),
            ("[rpc]\nport = 9\n[zmq]\nport = 9", "", "appliance.toml:2:1", "rpc", "zmq"),
            ("", "http_port=8080 rpc_port=5555", "command line:1:16", "rpc", "zmq"),
            ("", "rpc_port=7000 zmq_port=7000", "command line:1:1", "rpc", "zmq"),
            ("[http]\nport = 8080", "zmq_port=8080", "appliance.toml:2:1", "http", "zmq"),
            ("[fastcgi]\nport = 80", "", "appliance.toml:2:1", "http", "fastcgi"),
            ("[gopher]\nport = 5555", "", "appliance.toml:2:1", "gopher", "zmq"),
        ] {
            let error = load_with(file, line).unwrap_err();
            assert!(error.to_string().starts_with(sentence), "{error}");
            for service in [one, other] {
                assert!(error.allowed.contains(&std::format!("`port` of [{service}]")), "{error}");
            }
        }
    }

    #[test]
    fn contradictions_of_tls_are_refused_where_they_stand() {
        for (file, line, sentence) in [
            (
                "[tls]\ncertificates = [\"tls/a.pem\"]\n",
                "",
                "appliance.toml:2:1: found `certificates = [\"tls/a.pem\"]`; allowed: as many keys as certificates in [tls]",
            ),
            (
                "[tls]\ncertificates = [\"tls/a.pem\"]\nkeys = [\"tls/a.key\"]\n",
                "",
                "appliance.toml:2:1: found `certificates = [\"tls/a.pem\"]`; allowed: files of the bundle, and tls/a.pem is not",
            ),
            (
                "[tls]\nauthorities = \"tls/a.pem\"\n",
                "",
                "appliance.toml:2:1: found `authorities = \"tls/a.pem\"`; allowed: files of the bundle, and tls/a.pem is not",
            ),
            (
                "[tls]\nclient_authorities = \"tls/a.pem\"\n",
                "",
                "appliance.toml:2:1: found `client_authorities = \"tls/a.pem\"`; allowed: clients = \"optional\" or",
            ),
            (
                "[sessions]\ncarry_over = \"https://10.9.0.1/s\"\n",
                "",
                "appliance.toml:2:1: found a value that is not shown, since it may be a secret; allowed: authorities in [tls]",
            ),
            (
                "[log]\nsyslog = \"tls://10.9.0.1:6514\"\n",
                "",
                "appliance.toml:2:1: found `syslog = \"tls://10.9.0.1:6514\"`; allowed: authorities in [tls], by which a collector",
            ),
            (
                "[admin]\nclient_authorities = \"site/index.html\"\n",
                "",
                "appliance.toml:2:1: found `client_authorities = \"site/index.html\"`; allowed: tls = true in [admin]",
            ),
            (
                "[admin]\ntls = true\nclient_authorities = \"tls/a.pem\"\n",
                "",
                "appliance.toml:3:1: found `client_authorities = \"tls/a.pem\"`; allowed: a file of the bundle, and tls/a.pem",
            ),
            (
                "[tls]\nclients = \"required\"\n",
                "",
                "appliance.toml:2:1: found `clients = \"required\"`; allowed: client_authorities or client_fingerprints",
            ),
            (
                "[tls]\nredirect = true\n[affinity]\nkey = \"000102030405060708090a0b0c0d0e0f\"\n",
                "",
                "appliance.toml:2:1: found `redirect = true`; allowed: redirect = false in [tls] where [affinity] has a key",
            ),
            (
                "[tls]\nport = 80\n",
                "",
                "appliance.toml:2:1: found `port = 80`; allowed: a port for each service, and 80 is two services': `port` of [http] and `port` of [tls]",
            ),
        ] {
            let error = load_with(file, line).unwrap_err();
            assert!(error.to_string().starts_with(sentence), "{error}");
        }
    }

    #[test]
    fn who_is_known_by_certificates_is_asked_for_them_by_tls() {
        let fingerprints = std::format!("client_fingerprints = [\"{}\"]\n", "0f".repeat(32));
        let error = load_with(&std::format!("[admin]\n{fingerprints}"), "").unwrap_err();
        assert_eq!((error.line, error.column), (2, 1));
        assert!(error.allowed.starts_with("tls = true in [admin]"), "{error}");
        for file in [
            std::format!("[admin]\ntls = true\n{fingerprints}"),
            "[admin]\ntls = true\nclient_authorities = \"site/index.html\"\n".to_string(),
            "[log]\nsyslog = \"tcp://10.9.0.1:601\"\n".to_string(),
            "[log]\nsyslog = \"tls://a:1\"\n[tls]\nauthorities = \"site/index.html\"\n".to_string(),
        ] {
            load_with(&file, "").unwrap();
        }
    }

    #[test]
    fn a_path_of_shared_memory_is_one_services() {
        let file = "[shared_memory]\nrpc_path = \"/a\"\nzmq_path = \"/a\"\n";
        let sentence = "appliance.toml:2:1: found `rpc_path = \"/a\"`; allowed: a path for each service in [shared_memory], and /a is `rpc_path` and `zmq_path`";
        assert_eq!(load_with(file, "").unwrap_err().to_string(), sentence);
        let long = "x".repeat(108);
        for refused in ["/a b", &long] {
            let file = alloc::format!("[shared_memory]\nhttp_path = \"{refused}\"\n");
            let said = load_with(&file, "").unwrap_err().to_string();
            assert!(said.contains("a path of at most 107 bytes"), "{said}");
        }
        load_with("[shared_memory]\nhttp_path = \"/a\"\nrpc_path = \"b\"\n", "").unwrap();
    }

    #[test]
    fn a_socket_is_one_services() {
        let file = "[unix]\nrpc = \"/run/a\"\nadmin = \"/run/a\"\n";
        let sentence = "appliance.toml:2:1: found `rpc = \"/run/a\"`; allowed: a path for each service in [unix], and /run/a is `rpc` and `admin`";
        assert_eq!(load_with(file, "").unwrap_err().to_string(), sentence);
        load_with("[unix]\nhttp = \"/run/a\"\nrpc = \"@a\"\nadmin = \"\"\n", "").unwrap();
    }

    #[test]
    fn a_socket_is_a_path_that_needs_no_escapes_and_its_mode_has_three_digits() {
        let long = alloc::format!("/{}", "a".repeat(107));
        for path in ["run/a", "/", "/a/", "/a b", "@", &long] {
            let file = alloc::format!("[unix]\nhttp = \"{path}\"\n");
            let error = load_with(&file, "").unwrap_err().to_string();
            assert!(error.contains("allowed: an absolute path or \"@NAME\""), "{error}");
        }
        load_with(&alloc::format!("[unix]\nhttp = \"{}\"\n", &long[..107]), "").unwrap();
        for mode in ["600", "0+77", "1600", "0800", "00600", ""] {
            let file = alloc::format!("[unix]\nmode = \"{mode}\"\n");
            let error = load_with(&file, "").unwrap_err().to_string();
            assert!(error.contains("allowed: three octal digits after a zero"), "{error}");
        }
        assert_eq!(load_with("[unix]\nmode = \"0660\"\n", "").unwrap().unix.mode, 0o660);
    }

    #[test]
    fn a_port_of_vsock_is_one_services() {
        let file = "[vsock]\nrpc_port = 7\nadmin_port = 7\n";
        let sentence = "appliance.toml:2:1: found `rpc_port = 7`; allowed: a port for each service in [vsock], and 7 is `rpc_port` and `admin_port`";
        assert_eq!(load_with(file, "").unwrap_err().to_string(), sentence);
        // TCP's ports are others.
        load_with("[vsock]\nhttp_port = 80\nrpc_port = 4294967294\n", "").unwrap();
    }

    #[test]
    fn what_vats_need_is_there() {
        for (file, sentence) in [
            (
                "[rpc]\nkey = \"rpc/other.pem\"\n",
                "appliance.toml:2:1: found `key = \"rpc/other.pem\"`; allowed: a file of the bundle, and rpc/other.pem is not",
            ),
            (
                "[conf]\nfrom = \"store\"\n",
                "appliance.toml:2:1: found `from = \"store\"`; allowed: a name of [capabilities], and `store` is none",
            ),
            (
                "[relay]\nthrough = \"store\"\n",
                "appliance.toml:2:1: found `through = \"store\"`; allowed: a name of [capabilities], and `store` is none",
            ),
            (
                "[relay]\nhttp_port = 8080\n",
                "appliance.toml:2:1: found `http_port = 8080`; allowed: through in [relay], which says whose port it is",
            ),
        ] {
            let error = load_with(file, "").unwrap_err();
            assert!(error.to_string().starts_with(sentence), "{error}");
        }
        load_with("[rpc]\nkey = \"site/index.html\"\n", "").unwrap();
        for port in ["http_port = 8080\n", ""] {
            let relay = std::format!("[relay]\nthrough = \"store\"\n{port}");
            let relay = relay + "[capabilities]\nstore = \"capnp://insecure@a:1\"\n";
            load_with(&relay, "").unwrap();
        }
        let follows =
            "[conf]\nfrom = \"store\"\n[capabilities]\nstore = \"capnp://insecure@a:1\"\n";
        load_with(follows, "").unwrap();
        // The site is another's.
        load_with(&std::format!("[http]\nsite_root = \"sit\"\n{follows}"), "").unwrap();
    }

    #[test]
    fn what_only_looks_like_a_contradiction_is_taken() {
        for (file, line) in [
            ("[network]\ndhcp = false\nslaac = false", "ip=10.9.0.2/24"),
            ("[network]\ngateways = [\"10.9.1.1\", \"fd00::1\"]", ""),
            (
                "[network]\nslaac = false\naddresses = [\"fd00::2/64\"]\ngateways = [\"fe80::1\"]",
                "",
            ),
            ("[network]\nmtu_bytes = 1280", ""),
            ("[network]\nmtu_bytes = 576\nslaac = false", "ip=10.9.0.2/24"),
            ("[network]\naddresses = [\"10.9.0.0/31\"]\ngateways = [\"10.9.0.1\"]", ""),
            ("[rpc]\nport = 0\n[zmq]\nport = 0", ""),
            ("[http]\nport = 7000", "rpc_port=0"),
        ] {
            load_with(file, line).unwrap();
        }
    }

    /// The guide of the sample site has a table of the same words.
    #[test]
    fn the_guide_tells_every_word_and_no_other() {
        let guide = include_str!("../site/guide.html");
        let rows = guide.lines().filter_map(|line| line.strip_prefix("<tr><td><code>"));
        let mut words: Vec<_> = rows.filter_map(|row| row.split(['=', '<']).next()).collect();
        words.dedup();
        assert_eq!(words, WORDS);
    }

    #[test]
    fn an_empty_bundle_is_not_a_machine_without_one() {
        let archive = crate::cpio::Writer::new().finish();
        let empty = Bundle::parse(&archive).unwrap();
        assert!(Config::load(&empty, "").unwrap_err().allowed.contains("there is no site/ in it"));
        assert!(Config::load(&Bundle::parse(&[]).unwrap(), "").is_ok());
    }

    #[test]
    fn a_bundle_without_a_site_is_refused() {
        let mut writer = crate::cpio::Writer::new();
        writer.file(CONFIG_FILE, b"", 0).unwrap();
        writer.file("site.txt", b"", 0).unwrap();
        let archive = writer.finish();
        let error = Config::load(&Bundle::parse(&archive).unwrap(), "").unwrap_err();
        assert_eq!(
            error.to_string(),
            "bundle: found the default of site_root in [http], since no setting says otherwise; \
             allowed: a folder of the bundle with files, and there is no site/ in it"
        );
    }

    #[test]
    fn a_site_at_the_top_of_a_bundle_is_told_where_it_belongs() {
        let mut writer = crate::cpio::Writer::new();
        writer.file("index.html", b"hello", 0).unwrap();
        let archive = writer.finish();
        let error = Config::load(&Bundle::parse(&archive).unwrap(), "").unwrap_err();
        let told = "there is no site/ in it: index.html lies at its top, and belongs into site/";
        assert!(error.allowed.ends_with(told), "{error}");
        let elsewhere = Bundle::parse(&archive).unwrap().with_site_elsewhere();
        assert!(elsewhere.is_given() && elsewhere.get("index.html").is_some());
        Config::load(&elsewhere, "").unwrap();
    }
}
